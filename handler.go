package caddycors

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// The response header fields that this handler owns, with those that start with corsPrefix.
const (
	corsPrefix = "Access-Control-"

	allowOrigin         = "Access-Control-Allow-Origin"
	allowCredentials    = "Access-Control-Allow-Credentials"
	allowMethods        = "Access-Control-Allow-Methods"
	allowHeaders        = "Access-Control-Allow-Headers"
	allowPrivateNetwork = "Access-Control-Allow-Private-Network"
	exposeHeaders       = "Access-Control-Expose-Headers"
	maxAge              = "Access-Control-Max-Age"
	timingAllowOrigin   = "Timing-Allow-Origin"
)

// ServeHTTP decides what the request may have, then answers it, if it is a preflight, or annotates the response that the
// next handlers write.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if decided(w) {
		return next.ServeHTTP(w, r)
	}
	req := h.classify(r)
	rw := &responseWriter{
		ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		handler:               h,
		preflight:             req.Preflight,
		privateNetwork:        req.PrivateNetwork,
		decision:              h.policies.Decide(&req),
	}
	h.observe(r, &req, &rw.decision)
	if h.ReportOnly {
		if !h.Debug {
			return next.ServeHTTP(w, r)
		}
	} else if answered, err := rw.answer(r); answered {
		return err
	}
	err := next.ServeHTTP(rw, r)
	// If nobody has written the response, the server is about to: an error's, or an empty one.
	rw.annotateOnce()
	return err
}

// classify takes from the request what bears on the decision. A preflight is a CORS-preflight request of the Fetch
// Standard, section 3.3.2.
func (h *Handler) classify(r *http.Request) policy.Request {
	req := policy.Request{
		Origin:    r.Header["Origin"],
		Host:      r.Host,
		FetchSite: r.Header["Sec-Fetch-Site"],
		Context:   r.Context(),
	}
	if r.Method == http.MethodOptions && len(req.Origin) > 0 {
		req.Method = r.Header["Access-Control-Request-Method"]
		if req.Preflight = len(req.Method) > 0; req.Preflight {
			req.Headers = r.Header["Access-Control-Request-Headers"]
			req.PrivateNetwork = r.Header.Get("Access-Control-Request-Private-Network") == "true"
		}
	}
	if h.policies.PerRequest() {
		req.Placeholders = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	}
	return req
}

// decided reports whether a cors handler further out has decided about this response already.
func decided(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case *responseWriter:
			if !t.handler.ReportOnly { // which changes nothing, not even this
				return true
			}
			w = t.ResponseWriter
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// varyNames are the request header fields that an answer depends on, apart and as one field value.
type varyNames struct {
	names  []string
	joined string
}

func newVaryNames(names ...string) varyNames {
	return varyNames{names: slices.Clip(names), joined: strings.Join(names, ", ")}
}

// removeCORS removes the headers that this handler owns, in whatever case they are spelled.
func removeCORS(header http.Header) {
	for name := range header {
		if isCORS(name) {
			delete(header, name)
		}
	}
}

func isCORS(name string) bool {
	if len(name) < len(corsPrefix) {
		return false
	}
	switch name[0] {
	case 'A', 'a':
		return strings.EqualFold(name[:len(corsPrefix)], corsPrefix)
	case 'T', 't':
		return strings.EqualFold(name, timingAllowOrigin)
	}
	return false
}

func hasAllowOrigin(header http.Header) bool {
	for name := range header {
		if isCORS(name) && strings.EqualFold(name, allowOrigin) {
			return true
		}
	}
	return false
}

// fieldNames lists the names of the response's own fields: what "*" would expose if browsers did not take it for a name.
func fieldNames(header http.Header) string {
	names := []string{"Date"} // which the server adds to every response
	for name := range header {
		if httpguts.ValidHeaderFieldName(name) && !isCORS(name) && name != "Date" && name != "Set-Cookie" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// A responseWriter annotates the response by the decision when its final header is written.
type responseWriter struct {
	caddyhttp.ResponseWriterWrapper
	handler        *Handler
	preflight      bool
	privateNetwork bool // was asked for
	annotated      bool
	decision       policy.Decision

	// values holds the field values that are set. They are in one array, for the sake of a single allocation, and not
	// shared with other responses, because other handlers may rewrite header values in place.
	values [9]string
	used   int
}

// answer answers what does not reach the next handlers: preflights that are not forwarded, and what enforce refuses.
func (w *responseWriter) answer(r *http.Request) (answered bool, err error) {
	h, d := w.handler, &w.decision
	if h.Upstream == upstreamPreserve && r.Context().Value(caddyhttp.ErrorCtxKey) != nil {
		// Error routes start with the headers of the failed response, the CORS headers of its own policy among them.
		// Those are no upstream's.
		removeCORS(w.Header())
	}
	switch {
	case w.preflight && d.AllowOrigin == "" && (h.Enforce || !h.ForwardPreflight):
		w.WriteHeader(http.StatusForbidden)
		return true, nil
	case w.preflight && !h.ForwardPreflight:
		w.WriteHeader(h.PreflightStatus)
		return true, nil
	case !w.preflight && d.Outcome == policy.Denied && h.Enforce:
		w.annotateOnce()
		return true, caddyhttp.Error(http.StatusForbidden, fmt.Errorf("cors: %s: %.128q", d.Reason, d.Detail))
	}
	return false, nil
}

func (w *responseWriter) annotateOnce() {
	if !w.annotated {
		w.annotated = true
		w.annotate(w.Header())
	}
}

// annotate sets the CORS headers, Vary and the debug header.
func (w *responseWriter) annotate(header http.Header) {
	h, d, p := w.handler, &w.decision, w.decision.Policy
	if h.Debug {
		w.set(header, debugHeader, debugValue(d))
	}
	if h.ReportOnly {
		return
	}
	vary := h.vary
	if w.preflight {
		vary = h.varyPreflight
	}
	w.addVary(header, vary)
	if h.Upstream == upstreamPreserve && hasAllowOrigin(header) {
		return
	}
	removeCORS(header)
	if d.AllowOrigin == "" {
		return
	}
	w.set(header, allowOrigin, d.AllowOrigin)
	if p.Credentials() {
		w.set(header, allowCredentials, "true")
	}
	if w.preflight {
		w.set(header, allowMethods, d.AllowMethods)
		w.set(header, allowHeaders, d.AllowHeaders)
		if w.privateNetwork && p.PrivateNetwork() {
			w.set(header, allowPrivateNetwork, "true")
		}
		if d.Outcome == policy.Allowed {
			w.set(header, maxAge, p.MaxAge())
		}
	} else if p.ExposeTiming() {
		w.set(header, timingAllowOrigin, d.AllowOrigin)
	}
	exposed, literal := p.ExposeHeaders()
	if literal && !w.preflight {
		exposed = fieldNames(header)
	}
	w.set(header, exposeHeaders, exposed)
}

func (w *responseWriter) set(header http.Header, name, value string) {
	if value == "" {
		return
	}
	w.values[w.used] = value
	header[name] = w.values[w.used : w.used+1 : w.used+1]
	w.used++
}

// addVary adds the names that the Vary field does not have yet.
func (w *responseWriter) addVary(header http.Header, vary varyNames) {
	present := header["Vary"]
	if len(present) == 0 {
		w.set(header, "Vary", vary.joined)
		return
	}
	if httpguts.HeaderValuesContainsToken(present, "*") {
		return
	}
	for _, name := range vary.names {
		if !httpguts.HeaderValuesContainsToken(present, name) {
			present = append(slices.Clip(present), name)
		}
	}
	header["Vary"] = present
}

// WriteHeader annotates the response, unless it is an informational one (1xx), which is not final; or 101, which ends
// HTTP on the connection.
func (w *responseWriter) WriteHeader(status int) {
	if status >= 200 {
		w.annotateOnce()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.annotateOnce()
	return w.ResponseWriter.Write(p)
}

// ReadFrom keeps the way open for sendfile.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	w.annotateOnce()
	return w.ResponseWriterWrapper.ReadFrom(r)
}

// FlushError is what [http.ResponseController] calls. A flush writes the header.
func (w *responseWriter) FlushError() error {
	w.annotateOnce()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements [http.Flusher] for handlers that know nothing of response controllers.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// Hijack implements [http.Hijacker], likewise. Whoever hijacks a connection writes its bytes.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Interface guards
var (
	_ http.Flusher  = (*responseWriter)(nil)
	_ http.Hijacker = (*responseWriter)(nil)
	_ io.ReaderFrom = (*responseWriter)(nil)
)
