package caddycors

import (
	"bufio"
	"io"
	"net"
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// A responseWriter annotates the response by the decision when its final header is written. There is one for every
// request, and it is most of what cors costs, so it has three forms, each of them one allocation (or two, for the last):
//
//   - Most responses get Access-Control-Allow-Origin and Vary. The writer has just their values: 80 bytes.
//   - Where the policy sends more, such as Access-Control-Allow-Credentials, the rest is allocated together with the
//     writer: 192 bytes, which would cost 40 ns more for every request.
//   - Forwarded preflights and responses with the debug header have their whole answer, apart from both.
//
// Writers are not pooled: another handler may still hold one after its request has ended, and would write into the
// response of another.
type responseWriter struct {
	caddyhttp.ResponseWriterWrapper
	handler   *Handler
	rest      *rest
	annotated bool
	late      bool      // whether somebody has asked for the header after that, as for trailers
	bySite    bool      // whether the answer depends on the request's site
	values    [2]string // of Access-Control-Allow-Origin, if it is to be set, and Vary
}

// rest is what a responseWriter needs where there is more to set.
type rest struct {
	policy *policy.Policy
	answer *policy.Answer // the whole of it, for forwarded preflights and the debug header
	values [policy.MaxActualFields]string
}

func (h *Handler) newResponseWriter(w http.ResponseWriter, req *policy.Request, d *policy.Decision) *responseWriter {
	var rw *responseWriter
	if whole := req.IsPreflight() || h.Debug; whole || d.Policy.NeedsMore() {
		both := new(struct {
			responseWriter
			rest
		})
		rw = &both.responseWriter
		rw.rest = &both.rest
		rw.rest.policy = d.Policy
		if whole {
			answer := h.answers.To(req, d)
			rw.rest.answer = &answer
		}
	} else {
		rw = new(responseWriter)
	}
	rw.ResponseWriter, rw.handler, rw.values[0], rw.bySite = w, h, d.AllowOrigin, h.answers.DependOnSite(req)
	return rw
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

// Header returns the response's header.
func (w *responseWriter) Header() http.Header {
	w.late = w.late || w.annotated
	return w.ResponseWriter.Header()
}

func (w *responseWriter) annotateOnce() {
	if w.annotated {
		return
	}
	w.annotated = true
	answers, header, rest := w.handler.answers, w.ResponseWriter.Header(), w.rest
	switch {
	case rest == nil:
		answers.ApplyOrigin(header, w.values[:], w.bySite)
	case rest.answer != nil:
		answers.Apply(rest.answer, header, rest.values[:0])
	default:
		answer := answers.ToActual(rest.policy, w.values[0], w.bySite)
		answers.Apply(&answer, header, rest.values[:0])
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
