// Package policy is the server's half of the CORS protocol (Fetch Standard, section 3.3): it compiles the options that a
// person writes into a policy, and decides by it what a request may have. It knows HTTP's field values, but no server.
package policy

import (
	"context"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A Policy says who may call, and with what. It is made by [Compile] and never changes.
type Policy struct {
	name string

	everyone   bool // "*"
	null       bool
	origins    origin.Set
	regexps    []*origin.Expression
	templates  []string
	sources    []Source
	secureOnly bool

	credentials    bool
	insecureHTTP   bool // regular expressions and sources may allow http origins beyond loopback, though with credentials
	privateNetwork bool
	exposeTiming   bool

	allowMethods list
	allowHeaders list
	methods      []string // few, so that comparing them all is quicker than a look-up
	headers      nameSet
	prefixes     []string // of header names, in lower case

	exposeHeaders list
	exposed       string // the value of Access-Control-Expose-Headers, as it was written
	maxAge        string
}

// A list is what a list option has: names, and perhaps a "*".
type list struct {
	any   bool
	names string // as the value of a field
}

// A Source knows origins that may call, besides those that a policy was compiled with.
type Source interface {
	// AllowsOrigin reports whether pages of the origin may call. It is asked of tuple origins as browsers serialize them,
	// and of nothing else.
	AllowsOrigin(ctx context.Context, origin string) bool
}

// Name returns the policy's name.
func (p *Policy) Name() string { return p.name }

// Credentials reports whether cookies and the like may be sent: Access-Control-Allow-Credentials.
func (p *Policy) Credentials() bool { return p.credentials }

// ExposesAll reports whether scripts may read every field of the response.
func (p *Policy) ExposesAll() bool { return p.exposeHeaders.any }

// SecureOnly reports whether all origins that the policy can allow are https ones, as far as their text tells.
func (p *Policy) SecureOnly() bool { return p.secureOnly }

// Policies are tried in order: the first whose origins match decides.
type Policies struct {
	list           []*Policy
	public         bool
	perRequest     bool
	privateNetwork bool
	enforce        Enforcement
}

// NewPolicies returns at least one policy as a whole.
func NewPolicies(list ...*Policy) *Policies {
	ps := &Policies{list: list, public: len(list) == 1 && list[0].everyone && !list[0].credentials}
	for _, p := range list {
		ps.perRequest = ps.perRequest || len(p.templates) > 0
		ps.privateNetwork = ps.privateNetwork || p.privateNetwork
	}
	return ps
}

// Public reports whether the answer is the same for every origin, and for none: one policy, "*" without credentials.
func (ps *Policies) Public() bool { return ps.public }

// PerRequest reports whether there are origins with placeholders, which need [Request.Placeholders].
func (ps *Policies) PerRequest() bool { return ps.perRequest }
