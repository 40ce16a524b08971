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
	d := h.policies.Decide(&req)
	if h.witness != nil {
		h.witness(req, d)
	}
	h.observe(r, &req, &d)
	if h.ReportOnly {
		if !h.Debug {
			return next.ServeHTTP(w, r)
		}
	} else if answered, err := h.answer(w, r, &req, &d); answered {
		return err
	}
	rw := h.newResponseWriter(w, &req, &d)
	err := next.ServeHTTP(rw, r)
	// If nobody has written the response, the server is about to: an error's, or an empty one.
	rw.annotateOnce()
	return err
}

// classify takes from the request what bears on the decision. A preflight is a CORS-preflight request of the Fetch
// Standard, section 3.3.2.
func (h *Handler) classify(r *http.Request) (req policy.Request) {
	req.Origin = r.Header["Origin"]
	req.Host, req.Header, req.Context = r.Host, r.Header, r.Context()
	if r.Method == http.MethodOptions && len(req.Origin) > 0 {
		req.Method = r.Header["Access-Control-Request-Method"]
		if req.Preflight = len(req.Method) > 0; req.Preflight {
			req.Headers = r.Header["Access-Control-Request-Headers"]
			private := r.Header["Access-Control-Request-Private-Network"]
			req.PrivateNetwork = len(private) > 0 && private[0] == "true"
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

// answer answers what does not reach the next handlers: preflights that are not forwarded, and what enforce refuses.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, req *policy.Request, d *policy.Decision) (answered bool, err error) {
	if h.Upstream == upstreamPreserve && r.Context().Value(caddyhttp.ErrorCtxKey) != nil {
		// Error routes start with the headers of the failed response, the CORS headers of its own policy among them.
		// Those are no upstream's.
		removeCORS(w.Header())
	}
	switch {
	case req.Preflight && d.AllowOrigin == "" && (h.Enforce || !h.ForwardPreflight):
		h.annotate(w.Header(), d, true, make([]string, 0, 1))
		w.WriteHeader(http.StatusForbidden)
		return true, nil
	case req.Preflight && !h.ForwardPreflight:
		values := make([]string, 0, maxPreflightFields)
		if !d.Policy.SendsMore() {
			values = make([]string, 0, maxPreflightFields-2)
		}
		h.annotate(w.Header(), d, true, values)
		w.WriteHeader(h.PreflightStatus)
		return true, nil
	case !req.Preflight && d.Outcome == policy.Denied && h.Enforce:
		h.annotate(w.Header(), d, false, make([]string, 0, 1))
		return true, caddyhttp.Error(http.StatusForbidden, fmt.Errorf("cors: %s: %.128q", d.Reason, d.Detail))
	}
	return false, nil
}

// annotate sets the CORS headers, Vary and the debug header. The field values are put into the capacity of values, which
// is not to be shared with other responses, and beyond it into memory of their own.
func (h *Handler) annotate(header http.Header, d *policy.Decision, preflight bool, values []string) {
	fields := fields{header, values}
	if h.Debug {
		fields.set(debugHeader, debugValue(d))
	}
	if h.ReportOnly {
		return
	}
	vary := &h.vary
	if preflight {
		vary = &h.varyPreflight
	}
	if !h.clear(&fields, vary) || d.AllowOrigin == "" {
		return
	}
	p := d.Policy
	fields.set(allowOrigin, d.AllowOrigin)
	if p.Credentials() {
		fields.set(allowCredentials, "true")
	}
	if preflight {
		fields.set(allowMethods, d.AllowMethods)
		fields.set(allowHeaders, d.AllowHeaders)
		if d.AllowPrivateNetwork {
			fields.set(allowPrivateNetwork, "true")
		}
		if d.Outcome == policy.Allowed {
			fields.set(maxAge, p.MaxAge())
		}
	} else if p.ExposeTiming() {
		fields.set(timingAllowOrigin, d.AllowOrigin)
	}
	exposed, literal := p.ExposeHeaders()
	if literal && !preflight {
		exposed = fieldNames(header)
	}
	fields.set(exposeHeaders, exposed)
}

// clear adds Vary, and makes room for the CORS headers: it removes those that are there, or reports false if they are to
// stay.
func (h *Handler) clear(f *fields, vary *varyNames) bool {
	if h.Upstream == upstreamPreserve && hasAllowOrigin(f.header) {
		f.addVary(f.header["Vary"], vary)
		return false
	}
	var present []string
	for name, values := range f.header {
		switch {
		case isCORS(name):
			delete(f.header, name)
		case name == "Vary":
			present = values
		}
	}
	f.addVary(present, vary)
	return true
}

// The most fields that annotate sets in the answer to a preflight and in other responses, less those of debug and private
// networks.
const (
	maxPreflightFields = 7
	maxActualFields    = 5
)

// fields sets fields of a header. The values are in an array for all of them, for the sake of a single allocation; they are
// never shared with other responses, because other handlers may rewrite them in place.
type fields struct {
	header http.Header
	values []string
}

// set sets the field, unless the value is empty.
func (f *fields) set(name, value string) {
	if value == "" {
		return
	}
	n := len(f.values)
	if n == cap(f.values) {
		f.values, n = make([]string, 0, maxPreflightFields), 0
	}
	f.values = append(f.values, value)
	f.header[name] = f.values[n : n+1 : n+1]
}

// addVary adds the names that the Vary field does not have yet.
func (f *fields) addVary(present []string, vary *varyNames) {
	if len(present) == 0 {
		f.set("Vary", vary.joined)
		return
	}
	if httpguts.HeaderValuesContainsToken(present, "*") {
		return
	}
	present = slices.Clip(present) // whoever set it may use it for other responses too
	for _, name := range vary.names {
		if !httpguts.HeaderValuesContainsToken(present, name) {
			present = append(present, name)
		}
	}
	f.header["Vary"] = present
}

// removeCORS removes the headers that this handler owns, in whatever case they are spelled.
func removeCORS(header http.Header) {
	for name := range header {
		if isCORS(name) {
			delete(header, name)
		}
	}
}

// A responseWriter annotates the response by the decision when its final header is written. There is one for every
// request, so it holds what most of them need, and the rest apart.
type responseWriter struct {
	caddyhttp.ResponseWriterWrapper
	handler   *Handler
	rest      *rest
	annotated bool
	values    [2]string // of Access-Control-Allow-Origin, if it is to be set, and Vary
}

// rest is what a responseWriter needs where there is more to set.
type rest struct {
	policy    *policy.Policy
	decision  *policy.Decision // the whole of it, for forwarded preflights and the debug header
	preflight bool
	values    [maxActualFields]string
}

func (h *Handler) newResponseWriter(w http.ResponseWriter, req *policy.Request, d *policy.Decision) *responseWriter {
	var rw *responseWriter
	if whole := req.Preflight || h.Debug; whole || d.Policy.SendsMore() {
		both := new(struct {
			responseWriter
			rest
		})
		rw = &both.responseWriter
		rw.rest = &both.rest
		rw.rest.policy = d.Policy
		if whole {
			decision := *d
			rw.rest.decision, rw.rest.preflight = &decision, req.Preflight
		}
	} else {
		rw = new(responseWriter)
	}
	rw.ResponseWriter, rw.handler, rw.values[0] = w, h, d.AllowOrigin
	return rw
}

func (w *responseWriter) annotateOnce() {
	if w.annotated {
		return
	}
	w.annotated = true
	header, rest := w.Header(), w.rest
	switch {
	case rest == nil:
		fields := fields{header, w.values[:1]}
		if w.handler.clear(&fields, &w.handler.vary) && w.values[0] != "" {
			header[allowOrigin] = w.values[:1:1]
		}
	case rest.decision != nil:
		w.handler.annotate(header, rest.decision, rest.preflight, rest.values[:0])
	default:
		w.handler.annotate(header, &policy.Decision{Policy: rest.policy, AllowOrigin: w.values[0]}, false, rest.values[:0])
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
