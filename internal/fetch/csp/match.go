package csp

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nlnwa/whatwg-url/url"
)

// A Request is what a policy has to judge.
type Request struct {
	URL       *url.Url // http or https; of a WebSocket, ws or wss
	Directive string   // the "effective directive for a request" (section 6.8.1), such as "connect-src"
	Redirects int      // before the URL

	// OwnSchemes has sources with a WebSocket's scheme match nothing else, as in Chromium and Firefox.
	OwnSchemes bool

	// UpgradedLate has an https URL without a port match no source with the port 443, as in Firefox, which upgrades an http
	// URL after it has asked the policies.
	UpgradedLate bool

	// AnySchemePort80 has the port 80 of a source match that of https whatever the scheme of the source is, as in Firefox
	// and WebKit.
	AnySchemePort80 bool

	// FirstOfName has a directive that is ignored because it is not ASCII count as the one of its name, as in Chromium.
	FirstOfName bool

	// NoWildcardPort has a source such as *:443, without a scheme, match nothing, as in WebKit.
	NoWildcardPort bool
}

// A Verdict is what the policies make of a request.
type Verdict int

// The verdicts.
const (
	Allowed     Verdict = iota
	Conditional         // allowed if the element has the nonce or the hash, or was made by a script that had
	Blocked
)

// A Finding is a verdict, and what it is because of.
type Finding struct {
	Verdict   Verdict
	Policy    Policy    // the first one that blocks, or sets the condition
	Directive Directive // of that policy
}

// Check is "Should request be blocked by Content Security Policy?" (section 4.1.2).
func (l List) Check(r Request) Finding { return l.check(r, false) }

// CheckReportOnly finds the first policy that only reports, and would block the request otherwise ("Report Content
// Security Policy violations for request", section 4.1.1).
func (l List) CheckReportOnly(r Request) Finding { return l.check(r, true) }

func (l List) check(r Request, reportOnly bool) Finding {
	worst := Finding{}
	for _, p := range l.Policies {
		if p.ReportOnly != reportOnly {
			continue
		}
		if d, ok := p.executes(r.Directive); ok && !(r.FirstOfName && d.Second) {
			if verdict := d.check(r, l.SelfOrigin); verdict > worst.Verdict {
				worst = Finding{verdict, p, d}
			}
		}
	}
	return worst
}

// executes finds the directive that a policy has for a request: "Should fetch directive execute" (section 6.8.4).
func (p Policy) executes(effective string) (Directive, bool) {
	for _, name := range fallbackList(effective) {
		if d, ok := p.directive(name); ok {
			return d, true
		}
	}
	return Directive{}, false
}

// fallbackList is "Get fetch directive fallback list" (section 6.8.3).
func fallbackList(effective string) []string {
	switch effective {
	case "script-src-elem":
		return []string{"script-src-elem", "script-src", "default-src"}
	case "style-src-elem":
		return []string{"style-src-elem", "style-src", "default-src"}
	}
	return []string{effective, "default-src"}
}

// check is the directive's pre-request check (section 6.1; of scripts, section 6.7.1.1). Nonces and hashes are the
// element's, which is not known.
func (d Directive) check(r Request, selfOrigin string) Verdict {
	matches := r.matches(d.Value, selfOrigin)
	switch r.Directive {
	case "script-src-elem":
		if containsFold(d.Value, "'strict-dynamic'") { // then no URL counts
			return Conditional
		}
		if !matches && slices.ContainsFunc(d.Value, func(s string) bool { return isNonce(s) || isHash(s) }) {
			return Conditional
		}
	case "style-src-elem":
		if !matches && slices.ContainsFunc(d.Value, isNonce) {
			return Conditional
		}
	}
	if !matches {
		return Blocked
	}
	return Allowed
}

func isNonce(source string) bool { return hasPrefixFold(source, "'nonce-") }

func isHash(source string) bool {
	return hasPrefixFold(source, "'sha256-") || hasPrefixFold(source, "'sha384-") || hasPrefixFold(source, "'sha512-")
}

// matches is "Does url match source list in origin with redirect count?" (section 6.7.2.7). 'none' among others has no
// meaning, and matches nothing by itself.
func (r Request) matches(list []string, origin string) bool {
	return slices.ContainsFunc(list, func(expression string) bool { return r.matchesExpression(expression, origin) })
}

// matchesExpression is "Does url match expression in origin with redirect count?" (section 6.7.2.8), of http, https, ws and
// wss URLs.
func (r Request) matchesExpression(expression, origin string) bool {
	u := r.URL
	switch {
	case expression == "*":
		return true
	case strings.EqualFold(expression, "'self'"):
		return matchSelf(u, origin)
	}
	s, ok := parseSource(expression)
	switch {
	case !ok:
		return false
	case s.scheme != "" && !matchScheme(s.scheme, u.Scheme()):
		return false
	case r.OwnSchemes && hasPrefixFold(s.scheme, "ws") && !strings.HasPrefix(u.Scheme(), "ws"):
		return false
	case s.host == "": // a scheme-source
		return true
	case r.NoWildcardPort && s.scheme == "" && s.host == "*" && s.port != "":
		return false
	}
	if s.scheme == "" {
		s.scheme, _, _ = strings.Cut(origin, "://")
	}
	return matchScheme(s.scheme, u.Scheme()) &&
		matchHost(s.host, u.Hostname()) &&
		r.matchPort(s) &&
		(r.Redirects > 0 || matchPath(s.path, u.Pathname()))
}

// matchSelf is step 4 of that, about 'self'.
func matchSelf(u *url.Url, origin string) bool {
	if origin == u.Protocol()+"//"+u.Host() {
		return true
	}
	self, err := url.Parse(origin)
	if err != nil || self.Hostname() != u.Hostname() {
		return false
	}
	samePort := self.Port() == u.Port() // both empty if each is the default of its scheme
	return samePort && (isSecure(u) || self.Scheme() == "http")
}

func isSecure(u *url.Url) bool { return u.Scheme() == "https" || u.Scheme() == "wss" }

// A source is a scheme-source or a host-source (section 2.3.1).
type source struct{ scheme, host, port, path string }

// parseSource reads one. A query or a fragment is not part of the grammar, and all browsers pass over it.
func parseSource(expression string) (s source, ok bool) {
	rest := expression
	if scheme, after, found := strings.Cut(expression, ":"); found && isScheme(scheme) {
		switch {
		case after == "":
			return source{scheme: scheme}, true
		case strings.HasPrefix(after, "//"):
			s.scheme, rest = scheme, after[len("//"):]
		}
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		rest, s.path = rest[:i], rest[i:]
	}
	s.host, s.port, _ = strings.Cut(rest, ":")
	hasPort := len(s.host) < len(rest)
	if hasPort && s.port != "*" && (s.port == "" || strings.Trim(s.port, "0123456789") != "") {
		return source{}, false
	}
	return s, isHostPart(s.host)
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if letter := 'a' <= c && c <= 'z'; !letter && (i == 0 || !('0' <= s[i] && s[i] <= '9' || strings.IndexByte("+-.", s[i]) >= 0)) {
			return false
		}
	}
	return s != ""
}

func isHostPart(s string) bool {
	if s == "*" {
		return true
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "*."), ".")
	for label := range strings.SplitSeq(s, ".") {
		// An underscore is not part of the grammar, but browsers take it.
		if label == "" || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

// matchScheme is "scheme-part matches" (section 6.7.2.9). The URL of a WebSocket has its own scheme here, as in all browsers,
// so that no source for https matches it.
func matchScheme(a, b string) bool {
	switch a = strings.ToLower(a); a {
	case "http":
		return b == "http" || b == "https"
	case "ws":
		return b == "ws" || b == "wss" || b == "http" || b == "https"
	case "wss":
		return b == "wss" || b == "https"
	}
	return a == b
}

// matchHost is "host-part matches" (section 6.7.2.10). By the text, no address matches; in browsers, IPv4 ones do.
func matchHost(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(host, strings.ToLower(suffix))
	}
	return strings.EqualFold(pattern, host)
}

// matchPort is "port-part matches" (section 6.7.2.11). Where scheme and port are those of http, browsers take them for those
// of https, too.
func (r Request) matchPort(s source) bool {
	u := r.URL
	switch s.port {
	case "*":
		return true
	case "":
		return u.Port() == ""
	}
	number, err := strconv.Atoi(s.port)
	switch {
	case err != nil:
		return false
	case u.Port() != "":
		return strconv.Itoa(number) == u.Port()
	case !isSecure(u):
		return number == 80
	case number == 80:
		return strings.EqualFold(s.scheme, "http") || strings.EqualFold(s.scheme, "ws") || r.AnySchemePort80
	}
	return number == 443 && !r.UpgradedLate
}

// matchPath is "path-part matches" (section 6.7.2.12).
func matchPath(pattern, path string) bool {
	if pattern == "" || pattern == "/" && path == "" {
		return true
	}
	wanted, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	exact := !strings.HasSuffix(pattern, "/")
	if !exact {
		wanted = wanted[:len(wanted)-1]
		if len(wanted) >= len(got) {
			return false
		}
	} else if len(wanted) != len(got) {
		return false
	}
	for i, piece := range wanted {
		if percentDecode(piece) != percentDecode(got[i]) {
			return false
		}
	}
	return true
}

// percentDecode is "percent-decode" (URL Standard, section 1.3).
func percentDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(element string) bool { return strings.EqualFold(element, s) })
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
