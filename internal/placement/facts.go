package placement

import (
	"sync"
	"weak"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// facts are what is known of a server that is being loaded. They are found out once for all of its cors, or loading many
// of them would take each of them a look at all.
type facts struct {
	mu             sync.Mutex
	places         *places
	routes, errors progress
	destinations   *[]string
	sources        sourcesOf
	warned         bool
}

// latest has the facts of the server that was loaded last: servers are loaded one after the other.
var latest struct {
	sync.Mutex
	server weak.Pointer[caddyhttp.Server]
	facts  *facts
}

func factsOf(server *caddyhttp.Server) *facts {
	latest.Lock()
	defer latest.Unlock()
	if pointer := weak.Make(server); latest.facts == nil || latest.server != pointer {
		latest.server, latest.facts = pointer, new(facts)
	}
	return latest.facts
}

// FirstWarning reports whether it is called for the first time for a server, for a warning about the server and not about one
// cors of it.
func FirstWarning(server *caddyhttp.Server) bool {
	f := factsOf(server)
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.warned
	f.warned = true
	return first
}

// MapDestinations returns the placeholders that the map handlers of the server set, without their braces.
func MapDestinations(server *caddyhttp.Server) []string {
	f := factsOf(server)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.destinations == nil {
		list := newDestinations(server)
		f.destinations = &list
	}
	return *f.destinations
}

// sourcesIn returns what the placeholders of the server are made of; nothing for no server.
func sourcesIn(server *caddyhttp.Server) sourcesOf {
	if server == nil {
		return nil
	}
	f := factsOf(server)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sources == nil {
		f.sources = newSources(server)
	}
	return f.sources
}
