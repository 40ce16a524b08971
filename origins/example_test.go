package origins_test

import (
	"context"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	caddycors "github.com/caddy-cors/caddy-cors"
)

// Partners is a source of origins of somebody else: the portals of partners, and of each tenant its own app.
//
//	cors {
//		allow_origins_from partners example.com
//	}
type Partners struct {
	// The domain below which the portals are.
	Domain string `json:"domain,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Partners) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.cors.origins.partners",
		New: func() caddy.Module { return new(Partners) },
	}
}

// UnmarshalCaddyfile reads "partners <domain>".
func (p *Partners) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the name of the source
	if !d.AllArgs(&p.Domain) {
		return d.ArgErr()
	}
	return nil
}

// AllowsOrigin is called on the path of requests, by many at once, and answers from memory.
func (p *Partners) AllowsOrigin(ctx context.Context, origin string) bool {
	if name, ok := strings.CutSuffix(origin, ".portal."+p.Domain); ok && strings.HasPrefix(name, "https://") {
		return true
	}
	replacer := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	tenant, _ := replacer.GetString("http.request.header.X-Tenant")
	return origin == "https://"+strings.ToLower(tenant)+".app."+p.Domain
}

// RequestPlaceholders has the Vary field name X-Tenant, which the answer depends on.
func (p *Partners) RequestPlaceholders() []string {
	return []string{"{http.request.header.X-Tenant}"}
}

// A source of somebody else is a guest module in the namespace http.cors.origins that is a caddycors.OriginSource. One whose
// answers depend on the request, as these do, is a caddycors.RequestSource, too.
func Example() {
	// In a plugin, this stands in an init function.
	caddy.RegisterModule(new(Partners))
}

// Interface guards
var (
	_ caddyfile.Unmarshaler   = (*Partners)(nil)
	_ caddycors.OriginSource  = (*Partners)(nil)
	_ caddycors.RequestSource = (*Partners)(nil)
)
