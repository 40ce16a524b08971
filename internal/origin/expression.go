package origin

import (
	"fmt"
	"regexp"
	"strings"
)

// An Expression is a regular expression (RE2) that is matched against whole origins.
type Expression struct {
	text    string
	re      *regexp.Regexp
	program *backwards
}

// ParseExpression parses an expression. The error for one that does not compile, alone or between its anchors, and for one
// that no origin can match, gives the text to write instead, where that can be told.
func ParseExpression(text string) (*Expression, error) {
	x, err := compileExpression(text)
	if err != nil {
		return nil, explainExpression(text, err)
	}
	budget := x.maxVisits()
	if _, ok := x.anyExample(&budget); !ok && budget > 0 {
		return nil, explainNoMatch(text)
	}
	return x, nil
}

// compileExpression compiles the expression by itself first: "a)|(b" must not become one of two halves, each of them
// anchored at one end.
func compileExpression(text string) (*Expression, error) {
	if _, err := regexp.Compile(text); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, err
	}
	program, err := compileBackwards(text)
	if err != nil {
		return nil, err
	}
	return &Expression{text, re, program}, nil
}

// String returns the expression as it was written.
func (x *Expression) String() string { return x.text }

// Match reports whether the expression matches the whole serialization of the origin.
func (x *Expression) Match(o Origin) bool { return x.re.MatchString(o.text) }

// example returns an origin that ends in one of the states and that the expression matches, as far as the model goes.
func (x *Expression) example(budget *int, states []grammar) (string, bool) {
	walk := search[grammar]{backwards: x.program, budget: budget, whole: grammar.whole}
	walk.step = func(g grammar, c byte, pc uint32) (grammar, bool) {
		// That there is a scheme nobody knows, and where it ends, has to be written.
		if g.scheme == others && (c == '/' || c == ':') && x.program.isWild(pc, wild) {
			return g, false
		}
		return g.step(c)
	}
	visits, at := walk.run(walk.starts(), states, func(_ int, _ visit[grammar], matched bool) bool { return matched })
	if at < 0 {
		return "", false
	}
	return textUpTo(visits, at), true
}

// anyExample returns an origin that the expression matches, as far as the model goes.
func (x *Expression) anyExample(budget *int) (string, bool) {
	for _, s := range []scheme{https, http, wss, ws, ftp} {
		if example, ok := x.example(budget, ends(s, domain, ipv4, ipv6)); ok {
			return example, true
		}
	}
	return x.example(budget, ends(others, opaque))
}

// explainExpression says why text does not compile, and what to write instead.
func explainExpression(text string, err error) error {
	const problem = "%q is not an RE2 regular expression: %v"
	if c := canonical(text); c.text != "" {
		return fmt.Errorf(problem+`; for the pattern of origins %q, write it in allow_origins`, text, err, c.text)
	}
	if closed := text + `\E`; strings.Contains(text, `\Q`) {
		if _, err := compileExpression(closed); err == nil {
			return fmt.Errorf(`%q: \Q has no \E, so it takes what is put after the expression for a part of it; did you mean %q?`, text, closed)
		}
	}
	return fmt.Errorf(problem, text, err)
}

// explainNoMatch says why no origin can match text, and what to write instead.
func explainNoMatch(text string) error {
	if text == Null {
		return fmt.Errorf(`%q: expressions are not matched against the opaque origin: write null in allow_origins`, text)
	}
	if reason, meant := possible(text); meant != "" {
		return fmt.Errorf("%q matches no origin (%s); did you mean %q?", text, reason, meant)
	}
	return fmt.Errorf(`%q matches no origin; it is matched against a whole origin, as browsers send it: a scheme, "://", a host in lower case and punycode and, unless it is the default, a port, such as "https://example.com" or "http://localhost:3000"`, text)
}
