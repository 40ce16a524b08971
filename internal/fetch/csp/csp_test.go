package csp_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
)

const self = "https://app.example.com"

func list(serialized ...string) csp.List {
	l := csp.List{SelfOrigin: self}
	for _, s := range serialized {
		l.Policies = append(l.Policies, csp.Parse(s))
	}
	return l
}

func request(t *testing.T, href, directive string) csp.Request {
	t.Helper()
	u, err := url.Parse(href)
	if err != nil {
		t.Fatal(err)
	}
	return csp.Request{URL: u, Directive: directive}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, policy string
		want         []csp.Directive
	}{
		{
			name:   "names in lower case, white space of all kinds",
			policy: " Connect-SRC\t'self'\fhttps: ;; img-src *;\n",
			want: []csp.Directive{
				{Name: "connect-src", Value: []string{"'self'", "https:"}, Text: "Connect-SRC\t'self'\fhttps:"},
				{Name: "img-src", Value: []string{"*"}, Text: "img-src *"},
			},
		},
		{
			name:   "the first of two of a name",
			policy: "connect-src 'none'; connect-src *",
			want:   []csp.Directive{{Name: "connect-src", Value: []string{"'none'"}, Text: "connect-src 'none'"}},
		},
		{
			name:   "no value",
			policy: "upgrade-insecure-requests",
			want:   []csp.Directive{{Name: "upgrade-insecure-requests", Value: []string{}, Text: "upgrade-insecure-requests"}},
		},
		{
			name:   "not ASCII",
			policy: "connect-src ü; img-src *",
			want:   []csp.Directive{{Name: "img-src", Value: []string{"*"}, Text: "img-src *"}},
		},
		{name: "nothing", policy: " ; ;"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := csp.Parse(test.policy).Directives
			if !slices.EqualFunc(got, test.want, func(a, b csp.Directive) bool {
				return a.Name == b.Name && a.Text == b.Text && slices.Equal(a.Value, b.Value)
			}) {
				t.Errorf("is %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestFromHeader(t *testing.T) {
	policies := csp.FromHeader(http.Header{
		"Content-Security-Policy":             {"img-src *, connect-src 'self'", "sandbox"},
		"Content-Security-Policy-Report-Only": {"font-src *,"},
	})
	var got []string
	for _, p := range policies {
		text := p.Directives[0].Text
		if p.ReportOnly {
			text += " (report)"
		}
		got = append(got, text)
	}
	if want := []string{"img-src *", "connect-src 'self'", "sandbox", "font-src * (report)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFromMeta(t *testing.T) {
	l := csp.List{SelfOrigin: self, Policies: []csp.Policy{csp.FromMeta("sandbox; connect-src 'none'; upgrade-insecure-requests")}}
	if !l.SandboxAllows("allow-scripts") {
		t.Error("sandbox counts")
	}
	if !l.UpgradesInsecureRequests() {
		t.Error("upgrade-insecure-requests does not count")
	}
	if got := l.Check(request(t, self, "connect-src")).Verdict; got != csp.Blocked {
		t.Errorf("connect-src is %d", got)
	}
}

// Which URLs a source expression matches, for a page of https://app.example.com.
func TestSourceExpressions(t *testing.T) {
	for _, test := range []struct {
		expression string
		matches    []string
		others     []string
	}{
		{
			expression: "*",
			matches:    []string{"https://a.test/", "http://a.test:8080/"},
		},
		{
			expression: "'none'",
			others:     []string{"https://app.example.com/"},
		},
		{
			expression: "'SELF'",
			matches:    []string{"https://app.example.com/x", "https://app.example.com:443/", "wss://app.example.com/"},
			others:     []string{"http://app.example.com/", "https://app.example.com:8443/", "https://example.com/", "https://a.app.example.com/"},
		},
		{
			expression: "https:",
			matches:    []string{"https://a.test/", "https://a.test:8443/"},
			others:     []string{"http://a.test/"},
		},
		{
			expression: "HTTP:",
			matches:    []string{"https://a.test/", "http://a.test/"},
		},
		{
			expression: "wss:",
			matches:    []string{"wss://a.test/", "https://a.test/"},
			others:     []string{"ws://a.test/", "http://a.test/"},
		},
		{
			expression: "ws://api.example.com",
			matches:    []string{"ws://api.example.com/", "wss://api.example.com/"},
			others:     []string{"wss://api.example.com:8443/"},
		},
		{
			expression: "https://api.example.com",
			matches:    []string{"https://api.example.com/"},
			others:     []string{"wss://api.example.com/"},
		},
		{
			expression: "api.example.com:443",
			matches:    []string{"https://api.example.com/"},
			others:     []string{"wss://api.example.com/", "ws://api.example.com/"},
		},
		{
			expression: "wss://api.example.com:443",
			matches:    []string{"wss://api.example.com/", "https://api.example.com/"},
			others:     []string{"ws://api.example.com/"},
		},
		{
			expression: "ftp:",
			others:     []string{"https://a.test/"},
		},
		{
			expression: "api.example.com",
			matches:    []string{"https://api.example.com/", "https://API.example.com/x"},
			others:     []string{"http://api.example.com/", "https://api.example.com:8443/", "https://a.api.example.com/", "https://example.com/"},
		},
		{
			expression: "*.example.com",
			matches:    []string{"https://a.example.com/", "https://b.a.example.com/"},
			others:     []string{"https://example.com/", "https://notexample.com/", "http://a.example.com/"},
		},
		{
			expression: "http://api.example.com",
			matches:    []string{"http://api.example.com/", "https://api.example.com/"},
			others:     []string{"https://api.example.com:8443/"},
		},
		{
			expression: "http://api.example.com:80",
			matches:    []string{"http://api.example.com/", "https://api.example.com/"},
			others:     []string{"http://api.example.com:8080/"},
		},
		{
			expression: "https://api.example.com:443",
			matches:    []string{"https://api.example.com/"},
			others:     []string{"http://api.example.com/", "https://api.example.com:8443/"},
		},
		{
			expression: "api.example.com:*",
			matches:    []string{"https://api.example.com/", "https://api.example.com:8443/"},
			others:     []string{"http://api.example.com:8080/"},
		},
		{
			expression: "https://*:8443",
			matches:    []string{"https://a.test:8443/"},
			others:     []string{"https://a.test/"},
		},
		{
			expression: "https://api.example.com/v1/",
			matches:    []string{"https://api.example.com/v1/", "https://api.example.com/v1/x/y", "https://api.example.com/%761/x"},
			others:     []string{"https://api.example.com/v1", "https://api.example.com/v2/", "https://api.example.com/"},
		},
		{
			expression: "https://api.example.com/v1/x",
			matches:    []string{"https://api.example.com/v1/x", "https://api.example.com/v1/x?y"},
			others:     []string{"https://api.example.com/v1/x/", "https://api.example.com/v1/X"},
		},
		{
			expression: "https://api.example.com/v1?query#fragment",
			matches:    []string{"https://api.example.com/v1", "https://api.example.com/v1?x"},
		},
		{
			expression: "127.0.0.1:8080",
			matches:    []string{"https://127.0.0.1:8080/"},
		},
		{
			expression: "api.example.com:x",
			others:     []string{"https://api.example.com/"},
		},
		{
			expression: "https://",
			others:     []string{"https://api.example.com/"},
		},
		{
			expression: "//api.example.com",
			others:     []string{"https://api.example.com/"},
		},
		{
			expression: "api..example.com",
			others:     []string{"https://api.example.com/"},
		},
	} {
		l := list("connect-src " + test.expression)
		for _, href := range test.matches {
			if l.Check(request(t, href, "connect-src")).Verdict != csp.Allowed {
				t.Errorf("%s does not match %s", test.expression, href)
			}
		}
		for _, href := range test.others {
			if l.Check(request(t, href, "connect-src")).Verdict != csp.Blocked {
				t.Errorf("%s matches %s", test.expression, href)
			}
		}
	}
}

// After a redirect, a path does not count, so that nobody learns where it has led to.
func TestPathAfterRedirect(t *testing.T) {
	l := list("connect-src https://api.example.com/v1/")
	r := request(t, "https://api.example.com/v2/", "connect-src")
	if l.Check(r).Verdict != csp.Blocked {
		t.Error("another path matches")
	}
	if r.Redirects = 1; l.Check(r).Verdict != csp.Allowed {
		t.Error("another path does not match after a redirect")
	}
}

// In some browsers, sources for WebSockets are for WebSockets alone.
func TestOwnSchemes(t *testing.T) {
	l := list("connect-src wss://api.example.com")
	for href, want := range map[string]csp.Verdict{"https://api.example.com/": csp.Blocked, "wss://api.example.com/": csp.Allowed} {
		r := request(t, href, "connect-src")
		r.OwnSchemes = true
		if got := l.Check(r).Verdict; got != want {
			t.Errorf("%s is %d, want %d", href, got, want)
		}
	}
}

// 'self' of a page over http has the same host over https, too.
func TestSelfIsUpgraded(t *testing.T) {
	for _, test := range []struct {
		self, href string
		want       csp.Verdict
	}{
		{"http://app.example.com", "https://app.example.com/", csp.Allowed},
		{"http://app.example.com:8080", "https://app.example.com:8080/", csp.Allowed},
		{"http://app.example.com:8080", "https://app.example.com/", csp.Blocked},
		{"https://app.example.com", "http://app.example.com/", csp.Blocked},
	} {
		l := csp.List{SelfOrigin: test.self, Policies: []csp.Policy{csp.Parse("default-src 'self'")}}
		if got := l.Check(request(t, test.href, "connect-src")).Verdict; got != test.want {
			t.Errorf("%s from %s is %d, want %d", test.href, test.self, got, test.want)
		}
	}
}

// Which directive decides, and what several policies say together.
func TestCheck(t *testing.T) {
	const api = "https://api.example.com/"
	for _, test := range []struct {
		name      string
		policies  []string
		directive string
		want      csp.Verdict
		because   string
	}{
		{name: "no policy", directive: "connect-src"},
		{name: "a policy of something else", policies: []string{"img-src 'none'; frame-ancestors 'none'"}, directive: "connect-src"},
		{name: "the directive itself", policies: []string{"default-src 'none'; connect-src *"}, directive: "connect-src"},
		{name: "default-src in its place", policies: []string{"default-src 'self'"}, directive: "font-src", want: csp.Blocked, because: "default-src 'self'"},
		{name: "no value is 'none'", policies: []string{"connect-src"}, directive: "connect-src", want: csp.Blocked, because: "connect-src"},
		{name: "'none' beside others means nothing", policies: []string{"connect-src 'none' https:"}, directive: "connect-src"},
		{
			name: "script-src-elem before script-src", policies: []string{"script-src 'none'; script-src-elem https:"},
			directive: "script-src-elem",
		},
		{
			name: "script-src before default-src", policies: []string{"script-src 'self'; default-src *"},
			directive: "script-src-elem", want: csp.Blocked, because: "script-src 'self'",
		},
		{
			name: "style-src in place of style-src-elem", policies: []string{"style-src 'self'"},
			directive: "style-src-elem", want: csp.Blocked, because: "style-src 'self'",
		},
		{name: "script-src is not for images", policies: []string{"script-src 'none'"}, directive: "img-src"},
		{
			name: "all policies have to allow it", policies: []string{"connect-src *", "connect-src 'self'"},
			directive: "connect-src", want: csp.Blocked, because: "connect-src 'self'",
		},
		{
			name: "a nonce", policies: []string{"script-src 'nonce-abc'"},
			directive: "script-src-elem", want: csp.Conditional, because: "script-src 'nonce-abc'",
		},
		{name: "a nonce is not needed where the URL matches", policies: []string{"script-src 'nonce-abc' https:"}, directive: "script-src-elem"},
		{
			name: "'strict-dynamic' passes over URLs", policies: []string{"script-src 'strict-dynamic' https:"},
			directive: "script-src-elem", want: csp.Conditional, because: "script-src 'strict-dynamic' https:",
		},
		{
			name: "a hash", policies: []string{"script-src 'SHA256-abc'"},
			directive: "script-src-elem", want: csp.Conditional, because: "script-src 'SHA256-abc'",
		},
		{
			name: "a nonce of a style", policies: []string{"style-src 'nonce-abc'"},
			directive: "style-src-elem", want: csp.Conditional, because: "style-src 'nonce-abc'",
		},
		{
			name: "a nonce means nothing to a connection", policies: []string{"connect-src 'nonce-abc'"},
			directive: "connect-src", want: csp.Blocked, because: "connect-src 'nonce-abc'",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := list(test.policies...).Check(request(t, api, test.directive))
			if got.Verdict != test.want || got.Directive.Text != test.because {
				t.Errorf("is %d because of %q, want %d because of %q", got.Verdict, got.Directive.Text, test.want, test.because)
			}
		})
	}
}

func TestReportOnly(t *testing.T) {
	l := csp.List{SelfOrigin: self, Policies: csp.FromHeader(http.Header{
		"Content-Security-Policy-Report-Only": {"connect-src 'none'; sandbox; upgrade-insecure-requests"},
	})}
	r := request(t, "https://api.example.com/", "connect-src")
	if got := l.Check(r).Verdict; got != csp.Allowed {
		t.Errorf("it is %d", got)
	}
	if got := l.CheckReportOnly(r).Verdict; got != csp.Blocked {
		t.Errorf("the report is %d", got)
	}
	if l.UpgradesInsecureRequests() || !l.SandboxAllows("allow-scripts") {
		t.Error("it upgrades, or has a sandbox")
	}
}

func TestSandbox(t *testing.T) {
	for _, test := range []struct {
		policies []string
		token    string
		want     bool
	}{
		{nil, "allow-scripts", true},
		{[]string{"sandbox"}, "allow-scripts", false},
		{[]string{"sandbox Allow-Scripts"}, "allow-scripts", true},
		{[]string{"sandbox allow-scripts"}, "allow-same-origin", false},
		{[]string{"sandbox allow-scripts allow-same-origin", "sandbox allow-scripts"}, "allow-same-origin", false},
	} {
		if got := list(test.policies...).SandboxAllows(test.token); got != test.want {
			t.Errorf("%q allow %s: %t, want %t", test.policies, test.token, got, test.want)
		}
	}
}
