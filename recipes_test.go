package caddycors_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// recipe returns the Caddyfile under a heading of docs/recipes.md, on a port of this machine, and the URL of its site.
// The replacements are pairs of what the page has and what the test needs in its stead.
func recipe(t *testing.T, heading string, replacements ...string) (caddyfile, url string) {
	t.Helper()
	page, err := os.ReadFile("docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, fenced := strings.Cut(section, "```caddyfile\n")
	if caddyfile, _, _ = strings.Cut(block, "```"); !found || !fenced {
		t.Fatalf("docs/recipes.md has no Caddyfile under %q", heading)
	}
	backend := upstream(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Backend", r.Host) })
	port := livecaddy.FreePort(t)
	for pairs := append(replacements, "localhost:9000", backend); len(pairs) > 0; pairs = pairs[2:] {
		if !strings.Contains(caddyfile, pairs[0]) {
			t.Fatalf("the recipe has no %q", pairs[0])
		}
		caddyfile = strings.ReplaceAll(caddyfile, pairs[0], pairs[1])
	}
	site := regexp.MustCompile(`(?m)^(\S*api\.example\.com) \{$`)
	return site.ReplaceAllString(caddyfile, "http://$1:"+port+" {"), "http://127.0.0.1:" + port
}

// ask sends a request for a host.
func ask(t *testing.T, method, url, host string, header fields) response {
	t.Helper()
	withHost := fields{"Host": host}
	maps.Copy(withHost, header)
	return send(t, http1(t), method, url, withHost)
}

// becomes waits until a page of the origin may call, or may not.
func becomes(t *testing.T, url, origin string, allowed bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		res := ask(t, "GET", url, "api.example.com", fields{"Origin": origin})
		if (res.Header.Get("Access-Control-Allow-Origin") == origin) == allowed {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s: allowed is not %v", origin, allowed)
}

func TestRecipePartners(t *testing.T) {
	caddyfile, url := recipe(t, "Partners with rights of their own")
	livecaddy.Start(t, caddyfile)
	const partner = "https://partner.example.net"
	preflight := func(origin, method, headers string) response {
		return ask(t, "OPTIONS", url, "api.example.com", fields{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers})
	}
	ask(t, "GET", url, "api.example.com", fields{"Origin": app}).want(t, 200, append([]string{"Access-Control-Allow-Credentials: true"}, allowApp...), varyOrigin)
	preflight(app, "PUT", "authorization").want(t, 204, append([]string{
		"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: PUT, PATCH, DELETE",
		"Access-Control-Allow-Headers: Content-Type, Authorization", "Access-Control-Max-Age: 600",
	}, allowApp...), varyPreflight)
	ask(t, "GET", url, "api.example.com", fields{"Origin": partner}).want(t, 200, []string{"Access-Control-Allow-Origin: " + partner, "Access-Control-Expose-Headers: X-Quota-Remaining"}, varyOrigin)
	preflight(partner, "GET", "x-api-key").want(t, 204, []string{
		"Access-Control-Allow-Origin: " + partner, "Access-Control-Allow-Headers: X-Api-Key", "Access-Control-Expose-Headers: X-Quota-Remaining", "Access-Control-Max-Age: 3600",
	}, varyPreflight)
	ask(t, "GET", url, "api.example.com", fields{"Origin": other}).want(t, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin)
}

func TestRecipeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "origins")
	replace := func(list string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	replace("# run/origins\nhttps://shop.customer-one.example\nhttps://*.customer-two.example     # all their shops\n")
	caddyfile, url := recipe(t, "Customer domains in a file", "file run/origins", "file "+file+" {\ninterval 100ms\n}")
	livecaddy.Start(t, caddyfile)
	becomes(t, url, "https://shop.customer-one.example", true)
	becomes(t, url, "https://a.customer-two.example", true)
	becomes(t, url, "https://customer-three.example", false)
	replace("https://customer-three.example\n")
	becomes(t, url, "https://customer-three.example", true)
	becomes(t, url, "https://shop.customer-one.example", false)
}

func TestRecipeStorage(t *testing.T) {
	shared := t.TempDir()
	key := filepath.Join(shared, "cors", "origins")
	if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(list string) {
		t.Helper()
		if err := os.WriteFile(key, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("https://one.example\nhttp://two.example\n")
	caddyfile, url := recipe(t, "A cluster that shares one list", "storage cors/origins", "storage cors/origins {\ninterval 100ms\n}", "{\n\tstorage file_system /mnt/shared/caddy\n}\n", "")
	livecaddy.Start(t, caddyfile, "storage file_system "+shared)
	becomes(t, url, "https://one.example", true)
	becomes(t, url, "http://two.example", false)
	write("https://two.example\n")
	becomes(t, url, "https://two.example", true)
	becomes(t, url, "https://one.example", false)
}

func TestRecipeAsk(t *testing.T) {
	database := map[string]bool{"https://one.example": true, "https://two.example": true}
	program := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/origins" || !database[r.FormValue("origin")] {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	caddyfile, url := recipe(t, "A database that knows the origins", "localhost:9001", program)
	livecaddy.Start(t, caddyfile)
	becomes(t, url, "https://one.example", true)
	becomes(t, url, "https://two.example", true)
	becomes(t, url, "https://three.example", false)
}

func TestRecipeTenants(t *testing.T) {
	caddyfile, url := recipe(t, "An origin for each tenant")
	livecaddy.Start(t, caddyfile)
	for _, test := range []struct {
		host, origin string
		allowed      bool
	}{
		{"blue.api.example.com", "https://www.blue.example", true},
		{"green.api.example.com", "https://green.example.net", true},
		{"blue.api.example.com", "https://green.example.net", false},
		{"red.api.example.com", "https://www.blue.example", false},
		{"red.api.example.com", "", false},
	} {
		res := ask(t, "GET", url, test.host, fields{"Origin": test.origin})
		if allowed := res.Header.Get("Access-Control-Allow-Origin") == test.origin && test.origin != ""; allowed != test.allowed {
			t.Errorf("%s from %q: %v", test.host, test.origin, allowed)
		}
	}
}
