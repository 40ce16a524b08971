package check

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// undecided handles a response that no cors handler has seen.
func (p *proposer) undecided(cause *fetch.Cause, e *exchange) {
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
	p.insertions(e, cause.Origin)
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
