package caddycors

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// ServeHTTP decides what to allow the request, then answers it, if it is a preflight, or annotates the response that the
// next handlers write.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if decided(w) {
		return next.ServeHTTP(w, r)
	}
	var req policy.Request
	h.classify(r, &req)
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
	if rw.late && !h.ReportOnly {
		policy.RemoveTrailers(w.Header())
	}
	return err
}

// classify takes from the request what bears on the decision.
func (h *Handler) classify(r *http.Request, req *policy.Request) {
	req.Read(r.Method, r.Host, r.Header)
	req.Path, req.Context = r.URL.Path, r.Context()
	req.Exempt = h.exempts(r)
	if h.policies.PerRequest() {
		req.Placeholders = r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	}
}

// exempts reports whether enforce leaves the request's path alone.
func (h *Handler) exempts(r *http.Request) bool {
	if len(h.EnforceExcept) == 0 {
		return false
	}
	match, err := h.EnforceExcept.MatchWithError(r)
	return match && err == nil
}

// answer answers what does not reach the next handlers: preflights that are not forwarded, and what enforce refuses.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, req *policy.Request, d *policy.Decision) (answered bool, err error) {
	if h.Upstream == upstreamPreserve && r.Context().Value(caddyhttp.ErrorCtxKey) != nil {
		// Error routes start with the headers of the failed response, the CORS headers of its own policy among them.
		// Those are not an upstream's.
		policy.RemoveOwned(w.Header())
	}
	preflight := req.IsPreflight()
	switch {
	case preflight && d.AllowOrigin == "" && (!h.ForwardPreflight || h.Enforce != policy.EnforceNothing && !req.Exempt):
		answer := h.answers.To(req, d)
		h.answers.Apply(&answer, w.Header(), make([]string, 0, 1))
		w.WriteHeader(http.StatusForbidden)
		return true, nil
	case preflight && !h.ForwardPreflight:
		room := policy.MaxPreflightFields
		if !d.Policy.NeedsMore() {
			room -= 2
		}
		values := make([]string, 0, room)
		answer := h.answers.To(req, d)
		h.answers.Apply(&answer, w.Header(), values)
		w.WriteHeader(h.PreflightStatus)
		return true, nil
	case d.Refused:
		answer := h.answers.To(req, d)
		h.answers.Apply(&answer, w.Header(), make([]string, 0, 1))
		return true, caddyhttp.Error(http.StatusForbidden, &DeniedError{Reason: string(d.Reason), Detail: d.Detail})
	}
	return false, nil
}

// A DeniedError is the error for a request that enforce refuses. [errors.As] finds it in the chain of the error that
// handle_errors gets.
type DeniedError struct {
	// Reason is why the request is denied, such as "origin-not-allowed".
	Reason string

	// Detail is what was denied, as it is in the request.
	Detail string
}

func (e *DeniedError) Error() string { return fmt.Sprintf("cors: %s: %.128q", e.Reason, e.Detail) }
