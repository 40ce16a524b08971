package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/shell"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// TestCommand returns the command "test", which holds a configuration to a file of calls.
func TestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test (<file> --config <file> | --from-har <file>) [flags]",
		Short: "Tests which calls a configuration allows and denies",
		Long: `Makes the calls of a file through the routes of a configuration, as "caddy cors
check --config" does, and prints those that turn out differently: unit tests for
a policy. Each line of the file is a call: "allow" or "deny", then the arguments
of "caddy cors check", quoted as in a shell. A # begins a comment.

  # the app
  allow https://api.example.com/orders --origin https://app.example.com
  allow https://api.example.com/orders/7 --origin https://app.example.com -X PUT
  deny  https://api.example.com/orders --origin https://evil.example

Nothing listens, and no request is made that could change something: handlers
that could do so are left out for such requests. For the others, a reverse_proxy
calls its upstreams; the response to an upstream that does not run counts, too.

--from-har makes such a file of a HAR export, without making any call: it prints
each call to another origin once, with allow or deny according to the recorded
answers. Secrets are not written out: bodies and cookies are left out, and the
values of queries and of most headers are "...". A call that cannot be written
as a line becomes a comment that says why.

The exit code is 0 if all calls turn out as the file says, 1 if one does not,
and 2 if a line cannot be read or judged.`,
		Example: `  caddy cors test cors.test --config Caddyfile
  caddy cors test --from-har page.har > cors.test`,
		SilenceErrors: true, // they are said here, and exit with a code of their own
		SilenceUsage:  true,
	}
	f := cmd.Flags()
	f.StringP("config", "c", "", "The configuration that is tested")
	f.StringP("adapter", "a", "", "Name of the config adapter to apply")
	f.String("served-by", "", "The listener of the configuration that the calls come to, such as :80, behind a proxy or a port mapping")
	f.String("from-har", "", "Print the calls of a HAR export as such a file; - is standard input")
	fail := func(cmd *cobra.Command, err error) error {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(cmd.ErrOrStderr(), "caddy cors test: %s\n", printable.ASCII(strings.TrimSuffix(line, "\n")))
		}
		return exit(cmd, exitUnknown)
	}
	cmd.SetFlagErrorFunc(fail)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		flags := caddycmd.Flags{FlagSet: f}
		if f.Changed("from-har") {
			if err := printSuite(ctx, cmd, args); err != nil {
				return fail(cmd, err)
			}
			return nil
		}
		switch {
		case len(args) != 1:
			return fail(cmd, errors.New("which file has the calls? Write its name: caddy cors test cors.test --config Caddyfile"))
		case flags.String("config") == "":
			return fail(cmd, errors.New("--config is missing: the configuration that is tested"))
		}
		text, err := os.ReadFile(args[0])
		if err != nil {
			return fail(cmd, err)
		}
		s, err := readSuite(args[0], string(text), flags)
		if err != nil {
			return fail(cmd, err)
		}
		code, err := s.run(ctx, cmd.OutOrStdout())
		if err != nil {
			return fail(cmd, err)
		}
		return exit(cmd, code)
	}
	return cmd
}

// printSuite is the command with --from-har.
func printSuite(ctx context.Context, cmd *cobra.Command, args []string) error {
	flags := caddycmd.Flags{FlagSet: cmd.Flags()}
	for _, other := range []string{"config", "adapter", "served-by"} {
		if flags.Changed(other) {
			return fmt.Errorf("--from-har prints a file of calls and runs none, so --%s says nothing: leave it out, and give it to the command that runs the file", other)
		}
	}
	if len(args) > 0 {
		return fmt.Errorf("--from-har reads one HAR and prints to standard output, so leave out %q; to write a file: caddy cors test --from-har page.har > cors.test", args)
	}
	name := flags.String("from-har")
	switch name {
	case "":
		return errors.New("which HAR has the calls? Write its name: caddy cors test --from-har page.har")
	case "-":
		return writeSuite(ctx, cmd.OutOrStdout(), "standard input", cmd.InOrStdin(), flags)
	}
	har, err := os.Open(name)
	if err != nil {
		return err
	}
	defer har.Close()
	if info, err := har.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, and not a HAR", name)
	}
	return writeSuite(ctx, cmd.OutOrStdout(), name, har, flags)
}

// exit returns the error that has a command of Caddy exit with the code.
func exit(cmd *cobra.Command, code int) error {
	// Caddy's own wrapper has the one error that carries an exit code, for codes above 1.
	if code == exitBlocked {
		return errors.New("blocked")
	}
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}

// A suite has the calls that a configuration is held to.
type suite struct {
	file  string
	calls []expectation
}

// An expectation is a line of a suite.
type expectation struct {
	number  int    // of the line
	text    string // of the line, without its verdict
	allowed bool
	check   *Check
}

// readSuite reads the text of a file. The flags are those of the command. The error has all lines that cannot be read.
func readSuite(file, text string, flags caddycmd.Flags) (suite, error) {
	s := suite{file: file}
	var problems []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		e, ok, err := readExpectation(strings.TrimSpace(line), flags)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s:%d: %w", file, number, err))
		case ok:
			e.number = number
			s.calls = append(s.calls, e)
		}
	}
	if len(s.calls) == 0 && len(problems) == 0 {
		problems = append(problems, fmt.Errorf("%s has no call; write one a line, such as: allow https://api.example.com/ --origin https://app.example.com", file))
	}
	return s, errors.Join(problems...)
}

// readExpectation reads a line. It reports false for one without a call.
func readExpectation(line string, of caddycmd.Flags) (e expectation, ok bool, err error) {
	words, err := shell.Fields(line, func(string) string { return "" })
	if err != nil {
		return e, false, fmt.Errorf("it is not quoted as in a shell: %w", err)
	}
	if len(words) == 0 {
		return e, false, nil
	}
	switch words[0] {
	case "allow":
		e.allowed = true
	case "deny":
	default:
		return e, false, fmt.Errorf("it starts with %q, and not with allow or deny", words[0])
	}
	e.text = strings.TrimSpace(strings.TrimPrefix(line, words[0]))
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	addCallFlags(f)
	addServerFlags(f)
	if err := f.Parse(words[1:]); err != nil {
		return e, false, err
	}
	for _, name := range []string{"config", "adapter", "served-by"} {
		if of.Changed(name) {
			if err := f.Set(name, of.String(name)); err != nil {
				return e, false, err
			}
		}
	}
	e.check, err = Parse(caddycmd.Flags{FlagSet: f}, f.Args())
	return e, true, err
}

// run makes the calls, and writes what differs. The error has the lines that cannot be judged.
func (s suite) run(ctx context.Context, out io.Writer) (code int, err error) {
	silence()
	var conf *configuration
	var problems []error
	passed, failed := 0, 0
	for _, e := range s.calls {
		c := e.check
		if conf == nil {
			if conf, err = c.load(); err != nil {
				return exitUnknown, err
			}
		}
		report := c.judgeIn(ctx, conf)
		switch report.Verdict {
		case VerdictUnknown:
			problems = append(problems, fmt.Errorf("%s:%d: %s", s.file, e.number, report.Cause.Message))
		case string(fetch.Allowed), string(fetch.Blocked):
			if (report.Verdict == string(fetch.Allowed)) == e.allowed {
				passed++
				continue
			}
			failed++
			want := "denied"
			if e.allowed {
				want = "allowed"
			}
			fmt.Fprintf(out, "%s:%d: should be %s: %s\n\n%s\n", s.file, e.number, want, printable.ASCII(e.text), report.text(c, false))
		}
	}
	if len(problems) > 0 {
		return exitUnknown, errors.Join(problems...)
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return exitBlocked, nil
	}
	return exitAllowed, nil
}

// judgeIn judges the call in a configuration, without any request that could change something.
func (c *Check) judgeIn(ctx context.Context, conf *configuration) *Report {
	if err := c.loadPageIn(ctx, conf, asTrial); err != nil {
		return c.pageFailed(err)
	}
	a, err := c.attempt(ctx, conf, asTrial)
	report, _ := c.reportOf(a, conf, err)
	c.cut(report)
	return report
}
