package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

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
func (p *proposer) insertions(e *exchange, page string) {
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
