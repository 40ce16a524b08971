// Package bench measures caddy-cors beside what people use in its stead. It is a module of its own, because it needs peers
// that users do not.
package bench

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-cors/caddy-cors"
)

const app = "https://app.example.com"

// ten are app and nine others.
func ten() []string {
	origins := []string{app}
	for i := range 9 {
		origins = append(origins, fmt.Sprintf("https://app-%d.example.com", i))
	}
	return origins
}

// snippet is what people paste: matchers on the origin and the method, header lines, and an answer to preflights.
func snippet(origins ...string) string {
	var b strings.Builder
	for i, origin := range origins {
		fmt.Fprintf(&b, `
	@preflight%[1]d {
		method OPTIONS
		header Origin %[2]s
	}
	@origin%[1]d header Origin %[2]s
	handle @preflight%[1]d {
		header {
			Access-Control-Allow-Origin %[2]s
			Access-Control-Allow-Methods "GET, POST, PUT, PATCH, DELETE"
			Access-Control-Allow-Headers "Content-Type, Authorization"
			Access-Control-Max-Age 600
			Vary Origin
		}
		respond 204
	}
	header @origin%[1]d {
		Access-Control-Allow-Origin %[2]s
		Vary Origin
	}
`, i, origin)
	}
	return b.String()
}

// sites are what stands before the response in the Caddyfile of each candidate.
var sites = []struct{ name, directives string }{
	{"none", ""},
	{"header-lines", "\theader {\n\t\tAccess-Control-Allow-Origin " + app + "\n\t\tVary Origin\n\t}\n"},
	{"cors-one", "\tcors " + app + " {\n\t\tallow_methods PUT, PATCH, DELETE\n\t\tallow_headers Content-Type, Authorization\n\t}\n"},
	{"cors-ten", "\tcors " + strings.Join(ten(), " ") + " {\n\t\tallow_methods PUT, PATCH, DELETE\n\t\tallow_headers Content-Type, Authorization\n\t\texpose_headers X-Total\n\t\tallow_credentials\n\t}\n"},
	{"cors-everyone", "\tcors *\n"},
	{"snippet-one", snippet(app)},
	{"snippet-ten", snippet(ten()...)},
}

// requests are what is asked of each.
var requests = []struct {
	name, method string
	header       http.Header
}{
	{"actual-allowed", "GET", http.Header{"Origin": {app}}},
	{"actual-denied", "GET", http.Header{"Origin": {"https://evil.example"}}},
	{"no-origin", "GET", http.Header{}},
	{"preflight-allowed", "OPTIONS", preflight(app, "PUT", "authorization,content-type")},
	{"preflight-denied", "OPTIONS", preflight("https://evil.example", "PUT", "authorization,content-type")},
	{"preflight-malicious", "OPTIONS", preflight(app, "PUT", strings.Repeat(",", 8<<10))},
}

func preflight(origin, method, headers string) http.Header {
	return http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {headers}}
}

var ordersURL = &url.URL{Path: "/orders"}

// discard is a response writer that keeps nothing but its headers.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// server provisions a server from a Caddyfile with one site, which does not listen.
func server(b *testing.B, directives string) http.Handler {
	b.Helper()
	text := "{\n\tadmin off\n\tlog {\n\t\toutput discard\n\t}\n}\nhttp://api.example.com {\n" + directives + "\trespond hello\n}\n"
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		b.Fatal(err)
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		b.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		b.Fatal(err)
	}
	loaded, err := ctx.App("http")
	if err != nil {
		b.Fatal(err)
	}
	for _, server := range loaded.(*caddyhttp.App).Servers {
		return server
	}
	b.Fatal("no server")
	return nil
}

// BenchmarkChain sends requests through Caddy's real middleware chain.
func BenchmarkChain(b *testing.B) {
	for _, site := range sites {
		handler := server(b, site.directives)
		for _, request := range requests {
			b.Run(request.name+"/"+site.name, func(b *testing.B) {
				b.ReportAllocs()
				w := &discard{make(http.Header)}
				for b.Loop() {
					clear(w.header)
					r := &http.Request{
						Method: request.method, URL: ordersURL, RequestURI: "/orders", Host: "api.example.com",
						Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:50000", Header: request.header,
					}
					handler.ServeHTTP(w, r)
				}
			})
		}
	}
}
