package policy

import (
	"strings"
	"testing"
	"time"
)

// only compiles options that are meant to be right, to the one policy there is.
func only(t testing.TB, o Options) *Policies {
	t.Helper()
	return NewPolicies(compile(t, o))
}

func compile(t testing.TB, o Options) *Policy {
	t.Helper()
	if o.MaxAge == 0 {
		o.MaxAge = 10 * time.Minute
	}
	p, problems, _ := Compile(o)
	for _, problem := range problems {
		t.Error(problem)
	}
	if len(problems) > 0 {
		t.FailNow()
	}
	return p
}

func actual(origins ...string) Request {
	return NewRequest("GET", "api.example.com", map[string][]string{"Origin": origins})
}

func preflight(origin, method string, headers ...string) Request {
	return preflightOf(map[string][]string{
		"Origin": {origin}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": headers,
	})
}

func preflightOf(header map[string][]string) Request {
	return NewRequest("OPTIONS", "api.example.com", header)
}

const app = "https://app.example.com"

func TestDecideOrigin(t *testing.T) {
	one := Options{AllowOrigins: []string{app}}
	everyone := Options{AllowOrigins: []string{"*"}}
	echo := Options{AllowOrigins: []string{"*"}, AllowCredentials: true, Insecure: []string{"any_origin_with_credentials"}}
	regexps := Options{AllowOriginsRegexp: []string{`https://pr-[0-9]+\.example\.com`, `.*\.regexp\.test.*`, `(?i)https://CASE\.test`, `https://a\.test|https://b\.test`, `(?m)https://lines\.test`}}
	null := Options{AllowOrigins: []string{"null", app}}
	schemes := Options{AllowOriginsRegexp: []string{`https?://x\.(example\.com|localhost)`}}
	credentials := Options{AllowOriginsRegexp: schemes.AllowOriginsRegexp, AllowCredentials: true}
	knowingly := Options{AllowOriginsRegexp: schemes.AllowOriginsRegexp, AllowCredentials: true, Insecure: []string{"http_origin_with_credentials"}}

	tests := []struct {
		name        string
		options     Options
		request     Request
		outcome     Outcome
		reason      Reason
		allowOrigin string
	}{
		{"a listed origin", one, actual(app), Allowed, "", app},
		{"another origin", one, actual("https://other.example.com"), Denied, OriginNotAllowed, ""},
		{"a listed origin as a prefix", one, actual(app + ".evil.com"), Denied, OriginNotAllowed, ""},
		{"a listed origin as a suffix", one, actual("https://evilapp.example.com"), Denied, OriginNotAllowed, ""},
		{"a listed origin on http", one, actual("http://app.example.com"), Denied, OriginNotAllowed, ""},
		{"a listed origin in upper case", one, actual("https://APP.example.com"), Denied, OriginInvalid, ""},
		{"a listed origin with a slash", one, actual(app + "/"), Denied, OriginInvalid, ""},
		{"no origin", one, actual(), NoOrigin, "", ""},
		{"an empty origin", one, actual(""), Denied, OriginInvalid, ""},
		{"two origins, both listed", one, actual(app, app), Denied, OriginInvalid, ""},
		{"bytes that are not text", one, actual("https://\xff\x00\x80"), Denied, OriginInvalid, ""},
		{"null", one, actual("null"), Denied, OriginNull, ""},
		{"null, listed", null, actual("null"), Allowed, "", "null"},
		{"Null, when null is listed", null, actual("Null"), Denied, OriginInvalid, ""},

		{"everyone: any origin", everyone, actual(app), Allowed, "", "*"},
		{"everyone: null", everyone, actual("null"), Allowed, "", "*"},
		{"everyone: no origin", everyone, actual(), NoOrigin, "", "*"},
		{"everyone: what is not an origin", everyone, actual("x y"), Allowed, "", "*"},
		{"everyone: two origins", everyone, actual(app, app), Allowed, "", "*"},

		{"everyone with credentials: any origin is echoed", echo, actual(app), Allowed, "", app},
		{"everyone with credentials: not null", echo, actual("null"), Denied, OriginNull, ""},
		{"everyone with credentials: not what is not an origin", echo, actual("https://x/"), Denied, OriginInvalid, ""},
		{"everyone with credentials: no origin", echo, actual(), NoOrigin, "", ""},

		{"regexp", regexps, actual("https://pr-17.example.com"), Allowed, "", "https://pr-17.example.com"},
		{"regexp, with more behind", regexps, actual("https://pr-17.example.com.evil.com"), Denied, OriginNotAllowed, ""},
		{"regexp, with more before", regexps, actual("https://evil.https://pr-17.example.com"), Denied, OriginInvalid, ""},
		{"regexp, first alternative with more behind", regexps, actual("https://a.test.evil.com"), Denied, OriginNotAllowed, ""},
		{"regexp, second alternative", regexps, actual("https://b.test"), Allowed, "", "https://b.test"},
		{"regexp that would take what is not an origin", regexps, actual("https://x.regexp.test/path"), Denied, OriginInvalid, ""},
		{"regexp that ignores case still meets lower case", regexps, actual("https://case.test"), Allowed, "", "https://case.test"},
		{"regexp of both schemes, http", schemes, actual("http://x.example.com"), Allowed, "", "http://x.example.com"},
		{"regexp of both schemes, http with credentials", credentials, actual("http://x.example.com"), Denied, OriginNotAllowed, ""},
		{"regexp of both schemes, https with credentials", credentials, actual("https://x.example.com"), Allowed, "", "https://x.example.com"},
		{"regexp of both schemes, loopback with credentials", credentials, actual("http://x.localhost"), Allowed, "", "http://x.localhost"},
		{"regexp of both schemes, http with credentials, knowingly", knowingly, actual("http://x.example.com"), Allowed, "", "http://x.example.com"},
		{"regexp with flags, a line of several", regexps, actual("https://lines.test\nhttps://evil.com"), Denied, OriginInvalid, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := only(t, test.options).Decide(&test.request)
			if d.Outcome != test.outcome || d.Reason != test.reason || d.AllowOrigin != test.allowOrigin {
				t.Errorf("got %s %s %q, want %s %s %q", d.Outcome, d.Reason, d.AllowOrigin, test.outcome, test.reason, test.allowOrigin)
			}
		})
	}
}

func TestDecideSameOrigin(t *testing.T) {
	p := only(t, Options{AllowOrigins: []string{app}})
	tests := []struct {
		name      string
		origin    string
		host      string
		fetchSite []string
		preflight bool
		want      Outcome
	}{
		{"the browser says so", "https://api.example.com", "backend:9000", []string{"same-origin"}, false, SameOrigin},
		{"the browser says so of an opaque Origin", "null", "backend:9000", []string{"same-origin"}, false, SameOrigin},
		{"the browser says otherwise", "http://api.example.com", "api.example.com", []string{"cross-site"}, false, Denied},
		{"the browser says same-site", "https://api.example.com", "api.example.com", []string{"same-site"}, false, Denied},
		{"the host says so", "https://api.example.com", "api.example.com", nil, false, SameOrigin},
		{"the host says so, with the default port", "https://api.example.com", "api.example.com:443", nil, false, SameOrigin},
		{"the port differs", "https://api.example.com:8443", "api.example.com", nil, false, Denied},
		{"an opaque Origin, and the browser says nothing", "null", "", nil, false, Denied},
		{"neither an origin nor a host", "", "", nil, false, Denied},
		{"listed", app, "app.example.com", []string{"same-origin"}, false, Allowed},
		{"a preflight is never same-origin", "https://api.example.com", "api.example.com", []string{"same-origin"}, true, Denied},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := map[string][]string{"Origin": {test.origin}, "Sec-Fetch-Site": test.fetchSite, "Access-Control-Request-Method": {"GET"}}
			r := NewRequest(map[bool]string{false: "GET", true: "OPTIONS"}[test.preflight], test.host, header)
			if d := p.Decide(&r); d.Outcome != test.want || d.Outcome == SameOrigin && d.AllowOrigin != "" {
				t.Errorf("got %s %q, want %s", d.Outcome, d.AllowOrigin, test.want)
			}
		})
	}
}

// What is refused: the table of e2e has it through a server, for more requests.
func TestDecideEnforce(t *testing.T) {
	const evil = "https://evil.com"
	type fields = map[string]string
	for _, test := range []struct {
		name        string
		method      string
		header      fields
		outcome     Outcome
		all, unsafe bool // whether it is refused
	}{
		{"an allowed origin", "POST", fields{"Origin": app, "Sec-Fetch-Site": "cross-site"}, Allowed, false, false},
		{"another origin's POST", "POST", fields{"Origin": evil, "Sec-Fetch-Site": "cross-site"}, Denied, true, true},
		{"another origin's POST, of an old browser", "POST", fields{"Origin": evil}, Denied, true, true},
		{"another origin's GET", "GET", fields{"Origin": evil, "Sec-Fetch-Mode": "cors"}, Denied, true, false},
		{"another origin's OPTIONS", "OPTIONS", fields{"Origin": evil}, Denied, true, false},
		{"another origin's TRACE", "TRACE", fields{"Origin": evil}, Denied, true, false},
		{"another origin's image", "GET", fields{"Origin": evil, "Sec-Fetch-Mode": "no-cors"}, NoCORS, false, false},
		{"another origin's frame", "GET", fields{"Origin": evil, "Sec-Fetch-Mode": "navigate"}, NoCORS, false, false},
		{"another origin's HEAD", "HEAD", fields{"Origin": evil, "Sec-Fetch-Mode": "no-cors"}, NoCORS, false, false},
		{"an opaque origin's image", "GET", fields{"Origin": "null", "Sec-Fetch-Mode": "no-cors"}, NoCORS, false, false},
		{"another origin's form", "POST", fields{"Origin": evil, "Sec-Fetch-Mode": "navigate"}, Denied, true, true},
		{"another origin's WebSocket", "GET", fields{"Origin": evil, "Sec-Fetch-Mode": "no-cors", "Upgrade": "WebSocket"}, Denied, true, true},
		{"another origin's WebSocket over HTTP/2", "CONNECT", fields{"Origin": evil}, Denied, true, true},
		{"an allowed origin's WebSocket", "GET", fields{"Origin": app, "Upgrade": "websocket"}, Allowed, false, false},
		{"a form of the own page", "POST", fields{"Origin": "null", "Sec-Fetch-Site": "same-origin"}, SameOrigin, false, false},
		{"the own page, of an old browser", "POST", fields{"Origin": "https://api.example.com"}, SameOrigin, false, false},
		{"the own page on a host that does not parse", "POST", fields{"Origin": "http://-_..example.com:8080", "Host": "-_..example.com:8080"}, SameOrigin, false, false},
		{"the own page on a host in another case", "POST", fields{"Origin": "https://api.example.com", "Host": "API.example.com"}, SameOrigin, false, false},
		{"no origin, no site: not a browser", "POST", nil, NoOrigin, false, false},
		{"no origin, by the person", "POST", fields{"Sec-Fetch-Site": "none"}, NoOrigin, false, false},
		{"no origin, the own page", "POST", fields{"Sec-Fetch-Site": "same-origin"}, NoOrigin, false, false},
		{"no origin, another site", "GET", fields{"Sec-Fetch-Site": "cross-site"}, NoOrigin, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := map[string][]string{}
			host := "api.example.com"
			for name, value := range test.header {
				if name == "Host" {
					host = value
				} else {
					h[name] = []string{value}
				}
			}
			ps := only(t, Options{AllowOrigins: []string{app}})
			for e, refused := range map[Enforcement]bool{EnforceNothing: false, EnforceAll: test.all, EnforceUnsafe: test.unsafe} {
				r := NewRequest(test.method, host, h)
				if d := ps.Enforcing(e).Decide(&r); d.Outcome != test.outcome || d.Refused != refused {
					t.Errorf("enforce %q: %s, refused: %v; want %s, %v", e, d.Outcome, d.Refused, test.outcome, refused)
				}
				r.Exempt = true
				outcome := test.outcome
				if test.name == "another origin's form" { // a sign-in that comes back is not one to log
					outcome = NoCORS
				}
				if d := ps.Enforcing(e).Decide(&r); d.Outcome != outcome || d.Refused {
					t.Errorf("enforce %q, exempt: %s, refused: %v", e, d.Outcome, d.Refused)
				}
			}
		})
	}
}

// Where only forgery is refused, who says that another site asks has to say which; and what the person has started by hand
// is the person's own.
func TestDecideEnforceUnsafeBySite(t *testing.T) {
	ps := only(t, Options{AllowOrigins: []string{app}}).Enforcing(EnforceUnsafe)
	for site, want := range map[string]Outcome{"cross-site": Denied, "same-site": Denied, "": NoOrigin, "none": NoOrigin, "same-origin": NoOrigin} {
		r := NewRequest("POST", "api.example.com", map[string][]string{"Sec-Fetch-Site": {site}})
		if d := ps.Decide(&r); d.Outcome != want || d.Refused != (want == Denied) {
			t.Errorf("no origin, %q: %s, refused: %v", site, d.Outcome, d.Refused)
		}
	}
	r := NewRequest("POST", "api.example.com", map[string][]string{"Origin": {"https://evil.com"}, "Sec-Fetch-Site": {"none"}})
	if d := ps.Decide(&r); d.Outcome != SameOrigin {
		t.Errorf("none: %s", d.Outcome)
	}
	if d := ps.Enforcing(EnforceAll).Decide(&r); d.Outcome != Denied {
		t.Errorf("none, enforce: %s", d.Outcome)
	}
}

func TestDecidePreflight(t *testing.T) {
	lists := Options{
		AllowOrigins: []string{app},
		AllowMethods: []string{"GET", "PUT", "M-SEARCH"},
		AllowHeaders: []string{"X-One", "content-type"},
	}
	pattern := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X-Amz-Meta-*", "Auth*"}}
	anything := Options{AllowOrigins: []string{app}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}}
	anythingAndAuthorization := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"*", "Authorization"}}
	anythingWithCredentials := Options{AllowOrigins: []string{app}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}, AllowCredentials: true}
	allWithCredentials := Options{AllowOrigins: []string{app}, AllowMethods: []string{"PUT", "*"}, AllowHeaders: []string{"Authorization", "*"}, AllowCredentials: true}
	nothing := Options{AllowOrigins: []string{app}}

	tests := []struct {
		name    string
		options Options
		request Request
		reason  Reason
		detail  string
	}{
		{"a listed method", lists, preflight(app, "PUT"), "", ""},
		{"a listed method of no standard", lists, preflight(app, "M-SEARCH"), "", ""},
		{"a safelisted method that is not listed", nothing, preflight(app, "POST"), "", ""},
		{"HEAD", nothing, preflight(app, "HEAD"), "", ""},
		{"a method that is not listed", lists, preflight(app, "DELETE"), MethodNotAllowed, "DELETE"},
		{"a listed method in lower case", lists, preflight(app, "put"), MethodNotAllowed, "put"},
		{"a safelisted method in lower case", lists, preflight(app, "get"), MethodNotAllowed, "get"},
		{"an empty method", lists, preflight(app, ""), MethodNotAllowed, ""},
		{"two methods", lists, preflightOf(map[string][]string{"Origin": {app}, "Access-Control-Request-Method": {"PUT", "PUT"}}), MethodNotAllowed, "PUT"},
		{"two methods in one line", lists, preflight(app, "GET, PUT"), MethodNotAllowed, "GET, PUT"},

		{"listed headers", lists, preflight(app, "GET", "content-type,x-one"), "", ""},
		{"listed headers in another case", lists, preflight(app, "GET", "CONTENT-TYPE,X-one"), "", ""},
		{"listed headers with blanks and empty elements", lists, preflight(app, "GET", " ,\t,content-type ,, x-one\t, "), "", ""},
		{"listed headers in two lines", lists, preflight(app, "GET", "content-type", "", "x-one"), "", ""},
		{"no headers, said so", lists, preflight(app, "GET", ""), "", ""},
		{"a header that is not listed", lists, preflight(app, "GET", "x-one,x-two"), HeaderNotAllowed, "x-two"},
		{"a header that is not listed, in the second line", lists, preflight(app, "GET", "x-one", "x-two"), HeaderNotAllowed, "x-two"},
		{"headers separated by blanks", lists, preflight(app, "GET", "x-one content-type"), HeaderNotAllowed, "x-one content-type"},
		{"method and header: the method is named", lists, preflight(app, "DELETE", "x-two"), MethodNotAllowed, "DELETE"},
		{"a star in the request is not a wildcard", lists, preflight(app, "*", "*"), MethodNotAllowed, "*"},

		{"any method", anything, preflight(app, "DELETE"), "", ""},
		{"any method, but none that no script can use", anything, preflight(app, "TRACE"), MethodNotAllowed, "TRACE"},
		{"any method, but no bytes that are none", anything, preflight(app, "A B"), MethodNotAllowed, "A B"},
		{"any header", anything, preflight(app, "GET", "x-anything"), "", ""},
		{"any header, but not Authorization", anything, preflight(app, "GET", "authorization,x-anything"), HeaderNotAllowed, "authorization"},
		{"any header, but no bytes that are none", anything, preflight(app, "GET", "x-\xff"), HeaderNotAllowed, "x-\xff"},
		{"any header, but not the name *", anything, preflight(app, "GET", "x-one,*"), HeaderNotAllowed, "*"},
		{"any method, but not the name *", anything, preflight(app, "*"), MethodNotAllowed, "*"},
		{"headers of a pattern", pattern, preflight(app, "GET", "x-amz-meta-a,X-AMZ-META-B"), "", ""},
		{"a header that is the start of a pattern", pattern, preflight(app, "GET", "x-amz-meta-"), "", ""},
		{"a header that starts otherwise", pattern, preflight(app, "GET", "x-amz-met"), HeaderNotAllowed, "x-amz-met"},
		{"a header of a pattern that is not a name", pattern, preflight(app, "GET", "x-amz-meta-\x00"), HeaderNotAllowed, "x-amz-meta-\x00"},
		{"a pattern does not cover Authorization", pattern, preflight(app, "GET", "authorization"), HeaderNotAllowed, "authorization"},
		{"any header, and Authorization", anythingAndAuthorization, preflight(app, "GET", "authorization,x-anything"), "", ""},

		{"with credentials: what is asked for", anythingWithCredentials, preflight(app, "DELETE", "x-a,x-b"), "", ""},
		{"with credentials: nothing asked for", anythingWithCredentials, preflight(app, "GET"), "", ""},
		{"with credentials: not Authorization", anythingWithCredentials, preflight(app, "GET", "authorization,x-a"), HeaderNotAllowed, "authorization"},
		{"with credentials: what is listed and what is asked for", allWithCredentials, preflight(app, "DELETE", "x-a"), "", ""},
		{"with credentials: no forbidden method", allWithCredentials, preflight(app, "CONNECT"), MethodNotAllowed, "CONNECT"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := only(t, test.options).Decide(&test.request)
			outcome := Denied
			if test.reason == "" {
				outcome = Allowed
			}
			if d.Outcome != outcome || d.Reason != test.reason || d.Detail != test.detail || d.AllowOrigin != app {
				t.Errorf("got %s %s %q, want %s %s %q", d.Outcome, d.Reason, d.Detail, outcome, test.reason, test.detail)
			}
		})
	}
}

func TestDecidePrivateNetwork(t *testing.T) {
	ask := preflightOf(map[string][]string{
		"Origin": {app}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Private-Network": {"true"},
	})
	if d := only(t, Options{AllowOrigins: []string{app}}).Decide(&ask); d.Reason != PrivateNetworkNotAllowed || d.Outcome != Denied {
		t.Errorf("without allow_private_network: %s %s", d.Outcome, d.Reason)
	}
	if d := only(t, Options{AllowOrigins: []string{app}, AllowPrivateNetwork: true}).Decide(&ask); d.Outcome != Allowed {
		t.Errorf("with allow_private_network: %s %s", d.Outcome, d.Reason)
	}
}

// More than 4 KiB of names, or more than 256 separators in a row, is refused whatever the list.
func TestDecideBoundsHeaderNames(t *testing.T) {
	any := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"*"}}
	listed := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X"}}
	names := func(n int) string { return strings.Repeat("x,", n) }
	for _, test := range []struct {
		name    string
		options Options
		headers []string
		outcome Outcome
	}{
		{"4096 bytes of names", any, []string{names(4096)}, Allowed},
		{"4097 bytes of names", any, []string{names(4096), "x"}, Denied},
		{"4096 bytes of a listed name", listed, []string{names(4096)}, Allowed},
		{"4097 bytes of a listed name", listed, []string{names(4096), "x"}, Denied},
		{"128 empty elements", any, []string{strings.Repeat(", ", 128) + "x-a"}, Allowed},
		{"a megabyte of commas", any, []string{strings.Repeat(", ", 500_000) + "x-a"}, Denied},
	} {
		r := preflight(app, "GET", test.headers...)
		if d := only(t, test.options).Decide(&r); d.Outcome != test.outcome {
			t.Errorf("%s: %s %s, want %s", test.name, d.Outcome, d.Reason, test.outcome)
		}
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	p := only(t, Options{
		AllowOrigins:       []string{app, "https://*.example.org", "http://localhost:*"},
		AllowOriginsRegexp: []string{`https://pr-[0-9]+\.example\.com`},
		AllowMethods:       []string{"PUT"}, AllowHeaders: []string{"X-One", "X-Two"},
	})
	for name, r := range map[string]Request{
		"allowed":          actual(app),
		"a subdomain":      actual("https://a.b.example.org"),
		"denied":           actual("https://evil.com"),
		"invalid":          actual(strings.Repeat("x", 60_000)),
		"many labels":      actual("https://" + strings.Repeat("a.", 120) + "com"),
		"preflight":        preflight(app, "PUT", "X-ONE,x-two"),
		"a megabyte":       preflight(app, "PUT", strings.Repeat(",", 1<<20)),
		"blanks":           preflight(app, "PUT", strings.Repeat(" ", 1<<20)),
		"a long name":      preflight(app, "PUT", strings.Repeat("x", 1<<20)),
		"thousands":        preflight(app, "PUT", strings.Repeat("x-one,", 200_000)),
		"thousands, lines": preflight(app, "PUT", make([]string, 10_000)...),
	} {
		if n := testing.AllocsPerRun(5, func() { p.Decide(&r) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// replacer resolves each template to one text.
type replacer map[string]string

func (r replacer) ReplaceAll(template, _ string) string { return r[template] }

// An origin that is known per request only is compared exactly, and never widens.
func TestDecidePlaceholder(t *testing.T) {
	p := only(t, Options{AllowOrigins: []string{"{http.vars.origin}"}})
	for _, test := range []struct {
		resolved, origin string
		want             Outcome
	}{
		{app, app, Allowed},
		{app, "https://other.example.com", Denied},
		{"", "", Denied},
		{"*", "*", Denied},
		{"*", app, Denied},
		{"null", "null", Denied},
		{"https://*.example.com", app, Denied},
		{"https://*", app, Denied},
		{app + "," + app, app, Denied},
		{app + "/", app + "/", Denied},
		{"https://APP.example.com", app, Denied},
	} {
		r := actual(test.origin)
		r.Placeholders = replacer{"{http.vars.origin}": test.resolved}
		if d := p.Decide(&r); d.Outcome != test.want {
			t.Errorf("resolved to %q, from %q: %s, want %s", test.resolved, test.origin, d.Outcome, test.want)
		}
	}
}

// The names that a preflight asks for are kept where they are names, and few enough to be kept of many requests.
func TestHeaderNames(t *testing.T) {
	many := strings.TrimSuffix(strings.Repeat("x,", 32), ",")
	long := strings.Repeat("x", 512)
	for _, test := range []struct {
		lines []string
		want  int
	}{
		{nil, 0},
		{[]string{"x-a"}, 1},
		{[]string{" x-a ,, X-B\t", "x-c"}, 3},
		{[]string{"x-a, not a name"}, 0},
		{[]string{many}, 32},
		{[]string{many + ",x"}, 0},
		{[]string{long}, 1},
		{[]string{long, "x"}, 0},
	} {
		r := NewRequest("OPTIONS", "api.example.com", map[string][]string{
			"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Headers": test.lines,
		})
		if got := r.HeaderNames(); len(got) != test.want {
			t.Errorf("%.40q: they are %q, want %d", test.lines, got, test.want)
		}
	}
}
