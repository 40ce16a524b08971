package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// careful is what somebody writes who trusts the subdomains of example.com, in all three ways, and lets them do all that
// can be allowed. It allows the app.
const careful = `cors https://app.example.com https://*.example.com {
	allow_origins_regexp https://.*\.example\.com
	allow_methods *
	allow_headers *
	allow_credentials
}`

// A knownAttack is a row of the table in SECURITY.md, of the same name. It is closed if its origins get nothing, if its
// configurations are refused, and if its test of its own passes.
type knownAttack struct {
	name    string
	cors    string   // the victim's directive, which allows the app with credentials; careful if empty
	origins []string // the attacker's
	refused []refusal
	test    func(*testing.T)
}

// A refusal is of a directive, with the way out that its message names.
type refusal struct{ cors, wayOut string }

func credentialsFor(origin string) string { return "cors " + origin + " {\nallow_credentials\n}" }

func knownAttacks() []knownAttack {
	return []knownAttack{
		{
			name:    "reflected origin",
			origins: []string{evil, "https://attacker.example", "http://evil.com:8080", "chrome-extension://evil"},
			refused: []refusal{{credentialsFor("{http.request.header.Origin}"), "insecure any_origin_with_credentials"}},
		},
		{name: "prefix match", origins: []string{
			"https://app.example.com.evil.com", "https://app.example.comevil.com", "https://app.example.com-evil.com",
			"https://app.example.community", "https://a.b.example.com.evil.com",
		}},
		{name: "suffix match", origins: []string{
			"https://notexample.com", "https://evil-example.com", "https://evilapp-example.com", "https://evil.com.notexample.com",
		}},
		{
			name: "unescaped dot",
			cors: `cors https://app.example.com https://*.users.example.com {
				allow_origins_regexp https://pr-[0-9]+\.preview\.example\.com
				allow_credentials
			}`,
			origins: []string{
				"https://appxexample.com", "https://app.examplexcom", "https://axusers.example.com", "https://a.usersxexample.com",
				"https://pr-1xpreview.example.com", "https://pr-1.previewxexample.com", "https://pr-1.preview.examplexcom",
			},
			test: leaveDotUnescaped,
		},
		{
			name: "expression without anchors",
			cors: `cors {
				allow_origins_regexp https://(app|www)\.example\.com https://a\.example\.org|https://b\.example\.org
				allow_credentials
			}`,
			origins: []string{
				"https://app.example.com.evil.com", "https://app.example.com:8443", "https://evil.com/https://app.example.com",
				"https://a.example.org.evil.com", "evil+https://b.example.org", "x" + app,
			},
		},
		{
			name:    "null origin",
			origins: []string{"null"},
			refused: []refusal{{credentialsFor("null"), "insecure null_origin_with_credentials"}},
		},
		{name: "special characters", origins: withSpecialCharacters()},
		{name: "user information", origins: []string{
			app + "@evil.com", app + ":443@evil.com", app + "%40evil.com", "https://evil.com@app.example.com", "https://user:pass@app.example.com",
		}},
		{name: "other ports", origins: []string{
			app + ":8443", app + ":80", app + ":443", app + ":0443", app + ":", app + ":65536", "https://a.example.com:8443",
		}},
		{
			name:    "plain http",
			origins: []string{"http://app.example.com", "http://a.example.com", "http://app.example.com:443"},
			refused: []refusal{{credentialsFor("http://app.example.com"), "insecure http_origin_with_credentials"}},
		},
		{
			name:    "public suffix",
			origins: []string{"https://evil.github.io", "https://com"},
			refused: []refusal{
				{credentialsFor("https://*.github.io"), "insecure public_suffix_with_credentials"},
				{credentialsFor("https://*.co.uk"), "insecure public_suffix_with_credentials"},
			},
		},
		{name: "wildcard too wide", origins: []string{
			"https://example.com", "https://.example.com", "https://*.example.com", "https://a..example.com", "https://xn--exmple-cua.com",
			"https://a.example.org", "https://example.com.example.org",
		}},
		{name: "case and encoding", origins: []string{
			"https://APP.example.com", "HTTPS://app.example.com", "https://app.example.COM", "Null", "NULL",
			"https://%61pp.example.com", "https://app%2eexample.com", "https://\xd0\xb0pp.example.com", "https://app.example.com.",
			"https://app\xe3\x80\x82example.com", "//app.example.com", "app.example.com", app + "/", app + "?", app + "#", app + "/path",
		}},
		{
			name: "everyone with credentials",
			refused: []refusal{
				{credentialsFor("*"), "insecure any_origin_with_credentials"},
				{credentialsFor("https://*"), "insecure any_origin_with_credentials"},
				{"cors * " + app, `remove "*" to allow just those`},
			},
		},
		{
			name: "forged placeholder",
			refused: []refusal{
				{credentialsFor("https://{http.request.host}"), "insecure any_origin_with_credentials"},
				{credentialsFor("{http.request.header.X-Origin}"), "insecure any_origin_with_credentials"},
			},
			test: forgePlaceholder,
		},
		{name: "several origins", test: sendSeveralOrigins, origins: []string{
			app + " " + evil, evil + " " + app, app + "," + evil, evil + ", " + app, app + ";" + evil,
		}},
		{name: "control bytes", origins: []string{
			app + "\x00.evil.com", app + "\x01", "\x1f" + app, app + "\x7f.evil.com", app + "\x80", app + "\xff.evil.com",
			app + "\t.evil.com", app + "\r.evil.com", app + "\r\n .evil.com", evil + "\r\n\t.example.com",
		}},
		{name: "response splitting", test: splitResponse},
		{name: "cache poisoning", test: poisonCache},
		{name: "permission that stays", refused: []refusal{{"cors " + app + " {\nmax_age 25h\n}", `did you mean "24h"`}}},
		{
			name: "regular expression denial of service",
			cors: `cors https://app.example.com {
				allow_origins_regexp https://(([a-z]+)+\.)+example\.org
				allow_credentials
			}`,
			origins: []string{"https://" + strings.Repeat(strings.Repeat("a", 60)+".", 3) + "example.com"},
		},
		{name: "request forgery", test: forgeRequest},
		{name: "method override", test: overrideMethod},
		{name: "DNS rebinding", test: rebind},
		{name: "private network", test: enterPrivateNetwork},
	}
}

// withSpecialCharacters returns origins with each character that some browser or library has taken for part of a host, or
// for its end. A name may have hyphens and underscores: evil.com-.example.com is a subdomain of example.com.
func withSpecialCharacters() []string {
	origins := []string{app + "%60.evil.com", app + "%00.evil.com", app + "%0d%0a.evil.com", app + `\\.evil.com`}
	for _, c := range "`!\"#$%&'()*+,-/:;<=>?@[\\]^_{|}~" {
		origins = append(origins, app+string(c)+".evil.com", app+string(c)+"evil.com")
		if c != '-' && c != '_' {
			origins = append(origins, evil+string(c)+".example.com", evil+string(c)+"app.example.com")
		}
	}
	return origins
}

// Nothing of what CORS can allow leaves for an attacker: neither on the request nor on its preflight, though the backend
// would allow everyone all. The app, in the same place, is served.
func TestAttacks(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	})
	for _, attack := range knownAttacks() {
		t.Run(attack.name, func(t *testing.T) {
			for _, refused := range attack.refused {
				_, err := livecaddy.Adapt(":8080 {\n" + refused.cors + "\n}\n")
				if err == nil || !strings.Contains(err.Error(), refused.wayOut) {
					t.Errorf("%s\n%v\nwant it to say: %s", refused.cors, err, refused.wayOut)
				}
			}
			if attack.test != nil {
				attack.test(t)
			}
			if len(attack.origins) == 0 {
				return
			}
			directive := careful
			if attack.cors != "" {
				directive = attack.cors
			}
			address := siteAddress(t, directive+"\nreverse_proxy "+backend)
			allowed := append([]string{"Access-Control-Allow-Credentials: true"}, allowApp...)
			served, _ := ask(t, address, app)
			served.Want(t, http.StatusOK, allowed, varyOrigin)
			for _, origin := range attack.origins {
				getsNothing(t, address, origin)
			}
		})
	}
}

// siteAddress runs Caddy with a site of these directives, and returns its host and port.
func siteAddress(t *testing.T, directives string) string {
	return strings.TrimPrefix(livecaddy.Site(t, directives), "http://")
}

// ask sends a request with these Origin fields, and its preflight.
func ask(t *testing.T, address string, origins ...string) (actual, preflight livecaddy.Response) {
	t.Helper()
	header := http.Header{"Origin": origins}
	actual = livecaddy.SendRaw(t, address, "GET", "/", header)
	header["Access-Control-Request-Method"] = []string{"PUT"}
	header["Access-Control-Request-Headers"] = []string{"x-one"}
	return actual, livecaddy.SendRaw(t, address, "OPTIONS", "/", header)
}

// getsNothing reports what a request with these Origin fields, or its preflight, is allowed. Bytes that no field may hold
// are refused by the server.
func getsNothing(t *testing.T, address string, origins ...string) {
	t.Helper()
	actual, preflight := ask(t, address, origins...)
	for _, res := range []livecaddy.Response{actual, preflight} {
		if got := res.CORS(); len(got) > 0 {
			t.Errorf("Origin: %q: %s is answered with\n\t%s", origins, res.Request.Method, strings.Join(got, "\n\t"))
		}
	}
	if actual.StatusCode == http.StatusBadRequest && strings.ContainsFunc(strings.Join(origins, ""), unicode.IsControl) {
		return
	}
	if actual.StatusCode != http.StatusOK || preflight.StatusCode != http.StatusForbidden {
		t.Errorf("Origin: %q: the status is %d, and %d of the preflight", origins, actual.StatusCode, preflight.StatusCode)
	}
	if !slices.Contains(actual.Vary(), "Origin") || !slices.Contains(preflight.Vary(), "Origin") {
		t.Errorf("Origin: %q: Vary is %q, and %q of the preflight", origins, actual.Vary(), preflight.Vary())
	}
}

// An expression means what it says: its author has to escape the dots.
func leaveDotUnescaped(t *testing.T) {
	url := livecaddy.Site(t, "cors {\nallow_origins_regexp https://app.example\\.com\n}\nrespond hello")
	const taken = "https://appxexample.com"
	livecaddy.Send(t, "GET", url, fields{"Origin": taken}).Want(t, http.StatusOK, []string{"Access-Control-Allow-Origin: " + taken}, varyOrigin)
}

// What a request brings for a placeholder makes one origin, and no pattern.
func forgePlaceholder(t *testing.T) {
	for _, test := range []struct{ cors, brought, origin string }{
		{"cors {http.request.header.X-Brought}", "*", app},
		{"cors {http.request.header.X-Brought}", "null", "null"},
		{"cors {http.request.header.X-Brought}", "https://*.example.com", app},
		{credentialsFor("https://{http.request.header.X-Brought}.example.com"), "*", app},
		{credentialsFor("https://{http.request.header.X-Brought}.example.com"), "evil.com/", "https://evil.com/.example.com"},
		{credentialsFor("https://{http.request.header.X-Brought}.example.com"), "evil.com#", "https://evil.com#.example.com"},
	} {
		url := livecaddy.Site(t, test.cors+"\nrespond hello")
		livecaddy.Send(t, "GET", url, fields{"Origin": test.origin, "X-Brought": test.brought}).Want(t, http.StatusOK, nil, []string{"Origin", "X-Brought"})
	}
}

func sendSeveralOrigins(t *testing.T) {
	address := siteAddress(t, careful+"\nrespond hello")
	for _, origins := range [][]string{{app, evil}, {evil, app}, {app, app}, {app, "null"}, {app, ""}} {
		getsNothing(t, address, origins...)
	}
}

// What a preflight asks for comes back only if it consists of names.
func splitResponse(t *testing.T) {
	address := siteAddress(t, careful+"\nrespond hello")
	for _, value := range []string{
		"x-a\r\n X-Injected: 1", "x-a\r\n\tX-Injected: 1", "x-a\rX-Injected: 1", "x-a%0d%0aX-Injected: 1", "x-a\x00X-Injected: 1",
		"x-a\u560d\u560aX-Injected: 1",
	} {
		for _, header := range []http.Header{
			{"Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {value}},
			{"Access-Control-Request-Method": {value}},
		} {
			header["Origin"] = []string{app}
			res := livecaddy.SendRaw(t, address, "OPTIONS", "/", header)
			for name, values := range res.Header {
				if strings.Contains(name+strings.Join(values, ""), "Injected") {
					t.Errorf("%q comes back as %s: %q", value, name, values)
				}
			}
		}
	}
}

// A sharedCache stands between clients and a server, as that of a CDN does. It serves what it keeps to requests that have
// the same values in the fields that Vary names (RFC 9111, section 4.1).
type sharedCache struct {
	server http.RoundTripper
	kept   []*http.Response
	hits   int
}

func (c *sharedCache) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, res := range c.kept {
		differs := func(name string) bool {
			return name == "*" || !slices.Equal(res.Request.Header.Values(name), r.Header.Values(name))
		}
		if res.Request.URL.String() == r.URL.String() && !slices.ContainsFunc(livecaddy.Response{Response: res}.Vary(), differs) {
			c.hits++
			return res, nil
		}
	}
	res, err := c.server.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if strings.Contains(res.Header.Get("Cache-Control"), "public") {
		kept := *res
		kept.Header, kept.Body = res.Header.Clone(), http.NoBody
		c.kept = append(c.kept, &kept)
	}
	return res, nil
}

// Whoever asks first, a cache has for each of them the answer that the server would have. It is one for all where
// everyone may call.
func poisonCache(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=600")
		w.Header().Set("Vary", "Accept-Language")
	})
	for _, test := range []struct {
		name, cors string
		shared     bool
	}{
		{"listed", careful, false},
		{"per request", "map {path} {tenant} {\ndefault " + app + "\n}\ncors {tenant}", false},
		{"some with credentials, and everyone", "cors * {\npolicy " + app + " {\nallow_credentials\n}\n}", false},
		{"denied by enforce", "cors " + app + " {\nenforce\n}", false},
		{"everyone", "cors *", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := livecaddy.Site(t, test.cors+"\nreverse_proxy "+backend)
			direct := livecaddy.HTTP1(t)
			requests := []fields{{}, {"Origin": evil}, {"Origin": "null"}, {"Origin": other}, {"Origin": app}}
			for i, first := range requests {
				for j, second := range requests {
					cache := &sharedCache{server: direct.Transport}
					livecaddy.SendBy(t, livecaddy.Client(cache), "GET", url, first)
					kept := len(cache.kept) == 1
					got := livecaddy.SendBy(t, livecaddy.Client(cache), "GET", url, second)
					want := livecaddy.SendBy(t, direct, "GET", url, second)
					if !slices.Equal(got.CORS(), want.CORS()) || got.StatusCode != want.StatusCode {
						t.Errorf("after %v, %v gets %d %q, want %d %q", first, second, got.StatusCode, got.CORS(), want.StatusCode, want.CORS())
					}
					if hit := cache.hits == 1; hit != (kept && (i == j || test.shared)) {
						t.Errorf("after %v, %v is served from the cache: %v", first, second, hit)
					}
				}
			}
		})
	}
}

// A form needs no permission to be sent. Where enforce is, it does not arrive; where it is not, the answer stays hidden.
func forgeRequest(t *testing.T) {
	var arrived atomic.Int32
	backend := livecaddy.Upstream(t, func(http.ResponseWriter, *http.Request) { arrived.Add(1) })
	for _, test := range []struct {
		options string
		header  fields
		status  int
	}{
		{"enforce", fields{"Origin": evil}, 403},
		{"enforce", fields{"Origin": evil, "Sec-Fetch-Site": "cross-site"}, 403},
		{"enforce", fields{"Origin": "null"}, 403},
		{"enforce", fields{"Origin": app}, 200},
		{"enforce", nil, 200}, // no page's: browsers send Origin with every POST
		{"", fields{"Origin": evil}, 200},
	} {
		url := livecaddy.Site(t, "cors "+app+" {\n"+test.options+"\n}\nreverse_proxy "+backend)
		before := arrived.Load()
		res := livecaddy.Send(t, "POST", url, test.header)
		if res.StatusCode != test.status || (arrived.Load() > before) != (test.status == 200) {
			t.Errorf("%s: %v is answered with %d, %d arrive", test.options, test.header, res.StatusCode, arrived.Load()-before)
		}
		if test.header["Origin"] != app && len(res.CORS()) > 0 {
			t.Errorf("%s: %v: %q", test.options, test.header, res.CORS())
		}
	}
}

// A header that names another method is one that a preflight has to ask for, though the method itself needs none.
func overrideMethod(t *testing.T) {
	url := livecaddy.Site(t, "cors "+app+" {\nallow_methods PUT\nallow_headers Content-Type\n}\nrespond hello")
	header := fields{"Origin": app, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-http-method-override"}
	lists := []string{"Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: Content-Type"}
	livecaddy.Send(t, "OPTIONS", url, header).Want(t, 204, append(lists, allowApp...), varyPreflight)
	header["Origin"] = evil
	livecaddy.Send(t, "OPTIONS", url, header).Want(t, 403, nil, varyPreflight)
}

// A public page's preflight to a private network is granted if that is configured, and to who may call at all.
func enterPrivateNetwork(t *testing.T) {
	const granted = "Access-Control-Allow-Private-Network: true"
	varyNetwork := append([]string{"Access-Control-Request-Private-Network"}, varyPreflight...)
	for _, test := range []struct {
		options, origin string
		status          int
		want, vary      []string
	}{
		{"", app, 204, allowApp, varyPreflight},
		{"", evil, 403, nil, varyPreflight},
		{"allow_private_network", app, 204, append([]string{granted, "Access-Control-Max-Age: 600"}, allowApp...), varyNetwork},
		{"allow_private_network", evil, 403, nil, varyNetwork},
	} {
		url := livecaddy.Site(t, "cors "+app+" {\n"+test.options+"\n}\nrespond hello")
		livecaddy.Send(t, "OPTIONS", url, fields{
			"Origin": test.origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true",
		}).Want(t, test.status, test.want, test.vary)
	}
}

// A page whose name has been rebound to this server is of the server's own origin, for the browser and for enforce. A site
// that has a name of its own is not served under another.
func rebind(t *testing.T) {
	for _, test := range []struct {
		address string
		served  bool
	}{
		{"http://api.example.com", false},
		{"http://", true},
	} {
		port := livecaddy.FreePort(t)
		livecaddy.Start(t, test.address+":"+port+" {\ncors "+app+" {\nenforce\n}\nrespond secret\n}")
		get := func(host string) livecaddy.Response {
			return livecaddy.Send(t, "GET", "http://127.0.0.1:"+port, fields{"Host": host + ":" + port, "Origin": "http://" + host + ":" + port})
		}
		if res := get("rebound.evil.com"); (res.Text == "secret") != test.served || len(res.CORS()) > 0 {
			t.Errorf("%s: the rebound page reads %q, %q", test.address, res.Text, res.CORS())
		}
		if res := get("api.example.com"); res.Text != "secret" {
			t.Errorf("%s: its own page reads %q", test.address, res.Text)
		}
	}
}
