package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
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

func (p *proposer) propose(ctx context.Context) {
	if p.attempt.cause == nil { // it could not be seen to its end
		if p.login() {
			return
		}
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
			p.undecided(ctx, cause, e)
		}
	}
}

func (p *proposer) advise(format string, args ...any) {
	p.advice = append(p.advice, fmt.Sprintf(format, args...))
}

func (p *proposer) add(c candidate) { p.candidates = append(p.candidates, c) }

// A policyRef is a policy of a cors handler of the configuration.
type policyRef struct {
	place   string         // of its options in the tree
	options map[string]any // its JSON
	use     *edit.Use      // its directive or policy block; nil in a JSON configuration
	name    string
}

// handler returns the cors handler that has decided, and its policy that has.
func (p *proposer) handler(d decisionSeen) (handler, of policyRef) {
	handler = policyRef{place: d.place, options: at(p.conf.tree, d.place), use: p.conf.directives[d.place], name: policy.DefaultName}
	of = handler
	name := d.decision.Policy.Name()
	policies := array(handler.options, "policies")
	for i := range policies {
		options, _ := policies[i].(map[string]any)
		if options["name"] != name && (options["name"] != nil || name != fmt.Sprintf("policy-%d", i+1)) {
			continue
		}
		of = policyRef{place: fmt.Sprintf("%s/policies/%d", d.place, i), options: options, name: name}
		if handler.use != nil {
			n := 0
			for _, line := range handler.use.Block {
				if line.Name() != "policy" {
					continue
				}
				if n == i {
					of.use = line
				}
				n++
			}
		}
	}
	return handler, of
}

// fixAt is a fix at a policy, whose line is in its block.
func (p *proposer) fixAt(ref policyRef, action, line string) Fix {
	fix := Fix{Action: action, Line: line, Block: blockCors, Site: p.site()}
	if ref.name != policy.DefaultName {
		fix.Block = "policy " + ref.name
	}
	fix.File, fix.At = lineOf(ref.use)
	return fix
}

// site is the site that the cause is about, as its address says it.
func (p *proposer) site() string {
	u, err := url.Parse(p.attempt.cause.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// addition is the change that adds a line to a policy.
func (p *proposer) addition(ref policyRef, line policy.Line) (change, Fix) {
	fix := p.fixAt(ref, ActionAdd, line.String())
	if ref.use == nil {
		path := ref.place + "/" + line.Option
		var value any = true
		if len(line.Values) > 0 {
			value = append(texts(ref.options, line.Option), line.Values...)
		}
		return change{patch: []patchOp{{Op: "add", Path: path, Value: value}}}, fix
	}
	words := append([]string{line.Option}, line.Values...)
	var made edit.Edit = edit.AddOption{To: ref.use, Line: edit.Line{Words: words}}
	if line.Option == "allow_origins" {
		hasOption := slices.ContainsFunc(ref.use.Block, func(u *edit.Use) bool { return u.Name() == "allow_origins" })
		list := listFile(ref.use)
		switch onLine := len(originsOnLine(ref.use)) > 0; {
		case !onLine && !hasOption && list != "":
			made = edit.EditList{File: list, Add: line.Values}
			fix.File, fix.At, fix.Line, fix.Action = list, 0, strings.Join(line.Values, "\n"), ActionAddToList
		case onLine && !hasOption:
			made = edit.AddValues{To: ref.use, Values: line.Values}
		}
	}
	return change{edits: []edit.Edit{made}}, fix
}

// originsOnLine are the origins on the first line of a directive or a policy block.
func originsOnLine(use *edit.Use) []string {
	args := use.Args()
	word, _ := use.Matcher()
	switch {
	case word.Text != "":
		args = args[1:]
	case use.Name() == "policy" && len(args) > 0 && !isOriginLike(args[0]):
		args = args[1:]
	}
	return args
}

// allOrigins are the origins that a directive lists for its own policy.
func allOrigins(use *edit.Use) []string {
	origins := originsOnLine(use)
	for _, line := range use.Block {
		if line.Name() == "allow_origins" {
			origins = append(origins, line.Args()...)
		}
	}
	return origins
}

func isOriginLike(text string) bool {
	return text == "*" || text == origin.Null || strings.Contains(text, "://") || policy.HasPlaceholder(text)
}

// listFile is the file that a policy takes origins from, if there is one with a path that is written as it is.
func listFile(use *edit.Use) string {
	for _, line := range use.Block {
		if args := line.Args(); line.Name() == "allow_origins_from" && len(args) > 1 && args[0] == "file" && !strings.Contains(args[1], "{") {
			return args[1]
		}
	}
	return ""
}

// removal is the change that removes a flag or an option from a handler.
func (p *proposer) removal(ref policyRef, option string) (change, Fix, bool) {
	if ref.use == nil {
		fix := p.fixAt(ref, ActionRemove, option)
		return change{patch: []patchOp{{Op: "remove", Path: ref.place + "/" + option}}}, fix, true
	}
	for _, line := range ref.use.Block {
		if line.Name() == option {
			fix := p.fixAt(ref, ActionRemove, strings.Join(append([]string{option}, line.Args()...), " "))
			fix.File, fix.At = lineOf(line)
			return change{edits: []edit.Edit{edit.Remove{Use: line}}}, fix, true
		}
	}
	return change{}, Fix{}, false
}

// replacement is the change that puts an origin in the place of a pattern.
func (p *proposer) replacement(ref policyRef, old, by string) (change, Fix, bool) {
	there := slices.Contains(texts(ref.options, "allow_origins"), by)
	fix := p.fixAt(ref, ActionReplace, "allow_origins "+by)
	fix.Replaces = old
	if there {
		fix.Action, fix.Line, fix.Replaces = ActionRemove, "allow_origins "+old, ""
	}
	if ref.use == nil {
		var list []string
		for _, text := range texts(ref.options, "allow_origins") {
			if text != old {
				list = append(list, text)
			} else if !there {
				list = append(list, by)
			}
		}
		return change{patch: []patchOp{{Op: "replace", Path: ref.place + "/allow_origins", Value: list}}}, fix, true
	}
	var replacement []string
	if !there {
		replacement = []string{by}
	}
	for _, line := range append([]*edit.Use{ref.use}, ref.use.Block...) {
		args := line.Args()
		if line != ref.use && line.Name() != "allow_origins" || !slices.ContainsFunc(args, func(arg string) bool { return slices.Contains(strings.Split(arg, ","), old) }) {
			continue
		}
		fix.File, fix.At = lineOf(line)
		return change{edits: []edit.Edit{edit.ReplaceValue{In: line, Old: old, New: replacement}}}, fix, true
	}
	return change{}, Fix{}, false
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

// line proposes a line for a policy.
func (p *proposer) line(ref policyRef, line policy.Line) {
	change, fix := p.addition(ref, line)
	p.add(candidate{change: change, fixes: []Fix{fix}})
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

func (p *proposer) withInsecure(ref policyRef, c candidate, risk string) candidate {
	change, fix := p.addition(ref, policy.Line{Option: "insecure", Values: []string{risk}})
	fix.Risk = risk
	c.change, c.fixes = both(c.change, change), append(slices.Clone(c.fixes), fix)
	c.advice = append(slices.Clone(c.advice), riskAdvice(risk, p.attempt.cause.Origin))
	return c
}

// problems are what would be refused of a policy with a flag more.
func (p *proposer) problems(ref policyRef, flag string) []policy.Problem {
	options := maps.Clone(ref.options)
	delete(options, "handler")
	delete(options, "policies")
	delete(options, "name")
	for name := range options {
		if !slices.Contains(policyOptionNames, name) {
			delete(options, name)
		}
	}
	options[flag] = true
	text, err := json.Marshal(options)
	if err != nil {
		return nil
	}
	return p.fixer.handler.Problems(text, policy.DefaultName)
}

var policyOptionNames = []string{
	"allow_origins", "allow_origins_regexp", "allow_origins_from", "allow_methods", "allow_headers", "expose_headers",
	"expose_timing", "allow_credentials", "allow_private_network", "max_age", "insecure",
}

// ownPolicy proposes a policy block of the page's own, with credentials and with all that the directive's own allows, which
// it does not inherit.
func (p *proposer) ownPolicy(ref policyRef, page string) {
	if ref.use == nil {
		return
	}
	line := edit.Line{Words: []string{"policy", page}}
	for _, option := range ref.use.Block {
		name := option.Name()
		if slices.Contains([]string{"allow_methods", "allow_headers", "expose_headers", "expose_timing", "allow_private_network", "max_age"}, name) {
			line.Block = append(line.Block, edit.Line{Words: append([]string{name}, option.Args()...)})
		}
	}
	line.Block = append(line.Block, edit.Line{Words: []string{"allow_credentials"}})
	fix := p.fixAt(ref, ActionAdd, textOf(line, ""))
	c := candidate{change: change{edits: []edit.Edit{edit.AddOption{To: ref.use, Line: line}}}, fixes: []Fix{fix}}
	p.add(c)
}

// textOf is a line with its block, as a Caddyfile has it.
func textOf(line edit.Line, indent string) string {
	text := indent + strings.Join(line.Words, " ")
	if len(line.Block) == 0 {
		return text
	}
	text += " {\n"
	for _, inner := range line.Block {
		text += textOf(inner, indent+"\t") + "\n"
	}
	return text + indent + "}"
}

// override is to replace what CORS headers the backend sends.
func (p *proposer) override(handler policyRef) (candidate, bool) {
	fix := p.fixAt(handler, ActionReplace, "upstream override")
	fix.Replaces = "upstream preserve"
	if handler.use == nil {
		op := patchOp{Op: "replace", Path: handler.place + "/upstream", Value: "override"}
		return candidate{change: change{patch: []patchOp{op}}, fixes: []Fix{fix}, wide: true}, true
	}
	for _, line := range handler.use.Block {
		if line.Name() == "upstream" {
			fix.File, fix.At = lineOf(line)
			made := edit.ReplaceValue{In: line, Old: "preserve", New: []string{"override"}}
			return candidate{change: change{edits: []edit.Edit{made}}, fixes: []Fix{fix}, wide: true}, true
		}
	}
	return candidate{}, false
}

// overridden handles a response that has other headers than the cors handler's: header lines of the site have the last word.
func (p *proposer) overridden(handler policyRef) {
	before := len(p.candidates)
	p.headerLines(handler.use)
	if old := p.allowedByHand(p.attempt.cause.Origin); len(old) > 0 && handler.use != nil {
		for _, c := range slices.Clone(p.candidates[before:]) { // without taking it away from the pages that have it
			change, fix := p.addition(handler, policy.Line{Option: "allow_origins", Values: old})
			c.change, c.fixes = both(c.change, change), append(slices.Clone(c.fixes), fix)
			p.add(c)
		}
	}
	if len(p.candidates) == before && before == 0 {
		p.advise("Something changes what cors has set, such as a header directive with a deferred operation (-, > or ?), or a reverse_proxy in handle_errors without a cors beside it: remove its Access-Control-* lines. cors sets them all.")
	}
}

// headerLines proposes to remove lines that set or remove CORS headers: one of them, or all.
func (p *proposer) headerLines(near *edit.Use) {
	if p.conf.text == nil {
		p.headerOperations()
		return
	}
	var all candidate
	var each []candidate
	for _, use := range p.siteUses(near) {
		if use.Name() != "header" && use.Name() != "header_down" {
			continue
		}
		lines, whole := corsOperations(use)
		for _, line := range lines {
			removed := line
			if len(lines) == whole {
				removed = use
			}
			fix := Fix{Action: ActionRemove, Line: strings.Join(append([]string{removed.Name()}, removed.Args()...), " "), Block: blockSite, Site: p.site()}
			fix.File, fix.At = lineOf(removed)
			c := candidate{change: change{edits: []edit.Edit{edit.Remove{Use: removed}}}, fixes: []Fix{fix}, wide: true}
			if all.edits == nil || !slices.ContainsFunc(all.fixes, func(f Fix) bool { return f.File == fix.File && f.At == fix.At }) {
				all.change, all.fixes, all.wide = both(all.change, c.change), append(all.fixes, fix), true
				each = append(each, c)
			}
		}
	}
	for _, c := range each {
		p.add(c)
	}
	if len(each) > 1 {
		p.add(all)
	}
}

// corsOperations are the lines of a header directive that are about CORS headers, and how many lines it has.
func corsOperations(use *edit.Use) (lines []*edit.Use, whole int) {
	about := func(words []string) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			name := strings.ToLower(strings.TrimLeft(word, "+-?>"))
			return strings.HasPrefix(name, "access-control-") || name == "timing-allow-origin"
		})
	}
	if len(use.Block) == 0 {
		if about(use.Args()) {
			return []*edit.Use{use}, 1
		}
		return nil, 1
	}
	for _, line := range use.Block {
		if line.Name() == "defer" || line.Name() == "match" {
			continue
		}
		whole++
		if about([]string{line.Name()}) {
			lines = append(lines, line)
		}
	}
	return lines, whole
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

// headerOperations proposes the same of a JSON configuration.
func (p *proposer) headerOperations() {
	walk(object(p.conf.tree, "apps"), "/apps", func(place string, o map[string]any) {
		if o["handler"] != "headers" {
			return
		}
		response := object(o, "response")
		for _, operation := range []string{"set", "add", "replace"} {
			for _, name := range slices.Sorted(maps.Keys(object(response, operation))) {
				if !strings.HasPrefix(strings.ToLower(name), "access-control-") {
					continue
				}
				path := place + "/response/" + operation + "/" + pointerEscaper.Replace(name)
				fix := Fix{Action: ActionRemove, Line: name, Block: blockSite, Site: p.site()}
				p.add(candidate{change: change{patch: []patchOp{{Op: "remove", Path: path}}}, fixes: []Fix{fix}, wide: true})
			}
		}
	})
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
	p.insertions(nil, e, "*")
}

// hosts reports whether a request is for the host of a matcher, a site's address or the like.
func hosts(patterns []string, host string) bool {
	for _, pattern := range patterns {
		if matchesHost(pattern, host) {
			return true
		}
	}
	return false
}

func matchesHost(pattern, host string) bool {
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	if pattern == host || pattern == "" || pattern == "*" {
		return true
	}
	wanted, got := strings.Split(pattern, "."), strings.Split(host, ".")
	if len(wanted) != len(got) {
		return false
	}
	for i := range wanted {
		if wanted[i] != "*" && wanted[i] != got[i] && !strings.Contains(wanted[i], "{") {
			return false
		}
	}
	return true
}

// undecided handles a response that no cors handler has seen.
func (p *proposer) undecided(_ context.Context, cause *fetch.Cause, e *exchange) {
	if cause.Code != fetch.MissingAllowOrigin {
		p.headerLines(nil)
	}
	if p.conf.text != nil {
		for _, use := range p.siteUses(nil) {
			if use.Name() == "cors" && use.Kind == edit.KindLine && !p.isOption(use) {
				p.unseen(use, cause, e)
			}
		}
	}
	p.insertions(p.conf.text, e, cause.Origin)
}

// isOption reports whether a line is not a directive, but something in the block of one that has options.
func (p *proposer) isOption(use *edit.Use) bool {
	for outer := use.Parent; outer != nil && outer.Kind == edit.KindLine; outer = outer.Parent {
		if !slices.Contains(blocks, outer.Name()) {
			return true
		}
	}
	return use.Parent != nil && use.Parent.Kind == edit.KindGlobal
}

// blocks are the directives whose blocks have directives.
var blocks = []string{"handle", "handle_path", "handle_errors", "route", "handle_response"}

// An Unseen is a cors directive that did not see the request.
type Unseen struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
	Why  string `json:"why"`
}

// unseen proposes what would have a cors directive of the site see the request.
func (p *proposer) unseen(use *edit.Use, cause *fetch.Cause, e *exchange) {
	why := func(format string, args ...any) *Unseen {
		if p.conf != p.before && !p.wasThere(use) {
			return nil
		}
		u := &Unseen{Text: strings.Join(append([]string{"cors"}, use.Args()...), " "), Why: fmt.Sprintf(format, args...)}
		u.File, u.Line = lineOf(use)
		return u
	}
	fixOf := func(action string, at *edit.Use, line string) Fix {
		fix := Fix{Action: action, Line: line, Block: blockSite, Site: p.site()}
		fix.File, fix.At = lineOf(at)
		return fix
	}
	path := e.request.URL.Path

	// The matchers, its own and those of the blocks around it.
	for at := use; at != nil && at.Kind == edit.KindLine; at = at.Parent {
		word, definition := at.Matcher()
		if word.Text == "" {
			continue
		}
		if line := matcherLine(definition, "method"); line != nil && cause.At == fetch.AtPreflight {
			fix := fixOf(ActionWiden, line, "method OPTIONS")
			p.add(candidate{
				change: change{edits: []edit.Edit{edit.AddValues{To: line, Values: []string{http.MethodOptions}}}},
				fixes:  []Fix{fix}, wide: true,
				unseen: why("its matcher %s asks for a method, and preflights have the method OPTIONS", word.Text),
			})
		}
		if at == use {
			if names := besidesPath(definition); len(names) > 0 {
				for _, by := range byPathAlone(use, definition, path) {
					var words []string
					for _, arg := range use.Args() {
						if arg == word.Text {
							words = append(words, by...)
						} else {
							words = append(words, arg)
						}
					}
					fix := fixOf(ActionWiden, use, strings.Join(append([]string{"cors"}, words...), " "))
					fix.Replaces = word.Text
					p.add(candidate{
						change: change{edits: []edit.Edit{edit.ReplaceValue{In: use, Old: word.Text, New: by}}},
						fixes:  []Fix{fix}, wide: true,
						unseen: why("its matcher %s (%s) does not match %s %s", word.Text, strings.Join(names, ", "), e.request.Method, path),
					})
				}
			}
		}
		in, patterns := at, []string{word.Text}
		if definition != nil {
			if in = matcherLine(definition, "path"); in == nil {
				continue
			}
			patterns = in.Args()
			if in == definition {
				patterns = patterns[1:]
			}
		}
		for _, pattern := range patterns {
			for _, wider := range widened(pattern, path, prefixOf(at)) {
				fix := fixOf(ActionWiden, in, wider)
				fix.Replaces = pattern
				reason := fmt.Sprintf("its matcher %s does not match %s", pattern, path)
				if !strings.HasSuffix(pattern, "*") {
					reason = fmt.Sprintf("its matcher %s matches that path alone, and not %s", pattern, path)
				}
				if prefix := prefixOf(at); prefix != "" && strings.HasPrefix(path, prefix) {
					reason = fmt.Sprintf("its matcher is %s, and handle_path has taken %s off the path", pattern, prefix)
				}
				p.add(candidate{
					change: change{edits: []edit.Edit{edit.ReplaceValue{In: in, Old: pattern, New: []string{wider}}}},
					fixes:  []Fix{fix}, wide: true, unseen: why("%s", reason),
				})
			}
		}
	}

	if c, text, ok := p.usualOrder(); ok {
		c.unseen = why("the global option %q puts it after what answered (%s)", text, p.answerer(e))
		p.add(c)
	}

	// Its place.
	outer := use.Parent
	if outer == nil {
		return
	}
	move := func(into, before *edit.Use, reason string) {
		fix := fixOf(ActionMove, use, strings.Join(append([]string{"cors"}, use.Args()...), " "))
		p.add(candidate{
			change: change{edits: []edit.Edit{edit.Move{Use: use, Into: into, Before: before}}},
			fixes:  []Fix{fix}, wide: true, unseen: why("%s", reason),
		})
	}
	if outer.Name() == "route" && len(outer.Block) > 0 && outer.Block[0] != use {
		reason := fmt.Sprintf("a route runs its directives in the order in which they are written: %s answered before it", p.answerer(e))
		if name := rewriterBefore(use); name != "" {
			reason = fmt.Sprintf("a route runs its directives in the order in which they are written: after %s, its matcher does not match", name)
		}
		move(outer, outer.Block[0], reason)
	}
	if root := use.Root(); outer != root && root.Kind == edit.KindSite && !p.hasOther(root, use) && slices.Contains(allOrigins(use), cause.Origin) {
		into := container(root, e.request.URL.Hostname())
		if !contains(into, use) {
			return // it is another host's
		}
		block := strings.Join(append([]string{outer.Name()}, outer.Args()...), " ")
		if comesTo(outer, path) {
			move(into, nil, fmt.Sprintf("it is in the block of %s, and %s answered before the request got there", block, p.answerer(e)))
		} else {
			move(into, nil, fmt.Sprintf("it is in the block of %s, which the request does not reach", block))
		}
	}
}

// usualOrder is to remove the global option that puts cors in another place among the directives than its own; text is that
// option.
func (p *proposer) usualOrder() (c candidate, text string, ok bool) {
	global := p.conf.text.Global()
	if global == nil {
		return candidate{}, "", false
	}
	for _, line := range global.Block {
		if args := line.Args(); line.Name() == "order" && len(args) > 0 && args[0] == "cors" {
			text = strings.Join(append([]string{"order"}, args...), " ")
			fix := Fix{Action: ActionRemove, Line: text, Block: blockGlobal, Site: p.site()}
			fix.File, fix.At = lineOf(line)
			return candidate{change: change{edits: []edit.Edit{edit.Remove{Use: line}}}, fixes: []Fix{fix}, wide: true}, text, true
		}
	}
	return candidate{}, "", false
}

// rewriterBefore is the directive that stands before one with a matcher and changes what it matches; empty if there is none.
func rewriterBefore(use *edit.Use) string {
	if word, _ := use.Matcher(); word.Text == "" {
		return ""
	}
	for _, line := range use.Parent.Block {
		if line == use {
			break
		}
		if slices.Contains([]string{"rewrite", "uri", "method", "try_files"}, line.Name()) {
			return line.Name()
		}
	}
	return ""
}

// comesTo reports whether the matcher of a block could match a path.
func comesTo(block *edit.Use, path string) bool {
	word, definition := block.Matcher()
	patterns := []string{word.Text}
	if definition != nil {
		if len(besidesPath(definition)) > 0 {
			return false // else its cors would have seen the request
		}
		line := matcherLine(definition, "path")
		if line == nil {
			return true
		}
		patterns = line.Args()
		if line == definition {
			patterns = patterns[1:]
		}
	}
	return word.Text == "" || slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return pattern == path || wild && strings.HasPrefix(path, prefix)
	})
}

// contains reports whether a line stands in a block, at any depth.
func contains(block, use *edit.Use) bool {
	for ; use != nil; use = use.Parent {
		if use == block {
			return true
		}
	}
	return false
}

// wasThere reports whether a directive is in the configuration as it was before all edits.
func (p *proposer) wasThere(use *edit.Use) bool {
	for _, root := range slices.Concat(p.before.text.Sites(), p.before.text.NamedRoutes()) {
		for other := range root.All() {
			if other.Name() == use.Name() && slices.Equal(other.Args(), use.Args()) {
				return true
			}
		}
	}
	return false
}

// hasOther reports whether a site has another cors directive.
func (p *proposer) hasOther(root, use *edit.Use) bool {
	for other := range root.All() {
		if other != use && other.Name() == "cors" && other.Kind == edit.KindLine {
			return true
		}
	}
	return false
}

// answerer names the handler that has answered, for people.
func (p *proposer) answerer(e *exchange) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	place := e.answered
	if place == "" {
		place = e.failed.place
	}
	h := at(p.conf.tree, place)
	switch h["handler"] {
	case nil:
		return "nothing"
	case "static_response":
		if location := object(h, "headers")["Location"]; location != nil {
			return "redir"
		}
		return "respond"
	case "authentication":
		return "basic_auth"
	case "reverse_proxy":
		if asksByGet(h) {
			return "forward_auth"
		}
	}
	name, _ := h["handler"].(string)
	return name
}

// besidesPath names the matchers of a definition that are not by the path, nor by the method alone.
func besidesPath(definition *edit.Use) (names []string) {
	if definition == nil {
		return nil
	}
	lines := definition.Block
	if args := definition.Args(); len(args) > 0 {
		if strings.HasPrefix(definition.Words[1].Text, "`") || !matcherName.MatchString(args[0]) {
			return []string{"expression"} // whose name may be left out
		}
		names = append(names, args[0])
	}
	for _, line := range lines {
		names = append(names, line.Name())
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "path" || name == "method" })
}

// matcherName matches the name of a matcher module.
var matcherName = regexp.MustCompile(`^[a-z_]+$`)

// byPathAlone are what can stand in the place of a directive's matcher, so that it matches by the path alone, or everything.
func byPathAlone(use, definition *edit.Use, path string) (matchers [][]string) {
	if line := matcherLine(definition, "path"); line != nil && line != definition && len(line.Args()) == 1 {
		matchers = append(matchers, line.Args())
	} else if slices.Contains(besidesPath(definition), "expression") && prefixOf(use) == "" {
		matchers = append(matchers, []string{areaOf(path)})
	}
	return append(matchers, nil)
}

// matcherLine is the line of a matcher's definition that has the matcher of a name.
func matcherLine(definition *edit.Use, name string) *edit.Use {
	if definition == nil {
		return nil
	}
	if args := definition.Args(); len(args) > 0 && args[0] == name {
		return definition
	}
	for _, line := range definition.Block {
		if line.Name() == name {
			return line
		}
	}
	return nil
}

// prefixOf is what the handle_path blocks around a line take off the path.
func prefixOf(use *edit.Use) string {
	prefix := ""
	for outer := use.Parent; outer != nil; outer = outer.Parent {
		if word, _ := outer.Matcher(); outer.Name() == "handle_path" {
			prefix = strings.TrimSuffix(strings.TrimSuffix(word.Text, "*"), "/") + prefix
		}
	}
	return prefix
}

// widened are patterns in the place of one that does not match a path, though it is meant for it: by its first segment.
func widened(pattern, path, prefix string) []string {
	if !strings.HasPrefix(pattern, "/") {
		return nil
	}
	inside, cut := strings.CutPrefix(path, prefix)
	if prefix != "" && cut {
		if inside == "" {
			inside = "/"
		}
		if bare, ok := strings.CutPrefix(pattern, prefix); ok { // as if nothing was taken off
			if bare == "" {
				bare = "/*"
			}
			return []string{bare}
		}
		path = inside
	}
	base := strings.TrimSuffix(strings.TrimSuffix(pattern, "*"), "/")
	switch {
	case base == "":
		return []string{"/*"}
	case strings.HasPrefix(path, base):
		return []string{base + "*"}
	case strings.EqualFold(first(base), first(path)):
		return []string{first(base) + "/*"}
	}
	return nil
}

// first is the first segment of a path, with the slash before it.
func first(path string) string {
	segment, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return "/" + segment
}

// container is the block for a host in a site: that of a handle whose matcher is for it, in a site for many; else the site's.
func container(site *edit.Use, host string) *edit.Use {
	for _, line := range site.Block {
		if line.Name() != "handle" && line.Name() != "route" {
			continue
		}
		if _, definition := line.Matcher(); definition != nil {
			if names := matcherLine(definition, "host"); names != nil {
				patterns := names.Args()
				if names == definition {
					patterns = patterns[1:]
				}
				if hosts(patterns, host) {
					return container(line, host)
				}
			}
		}
	}
	return site
}

// insertions proposes a new cors directive: for all of the site, for the block that the request comes to, or for a path.
func (p *proposer) insertions(text *edit.Caddyfile, e *exchange, page string) {
	if p.conf.text == nil {
		p.newHandler(e, page)
		return
	}
	u := e.request.URL
	pages := [][]string{{page}}
	if old := p.allowedByHand(page); len(old) > 0 && page != "*" {
		if p.hasDeferred() {
			pages = [][]string{append([]string{page}, old...), {page}}
		} else {
			pages = append(pages, append([]string{page}, old...))
		}
	}
	needs := p.needed(e, page)
	byHand := p.listedByHand(needs)
	everyones := p.listedByHand(nil)
	for _, site := range sitesFor(p.conf.text, u, e.via) {
		into := container(site, u.Hostname())
		var inner []*edit.Use
		others := false
		for use := range into.All() {
			switch {
			case use == into || use.Kind != edit.KindLine:
			case use.Name() == "cors" && !p.isOption(use):
				others = true
			case slices.Contains([]string{"handle", "handle_path", "route"}, use.Name()) && len(use.Block) > 0 && len(inner) < 8:
				inner = append(inner, use)
			}
		}
		for _, origins := range pages {
			if !others {
				p.insertion(into, "", origins, needs)
				if byHand != nil {
					p.insertion(into, "", origins, byHand)
				}
				if slices.Contains(p.setByHand(), "*") && page != "*" {
					own := edit.Line{Words: []string{"policy", page}, Block: needs}
					p.insertion(into, "", []string{"*"}, []edit.Line{own})
					if everyones != nil {
						p.insertion(into, "", []string{"*"}, append(slices.Clone(everyones), own))
					}
				}
			}
			for _, block := range inner {
				if !containsCors(block) {
					p.insertion(block, "", origins, needs)
				}
			}
			p.insertion(into, areaOf(u.Path), origins, needs)
		}
		preserve := append([]edit.Line{{Words: []string{"upstream", "preserve"}}}, needs...)
		if !others {
			p.insertion(into, "", pages[0], preserve)
		}
		p.insertion(into, areaOf(u.Path), pages[0], preserve)
	}
}

func containsCors(block *edit.Use) bool {
	for use := range block.All() {
		if use.Name() == "cors" {
			return true
		}
	}
	return false
}

// areaOf is a pattern for a path and those beside it.
func areaOf(path string) string {
	segment := first(path)
	switch {
	case segment == "/":
		return "/"
	case strings.Count(path, "/") > 1:
		return segment + "/*"
	}
	return segment + "*"
}

func (p *proposer) insertion(into *edit.Use, matcher string, origins []string, block []edit.Line) {
	words := []string{"cors"}
	if matcher != "" {
		words = append(words, matcher)
	}
	line := edit.Line{Words: append(words, origins...), Block: block}
	fix := Fix{Action: ActionInsert, Line: textOf(line, ""), Block: blockSite, Site: p.site()}
	fix.File, fix.At = lineOf(into)
	c := candidate{
		change: change{edits: []edit.Edit{edit.Insert{Into: into, Line: line}}},
		fixes:  []Fix{fix}, wide: true,
	}
	p.add(c)
	if usual, text, ok := p.usualOrder(); ok { // which may put it after what answers
		c.change, c.fixes = both(c.change, usual.change), append(slices.Clone(c.fixes), usual.fixes...)
		c.advice = append(c.advice, fmt.Sprintf("The global option %q has cors run later than it does by itself, which is before everything that answers.", text))
		p.add(c)
	}
}

// needed are the lines that the call needs of a new directive, as far as its last preflight tells.
func (p *proposer) needed(e *exchange, page string) []edit.Line {
	var lines []edit.Line
	compiled, _, _ := policy.Compile(policy.Options{Name: policy.DefaultName, AllowOrigins: []string{page}})
	if compiled == nil {
		return nil
	}
	if asked := policy.NewRequest(e.request.Method, e.request.Host, e.request.Header); asked.IsPreflight() {
		if d := policy.NewPolicies(compiled).Decide(&asked); d.Outcome == policy.Denied {
			for _, line := range policy.FixFor(&asked, &d).Lines {
				lines = append(lines, edit.Line{Words: append([]string{line.Option}, line.Values...)})
			}
		}
	}
	if o, ok := origin.Parse(page); ok && p.check.request.Credentials && (o.Scheme() != "http" || o.Loopback()) {
		lines = append(lines, edit.Line{Words: []string{"allow_credentials"}})
	}
	return lines
}

// listedByHand are those lines with what header lines of the site list, so that it is not taken away; nil if they list nothing
// more.
func (p *proposer) listedByHand(needs []edit.Line) []edit.Line {
	lines := slices.Clone(needs)
	more := false
	for _, of := range []struct{ field, option string }{
		{"Access-Control-Allow-Methods", "allow_methods"}, {"Access-Control-Allow-Headers", "allow_headers"},
	} {
		at := slices.IndexFunc(lines, func(line edit.Line) bool { return line.Words[0] == of.option })
		words := []string{of.option}
		if at >= 0 {
			words = slices.Clone(lines[at].Words)
		}
		before := len(words)
		for _, value := range p.valuesByHand(of.field) {
			for _, name := range tokens(value) {
				safe := of.option == "allow_methods" && slices.Contains([]string{"GET", "HEAD", "POST", "OPTIONS"}, strings.ToUpper(name))
				if !safe && !strings.Contains(name, "{") && !listsName(words[1:], name) {
					words = append(words, name)
				}
			}
		}
		if len(words) == before {
			continue
		}
		more = true
		if at >= 0 {
			lines[at] = edit.Line{Words: words}
		} else {
			lines = append(lines, edit.Line{Words: words})
		}
	}
	if !more {
		return nil
	}
	return lines
}

// setByHand are the values that header lines of the site set Access-Control-Allow-Origin to.
func (p *proposer) setByHand() []string { return p.valuesByHand("Access-Control-Allow-Origin") }

func (p *proposer) valuesByHand(field string) []string {
	var values []string
	for _, use := range p.siteUses(nil) {
		words := append([]string{use.Name()}, use.Args()...)
		for i, word := range words[:len(words)-1] {
			if strings.EqualFold(strings.TrimLeft(word, "+?>"), field) {
				values = append(values, words[i+1])
			}
		}
	}
	return values
}

// allowedByHand are the origins that header lines of the site allow, but for those that differ from the page's in the scheme,
// the port or the writing alone: these are the page's, written wrong.
func (p *proposer) allowedByHand(page string) []string {
	var origins []string
	for _, value := range p.setByHand() {
		a, ok := origin.Parse(value)
		if ok && value != page && hostOf(value) != hostOf(page) && (!p.check.request.Credentials || a.Scheme() == "https") && !slices.Contains(origins, value) {
			origins = append(origins, value)
		}
	}
	return origins
}

func hostOf(page string) string {
	u, err := url.Parse(page)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// hasDeferred reports whether a header line about CORS has the last word.
func (p *proposer) hasDeferred() bool {
	return slices.ContainsFunc(p.siteUses(nil), func(use *edit.Use) bool {
		for _, word := range append([]string{use.Name()}, use.Args()...) {
			if name := strings.ToLower(word); strings.HasPrefix(name, ">access-control-") || strings.HasPrefix(name, "?access-control-") {
				return true
			}
		}
		return false
	})
}

// newHandler proposes the same for a JSON configuration.
func (p *proposer) newHandler(e *exchange, page string) {
	server := object(object(object(object(p.conf.tree, "apps"), "http"), "servers"), e.server)
	if server == nil {
		p.advise("The server that answers here is not one of the configuration's own: give %s a site with cors.", e.request.URL.Host)
		return
	}
	route := map[string]any{
		"match":  []any{map[string]any{"host": []string{e.request.URL.Hostname()}}},
		"handle": []any{map[string]any{"handler": "cors", "allow_origins": []string{page}}},
	}
	op := patchOp{Op: "add", Path: "/apps/http/servers/" + pointerEscaper.Replace(e.server) + "/routes/0", Value: route}
	if server["routes"] == nil {
		op.Path, op.Value = strings.TrimSuffix(op.Path, "/0"), []any{route}
	}
	fix := Fix{Action: ActionInsert, Line: "cors " + page, Block: blockSite, Site: p.site()}
	p.add(candidate{change: change{patch: []patchOp{op}}, fixes: []Fix{fix}, wide: true})
	narrow := clone(map[string]any{"route": route})["route"].(map[string]any)
	array(narrow, "match")[0].(map[string]any)["path"] = []any{areaOf(e.request.URL.Path)}
	op.Value = narrow
	if server["routes"] == nil {
		op.Value = []any{narrow}
	}
	fix.Line = "cors " + areaOf(e.request.URL.Path) + " " + page
	p.add(candidate{change: change{patch: []patchOp{op}}, fixes: []Fix{fix}, wide: true})
}
