package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// An exchange is what became of one request.
type exchange struct {
	request *http.Request
	server  string // its name in the configuration; empty where the request left it
	via     via    // how it has come to the server

	status int         // of the response; 0 where there is none
	header http.Header // likewise

	mu       sync.Mutex
	inside   []string // the places of the handlers that it is in, the innermost last
	seen     []decisionSeen
	answered string   // the place of the handler that has written the response; empty if none has
	failed   failure  // the first
	leftOut  []string // the names of the handlers that it has come to and that were left out
}

// A failure is the error of a handler, where it came from.
type failure struct {
	place    string
	err      error
	upstream string // that a reverse proxy has tried last; empty if it is not one's
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

// An answerWriter notes which handler writes the response.
type answerWriter struct {
	caddyhttp.ResponseWriterWrapper
	exchange *exchange
	wrote    bool
}

func (w *answerWriter) note() {
	if w.wrote {
		return
	}
	w.wrote = true
	w.exchange.mu.Lock()
	defer w.exchange.mu.Unlock()
	if n := len(w.exchange.inside); n > 0 {
		w.exchange.answered = w.exchange.inside[n-1]
	}
}

// WriteHeader notes the handler that writes a final header.
func (w *answerWriter) WriteHeader(status int) {
	if status >= 200 {
		w.note()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write likewise.
func (w *answerWriter) Write(p []byte) (int, error) {
	w.note()
	return w.ResponseWriter.Write(p)
}

// ReadFrom likewise.
func (w *answerWriter) ReadFrom(r io.Reader) (int64, error) {
	w.note()
	return w.ResponseWriterWrapper.ReadFrom(r)
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
	e := exchangeOf(r.Context())
	if e == nil {
		return h.watched.ServeHTTP(w, r, next)
	}
	defer e.enter(h.Place)()
	err := h.watched.ServeHTTP(w, r, next)
	if err != nil {
		e.mu.Lock()
		if e.failed.err == nil {
			e.failed = failure{place: h.Place, err: err}
			if repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
				upstream, _ := repl.Get("http.reverse_proxy.upstream.hostport")
				e.failed.upstream, _ = upstream.(string)
			}
		}
		e.mu.Unlock()
	}
	return err
}

// withWitnesses returns the configuration with a witness around each handler of its HTTP servers.
func withWitnesses(tree map[string]any) map[string]any {
	tree = clone(tree)
	eachHandler(tree, func(place string, h map[string]any) map[string]any {
		return map[string]any{"handler": witnessName, "place": place, "watched": h}
	})
	return tree
}

// registerModules registers the modules that only a check uses, so that no other command shows them.
var registerModules = sync.OnceFunc(func() {
	caddy.RegisterModule(new(overlayStorage))
	caddy.RegisterModule(new(witness))
	caddy.RegisterModule(new(leftOut))
	caddy.RegisterModule(new(rememberingSource))
})
