// Package bench measures caddy-cors beside what people use in its stead. It is a module of its own, because it needs peers
// that users do not.
package bench

import (
	"encoding/json"
	"fmt"
	"maps"
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

const (
	app  = "https://app.example.com"
	evil = "https://evil.example"
)

// ten are app and nine others.
func ten() []string {
	origins := []string{app}
	for i := range 9 {
		origins = append(origins, fmt.Sprintf("https://app-%d.example.com", i))
	}
	return origins
}

const (
	// preflightSnippet answers the preflights of one origin. In most copies that are pasted its matcher is on the method
	// alone, which answers preflights of all origins with the headers of the first one.
	preflightSnippet = `
	@preflight{args[0]} {
		method OPTIONS
		header Origin {args[0]}
	}
	handle @preflight{args[0]} {
		header {
			Access-Control-Allow-Origin {args[0]}
			PREFLIGHT
			Access-Control-Allow-Methods "PUT, PATCH, DELETE"
			Access-Control-Allow-Headers "Content-Type, Authorization"
			Access-Control-Max-Age 600
			Vary "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
		}
		respond "" 204
	}
	@cors{args[0]} header Origin {args[0]}
`
	// handleSnippet is the form most often pasted, in its cheaper variant: many copies have a header directive for each
	// line, or defer them.
	handleSnippet = preflightSnippet + `
	handle @cors{args[0]} {
		header {
			Access-Control-Allow-Origin {args[0]}
			ACTUAL
			Vary Origin
		}
	}
`
	// headerSnippet is a cheaper form, as in the documentation of import, with no second handle.
	headerSnippet = preflightSnippet + `
	header @cors{args[0]} {
		Access-Control-Allow-Origin {args[0]}
		ACTUAL
		Vary Origin
	}
`
)

// snippet is a site's directives with a snippet imported for each origin, as people do for want of lists.
func snippet(text, preflight, actual string, origins ...string) string {
	text = strings.NewReplacer("PREFLIGHT", preflight, "ACTUAL", actual).Replace(text)
	var b strings.Builder
	for _, origin := range origins {
		b.WriteString(strings.ReplaceAll(text, "{args[0]}", origin))
	}
	return b.String()
}

// The directives for a policy with all there is.
const (
	credentials = "Access-Control-Allow-Credentials true"
	exposed     = "Access-Control-Expose-Headers X-Total"
)

// sites are what stands before the response in the Caddyfile of each candidate. Those for the same origins send the same
// fields with the response to an actual request.
var sites = []struct{ name, directives string }{
	{"none", ""},
	{"header-everyone", "header Access-Control-Allow-Origin *"},
	{"cors-everyone", "cors *"},
	{"header-one", lines("header {", "Access-Control-Allow-Origin "+app, "Vary Origin", "}")},
	{"cors-one", lines("cors "+app+" {", "allow_methods PUT, PATCH, DELETE", "allow_headers Content-Type, Authorization", "}")},
	{"snippet-one", snippet(handleSnippet, "", "", app)},
	{"snippet-lean-one", snippet(headerSnippet, "", "", app)},
	{"header-ten", lines("header {", "Access-Control-Allow-Origin "+app, credentials, exposed, "Vary Origin", "}")},
	{"cors-ten", lines("cors "+strings.Join(ten(), " ")+" {", "allow_methods PUT, PATCH, DELETE",
		"allow_headers Content-Type, Authorization", "expose_headers X-Total", "allow_credentials", "}")},
	{"snippet-ten", snippet(handleSnippet, credentials, lines(credentials, exposed), ten()...)},
	{"snippet-lean-ten", snippet(headerSnippet, credentials, lines(credentials, exposed), ten()...)},
}

func lines(of ...string) string { return strings.Join(of, "\n") }

// requests are what is asked of each, with the header fields that browsers send.
var requests = []struct {
	name, method string
	header       http.Header
}{
	{"actual-allowed", "GET", fetched(app, nil)},
	{"actual-denied", "GET", fetched(evil, nil)},
	{"no-origin", "GET", fetched("", nil)},
	{"preflight-allowed", "OPTIONS", fetched(app, preflight("authorization,content-type"))},
	{"preflight-denied", "OPTIONS", fetched(evil, preflight("authorization,content-type"))},
	{"preflight-malicious", "OPTIONS", fetched(app, preflight(strings.Repeat(",", 8<<10)))},
}

// fetched is the header of a request that a script of a page on origin makes: a page of the same origin, if it is empty.
func fetched(origin string, more http.Header) http.Header {
	header := http.Header{
		"Accept":          {"*/*"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Accept-Language": {"en-US,en;q=0.9"},
		"Referer":         {"https://api.example.com/"},
		"Sec-Fetch-Dest":  {"empty"},
		"Sec-Fetch-Mode":  {"cors"},
		"Sec-Fetch-Site":  {"same-origin"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	if origin != "" {
		header["Origin"] = []string{origin}
		header["Referer"] = []string{origin + "/"}
		header["Sec-Fetch-Site"] = []string{"cross-site"}
	}
	maps.Copy(header, more)
	return header
}

// preflight are the fields that make it a preflight, for a PUT with these headers.
func preflight(headers string) http.Header {
	return http.Header{"Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {headers}}
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
	text := lines("{", "admin off", "log {", "output discard", "}", "}", "http://api.example.com {", directives, "respond hello", "}")
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

// BenchmarkAdded sends requests through Caddy's middleware chain, and says what each candidate adds to it.
func BenchmarkAdded(b *testing.B) {
	for _, request := range requests {
		b.Run("request="+request.name, func(b *testing.B) {
			var candidates []candidate
			for _, site := range sites {
				handler := server(b, site.directives)
				candidates = append(candidates, candidate{site.name, func() {
					handler.ServeHTTP(&discard{make(http.Header)}, &http.Request{
						Method: request.method, URL: ordersURL, RequestURI: "/orders", Host: "api.example.com",
						Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:50000", Header: request.header,
					})
				}})
			}
			compare(b, candidates)
		})
	}
}
