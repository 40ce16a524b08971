package check

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// A recordedCall is what a suite says of a call of a HAR.
type recordedCall struct {
	args    string // of the check, quoted as in a shell
	verdict fetch.Verdict
	cause   fetch.Code // of a blocked one
	leftOut string     // why no line can say it; empty for a line
}

// writeSuite writes the calls of a HAR to other origins as a suite: a line for each call as its recorded answers have it, by
// the hosts that are called, each call once. What no line can say is a comment. The name is that of the HAR's file, and the
// flags are those of the command.
func writeSuite(ctx context.Context, out io.Writer, name string, har io.Reader, flags caddycmd.Flags) error {
	paste, err := pasted.ReadHAR(har)
	if unrecognized, ok := errors.AsType[*pasted.UnrecognizedError](err); ok {
		return fmt.Errorf("%s is not a HAR: %s; export one from the network panel of the browser's developer tools", name, unrecognized.Reason)
	}
	if err != nil {
		return err
	}
	if len(paste.Calls) == 0 {
		return fmt.Errorf("%s has no call to another origin than its page's, and so there is nothing to test", name)
	}
	var hosts []string
	byHost := make(map[string][]*recordedCall)
	known := make(map[string]*recordedCall)
	for i := range paste.Calls {
		if err := ctx.Err(); err != nil {
			return err
		}
		host, r := recordedOf(ctx, &paste.Calls[i])
		paste.Calls[i] = pasted.Call{} // is done with
		if same := known[r.args]; same != nil {
			same.merge(r)
			continue
		}
		known[r.args] = r
		if byHost[host] == nil {
			hosts = append(hosts, host)
		}
		byHost[host] = append(byHost[host], r)
	}
	lines := 0
	for _, r := range known {
		if r.leftOut == "" {
			_, _, err := readExpectation(r.line(), flags)
			switch {
			case err != nil:
				r.leftOut = err.Error()
			case printable.ASCII(r.args) != r.args:
				r.leftOut = "it has a header whose value is not ASCII"
			default:
				lines++
			}
		}
	}

	w := bufio.NewWriter(out)
	fmt.Fprintf(w, `# The calls of %s to other origins, as the answers in it have them. Run them with:
#
#     caddy cors test cors.test --config Caddyfile
#
# Make an allow of each deny that should work. Remove the hosts that the configuration does not have.
# Bodies and cookies are left out; the values of queries and of most headers are "...".
`, printable.ASCII(filepath.Base(name)))
	for _, host := range hosts {
		fmt.Fprintf(w, "\n# %s\n", printable.ASCII(host))
		for _, r := range byHost[host] {
			fmt.Fprintln(w, r.line())
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if lines == 0 {
		return fmt.Errorf("%s: no line can say any of its calls; the comments say why", name)
	}
	return nil
}

// contradicted is why no line can say a call that is in a HAR with both verdicts.
const contradicted = "it was allowed and blocked in turn"

// merge takes over what another record of the same call says.
func (r *recordedCall) merge(other *recordedCall) {
	switch {
	case other.leftOut != "" || r.leftOut == contradicted:
	case r.leftOut != "":
		*r = *other
	case r.verdict != other.verdict:
		r.leftOut = contradicted
	}
}

// line is what stands in the suite.
func (r *recordedCall) line() string {
	switch {
	case r.leftOut != "":
		return fmt.Sprintf("# left out (%s): %s", printable.ASCII(r.leftOut), printable.ASCII(r.args))
	case r.verdict == fetch.Allowed:
		return "allow " + r.args
	}
	return fmt.Sprintf("deny  %s  # %s", r.args, r.cause)
}

// recordedOf judges a call by its recorded answers, and returns the host that it calls.
func recordedOf(ctx context.Context, call *pasted.Call) (host string, r *recordedCall) {
	r = new(recordedCall)
	var result *fetch.Result
	if call.Lacks(pasted.NeedOrigin) {
		r.leftOut = "the page that makes it is not known"
	} else if judged, err := call.Judge(ctx); err != nil {
		r.leftOut = err.Error()
	} else if result = judged; result.Verdict == fetch.Unknown {
		r.leftOut = "its answer is not in the HAR"
		if call.Recorded.Error != "" {
			r.leftOut += ", but " + call.Recorded.Error
		}
	}
	if call.Page != nil {
		r.leftOut = "the page's Content-Security-Policy blocks it, and no server"
	}
	shown, host, hadUser := withoutSecret(call)
	if hadUser {
		r.leftOut = cmp.Or(r.leftOut, "there is a user in its URL")
	}
	for i, arg := range shown.Args() {
		if i > 0 {
			r.args += " "
		}
		r.args += pasted.Quote(arg)
	}
	if result != nil {
		r.verdict = result.Verdict
		if result.Cause != nil {
			r.cause = result.Cause.Code
		}
	}
	return host, r
}

// withoutSecret is a call without what could let somebody in: its body, its cookies, the values of its query, and those of
// the headers on whose values no preflight depends. It reports whether its URL had a user in it, who is left out, too.
func withoutSecret(call *pasted.Call) (shown *pasted.Call, host string, hadUser bool) {
	shown = &pasted.Call{Request: call.Request}
	shown.Body, shown.Cookie, shown.Page = nil, "", nil
	shown.Credentials = call.Credentials || call.Cookie != ""
	shown.Header = slices.Clone(call.Header)
	for i, field := range shown.Header {
		shown.Header[i].Value = shownValue(field)
	}
	u, err := url.Parse(call.URL)
	if err != nil {
		return shown, "", false // which no URL of a HAR's calls is
	}
	hadUser = u.Username() != "" || u.Password() != ""
	u.SetUsername("")
	u.SetPassword("")
	if query := u.Query(); query != "" {
		pairs := strings.Split(query, "&")
		for i, pair := range pairs {
			switch name, value, ok := strings.Cut(pair, "="); {
			case ok && value != "":
				pairs[i] = name + "=..."
			case !ok && pair != "":
				pairs[i] = "..."
			}
		}
		u.SetSearch(strings.Join(pairs, "&"))
	}
	shown.URL = u.Href(true)
	return shown, u.Host(), hadUser
}

// shownValue is the value of a header that is written to a suite.
func shownValue(f fetch.Field) string {
	switch strings.ToLower(f.Name) {
	case "accept", "accept-language", "content-language", "range":
		return f.Value
	case "content-type":
		// The boundary of a form is another one in each call.
		if mimeType, ok := fetchspec.ParseMIMEType(f.Value); ok && mimeType.Essence == "multipart/form-data" {
			return mimeType.Essence
		}
		return f.Value
	}
	return "..."
}
