package denials

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// Command returns `caddy cors denials`, which shows the list of a running Caddy.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "denials [--json] [--config <file>] [flags]",
		Short: "Lists what the cors directives of the running Caddy deny",
		Long: `Lists the cross-origin requests that the cors directives of the running Caddy
have denied since it was started, and then those that they would have denied,
but only report: for each its origin, what was denied and where, how often and
when last, and the line that would allow it. Before you add a line, make sure
that the origin is one of yours: anybody can send any origin.

Requests that are alike are listed once, the most frequent ones first. Reloads
keep the list. To clear it, send a DELETE to /cors/denials of the admin API.

It requires that the admin API is enabled and accessible. Its address can be
given with --address, or is taken from the given --config, if it is not the
default.

With --json, the list is printed as the admin API sends it. It has more about
each denial, such as the method, and when it was first seen.`,
		Example: `  caddy cors denials
  caddy cors denials --address localhost:2020
  caddy cors denials --json | jq -r '.denials[].fix'`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(listDenials),
	}
	cmd.Flags().StringP("config", "c", "", "Configuration file to use to parse the admin address, if --address is not used")
	cmd.Flags().StringP("adapter", "a", "", "Name of config adapter to apply (when --config is used)")
	cmd.Flags().String("address", "", "The address to use to reach the admin API endpoint, if not the default")
	cmd.Flags().Bool("json", false, "Print JSON instead of text")
	return cmd
}

func listDenials(flags caddycmd.Flags) (int, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, flags.String("config"), flags.String("adapter"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("finding out the address of the admin API: %w", err)
	}
	report, text, err := Fetch(address)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if flags.Bool("json") {
		fmt.Print(text)
		return caddy.ExitCodeSuccess, nil
	}
	fmt.Print(report.text(terminalWidth()))
	if err := remember(address, report.numbered()); err != nil {
		fmt.Fprintf(os.Stderr, "caddy cors denials: the numbers cannot be remembered for caddy cors allow: %v\n", err)
	}
	return caddy.ExitCodeSuccess, nil
}

// Fetch asks a running Caddy for its list, at an address of its admin API as [caddycmd.AdminAPIRequest] takes it. It
// returns the list and its JSON text.
func Fetch(address string) (report Report, text string, err error) {
	response, err := caddycmd.AdminAPIRequest(address, http.MethodGet, Path, nil, nil)
	if err != nil {
		return report, "", fmt.Errorf("no list of denials from %s: is Caddy running there, with its admin API on and this module in it? Another address can be given with --address: %w", address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return report, "", fmt.Errorf("reading the list of denials from %s: %w", address, err)
	}
	if err := json.Unmarshal(body, &report); err != nil {
		return report, "", fmt.Errorf("what %s sends is not a list of denials: %w", address, err)
	}
	return report, string(body), nil
}

// The widths that text is made for, in columns.
const (
	standardWidth = 80
	leastWidth    = 40
	mostWidth     = 120
)

func terminalWidth() int {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return standardWidth
	}
	return min(max(width, leastWidth), mostWidth)
}

// numbered returns the denials in the order in which they are shown: the real ones first. The first has the number 1.
func (r Report) numbered() []Denial {
	var real, reported []Denial
	for _, d := range r.Denials {
		if d.ReportOnly {
			reported = append(reported, d)
		} else {
			real = append(real, d)
		}
	}
	return append(real, reported...)
}

// text returns the report for a person. No line is longer than width, but for those that are to be copied, and nothing in
// it can control a terminal.
func (r Report) text(width int) string {
	var b strings.Builder
	list := r.numbered()
	if len(list) == 0 {
		b.WriteString("No cross-origin request has been denied.\n")
	}
	for i, d := range list {
		switch first := i == 0 || d.ReportOnly != list[i-1].ReportOnly; {
		case first && d.ReportOnly:
			b.WriteString("Only reported, because of report_only; the requests ran:\n")
		case first:
			b.WriteString("Denied:\n")
		}
		d.write(&b, i+1, width)
	}
	if r.Others > 0 {
		fmt.Fprintf(&b, "And %d others, which the list had no room for.\n", r.Others)
	}
	return b.String()
}

// write writes the block of a denial.
func (d Denial) write(b *strings.Builder, number, width int) {
	const indent = "      "
	line := func(indent, format string, args ...any) {
		b.WriteString(cutTo(indent+printable.ASCII(fmt.Sprintf(format, args...)), width))
		b.WriteByte('\n')
	}
	times := "times"
	if d.Count == 1 {
		times = "time"
	}
	line("", "%4d  %s: %s", number, cmp.Or(d.Origin, "no origin"), d.what())
	line(indent, "%s", d.where())
	line(indent, "%d %s, last %s", d.Count, times, d.LastSeen.Local().Format(time.DateTime))
	for text := range strings.SplitSeq(d.Fix, "\n") {
		if len(d.Lines) > 0 {
			b.WriteString(indent + "  " + printable.ASCII(text) + "\n")
			continue
		}
		for _, part := range wrap(printable.ASCII(text), width-len(indent)) {
			b.WriteString(indent + part + "\n")
		}
	}
	b.WriteByte('\n')
}

// cutTo returns a line that is no longer than width.
func cutTo(line string, width int) string {
	if len(line) <= width {
		return line
	}
	return line[:width-3] + "..."
}

// wrap breaks text into lines between its words.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// what says what was denied.
func (d Denial) what() string {
	switch d.Reason {
	case policy.MethodNotAllowed:
		return "the method " + d.Detail
	case policy.HeaderNotAllowed:
		return "the header " + d.Detail
	case policy.PrivateNetworkNotAllowed:
		return "a private network"
	}
	return "the origin"
}

// where says where it was, and so which block of the configuration decided.
func (d Denial) where() string {
	where := d.Host + d.Path
	if d.Policy != policy.DefaultName {
		where = "policy " + d.Policy + ", " + where
	}
	return where
}
