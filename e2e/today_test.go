//go:build linux

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"testing"

	"golang.org/x/net/websocket"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// What "*" allows, an engine's memory of preflights must not make more of: neither Authorization, which it does not cover,
// nor what another call asks for.
func TestPreflightCaches(t *testing.T) {
	const anything, everyone, both = "https://anything.example.com", "https://everyone.example.com", "https://both.example.com"
	page := newPage(t)
	backend := livecaddy.Upstream(t, func(http.ResponseWriter, *http.Request) {})
	site := func(origin, cors string) string {
		return origin + " {\nimport secure\n" + cors + "\nreverse_proxy " + backend + "\n}\n"
	}
	server := livecaddy.Start(t, "(secure) {\ntls internal {\non_demand\n}\n}\n"+
		app+" {\nimport secure\nreverse_proxy "+page.address+"\n}\n"+
		site(anything, "cors "+app+" {\nallow_headers *\nallow_credentials\n}")+
		site(everyone, "cors * {\nallow_headers *\n}")+
		site(both, "cors "+app+" {\nallow_headers * Authorization\nallow_credentials\n}"))
	n := newNetwork(t, server, app, anything, everyone, both)

	// sends makes calls one after the other, each with one header, and says of each what the script gets.
	sends := func(url, credentials string, names ...string) string {
		list := ""
		for _, name := range names {
			list += "'" + name + "', "
		}
		return `const got = []
			for (const name of [` + list + `]) {
				try { got.push((await fetch('` + url + `', {credentials: '` + credentials + `', headers: {[name]: 'x'}})).status) }
				catch (error) { got.push(error.name) }
			}
			return got.join(' ')`
	}
	calls := []struct{ name, script, want string }{
		{"what is asked for, and then Authorization", sends(anything+"/1", "omit", "X-A", "Authorization", "X-B", "X-A"), "200 TypeError 200 200"},
		{"the same with credentials", sends(anything+"/2", "include", "X-A", "Authorization", "X-B", "X-A"), "200 TypeError 200 200"},
		{"the same where everyone may call", sends(everyone+"/1", "omit", "X-A", "Authorization", "X-B"), "200 TypeError 200"},
		{"a header whose name is *", sends(anything+"/3", "include", "*", "X-A", "Authorization"), "TypeError 200 TypeError"},
		{"a header whose name is *, without credentials", sends(anything+"/4", "omit", "X-A", "*", "Authorization"), "200 TypeError TypeError"},
		{"a header whose name is *, where everyone may call", sends(everyone+"/2", "omit", "X-A", "*", "Authorization"), "200 TypeError TypeError"},
		{"Authorization where it is listed", sends(both+"/1", "include", "X-A", "Authorization", "*"), "200 200 TypeError"},
	}
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			var made []call
			for _, c := range calls {
				made = append(made, call{Name: c.name, Script: c.script})
			}
			for i, got := range page.browse(t, engine, n, app+"/", made) {
				if got.Body != calls[i].want {
					t.Errorf("%s: %+v, want %q", calls[i].name, got, calls[i].want)
				}
			}
		})
	}
}

// A host with a dot at its end is an origin of its own: a page there calls its own server, and others where it is listed.
// Over plain http, browsers say nothing of the site, and the host has to tell.
func TestHostWithDot(t *testing.T) {
	const dotted, ported, api, other = "http://app.example.com.", "http://app.example.com.:27120", "http://api.example.com", "http://other.example.com"
	page := newPage(t)
	backend := livecaddy.Upstream(t, func(http.ResponseWriter, *http.Request) {})
	server := livecaddy.Start(t, `http:// {
		@api host api.example.com
		handle @api {
			cors `+dotted+` `+ported+`
			reverse_proxy `+backend+`
		}
		@other host other.example.com
		handle @other {
			cors http://app.example.com
			reverse_proxy `+backend+`
		}
		handle {
			cors http://listed.example.com {
				enforce
			}
			respond /own "own"
			reverse_proxy `+page.address+`
		}
	}`)
	n := network{addresses: make(map[string]string)}
	for _, name := range []string{"app.example.com.:80", "app.example.com.:27120", "api.example.com:80", "other.example.com:80"} {
		n.addresses[name] = "127.0.0.1:" + server.HTTPPort
	}
	for _, engine := range engines {
		for _, origin := range []string{dotted, ported} {
			t.Run(engine.name+" "+origin, func(t *testing.T) {
				found := page.browse(t, engine, n, origin+"/", []call{
					{Name: "origin", Script: "return location.origin"},
					{Name: "own", Script: "return (await fetch('/own', {method: 'POST', body: 'x'})).text()"},
					{Name: "listed", Script: "return (await fetch('" + api + "/', {method: 'POST', body: 'x'})).status"},
					{Name: "without the dot", Script: "try { return (await fetch('" + other + "/')).status } catch (error) { return error.name }"},
				})
				for i, want := range []string{origin, "own", "200", "TypeError"} {
					if found[i].Body != want {
						t.Errorf("%+v, want %q", found[i], want)
					}
				}
			})
		}
	}
}

// Where a person gave a site access to its storage, Chromium sends Origin with the images and frames of that site, though no
// script reads them: enforce lets them pass, and not what a script could read.
func TestStorageAccess(t *testing.T) {
	const third = "https://api.third.test"
	page := newPage(t)
	type seen struct{ path, mode, origin string }
	var mu sync.Mutex
	var arrived []seen
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		arrived = append(arrived, seen{r.URL.Path, r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Origin")})
		if r.URL.Path == "/image" {
			w.Header().Set("Content-Type", "image/svg+xml")
			fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`)
		}
	})
	server := livecaddy.Start(t, `(secure) {
		tls internal {
			on_demand
		}
	}
	`+app+` {
		import secure
		reverse_proxy `+page.address+`
	}
	`+third+` {
		import secure
		cors https://listed.example.com {
			enforce
		}
		reverse_proxy `+backend+`
	}`)
	n := newNetwork(t, server, app, third)
	chromium := engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == "Chromium" })]
	chromium.inspected = true
	const loads = "return new Promise(done => { element.onload = () => done('loaded'); element.onerror = () => done('failed'); document.body.append(element) })"
	page.expect([]call{
		{Name: "an image", Script: "const element = new Image; element.src = '" + third + "/image'; " + loads},
		{Name: "a frame", Script: "const element = document.createElement('iframe'); element.src = '" + third + "/frame'; " + loads},
		{Name: "a script's GET", Script: "try { return (await fetch('" + third + "/fetch')).status } catch (error) { return error.name }"},
		{Name: "a script's GET that reads nothing", Script: "return (await fetch('" + third + "/opaque', {mode: 'no-cors'})).type"},
		{Name: "a form's POST", Script: "return (await fetch('" + third + "/post', {mode: 'no-cors', method: 'POST', body: 'x'})).type"},
	})
	b := chromium.open(t, n, "about:blank")
	defer b.end(t)
	devTools := connectToChromium(t, b)
	devTools("Browser.setPermission", map[string]any{
		"permission": map[string]any{"name": "storage-access"}, "setting": "granted", "origin": app, "embeddedOrigin": third,
	})
	devTools("Target.createTarget", map[string]any{"url": app + "/"})
	found := page.findings(t, b, 5)
	for i, want := range []string{"loaded", "loaded", "TypeError", "opaque", "opaque"} {
		if found[i].Body != want {
			t.Errorf("%+v, want %q", found[i], want)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []seen{{"/image", "no-cors", app}, {"/frame", "navigate", app}} {
		if !slices.Contains(arrived, want) {
			t.Errorf("no %+v among %+v", want, arrived)
		}
	}
	for _, is := range arrived {
		if is.path == "/fetch" || is.path == "/post" {
			t.Errorf("%+v has arrived", is)
		}
	}
}

// connectToChromium returns a function that makes calls of the DevTools protocol.
func connectToChromium(t *testing.T, b *browser) func(method string, params map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), livecaddy.Patience)
	defer cancel()
	text, err := b.await(ctx, "DevTools listening on ")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := websocket.Dial(regexp.MustCompile(`ws://\S+`).FindString(text), "", "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	id := 0
	return func(method string, params map[string]any) {
		t.Helper()
		id++
		if err := websocket.JSON.Send(socket, map[string]any{"id": id, "method": method, "params": params}); err != nil {
			t.Fatal(err)
		}
		for {
			var answer struct {
				ID    int
				Error *struct{ Message string }
			}
			if err := websocket.JSON.Receive(socket, &answer); err != nil {
				t.Fatal(err)
			}
			if answer.ID == id {
				if answer.Error != nil {
					t.Fatalf("%s: %s", method, answer.Error.Message)
				}
				return
			}
		}
	}
}
