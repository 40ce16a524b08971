// Package policy is the server's half of the CORS protocol (Fetch Standard, section 3.3): it compiles the options that a
// person writes into a policy, and decides by it what a request may have. It knows HTTP's field values, but no server.
package policy

import (
	"context"
	"regexp"
	"slices"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// maxRequestHeaderNames bounds the names in Access-Control-Request-Headers, in bytes without their separators.
const maxRequestHeaderNames = 4 << 10

// maxMethod bounds a method that no list names, in bytes, so that an echo is bounded too.
const maxMethod = 4 << 10

// A Policy says who may call, and with what. It is made by [Compile] and never changes.
type Policy struct {
	name string

	everyone   bool // "*"
	null       bool
	origins    origin.Set
	regexps    []*regexp.Regexp
	templates  []string
	sources    []Source
	secureOnly bool

	credentials    bool
	insecureHTTP   bool // regular expressions and sources may allow http origins beyond loopback, though with credentials
	privateNetwork bool
	exposeTiming   bool

	methods []string // few, so that comparing them all is quicker than a look-up
	headers nameSet

	allowMethods, allowHeaders list
	expose                     list
	maxAge                     string
}

// A list is the value of a list option in two forms: with its "*", if it has one, and the names alone.
type list struct {
	any   bool
	value string // as it was written
	names string // less the "*"
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

// SendsMore reports whether actual responses get more CORS headers than Access-Control-Allow-Origin.
func (p *Policy) SendsMore() bool { return p.credentials || p.exposeTiming || p.expose.value != "" }

// ExposeTiming reports whether scripts may read the detailed timing of requests: Timing-Allow-Origin.
func (p *Policy) ExposeTiming() bool { return p.exposeTiming }

// SecureOnly reports whether all origins that the policy can allow are https ones, as far as their text tells.
func (p *Policy) SecureOnly() bool { return p.secureOnly }

// MaxAge returns the value of Access-Control-Max-Age, in seconds.
func (p *Policy) MaxAge() string { return p.maxAge }

// ExposeHeaders returns the value of Access-Control-Expose-Headers. If literal is true, the policy exposes every field
// of the response, but browsers take a "*" for a field's name, as they do with credentials: the names of the response's
// own fields belong in its stead.
func (p *Policy) ExposeHeaders() (value string, literal bool) {
	if p.expose.any && p.credentials {
		return p.expose.names, true
	}
	return p.expose.value, false
}

// Policies are tried in order: the first whose origins match decides.
type Policies struct {
	list           []*Policy
	public         bool
	perRequest     bool
	privateNetwork bool
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

// PrivateNetwork reports whether an answer can depend on Access-Control-Request-Private-Network.
func (ps *Policies) PrivateNetwork() bool { return ps.privateNetwork }

// A Request is what of an HTTP request bears on the decision.
type Request struct {
	// Origin holds the values of the Origin field's lines, none if the request has no Origin.
	Origin []string

	// Host is the authority that the request is for.
	Host string

	// Header holds the request's fields by their canonical names. Of those above and below it has no say; Sec-Fetch-Site
	// is looked up in it, by the few requests for which it matters.
	Header map[string][]string

	// Preflight marks a CORS-preflight request. The fields below it matter for those alone.
	Preflight bool

	// Method and Headers hold the values of the lines of Access-Control-Request-Method and -Headers.
	Method, Headers []string

	// PrivateNetwork is true if the request has Access-Control-Request-Private-Network: true.
	PrivateNetwork bool

	// Context bounds the time that a [Source] may take to answer.
	Context context.Context

	// Placeholders resolves origins that are known per request only.
	Placeholders interface {
		ReplaceAll(input, empty string) string
	}
}

// Decide decides what a request may have. The order is the browser's: the origin first, as in the CORS check of the Fetch
// Standard (section 4.9, "CORS check"), then, as in its CORS-preflight fetch (section 4.8), the method and the header
// names. Its cost is bounded by one reading of the request's values, and nothing it allocates grows with them.
func (ps *Policies) Decide(r *Request) (d Decision) {
	ps.checkOrigin(r, &d)
	if !r.Preflight || d.AllowOrigin == "" {
		return d
	}
	p := d.Policy
	if d.Reason, d.Detail = p.checkMethod(r, &d); d.Reason != "" {
		d.Outcome = Denied
	}
	if reason, detail := p.checkHeaders(r, &d); reason != "" && d.Reason == "" {
		d.Outcome, d.Reason, d.Detail = Denied, reason, detail
	}
	d.AllowPrivateNetwork = r.PrivateNetwork && p.privateNetwork
	if r.PrivateNetwork && !p.privateNetwork && d.Reason == "" {
		d.Outcome, d.Reason = Denied, PrivateNetworkNotAllowed
	}
	return d
}

// checkOrigin finds the first policy that allows the request's origin. If none does, the decision is the last one's.
func (ps *Policies) checkOrigin(r *Request, d *Decision) {
	if len(r.Origin) == 1 && !ps.public {
		ps.checkOneOrigin(r.Origin[0], r, d)
		return
	}
	d.Policy = ps.list[len(ps.list)-1]
	switch {
	case len(r.Origin) == 0:
		d.Outcome = NoOrigin
	case ps.public:
		d.Outcome = Allowed
	default:
		d.Outcome, d.Reason, d.Detail = Denied, OriginInvalid, r.Origin[0]
	}
	if ps.public {
		d.AllowOrigin = "*"
	}
}

func (ps *Policies) checkOneOrigin(text string, r *Request, d *Decision) {
	var o origin.Origin
	var valid bool
	for i, p := range ps.list {
		d.Policy = p
		if p.origins.HasExact(text) {
			d.Outcome, d.AllowOrigin = Allowed, text
			return
		}
		if i == 0 {
			o, valid = origin.Parse(text)
		}
		if valid && p.allows(o, r) || text == origin.Null && p.allowsNull() {
			d.Outcome, d.AllowOrigin = Allowed, text
			return
		}
	}
	if !r.Preflight && sameOrigin(o, r) {
		d.Outcome = SameOrigin
		return
	}
	d.Outcome, d.Reason, d.Detail = Denied, OriginNotAllowed, text
	switch {
	case text == origin.Null:
		d.Reason = OriginNull
	case !valid:
		d.Reason = OriginInvalid
	}
}

// allows reports whether the policy's patterns, regular expressions, placeholders or sources allow the origin.
func (p *Policy) allows(o origin.Origin, r *Request) bool {
	if p.everyone || p.origins.HasFamily(o) {
		return true
	}
	for _, template := range p.templates {
		if r.Placeholders.ReplaceAll(template, "") == o.String() {
			return true
		}
	}
	// What follows may allow more than its author had in mind.
	if p.credentials && !p.insecureHTTP && o.Scheme() == "http" && !o.Loopback() {
		return false
	}
	for _, re := range p.regexps {
		if re.MatchString(o.String()) {
			return true
		}
	}
	for _, source := range p.sources {
		if source.AllowsOrigin(r.Context, o.String()) {
			return true
		}
	}
	return false
}

// allowsNull reports whether the policy allows the opaque origin, which "*" with credentials does not cover.
func (p *Policy) allowsNull() bool { return p.null || p.everyone && !p.credentials }

// sameOrigin reports whether the request's page and the request's URL are of one origin. Browsers that send
// Sec-Fetch-Site know it, even where their Origin says "null" (a form under Referrer-Policy: no-referrer). For the others
// the host tells; o is the zero Origin if the request's did not parse.
func sameOrigin(o origin.Origin, r *Request) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		return site[0] == "same-origin"
	}
	return o.SameHost(r.Host)
}

// checkMethod is the method's part of a CORS-preflight fetch. CORS-safelisted methods need no permission. Methods are
// compared by their case.
func (p *Policy) checkMethod(r *Request, d *Decision) (Reason, string) {
	method := r.Method[0]
	allowed := p.allowsMethod(method) && len(r.Method) == 1
	d.AllowMethods = p.allowMethods.value
	if p.allowMethods.any && p.credentials { // for browsers "*" is then the name of a method
		d.AllowMethods = p.allowMethods.names
		if allowed {
			d.AllowMethods = join(d.AllowMethods, method)
		}
	}
	if allowed {
		return "", ""
	}
	return MethodNotAllowed, method
}

func (p *Policy) allowsMethod(method string) bool {
	switch method {
	case "GET", "HEAD", "POST":
		return true
	}
	return slices.Contains(p.methods, method) || p.allowMethods.any && len(method) <= maxMethod && fetchspec.IsToken(method) && !fetchspec.IsForbiddenMethod(method)
}

// checkHeaders is the part of a CORS-preflight fetch that concerns the CORS-unsafe request-header names.
func (p *Policy) checkHeaders(r *Request, d *Decision) (Reason, string) {
	var reason Reason
	var detail string
	total := 0
	for _, line := range r.Headers {
		for rest, more := line, true; more && reason == ""; {
			var name string
			name, rest, more = nextElement(rest)
			if name == "" {
				continue
			}
			if total += len(name); total > maxRequestHeaderNames || !p.allowsHeader(name) {
				reason, detail = HeaderNotAllowed, name
			}
		}
	}
	d.AllowHeaders = p.allowHeaders.value
	if !p.allowHeaders.any {
		return reason, detail
	}
	// A "*" must not pass for a permission that the policy does not give, in whichever way a browser reads it: with
	// credentials it is a field's name, and without them browsers let it cover Authorization.
	switch {
	case reason != "":
		d.AllowHeaders = p.allowHeaders.names
	case p.credentials:
		d.AllowHeaders = join(p.allowHeaders.names, elements(r.Headers))
	}
	return reason, detail
}

// allowsHeader reports whether a script may set the request header. A "*" does not stand for Authorization, the one
// CORS non-wildcard request-header name.
func (p *Policy) allowsHeader(name string) bool {
	return p.headers.has(name) ||
		p.allowHeaders.any && !fetchspec.IsNonWildcardRequestHeaderName(name) && fetchspec.IsToken(name)
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}
