package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// An exchange is what became of one request.
type exchange struct {
	request *http.Request
	server  string // its name in the configuration; empty where the request left it

	mu     sync.Mutex
	inside []string // the places of the handlers that it is in, the innermost last
	seen   []decisionSeen
}

// A decisionSeen is the decision of a cors handler of the configuration.
type decisionSeen struct {
	place    string // of the handler in the configuration, as a JSON Pointer (RFC 6901)
	asked    policy.Request
	decision policy.Decision
}

type exchangeKey struct{}

// exchangeOf returns the exchange that a request's context belongs to, or nil.
func exchangeOf(ctx context.Context) *exchange {
	e, _ := ctx.Value(exchangeKey{}).(*exchange)
	return e
}

// decisive is the decision that the response shows: an error route's, which is later, replaces the one before it.
func (e *exchange) decisive() (decisionSeen, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) == 0 {
		return decisionSeen{}, false
	}
	return e.seen[len(e.seen)-1], true
}

// enter notes that a handler has got the request. The function that it returns is for when that has handled it.
func (e *exchange) enter(place string) (leave func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inside = append(e.inside, place)
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if i := slices.Index(e.inside, place); i >= 0 {
			e.inside = slices.Delete(e.inside, i, i+1)
		}
	}
}

// witnessDecision is what cors handlers tell their decisions.
func witnessDecision(asked policy.Request, decision policy.Decision) {
	e := exchangeOf(asked.Context)
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.inside); n > 0 {
		e.seen = append(e.seen, decisionSeen{e.inside[n-1], asked, decision})
	}
}

// A witness stands around a handler of a configuration, and tells the exchange that the request has come there.
type witness struct {
	Place      string          `json:"place"`
	WatchedRaw json.RawMessage `json:"watched" caddy:"namespace=http.handlers inline_key=handler"`

	watched caddyhttp.MiddlewareHandler
}

const witnessName = "cors_check"

// CaddyModule returns the Caddy module information.
func (*witness) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + witnessName,
		New: func() caddy.Module { return new(witness) },
	}
}

// Provision loads the handler that is watched.
func (h *witness) Provision(ctx caddy.Context) error {
	module, err := ctx.LoadModule(h, "WatchedRaw")
	if err != nil {
		return err
	}
	watched, ok := module.(caddyhttp.MiddlewareHandler)
	if !ok {
		return fmt.Errorf("the module %T is not an HTTP handler", module)
	}
	h.watched = watched
	return nil
}

// ServeHTTP has the handler that is watched handle the request.
func (h *witness) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if e := exchangeOf(r.Context()); e != nil {
		defer e.enter(h.Place)()
	}
	return h.watched.ServeHTTP(w, r, next)
}

// withWitnesses returns the configuration with a witness around each handler of its HTTP servers.
func withWitnesses(tree map[string]any) map[string]any {
	tree = clone(tree)
	var surround func(value any, place string)
	surround = func(value any, place string) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				surround(inner, place+"/"+pointerEscaper.Replace(name))
			}
			handlers, _ := v["handle"].([]any)
			for i, handler := range handlers {
				if h, ok := handler.(map[string]any); ok && h["handler"] != nil {
					handlers[i] = map[string]any{"handler": witnessName, "place": place + "/handle/" + strconv.Itoa(i), "watched": h}
				}
			}
		case []any:
			for i, inner := range v {
				surround(inner, place+"/"+strconv.Itoa(i))
			}
		}
	}
	apps, _ := tree["apps"].(map[string]any)
	surround(apps["http"], "/apps/http")
	return tree
}

// pointerEscaper escapes a name in a JSON Pointer.
var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// at returns the object at a place of a configuration.
func at(tree map[string]any, place string) map[string]any {
	var value any = tree
	for name := range strings.SplitSeq(strings.TrimPrefix(place, "/"), "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[pointerUnescaper.Replace(name)]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return nil
			}
			value = v[i]
		}
	}
	object, _ := value.(map[string]any)
	return object
}

var pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")

// registerModules registers the modules that only a check uses, so that no other command shows them.
var registerModules = sync.OnceFunc(func() {
	caddy.RegisterModule(new(overlayStorage))
	caddy.RegisterModule(new(witness))
})
