package caddycors

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/placement"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// need is what the handler needs of the requests that get to it.
func (h *Handler) need() placement.Need {
	var need placement.Need
	for _, options := range h.all() {
		need.Preflights = need.Preflights || len(options.AllowMethods)+len(options.AllowHeaders) > 0 || options.AllowPrivateNetwork
		need.Headers = append(need.Headers, options.AllowHeaders...)
	}
	return need
}

// A siting is the place of a directive in a Caddyfile.
type siting struct {
	directive placement.Directive
	around    placement.Neighborhood
	known     bool
	whole     bool // all that can set a placeholder for the site stands in it
}

// siteOf takes the directive whose tokens the helper has, and leaves them unread.
func siteOf(helper httpcaddyfile.Helper) siting {
	helper.Next()
	s := siting{directive: placement.Directive{File: helper.File(), Line: helper.Line(), Args: helper.RemainingArgs()}}
	helper.Reset()
	var site placement.Block
	if site, s.known = placement.Site(helper); s.known {
		s.around = placement.Around(site, s.directive)
		s.whole = !s.around.Invokes && !helper.IsNamedRoute()
	}
	return s
}

// check returns what is wrong with a cors at its place, with that place.
func (s siting) check(h *Handler, matcher caddy.ModuleMap, at caddyfile.Token) []problemAt {
	p := parser{}
	if other := s.around.Hiding; other != nil {
		p.failf(at, "this cors never decides: the one at %s:%d goes before it and takes all of its requests; write the origins of both into one (%s), or, where they may do different things, into policy blocks of one",
			other.File, other.Line, strings.Join(append([]string{"cors"}, bothOrigins(*other, s.directive)...), " "))
	}
	if s.around.Others {
		return p.problems
	}
	if matcher != nil {
		if gap, ok := placement.GapOf([]caddy.ModuleMap{matcher}, h.need()); ok {
			p.failf(at, "cors %s: %s", s.directive.Matcher(), gap)
		}
	}
	return p.problems
}

// bothOrigins returns the arguments of two directives, those of the matchers first.
func bothOrigins(one, other placement.Directive) []string {
	args := slices.Clone(one.Args)
	for _, arg := range other.Args {
		if !slices.Contains(args, arg) {
			args = append(args, arg)
		}
	}
	return args
}

// A note is what a Caddyfile tells of a cors, and its JSON does not.
type note struct {
	at        string // its file and line
	lastWords []placement.LastWord
	expires   time.Time
}

// notes are those of the directives that were adapted, by the JSON of their handlers, which is loaded next as a rule. Each
// is for one load, and for a minute: JSON that comes later, and is the same, may be from elsewhere.
var notes = struct {
	sync.Mutex
	byJSON map[string][]note
}{byJSON: make(map[string][]note)}

const (
	noteLifetime = time.Minute
	maxNotes     = 10_000 // handlers that notes are kept of
)

// note notes where the handler stands.
func (s siting) note(h *Handler, now time.Time) {
	raw, err := json.Marshal(h)
	if err != nil {
		return
	}
	notes.Lock()
	defer notes.Unlock()
	if len(notes.byJSON) >= maxNotes {
		clear(notes.byJSON)
	}
	list := slices.DeleteFunc(notes.byJSON[string(raw)], func(n note) bool { return now.After(n.expires) })
	at := fmt.Sprintf("%s:%d", s.directive.File, s.directive.Line)
	notes.byJSON[string(raw)] = append(list, note{at, s.around.LastWords, now.Add(noteLifetime)})
}

// takeNote returns the note of a handler, if this process has just adapted it: the newest, and of several handlers that are
// equal one that has as many operations with the last word.
func takeNote(h *Handler, lastWords int, now time.Time) (note, bool) {
	raw, _ := json.Marshal(h)
	notes.Lock()
	defer notes.Unlock()
	list := slices.DeleteFunc(notes.byJSON[string(raw)], func(n note) bool { return now.After(n.expires) })
	delete(notes.byJSON, string(raw))
	if len(list) == 0 {
		return note{}, false
	}
	taken := len(list) - 1
	for i, n := range slices.Backward(list) {
		if len(n.lastWords) == lastWords {
			taken = i
			break
		}
	}
	n := list[taken]
	if list = slices.Delete(list, taken, taken+1); len(list) > 0 {
		notes.byJSON[string(raw)] = list
	}
	return n, true
}

// provisionPlace returns what is wrong with the handler at its place in the routes, and warns of what has the last word
// over it.
func (h *Handler) provisionPlace(ctx caddy.Context) (problems []error) {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	raw := h.raw
	h.raw = nil
	if !ok || raw == nil {
		return nil
	}
	found := placement.Find(server, raw)
	if len(found) == 0 {
		return h.checkPlaceholders(server)
	}
	written, adapted := takeNote(h, len(found[0].LastWords), time.Now())
	for _, place := range found {
		if adapted {
			place.At = written.at + " (" + place.At + ")"
		}
		if place.Hidden != "" {
			problems = append(problems, fmt.Errorf(`%s: this cors never decides: the one at %s goes before it and takes all of its requests; write the origins of both into "allow_origins" of one, or, where they may do different things, into "policies" of one`, place.At, place.Hidden))
		}
		for _, matchers := range place.Matchers {
			if gap, ok := placement.GapOf(matchers.Sets, h.need()); ok && !place.Others && !place.Errors {
				problems = append(problems, fmt.Errorf("%s: cors in the route %s: %s", place.At, matchers.At, gap))
			}
		}
	}
	if len(problems) == 0 {
		warnOfPlace(ctx, found[0], written)
	}
	return append(problems, h.checkPlaceholders(server)...)
}

// warnOfPlace warns of what has the last word over a cors, and of a matcher that caches mind.
func warnOfPlace(ctx caddy.Context, place placement.Found, written note) {
	words := place.LastWords
	if len(words) > 0 && len(written.lastWords) > 0 {
		words = written.lastWords // the same, with their lines
	}
	for _, word := range words {
		ctx.Logger().Warn(fmt.Sprintf("the header operation %s at %s is deferred, and so has the last word over cors, whose answer it changes for every website: remove that line", word.Operation, word.At),
			zap.String("header", word.Operation), zap.String("at", word.At))
	}
	for _, matchers := range place.Matchers {
		if placement.ByOrigin(matchers.Sets) {
			ctx.Logger().Warn("the matcher of this cors is for the Origin of requests; responses to others get no Vary, so a cache may serve them to the pages of these origins, without the headers that these need: remove the matcher, which cors does not need to tell origins apart",
				zap.String("at", matchers.At))
		}
	}
}

// checkPlaceholders returns what is wrong with placeholders that nothing can set.
func (h *Handler) checkPlaceholders(server *caddyhttp.Server) (problems []error) {
	var known placeholders
	for i, options := range h.all() {
		for j, text := range options.AllowOrigins {
			if !policy.HasPlaceholder(text) {
				continue
			}
			if !known.whole {
				known = placeholders{placement.MapDestinations(server), true}
			}
			for _, problem := range known.check(text, j) {
				var err error = problem
				if i < len(h.Policies) {
					err = fmt.Errorf("policy %q: %w", h.policyName(i), err)
				}
				problems = append(problems, err)
			}
		}
	}
	return problems
}

// placeholders are those that can be set.
type placeholders struct {
	maps  []string // by map handlers, without their braces
	whole bool     // these are all that there are
}

// namespaces are the first parts of the placeholders that Caddy itself knows while it handles a request, and inHTTP the
// second ones of those that begin with http.
var (
	namespaces = []string{"env", "file", "http", "system", "time"}
	inHTTP     = []string{"auth", "error", "intercept", "matchers", "regexp", "request", "response", "reverse_proxy", "vars"}
)

// check returns a problem for each placeholder of the origin with this index that nothing can ever set. Modules of third
// parties may set what they like; where there are some, only names that are nearly Caddy's own are refused.
func (p placeholders) check(text string, index int) []policy.Problem {
	if strings.Contains(text, `\`) {
		return nil // which is refused, and hides where they begin and end
	}
	var problems []policy.Problem
	for _, braced := range policy.Placeholders(text) {
		if why := p.unset(braced); why != "" {
			problems = append(problems, policy.Problem{Option: "allow_origins", Index: index, Message: fmt.Sprintf("nothing ever sets %s: %s", braced, why)})
		}
	}
	return problems
}

func (p placeholders) unset(braced string) string {
	name := strings.Trim(braced, "{}")
	first, rest, dotted := strings.Cut(name, ".")
	switch {
	case slices.Contains(p.maps, name):
		return ""
	case strings.HasPrefix(name, "args[") || first == "args" || name == "block" || first == "blocks":
		return "it is filled by the import of a snippet: give the import its arguments, as in: import cors https://app.example.com"
	case first == "http" && dotted:
		second, _, _ := strings.Cut(rest, ".")
		if slices.Contains(inHTTP, second) {
			return ""
		}
		if near := nearest(second, inHTTP); near != "" {
			return fmt.Sprintf("did you mean %q?", strings.Replace(braced, "http."+second, "http."+near, 1))
		}
		return ""
	case dotted && slices.Contains(namespaces, first):
		return ""
	case dotted:
		if near := nearNamespace(first); near != "" {
			return fmt.Sprintf("did you mean %q?", "{"+near+"."+rest+"}")
		}
		if p.whole && !thirdParties() {
			return "the placeholders of Caddy begin with " + strings.Join(namespaces, "., ") + "."
		}
		return ""
	}
	if shorthand := expanded(braced); shorthand != braced {
		return fmt.Sprintf("only a Caddyfile knows it; write %q", shorthand)
	}
	if near := nearest(name, p.maps); near != "" {
		return fmt.Sprintf("did you mean %q?", "{"+near+"}")
	}
	if p.whole && !thirdParties() {
		return "no map of this server does; for a variable of the environment, write {env.NAME}; for one that vars has set, {http.vars.NAME}"
	}
	return ""
}

// nearNamespace returns the namespace that was meant by another, if it is nearly that.
func nearNamespace(word string) string {
	for _, name := range namespaces {
		if strings.EqualFold(word, name) || editDistance(strings.ToLower(word), name) <= 1 || sameLetters(strings.ToLower(word), name) {
			return name
		}
	}
	return ""
}

// sameLetters reports whether two words have the same letters, in another order.
func sameLetters(a, b string) bool {
	one, other := []byte(a), []byte(b)
	slices.Sort(one)
	slices.Sort(other)
	return string(one) == string(other)
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
