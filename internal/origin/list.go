package origin

import (
	"bytes"
	"strings"
)

// A List is a set of patterns that does not change, made for a million of them. One that is made from another by a
// [Revision] shares with it what both have, so that both together take little more memory than one. A look-up costs one in
// a map for an exact origin, however many there are, and for the wildcard patterns at most two for each label that the
// longest of them has.
type List struct {
	exact, wild texts
	only        string // the exact origin, where there is one alone: it is compared, not looked up
	longest     int    // the length of no exact origin is greater
	labels      int    // nor the number of labels behind the "*." of a pattern
}

// HasExact reports whether text is one of the list's origins that are written without a wildcard. Such a text need not be
// parsed: it is a valid origin because it is in the list.
func (l *List) HasExact(text string) bool {
	if len(text) > l.longest {
		return false
	}
	if l.only != "" {
		return text == l.only
	}
	return l.exact.has(text)
}

// HasFamilies reports whether the list has wildcard patterns.
func (l *List) HasFamilies() bool { return len(l.wild.shards) > 0 }

// HasFamily reports whether one of the list's wildcard patterns allows o: whether it has one of the patterns that do.
func (l *List) HasFamily(o Origin) bool {
	if !l.HasFamilies() {
		return false
	}
	const anyPort = ":*"
	var buffer [maxSchemeLength + len("://*.") + maxHostLength + len(":65535") + len(anyPort)]byte
	begin := append(append(buffer[:0], o.scheme...), "://"...)
	has := func(prefix, rest, end string) bool {
		return l.wild.hasBytes(append(append(append(begin, prefix...), rest...), end...))
	}
	if has("", o.host, anyPort) || has("*", o.port, "") || has("*", anyPort, "") {
		return true
	}
	hostport := o.text[len(o.scheme)+len("://"):]
	dot := len(o.host)
	for range l.labels {
		dot = strings.LastIndexByte(o.host[:dot], '.')
		if dot < 0 {
			return false
		}
		if has("*", hostport[dot:], "") || has("*", o.host[dot:], anyPort) {
			return true
		}
	}
	return false
}

// SharedWith returns a list of the same patterns that shares with the other what both have.
func (l *List) SharedWith(other *List) *List {
	shared := *l
	shared.exact, shared.wild = l.exact.sharedWith(&other.exact), l.wild.sharedWith(&other.wild)
	if shared.exact.shares(&other.exact) && shared.wild.shares(&other.wild) {
		return other
	}
	return &shared
}

// A Revision makes a list from another.
type Revision struct {
	base        *List
	exact, wild textsRevision
	longest     int
	labels      int
}

// Revise begins a list that is to have nothing at first.
func (l *List) Revise() *Revision {
	return &Revision{base: l, exact: newTextsRevision(l.exact), wild: newTextsRevision(l.wild)}
}

// Keep reports whether the list before has the pattern of this text, which the new one then has, too. It need not be parsed:
// it is a valid pattern because it is there. Keep does not allocate for each, nor keep the text.
func (r *Revision) Keep(pattern []byte) bool {
	if bytes.IndexByte(pattern, '*') >= 0 {
		if !r.wild.keep(pattern) {
			return false
		}
		if bytes.Contains(pattern, []byte("*.")) {
			r.labels = max(r.labels, bytes.Count(pattern, []byte(".")))
		}
		return true
	}
	if !r.exact.keep(pattern) {
		return false
	}
	r.longest = max(r.longest, len(pattern))
	return true
}

// Add adds a pattern with its text.
func (r *Revision) Add(text string, p Pattern) {
	if p.anyHost || p.anyPort || p.subdomains {
		r.wild.add(text)
		if p.subdomains {
			r.labels = max(r.labels, strings.Count(text, "."))
		}
		return
	}
	r.exact.add(text)
	r.longest = max(r.longest, len(text))
}

// List returns the new list, which is the one before where it has the same patterns. It ends the revision.
func (r *Revision) List() *List {
	next := &List{exact: r.exact.texts(), wild: r.wild.texts(), longest: r.longest, labels: r.labels}
	if next.exact.shares(&r.base.exact) && next.wild.shares(&r.base.wild) {
		return r.base
	}
	if len(next.exact.shards) == 1 && next.exact.shards[0].count == 1 {
		next.exact.each(0, func(_ int, text []byte) { next.only = string(text) })
	}
	return next
}
