package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// A Check is what the command is asked.
type Check struct {
	request         fetch.Request
	page            page
	reads           []string
	config, adapter string
	servedBy        string // the listener of the configuration that is called, if not the one on the URL's port
	network         http.RoundTripper
	answers         map[string]bool // of the configuration's sources that ask somebody else
	maxTime         time.Duration   // for all requests of an attempt together
	yes             bool            // whether a live request that could change something is asked for
	showSecrets     bool
}

// An attempt is one run of the browser's algorithm.
type attempt struct {
	result    *fetch.Result
	cause     *fetch.Cause // nil if the call is allowed
	exchanges []*exchange  // with a configuration
	warnings  []Warning
}

// codeNotReadable is the cause where the response is there, but not what of it --reads asks for.
const codeNotReadable fetch.Code = "header-not-exposed"

// last is the exchange that the cause is about.
func (a *attempt) last() *exchange {
	if len(a.exchanges) == 0 {
		return nil
	}
	return a.exchanges[len(a.exchanges)-1]
}

// lastResponse is the response that the cause is about.
func (a *attempt) lastResponse() (int, http.Header) {
	for _, step := range slices.Backward(a.result.Steps) {
		if step.Exchange != nil {
			return step.Exchange.Status, step.Exchange.ResponseHeader
		}
	}
	return 0, nil
}

// try runs the browser's algorithm once.
func (c *Check) try(ctx context.Context, transport http.RoundTripper) (*attempt, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.maxTime, errMaxTime)
	defer cancel()
	limit := requestTimeout
	if c.request.Kind == fetch.KindEventSource { // whose server may wait for an event
		limit = c.maxTime
	}
	client := fetch.Client{Transport: timed{transport, limit}}
	result, err := client.Fetch(ctx, c.request)
	if err != nil && result == nil {
		return &attempt{}, err
	}
	a := &attempt{result: result, cause: result.Cause}
	if config, ok := transport.(*localConfig); ok {
		a.exchanges = config.exchanges
	}
	for _, w := range result.Warnings {
		warning := Warning{Code: string(w.Code), Message: w.Message}
		for _, engine := range w.Engines {
			warning.Engines = append(warning.Engines, string(engine))
		}
		a.warnings = append(a.warnings, warning)
	}
	if err != nil {
		return a, err
	}
	if result.Verdict == fetch.Allowed && !c.request.PreflightOnly {
		c.checkReads(a)
		if result.Status >= 400 {
			a.warn("error-status", "The script gets the response, and its status is %d.", result.Status)
		}
	}
	return a, nil
}

func (a *attempt) warn(code, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(a.warnings, func(w Warning) bool { return w.Code == code && w.Message == message }) {
		a.warnings = append(a.warnings, Warning{Code: code, Message: message})
	}
}

// checkReads finds the first field that the script reads in vain.
func (c *Check) checkReads(a *attempt) {
	r := a.result
	for _, name := range c.reads {
		if r.Readable(name) {
			continue
		}
		if len(r.Header.Values(name)) == 0 {
			a.warn("header-absent", "The response has no header %s.", name)
			if c.couldRead(a, name) {
				continue
			}
		}
		if a.cause == nil {
			_, header := a.lastResponse()
			a.cause = &fetch.Cause{
				Code:    codeNotReadable,
				Message: fmt.Sprintf("Refused to get unsafe header %q: it is not among the headers that the response exposes (Access-Control-Expose-Headers: %q).", name, strings.Join(header.Values("Access-Control-Expose-Headers"), ", ")),
				URL:     r.URL,
				At:      fetch.AtResponse,
				Origin:  c.request.Origin,
				Names:   []string{name},
			}
		}
	}
}

// couldRead reports whether a script could read a field that the response does not have, if it had it.
func (c *Check) couldRead(a *attempt, name string) bool {
	r := a.result
	if strings.EqualFold(name, "Set-Cookie") || strings.EqualFold(name, "Set-Cookie2") {
		return false
	}
	for _, readable := range []string{"Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Expires", "Last-Modified", "Pragma"} {
		if strings.EqualFold(readable, name) {
			return true
		}
	}
	if e := a.last(); e != nil {
		if seen, ok := e.decisive(); ok && seen.decision.Policy.ExposesAll() { // and lists those that the response has
			return true
		}
	}
	exposed := r.Header.Values("Access-Control-Expose-Headers")
	if r.Opaque {
		return false
	}
	sameOrigin := !slices.ContainsFunc(r.Steps, func(step fetch.Step) bool {
		return step.Outcome == fetch.CORS || step.Outcome == fetch.Preflight || step.Outcome == fetch.Cached
	})
	return sameOrigin || httpguts.HeaderValuesContainsToken(exposed, name) ||
		!c.request.Credentials && httpguts.HeaderValuesContainsToken(exposed, "*")
}

// Run checks, and reports, with what would change a verdict that is not what it should be. It needs of the cors handler what h
// has, for configurations.
func (c *Check) Run(ctx context.Context, h Handler) *Report {
	report, a, conf := c.judge(ctx)
	switch {
	case a == nil || a.cause == nil && report.Verdict != VerdictUnknown:
	case conf == nil && a.cause == nil:
	case conf == nil:
		report.Fixes = append(report.Fixes, c.live(a)...)
	default:
		(&fixer{check: c, handler: h, before: conf}).fix(ctx, a, report)
	}
	c.cut(report)
	return report
}

// Judge checks, and reports the verdict alone.
func (c *Check) Judge(ctx context.Context) *Report {
	report, _, _ := c.judge(ctx)
	c.cut(report)
	return report
}

// cut cuts the secrets out of a report, unless they are to be shown.
func (c *Check) cut(report *Report) {
	if !c.showSecrets {
		report.cutSecrets()
	}
}

// judge makes the call. Where a live server was called, the configuration is nil.
func (c *Check) judge(ctx context.Context) (*Report, *attempt, *configuration) {
	if c.config == "" {
		if err := c.loadPage(ctx, c.network); err != nil {
			return unknown(explainFailure(err)), nil, nil
		}
		a, err := c.try(ctx, c.network)
		if err != nil {
			return failed(a, err), nil, nil
		}
		return newReport(a), a, nil
	}
	silence()
	conf, err := c.load()
	if err != nil {
		return unknown("config", err.Error()), nil, nil
	}
	if err := c.loadPageIn(ctx, conf, inEarnest); err != nil {
		return c.pageFailed(err), nil, nil
	}
	a, err := c.attempt(ctx, conf, inEarnest)
	report, ran := c.reportOf(a, conf, err)
	if !ran {
		return report, nil, nil
	}
	return report, a, conf
}

// pageFailed reports why the page is not there.
func (c *Check) pageFailed(err error) *Report {
	if _, ok := errors.AsType[notProvisionedError](err); ok {
		return c.notProvisioned(err)
	}
	return unknown(explainFailure(err))
}

func (c *Check) notProvisioned(err error) *Report {
	return unknown("config", fmt.Sprintf("Caddy refuses %s: %v", c.config, err))
}

// reportOf reports an attempt in a configuration, with its error. It reports false if the configuration has not run.
func (c *Check) reportOf(a *attempt, conf *configuration, err error) (report *Report, ran bool) {
	if err == nil {
		c.note(a, conf)
		report := newReport(a)
		report.nameHandlers(a, conf)
		return report, true
	}
	if _, ok := errors.AsType[notProvisionedError](err); ok {
		return c.notProvisioned(err), false
	}
	if local, ok := errors.AsType[notLocalError](err); ok {
		return unknown("not-in-config", local.Error()), false
	}
	return failed(a, err), true
}
