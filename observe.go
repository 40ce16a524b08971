package caddycors

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddy-cors/caddy-cors/internal/denials"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// The variables of a request that tell of the decision: {http.vars.cors.outcome} and so on.
const (
	outcomeVar = "cors.outcome"
	reasonVar  = "cors.reason"
	policyVar  = "cors.policy"
)

// The modes of a directive, in metrics.
const (
	modeDecide     = "decide"
	modeEnforce    = "enforce"
	modeReportOnly = "report_only"
)

func (h *Handler) mode() string {
	switch {
	case h.ReportOnly:
		return modeReportOnly
	case h.Enforce != policy.EnforceNothing:
		return modeEnforce
	}
	return modeDecide
}

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
		// Nobody can tell when the configuration is loaded whether somebody will ask for these; a template may. So they
		// are always set, to values that need no allocation where the request is allowed.
		before := len(vars)
		vars[outcomeVar], vars[policyVar] = outcomeValue(d.Outcome), t.name
		again := len(vars) == before // as both are set, or none
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
		t.counters.of(asked, d).Inc()
	}
	if d.Outcome == policy.Denied {
		denials.Default.Add(denials.Request{Directive: h.directive, HTTP: r, Asked: asked, Decision: d})
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
	case policy.NoCORS:
		return string(policy.NoCORS)
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
}, []string{"server", "kind", "outcome", "reason", "policy", "mode"})

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
	for _, p := range policies {
		t := tally{policy: p, name: p.Name()}
		if metrics {
			t.counters = newCounters(h.directive.Server, p.Name(), h.mode())
		}
		h.tallies = append(h.tallies, t)
	}
	return nil
}

// counters are the series of one policy. They all exist from the start, so that the first denial is an increase.
type counters struct {
	preflight, actual kindCounters
}

// kindCounters are the series of one kind of requests.
type kindCounters struct {
	allowed, sameOrigin, noOrigin, noCORS prometheus.Counter
	denied                                map[policy.Reason]prometheus.Counter
}

func newCounters(server, policyName, mode string) *counters {
	series := func(kind policy.Kind, outcome policy.Outcome, reason policy.Reason) prometheus.Counter {
		return requestsTotal.WithLabelValues(server, string(kind), string(outcome), string(reason), policyName, mode)
	}
	denied := func(kind policy.Kind, reasons ...policy.Reason) map[policy.Reason]prometheus.Counter {
		m := make(map[policy.Reason]prometheus.Counter)
		for _, reason := range reasons {
			m[reason] = series(kind, policy.Denied, reason)
		}
		return m
	}
	return &counters{
		preflight: kindCounters{
			allowed: series(policy.KindPreflight, policy.Allowed, ""),
			denied:  denied(policy.KindPreflight, append(policy.PreflightReasons[:3:3], policy.OriginReasons...)...),
		},
		actual: kindCounters{
			allowed:    series(policy.KindActual, policy.Allowed, ""),
			sameOrigin: series(policy.KindActual, policy.SameOrigin, ""),
			noOrigin:   series(policy.KindActual, policy.NoOrigin, ""),
			noCORS:     series(policy.KindActual, policy.NoCORS, ""),
			denied:     denied(policy.KindActual, policy.OriginReasons...),
		},
	}
}

func (c *counters) of(r *policy.Request, d *policy.Decision) prometheus.Counter {
	k := &c.actual
	if r.IsPreflight() {
		k = &c.preflight
	}
	switch d.Outcome {
	case policy.Allowed:
		return k.allowed
	case policy.SameOrigin:
		return k.sameOrigin
	case policy.NoOrigin:
		return k.noOrigin
	case policy.NoCORS:
		return k.noCORS
	}
	return k.denied[d.Reason]
}

// provisionDirective finds out which directive of the configuration this is, by its JSON.
func (h *Handler) provisionDirective(ctx caddy.Context, asJSON []byte) {
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	h.directive = denials.NewDirective(server, asJSON, h.ReportOnly, ctx.Logger())
}
