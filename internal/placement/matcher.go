// Package placement tells what a cors directive cannot see by itself: which requests get to it, and what stands beside it
// in the configuration.
package placement

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A Need is what a cors needs of the requests that get to it.
type Need struct {
	// Preflights are needed for methods, headers and private networks to be allowed.
	Preflights bool

	// Headers are those that scripts may set. A preflight asks for them by name, and never has them.
	Headers []string
}

// A Gap says which requests that a cors needs do not get to it, because of a matcher.
type Gap struct {
	// Method is set if the matcher is for these methods, OPTIONS not among them.
	Methods []string

	// Header is set if the matcher is for requests with a header that no preflight has.
	Header string

	// PreflightsOnly is set if the matcher lets nothing through but preflights.
	PreflightsOnly bool
}

// String says what is wrong, and what to write instead.
func (g Gap) String() string {
	switch {
	case g.PreflightsOnly:
		return "its matcher lets preflights through alone, and the responses to the calls themselves need their headers as well: match by path, or remove the matcher; for a backend that sends those itself, add upstream preserve"
	case g.Header != "":
		return fmt.Sprintf("its matcher wants %s, which no preflight has, and without its preflight a call that needs one is blocked: match by path, or remove the matcher", g.Header)
	}
	return fmt.Sprintf("its matcher leaves out OPTIONS, the method of preflights, and without its preflight a call that needs one is blocked: add OPTIONS to %s, or match by path",
		strings.Join(g.Methods, ", "))
}

// GapOf returns what the matcher sets, of which a request has to match one, keep from a cors. Each set has the matchers by
// their names, in JSON. It reports false if nothing is missing, or nobody can tell.
func GapOf(sets []caddy.ModuleMap, need Need) (Gap, bool) {
	if len(sets) == 0 || !need.Preflights {
		return Gap{}, false
	}
	var gap Gap
	for _, set := range sets {
		missing, ok := noPreflight(set, need.Headers)
		if !ok {
			return Gap{PreflightsOnly: true}, !slices.ContainsFunc(sets, func(set caddy.ModuleMap) bool { return !preflightsOnly(set) })
		}
		gap = missing
	}
	return gap, true
}

// noPreflight reports whether no preflight matches the set, whatever else is in it.
func noPreflight(set caddy.ModuleMap, headers []string) (Gap, bool) {
	if methods, ok := decode[caddyhttp.MatchMethod](set, "method"); ok && !containsFold(methods, http.MethodOptions) {
		return Gap{Methods: methods}, true
	}
	if fields, ok := decode[http.Header](set, "header"); ok {
		for name, values := range fields {
			if values != nil && (containsFold(neverInPreflights, name) || containsFold(headers, name)) {
				return Gap{Header: http.CanonicalHeaderKey(name)}, true
			}
		}
	}
	if fields, ok := decode[map[string]json.RawMessage](set, "header_regexp"); ok {
		for name := range fields {
			if containsFold(neverInPreflights, name) || containsFold(headers, name) {
				return Gap{Header: http.CanonicalHeaderKey(name)}, true
			}
		}
	}
	if nots, ok := decode[[]caddy.ModuleMap](set, "not"); ok {
		for _, not := range nots {
			methods, ok := decode[caddyhttp.MatchMethod](not, "method")
			if ok && len(not) == 1 && containsFold(methods, http.MethodOptions) {
				return Gap{Methods: []string{"the others"}}, true
			}
		}
	}
	return Gap{}, false
}

// neverInPreflights are headers of requests that browsers send no preflight with, whoever the script is: those of
// credentials and of a body, those of a range, and what begins a WebSocket.
var neverInPreflights = []string{
	"Authorization", "Cookie", "Content-Type", "Content-Length", "Content-Encoding", "Range", "Upgrade", "Sec-WebSocket-Key",
}

// preflightsOnly reports whether only preflights match the set.
func preflightsOnly(set caddy.ModuleMap) bool {
	if methods, ok := decode[caddyhttp.MatchMethod](set, "method"); ok {
		if !slices.ContainsFunc(methods, func(method string) bool { return !strings.EqualFold(method, http.MethodOptions) }) {
			return true
		}
	}
	fields, _ := decode[http.Header](set, "header")
	for name, values := range fields {
		if values != nil && strings.EqualFold(name, "Access-Control-Request-Method") {
			return true
		}
	}
	return false
}

// ByOrigin reports whether the sets have a matcher for the Origin of the request: what does not match gets no Vary.
func ByOrigin(sets []caddy.ModuleMap) bool {
	for _, set := range sets {
		fields, _ := decode[http.Header](set, "header")
		expressions, _ := decode[map[string]json.RawMessage](set, "header_regexp")
		for name := range fields {
			if strings.EqualFold(name, "Origin") {
				return true
			}
		}
		for name := range expressions {
			if strings.EqualFold(name, "Origin") {
				return true
			}
		}
	}
	return false
}

// decode returns a matcher of the set.
func decode[M any](set caddy.ModuleMap, name string) (M, bool) {
	var matcher M
	raw, ok := set[name]
	return matcher, ok && json.Unmarshal(raw, &matcher) == nil
}

func containsFold(list []string, name string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}
