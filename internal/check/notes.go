package check

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// note says what else stands in the way of a call than CORS.
func (c *Check) note(a *attempt, conf *configuration) {
	for _, e := range a.exchanges {
		e.mu.Lock()
		failed, leftOut := e.failed, e.leftOut
		e.mu.Unlock()
		if failed.upstream != "" && at(conf.tree, failed.place)["handler"] == "reverse_proxy" {
			reason := failed.err
			if wrapped, ok := errors.AsType[caddyhttp.HandlerError](reason); ok && wrapped.Err != nil {
				reason = wrapped.Err // without where in Caddy's code it is from
			}
			a.warn("upstream-down", "The upstream %s of the reverse proxy does not answer (%v): %s gets an error of Caddy's own.", failed.upstream, reason, e.request.URL)
		}
		for _, name := range leftOut {
			a.warn("left-out", "The handler %s is not run by a check: what it would answer to %s is not known.", name, e.request.URL)
		}
	}
	if a.cause != nil {
		if status, _ := a.lastResponse(); status >= 400 && !a.preflightFailed() && !a.enforced() {
			a.warn("error-status", "The response that the script does not get has the status %d: that is another problem than CORS.", status)
		}
	}
	c.noteNetwork(a)
}

// preflightFailed reports whether the last response was the answer to a preflight.
func (a *attempt) preflightFailed() bool {
	return a.cause != nil && a.cause.At == "preflight"
}

// enforced reports whether the last response is a cors handler's own refusal.
func (a *attempt) enforced() bool {
	e := a.last()
	if e == nil {
		return false
	}
	d, ok := e.decisive()
	return ok && d.decision.Outcome == policy.Denied && e.failed.place == d.place
}

// noteNetwork says that a public page calls a private address, for which Chromium asks the visitor (Local Network Access).
func (c *Check) noteNetwork(a *attempt) {
	u, err := url.Parse(c.request.URL)
	if err != nil || c.request.Origin == origin.Null || !isPrivate(u.Hostname()) {
		return
	}
	if page, err := url.Parse(c.request.Origin); err != nil || isPrivate(page.Hostname()) {
		return
	}
	a.warn("local-network", "%s is an address of a private network or of the visitor's own machine. Where the page is public, Chromium asks the visitor for permission (Local Network Access), and without it the call is blocked, whatever the server answers.", u.Host)
}

// isPrivate reports whether a host is on a private network or this machine, as far as its name tells.
func isPrivate(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast())
}
