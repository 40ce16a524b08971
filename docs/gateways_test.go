package docs_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// authelia answers as Authelia does at /api/authz/forward-auth (version 4.39): with 200 and who it is; or where nobody is signed
// in, with a redirect to its page or, for a script that says that it is one, 401.
type authelia struct {
	mu    sync.Mutex
	asked []string
}

func (a *authelia) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, uri := r.Header.Get("X-Forwarded-Method"), r.Header.Get("X-Forwarded-Uri")
	a.mu.Lock()
	a.asked = append(a.asked, method+" "+uri)
	a.mu.Unlock()
	if r.URL.Path != "/api/authz/forward-auth" || method == "" || uri == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if cookie, err := r.Cookie("authelia_session"); err == nil && cookie.Value == "bob" {
		w.Header().Set("Remote-User", "bob")
		w.Header().Set("Remote-Groups", "staff")
		return
	}
	query := url.Values{"rd": {r.Header.Get("X-Forwarded-Proto") + "://" + r.Header.Get("X-Forwarded-Host") + uri}, "rm": {method}}
	status := http.StatusSeeOther
	accepted := false
	for i, accept := range strings.Split(r.Header.Get("Accept"), ",") {
		mimeType, _, _ := strings.Cut(strings.TrimSpace(accept), ";")
		accepted = accepted || mimeType == "text/html" || i == 0 && mimeType == "*/*"
	}
	switch {
	case !accepted || strings.EqualFold(r.Header.Get("X-Requested-With"), "XMLHttpRequest"):
		status = http.StatusUnauthorized
	case slices.Contains([]string{"GET", "HEAD", "OPTIONS"}, method):
		status = http.StatusFound
	}
	location := "https://auth.example.com/?" + query.Encode()
	w.Header().Set("Location", location)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<a href=%q>%d %s</a>", location, status, http.StatusText(status))
}

// oauth2Proxy answers as oauth2-proxy does (version 7.12, with --reverse-proxy, --set-xauthrequest, --skip-provider-button and
// --whitelist-domain=.example.com): 202 or 401 at /oauth2/auth, and the sign-in by a provider at /oauth2/sign_in and
// /oauth2/callback.
func oauth2Proxy(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Real-IP") == "" || r.Header.Get("X-Forwarded-Uri") == "" || r.Header.Get("X-Forwarded-Host") == "" {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	switch r.URL.Path {
	case "/oauth2/auth":
		if cookie, err := r.Cookie("_oauth2_proxy"); err != nil || cookie.Value != "bob" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		w.Header().Set("X-Auth-Request-User", "bob")
		w.Header().Set("X-Auth-Request-Email", "bob@example.com")
		w.WriteHeader(http.StatusAccepted)
	case "/oauth2/sign_in":
		back := "/"
		if u, err := url.Parse(r.FormValue("rd")); err == nil && (u.Host == "" || strings.HasSuffix(u.Host, ".example.com")) {
			back = cmp.Or(u.String(), back)
		}
		http.SetCookie(w, &http.Cookie{Name: "_oauth2_proxy_csrf", Value: "nonce", Path: "/", HttpOnly: true, Secure: true})
		http.Redirect(w, r, "https://idp.example.com/authorize?"+url.Values{"state": {"nonce:" + back}}.Encode(), http.StatusFound)
	case "/oauth2/callback":
		state, back, _ := strings.Cut(r.FormValue("state"), ":")
		if cookie, err := r.Cookie("_oauth2_proxy_csrf"); err != nil || cookie.Value != state {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "_oauth2_proxy", Value: "bob", Path: "/", HttpOnly: true, Secure: true})
		http.Redirect(w, r, back, http.StatusFound)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func testGateways(t *testing.T, r *recipe) {
	user := ""
	var mu sync.Mutex
	program := func(field string) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			user = r.Header.Get(field)
		}
	}
	seesUser := func(t *testing.T, want string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if user != want {
			t.Errorf("the program was asked by %q, want %q", user, want)
		}
		user = ""
	}
	person := fields{
		"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none",
	}
	// scripts checks what scripts see, by the cookie that lets them in.
	scripts := func(t *testing.T, n *internet, cookie string) {
		t.Helper()
		for name, request := range map[string]fetch.Request{
			"a fetch":                {URL: "/orders?a=1&b=2", Credentials: true},
			"a POST of JSON":         {URL: "/orders", Method: "POST", Header: sendsJSON, Body: []byte("{}"), Credentials: true},
			"an XMLHttpRequest":      {URL: "/orders", Kind: fetch.KindXHR, Credentials: true},
			"one that asks for JSON": {URL: "/orders", Kind: fetch.KindXHR, Header: sets("Accept", "application/json, text/plain, */*"), Credentials: true},
		} {
			if result := n.fetch(t, request); verdict(result) != allowed || result.Status != 401 {
				t.Errorf("signed out, %s is %s, and the script sees %d, want 401", name, verdict(result), result.Status)
			}
			n.programSaw(t)
			request.Cookie = cookie
			if result := n.fetch(t, request); verdict(result) != allowed || result.Status != 200 {
				t.Errorf("signed in, %s is %s, and the script sees %d, want 200", name, verdict(result), result.Status)
			}
			seesUser(t, "bob")
			n.programAsked()
		}
		n.calls(t, call{"another page", fetch.Request{Origin: other, URL: "/orders", Credentials: true, Cookie: cookie}, "missing-allow-origin"})
		n.programAsked()
		seesUser(t, "bob")
		n.send(t, "GET", api+"/orders", fields{"Origin": app, "Sec-Fetch-Mode": "cors", "Accept": "*/*"}).Want(t, 401, allowAppCookies, varyOrigin)
	}

	t.Run("Authelia", func(t *testing.T) {
		gateway := new(authelia)
		const pages = "auth.example.com {\nrespond login\n}\n\napi.example.com {"
		n := r.run(t, 1, program("Remote-User"), "localhost:9091", livecaddy.Upstream(t, gateway.ServeHTTP), "api.example.com {", pages)
		scripts(t, n, "authelia_session=bob")
		for method, status := range map[string]int{"GET": 302, "POST": 303} {
			res := n.send(t, method, api+"/orders?a=1&b=2", person)
			want := "https://auth.example.com/?rd=https%3A%2F%2Fapi.example.com%2Forders%3Fa%3D1%26b%3D2&rm=" + method
			if res.StatusCode != status || res.Header.Get("Location") != want || !strings.Contains(res.Text, "<a href=") {
				t.Errorf("a person gets %d, %q and %q, want %d and %q", res.StatusCode, res.Header, res.Text, status, want)
			}
		}
		n.programSaw(t)
		res := n.send(t, "GET", api+"/orders", fields{"Cookie": "authelia_session=bob", "Sec-Fetch-Mode": "navigate", "Remote-User": "eve"})
		if res.StatusCode != 200 {
			t.Errorf("a person who is signed in gets %d", res.StatusCode)
		}
		seesUser(t, "bob")
		if slices.ContainsFunc(gateway.asked, func(asked string) bool { return strings.HasPrefix(asked, "OPTIONS") }) {
			t.Errorf("preflights have come to the gateway: %q", gateway.asked)
		}

		// What the lines are for: without them, a fetch is redirected, and an axios is not.
		n = r.run(t, 1, program("Remote-User"), "localhost:9091", livecaddy.Upstream(t, gateway.ServeHTTP), "api.example.com {", pages,
			"error @script 401\n", "\n")
		n.programAsked()
		if result := n.fetch(t, fetch.Request{URL: "/orders", Credentials: true}); verdict(result) != "missing-allow-origin" || !strings.HasPrefix(result.Cause.URL, "https://auth.example.com/") {
			t.Errorf("without the lines, a fetch is %s", verdict(result))
		}
		axios := fetch.Request{URL: "/orders", Kind: fetch.KindXHR, Header: sets("Accept", "application/json, text/plain, */*"), Credentials: true}
		if result := n.fetch(t, axios); verdict(result) != allowed || result.Status != 401 {
			t.Errorf("without the lines, axios is %s and sees %d", verdict(result), result.Status)
		}
		r.ran[0].Store(true)
	})

	t.Run("oauth2-proxy", func(t *testing.T) {
		n := r.run(t, 2, program("X-Auth-Request-User"), "localhost:4180", livecaddy.Upstream(t, oauth2Proxy))
		scripts(t, n, "_oauth2_proxy=bob")

		// The sign-in of a person, from the page that was opened back to it.
		var cookies []string
		visit := func(address string, status int) (location string) {
			t.Helper()
			header := fields{"Cookie": strings.Join(cookies, "; ")}
			for name, value := range person {
				header[name] = value
			}
			res := n.send(t, "GET", address, header)
			if res.StatusCode != status {
				t.Errorf("a person gets %d at %s, want %d: %s", res.StatusCode, address, status, res.Text)
			}
			for _, cookie := range res.Cookies() {
				cookies = append(cookies, cookie.Name+"="+cookie.Value)
			}
			return res.Header.Get("Location")
		}
		const opened = api + "/orders?a=1&b=2"
		signIn := visit(opened, 302)
		n.programSaw(t)
		if want := "/oauth2/sign_in?rd=https://api.example.com" + url.QueryEscape("/orders?a=1&b=2"); signIn != want {
			t.Errorf("a person is sent to %q, want %q", signIn, want)
		}
		provider, err := url.Parse(visit(api+signIn, 302))
		if err != nil || provider.Host != "idp.example.com" {
			t.Fatalf("the sign-in leads to %v: %v", provider, err)
		}
		back := visit(api+"/oauth2/callback?"+url.Values{"state": {provider.Query().Get("state")}, "code": {"x"}}.Encode(), 302)
		if back != opened {
			t.Errorf("the sign-in comes back to %q", back)
		}
		visit(back, 200)
		seesUser(t, "bob")
		n.programSaw(t, "GET /orders")

		// The script's link to the login comes back to the page.
		state, err := url.Parse(visit(api+"/oauth2/sign_in?rd="+url.QueryEscape(app+"/?tab=1"), 302))
		if err != nil || !strings.HasSuffix(state.Query().Get("state"), ":"+app+"/?tab=1") {
			t.Errorf("the sign-in of the script leads to %v: %v", state, err)
		}
	})
}

// refusing answers as a program does that looks at Origin itself: Spring's CorsFilter and Ollama refuse every other one, Grafana
// what is not its Host; and Ollama on a loopback address refuses another Host, too.
func refusing(checksHost bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		switch {
		case r.Header.Get("Origin") != "":
			http.Error(w, "Invalid CORS request", http.StatusForbidden)
		case checksHost && host != "127.0.0.1":
			w.WriteHeader(http.StatusForbidden)
		default:
			fmt.Fprint(w, "hello")
		}
	}
}

func testRefusingBackend(t *testing.T, r *recipe) {
	n := r.run(t, 1, refusing(false))
	request := fetch.Request{URL: "/api/chat", Method: "POST", Header: slices.Concat(sendsJSON, sendsToken), Body: []byte("{}")}
	script := func(n *internet, want int) {
		t.Helper()
		if result := n.fetch(t, request); verdict(result) != allowed || result.Status != want {
			t.Errorf("it is %s, and the script sees %d, want %d", verdict(result), result.Status, want)
		}
	}
	script(n, 200)
	n.programSaw(t, "POST /api/chat")
	n.send(t, "POST", api+"/api/chat", fields{"Origin": other}).Want(t, 403, nil, varyEnforced)
	socket := livecaddy.SendBy(t, livecaddy.Client(n.transport(t, "http/1.1")), "GET", api+"/live", fields{"Origin": other, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
	if socket.StatusCode != 403 {
		t.Errorf("a WebSocket of another page gets %d", socket.StatusCode)
	}
	n.programSaw(t)

	script(r.run(t, 1, refusing(false), "header_up -Origin", ""), 403) // what the line is for
	n = r.run(t, 1, refusing(false), "enforce", "")
	if n.send(t, "POST", api+"/api/chat", fields{"Origin": other}); len(n.programAsked()) != 1 { // what enforce is for
		t.Error("without enforce, the program has not seen a form of another page")
	}
	script(r.run(t, 1, refusing(true)), 403)
	script(r.run(t, 1, refusing(true), "header_up -Origin", "header_up -Origin\nheader_up Host {upstream_hostport}"), 200)
}

func testSnippets(t *testing.T, r *recipe) {
	const admin = "https://admin.example.com"
	t.Run("sites", func(t *testing.T) {
		prices := livecaddy.Upstream(t, says(nil))
		n := r.run(t, 1, says(nil), "localhost:9001", prices)
		orders, other := "https://orders.example.com/", "https://prices.example.com/"
		n.methods(t, fetch.Request{URL: orders, Header: sendsJSON, Credentials: true}, "PUT", "PATCH", "DELETE")
		n.methods(t, fetch.Request{URL: orders, Origin: admin, Credentials: true}, "GET", "PUT")
		n.methods(t, fetch.Request{URL: other, Header: sendsJSON}, "PUT", "PATCH", "DELETE")
		n.calls(t,
			call{"cookies, at the second site", fetch.Request{URL: other, Credentials: true}, "missing-allow-credentials"},
			call{"the other page, at the second site", fetch.Request{URL: other, Origin: admin}, "missing-allow-origin"},
		)
		for _, edit := range []struct{ origin, method, diff string }{
			{"https://new.example.com", "GET", "\n+\timport api https://app.example.com https://new.example.com\n \treverse_proxy localhost:9001\n"},
			{app, "LINK", "\n (api) {\n \tcors {args[:]} {\n-\t\tallow_methods PUT, PATCH, DELETE\n+\t\tallow_methods PUT, PATCH, DELETE, LINK\n"},
		} {
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{"Caddyfile": r.caddyfiles[0]})
			command := fmt.Sprintf("caddy cors check %s --origin %s -X %s --config Caddyfile --diff", other, edit.origin, edit.method)
			output, _, err := shell(t, dir, os.Environ(), typed{command: command})
			if err != nil || !strings.Contains(output, edit.diff) {
				t.Errorf("for %s of %s, the edit is (%v):\n%s", edit.method, edit.origin, err, output)
			}
		}
		r.refused(t, 1, "{args[0]}", "cors {args[:]}", "cors {args[0]}", "import api https://app.example.com\n", "import api\n")
	})
	t.Run("policies", func(t *testing.T) {
		n := r.run(t, 2, says(fields{"X-Total-Count": "7"}))
		for _, origin := range []string{app, "capacitor://localhost", "https://localhost"} {
			n.methods(t, fetch.Request{Origin: origin, Header: slices.Concat(sendsJSON, sendsToken), Credentials: true}, "PUT", "PATCH", "DELETE")
		}
		reads(t, n.fetch(t, fetch.Request{Credentials: true}), "X-Total-Count")
		if n.fetch(t, fetch.Request{Origin: "https://localhost", Credentials: true}).Readable("X-Total-Count") {
			t.Error("the phone reads what the web may")
		}
		n.calls(t, call{"another page", fetch.Request{Origin: other}, "missing-allow-origin"})
		preflight := n.send(t, "OPTIONS", api, fields{"Origin": "https://localhost", "Access-Control-Request-Method": "PUT"})
		if age := preflight.Header.Get("Access-Control-Max-Age"); age != "3600" {
			t.Errorf("the phone's preflights are kept for %q seconds", age)
		}
	})
}

// A cdn is a shared cache of full responses before the internet: it keeps what is not private, by method and URL, and by
// what Vary names if it honors that.
type cdn struct {
	http.RoundTripper
	honorsVary bool
	caches     []string // the methods
	kept       map[string][]*http.Response
	hits       int
}

func (c *cdn) RoundTrip(req *http.Request) (*http.Response, error) {
	key := req.Method + " " + req.URL.String()
	cached := slices.IndexFunc(c.kept[key], func(res *http.Response) bool {
		return !c.honorsVary || !slices.ContainsFunc(livecaddy.Response{Response: res}.Vary(), func(name string) bool {
			return !slices.Equal(res.Request.Header.Values(name), req.Header.Values(name))
		})
	})
	if cached >= 0 {
		c.hits++
		res := *c.kept[key][cached]
		res.Body = http.NoBody
		return &res, nil
	}
	res, err := c.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	control := res.Header.Get("Cache-Control")
	if slices.Contains(c.caches, req.Method) && strings.Contains(control, "max-age") && !strings.Contains(control, "private") {
		res.Body.Close()
		res.Body = http.NoBody
		res.Request = req.Clone(req.Context())
		if c.kept == nil {
			c.kept = make(map[string][]*http.Response)
		}
		c.kept[key] = append(c.kept[key], res)
	}
	return res, nil
}

func testCDN(t *testing.T, r *recipe) {
	const admin = "https://admin.example.com"
	program := says(fields{"Cache-Control": "public, max-age=600"})
	// becomes calls as two pages do, one after the other, through a CDN, and again.
	becomes := func(t *testing.T, through *cdn, request fetch.Request, want string, hits int) {
		t.Helper()
		through.hits = 0
		last := ""
		for range 2 {
			for _, request.Origin = range []string{app, admin} {
				if last = verdict(browse(t, &fetch.Client{Transport: through}, request)); last != allowed {
					break
				}
			}
		}
		if last != want || through.hits != hits {
			t.Errorf("the calls end with %s, want %s; %d come from the CDN, want %d", last, want, through.hits, hits)
		}
	}
	get := fetch.Request{URL: "/prices"}
	put := fetch.Request{URL: "/prices", Method: "PUT", Header: sendsJSON, Body: []byte("{}")}

	t.Run("honors Vary", func(t *testing.T) {
		n := r.run(t, 1, program)
		becomes(t, &cdn{RoundTripper: n, caches: []string{"GET", "OPTIONS"}, honorsVary: true}, get, allowed, 2)
		becomes(t, &cdn{RoundTripper: n, caches: []string{"GET", "OPTIONS"}, honorsVary: true}, put, allowed, 2)
		denied := n.send(t, "OPTIONS", api, fields{"Origin": other, "Access-Control-Request-Method": "PUT"})
		if denied.Want(t, 403, nil, varyPreflight); denied.Header.Get("Cache-Control") != "public, max-age=600" {
			t.Errorf("a denied preflight has %q", denied.Header)
		}
		if plain := n.send(t, "OPTIONS", api, fields{"Origin": app}); plain.Header.Get("Cache-Control") != "public, max-age=600" || len(n.programAsked()) == 0 {
			t.Errorf("an OPTIONS that is not a preflight has %q", plain.Header)
		}

		n = r.run(t, 1, program, `header @preflight Cache-Control "public, max-age=600"`, "")
		becomes(t, &cdn{RoundTripper: n, caches: []string{"GET", "OPTIONS"}, honorsVary: true}, put, allowed, 0)
	})
	t.Run("ignores Vary", func(t *testing.T) {
		becomes(t, &cdn{RoundTripper: r.run(t, 2, program), caches: []string{"GET"}}, get, allowed, 0)
		open := r.run(t, 2, program, `header >Cache-Control "private, max-age=60"`, "")
		becomes(t, &cdn{RoundTripper: open, caches: []string{"GET"}}, get, "allow-origin-mismatch", 3)
		both := r.run(t, 2, program, "header >Cache-Control", "header Cache-Control")
		if got := both.send(t, "GET", api, fields{"Origin": app}).Header.Values("Cache-Control"); len(got) != 2 {
			t.Errorf("without the >, Cache-Control is %q", got)
		}
		public := r.run(t, 2, program, `header >Cache-Control "private, max-age=60"`, "", "https://app.example.com https://admin.example.com", "*")
		becomes(t, &cdn{RoundTripper: public, caches: []string{"GET"}}, get, allowed, 3)
	})
}

func testAccessLog(t *testing.T, r *recipe) {
	n := r.run(t, 1, says(nil))
	livecaddy.ForgetDenials(t)
	preflight := fields{"Origin": app, "Access-Control-Request-Method": "GET"}
	n.send(t, "OPTIONS", api+"/allowed", preflight)
	preflight["Origin"] = other
	n.send(t, "OPTIONS", api+"/denied", preflight)
	n.send(t, "OPTIONS", api+"/plain", fields{"Origin": app})
	n.send(t, "GET", api+"/orders", fields{"Origin": app})
	n.programSaw(t, "OPTIONS /plain", "GET /orders")
	livecaddy.Eventually(t, "the access log has the last request", func() bool { return strings.Contains(n.Log(), `"uri":"/orders"`) })
	for uri, want := range map[string]bool{"/allowed": false, "/denied": false, "/plain": true} {
		if got := strings.Contains(n.Log(), fmt.Sprintf(`"uri":%q`, uri)); got != want {
			t.Errorf("the access log has %s: %v, want %v", uri, got, want)
		}
	}
	if denials := n.Logged(); len(denials) != 1 || denials[0]["origin"] != other {
		t.Errorf("the denials in the log are %v", denials)
	}
}
