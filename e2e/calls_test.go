// Package e2e_test tests the whole product: in real browsers, under load and under attack.
package e2e_test

import (
	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// The origins of pages: one that most policies allow, and others.
const (
	app   = "https://app.example.com"
	other = "https://other.example.com"
	evil  = "https://evil.com"
)

type fields = livecaddy.Fields

var (
	allowApp      = []string{"Access-Control-Allow-Origin: " + app}
	varyOrigin    = []string{"Origin"}
	varyPreflight = []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}
)
