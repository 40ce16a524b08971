package placement

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

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
	prefix := "apps/http/servers/" + server.Name()
	if i := loading(server.Routes); i >= 0 {
		return find(server.Routes, i, prefix+"/routes", cors)
	}
	if server.Errors != nil {
		if i := loading(server.Errors.Routes); i >= 0 {
			found := find(server.Errors.Routes, i, prefix+"/errors/routes", cors)
			for i := range found {
				found[i].Errors = true
			}
			return found
		}
	}
	for name, named := range server.NamedRoutes {
		if found := find(caddyhttp.RouteList{*named}, 0, prefix+"/named_routes/"+name, cors); len(found) > 0 {
			return found
		}
	}
	return nil
}

// loading returns the index of the route whose handlers are being loaded, or -1.
func loading(routes caddyhttp.RouteList) int {
	return slices.IndexFunc(routes, func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
}

// find looks for the cors in the route with the index i, and at what stands beside that. A route for a host is a site of
// its own; those for none are parts of one.
func find(routes caddyhttp.RouteList, i int, at string, cors json.RawMessage) []Found {
	w := walk{cors: value(cors), in: fmt.Sprintf("%s/%d", at, i)}
	for j, r := range routes {
		if j != i && (isForHost(routes[i]) || isForHost(r)) {
			continue
		}
		// Matchers are loaded before any handler is.
		w.routes = append(w.routes, route{r.Group, marshaled(r.MatcherSets), slices.Concat(r.HandlersRaw, loaded(r.Handlers))})
		w.paths = append(w.paths, fmt.Sprintf("%s/%d", at, j))
	}
	w.list(w.routes, func(k int) string { return w.paths[k] }, nil, nil)
	for n := range w.found {
		w.found[n].Others = w.all > 1
	}
	return w.found
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

type walk struct {
	cors   any    // the one that is looked for
	in     string // the path of the route that it is in
	routes []route
	paths  []string // of the routes
	all    int
	found  []Found
}

// A placed is a cors that stands in a list of routes.
type placed struct {
	at         string
	sets       []caddy.ModuleMap
	route      int
	reportOnly bool
}

// list walks a list of routes.
func (w *walk) list(routes []route, at func(i int) string, around []Matchers, before []LastWord) {
	var placedBefore []placed
	for i, r := range routes {
		around := append(around[:len(around):len(around)], Matchers{at(i), r.Match})
		for j, raw := range r.Handle {
			where := fmt.Sprintf("%s/handle/%d", at(i), j)
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
				if strings.HasPrefix(where, w.in+"/") && reflect.DeepEqual(value(raw), w.cors) {
					w.found = append(w.found, Found{
						At: where, Matchers: around, LastWords: before, Hidden: hiding(placedBefore, i, r),
					})
				}
				if r.Group == "" {
					placedBefore = append(placedBefore, placed{where, r.Match, i, module.ReportOnly})
				}
			case "subroute":
				w.list(module.Routes, func(k int) string { return fmt.Sprintf("%s/routes/%d", where, k) }, around, before)
			}
		}
	}
}

// hiding returns the cors of a list that goes before one in the route, and takes all that this one could.
func hiding(before []placed, i int, r route) string {
	for _, other := range before {
		if !other.reportOnly && (other.route == i || len(other.sets) == 0 || reflect.DeepEqual(values(other.sets), values(r.Match))) {
			return other.at
		}
	}
	return ""
}

// value returns JSON as a value to compare, without the name of the handler.
func value(raw json.RawMessage) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	if object, ok := v.(map[string]any); ok {
		delete(object, "handler")
	}
	return v
}

func values(sets []caddy.ModuleMap) any {
	raw, _ := json.Marshal(sets)
	var v any
	_ = json.Unmarshal(raw, &v)
	return v
}

// MapDestinations returns the placeholders that the map handlers of the server set, without their braces.
func MapDestinations(server *caddyhttp.Server) []string {
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
