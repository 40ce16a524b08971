package denials

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// Command returns `caddy cors denials`, which shows the list of a running Caddy.
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "denials [--json] [--address <interface>] [--config <path> [--adapter <name>]]",
		Short: "Lists what the cors directives of the running Caddy deny",
		Long: `Lists the cross-origin requests that the cors directives of the running Caddy
have denied since it was started, or would have denied where they only report:
how often, when last, of which origin, what was denied and where, and the line
that would allow it, to be added to the cors block or the policy block named. Before you add a
line, make sure that the origin is one of yours: anybody can send any origin.

Requests that are alike are listed once, the most frequent ones first. Reloads
keep the list. To clear it, send a DELETE to /cors/denials of the admin API.

It requires that the admin API is enabled and accessible. Its address can be
given with --address, or is taken from the given --config, if it is not the
default.

With --json, the list is printed as the admin API sends it. It knows more of
each of them than the table, such as the method, and when it was first seen.`,
		Example: `  caddy cors denials
  caddy cors denials --address localhost:2020
  caddy cors denials --json | jq -r '.denials[].fix'`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(listDenials),
	}
	cmd.Flags().StringP("config", "c", "", "Configuration file to use to parse the admin address, if --address is not used")
	cmd.Flags().StringP("adapter", "a", "", "Name of config adapter to apply (when --config is used)")
	cmd.Flags().String("address", "", "The address to use to reach the admin API endpoint, if not the default")
	cmd.Flags().Bool("json", false, "Print JSON instead of a table")
	return cmd
}

func listDenials(flags caddycmd.Flags) (int, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, flags.String("config"), flags.String("adapter"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("finding out the address of the admin API: %w", err)
	}
	response, err := caddycmd.AdminAPIRequest(address, http.MethodGet, Path, nil, nil)
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("no list of denials from %s: is Caddy running there, with its admin API on and this module in it? Another address can be given with --address: %w", address, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("reading the list of denials from %s: %w", address, err)
	}
	var report Report
	if err := json.Unmarshal(body, &report); err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("what %s sends is no list of denials: %w", address, err)
	}
	if flags.Bool("json") {
		fmt.Print(string(body))
	} else {
		fmt.Print(report.table())
	}
	return caddy.ExitCodeSuccess, nil
}

// table returns the report as text, of which nothing can control a terminal.
func (r Report) table() string {
	var b strings.Builder
	if len(r.Denials) == 0 {
		b.WriteString("No cross-origin request has been denied.\n")
	} else {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		row := func(cells ...string) {
			for i, cell := range cells {
				cells[i] = printable.ASCII(cell)
			}
			fmt.Fprintln(w, strings.Join(cells, "\t"))
		}
		row("COUNT", "LAST SEEN", "ORIGIN", "DENIED", "WHERE", "FIX")
		for _, d := range r.Denials {
			lines := strings.Split(d.Fix, "\n")
			row(strconv.FormatUint(d.Count, 10), d.LastSeen.Local().Format(time.DateTime), cmp.Or(d.Origin, `""`), d.what(), d.where(), lines[0])
			for _, line := range lines[1:] {
				row("", "", "", "", "", line)
			}
		}
		w.Flush()
	}
	if r.Others > 0 {
		fmt.Fprintf(&b, "And %d others, which the list had no room for.\n", r.Others)
	}
	return b.String()
}

// what says what was denied.
func (d Denial) what() string {
	what := "the origin"
	switch d.Reason {
	case policy.MethodNotAllowed:
		what = "the method " + d.Detail
	case policy.HeaderNotAllowed:
		what = "the header " + d.Detail
	case policy.PrivateNetworkNotAllowed:
		what = "a private network"
	}
	if d.ReportOnly {
		what += " (reported only)"
	}
	return what
}

// where says where it was, and so which block of the configuration decided.
func (d Denial) where() string {
	where := d.Host + d.Path
	if d.Policy != policy.DefaultName {
		where += " (policy " + d.Policy + ")"
	}
	return where
}
