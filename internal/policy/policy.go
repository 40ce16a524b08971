// Package policy is the server's half of the CORS protocol (Fetch Standard, section 3.3): it compiles the options that a
// person writes into a policy, and decides by it what a request may have. It knows HTTP's field values, but no server.
package policy

import (
	"regexp"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// maxRequestHeaderNames bounds the names in Access-Control-Request-Headers, in bytes without their separators.
const maxRequestHeaderNames = 4 << 10

// A Policy says who may call, and with what. It is made by [Compile] and never changes.
type Policy struct {
	everyone   bool // "*"
	null       bool
	origins    origin.Set
	regexps    []*regexp.Regexp
	templates  []string
	secureOnly bool

	credentials    bool
	privateNetwork bool

	methods map[string]struct{}
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

// Everyone reports whether the policy's answer is the same for every origin, and for none: "*" without credentials.
func (p *Policy) Everyone() bool { return p.everyone && !p.credentials }

// PerRequest reports whether the policy has origins with placeholders, and so needs [Request.Placeholders].
func (p *Policy) PerRequest() bool { return len(p.templates) > 0 }

// SecureOnly reports whether all origins that the policy can allow are https ones, as far as their text tells.
func (p *Policy) SecureOnly() bool { return p.secureOnly }

// Credentials reports whether cookies and the like may be sent: Access-Control-Allow-Credentials.
func (p *Policy) Credentials() bool { return p.credentials }

// PrivateNetwork reports whether pages of public networks may call a server in a private one.
func (p *Policy) PrivateNetwork() bool { return p.privateNetwork }

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

// A Request is what of an HTTP request bears on the decision.
type Request struct {
	// Origin holds the values of the Origin field's lines, none if the request has no Origin.
	Origin []string

	// Host is the authority that the request is for, and FetchSite the values of Sec-Fetch-Site.
	Host      string
	FetchSite []string

	// Preflight marks a CORS-preflight request. The fields below it matter for those alone.
	Preflight bool

	// Method and Headers hold the values of the lines of Access-Control-Request-Method and -Headers.
	Method, Headers []string

	// PrivateNetwork is true if the request has Access-Control-Request-Private-Network: true.
	PrivateNetwork bool

	// Placeholders resolves origins that are known per request only.
	Placeholders interface {
		ReplaceAll(input, empty string) string
	}
}

// Decide decides what a request may have. The order is the browser's: the origin first, as in the CORS check of the Fetch
// Standard (section 4.9, "CORS check"), then, as in its CORS-preflight fetch (section 4.8), the method and the header
// names. Its cost is bounded by one reading of the request's values, and nothing it allocates grows with them.
func (p *Policy) Decide(r *Request) Decision {
	d := p.checkOrigin(r)
	if !r.Preflight || d.AllowOrigin == "" {
		return d
	}
	if d.Reason, d.Detail = p.checkMethod(r, &d); d.Reason != "" {
		d.Outcome = Denied
	}
	if reason, detail := p.checkHeaders(r, &d); reason != "" && d.Reason == "" {
		d.Outcome, d.Reason, d.Detail = Denied, reason, detail
	}
	if r.PrivateNetwork && !p.privateNetwork && d.Reason == "" {
		d.Outcome, d.Reason = Denied, PrivateNetworkNotAllowed
	}
	return d
}

func (p *Policy) checkOrigin(r *Request) Decision {
	if p.Everyone() {
		if len(r.Origin) == 0 {
			return Decision{Outcome: NoOrigin, AllowOrigin: "*"}
		}
		return Decision{Outcome: Allowed, AllowOrigin: "*"}
	}
	switch len(r.Origin) {
	case 0:
		return Decision{Outcome: NoOrigin}
	case 1:
	default:
		return Decision{Outcome: Denied, Reason: OriginInvalid, Detail: r.Origin[0]}
	}
	text := r.Origin[0]
	if p.origins.HasExact(text) {
		return Decision{Outcome: Allowed, AllowOrigin: text}
	}
	var reason Reason
	o, valid := origin.Parse(text)
	switch {
	case text == origin.Null:
		if p.null {
			return Decision{Outcome: Allowed, AllowOrigin: text}
		}
		reason = OriginNull
	case !valid:
		reason = OriginInvalid
	case p.allows(o, r):
		return Decision{Outcome: Allowed, AllowOrigin: text}
	default:
		reason = OriginNotAllowed
	}
	if !r.Preflight && sameOrigin(o, r) {
		return Decision{Outcome: SameOrigin}
	}
	return Decision{Outcome: Denied, Reason: reason, Detail: text}
}

// allows reports whether the policy's patterns, regular expressions or placeholders allow the origin.
func (p *Policy) allows(o origin.Origin, r *Request) bool {
	if p.everyone || p.origins.HasFamily(o) {
		return true
	}
	for _, re := range p.regexps {
		if re.MatchString(o.String()) {
			return true
		}
	}
	for _, template := range p.templates {
		if r.Placeholders.ReplaceAll(template, "") == o.String() {
			return true
		}
	}
	return false
}

// sameOrigin reports whether the request's page and the request's URL are of one origin. Browsers that send
// Sec-Fetch-Site know it, even where their Origin says "null" (a form under Referrer-Policy: no-referrer). For the others
// the host tells; o is the zero Origin if the request's did not parse.
func sameOrigin(o origin.Origin, r *Request) bool {
	if len(r.FetchSite) > 0 {
		return r.FetchSite[0] == "same-origin"
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
	_, ok := p.methods[method]
	return ok || p.allowMethods.any && isToken(method) && !isForbiddenMethod(method)
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
		p.allowHeaders.any && !strings.EqualFold(name, "authorization") && isToken(name)
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}
