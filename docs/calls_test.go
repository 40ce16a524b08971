package docs_test

import (
	"slices"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// What the pages call, and from where.
const (
	api   = "https://api.example.com"
	app   = "https://app.example.com"
	other = "https://other.example.com"
)

type fields = livecaddy.Fields

var (
	allowApp      = []string{"Access-Control-Allow-Origin: " + app}
	varyOrigin    = []string{"Origin"}
	varyEnforced  = []string{"Origin", "Sec-Fetch-Mode", "Sec-Fetch-Site"}
	varyPreflight = []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}

	// allowAppCookies is allowApp where the policy allows credentials.
	allowAppCookies = slices.Concat(allowApp, []string{"Access-Control-Allow-Credentials: true"})
)
