package origin

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// An Excess is a way in which an expression matches origins that its author did not write.
type Excess struct {
	Kind ExcessKind

	// Origin is one of them, the witness: the expression matches it.
	Origin Origin

	// Suffix is the public suffix below which everybody can have such a name, as far as the expression has it in writing:
	// github.io of `https://.+\.github\.io`. It is empty if the expression leaves that open, too.
	Suffix string

	// Suggestion is the expression that was meant, presumably: it matches no more than the expression does, and has no
	// excess. It is empty if none can be told.
	Suggestion string
}

// ExcessKind says whose the origins of an [Excess] are.
type ExcessKind int

const (
	// AnotherSite is a site whose registrable domain is not in the expression, such as evil-example.com of
	// `https://.*example\.com`: whoever registers it has it.
	AnotherSite ExcessKind = iota + 1

	// AnotherTenant is a name below a private public suffix, such as github.io: whoever signs up there can have it.
	AnotherTenant

	// AnotherPort is a port of a host that is in the expression, where a port is written but for a wildcard that is not
	// one for digits.
	AnotherPort
)

// wild is the number of characters of a class from which on it stands for anything, and not for those that are written:
// [0-9] and what is wider.
const wild = 10

// maxVisits bounds the analysis of an expression, in states of the automaton that are visited. It is far more than what
// people write has, and takes less than a second.
func (x *Expression) maxVisits() int { return 1<<17 + 8*len(x.program.inst) }

// Excesses returns the ways in which the expression matches more than its author wrote, at most one of each kind. An
// origin counts as written if its site is: the registrable domain, by the Public Suffix List, stands in the expression
// character by character, or in classes of few characters. What goes before it may be anything, as in
// `https://.+\.example\.com`. Without plain, origins of the scheme http do not count. Loopback ones never do, nor do
// addresses of private networks.
func (x *Expression) Excesses(plain bool) []Excess {
	found := x.excesses(plain)
	if len(found) == 0 {
		return nil
	}
	meant := x.meant(plain)
	for i := range found {
		found[i].Suggestion = meant
	}
	return found
}

func (x *Expression) excesses(plain bool) []Excess {
	a := x.newAnalysis()
	a.run(plain)
	return a.found
}

type analysis struct {
	expression *Expression
	budget     int
	limit      int // the least number of a class's characters that make it wild
	found      []Excess

	written, parents map[string]bool // what isWritten and isParent have said of the ends of hosts
}

func (x *Expression) newAnalysis() *analysis {
	return &analysis{
		expression: x, budget: x.maxVisits(), limit: wild,
		written: make(map[string]bool), parents: make(map[string]bool),
	}
}

func (a *analysis) run(plain bool) {
	schemes := []scheme{https}
	if plain {
		schemes = append(schemes, http)
	}
	for _, s := range schemes {
		a.domains(s)
		a.addresses(s)
		a.ports(s)
	}
	a.opaqueHosts()
}

// has reports whether there is an excess of the kind already.
func (a *analysis) has(kind ExcessKind) bool {
	return slices.ContainsFunc(a.found, func(e Excess) bool { return e.Kind == kind })
}

// note adds an excess if its witness is one. The search for it follows a model of the expression and of origins; what
// counts is what these themselves say.
func (a *analysis) note(kind ExcessKind, witness, suffix string) bool {
	o, ok := Parse(witness)
	if !ok || o.Loopback() || !a.expression.Match(o) {
		return false
	}
	if !a.has(kind) {
		a.found = append(a.found, Excess{Kind: kind, Origin: o, Suffix: suffix})
	}
	return true
}

// A tail is a state of an origin that has been read, and the end of its host, all of which is written.
type tail struct {
	grammar
	host string
}

// A gap is a place in an expression where something wild may stand, and no site is written after it.
type gap struct {
	at   int // the visit
	tail tail
}

const (
	maxEnds  = 1 << 14 // of hosts are visited, and more where more are written
	maxGaps  = 1 << 10 // that are looked at: those nearest to the end of the origin
	maxTries = 16      // for one and the same end of a host
)

// domains looks for sites that are not written. It reads hosts from their end, as far as they are written, to the gaps,
// and looks for a stranger's name there.
func (a *analysis) domains(s scheme) {
	visits, gaps, complete := a.gaps(ends(s, domain), a.isWritten)
	if !complete && a.limit > 2 {
		// What is written are more ends of hosts than anybody has sites: the classes in them are wild, too.
		a.limit, a.budget = 2, a.expression.maxVisits()
		visits, gaps, _ = a.gaps(ends(s, domain), a.isWritten)
	}
	// At first, names that can be registered. Only where there are none, those of top-level domains that nobody knows.
	for _, listed := range []bool{true, false} {
		tried := make(map[string]int)
		for _, g := range gaps {
			if a.has(AnotherSite) && (a.has(AnotherTenant) || !listed) {
				return
			}
			if tried[g.tail.host]++; tried[g.tail.host] > maxTries {
				continue
			}
			if _, ok := a.complete(visits, g, ""); !ok {
				continue
			}
			for _, name := range strangers(g.tail.host) {
				if witness, ok := a.complete(visits, g, name); ok && a.noteDomain(witness, g.tail.host, listed) {
					break
				}
			}
		}
	}
}

// noteDomain notes a witness whose host ends with what is written.
func (a *analysis) noteDomain(witness, written string, listed bool) bool {
	o, ok := Parse(witness)
	if !ok {
		return false
	}
	host := strings.TrimSuffix(o.host, ".")
	suffix, icann := publicsuffix.PublicSuffix(host)
	if known := (icann || strings.Contains(suffix, ".")) && hasSite(host); listed && !known {
		return false
	}
	within := strings.HasSuffix(strings.TrimSuffix(written, "."), "."+suffix)
	switch {
	case a.isParent(written) || within && !icann && strings.Contains(suffix, "."):
		return a.note(AnotherTenant, witness, suffix)
	case within:
		return a.note(AnotherSite, witness, suffix)
	}
	return a.note(AnotherSite, witness, "")
}

// gaps finds the gaps of the origins that end in one of the states. It reports false if the ends of their hosts are too
// many to visit them all.
func (a *analysis) gaps(states []grammar, written func(host string) bool) ([]visit[tail], []gap, bool) {
	budget := min(a.budget, maxEnds+8*len(a.expression.program.inst))
	spent := budget
	walk := search[tail]{backwards: a.expression.program, budget: &budget, whole: func(tail) bool { return false }}
	walk.step = func(s tail, c byte, pc uint32) (tail, bool) {
		g, ok := s.step(c)
		switch {
		case !ok:
			return s, false
		case s.part != inHost:
			return tail{g, ""}, true
		case g.part != inHost || written(s.host) || c != '.' && a.expression.program.isWild(pc, a.limit):
			return s, false
		}
		return tail{g, string(c) + s.host}, true
	}
	var starts []tail
	for _, g := range states {
		starts = append(starts, tail{g, ""})
	}
	var gaps []gap
	visits, _ := walk.run(walk.starts(), starts, func(at int, v visit[tail], matched bool) bool {
		if !matched && v.state.part == inHost && !written(v.state.host) && (a.expression.program.isWild(v.pc, a.limit) || a.isParent(v.state.host)) {
			gaps = append(gaps, gap{at, v.state})
		}
		return len(gaps) == maxGaps
	})
	a.budget -= spent - budget
	return visits, gaps, budget > 0
}

// An unread is a state of an origin that is to go on, to the left, with so many characters of a name and then with
// anything.
type unread struct {
	grammar
	name int
}

// complete returns an origin that has the name in the gap, if the expression matches one.
func (a *analysis) complete(visits []visit[tail], g gap, name string) (string, bool) {
	budget := min(a.budget, a.expression.maxVisits()/8)
	spent := budget
	walk := search[unread]{backwards: a.expression.program, budget: &budget}
	walk.step = func(s unread, c byte, _ uint32) (unread, bool) {
		if s.name > 0 {
			if s.name--; name[s.name] != c {
				return s, false
			}
		}
		var ok bool
		s.grammar, ok = s.step(c)
		return s, ok
	}
	walk.whole = func(s unread) bool { return s.name == 0 && s.grammar.whole() }
	more, at := walk.run([]place{visits[g.at].place}, []unread{{g.tail.grammar, len(name)}}, func(_ int, _ visit[unread], matched bool) bool {
		return matched
	})
	a.budget -= spent - budget
	if at < 0 {
		return "", false
	}
	return textUpTo(more, at) + textUpTo(visits, g.at), true
}

// isWritten reports whether the end of a host holds a site, and the dot before it, and all that goes before it is of that
// site.
func (a *analysis) isWritten(host string) bool {
	known, ok := a.written[host]
	if !ok {
		known = isWritten(host) && !a.isParent(host)
		a.written[host] = known
	}
	return known
}

func (a *analysis) isParent(host string) bool {
	known, ok := a.parents[host]
	if !ok {
		known = isParent(host)
		a.parents[host] = known
	}
	return known
}

func isWritten(host string) bool {
	if deploy, ok := strings.CutSuffix(host, ".netlify.app"); ok {
		// Netlify puts two hyphens between the name of a deploy and that of its site.
		site, ok := strings.CutPrefix(deploy, "--")
		return ok && site != "" || strings.HasPrefix(deploy, ".")
	}
	name, ok := strings.CutPrefix(strings.TrimSuffix(host, "."), ".")
	return ok && (name == "localhost" || strings.HasSuffix(name, ".localhost") || hasSite(name))
}

// isParent reports whether the end of a host is a site below which public suffixes stand.
func isParent(host string) bool {
	name, ok := strings.CutPrefix(strings.TrimSuffix(host, "."), ".")
	return ok && suffixBelow(name) != "" && hasSite(name)
}

// strangers returns texts that a host which is not the author's may have before its end, the telling ones first. Those
// that begin with a slash are all that there is of the host before that end.
func strangers(end string) []string {
	var names []string
	switch name := strings.Trim(end, "."); {
	case name == "":
		names = []string{"/evil.com", "/evil.net", "/evil.example.com", ".evil.com", ".evil.net", "-evil.com", "evil.com", ".au", ".de", ".net", ".org", ".dev", ".info", "evil"}
	case isParent(end):
		for _, rule := range suffixesBelow()[name] {
			suffix := strings.Replace(strings.TrimSuffix(rule, "."+name), "*", "any", 1)
			if rule == "*."+name {
				suffix = "any"
			}
			names = append(names, "/evil."+suffix, "evil."+suffix)
		}
		return names
	case end[0] == '.':
		names = []string{"/evil", "-evil", "evil"}
	default:
		names = []string{"/evil-", "/evil", "-evil-", "evil-", "evil", "-"}
	}
	for _, c := range []byte(originCharacters) {
		if isLabel[c] {
			names = append(names, string(c))
		}
	}
	return names
}

// opaqueHosts looks for hosts of other schemes, where the expression leaves them open as a whole: every extension of a
// browser, say.
func (a *analysis) opaqueHosts() {
	visits, gaps, _ := a.gaps(ends(others, opaque), func(host string) bool { return host != "" })
	for _, g := range gaps {
		if a.has(AnotherSite) {
			return
		}
		if _, ok := a.complete(visits, g, ""); !ok {
			continue
		}
		for _, name := range []string{"/evil", "/abcdefghijklmnopabcdefghijklmnop", "/0f1e2d3c-4b5a-4697-8877-665544332211", "/x"} {
			if witness, ok := a.complete(visits, g, name); ok && a.note(AnotherSite, witness, "") {
				break
			}
		}
	}
}

// addresses looks for IP addresses of no network in particular.
func (a *analysis) addresses(s scheme) {
	for _, host := range []hostKind{ipv4, ipv6} {
		example, ok := a.expression.example(&a.budget, ends(s, host))
		if !ok {
			continue
		}
		before := schemeNames[s] + "://"
		_, port, _ := splitPort(strings.TrimPrefix(example, before))
		if host == ipv6 {
			a.address6(before, port)
		} else {
			a.address4(before, port)
		}
	}
}

// address4 notes an IPv4 address if the expression matches so many that nobody has them all: networks that differ in
// their second number.
func (a *analysis) address4(before, port string) {
	for first := 223; first > 0; first-- {
		var witness string
		networks := 0
		for _, second := range []byte{0, 1, 7, 23, 100, 217} {
			for _, rest := range [][2]byte{{113, 7}, {1, 1}, {10, 20}, {100, 200}} {
				addr := netip.AddrFrom4([4]byte{byte(first), second, rest[0], rest[1]})
				o, ok := Parse(before + addr.String() + port)
				if ok && !addr.IsPrivate() && addr.IsGlobalUnicast() && a.expression.Match(o) {
					witness = o.text
					networks++
					break
				}
			}
		}
		if networks > 2 && a.note(AnotherSite, witness, "") {
			return
		}
	}
}

// address6 does the same for IPv6.
func (a *analysis) address6(before, port string) {
	for _, host := range []string{"[2001:db8::7]", "[2a00:1450::7]", "[2606:4700::7]"} {
		if o, ok := Parse(before + host + port); !ok || !a.expression.Match(o) {
			return
		}
	}
	a.note(AnotherSite, before+"[2606:4700::7]"+port, "")
}

// A port is a state of an origin whose port is read: whether anything, and not digits alone, stands for a part of it, and
// whether a digit before that is written.
type port struct {
	grammar
	open, begun bool
}

// ports looks for ports that begin with what is written, and go on with whatever is a digit: `:8.*`.
func (a *analysis) ports(of scheme) {
	walk := search[port]{backwards: a.expression.program, budget: &a.budget, whole: func(s port) bool { return s.grammar.whole() }}
	walk.step = func(s port, c byte, pc uint32) (port, bool) {
		g, ok := s.step(c)
		if s.part == inPort && isDigit(c) {
			anything := strings.ContainsAny(a.expression.program.matches(pc), "xyz")
			s.begun = s.begun || s.open && !anything
			s.open = s.open || anything
		}
		ok = ok && (g.part == inPort || s.begun)
		s.grammar = g
		return s, ok
	}
	var starts []port
	for _, g := range ends(of, domain, ipv4, ipv6) {
		if g.part == inPort {
			starts = append(starts, port{grammar: g})
		}
	}
	visits, at := walk.run(walk.starts(), starts, func(_ int, _ visit[port], matched bool) bool { return matched })
	if at >= 0 {
		a.note(AnotherPort, textUpTo(visits, at), "")
	}
}
