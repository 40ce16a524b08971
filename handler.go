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
	a := annotation{handler: h, preflight: req.Preflight, privateNetwork: req.PrivateNetwork, decision: h.policy.Decide(&req)}

	switch {
	case h.ReportOnly:
		if !h.Debug {
			return next.ServeHTTP(w, r)
		}
	case h.Upstream == upstreamPreserve && r.Context().Value(caddyhttp.ErrorCtxKey) != nil:
		// Error routes start with the headers of the failed response, the CORS headers of its own policy among them.
		// They are no upstream's.
		removeCORS(w.Header())
	}
	if !h.ReportOnly && req.Preflight && (!h.ForwardPreflight || h.Enforce && a.decision.AllowOrigin == "") {
		return a.answerPreflight(w)
	}
	if h.Enforce && a.decision.Outcome == policy.Denied && !req.Preflight {
		a.annotate(w.Header())
		return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("cors: %s: %.128q", a.decision.Reason, a.decision.Detail))
	}

	rw := &responseWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, annotation: a}
	err := next.ServeHTTP(rw, r)
	// Nobody wrote the response: it is an error, which the server turns into one, or an empty response.
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
	}
	if r.Method == http.MethodOptions && len(req.Origin) > 0 {
		req.Method = r.Header["Access-Control-Request-Method"]
		if req.Preflight = len(req.Method) > 0; req.Preflight {
			req.Headers = r.Header["Access-Control-Request-Headers"]
			req.PrivateNetwork = r.Header.Get("Access-Control-Request-Private-Network") == "true"
		}
	}
	if h.policy.PerRequest() {
		req.Placeholders = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	}
	return req
}

// decided reports whether a cors handler further out has decided about this response already.
func decided(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case *responseWriter:
			if !t.annotation.handler.ReportOnly {
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

// An annotation is what a decision means for the headers of one response.
type annotation struct {
	handler        *Handler
	preflight      bool
	privateNetwork bool // was asked for
	decision       policy.Decision

	// values backs the field values: one array for all of them, and none of them shared with another response, because
	// other handlers may rewrite header values in place.
	values [9]string
	used   int
}

func (a *annotation) set(header http.Header, name, value string) {
	if value == "" {
		return
	}
	a.values[a.used] = value
	header[name] = a.values[a.used : a.used+1 : a.used+1]
	a.used++
}

// answerPreflight writes the whole response.
func (a *annotation) answerPreflight(w http.ResponseWriter) error {
	a.annotate(w.Header())
	if a.decision.AllowOrigin == "" {
		w.WriteHeader(http.StatusForbidden)
	} else {
		w.WriteHeader(a.handler.PreflightStatus)
	}
	return nil
}

// annotate sets the CORS headers, Vary and the debug header.
func (a *annotation) annotate(header http.Header) {
	h, d := a.handler, &a.decision
	if h.Debug {
		a.set(header, debugHeader, debugValue(d))
	}
	if h.ReportOnly {
		return
	}
	vary := h.vary
	if a.preflight {
		vary = h.varyPreflight
	}
	if h.Upstream == upstreamPreserve && hasAllowOrigin(header) {
		a.addVary(header, vary)
		return
	}
	removeCORS(header)
	a.addVary(header, vary)
	if d.AllowOrigin == "" {
		return
	}
	a.set(header, allowOrigin, d.AllowOrigin)
	if h.policy.Credentials() {
		a.set(header, allowCredentials, "true")
	}
	if a.preflight {
		a.set(header, allowMethods, d.AllowMethods)
		a.set(header, allowHeaders, d.AllowHeaders)
		if a.privateNetwork && h.policy.PrivateNetwork() {
			a.set(header, allowPrivateNetwork, "true")
		}
		if d.Outcome == policy.Allowed {
			a.set(header, maxAge, h.policy.MaxAge())
		}
	} else if h.ExposeTiming {
		a.set(header, timingAllowOrigin, d.AllowOrigin)
	}
	exposed, literal := h.policy.ExposeHeaders()
	if literal && !a.preflight {
		exposed = fieldNames(header)
	}
	a.set(header, exposeHeaders, exposed)
}

// addVary adds the names that are not in the Vary field yet.
func (a *annotation) addVary(header http.Header, vary varyNames) {
	present := header["Vary"]
	if len(present) == 0 {
		a.set(header, "Vary", vary.joined)
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

// responseWriter annotates the response when its final header is written.
type responseWriter struct {
	caddyhttp.ResponseWriterWrapper
	annotation annotation
	annotated  bool
}

func (w *responseWriter) annotateOnce() {
	if !w.annotated {
		w.annotated = true
		w.annotation.annotate(w.Header())
	}
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
