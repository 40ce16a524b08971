package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-cors/caddy-cors/internal/denials"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// AllowCommand returns the command "allow", which edits a configuration so that calls which a running Caddy has denied are
// allowed. It needs of the cors handler what h has.
func AllowCommand(h Handler) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "allow <number>... [--config <file>] [--write] [flags]",
		Short: "Shows the edit of the Caddyfile that allows what was denied",
		Long: `Takes denials by the numbers under which "caddy cors denials" has last shown
them, and shows the edit of the Caddyfile that would allow their calls, tried
as "caddy cors check" does. --write writes it. Nothing is allowed just because
somebody asked for it: you choose, and anybody can send any origin.

A number means the denial that was last shown under it, even if the list has
changed since. If that denial is gone, the number is refused. A denial that was
only reported is tried as if report_only were not there; report_only stays.

Without --config, the configuration is the Caddyfile in the working directory.

The exit code is 0 if all are allowed with the edit, and 1 if not.`,
		Example: `  caddy cors denials
  caddy cors allow 1 3 --config Caddyfile
  caddy cors allow 1 3 --config Caddyfile --write && caddy reload`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
			defer stop()
			return allow(ctx, cmd, caddycmd.Flags{FlagSet: cmd.Flags()}, args, h)
		},
	}
	f := cmd.Flags()
	f.StringP("config", "c", "Caddyfile", "The configuration that is edited; it also has the address of the admin API")
	f.StringP("adapter", "a", "", "Name of the config adapter to apply")
	f.String("served-by", "", "The listener of the configuration that the calls come to, such as :80, behind a proxy or a port mapping")
	f.String("address", "", "The address to use to reach the admin API endpoint, if not the default")
	f.Bool("write", false, "Write the edit")
	return cmd
}

func allow(ctx context.Context, cmd *cobra.Command, flags caddycmd.Flags, args []string, h Handler) error {
	if len(args) == 0 {
		return errors.New("which denials? Write the numbers under which caddy cors denials shows them: caddy cors allow 1 3")
	}
	config, adapter := flags.String("config"), flags.String("adapter")
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, config, adapter)
	if err != nil {
		return fmt.Errorf("finding out the address of the admin API: %w", err)
	}
	list, _, err := denials.Fetch(address)
	if err != nil {
		return err
	}
	var chosen []numbered
	for _, text := range args {
		number, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a number of a denial; caddy cors denials shows them", text)
		}
		d, err := list.Numbered(address, number)
		if err != nil {
			return err
		}
		chosen = append(chosen, numbered{number, d})
	}
	report, err := Allow(ctx, h, Configuration{File: config, Adapter: adapter, ServedBy: flags.String("served-by")}, chosen...)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, a := range report.Allowances {
		fmt.Fprintf(out, "%d  %s\n", a.Number, strings.Join(a.Says(), "\n   "))
	}
	switch {
	case report.Diff != "":
		fmt.Fprintf(out, "\n%s\n", visible(strings.ReplaceAll(report.Diff, "\r\n", "\n")))
	case len(report.Patch) > 0:
		patch, err := json.MarshalIndent(report.Patch, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nAs a JSON Patch (RFC 6902):\n%s\n", visible(string(patch)))
	case !report.allAllowed():
		return errors.New("there is no edit that allows them all")
	default:
		return nil
	}
	if flags.Bool("write") {
		written, err := report.edited.write()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "Written: %s\n", strings.Join(written, ", "))
	}
	if !report.allAllowed() {
		return errors.New("not all of them are allowed with this edit")
	}
	return nil
}

// A numbered denial is one under the number that a person has chosen.
type numbered struct {
	number int
	denial denials.Denial
}

// Numbered numbers denials from 1 on, for [Allow].
func Numbered(chosen ...denials.Denial) []numbered {
	list := make([]numbered, len(chosen))
	for i, d := range chosen {
		list[i] = numbered{i + 1, d}
	}
	return list
}

// A Configuration is the file that is edited.
type Configuration struct {
	File     string
	Adapter  string // by name; empty where the file's name tells
	ServedBy string // as of --served-by
}

// An AllowReport is what came of allowing denials.
type AllowReport struct {
	Allowances []Allowance `json:"allowances"`
	Diff       string      `json:"diff,omitempty"`  // of the Caddyfile's files, unified
	Patch      []patchOp   `json:"patch,omitempty"` // of a JSON configuration (RFC 6902)

	edited *configuration
}

// An Allowance is what came of one denial.
type Allowance struct {
	Number int    `json:"number"`
	ID     string `json:"id"`

	// ReportOnly is true if the directive only reports, so that nothing is allowed before its report_only is removed.
	ReportOnly bool `json:"report_only"`

	// Tried is what was seen of the call with the edit, as of [Report]; "already" where the configuration allows it as it is.
	Tried string `json:"tried"`

	// Call says which call was tried.
	Call string `json:"call"`

	// Advice is what only a person can do, or why nothing was edited.
	Advice []string `json:"advice,omitempty"`

	// Loses has calls that the edit would take away.
	Loses []Loss `json:"loses,omitempty"`
}

// triedAlready is the outcome where nothing has to be edited.
const triedAlready = "already"

func (a Allowance) allowed() bool {
	return a.Tried == triedAlready || a.Tried == triedAllowed || a.Tried == triedPreflight
}

func (r *AllowReport) allAllowed() bool {
	for _, a := range r.Allowances {
		if !a.allowed() {
			return false
		}
	}
	return true
}

// Says is the allowance for a person, in printable ASCII: a sentence on the call, and then what else there is to say.
func (a Allowance) Says() []string {
	said := map[string]string{
		triedAlready:   "is allowed by this configuration as it is.",
		triedAllowed:   "is allowed with the edit: it was tried.",
		triedPreflight: "is allowed with the edit, as far as its preflight goes; the request itself was not made, because it could change something.",
		triedUntried:   "could not be tried with the edit.",
	}[a.Tried]
	switch {
	case said == "":
		said = "is not allowed by any edit that was found."
	case a.ReportOnly && a.allowed():
		said += " That was without report_only, which stays: while it is there, cors changes nothing."
	}
	lines := []string{a.Call + " " + said}
	lines = append(lines, a.Advice...)
	for _, loss := range a.Loses {
		lines = append(lines, fmt.Sprintf("It takes %s %s from pages of %s.", loss.Method, loss.URL, loss.Origin))
	}
	for i, line := range lines {
		lines[i] = printable.ASCII(line)
	}
	return lines
}

// Allow looks for the edit of a configuration that allows denied calls, one after the other. It makes no request that
// could change something, and writes nothing.
func Allow(ctx context.Context, h Handler, of Configuration, chosen ...numbered) (*AllowReport, error) {
	silence()
	first := &Check{config: of.File, adapter: of.Adapter, servedBy: of.ServedBy}
	conf, err := first.load()
	if err != nil {
		return nil, fmt.Errorf("%s is refused by Caddy: %w", of.File, err)
	}
	conf.decide()
	report := new(AllowReport)
	var calls []*Check
	for _, n := range chosen {
		a := Allowance{Number: n.number, ID: n.denial.ID, ReportOnly: n.denial.ReportOnly}
		var next *configuration
		c := first.ofDenial(n.denial)
		a.Call = describe(n.denial)
		if len(n.denial.Lines) == 0 {
			a.Advice = []string{n.denial.Fix}
		} else if next, err = c.allowIn(ctx, h, conf, &a); err != nil {
			return nil, err
		} else if next != nil {
			conf = next
		}
		report.Allowances = append(report.Allowances, a)
		calls = append(calls, c)
	}
	report.Diff, report.Patch, report.edited = conf.diff(), patchOf(conf), conf
	// What an edit has allowed, a later one may have taken away.
	for i, c := range calls {
		if a := &report.Allowances[i]; a.allowed() {
			if attempt, err := c.attempt(ctx, conf, asTrial); err != nil || attempt.cause != nil {
				a.Tried, a.Advice = triedBlocked, append(a.Advice, "With the edits of the others, it is blocked again.")
			}
		}
	}
	return report, nil
}

// ofDenial returns the check of the call that was denied, as far as a denial tells.
func (c *Check) ofDenial(d denials.Denial) *Check {
	call := &Check{config: c.config, adapter: c.adapter, servedBy: c.servedBy, maxTime: defaultMaxTime, network: newNetwork(nil, false)}
	call.request = fetch.Request{URL: d.URL(), Origin: d.Origin, Method: d.Method, Kind: fetch.KindFetch}
	if call.request.Method == http.MethodOptions {
		call.request.Method = http.MethodGet
	}
	for _, name := range d.HeaderNames() {
		call.request.Header = append(call.request.Header, fetch.Field{Name: name, Value: "x"})
	}
	return call
}

// describe says which call was denied.
func describe(d denials.Denial) string {
	call := d.Method + " " + d.Host + d.Path
	if names := d.HeaderNames(); len(names) > 0 {
		call += " with " + strings.Join(names, ", ")
	}
	return call + " of a page of " + d.Origin
}

// allowIn looks for the edit that allows the call, and returns the configuration with it; nil if there is none.
func (c *Check) allowIn(ctx context.Context, h Handler, conf *configuration, a *Allowance) (*configuration, error) {
	attempt, err := c.attempt(ctx, conf, asTrial)
	if _, ok := errors.AsType[notLocalError](err); ok && strings.HasPrefix(c.request.URL, "https://") {
		c.request.URL = "http://" + strings.TrimPrefix(c.request.URL, "https://")
		attempt, err = c.attempt(ctx, conf, asTrial)
	}
	if _, ok := errors.AsType[notProvisionedError](err); ok {
		return nil, fmt.Errorf("%s is refused by Caddy: %w", c.config, err)
	}
	if err != nil {
		a.Tried = triedUntried
		_, message := explainFailure(err)
		if local, ok := errors.AsType[notLocalError](err); ok {
			message = local.Error()
		}
		a.Advice = append(a.Advice, message)
		return nil, nil
	}
	if attempt.cause == nil {
		a.Tried = triedAlready
		a.Advice = append(a.Advice, whyAllowed(attempt))
		return nil, nil
	}
	report := newReport(attempt)
	(&fixer{check: c, handler: h, before: conf}).fix(ctx, attempt, report)
	a.Tried, a.Loses = report.Tried, report.Loses
	if report.TriedReason != "" {
		a.Advice = append(a.Advice, report.TriedReason)
	}
	for _, fix := range report.Fixes {
		if fix.Advice != "" {
			a.Advice = append(a.Advice, fix.Advice)
		}
	}
	return report.edited, nil
}

// whyAllowed says how a call can be allowed that was denied.
func whyAllowed(a *attempt) string {
	if e := a.last(); e != nil {
		if d, ok := e.decisive(); ok && d.decision.Outcome == policy.Denied {
			return "cors denies it, and what comes after cors allows it all the same: a header line with a deferred operation, or, with upstream preserve, the backend."
		}
	}
	return "Is it the one that runs? A reload takes it over."
}

// decide has the directives decide that only report, in the routes and in those that edits make of them. Their text stays.
func (c *configuration) decide() {
	c.deciding = true
	withoutReportOnly(c.tree)
}

func withoutReportOnly(tree map[string]any) {
	walk(object(tree, "apps"), "", func(_ string, o map[string]any) {
		if o["handler"] == "cors" {
			delete(o, "report_only")
		}
	})
}
