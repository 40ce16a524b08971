package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCompileRefuses(t *testing.T) {
	with := func(origins ...string) Options { return Options{AllowOrigins: origins, AllowCredentials: true} }
	regexps := func(texts ...string) Options { return Options{AllowOriginsRegexp: texts, AllowCredentials: true} }
	tests := []struct {
		name    string
		options Options
		want    string // in the one problem that is expected
	}{
		{"no origin", Options{Name: "default"}, `name those that may ("cors https://app.example.com"), or allow everyone ("cors *")`},
		{"no origin in a block", Options{Name: "partner"}, `the policy "partner" is for no origin: name those that it is for`},
		{"everyone and a source", Options{AllowOrigins: []string{"*"}, Sources: make([]Source, 1)}, `remove "*" to allow just those`},
		{"everyone and someone", Options{AllowOrigins: []string{"*", app}}, `remove "*" to allow just those`},
		{"someone and everyone", Options{AllowOrigins: []string{app, "*"}}, `remove "*" to allow just those`},
		{"everyone and null", Options{AllowOrigins: []string{"null", "*"}}, `remove "*" to allow just those`},
		{"everyone and a regexp", Options{AllowOrigins: []string{"*"}, AllowOriginsRegexp: []string{`https://a\.test`}}, `remove "*" to allow just those`},
		{"everyone and a placeholder", Options{AllowOrigins: []string{"*", "{http.vars.x}"}}, `remove "*" to allow just those`},
		{"not as browsers write it", Options{AllowOrigins: []string{"https://Example.com/"}}, `did you mean "https://example.com"?`},
		{"a regexp that does not compile", Options{AllowOriginsRegexp: []string{"https://("}}, `"https://(" is not an RE2 regular expression`},
		{"a regexp with a placeholder", Options{AllowOriginsRegexp: []string{`https://.*\.{env.DOMAIN}`}}, `has the placeholder {env.DOMAIN}, which expressions do not resolve`},
		{"a regexp with an open quotation", Options{AllowOriginsRegexp: []string{`\Qhttps://example.com`}}, `did you mean "\\Qhttps://example.com\\E"?`},
		{"a regexp in upper case", Options{AllowOriginsRegexp: []string{`HTTPS://APP\.EXAMPLE\.COM`}}, `(origins are in lower case); did you mean "https://app\\.example\\.com"?`},
		{"a regexp of nothing", Options{AllowOriginsRegexp: []string{``}}, `"" matches no origin`},
		{"a regexp that closes a group it did not open", Options{AllowOriginsRegexp: []string{"https://a)|(?:b"}}, "is not an RE2 regular expression"},

		{"a regexp of any host", regexps("https://[a-z0-9.]+"), `also allows "https://evil.com", and whoever has that site`},
		{"the risk of it", regexps("https://[a-z0-9.]+"), "insecure any_origin_with_credentials"},
		{"a regexp of any name in com", regexps(`.+\.com`), "insecure any_origin_with_credentials"},
		{"a regexp without a dot before the suffix", regexps(`https://.*example\.com`), `also allows "https://evil-example.com", and whoever has that site could act in the name of your signed-in users; did you mean "https://(?:.+\\.)?example\\.com"?; or, to take the risk, add: insecure any_origin_with_credentials`},
		{"a regexp with an unescaped dot", regexps(`https://.*.example.com`), `also allows "https://evil-example.com", and whoever has that site could act in the name of your signed-in users; did you mean "https://.*\\.example\\.com"?`},
		{"a regexp of anybody's name", regexps(`https://my-app-.*\.vercel\.app`), `also allows "https://my-app-evil.vercel.app": anybody can have a name under "vercel.app" and act in the name of your signed-in users from there; list the origins that are yours, or serve their pages from a domain of your own; or, to take the risk, add: insecure public_suffix_with_credentials`},
		{"suffixes below a suffix", with("https://*.amazonaws.com"), `anybody can have a name under "s3.amazonaws.com"`},
		{"the risk of them", with("https://*.amazonaws.com"), "insecure public_suffix_with_credentials"},
		{"a regexp's risk that nobody runs", Options{AllowOriginsRegexp: []string{`https://.*\.example\.com`}, AllowCredentials: true, Insecure: []string{"any_origin_with_credentials"}}, "nothing here needs any_origin_with_credentials: remove it"},
		{"everyone, with credentials", with("*"), "insecure any_origin_with_credentials"},
		{"every https origin, with credentials", with("https://*"), "insecure any_origin_with_credentials"},
		{"every https origin and port, with credentials", with("https://*:*"), "insecure any_origin_with_credentials"},
		{"every extension, with credentials", with("chrome-extension://*"), "insecure any_origin_with_credentials"},
		{"a placeholder, with credentials", with("{http.vars.origin}"), "insecure any_origin_with_credentials"},
		{"a placeholder for the host, with credentials", with("https://{http.request.host}"), "insecure any_origin_with_credentials"},
		{"a placeholder for the host before a port, with credentials", with("https://{http.request.host}:8443"), "insecure any_origin_with_credentials"},
		{"a placeholder for the end of the host, with credentials", with("https://app.{http.vars.domain}"), "insecure any_origin_with_credentials"},
		{"a placeholder for the host and more, with credentials", with("https://{http.vars.hostport}:{http.vars.port}"), "insecure any_origin_with_credentials"},
		{"a placeholder before part of a label, with credentials", with("https://{http.vars.x}example.com"), "insecure public_suffix_with_credentials"},
		{"a placeholder before a public suffix, with credentials", with("https://{http.vars.x}.github.io"), "insecure public_suffix_with_credentials"},
		{"a placeholder before an http host, with credentials", with("http://{http.vars.x}.example.com"), "insecure http_origin_with_credentials"},
		{"a placeholder for the scheme, with credentials", with("{http.request.scheme}://example.com"), "insecure http_origin_with_credentials"},
		{"null, with credentials", with("null"), "insecure null_origin_with_credentials"},
		{"http, with credentials", with("http://example.com"), "insecure http_origin_with_credentials"},
		{"http subdomains, with credentials", with("http://*.example.com"), "insecure http_origin_with_credentials"},
		{"http beside loopback, with credentials", with("http://localhost.example.com"), "insecure http_origin_with_credentials"},
		{"a public suffix, with credentials", with("https://*.com"), "insecure public_suffix_with_credentials"},
		{"a private public suffix, with credentials", with("https://*.github.io:*"), "insecure public_suffix_with_credentials"},
		{"a risk nobody runs", Options{AllowOrigins: []string{app}, Insecure: []string{"null_origin_with_credentials"}}, "nothing here needs null_origin_with_credentials: remove it"},
		{"a risk without credentials", Options{AllowOrigins: []string{"*"}, Insecure: []string{"any_origin_with_credentials"}}, "nothing here needs any_origin_with_credentials: remove it"},
		{"a risk that is none", Options{AllowOrigins: []string{app}, Insecure: []string{"everything"}}, "those are: any_origin_with_credentials, null_origin_with_credentials, http_origin_with_credentials, public_suffix_with_credentials"},

		{"a placeholder that can come to no origin", Options{AllowOrigins: []string{"https://{http.request.host}/"}}, "whatever its placeholders are"},
		{"a placeholder before the default port", Options{AllowOrigins: []string{"https://{http.request.host}:443"}}, "whatever its placeholders are"},
		{"a placeholder behind a wildcard", Options{AllowOrigins: []string{"https://*.{http.request.host}"}}, "whatever its placeholders are"},
		{"a backslash before a brace", with(`https://{http.request.uri.query.X\}.example.com:{y}`), `has a backslash, which no origin has, and which hides the brace after it: remove it`},
		{"a backslash beside a placeholder", Options{AllowOrigins: []string{`https:\\{http.request.host}`}}, `has a backslash`},
		{"NULL", Options{AllowOrigins: []string{"NULL"}}, `did you mean "null"?`},
		{"a part of a label", Options{AllowOrigins: []string{"https://*-preview.vercel.app"}}, `write a regular expression: allow_origins_regexp https://[a-z0-9-]+-preview\.vercel\.app`},
		{"a placeholder in a list", Options{AllowOrigins: []string{"null {http.vars.x}"}}, "whatever its placeholders are"},

		{"CONNECT", Options{AllowOrigins: []string{app}, AllowMethods: []string{"CONNECT"}}, "no script can use the method CONNECT"},
		{"trace", Options{AllowOrigins: []string{app}, AllowMethods: []string{"trace"}}, "no script can use the method TRACE"},
		{"Track", Options{AllowOrigins: []string{app}, AllowMethods: []string{"Track"}}, "no script can use the method TRACK"},
		{"no method", Options{AllowOrigins: []string{app}, AllowMethods: []string{"A B"}}, `"A B" is not a method name`},
		{"an empty method", Options{AllowOrigins: []string{app}, AllowMethods: []string{""}}, `"" is not a method name`},
		{"put", Options{AllowOrigins: []string{app}, AllowMethods: []string{"put"}}, `did you mean "PUT"?`},
		{"Patch", Options{AllowOrigins: []string{app}, AllowMethods: []string{"Patch"}}, `did you mean "PATCH"?`},
		{"propfind", Options{AllowOrigins: []string{app}, AllowMethods: []string{"propfind"}}, `did you mean "PROPFIND"?`},

		{"Cookie", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"cookie"}}, "allow_credentials"},
		{"Host", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"Host"}}, "no script can set Host"},
		{"Origin", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"ORIGIN"}}, "no script can set ORIGIN"},
		{"Sec-", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"Sec-Fetch-Mode"}}, "no script can set Sec-Fetch-Mode"},
		{"Proxy-", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"Proxy-Authorization"}}, "no script can set Proxy-Authorization"},
		{"a response header", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"Access-Control-Allow-Origin"}}, "is a header of responses"},
		{"no header", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X-A:"}}, `"X-A:" is not a header field name`},
		{"a header of bytes", Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X-\xff"}}, "is not a header field name"},
		{"a header without an end", Options{AllowOrigins: []string{app}, AllowHeaders: []string{strings.Repeat("x", 257)}}, "longer than 256 bytes"},

		{"Set-Cookie exposed", Options{AllowOrigins: []string{app}, ExposeHeaders: []string{"set-cookie"}}, "browsers show set-cookie to no script"},
		{"no header exposed", Options{AllowOrigins: []string{app}, ExposeHeaders: []string{"X A"}}, `"X A" is not a header field name`},

		{"a negative age", Options{AllowOrigins: []string{app}, MaxAge: -time.Second}, "max_age off"},
		{"more than a day", Options{AllowOrigins: []string{app}, MaxAge: 24*time.Hour + time.Second}, `did you mean "24h"?`},
		{"half a second", Options{AllowOrigins: []string{app}, MaxAge: 500 * time.Millisecond}, "did you mean 1s?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, problems, _ := Compile(test.options)
			if len(problems) != 1 {
				t.Fatalf("got %d problems, want one: %v", len(problems), problems)
			}
			if got := problems[0].Error(); !strings.Contains(got, test.want) {
				t.Errorf("got: %s\nwant it to say: %s", got, test.want)
			}
		})
	}
}

// A method that everybody writes in upper case is not to be written otherwise, because the name is then another.
func TestCompileRefusesMethodsInTheWrongCase(t *testing.T) {
	for method := range strings.FieldsSeq("GET HEAD POST PUT DELETE OPTIONS PATCH QUERY COPY LOCK MKCOL MOVE PROPFIND PROPPATCH REPORT SEARCH UNLOCK") {
		refusal := func(method string) string {
			_, problems, _ := Compile(Options{AllowOrigins: []string{app}, AllowMethods: []string{method}})
			return fmt.Sprint(problems)
		}
		if got := refusal(method); got != "[]" {
			t.Errorf("%s is refused: %s", method, got)
		}
		for _, written := range []string{strings.ToLower(method), method[:1] + strings.ToLower(method[1:])} {
			if got, want := refusal(written), fmt.Sprintf("did you mean %q?", method); !strings.Contains(got, want) {
				t.Errorf("%s: %s, want: %s", written, got, want)
			}
		}
	}
}

func TestCompileAccepts(t *testing.T) {
	with := func(origin, risk string) Options {
		o := Options{AllowOrigins: []string{origin}, AllowCredentials: true}
		if risk != "" {
			o.Insecure = strings.Fields(risk)
		}
		return o
	}
	for name, o := range map[string]Options{
		"everyone":                          {AllowOrigins: []string{"*"}},
		"everyone, twice":                   {AllowOrigins: []string{"*", "*"}},
		"null":                              {AllowOrigins: []string{"null"}},
		"every https origin":                {AllowOrigins: []string{"https://*"}},
		"http":                              {AllowOrigins: []string{"http://example.com"}},
		"a public suffix":                   {AllowOrigins: []string{"https://*.github.io"}},
		"a method of no standard":           {AllowOrigins: []string{app}, AllowMethods: []string{"m-search"}},
		"a day":                             {AllowOrigins: []string{app}, MaxAge: 24 * time.Hour},
		"any header and Authorization":      {AllowOrigins: []string{app}, AllowHeaders: []string{"*", "Authorization"}},
		"a header forbidden by its values":  {AllowOrigins: []string{app}, AllowHeaders: []string{"X-HTTP-Method-Override"}},
		"a header Chromium alone forbids":   {AllowOrigins: []string{app}, AllowHeaders: []string{"Access-Control-Request-Private-Network"}},
		"User-Agent":                        {AllowOrigins: []string{app}, AllowHeaders: []string{"User-Agent"}},
		"loopback, with credentials":        with("http://localhost:3000", ""),
		"a loopback name, with credentials": with("http://*.localhost:*", ""),
		"loopback IPv4, with credentials":   with("http://127.0.0.1:*", ""),
		"loopback IPv6, with credentials":   with("http://[::1]:3000", ""),
		"subdomains, with credentials":      with("https://*.example.com", ""),
		"a fixed end, with credentials":     with("https://{http.vars.tenant}.example.com", ""),
		"an open port, with credentials":    with("https://app.example.com:{http.request.port}", ""),
		"an open loopback name":             with("{http.request.scheme}://{http.vars.x}.localhost", ""),
		"everyone, knowingly":               with("*", "any_origin_with_credentials"),
		"every host, knowingly":             with("https://*", "any_origin_with_credentials"),
		"every http host, knowingly":        with("http://*", "any_origin_with_credentials http_origin_with_credentials"),
		"a placeholder, knowingly":          with("{http.vars.origin}", "any_origin_with_credentials"),
		"null, knowingly":                   with("null", "null_origin_with_credentials"),
		"http, knowingly":                   with("http://example.com", "http_origin_with_credentials"),
		"a public suffix, knowingly":        with("https://*.github.io", "public_suffix_with_credentials"),
		"a dot at the end":                  {AllowOrigins: []string{"https://example.com."}},
		"Electron":                          {AllowOrigins: []string{"app://."}},
		"a regexp of any host, knowingly":   {AllowOriginsRegexp: []string{`https://.*`}, AllowCredentials: true, Insecure: []string{"any_origin_with_credentials"}},
		"a regexp of any name, knowingly":   {AllowOriginsRegexp: []string{`https://.*\.com`}, AllowCredentials: true, Insecure: []string{"any_origin_with_credentials"}},
		"the same, as https://*.com is":     {AllowOriginsRegexp: []string{`https://.*\.com`}, AllowCredentials: true, Insecure: []string{"public_suffix_with_credentials"}},
		"anybody's name, knowingly":         {AllowOriginsRegexp: []string{`https://.*\.vercel\.app`}, AllowCredentials: true, Insecure: []string{"public_suffix_with_credentials"}},
		"unknown yet":                       {AllowOrigins: []string{"{env.X}"}, AllowCredentials: true, Insecure: []string{"null_origin_with_credentials"}, Unknown: isEnv},
	} {
		if _, problems, _ := Compile(o); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func isEnv(origin string) bool { return strings.HasPrefix(origin, "{env.") }

// All problems are reported at once, each with its option and the place of the value in it.
func TestCompileReportsAll(t *testing.T) {
	_, problems, _ := Compile(Options{
		AllowOrigins: []string{app, "foo", "null"},
		AllowMethods: []string{"GET", "put"}, AllowHeaders: []string{"Cookie"}, ExposeHeaders: []string{"A", "Set-Cookie"},
		AllowCredentials: true, MaxAge: -1, Insecure: []string{"x"},
	})
	var places []string
	for _, p := range problems {
		places = append(places, p.Option+"/"+string(rune('0'+p.Index)))
	}
	slices.Sort(places)
	want := []string{"allow_headers/0", "allow_methods/1", "allow_origins/1", "allow_origins/2", "expose_headers/1", "insecure/0", "max_age/0"}
	if !slices.Equal(places, want) {
		t.Errorf("got %v, want %v", places, want)
	}
}

func TestCompileWarns(t *testing.T) {
	for name, o := range map[string]Options{
		"the page of nobody":            {AllowOrigins: []string{"null"}},
		"any host":                      {AllowOriginsRegexp: []string{"https?://.*"}},
		"any host, among the fine":      {AllowOriginsRegexp: []string{`https://a\.test`, ".*"}},
		"no dot before the suffix":      {AllowOriginsRegexp: []string{`https://.*example\.com`}},
		"an unescaped dot, http":        {AllowOriginsRegexp: []string{`http://www.example\.com`}},
		"anybody's name":                {AllowOriginsRegexp: []string{`https://my-app-.*\.vercel\.app`}},
		"other ports":                   {AllowOriginsRegexp: []string{`https://example\.com:8.*`}},
		"other ports, with credentials": {AllowOriginsRegexp: []string{`https://example\.com:8.*`}, AllowCredentials: true},
	} {
		if _, problems, warnings := Compile(o); len(problems) > 0 || len(warnings) != 1 {
			t.Errorf("%s: problems %v, warnings %v", name, problems, warnings)
		}
	}
	for name, o := range map[string]Options{
		"an origin":       {AllowOrigins: []string{app}},
		"null, knowingly": {AllowOrigins: []string{"null"}, AllowCredentials: true, Insecure: []string{"null_origin_with_credentials"}},
		"a regexp of http, which credentials do not go to": {AllowOriginsRegexp: []string{`http://.*example\.com`}, AllowCredentials: true},
		"a regexp, and credentials":                        {AllowOriginsRegexp: []string{`https://[a-z]+\.example\.com`}, AllowCredentials: true},
	} {
		if _, _, warnings := Compile(o); len(warnings) > 0 {
			t.Errorf("%s: %v", name, warnings)
		}
	}
}

func TestSecureOnly(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    bool
	}{
		"https":            {Options{AllowOrigins: []string{app, "https://*.example.org"}}, true},
		"https and http":   {Options{AllowOrigins: []string{app, "http://localhost:3000"}}, false},
		"everyone":         {Options{AllowOrigins: []string{"*"}}, false},
		"null":             {Options{AllowOrigins: []string{"null"}}, false},
		"a placeholder":    {Options{AllowOrigins: []string{"{http.vars.x}"}}, false},
		"https and regexp": {Options{AllowOrigins: []string{app}, AllowOriginsRegexp: []string{`https://a\.test`}}, false},
	} {
		if got := compile(t, test.options).SecureOnly(); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Problems of options in JSON say what to write in JSON.
func TestCompileRefusesJSON(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"nobody":         {Options{}, `name those that may ("allow_origins": ["https://app.example.com"]), or allow everyone ("allow_origins": ["*"])`},
		"a risk":         {Options{AllowOrigins: []string{"*"}, AllowCredentials: true}, `or, to take the risk, add: "insecure": ["any_origin_with_credentials"]`},
		"an expression":  {Options{AllowOrigins: []string{"https://*-preview.vercel.app"}}, `write a regular expression: "allow_origins_regexp": ["https://[a-z0-9-]+-preview\\.vercel\\.app"]`},
		"a negative age": {Options{AllowOrigins: []string{app}, MaxAge: -time.Second}, `write: "max_age": 0`},
		"600":            {Options{AllowOrigins: []string{app}, MaxAge: 600}, `did you mean "600s"?`},
		"a week":         {Options{AllowOrigins: []string{app}, MaxAge: 604800}, `did you mean "86400s"?`},
	} {
		test.options.Form = JSON
		_, problems, _ := Compile(test.options)
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
			t.Errorf("%s: %v\nwant it to say: %s", name, problems, test.want)
		}
	}
}
