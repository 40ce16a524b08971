package check

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// maxDetails is how many different blocked calls of an archive are explained. The table has them all.
const maxDetails = 50

// A row is one line of the table of an archive's calls: calls that differ in their query at most.
type row struct {
	rowKey
	status int // of the last of them
	count  int

	detail *PastedReport // of one that is not allowed, or has failed all the same
	call   *pasted.Call  // in its place, of one that has no report yet
}

// isExplained reports whether the row has more to say than the table.
func (r *row) isExplained() bool { return r.detail != nil || r.call != nil }

// A rowGroup has the rows of the pages of one origin.
type rowGroup struct {
	origin string
	rows   []*row
}

// groupRows puts rows together by origin, in the order of the first of each.
func groupRows(rows []*row) []*rowGroup {
	var groups []*rowGroup
	known := make(map[string]*rowGroup)
	for _, r := range rows {
		group := known[r.origin]
		if group == nil {
			group = &rowGroup{origin: r.origin}
			known[r.origin] = group
			groups = append(groups, group)
		}
		group.rows = append(group.rows, r)
	}
	return groups
}

type rowKey struct {
	verdict, origin, method string
	kind                    fetch.Kind
	url                     string // without its query
	cause                   string
}

// checkHAR judges the calls of an archive.
func (p *pasteCheck) checkHAR(ctx context.Context, paste *pasted.Paste) int {
	if p.diff {
		var reports []*PastedReport
		for i := range paste.Calls {
			reports = append(reports, p.judge(ctx, &paste.Calls[i]))
		}
		return p.sayDiffs(reports)
	}
	code := exitAllowed
	note := func(r *PastedReport) {
		switch r.ExitCode() {
		case exitBlocked:
			code = exitBlocked
		case exitUnknown:
			if code == exitAllowed {
				code = exitUnknown
			}
		}
	}
	if p.asJSON { // one after the other, because there may be very many
		out := p.cmd.OutOrStdout()
		fmt.Fprint(out, `{"calls": [`)
		for i := range paste.Calls {
			if i > 0 {
				fmt.Fprint(out, ",")
			}
			r := p.judge(ctx, &paste.Calls[i])
			note(r)
			paste.Calls[i] = pasted.Call{} // is done with
			if err := encodeJSON(out, r, ""); err != nil {
				return exitUnknown
			}
		}
		fmt.Fprint(out, "]")
		if paste.OmitsFailed {
			whole := new(Report)
			whole.warn("failed-left-out", "%s", failedLeftOut)
			fmt.Fprint(out, `,"warnings": `)
			if err := encodeJSON(out, whole.Warnings, ""); err != nil {
				return exitUnknown
			}
		}
		fmt.Fprintln(out, "}")
		return p.withWritten(code)
	}

	var rows []*row
	known := make(map[rowKey]*row)
	var quick [quickChunk]rowKey
	var ifCredentials [quickChunk]bool // it is allowed, and with credentials it would not be
	unsure := 0                        // how many are
	for i := range paste.Calls {
		call := &paste.Calls[i]
		if i%quickChunk == 0 {
			pasted.InParallel(min(quickChunk, len(paste.Calls)-i), func(n int) {
				call := &paste.Calls[i+n]
				quick[n] = p.quickKey(ctx, call)
				ifCredentials[n] = quick[n].verdict == string(fetch.Allowed) && call.JudgeWithCredentials(ctx) != nil
			})
		}
		if ifCredentials[i%quickChunk] {
			unsure++
		}
		if key := quick[i%quickChunk]; key != (rowKey{}) {
			one := known[key]
			if one == nil {
				one = &row{rowKey: key, status: call.Recorded.Status()}
				if key.verdict != string(fetch.Allowed) {
					code = exitBlocked
					kept := *call
					one.call = &kept
				}
				known[key] = one
				rows = append(rows, one)
			}
			one.count++
			paste.Calls[i] = pasted.Call{}
			continue
		}
		r := p.judge(ctx, call)
		note(r)
		key := rowKey{verdict: r.Verdict, origin: r.Call.Origin, method: r.Call.Method, kind: r.Call.Kind, url: cutQuery(r.Call.URL)}
		isFailed := !p.replay && call.Recorded.FailedOtherwise()
		switch {
		case r.Cause != nil:
			key.cause = r.Cause.Code
		case isFailed:
			key.cause = call.Recorded.Error
		}
		one := known[key]
		if one == nil {
			one = &row{rowKey: key}
			known[key] = one
			rows = append(rows, one)
			if r.Verdict != string(fetch.Allowed) || isFailed {
				one.detail = r
			}
		}
		one.count++
		one.status = cmp.Or(r.Status, call.Recorded.Status())
		paste.Calls[i] = pasted.Call{}
	}
	groups := groupRows(rows)
	p.sayTable(groups)
	for _, gap := range Gaps(paste, unsure) {
		fmt.Fprintf(p.cmd.OutOrStdout(), "\n%s\n", gap)
	}
	p.sayDetails(ctx, groups)
	return p.withWritten(code)
}

// withWritten is the exit code, where edits were to be written.
func (p *pasteCheck) withWritten(code int) int {
	if p.notWritten {
		return exitUnknown
	}
	return code
}

// quickChunk is how many calls are judged by their records before they are put into rows.
const quickChunk = 1024

// quickKey is the row of a call that is judged by its records alone: most calls are allowed, or like one before, and need no
// report. It is zero where only a report tells.
func (p *pasteCheck) quickKey(ctx context.Context, call *pasted.Call) rowKey {
	if p.replay || call.Lacks(pasted.NeedOrigin) || slices.ContainsFunc(p.given, func(g givenFlag) bool { return g.name != "show-secrets" }) {
		return rowKey{}
	}
	result, err := call.Judge(ctx)
	if err != nil || result.Verdict == fetch.Unknown || result.Verdict == fetch.Allowed && call.Recorded.FailedOtherwise() {
		return rowKey{}
	}
	kind := cmp.Or(call.Kind, fetch.KindFetch)
	key := rowKey{
		verdict: string(result.Verdict), origin: call.Origin, kind: kind, url: cutQuery(call.URL),
		method: cmp.Or(call.Method, kind.Method()),
	}
	if result.Cause != nil {
		key.cause = string(result.Cause.Code)
	}
	return key
}

func cutQuery(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url
}

// judge judges a call of an archive by what was recorded; or if it is asked for, makes it again.
func (p *pasteCheck) judge(ctx context.Context, call *pasted.Call) *PastedReport {
	if !call.Lacks(pasted.NeedOrigin) {
		if _, err := call.Judge(ctx); err != nil { // which finds out whether it had credentials
			return p.unknown(call, err)
		}
	}
	c, err := p.prepare(call)
	if err != nil {
		return p.unknown(call, err)
	}
	if !p.replay && c.config == "" {
		c.network = fetch.NewRecording(call.Recorded.Exchanges())
		if call.Page != nil && c.page.url == "" {
			c.request.Page = call.Page
		}
		r := p.report(call, c, p.run(ctx, c))
		r.warnRecorded(ctx, call)
		return r
	}
	if call.Recorded.HeaderCut {
		return p.unknown(call, fmt.Errorf("%s %s: the archive has more in its headers than is kept, so that it cannot be made again; export a shorter session", c.request.Method, c.request.URL))
	}
	isSafe := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, c.request.Method)
	switch {
	case isSafe || c.request.PreflightOnly:
	case !p.yes:
		// Nobody has looked at each of them.
		c.request.PreflightOnly = true
	case call.Recorded.BodyCut && !p.has("data"):
		return p.unknown(call, fmt.Errorf("%s %s: its body is not in the archive, so that it cannot be made again", c.request.Method, c.request.URL))
	}
	return p.report(call, c, p.run(ctx, c))
}

// warnRecorded warns of what an archive says of a call besides its verdict, and of what it does not tell.
func (r *Report) warnRecorded(ctx context.Context, call *pasted.Call) {
	if r.Verdict != string(fetch.Blocked) && call.Recorded.FailedOtherwise() {
		r.warn("browser-error", "The browser says of it: %s.", call.Recorded.Error)
	}
	if r.Verdict != string(fetch.Allowed) {
		return
	}
	if call.Kind == fetch.KindScript && !call.NoCORS { // an archive has modules as scripts
		module := *call
		module.Kind = fetch.KindModule
		if result, err := module.Judge(ctx); err == nil && result.Cause != nil {
			r.warn("module-type", "It runs as a script; as a module, which an archive does not tell from one, it is blocked: %s", result.Cause.Message)
		}
	}
	if cause := call.JudgeWithCredentials(ctx); cause != nil {
		r.warn("credentials-unknown", "Firefox does not record whether a script asks for credentials. If it does, the call is blocked: %s", cause.Message)
	}
}

// sayTable prints a row for all calls that are alike, in the order in which the page made the first of them.
func (p *pasteCheck) sayTable(groups []*rowGroup) {
	out := bufio.NewWriter(p.cmd.OutOrStdout())
	defer out.Flush()
	if len(groups) == 0 {
		fmt.Fprintln(out, "No call to another origin than its page's is in the archive.")
		return
	}
	calls := 0
	counts := make(map[string]int)
	for _, group := range groups {
		for _, r := range group.rows {
			calls += r.count
			counts[r.verdict] += r.count
		}
	}
	how := "judged by the answers in the archive; no request was made"
	if p.replay || p.has("config") {
		how = "made again"
		if !p.yes {
			how += "; of those that could change something, the preflights only (--yes makes them)"
		}
	}
	noun := "calls to other origins"
	if calls == 1 {
		noun = "call to another origin"
	}
	fmt.Fprintf(out, "%d %s, %s:\n", calls, noun, how)
	fmt.Fprintf(out, "%d blocked, %d allowed, %d unknown.\n", counts[string(fetch.Blocked)], counts[string(fetch.Allowed)], counts[VerdictUnknown])
	number := 0
	for _, group := range groups {
		fmt.Fprintf(out, "\nPages of %s\n", printable.ASCII(cmp.Or(group.origin, "an unknown origin")))
		fmt.Fprintf(out, "  %3s  %-7s  %4s  %-7s  %-11s  %3s  %s\n", "", "VERDICT", "N", "METHOD", "KIND", "GOT", "URL")
		for _, r := range group.rows {
			place := ""
			if r.isExplained() {
				if number++; number <= maxDetails {
					place = fmt.Sprintf("%d.", number)
				}
			}
			status := "-"
			if r.status != 0 {
				status = fmt.Sprint(r.status)
			}
			const before = 49 // columns before the URL
			verdict := fmt.Sprintf("%-7s", r.verdict)
			if p.color {
				verdict = map[string]string{string(fetch.Allowed): colors.good, string(fetch.Blocked): colors.bad}[r.verdict] + verdict + colors.reset
			}
			fmt.Fprintf(out, "  %3s  %s  %4d  %-7s  %-11s  %3s  %s\n", place, verdict, r.count, short(r.method, 7), r.kind, status, short(strings.TrimPrefix(r.url, "https://"), p.width-before))
		}
	}
}

const failedLeftOut = "Safari's Web Inspector leaves failed calls out of its archives, and so all that it blocked: for those, paste the messages of the console, or the request's Copy as cURL."

// Gaps says what the browser has not written down in an archive; unsure is how many of its calls are allowed, and blocked if
// they had credentials, where it does not say whether they had.
func Gaps(paste *pasted.Paste, unsure int) (gaps []string) {
	if paste.OmitsFailed {
		gaps = append(gaps, failedLeftOut)
	}
	if unsure > 0 {
		subject := fmt.Sprintf("%d of the allowed calls are", unsure)
		if unsure == 1 {
			subject = "one of the allowed calls is"
		}
		gaps = append(gaps, fmt.Sprintf("Firefox does not record whether a script asks for credentials. If so, %s blocked: paste the request's Copy as cURL, and add credentials.", subject))
	}
	return gaps
}

// short cuts the middle out of a text that is longer than some columns. The host and the end of the path are what tells URLs
// apart.
func short(text string, columns int) string {
	text = printable.ASCII(text)
	if len(text) <= columns {
		return text
	}
	columns = max(columns, 7)
	begin := (columns - 3) / 2
	return text[:begin] + "..." + text[len(text)-(columns-3-begin):]
}

// sayDetails prints the reports on blocked calls, and why of others the verdict is unknown, in the order of the table.
func (p *pasteCheck) sayDetails(ctx context.Context, groups []*rowGroup) {
	out := p.cmd.OutOrStdout()
	var ordered []*row
	for _, group := range groups {
		for _, r := range group.rows {
			if r.isExplained() {
				ordered = append(ordered, r)
			}
		}
	}
	for i, r := range ordered {
		if i == maxDetails {
			fmt.Fprintf(out, "\nAnd %d more. With --json, all are printed.\n", len(ordered)-i)
			break
		}
		fmt.Fprintf(out, "\n%d. ", i+1)
		if r.detail == nil {
			r.detail = p.judge(ctx, r.call)
		}
		if r.detail.check == nil || len(r.detail.Steps) == 0 {
			fmt.Fprintf(out, "%s\n", printable.ASCII(strings.ReplaceAll(r.detail.Cause.Message, "\n", " ")))
			continue
		}
		fmt.Fprint(out, r.detail.text(r.detail.check, p.color))
	}
}
