package caddycors_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// cost is a request through the handler alone: what cors adds to a response, without the server around it.
type cost struct {
	name   string
	config string
	method string
	header http.Header
}

func costs() []cost {
	const one = `{"allow_origins": ["` + app + `"]}`
	lists := func(n int) string {
		origins := []string{app}
		for i := range n - 1 {
			origins = append(origins, fmt.Sprintf("https://customer-%d.example.com", i))
		}
		config, _ := json.Marshal(map[string]any{
			"allow_origins": origins, "allow_methods": []string{"PUT", "PATCH", "DELETE"}, "allow_headers": []string{"Content-Type", "Authorization"},
			"expose_headers": []string{"ETag"}, "allow_credentials": true, "expose_timing": true,
		})
		return string(config)
	}
	from := func(origin string) http.Header { return http.Header{"Origin": {origin}} }
	preflight := http.Header{"Origin": {app}, "Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {"authorization,content-type"}}
	return []cost{
		{"actual/allowed/one-origin", one, "GET", from(app)},
		{"actual/allowed/everyone", `{"allow_origins": ["*"]}`, "GET", from(app)},
		{"actual/allowed/10-origins-and-all-options", lists(10), "GET", from(app)},
		{"actual/allowed/100000-origins-and-all-options", lists(100_000), "GET", from(app)},
		{"actual/denied/one-origin", one, "GET", from(other)},
		{"actual/denied/100000-origins-and-all-options", lists(100_000), "GET", from(other)},
		{"actual/no-origin", one, "GET", nil},
		{"preflight/allowed", lists(10), "OPTIONS", preflight},
		{"preflight/allowed/methods-and-headers", `{"allow_origins": ["` + app + `"], "allow_methods": ["PUT"], "allow_headers": ["Content-Type", "Authorization"]}`, "OPTIONS", preflight},
		{"preflight/denied", one, "OPTIONS", http.Header{"Origin": {other}, "Access-Control-Request-Method": {"PUT"}}},
	}
}

// serve returns a function that serves the request once, into a response with the headers that responses have.
func (c cost) serve(t testing.TB) func() {
	handler := livecaddy.HandlerJSON(t, json.RawMessage(c.config))
	request := &http.Request{Method: c.method, Host: "api.example.com", URL: &url.URL{Path: "/"}, Header: c.header}
	body := []byte("hello")
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write(body)
		return err
	})
	w := livecaddy.Discard{}
	server, contentType := []string{"Caddy"}, []string{"application/json"}
	return func() {
		clear(w)
		w["Server"], w["Content-Type"] = server, contentType
		if err := handler.ServeHTTP(w, request, next); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkHandler(b *testing.B) {
	for _, c := range costs() {
		b.Run(c.name, func(b *testing.B) {
			serve := c.serve(b)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// What origins that are many add to a request, next to a look-up in a plain map of as many.
func BenchmarkOrigins(b *testing.B) {
	for _, n := range []int{1, 1_000, 1_000_000} {
		origins := make([]string, n)
		plain := make(map[string]bool, n)
		for i := range origins {
			origins[i] = fmt.Sprintf("https://customer-%d.example.com", i)
			plain[origins[i]] = true
		}
		config, err := json.Marshal(map[string]any{"allow_origins": origins})
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"hit", "miss"} {
			// Some, so that what is looked up is not always the same: of the list, from its start to its end, or of others,
			// which are as many whatever the list is. Each of those gets its line in the log, and is a repeat from then on.
			const some = 200
			livecaddy.ForgetDenials(b)
			var requests [some][]string
			for i := range requests {
				origin := origins[i*n/some]
				if name == "miss" {
					origin = fmt.Sprintf("https://visitor-%d.example.com", i)
				}
				requests[i] = []string{origin}
			}
			b.Run(fmt.Sprintf("%s/cors/%d", name, n), func(b *testing.B) {
				c := cost{config: string(config), method: "GET", header: make(http.Header)}
				serve := c.serve(b)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					c.header["Origin"] = requests[i%some]
					serve()
				}
			})
			b.Run(fmt.Sprintf("%s/map/%d", name, n), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if plain[requests[i%some][0]] != (name == "hit") {
						b.Fatal()
					}
				}
			})
		}
	}
}

// A request costs one allocation, however many origins there are.
func TestAllocations(t *testing.T) {
	livecaddy.ForgetDenials(t)
	for _, c := range costs() {
		if n := testing.AllocsPerRun(100, c.serve(t)); n > 1 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// A backend's own Vary costs one more: the line that has both.
func TestAllocationsBesideVary(t *testing.T) {
	own := []string{"Accept-Encoding"}
	for _, c := range costs() {
		if c.method == "OPTIONS" {
			continue // which no backend answers
		}
		handler := livecaddy.HandlerJSON(t, json.RawMessage(c.config))
		request := &http.Request{Method: c.method, Host: "api.example.com", URL: &url.URL{Path: "/"}, Header: c.header}
		w := livecaddy.Discard{}
		next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header()["Vary"] = own
			w.WriteHeader(http.StatusOK)
			return nil
		})
		serve := func() {
			clear(w)
			if err := handler.ServeHTTP(w, request, next); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(100, serve); n > 2 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
