package placement

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/spelling"
)

// Placeholders are those that can be set.
type Placeholders struct {
	Maps  []string // by map handlers, without their braces
	Whole bool     // these are all that there are
}

// namespaces are the first parts of the placeholders that Caddy itself knows while it handles a request, and inHTTP the
// second ones of those that begin with http.
var (
	namespaces = []string{"env", "file", "http", "system", "time"}
	inHTTP     = []string{"auth", "error", "intercept", "matchers", "regexp", "request", "response", "reverse_proxy", "vars"}
)

// Unset returns what is wrong with each placeholder of an origin that nothing can ever set. Modules of third parties may set
// what they like; where there are some, only names that are nearly Caddy's own are refused.
func (p Placeholders) Unset(origin string) (problems []string) {
	if strings.Contains(origin, `\`) {
		return nil // which is refused, and hides where they begin and end
	}
	for _, braced := range policy.Placeholders(origin) {
		if why := p.unset(braced); why != "" {
			problems = append(problems, fmt.Sprintf("nothing ever sets %s: %s", braced, why))
		}
	}
	return problems
}

func (p Placeholders) unset(braced string) string {
	name := strings.Trim(braced, "{}")
	first, rest, dotted := strings.Cut(name, ".")
	switch {
	case slices.Contains(p.Maps, name):
		return ""
	case strings.HasPrefix(name, "args[") || first == "args" || name == "block" || first == "blocks":
		return "it is filled by the import of a snippet: give the import its arguments, as in: import cors https://app.example.com"
	case first == "http" && dotted:
		second, _, _ := strings.Cut(rest, ".")
		if slices.Contains(inHTTP, second) {
			return ""
		}
		if near := spelling.Nearest(second, inHTTP); near != "" {
			return fmt.Sprintf("did you mean %q?", strings.Replace(braced, "http."+second, "http."+near, 1))
		}
		return ""
	case dotted && slices.Contains(namespaces, first):
		return ""
	case dotted:
		if near := nearNamespace(first); near != "" {
			return fmt.Sprintf("did you mean %q?", "{"+near+"."+rest+"}")
		}
		if p.Whole && !thirdParties() {
			return "the placeholders of Caddy begin with " + strings.Join(namespaces, "., ") + "."
		}
		return ""
	}
	if shorthand := expanded(braced); shorthand != braced {
		return fmt.Sprintf("only a Caddyfile knows it; write %q", shorthand)
	}
	if near := spelling.Nearest(name, p.Maps); near != "" {
		return fmt.Sprintf("did you mean %q?", "{"+near+"}")
	}
	if p.Whole && !thirdParties() {
		return "no map of this server does; for a variable of the environment, write {env.NAME}; for one that vars has set, {http.vars.NAME}"
	}
	return ""
}

// nearNamespace returns the namespace that was meant by another, if it is nearly that.
func nearNamespace(word string) string {
	for _, name := range namespaces {
		if strings.EqualFold(word, name) || spelling.Distance(strings.ToLower(word), name) <= 1 || spelling.SameLetters(strings.ToLower(word), name) {
			return name
		}
	}
	return ""
}

// expanded returns what a placeholder of Caddyfiles is short for.
func expanded(braced string) string {
	segment := caddyfile.Segment{{Text: braced}}
	httpcaddyfile.NewShorthandReplacer().ApplyToSegment(&segment)
	return segment[0].Text
}

// thirdParties reports whether this Caddy has handlers or matchers of others, which may set placeholders.
var thirdParties = sync.OnceValue(func() bool {
	for _, namespace := range []string{"http.handlers", "http.matchers", "http.authentication.providers", "http.ip_sources"} {
		for _, info := range caddy.GetModules(namespace) {
			if !isOwn(info) {
				return true
			}
		}
	}
	return false
})

// isOwn reports whether a module is of Caddy's own repository or of this one.
func isOwn(info caddy.ModuleInfo) bool {
	module := reflect.TypeOf(info.New())
	for module.Kind() == reflect.Pointer {
		module = module.Elem()
	}
	path := module.PkgPath()
	return strings.HasPrefix(path, "github.com/caddyserver/caddy/v2") || strings.HasPrefix(path, "github.com/caddy-cors/caddy-cors")
}
