package check

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// A pasteCheck checks the calls that were pasted.
type pasteCheck struct {
	cmd     *cobra.Command
	args    []string // what comes after "-": the URL, where a call lacks it
	given   []givenFlag
	handler Handler

	replay, asJSON, yes, secrets, color bool
	write, diff                         bool
	notWritten                          bool // an edit could not be written
	width                               int  // of the output, in columns
}

// A givenFlag is one that a person has set. It wins over what was pasted.
type givenFlag struct {
	name   string
	values []string
}

// A PastedReport is the report on one of the calls that were pasted.
type PastedReport struct {
	Call PastedCall `json:"call"`
	*Report

	check *Check // nil if there was something missing
}

// A PastedCall is a call as it was understood.
type PastedCall struct {
	Source  pasted.Source `json:"source"`
	URL     string        `json:"url,omitempty"`
	Origin  string        `json:"origin,omitempty"`
	Page    string        `json:"page,omitempty"`
	Kind    fetch.Kind    `json:"kind"`
	Method  string        `json:"method"`
	Command string        `json:"command"` // that checks it; with a word in capitals for what is missing
	Missing []string      `json:"missing,omitempty"`
	Count   int           `json:"count"` // how often it was pasted

	// RedirectedTo is the URL that a console message is about, if the call was redirected there.
	RedirectedTo string `json:"redirected_to,omitempty"`
}

// The causes where a pasted text does not tell enough, or nothing.
const (
	codeMissing      fetch.Code = "missing"
	codeUnrecognized fetch.Code = "unrecognized"
)

// checkPasted reads standard input, checks the calls in it, and returns the exit code: 1 if one of them is blocked, or else 2 if
// the verdict on one is unknown.
func checkPasted(ctx context.Context, cmd *cobra.Command, args []string, h Handler) int {
	f := cmd.Flags()
	p := &pasteCheck{
		cmd: cmd, args: args, handler: h,
		replay:  flagBool(f, "replay"),
		asJSON:  flagBool(f, "json"),
		yes:     flagBool(f, "yes"),
		secrets: flagBool(f, "show-secrets"),
		write:   flagBool(f, "write"),
		diff:    flagBool(f, "diff"),
		color:   os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(os.Stdout.Fd())),
		width:   80,
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > p.width {
		p.width = width
	}
	f.Visit(func(flag *pflag.Flag) {
		values := []string{flag.Value.String()}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		p.given = append(p.given, givenFlag{flag.Name, values})
	})
	if in, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		fmt.Fprintln(cmd.ErrOrStderr(), "Paste what the browser gave you, and end it with a line of Ctrl+D (in Windows, Ctrl+Z and Enter):")
	}
	// Nearly all that is read of an archive is kept until the end, so that twice as much would be taken for it by default.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	paste, err := pasted.Read(cmd.InOrStdin())
	if err != nil {
		return p.fail(string(codeUnrecognized), err.Error())
	}
	if paste.Source == pasted.HAR {
		return p.checkHAR(ctx, paste)
	}
	var reports []*PastedReport
	for i := range paste.Calls {
		report := p.check(ctx, &paste.Calls[i])
		for _, flag := range paste.Unread {
			report.warn("unknown-option", "The option %s of the curl command is not known: it was left out.", flag)
		}
		reports = append(reports, report)
	}
	switch {
	case p.asJSON:
		return p.writeJSON(reports)
	case p.diff:
		return p.sayDiffs(reports)
	}
	return p.say(reports)
}

func flagBool(f *pflag.FlagSet, name string) bool {
	value, _ := f.GetBool(name)
	return value
}

// fail says why nothing was checked.
func (p *pasteCheck) fail(code, message string) int {
	if p.asJSON {
		_ = unknown(code, message).writeJSON(p.cmd.OutOrStdout())
	} else {
		p.sayError(message)
	}
	return exitUnknown
}

func (p *pasteCheck) sayError(message string) {
	for line := range strings.Lines(message) {
		line = printable.ASCII(strings.TrimSuffix(line, "\n"))
		if !strings.HasPrefix(line, " ") { // a command, to be copied
			line = "caddy cors check: " + line
		}
		fmt.Fprintln(p.cmd.ErrOrStderr(), line)
	}
}

// has reports whether a person has set a flag.
func (p *pasteCheck) has(name string) bool {
	return slices.ContainsFunc(p.given, func(g givenFlag) bool { return g.name == name })
}

// withFlags gives the flags the values that a pasted call has for them, and then those that a person has set.
func (p *pasteCheck) withFlags(call *pasted.Call) error {
	f := p.cmd.Flags()
	f.VisitAll(func(flag *pflag.Flag) {
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			_ = list.Replace(nil) // which no list refuses
		} else {
			_ = flag.Value.Set(flag.DefValue)
		}
		flag.Changed = false
	})
	set := func(name, value string) error {
		if err := f.Set(name, value); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
		return nil
	}
	type setting struct{ name, value string }
	var settings []setting
	if call.Origin != "" && !p.has("page") {
		settings = append(settings, setting{"origin", call.Origin})
	}
	if call.Kind != "" {
		settings = append(settings, setting{"kind", string(call.Kind)})
	}
	if call.Method != "" {
		settings = append(settings, setting{"method", call.Method})
	}
	for _, field := range call.Header {
		if !p.givesHeader(field.Name) {
			settings = append(settings, setting{"header", field.Name + ": " + field.Value})
		}
	}
	if call.NoCORS {
		settings = append(settings, setting{"no-cors", "true"})
	}
	if call.Credentials {
		settings = append(settings, setting{"credentials", "true"})
	}
	if call.Cookie != "" && !p.has("cookie") {
		settings = append(settings, setting{"cookie", call.Cookie})
	}
	for _, resolve := range call.Resolve {
		settings = append(settings, setting{"resolve", resolve})
	}
	if call.Insecure {
		settings = append(settings, setting{"insecure", "true"})
	}
	for _, g := range p.given {
		for _, value := range g.values {
			settings = append(settings, setting{g.name, value})
		}
	}
	for _, s := range settings {
		if err := set(s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

// givesHeader reports whether a person has set a header field of the script.
func (p *pasteCheck) givesHeader(name string) bool {
	for _, g := range p.given {
		if g.name == "header" && slices.ContainsFunc(g.values, func(text string) bool {
			given, _, _ := strings.Cut(text, ":")
			return strings.EqualFold(strings.TrimSpace(given), name)
		}) {
			return true
		}
	}
	return false
}

// missing returns what a call lacks that no flag gives.
func (p *pasteCheck) missing(call *pasted.Call) []pasted.Missing {
	return slices.DeleteFunc(slices.Clone(call.Missing), func(m pasted.Missing) bool {
		switch m.Need {
		case pasted.NeedURL:
			return len(p.args) > 0
		case pasted.NeedOrigin:
			return p.has("origin") || p.has("page")
		case pasted.NeedPage:
			return p.has("page")
		case pasted.NeedPreflight:
			return p.has("method") || p.has("header") || p.has("kind")
		case pasted.NeedMethod:
			return p.has("method")
		case pasted.NeedBody:
			return p.has("data")
		}
		name, _, _ := strings.Cut(m.Likely, ":")
		return p.givesHeader(name) || name == "" && (p.has("header") || p.has("kind") || p.has("method"))
	})
}

// prepare makes a check of a pasted call. The error says what is missing, or wrong.
func (p *pasteCheck) prepare(call *pasted.Call) (*Check, error) {
	if missing := p.missing(call); len(missing) > 0 {
		return nil, p.ask(call, missing)
	}
	if err := p.withFlags(call); err != nil {
		return nil, err
	}
	args := p.args
	if len(args) == 0 {
		args = []string{call.URL}
	}
	c, err := Parse(caddycmd.Flags{FlagSet: p.cmd.Flags()}, args)
	if err != nil {
		return nil, err
	}
	if call.Body != nil && !p.has("data") {
		// Not by --data, which would read the file that a text beginning with @ names.
		c.request.Body = call.Body
		if call.Method == "" && !p.has("method") {
			c.request.Method = cmp.Or(call.Method, http.MethodPost)
		}
		if err := c.request.Validate(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// A missingError says what a pasted text does not tell of a call.
type missingError struct{ message string }

func (e *missingError) Error() string { return e.message }

// ask says what is missing, by the flag that gives it, with the command to run.
func (p *pasteCheck) ask(call *pasted.Call, missing []pasted.Missing) error {
	lines := []string{}
	what := call.URL
	if what == "" {
		what = "the call"
	}
	for _, m := range missing {
		lines = append(lines, fmt.Sprintf("%s: %s", what, asked(call, m)))
	}
	incomplete := *call
	incomplete.Missing = missing
	command := incomplete.Command(p.secrets)
	for _, g := range p.given {
		for _, value := range g.values {
			command += " --" + g.name + "=" + pasted.Quote(value)
		}
	}
	lines = append(lines, "Run this, with what is in capitals replaced:", "    "+command)
	return &missingError{strings.Join(lines, "\n")}
}

// asked says what is missing and why it is needed.
func asked(call *pasted.Call, m pasted.Missing) string {
	from := map[pasted.Source]string{
		pasted.Console: "the message", pasted.Curl: "the command", pasted.Fetch: "the call of fetch", pasted.HAR: "the archive",
	}[call.Source]
	likely := ""
	if m.Likely != "" {
		likely = fmt.Sprintf(" (%s, most likely)", m.Likely)
	}
	switch m.Need {
	case pasted.NeedURL:
		return from + " has no URL that a page can call; write it after the -" + likely
	case pasted.NeedOrigin:
		return from + " does not say which page calls it: add --origin, the scheme, host and port of the page's address" + likely
	case pasted.NeedPage:
		return from + " is about the Content-Security-Policy of the page: add --page, the page's address"
	case pasted.NeedPreflight:
		return from + " is about a preflight, and names neither the method nor the header that made it necessary: add -X with the script's method if it is not GET, HEAD or POST, or -H with its header"
	case pasted.NeedMethod:
		return from + " does not name the script's method: add -X"
	case pasted.NeedBody:
		return "the body is in a file or a variable, which is not read: add --data" + likely
	}
	if name, _, ok := strings.Cut(m.Likely, ":"); ok {
		return fmt.Sprintf("the value of the header %s is known to the shell or the script alone: add -H '%s: VALUE'", name, name)
	}
	return from + " is about a preflight, and does not name the header that made it necessary: add -H 'NAME: VALUE'"
}

// check checks one call that was pasted, with requests.
func (p *pasteCheck) check(ctx context.Context, call *pasted.Call) *PastedReport {
	c, err := p.prepare(call)
	if err == nil {
		err = c.refuseUnasked(term.IsTerminal(int(os.Stdin.Fd())))
	}
	if err != nil {
		return p.unknown(call, err)
	}
	report := p.report(call, c, p.run(ctx, c))
	report.noteDoubts(call, p)
	return report
}

// run checks a call, and writes the edit that it needs, if that is asked for: the next call is checked with it.
func (p *pasteCheck) run(ctx context.Context, c *Check) *Report {
	report := c.Run(ctx, p.handler)
	if p.write {
		if err := report.write(); err != nil {
			p.notWritten = true
			p.sayError(err.Error())
		}
	}
	return report
}

// unknown is the report on a call that could not be checked.
func (p *pasteCheck) unknown(call *pasted.Call, err error) *PastedReport {
	code := "arguments"
	if _, ok := errors.AsType[*missingError](err); ok {
		code = string(codeMissing)
	}
	return p.report(call, nil, unknown(code, err.Error()))
}

func (p *pasteCheck) report(call *pasted.Call, c *Check, r *Report) *PastedReport {
	known := *call
	if c != nil {
		known.Request = c.request
		known.Page = call.Page
		known.Missing = nil
	} else {
		known.Missing = p.missing(call)
	}
	described := PastedCall{
		Source:       call.Source,
		URL:          known.URL,
		Origin:       known.Origin,
		Page:         call.PageURL,
		Kind:         cmp.Or(known.Kind, fetch.KindFetch),
		Method:       cmp.Or(known.Method, cmp.Or(known.Kind, fetch.KindFetch).Method()),
		Command:      known.Command(p.secrets),
		Count:        call.Count,
		RedirectedTo: call.RedirectedTo,
	}
	for _, m := range known.Missing {
		described.Missing = append(described.Missing, m.Flags...)
	}
	return &PastedReport{Call: described, Report: r, check: c}
}

func (r *Report) warn(code, format string, args ...any) {
	r.Warnings = append(r.Warnings, Warning{Code: code, Message: fmt.Sprintf(format, args...)})
}

// noteDoubts says where a pasted text may stand for another call than the one that was checked.
func (r *PastedReport) noteDoubts(call *pasted.Call, p *pasteCheck) {
	if call.CredentialsUnsure && !p.has("credentials") {
		r.warn("credentials-unsure", `Browsers copy a call that has an Authorization header with credentials: "include", whatever the script asks for. If the script does not, add --credentials=false.`)
	}
	if len(call.NotRead) > 0 {
		r.warn("files-not-read", "The command names files, which were not read: %s.", strings.Join(call.NotRead, ", "))
	}
	if r.Verdict == string(fetch.Allowed) && call.Said != "" {
		r.warn("said-otherwise", "The message says that the call is blocked (%s). As far as it describes the call, it is allowed now: the server has changed since, or the script's method, headers or credentials are others. They are given with -X, -H and --credentials.", call.Said)
	}
}

// exitCode is that of several reports.
func (p *pasteCheck) exitCode(reports []*PastedReport) int {
	code := exitAllowed
	if p.notWritten {
		return exitUnknown
	}
	for _, r := range reports {
		switch r.ExitCode() {
		case exitBlocked:
			return exitBlocked
		case exitUnknown:
			code = exitUnknown
		}
	}
	return code
}

// writeJSON prints the report on one call, or on several.
func (p *pasteCheck) writeJSON(reports []*PastedReport) int {
	var value any = struct {
		Calls []*PastedReport `json:"calls"`
	}{reports}
	if len(reports) == 1 {
		value = reports[0]
	}
	if err := encodeJSON(p.cmd.OutOrStdout(), value, "  "); err != nil {
		return exitUnknown
	}
	return p.exitCode(reports)
}

// encodeJSON writes a value, in which all that is not printable ASCII is escaped.
func encodeJSON(w io.Writer, value any, indent string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", indent)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := w.Write(printable.JSON(text.Bytes()))
	return err
}

// say prints the reports for a person.
func (p *pasteCheck) say(reports []*PastedReport) int {
	for i, r := range reports {
		if len(reports) > 1 {
			if i > 0 {
				fmt.Fprintln(p.cmd.OutOrStdout())
			}
			fmt.Fprintf(p.cmd.OutOrStdout(), "Call %d of %d:\n\n", i+1, len(reports))
		}
		p.sayOne(r)
	}
	return p.exitCode(reports)
}

// sayDiffs prints the edits alone, each once.
func (p *pasteCheck) sayDiffs(reports []*PastedReport) int {
	var printed []string
	for _, r := range reports {
		switch {
		case r.Verdict == VerdictUnknown && len(r.Steps) == 0:
			p.sayError(r.Cause.Message)
		case r.Diff == "" && r.Verdict == string(fetch.Blocked):
			p.sayError(noEdit)
		case r.Diff != "" && !slices.Contains(printed, r.Diff):
			printed = append(printed, r.Diff)
			fmt.Fprint(p.cmd.OutOrStdout(), r.Diff)
		}
	}
	return p.exitCode(reports)
}

func (p *pasteCheck) sayOne(r *PastedReport) {
	if r.check == nil || r.Verdict == VerdictUnknown && len(r.Steps) == 0 {
		p.sayError(r.Cause.Message)
		return
	}
	fmt.Fprint(p.cmd.OutOrStdout(), r.text(r.check, p.color))
}
