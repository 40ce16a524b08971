package policy

import (
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// This file answers one question: what is sent? An [Answer] is the header fields of one response; it knows nothing of how
// and when a server writes them.

// The response header fields that a policy owns, with all others that start with ownedPrefix.
const (
	ownedPrefix = "Access-Control-"

	allowOrigin         = "Access-Control-Allow-Origin"
	allowCredentials    = "Access-Control-Allow-Credentials"
	allowMethods        = "Access-Control-Allow-Methods"
	allowHeaders        = "Access-Control-Allow-Headers"
	allowPrivateNetwork = "Access-Control-Allow-Private-Network"
	exposeHeaders       = "Access-Control-Expose-Headers"
	maxAge              = "Access-Control-Max-Age"
	timingAllowOrigin   = "Timing-Allow-Origin"

	vary    = "Vary"
	trailer = "Trailer"

	trailerPrefix = "Trailer:" // net/http.TrailerPrefix

	// DebugHeader is the name of the field that explains a decision.
	DebugHeader = "X-Cors-Decision"
)

// The most fields that are set in the answer to a preflight and in other responses, less those of debug and private
// networks. Whoever hands room for so many to [Answers.Apply] saves an allocation.
const (
	MaxPreflightFields = 7
	MaxActualFields    = 5
)

// Owns reports whether a response header field of the name, in any case, is one that a policy owns: whatever else sets it
// is replaced or kept as a whole.
func Owns(name string) bool {
	if len(name) < len(ownedPrefix) {
		return false
	}
	switch name[0] {
	case 'A', 'a':
		return strings.EqualFold(name[:len(ownedPrefix)], ownedPrefix)
	case 'T', 't':
		return strings.EqualFold(name, timingAllowOrigin)
	}
	return false
}

// RemoveOwned removes the fields that a policy owns from a response header, in whatever case they are spelled.
func RemoveOwned(header map[string][]string) {
	for name := range header {
		if Owns(name) {
			delete(header, name)
		}
	}
}

// AnswerOptions say how policies are answered by, whatever they decide.
type AnswerOptions struct {
	// Preserve keeps the CORS headers that a response has of its own, if it has an Access-Control-Allow-Origin.
	Preserve bool

	// Debug adds a field that explains the decision.
	Debug bool

	// Silent sets no other field than that of Debug.
	Silent bool

	// VaryOn names the request header fields, besides those of the CORS protocol, that decisions depend on.
	VaryOn []string
}

// Answers make the answers of policies.
type Answers struct {
	options AnswerOptions

	// What the answers depend on: those to actual requests, to unsafe ones of them, and to preflights.
	vary, varyUnsafe, varyPreflight varyNames
	public                          bool // the policies
}

// NewAnswers returns what makes the answers of the policies.
func NewAnswers(ps *Policies, o AnswerOptions) *Answers {
	var actual []string
	if !ps.public || o.Preserve { // a response that is not given the policy's "*" has an origin that the backend chose
		actual = []string{"Origin"}
	}
	if !ps.public {
		actual = append(actual, o.VaryOn...)
	}
	unsafe := actual
	preflight := slices.Concat(actual, []string{"Access-Control-Request-Method", "Access-Control-Request-Headers"})
	if ps.privateNetwork {
		preflight = append(preflight, "Access-Control-Request-Private-Network")
	}
	if !ps.public {
		switch ps.enforce {
		case EnforceAll:
			actual = append(slices.Clone(actual), "Sec-Fetch-Site", "Sec-Fetch-Mode")
			unsafe = actual
		case EnforceUnsafe:
			unsafe = append(slices.Clone(actual), "Sec-Fetch-Site")
		}
	}
	return &Answers{
		options: o, public: ps.public,
		vary: newVaryNames(actual), varyUnsafe: newVaryNames(unsafe), varyPreflight: newVaryNames(preflight),
	}
}

// varyOf returns what the answer to a request depends on.
func (a *Answers) varyOf(r *Request) *varyNames {
	if r.IsPreflight() {
		return &a.varyPreflight
	}
	return a.varyOfActual(a.DependOnSite(r))
}

// DependOnSite reports whether the answer to an actual request depends on more than that to others, because it could be
// refused.
func (a *Answers) DependOnSite(r *Request) bool {
	return len(a.varyUnsafe.names) > len(a.vary.names) && r.IsUnsafe()
}

// An Answer is what is sent for one decision.
type Answer struct {
	policy      *Policy
	vary        *varyNames
	allowOrigin string
	debug       string // the value of DebugHeader

	// Of preflights.
	preflight                  bool
	allowMethods, allowHeaders string
	allowPrivateNetwork        bool
	remembered                 bool // by the browser, for the policy's max age
}

// To returns the answer to a request.
func (a *Answers) To(r *Request, d *Decision) Answer {
	answer := Answer{policy: d.Policy, vary: a.varyOf(r), allowOrigin: d.AllowOrigin, preflight: r.IsPreflight()}
	if a.options.Debug {
		answer.debug = debugValue(d)
	}
	if answer.preflight && d.AllowOrigin != "" {
		answer.allowMethods = d.Policy.answerMethods(r)
		answer.allowHeaders = d.Policy.answerHeaders(r)
		answer.allowPrivateNetwork = r.privateNetwork && d.Policy.privateNetwork
		answer.remembered = d.Outcome == Allowed
	}
	return answer
}

// ToActual returns the answer to an actual request where debug is off. The origin is the decision's AllowOrigin;
// dependsOnSite is what [Answers.DependOnSite] says.
func (a *Answers) ToActual(p *Policy, allowOrigin string, dependsOnSite bool) Answer {
	return Answer{policy: p, vary: a.varyOfActual(dependsOnSite), allowOrigin: allowOrigin}
}

func (a *Answers) varyOfActual(dependsOnSite bool) *varyNames {
	if dependsOnSite {
		return &a.varyUnsafe
	}
	return &a.vary
}

// A "*" is never sent. With credentials, browsers take it for a name. Without them, Firefox and Chromium let it cover
// Authorization, and WebKit remembers it as a permission for that. So what it allows of a request is listed by name.

// answerMethods returns the value of Access-Control-Allow-Methods.
func (p *Policy) answerMethods(r *Request) string {
	method := r.PreflightMethod()
	if !p.allowMethods.any || slices.Contains(p.methods, method) || p.checkMethod(r).Reason != "" {
		return p.allowMethods.names
	}
	return join(p.allowMethods.names, method)
}

// answerHeaders returns the value of Access-Control-Allow-Headers. If a header is not allowed, those before it are listed
// all the same, so that the browser names the right one.
func (p *Policy) answerHeaders(r *Request) string {
	if !p.allowHeaders.any && len(p.prefixes) == 0 {
		return p.allowHeaders.names
	}
	var b strings.Builder
	b.WriteString(p.allowHeaders.names)
	separator := ""
	if b.Len() > 0 {
		separator = ", "
	}
	total := 0
	for _, line := range r.headers {
		for rest, more := line, true; more; {
			var name string
			if name, rest, more = nextElement(rest); name == "" {
				continue
			}
			if total += len(name); total > maxRequestHeaderNames {
				return p.allowHeaders.names
			}
			switch {
			case p.headers.has(name):
			case !p.allowsUnlisted(name):
				return b.String()
			default:
				b.WriteString(separator)
				b.WriteString(name)
				separator = "," // as browsers write it, so that an echo is not longer than what was asked for
			}
		}
	}
	return b.String()
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// Apply sets the answer's fields in a response header, merges Vary, and removes what else there is of the CORS headers,
// unless they are to be kept. The field values are put into the capacity of values, which is not to be shared with other
// responses, and beyond it into memory of their own.
func (a *Answers) Apply(answer *Answer, header map[string][]string, values []string) {
	f := fields{header, values}
	f.set(DebugHeader, answer.debug)
	if a.options.Silent {
		return
	}
	if !a.clear(&f, answer.vary) || answer.allowOrigin == "" {
		return
	}
	p := answer.policy
	f.set(allowOrigin, answer.allowOrigin)
	if p.credentials {
		f.set(allowCredentials, "true")
	}
	exposed := p.exposed
	if p.exposeHeaders.any && p.credentials { // browsers then take a "*" for a name
		exposed = p.exposeHeaders.names
		if !answer.preflight {
			exposed = fieldNames(header)
		}
	}
	if answer.preflight {
		f.set(allowMethods, answer.allowMethods)
		f.set(allowHeaders, answer.allowHeaders)
		if answer.allowPrivateNetwork {
			f.set(allowPrivateNetwork, "true")
		}
		if answer.remembered {
			f.set(maxAge, p.maxAge)
		}
	} else if p.exposeTiming {
		f.set(timingAllowOrigin, answer.allowOrigin)
	}
	f.set(exposeHeaders, exposed)
}

// NeedsMore reports whether answers of the policy to actual requests have more fields than those that
// [Answers.ApplyOrigin] sets.
func (p *Policy) NeedsMore() bool { return p.credentials || p.exposeTiming || p.exposed != "" }

// ApplyOrigin does what Apply does for an actual request, where the policy needs no more and debug is off. The value of
// Access-Control-Allow-Origin, empty if there is none, is values[0]; that of Vary is put after it.
func (a *Answers) ApplyOrigin(header map[string][]string, values []string, dependsOnSite bool) {
	f := fields{header, values[:1]}
	if a.clear(&f, a.varyOfActual(dependsOnSite)) && values[0] != "" {
		header[allowOrigin] = values[:1:1]
	}
}

// clear adds Vary, and makes room for the CORS headers: it removes those that are there, or reports false if they are to
// stay.
func (a *Answers) clear(f *fields, names *varyNames) bool {
	if a.options.Preserve {
		if own := ownAllowOrigin(f.header); own != "" {
			removeFromTrailer(f.header)
			if !a.public || own != "*" {
				f.addVary(f.header[vary], names)
			}
			return false
		}
	}
	var present []string
	for name, values := range f.header {
		switch {
		case Owns(name):
			delete(f.header, name)
		case name == vary:
			present = values
		case name == trailer:
			removeFromTrailer(f.header)
		}
	}
	f.addVary(present, names)
	return true
}

// ownAllowOrigin returns the Access-Control-Allow-Origin that a response has of its own; empty if it has none.
func ownAllowOrigin(header map[string][]string) string {
	for name, values := range header {
		if Owns(name) && strings.EqualFold(name, allowOrigin) && len(values) > 0 && values[0] != "" {
			return values[0]
		}
	}
	return ""
}

// removeFromTrailer removes the fields that a policy owns from the announcement of those that come after the body.
func removeFromTrailer(header map[string][]string) {
	var names []string
	for _, line := range header[trailer] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.Trim(name, " \t"); name != "" && !Owns(name) {
				names = append(names, name)
			}
		}
	}
	if delete(header, trailer); len(names) > 0 {
		header[trailer] = []string{strings.Join(names, ", ")}
	}
}

// RemoveTrailers removes the fields that a policy owns from those that a response has after its body without having
// announced them: net/http takes them from the header, by names that start with [net/http.TrailerPrefix].
func RemoveTrailers(header map[string][]string) {
	for name := range header {
		if unannounced, ok := strings.CutPrefix(name, trailerPrefix); ok && Owns(unannounced) {
			delete(header, name)
		}
	}
}

// fieldNames lists the names of the response's own fields: what "*" would expose if browsers did not take it for a name.
func fieldNames(header map[string][]string) string {
	names := []string{"Date"} // which the server adds to every response
	for name := range header {
		if httpguts.ValidHeaderFieldName(name) && !Owns(name) && name != "Date" && name != "Set-Cookie" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// fields sets fields of a header. The values are in an array for all of them, for the sake of a single allocation; they are
// never shared with other responses, because other handlers may rewrite them in place.
type fields struct {
	header map[string][]string
	values []string
}

// set sets the field, unless the value is empty.
func (f *fields) set(name, value string) {
	if value == "" {
		return
	}
	n := len(f.values)
	if n == cap(f.values) {
		f.values, n = make([]string, 0, MaxPreflightFields), 0
	}
	f.values = append(f.values, value)
	f.header[name] = f.values[n : n+1 : n+1]
}

// addVary adds the names that the Vary field does not have yet. It leaves as one line: some caches read only the last.
func (f *fields) addVary(present []string, names *varyNames) {
	if len(present) == 0 {
		f.set(vary, names.joined)
		return
	}
	if httpguts.HeaderValuesContainsToken(present, "*") {
		f.setVary(present, "*")
		return
	}
	var missing []string
	if len(names.names) > 0 && !containsAny(present, names.names) {
		missing = names.whole
	} else {
		for _, name := range names.names {
			if !httpguts.HeaderValuesContainsToken(present, name) {
				missing = append(missing, name)
			}
		}
	}
	f.setVary(present, joinLines(present, missing))
}

// joinLines returns the lines of a field, and of what is added to it, as one line. Each byte is copied at most once, however
// many lines a backend sends.
func joinLines(present, added []string) string {
	if len(present) == 1 && len(added) == 0 {
		return present[0]
	}
	size := 0
	for _, lines := range [...][]string{present, added} {
		for _, line := range lines {
			size += len(line) + len(", ")
		}
	}
	var joined strings.Builder
	joined.Grow(size)
	for _, lines := range [...][]string{present, added} {
		for _, line := range lines {
			if line == "" {
				continue
			}
			if joined.Len() > 0 {
				joined.WriteString(", ")
			}
			joined.WriteString(line)
		}
	}
	return joined.String()
}

// setVary sets the field, unless it has the value already.
func (f *fields) setVary(present []string, value string) {
	if len(present) != 1 || present[0] != value {
		f.set(vary, value) // and leaves the slice as it is: whoever set it may use it for other responses, too
	}
}

func containsAny(lines, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return httpguts.HeaderValuesContainsToken(lines, name) })
}

// varyNames are the request header fields that an answer depends on, apart and as one field value.
type varyNames struct {
	names  []string
	joined string
	whole  []string // joined alone
}

func newVaryNames(names []string) varyNames {
	joined := strings.Join(names, ", ")
	return varyNames{names: names, joined: joined, whole: []string{joined}}
}

// debugValue explains a decision as a Structured Field (RFC 9651): an Item whose token is the outcome.
func debugValue(d *Decision) string {
	value := string(d.Outcome)
	if d.Reason != "" {
		value += "; reason=" + string(d.Reason)
	}
	if d.Detail != "" {
		value += "; detail=" + structuredString(d.Detail)
	}
	return value + "; policy=" + structuredString(d.Policy.name)
}

// structuredString makes a String (RFC 9651, section 3.3.3) of the start of s, with a "?" for each byte that it cannot hold.
func structuredString(s string) string {
	text := []byte(printable.Cut(s))
	for i, c := range text {
		if c < ' ' || c > '~' {
			text[i] = '?'
		}
	}
	value, err := httpsfv.Marshal(httpsfv.NewItem(string(text)))
	if err != nil {
		panic(err) // which printable ASCII does not cause
	}
	return value
}
