package ui

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-cors/caddy-cors/internal/check"
)

// Command returns the command "ui". It needs of the cors handler what h has.
func Command(h check.Handler) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ui [--config <file> [--write]] [flags]",
		Short: "Opens a page that shows what blocks a call, and what is denied",
		Long: `Serves a page on this machine, and opens it in the browser. Paste what a browser
gave you, or fill in a call, and see the call as a browser makes it, what blocks
it, and what to change. It also shows the denials of the running Caddy as they
come. What it shows is what "caddy cors check" and "caddy cors denials" say; it
needs no network.

With --config, calls run through the routes of that configuration, as they do
for "caddy cors check --config", and what has to change is shown as an edit of
the Caddyfile. With --write, the page has a button that writes it. Without
--config, live servers are asked.

The link has a random token in it: whoever has it can do what the page can. The
page listens on a loopback address only, and ends with the command.`,
		Example: `  caddy cors ui
  caddy cors ui --config Caddyfile
  caddy cors ui --config Caddyfile --listen 127.0.0.1:8484 --no-open`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) { return run(flags, h) }),
	}
	f := cmd.Flags()
	f.StringP("config", "c", "", "Check calls against this configuration, and not live servers")
	f.StringP("adapter", "a", "", "Name of the config adapter to apply (when --config is used)")
	f.Bool("write", false, "Let the page write an edit to the files of the Caddyfile, on a click (when --config is used)")
	f.String("address", "", "The address of the admin API that has the denials, if not the default and not in the --config")
	f.String("listen", "127.0.0.1:0", "The loopback address to serve the page on; port 0 is any that is free")
	f.Bool("no-open", false, "Print the link, and do not open it")
	return cmd
}

func run(flags caddycmd.Flags, h check.Handler) (int, error) {
	options := Options{Handler: h, Config: flags.String("config"), Adapter: flags.String("adapter"), Write: flags.Bool("write")}
	for _, name := range []string{"adapter", "write"} {
		if flags.Changed(name) && options.Config == "" {
			return caddy.ExitCodeFailedStartup, fmt.Errorf("--%s is about the --config, which is missing", name)
		}
	}
	switch options.Config {
	case "":
	case "-":
		return caddy.ExitCodeFailedStartup, errors.New("--config is read anew for each check, which standard input (-) cannot be: write the name of a file")
	default:
		if _, err := os.Stat(options.Config); err != nil {
			return caddy.ExitCodeFailedStartup, fmt.Errorf("--config: %w", err)
		}
	}
	var err error
	options.Admin, err = caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, options.Config, options.Adapter)
	if err != nil { // a configuration that Caddy refuses can be looked at, too: the page says what is wrong
		options.Admin = caddy.DefaultAdminListen
	}
	if err := checkListen(flags.String("listen")); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	l, err := net.Listen("tcp", flags.String("listen"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("--listen: %w", err)
	}
	defer l.Close()
	s := NewServer(hostOf(flags.String("listen"), l.Addr()), options)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Printf("The page is at %s\nWhoever has this link can use it. Ctrl+C ends it.\n", s.Link())
	if !flags.Bool("no-open") {
		remove, err := open(s.Link())
		defer remove()
		if err != nil {
			fmt.Fprintf(os.Stderr, "No browser could be opened (%v): open the link.\n", err)
		}
	}
	if err := s.Serve(ctx, l); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

// checkListen refuses addresses that others can reach.
func checkListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("--listen %q is not host:port, such as 127.0.0.1:8484", address)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("--listen %q is not a loopback address, such as 127.0.0.1:8484: the page is for this machine alone. To see it from another one, forward the port: ssh -L 8484:127.0.0.1:8484", address)
	}
	return nil
}

// hostOf is the host of the page's URL: as it was asked for, with the port that it has.
func hostOf(asked string, listening net.Addr) string {
	host, _, _ := net.SplitHostPort(asked) // which was checked
	_, port, _ := net.SplitHostPort(listening.String())
	return net.JoinHostPort(host, port)
}

// open opens a link in the user's browser. The link has a secret, and the arguments of a program can be seen by every user
// of a machine; so what the browser is given is a file that leads there, and that nobody else can read. The caller has to
// remove it.
func open(link string) (remove func(), err error) {
	dir, err := os.MkdirTemp("", "caddy-cors-ui-") // for this user alone
	if err != nil {
		return func() {}, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	file := filepath.Join(dir, "open.html")
	text := `<!doctype html><title>caddy cors</title><meta http-equiv="refresh" content="0; url=` + link + `">` + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return remove, err
	}
	var opener *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		opener = exec.Command("open", file)
	case "windows":
		opener = exec.Command("rundll32", "url.dll,FileProtocolHandler", "file:///"+strings.ReplaceAll(file, `\`, "/"))
	default:
		opener = exec.Command("xdg-open", file)
	}
	if err := opener.Start(); err != nil {
		return remove, err
	}
	go func() { _ = opener.Wait() }() // some end at once, others with the browser
	return remove, nil
}
