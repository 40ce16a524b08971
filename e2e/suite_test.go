//go:build linux

package e2e_test

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// What users meet besides the seven errors, in every engine and over every version of HTTP that it can be made to use.
func TestSuite(t *testing.T) {
	const (
		otherPort = app + ":8443" // the same page on another port
		api       = "https://api.example.com"
	)
	sites := func(page, backend, down string) string {
		return fmt.Sprintf(`
(secure) {
	tls internal {
		on_demand
	}
	log
}
%[1]s {
	import secure
	reverse_proxy %[2]s
}
%[5]s {
	import secure
	cors %[1]s {
		allow_methods PUT
		expose_headers X-Total
	}
	basic_auth /secret {
		alice $2a$04$urFDcshn4VF0srS4vcJa9.ZQ1XhfR6neCA70HeGZpoj9gb57ANEsW
	}
	redir /away https://elsewhere.example.com/
	redir /astray https://bare.example.com/
	handle /missing {
		respond "not there" 404
	}
	handle /down {
		reverse_proxy %[4]s
	}
	handle {
		reverse_proxy %[3]s {
			header_up X-Proto {http.request.proto}
		}
	}
}
https://forgetful.example.com {
	import secure
	cors %[1]s {
		allow_methods PUT
		max_age off
	}
	reverse_proxy %[3]s
}
https://elsewhere.example.com {
	import secure
	cors null
	reverse_proxy %[3]s
}
https://bare.example.com {
	import secure
	reverse_proxy %[3]s
}
https://family.example.com {
	import secure
	cors https://*.example.com
	reverse_proxy %[3]s
}
https://ports.example.com {
	import secure
	cors %[1]s:*
	reverse_proxy %[3]s
}
https://open.example.com {
	import secure
	cors %[1]s {
		enforce
	}
	reverse_proxy %[3]s
}
https://closed.example.com {
	import secure
	cors https://other.example.com {
		enforce
	}
	reverse_proxy %[3]s
}
`, app, page, backend, down, api)
	}
	origins := []string{app, otherPort, api}
	for _, name := range []string{"forgetful", "elsewhere", "bare", "family", "ports", "open", "closed"} {
		origins = append(origins, "https://"+name+".example.com")
	}

	read := func(url string) string { return "return (await fetch('" + url + "')).status" }
	blockedOr := func(script string) string {
		return "try {" + script + "} catch (error) { return error.name }"
	}
	put := func(url string) string {
		return "for (const i of [1, 2]) await (await fetch('" + url + "', {method: 'PUT'})).text(); return 'done'"
	}
	socket := func(url string) string {
		return "const socket = new WebSocket('" + url + "'); return new Promise(done => { socket.onopen = () => done('open'); socket.onerror = () => done('refused') })"
	}
	framed := func(url string) string {
		return `const frame = document.createElement('iframe'); frame.sandbox = 'allow-scripts'
			const answer = new Promise(done => onmessage = ({data}) => done(data))
			frame.srcdoc = "<script>fetch('` + url + `').then(r => r.status, e => e.name).then(found => parent.postMessage(found, '*'))</" + "script>"
			document.body.append(frame); return answer`
	}
	calls := []struct{ name, script, want string }{
		{"an error of the site", read(api + "/missing"), "404"},
		{"a login that is missing", read(api + "/secret"), "401"},
		{"an upstream that is down", read(api + "/down"), "502"},
		{"an exposed header", "return (await fetch('" + api + "/')).headers.get('X-Total')", "17"},
		{"a header that is not exposed", "return (await fetch('" + api + "/')).headers.get('X-Hidden')", "null"},
		{"a redirect to another origin", read(api + "/away"), "200"},
		{"a redirect to another origin that allows nobody", blockedOr(read(api + "/astray")), "TypeError"},
		{"a sandboxed frame, where null may call", framed("https://elsewhere.example.com/"), "200"},
		{"a sandboxed frame, where it may not", framed(api + "/"), "TypeError"},
		{"a wildcard subdomain", read("https://family.example.com/"), "200"},
		{"an upstream with CORS headers of its own, twice", read(api + "/own"), "200"},
		{"the same without cors", blockedOr(read("https://bare.example.com/own")), "TypeError"},
		{"the second PUT has no preflight", put(api + "/cached"), "done"},
		{"with max_age off it has", put("https://forgetful.example.com/uncached"), "done"},
		{"a WebSocket of an allowed origin", socket("wss://open.example.com/socket"), "open"},
		{"a WebSocket of another one", socket("wss://closed.example.com/socket"), "refused"},
		{"a request of another one", blockedOr(read("https://closed.example.com/")), "TypeError"},
		{"server-sent events, each as it is sent", `
			const events = new EventSource('` + api + `/events')
			const next = () => new Promise((done, failed) => { events.onmessage = ({data}) => done(data); events.onerror = failed })
			const first = await next()
			const second = next()
			await fetch('` + api + `/release')
			return first + await second + (events.close() ?? '')`, "12"},
		{"a stream, each part as it is sent", `
			const reader = (await fetch('` + api + `/events')).body.getReader()
			const text = async () => new TextDecoder().decode((await reader.read()).value).match(/\d/)[0]
			const first = await text()
			await fetch('` + api + `/release')
			return first + await text()`, "12"},
	}

	for _, protocol := range []struct{ name, protocols, proto string }{
		{"HTTP 1.1", "h1", "HTTP/1.1"},
		{"HTTP 2", "h1 h2", "HTTP/2.0"},
		{"HTTP 3", "h1 h2 h3", "HTTP/3.0"},
	} {
		t.Run(protocol.name, func(t *testing.T) {
			page := newPage(t)
			server := livecaddy.Start(t, sites(page.address, serveSuite(t), "127.0.0.1:"+livecaddy.FreePort(t)), "servers {\nprotocols "+protocol.protocols+"\n}")
			n := newNetwork(t, server, origins...)
			n.quic = protocol.name == "HTTP 3"
			for _, engine := range engines {
				// The others find the names by a proxy. QUIC knows none, and WebKitGTK speaks HTTP/1.1 alone to one.
				if n.quic && engine.name != "Chromium" || protocol.name == "HTTP 2" && engine.name == "WebKitGTK" {
					continue
				}
				t.Run(engine.name, func(t *testing.T) {
					made := []call{{Name: "protocol", Script: "return (await fetch('" + api + "/proto')).text()"}}
					for _, c := range calls {
						made = append(made, call{Name: c.name, Script: c.script})
					}
					logged := len(server.Log())
					findings := page.browse(t, engine, n, app+"/", made)
					answers := accessLog(t, server.Log()[logged:])
					if findings[0].Body != protocol.proto {
						t.Errorf("over %s", findings[0].Body)
					}
					for i, c := range calls {
						if got := findings[i+1]; got.Body != c.want {
							t.Errorf("%s: %+v, want %q", c.name, got, c.want)
						}
					}
					preflights := func(origin, path string) int {
						return len(slices.DeleteFunc(answers[origin], func(answer string) bool { return answer != "OPTIONS "+path+" 204" }))
					}
					if n := preflights(api, "/cached"); n != 1 {
						t.Errorf("%d preflights for two PUTs", n)
					}
					if n := preflights("https://forgetful.example.com", "/uncached"); n != 2 {
						t.Errorf("%d preflights for two PUTs with max_age off", n)
					}
				})
				t.Run(engine.name+", a page on another port", func(t *testing.T) {
					findings := page.browse(t, engine, n, otherPort+"/", []call{
						{Name: "any port", Script: read("https://ports.example.com/")},
						{Name: "the default port alone", Script: blockedOr(read(api + "/"))},
					})
					if findings[0].Body != "200" || findings[1].Body != "TypeError" {
						t.Errorf("got %+v", findings)
					}
				})
			}
		})
	}
}

// WebKitGTK speaks HTTP/2 where there is no proxy, and so no name but localhost.
func TestWebKitHTTP2(t *testing.T) {
	page := newPage(t)
	pageURL, api := "https://localhost:"+livecaddy.FreePort(t), "https://localhost:"+livecaddy.FreePort(t)
	livecaddy.Start(t, fmt.Sprintf(`
%[1]s {
	tls internal {
		on_demand
	}
	reverse_proxy %[2]s
}
%[3]s {
	tls internal {
		on_demand
	}
	cors %[1]s {
		allow_methods PUT
		allow_headers X-Requested-With
		expose_headers X-Total
	}
	redir /redirect /proto
	reverse_proxy %[4]s {
		header_up X-Proto {http.request.proto}
	}
}`, pageURL, page.address, api, serveSuite(t)))
	calls := []struct{ script, want string }{
		{"return (await fetch('" + api + "/proto')).text()", "HTTP/2.0"},
		{"return (await fetch('" + api + "/redirect', {method: 'PUT', headers: {'X-Requested-With': 'x'}})).text()", "HTTP/2.0"},
		{"return (await fetch('" + api + "/')).headers.get('X-Total')", "17"},
		{"return (await fetch('" + api + "/own')).status", "200"},
		{"try { await fetch('" + api + "/', {method: 'DELETE'}) } catch (error) { return error.name }", "TypeError"},
	}
	var made []call
	for _, c := range calls {
		made = append(made, call{Script: c.script})
	}
	webKit := engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == "WebKitGTK" })]
	for i, got := range page.browse(t, webKit, network{direct: true}, pageURL+"/", made) {
		if got.Body != calls[i].want {
			t.Errorf("%s: %+v, want %q", calls[i].script, got, calls[i].want)
		}
	}
}

// serveSuite starts the backend of all sites.
func serveSuite(t *testing.T) (address string) {
	t.Helper()
	var mu sync.Mutex
	waiting := []chan struct{}{}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Total", "17")
		w.Header().Set("X-Hidden", "1")
	})
	mux.HandleFunc("/proto", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Header.Get("X-Proto")) })
	mux.HandleFunc("/own", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Access-Control-Allow-Origin", "*")
		w.Header().Add("Access-Control-Allow-Origin", app)
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		released := make(chan struct{})
		mu.Lock()
		waiting = append(waiting, released)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		select {
		case <-released:
			io.WriteString(w, "data: 2\n\n")
			http.NewResponseController(w).Flush()
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/release", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, released := range waiting {
			close(released)
		}
		waiting = nil
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 4.2.2
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(accept[:]))
		io.Copy(io.Discard, conn)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}
