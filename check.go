package caddycors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/term"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// The exit codes of the check.
const (
	exitAllowed = 0
	exitBlocked = 1
	exitUnknown = 2
)

func checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check <url> --origin <origin> [-X <method>] [-H 'Name: value']... [--credentials] [--reads <field>]... [--config <file> [--adapter <name>]] [--resolve host:port:addr]... [--insecure] [--json]",
		Short: "Tells whether a browser would let a page call a URL, and if not, what to change",
		Long: `Does what a browser does when a script on a page of the --origin calls
fetch(url), by the Fetch Standard, step by step: is the call cross-origin, is a
preflight needed, does its answer allow the request, does the response, do the
redirects, and what of the response can the script read. If the call is
blocked, it says why, in the words of a browser's console, and which lines of
the Caddyfile would change that.

Without --config, it asks the live server, as a browser on this machine would.
With --config, the requests run through the routes of that configuration in
this process. Nothing listens, nothing is stored, and no certificate is needed;
but a reverse_proxy calls its upstreams, and what they do is done. The fixes
are tried, without any request that could change something. A redirect that
leaves the configuration is followed to the live server.

The origin is that of the page's URL, without its path: https://app.example.com.
It is null for a page in a sandboxed frame, or opened from a file.

The exit code is 0 if the call is allowed, 1 if it is blocked, and 2 if that
could not be found out: an argument is wrong, a server does not answer.`,
		Example: `  caddy cors check https://api.example.com/orders --origin https://app.example.com
  caddy cors check https://api.example.com/orders/7 --origin https://app.example.com \
      -X PUT -H 'Content-Type: application/json' --credentials --reads X-Total
  caddy cors check https://api.example.com/ --origin https://app.example.com --config Caddyfile
  caddy cors check https://api.example.com/ --origin https://app.example.com \
      --resolve api.example.com:443:127.0.0.1 --insecure
  caddy cors check https://api.example.com/ --origin https://app.example.com --json | jq -r .verdict`,
		SilenceErrors: true, // they are said here, and exit with a code of their own
		SilenceUsage:  true,
	}
	f := cmd.Flags()
	f.String("origin", "", "The origin of the page, such as https://app.example.com; or null")
	f.StringP("method", "X", "", "The method that the script uses, if it is not GET")
	f.StringArrayP("header", "H", nil, "A header that the script sets, as 'Name: value'; can be repeated")
	f.Bool("credentials", false, "The script asks for credentials: 'include', so that cookies are sent")
	f.StringArray("reads", nil, "A response header that the script reads; can be repeated")
	f.StringP("config", "c", "", "Check against this configuration, and not a live server")
	f.StringP("adapter", "a", "", "Name of the config adapter to apply (when --config is used)")
	f.StringArray("resolve", nil, "Where a live server is, as host:port:address; can be repeated")
	f.Bool("insecure", false, "Accept any certificate of a live server")
	f.Bool("json", false, "Print JSON")
	exit := func(cmd *cobra.Command, code int) error {
		// Caddy's own wrapper has the one error that carries an exit code, for codes above 1.
		if code == exitBlocked {
			return errors.New("blocked")
		}
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		fmt.Fprintf(os.Stderr, "caddy cors check: %s\n", printable(err.Error()))
		return exit(cmd, exitUnknown)
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		silence()
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		asJSON, _ := f.GetBool("json")
		c, err := parseCheck(caddycmd.Flags{FlagSet: f}, args)
		var report *checkReport
		if err != nil {
			report = unknownReport("arguments", err.Error())
		} else {
			report = c.run(ctx)
		}
		switch {
		case asJSON:
			encoder := json.NewEncoder(os.Stdout)
			encoder.SetIndent("", "  ")
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(report); err != nil {
				return exit(cmd, exitUnknown)
			}
		case report.Verdict == verdictUnknown && len(report.Steps) == 0:
			for line := range strings.Lines(report.Cause.Message) { // of a refused configuration, there may be several
				fmt.Fprintf(os.Stderr, "caddy cors check: %s\n", printable(strings.TrimSuffix(line, "\n")))
			}
		default:
			fmt.Print(report.text(c, os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(os.Stdout.Fd()))))
		}
		return exit(cmd, report.exitCode())
	}
	return cmd
}

// A check is what the command is asked.
type check struct {
	request         fetch.Request
	reads           []string
	config, adapter string
	network         http.RoundTripper
}

// parseCheck reads the arguments. The error is a sentence that says what to write instead.
func parseCheck(flags caddycmd.Flags, args []string) (*check, error) {
	switch {
	case len(args) == 0:
		return nil, errors.New("which URL does the script call? Write it behind the command: caddy cors check https://api.example.com/ --origin https://app.example.com")
	case len(args) > 1:
		return nil, fmt.Errorf("one URL is checked at a time, and there are %d arguments: %q", len(args), args)
	}
	c := &check{
		request: fetch.Request{
			URL:         args[0],
			Origin:      flags.String("origin"),
			Method:      flags.String("method"),
			Credentials: flags.Bool("credentials"),
		},
		config:  flags.String("config"),
		adapter: flags.String("adapter"),
	}
	switch scheme, _, ok := strings.Cut(c.request.URL, "://"); {
	case !ok:
		return nil, fmt.Errorf("the URL %q has no scheme; did you mean %q?", c.request.URL, "https://"+strings.TrimPrefix(c.request.URL, "//"))
	case !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https"):
		return nil, fmt.Errorf("the URL %q is neither an http:// nor an https:// one, and CORS is about those", c.request.URL)
	}
	if err := checkOrigin(c.request.Origin); err != nil {
		return nil, err
	}
	headers, _ := flags.GetStringArray("header") // which exists
	for _, text := range headers {
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("the header %q is not a name, a colon and a value, such as 'Content-Type: application/json'", text)
		}
		c.request.Header = append(c.request.Header, fetch.Field{Name: name, Value: strings.TrimSpace(value)})
	}
	reads, _ := flags.GetStringArray("reads")
	for _, name := range reads {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("--reads %q is no name of a header", name)
		}
		c.reads = append(c.reads, name)
	}
	if c.adapter != "" && c.config == "" {
		return nil, errors.New("--adapter says how to read the --config, which is missing")
	}
	resolve := make(map[string]string)
	resolves, _ := flags.GetStringArray("resolve")
	for _, text := range resolves {
		hostport, target, err := parseResolve(text)
		if err != nil {
			return nil, err
		}
		resolve[hostport] = target
	}
	c.network = newNetwork(resolve, flags.Bool("insecure"))
	return c, nil
}

func checkOrigin(text string) error {
	if text == "" {
		return errors.New("--origin is missing: the origin of the page that calls, such as --origin https://app.example.com")
	}
	if _, ok := origin.Parse(text); ok || text == origin.Null {
		return nil
	}
	if text == "*" {
		return errors.New("--origin is the origin of one page, such as https://app.example.com, and not *")
	}
	if _, err := origin.ParsePattern(text); err != nil {
		return fmt.Errorf("--origin: %w", err)
	}
	return fmt.Errorf("--origin: %q stands for many origins; write that of one page", text)
}

// An attempt is one run of the browser's algorithm.
type attempt struct {
	result    *fetch.Result
	cause     *fetch.Cause // nil if the call is allowed
	exchanges []*exchange  // with a configuration
	warnings  []checkWarning
}

// codeNotReadable is the cause where the response is there, but not what of it --reads asks for.
const codeNotReadable fetch.Code = "header-not-exposed"

// last is the exchange that the cause is about.
func (a *attempt) last() *exchange {
	if len(a.exchanges) == 0 {
		return nil
	}
	return a.exchanges[len(a.exchanges)-1]
}

// lastResponse is the response that the cause is about.
func (a *attempt) lastResponse() (int, http.Header) {
	for _, step := range slices.Backward(a.result.Steps) {
		if step.Exchange != nil {
			return step.Exchange.Status, step.Exchange.ResponseHeader
		}
	}
	return 0, nil
}

// try runs the browser's algorithm once.
func (c *check) try(ctx context.Context, transport http.RoundTripper) (*attempt, error) {
	client := fetch.Client{Transport: timed{transport, requestTimeout}}
	result, err := client.Fetch(ctx, c.request)
	if err != nil {
		return nil, err
	}
	a := &attempt{result: result, cause: result.Cause}
	if config, ok := transport.(*localConfig); ok {
		a.exchanges = config.exchanges
	}
	for _, w := range result.Warnings {
		warning := checkWarning{Code: string(w.Code), Message: w.Message}
		for _, engine := range w.Engines {
			warning.Engines = append(warning.Engines, string(engine))
		}
		a.warnings = append(a.warnings, warning)
	}
	if result.Verdict == fetch.Allowed {
		c.checkReads(a)
		if result.Status >= 400 {
			a.warn("error-status", "The script gets the response, and its status is %d.", result.Status)
		}
	}
	return a, nil
}

func (a *attempt) warn(code, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(a.warnings, func(w checkWarning) bool { return w.Code == code && w.Message == message }) {
		a.warnings = append(a.warnings, checkWarning{Code: code, Message: message})
	}
}

// checkReads finds the first field that the script reads in vain.
func (c *check) checkReads(a *attempt) {
	r := a.result
	for _, name := range c.reads {
		if r.Readable(name) {
			continue
		}
		if len(r.Header.Values(name)) == 0 {
			a.warn("header-absent", "The response has no header %s.", name)
			if c.couldRead(a, name) {
				continue
			}
		}
		if a.cause == nil {
			_, header := a.lastResponse()
			a.cause = &fetch.Cause{
				Code:    codeNotReadable,
				Message: fmt.Sprintf("Refused to get unsafe header %q: it is not among the headers that the response exposes (Access-Control-Expose-Headers: %q).", name, strings.Join(header.Values("Access-Control-Expose-Headers"), ", ")),
				URL:     r.URL,
				At:      fetch.AtResponse,
				Origin:  c.request.Origin,
				Names:   []string{name},
			}
		}
	}
}

// couldRead reports whether a script could read a field that the response does not have, if it had it.
func (c *check) couldRead(a *attempt, name string) bool {
	r := a.result
	if strings.EqualFold(name, "Set-Cookie") || strings.EqualFold(name, "Set-Cookie2") {
		return false
	}
	for _, readable := range []string{"Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Expires", "Last-Modified", "Pragma"} {
		if strings.EqualFold(readable, name) {
			return true
		}
	}
	if e := a.last(); e != nil {
		if seen, ok := e.decisive(); ok {
			if _, all := seen.decision.Policy.ExposeHeaders(); all { // which lists those that the response has
				return true
			}
		}
	}
	exposed := r.Header.Values("Access-Control-Expose-Headers")
	sameOrigin := !slices.ContainsFunc(r.Steps, func(step fetch.Step) bool {
		return step.Outcome == fetch.CORS || step.Outcome == fetch.Preflight || step.Outcome == fetch.Cached
	})
	return sameOrigin || httpguts.HeaderValuesContainsToken(exposed, name) ||
		!c.request.Credentials && httpguts.HeaderValuesContainsToken(exposed, "*")
}

// run checks, and reports.
func (c *check) run(ctx context.Context) *checkReport {
	if c.config != "" {
		return c.runConfig(ctx)
	}
	a, err := c.try(ctx, c.network)
	if err != nil {
		return unknownReport(explainFailure(err))
	}
	report := newReport(a)
	if a.cause != nil {
		fixes, _ := (&fixer{check: c, attempt: a}).find(ctx)
		report.Fixes = append(report.Fixes, fixes...)
	}
	return report
}

// maxAttempts bounds the search for all that a call needs: an origin, a method, headers, credentials, and what is read.
const maxAttempts = 16

// runConfig checks against a configuration. A browser tells one cause at a time; here each is mended in memory, until the
// call is allowed or only a person can go on, so that all fixes are told at once.
func (c *check) runConfig(ctx context.Context) *checkReport {
	text, _, _, err := caddycmd.LoadConfig(c.config, c.adapter)
	if err != nil {
		return unknownReport("config", err.Error())
	}
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return unknownReport("config", fmt.Sprintf("%s is no configuration: %v", c.config, err))
	}
	var report *checkReport
	for range maxAttempts {
		a, handlers, err := c.tryConfig(ctx, tree, report != nil)
		if err != nil && report == nil {
			if _, ok := errors.AsType[notProvisionedError](err); ok {
				return unknownReport("config", fmt.Sprintf("Caddy refuses %s: %s", c.config, strings.ReplaceAll(err.Error(), witnessName, "cors")))
			}
			if local, ok := errors.AsType[notLocalError](err); ok {
				return unknownReport("not-in-config", local.Error())
			}
			return unknownReport(explainFailure(err))
		}
		if err != nil {
			return report
		}
		if report == nil {
			report = newReport(a)
		}
		if a.cause == nil {
			report.fixed = len(report.Fixes) > 0
			return report
		}
		fixes, applied := (&fixer{check: c, attempt: a, tree: tree, handlers: handlers}).find(ctx)
		before := len(report.Fixes)
		for _, fix := range fixes {
			if !slices.Contains(report.Fixes, fix) {
				report.Fixes = append(report.Fixes, fix)
			}
		}
		if !applied || len(report.Fixes) == before {
			return report
		}
	}
	return report
}

// tryConfig runs the browser's algorithm once against a configuration. The handlers are its cors handlers. A trial of
// fixes makes no request that could change something: what a browser would have blocked must not happen.
func (c *check) tryConfig(ctx context.Context, tree map[string]any, trial bool) (*attempt, []map[string]any, error) {
	config, err := newLocalConfig(clone(tree), c.network)
	if err != nil {
		return nil, nil, notProvisionedError{err}
	}
	defer config.Close()
	if trial {
		harmless := clone(tree)
		withoutEffects(harmless)
		if config.harmless, err = newLocalConfig(harmless, nil); err != nil {
			return nil, nil, notProvisionedError{err}
		}
	}
	a, err := c.try(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range a.exchanges {
		if e.server == "" {
			a.warn("left-config", "%s is not in the configuration: its live server was asked.", e.request.URL.Host)
		}
	}
	var handlers []map[string]any
	walk(tree["apps"], func(object map[string]any) {
		if object["handler"] == "cors" {
			handlers = append(handlers, object)
		}
	})
	return a, handlers, nil
}

// newLocalConfig provisions a configuration with a witness in the place of each of its cors handlers.
func newLocalConfig(tree map[string]any, elsewhere http.RoundTripper) (*localConfig, error) {
	place := 0
	walk(tree["apps"], func(object map[string]any) {
		if object["handler"] == "cors" {
			object["handler"], object["place"] = witnessName, place
			place++
		}
	})
	return provisionConfig(tree, elsewhere)
}

// A notProvisionedError says that Caddy refuses a configuration.
type notProvisionedError struct{ error }

func clone(tree map[string]any) map[string]any {
	text, err := json.Marshal(tree)
	if err != nil {
		panic(err) // it was JSON before
	}
	var copied map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&copied); err != nil {
		panic(err)
	}
	return copied
}
