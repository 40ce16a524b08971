package check_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
)

// A countingSource allows every origin, and counts how often it is asked.
type countingSource struct{}

var asked atomic.Int64

func init() { caddy.RegisterModule(countingSource{}) }

// CaddyModule returns the Caddy module information.
func (countingSource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.cors.origins.counting", New: func() caddy.Module { return countingSource{} }}
}

// AllowsOrigin counts.
func (countingSource) AllowsOrigin(context.Context, string) bool {
	asked.Add(1)
	return true
}

// The check sees the decision that the handler makes, and does not make another: a source is asked once a request.
func TestSourceIsAskedOnce(t *testing.T) {
	config := checktest.File(t, "caddy.json", `{"apps": {"http": {"servers": {"s": {
		"listen": [":80"],
		"routes": [{"handle": [
			{"handler": "cors", "allow_origins_from": [{"source": "counting"}], "allow_methods": ["PUT"]},
			{"handler": "static_response", "body": "hello"}
		]}]
	}}}}}`)
	for _, test := range []struct {
		args []string
		want int64
	}{
		{[]string{"-X", "GET"}, 1},
		{[]string{"-X", "PUT"}, 2}, // and its preflight
	} {
		asked.Store(0)
		args := append(test.args, "http://api.example.com/", "--origin=http://app.example.com", "--config", config)
		if r := checktest.Run(t, args...); r.Verdict != "allowed" {
			t.Errorf("%q: it is %s: %+v", test.args, r.Verdict, r.Cause)
		}
		if n := asked.Load(); n != test.want {
			t.Errorf("%q: the source is asked %d times, want %d", test.args, n, test.want)
		}
	}
}
