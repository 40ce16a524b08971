package caddycors

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/denials"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// withVars is a request with the variables that Caddy's server gives to one, in a context as deep as its own.
func withVars(r *http.Request) *http.Request {
	ctx := context.WithValue(r.Context(), caddyhttp.VarsCtxKey, map[string]any{
		caddyhttp.TrustedProxyVarKey: false, caddyhttp.ClientIPVarKey: "127.0.0.1",
	})
	for _, key := range []any{caddyhttp.ServerCtxKey, caddyhttp.OriginalRequestCtxKey, caddyhttp.ExtraLogFieldsCtxKey} {
		ctx = context.WithValue(ctx, key, nil)
	}
	return r.WithContext(ctx)
}

// oneOrigin returns a handler that allows one origin.
func oneOrigin(t testing.TB) *Handler {
	p, problems, _ := policy.Compile(policy.Options{Name: policy.DefaultName, AllowOrigins: []string{"https://app.example.com"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return &Handler{
		policies:  policy.NewPolicies(p),
		tallies:   []tally{{policy: p, name: policy.DefaultName}},
		directive: &denials.Directive{ID: t.Name(), Logger: zap.NewNop()},
	}
}

// What an allowed request pays for being observed, by what is in use.
func BenchmarkObserveAllowed(b *testing.B) {
	h := oneOrigin(b)
	plain := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Header: http.Header{"Origin": {"https://app.example.com"}}}
	bench := func(name string, r *http.Request, c *counters) {
		b.Run(name, func(b *testing.B) {
			h.tallies[0].name, h.tallies[0].counters = "default", c
			var asked policy.Request
			h.classify(r, &asked)
			d := h.policies.Decide(&asked)
			b.ReportAllocs()
			for b.Loop() {
				h.observe(r, &asked, &d)
			}
		})
	}
	bench("nothing", plain, nil)
	bench("metrics", plain, newCounters("srv0", "benchmark", modeDecide))
	bench("placeholders", withVars(plain), nil)
	bench("metrics-and-placeholders", withVars(plain), newCounters("srv0", "benchmark", modeDecide))
}

// What a denied request pays: one that is like others, and one of a flood that never repeats itself.
func BenchmarkObserveDenied(b *testing.B) {
	for name, distinct := range map[string]int{"repeats": 1, "flood": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			var l denials.List
			h := oneOrigin(b)
			r := &http.Request{Method: "GET", Host: "api.example.com", URL: &url.URL{Path: "/orders"}, Header: http.Header{"Origin": {""}}}
			origins := make([]string, distinct)
			for i := range origins {
				origins[i] = fmt.Sprintf("https://%d.example.com", i)
			}
			var asked policy.Request
			h.classify(r, &asked)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				asked.Origin[0] = origins[i%distinct]
				i++
				d := h.policies.Decide(&asked)
				l.Add(denials.Request{Directive: h.directive, HTTP: r, Asked: &asked, Decision: &d})
			}
			entries, _ := l.All()
			b.ReportMetric(float64(len(entries)), "entries")
		})
	}
}

// What a denied request that is like others pays while 64 goroutines deny as many at once.
func BenchmarkObserveDeniedAtOnce(b *testing.B) {
	var l denials.List
	h := oneOrigin(b)
	r := &http.Request{Method: "GET", Host: "api.example.com", URL: &url.URL{Path: "/orders"}, Header: http.Header{"Origin": {"https://other.example.com"}}}
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var asked policy.Request
		h.classify(r, &asked)
		for pb.Next() {
			d := h.policies.Decide(&asked)
			l.Add(denials.Request{Directive: h.directive, HTTP: r, Asked: &asked, Decision: &d})
		}
	})
}

// Observing an allowed request allocates nothing, and a denial that repeats others neither.
func TestObserveDoesNotAllocate(t *testing.T) {
	h := oneOrigin(t)
	h.tallies[0].counters = newCounters("srv0", "allocations", modeDecide)
	for _, origin := range []string{"https://app.example.com", "https://other.example.com"} {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Header: http.Header{"Origin": {origin}}}
		var asked policy.Request
		h.classify(r, &asked)
		d := h.policies.Decide(&asked)
		if n := testing.AllocsPerRun(100, func() { h.observe(r, &asked, &d) }); n != 0 {
			t.Errorf("%s: %v allocations", d.Outcome, n)
		}
		if r := withVars(r); d.Outcome == "allowed" {
			if n := testing.AllocsPerRun(100, func() { h.observe(r, &asked, &d) }); n != 0 {
				t.Errorf("%s, with variables: %v allocations", d.Outcome, n)
			}
		}
	}
}
