package caddycors

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

const (
	debugHeader = "X-Cors-Decision"

	// maxDetail bounds what of a request is shown to others, in bytes.
	maxDetail = 128
)

// The kinds of requests, in logs and metrics.
const (
	kindPreflight = "preflight"
	kindActual    = "actual"
)

// The variables of a request that tell of the decision: {http.vars.cors.outcome} and so on.
const (
	outcomeVar = "cors.outcome"
	reasonVar  = "cors.reason"
	policyVar  = "cors.policy"
)

// observe shows the decision to those who run the server: it sets variables, counts, and has denials logged. A request
// is counted once, though its error routes may decide anew.
func (h *Handler) observe(r *http.Request, asked *policy.Request, d *policy.Decision) {
	i := 0
	for i < len(h.tallies)-1 && h.tallies[i].policy != d.Policy {
		i++
	}
	t := &h.tallies[i]
	ctx := r.Context()
	if vars, ok := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any); ok {
		before := len(vars)
		// Nobody can tell when the configuration is loaded whether somebody will ask for these; a template may. So they
		// are always set, to values that need no allocation where the request is allowed.
		vars[outcomeVar], vars[policyVar] = outcomeValue(d.Outcome), t.name
		again := len(vars) == before
		if d.Reason != "" {
			vars[reasonVar] = reasonValue(d.Reason)
		} else if again {
			delete(vars, reasonVar)
		}
		if again && ctx.Value(caddyhttp.ErrorCtxKey) != nil {
			return
		}
	}
	if t.counters != nil {
		t.counters.of(asked.Preflight, d).Inc()
	}
	if d.Outcome == policy.Denied {
		allDenials.add(denialOf{h, r, asked, d})
	}
}

// outcomeValue returns the outcome as a string that is an interface value already.
func outcomeValue(o policy.Outcome) any {
	switch o {
	case policy.Allowed:
		return string(policy.Allowed)
	case policy.NoOrigin:
		return string(policy.NoOrigin)
	case policy.SameOrigin:
		return string(policy.SameOrigin)
	}
	return string(policy.Denied)
}

// reasonValue returns the reason likewise.
func reasonValue(r policy.Reason) any {
	switch r {
	case policy.OriginNotAllowed:
		return string(policy.OriginNotAllowed)
	case policy.OriginNull:
		return string(policy.OriginNull)
	case policy.OriginInvalid:
		return string(policy.OriginInvalid)
	}
	return string(r)
}

// A tally observes the decisions of one policy.
type tally struct {
	policy   *policy.Policy
	name     any       // of the policy, as the value of a variable
	counters *counters // nil where metrics are off
}

// requestsTotal counts requests for as long as the process runs. It belongs to no configuration, so that no reload resets it.
var requestsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Namespace: "caddy",
	Subsystem: "http_cors",
	Name:      "requests_total",
	Help:      "Number of requests by what CORS made of them.",
}, []string{"kind", "outcome", "reason", "policy"})

// provisionTallies prepares what is observed of each policy. Counters are kept where the metrics of Caddy's HTTP app are
// on, in the registry of its own.
func (h *Handler) provisionTallies(ctx caddy.Context, policies []*policy.Policy) error {
	metrics := false
	for _, module := range ctx.Modules() { // The app is still being provisioned, and can be had in no other way.
		if app, ok := module.(*caddyhttp.App); ok {
			metrics = app.Metrics != nil
		}
	}
	if metrics {
		var registered prometheus.AlreadyRegisteredError // by another handler of this configuration
		if err := ctx.GetMetricsRegistry().Register(requestsTotal); err != nil && !errors.As(err, &registered) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	for i, p := range policies {
		t := tally{policy: p, name: p.Name()}
		if metrics {
			t.counters = newCounters(p.Name(), i == len(policies)-1)
		}
		h.tallies = append(h.tallies, t)
	}
	return nil
}

// counters are the series of one policy. They exist from the start, so that the first denial is an increase.
type counters struct {
	preflight, actual    prometheus.Counter // allowed
	sameOrigin, noOrigin prometheus.Counter
	denied               [2]map[policy.Reason]prometheus.Counter // preflights, actual requests
}

// newCounters returns the counters of a policy. What none of several policies allows is the last one's.
func newCounters(name string, last bool) *counters {
	series := func(kind string, outcome policy.Outcome, reason policy.Reason) prometheus.Counter {
		return requestsTotal.WithLabelValues(kind, string(outcome), string(reason), name)
	}
	c := &counters{
		preflight: series(kindPreflight, policy.Allowed, ""),
		actual:    series(kindActual, policy.Allowed, ""),
		denied:    [2]map[policy.Reason]prometheus.Counter{{}, {}},
	}
	for _, reason := range policy.PreflightReasons {
		c.denied[0][reason] = series(kindPreflight, policy.Denied, reason)
	}
	if last {
		c.sameOrigin = series(kindActual, policy.SameOrigin, "")
		c.noOrigin = series(kindActual, policy.NoOrigin, "")
		for _, reason := range policy.OriginReasons {
			c.denied[0][reason] = series(kindPreflight, policy.Denied, reason)
			c.denied[1][reason] = series(kindActual, policy.Denied, reason)
		}
	}
	return c
}

func (c *counters) of(preflight bool, d *policy.Decision) prometheus.Counter {
	switch {
	case d.Outcome == policy.NoOrigin:
		return c.noOrigin
	case d.Outcome == policy.SameOrigin:
		return c.sameOrigin
	case d.Outcome == policy.Denied && preflight:
		return c.denied[0][d.Reason]
	case d.Outcome == policy.Denied:
		return c.denied[1][d.Reason]
	case preflight:
		return c.preflight
	}
	return c.actual
}

// cut returns the start of what a request holds, no longer than what is shown.
func cut(s string) string { return s[:min(len(s), maxDetail)] }

// debugValue explains a decision as a Structured Field (RFC 9651): an Item whose token is the outcome.
func debugValue(d *policy.Decision) string {
	value := string(d.Outcome)
	if d.Reason != "" {
		value += "; reason=" + string(d.Reason)
	}
	if d.Detail != "" {
		value += "; detail=" + quote(d.Detail)
	}
	return value + "; policy=" + quote(d.Policy.Name())
}

// quote makes a String (RFC 9651, section 3.3.3) of the start of s, with a "?" for each byte that it cannot hold.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(cut(s)) {
		switch {
		case c < ' ' || c > '~':
			c = '?'
		case c == '"' || c == '\\':
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}
