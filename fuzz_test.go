package caddycors_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dunglas/httpsfv"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// FuzzHandler sends arbitrary requests, to a handler that writes arbitrary CORS headers of its own, and checks what may
// never leave the server.
func FuzzHandler(f *testing.F) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	f.Cleanup(cancel)
	var handlers []caddyhttp.MiddlewareHandler
	for _, config := range []string{
		`{"debug": true, "allow_origins": ["https://app.example.com"]}`,
		`{"debug": true, "allow_origins": ["*"], "allow_headers": ["*"], "allow_methods": ["*"], "expose_headers": ["*"], "expose_timing": true}`,
		`{"debug": true, "allow_origins": ["https://*.example.com:*"], "allow_headers": ["*"], "allow_methods": ["*"], "expose_headers": ["*"], "allow_credentials": true}`,
		`{"debug": true, "allow_origins": ["null", "http://localhost:*"], "allow_credentials": true, "insecure": ["null_origin_with_credentials"], "enforce": true, "allow_private_network": true}`,
		`{"debug": true, "policies": [{"allow_origins": ["https://app.example.com"], "allow_credentials": true}], "allow_origins": ["*"], "forward_preflight": true}`,
	} {
		module, err := ctx.LoadModuleByID(string(new(caddycors.Handler).CaddyModule().ID), json.RawMessage(config))
		if err != nil {
			f.Fatal(err)
		}
		handlers = append(handlers, module.(caddyhttp.MiddlewareHandler))
	}
	for i := range uint8(len(handlers)) {
		f.Add(i, "GET", app, "", "", "*", "Origin", 200)
		f.Add(i, "OPTIONS", app, "PUT", "x-a,authorization", "https://evil.com", "accept", 301)
		f.Add(i, "OPTIONS", "null", "\xff", "\x00,\"", "", "*", 103)
		f.Add(i, "POST", "https://evil.com\\\"", "PUT", ",,,", "null", "", 500)
	}
	f.Fuzz(func(t *testing.T, i uint8, method, origin, requestMethod, requestHeaders, ownOrigin, ownVary string, status int) {
		handler := handlers[int(i)%len(handlers)]
		r := httptest.NewRequest("GET", "http://api.example.com/", nil)
		r.Method = method
		r.Header = http.Header{"Origin": {origin}}
		if requestMethod != "" {
			r.Header["Access-Control-Request-Method"] = []string{requestMethod}
			r.Header["Access-Control-Request-Headers"] = []string{requestHeaders, ""}
		}
		w := httptest.NewRecorder()
		next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
			w.Header()["Access-Control-Allow-Origin"] = []string{ownOrigin, ownOrigin}
			w.Header()["access-control-allow-credentials"] = []string{"true"}
			w.Header().Add("Vary", ownVary)
			if status >= 100 && status <= 999 {
				w.WriteHeader(status)
			}
			return nil
		})
		if err := handler.ServeHTTP(w, r, next); err != nil {
			if he, ok := err.(caddyhttp.HandlerError); !ok || he.StatusCode != http.StatusForbidden {
				t.Fatal(err)
			}
		}
		h := w.Header() // the recorder keeps no others for informational responses
		allowed, credentials := h["Access-Control-Allow-Origin"], h["Access-Control-Allow-Credentials"]
		if _, left := map[string][]string(h)["access-control-allow-credentials"]; left {
			t.Fatal("an upstream's header is left, in another case")
		}
		switch {
		case len(allowed) > 1 || len(credentials) > 1:
			t.Fatalf("twice: %q, %q", allowed, credentials)
		case len(allowed) == 0 && len(credentials) > 0:
			t.Fatal("credentials without an origin")
		case len(allowed) == 1 && allowed[0] == "*" && len(credentials) > 0:
			t.Fatal("a wildcard with credentials")
		case len(allowed) == 1 && allowed[0] != "*" && allowed[0] != origin:
			t.Fatalf("the answer to %q is for %q", origin, allowed[0])
		}
		for _, name := range []string{"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers"} {
			if len(credentials) > 0 && strings.Contains(h.Get(name), "*") && !strings.Contains(requestHeaders+requestMethod, "*") {
				t.Fatalf("%s: %s, with credentials", name, h.Get(name))
			}
		}
		if _, err := httpsfv.UnmarshalItem(h["X-Cors-Decision"]); err != nil {
			t.Fatalf("%q: %v", h["X-Cors-Decision"], err)
		}
		if public := int(i)%len(handlers) == 1; !public && !strings.Contains(strings.ToLower(strings.Join(h["Vary"], ",")), "origin") && !strings.Contains(ownVary, "*") {
			t.Fatalf("Vary is %q", h["Vary"])
		}
	})
}

// FuzzCaddyfile reads arbitrary blocks. What is accepted loads, unless it is for what only loading can tell.
func FuzzCaddyfile(f *testing.F) {
	for _, block := range []string{
		"*", "https://app.example.com", "https://a.test {\nallow_methods GET, PUT\nmax_age off\n}", "{\npolicy x https://a.test {\nallow_credentials\n}\ndebug\n}",
		"{\nallow_origins_regexp \"a)|(b\"\n}", "@m *", "/api/* null", "{env.X} {http.vars.y}", "{\nfoo {\nbar {\n}\n}\n}", "https://* {\nallow_credentials\ninsecure any_origin_with_credentials\n}",
		"{\nallow_origins_from test_fleet x {\n}\n}", "https://\xff", "{\nmax_age 99999999h\n}", "{\npolicy\n}",
	} {
		f.Add(block)
	}
	f.Fuzz(func(t *testing.T, block string) {
		if strings.Contains(block, "import") || strings.Contains(block, "file.") {
			return // reads files
		}
		text := ":8080 {\n\tcors " + block + "\n}\n"
		if _, err := livecaddy.Adapt(text); err != nil {
			return
		}
		d := caddyfile.NewTestDispenser("cors " + block)
		handler := new(caddycors.Handler)
		if err := handler.UnmarshalCaddyfile(d); err != nil {
			return
		}
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer cancel()
		asJSON, err := json.Marshal(handler)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ctx.LoadModuleByID("http.handlers.cors", asJSON); err != nil && !strings.Contains(err.Error(), "allow_origins") && !strings.Contains(err.Error(), "insecure") {
			t.Fatalf("%q adapts to %s, which does not load: %v", text, asJSON, err)
		}
	})
}
