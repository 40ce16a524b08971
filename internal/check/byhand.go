package check

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

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
