package docs_test

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// migration returns the Caddyfiles under a heading of the page.
func migration(t *testing.T, heading string) *recipe {
	t.Helper()
	r := newRecipe(markdown.Read(t, "migrating.md").Section(t, heading))
	if len(r.caddyfiles) == 0 {
		t.Fatalf("docs/migrating.md has no Caddyfile under %q", heading)
	}
	return r
}

// taught is a backend that has been taught some CORS on one of its paths, and has never heard of OPTIONS.
func taught(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Total", "7")
	w.Header().Set("Link", "</orders?page=2>; rel=next")
	switch {
	case r.Method == "OPTIONS":
		w.WriteHeader(http.StatusMethodNotAllowed)
	case r.URL.Path == "/own":
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Expose-Headers", "X-Own")
		w.Header().Set("Vary", "Accept")
	case r.URL.Path == "/moved":
		http.Redirect(w, r, "/orders", http.StatusFound)
	case r.URL.Path == "/fails":
		w.WriteHeader(http.StatusInternalServerError)
	case r.URL.Path == "/gone":
		panic(http.ErrAbortHandler) // so that Caddy answers 502
	}
}

// What the page says changes wherever one comes from holds for each Caddyfile that it gives, and each is the policy of the
// configuration beside it.
func TestMigrated(t *testing.T) {
	const (
		admin   = "https://admin.example.com"
		preview = "https://pr-7.preview.example.com"
		partner = "https://partner.example"
	)
	credentials := "Access-Control-Allow-Credentials: true"
	tests := []struct {
		heading         string
		number          int
		allowed, denied []string
		preflight       []string // what the answers to preflights have besides those below
		actual          []string // what all responses have besides Access-Control-Allow-Origin
	}{
		{"From header lines in a Caddyfile", 2, []string{app, admin}, []string{partner},
			[]string{"Access-Control-Allow-Methods: PUT, PATCH, DELETE", "Access-Control-Allow-Headers: Content-Type", "Access-Control-Max-Age: 3600"},
			[]string{"Access-Control-Expose-Headers: Link"}},
		{"From Caddy 1", 1, []string{app, admin, preview}, []string{partner, "https://preview.example.com", preview + ".evil.example"},
			[]string{"Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: Content-Type, Authorization", "Access-Control-Max-Age: 3600"},
			[]string{credentials, "Access-Control-Expose-Headers: X-Total"}},
		{"From nginx", 1, []string{app, preview}, []string{admin, "https://a.b.preview.example.com", preview + ".evil.example"},
			[]string{"Access-Control-Allow-Methods: PUT, DELETE", "Access-Control-Allow-Headers: Authorization, Content-Type", "Access-Control-Max-Age: 86400"},
			[]string{credentials, "Access-Control-Expose-Headers: Content-Range"}},
		{"From Traefik", 1, []string{app, preview}, []string{admin, "https://www.preview.example.com", preview + ".evil.example"},
			[]string{"Access-Control-Allow-Methods: PUT, DELETE", "Access-Control-Allow-Headers: Authorization, Content-Type", "Access-Control-Max-Age: 600"},
			[]string{credentials, "Access-Control-Expose-Headers: X-Total"}},
		{"From Envoy and the Gateway API", 1, []string{app, preview, "https://a.b.preview.example.com"}, []string{admin, "https://preview.example.com", preview + ":8443"},
			[]string{"Access-Control-Allow-Methods: PUT, DELETE", "Access-Control-Allow-Headers: Authorization, Content-Type", "Access-Control-Max-Age: 3600"},
			[]string{credentials, "Access-Control-Expose-Headers: X-Total"}},
		{"From Express", 1, []string{app, preview}, []string{admin, "https://preview.example.com", "https://evilpreview.example.com"},
			[]string{"Access-Control-Allow-Methods: PUT, DELETE", "Access-Control-Allow-Headers: Authorization, Content-Type", "Access-Control-Max-Age: 3600"},
			[]string{credentials, "Access-Control-Expose-Headers: X-Total"}},
		{"From rs/cors", 1, []string{app, preview}, []string{admin, "https://preview.example.com"},
			[]string{"Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: Authorization, Content-Type", "Access-Control-Max-Age: 3600"},
			[]string{credentials, "Access-Control-Expose-Headers: X-Total"}},
	}
	for _, test := range tests {
		t.Run(test.heading, func(t *testing.T) {
			n := migration(t, test.heading).run(t, test.number, taught)
			preflight := func(origin, method string) fields {
				return fields{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
			}
			for _, origin := range test.allowed {
				actual := append([]string{"Access-Control-Allow-Origin: " + origin}, test.actual...)
				whole := append(slices.Clone(actual), test.preflight...)
				n.send(t, "OPTIONS", api, preflight(origin, "PUT")).Want(t, 204, whole, varyPreflight)
				noAge := slices.DeleteFunc(whole, func(line string) bool { return strings.HasPrefix(line, "Access-Control-Max-Age") })
				n.send(t, "OPTIONS", api, preflight(origin, "LINK")).Want(t, 204, noAge, varyPreflight)
				for path, status := range map[string]int{"/": 200, "/moved": 302, "/fails": 500, "/gone": 502} {
					n.send(t, "GET", api+path, fields{"Origin": origin}).Want(t, status, actual, varyOrigin)
				}
				n.send(t, "GET", api+"/own", fields{"Origin": origin}).Want(t, 200, actual, []string{"Origin", "Accept"})
			}
			for _, origin := range test.denied {
				n.send(t, "OPTIONS", api, preflight(origin, "PUT")).Want(t, 403, nil, varyPreflight)
				n.send(t, "GET", api, fields{"Origin": origin}).Want(t, 200, nil, varyOrigin)
				n.send(t, "GET", api+"/own", fields{"Origin": origin}).Want(t, 200, nil, []string{"Origin", "Accept"})
			}
			n.send(t, "GET", api, nil).Want(t, 200, nil, varyOrigin)

			if asked := n.programAsked(); slices.Contains(asked, "OPTIONS /") {
				t.Error("a preflight has reached the backend")
			}
			n.send(t, "OPTIONS", api, fields{"Origin": test.denied[0]}).Want(t, 405, nil, varyOrigin)
		})
	}
}

// The policies of those that allow everyone.
func TestMigratedForEveryone(t *testing.T) {
	get, post, patch := fetch.Request{}, fetch.Request{Method: "POST"}, fetch.Request{Method: "PATCH"}
	withCookies := fetch.Request{Credentials: true}
	anything := fetch.Request{Header: sets("Authorization", "Bearer x", "X-Any", "1")}
	form := fetch.Request{Method: "POST", Header: sets("Content-Type", "application/json", "X-Requested-With", "fetch")}
	for _, test := range []struct {
		heading string
		number  int
		calls   []call
	}{
		{"From header lines in a Caddyfile", 4, []call{{"GET", get, allowed}, {"POST", post, allowed}, {"with cookies", withCookies, "wildcard-with-credentials"}}},
		{"From Express", 2, []call{{"GET", get, allowed}, {"PATCH", patch, allowed}, {"any header", anything, allowed}, {"with cookies", withCookies, "wildcard-with-credentials"}}},
		{"From rs/cors", 2, []call{{"GET", get, allowed}, {"the default headers", form, allowed}, {"PATCH", patch, "method-not-allowed"}, {"any header", anything, "header-not-allowed"}}},
	} {
		t.Run(test.heading, func(t *testing.T) {
			n := migration(t, test.heading).run(t, test.number, taught)
			n.calls(t, test.calls...)
			n.send(t, "GET", api+"/own", nil).Want(t, 200, []string{"Access-Control-Allow-Origin: *"}, []string{"Accept"})
		})
	}
}

// While it only reports, the backend's own CORS goes on. Without report_only, it has no part in it, though it is still there.
func TestMigratingStepByStep(t *testing.T) {
	own := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Methods", "PUT, DELETE")
		w.Header().Set("Access-Control-Allow-Headers", "content-type")
	}
	put, del, fromOther := fetch.Request{Method: "PUT", Header: sets("Content-Type", "application/json")}, fetch.Request{Method: "DELETE"}, fetch.Request{Origin: other}
	way := migration(t, "Steps that work for all")
	t.Run("only reporting", func(t *testing.T) {
		n := way.run(t, 1, own)
		n.calls(t, call{"a call that the policy allows", put, allowed}, call{"one that it does not", del, allowed}, call{"another origin's", fromOther, allowed})
		n.send(t, "GET", api, fields{"Origin": other}).Want(t, 200, []string{
			"Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: PUT, DELETE", "Access-Control-Allow-Headers: content-type",
		}, nil)
		if asked := n.programAsked(); !slices.Contains(asked, "OPTIONS /") {
			t.Errorf("the backend was asked for %q", asked)
		}
	})
	t.Run("switched", func(t *testing.T) {
		n := way.run(t, 1, own, "\t\treport_only\n", "")
		n.calls(t, call{"a call that the policy allows", put, allowed}, call{"one that it does not", del, "method-not-allowed"}, call{"another origin's", fromOther, "missing-allow-origin"})
		n.send(t, "GET", api, fields{"Origin": app}).Want(t, 200, allowApp, varyOrigin)
		if asked := n.programAsked(); slices.Contains(asked, "OPTIONS /") {
			t.Errorf("the backend was asked for %q", asked)
		}
	})
}

// What the page says is wrong with header lines is so, and cors is right in the same site.
func TestHeaderLines(t *testing.T) {
	const missing, status, twice = "missing-allow-origin", "preflight-status", "multiple-allow-origin"
	root := t.TempDir()
	site := fmt.Sprintf(`
		redir /old /orders
		basic_auth /private {
			user $2a$04$5un7Qqhl0RPQIbh.gEfC4u.FdK47/qEjblz6NvFwawPSKDwvcVvha
		}
		handle /handled {
			respond "the site's own handle"
		}
		handle /files/* {
			root %s
			file_server
		}
		reverse_proxy localhost:9000`, root)
	candidates := []struct {
		name   string
		number int
		edit   []string
	}{
		{"the snippet", 1, nil},
		{"the line", 3, nil},
		{"the deferred line", 3, []string{"header Access", "header >Access"}},
		{"cors", 2, nil},
	}
	get := func(path string) fetch.Request { return fetch.Request{URL: api + path} }
	put := func(path, origin string) fetch.Request {
		return fetch.Request{URL: api + path, Origin: origin, Method: "PUT", Header: sets("Content-Type", "application/json")}
	}
	calls := []struct {
		name    string
		request fetch.Request
		want    [4]string // of the candidates
	}{
		{"a GET", get("/orders"), [4]string{allowed, allowed, allowed, allowed}},
		{"a PUT", put("/orders", app), [4]string{allowed, status, status, allowed}},
		{"a PUT of the second origin", put("/orders", "https://admin.example.com"), [4]string{"allow-origin-mismatch", status, status, allowed}},
		{"a backend that sends headers, too", get("/own"), [4]string{twice, twice, allowed, allowed}},
		{"a backend that is down", get("/gone"), [4]string{allowed, allowed, missing, allowed}},
		{"a file that is not there", get("/files/none"), [4]string{allowed /* of the backend */, allowed, missing, allowed}},
		{"a password that is missing", get("/private"), [4]string{missing, allowed, missing, allowed}},
		{"a preflight where a password is needed", put("/private", app), [4]string{missing, status, missing, allowed}},
		{"a redirect", get("/old"), [4]string{missing, allowed, allowed, allowed}},
		{"a preflight that is redirected", put("/old", app), [4]string{"preflight-redirect", "preflight-redirect", "preflight-redirect", allowed}},
	}
	for i, candidate := range candidates {
		t.Run(candidate.name, func(t *testing.T) {
			ours := candidate.name == "cors"
			lines := migration(t, "From header lines in a Caddyfile")
			n := lines.run(t, candidate.number, taught, append(candidate.edit, "\treverse_proxy localhost:9000", site)...)
			for _, c := range calls {
				n.calls(t, call{c.name, c.request, c.want[i]})
			}
			res := n.send(t, "GET", api+"/handled", fields{"Origin": app})
			if ran := strings.Contains(res.Text, "own handle"); ran != (candidate.name != "the snippet") {
				t.Errorf("the site's own handle runs: %v", ran)
			}
			if varies := slices.Contains(res.Vary(), "Origin"); varies != ours {
				t.Errorf("Vary has Origin: %v", varies)
			}
			plain := n.send(t, "OPTIONS", api+"/orders", nil).StatusCode
			if answered := plain == 204; answered != (candidate.name == "the snippet") {
				t.Errorf("an OPTIONS request that is no preflight gets %d", plain)
			}
		})
	}
}

// What a line that is left in the site does to cors.
func TestHeaderLinesLeft(t *testing.T) {
	const old = "Access-Control-Allow-Origin https://old.example.com"
	for name, test := range map[string]struct{ left, options, want string }{
		"a plain one":                {"header " + old, "", allowed},
		"a deferred one in a handle": {"handle {\nheader >" + old + "\nreverse_proxy localhost:9000\n}", "", allowed},
		"a deferred one":             {"header >" + old, "", "allow-origin-mismatch"},
		"a plain one, preserved":     {"header " + old, "\nupstream preserve", "allow-origin-mismatch"},
	} {
		t.Run(name, func(t *testing.T) {
			n := migration(t, "From header lines in a Caddyfile").run(t, 2, taught,
				"max_age 1h", "max_age 1h"+test.options, "\treverse_proxy", test.left+"\n\treverse_proxy")
			n.calls(t, call{"GET", fetch.Request{}, test.want})
		})
	}
}

// What Caddy 1 made of a path, and of several directives.
func TestMigratingPaths(t *testing.T) {
	for name, test := range map[string]struct {
		edit  []string
		paths map[string]string
	}{
		"a slash is a path":             {[]string{"cors https://app", "cors / https://app"}, map[string]string{"/": allowed, "/orders": "missing-allow-origin"}},
		"a prefix":                      {[]string{"cors https://app", "cors /api* https://app"}, map[string]string{"/api": allowed, "/api/orders": allowed, "/orders": "missing-allow-origin"}},
		"the longest path comes first":  {[]string{"\tcors https://app", "\tcors /api* " + other + "\n\tcors /api/orders* https://app"}, map[string]string{"/api/orders": allowed, "/api/users": "missing-allow-origin"}},
		"a path before one without any": {[]string{"\treverse_proxy", "\tcors /api* " + other + "\n\treverse_proxy"}, map[string]string{"/api": "missing-allow-origin", "/orders": allowed}},
	} {
		t.Run(name, func(t *testing.T) {
			n := migration(t, "From Caddy 1").run(t, 1, taught, test.edit...)
			for path, want := range test.paths {
				n.calls(t, call{path, fetch.Request{URL: api + path}, want})
			}
		})
	}
}

// An expression that the others search for in an origin matches all of it here.
func TestMigratingRegexps(t *testing.T) {
	const www, bare, evil = "https://www.example.com", "https://example.com", "https://evilexample.com"
	for expression, allows := range map[string][]string{
		`https://(.+\.)?example\.com`:   {www, bare},
		`^https://(.+\.)?example\.com$`: {www, bare},
		`https://.+\.example\.com|evil`: {www},
	} {
		t.Run(expression, func(t *testing.T) {
			n := migration(t, "From Traefik").run(t, 1, taught, `https://pr-[0-9]+\.preview\.example\.com`, expression)
			for _, origin := range []string{www, bare, evil} {
				want := "missing-allow-origin"
				if slices.Contains(allows, origin) {
					want = allowed
				}
				n.calls(t, call{origin, fetch.Request{Origin: origin}, want})
			}
		})
	}
}

// A "*" for headers has Authorization beside it, to be what the others make of it.
func TestMigratingAnyHeader(t *testing.T) {
	for _, test := range []struct{ headers, want string }{{"*", "header-not-allowed"}, {"* Authorization", allowed}} {
		t.Run(test.headers, func(t *testing.T) {
			n := migration(t, "From Express").run(t, 1, taught, "allow_headers Authorization, Content-Type", "allow_headers "+test.headers)
			n.calls(t, call{"any header", fetch.Request{Credentials: true, Header: sets("Authorization", "Bearer x", "X-Any", "1")}, test.want},
				call{"any but that", fetch.Request{Credentials: true, Header: sets("X-Any", "1")}, allowed})
		})
	}
}

// What the others load, and is refused here, says what to write instead.
func TestMigratingRefused(t *testing.T) {
	for _, test := range []struct{ there, here, want string }{
		{"no origin at all", "cors", `"cors *"`},
		{"upper case and a slash", "cors https://App.example.com/", `did you mean "https://app.example.com"?`},
		{"everyone beside an origin", "cors * https://app.example.com", `remove "*"`},
		{"a wildcard in a label", "cors https://app-*.example.com", "allow_origins_regexp"},
		{"a wildcard for more than a host", "cors h*", `"h*" is not an origin; write it as`},
		{"everyone, with credentials", "cors * {\nallow_credentials\n}", "insecure any_origin_with_credentials"},
		{"the request's origin, with credentials", "cors {header.Origin} {\nallow_credentials\n}", "insecure any_origin_with_credentials"},
		{"any host, with credentials", "cors https://* {\nallow_credentials\n}", "insecure any_origin_with_credentials"},
		{"20 days", "cors * {\nmax_age 1728000s\n}", `did you mean "24h"`},
		{"seconds without a unit", "cors * {\nmax_age 3600\n}", `"3600s"`},
		{"DNT", "cors * {\nallow_headers DNT\n}", "no script can set DNT"},
		{"Keep-Alive", "cors * {\nallow_headers Keep-Alive\n}", "no script can set Keep-Alive"},
		{"a search for the end", "cors {\nallow_origins_regexp example\\.com$\n}", `(origins have a scheme); did you mean "https://example\\.com$"?`},
		{"a suffix without its dot", "cors {\nallow_origins_regexp https://.*example\\.com\nallow_credentials\n}", `did you mean "https://(?:.+\\.)?example\\.com"?`},
		{"dots that are none", "cors {\nallow_origins_regexp https://app.example.com\nallow_credentials\n}", `did you mean "https://app\\.example\\.com"?`},
		{"a lookahead", "cors {\nallow_origins_regexp (?!evil).*\n}", "RE2"},
		{"Caddy 1: origin", "cors {\norigin https://app.example.com\n}", `did you mean "allow_origins"?`},
		{"Caddy 1: origin_regexp", "cors {\norigin_regexp .+\n}", `did you mean "allow_origins_regexp"?`},
		{"Caddy 1: methods", "cors * {\nmethods PUT\n}", `did you mean "allow_methods"?`},
		{"Caddy 1: allowed_headers", "cors * {\nallowed_headers X-A\n}", `did you mean "allow_headers"?`},
		{"Caddy 1: exposed_headers", "cors * {\nexposed_headers X-A\n}", `did you mean "expose_headers"?`},
		{"Caddy 1: allow_credentials", "cors https://app.example.com {\nallow_credentials true\n}", `write allow_credentials alone`},
	} {
		t.Run(test.there, func(t *testing.T) {
			if _, err := livecaddy.Adapt(":8080 {\n" + test.here + "\n}\n"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; it does not say %q", err, test.want)
			}
		})
	}
}

// Each line that the tables of the page have for this side can be written so.
func TestMigratingTables(t *testing.T) {
	options := map[string]bool{"cors": true, "policy": true}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[caddycors.Handler]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		options[name] = true
	}
	page := markdown.Read(t, "migrating.md").Whole()
	cells, tables := page.Columns("here")
	for _, cell := range cells {
		for _, line := range cell.Code {
			option, value, _ := strings.Cut(line, " ")
			if !options[option] {
				t.Errorf("%q is no option, in %s", option, cell.Text)
			}
			site := line
			switch {
			case value == "":
				continue
			case option == "allow_origins_from":
				site = "cors {\n" + line + "\n}"
			case option != "cors":
				site = "cors https://app.example.com {\n" + line + "\n}"
			}
			if _, err := livecaddy.Adapt(":8080 {\n" + site + "\n}\n"); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
	from := 0
	for _, section := range page.Sections() {
		if strings.HasPrefix(section.Heading, "From ") {
			from++
		}
	}
	if tables != from {
		t.Errorf("%d tables, and %d to move from", tables, from)
	}
}
