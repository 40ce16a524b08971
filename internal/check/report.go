package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// A Report is what the check has found out. Its JSON form is documented in docs/check.md, and stable.
type Report struct {
	Verdict  string    `json:"verdict"`
	Cause    *Cause    `json:"cause"` // null if the call is allowed
	Fixes    []Fix     `json:"fixes"`
	Warnings []Warning `json:"warnings"`

	// What the script sees of the response, if the call is allowed.
	Status          int      `json:"status,omitempty"`
	URL             string   `json:"url,omitempty"`
	ReadableHeaders []string `json:"readable_headers"`
	Opaque          bool     `json:"opaque,omitempty"` // it sees nothing of it

	// Needs is all that the response which blocks the call is seen to lack; null if it is not that.
	Needs *Needs `json:"needs"`

	Steps []Step `json:"steps"`

	// Of the edits among the fixes, all made at once: what was seen when they were tried, and what they do.
	Tried        string    `json:"tried,omitempty"`         // "allowed", "preflight", "blocked" or "untried"
	TriedReason  string    `json:"tried_reason,omitempty"`  // why it is not one of the first two
	LeftOut      []string  `json:"left_out,omitempty"`      // the handlers that were not run in the trial
	StillBlocked *Cause    `json:"still_blocked,omitempty"` // what blocks the call with all edits that were found
	Loses        []Loss    `json:"loses,omitempty"`         // calls that were allowed, and would not be any more
	Diff         string    `json:"diff,omitempty"`          // of the Caddyfile's files, unified
	Patch        []patchOp `json:"patch,omitempty"`         // of a JSON configuration (RFC 6902)
	Written      []string  `json:"written,omitempty"`       // the files that --write has written

	// Unseen are cors directives that did not see the request, and why.
	Unseen []Unseen `json:"unseen,omitempty"`

	edited *configuration // with all edits
}

// The actions of a fix.
const (
	ActionAdd       = "add"         // a line to a block
	ActionAddToList = "add-to-list" // a line to a list of origins
	ActionReplace   = "replace"     // a value by another
	ActionRemove    = "remove"      // a line
	ActionInsert    = "insert"      // a directive into a site or a block of it
	ActionMove      = "move"        // a directive to another place
	ActionWiden     = "widen"       // a matcher
)

// A Fix is one change that a blocked call needs: an edit, or advice where no edit can do it.
type Fix struct {
	Action   string `json:"action,omitempty"`
	Line     string `json:"line,omitempty"`     // that is added, put in, moved or removed
	Block    string `json:"block,omitempty"`    // that the line belongs in: "cors", "policy NAME", "site", "global", "forward_auth"
	Site     string `json:"site,omitempty"`     // that the block is of
	Replaces string `json:"replaces,omitempty"` // the line, or the one value of it, that this one takes the place of
	File     string `json:"file,omitempty"`     // that is edited
	At       int    `json:"at,omitempty"`       // the number of the line before the edits: the block's, or that which is changed
	Risk     string `json:"risk,omitempty"`     // that it takes
	Tried    string `json:"tried,omitempty"`    // as the report's
	Advice   string `json:"advice,omitempty"`
}

// The verdicts, besides those of a browser.
const VerdictUnknown = "unknown"

type Cause struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	URL     string   `json:"url,omitempty"`
	Hop     int      `json:"hop"`              // the number of redirects before it
	At      string   `json:"at,omitempty"`     // "request", "preflight", "redirect" or "response"
	Origin  string   `json:"origin,omitempty"` // the Origin of the request
	Names   []string `json:"names,omitempty"`  // the method, the header names or the values that it is about
}

// Needs has what a response lacks that the call needs.
type Needs struct {
	URL         string   `json:"url"`
	At          string   `json:"at"`                    // as of the cause
	Status      bool     `json:"status,omitempty"`      // a status from 200 to 299, of a preflight
	Origin      string   `json:"origin,omitempty"`      // in Access-Control-Allow-Origin
	Credentials bool     `json:"credentials,omitempty"` // Access-Control-Allow-Credentials: true
	Method      string   `json:"method,omitempty"`      // in Access-Control-Allow-Methods
	Headers     []string `json:"headers,omitempty"`     // in Access-Control-Allow-Headers
}

type Warning struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Engines []string `json:"engines,omitempty"` // the browsers' that do otherwise
}

type Step struct {
	Algorithm string    `json:"algorithm"`
	Outcome   string    `json:"outcome"`
	Text      string    `json:"text"`
	URL       string    `json:"url"`
	Exchange  *Exchange `json:"exchange,omitempty"`
}

type Exchange struct {
	Preflight       bool                `json:"preflight"`
	Method          string              `json:"method"`
	RequestHeaders  map[string][]string `json:"request_headers"`
	Status          int                 `json:"status"`
	ResponseHeaders map[string][]string `json:"response_headers"`
	Handler         string              `json:"handler,omitempty"` // of the configuration, that has answered
}

func newReport(a *attempt) *Report {
	r := a.result
	report := &Report{
		Verdict:         string(r.Verdict),
		Fixes:           []Fix{},
		Warnings:        append([]Warning{}, a.warnings...),
		Status:          r.Status,
		URL:             r.URL,
		ReadableHeaders: append([]string{}, r.ReadableHeaders...),
		Opaque:          r.Opaque,
		Steps:           []Step{},
	}
	if c := a.cause; c != nil {
		report.Verdict = string(fetch.Blocked)
		report.Cause = causeOf(c)
	}
	if n := r.Needs; n != nil {
		report.Needs = &Needs{n.URL, string(n.At), n.Status, n.Origin, n.Credentials, n.Method, n.Headers}
	}
	for _, s := range r.Steps {
		step := Step{Algorithm: s.Algorithm, Outcome: string(s.Outcome), Text: s.Text, URL: s.URL}
		if e := s.Exchange; e != nil {
			step.Exchange = &Exchange{Preflight: e.Preflight, Method: e.Method, RequestHeaders: e.RequestHeader, Status: e.Status, ResponseHeaders: e.ResponseHeader}
		}
		report.Steps = append(report.Steps, step)
	}
	return report
}

func causeOf(c *fetch.Cause) *Cause {
	return &Cause{Code: string(c.Code), Message: c.Message, URL: c.URL, Hop: c.Hop, At: string(c.At), Origin: c.Origin, Names: c.Names}
}

// unknown says that the verdict could not be found out, and why.
func unknown(code, message string) *Report {
	return &Report{
		Verdict:         VerdictUnknown,
		Cause:           &Cause{Code: code, Message: message},
		Fixes:           []Fix{},
		Warnings:        []Warning{},
		ReadableHeaders: []string{},
		Steps:           []Step{},
	}
}

// writeJSON writes the report, in which all that is not printable ASCII is escaped.
func (r *Report) writeJSON(w io.Writer) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	_, err := w.Write(printable.JSON(text.Bytes()))
	return err
}

// failed is the report of a call that ends where a server cannot be asked, with all that was found before.
func failed(a *attempt, err error) *Report {
	code, message := explainFailure(err)
	if a == nil || a.result == nil {
		return unknown(code, message)
	}
	report := newReport(a)
	report.Cause = &Cause{Code: code, Message: message}
	return report
}

// ExitCode is the command's: 0 for an allowed call, 1 for a blocked one, and 2 if that is unknown.
func (r *Report) ExitCode() int {
	switch r.Verdict {
	case string(fetch.Allowed):
		return exitAllowed
	case string(fetch.Blocked):
		return exitBlocked
	}
	return exitUnknown
}

// A palette has the control sequences of a terminal's colors, or nothing.
type palette struct{ good, bad, note, faint, reset string }

var colors = palette{good: "\x1b[1;32m", bad: "\x1b[1;31m", note: "\x1b[33m", faint: "\x1b[2m", reset: "\x1b[0m"}

// text is the report for a person. Nothing in it that a server has sent can control a terminal.
func (r *Report) text(c *Check, color bool) string {
	var p palette
	if color {
		p = colors
	}
	var b strings.Builder
	say := func(format string, args ...any) {
		for i, arg := range args {
			if text, ok := arg.(string); ok {
				args[i] = printable.ASCII(text)
			}
		}
		fmt.Fprintf(&b, format+"\n", args...)
	}
	say("A page of %s calls %s %s%s.", c.request.Origin, c.request.Method, c.request.URL, c.describe())
	b.WriteByte('\n')
	for _, step := range r.Steps {
		if step.Exchange == nil {
			if step.Outcome != string(fetch.Failed) { // which is the verdict's cause
				say("  %s", step.Text)
			}
			continue
		}
		say("> %s", step.Text)
		b.WriteString(p.faint)
		sayHeaders(say, "    ", step.Exchange.RequestHeaders, func(name string) bool {
			return name == "Origin" || strings.HasPrefix(name, "Access-Control-Request-")
		})
		sayHeaders(say, "  < ", step.Exchange.ResponseHeaders, func(name string) bool {
			return strings.HasPrefix(name, "Access-Control-") || name == "Timing-Allow-Origin" || name == "Location" || name == "Vary"
		})
		b.WriteString(p.reset)
	}
	b.WriteByte('\n')

	switch r.Verdict {
	case string(fetch.Allowed):
		b.WriteString(p.good)
		b.WriteString("Allowed." + p.reset)
		say(" %s", r.gets(c))
	case string(fetch.Blocked):
		b.WriteString(p.bad)
		b.WriteString("Blocked." + p.reset)
		say(" %s", r.Cause.Message)
	default:
		b.WriteString(p.note)
		b.WriteString("Unknown." + p.reset)
		say(" %s", r.Cause.Message)
	}
	for _, w := range r.Warnings {
		b.WriteString("\n" + p.note + "Note: " + p.reset)
		say("%s", w.Message)
	}
	r.sayFixes(&b, p, say)
	return b.String()
}

// gets says what the page gets of an allowed call.
func (r *Report) gets(c *Check) string {
	switch {
	case c.request.PreflightOnly:
		return "The preflight allows the request."
	case r.Opaque:
		return "The response is opaque: it is for the browser alone."
	case c.request.Kind == fetch.KindWebSocket:
		return "The server has opened the connection."
	case !c.request.Kind.Scripted():
		return fmt.Sprintf("The page gets the response, whose status is %d.", r.Status)
	}
	return fmt.Sprintf("The script gets the response, whose status is %d, and can read: %s", r.Status, strings.Join(r.ReadableHeaders, ", "))
}

// sayHeaders prints some fields of a header, in the order of their names.
func sayHeaders(say func(string, ...any), prefix string, header map[string][]string, shown func(name string) bool) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if shown(name) {
			for _, value := range header[name] {
				say(prefix+"%s: %s", name, value)
			}
		}
	}
}

// sayFixes prints the advice and the edits, what was seen when they were tried, and what they would take away.
func (r *Report) sayFixes(b *strings.Builder, p palette, say func(string, ...any)) {
	for _, unseen := range r.Unseen {
		say("\n%s:%d: %s did not see the request: %s.", unseen.File, unseen.Line, unseen.Text, unseen.Why)
	}
	edits := 0
	for _, fix := range r.Fixes {
		if fix.Advice == "" {
			edits++
			if r.Diff == "" {
				fix.say(say)
			}
		}
	}
	if r.Diff != "" {
		say("\nFix:\n")
		for line := range strings.Lines(r.Diff) {
			color := ""
			switch {
			case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "@@"):
				color = p.faint
			case strings.HasPrefix(line, "+"):
				color = p.good
			case strings.HasPrefix(line, "-"):
				color = p.bad
			}
			b.WriteString(color + visible(strings.TrimRight(line, "\r\n")))
			if color != "" {
				b.WriteString(p.reset)
			}
			b.WriteString("\n")
		}
	}
	if len(r.Patch) > 0 {
		text, _ := json.MarshalIndent(r.Patch, "", "  ") // which was JSON
		b.WriteString("\n" + visible(string(text)) + "\n")
	}
	r.sayTried(say, edits > 0)
	for _, loss := range r.Loses {
		if loss.Origin == "" {
			say("It would change this: %s %s, by a request that is not a page's, would be answered with %d.", loss.Method, loss.URL, loss.Status)
		} else {
			say("It would take this away: a page of %s calls %s %s, which is allowed now.", loss.Origin, loss.Method, loss.URL)
		}
	}
	for _, fix := range r.Fixes {
		if fix.Advice != "" {
			say("\n%s%s", map[bool]string{true: "Note: ", false: "Fix: "}[edits > 0], fix.Advice)
		}
	}
	if len(r.Written) > 0 {
		say("\nWritten: %s", strings.Join(r.Written, ", "))
	}
}

// sayTried says what was seen, and no more.
func (r *Report) sayTried(say func(string, ...any), edits bool) {
	switch {
	case r.Tried == triedAllowed:
		say("\nWith this, the call is allowed: it was tried.")
	case r.Tried == triedPreflight:
		say("\nWith this, the preflight is allowed: it was tried. The request itself was not made, because it could change something (left out: %s).", strings.Join(r.LeftOut, ", "))
	case r.Tried == triedUntried:
		say("\nWhether this is enough is not known. %s", r.TriedReason)
	case r.Tried == triedBlocked && r.StillBlocked != nil:
		say("\nNo edit was found that makes the call work. What still blocks it: %s", r.StillBlocked.Message)
	case edits && r.Tried == "":
		say("\nThis was not tried: the check does not know the server's configuration. With --config <Caddyfile>, it does.")
	}
}

// say prints an edit in a line, or the lines to write where there is no diff.
func (fix Fix) say(say func(string, ...any)) {
	where := "the site " + fix.Site
	switch fix.Block {
	case blockSite:
	case "global":
		where = "the global options"
	default:
		where = fmt.Sprintf("the %s block of the site %s", fix.Block, fix.Site)
	}
	place := ""
	if fix.File != "" {
		place = fix.File + ": "
		if fix.At > 0 {
			place = fmt.Sprintf("%s:%d: ", fix.File, fix.At)
		}
	}
	what := "add"
	switch fix.Action {
	case ActionRemove:
		what = "remove"
	case ActionMove:
		what = "move to where it sees the request"
	case ActionWiden:
		what = "widen the matcher"
		if fix.Replaces != "" {
			what += " " + fix.Replaces
		}
		what += " to"
	case ActionReplace:
		what = "in the place of " + fix.Replaces + ", write"
	case ActionAddToList:
		what, where = "add to the list of origins", "the site "+fix.Site
	}
	say("\nFix: %sin %s, %s", place, where, what)
	for line := range strings.Lines(fix.Line) {
		say("    %s", indented(strings.TrimSuffix(line, "\n")))
	}
}

// indented has blanks for the tabs at the start of a line.
func indented(line string) string {
	bare := strings.TrimLeft(line, "\t")
	return strings.Repeat("    ", len(line)-len(bare)) + bare
}

// visible escapes the control characters of a line of text but tabs.
func visible(line string) string {
	return strings.Map(func(c rune) rune {
		if c != '\t' && c != '\n' && !unicode.IsPrint(c) {
			return unicode.ReplacementChar
		}
		return c
	}, line)
}

// write writes the edits.
func (r *Report) write() (err error) {
	r.Written, err = r.edited.write()
	return err
}

// write writes what has been edited, and returns the names of the files.
func (c *configuration) write() ([]string, error) {
	switch {
	case c == nil:
		return nil, nil
	case c.unedited != nil:
		return nil, fmt.Errorf("nothing is written: %w", c.unedited)
	case c.text == nil:
		return nil, errors.New("nothing is written: a JSON configuration is changed by the patch, over the admin API")
	}
	written, err := c.text.Write()
	if err != nil {
		return nil, fmt.Errorf("nothing is written: %w", err)
	}
	return written, nil
}
