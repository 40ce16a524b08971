package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

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

	fixed bool // whether the fixes were tried, and the call is allowed with them
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
		report.Cause = &Cause{Code: string(c.Code), Message: c.Message, URL: c.URL, Hop: c.Hop, At: string(c.At), Origin: c.Origin, Names: c.Names}
	}
	if n := r.Needs; n != nil {
		report.Needs = &Needs{n.URL, string(n.At), n.Status, n.Origin, n.Credentials, n.Method, n.Headers}
	}
	for _, s := range r.Steps {
		step := Step{Algorithm: s.Algorithm, Outcome: string(s.Outcome), Text: s.Text, URL: s.URL}
		if e := s.Exchange; e != nil {
			step.Exchange = &Exchange{e.Preflight, e.Method, e.RequestHeader, e.Status, e.ResponseHeader}
		}
		report.Steps = append(report.Steps, step)
	}
	return report
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
	if a == nil {
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
	r.sayFixes(&b, say)
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

// sayFixes prints the lines as they are written into a Caddyfile, with those of one block together, and the advice.
func (r *Report) sayFixes(b *strings.Builder, say func(string, ...any)) {
	for i := 0; i < len(r.Fixes); {
		fix := r.Fixes[i]
		if fix.Advice != "" {
			say("\nFix: %s", fix.Advice)
			i++
			continue
		}
		end := i + 1
		for end < len(r.Fixes) && r.Fixes[end].Line != "" && r.Fixes[end].Site == fix.Site &&
			(r.Fixes[end].Block == fix.Block || fix.Block == blockSite && r.Fixes[end].Block == blockCors) {
			end++
		}
		lines := r.Fixes[i:end]
		i = end
		switch {
		case fix.Block != blockSite:
			say("\nFix: in the %s block of the site %s, add", fix.Block, fix.Site)
			for _, line := range lines {
				sayLine(say, "    ", line)
			}
		case len(lines) == 1:
			say("\nFix: in the block of the site %s, add", fix.Site)
			sayLine(say, "    ", fix)
		default:
			say("\nFix: in the block of the site %s, add", fix.Site)
			say("    %s {", fix.Line)
			for _, line := range lines[1:] {
				sayLine(say, "        ", line)
			}
			say("    }")
		}
	}
	if r.fixed {
		b.WriteString("\nWith this, the call is allowed: it was tried.\n")
	}
}

func sayLine(say func(string, ...any), indent string, fix Fix) {
	if fix.Replaces != "" {
		say(indent+"%s   (in the place of: %s)", fix.Line, fix.Replaces)
		return
	}
	say(indent+"%s", fix.Line)
}
