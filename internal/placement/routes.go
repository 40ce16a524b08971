package placement

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	caddymap "github.com/caddyserver/caddy/v2/modules/caddyhttp/map"
)

// A Found is a cors in the routes of a server.
type Found struct {
	At        string     // its path in the configuration
	Matchers  []Matchers // those of the routes around it, the outermost first
	Hidden    string     // the cors that decides before this one, whatever the request is; or ""
	Others    bool       // there are more in the same route of the server
	Errors    bool       // it is in the error routes
	LastWords []LastWord
}

// Matchers are the matcher sets of a route, and where it is.
type Matchers struct {
	At   string
	Sets []caddy.ModuleMap
}

// Find returns where in the server's routes a cors stands, by its JSON. The server is the one that is being provisioned:
// the route whose handlers are being loaded, the cors among them, is still in JSON.
func Find(server *caddyhttp.Server, cors json.RawMessage) []Found {
	// Caddy has decoded and encoded it already, to take its name out. Only where it has not, canonical has to.
	if found := findBy(server, string(cors)); len(found) > 0 {
		return found
	}
	return findBy(server, canonical(cors))
}

func findBy(server *caddyhttp.Server, key string) []Found {
	f := factsOf(server)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.places == nil {
		f.places = newPlaces(server)
	}
	if i, ok := f.routes.loading(server.Routes); ok {
		return f.places.routes[i][key]
	}
	if server.Errors != nil {
		if i, ok := f.errors.loading(server.Errors.Routes); ok {
			return f.places.errors[i][key]
		}
	}
	for _, named := range f.places.named {
		if found := named[key]; len(found) > 0 {
			return found
		}
	}
	return nil
}

// progress is how many of a list of routes have been loaded, as far as is known.
type progress int

// loading returns the index of the route whose handlers are being loaded. It reports false if all have been.
func (p *progress) loading(routes caddyhttp.RouteList) (int, bool) {
	for int(*p) < len(routes) && routes[*p].HandlersRaw == nil {
		*p++
	}
	return int(*p), int(*p) < len(routes)
}

// places are the cors of a server: of each of its routes, of each for errors, and of those with names.
type places struct {
	routes, errors, named []placesOf
}

// placesOf has the cors of a route by their JSON, as canonical has it.
type placesOf map[string][]Found

func newPlaces(server *caddyhttp.Server) *places {
	prefix := "apps/http/servers/" + server.Name()
	all := &places{routes: find(server.Routes, prefix+"/routes")}
	if server.Errors != nil {
		all.errors = find(server.Errors.Routes, prefix+"/errors/routes")
		for _, route := range all.errors {
			for _, found := range route {
				for i := range found {
					found[i].Errors = true
				}
			}
		}
	}
	for name, named := range server.NamedRoutes {
		all.named = append(all.named, find(caddyhttp.RouteList{*named}, prefix+"/named_routes/"+name)...)
	}
	return all
}

// find looks for each cors of a list of routes, and at what stands beside it. A route for a host is a site of its own;
// those for none are parts of one.
func find(routes caddyhttp.RouteList, at string) []placesOf {
	all := make([]placesOf, len(routes))
	var site walk // of the routes for no host
	for i, r := range routes {
		// Matchers are loaded before any handler is.
		top := topRoute{i, fmt.Sprintf("%s/%d", at, i), route{r.Group, marshaled(r.MatcherSets), slices.Concat(r.HandlersRaw, loaded(r.Handlers))}}
		if isForHost(r) {
			w := walk{tops: []topRoute{top}}
			w.walk(all)
		} else {
			site.tops = append(site.tops, top)
		}
	}
	site.walk(all)
	return all
}

func isForHost(r caddyhttp.Route) bool {
	for _, set := range r.MatcherSets {
		for _, matcher := range set {
			if _, ok := matcher.(*caddyhttp.MatchHost); ok {
				return true
			}
		}
	}
	return false
}

// loaded returns handlers that are loaded as JSON again, as far as they matter.
func loaded(handlers []caddyhttp.MiddlewareHandler) []json.RawMessage {
	var list []json.RawMessage
	add := func(handler any, name string) {
		raw, err := json.Marshal(handler)
		var object map[string]any
		if err == nil && json.Unmarshal(raw, &object) == nil {
			object["handler"] = name
			raw, _ = json.Marshal(object)
			list = append(list, raw)
		}
	}
	for _, handler := range handlers {
		switch h := handler.(type) {
		case *headers.Handler:
			add(h, "headers")
		case *caddyhttp.Subroute:
			var routes []route
			for _, r := range h.Routes {
				routes = append(routes, route{r.Group, marshaled(r.MatcherSets), loaded(r.Handlers)})
			}
			add(map[string]any{"routes": routes}, "subroute")
		case caddy.Module:
			if h.CaddyModule().ID == "http.handlers.cors" {
				add(h, "cors")
			}
		}
	}
	return list
}

// A route is one of JSON.
type route struct {
	Group  string            `json:"group,omitempty"`
	Match  []caddy.ModuleMap `json:"match,omitempty"`
	Handle []json.RawMessage `json:"handle,omitempty"`
}

// marshaled returns loaded matchers as JSON again, those that can be told anything of.
func marshaled(sets caddyhttp.MatcherSets) []caddy.ModuleMap {
	var maps []caddy.ModuleMap
	for _, set := range sets {
		m := make(caddy.ModuleMap)
		for i, matcher := range set {
			name := fmt.Sprintf("unknown-%d", i)
			module, ok := matcher.(caddy.Module)
			if ok {
				name = module.CaddyModule().ID.Name()
			}
			m[name], _ = json.Marshal(matcher)
		}
		maps = append(maps, m)
	}
	return maps
}

// A walk goes through the routes of a site.
type walk struct {
	tops  []topRoute
	top   int // the index among them of the one that it is in
	all   int // the cors that it has met
	found []struct {
		in   int // a route of the server
		cors string
		Found
	}
}

// A topRoute is a route of the server.
type topRoute struct {
	index int
	at    string
	route
}

// walk adds the cors of the site to those of the server.
func (w *walk) walk(all []placesOf) {
	var routes []route
	for _, top := range w.tops {
		routes = append(routes, top.route)
	}
	w.list(routes, func(i int) string { w.top = i; return w.tops[i].at }, nil, nil)
	for _, f := range w.found {
		if all[f.in] == nil {
			all[f.in] = make(placesOf)
		}
		f.Others = w.all > 1
		all[f.in][f.cors] = append(all[f.in][f.cors], f.Found)
	}
}

// list walks a list of routes.
func (w *walk) list(routes []route, at func(i int) string, around []Matchers, before []LastWord) {
	var earlier deciding
	for i, r := range routes {
		path := at(i)
		matchers := sync.OnceValue(func() string { return canonical(r.Match) })
		around := append(around[:len(around):len(around)], Matchers{path, r.Match})
		for j, raw := range r.Handle {
			where := fmt.Sprintf("%s/handle/%d", path, j)
			var module struct {
				Handler    string  `json:"handler"`
				Routes     []route `json:"routes"`
				ReportOnly bool    `json:"report_only"`
			}
			if json.Unmarshal(raw, &module) != nil {
				continue
			}
			switch module.Handler {
			case "headers":
				var h headers.Handler
				if json.Unmarshal(raw, &h) == nil {
					for _, operation := range deferredOperations(h) {
						before = append(before[:len(before):len(before)], LastWord{where, operation})
					}
				}
			case "cors":
				w.all++
				found := Found{At: where, Matchers: around, LastWords: before, Hidden: earlier.than(i, matchers())}
				w.found = append(w.found, struct {
					in   int
					cors string
					Found
				}{w.tops[w.top].index, canonical(raw), found})
				if r.Group == "" && !module.ReportOnly {
					earlier.add(where, i, matchers(), len(r.Match) == 0)
				}
			case "subroute":
				w.list(module.Routes, func(k int) string { return fmt.Sprintf("%s/routes/%d", where, k) }, around, before)
			}
		}
	}
}

// deciding are the cors of a list of routes that decide about the requests that get to them.
type deciding struct {
	open    string // where the first is that all requests get to
	route   int    // the route of the latest
	inRoute string // where the first of that route is
	byMatch map[string]string
}

// than returns the cors that goes before one in a route with these matchers, and takes all that this one could; or "".
func (d *deciding) than(route int, matchers string) string {
	if d.inRoute != "" && d.route == route {
		return d.inRoute
	}
	return cmp.Or(d.open, d.byMatch[matchers])
}

func (d *deciding) add(at string, route int, matchers string, open bool) {
	if d.route != route || d.inRoute == "" {
		d.route, d.inRoute = route, at
	}
	if open && d.open == "" {
		d.open = at
	}
	if d.byMatch == nil {
		d.byMatch = make(map[string]string)
	}
	if _, ok := d.byMatch[matchers]; !ok {
		d.byMatch[matchers] = at
	}
}

// canonical returns a text that is the same for all that is the same as JSON, but for the name of a handler.
func canonical(v any) string {
	raw, _ := json.Marshal(v)
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return ""
	}
	if object, ok := value.(map[string]any); ok {
		delete(object, "handler")
	}
	text, _ := json.Marshal(value)
	return string(text)
}

func newDestinations(server *caddyhttp.Server) []string {
	var d destinations
	d.routes(server.Routes)
	if server.Errors != nil {
		d.routes(server.Errors.Routes)
	}
	for _, named := range server.NamedRoutes {
		d.routes(caddyhttp.RouteList{*named})
	}
	for i, name := range d {
		d[i] = strings.Trim(name, "{}") // which loading does
	}
	return d
}

// destinations are the placeholders that map handlers set, without their braces.
type destinations []string

func (d *destinations) routes(list caddyhttp.RouteList) {
	for _, r := range list {
		for _, raw := range r.HandlersRaw {
			var v any
			_ = json.Unmarshal(raw, &v)
			d.json(v)
		}
		for _, handler := range r.Handlers {
			switch h := handler.(type) {
			case *caddyhttp.Subroute:
				d.routes(h.Routes)
				if h.Errors != nil {
					d.routes(h.Errors.Routes)
				}
			case *caddymap.Handler:
				*d = append(*d, h.Destinations...)
			}
		}
	}
}

// json finds the map handlers in JSON, wherever they are.
func (d *destinations) json(v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			d.json(element)
		}
	case map[string]any:
		if list, ok := v["destinations"].([]any); ok && v["handler"] == "map" {
			for _, name := range list {
				if name, ok := name.(string); ok {
					*d = append(*d, name)
				}
			}
		}
		for _, field := range v {
			d.json(field)
		}
	}
}
