package placement

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	caddymap "github.com/caddyserver/caddy/v2/modules/caddyhttp/map"
	"golang.org/x/net/http/httpguts"
)

// inBraces matches a placeholder.
var inBraces = regexp.MustCompile(`\{([^{}]+)\}`)

// RequestFields returns the names of the request header fields that texts with placeholders depend on: those that they
// name, and those that decide what the map and vars handlers of the server, or the expressions of its matchers, put into
// their placeholders. The server may be nil, and may still be loading.
func RequestFields(server *caddyhttp.Server, texts []string) []string {
	var fields []string
	var sources sourcesOf
	seen := make(map[string]bool)
	var follow func(text string)
	follow = func(text string) {
		for _, match := range inBraces.FindAllStringSubmatch(text, -1) {
			name := match[1]
			if seen[name] {
				continue
			}
			seen[name] = true
			field, isHeader := strings.CutPrefix(name, "http.request.header.")
			if strings.HasPrefix(name, "http.request.cookie.") {
				field, isHeader = "Cookie", true
			}
			if isHeader {
				if field = http.CanonicalHeaderKey(field); httpguts.ValidHeaderFieldName(field) && !slices.Contains(fields, field) {
					fields = append(fields, field)
				}
				continue
			}
			if sources == nil {
				sources = sourcesIn(server)
			}
			if strings.HasPrefix(name, regexpPlaceholders) {
				name = regexpPlaceholders
			}
			for _, source := range sources[name] {
				follow(source)
			}
		}
	}
	for _, text := range texts {
		follow(text)
	}
	return fields
}

// regexpPlaceholders begin the placeholders of what the expressions of matchers have found.
const regexpPlaceholders = "http.regexp."

// sourcesOf has for each placeholder that a server sets the texts that its value comes from: also those of the matchers
// around what sets it.
type sourcesOf map[string][]string

func newSources(server *caddyhttp.Server) sourcesOf {
	s := make(sourcesOf)
	s.handlers(routesAsJSON(server.Routes), nil)
	if server.Errors != nil {
		s.handlers(routesAsJSON(server.Errors.Routes), nil)
	}
	for _, named := range server.NamedRoutes {
		s.handlers(routesAsJSON(caddyhttp.RouteList{*named}), nil)
	}
	return s
}

func (s sourcesOf) add(name string, texts ...string) { s[name] = append(s[name], texts...) }

// handlers looks for what sets placeholders in routes, and wherever else in their handlers there are some.
func (s sourcesOf) handlers(v any, around []string) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			s.handlers(element, around)
		}
	case map[string]any:
		if match, ok := v["match"]; ok {
			around = slices.Concat(around, s.matchers(match))
		}
		switch v["handler"] {
		case "map":
			destinations, _ := v["destinations"].([]any)
			for _, destination := range destinations {
				name := strings.Trim(fmt.Sprint(destination), "{}")
				s.add(name, fmt.Sprint(v["source"], v["mappings"], v["defaults"]))
				s.add(name, around...)
			}
		case "vars":
			for name, value := range v {
				s.add("http.vars."+name, fmt.Sprint(value))
				s.add("http.vars."+name, around...)
			}
		}
		for _, field := range v {
			s.handlers(field, around)
		}
	}
}

// matchers returns what the matchers of a route look at.
func (s sourcesOf) matchers(v any) (texts []string) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			texts = append(texts, s.matchers(element)...)
		}
	case map[string]any:
		for name, matcher := range v {
			var found []string
			switch name {
			case "header", "header_regexp":
				for field := range objectOf(matcher) {
					found = append(found, "{http.request.header."+field+"}")
				}
			case "vars", "vars_regexp":
				for key := range objectOf(matcher) {
					if !strings.HasPrefix(key, "{") {
						key = "{http.vars." + key + "}"
					}
					found = append(found, key)
				}
			case "expression":
				found = []string{fmt.Sprint(matcher)}
			case "not":
				found = s.matchers(matcher)
			}
			if strings.HasSuffix(name, "_regexp") {
				s.add(regexpPlaceholders, found...)
			}
			texts = append(texts, found...)
		}
	}
	return texts
}

func objectOf(v any) map[string]any {
	object, _ := v.(map[string]any)
	return object
}

// routesAsJSON returns routes as their JSON is decoded, as far as it matters, whether they are loaded or not yet.
func routesAsJSON(routes caddyhttp.RouteList) any {
	list := []any{}
	for _, r := range routes {
		var matchers, handlers []any
		for _, set := range r.MatcherSetsRaw {
			matchers = append(matchers, decoded(set))
		}
		for _, set := range r.MatcherSets {
			matchers = append(matchers, matchersAsJSON(set))
		}
		for _, raw := range r.HandlersRaw {
			handlers = append(handlers, decoded(raw))
		}
		for _, handler := range r.Handlers {
			handlers = append(handlers, handlerAsJSON(handler))
		}
		list = append(list, map[string]any{"match": matchers, "handle": handlers})
	}
	return list
}

func matchersAsJSON(set caddyhttp.MatcherSet) any {
	object := make(map[string]any)
	for _, matcher := range set {
		switch m := matcher.(type) {
		case *caddyhttp.MatchNot:
			var sets []any
			for _, set := range m.MatcherSets {
				sets = append(sets, matchersAsJSON(set))
			}
			object["not"] = sets
		case caddy.Module:
			object[m.CaddyModule().ID.Name()] = decoded(m)
		}
	}
	return object
}

func handlerAsJSON(handler caddyhttp.MiddlewareHandler) any {
	var name string
	switch h := handler.(type) {
	case *caddyhttp.Subroute:
		routes := []any{routesAsJSON(h.Routes)}
		if h.Errors != nil {
			routes = append(routes, routesAsJSON(h.Errors.Routes))
		}
		return routes
	case *caddymap.Handler:
		name = "map"
	case *caddyhttp.VarsMiddleware:
		name = "vars"
	default:
		return nil
	}
	object := objectOf(decoded(handler))
	if object != nil {
		object["handler"] = name
	}
	return object
}

// decoded returns a value as its JSON is decoded, or nil if it has none.
func decoded(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var value any
	if json.Unmarshal(text, &value) != nil {
		return nil
	}
	return value
}
