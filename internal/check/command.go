// Package check is "caddy cors check": it finds out whether a browser would let a page call a URL, and if not, what to change.
package check

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// The exit codes of the check.
const (
	exitAllowed = 0
	exitBlocked = 1
	exitUnknown = 2
)

// noEdit is what --diff says where it has nothing to print.
const noEdit = "no edit of the Caddyfile makes the call work; without --diff, the check says what else could"

// A Handler is what the check needs of the cors handler.
type Handler struct {
	// Problems returns what is wrong with a policy of a handler that is given in its JSON form, without its module's name.
	Problems func(handler json.RawMessage, policyName string) []policy.Problem
}

// addServerFlags adds the flags that say where the server is.
func addServerFlags(f *pflag.FlagSet) {
	f.StringP("config", "c", "", "Check against this configuration, and not a live server")
	f.StringP("adapter", "a", "", "Name of the config adapter to apply (when --config is used)")
	f.String("served-by", "", "The listener of the configuration that the call comes to, such as :80, behind a proxy or a port mapping")
	f.StringArray("resolve", nil, "Where a live server is, as host:port:address; can be repeated")
	f.Bool("insecure", false, "Accept any certificate of a live server")
}

// Command returns the command "check". It needs of the cors handler what h has.
func Command(h Handler) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check - | <url> --origin <origin> [flags]",
		Short: "Tells whether a page can call a URL, and if not, what to change",
		Long: `Tells whether a browser would let a page call a URL. If not, it says why, in the
words of a browser's console, and shows the edit of the Caddyfile that would
change that.

Paste what the browser gave you: with - as the URL, the call is read from
standard input. That can be messages of the console of Chrome, Firefox or
Safari; a request of the network panel, by "Copy as cURL" or "Copy as fetch";
or the panel's HAR export, whose calls to other origins are all judged by their
recorded answers, without a request (--replay makes them again). The flags below
override what was pasted, and the check asks for what is missing. Nothing in it
is run, and no file that it names is read.

Or say what the script calls, with its URL and the flags. The check does what
the browser does, by the Fetch Standard, step by step: is the call cross-origin,
is a preflight needed, does its answer allow the request, does the response, do
the redirects, and what of the response can the script read.

Without --config, it asks the live server, as a browser on this machine would:
the request is really made. With --config, the requests run through the routes
of that configuration in this process. Nothing listens, nothing is stored, and
no certificate is needed; but a reverse_proxy calls its upstreams, which may
change something. The edit is tried as the text that it results in, without any
request that could change something, together with calls that worked before.
--diff prints the edit alone, for "patch -p0"; --write writes it. A redirect
that leaves the configuration is followed to the live server. Where no server of
the configuration listens on the URL's port, the check takes one that could be
behind a TLS proxy or a port mapping; --served-by chooses it.

The origin is that of the page's URL, without its path: https://app.example.com.
It is null for a page in a sandboxed frame, or opened from a file.

The exit code is 0 if the call is allowed, 1 if it is blocked, and 2 if that
could not be found out: an argument is wrong, a server does not answer. Of
several calls, it is 1 if one is blocked. With --write, it is the code of the
call as it was checked, before the edit, or 2 if the edit could not be written.`,
		Example: `  caddy cors check -                     # then paste, and press Ctrl+D
  xclip -o | caddy cors check - --config Caddyfile --write
  caddy cors check - < page.har
  caddy cors check https://api.example.com/ --origin https://app.example.com
  caddy cors check https://api.example.com/orders/7 \
      --origin https://app.example.com -X PUT \
      -H 'Content-Type: application/json' --credentials --reads X-Total
  caddy cors check https://api.example.com/ --origin https://app.example.com \
      --config Caddyfile
  caddy cors check https://api.example.com/ --origin https://app.example.com \
      --resolve api.example.com:443:127.0.0.1 --insecure
  caddy cors check https://api.example.com/ --origin https://app.example.com \
      --json | jq -r .verdict`,
		SilenceErrors: true, // they are said here, and exit with a code of their own
		SilenceUsage:  true,
	}
	f := cmd.Flags()
	addCallFlags(f)
	addServerFlags(f)
	f.Bool("diff", false, "Print the edit alone, as a unified diff (when --config is used)")
	f.Bool("write", false, "Write the edit to the files of the Caddyfile (when --config is used)")
	f.Bool("replay", false, "Make the calls of a HAR again, instead of judging them by its answers")
	f.Bool("json", false, "Print JSON")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		fmt.Fprintf(cmd.ErrOrStderr(), "caddy cors check: %s\n", printable.ASCII(err.Error()))
		return exit(cmd, exitUnknown)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		if len(args) > 0 && args[0] == "-" {
			return exit(cmd, checkPasted(ctx, cmd, args[1:], h))
		}
		asJSON, _ := f.GetBool("json")
		c, err := Parse(caddycmd.Flags{FlagSet: f}, args)
		var report *Report
		if err == nil {
			err = c.refuseUnasked(term.IsTerminal(int(os.Stdin.Fd())))
		}
		if err != nil {
			report = unknown("arguments", err.Error())
		} else {
			report = c.Run(ctx, h)
		}
		code := report.ExitCode()
		if write, _ := f.GetBool("write"); write {
			if err := report.write(); err != nil {
				code = exitUnknown
				fmt.Fprintf(cmd.ErrOrStderr(), "caddy cors check: %s\n", printable.ASCII(err.Error()))
			}
		}
		diff, _ := f.GetBool("diff")
		switch {
		case asJSON:
			if err := report.writeJSON(cmd.OutOrStdout()); err != nil {
				return exit(cmd, exitUnknown)
			}
		case report.Verdict == VerdictUnknown && len(report.Steps) == 0:
			for line := range strings.Lines(report.Cause.Message) { // of a refused configuration, there may be several
				fmt.Fprintf(cmd.ErrOrStderr(), "caddy cors check: %s\n", printable.ASCII(strings.TrimSuffix(line, "\n")))
			}
		case diff:
			fmt.Fprint(cmd.OutOrStdout(), report.Diff)
			if report.Diff == "" && report.Verdict == string(fetch.Blocked) {
				fmt.Fprintln(cmd.ErrOrStderr(), "caddy cors check: "+noEdit)
			}
		default:
			fmt.Fprint(cmd.OutOrStdout(), report.text(c, os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(os.Stdout.Fd()))))
		}
		return exit(cmd, code)
	}
	return cmd
}
