// Package e2e_test tests the whole product: in real browsers, under load and under attack.
package e2e_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

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

// testSeed returns the seed of what a test chooses at random: another one each time, but with CADDY_CORS_SEED.
func testSeed(t *testing.T) uint64 {
	t.Helper()
	seed := number(t, "CADDY_CORS_SEED", rand.Uint64())
	t.Logf("CADDY_CORS_SEED=%d", seed)
	return seed
}

// number returns the number that is in the environment.
func number(t *testing.T, name string, standard uint64) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(cmp.Or(os.Getenv(name), fmt.Sprint(standard)), 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
