package fetch_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// A call is judged by the answers that a browser has got.
func TestRecording(t *testing.T) {
	exchange := func(method, url string, status int, header http.Header) fetch.Recorded {
		return fetch.Recorded{URL: url, Exchange: fetch.Exchange{Method: method, Status: status, ResponseHeader: header}}
	}
	preflight := func(method, url string, status int, header http.Header) fetch.Recorded {
		r := exchange("OPTIONS", url, status, header)
		r.Preflight, r.RequestHeader = true, http.Header{"Access-Control-Request-Method": {method}}
		return r
	}
	allowed := allow("*", "Access-Control-Allow-Methods", "PUT, DELETE")
	put := fetch.Request{URL: api + "/#fragment", Origin: app, Method: "PUT"}
	for _, test := range []struct {
		name     string
		recorded []fetch.Recorded
		want     string
		warned   bool // that there is no preflight
	}{
		{name: "all is there", recorded: []fetch.Recorded{preflight("PUT", api, 204, allowed), exchange("PUT", api+"/#x", 200, allowed)}, want: "allowed"},
		{name: "the preflight is of another method", recorded: []fetch.Recorded{preflight("DELETE", api, 204, allowed), exchange("PUT", api, 200, allowed)}, want: "allowed", warned: true},
		{name: "the preflight fails", recorded: []fetch.Recorded{preflight("PUT", api, 405, allowed)}, want: "preflight-status"},
		{name: "the preflight is not there", recorded: []fetch.Recorded{exchange("PUT", api, 200, allowed)}, want: "allowed", warned: true},
		{name: "the request is not there", recorded: []fetch.Recorded{preflight("PUT", api, 204, allowed)}, want: "unknown"},
		{name: "nothing is there", want: "unknown", warned: true},
		{name: "another URL is there", recorded: []fetch.Recorded{exchange("PUT", api+"/x", 200, allowed)}, want: "unknown", warned: true},
		{
			name: "a redirect to where nothing is recorded",
			recorded: []fetch.Recorded{
				preflight("PUT", api, 204, allowed), exchange("PUT", api, 307, allow("*", "Location", "/x")),
			},
			want: "unknown", warned: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := &fetch.Client{Transport: fetch.NewRecording(test.recorded)}
			result, err := client.Fetch(t.Context(), put)
			if unknown := test.want == "unknown"; unknown != errors.Is(err, fetch.ErrNotRecorded) || result == nil {
				t.Fatalf("result %+v, error %v", result, err)
			}
			if verdict(result) != test.want {
				t.Errorf("is %s, want %s", verdict(result), test.want)
			}
			warned := slices.ContainsFunc(result.Warnings, func(w fetch.Warning) bool { return w.Code == fetch.PreflightNotSeen })
			if warned != test.warned {
				t.Errorf("warned is %t, want %t", warned, test.warned)
			}
		})
	}
}

// Each answer is given once, so that one call does not get those of another.
func TestRecordingGivesAnAnswerOnce(t *testing.T) {
	recording := fetch.NewRecording([]fetch.Recorded{
		{URL: api, Exchange: fetch.Exchange{Method: "GET", Status: 200, ResponseHeader: allow("*")}},
		{URL: api, Exchange: fetch.Exchange{Method: "GET", Status: 200}},
	})
	client := &fetch.Client{Transport: recording}
	var got []string
	for range 3 {
		result, _ := client.Fetch(t.Context(), fetch.Request{URL: api, Origin: app})
		got = append(got, verdict(result))
	}
	if want := []string{"allowed", "missing-allow-origin", "unknown"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What was found before a server could not be asked is not lost.
func TestUnknownHasItsSteps(t *testing.T) {
	s := &servers{answers: map[string]answer{"GET " + api + "/": {302, allow("*", to(other+"/")...)}}}
	result, err := (&fetch.Client{Transport: s}).Fetch(t.Context(), fetch.Request{URL: api, Origin: app})
	if err == nil || result == nil || result.Verdict != fetch.Unknown || len(s.requests) != 2 {
		t.Fatalf("result %+v, error %v", result, err)
	}
	if !slices.ContainsFunc(result.Steps, func(s fetch.Step) bool { return s.Outcome == fetch.Redirect }) {
		t.Errorf("the redirect is not among the steps: %+v", result.Steps)
	}
}
