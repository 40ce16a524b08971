package caddycors

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/placement"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// unset returns a problem for each placeholder of the origin with this index that nothing can ever set.
func unset(known placement.Placeholders, text string, index int) (problems []policy.Problem) {
	for _, message := range known.Unset(text) {
		problems = append(problems, policy.Problem{Option: "allow_origins", Index: index, Message: message})
	}
	return problems
}

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
	whole     bool // all that can set a placeholder for the site stands in it
}

// siteOf takes the directive whose tokens the helper has, and leaves them unread.
func siteOf(helper httpcaddyfile.Helper) siting {
	helper.Next()
	s := siting{directive: placement.Directive{File: helper.File(), Line: helper.Line(), Args: helper.RemainingArgs()}}
	helper.Reset()
	var known bool
	if s.around, known = placement.Around(helper, s.directive); known {
		s.whole = !s.around.Invokes && !helper.IsNamedRoute()
	}
	return s
}

// note is what the place tells, for when the handler is provisioned.
func (s siting) note() placement.Note {
	return placement.Note{At: fmt.Sprintf("%s:%d", s.directive.File, s.directive.Line), LastWords: s.around.LastWords}
}

// check returns what is wrong with a cors at its place, with that place.
func (s siting) check(h *Handler, matcher caddy.ModuleMap, at caddyfile.Token) []problemAt {
	p := parser{}
	if other := s.around.Hiding; other != nil {
		p.failf(at, "this cors never decides: the one at %s:%d comes before it and takes all of its requests; write the origins of both into one (%s), or, where they may do different things, into policy blocks of one",
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

// provisionPlace returns what is wrong with the handler at its place in the routes, and warns of what has the last word
// over it.
func (h *Handler) provisionPlace(ctx caddy.Context, asJSON json.RawMessage) (problems []error) {
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
	written, adapted := placement.TakeNote(asJSON, len(found[0].LastWords), time.Now())
	for _, place := range found {
		if adapted {
			place.At = written.At + " (" + place.At + ")"
		}
		if place.Hidden != "" {
			problems = append(problems, fmt.Errorf(`%s: this cors never decides: the one at %s comes before it and takes all of its requests; write the origins of both into "allow_origins" of one, or, where they may do different things, into "policies" of one`, place.At, place.Hidden))
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

// warnOfPlace warns of what overrides a cors, and of a matcher that caches mind.
func warnOfPlace(ctx caddy.Context, place placement.Found, written placement.Note) {
	words := place.LastWords
	if len(words) > 0 && len(written.LastWords) > 0 {
		words = written.LastWords // the same, with their lines
	}
	for _, word := range words {
		ctx.Logger().Warn(fmt.Sprintf("the header operation %s at %s is deferred, so it overrides what cors sends, for every website: remove that line", word.Operation, word.At),
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
	var known placement.Placeholders
	for i, options := range h.all() {
		for j, text := range options.AllowOrigins {
			if !policy.HasPlaceholder(text) {
				continue
			}
			if !known.Whole {
				known = placement.Placeholders{Maps: placement.MapDestinations(server), Whole: true}
			}
			for _, problem := range unset(known, text, j) {
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
