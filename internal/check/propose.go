package check

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

const (
	blockCors   = "cors"
	blockSite   = "site"
	blockGlobal = "global"
)

// A proposer finds what could help an attempt that was blocked: candidates in the order of preference, or advice where only a
// person can go on.
type proposer struct {
	*fixer
	conf       *configuration
	attempt    *attempt
	candidates []candidate
	advice     []string
}

func (p *proposer) propose() {
	if p.attempt.cause == nil { // it could not be seen to its end
		p.login()
		return
	}
	cause := p.attempt.cause
	e := p.attempt.last()
	switch {
	case p.ofScript(cause):
	case p.httpsRedirect(cause):
	case p.plainLocation(cause):
	case p.login():
	case p.oneTimeURL(cause):
	case e == nil || e.server == "":
		p.elsewhere(cause)
	case cause.Origin == origin.Null:
		p.opaque(cause, e)
	default:
		if d, ok := e.decisive(); ok {
			p.decided(cause, d)
		} else {
			p.undecided(cause, e)
		}
	}
}

func (p *proposer) advise(format string, args ...any) {
	p.advice = append(p.advice, fmt.Sprintf(format, args...))
}

func (p *proposer) add(c candidate) { p.candidates = append(p.candidates, c) }

// site is the site that the cause is about, as its address says it.
func (p *proposer) site() string {
	u, err := url.Parse(p.attempt.cause.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// both joins changes.
func both(a, b change) change {
	return change{edits: slices.Concat(a.edits, b.edits), patch: slices.Concat(a.patch, b.patch)}
}

// decided handles a response that a cors handler of the configuration has decided about.
func (p *proposer) decided(cause *fetch.Cause, seen decisionSeen) {
	handler, ref := p.handler(seen)
	d := &seen.decision
	if handler.options["report_only"] == true {
		if change, fix, ok := p.removal(handler, "report_only"); ok {
			p.add(candidate{change: change, fixes: []Fix{fix}, advice: []string{"report_only has cors watch, and do nothing else."}})
		}
		return
	}
	switch {
	case cause.Code == codeNotReadable:
		if !listsName(texts(ref.options, "expose_headers"), cause.Names[0]) {
			p.line(ref, policy.Line{Option: "expose_headers", Values: cause.Names[:1]})
		}
	case cause.Code == fetch.WildcardWithCredentials && d.AllowOrigin == "*":
		p.notEveryone(ref)
	case cause.Code == fetch.MissingAllowCredentials && ref.options["allow_credentials"] != true:
		p.credentials(ref)
	case d.Outcome == policy.Denied:
		p.denied(ref, seen)
		if len(p.advice) > 0 {
			return
		}
	case d.Outcome == policy.SameOrigin:
		p.line(ref, policy.Line{Option: "allow_origins", Values: []string{cause.Origin}})
	}
	alone := slices.Clone(p.candidates)
	together := func(c candidate) { // each of those before, with c
		p.add(c)
		for _, other := range alone {
			other.change, other.fixes = both(other.change, c.change), slices.Concat(other.fixes, c.fixes)
			other.wide = true
			p.add(other)
		}
	}
	if handler.options["forward_preflight"] == true && cause.At == fetch.AtPreflight {
		if change, fix, ok := p.removal(handler, "forward_preflight"); ok {
			together(candidate{change: change, fixes: []Fix{fix}, wide: true})
		}
	}
	if handler.options["upstream"] == "preserve" {
		if c, ok := p.override(handler); ok {
			together(c)
		}
	}
	if d.Outcome != policy.Denied || len(alone) == 0 {
		p.overridden(handler)
	}
}

// listsName reports whether a list option has the name, or is a "*".
func listsName(list []string, name string) bool {
	return slices.ContainsFunc(list, func(text string) bool { return text == "*" || strings.EqualFold(text, name) })
}

// denied proposes what the log has for the denial.
func (p *proposer) denied(ref policyRef, seen decisionSeen) {
	fix := policy.FixFor(&seen.asked, &seen.decision)
	if fix.Advice != "" {
		p.advise("%s", fix.Advice)
		return
	}
	var c candidate
	for _, line := range fix.Lines {
		change, fix := p.addition(ref, line)
		if line.Option == "insecure" {
			fix.Risk = strings.Join(line.Values, " ")
			c.advice = append(c.advice, riskAdvice(fix.Risk, p.attempt.cause.Origin))
		}
		c.change = both(c.change, change)
		c.fixes = append(c.fixes, fix)
	}
	p.add(c)
}

// riskAdvice is the safer way.
func riskAdvice(risk, page string) string {
	return fmt.Sprintf("Safer: serve the page over https, and allow that origin (https://%s). The line insecure %s takes a risk: whoever is between an http page and its visitor can change the page, and call with the visitor's cookies.", strings.TrimPrefix(page, "http://"), risk)
}

// notEveryone puts the origin in the place of "*", which does not go with credentials.
func (p *proposer) notEveryone(ref policyRef) {
	change, fix, ok := p.replacement(ref, "*", p.attempt.cause.Origin)
	if !ok {
		p.advise(`"*" does not go with credentials, and it is not written in the cors directive as it is: list the origins that are to call.`)
		return
	}
	c := candidate{change: change, fixes: []Fix{fix}}
	if ref.options["allow_credentials"] != true {
		more, fix := p.addition(ref, policy.Line{Option: "allow_credentials"})
		c.change, c.fixes = both(c.change, more), append(c.fixes, fix)
	}
	c.advice = append(c.advice, fmt.Sprintf(`"*" does not go with credentials. List the other origins that are to call, too; or keep "*" for calls without credentials, and give this page a block of its own in the cors block: policy %s { allow_credentials }.`, p.attempt.cause.Origin))
	p.add(c)
	if p.attempt.cause.Origin != "" && strings.HasPrefix(p.attempt.cause.Origin, "http://") {
		p.add(p.withInsecure(ref, c, string(policy.HTTPOrigin)))
	}
}

// credentials proposes to allow them; where that is refused for other origins of the policy, in a policy of the page's own.
func (p *proposer) credentials(ref policyRef) {
	page := p.attempt.cause.Origin
	change, fix := p.addition(ref, policy.Line{Option: "allow_credentials"})
	plain := candidate{change: change, fixes: []Fix{fix}}
	p.add(plain)
	if ref.name == policy.DefaultName {
		p.ownPolicy(ref, page)
	}
	with := plain
	for _, problem := range p.problems(ref, "allow_credentials") {
		origins := texts(ref.options, "allow_origins")
		if problem.Risk == "" || problem.Option != "allow_origins" || problem.Index >= len(origins) || problem.Risk == policy.HTTPOrigin {
			continue
		}
		if more, fix, ok := p.replacement(ref, origins[problem.Index], page); ok {
			with.change, with.fixes = both(with.change, more), append(slices.Clone(with.fixes), fix)
			with.advice = append(with.advice, fmt.Sprintf("%q does not go with credentials. List the other origins that are to call, too.", origins[problem.Index]))
		}
	}
	p.add(with)
	p.add(p.withInsecure(ref, with, string(policy.HTTPOrigin)))
}

// sites are the sites of the Caddyfile that the last exchange was for, or that a directive serves.
func (p *proposer) sites(near *edit.Use) []*edit.Use {
	if near != nil {
		return near.Sites()
	}
	e := p.attempt.last()
	if e == nil || p.conf.text == nil {
		return nil
	}
	return sitesFor(p.conf.text, e.request.URL, e.via)
}

// siteUses are all lines of those sites.
func (p *proposer) siteUses(near *edit.Use) []*edit.Use { return p.usesOf(p.sites(near)) }

// usesOf are all lines of sites, those of the named routes that they invoke included.
func (p *proposer) usesOf(sites []*edit.Use) []*edit.Use {
	var uses []*edit.Use
	seen := make(map[*edit.Use]bool)
	var addAll func(root *edit.Use)
	addAll = func(root *edit.Use) {
		if seen[root] {
			return
		}
		seen[root] = true
		for use := range root.All() {
			uses = append(uses, use)
			if args := use.Args(); use.Name() == "invoke" && len(args) > 0 {
				for _, route := range p.conf.text.NamedRoutes() {
					if route.Name() == args[len(args)-1] {
						addAll(route)
					}
				}
			}
		}
	}
	for _, site := range sites {
		addAll(site)
	}
	return uses
}

// opaque handles an origin that no line should allow, but "*".
func (p *proposer) opaque(cause *fetch.Cause, e *exchange) {
	d, decided := e.decisive()
	if decided && !p.check.request.Credentials && (d.decision.Outcome == policy.Allowed || slices.Contains(policy.PreflightReasons, d.decision.Reason)) {
		p.decided(cause, d) // the origin is allowed, and something else is in the way
		return
	}
	p.whyNull(cause)
	if decided || p.check.request.Credentials || cause.Hop > 0 {
		return
	}
	p.insertions(e, "*")
}
