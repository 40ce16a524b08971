package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// A Check is what the command is asked.
type Check struct {
	request         fetch.Request
	page            page
	reads           []string
	config, adapter string
	network         http.RoundTripper
	maxTime         time.Duration // for all requests of an attempt together
	yes             bool          // whether a live request that could change something is asked for
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
		return nil, err
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

// Run checks, and reports. It needs of the cors handler what h has, for configurations.
func (c *Check) Run(ctx context.Context, h Handler) *Report {
	silence()
	report := c.run(ctx, h)
	if !c.showSecrets {
		report.cutSecrets()
	}
	return report
}

func (c *Check) run(ctx context.Context, h Handler) *Report {
	if err := c.loadPage(ctx); err != nil {
		return unknown(explainFailure(err))
	}
	if c.config != "" {
		return c.runConfig(ctx, h)
	}
	a, err := c.try(ctx, c.network)
	if err != nil {
		return failed(a, err)
	}
	report := newReport(a)
	if a.cause != nil {
		fixes, _ := (&fixer{check: c, problems: h.Problems, attempt: a}).find(ctx)
		report.Fixes = append(report.Fixes, fixes...)
	}
	return report
}

// maxAttempts bounds the search for all that a call needs: an origin, a method, headers, credentials, and what is read.
const maxAttempts = 16

// runConfig checks against a configuration. A browser tells one cause at a time; here each is mended in memory, until the
// call is allowed or only a person can go on, so that all fixes are told at once.
func (c *Check) runConfig(ctx context.Context, h Handler) *Report {
	text, _, _, err := caddycmd.LoadConfig(c.config, c.adapter)
	if err != nil {
		return unknown("config", err.Error())
	}
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return unknown("config", fmt.Sprintf("%s is no configuration: %v", c.config, err))
	}
	var report *Report
	for range maxAttempts {
		a, err := c.tryConfig(ctx, tree, report != nil)
		if err != nil && report == nil {
			if _, ok := errors.AsType[notProvisionedError](err); ok {
				return unknown("config", fmt.Sprintf("Caddy refuses %s: %v", c.config, err))
			}
			if local, ok := errors.AsType[notLocalError](err); ok {
				return unknown("not-in-config", local.Error())
			}
			return failed(a, err)
		}
		if err != nil {
			return report
		}
		if report == nil {
			report = newReport(a)
		}
		if a.cause == nil {
			report.fixed = len(report.Fixes) > 0
			return report
		}
		fixes, applied := (&fixer{check: c, problems: h.Problems, attempt: a, tree: tree}).find(ctx)
		before := len(report.Fixes)
		for _, fix := range fixes {
			if !slices.Contains(report.Fixes, fix) {
				report.Fixes = append(report.Fixes, fix)
			}
		}
		if !applied || len(report.Fixes) == before {
			return report
		}
	}
	return report
}

// tryConfig runs the browser's algorithm once against a configuration. A trial of fixes makes no request that could
// change something: what a browser would have blocked must not happen.
func (c *Check) tryConfig(ctx context.Context, tree map[string]any, trial bool) (*attempt, error) {
	config, err := newLocalConfig(tree, c.network)
	if err != nil {
		return nil, notProvisionedError{err}
	}
	defer config.Close()
	if trial {
		harmless := clone(tree)
		withoutEffects(harmless)
		if config.harmless, err = newLocalConfig(harmless, nil); err != nil {
			return nil, notProvisionedError{err}
		}
	}
	a, err := c.try(ctx, config)
	if err != nil {
		return a, err
	}
	for _, e := range a.exchanges {
		if e.server == "" {
			a.warn("left-config", "%s is not in the configuration: its live server was asked.", e.request.URL.Host)
		}
	}
	return a, nil
}

// newLocalConfig provisions a configuration with a witness around each of its handlers. It does not change the tree.
func newLocalConfig(tree map[string]any, elsewhere http.RoundTripper) (*localConfig, error) {
	config, err := provisionConfig(withWitnesses(tree), elsewhere)
	if err != nil {
		// The error is to name the modules of the configuration alone.
		if plain, err := provisionConfig(clone(tree), elsewhere); err != nil {
			return nil, err
		} else {
			plain.Close()
		}
	}
	return config, err
}

// A notProvisionedError says that Caddy refuses a configuration.
type notProvisionedError struct{ error }

func clone(tree map[string]any) map[string]any {
	text, err := json.Marshal(tree)
	if err != nil {
		panic(err) // it was JSON before
	}
	var copied map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&copied); err != nil {
		panic(err)
	}
	return copied
}
