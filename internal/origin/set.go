package origin

import "strings"

// A Set holds patterns and tells which origins they allow. The zero value is an empty set. A look-up costs one map
// look-up for an exact origin, however many there are, and for the wildcard patterns at most two for each label that the
// longest of them has. Add must not run beside a look-up.
type Set struct {
	exact   map[string]struct{}
	only    string // the exact origin, where there is one alone: it is compared, not looked up
	longest int    // of the exact origins, in bytes

	families map[family]kinds
	labels   int // the most that the suffix of a family has
}

// A family is what the origins of a wildcard pattern share: the scheme and the end of the text.
type family struct {
	scheme string
	suffix string // a host or the end of one, with or without a port; empty for any host
}

// kinds says in which ways a family's suffix may be completed to an origin; the text before and behind it is free.
type kinds uint8

const (
	subdomains        kinds = 1 << iota // labels before; the suffix ends with the port
	subdomainsAnyPort                   // labels before, any port behind
	sameHostAnyPort                     // any port behind
	anyHostThisPort                     // any host before; the suffix is the port
	anyHostEveryPort                    // nothing is fixed but the scheme
)

// Add adds the origins of p to the set.
func (s *Set) Add(p Pattern) {
	o := p.origin
	var suffix string
	var kind kinds
	switch {
	case p.anyHost && p.anyPort:
		kind = anyHostEveryPort
	case p.anyHost:
		kind, suffix = anyHostThisPort, o.port
	case p.subdomains && p.anyPort:
		kind, suffix = subdomainsAnyPort, o.host
	case p.subdomains:
		kind, suffix = subdomains, o.host+o.port
	case p.anyPort:
		kind, suffix = sameHostAnyPort, o.host
	default:
		if s.exact == nil {
			s.exact = make(map[string]struct{})
		}
		s.exact[o.text] = struct{}{}
		if s.only = o.text; len(s.exact) > 1 {
			s.only = ""
		}
		s.longest = max(s.longest, len(o.text))
		return
	}
	if s.families == nil {
		s.families = make(map[family]kinds)
	}
	s.families[family{o.scheme, suffix}] |= kind
	if p.subdomains {
		s.labels = max(s.labels, strings.Count(o.host, ".")+1)
	}
}

// HasExact reports whether text is one of the set's origins that are written without a wildcard. Such a text need not be
// parsed: it is a valid origin because it is in the set.
func (s *Set) HasExact(text string) bool {
	if len(text) > s.longest {
		return false
	}
	if s.only != "" {
		return text == s.only
	}
	_, ok := s.exact[text]
	return ok
}

// HasFamily reports whether one of the set's wildcard patterns allows o.
func (s *Set) HasFamily(o Origin) bool {
	if len(s.families) == 0 {
		return false
	}
	if s.families[family{o.scheme, o.host}]&sameHostAnyPort != 0 ||
		s.families[family{o.scheme, o.port}]&anyHostThisPort != 0 ||
		s.families[family{o.scheme, ""}]&anyHostEveryPort != 0 {
		return true
	}
	hostport := o.text[len(o.scheme)+len("://"):]
	dot := len(o.host)
	for range s.labels {
		dot = strings.LastIndexByte(o.host[:dot], '.')
		if dot < 0 {
			return false
		}
		if s.families[family{o.scheme, hostport[dot+1:]}]&subdomains != 0 ||
			s.families[family{o.scheme, o.host[dot+1:]}]&subdomainsAnyPort != 0 {
			return true
		}
	}
	return false
}
