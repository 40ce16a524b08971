package check

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// withoutTraces returns the configuration without what would touch something on this machine or elsewhere as soon as it is
// provisioned: certificates and their issuers, events, health checks, databases. What of it handles requests is left out,
// and says so when a request comes to it. Handlers keep their places.
func withoutTraces(tree map[string]any) map[string]any {
	tree = clone(tree)
	apps := object(tree, "apps")
	for _, name := range []string{"tls", "pki", "events"} { // which no route needs
		delete(apps, name)
	}
	for _, server := range object(object(apps, "http"), "servers") {
		s, _ := server.(map[string]any)
		for i := range array(s, "tls_connection_policies") {
			array(s, "tls_connection_policies")[i] = map[string]any{} // that there are some says that the server speaks TLS
		}
		if object(s, "trusted_proxies")["source"] != "static" { // others fetch their lists
			delete(s, "trusted_proxies")
		}
		delete(s, "listener_wrappers")
		delete(s, "packet_conn_wrappers")
	}
	eachHandler(tree, func(_ string, h map[string]any) map[string]any {
		switch h["handler"] {
		case "cors":
			rememberAnswers(h)
		case "acme_server": // opens a database
			return leftOutOf(h, true)
		case "tracing": // connects to a collector
			return leftOutOf(h, false)
		case "reverse_proxy":
			if lacksFiles(object(h, "transport")) {
				return leftOutOf(h, true)
			}
			delete(object(h, "health_checks"), "active")
		}
		return h
	})
	return tree
}

// lacksFiles reports whether a transport needs files for TLS that are not on this machine.
func lacksFiles(transport map[string]any) bool {
	t := object(transport, "tls")
	names := slices.Concat(texts(t, "root_ca_pem_files"), texts(object(t, "ca"), "pem_files"))
	for _, key := range []string{"client_certificate_file", "client_certificate_key_file"} {
		if name, ok := t[key].(string); ok {
			names = append(names, name)
		}
	}
	return slices.ContainsFunc(names, func(name string) bool {
		_, err := os.Stat(name)
		return err != nil
	})
}

// withoutEffects returns the configuration without the handlers that could do anything beyond the response to a request that
// is not safe. Those stay that only decide.
func withoutEffects(tree map[string]any) map[string]any {
	tree = clone(tree)
	eachHandler(tree, func(_ string, h map[string]any) map[string]any {
		name, _ := h["handler"].(string)
		switch {
		case slices.Contains(deciding, name), name == leftOutName, asksByGet(h):
			return h
		}
		return leftOutOf(h, slices.Contains(final, name))
	})
	return tree
}

var (
	// deciding are handlers that do nothing but decide what the response is.
	deciding = []string{
		"authentication", "copy_response", "copy_response_headers", "cors", "encode", "error", "file_server", "headers",
		"intercept", "invoke", "log_append", "map", "request_body", "rewrite", "static_response", "subroute", "vars",
	}
	// final are those that answer, and call no other handler.
	final = []string{"acme_server", "cgi", "exec", "metrics", "php", "reverse_proxy", "webdav"}
)

// asksByGet reports whether a handler is a reverse proxy that makes every request a GET, as forward_auth does.
func asksByGet(h map[string]any) bool {
	method := object(h, "rewrite")["method"]
	return h["handler"] == "reverse_proxy" && (method == http.MethodGet || method == http.MethodHead)
}

// A leftOut stands for a handler that is not run. It says when a request comes to it.
type leftOut struct {
	Name  string `json:"name"`            // of the handler's module
	Final bool   `json:"final,omitempty"` // whether that would answer
}

const leftOutName = "cors_check_left_out"

func leftOutOf(h map[string]any, final bool) map[string]any {
	return map[string]any{"handler": leftOutName, "name": h["handler"], "final": final}
}

// CaddyModule returns the Caddy module information.
func (*leftOut) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers." + leftOutName, New: func() caddy.Module { return new(leftOut) }}
}

// ServeHTTP answers with nothing, or goes on.
func (h *leftOut) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if e := exchangeOf(r.Context()); e != nil {
		e.mu.Lock()
		if !slices.Contains(e.leftOut, h.Name) {
			e.leftOut = append(e.leftOut, h.Name)
		}
		e.mu.Unlock()
	}
	if !h.Final {
		return next.ServeHTTP(w, r)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// storageOf returns the storage of a configuration, if any of its cors handlers reads from it. It is not opened otherwise.
func storageOf(tree map[string]any, configured json.RawMessage) (storage json.RawMessage, needed bool) {
	walk(object(tree, "apps"), "", func(_ string, o map[string]any) { needed = needed || o["source"] == "storage" })
	if !needed {
		return nil, false
	}
	return configured, true
}
