package origin

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// A Pattern is one origin, or a family of them, as a person writes it:
//
//	https://example.com          exactly that origin
//	https://*.example.com        any subdomain at any depth, not example.com itself
//	https://example.com:*        any port, or none
//	https://*                    any host, on the scheme's default port
//
// and the combinations of these.
type Pattern struct {
	origin     Origin // its text is the pattern's own where the pattern is one origin; no host for any host
	subdomains bool   // "*." stands before the host
	anyHost    bool   // "*" stands for the host
	anyPort    bool   // ":*" stands for the port
}

// A PatternError says why a text is not a pattern, and what to write instead.
type PatternError struct {
	message string

	// Expression is the regular expression that says what no pattern can; empty where a pattern can, or nobody can tell.
	Expression string
}

func (e *PatternError) Error() string { return e.message }

// ParsePattern parses a pattern. It must be written as browsers write an origin (see [Parse]); the error for one that is
// not, a [PatternError], gives the text to write instead, where that can be told. It does not accept "*" or [Null], which are
// not patterns of tuple origins.
func ParsePattern(text string) (Pattern, error) {
	if p, ok := parsePattern(text); ok {
		return p, nil
	}
	return Pattern{}, explain(text)
}

func parsePattern(text string) (Pattern, bool) {
	if o, ok := Parse(text); ok {
		return Pattern{origin: o}, true
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Pattern{}, false
	}
	var p Pattern
	rest, p.anyPort = strings.CutSuffix(rest, ":*")
	rest, p.subdomains = strings.CutPrefix(rest, "*.")
	if !p.subdomains && (rest == "*" || strings.HasPrefix(rest, "*:")) {
		p.anyHost, rest = true, "any-host"+rest[1:]
	}
	p.origin, ok = Parse(scheme + "://" + rest)
	if !ok || p.anyPort && p.origin.port != "" {
		return Pattern{}, false
	}
	if p.anyHost {
		p.origin.host = ""
	}
	if p.subdomains && !p.origin.hasSubdomains() {
		return Pattern{}, false
	}
	return p, true
}

// hasSubdomains reports whether there can be a label before the host.
func (o Origin) hasSubdomains() bool {
	name := o.host
	if isSpecial(o.scheme) {
		name = strings.TrimSuffix(name, ".")
	}
	return !o.isIP() && len("x.")+len(name) <= maxHostLength && !slices.Contains(strings.Split(name, "."), "")
}

func (o Origin) isIP() bool {
	return strings.HasPrefix(o.host, "[") || isSpecial(o.scheme) && endsInNumber(o.host)
}

// Scheme returns the scheme that every origin of the pattern has.
func (p Pattern) Scheme() string { return p.origin.scheme }

// AnyHost reports whether the pattern leaves the whole host open.
func (p Pattern) AnyHost() bool { return p.anyHost }

// Loopback reports whether every origin of the pattern is of this machine; see [Origin.Loopback].
func (p Pattern) Loopback() bool { return !p.anyHost && p.origin.Loopback() }

// PublicSuffix returns the public suffix (such as com, co.uk or github.io) whose every subdomain the pattern allows, and
// so sites that anybody can register; or "" if there is none. It may stand below the pattern's host: s3.amazonaws.com is
// one, though amazonaws.com is not.
func (p Pattern) PublicSuffix() string {
	if !p.subdomains || !isSpecial(p.origin.scheme) || p.Loopback() {
		return ""
	}
	host := strings.TrimSuffix(p.origin.host, ".")
	if isPublicSuffix(host) {
		return host
	}
	return suffixBelow(host)
}

func patternErrorf(format string, args ...any) *PatternError {
	return &PatternError{message: fmt.Sprintf(format, args...)}
}

// explain says why text is not a pattern, and what to write instead.
func explain(text string) *PatternError {
	scheme, rest, hasScheme := strings.Cut(text, "://")
	switch {
	case strings.EqualFold(text, Null) && text != Null:
		return patternErrorf(`%q: browsers send the opaque origin in lower case; did you mean "null"?`, text)
	case strings.EqualFold(scheme, "file") && (hasScheme || strings.HasPrefix(strings.ToLower(text), "file:")):
		return patternErrorf(`%q: browsers send no file: origin; pages opened from a file send "null"; did you mean "null"?`, text)
	case hasScheme && strings.Count(rest, "*") > 0 && !wildcardsFit(rest):
		return explainWildcard(text, scheme, rest)
	}
	if apart := separated(text); apart != nil {
		return patternErrorf("%q is more than one origin: write them as values of their own, %s", text, strings.Join(apart, " "))
	}
	switch strings.ToLower(text) {
	case "all", "any", "everyone":
		return patternErrorf(`%q is not an origin; did you mean "*", which allows everyone?`, text)
	}
	c := canonical(text)
	if c.text == "" || c.text == text {
		return patternErrorf(`%q is not an origin; write it as browsers send it: a scheme, "://", a host and, unless it is the default, a port, such as "https://example.com" or "http://localhost:3000"`, text)
	}
	return patternErrorf("%q is not written as browsers send it (%s); did you mean %q?", text, strings.Join(c.reasons, ", "), c.text)
}

// separated returns the origins of a list with separators that no list of a configuration has, each in quotes; nil if the
// text is not one.
func separated(text string) (origins []string) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(";|,", r) })
	if len(parts) < 2 {
		return nil
	}
	for _, part := range parts {
		c := canonical(strings.TrimSpace(part))
		if c.text == "" {
			return nil
		}
		origins = append(origins, strconv.Quote(c.text))
	}
	return origins
}

// wildcardsFit reports whether each "*" of the part behind "://" stands where a pattern may have one.
func wildcardsFit(rest string) bool {
	rest, _, _ = cutAny(rest, "/?#\\")
	rest = strings.TrimSuffix(rest, ":*")
	if after, ok := strings.CutPrefix(rest, "*"); ok && (after == "" || after[0] == '.' || after[0] == ':') {
		rest = after
	}
	return !strings.Contains(rest, "*")
}

func explainWildcard(text, scheme, rest string) *PatternError {
	// *example.com and *.*.example.com are both attempts at "any subdomain"
	if host := strings.TrimLeft(rest, "*."); host != "" && host[0] != '-' && !isTenant(host) {
		if c := canonical(scheme + "://*." + host); c.text != "" {
			return patternErrorf(`%q: "*." stands once, before the host, for subdomains at any depth; did you mean %q?`, text, c.text)
		}
	}
	if expression := wildcardExpression(text); expression != "" {
		return &PatternError{fmt.Sprintf(`%q: a "*" stands for whole labels, before the host; for a part of one, write a regular expression: %s`, text, expression), expression}
	}
	return patternErrorf(`%q: a "*" stands for subdomains ("https://*.example.com"), for the whole host ("https://*") or for the port ("https://example.com:*"); anything finer is a regular expression: allow_origins_regexp`, text)
}

// isTenant reports whether the host is a name that somebody has below a private public suffix, such as me.github.io: these
// have no subdomains of their own, as a rule.
func isTenant(host string) bool {
	host, _, _ = splitPort(host)
	suffix, icann := publicsuffix.PublicSuffix(host)
	site, err := publicsuffix.EffectiveTLDPlusOne(host)
	return err == nil && site == host && !icann && strings.Contains(suffix, ".")
}

// wildcardExpression returns the expression for a pattern whose "*" is a part of a label, or one between others. It
// returns "" if that would match sites that anybody can register, or if text is wrong in other ways, too.
func wildcardExpression(text string) string {
	const label = `[a-z0-9-]+`
	rest, anyPort := strings.CutSuffix(text, ":*")
	if _, ok := Parse(strings.ReplaceAll(rest, "*", "x")); !ok {
		return ""
	}
	expression := strings.ReplaceAll(regexp.QuoteMeta(rest), `\*`, label)
	if anyPort {
		expression += `(?::[0-9]+)?`
	}
	x, err := ParseExpression(expression)
	if err != nil || slices.ContainsFunc(x.excesses(true), func(e Excess) bool { return e.Kind == AnotherSite }) {
		return ""
	}
	return expression
}

// canonicalText is a pattern as browsers would write it, and in what it differs from what was written.
type canonicalText struct {
	text    string // empty if none can be told
	reasons []string
}

// canonical rewrites text as the URL Standard's parser and serializer would, for a suggestion.
func canonical(text string) canonicalText {
	var reasons []string
	differs := func(reason string) { reasons = append(reasons, reason) }

	trimmed := strings.Trim(strings.TrimSpace(text), `"'`)
	if trimmed != text {
		differs("no quotes or blanks")
	}
	scheme, rest, ok := strings.Cut(trimmed, "://")
	if !ok {
		rest = strings.TrimPrefix(trimmed, "//")
		if host, _, _ := cutAny(rest, ":/"); !strings.ContainsAny(host, ".*[") && host != "localhost" {
			return canonicalText{} // a bare word: nobody can tell what was meant
		}
		scheme = "https"
		if host, _, _ := splitPort(rest); isLoopback(host) {
			scheme = "http"
		}
		differs("with its scheme")
	}
	if lower := strings.ToLower(scheme); lower != scheme {
		scheme = lower
		differs("the scheme in lower case")
	}
	rest, tail, cut := cutAny(rest, "/?#\\")
	if cut {
		if strings.Trim(tail, "/") == "" {
			differs("no trailing slash")
		} else {
			differs("no path")
		}
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
		differs("no user name")
	}
	host, port, ok := splitPort(rest)
	if !ok {
		return canonicalText{}
	}
	port, reason := canonicalPort(scheme, port)
	if reason != "" {
		differs(reason)
	}
	host, reason = canonicalHost(scheme, host)
	if reason != "" {
		differs(reason)
	}
	c := canonicalText{text: scheme + "://" + host + port, reasons: reasons}
	if _, ok := parsePattern(c.text); !ok {
		return canonicalText{}
	}
	return c
}

func canonicalPort(scheme, port string) (canonical, reason string) {
	if port == "" || port == ":*" {
		return port, ""
	}
	digits := port[1:]
	if digits == "" {
		return "", "no colon without a port"
	}
	if short := strings.TrimLeft(digits, "0"); short != digits {
		digits, reason = short, "the port without leading zeros"
	}
	if digits == defaultPort(scheme) {
		return "", "no default port"
	}
	return ":" + digits, reason
}

func canonicalHost(scheme, host string) (canonical, reason string) {
	wildcard := ""
	if after, ok := strings.CutPrefix(host, "*."); ok {
		wildcard, host = "*.", after
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && addr.Is6() {
			if c := string(appendIPv6(nil, addr.WithZone(""))); c != host {
				host, reason = c, "the IPv6 address as the URL Standard serializes it"
			}
		}
		return wildcard + host, reason
	}
	if lower := strings.ToLower(host); lower != host {
		host, reason = lower, "the host in lower case"
	}
	if !isASCII(host) {
		ascii, err := domainToASCII.ToASCII(host)
		if err != nil {
			return wildcard + host, reason
		}
		host, reason = ascii, "the host in punycode"
	}
	if host != "" && isSpecial(scheme) && endsInNumber(host) {
		if c, ok := parseIPv4(host); ok && c != host {
			host, reason = c, "the IPv4 address in four decimal numbers"
		}
	}
	return wildcard + host, reason
}

// domainToASCII is the URL Standard's "domain to ASCII", not beStrict.
var domainToASCII = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

// parseIPv4 is the URL Standard's IPv4 parser: one to four numbers, in decimal, octal or hexadecimal.
func parseIPv4(host string) (string, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return "", false
	}
	var addr uint64
	for i, part := range parts {
		if strings.HasPrefix(part, "0x") && len(part) == 2 {
			part = "0"
		} else if len(part) > 1 && part[0] == '0' && isDigit(part[1]) {
			part = "0o" + part[1:]
		}
		n, err := strconv.ParseUint(part, 0, 33)
		last := i == len(parts)-1
		if err != nil || strings.Contains(part, "_") || !last && n > 255 || last && n >= 1<<(8*(5-len(parts))) {
			return "", false
		}
		if last {
			addr += n
		} else {
			addr += n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)}).String(), true
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// cutAny is strings.Cut at the first byte that is one of chars; after starts with that byte.
func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i:], true
	}
	return s, "", false
}
