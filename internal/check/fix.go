package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// maxAttempts bounds the search for all that a call needs: an origin, a method, headers, credentials, what is read, and what
// stands in the way of each.
const maxAttempts = 16

// A fixer looks for the edits of a configuration that have it allow a call. It tries each.
type fixer struct {
	check   *Check
	handler Handler
	before  *configuration // as it is
	probes  []probe        // calls that edits are not to take away, and what they come to before
	lost    map[*configuration][]Loss
}

// A candidate is a change that could help, and how it is said.
type candidate struct {
	change
	fixes  []Fix
	advice []string // that goes with it
	unseen *Unseen  // the cors that it has see the request
	wide   bool     // whether it could take something away from other calls
}

// A tried candidate is one with what came of it.
type tried struct {
	candidate
	conf    *configuration
	attempt *attempt
	err     error // the attempt's
	loses   []Loss
}

// allowed reports whether the call is allowed with it, as far as that was seen.
func (t *tried) allowed() bool { return t.err == nil && t.attempt.cause == nil }

// fix finds what would allow the call whose first attempt was blocked, and writes it into the report.
func (f *fixer) fix(ctx context.Context, first *attempt, report *Report) {
	now := &tried{conf: f.before, attempt: first}
	if report.Verdict == VerdictUnknown {
		now.err = errUnknown
	}
	seen := []string{signature(first)}
	var fixes []Fix
	var advice []string
	for range maxAttempts {
		if now.allowed() {
			break
		}
		p := proposer{fixer: f, conf: now.conf, attempt: now.attempt}
		p.propose()
		advice = append(advice, p.advice...)
		best := f.choose(ctx, now, p.candidates, seen)
		if best == nil {
			break
		}
		report.noteShared(now.conf, best.fixes)
		fixes = append(fixes, best.fixes...)
		advice = append(advice, best.advice...)
		if best.unseen != nil {
			report.Unseen = append(report.Unseen, *best.unseen)
		}
		now = best
		seen = append(seen, signature(now.attempt))
	}
	f.conclude(ctx, now, fixes, advice, report)
}

// noteShared says which sites share the lines that are edited: each of them gets what the edit allows.
func (r *Report) noteShared(conf *configuration, fixes []Fix) {
	if conf.text == nil {
		return
	}
	for _, fix := range fixes {
		var sites []string
		for _, root := range slices.Concat(conf.text.Sites(), conf.text.NamedRoutes()) {
			for use := range root.All() {
				if file, at := lineOf(use); use == root || file != fix.File || at != fix.At {
					continue
				}
				for _, site := range use.Sites() {
					if name := strings.Join(append([]string{site.Name()}, site.Args()...), ", "); !slices.Contains(sites, name) {
						sites = append(sites, name)
					}
				}
			}
		}
		if len(sites) < 2 || slices.ContainsFunc(r.Warnings, func(w Warning) bool { return w.Code == sharedLines }) {
			continue
		}
		r.Warnings = append(r.Warnings, Warning{Code: sharedLines, Message: fmt.Sprintf(
			"%s:%d is a line of %d sites (%s): the edit changes what each of them allows.", fix.File, fix.At, len(sites), strings.Join(sites, "; "))})
	}
}

const sharedLines = "shared-lines"

// errUnknown says that the call could not be seen to its end.
var errUnknown = errors.New("the verdict is unknown")

// signature tells attempts apart that are blocked by different things.
func signature(a *attempt) string {
	if a.cause == nil {
		return "allowed"
	}
	c := a.cause
	place := ""
	if e := a.last(); e != nil {
		if d, ok := e.decisive(); ok {
			place = fmt.Sprint(d.place, d.decision.Outcome, d.decision.Reason)
		}
	}
	return fmt.Sprint(c.Code, c.URL, c.Hop, c.At, c.Origin, c.Names, place)
}

// choose tries the candidates, and returns the one that takes least away from other calls; of several, the one that has the
// call allowed, or the first. It returns nil if none helps.
func (f *fixer) choose(ctx context.Context, now *tried, candidates []candidate, seen []string) *tried {
	var best *tried
	for _, c := range candidates {
		if ctx.Err() != nil {
			return best
		}
		conf, err := now.conf.with(c.change)
		if err != nil {
			continue
		}
		t := &tried{candidate: c, conf: conf}
		t.attempt, t.err = f.try(ctx, conf)
		if _, refused := errors.AsType[notProvisionedError](t.err); refused {
			continue
		}
		if t.err == nil && t.attempt.cause != nil && slices.Contains(seen, signature(t.attempt)) {
			continue
		}
		if t.err != nil && best != nil {
			continue
		}
		if c.wide {
			t.loses = f.losses(ctx, conf)
		}
		if best == nil || better(t, best) {
			best = t
		}
		if best.allowed() && len(best.loses) == 0 {
			break
		}
	}
	return best
}

// try makes the call, but for what could change something. Where a backend's own CORS headers would count, which were not seen
// then, those of its answer to a GET are looked at: they are the best guess at the others.
func (f *fixer) try(ctx context.Context, conf *configuration) (*attempt, error) {
	a, err := f.check.attempt(ctx, conf, asTrial)
	if err != nil || a.cause != nil || isSafe(f.check.request.Method) || f.check.request.Method == "" {
		return a, err
	}
	e := a.last()
	if e == nil || len(e.leftOut) == 0 {
		return a, nil
	}
	if d, ok := e.decisive(); ok && at(conf.tree, d.place)["upstream"] != "preserve" {
		return a, nil
	}
	twin := *f.check
	twin.request.Method, twin.request.Body = http.MethodGet, nil
	if as, err := twin.attempt(ctx, conf, asTrial); err == nil && as.cause != nil && as.cause.At == fetch.AtResponse {
		return as, nil
	}
	return a, nil
}

// better reports whether a candidate is to be preferred to one before it.
func better(a, b *tried) bool {
	switch {
	case b.err != nil && a.err == nil:
		return true
	case len(a.loses) != len(b.loses):
		return len(a.loses) < len(b.loses)
	}
	if b.unseen != nil && a.unseen == nil { // a directive that is there already is the one that is meant
		return false
	}
	return a.allowed() && !b.allowed()
}

// The outcomes of a trial, as the report has them.
const (
	triedAllowed   = "allowed"
	triedPreflight = "preflight"
	triedBlocked   = "blocked"
	triedUntried   = "untried"
)

// conclude says what was found. Nothing is said to help that was not seen to.
func (f *fixer) conclude(ctx context.Context, end *tried, fixes []Fix, advice []string, report *Report) {
	if len(fixes) > 0 {
		report.Tried, report.TriedReason, report.LeftOut = f.outcome(end)
		if report.Tried != triedBlocked {
			report.Loses = f.losses(ctx, end.conf)
			report.edited = end.conf
			report.Diff = end.conf.diff()
			report.Patch = patchOf(end.conf)
			for i := range fixes {
				fixes[i].Tried = report.Tried
			}
			report.Fixes = append(report.Fixes, fixes...)
		} else {
			report.StillBlocked = causeOf(end.attempt.cause)
			report.Unseen = nil
			report.Warnings = slices.DeleteFunc(report.Warnings, func(w Warning) bool { return w.Code == sharedLines })
		}
	}
	for _, text := range advice {
		fix := Fix{Advice: text}
		if !slices.ContainsFunc(report.Fixes, func(other Fix) bool { return other.Advice == text }) {
			report.Fixes = append(report.Fixes, fix)
		}
	}
}

func patchOf(c *configuration) []patchOp {
	if c.unedited != nil {
		return nil
	}
	return c.patch
}

// notCORS are causes behind which CORS has let the call pass.
var notCORS = []fetch.Code{fetch.ErrorStatus, fetch.MIMEType, fetch.HeadersTooLarge, fetch.WebSocketHandshake, fetch.HTTP1Stream}

// outcome says what was seen of the last trial.
func (f *fixer) outcome(end *tried) (outcome, reason string, leftOut []string) {
	if end.err != nil {
		_, message := explainFailure(end.err)
		if local, ok := errors.AsType[notLocalError](end.err); ok {
			message = local.Error()
		}
		if errors.Is(end.err, errNotSafe) {
			message = "The call leaves the configuration with a request that could change something."
		}
		return triedUntried, message, nil
	}
	for _, e := range end.attempt.exchanges {
		for _, name := range e.leftOut {
			if !slices.Contains(leftOut, name) {
				leftOut = append(leftOut, name)
			}
		}
	}
	switch {
	case end.conf.unedited != nil:
		return triedUntried, fmt.Sprintf("%s cannot be edited by the check: %v.", end.conf.name, end.conf.unedited), leftOut
	case end.attempt.cause != nil && slices.Contains(notCORS, end.attempt.cause.Code):
		return triedUntried, "CORS does not block the call with it any more, but something else does: " + end.attempt.cause.Message, leftOut
	case end.attempt.cause != nil:
		return triedBlocked, "", leftOut
	case len(leftOut) == 0:
		return triedAllowed, "", nil
	case slices.ContainsFunc(end.attempt.result.Steps, func(s fetch.Step) bool { return s.Exchange != nil && s.Exchange.Preflight }):
		return triedPreflight, "", leftOut
	}
	return triedUntried, fmt.Sprintf("The request could change something, so the handlers that could do so were left out (%s), and they could answer otherwise.", strings.Join(leftOut, ", ")), leftOut
}

// line is where an edit is made, for people.
func lineOf(use *edit.Use) (file string, line int) {
	if use == nil || use.Place == nil {
		return "", 0
	}
	return use.Place.File.Name, use.Place.Line()
}
