package policy

import (
	"slices"
	"strings"
	"testing"
)

// add takes a line of a fix into the options, as the directive would.
func (o *Options) add(t testing.TB, line Line) {
	t.Helper()
	into := map[string]*[]string{
		"allow_origins": &o.AllowOrigins, "allow_methods": &o.AllowMethods, "allow_headers": &o.AllowHeaders, "insecure": &o.Insecure,
	}[line.Option]
	switch {
	case into != nil:
		*into = append(slices.Clone(*into), line.Values...)
	case line.Option == "allow_private_network" && len(line.Values) == 0:
		o.AllowPrivateNetwork = true
	default:
		t.Fatalf("no line of a cors block: %q", line)
	}
}

// form is a request that a page of another site makes of the path with a form.
func form(path string) Request {
	r := NewRequest("POST", "api.example.com", map[string][]string{"Origin": {"https://idp.example"}, "Sec-Fetch-Mode": {"navigate"}})
	r.Path = path
	return r
}

// The suggested lines are accepted, and with them the same request is allowed. Where no line can do that, there is advice.
func TestFix(t *testing.T) {
	one := Options{AllowOrigins: []string{app}}
	credentials := Options{AllowOrigins: []string{app}, AllowCredentials: true}
	insecure := Options{AllowOrigins: []string{app, "http://intranet.example.com"}, AllowCredentials: true, Insecure: []string{string(HTTPOrigin)}}
	anything := Options{AllowOrigins: []string{app}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}}
	lists := Options{AllowOrigins: []string{app}, AllowMethods: []string{"PATCH"}, AllowHeaders: []string{"X-One"}}
	short := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X"}}
	twice := preflightOf(map[string][]string{"Origin": {app}, "Access-Control-Request-Method": {"PATCH", "PATCH"}})
	network := preflightOf(map[string][]string{
		"Origin": {app}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Private-Network": {"true"},
	})
	all := preflightOf(map[string][]string{
		"Origin": {app}, "Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {"x-two"},
		"Access-Control-Request-Private-Network": {"true"},
	})
	long := strings.Repeat("x", maxLine)

	tests := []struct {
		name    string
		options Options
		request Request
		lines   []string
		advice  string // words of it
	}{
		{"an origin", one, actual("https://other.example.com"), []string{"allow_origins https://other.example.com"}, ""},
		{"an origin with a port", one, actual("http://localhost:3000"), []string{"allow_origins http://localhost:3000"}, ""},
		{"an origin of IPv6", one, actual("http://[::1]:3000"), []string{"allow_origins http://[::1]:3000"}, ""},
		{"an origin of an app", one, actual("capacitor://localhost"), []string{"allow_origins capacitor://localhost"}, ""},
		{"an http origin", one, actual("http://app.example.com"), []string{"allow_origins http://app.example.com"}, ""},
		{"an http origin, with credentials", credentials, actual("http://app.example.com"), []string{"allow_origins http://app.example.com", "insecure http_origin_with_credentials"}, ""},
		{"an http origin, where the risk is taken already", insecure, actual("http://app.example.com"), []string{"allow_origins http://app.example.com"}, ""},
		{"an http origin of this machine, with credentials", credentials, actual("http://127.0.0.1:8080"), []string{"allow_origins http://127.0.0.1:8080"}, ""},
		{"a form of another site", one, form("/saml/acs"), nil, "enforce_except /saml/acs"},
		{"a form of another site, on a path that is not plain", one, form("/a b"), nil, "enforce_except, with the path"},
		{"an origin of a long scheme", one, actual(long + "://x"), nil, "No browser"},
		{"null", one, actual("null"), nil, "opaque"},
		{"no origin at all", one, actual("app.example.com"), nil, "No browser"},
		{"an empty origin", one, actual(""), nil, "No browser"},
		{"an app's file", one, actual("file://"), nil, "from a file"},
		{"two origins", one, actual(app, app), nil, "more than one Origin"},

		{"a method", one, preflight(app, "PUT"), []string{"allow_methods PUT"}, ""},
		{"a method of no standard", one, preflight(app, "Foo"), []string{"allow_methods Foo"}, ""},
		{"a method that starts like a comment", one, preflight(app, "#x"), []string{`allow_methods "#x"`}, ""},
		{"a method in the wrong case", one, preflight(app, "patch"), nil, `"PATCH", and add: allow_methods PATCH`},
		{"a method in the wrong case, which is allowed", lists, preflight(app, "patch"), nil, `"PATCH", which is allowed`},
		{"a method in a case that browsers mend", one, preflight(app, "put"), nil, "another program"},
		{"a method that would be a wildcard", one, preflight(app, "*"), nil, "not one that can be allowed"},
		{"no method at all", one, preflight(app, "A B"), nil, "not one that can be allowed"},
		{"an empty method", one, preflight(app, ""), nil, "not one that can be allowed"},
		{"a forbidden method", anything, preflight(app, "trace"), nil, "No script can use the method TRACE"},
		{"two methods", lists, twice, nil, "more than one Access-Control-Request-Method"},
		{"a long method", one, preflight(app, long), nil, "too long"},

		{"a header", one, preflight(app, "GET", "x-foo"), []string{"allow_headers x-foo"}, ""},
		{"headers, in lines and twice", lists, preflight(app, "GET", "x-one, x-two", "X-Two,content-type"), []string{"allow_headers x-two, content-type"}, ""},
		{"a header that starts like a comment", one, preflight(app, "GET", "#`"), []string{"allow_headers \"#`\""}, ""},
		{"authorization, which a star does not cover", anything, preflight(app, "GET", "authorization,x-any"), []string{"allow_headers Authorization"}, ""},
		{"a header that would be a wildcard", one, preflight(app, "GET", "*"), nil, "not one that can be allowed"},
		{"no header name at all", one, preflight(app, "GET", "x-\xff"), nil, "not one that can be allowed"},
		{"a header name that is too long", one, preflight(app, "GET", long), nil, "not one that can be allowed"},
		{"a header that the browser sets", one, preflight(app, "GET", "x-foo,cookie"), nil, "No script can set cookie"},
		{"a header of responses", one, preflight(app, "GET", "access-control-allow-origin"), nil, "header of responses"},
		{"too many headers", one, preflight(app, "GET", strings.Repeat("x-foo,", 1000)), nil, "4 KiB"},
		{"too many headers, all of them allowed", anything, preflight(app, "GET", strings.Repeat("x-foo,", 1000)), nil, "4 KiB"},
		{"4096 bytes of header names", short, preflight(app, "GET", strings.Repeat("x,", 4091)+"x-two"), []string{"allow_headers x-two"}, ""},
		{"4097 bytes of header names", short, preflight(app, "GET", strings.Repeat("x,", 4092)+"x-two"), nil, "4 KiB"},
		{"headers too long for a line", one, preflight(app, "GET", strings.Repeat("x", 200)+","+strings.Repeat("y", 200)+","+strings.Repeat("z", 200)), nil, "too long"},

		{"a private network", one, network, []string{"allow_private_network"}, ""},
		{"all at once", one, all, []string{"allow_methods PUT", "allow_headers x-two", "allow_private_network"}, ""},
		{"a method, and a header that the browser sets", one, preflight(app, "PUT", "host"), nil, "No script can set host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := only(t, test.options).Decide(&test.request)
			if d.Outcome != Denied {
				t.Fatalf("the request is %s", d.Outcome)
			}
			fix := FixFor(&test.request, &d)
			var lines []string
			for _, line := range fix.Lines {
				lines = append(lines, line.String())
			}
			if !slices.Equal(lines, test.lines) || !strings.Contains(fix.Advice, test.advice) || (fix.Advice == "") != (test.advice == "") {
				t.Errorf("got the lines %q and the advice %q", fix.Lines, fix.Advice)
			}
			if want := strings.Join(test.lines, "\n") + fix.Advice; fix.String() != want {
				t.Errorf("as text it is %q, want %q", fix, want)
			}
			if len(fix.Lines) == 0 {
				return
			}
			options := test.options
			for _, line := range fix.Lines {
				options.add(t, line)
			}
			if d := only(t, options).Decide(&test.request); d.Outcome != Allowed {
				t.Errorf("with the lines %q it is still denied: %s %q", fix.Lines, d.Reason, d.Detail)
			}
		})
	}
}
