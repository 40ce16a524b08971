package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

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

// line proposes a line for a policy.
func (p *proposer) line(ref policyRef, line policy.Line) {
	change, fix := p.addition(ref, line)
	p.add(candidate{change: change, fixes: []Fix{fix}})
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
