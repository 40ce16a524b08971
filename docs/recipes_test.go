package docs_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// recipeTests has for each recipe of docs/recipes.md, by its heading, what checks its claims.
var recipeTests = map[string]func(*testing.T, *recipe){
	"Public API":                                                  testPublicAPI,
	"Single-page app with cookies":                                testSinglePageApp,
	"Several frontends and their previews":                        testPreviews,
	"Local development":                                           testLocalDevelopment,
	"Browser extensions and app shells":                           testExtensions,
	"API behind a login":                                          testLogin,
	"Login that redirects: Authelia, oauth2-proxy":                testGateways,
	"Sign-ins beside an enforced API":                             testSignIns,
	"Backend with CORS headers of its own":                        testBackend,
	"Backend that refuses other origins: Ollama, Grafana, Spring": testRefusingBackend,
	"Other rules for other paths":                                 testPaths,
	"Partners with rights of their own":                           testPartners,
	"The same options in many places":                             testSnippets,
	"CDN in front of the API":                                     testCDN,
	"Access log without preflights":                               testAccessLog,
	"HTTP beside HTTPS":                                           testHTTP,
	"Trying a policy on a live API":                               testReportOnly,
	"Files, downloads and fonts":                                  testFiles,
	"GraphQL":                                                     testGraphQL,
	"gRPC-Web and Connect":                                        testRPC,
	"Server-Sent Events":                                          testEvents,
	"WebSockets":                                                  testWebSockets,
	"MCP servers":                                                 testMCP,
	"Customer domains in a file":                                  testOriginsFile,
	"A cluster that shares one list":                              testOriginsStorage,
	"A database that knows the origins":                           testOriginsAsk,
	"An origin for each tenant":                                   testTenants,
	"Many origins for each tenant":                                testTenantsTable,
}

// Every recipe is in the contents of the page, and has a test that runs all of its Caddyfiles.
func TestRecipes(t *testing.T) {
	page := markdown.Read(t, "recipes.md")
	var contents, headings []string
	for _, link := range page.Sections()[0].Intro().Links() {
		if strings.HasPrefix(link.Destination, "#") {
			contents = append(contents, link.Text+" "+link.Destination)
		}
	}
	var linked []string
	for _, section := range page.Sections() {
		if section.Level != 2 {
			continue
		}
		headings = append(headings, section.Heading)
		linked = append(linked, section.Heading+" #"+section.Anchor())
		r := newRecipe(section)
		t.Run(section.Heading, func(t *testing.T) {
			if recipeTests[section.Heading] == nil || len(r.caddyfiles) == 0 {
				t.Fatalf("it has %d Caddyfiles, and in recipeTests: %v", len(r.caddyfiles), recipeTests[section.Heading] != nil)
			}
			recipeTests[section.Heading](t, r)
			for i := range r.ran {
				if !r.ran[i].Load() {
					t.Errorf("no request has come through its Caddyfile %d", i+1)
				}
			}
		})
	}
	if !slices.Equal(contents, linked) {
		t.Errorf("the contents are\n%q, want\n%q", contents, linked)
	}
	for heading := range recipeTests {
		if !slices.Contains(headings, heading) {
			t.Errorf("no recipe is called %q", heading)
		}
	}
}

// newRecipe returns the Caddyfiles of a section.
func newRecipe(section markdown.Section) *recipe {
	r := &recipe{caddyfiles: section.BlocksOf("caddyfile"), programs: section.BlocksOf("go")}
	r.ran = make([]atomic.Bool, len(r.caddyfiles))
	return r
}

// A recipe is a section of the page.
type recipe struct {
	caddyfiles []string
	programs   []string      // in Go
	ran        []atomic.Bool // whether a request has come through each
}

// caddyfile returns one of the recipe's, the first being 1. The replacements are pairs of what the page has, and what the
// test needs in its stead.
func (r *recipe) caddyfile(t *testing.T, number int, replacements ...string) string {
	t.Helper()
	caddyfile := r.caddyfiles[number-1]
	for ; len(replacements) > 0; replacements = replacements[2:] {
		if !strings.Contains(caddyfile, replacements[0]) {
			t.Fatalf("no %q in:\n%s", replacements[0], caddyfile)
		}
		caddyfile = strings.ReplaceAll(caddyfile, replacements[0], replacements[1])
	}
	return caddyfile
}

// An internet is all that a browser can reach in a test: every name leads to one Caddy, over http and https.
type internet struct {
	*livecaddy.Server
	http.RoundTripper

	mu    sync.Mutex
	asked []string // what the program was: "PUT /orders"
}

// run starts Caddy with a Caddyfile of the recipe, until the test ends or runs another. The program is what listens on
// localhost:9000; it is nil for a recipe without one.
func (r *recipe) run(t *testing.T, number int, program http.HandlerFunc, replacements ...string) *internet {
	t.Helper()
	n := new(internet)
	ran := &r.ran[number-1]
	caddyfile := r.caddyfile(t, number, replacements...)
	if program == nil {
		ran.Store(true)
	} else {
		caddyfile = strings.ReplaceAll(caddyfile, "localhost:9000", livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
			n.mu.Lock()
			n.asked = append(n.asked, r.Method+" "+r.URL.Path)
			n.mu.Unlock()
			ran.Store(true)
			program(w, r)
		}))
	}
	globalOptions := []string{"local_certs"}
	if options, sites, ok := strings.Cut(caddyfile, "\n}\n"); ok && strings.HasPrefix(options, "{\n") {
		globalOptions, caddyfile = append(globalOptions, options[2:]), sites
	}
	n.Server = livecaddy.Start(t, caddyfile, globalOptions...)
	n.RoundTripper = n.transport(t, "h2", "http/1.1")
	return n
}

// transport returns a client's side of the internet, for these protocols.
func (n *internet) transport(t *testing.T, protocols ...string) *http.Transport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		switch port {
		case "80":
			port = n.HTTPPort
		case "443":
			port = n.HTTPSPort
		}
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	transport := &http.Transport{
		DisableCompression: true,
		ForceAttemptHTTP2:  slices.Contains(protocols, "h2"),
		DialContext:        dial,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(address)
			// Whether the certificates are good is not the question here: they are those of Caddy's own authority.
			config := &tls.Config{ServerName: host, NextProtos: protocols, InsecureSkipVerify: true}
			for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				secure := tls.Client(conn, config)
				if err = secure.HandshakeContext(ctx); err == nil {
					return secure, nil
				}
				conn.Close()
				if time.Now().After(deadline) { // Caddy issues certificates while it already listens
					return nil, err
				}
			}
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// programAsked returns what the program has been asked since the last time.
func (n *internet) programAsked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.asked
	n.asked = nil
	return asked
}

// programSaw checks what the program has been asked since the last time.
func (n *internet) programSaw(t *testing.T, want ...string) {
	t.Helper()
	if asked := n.programAsked(); !slices.Equal(asked, want) {
		t.Errorf("the program was asked %q, want %q", asked, want)
	}
}

// send sends one request as it is, and follows no redirect.
func (n *internet) send(t *testing.T, method, url string, header fields) livecaddy.Response {
	t.Helper()
	return livecaddy.SendBy(t, livecaddy.Client(n), method, url, header)
}

// fetch makes a script's request in a browser that remembers nothing. If the request has no origin, it is the app's; its URL
// may be a path of the API's.
func (n *internet) fetch(t *testing.T, request fetch.Request) *fetch.Result {
	t.Helper()
	return browse(t, &fetch.Client{Transport: n}, request)
}

// browse makes a script's request in a browser, which may be one that has made some before.
func browse(t *testing.T, browser *fetch.Client, request fetch.Request) *fetch.Result {
	t.Helper()
	if request.Origin == "" {
		request.Origin = app
	}
	if !strings.Contains(request.URL, "://") {
		request.URL = api + request.URL
	}
	result, err := browser.Fetch(t.Context(), request)
	if err != nil {
		t.Fatalf("%+v: %v", request, err)
	}
	return result
}

const allowed = string(fetch.Allowed)

// A call is what a script does, and what becomes of it in a browser.
type call struct {
	name    string
	request fetch.Request
	want    string // allowed, or the code of what blocks it
}

// calls checks what becomes of each call.
func (n *internet) calls(t *testing.T, calls ...call) {
	t.Helper()
	for _, c := range calls {
		if result := n.fetch(t, c.request); verdict(result) != c.want {
			t.Errorf("%s is %s, want %s: %+v", c.name, verdict(result), c.want, result.Cause)
		}
	}
}

// allows checks whether a page of the origin may call, with cookies.
func (n *internet) allows(t *testing.T, origin string, want bool) {
	t.Helper()
	result := n.fetch(t, fetch.Request{Origin: origin, Credentials: true})
	if (verdict(result) == allowed) != want || !want && verdict(result) != "missing-allow-origin" {
		t.Errorf("for %s, it is %s", origin, verdict(result))
	}
}

// becomes waits until a page of the origin may call, or may not.
func (n *internet) becomes(t *testing.T, origin string, want bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if verdict(n.fetch(t, fetch.Request{Origin: origin})) == allowed == want {
			return
		}
	}
	t.Fatalf("%s: allowed is not %v", origin, want)
}

// methods checks that a script may make a call with each of the methods.
func (n *internet) methods(t *testing.T, request fetch.Request, methods ...string) {
	t.Helper()
	for _, method := range methods {
		request.Method = method
		n.calls(t, call{method, request, allowed})
	}
}

// verdict is allowed, or the code of what blocks the call.
func verdict(result *fetch.Result) string {
	if result.Cause != nil {
		return string(result.Cause.Code)
	}
	return string(result.Verdict)
}

// sets are the headers that a script sets: names and values in turn.
func sets(header ...string) []fetch.Field {
	var set []fetch.Field
	for ; len(header) > 0; header = header[2:] {
		set = append(set, fetch.Field{Name: header[0], Value: header[1]})
	}
	return set
}

var (
	sendsJSON  = sets("Content-Type", "application/json")
	sendsToken = sets("Authorization", "Bearer x")
)

// reads checks that the script can read these headers of the response.
func reads(t *testing.T, result *fetch.Result, names ...string) {
	t.Helper()
	for _, name := range names {
		if !result.Readable(name) {
			t.Errorf("the script cannot read %s, but %q", name, result.ReadableHeaders)
		}
	}
}

// refused checks that Caddy takes a Caddyfile of the recipe as it is, and refuses it with the replacements, and why.
func (r *recipe) refused(t *testing.T, number int, why string, replacements ...string) {
	t.Helper()
	if _, err := livecaddy.Adapt(r.caddyfile(t, number)); err != nil {
		t.Error(err)
	}
	if _, err := livecaddy.Adapt(r.caddyfile(t, number, replacements...)); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("with %q, it says %v, want %q", replacements, err, why)
	}
}

// says is a program that answers everything with 200 and these header fields.
func says(header fields) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name, value := range header {
			w.Header().Add(strings.TrimSuffix(name, "+"), value)
		}
	}
}

func testPublicAPI(t *testing.T, r *recipe) {
	answers := says(fields{"Content-Type": "application/json", "Link": "</?page=2>; rel=next", "X-RateLimit-Remaining": "7", "X-Other": "1"})
	n := r.run(t, 1, answers)
	n.calls(t,
		call{"any page", fetch.Request{Origin: other}, allowed},
		call{"a page without an origin of its own", fetch.Request{Origin: "null"}, allowed},
		call{"a POST", fetch.Request{Method: "POST", Body: []byte("x")}, allowed},
		call{"a HEAD", fetch.Request{Method: "HEAD"}, allowed},
		call{"a key", fetch.Request{Header: sendsToken}, allowed},
		call{"a PUT", fetch.Request{Method: "PUT"}, "method-not-allowed"},
		call{"cookies", fetch.Request{Credentials: true}, "wildcard-with-credentials"},
	)
	result := n.fetch(t, fetch.Request{Origin: other})
	if reads(t, result, "Link", "X-RateLimit-Remaining", "Content-Type"); result.Readable("X-Other") {
		t.Error("the script can read X-Other")
	}
	for _, header := range []fields{{"Origin": other}, {}} {
		n.send(t, "GET", api, header).Want(t, 200, []string{"Access-Control-Allow-Origin: *", "Access-Control-Expose-Headers: Link, X-RateLimit-Remaining"}, nil)
	}
	r.refused(t, 1, "any_origin_with_credentials", "allow_headers Authorization", "allow_credentials")

	n = r.run(t, 1, answers, "allow_headers Authorization", "allow_headers *")
	n.calls(t,
		call{"a key, with *", fetch.Request{Header: sendsToken}, "header-not-allowed"},
		call{"another header, with *", fetch.Request{Header: sets("X-Key", "x")}, allowed},
	)
}

func testSinglePageApp(t *testing.T, r *recipe) {
	n := r.run(t, 1, says(nil))
	n.methods(t, fetch.Request{Header: sendsJSON, Credentials: true}, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
	n.calls(t,
		call{"another page", fetch.Request{Origin: other, Credentials: true}, "missing-allow-origin"},
		call{"a token", fetch.Request{Header: sendsToken}, "header-not-allowed"},
	)
	n.send(t, "GET", api, fields{"Origin": app, "Cookie": "session=x"}).Want(t, 200, allowAppCookies, varyOrigin)
	n.programAsked()

	// A form needs no preflight: the program sees it, and the script does not see the answer.
	form := fetch.Request{Origin: other, Method: "POST", Header: sets("Content-Type", "application/x-www-form-urlencoded"), Body: []byte("x"), Credentials: true}
	n.calls(t, call{"a form of another page", form, "missing-allow-origin"})
	n.programSaw(t, "POST /")
	n = r.run(t, 1, says(nil), "allow_credentials", "allow_credentials\nenforce")
	n.calls(t, call{"a form of another page, with enforce", form, "missing-allow-origin"})
	n.send(t, "POST", api, fields{"Origin": other}).Want(t, 403, nil, varyEnforced)
	n.programSaw(t)
	n.calls(t, call{"a form of the app, with enforce", fetch.Request{Method: "POST", Body: []byte("x"), Credentials: true}, allowed})

	n = r.run(t, 1, says(nil), "allow_headers Content-Type\n", "\n")
	n.calls(t,
		call{"JSON, without allow_headers", fetch.Request{Method: "POST", Header: sendsJSON, Credentials: true}, "header-not-allowed"},
		call{"plain text, without allow_headers", fetch.Request{Method: "POST", Body: []byte("x"), Credentials: true}, allowed},
	)
	n = r.run(t, 1, says(nil), "allow_headers Content-Type", "allow_headers Content-Type Authorization", "allow_credentials", "")
	n.calls(t,
		call{"a token in place of a cookie", fetch.Request{Method: "PUT", Header: slices.Concat(sendsJSON, sendsToken)}, allowed},
		call{"a cookie all the same", fetch.Request{Credentials: true}, "missing-allow-credentials"},
	)
}

func testPreviews(t *testing.T, r *recipe) {
	n := r.run(t, 1, says(nil))
	for origin, want := range map[string]bool{
		"https://app.example.com":                                          true,
		"https://admin.example.com":                                        true,
		"https://pr-42.preview.example.com":                                true,
		"https://a.b.preview.example.com":                                  true,
		"https://preview.example.com":                                      false,
		"https://evil-preview.example.com":                                 false,
		"http://pr-42.preview.example.com":                                 false,
		"https://pr-42.preview.example.com.evil.example":                   false,
		"https://deploy-preview-42--example-shop.netlify.app":              true,
		"https://deploy-preview-42--other-shop.netlify.app":                false,
		"https://example-shop.netlify.app":                                 false,
		"https://x-deploy-preview-42--example-shop.netlify.app":            false,
		"https://deploy-preview-42--example-shop.netlify.app.evil.example": false,
		"https://deploy-preview-42--example-shopxnetlify.app":              false,
	} {
		n.allows(t, origin, want)
	}
	n.methods(t, fetch.Request{Origin: "https://pr-42.preview.example.com", Header: sendsJSON, Credentials: true}, "PUT", "PATCH", "DELETE")
	for _, host := range []string{"vercel.app", "netlify.app", "github.io"} {
		r.refused(t, 1, "public_suffix_with_credentials", "https://*.preview.example.com", "https://*."+host)
	}
	r.refused(t, 1, "public_suffix_with_credentials", `https://deploy-preview-[0-9]+--example-shop\.netlify\.app`, `https://shop-.*-acme\.vercel\.app`)
}

func testLocalDevelopment(t *testing.T, r *recipe) {
	const developer = "http://localhost:5173"
	t.Run("production", func(t *testing.T) {
		t.Setenv("APP_ORIGINS", "https://app.example.com")
		n := r.run(t, 1, says(nil))
		n.allows(t, app, true)
		n.allows(t, developer, false)
	})
	t.Run("staging", func(t *testing.T) {
		t.Setenv("APP_ORIGINS", "https://app.example.com, http://localhost:*")
		n := r.run(t, 1, says(nil))
		n.allows(t, app, true)
		n.allows(t, developer, true)
		n.allows(t, "http://localhost", true)
		n.allows(t, "http://127.0.0.1:5173", false)
		n.allows(t, "http://localhost.evil.example:5173", false)
		n.methods(t, fetch.Request{Origin: developer, Header: sendsJSON, Credentials: true}, "PUT", "PATCH", "DELETE")

		t.Setenv("APP_ORIGINS", "https://app.example.com") // which the running Caddy does not notice
		n.allows(t, developer, true)
	})
	t.Run("no environment", func(t *testing.T) {
		t.Setenv("APP_ORIGINS", "")
		os.Unsetenv("APP_ORIGINS") // until the test ends
		adapted, err := livecaddy.Adapt(r.caddyfile(t, 1, "api.example.com {", "http://api.example.com {"))
		if err != nil {
			t.Fatal(err)
		}
		var config caddy.Config
		if err := json.Unmarshal(adapted, &config); err != nil {
			t.Fatal(err)
		}
		if err := caddy.Validate(&config); err == nil || !strings.Contains(err.Error(), `"{env.APP_ORIGINS}" is empty`) {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("two sites", func(t *testing.T) {
		second := livecaddy.Upstream(t, says(fields{"X-Program": "second"}))
		n := r.run(t, 2, says(nil), "localhost:9001", second)
		n.allows(t, app, true)
		n.allows(t, developer, false)
		n.calls(t,
			call{"a developer's page", fetch.Request{Origin: developer, URL: "https://dev.example.com/", Credentials: true}, allowed},
			call{"the app", fetch.Request{URL: "https://dev.example.com/", Credentials: true}, "missing-allow-origin"},
		)
		if res := n.send(t, "GET", "https://dev.example.com/", nil); res.Header.Get("X-Program") != "second" {
			t.Errorf("another program answers: %v", res.Header)
		}
		r.refused(t, 2, "http_origin_with_credentials", "http://localhost:*", "http://192.168.1.20:5173")
	})
}

func testExtensions(t *testing.T, r *recipe) {
	const firefox = "moz-extension://5e8f2c6a-3b1d-4f7e-9a0c-d2b4e6f81357"
	mayCall := func(n *internet, origin string, want string) {
		t.Helper()
		n.calls(t, call{origin, fetch.Request{Origin: origin, Method: "POST", Header: slices.Concat(sendsJSON, sendsToken)}, want})
	}
	n := r.run(t, 1, says(nil))
	for _, origin := range []string{
		app, "chrome-extension://mhloojimgilafopcmlcikiidgbbnelip", "tauri://localhost", "http://tauri.localhost",
		"capacitor://localhost", "https://localhost", "app://obsidian.md",
	} {
		mayCall(n, origin, allowed)
	}
	for _, origin := range []string{
		firefox, "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "https://tauri.localhost", "http://localhost", "app://other", "null",
	} {
		mayCall(n, origin, "missing-allow-origin")
	}
	// What Caddy is asked by an app whose pages have a file: URL.
	n.send(t, "GET", api, fields{"Origin": "file://"}).Want(t, 200, nil, varyOrigin)
	r.refused(t, 1, `send "null"`, "app://obsidian.md", "file://")

	mayCall(r.run(t, 1, says(nil), "allow_origins app://obsidian.md", "allow_origins_regexp moz-extension://[0-9a-f-]+"), firefox, allowed)
}

func testLogin(t *testing.T, r *recipe) {
	t.Run("basic_auth", func(t *testing.T) {
		n := r.run(t, 1, says(nil))
		login := "Basic Ym9iOmhpY2N1cA==" // bob:hiccup
		for _, test := range []struct {
			authorization string
			status        int
		}{{login, 200}, {"Basic Ym9iOndyb25n", 401}} {
			result := n.fetch(t, fetch.Request{Header: sets("Authorization", test.authorization)})
			if verdict(result) != allowed || result.Status != test.status {
				t.Errorf("with %s, it is %s, and the script sees %d, want %d", test.authorization, verdict(result), result.Status, test.status)
			}
		}
		n.calls(t, call{"another page", fetch.Request{Origin: other, Header: sets("Authorization", login)}, "missing-allow-origin"})
		n.programSaw(t, "GET /")
	})
	t.Run("forward_auth", func(t *testing.T) {
		var verified []string
		service := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
			verified = append(verified, r.Method+" "+r.URL.Path+" for "+r.Header.Get("X-Forwarded-Method"))
			switch cookie, _ := r.Cookie("session"); {
			case r.Header.Get("X-Forwarded-Uri") == "/page":
				http.Redirect(w, r, "https://login.example.com/", http.StatusFound)
			case cookie == nil || cookie.Value != "bob":
				w.WriteHeader(http.StatusUnauthorized)
			default:
				w.Header().Set("Remote-User", "bob")
			}
		})
		var user string
		n := r.run(t, 2, func(w http.ResponseWriter, r *http.Request) { user = r.Header.Get("Remote-User") },
			"localhost:9091", service, "api.example.com {", "login.example.com {\nrespond login\n}\n\napi.example.com {")
		result := n.fetch(t, fetch.Request{Method: "POST", Header: sendsJSON, Credentials: true})
		if verdict(result) != allowed || result.Status != 401 {
			t.Errorf("it is %s, and the script sees %d", verdict(result), result.Status)
		}
		if want := []string{"GET /verify for POST"}; !slices.Equal(verified, want) {
			t.Errorf("the login service was asked %q, want %q", verified, want)
		}
		n.send(t, "POST", api, fields{"Origin": app, "Cookie": "session=bob"}).Want(t, 200, allowAppCookies, varyOrigin)
		if n.programSaw(t, "POST /"); user != "bob" {
			t.Errorf("the program was asked by %q", user)
		}
		if result := n.fetch(t, fetch.Request{URL: "/page"}); verdict(result) != "missing-allow-origin" || result.Cause.URL != "https://login.example.com/" {
			t.Errorf("with a redirect to the login, it is %s: %+v", verdict(result), result.Cause)
		}
	})
	t.Run("order", func(t *testing.T) {
		const cors, login = "cors " + app, "basic_auth {\nbob $2a$04$5un7Qqhl0RPQIbh.gEfC4u.FdK47/qEjblz6NvFwawPSKDwvcVvha\n}"
		preflight := fields{"Origin": app, "Access-Control-Request-Method": "GET"}
		url := livecaddy.Site(t, login+"\n"+cors)
		livecaddy.Send(t, "OPTIONS", url, preflight).Want(t, 204, append([]string{"Access-Control-Max-Age: 600"}, allowApp...), varyPreflight)
		url = livecaddy.Site(t, "route /first/* {\n"+cors+"\n"+login+"\n}\nroute {\n"+login+"\n"+cors+"\n}")
		livecaddy.Send(t, "OPTIONS", url+"/first/", preflight).Want(t, 204, append([]string{"Access-Control-Max-Age: 600"}, allowApp...), varyPreflight)
		livecaddy.Send(t, "OPTIONS", url, preflight).Want(t, 401, nil, nil)
	})
}

func testSignIns(t *testing.T, r *recipe) {
	const idp, apple = "https://login.idp.example", "https://appleid.apple.com"
	program := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/saml/acs", "/oidc/callback", "/apple/callback":
			http.Redirect(w, r, "/signed-in", http.StatusSeeOther)
		}
	}
	// What Chromium, Firefox and WebKit send for a form that a page of another site posts.
	form := func(origin string) fields {
		return fields{
			"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document",
			"Content-Type": "application/x-www-form-urlencoded",
		}
	}
	for _, enforce := range []string{"enforce unsafe", "enforce"} {
		t.Run(enforce, func(t *testing.T) {
			n := r.run(t, 1, program, "enforce unsafe", enforce)
			livecaddy.ForgetDenials(t)
			for _, signIn := range []struct{ path, origin string }{
				{"/saml/acs", idp},
				{"/saml/acs", "null"}, // of a page with Referrer-Policy: no-referrer, or after a redirect
				{"/oidc/callback", idp},
				{"/apple/callback", apple},
			} {
				res := n.send(t, "POST", api+signIn.path, form(signIn.origin))
				if res.StatusCode != http.StatusSeeOther || len(res.CORS()) > 0 {
					t.Errorf("a sign-in at %s from %s gets %d %q", signIn.path, signIn.origin, res.StatusCode, res.CORS())
				}
				n.programSaw(t, "POST "+signIn.path)
			}
			for _, path := range []string{"/orders", "/saml", "/saml/acs/more", "/oidc/callback2", "/"} {
				for _, origin := range []string{other, idp} {
					if res := n.send(t, "POST", api+path, form(origin)); res.StatusCode != 403 {
						t.Errorf("a form of %s at %s gets %d", origin, path, res.StatusCode)
					}
				}
			}
			n.programSaw(t)
			advised := false
			for _, denial := range n.Logged() {
				fix := denial["fix"].(string)
				if advised = advised || strings.HasSuffix(fix, "enforce_except /orders"); strings.Contains(fix, "allow_origins") {
					t.Errorf("the log says: %s", fix)
				}
			}
			if !advised {
				t.Errorf("the log does not say which path to add: %v", n.Logged())
			}

			landing := form("")
			delete(landing, "Origin")
			if res := n.send(t, "GET", api+"/signed-in", landing); res.StatusCode != 200 {
				t.Errorf("the page after the sign-in gets %d", res.StatusCode)
			}
			if res := n.send(t, "POST", api+"/token", nil); res.StatusCode != 200 {
				t.Errorf("a call from server to server gets %d", res.StatusCode)
			}
			n.methods(t, fetch.Request{Header: sendsJSON, Credentials: true}, "GET", "POST", "PUT", "DELETE")
			for _, origin := range []string{idp, apple} {
				n.allows(t, origin, false)
			}
			n.calls(t, call{"a script of the provider, where sign-ins come back", fetch.Request{Origin: idp, URL: "/saml/acs", Method: "POST", Credentials: true}, "missing-allow-origin"})
		})
	}
	n := r.run(t, 1, program, "enforce_except /saml/acs /oidc/callback /apple/callback", "")
	if res := n.send(t, "POST", api+"/saml/acs", form(idp)); res.StatusCode != 403 {
		t.Errorf("without enforce_except, a sign-in gets %d", res.StatusCode)
	}
	n = r.run(t, 1, program, "cors https://app.example.com", "cors https://app.example.com "+idp)
	n.allows(t, idp, true) // which is why the page says not to
}

func testBackend(t *testing.T, r *recipe) {
	t.Run("override", func(t *testing.T) {
		program := says(fields{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Origin+": other, "Access-Control-Expose-Headers": "X-Other"})
		n := r.run(t, 1, program)
		n.methods(t, fetch.Request{}, "GET", "PUT", "DELETE")
		n.calls(t, call{"another page", fetch.Request{Origin: other}, "missing-allow-origin"})
		n.send(t, "GET", api, fields{"Origin": app}).Want(t, 200, allowApp, varyOrigin)

		n = r.run(t, 1, program, "reverse_proxy", "header Access-Control-Allow-Origin *\nreverse_proxy")
		n.send(t, "GET", api, fields{"Origin": app}).Want(t, 200, allowApp, varyOrigin)
		n = r.run(t, 1, program, "reverse_proxy", "header >Access-Control-Allow-Origin *\nreverse_proxy")
		n.send(t, "GET", api, fields{"Origin": other}).Want(t, 200, []string{"Access-Control-Allow-Origin: *"}, varyOrigin)
	})
	t.Run("preserve", func(t *testing.T) {
		library := []string{"Access-Control-Allow-Origin: " + other, "Access-Control-Allow-Methods: PATCH", "Access-Control-Allow-Headers: Upload-Offset"}
		program := func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasPrefix(r.URL.Path, "/uploads/library"):
				for _, line := range library {
					name, value, _ := strings.Cut(line, ": ")
					w.Header().Set(name, value)
				}
			case r.URL.Path == "/uploads/moved":
				http.Redirect(w, r, "/uploads/none", http.StatusPermanentRedirect)
			case r.URL.Path == "/uploads/404":
				w.WriteHeader(http.StatusNotFound)
			case r.URL.Path != "/uploads/none" && r.Method == "OPTIONS":
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		}
		upload := fetch.Request{URL: "/uploads/library", Origin: other, Method: "PATCH", Header: sets("Upload-Offset", "0")}
		n := r.run(t, 2, program)
		n.calls(t,
			call{"an upload, as the library says", upload, allowed},
			call{"an upload of the app, as the library says", fetch.Request{URL: "/uploads/library", Method: "PATCH"}, "allow-origin-mismatch"},
			call{"where the library says nothing", fetch.Request{URL: "/uploads/none", Header: sets("X-Any", "1")}, "header-not-allowed"},
			call{"where the library says nothing, and nothing is needed", fetch.Request{URL: "/uploads/none"}, allowed},
			call{"what answers OPTIONS with 404", fetch.Request{URL: "/uploads/404", Method: "PATCH"}, "preflight-status"},
			call{"what answers OPTIONS with 405", fetch.Request{URL: "/uploads/else", Method: "PATCH"}, "preflight-status"},
			call{"what redirects", fetch.Request{URL: "/uploads/moved", Method: "PATCH"}, "preflight-redirect"},
			call{"the rest, by another page", fetch.Request{URL: "/orders", Origin: other}, "missing-allow-origin"},
		)
		n.methods(t, fetch.Request{URL: "/orders"}, "GET", "PUT", "DELETE")
		n.send(t, "GET", api+"/uploads/library", fields{"Origin": app}).Want(t, 200, library, varyOrigin)

		n = r.run(t, 2, program, "forward_preflight\n", "\n")
		n.calls(t,
			call{"an upload, when cors answers its preflight", upload, "missing-allow-origin"},
			call{"what the library allows without a preflight", fetch.Request{URL: "/uploads/library", Origin: other}, allowed},
		)
	})
}

func testPaths(t *testing.T, r *recipe) {
	const admin = "https://admin.example.com"
	at := func(path, origin, method string, credentials bool) fetch.Request {
		return fetch.Request{URL: path, Origin: origin, Method: method, Credentials: credentials}
	}
	t.Run("matchers", func(t *testing.T) {
		n := r.run(t, 1, says(nil))
		n.calls(t,
			call{"the public part, by anybody", at("/public/x", other, "", false), allowed},
			call{"the public part, with cookies", at("/public/x", app, "", true), "wildcard-with-credentials"},
			call{"the administration's part", at("/admin/x", admin, "DELETE", true), allowed},
			call{"a PUT there", at("/admin/x", admin, "PUT", true), allowed},
			call{"the administration's part, by the app", at("/admin/x", app, "", true), "missing-allow-origin"},
			call{"the rest, by the app", at("/orders", app, "", true), allowed},
			call{"the rest, by the administration", at("/orders", admin, "", true), "missing-allow-origin"},
			call{"the rest, by anybody", at("/orders", other, "", false), "missing-allow-origin"},
		)
		n = r.run(t, 1, says(nil), "cors /admin/*", "@writes method PUT DELETE\ncors @writes")
		n.calls(t, call{"a matcher that the preflight does not match", at("/admin/x", admin, "DELETE", true), "missing-allow-origin"})
		n = r.run(t, 1, says(nil), "cors /admin/*", "@api host api.example.com\ncors @api")
		n.calls(t, call{"a matcher of the host", at("/admin/x", admin, "DELETE", true), allowed})
		n = r.run(t, 1, says(nil), "cors /public/* *", "cors /public/* *\ncors /public/app/* "+app)
		n.calls(t,
			call{"a longer path, by the app", at("/public/app/x", app, "", false), allowed},
			call{"a longer path, by anybody", at("/public/app/x", other, "", false), "missing-allow-origin"},
		)
		n = r.run(t, 1, says(nil), "cors /admin/*", "@login header Authorization *\ncors @login")
		n.calls(t, call{"a matcher for what no preflight has", at("/admin/x", admin, "DELETE", true), "missing-allow-origin"})
	})
	t.Run("blocks", func(t *testing.T) {
		second, third := livecaddy.Upstream(t, says(fields{"X-Program": "second"})), livecaddy.Upstream(t, says(fields{"X-Program": "third"}))
		n := r.run(t, 2, says(fields{"X-Program": "first"}), "localhost:9001", second, "localhost:9002", third)
		n.calls(t,
			call{"the public part, by anybody", at("/public/x", other, "", false), allowed},
			call{"the app's part", at("/app/x", app, "", true), allowed},
			call{"the app's part, by anybody", at("/app/x", other, "", false), "missing-allow-origin"},
			call{"what no cors matches", at("/orders", app, "", false), "missing-allow-origin"},
		)
		for path, want := range map[string]string{"/public/x": "first", "/app/x": "second", "/orders": "third"} {
			if got := n.send(t, "GET", api+path, nil).Header.Get("X-Program"); got != want {
				t.Errorf("%s is answered by the %s program, want the %s", path, got, want)
			}
		}
		n.send(t, "GET", api+"/orders", fields{"Origin": app}).Want(t, 200, nil, nil)
		n = r.run(t, 2, says(nil), "api.example.com {", "api.example.com {\ncors "+other)
		n.calls(t,
			call{"a part, where a cors outside allows it", at("/public/x", other, "", false), allowed},
			call{"a part, where a cors outside does not", at("/public/x", app, "", false), "missing-allow-origin"},
		)
	})
}

func testPartners(t *testing.T, r *recipe) {
	n := r.run(t, 1, says(nil))
	const partner = "https://partner.example.net"
	preflight := func(origin, method, headers string) livecaddy.Response {
		return n.send(t, "OPTIONS", api, fields{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers})
	}
	get := func(origin string) livecaddy.Response {
		return n.send(t, "GET", api, fields{"Origin": origin})
	}
	get(app).Want(t, 200, allowAppCookies, varyOrigin)
	preflight(app, "PUT", "authorization").Want(t, 204, append([]string{
		"Access-Control-Allow-Methods: PUT, PATCH, DELETE",
		"Access-Control-Allow-Headers: Content-Type, Authorization", "Access-Control-Max-Age: 600",
	}, allowAppCookies...), varyPreflight)
	get(partner).Want(t, 200, []string{"Access-Control-Allow-Origin: " + partner, "Access-Control-Expose-Headers: X-Quota-Remaining"}, varyOrigin)
	preflight(partner, "GET", "x-api-key").Want(t, 204, []string{
		"Access-Control-Allow-Origin: " + partner, "Access-Control-Allow-Headers: X-Api-Key", "Access-Control-Expose-Headers: X-Quota-Remaining", "Access-Control-Max-Age: 3600",
	}, varyPreflight)
	n.calls(t,
		call{"a key of the partner's subdomain", fetch.Request{Origin: "https://shop.partner.example.net", Header: sets("X-Api-Key", "x")}, allowed},
		call{"cookies of the partner", fetch.Request{Origin: partner, Credentials: true}, "missing-allow-credentials"},
		call{"a key of anybody", fetch.Request{Origin: other, Header: sets("X-Api-Key", "x")}, "header-not-allowed"},
	)
	get(other).Want(t, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin)
}

func testHTTP(t *testing.T, r *recipe) {
	const old, plain = "http://old.example.com", "http://api.example.com/"
	t.Run("without a site for http", func(t *testing.T) {
		n := r.run(t, 1, says(nil), r.caddyfiles[0][:strings.Index(r.caddyfiles[0], "\napi.example.com {")], "")
		n.calls(t,
			call{"a GET", fetch.Request{Origin: old, URL: plain}, "missing-allow-origin"},
			call{"a PUT", fetch.Request{Origin: old, URL: plain, Method: "PUT"}, "preflight-redirect"},
			call{"a PUT over https", fetch.Request{Origin: old, Method: "PUT"}, allowed},
		)
	})
	t.Run("a redirect for everyone", func(t *testing.T) {
		n := r.run(t, 1, says(nil))
		for _, method := range []string{"GET", "PUT"} {
			result := n.fetch(t, fetch.Request{Origin: old, URL: plain + "orders?x=1", Method: method})
			if verdict(result) != allowed || result.URL != api+"/orders?x=1" {
				t.Errorf("a %s is %s, at %s: %+v", method, verdict(result), result.URL, result.Cause)
			}
		}
		n.programSaw(t, "GET /orders", "PUT /orders")
		n.calls(t, call{"a page over https", fetch.Request{URL: plain}, "mixed-content"})
		if hsts := n.send(t, "GET", api, nil).Header.Get("Strict-Transport-Security"); hsts != "max-age=31536000" {
			t.Errorf("Strict-Transport-Security: %q", hsts)
		}
	})
	t.Run("a redirect for one origin", func(t *testing.T) {
		result := r.run(t, 1, says(nil), "cors *", "cors "+old).fetch(t, fetch.Request{Origin: old, URL: plain})
		if verdict(result) != "missing-allow-origin" || result.Cause.Origin != "null" || result.Cause.URL != api+"/" {
			t.Errorf("it is %s: %+v", verdict(result), result.Cause)
		}
	})
	t.Run("both", func(t *testing.T) {
		const kiosk = "http://kiosk.example.com"
		n := r.run(t, 2, says(nil))
		n.calls(t,
			call{"http", fetch.Request{Origin: kiosk, URL: plain}, allowed},
			call{"https", fetch.Request{Origin: kiosk}, allowed},
			call{"another page", fetch.Request{Origin: old, URL: plain}, "missing-allow-origin"},
			call{"the app, over https", fetch.Request{}, allowed},
			call{"the app, over http", fetch.Request{URL: plain}, "mixed-content"},
		)
		r.refused(t, 2, "http_origin_with_credentials", "https://app.example.com", "https://app.example.com {\nallow_credentials\n}")
	})
}

func testReportOnly(t *testing.T, r *recipe) {
	livecaddy.ForgetDenials(t)
	program := says(fields{"Access-Control-Allow-Origin": "https://older.example.com"})
	n := r.run(t, 1, program)
	theirs := []string{"Access-Control-Allow-Origin: https://older.example.com"}
	preflight := fields{"Origin": app, "Access-Control-Request-Method": "PUT"}
	n.send(t, "GET", api, fields{"Origin": app}).Want(t, 200, theirs, nil)
	n.send(t, "GET", api, fields{"Origin": other}).Want(t, 200, theirs, nil)
	n.send(t, "OPTIONS", api, preflight).Want(t, 200, theirs, nil)
	n.programSaw(t, "GET /", "GET /", "OPTIONS /")
	for _, fix := range []string{`"fix":"allow_origins https://other.example.com"`, `"fix":"allow_methods PUT"`} {
		if log := n.Log(); strings.Count(log, fix) != 1 {
			t.Errorf("no %s in the log:\n%s", fix, log)
		}
	}

	n = r.run(t, 1, program, "report_only", "allow_methods PUT")
	n.calls(t,
		call{"the app's PUT", fetch.Request{Method: "PUT", Header: sendsJSON}, allowed},
		call{"another page", fetch.Request{Origin: other}, "missing-allow-origin"},
	)
	n = r.run(t, 1, program, "report_only", "allow_methods PUT\nenforce")
	n.calls(t, call{"the app's PUT, with enforce", fetch.Request{Method: "PUT"}, allowed})
	n.programAsked()
	n.send(t, "GET", api, fields{"Origin": other}).Want(t, 403, nil, varyEnforced)
	n.programSaw(t)
}

func testFiles(t *testing.T, r *recipe) {
	root := t.TempDir()
	for name, size := range map[string]int{"font.woff2": 1000, "downloads/report.pdf": 2000} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const font, report = "https://static.example.com/font.woff2", "https://static.example.com/downloads/report.pdf"
	n := r.run(t, 1, nil, "/srv/static", root)
	for _, test := range []struct {
		name    string
		request fetch.Request
		status  int
		reads   []string
	}{
		{"a font", fetch.Request{URL: font}, 200, []string{"Accept-Ranges", "Content-Length"}},
		{"a download", fetch.Request{URL: report}, 200, []string{"Content-Disposition", "Accept-Ranges"}},
		{"a part", fetch.Request{URL: report, Header: sets("Range", "bytes=0-1023")}, 206, []string{"Content-Range", "Content-Disposition"}},
		{"the end", fetch.Request{URL: report, Header: sets("Range", "bytes=-500")}, 206, []string{"Content-Range"}},
		{"two parts", fetch.Request{URL: report, Header: sets("Range", "bytes=0-9,20-29")}, 206, []string{"Content-Length"}},
		{"what is not there", fetch.Request{URL: font + "x"}, 404, nil},
	} {
		result := n.fetch(t, test.request)
		if verdict(result) != allowed || result.Status != test.status {
			t.Errorf("%s is %s, and its status %d, want %d: %+v", test.name, verdict(result), result.Status, test.status, result.Cause)
			continue
		}
		reads(t, result, test.reads...)
	}
	everyone := []string{"Access-Control-Allow-Origin: *", "Access-Control-Expose-Headers: Content-Disposition, Content-Range, Accept-Ranges"}
	etag := n.send(t, "GET", font, fields{"Origin": app}).Header.Get("Etag")
	n.send(t, "GET", font, fields{"Origin": app, "If-None-Match": etag}).Want(t, 304, everyone, []string{"Accept-Encoding"})
	if got := n.send(t, "GET", report, nil).Header.Get("Content-Disposition"); got != "attachment" {
		t.Errorf("Content-Disposition: %q", got)
	}

	n = r.run(t, 1, nil, "/srv/static", root, "allow_headers Range\n", "\n")
	n.calls(t,
		call{"a part, without allow_headers", fetch.Request{URL: report, Header: sets("Range", "bytes=0-1023")}, allowed},
		call{"the end, without allow_headers", fetch.Request{URL: report, Header: sets("Range", "bytes=-500")}, "header-not-allowed"},
		call{"two parts, without allow_headers", fetch.Request{URL: report, Header: sets("Range", "bytes=0-9,20-29")}, "header-not-allowed"},
	)
	n = r.run(t, 1, nil, "/srv/static", root, "cors *", "cors "+app)
	n.send(t, "GET", font, nil).Want(t, 200, nil, []string{"Accept-Encoding", "Origin"})
}

func testGraphQL(t *testing.T, r *recipe) {
	n := r.run(t, 1, says(nil))
	const graphQL = api + "/graphql"
	query := fetch.Request{URL: graphQL, Method: "POST", Header: slices.Concat(sendsJSON, sendsToken)}
	n.calls(t,
		call{"a query", query, allowed},
		call{"an upload to Apollo", fetch.Request{URL: graphQL, Method: "POST", Header: sets("Content-Type", "multipart/form-data; boundary=x", "Apollo-Require-Preflight", "true")}, allowed},
		call{"a GET to Apollo", fetch.Request{URL: graphQL + "?query=x", Header: sets("X-Apollo-Operation-Name", "x")}, allowed},
		call{"a client with a name", fetch.Request{URL: graphQL, Method: "POST", Header: sets("apollographql-client-name", "x")}, "header-not-allowed"},
		call{"another page", fetch.Request{URL: graphQL, Origin: other, Method: "POST", Header: sendsJSON}, "missing-allow-origin"},
	)
	preflights, browser := 0, &fetch.Client{Transport: n}
	for range 3 {
		for _, step := range browse(t, browser, query).Steps {
			if step.Exchange != nil && step.Exchange.Preflight {
				preflights++
			}
		}
	}
	if preflights != 1 {
		t.Errorf("%d preflights for three queries", preflights)
	}
	n.send(t, "OPTIONS", graphQL, fields{"Origin": app, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}).Want(t, 204,
		append([]string{"Access-Control-Allow-Headers: Content-Type, Authorization, Apollo-Require-Preflight, X-Apollo-Operation-Name", "Access-Control-Max-Age: 7200"}, allowApp...), varyPreflight)

	n = r.run(t, 1, says(nil), "Content-Type, Authorization,", "Content-Type,", "max_age 2h", "max_age 2h\nallow_credentials")
	n.calls(t,
		call{"a query with a cookie", fetch.Request{URL: graphQL, Method: "POST", Header: sendsJSON, Credentials: true}, allowed},
		call{"a query with a token", query, "header-not-allowed"},
	)
}

func testRPC(t *testing.T, r *recipe) {
	n := r.run(t, 1, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Grpc-Web") != "" {
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "not found")
			w.Header().Set("Grpc-Status-Details-Bin", "CAU")
		} else {
			w.Header().Set("Trailer-X-Cost", "1")
		}
	})
	const method = api + "/greet.v1.GreetService/Greet"
	grpcWeb := fetch.Request{URL: method, Method: "POST", Header: sets("Content-Type", "application/grpc-web+proto", "X-Grpc-Web", "1", "X-User-Agent", "grpc-web-javascript/0.1", "Grpc-Timeout", "1S")}
	connect := fetch.Request{URL: method, Method: "POST", Header: sets("Content-Type", "application/json", "Connect-Protocol-Version", "1", "Connect-Timeout-Ms", "1000")}
	get := fetch.Request{URL: method + "?connect=v1&encoding=json&message=%7B%7D"}
	n.calls(t,
		call{"gRPC-Web", grpcWeb, allowed},
		call{"Connect", connect, allowed},
		call{"a GET of Connect", get, allowed},
		call{"metadata that are not listed", fetch.Request{URL: method, Method: "POST", Header: slices.Concat(connect.Header, sendsToken)}, "header-not-allowed"},
		call{"another page", fetch.Request{URL: method, Origin: other, Method: "POST", Header: connect.Header}, "missing-allow-origin"},
	)
	reads(t, n.fetch(t, grpcWeb), "Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin")
	if n.fetch(t, connect).Readable("Trailer-X-Cost") {
		t.Error("the script can read Trailer-X-Cost")
	}
	if result := n.fetch(t, get); result.Steps[0].Outcome != fetch.CORS {
		t.Errorf("a GET of Connect needs a preflight: %s", result.Steps[0].Text)
	}
	n.send(t, "OPTIONS", method, fields{"Origin": app, "Access-Control-Request-Method": "POST"}).Want(t, 204, append([]string{
		"Access-Control-Allow-Headers: Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent",
		"Access-Control-Expose-Headers: Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin", "Access-Control-Max-Age: 7200",
	}, allowApp...), varyPreflight)
	n = r.run(t, 1, says(fields{"Trailer-X-Cost": "1"}), "Grpc-Status,", "Trailer-X-Cost, Grpc-Status,")
	reads(t, n.fetch(t, connect), "Trailer-X-Cost")
}

func testEvents(t *testing.T, r *recipe) {
	release := map[string]chan struct{}{"/events": make(chan struct{}), "/lines": make(chan struct{})}
	n := r.run(t, 1, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if r.URL.Path == "/lines" {
			w.Header().Set("Content-Type", "application/x-ndjson")
		}
		fmt.Fprintf(w, "data: after %s\n\n", r.Header.Get("Last-Event-ID"))
		http.NewResponseController(w).Flush()
		select {
		case <-release[r.URL.Path]:
			io.WriteString(w, "data: released\n\n")
		case <-r.Context().Done():
		}
	})
	const events = api + "/events"
	n.calls(t,
		call{"an EventSource", fetch.Request{URL: events, Credentials: true}, allowed},
		call{"a library with a token", fetch.Request{URL: events, Header: sendsToken}, "header-not-allowed"},
		call{"another page", fetch.Request{URL: events, Origin: other, Credentials: true}, "missing-allow-origin"},
	)
	for path, release := range release {
		req, err := http.NewRequestWithContext(t.Context(), "GET", api+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", app)
		req.Header.Set("Last-Event-ID", "7") // as browsers send it, without a preflight
		res, err := n.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		(livecaddy.Response{Response: res}).Want(t, 200, allowAppCookies, varyOrigin)
		body := bufio.NewReader(res.Body)
		if line, err := body.ReadString('\n'); line != "data: after 7\n" {
			t.Fatalf("the first event of %s is %q, %v", path, line, err)
		}
		close(release)
		if rest, err := io.ReadAll(body); string(rest) != "\ndata: released\n\n" || err != nil {
			t.Errorf("the rest of %s is %q, %v", path, rest, err)
		}
	}
	n = r.run(t, 1, says(nil), "allow_credentials", "")
	n.calls(t,
		call{"an EventSource without cookies", fetch.Request{URL: events}, allowed},
		call{"an EventSource with cookies", fetch.Request{URL: events, Credentials: true}, "missing-allow-credentials"},
	)
	n = r.run(t, 1, says(nil), "allow_credentials", "allow_headers Authorization, Last-Event-ID")
	n.calls(t, call{"a library with a token, after a break", fetch.Request{URL: events, Header: slices.Concat(sendsToken, sets("Last-Event-ID", "7"))}, allowed})
}

func testWebSockets(t *testing.T, r *recipe) {
	program := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nhello")
	}
	// connect returns the status of the handshake.
	connect := func(n *internet, path, origin string) int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", api+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range (fields{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin}) {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
		res, err := n.transport(t, "http/1.1").RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); (string(body) == "hello") != (res.StatusCode == 101) {
			t.Errorf("status %d, and the socket says %q", res.StatusCode, body)
		}
		return res.StatusCode
	}
	n := r.run(t, 1, program)
	for _, test := range []struct {
		who, origin string
		status      int
	}{
		{"the app", app, 101},
		{"another page", other, 403},
		{"a page without an origin of its own", "null", 403},
		{"a page of the API's own origin", api, 101},
		{"a program", "", 101},
	} {
		n.programAsked()
		if status := connect(n, "/ws", test.origin); status != test.status {
			t.Errorf("%s gets %d, want %d", test.who, status, test.status)
		}
		if asked := len(n.programAsked()) > 0; asked != (test.status == 101) {
			t.Errorf("%s: the program is asked: %v", test.who, asked)
		}
	}
	n.send(t, "GET", api, fields{"Origin": other}).Want(t, 403, nil, varyEnforced)

	n = r.run(t, 1, program, "cors", "cors /ws")
	if status := connect(n, "/ws", other); status != 403 {
		t.Errorf("with a path, another page gets %d", status)
	}
	n.send(t, "GET", api, fields{"Origin": other}).Want(t, 200, nil, nil)

	// Without enforce, every page may.
	n = r.run(t, 1, program, "enforce", "allow_credentials")
	if status := connect(n, "/ws", other); status != 101 {
		t.Errorf("without enforce, another page gets %d", status)
	}
}

func testMCP(t *testing.T, r *recipe) {
	program := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Mcp-Session-Id", "1")
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	// exercise makes the calls of a client, which both Caddyfiles allow, and those that they do not.
	exercise := func(t *testing.T, n *internet, page, mcp string) {
		header := func(more ...string) []fetch.Field {
			return append(sets("Content-Type", "application/json", "Accept", "application/json, text/event-stream", "Authorization", "Bearer x"), sets(more...)...)
		}
		tool := header("Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "x")
		n.calls(t,
			call{"a tool", fetch.Request{Origin: page, URL: mcp, Method: "POST", Header: tool}, allowed},
			call{"a message in a session", fetch.Request{Origin: page, URL: mcp, Method: "POST", Header: header("Mcp-Protocol-Version", "2025-11-25", "Mcp-Session-Id", "1")}, allowed},
			call{"the stream of a session", fetch.Request{Origin: page, URL: mcp, Header: header("Mcp-Session-Id", "1", "Last-Event-ID", "7")}, allowed},
			call{"the end of a session", fetch.Request{Origin: page, URL: mcp, Method: "DELETE", Header: header("Mcp-Session-Id", "1")}, allowed},
			call{"a parameter that is not listed", fetch.Request{Origin: page, URL: mcp, Method: "POST", Header: header("Mcp-Param-Region", "eu")}, "header-not-allowed"},
			call{"another page", fetch.Request{Origin: other, URL: mcp, Method: "POST", Header: tool}, "missing-allow-origin"},
		)
		result := n.fetch(t, fetch.Request{Origin: page, URL: mcp, Method: "POST", Header: sendsJSON})
		if verdict(result) != allowed || result.Status != 401 {
			t.Errorf("without a login, it is %s, and the script sees %d", verdict(result), result.Status)
		}
		reads(t, result, "WWW-Authenticate", "Mcp-Session-Id")
		n.programAsked()
		n.send(t, "POST", mcp, fields{"Origin": other, "Authorization": "Bearer x"}).Want(t, 403, nil, varyEnforced)
		n.send(t, "POST", mcp, fields{"Authorization": "Bearer x"}).Want(t, 200, nil, varyEnforced)
		n.programSaw(t, "POST /mcp")
	}
	t.Run("deployed", func(t *testing.T) {
		exercise(t, r.run(t, 1, program), app, api+"/mcp")
	})
	t.Run("on this machine", func(t *testing.T) {
		port := livecaddy.FreePort(t)
		n := r.run(t, 2, program, "localhost:8080", "localhost:"+port)
		exercise(t, n, "http://localhost:6274", "http://localhost:"+port+"/mcp")

		if config, err := livecaddy.Adapt(r.caddyfile(t, 2)); err != nil || !strings.Contains(string(config), `"listen":["127.0.0.1:8080"]`) {
			t.Errorf("it does not listen on 127.0.0.1 alone, but as in %s, %v", config, err)
		}

		// What a browser sends for a page of a website whose name points here now.
		attack := func(port string) {
			rebound := "rebound.example:" + port
			n.send(t, "POST", "http://127.0.0.1:"+port+"/mcp", fields{"Host": rebound, "Origin": "http://" + rebound, "Sec-Fetch-Site": "same-origin", "Authorization": "Bearer x"})
		}
		attack(port)
		n.programSaw(t)
		port = livecaddy.FreePort(t)
		n = r.run(t, 2, program, "http://localhost:8080", ":"+port)
		attack(port)
		n.programSaw(t, "POST /mcp") // because no name is in the site's address
	})
}

func testOriginsFile(t *testing.T, r *recipe) {
	file := filepath.Join(t.TempDir(), "origins")
	replace := func(list string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		// On Windows, that fails while Caddy reads the file.
		livecaddy.Eventually(t, "the list is replaced", func() bool { return os.Rename(file+".new", file) == nil })
	}
	replace("# run/origins\nhttps://shop.customer-one.example\nhttps://*.customer-two.example     # all their shops\n")
	n := r.run(t, 1, says(nil), "file run/origins", "file "+file+" {\ninterval 100ms\n}")
	n.becomes(t, "https://shop.customer-one.example", true)
	n.becomes(t, "https://a.customer-two.example", true)
	n.becomes(t, "https://customer-three.example", false)
	n.methods(t, fetch.Request{Origin: "https://shop.customer-one.example", Header: slices.Concat(sendsJSON, sendsToken)}, "GET", "PUT", "DELETE")
	replace("https://customer-three.example\n")
	n.becomes(t, "https://customer-three.example", true)
	n.becomes(t, "https://shop.customer-one.example", false)
}

func testOriginsStorage(t *testing.T, r *recipe) {
	shared := t.TempDir()
	key := filepath.Join(shared, "cors", "origins")
	if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(list string) {
		t.Helper()
		if err := os.WriteFile(key, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("https://one.example\nhttp://two.example\n")
	n := r.run(t, 1, says(nil), "/mnt/shared/caddy", shared, "storage cors/origins", "storage cors/origins {\ninterval 100ms\n}")
	n.becomes(t, "https://one.example", true)
	n.allows(t, "https://one.example", true)
	n.becomes(t, "http://two.example", false)
	write("https://two.example\n")
	n.becomes(t, "https://two.example", true)
	n.becomes(t, "https://one.example", false)
}

func testOriginsAsk(t *testing.T, r *recipe) {
	database := map[string]bool{"https://one.example": true, "https://two.example": true}
	asked := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/origins" || !database[r.FormValue("origin")] {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	n := r.run(t, 1, says(nil), "localhost:9001", asked)
	n.becomes(t, "https://one.example", true)
	n.becomes(t, "https://two.example", true)
	n.becomes(t, "https://three.example", false)
	n.methods(t, fetch.Request{Origin: "https://one.example", Header: sendsJSON}, "GET", "POST")
}

func testTenants(t *testing.T, r *recipe) {
	n := r.run(t, 1, says(nil))
	for _, test := range []struct{ tenant, origin, want string }{
		{"blue", "https://www.blue.example", allowed},
		{"green", "https://green.example.net", allowed},
		{"blue", "https://green.example.net", "missing-allow-origin"},
		{"red", "https://www.blue.example", "missing-allow-origin"},
	} {
		n.calls(t, call{test.origin + " at " + test.tenant, fetch.Request{Origin: test.origin, URL: "https://" + test.tenant + ".api.example.com/"}, test.want})
	}
	n.send(t, "GET", "https://red.api.example.com/", fields{"Origin": ""}).Want(t, 200, nil, varyOrigin)
	r.refused(t, 1, "any_origin_with_credentials", "cors {tenant_origin}", "cors {tenant_origin} {\nallow_credentials\n}")
	if _, err := livecaddy.Adapt(r.caddyfile(t, 1, "cors {tenant_origin}", "cors https://{http.request.host.labels.3}.app.example.com {\nallow_credentials\n}")); err != nil {
		t.Error(err)
	}
}

// The program of the page is built and run, with a table of two tenants.
func testTenantsTable(t *testing.T, r *recipe) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		// A new file at the old name, so that no reader sees a part of it. It may be in use on Windows.
		livecaddy.Eventually(t, "the file can be replaced", func() bool {
			return os.WriteFile(filepath.Join(dir, name+".new"), []byte(text), 0o600) == nil &&
				os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)) == nil
		})
	}
	asked := "127.0.0.1:" + livecaddy.FreePort(t)
	write("main.go", strings.Replace(r.programs[0], "localhost:9001", asked, 1))
	write("go.mod", "module tenants\n\ngo 1.26\n")
	write("tenants.csv", "blue.api.example.com,https://www.blue.example\nblue.api.example.com,https://beta.blue.example\ngreen.api.example.com,https://green.example\n")
	build := exec.Command("go", "build", "-o", "tenants.exe", ".")
	build.Dir = dir
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	program := exec.Command(filepath.Join(dir, "tenants.exe"))
	program.Dir = dir
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	})
	t.Cleanup(stop)
	livecaddy.Eventually(t, "the program answers", func() bool {
		response, err := http.Get("http://" + asked + "/origins")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})

	n := r.run(t, 1, says(nil), "localhost:9001", asked, "ttl 30s", "ttl 100ms")
	allows := func(tenant, origin string) bool {
		t.Helper()
		request := fetch.Request{Origin: origin, URL: "https://" + tenant + ".api.example.com/", Credentials: true, Header: sendsJSON, Method: "POST"}
		return verdict(n.fetch(t, request)) == allowed
	}
	for _, test := range []struct {
		tenant, origin string
		want           bool
	}{
		{"blue", "https://www.blue.example", true},
		{"blue", "https://beta.blue.example", true},
		{"blue", "https://green.example", false},
		{"green", "https://green.example", true},
		{"green", "https://www.blue.example", false},
		{"red", "https://green.example", false},
	} {
		if allows(test.tenant, test.origin) != test.want {
			t.Errorf("%s at %s: allowed is not %v", test.origin, test.tenant, test.want)
		}
	}

	write("tenants.csv", "blue.api.example.com,https://www.blue.example\ngreen.api.example.com,https://www.blue.example\n")
	livecaddy.Eventually(t, "an origin that was added is allowed", func() bool { return allows("green", "https://www.blue.example") })
	livecaddy.Eventually(t, "an origin that was removed is denied", func() bool { return !allows("blue", "https://beta.blue.example") })
	stop()
	for range 10 {
		if !allows("green", "https://www.blue.example") || allows("blue", "https://beta.blue.example") {
			t.Error("the last answer does not stand while the program is down")
		}
	}

	// The other way to know a tenant.
	n = r.run(t, 1, says(nil), "localhost:9001", asked, "?host={host}", "?tenant={header.X-Tenant}")
	n.send(t, "GET", "https://red.api.example.com/", fields{"Origin": "", "X-Tenant": "blue"}).Want(t, 200, nil, []string{"Origin", "X-Tenant"})
}
