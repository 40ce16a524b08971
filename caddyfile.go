package caddycors

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("cors", parseDirective)
	// Preflights carry no credentials, so they are answered before any authentication; and no redirect may answer one.
	httpcaddyfile.RegisterDirectiveOrder("cors", httpcaddyfile.After, "header")
}

// parseDirective is the cors directive with its matcher. It reads the matcher itself, because a "*" in its place is the
// origin "everyone".
func parseDirective(helper httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	helper.Next() // the directive's name
	everyone := helper.NextArg() && helper.Val() == "*"
	helper.Reset()

	var matcher caddy.ModuleMap
	if !everyone {
		helper.Next()
		var err error
		if matcher, err = helper.ExtractMatcherSet(); err != nil {
			return nil, helper.WrapErr(err)
		}
	}
	handler := new(Handler)
	if err := handler.UnmarshalCaddyfile(helper.Dispenser); err != nil {
		return nil, err
	}
	return helper.NewRoute(matcher, handler), nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	cors [<matcher>] [<origin>...] {
//	    allow_origins         <origin>...
//	    allow_origins_regexp  <pattern>...
//	    allow_methods         <method>... | *
//	    allow_headers         <field>... | *
//	    expose_headers        <field>... | *
//	    expose_timing
//	    allow_credentials
//	    allow_private_network
//	    max_age               <duration> | off
//	    preflight_status      <2xx code>
//	    forward_preflight
//	    upstream              override | preserve
//	    enforce
//	    report_only
//	    debug
//	    insecure              <risk>...
//	}
//
// Lists are separated by spaces, commas or both, but for regular expressions. The error names all problems of the
// directive, each with its file and line.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	p := &parser{Dispenser: d, name: d.Token(), values: make(map[string][]caddyfile.Token)}
	directive := p.name
	p.list("allow_origins", &h.AllowOrigins)

	options := p.options(h)
	for d.NextBlock(0) {
		p.name = d.Token()
		option := p.name.Text
		if read, ok := options[option]; ok {
			read(option)
		} else {
			p.failf(p.name, "unknown option %q; did you mean %q?", option, nearest(option, slices.Sorted(maps.Keys(options))))
			d.RemainingArgs()
		}
		// No option has a block. Whatever stands in one is passed over, so that the rest is still checked.
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			if p.name.Text != "" {
				p.failf(p.name, "%s: it has no block; remove the braces and what is between them", option)
				p.name = caddyfile.Token{}
			}
		}
	}

	repl := caddy.NewReplacer()
	_, problems, _ := h.compile(h.AllowOrigins, func(text string) bool { return isLoadTime(repl, text) })
	for _, problem := range problems {
		token := directive
		if values := p.values[problem.Option]; problem.Index < len(values) {
			token = values[problem.Index]
		}
		p.problems = append(p.problems, problemAt{token, problem})
	}
	return p.err()
}

// A parser reads the options of one directive and collects what is wrong with them.
type parser struct {
	*caddyfile.Dispenser
	name     caddyfile.Token              // of the option that is being read
	values   map[string][]caddyfile.Token // where the values of each option stand
	problems []problemAt
}

// A problemAt is something wrong, and where it stands.
type problemAt struct {
	token caddyfile.Token
	err   error
}

// options has for each option the function that reads its arguments.
func (p *parser) options(h *Handler) map[string]func(option string) {
	list := func(values *[]string) func(string) {
		return func(option string) { p.list(option, values) }
	}
	flag := func(value *bool) func(string) {
		return func(option string) { p.flag(option, value) }
	}
	return map[string]func(string){
		"allow_origins":         list(&h.AllowOrigins),
		"allow_origins_regexp":  func(option string) { p.arguments(option, &h.AllowOriginsRegexp, asWritten) },
		"allow_methods":         list(&h.AllowMethods),
		"allow_headers":         list(&h.AllowHeaders),
		"expose_headers":        list(&h.ExposeHeaders),
		"expose_timing":         flag(&h.ExposeTiming),
		"allow_credentials":     flag(&h.AllowCredentials),
		"allow_private_network": flag(&h.AllowPrivateNetwork),
		"max_age":               func(option string) { p.maxAge(option, &h.MaxAge) },
		"preflight_status":      func(option string) { p.status(option, &h.PreflightStatus) },
		"forward_preflight":     flag(&h.ForwardPreflight),
		"upstream":              func(option string) { p.single(option, &h.Upstream, upstreamOverride+" or "+upstreamPreserve) },
		"enforce":               flag(&h.Enforce),
		"report_only":           flag(&h.ReportOnly),
		"debug":                 flag(&h.Debug),
		"insecure":              list(&h.Insecure),
	}
}

// list reads the arguments as a list, separated by blanks, commas or both.
func (p *parser) list(option string, values *[]string) { p.arguments(option, values, splitList) }

// arguments reads all arguments of the line, each of them split into values. On the directive's own line there may be
// none.
func (p *parser) arguments(option string, values *[]string, split func(string) []string) {
	before := len(*values)
	for p.NextArg() {
		for _, value := range split(p.Val()) {
			*values = append(*values, value)
			p.values[option] = append(p.values[option], p.Token())
		}
	}
	if len(*values) == before && p.name.Text == option {
		p.failf(p.name, "%s: its value is missing; write it behind the name, or remove the option", option)
	}
}

func asWritten(argument string) []string { return []string{argument} }

// flag reads an option that has no arguments.
func (p *parser) flag(option string, value *bool) {
	p.once(option)
	if args := p.RemainingArgs(); len(args) > 0 {
		p.failf(p.name, "%s: it takes no value; remove %q", option, strings.Join(args, " "))
	}
	*value = true
}

// single reads the one argument of an option. It reports false if there is none; accepts says what it may be.
func (p *parser) single(option string, value *string, accepts string) bool {
	p.once(option)
	args := p.RemainingArgs()
	if len(args) != 1 {
		p.failf(p.name, "%s: one value is expected, %s", option, accepts)
		return false
	}
	*value = args[0]
	return true
}

func (p *parser) maxAge(option string, age **caddy.Duration) {
	const accepts = "a duration such as 10m, or off"
	var value string
	if !p.single(option, &value, accepts) {
		return
	}
	if value == "off" {
		*age = new(caddy.Duration)
		return
	}
	parsed, err := caddy.ParseDuration(value)
	if err != nil {
		if _, err := strconv.Atoi(value); err == nil {
			p.failf(p.name, "%s: %q has no unit; did you mean %q?", option, value, value+"s")
		} else {
			p.failf(p.name, "%s: %q is not %s", option, value, accepts)
		}
		return
	}
	*age = (*caddy.Duration)(&parsed)
}

func (p *parser) status(option string, status *int) {
	const accepts = "a status from 200 to 299"
	var value string
	if !p.single(option, &value, accepts) {
		return
	}
	number, err := strconv.Atoi(value)
	if err != nil || number == 0 { // in the JSON form 0 is the default
		p.failf(p.name, "%s: %q is not %s", option, value, accepts)
		return
	}
	*status = number
}

// once notes an option that can stand but once.
func (p *parser) once(option string) {
	if before, again := p.values[option]; again {
		p.failf(p.name, "%s: it stands in line %d too; remove one of them", option, before[0].Line)
	}
	p.values[option] = []caddyfile.Token{p.name}
}

func (p *parser) failf(token caddyfile.Token, format string, args ...any) {
	p.problems = append(p.problems, problemAt{token, fmt.Errorf(format, args...)})
}

// err returns all problems in the order of the file, each with its place in the words of Caddy's own directives.
func (p *parser) err() error {
	slices.SortStableFunc(p.problems, func(a, b problemAt) int {
		return cmp.Or(cmp.Compare(a.token.File, b.token.File), cmp.Compare(a.token.Line, b.token.Line))
	})
	var errs []error
	for _, problem := range p.problems {
		at := caddyfile.NewDispenser([]caddyfile.Token{problem.token})
		at.Next()
		errs = append(errs, at.WrapErr(problem.err))
	}
	return errors.Join(errs...)
}

// nearest returns the name that was most likely meant: the shortest that contains the word, or else the one with the
// least edit distance (Levenshtein's) to it.
func nearest(word string, names []string) string {
	best, least := "", math.MaxInt
	for _, name := range names {
		d := 100 + editDistance(word, name)
		if strings.Contains(name, word) {
			d = len(name)
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // the distances of a's prefix so far to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
