package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	chicors "github.com/go-chi/cors"
	gorilla "github.com/gorilla/handlers"
	rscors "github.com/rs/cors"
)

var (
	methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}
	headers = []string{"Content-Type", "Authorization"}
)

// hello is the handler behind each of the candidates.
var hello = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })

// candidates are CORS middleware for the same policy, as plain handlers. This module does more than the others: it guards
// the response against CORS headers that the handler behind it sets.
func candidates(b *testing.B) map[string]http.Handler {
	b.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	b.Cleanup(cancel)
	config, err := json.Marshal(map[string]any{"allow_origins": []string{app}, "allow_methods": methods, "allow_headers": headers})
	if err != nil {
		b.Fatal(err)
	}
	module, err := ctx.LoadModuleByID("http.handlers.cors", config)
	if err != nil {
		b.Fatal(err)
	}
	handler := module.(caddyhttp.MiddlewareHandler)
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		hello(w, r)
		return nil
	})
	return map[string]http.Handler{
		"none": hello,
		"caddy-cors": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := handler.ServeHTTP(w, r, next); err != nil {
				panic(err)
			}
		}),
		"rs-cors":     rscors.New(rscors.Options{AllowedOrigins: []string{app}, AllowedMethods: methods, AllowedHeaders: headers, MaxAge: 600}).Handler(hello),
		"go-chi-cors": chicors.Handler(chicors.Options{AllowedOrigins: []string{app}, AllowedMethods: methods, AllowedHeaders: headers, MaxAge: 600})(hello),
		"gorilla":     gorilla.CORS(gorilla.AllowedOrigins([]string{app}), gorilla.AllowedMethods(methods), gorilla.AllowedHeaders(headers), gorilla.MaxAge(600))(hello),
	}
}

// BenchmarkPlain compares middleware without a server around it.
func BenchmarkPlain(b *testing.B) {
	for name, handler := range candidates(b) {
		for _, request := range requests {
			b.Run(request.name+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				w := &discard{make(http.Header)}
				r := &http.Request{Method: request.method, Host: "api.example.com", URL: ordersURL, Header: request.header}
				for b.Loop() {
					clear(w.header)
					handler.ServeHTTP(w, r)
				}
			})
		}
	}
}
