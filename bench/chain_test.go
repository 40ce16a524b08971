package bench

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/bench/sites"
)

// provision returns a server with one site, which does not listen.
func provision(t testing.TB, site sites.Site) http.Handler {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(`{
	admin off
	log {
		output discard
	}
}
http://api.example.com {
	`+site.Directives+`
	respond hello
}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var config caddy.Config
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&config)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := ctx.App("http")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range loaded.(*caddyhttp.App).Servers {
		return server
	}
	t.Fatal("no server")
	return nil
}

// BenchmarkAdded sends requests through Caddy's middleware chain, and says what each site adds to it.
func BenchmarkAdded(b *testing.B) {
	none := provision(b, sites.None)
	for _, policy := range sites.Policies {
		handlers := make(map[string]http.Handler)
		for _, site := range policy.Sites() {
			handlers[site.Name] = provision(b, site)
		}
		for _, request := range requests {
			b.Run("policy="+policy.Name+"/request="+request.name, func(b *testing.B) {
				candidates := []candidate{{sites.None.Name, "", overHTTP(none, request)}}
				for _, site := range policy.Sites() {
					candidates = append(candidates, candidate{site.Name, sites.None.Name, overHTTP(handlers[site.Name], request)})
				}
				compare(b, candidates)
			})
		}
	}
}
