package livecaddy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Context returns the context of a Caddy that runs nothing, has its storage in a directory and writes no log.
func Context(t testing.TB, dir string) caddy.Context {
	t.Helper()
	storage, err := json.Marshal(map[string]string{"module": "file_system", "root": dir})
	if err != nil {
		t.Fatal(err)
	}
	discard := caddy.BaseLog{WriterRaw: json.RawMessage(`{"output": "discard"}`)}
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		StorageRaw: storage,
		Logging:    &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: discard}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// Handler loads the handler of a cors directive, by itself, until the test ends.
func Handler(t testing.TB, directive string) caddyhttp.MiddlewareHandler {
	t.Helper()
	config, err := Adapt(":8080 {\n" + directive + "\n}\n")
	if err != nil {
		t.Fatalf("%v, in:\n%s", err, directive)
	}
	handlers := Handlers(t, config)
	if len(handlers) != 1 {
		t.Fatalf("%d cors handlers in:\n%s", len(handlers), directive)
	}
	return HandlerJSON(t, handlers[0])
}

// HandlerJSON is [Handler] of a handler's JSON.
func HandlerJSON(t testing.TB, config json.RawMessage) caddyhttp.MiddlewareHandler {
	t.Helper()
	ctx, cancel := caddy.NewContext(Context(t, t.TempDir()))
	t.Cleanup(cancel)
	module, err := ctx.LoadModuleByID("http.handlers.cors", config)
	if err != nil {
		t.Fatal(err)
	}
	return module.(caddyhttp.MiddlewareHandler)
}

// Handlers returns the cors handlers of a configuration, wherever in it they are, without the field that names them so.
func Handlers(t testing.TB, config json.RawMessage) (handlers []json.RawMessage) {
	t.Helper()
	var value any
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber() // which leaves durations as they are
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	WalkJSON(value, func(object map[string]any) {
		if object["handler"] != "cors" {
			return
		}
		delete(object, "handler")
		handler, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		handlers = append(handlers, handler)
	})
	return handlers
}

// WalkJSON calls f for each object of a JSON value.
func WalkJSON(value any, f func(object map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(v)
		for _, inner := range v {
			WalkJSON(inner, f)
		}
	case []any:
		for _, inner := range v {
			WalkJSON(inner, f)
		}
	}
}

// Discard is a response writer that keeps nothing but its header fields.
type Discard http.Header

// Header returns the fields.
func (d Discard) Header() http.Header { return http.Header(d) }

// Write discards its argument.
func (d Discard) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader does nothing.
func (d Discard) WriteHeader(int) {}
