package fetch_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// page is one of https://app.example.com with a header: names and values in turn.
func page(t *testing.T, header ...string) *fetch.Page {
	t.Helper()
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	p, err := fetch.ParsePage(app+"/", h, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const policyField = "Content-Security-Policy"

// What a page's policies let it call.
func TestPolicies(t *testing.T) {
	for _, test := range []struct {
		name    string
		page    []string
		request fetch.Request
		want    string
		message string
	}{
		{
			name: "connect-src", page: []string{policyField, "connect-src 'self'"}, want: "content-security-policy",
			message: `Connecting to 'https://api.example.com/' violates the following Content Security Policy directive: "connect-src 'self'". The action has been blocked.`,
		},
		{
			name: "default-src", page: []string{policyField, "default-src  'self'"}, want: "content-security-policy",
			message: `Connecting to 'https://api.example.com/' violates the following Content Security Policy directive: "default-src  'self'". Note that 'connect-src' was not explicitly set, so 'default-src' is used as a fallback. The action has been blocked.`,
		},
		{
			name: "a script", page: []string{policyField, "script-src 'self'"}, request: fetch.Request{Kind: fetch.KindScript}, want: "content-security-policy",
			message: `Loading the script 'https://api.example.com/' violates the following Content Security Policy directive: "script-src 'self'". Note that 'script-src-elem' was not explicitly set, so 'script-src' is used as a fallback. The action has been blocked.`,
		},
		{
			name: "a style sheet", page: []string{policyField, "style-src-elem 'self'"}, request: fetch.Request{Kind: fetch.KindStyle}, want: "content-security-policy",
			message: `Loading the stylesheet 'https://api.example.com/' violates the following Content Security Policy directive: "style-src-elem 'self'". The action has been blocked.`,
		},
		{
			name: "a WebSocket", page: []string{policyField, "connect-src 'self'"}, request: fetch.Request{Kind: fetch.KindWebSocket, URL: "wss://api.example.com/"}, want: "content-security-policy",
			message: `Connecting to 'wss://api.example.com/' violates the following Content Security Policy directive: "connect-src 'self'". The action has been blocked.`,
		},
		{name: "a WebSocket of its own host", page: []string{policyField, "connect-src wss://api.example.com"}, request: fetch.Request{Kind: fetch.KindWebSocket, URL: "wss://api.example.com/"}, want: "websocket-handshake"},
		{name: "an image without CORS", page: []string{policyField, "img-src 'self'"}, request: fetch.Request{Kind: fetch.KindImage, NoCORS: true}, want: "content-security-policy"},
		{name: "a video", page: []string{policyField, "media-src 'self'"}, request: fetch.Request{Kind: fetch.KindMedia}, want: "content-security-policy"},
		{name: "a font", page: []string{policyField, "font-src 'self'"}, request: fetch.Request{Kind: fetch.KindFont}, want: "content-security-policy"},
		{name: "a manifest", page: []string{policyField, "manifest-src 'self'"}, request: fetch.Request{Kind: fetch.KindManifest}, want: "content-security-policy"},
		{name: "a directive of another kind", page: []string{policyField, "img-src 'self'"}, want: "allowed"},
		{name: "a policy that only reports", page: []string{policyField + "-Report-Only", "connect-src 'self'"}, want: "allowed"},
		{name: "the page's own origin", page: []string{policyField, "connect-src 'self'"}, request: fetch.Request{URL: app}, want: "allowed"},
		{name: "a redirect to what is not allowed", page: []string{policyField, "connect-src 'self'"}, request: fetch.Request{URL: app + "/away"}, want: "content-security-policy"},
		{name: "a redirect to another path", page: []string{policyField, "connect-src 'self' https://api.example.com/elsewhere/"}, request: fetch.Request{URL: app + "/away"}, want: "allowed"},
		{name: "a sandbox without scripts", page: []string{policyField, "sandbox allow-same-origin"}, want: "sandboxed-scripts"},
		{name: "a font in one", page: []string{policyField, "sandbox allow-same-origin"}, request: fetch.Request{Kind: fetch.KindFont}, want: "allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: map[string]answer{
				"GET " + api + "/":     {200, allow("*", "Content-Type", "text/css")},
				"GET " + app + "/":     {200, nil},
				"GET " + app + "/away": {302, http.Header{"Location": {api + "/"}}},
			}}
			if test.request.URL == "" {
				test.request.URL = api
			}
			test.request.Page = page(t, test.page...)
			result := do(t, s, test.request)
			if verdict(result) != test.want {
				t.Errorf("is %s, want %s", verdict(result), test.want)
			}
			if test.message != "" && (result.Cause == nil || result.Cause.Message != test.message) {
				t.Errorf("the cause is %+v, want %s", result.Cause, test.message)
			}
			reported := slices.ContainsFunc(result.Warnings, func(w fetch.Warning) bool { return w.Code == fetch.PolicyReportOnly })
			if want := test.page[0] != policyField; reported != want {
				t.Errorf("reported is %t, want %t", reported, want)
			}
		})
	}
}

func TestUpgradeInsecureRequests(t *testing.T) {
	upgrade := []string{policyField, "upgrade-insecure-requests"}
	insecure := "http://api.example.com/"
	answers := map[string]answer{
		"GET " + api + "/":             {200, allow("*", "Content-Type", "image/png")},
		"GET " + insecure:              {200, allow("*", "Content-Type", "image/png")},
		"GET https://127.0.0.1/":       {200, allow("*")},
		"GET http://localhost/":        {200, allow("*")},
		"GET " + api + "/back":         {301, allow("*", to(insecure)...)},
		"GET " + app + "/back":         {301, http.Header{"Location": {"http://app.example.com/end"}}},
		"GET " + app + "/end":          {200, nil},
		"GET https://a.test:8080/":     {200, allow("*")},
		"GET https://app.example.com/": {200, nil},
	}
	for _, test := range []struct {
		name    string
		page    []string
		request fetch.Request
		asked   string // the last one
	}{
		{name: "a fetch", page: upgrade, request: fetch.Request{URL: insecure}, asked: api + "/"},
		{name: "with a port", page: upgrade, request: fetch.Request{URL: "http://a.test:8080/"}, asked: "https://a.test:8080/"},
		{name: "loopback is good as it is", page: upgrade, request: fetch.Request{URL: "http://localhost/"}, asked: "http://localhost/"},
		{name: "a Location", page: upgrade, request: fetch.Request{URL: api + "/back"}, asked: api + "/"},
		{name: "a Location of the page's own host", page: upgrade, request: fetch.Request{URL: app + "/back"}, asked: app + "/end"},
		{name: "an image, without the directive", request: fetch.Request{URL: insecure, Kind: fetch.KindImage}, asked: api + "/"},
		{name: "an image of an http page", request: fetch.Request{URL: insecure, Kind: fetch.KindImage, Origin: "http://app.example.com"}, asked: insecure},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &servers{answers: answers}
			test.request.Page = page(t, test.page...)
			if result := do(t, s, test.request); result.Verdict != fetch.Allowed {
				t.Fatalf("is %s", verdict(result))
			}
			if last := s.requests[len(s.requests)-1]; last.URL.String() != test.asked {
				t.Errorf("asked %s, want %s", last.URL, test.asked)
			}
		})
	}
	if got := verdict(do(t, new(servers), fetch.Request{URL: insecure, Page: page(t)})); got != "mixed-content" {
		t.Errorf("without it, a fetch is %s", got)
	}
}

// An upgraded Location is of the same origin, so that what goes to the page's own origin alone goes on.
func TestUpgradedLocationIsSameOrigin(t *testing.T) {
	s := &servers{answers: map[string]answer{
		"GET " + app + "/back": {307, http.Header{"Location": {"http://app.example.com/end"}}},
		"GET " + app + "/end":  {200, nil},
	}}
	do(t, s, fetch.Request{URL: app + "/back", Page: page(t, policyField, "upgrade-insecure-requests"), Header: []fetch.Field{{Name: "Authorization", Value: "x"}}})
	if got := s.requests[1].Header.Get("Authorization"); got != "x" {
		t.Errorf("Authorization is %q", got)
	}
}

// Cross-Origin-Resource-Policy, and the Cross-Origin-Embedder-Policy of the page, which asks for it.
func TestResourcePolicy(t *testing.T) {
	const embedder, resource = "Cross-Origin-Embedder-Policy", "Cross-Origin-Resource-Policy"
	for _, test := range []struct {
		name     string
		page     []string
		request  fetch.Request
		response http.Header
		want     string
		cookie   bool
	}{
		{name: "nothing", want: "allowed", cookie: true},
		{name: "cross-origin", response: http.Header{resource: {"cross-origin"}}, want: "allowed", cookie: true},
		{name: "same-origin", response: http.Header{resource: {"same-origin"}}, want: "resource-policy", cookie: true},
		{name: "same-site", response: http.Header{resource: {"same-site"}}, want: "allowed", cookie: true},
		{name: "same-site of another site", request: fetch.Request{URL: other}, response: http.Header{resource: {"same-site"}}, want: "resource-policy", cookie: true},
		{name: "same-site of an http page", request: fetch.Request{Origin: "http://app.example.com"}, response: http.Header{resource: {"same-site"}}, want: "resource-policy", cookie: true},
		{name: "same-site of an opaque origin", request: fetch.Request{Origin: "null"}, response: http.Header{resource: {"same-site"}}, want: "resource-policy", cookie: true},
		{name: "upper case means nothing", response: http.Header{resource: {"Same-Origin"}}, want: "allowed", cookie: true},
		{name: "two mean nothing", response: http.Header{resource: {"same-origin", "same-origin"}}, want: "allowed", cookie: true},

		{name: "require-corp", page: []string{embedder, "require-corp"}, want: "embedder-policy", cookie: true},
		{name: "require-corp with a parameter", page: []string{embedder, `require-corp; report-to="x"`}, want: "embedder-policy", cookie: true},
		{name: "require-corp and cross-origin", page: []string{embedder, "require-corp"}, response: http.Header{resource: {"cross-origin"}}, want: "allowed", cookie: true},
		{name: "require-corp and same-origin", page: []string{embedder, "require-corp"}, response: http.Header{resource: {"same-origin"}}, want: "resource-policy", cookie: true},
		{name: "require-corp and the page's own origin", page: []string{embedder, "require-corp"}, request: fetch.Request{URL: app}, want: "allowed", cookie: true},
		{name: "two values mean nothing", page: []string{embedder, "require-corp", embedder, "require-corp"}, want: "allowed", cookie: true},
		{name: "a string means nothing", page: []string{embedder, `"require-corp"`}, want: "allowed", cookie: true},
		{name: "credentialless", page: []string{embedder, "credentialless"}, want: "allowed", cookie: false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.request.URL == "" {
				test.request.URL = api
			}
			s := &servers{answers: map[string]answer{"GET " + test.request.URL + "/": {200, test.response}}}
			test.request.Kind, test.request.NoCORS, test.request.Cookie = fetch.KindImage, true, "a=b"
			test.request.Page = page(t, test.page...)
			if got := verdict(do(t, s, test.request)); got != test.want {
				t.Errorf("is %s, want %s", got, test.want)
			}
			if got := s.requests[0].Header.Get("Cookie") != ""; got != test.cookie {
				t.Errorf("cookie is %t, want %t", got, test.cookie)
			}
		})
	}

	// With CORS, neither counts.
	s := &servers{answers: map[string]answer{"GET " + api + "/": {200, allow("*", resource, "same-origin")}}}
	if got := verdict(do(t, s, fetch.Request{URL: api, Page: page(t, embedder, "require-corp")})); got != "allowed" {
		t.Errorf("with CORS, it is %s", got)
	}
}

// The policies of a page are in its header and in its head.
func TestParsePage(t *testing.T) {
	for _, test := range []struct {
		name string
		html string
		want []string
	}{
		{"in the head", `<!doctype html><head><meta http-equiv="content-security-policy" content="img-src *"></head>`, []string{"img-src *"}},
		{"without a head that is written", `<meta HTTP-EQUIV='Content-Security-Policy' CONTENT="img-src *; font-src 'self'">`, []string{"img-src *"}},
		{"two", `<meta http-equiv=Content-Security-Policy content="img-src *"><meta http-equiv=Content-Security-Policy content="font-src *">`, []string{"img-src *", "font-src *"}},
		{"in the body", `<body><meta http-equiv="Content-Security-Policy" content="img-src *">`, nil},
		{"in a comment", `<!-- <meta http-equiv="Content-Security-Policy" content="img-src *"> -->`, nil},
		{"in a script", `<script>"<meta http-equiv='Content-Security-Policy' content='img-src *'>"</script>`, nil},
		{"in a template", `<template><meta http-equiv="Content-Security-Policy" content="img-src *"></template>`, nil},
		{"that reports", `<meta http-equiv="Content-Security-Policy-Report-Only" content="img-src *">`, nil},
		{"of another name", `<meta name="Content-Security-Policy" content="img-src *">`, nil},
		{"that is empty", `<meta http-equiv="Content-Security-Policy" content=" ; ">`, nil},
	} {
		p, err := fetch.ParsePage(app, http.Header{policyField: {"connect-src *"}}, strings.NewReader(test.html))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, policy := range p.Policies.Policies {
			got = append(got, policy.Directives[0].Text)
		}
		if want := append([]string{"connect-src *"}, test.want...); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
	}
	for _, bad := range []string{"", "app.example.com", "file:///index.html", "https://exa mple.com"} {
		if p, err := fetch.ParsePage(bad, nil, strings.NewReader("")); err == nil {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

func TestPageOrigin(t *testing.T) {
	for policy, want := range map[string]string{
		"img-src *":             app,
		"sandbox allow-scripts": "null",
		"sandbox allow-scripts allow-same-origin": app,
	} {
		if got := page(t, policyField, policy).Origin(); got != want {
			t.Errorf("%s: %s, want %s", policy, got, want)
		}
	}
	// It is the call's, unless another one is given; and the page is secure, whatever its origin.
	s := &servers{answers: map[string]answer{"GET " + api + "/": {200, allow("null")}}}
	client := &fetch.Client{Transport: s}
	sandboxed := page(t, policyField, "sandbox allow-scripts")
	if result, err := client.Fetch(t.Context(), fetch.Request{URL: api, Page: sandboxed}); err != nil || result.Verdict != fetch.Allowed {
		t.Errorf("is %+v, %v", result, err)
	}
	if result, err := client.Fetch(t.Context(), fetch.Request{URL: "http://api.example.com", Page: sandboxed}); err != nil || verdict(result) != "mixed-content" {
		t.Errorf("is %+v, %v", result, err)
	}
}

func TestLoadPage(t *testing.T) {
	var asked []string
	client := &fetch.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.String()+" "+r.Header.Get("Sec-Fetch-Mode")+r.Header.Get("Origin"))
		answer := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`<meta http-equiv=Content-Security-Policy content="img-src *">`))}
		switch r.URL.Path {
		case "/":
			answer.StatusCode = 302
			answer.Header.Set("Location", "/home")
		case "/home":
			answer.StatusCode = 404
			answer.Header.Set(policyField, "connect-src *")
			answer.Header.Set("Cross-Origin-Embedder-Policy", "credentialless")
		case "/loop":
			answer.StatusCode = 302
			answer.Header.Set("Location", "/loop")
		case "/app":
			answer.StatusCode = 302
			answer.Header.Set("Location", "app://x")
		case "/down":
			return nil, errors.New("connection refused")
		}
		return answer, nil
	})}
	p, err := client.LoadPage(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if p.URL != app+"/home" || p.Status != 404 || len(p.Policies.Policies) != 2 || p.Embedding != fetch.Credentialless {
		t.Errorf("is %+v", p)
	}
	if want := []string{app + "/ navigate", app + "/home navigate"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for _, path := range []string{"/loop", "/app", "/down"} {
		if p, err := client.LoadPage(t.Context(), app+path); err == nil {
			t.Errorf("%s is %+v", path, p)
		}
	}
}
