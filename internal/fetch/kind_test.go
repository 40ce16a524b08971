package fetch_test

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// What each kind asks the server for, of another origin.
func TestKinds(t *testing.T) {
	json := []fetch.Field{{Name: "Content-Type", Value: "application/json"}}
	for _, test := range []struct {
		name    string
		request fetch.Request
		asked   []string          // as servers.asked says it
		sent    map[string]string // fields of the last request; empty for none
	}{
		{
			name:    "fetch",
			request: fetch.Request{},
			asked:   []string{"GET /"},
			sent: map[string]string{
				"Origin": app, "Accept": "*/*", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Cookie": "",
			},
		},
		{
			name:    "an XMLHttpRequest",
			request: fetch.Request{Kind: fetch.KindXHR, Method: "PUT", Body: []byte("x"), Header: json},
			asked:   []string{"OPTIONS / for PUT with content-type", "PUT /"},
			sent:    map[string]string{"Content-Type": "application/json"},
		},
		{
			name:    "an XMLHttpRequest with a charset",
			request: fetch.Request{Kind: fetch.KindXHR, Method: "POST", Body: []byte("x"), Header: []fetch.Field{{Name: "Content-Type", Value: "text/plain; charset=latin1"}}},
			asked:   []string{"POST /"},
			sent:    map[string]string{"Content-Type": "text/plain;charset=UTF-8"},
		},
		{
			name:    "an XMLHttpRequest with a body for a GET",
			request: fetch.Request{Kind: fetch.KindXHR, Body: []byte("x")},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Content-Type": ""},
		},
		{
			name:    "an XMLHttpRequest that sets a header twice",
			request: fetch.Request{Kind: fetch.KindXHR, Header: []fetch.Field{{Name: "Accept", Value: strings.Repeat("a", 100)}, {Name: "accept", Value: strings.Repeat("b", 100)}}},
			asked:   []string{"OPTIONS / for GET with accept", "GET /"},
		},
		{
			name:    "upload listeners",
			request: fetch.Request{Kind: fetch.KindXHRUpload, Method: "POST", Body: []byte("x")},
			asked:   []string{"OPTIONS / for POST", "POST /"},
			sent:    map[string]string{"Content-Type": "text/plain;charset=UTF-8"},
		},
		{
			name:    "a stream",
			request: fetch.Request{Kind: fetch.KindStream, Body: []byte("x")},
			asked:   []string{"OPTIONS / for POST", "POST /"},
			sent:    map[string]string{"Content-Type": ""},
		},
		{
			name:    "a beacon",
			request: fetch.Request{Kind: fetch.KindBeacon, Body: []byte("x"), Cookie: "a=b"},
			asked:   []string{"POST /"},
			sent: map[string]string{
				"Origin": app, "Content-Type": "text/plain;charset=UTF-8", "Sec-Fetch-Mode": "no-cors", "Cookie": "a=b",
			},
		},
		{
			name:    "a beacon without anything",
			request: fetch.Request{Kind: fetch.KindBeacon},
			asked:   []string{"POST /"},
			sent:    map[string]string{"Content-Type": ""},
		},
		{
			name:    "a beacon of JSON",
			request: fetch.Request{Kind: fetch.KindBeacon, Body: []byte("{}"), Header: json, Cookie: "a=b"},
			asked:   []string{"OPTIONS / for POST with content-type", "POST /"},
			sent:    map[string]string{"Content-Type": "application/json", "Sec-Fetch-Mode": "cors", "Cookie": "a=b"},
		},
		{
			name:    "a beacon of a type in upper case",
			request: fetch.Request{Kind: fetch.KindBeacon, Body: []byte("x"), Header: []fetch.Field{{Name: "content-type", Value: "Text/Plain"}}},
			asked:   []string{"POST /"},
			sent:    map[string]string{"Content-Type": "text/plain"},
		},
		{
			name:    "an EventSource",
			request: fetch.Request{Kind: fetch.KindEventSource, Cookie: "a=b"},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Accept": "text/event-stream", "Cache-Control": "no-cache", "Cookie": ""},
		},
		{
			name:    "an EventSource with credentials",
			request: fetch.Request{Kind: fetch.KindEventSource, Credentials: true, Cookie: "a=b"},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Cookie": "a=b"},
		},
		{
			name:    "a font",
			request: fetch.Request{Kind: fetch.KindFont, Cookie: "a=b"},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Sec-Fetch-Dest": "font", "Sec-Fetch-Mode": "cors", "Cookie": ""},
		},
		{
			name:    "a script with crossorigin",
			request: fetch.Request{Kind: fetch.KindScript, Cookie: "a=b"},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Sec-Fetch-Dest": "script", "Sec-Fetch-Mode": "cors", "Cookie": ""},
		},
		{
			name:    "a script without",
			request: fetch.Request{Kind: fetch.KindScript, NoCORS: true, Cookie: "a=b"},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": "", "Sec-Fetch-Mode": "no-cors", "Cookie": "a=b"},
		},
		{
			name:    "a module",
			request: fetch.Request{Kind: fetch.KindModule},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Sec-Fetch-Dest": "script"},
		},
		{
			name:    "a style sheet",
			request: fetch.Request{Kind: fetch.KindStyle},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Accept": "text/css,*/*;q=0.1", "Sec-Fetch-Dest": "style"},
		},
		{
			name:    "an image with crossorigin=use-credentials",
			request: fetch.Request{Kind: fetch.KindImage, Credentials: true, Cookie: "a=b"},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Sec-Fetch-Dest": "image", "Cookie": "a=b"},
		},
		{
			name:    "a video",
			request: fetch.Request{Kind: fetch.KindMedia},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Range": "bytes=0-", "Accept-Encoding": "identity", "Sec-Fetch-Dest": "video"},
		},
		{
			name:    "a manifest",
			request: fetch.Request{Kind: fetch.KindManifest},
			asked:   []string{"GET /"},
			sent:    map[string]string{"Origin": app, "Sec-Fetch-Dest": "manifest"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			allowed := allow(app, "Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Methods", "PUT",
				"Access-Control-Allow-Headers", "Content-Type, Accept")
			allowed.Set("Content-Type", contentTypeOf[test.request.Kind])
			s := &servers{answers: map[string]answer{"OPTIONS " + api + "/": {204, allowed}}}
			for _, method := range []string{"GET", "POST", "PUT"} {
				s.answers[method+" "+api+"/"] = answer{200, allowed}
			}
			test.request.URL = api
			result := do(t, s, test.request)
			if result.Verdict != fetch.Allowed {
				t.Errorf("is %s", verdict(result))
			}
			var asked []string
			for _, line := range s.asked() {
				asked = append(asked, strings.NewReplacer(api, "", " of "+app, "").Replace(line))
			}
			if !slices.Equal(asked, test.asked) {
				t.Fatalf("asked %q, want %q", asked, test.asked)
			}
			header := s.requests[len(s.requests)-1].Header
			for name, want := range test.sent {
				if got := header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			for _, r := range s.requests[:len(s.requests)-1] {
				if r.Header.Get("Cookie") != "" {
					t.Error("a preflight has a cookie")
				}
			}
		})
	}
}

// contentTypeOf is what the kinds need that need one.
var contentTypeOf = map[fetch.Kind]string{
	fetch.KindEventSource: "text/event-stream", fetch.KindScript: "text/javascript", fetch.KindModule: "text/javascript", fetch.KindStyle: "text/css",
}

// What a kind cannot be asked for.
func TestKindErrors(t *testing.T) {
	for name, r := range map[string]fetch.Request{
		"a kind that is none":               {Kind: "iframe"},
		"an XMLHttpRequest without CORS":    {Kind: fetch.KindXHR, NoCORS: true},
		"a font without CORS":               {Kind: fetch.KindFont, NoCORS: true},
		"a font with credentials":           {Kind: fetch.KindFont, Credentials: true},
		"an image with a method":            {Kind: fetch.KindImage, Method: "POST"},
		"an image with a header":            {Kind: fetch.KindImage, Header: []fetch.Field{{Name: "X", Value: "1"}}},
		"an EventSource with a body":        {Kind: fetch.KindEventSource, Body: []byte("x")},
		"a beacon with a header":            {Kind: fetch.KindBeacon, Header: []fetch.Field{{Name: "X", Value: "1"}}},
		"a beacon with a method":            {Kind: fetch.KindBeacon, Method: "PUT"},
		"a fetch of a WebSocket's URL":      {URL: "wss://api.example.com/"},
		"an image of a URL that is not one": {Kind: fetch.KindImage, URL: "data:,x"},
	} {
		if r.URL == "" {
			r.URL = api
		}
		r.Origin = app
		s := new(servers)
		if result, err := (&fetch.Client{Transport: s}).Fetch(t.Context(), r); err == nil || len(s.requests) > 0 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
}

func TestXHRExceptions(t *testing.T) {
	for _, test := range []struct {
		request fetch.Request
		want    string
	}{
		{fetch.Request{Method: "A B"}, "SyntaxError: 'A B' is not a valid HTTP method."},
		{fetch.Request{Method: "trace"}, "SecurityError: 'trace' HTTP method is unsupported."},
		{fetch.Request{Header: []fetch.Field{{Name: "X:Y", Value: "1"}}}, "SyntaxError: 'X:Y' is not a valid HTTP header field name."},
	} {
		test.request.Kind, test.request.URL = fetch.KindXHR, api
		if result := do(t, new(servers), test.request); result.Cause == nil || result.Cause.Message != test.want {
			t.Errorf("the cause is %+v, want %s", result.Cause, test.want)
		}
	}
}

// The mode no-cors: what is sent, and what the script gets of it.
func TestNoCORS(t *testing.T) {
	s := &servers{answers: map[string]answer{"POST " + api + "/": {500, http.Header{"X": {"1"}}}}}
	result := do(t, s, fetch.Request{URL: api, NoCORS: true, Method: "post", Body: []byte("x"), Header: []fetch.Field{
		{Name: "Accept", Value: "a"}, {Name: "X-One", Value: "1"}, {Name: "Content-Type", Value: "application/json"},
		{Name: "Accept", Value: strings.Repeat("b", 128)}, {Name: "Range", Value: "bytes=0-"},
	}})
	if result.Verdict != fetch.Allowed || !result.Opaque || result.Status != 0 || result.URL != "" || len(result.ReadableHeaders) > 0 {
		t.Errorf("the result is %+v", result)
	}
	if asked := s.asked(); !slices.Equal(asked, []string{"POST " + api + "/ of " + app}) {
		t.Fatalf("asked %q", asked)
	}
	header := s.requests[0].Header
	for name, want := range map[string]string{
		"Accept": "a", "X-One": "", "Range": "", "Content-Type": "text/plain;charset=UTF-8", "Sec-Fetch-Mode": "no-cors",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	dropped := 0
	for _, w := range result.Warnings {
		if w.Code == fetch.NoCORSHeader {
			dropped++
		}
	}
	if dropped != 4 {
		t.Errorf("%d headers are said to be left out", dropped)
	}

	if got := verdict(do(t, new(servers), fetch.Request{URL: api, NoCORS: true, Method: "PUT"})); got != "no-cors-method" {
		t.Errorf("PUT is %s", got)
	}
	same := &servers{answers: map[string]answer{"GET " + app + "/": {200, nil}}}
	if result := do(t, same, fetch.Request{URL: app, NoCORS: true}); result.Opaque || result.Status != 200 {
		t.Errorf("of the page's own origin: %+v", result)
	}
}

// An Origin is not sent over http to who cannot know the https page otherwise.
func TestOriginWithoutCORS(t *testing.T) {
	for _, test := range []struct{ origin, url, want string }{
		{app, api + "/", app},
		{"http://app.example.com", "http://api.example.com/", "http://app.example.com"},
		{app, "http://localhost/", "null"},
		{"null", api + "/", "null"},
	} {
		s := &servers{answers: map[string]answer{"POST " + test.url: {200, nil}}}
		do(t, s, fetch.Request{URL: test.url, Origin: test.origin, NoCORS: true, Method: "POST"})
		if got := s.requests[0].Header.Get("Origin"); got != test.want {
			t.Errorf("from %s to %s: %s, want %s", test.origin, test.url, got, test.want)
		}
	}
}

// What the kinds make of a response that CORS lets through.
func TestResponseOfKind(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   fetch.Kind
		noCORS bool
		status int
		header []string
		want   string
	}{
		{name: "an image of any type and status", kind: fetch.KindImage, status: 404, want: "allowed"},
		{name: "a fetch of any status", kind: fetch.KindFetch, status: 500, want: "allowed"},
		{name: "an event stream", kind: fetch.KindEventSource, status: 200, header: []string{"Content-Type", "text/event-stream;charset=utf-8"}, want: "allowed"},
		{name: "an event stream of another type", kind: fetch.KindEventSource, status: 200, header: []string{"Content-Type", "text/plain"}, want: "mime-type"},
		{name: "an event stream of another status", kind: fetch.KindEventSource, status: 204, header: []string{"Content-Type", "text/event-stream"}, want: "error-status"},
		{name: "a script of any type", kind: fetch.KindScript, status: 200, header: []string{"Content-Type", "text/plain"}, want: "allowed"},
		{name: "a script without a type", kind: fetch.KindScript, status: 200, want: "allowed"},
		{name: "a script that is an image", kind: fetch.KindScript, status: 200, header: []string{"Content-Type", "image/png"}, want: "mime-type"},
		{name: "a script that is a table", kind: fetch.KindScript, status: 200, header: []string{"Content-Type", "text/csv"}, want: "mime-type"},
		{name: "a script of another type with nosniff", kind: fetch.KindScript, status: 200, header: []string{"Content-Type", "text/plain", "X-Content-Type-Options", "NoSniff"}, want: "mime-type"},
		{name: "a script of its type with nosniff", kind: fetch.KindScript, status: 200, header: []string{"Content-Type", "text/javascript", "X-Content-Type-Options", "nosniff"}, want: "allowed"},
		{name: "a script of another status", kind: fetch.KindScript, status: 404, header: []string{"Content-Type", "text/javascript"}, want: "error-status"},
		{name: "a module of another type", kind: fetch.KindModule, status: 200, header: []string{"Content-Type", "text/plain"}, want: "mime-type"},
		{name: "a style sheet of another type", kind: fetch.KindStyle, status: 200, header: []string{"Content-Type", "text/plain"}, want: "mime-type"},
		{name: "a style sheet of another status", kind: fetch.KindStyle, status: 404, header: []string{"Content-Type", "text/css"}, want: "error-status"},
		{name: "a font of another status", kind: fetch.KindFont, status: 404, want: "error-status"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: map[string]answer{"GET " + api + "/": {test.status, allow("*", test.header...)}}}
			if got := verdict(do(t, s, fetch.Request{URL: api, Kind: test.kind, NoCORS: test.noCORS})); got != test.want {
				t.Errorf("is %s, want %s", got, test.want)
			}
		})
	}
}

// Chromium and Firefox have elements without CORS get no data that is meant for scripts.
func TestOpaqueResponseBlocking(t *testing.T) {
	both := []fetch.Engine{fetch.Chromium, fetch.Firefox}
	for _, test := range []struct {
		name    string
		kind    fetch.Kind
		cors    bool
		status  int
		header  []string
		want    bool
		engines []fetch.Engine // that block it, whatever the body is
	}{
		{name: "an image that is a page", kind: fetch.KindImage, header: []string{"Content-Type", "text/html; charset=utf-8"}, want: true},
		{name: "with nosniff", kind: fetch.KindImage, header: []string{"Content-Type", "text/html", "X-Content-Type-Options", "nosniff"}, want: true, engines: both},
		{name: "an image with CORS", kind: fetch.KindImage, cors: true, header: []string{"Content-Type", "text/html"}},
		{name: "a picture", kind: fetch.KindImage, header: []string{"Content-Type", "image/png", "X-Content-Type-Options", "nosniff"}},
		{name: "a picture in XML", kind: fetch.KindImage, header: []string{"Content-Type", "image/svg+xml"}},
		{name: "an image without a type", kind: fetch.KindImage},
		{name: "an image that is a document", kind: fetch.KindImage, header: []string{"Content-Type", "application/pdf"}, want: true, engines: both},
		{name: "an image that is text", kind: fetch.KindImage, header: []string{"Content-Type", "text/plain"}},
		{name: "an image that is text, with nosniff", kind: fetch.KindImage, header: []string{"Content-Type", "text/plain", "X-Content-Type-Options", "nosniff"}, want: true, engines: both[:1]},
		{name: "a script that is JSON", kind: fetch.KindScript, header: []string{"Content-Type", "application/json"}, want: true},
		{name: "a script that is a feed", kind: fetch.KindScript, header: []string{"Content-Type", "application/atom+xml"}, want: true},
		{name: "a script that is a stream of events", kind: fetch.KindScript, header: []string{"Content-Type", "text/event-stream"}, want: true, engines: both},
		{name: "a script", kind: fetch.KindScript, header: []string{"Content-Type", "text/javascript"}},
		{name: "a style sheet", kind: fetch.KindStyle, header: []string{"Content-Type", "text/css"}},
		{name: "a part of a video that is XML", kind: fetch.KindMedia, status: 206, header: []string{"Content-Type", "text/xml"}, want: true, engines: both[1:]},
		{name: "a playlist in XML", kind: fetch.KindMedia, header: []string{"Content-Type", "application/dash+xml"}},
		{name: "a spreadsheet", kind: fetch.KindMedia, header: []string{"Content-Type", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}, want: true, engines: both},
		{name: "a video", kind: fetch.KindMedia, status: 206, header: []string{"Content-Type", "video/mp4"}},
		{name: "a fetch, of which no script sees anything", kind: fetch.KindFetch, header: []string{"Content-Type", "text/html"}},
	} {
		s := &servers{answers: map[string]answer{"GET " + api + "/": {cmp.Or(test.status, 200), allow("*", test.header...)}}}
		result := do(t, s, fetch.Request{URL: api, Kind: test.kind, NoCORS: !test.cors})
		if result.Verdict != fetch.Allowed {
			t.Errorf("%s: it is %s", test.name, verdict(result))
		}
		i := slices.IndexFunc(result.Warnings, func(w fetch.Warning) bool { return w.Code == fetch.OpaqueResponseBlocking })
		if got := i >= 0; got != test.want {
			t.Errorf("%s: there is a warning: %v", test.name, got)
		} else if got && !slices.Equal(result.Warnings[i].Engines, test.engines) {
			t.Errorf("%s: the warning is about %q, want %q", test.name, result.Warnings[i].Engines, test.engines)
		}
	}
}

// Without Access-Control-Allow-Methods, a preflight for upload listeners allows no more than others do.
func TestUploadPreflightWithoutMethods(t *testing.T) {
	s := &servers{answers: map[string]answer{
		"OPTIONS " + api + "/": {204, allow("*")}, "POST " + api + "/": {200, allow("*")}, "PUT " + api + "/": {200, allow("*")},
	}}
	for method, want := range map[string]string{"POST": "allowed", "PUT": "method-not-allowed"} {
		if got := verdict(do(t, s, fetch.Request{URL: api, Kind: fetch.KindXHRUpload, Method: method, Body: []byte("x")})); got != want {
			t.Errorf("%s is %s, want %s", method, got, want)
		}
	}
}

func TestStream(t *testing.T) {
	do := func(proto int, status int, header http.Header) *fetch.Result {
		t.Helper()
		client := &fetch.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodOptions {
				return &http.Response{StatusCode: 204, Header: allow("*"), Body: http.NoBody}, nil
			}
			if r.ContentLength > 0 {
				t.Errorf("the length of the body is known: %d", r.ContentLength)
			}
			return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, ProtoMajor: proto}, nil
		})}
		result, err := client.Fetch(t.Context(), fetch.Request{URL: api, Origin: app, Kind: fetch.KindStream, Body: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	if got := verdict(do(2, 200, allow("*"))); got != "allowed" {
		t.Errorf("over HTTP/2, it is %s", got)
	}
	if got := verdict(do(1, 200, allow("*"))); got != "http1-stream" {
		t.Errorf("over HTTP/1.1, it is %s", got)
	}
	if got := verdict(do(2, 307, allow("*", to("/x")...))); got != "redirect-stream" {
		t.Errorf("a redirect is %s", got)
	}
}

// A 303 takes the stream away, so that there is nothing that a later redirect would have sent once more.
func TestStreamThatIsGone(t *testing.T) {
	answers := map[string]*http.Response{
		"/":  {StatusCode: 303, Header: allow("*", to("/x")...)},
		"/x": {StatusCode: 307, Header: allow("*", to("/y")...)},
		"/y": {StatusCode: 200, Header: allow("*")},
	}
	client := &fetch.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		answer := *answers[r.URL.Path]
		if r.Method == http.MethodOptions {
			answer = http.Response{StatusCode: 204, Header: allow("*")}
		}
		answer.Body, answer.ProtoMajor = http.NoBody, 2
		return &answer, nil
	})}
	result, err := client.Fetch(t.Context(), fetch.Request{URL: api, Origin: app, Kind: fetch.KindStream, Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	if got := verdict(result); got != "allowed" {
		t.Errorf("is %s", got)
	}
}

func TestBeaconIsBounded(t *testing.T) {
	for size, want := range map[int]string{64 << 10: "allowed", 64<<10 + 1: "body-too-large"} {
		s := &servers{answers: map[string]answer{"POST " + api + "/": {204, nil}}}
		if got := verdict(do(t, s, fetch.Request{URL: api, Kind: fetch.KindBeacon, Body: make([]byte, size)})); got != want {
			t.Errorf("%d bytes are %s, want %s", size, got, want)
		}
	}
}

func TestWebSocket(t *testing.T) {
	for _, test := range []struct {
		name, origin, url string
		status            int
		want              string
	}{
		{name: "an upgrade", url: "wss://api.example.com/chat", status: 101, want: "allowed"},
		{name: "an https URL", url: "https://api.example.com/chat", status: 101, want: "allowed"},
		{name: "a refusal", url: "wss://api.example.com/chat", status: 403, want: "websocket-handshake"},
		{name: "a redirect is not followed", url: "wss://api.example.com/chat", status: 302, want: "websocket-handshake"},
		{name: "mixed content", url: "ws://api.example.com/chat", want: "mixed-content"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: map[string]answer{"GET https://api.example.com/chat": {test.status, http.Header{"Location": {"/x"}}}}}
			result := do(t, s, fetch.Request{URL: test.url, Kind: fetch.KindWebSocket, Cookie: "a=b"})
			if verdict(result) != test.want {
				t.Errorf("is %s, want %s", verdict(result), test.want)
			}
			if test.status == 0 {
				return
			}
			header := s.requests[0].Header
			for name, want := range map[string]string{
				"Origin": app, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
				"Cookie": "a=b", "Sec-Fetch-Mode": "websocket",
			} {
				if got := header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if len(header.Get("Sec-WebSocket-Key")) != 24 {
				t.Errorf("the key is %q", header.Get("Sec-WebSocket-Key"))
			}
			const message = "WebSocket connection to 'wss://api.example.com/chat' failed: Error during WebSocket handshake: Unexpected response code: 403"
			if test.status == 403 && result.Cause.Message != message {
				t.Errorf("the cause is %s", result.Cause.Message)
			}
		})
	}
}

// Cookies go to the URL's host, if credentials do.
func TestCookie(t *testing.T) {
	credentials := []string{"Access-Control-Allow-Credentials", "true"}
	s := &servers{answers: map[string]answer{
		"GET " + api + "/":            {302, allow(app, append(credentials, to("/2")...)...)},
		"GET " + api + "/2":           {302, allow(app, append(credentials, to(other+"/")...)...)},
		"GET https://other.test/":     {200, allow("null", credentials...)},
		"GET " + app + "/":            {302, http.Header{"Location": {api + "/"}}},
		"GET " + app + "/in":          {200, nil},
		"GET http://localhost/":       {200, nil},
		"OPTIONS https://other.test/": {204, allow("null", credentials...)},
	}}
	sent := func(r fetch.Request) (cookies []string) {
		s.requests = nil
		r.Cookie = "a=b"
		do(t, s, r)
		for _, r := range s.requests {
			cookies = append(cookies, r.Header.Get("Cookie"))
		}
		return cookies
	}
	for _, test := range []struct {
		name    string
		request fetch.Request
		want    []string
	}{
		{"with credentials, until another host", fetch.Request{URL: api, Credentials: true}, []string{"a=b", "a=b", ""}},
		{"without credentials", fetch.Request{URL: api}, []string{"", "", ""}},
		{"to the page's own origin", fetch.Request{URL: app + "/in"}, []string{"a=b"}},
	} {
		if got := sent(test.request); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// All that a response lacks is known, and not only what the browser tells first.
func TestNeeds(t *testing.T) {
	put := fetch.Request{URL: api, Method: "PUT", Credentials: true, Header: []fetch.Field{{Name: "X-Two", Value: "1"}, {Name: "X-One", Value: "1"}}}
	for _, test := range []struct {
		name      string
		preflight answer
		response  answer
		want      fetch.Needs
	}{
		{
			name:      "nothing is there",
			preflight: answer{404, nil},
			want:      fetch.Needs{At: fetch.AtPreflight, Status: true, Origin: app, Credentials: true, Method: "PUT", Headers: []string{"x-one", "x-two"}},
		},
		{
			name:      "a method and a header",
			preflight: answer{204, allow(app, "Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Methods", "*", "Access-Control-Allow-Headers", "x-two")},
			want:      fetch.Needs{At: fetch.AtPreflight, Method: "PUT", Headers: []string{"x-one"}},
		},
		{
			name:      "the origin is *",
			preflight: answer{204, allow("*", "Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Methods", "PUT", "Access-Control-Allow-Headers", "X-One, X-Two")},
			want:      fetch.Needs{At: fetch.AtPreflight, Origin: app},
		},
		{
			name:      "the response",
			preflight: answer{204, allow(app, "Access-Control-Allow-Credentials", "true", "Access-Control-Allow-Methods", "PUT", "Access-Control-Allow-Headers", "X-One, X-Two")},
			response:  answer{200, nil},
			want:      fetch.Needs{At: fetch.AtResponse, Origin: app, Credentials: true},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: map[string]answer{"OPTIONS " + api + "/": test.preflight, "PUT " + api + "/": test.response}}
			result := do(t, s, put)
			test.want.URL = api + "/"
			if n := result.Needs; n == nil || n.At != test.want.At || n.URL != test.want.URL || n.Status != test.want.Status ||
				n.Origin != test.want.Origin || n.Credentials != test.want.Credentials || n.Method != test.want.Method || !slices.Equal(n.Headers, test.want.Headers) {
				t.Errorf("needs %+v, want %+v", n, test.want)
			}
		})
	}
	s := &servers{answers: map[string]answer{"GET " + api + "/": {200, allow("*")}}}
	if result := do(t, s, fetch.Request{URL: api}); result.Needs != nil {
		t.Errorf("an allowed call needs %+v", result.Needs)
	}
}

// The cause says what is loaded, as Chrome's console does.
func TestCauseNamesTheKind(t *testing.T) {
	const missing = " at 'https://api.example.com/' from origin 'https://app.example.com' has been blocked by CORS policy: No 'Access-Control-Allow-Origin' header is present on the requested resource."
	for kind, resource := range map[fetch.Kind]string{
		"": "fetch", fetch.KindXHR: "XMLHttpRequest", fetch.KindEventSource: "resource", fetch.KindFont: "font", fetch.KindScript: "script",
		fetch.KindModule: "script", fetch.KindStyle: "CSS stylesheet", fetch.KindImage: "image", fetch.KindMedia: "video", fetch.KindManifest: "manifest",
	} {
		s := &servers{answers: map[string]answer{"GET " + api + "/": {200, nil}}}
		if result := do(t, s, fetch.Request{URL: api, Kind: kind}); result.Cause == nil || result.Cause.Message != "Access to "+resource+missing {
			t.Errorf("%s: %+v", kind, result.Cause)
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	for size, want := range map[int]string{200 << 10: "allowed", 256 << 10: "headers-too-large"} {
		s := &servers{answers: map[string]answer{"GET " + api + "/": {200, allow("*", "X", strings.Repeat("x", size))}}}
		result := do(t, s, fetch.Request{URL: api})
		if verdict(result) != want {
			t.Errorf("%d bytes are %s, want %s", size, verdict(result), want)
		}
		if want == "headers-too-large" && result.Header != nil {
			t.Error("the header is kept")
		}
	}
}

// Bytes of a Location that are not UTF-8 stay as they are.
func TestLocationBytes(t *testing.T) {
	for location, want := range map[string]string{"/end?\xff": "/end?%FF", "/ü": "/%C3%BC", "/\xe4?ü": "/%E4?%C3%BC"} {
		s := &servers{answers: map[string]answer{
			"GET " + api + "/":  {302, allow("*", to(location)...)},
			"GET " + api + want: {200, allow("*")},
		}}
		if result := do(t, s, fetch.Request{URL: api}); result.URL != api+want {
			t.Errorf("%q leads to %s, want %s", location, result.URL, want)
		}
	}
}

// The preflight alone, to see whether something would be allowed that is better not done.
func TestPreflightOnly(t *testing.T) {
	s := &servers{answers: map[string]answer{
		"OPTIONS " + api + "/":  {204, allow(app, "Access-Control-Allow-Methods", "DELETE")},
		"OPTIONS " + api + "/2": {204, allow(app)},
	}}
	result := do(t, s, fetch.Request{URL: api, Method: "DELETE", PreflightOnly: true})
	if result.Verdict != fetch.Allowed || result.Status != 0 || len(s.requests) != 1 {
		t.Errorf("the result is %+v, after %q", result, s.asked())
	}
	if !slices.ContainsFunc(result.Warnings, func(w fetch.Warning) bool { return w.Code == fetch.PreflightOnly }) {
		t.Errorf("it does not say so: %+v", result.Warnings)
	}
	if got := verdict(do(t, s, fetch.Request{URL: api + "/2", Method: "DELETE", PreflightOnly: true})); got != "method-not-allowed" {
		t.Errorf("one that allows nothing is %s", got)
	}
	s.requests = nil
	result, err := (&fetch.Client{Transport: s}).Fetch(t.Context(), fetch.Request{URL: api, Origin: app, PreflightOnly: true})
	if !errors.Is(err, fetch.ErrNoPreflight) || result.Verdict != fetch.Unknown || len(s.requests) != 0 {
		t.Errorf("without need of one: %+v, %v, after %q", result, err, s.asked())
	}
}
