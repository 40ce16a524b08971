package origin

import (
	"regexp/syntax"
	"slices"
)

// What a regular expression matches is looked for in it as an automaton, run beside one that accepts nothing but origins.
// Both read from the end, because that is where a domain has its public suffix: the expression is compiled backwards.
//
// Each state of the two together is visited once, an origin is short, and the visits are counted, so that no expression
// costs more than that.

// backwards is an expression's program for the reverse of each text that it matches.
type backwards struct {
	inst  []syntax.Inst
	start uint32
	words bool              // \b or \B is in it
	chars map[uint32]string // the characters that a rune instruction matches, of those that origins consist of
}

// originCharacters are all that an origin consists of, in the order in which they are tried.
const originCharacters = "xyzabcdefghijklmnopqrstuvw1234567890-_.:/[]+ABCDEFGHIJKLMNOPQRSTUVWXYZ"

func compileBackwards(text string) (*backwards, error) {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	turnAround(re)
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	b := &backwards{inst: prog.Inst, start: uint32(prog.Start), chars: make(map[uint32]string)}
	for _, inst := range b.inst {
		if inst.Op == syntax.InstEmptyWidth && syntax.EmptyOp(inst.Arg)&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
			b.words = true
		}
	}
	return b, nil
}

// turnAround makes the expression match the reverse of each text that it matched.
func turnAround(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		slices.Reverse(re.Rune)
	case syntax.OpConcat:
		slices.Reverse(re.Sub)
	case syntax.OpBeginText:
		re.Op = syntax.OpEndText
	case syntax.OpEndText:
		re.Op = syntax.OpBeginText
	case syntax.OpBeginLine:
		re.Op = syntax.OpEndLine
	case syntax.OpEndLine:
		re.Op = syntax.OpBeginLine
	}
	for _, sub := range re.Sub {
		turnAround(sub)
	}
}

// matches returns the characters of origins that the rune instruction matches.
func (b *backwards) matches(pc uint32) string {
	chars, ok := b.chars[pc]
	if !ok {
		var matched []byte
		for _, c := range []byte(originCharacters) {
			if b.inst[pc].MatchRune(rune(c)) {
				matched = append(matched, c)
			}
		}
		chars = string(matched)
		b.chars[pc] = chars
	}
	return chars
}

// isWild reports whether the instruction stands for that many characters of a label or more, and so for any.
func (b *backwards) isWild(pc uint32, limit int) bool {
	n := 0
	for _, c := range []byte(b.matches(pc)) {
		if isLabel[c] {
			n++
		}
	}
	return n >= limit
}

// A beside is what stands beside a place in the text, for ^, $, \b and \B.
type beside uint8

const (
	edge beside = iota // nothing
	word
	noWord
)

func (b *backwards) besideOf(c byte) beside {
	if b.words && !syntax.IsWordChar(rune(c)) {
		return noWord
	}
	return word
}

// A place is a state of the expression: an instruction, what was read last, and a guess of what is read next.
type place struct {
	pc         uint32
	prev, next beside
}

// starts returns the places in which reading can begin.
func (b *backwards) starts() []place { return b.after(b.start, edge) }

// after returns the places at an instruction, one for each guess.
func (b *backwards) after(pc uint32, prev beside) []place {
	places := [...]place{{pc, prev, edge}, {pc, prev, word}, {pc, prev, noWord}}
	if b.words {
		return places[:]
	}
	return places[:2]
}

// allows reports whether an assertion holds in the place.
func (p place) allows(op syntax.EmptyOp) bool {
	r := [...]rune{edge: -1, word: 'a', noWord: '-'}
	return op&^syntax.EmptyOpContext(r[p.prev], r[p.next]) == 0
}

// A search walks the expression beside a grammar whose states are of type S.
type search[S comparable] struct {
	*backwards

	// step returns the state after c, which the instruction pc has read. It reports false if no origin goes on like that.
	step func(s S, c byte, pc uint32) (S, bool)

	// whole reports whether the state is one in which the expression may have matched.
	whole func(s S) bool

	budget *int // visits that are left
}

// A visit is a state of both, and how it was reached.
type visit[S comparable] struct {
	place
	state S
	from  int // the visit before; -1 for none
	read  byte
}

// maxOriginLength bounds how far a search goes.
const maxOriginLength = maxSchemeLength + len("://") + maxHostLength + len(".:65535")

// run visits what can be reached from the places in the states, nearest first. It asks of each visit before a character,
// and of each after which the expression has matched, whether it is the end of the search, and returns the visits and
// the number of that one, or -1.
func (w search[S]) run(places []place, states []S, end func(at int, v visit[S], matched bool) bool) ([]visit[S], int) {
	type key struct {
		place
		state S
	}
	seen := make(map[key]struct{})
	var visits []visit[S]
	add := func(v visit[S]) (int, bool) {
		k := key{v.place, v.state}
		if _, again := seen[k]; again || *w.budget <= 0 || v.next == edge && !w.whole(v.state) {
			return 0, false
		}
		*w.budget--
		seen[k] = struct{}{}
		visits = append(visits, v)
		return len(visits) - 1, true
	}
	var level, next []int // visits with as many characters read, and with one more
	for _, p := range places {
		for _, s := range states {
			if at, ok := add(visit[S]{p, s, -1, 0}); ok {
				next = append(next, at)
			}
		}
	}
	for depth := 0; depth <= maxOriginLength && len(next) > 0; depth++ {
		level, next = next, level[:0]
		for len(level) > 0 {
			at := level[len(level)-1]
			level = level[:len(level)-1]
			v := visits[at]
			inst := &w.inst[v.pc]
			same := func(pc uint32) { // reads nothing
				if at, ok := add(visit[S]{place{pc, v.prev, v.next}, v.state, v.from, v.read}); ok {
					level = append(level, at)
				}
			}
			switch inst.Op {
			case syntax.InstMatch:
				if v.next == edge && end(at, v, true) {
					return visits, at
				}
			case syntax.InstAlt, syntax.InstAltMatch:
				same(inst.Arg)
				same(inst.Out)
			case syntax.InstCapture, syntax.InstNop:
				same(inst.Out)
			case syntax.InstEmptyWidth:
				if v.allows(syntax.EmptyOp(inst.Arg)) {
					same(inst.Out)
				}
			case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
				if v.next == edge {
					continue
				}
				if end(at, v, false) {
					return visits, at
				}
				var last S // most characters of a class lead to one state
				var lastBeside beside
				for _, c := range []byte(w.matches(v.pc)) {
					here := w.besideOf(c)
					if here != v.next {
						continue
					}
					s, ok := w.step(v.state, c, v.pc)
					if !ok || s == last && here == lastBeside {
						continue
					}
					last, lastBeside = s, here
					for _, p := range w.after(inst.Out, here) {
						if to, ok := add(visit[S]{p, s, at, c}); ok {
							next = append(next, to)
						}
					}
				}
			}
		}
	}
	return visits, -1
}

// textUpTo returns what was read up to the visit: the end of an origin, or all of it.
func textUpTo[S comparable](visits []visit[S], at int) string {
	var b []byte
	for i := at; i >= 0 && visits[i].from >= 0; i = visits[i].from {
		b = append(b, visits[i].read)
	}
	return string(b) // backwards, of what was read backwards
}

// A grammar is a state of the automaton of origins, which reads them from their end. It accepts them all, and a few texts
// that are not: its hosts have no limit of length, and its IP addresses are not checked.
type grammar struct {
	scheme scheme // the one that is being looked for
	part   part

	digits      uint8 // of the port so far
	tooLarge    bool  // those digits, were they all, compared with the last of 65535
	isDefault   bool  // they are the last of the scheme's default port
	leadingZero bool

	host   hostKind
	label  bool // the label, or the field of an address, has a character
	number bool // so far, the last label is a number
	fields uint8

	read    uint8 // characters of the scheme
	special uint8 // the bits of the schemes that are not opaque, and end with what was read
	letter  bool  // the scheme, so far, begins with a letter
}

type part uint8

const (
	inPort part = iota
	inHost
	afterSlash // of the two before the host, the second
	afterSlashes
	inScheme
)

// A scheme is one of those whose hosts are not opaque.
type scheme uint8

const (
	https scheme = iota
	http
	wss
	ws
	ftp
	file   // whose origins are opaque
	others // whose hosts are
)

var schemeNames = [...]string{"https", "http", "wss", "ws", "ftp", "file"}

func (s scheme) defaultPort() string {
	if s == others {
		return ""
	}
	return defaultPort(schemeNames[s])
}

type hostKind uint8

const (
	domain hostKind = iota
	ipv4
	ipv6
	opaque
)

// ends returns the states in which reading an origin of the scheme can begin.
func ends(s scheme, hosts ...hostKind) []grammar {
	var states []grammar
	for _, host := range hosts {
		states = append(states,
			grammar{scheme: s, part: inPort, host: host, isDefault: s.defaultPort() != ""},
			grammar{scheme: s, part: inHost, host: host, number: true})
	}
	return states
}

func (g grammar) step(c byte) (grammar, bool) {
	switch g.part {
	case inPort:
		return g.stepPort(c)
	case inHost:
		if c == '/' {
			ok := g.label && !(g.host == domain && g.number) && !(g.host == ipv4 && g.fields != 3) && !(g.host == ipv6 && g.fields != 2)
			return grammar{scheme: g.scheme, part: afterSlash}, ok
		}
		return g.stepHost(c)
	case afterSlash:
		return grammar{scheme: g.scheme, part: afterSlashes}, c == '/'
	case afterSlashes:
		return grammar{scheme: g.scheme, part: inScheme, special: 1<<len(schemeNames) - 1}, c == ':'
	}
	return g.stepScheme(c)
}

func (g grammar) stepScheme(c byte) (grammar, bool) {
	g.letter = 'a' <= c && c <= 'z'
	if !g.letter && !isDigit(c) && c != '+' && c != '-' && c != '.' {
		return g, false
	}
	for i, name := range schemeNames {
		if at := len(name) - 1 - int(g.read); at < 0 || name[at] != c {
			g.special &^= 1 << i
		}
	}
	if g.special != 0 {
		g.read++ // which is of no matter in all other schemes
	}
	return g, g.scheme == others || g.special&(1<<g.scheme) != 0
}

// whole reports whether what was read is an origin.
func (g grammar) whole() bool {
	if g.part != inScheme || !g.letter {
		return false
	}
	for i, name := range schemeNames {
		if g.special&(1<<i) != 0 && len(name) == int(g.read) {
			return g.scheme == scheme(i)
		}
	}
	return g.scheme == others
}

func (g grammar) stepPort(c byte) (grammar, bool) {
	const largest = "65535"
	byDefault := g.scheme.defaultPort()
	if c == ':' {
		n := int(g.digits)
		ok := n > 0 && !g.leadingZero && !(g.isDefault && n == len(byDefault)) && !(n == len(largest) && g.tooLarge)
		return grammar{scheme: g.scheme, part: inHost, host: g.host, number: true}, ok
	}
	if !isDigit(c) || int(g.digits) == len(largest) {
		return g, false
	}
	if at := largest[len(largest)-1-int(g.digits)]; c != at {
		g.tooLarge = c > at
	}
	g.isDefault = g.isDefault && int(g.digits) < len(byDefault) && c == byDefault[len(byDefault)-1-int(g.digits)]
	g.leadingZero = c == '0'
	g.digits++
	return g, true
}

func (g grammar) stepHost(c byte) (grammar, bool) {
	switch g.host {
	case domain:
		switch {
		case isLabel[c]:
			g.label = true
			// the last label alone decides, and the first character that is not a digit
			g.number = g.number && g.fields < 2 && isDigit(c)
			return g, true
		case c == '.' && !g.label && g.fields == 0: // at the end of the host
			g.fields = 1
			return g, true
		case c == '.' && g.label && !g.number:
			g.label, g.fields = false, 2
			return g, true
		}
	case ipv4:
		switch {
		case isDigit(c):
			g.label = true
			return g, true
		case c == '.' && g.label:
			g.label = false
			g.fields++
			return g, g.fields < 4
		}
	case ipv6:
		switch {
		case c == ']' && g.fields == 0:
			g.fields = 1
			return g, true
		case c == '[' && g.label:
			g.fields = 2
			return g, true
		case (c == ':' || isDigit(c) || 'a' <= c && c <= 'f') && g.fields == 1:
			g.label = true
			return g, true
		}
	case opaque:
		g.label = true
		return g, isLabel[c] || c == '.' || 'A' <= c && c <= 'Z'
	}
	return g, false
}
