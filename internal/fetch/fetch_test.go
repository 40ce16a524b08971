package fetch_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

const (
	app   = "https://app.example.com"
	api   = "https://api.example.com"
	other = "https://other.test"
)

// servers answer to methods and URLs: "GET https://api.example.com/". They keep a record of the requests.
type servers struct {
	answers  map[string]answer
	requests []*http.Request
}

type answer struct {
	status int
	header http.Header
}

func (s *servers) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests = append(s.requests, r)
	a, ok := s.answers[r.Method+" "+r.URL.String()]
	if !ok {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// asked returns what the servers were asked.
func (s *servers) asked() []string {
	var asked []string
	for _, r := range s.requests {
		line := r.Method + " " + r.URL.String()
		if origin := r.Header.Get("Origin"); origin != "" {
			line += " of " + origin
		}
		if method := r.Header.Get("Access-Control-Request-Method"); method != "" {
			line += " for " + method
		}
		if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
			line += " with " + names
		}
		asked = append(asked, line)
	}
	return asked
}

// allow is a header that allows an origin, and more: names and values in turn.
func allow(origin string, more ...string) http.Header {
	h := http.Header{"Access-Control-Allow-Origin": {origin}}
	for i := 0; i < len(more); i += 2 {
		h.Add(more[i], more[i+1])
	}
	return h
}

func to(location string) []string { return []string{"Location", location} }

func do(t *testing.T, s *servers, r fetch.Request) *fetch.Result {
	t.Helper()
	if r.Origin == "" {
		r.Origin = app
	}
	result, err := (&fetch.Client{Transport: s}).Fetch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// verdict is that of the result, or its cause.
func verdict(r *fetch.Result) string {
	if r.Cause != nil {
		return string(r.Cause.Code)
	}
	return string(r.Verdict)
}

// The Request constructor, and what is not called at all.
func TestWithoutARequest(t *testing.T) {
	for _, test := range []struct {
		name    string
		request fetch.Request
		want    fetch.Code
	}{
		{"a URL that is none", fetch.Request{URL: "https://exa mple.com/"}, fetch.InvalidURL},
		{"a URL with a password", fetch.Request{URL: "https://user:password@api.example.com/"}, fetch.URLCredentials},
		{"a method that is no token", fetch.Request{URL: api, Method: "A B"}, fetch.InvalidMethod},
		{"a forbidden method", fetch.Request{URL: api, Method: "Trace"}, fetch.ForbiddenMethod},
		{"a header name that is no token", fetch.Request{URL: api, Header: []fetch.Field{{Name: "X:Y", Value: "1"}}}, fetch.InvalidHeaderName},
		{"a header value with a newline", fetch.Request{URL: api, Header: []fetch.Field{{Name: "X", Value: "a\nb"}}}, fetch.InvalidHeaderValue},
		{"a header value that is not Latin-1", fetch.Request{URL: api, Header: []fetch.Field{{Name: "X", Value: "☃"}}}, fetch.InvalidHeaderValue},
		{"a GET with a body", fetch.Request{URL: api, Body: []byte("x")}, fetch.BodyNotAllowed},
		{"a port of another protocol", fetch.Request{URL: "https://api.example.com:6000/"}, fetch.BadPort},
		{"http from an https page", fetch.Request{URL: "http://api.example.com/"}, fetch.MixedContent},
		{"http from a frame in an https page", fetch.Request{URL: "http://api.example.com/", Origin: "null", SecurePage: true}, fetch.MixedContent},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := new(servers)
			result := do(t, s, test.request)
			if verdict(result) != string(test.want) || result.Cause.At != fetch.AtRequest || len(s.requests) != 0 {
				t.Errorf("is %+v with the requests %v, want %s", result.Cause, s.asked(), test.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for name, request := range map[string]fetch.Request{
		"an origin that is none":     {URL: api, Origin: "https://app.example.com/"},
		"a URL of another scheme":    {URL: "data:text/plain,x", Origin: app},
		"a server that is not there": {URL: api, Origin: app},
	} {
		if result, err := (&fetch.Client{Transport: new(servers)}).Fetch(t.Context(), request); err == nil {
			t.Errorf("%s: no error, but %+v", name, result)
		}
	}
}

// What is sent, and whether a preflight is, by the method and the header.
func TestRequest(t *testing.T) {
	long := strings.Repeat("a", 128)
	field := func(name, value string) fetch.Request {
		return fetch.Request{Header: []fetch.Field{{Name: name, Value: value}}}
	}
	for _, test := range []struct {
		name    string
		request fetch.Request
		want    string // after "OPTIONS https://api.example.com/ of https://app.example.com for "; empty for no preflight
	}{
		{"GET", fetch.Request{}, ""},
		{"HEAD", fetch.Request{Method: "HEAD"}, ""},
		{"post, which is normalized", fetch.Request{Method: "post"}, ""},
		{"PUT", fetch.Request{Method: "PUT"}, "PUT"},
		{"put, which is normalized", fetch.Request{Method: "put"}, "PUT"},
		{"patch, which is not", fetch.Request{Method: "patch"}, "patch"},
		{"a body is text", fetch.Request{Method: "POST", Body: []byte("x")}, ""},

		{"Accept", field("Accept", "application/json"), ""},
		{"Accept of 128 bytes", field("Accept", long), ""},
		{"Accept of 129 bytes", field("Accept", long+"a"), "GET with accept"},
		{"Accept with an unsafe byte", field("ACCEPT", "a(b)"), "GET with accept"},
		{"Accept with a control character", field("Accept", "a\x01b"), "GET with accept"},
		{"Accept with DEL", field("Accept", "a\x7fb"), "GET with accept"},
		{"Accept with a tab", field("Accept", "a\tb"), ""},
		{"Accept-Language", field("Accept-Language", "de-DE, en;q=0.5, *"), ""},
		{"Accept-Language with another byte", field("Accept-Language", "en_US"), "GET with accept-language"},
		{"Content-Language", field("Content-Language", "en"), ""},
		{"Content-Type of a form", field("Content-Type", "application/x-www-form-urlencoded"), ""},
		{"Content-Type of a file", field("Content-Type", "multipart/form-data; boundary=x"), ""},
		{"Content-Type of text", field("Content-Type", "Text/Plain ;charset=UTF-8"), ""},
		{"Content-Type of JSON", field("Content-Type", "application/json"), "GET with content-type"},
		{"Content-Type with an unsafe byte", field("Content-Type", `text/plain; charset="x"`), "GET with content-type"},
		{"Content-Type that is none", field("Content-Type", "text"), "GET with content-type"},
		{"two Content-Types as one", field("Content-Type", "text/plain, application/json"), "GET with content-type"},
		{"Range", field("Range", "bytes=0-5"), ""},
		{"Range without an end", field("Range", "bytes=5-"), ""},
		{"Range without a start", field("Range", "bytes=-5"), "GET with range"},
		{"Range that ends before its start", field("Range", "bytes=5-1"), "GET with range"},
		{"two Ranges", field("Range", "bytes=0-1,3-4"), "GET with range"},
		{"Range with white space", field("Range", "bytes= 0-5"), "GET with range"},
		{"Range beyond all numbers", field("Range", "bytes=99999999999999999999-"), "GET with range"},
		{"Authorization", field("Authorization", "Bearer x"), "GET with authorization"},
		{"many, sorted and in lower case", fetch.Request{Method: "DELETE", Header: []fetch.Field{
			{Name: "X-B", Value: "1"}, {Name: "Accept", Value: "*/*"}, {Name: "x-a", Value: "2"}, {Name: "X-b", Value: "3"},
		}}, "DELETE with x-a,x-b"},
		{"1,024 bytes together", fetch.Request{Header: slices.Repeat([]fetch.Field{{Name: "Accept", Value: long}}, 8)}, ""},
		{"more than 1,024 bytes together", fetch.Request{Header: slices.Repeat([]fetch.Field{{Name: "Accept", Value: long}}, 9)}, "GET with accept"},

		{"a forbidden header is left out", field("Cookie", "a=b"), ""},
		{"and so is a prefix", field("Sec-X", "1"), ""},
		{"an override with a forbidden method, too", field("X-HTTP-Method-Override", "PUT, Trace"), ""},
		{"an override with another", field("X-HTTP-Method-Override", "PUT"), "GET with x-http-method-override"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: make(map[string]answer)}
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "patch", "DELETE"} {
				s.answers[method+" "+api+"/"] = answer{200, allow("*")}
			}
			s.answers["OPTIONS "+api+"/"] = answer{204, allow("*", "Access-Control-Allow-Methods", "*", "Access-Control-Allow-Headers", "*, Authorization")}
			test.request.URL = api
			result := do(t, s, test.request)
			if result.Verdict != fetch.Allowed {
				t.Fatalf("is blocked: %v", result.Cause)
			}
			asked := s.asked()
			preflight := "OPTIONS https://api.example.com/ of https://app.example.com for " + test.want
			switch {
			case test.want == "" && len(asked) != 1:
				t.Errorf("asked %q, want no preflight", asked)
			case test.want != "" && (len(asked) != 2 || asked[0] != preflight):
				t.Errorf("asked %q, want %q", asked, preflight)
			}
		})
	}
}

func TestRequestHeader(t *testing.T) {
	s := &servers{answers: map[string]answer{
		"POST " + api + "/":    {200, allow("*")},
		"OPTIONS " + api + "/": {204, allow("*", "Access-Control-Allow-Headers", "*")},
	}}
	do(t, s, fetch.Request{URL: api, Method: "POST", Body: []byte("x"), Header: []fetch.Field{
		{Name: "X-One", Value: " a "}, {Name: "x-one", Value: "ü"}, {Name: "Host", Value: "evil.test"},
	}})
	want := http.Header{
		"Accept":          {"*/*"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Content-Type":    {"text/plain;charset=UTF-8"},
		"Origin":          {app},
		"Sec-Fetch-Dest":  {"empty"},
		"Sec-Fetch-Mode":  {"cors"},
		"Sec-Fetch-Site":  {"same-site"},
		"User-Agent":      {"Mozilla/5.0 (compatible; caddy-cors)"},
		"X-One":           {"a, \xfc"},
	}
	if got := s.requests[1].Header; !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// Browsers send paths that Go does not parse.
func TestRequestURI(t *testing.T) {
	for path, want := range map[string]string{
		"/a/../b c?d e#f": "/b%20c?d%20e",
		"/%zz?%zz":        "/%zz?%zz",
		"/ü":              "/%C3%BC",
	} {
		var got string
		client := &fetch.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			got = r.Host + r.URL.RequestURI()
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})}
		if _, err := client.Fetch(t.Context(), fetch.Request{URL: api + path, Origin: app}); err != nil {
			t.Fatal(err)
		}
		if got != "api.example.com"+want {
			t.Errorf("%s is sent as %s, want %s", path, got, want)
		}
	}
}

func TestSite(t *testing.T) {
	for _, test := range []struct{ origin, url, want string }{
		{app, app, "same-origin"},
		{app, app + ":444", "same-site"},
		{app, api, "same-site"},
		{app, other, "cross-site"},
		{"http://app.example.com", app, "cross-site"},
		{"null", app, "cross-site"},
		{"https://a.github.io", "https://b.github.io", "cross-site"},
		{"https://127.0.0.1", "https://127.0.0.2", "cross-site"},
		{"https://127.0.0.1:444", "https://127.0.0.1", "same-site"},
		{"https://[::1]:444", "https://[::1]", "same-site"},
		{"https://localhost:444", "https://localhost", "same-site"},
	} {
		s := &servers{answers: map[string]answer{"GET " + test.url + "/": {200, allow("*")}}}
		do(t, s, fetch.Request{URL: test.url, Origin: test.origin})
		if got := s.requests[0].Header.Get("Sec-Fetch-Site"); got != test.want {
			t.Errorf("%s calls %s: %s, want %s", test.origin, test.url, got, test.want)
		}
	}
}

// A call of the page's own origin needs nothing, and gets all but cookies.
func TestSameOrigin(t *testing.T) {
	s := &servers{answers: map[string]answer{"DELETE " + app + "/": {500, http.Header{"X-Total": {"1"}, "Set-Cookie": {"a=b"}}}}}
	result := do(t, s, fetch.Request{URL: app, Method: "DELETE", Header: []fetch.Field{{Name: "X-One", Value: "1"}}, Credentials: true})
	if result.Verdict != fetch.Allowed || result.Status != 500 || !slices.Equal(result.ReadableHeaders, []string{"x-total"}) {
		t.Errorf("is %+v", result)
	}
	if want := []string{"DELETE https://app.example.com/ of https://app.example.com"}; !slices.Equal(s.asked(), want) {
		t.Errorf("asked %q, want %q", s.asked(), want)
	}

	s = &servers{answers: map[string]answer{"GET " + app + "/": {200, nil}}}
	do(t, s, fetch.Request{URL: app})
	if want := []string{"GET https://app.example.com/"}; !slices.Equal(s.asked(), want) {
		t.Errorf("asked %q, want %q", s.asked(), want)
	}
}

func TestCORSCheck(t *testing.T) {
	for _, test := range []struct {
		name        string
		origin      string
		credentials bool
		header      http.Header
		want        string
	}{
		{"nothing", app, false, nil, "missing-allow-origin"},
		{"*", app, false, allow("*"), "allowed"},
		{"the origin", app, false, allow(app), "allowed"},
		{"white space around it", app, false, allow(" " + app + "\t"), "allowed"},
		{"null for an opaque one", "null", false, allow("null"), "allowed"},
		{"null for another", app, false, allow("null"), "allow-origin-mismatch"},
		{"another origin", app, false, allow(other), "allow-origin-mismatch"},
		{"upper case", app, false, allow("https://APP.example.com"), "allow-origin-mismatch"},
		{"a slash", app, false, allow(app + "/"), "allow-origin-mismatch"},
		{"a default port", app, false, allow(app + ":443"), "allow-origin-mismatch"},
		{"a pattern with a scheme", app, false, allow("https://*.example.com"), "allow-origin-mismatch"},
		{"a pattern without one", app, false, allow("*.example.com"), "invalid-allow-origin"},
		{"a host", app, false, allow("app.example.com"), "invalid-allow-origin"},
		{"NULL", app, false, allow("NULL"), "invalid-allow-origin"},
		{"quotes", app, false, allow(`"` + app + `"`), "invalid-allow-origin"},
		{"nothing in it", app, false, allow(""), "invalid-allow-origin"},
		{"two values", app, false, allow(app + ", " + other), "multiple-allow-origin"},
		{"two fields", app, false, allow(app, "Access-Control-Allow-Origin", app), "multiple-allow-origin"},

		{"credentials", app, true, allow(app, "Access-Control-Allow-Credentials", "true"), "allowed"},
		{"credentials of everyone", app, true, allow("*", "Access-Control-Allow-Credentials", "true"), "wildcard-with-credentials"},
		{"no credentials", app, true, allow(app), "missing-allow-credentials"},
		{"True", app, true, allow(app, "Access-Control-Allow-Credentials", "True"), "invalid-allow-credentials"},
		{"true twice", app, true, allow(app, "Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Credentials", "true"), "invalid-allow-credentials"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, method := range []string{"GET", "PUT"} { // the response, and a preflight's
				s := &servers{answers: map[string]answer{
					"GET " + api + "/": {200, test.header}, "PUT " + api + "/": {200, test.header},
				}}
				preflight := test.header.Clone()
				if preflight != nil {
					preflight.Set("Access-Control-Allow-Methods", "PUT")
				}
				s.answers["OPTIONS "+api+"/"] = answer{204, preflight}
				result := do(t, s, fetch.Request{URL: api, Method: method, Origin: test.origin, Credentials: test.credentials})
				if verdict(result) != test.want {
					t.Errorf("%s is %s, want %s", method, verdict(result), test.want)
				}
				at := map[string]fetch.Part{"GET": fetch.AtResponse, "PUT": fetch.AtPreflight}[method]
				if result.Cause != nil && result.Cause.At != at {
					t.Errorf("%s is blocked at the %s, want the %s", method, result.Cause.At, at)
				}
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	const methods, headers = "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"
	custom := []fetch.Field{{Name: "X-One", Value: "1"}, {Name: "X-Two", Value: "2"}}
	authorization := []fetch.Field{{Name: "Authorization", Value: "Bearer x"}}
	for _, test := range []struct {
		name        string
		method      string
		header      []fetch.Field
		credentials bool
		status      int
		answer      []string
		want        string
		names       []string
	}{
		{"the method", "PUT", nil, false, 204, []string{methods, "GET,PUT"}, "allowed", nil},
		{"any method", "PUT", nil, false, 200, []string{methods, "*"}, "allowed", nil},
		{"any method with credentials", "PUT", nil, true, 200, []string{methods, "*"}, "method-not-allowed", []string{"PUT"}},
		{"no method", "PUT", nil, false, 204, nil, "method-not-allowed", []string{"PUT"}},
		{"the method in lower case", "PUT", nil, false, 204, []string{methods, "put"}, "method-not-allowed", []string{"PUT"}},
		{"a method in lower case", "patch", nil, false, 204, []string{methods, "PATCH"}, "method-not-allowed", []string{"patch"}},
		{"methods that are none", "PUT", nil, false, 204, []string{methods, "GET PUT"}, "invalid-allow-methods", []string{"GET PUT"}},
		{"methods in two fields", "PUT", nil, false, 204, []string{methods, "GET", methods, ", ,PUT,"}, "allowed", nil},
		{"a safelisted method is not listed", "POST", custom, false, 204, []string{headers, "X-One, X-Two"}, "allowed", nil},

		{"the headers in any case", "GET", custom, false, 204, []string{headers, "x-one ,\tX-TWO"}, "allowed", nil},
		{"any header", "GET", custom, false, 204, []string{headers, "*"}, "allowed", nil},
		{"any header with credentials", "GET", custom, true, 204, []string{headers, "*, x-one"}, "header-not-allowed", []string{"x-two"}},
		{"no header", "GET", custom, false, 204, nil, "header-not-allowed", []string{"x-one", "x-two"}},
		{"headers that are none", "GET", custom, false, 204, []string{headers, "X-One; X-Two"}, "invalid-allow-headers", []string{"X-One; X-Two"}},
		{"Authorization by its name", "GET", authorization, false, 204, []string{headers, "authorization"}, "allowed", nil},
		{"Authorization by *, as browsers have it", "GET", authorization, false, 204, []string{headers, "*"}, "allowed", nil},
		{"Authorization by * with credentials", "GET", authorization, true, 204, []string{headers, "*"}, "header-not-allowed", []string{"authorization"}},

		{"a status of 299", "PUT", nil, false, 299, []string{methods, "PUT"}, "allowed", nil},
		{"a status of 304", "PUT", nil, false, 304, []string{methods, "PUT"}, "preflight-status", []string{"304"}},
		{"a status of 401", "PUT", nil, false, 401, []string{methods, "PUT"}, "preflight-status", []string{"401"}},
		{"a redirect", "PUT", nil, false, 301, []string{methods, "PUT", "Location", "/new"}, "preflight-redirect", []string{"301"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			credentials := []string{"Access-Control-Allow-Credentials", "true"}
			s := &servers{answers: map[string]answer{
				"OPTIONS " + api + "/":        {test.status, allow(app, append(credentials, test.answer...)...)},
				test.method + " " + api + "/": {200, allow(app, credentials...)},
			}}
			result := do(t, s, fetch.Request{URL: api, Method: test.method, Header: test.header, Credentials: test.credentials})
			if verdict(result) != test.want {
				t.Errorf("is %s, want %s", verdict(result), test.want)
			}
			if result.Cause != nil && (!slices.Equal(result.Cause.Names, test.names) || result.Cause.At != fetch.AtPreflight) {
				t.Errorf("the cause is %+v, want one about %q", result.Cause, test.names)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	for _, test := range []struct {
		name    string
		request fetch.Request
		answers map[string]answer
		want    string
		hop     int
		asked   []string
	}{
		{
			name:    "within the origin that is called",
			request: fetch.Request{URL: api + "/old"},
			answers: map[string]answer{
				"GET " + api + "/old": {301, allow(app, to("/new")...)},
				"GET " + api + "/new": {200, allow(app)},
			},
			want:  "allowed",
			asked: []string{"GET https://api.example.com/old of https://app.example.com", "GET https://api.example.com/new of https://app.example.com"},
		},
		{
			name:    "that does not allow the origin",
			request: fetch.Request{URL: api + "/old"},
			answers: map[string]answer{"GET " + api + "/old": {301, http.Header{"Location": {"/new"}}}},
			want:    "missing-allow-origin",
			asked:   []string{"GET https://api.example.com/old of https://app.example.com"},
		},
		{
			name:    "from the page's origin to another",
			request: fetch.Request{URL: app},
			answers: map[string]answer{
				"GET " + app + "/": {302, http.Header{"Location": {api}}},
				"GET " + api + "/": {200, allow(app)},
			},
			want:  "allowed",
			asked: []string{"GET https://app.example.com/", "GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "from another origin to a third: the Origin is null",
			request: fetch.Request{URL: api},
			answers: map[string]answer{
				"GET " + api + "/":   {302, allow(app, to(other)...)},
				"GET " + other + "/": {200, allow(app)},
			},
			want:  "allow-origin-mismatch",
			hop:   1,
			asked: []string{"GET https://api.example.com/ of https://app.example.com", "GET https://other.test/ of null"},
		},
		{
			name:    "from another origin back to the page's: it is no more trusted than any",
			request: fetch.Request{URL: api},
			answers: map[string]answer{
				"GET " + api + "/": {302, allow("*", to(app)...)},
				"GET " + app + "/": {200, nil},
			},
			want:  "missing-allow-origin",
			hop:   1,
			asked: []string{"GET https://api.example.com/ of https://app.example.com", "GET https://app.example.com/ of null"},
		},
		{
			name:    "from another origin back to the page's, of a request that needs a preflight: it still does",
			request: fetch.Request{URL: api, Method: "PUT"},
			answers: map[string]answer{
				"OPTIONS " + api + "/": {204, allow("*", "Access-Control-Allow-Methods", "PUT")},
				"PUT " + api + "/":     {307, allow("*", to(app)...)},
				"OPTIONS " + app + "/": {204, allow("*", "Access-Control-Allow-Methods", "PUT")},
				"PUT " + app + "/":     {200, allow("*")},
			},
			want: "allowed",
			asked: []string{
				"OPTIONS https://api.example.com/ of https://app.example.com for PUT", "PUT https://api.example.com/ of https://app.example.com",
				"OPTIONS https://app.example.com/ of null for PUT", "PUT https://app.example.com/ of null",
			},
		},
		{
			name:    "from another origin back to the page's, with a user name",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*", to("https://user@app.example.com/")...)}},
			want:    "redirect-credentials",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "within the page's origin, with a user name",
			request: fetch.Request{URL: app + "/old"},
			answers: map[string]answer{
				"GET " + app + "/old": {302, http.Header{"Location": {"https://user@app.example.com/new"}}},
				"GET " + app + "/new": {200, nil},
			},
			want:  "allowed",
			asked: []string{"GET https://app.example.com/old", "GET https://app.example.com/new"},
		},
		{
			name:    "from http to https on one host: another origin, too",
			request: fetch.Request{URL: "http://api.example.com", Origin: "http://app.example.com"},
			answers: map[string]answer{
				"GET http://api.example.com/": {301, allow("*", to(api)...)},
				"GET " + api + "/":            {200, allow("null")},
			},
			want:  "allowed",
			asked: []string{"GET http://api.example.com/ of http://app.example.com", "GET https://api.example.com/ of null"},
		},
		{
			name:    "of a request that needs a preflight: each needs one",
			request: fetch.Request{URL: api + "/old", Method: "PUT"},
			answers: map[string]answer{
				"OPTIONS " + api + "/old": {204, allow(app, "Access-Control-Allow-Methods", "PUT")},
				"PUT " + api + "/old":     {307, allow(app, to("/new")...)},
				"OPTIONS " + api + "/new": {204, allow(app)},
			},
			want: "method-not-allowed",
			hop:  1,
			asked: []string{
				"OPTIONS https://api.example.com/old of https://app.example.com for PUT", "PUT https://api.example.com/old of https://app.example.com",
				"OPTIONS https://api.example.com/new of https://app.example.com for PUT",
			},
		},
		{
			name:    "of a POST makes a GET of it, and leaves out the headers of its body",
			request: fetch.Request{URL: app, Method: "POST", Body: []byte("{}"), Header: []fetch.Field{{Name: "Content-Type", Value: "application/json"}}},
			answers: map[string]answer{
				"POST " + app + "/": {302, http.Header{"Location": {api}}},
				"GET " + api + "/":  {200, allow("*")},
			},
			want:  "allowed",
			asked: []string{"POST https://app.example.com/ of https://app.example.com", "GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "303 makes a GET of all but HEAD",
			request: fetch.Request{URL: app + "/old", Method: "DELETE"},
			answers: map[string]answer{
				"DELETE " + app + "/old": {303, http.Header{"Location": {"/new"}}},
				"GET " + app + "/new":    {200, nil},
			},
			want:  "allowed",
			asked: []string{"DELETE https://app.example.com/old of https://app.example.com", "GET https://app.example.com/new"},
		},
		{
			name:    "to another origin leaves out Authorization",
			request: fetch.Request{URL: app, Header: []fetch.Field{{Name: "Authorization", Value: "Bearer x"}}},
			answers: map[string]answer{
				"GET " + app + "/": {302, http.Header{"Location": {api}}},
				"GET " + api + "/": {200, allow("*")},
			},
			want:  "allowed",
			asked: []string{"GET https://app.example.com/", "GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to http",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*", to("http://api.example.com/")...)}},
			want:    "mixed-content",
			hop:     1,
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to a URL with a user name",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*", to("https://user@api.example.com/")...)}},
			want:    "redirect-credentials",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to another scheme",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*", to("ftp://api.example.com/")...)}},
			want:    "redirect-scheme",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to what is not a URL",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*", to("https://[")...)}},
			want:    "redirect-invalid",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to two URLs",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*", "Location", "/a", "Location", "/b")}},
			want:    "redirect-invalid",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to nowhere is a response as any other",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {302, allow("*")}},
			want:    "allowed",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "300 is none",
			request: fetch.Request{URL: api},
			answers: map[string]answer{"GET " + api + "/": {300, allow("*", to("/new")...)}},
			want:    "allowed",
			asked:   []string{"GET https://api.example.com/ of https://app.example.com"},
		},
		{
			name:    "to itself, with one preflight for all",
			request: fetch.Request{URL: api, Method: "PUT"},
			answers: map[string]answer{
				"OPTIONS " + api + "/": {204, allow("*", "Access-Control-Allow-Methods", "PUT", "Access-Control-Max-Age", "60")},
				"PUT " + api + "/":     {307, allow("*", to("#")...)},
			},
			want: "too-many-redirects",
			hop:  20,
			asked: append([]string{"OPTIONS https://api.example.com/ of https://app.example.com for PUT"},
				slices.Repeat([]string{"PUT https://api.example.com/ of https://app.example.com"}, 21)...),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: test.answers}
			result := do(t, s, test.request)
			if verdict(result) != test.want {
				t.Errorf("is %s, want %s", verdict(result), test.want)
			}
			if result.Cause != nil && (result.Cause.Hop != test.hop || result.Cause.At == fetch.AtPreflight != (test.want == "method-not-allowed")) {
				t.Errorf("the cause is %+v, want one after %d redirects", result.Cause, test.hop)
			}
			if !slices.Equal(s.asked(), test.asked) {
				t.Errorf("asked %q, want %q", s.asked(), test.asked)
			}
		})
	}
}

func TestReadableHeaders(t *testing.T) {
	const expose = "Access-Control-Expose-Headers"
	for _, test := range []struct {
		name        string
		credentials bool
		expose      []string
		want        []string
	}{
		{"none but the safelisted", false, nil, []string{"content-type", "expires"}},
		{"the exposed", false, []string{expose, "x-total, Missing", expose, ",X-Other,"}, []string{"content-type", "expires", "x-other", "x-total"}},
		{"all", false, []string{expose, "*"}, []string{"access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers", "content-type", "expires", "x-other", "x-total"}},
		{"all with credentials, where * is a name", true, []string{expose, "*, X-Total"}, []string{"content-type", "expires", "x-total"}},
		{"never a cookie", false, []string{expose, "Set-Cookie"}, []string{"content-type", "expires"}},
		{"none of a list that is none", false, []string{expose, "X-Total X-Other"}, []string{"content-type", "expires"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := allow(app, append(test.expose, "Access-Control-Allow-Credentials", "true", "Content-Type", "text/plain",
				"Expires", "0", "X-Total", "1", "X-Other", "1", "Set-Cookie", "a=b")...)
			s := &servers{answers: map[string]answer{"GET " + api + "/": {200, header}}}
			result := do(t, s, fetch.Request{URL: api, Credentials: test.credentials})
			if !slices.Equal(result.ReadableHeaders, test.want) {
				t.Errorf("readable: %q, want %q", result.ReadableHeaders, test.want)
			}
			if result.Readable("Set-Cookie") || !result.Readable("Content-Type") {
				t.Error("Readable differs from ReadableHeaders")
			}
		})
	}
}

// The CORS-preflight cache, of one client.
func TestPreflightCache(t *testing.T) {
	put := fetch.Request{URL: api, Origin: app, Method: "PUT"}
	with := func(change func(*fetch.Request)) fetch.Request {
		r := put
		change(&r)
		return r
	}
	for _, test := range []struct {
		name   string
		answer []string
		first  fetch.Request
		second fetch.Request
		cached bool
	}{
		{"the same again", nil, put, put, true},
		{"for 0 seconds", []string{"Access-Control-Max-Age", "0"}, put, put, false},
		{"for a time that is none", []string{"Access-Control-Max-Age", "soon"}, put, put, true},
		{"for less than no time", []string{"Access-Control-Max-Age", "-1"}, put, put, false},
		{"for ages", []string{"Access-Control-Max-Age", "99999999999999999999"}, put, put, true},
		{"another listed method", nil, put, with(func(r *fetch.Request) { r.Method = "DELETE" }), true},
		{"another method", nil, put, with(func(r *fetch.Request) { r.Method = "PATCH" }), false},
		{"another listed header", nil, put, with(func(r *fetch.Request) { r.Header = []fetch.Field{{Name: "x-one", Value: "1"}} }), true},
		{"another header", nil, put, with(func(r *fetch.Request) { r.Header = []fetch.Field{{Name: "X-Two", Value: "1"}} }), false},
		{"another URL", nil, put, with(func(r *fetch.Request) { r.URL += "/?" }), false},
		{"another origin", nil, put, with(func(r *fetch.Request) { r.Origin = "null" }), false},
		{"with credentials, after without", nil, put, with(func(r *fetch.Request) { r.Credentials = true }), false},
		{"without credentials, after with", nil, with(func(r *fetch.Request) { r.Credentials = true }), put, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			credentials := []string{"Access-Control-Allow-Credentials", "true"}
			answers := make(map[string]answer)
			for _, origin := range []string{app, "null"} {
				for _, method := range []string{"PUT", "DELETE", "PATCH"} {
					for _, path := range []string{"/", "/?"} {
						answers[origin+method+path] = answer{200, allow(origin, credentials...)}
						answers[origin+"OPTIONS"+path] = answer{204, allow(origin, append(append(credentials,
							"Access-Control-Allow-Methods", "PUT, DELETE", "Access-Control-Allow-Headers", "X-One"), test.answer...)...)}
					}
				}
			}
			var preflights int
			client := &fetch.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodOptions {
					preflights++
				}
				path, _ := strings.CutPrefix(r.URL.String(), api)
				a := answers[r.Header.Get("Origin")+r.Method+path]
				return &http.Response{StatusCode: a.status, Header: a.header, Body: http.NoBody}, nil
			})}
			for _, r := range []fetch.Request{test.first, test.second} {
				if _, err := client.Fetch(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if cached := preflights == 1; cached != test.cached {
				t.Errorf("%d preflights", preflights)
			}
		})
	}
}

// How long the cache remembers a preflight.
func TestPreflightCacheAge(t *testing.T) {
	for _, test := range []struct {
		name   string
		maxAge []string
		want   time.Duration
	}{
		{"as the answer says", []string{"60"}, time.Minute},
		{"5 seconds by default", nil, 5 * time.Second},
		{"5 seconds for nothing", []string{""}, 5 * time.Second},
		{"5 seconds for what is none", []string{"1m"}, 5 * time.Second},
		{"5 seconds for two", []string{"60", "60"}, 5 * time.Second},
		{"a day at most", []string{"86401"}, 24 * time.Hour},
		{"a day for ages", []string{"99999999999999999999"}, 24 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := allow("*", "Access-Control-Allow-Methods", "PUT")
				header["Access-Control-Max-Age"] = test.maxAge
				s := &servers{answers: map[string]answer{"OPTIONS " + api + "/": {204, header}, "PUT " + api + "/": {200, allow("*")}}}
				client := &fetch.Client{Transport: s}
				put := func() {
					if _, err := client.Fetch(t.Context(), fetch.Request{URL: api, Origin: app, Method: "PUT"}); err != nil {
						t.Fatal(err)
					}
				}
				put()
				time.Sleep(test.want - time.Second)
				put()
				if len(s.requests) != 3 {
					t.Errorf("a second before: %d requests, want 3", len(s.requests))
				}
				time.Sleep(time.Second)
				put()
				if len(s.requests) != 5 {
					t.Errorf("then: %d requests, want 5", len(s.requests))
				}
			})
		})
	}
}

// The cache forgets a preflight when what it allowed is blocked all the same.
func TestPreflightCacheClear(t *testing.T) {
	s := &servers{answers: map[string]answer{
		"OPTIONS " + api + "/": {204, allow("*", "Access-Control-Allow-Methods", "PUT")},
		"PUT " + api + "/":     {200, nil},
	}}
	client := &fetch.Client{Transport: s}
	for range 2 {
		if _, err := client.Fetch(t.Context(), fetch.Request{URL: api, Origin: app, Method: "PUT"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.requests) != 4 {
		t.Errorf("asked %q, want a preflight for each", s.asked())
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWarnings(t *testing.T) {
	page := func(origin string) fetch.Request { return fetch.Request{URL: api, Origin: origin} }
	for _, test := range []struct {
		name    string
		request fetch.Request
		answer  http.Header
		want    []fetch.WarningCode
	}{
		{"none", page(app), allow("*"), nil},
		{"one origin, and no Vary", page(app), allow(app), []fetch.WarningCode{fetch.VaryOrigin}},
		{"one origin, and Vary", page(app), allow(app, "Vary", "Accept, origin"), nil},
		{"one origin, and Vary for everything", page(app), allow(app, "Vary", "*"), nil},
		{"one origin, and nothing to store", page(app), allow(app, "Cache-Control", "max-age=0, No-Store"), nil},
		{"a forbidden header", fetch.Request{URL: api, Header: []fetch.Field{{Name: "Cookie", Value: "a=b"}}}, allow("*"), []fetch.WarningCode{fetch.ForbiddenHeader}},
		{"a method in lower case", fetch.Request{URL: app, Method: "patch"}, nil, []fetch.WarningCode{fetch.MethodCase}},
		{"http from a page on loopback", fetch.Request{URL: "http://api.example.com", Origin: "http://localhost:3000"}, allow("*"), []fetch.WarningCode{fetch.LoopbackPage}},
		{"http on loopback from an https page", fetch.Request{URL: "http://127.0.0.1:3000"}, allow("*"), []fetch.WarningCode{fetch.WebKitLoopback}},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := &fetch.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: test.answer, Body: http.NoBody}, nil
			})}
			if test.request.Origin == "" {
				test.request.Origin = app
			}
			result, err := client.Fetch(t.Context(), test.request)
			if err != nil {
				t.Fatal(err)
			}
			var codes []fetch.WarningCode
			for _, w := range result.Warnings {
				codes = append(codes, w.Code)
			}
			if result.Verdict != fetch.Allowed || !slices.Equal(codes, test.want) {
				t.Errorf("is %s with the warnings %q, want %q", verdict(result), codes, test.want)
			}
		})
	}
}

// The steps tell the whole story, in order, and the cause is the last of them.
func TestSteps(t *testing.T) {
	s := &servers{answers: map[string]answer{
		"OPTIONS " + api + "/":   {204, allow(app, "Access-Control-Allow-Methods", "PUT")},
		"PUT " + api + "/":       {307, allow(app, to(other)...)},
		"OPTIONS " + other + "/": {204, allow("null", "Access-Control-Allow-Methods", "PUT")},
		"PUT " + other + "/":     {200, allow(app)},
	}}
	result := do(t, s, fetch.Request{URL: api, Method: "PUT"})
	var got []string
	exchanges := 0
	for _, step := range result.Steps {
		got = append(got, step.Algorithm+": "+string(step.Outcome))
		if step.Exchange != nil {
			exchanges++
		}
	}
	want := []string{
		"main fetch: preflight",
		"CORS-preflight fetch: answered", "CORS check: passed", "CORS-preflight fetch: passed",
		"HTTP-network fetch: answered", "CORS check: passed", "HTTP-redirect fetch: redirect",
		"main fetch: preflight",
		"CORS-preflight fetch: answered", "CORS check: passed", "CORS-preflight fetch: passed",
		"HTTP-network fetch: answered", "CORS check: failed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the steps are %q, want %q", got, want)
	}
	if exchanges != len(s.requests) {
		t.Errorf("%d exchanges, but %d requests", exchanges, len(s.requests))
	}
	const message = "Access to fetch at 'https://other.test/' (redirected from 'https://api.example.com/') from origin 'https://app.example.com' has been blocked by CORS policy: " +
		"The 'Access-Control-Allow-Origin' header has a value 'https://app.example.com' that is not equal to the supplied origin. Have the server send the header with a valid value."
	if c := result.Cause; c.Message != message || c.Origin != "null" || c.URL != other+"/" || c.Hop != 1 {
		t.Errorf("the cause is %+v", c)
	}
}
