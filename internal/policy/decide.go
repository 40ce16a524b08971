package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// This file answers one question: when is a request allowed? The steps are those of the Fetch Standard, in its order: the
// origin first, as in the CORS check (section 4.9), then, as in the CORS-preflight fetch (section 4.8), the method, the
// header names, and the private network. Each step returns a [Denial], which is the zero value if the step is passed.

// maxRequestHeaderNames bounds the names in Access-Control-Request-Headers, in bytes without their separators.
const maxRequestHeaderNames = 4 << 10

// maxMethod bounds a method that no list names, in bytes, so that an echo is bounded too.
const maxMethod = 4 << 10

// A Request is what of an HTTP request bears on the decision. [NewRequest] makes one.
type Request struct {
	// Origin holds the values of the Origin field's lines, none if the request has no Origin.
	Origin []string

	// Host is the authority that the request is for.
	Host string

	// Path is that of the URL, for advice. It may be empty.
	Path string

	// Header holds the request's fields by their canonical names. What is not asked of most requests is looked up in it.
	Header map[string][]string

	// Exempt marks a request that is never refused, whatever [Policies.Enforcing] says.
	Exempt bool

	// Context bounds the time that a [Source] may take to answer.
	Context context.Context

	// Placeholders resolves origins that are known per request only. It may be nil where no policy has such origins
	// ([Policies.PerRequest]).
	Placeholders interface {
		ReplaceAll(input, empty string) string
	}

	method string

	// What a preflight asks for: the values of the lines of Access-Control-Request-Method, of which a preflight has at
	// least one and other requests none, and of Access-Control-Request-Headers.
	methods, headers []string
	privateNetwork   bool
}

// NewRequest takes from a request what bears on the decision. A CORS-preflight request is one with the method OPTIONS, an
// Origin and an Access-Control-Request-Method (Fetch Standard, section 3.3.2); there is no other way to make one.
func NewRequest(method, host string, header map[string][]string) (r Request) {
	r.Read(method, host, header)
	return r
}

// Read makes a request, which is empty so far, what [NewRequest] returns.
func (r *Request) Read(method, host string, header map[string][]string) {
	r.Origin, r.Host, r.Header, r.method = header["Origin"], host, header, method
	if method == "OPTIONS" && len(r.Origin) > 0 {
		r.methods = header["Access-Control-Request-Method"]
		if r.IsPreflight() {
			r.headers = header["Access-Control-Request-Headers"]
			private := header["Access-Control-Request-Private-Network"]
			r.privateNetwork = len(private) > 0 && private[0] == "true"
		}
	}
}

// IsPreflight reports whether the request is a CORS-preflight request.
func (r *Request) IsPreflight() bool { return len(r.methods) > 0 }

// PreflightMethod returns the method that a preflight asks for, and "" for other requests.
func (r *Request) PreflightMethod() string {
	if !r.IsPreflight() {
		return ""
	}
	return r.methods[0]
}

// HeaderNames returns the names of the headers that a preflight asks for, as it has them. There are none where one of
// them is not a name, or where they are very many, or very long all together.
func (r *Request) HeaderNames() (names []string) {
	const maxNames, maxBytes = 32, 512
	length := 0
	for _, line := range r.headers {
		for rest, more := line, true; more; {
			var name string
			if name, rest, more = nextElement(rest); name == "" {
				continue
			}
			if length += len(name); length > maxBytes || len(names) == maxNames || !fetchspec.IsToken(name) {
				return nil
			}
			names = append(names, name)
		}
	}
	return names
}

// IsUnsafe reports whether the request can change something, by its method (RFC 9110, section 9.2.1), or is a WebSocket
// handshake, which no same-origin policy restrains: what a forged request would be.
func (r *Request) IsUnsafe() bool {
	switch r.method {
	case "GET":
		return r.isWebSocket()
	case "HEAD", "OPTIONS", "TRACE":
		return false
	}
	return true
}

// isWebSocket reports whether a GET is a handshake (RFC 6455, section 4.1). Others are a CONNECT (RFC 8441, RFC 9220).
func (r *Request) isWebSocket() bool {
	upgrade := r.Header["Upgrade"]
	return len(upgrade) > 0 && httpguts.HeaderValuesContainsToken(upgrade, "websocket")
}

// isNoCORS reports whether the request is one of those that a page of any site can make, and whose response no script gets
// to read: an image, a frame, a link. Browsers send an Origin with it if the person has given the page's site access to
// storage.
func (r *Request) isNoCORS() bool {
	if r.method != "GET" && r.method != "HEAD" {
		return false
	}
	mode := r.fetchMetadata("Sec-Fetch-Mode")
	return (mode == "no-cors" || mode == "navigate") && !r.isWebSocket()
}

// isForm reports whether the request is a form that a page submits by POST: a navigation.
func (r *Request) isForm() bool {
	return r.method == "POST" && r.fetchMetadata("Sec-Fetch-Mode") == "navigate"
}

// fetchMetadata returns a Fetch Metadata request header, such as Sec-Fetch-Site; empty if it is absent.
func (r *Request) fetchMetadata(name string) string {
	if values := r.Header[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Kind tells preflights from other requests, in a word that logs and metrics use too.
type Kind string

// The kinds of requests.
const (
	KindPreflight Kind = "preflight"
	KindActual    Kind = "actual"
)

// Kind returns what kind of request it is.
func (r *Request) Kind() Kind {
	if r.IsPreflight() {
		return KindPreflight
	}
	return KindActual
}

// A Decision is what the policies make of one request, and why.
type Decision struct {
	Outcome Outcome
	Policy  *Policy // that decided

	// Denial says why, if the outcome is [Denied].
	Denial

	// Refused is true for an actual request that is not to be served, though it is no more than a browser's that lets no
	// script read the response ([Policies.Enforcing]).
	Refused bool

	// AllowOrigin is the value of Access-Control-Allow-Origin; empty if there is none to send, and then no other CORS
	// header either.
	AllowOrigin string
}

// Outcome is the gist of a decision, a word that logs and metrics use too.
type Outcome string

// What a request can come to.
const (
	Allowed    Outcome = "allowed"
	Denied     Outcome = "denied"
	SameOrigin Outcome = "same-origin" // CORS does not apply
	NoOrigin   Outcome = "no-origin"   // not a CORS request
	NoCORS     Outcome = "no-cors"     // not a CORS request, though it has an Origin: no script can read the response
)

// A Denial says why a request is denied. Its zero value denies nothing.
type Denial struct {
	Reason Reason
	Detail string // what was denied: the origin, the method or the header name, as the request had it
}

// Reason is a word for why a request was denied.
type Reason string

// Why a request can be denied.
const (
	OriginNotAllowed         Reason = "origin-not-allowed"
	OriginNull               Reason = "origin-null"
	OriginInvalid            Reason = "origin-invalid"
	MethodNotAllowed         Reason = "method-not-allowed"
	HeaderNotAllowed         Reason = "header-not-allowed"
	PrivateNetworkNotAllowed Reason = "private-network-not-allowed"
)

// The reasons by what is asked for: a permission for the origin at all, or one that a preflight asks for besides.
var (
	OriginReasons    = []Reason{OriginNotAllowed, OriginNull, OriginInvalid}
	PreflightReasons = []Reason{MethodNotAllowed, HeaderNotAllowed, PrivateNetworkNotAllowed}
)

// Decide decides what a request may have. Its cost is bounded by one reading of the request's values, and nothing it
// allocates grows with them.
func (ps *Policies) Decide(r *Request) Decision {
	d := ps.checkOrigin(r)
	switch {
	case !r.IsPreflight():
		d.Refused = ps.refuses(r, &d)
		return d
	case d.AllowOrigin == "":
		return d
	}
	denial := d.Policy.checkMethod(r)
	if denial.Reason == "" {
		denial = d.Policy.checkHeaders(r)
	}
	if denial.Reason == "" {
		denial = d.Policy.checkPrivateNetwork(r)
	}
	if denial.Reason != "" {
		d.Outcome, d.Denial = Denied, denial
	}
	return d
}

// checkOrigin finds the first policy that allows the request's origin. If none does, the decision is the last one's.
func (ps *Policies) checkOrigin(r *Request) Decision {
	last := ps.list[len(ps.list)-1]
	switch {
	case ps.public && len(r.Origin) == 0:
		return Decision{Outcome: NoOrigin, Policy: last, AllowOrigin: "*"}
	case ps.public:
		return Decision{Outcome: Allowed, Policy: last, AllowOrigin: "*"}
	case len(r.Origin) == 0 && ps.isForged(r):
		return Decision{Outcome: Denied, Policy: last, Denial: Denial{Reason: OriginNotAllowed}}
	case len(r.Origin) == 0:
		return Decision{Outcome: NoOrigin, Policy: last}
	case len(r.Origin) > 1:
		return Decision{Outcome: Denied, Policy: last, Denial: Denial{OriginInvalid, r.Origin[0]}}
	}
	text := r.Origin[0]
	var o origin.Origin
	var valid bool
	for i, p := range ps.list {
		if p.origins.HasExact(text) {
			return Decision{Outcome: Allowed, Policy: p, AllowOrigin: text}
		}
		if i == 0 {
			o, valid = origin.Parse(text)
		}
		if valid && p.allows(o, r) || text == origin.Null && p.allowsNull() {
			return Decision{Outcome: Allowed, Policy: p, AllowOrigin: text}
		}
	}
	switch {
	case r.IsPreflight():
	case ps.sameOrigin(o, r):
		return Decision{Outcome: SameOrigin, Policy: last}
	case r.isNoCORS(), r.Exempt && r.isForm(): // a sign-in that comes back, say
		return Decision{Outcome: NoCORS, Policy: last}
	}
	reason := OriginNotAllowed
	switch {
	case text == origin.Null:
		reason = OriginNull
	case !valid:
		reason = OriginInvalid
	}
	return Decision{Outcome: Denied, Policy: last, Denial: Denial{reason, text}}
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
	for _, x := range p.regexps {
		if x.Match(o) {
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
// the host tells; o is the zero Origin if the request's did not parse, which a page's can be whose own host does not, and
// then the texts tell.
func (ps *Policies) sameOrigin(o origin.Origin, r *Request) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		byPerson := site[0] == "none" // from no page: a bookmark, the address bar
		return site[0] == "same-origin" || byPerson && ps.enforce == EnforceUnsafe
	}
	if o.String() != "" {
		return o.SameHost(r.Host)
	}
	scheme, host, _ := strings.Cut(r.Origin[0], "://")
	return (scheme == "http" || scheme == "https") && host != "" && strings.EqualFold(host, r.Host)
}

// Enforcement says which requests are refused.
type Enforcement string

// The kinds of enforcement. Without any, no request is refused: it is the browser that keeps the response from the script.
const (
	EnforceNothing Enforcement = ""

	// EnforceAll refuses the requests that are denied.
	EnforceAll Enforcement = "all"

	// EnforceUnsafe refuses those of them that are unsafe, and those that say that they come from another site, but not from
	// which: forgery, as net/http.CrossOriginProtection knows it.
	EnforceUnsafe Enforcement = "unsafe"
)

// UnmarshalJSON reads a string. Its error says what to write instead of a boolean.
func (e *Enforcement) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, (*string)(e)) == nil {
		return nil
	}
	return fmt.Errorf("enforce: %s says which requests are refused: write %q or %q, or leave it out to refuse none", text, EnforceAll, EnforceUnsafe)
}

// Enforcing returns policies that refuse requests.
func (ps *Policies) Enforcing(e Enforcement) *Policies {
	enforcing := *ps
	enforcing.enforce = e
	return &enforcing
}

// refuses reports whether an actual request is not to be served.
func (ps *Policies) refuses(r *Request, d *Decision) bool {
	if d.Outcome != Denied || r.Exempt {
		return false
	}
	return ps.enforce == EnforceAll || ps.enforce == EnforceUnsafe && r.IsUnsafe()
}

// isForged reports whether a request without an Origin is to be taken for a forged one. One that says nothing of its site
// is not a browser's, or not of these years.
func (ps *Policies) isForged(r *Request) bool {
	if ps.enforce != EnforceUnsafe || r.Exempt || !r.IsUnsafe() {
		return false
	}
	switch r.fetchMetadata("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return true
}

// checkMethod is the method's part of a CORS-preflight fetch. CORS-safelisted methods need no permission. Method names are
// case-sensitive.
func (p *Policy) checkMethod(r *Request) Denial {
	if method := r.PreflightMethod(); len(r.methods) > 1 || !p.allowsMethod(method) {
		return Denial{MethodNotAllowed, method}
	}
	return Denial{}
}

func (p *Policy) allowsMethod(method string) bool {
	return fetchspec.IsSafelistedMethod(method) || slices.Contains(p.methods, method) || p.allowMethods.any && method != "*" && len(method) <= maxMethod && fetchspec.IsToken(method) && !fetchspec.IsForbiddenMethod(method)
}

// checkHeaders is the part of a CORS-preflight fetch that concerns the CORS-unsafe request-header names.
func (p *Policy) checkHeaders(r *Request) Denial {
	total := 0
	for _, line := range r.headers {
		for rest, more := line, true; more; {
			var name string
			if name, rest, more = nextElement(rest); name == "" {
				continue
			}
			if total += len(name); total > maxRequestHeaderNames || !p.allowsHeader(name) {
				return Denial{HeaderNotAllowed, name}
			}
		}
	}
	return Denial{}
}

// allowsHeader reports whether a script may set the request header. A "*", alone or at the end of a name, does not stand
// for Authorization, the one CORS non-wildcard request-header name, nor for the name "*".
func (p *Policy) allowsHeader(name string) bool {
	return p.headers.has(name) || p.allowsUnlisted(name)
}

// allowsUnlisted reports whether a "*" of the policy stands for the header's name.
func (p *Policy) allowsUnlisted(name string) bool {
	return (p.allowHeaders.any || p.hasPrefix(name)) && name != "*" &&
		!fetchspec.IsNonWildcardRequestHeaderName(name) && fetchspec.IsToken(name)
}

func (p *Policy) hasPrefix(name string) bool {
	for _, prefix := range p.prefixes {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// checkPrivateNetwork is what a preflight of older Chromium asks for a page of a public network (the Private Network
// Access draft).
func (p *Policy) checkPrivateNetwork(r *Request) Denial {
	if r.privateNetwork && !p.privateNetwork {
		return Denial{Reason: PrivateNetworkNotAllowed}
	}
	return Denial{}
}
