package caddycors

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/placement"
	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/spelling"
)

func init() {
	httpcaddyfile.RegisterDirective("cors", parseDirective)
	// Preflights carry no credentials, so they are answered before any authentication; and no redirect may answer one.
	httpcaddyfile.RegisterDirectiveOrder("cors", httpcaddyfile.After, "header")
}

// parseDirective is the cors directive with its matcher. It reads the matcher itself, because a "*" in its place is the
// origin "everyone".
func parseDirective(helper httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	site := siteOf(helper)
	helper.Next() // the directive's name
	directive := helper.Token()
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
	problems := handler.unmarshal(helper.Dispenser, placement.Placeholders{Maps: site.around.Maps, Whole: site.whole})
	if err := inOrder(append(problems, site.check(handler, matcher, directive)...)); err != nil {
		return nil, err
	}
	if asJSON, err := json.Marshal(handler); err == nil {
		site.note().Keep(asJSON, time.Now())
	}
	return check.Mark(helper.NewRoute(matcher, handler), directive), nil
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	cors [<matcher>] [<origin>...] {
//	    allow_origins         <origin>...
//	    allow_origins_regexp  <pattern>...
//	    allow_origins_from    <source> [<args>...] [{ ... }]
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
//	    enforce               [unsafe]
//	    enforce_except        <path>...
//	    report_only
//	    debug
//	    insecure              <risk>...
//	    policy [<name>] <origin>... {
//	        <the allow_*, expose_*, max_age and insecure options>
//	    }
//	}
//
// Lists are separated by spaces, commas or both; regular expressions only by spaces. The error lists all problems of the
// directive, each with its file and line.
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return inOrder(h.unmarshal(d, placement.Placeholders{}))
}

func (h *Handler) unmarshal(d *caddyfile.Dispenser, known placement.Placeholders) []problemAt {
	d.Next() // the directive's name
	own := newParser(d)
	own.list("allow_origins", &h.AllowOrigins)
	options := own.policyOptions(&h.PolicyOptions)
	maps.Copy(options, own.handlerOptions(h))
	var blocks []*parser
	options["policy"] = func(option string) {
		own.values[option] = append(own.values[option], own.name)
		var p Policy
		blocks = append(blocks, parsePolicy(d, &p))
		h.Policies = append(h.Policies, p)
	}
	own.block(options)
	own.found(h.check())

	// The origins that only loading makes known are left out here.
	repl := caddy.NewReplacer()
	unknown := func(text string) bool { return isLoadTime(repl, text) }
	for i, options := range h.all() {
		p := own
		if i < len(blocks) {
			p = blocks[i]
		}
		_, problems, _ := options.compile(h.policyName(i), policy.Caddyfile, options.AllowOrigins, make([]policy.Source, len(options.AllowOriginsFromRaw)), unknown)
		p.found(problems)
		for j, text := range options.AllowOrigins {
			p.found(unset(known, text, j))
		}
	}
	problems := own.problems
	for _, p := range blocks {
		problems = append(problems, p.problems...)
	}
	return problems
}

// parsePolicy reads a policy block. A first argument that is not an origin is its name.
func parsePolicy(d *caddyfile.Dispenser, block *Policy) *parser {
	p := newParser(d)
	if d.NextArg() {
		if first := d.Val(); first == "*" || first == origin.Null || strings.Contains(first, "://") || policy.HasPlaceholder(first) {
			d.Prev()
		} else {
			block.Name = first
		}
	}
	p.list("allow_origins", &block.AllowOrigins)
	p.block(p.policyOptions(&block.PolicyOptions))
	return p
}

// A parser reads one block of options and collects what is wrong with them.
type parser struct {
	*caddyfile.Dispenser
	opening  caddyfile.Token              // of the block: the directive's name, or "policy"
	name     caddyfile.Token              // of the option that is being read
	values   map[string][]caddyfile.Token // where the values of each option stand
	problems []problemAt
}

// newParser returns a parser for the block whose opening is the current token.
func newParser(d *caddyfile.Dispenser) *parser {
	return &parser{Dispenser: d, opening: d.Token(), name: d.Token(), values: make(map[string][]caddyfile.Token)}
}

// A problemAt is something wrong, and where it stands.
type problemAt struct {
	token caddyfile.Token
	err   error
}

// policyOptions has for each option of a policy the function that reads its arguments.
func (p *parser) policyOptions(o *PolicyOptions) map[string]func(option string) {
	return map[string]func(string){
		"allow_origins":         p.listInto(&o.AllowOrigins),
		"allow_origins_regexp":  func(option string) { p.arguments(option, &o.AllowOriginsRegexp, asWritten) },
		"allow_origins_from":    func(option string) { p.source(option, &o.AllowOriginsFromRaw) },
		"allow_methods":         p.listInto(&o.AllowMethods),
		"allow_headers":         p.listInto(&o.AllowHeaders),
		"expose_headers":        p.listInto(&o.ExposeHeaders),
		"expose_timing":         p.flagInto(&o.ExposeTiming),
		"allow_credentials":     p.flagInto(&o.AllowCredentials),
		"allow_private_network": p.flagInto(&o.AllowPrivateNetwork),
		"max_age":               func(option string) { p.maxAge(option, &o.MaxAge) },
		"insecure":              p.listInto(&o.Insecure),
	}
}

// handlerOptions has the options that concern all policies.
func (p *parser) handlerOptions(h *Handler) map[string]func(option string) {
	return map[string]func(string){
		"preflight_status":  func(option string) { p.status(option, &h.PreflightStatus) },
		"forward_preflight": p.flagInto(&h.ForwardPreflight),
		"upstream":          func(option string) { p.single(option, &h.Upstream, upstreamOverride+" or "+upstreamPreserve) },
		"enforce":           func(option string) { p.enforce(option, &h.Enforce) },
		"enforce_except":    p.listInto((*[]string)(&h.EnforceExcept)),
		"report_only":       p.flagInto(&h.ReportOnly),
		"debug":             p.flagInto(&h.Debug),
	}
}

// block reads the options between the braces, if there are any, to the end whatever is wrong with them.
func (p *parser) block(options map[string]func(option string)) {
	for nesting := p.Nesting(); p.NextBlock(nesting); {
		p.name = p.Token()
		option := p.name.Text
		if read, ok := options[option]; ok {
			read(option)
		} else {
			if _, ok := p.handlerOptions(new(Handler))[option]; ok || option == "policy" {
				p.failf(p.name, "%s: it is an option of the whole directive; move it out of the policy block", option)
			} else if looksLikeOrigin(option) {
				p.failf(p.name, "%q is where an option is expected; an origin goes after allow_origins, on the same line: allow_origins %s", option, option)
			} else {
				p.failf(p.name, "unknown option %q; %s", option, spelling.Among(option, slices.Sorted(maps.Keys(options)), "options"))
			}
			p.RemainingArgs()
		}
		// A block that the option does not have is passed over, so that the rest is still checked.
		unexpected := false
		for nesting := p.Nesting(); p.NextBlock(nesting); {
			unexpected = true
		}
		if unexpected {
			p.failf(p.name, "%s: it has no block; remove the braces and what is between them", option)
		}
	}
}

// looksLikeOrigin reports whether what stands in an option's place is an origin, or meant as one.
func looksLikeOrigin(text string) bool {
	return strings.ContainsAny(text, ".:*") || strings.EqualFold(text, origin.Null) || policy.HasPlaceholder(text)
}

// source reads a guest module: its name, and whatever it takes.
func (p *parser) source(option string, sources *[]json.RawMessage) {
	if !p.NextArg() {
		p.failf(p.name, "%s: its source is missing; one of: %s", option, strings.Join(sourceNames(), ", "))
		return
	}
	var source json.RawMessage // stays empty where it is wrong, and still counts as one
	if name := p.Val(); slices.Contains(sourceNames(), name) {
		module, err := caddyfile.UnmarshalModule(p.Dispenser, sourceNamespace+"."+name)
		if err != nil {
			p.problems = append(p.problems, problemAt{p.name, err}) // which says where
		} else {
			source = caddyconfig.JSONModuleObject(module, "source", name, nil)
		}
	} else {
		p.failf(p.name, "%s: %q is not a source; %s", option, name, spelling.Among(name, sourceNames(), "sources"))
		p.NewFromNextSegment() // passes over what it takes
	}
	*sources = append(*sources, source)
}

const sourceNamespace = "http.cors.origins"

// sourceNames returns the names of the sources that this Caddy was built with.
func sourceNames() []string {
	var names []string
	for _, module := range caddy.GetModules(sourceNamespace) {
		names = append(names, module.ID.Name())
	}
	return names
}

func (p *parser) listInto(values *[]string) func(option string) {
	return func(option string) { p.list(option, values) }
}

func (p *parser) flagInto(value *bool) func(option string) {
	return func(option string) { p.flag(option, value) }
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
		p.failf(p.name, "%s: its value is missing; write it after the name, on the same line, or remove the option", option)
	}
}

func asWritten(argument string) []string { return []string{argument} }

// flag reads an option that has no arguments.
func (p *parser) flag(option string, value *bool) {
	p.once(option)
	args := strings.Join(p.RemainingArgs(), " ")
	switch {
	case args == "":
		*value = true
	case p.switched(option, args):
	default:
		p.failf(p.name, "%s: it takes no value: write %s alone to turn it on, or remove the line to leave it off", option, option)
	}
}

// switched refuses a word that is to turn an option on or off, and reports whether it is one.
func (p *parser) switched(option, word string) bool {
	switch strings.ToLower(word) {
	case "false", "off", "no", "0":
		p.failf(p.name, "%s: it is off unless it is written: remove the line", option)
	case "true", "on", "yes", "1":
		p.failf(p.name, "%s: it takes no value: write %s alone", option, option)
	default:
		return false
	}
	return true
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

// enforce reads which requests are refused: all that are denied, unless it says otherwise.
func (p *parser) enforce(option string, value *policy.Enforcement) {
	p.once(option)
	*value = policy.EnforceAll
	switch args := strings.Join(p.RemainingArgs(), " "); {
	case args == "":
	case args == string(policy.EnforceUnsafe):
		*value = policy.EnforceUnsafe
	case p.switched(option, args):
	default:
		p.failf(p.name, "%s: %q is not a kind of enforcement; write enforce alone, which refuses all requests that are denied, or enforce unsafe", option, args)
	}
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
		if seconds, err := strconv.Atoi(value); err == nil {
			meant := value + "s"
			if seconds > int(policy.MaxAgeLimit/time.Second) {
				meant = "24h" // the most there is
			}
			p.failf(p.name, "%s: %q has no unit; did you mean %q?", option, value, meant)
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
		p.failf(p.name, "%s: it is on line %d too; remove one of them", option, before[0].Line)
	}
	p.values[option] = []caddyfile.Token{p.name}
}

// found notes problems of the options that were read.
func (p *parser) found(problems []policy.Problem) {
	for _, problem := range problems {
		token := p.opening
		if values := p.values[problem.Option]; problem.Index < len(values) {
			token = values[problem.Index]
		}
		p.failf(token, "%w", problem)
	}
}

// failf notes a problem, and its place in the words of Caddy's own directives.
func (p *parser) failf(token caddyfile.Token, format string, args ...any) {
	at := caddyfile.NewDispenser([]caddyfile.Token{token})
	at.Next()
	p.problems = append(p.problems, problemAt{token, at.WrapErr(fmt.Errorf(format, args...))})
}

// inOrder returns the problems in the order of the file.
func inOrder(problems []problemAt) error {
	slices.SortStableFunc(problems, func(a, b problemAt) int {
		return cmp.Or(cmp.Compare(a.token.File, b.token.File), cmp.Compare(a.token.Line, b.token.Line))
	})
	var errs []error
	for _, problem := range problems {
		errs = append(errs, problem.err)
	}
	return errors.Join(errs...)
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Handler)(nil)
