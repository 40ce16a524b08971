package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// A scene is what the commands of a console block need, besides the Caddyfile of its page.
type scene struct {
	files  map[string]string // that are written before, by their names; those of the scenes before it are still there
	denied []denied          // by a running server whose site is that of cors
	cors   string            // the directive of that site
	code   int               // with which the last command exits

	unshown bool // the page shows how the command is called, and not what it prints

	elsewhere string // the test that runs the block, which is not run here
}

// A denied call has been made some times.
type denied struct {
	times        int
	method, path string
	header       fields
}

// scenes has every console block of the pages, by the page and the block's first command.
func scenes(t *testing.T) map[string]scene {
	har, err := os.ReadFile(filepath.Join(root, "internal/check/pasted/testdata/chromium.har"))
	if err != nil {
		t.Fatal(err)
	}
	const put = "cors https://app.example.com {\n\tallow_methods PUT\n\tallow_headers Content-Type\n}"
	preflight := func(path, method, headers string) denied {
		return denied{4, "OPTIONS", path, fields{"Origin": app, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}}
	}
	from := func(times int, path, origin string) denied {
		return denied{times, "GET", path, fields{"Origin": origin}}
	}
	tests := markdown.Read(t, "check.md").Section(t, "A policy's unit tests").BlocksOf("text")[0]
	return map[string]scene{
		"README.md: caddy cors check - --config Caddyfile --diff": {code: 1},
		"README.md: caddy cors denials": {
			cors:   "cors https://app.example.com",
			denied: []denied{preflight("/orders/7", "PUT", ""), from(2, "/orders", "https://evil.example")},
		},
		"README.md: caddy cors test cors.test --config Caddyfile": {
			files: map[string]string{"cors.test": markdown.Read(t, filepath.Join(root, "README.md")).Section(t, "When a call is blocked").BlocksOf("text")[0]},
		},
		"check.md: caddy cors check - --config Caddyfile":                                                                        {files: map[string]string{"Caddyfile": siteOf("cors https://app.example.com")}, code: 1, unshown: true},
		"check.md: caddy cors check https://api.example.com/orders/7 --origin https://app.example.com -X PUT --config Caddyfile": {code: 1},
		"check.md: caddy cors check - < page.har":                                                                                {files: map[string]string{"page.har": string(har)}, code: 1, unshown: true},
		"check.md: caddy cors test cors.test --config Caddyfile":                                                                 {files: map[string]string{"cors.test": tests, "Caddyfile": siteOf(put)}},
		"check.md: caddy cors test --from-har page.har > cors.test":                                                              {},
		"observability.md: caddy cors allow 1 2 3 --config Caddyfile --write":                                                    {elsewhere: "TestRollout"},
		"observability.md: caddy cors denials": {
			cors:   "cors https://app.example.com",
			denied: []denied{preflight("/orders/7", "PUT", "")},
		},
		"observability.md: caddy cors denials, again": {
			cors: "cors https://app.example.com {\nallow_headers Content-Type\nreport_only\n}",
			denied: []denied{
				preflight("/orders/7", "PUT", "content-type"),
				{3, "OPTIONS", "/reports", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-api-key"}},
				from(2, "/users", "https://admin.example.com"),
				from(1, "/users", "https://evil.example"),
			},
		},
		"ui.md: caddy cors ui --config Caddyfile": {files: map[string]string{"Caddyfile": siteOf("cors https://app.example.com")}},
	}
}

// siteOf is the Caddyfile of a site with a directive, as the pages have it.
func siteOf(cors string) string {
	return "api.example.com {\n\t" + strings.ReplaceAll(cors, "\n", "\n\t") + "\n\treverse_proxy localhost:9000\n}\n"
}

// What the pages show of a terminal is what comes out: the commands after "$ " are run as a shell does, those of a page one after
// the other in one folder, with what is shown up to ^D as what is typed. Times, counts and free ports may be others.
func TestConsoles(t *testing.T) {
	all, tests := scenes(t), testFunctions(t)
	seen := make(map[string]bool)
	for _, p := range markdown.ReadAll(t, root) {
		name, dir := filepath.Base(p.Path), t.TempDir()
		if caddyfiles := p.Whole().BlocksOf("caddyfile"); name == "README.md" && len(caddyfiles) > 0 {
			writeFiles(t, dir, map[string]string{"Caddyfile": caddyfiles[0]})
		}
		home := t.TempDir()
		for _, b := range p.Whole().Blocks() {
			commands := readConsole(b.Text)
			if (b.Info == "console") != (len(commands) > 0) {
				t.Errorf("%s:%d: a block of %q has %d commands after \"$ \"; a block of a terminal is ```console", p.Path, b.Line, b.Info, len(commands))
				continue
			}
			if len(commands) == 0 {
				continue
			}
			key := name + ": " + commands[0].command
			for seen[key] {
				key += ", again"
			}
			seen[key] = true
			s, ok := all[key]
			switch {
			case !ok:
				t.Errorf("%s:%d: scenes has no %q", p.Path, b.Line, key)
			case s.elsewhere != "":
				if tests[s.elsewhere] == nil {
					t.Errorf("the test %s is not there any more", s.elsewhere)
				}
			default:
				t.Run(key, func(t *testing.T) { s.run(t, dir, home, commands) })
			}
		}
	}
	for key := range all {
		if !seen[key] {
			t.Errorf("no page has %q", key)
		}
	}
}

// A typed command is one of a console block, with what is typed into it and what it prints.
type typed struct{ command, input, output string }

// readConsole reads a block.
func readConsole(text string) (commands []typed) {
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, typed{command: strings.TrimSpace(command)})
			continue
		}
		if len(commands) == 0 {
			return nil
		}
		last := &commands[len(commands)-1]
		switch {
		case strings.HasSuffix(last.command, `\`):
			last.command = strings.TrimSuffix(last.command, `\`) + strings.TrimSpace(line)
		case strings.TrimSpace(line) == "^D":
			last.input, last.output = last.output, ""
		default:
			last.output += line
		}
	}
	return commands
}

// run runs the commands of a block.
func (s scene) run(t *testing.T, dir, home string, commands []typed) {
	writeFiles(t, dir, s.files)
	env := append(os.Environ(), "NO_COLOR=1")
	for _, variable := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		env = append(env, variable+"="+home)
	}
	if s.denied != nil {
		livecaddy.ForgetDenials(t)
		admin := "127.0.0.1:" + livecaddy.FreePort(t)
		server := livecaddy.Start(t, "http://api.example.com {\n"+s.cors+"\nrespond hello\n}\n", "admin "+admin)
		for _, d := range s.denied {
			d.header["Host"] = "api.example.com"
			for range d.times {
				livecaddy.Send(t, d.method, "http://127.0.0.1:"+server.HTTPPort+d.path, d.header)
			}
		}
		env = append(env, "CADDY_ADMIN="+admin)
	}
	for i, c := range commands {
		output, code, err := shell(t, dir, env, c)
		if err != nil {
			t.Fatalf("%s: %v", c.command, err)
		}
		want := 0
		if i == len(commands)-1 {
			want = s.code
		}
		if code != want {
			t.Errorf("%s exits with %d, want %d", c.command, code, want)
		}
		if s.unshown {
			if c.output != "" || output == "" {
				t.Errorf("%s prints %q, and the page shows %q", c.command, output, c.output)
			}
			continue
		}
		if got, want := comparable(output), comparable(c.output); got != want {
			t.Errorf("%s prints\n%s\nand the page has\n%s", c.command, got, want)
		}
	}
}

// comparable is an output without what is another in each run.
func comparable(output string) string {
	output = regexp.MustCompile(`\d+ times?, last [\d-]+ [\d:]+`).ReplaceAllString(output, "N times, last TIME")
	output = regexp.MustCompile(`http://127\.0\.0\.1:\d+/\?token=\w+`).ReplaceAllString(output, "LINK")
	return strings.TrimRight(output, "\n")
}

// shell runs a command line, whose only program is caddy, and returns what it prints on standard output.
func shell(t *testing.T, dir string, env []string, c typed) (output string, code int, err error) {
	t.Helper()
	binary, err := livecaddy.Binary()
	if err != nil {
		return "", 0, err
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(c.command), "")
	if err != nil {
		return "", 0, err
	}
	var stdout, stderr bytes.Buffer
	run := func(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
		return func(ctx context.Context, args []string) error {
			if args[0] != "caddy" {
				return fmt.Errorf("%s is not run", args[0])
			}
			in := interp.HandlerCtx(ctx)
			command := exec.CommandContext(ctx, binary, args[1:]...)
			command.Dir, command.Env, command.Stdin, command.Stdout, command.Stderr = in.Dir, env, in.Stdin, in.Stdout, in.Stderr
			if slices.Contains(args, "ui") {
				return firstLines(command, strings.Count(c.output, "\n"))
			}
			err := command.Run()
			if exited, ok := errors.AsType[*exec.ExitError](err); ok {
				return interp.ExitStatus(exited.ExitCode())
			}
			return err
		}
	}
	runner, err := interp.New(
		interp.Dir(dir), interp.Env(expand.ListEnviron(env...)), interp.StdIO(strings.NewReader(c.input), &stdout, &stderr), interp.ExecHandlers(run))
	if err != nil {
		return "", 0, err
	}
	err = runner.Run(t.Context(), file)
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		code, err = int(status), nil
	}
	if t.Failed() || err != nil {
		t.Logf("%s: %s", c.command, stderr.String())
	}
	return stdout.String(), code, err
}

// firstLines runs a command that goes on until it is interrupted, without a browser, and ends it after some lines.
func firstLines(command *exec.Cmd, lines int) error {
	out := command.Stdout
	command.Args, command.Stdout = append(command.Args, "--no-open"), nil
	pipe, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	for scanner := bufio.NewScanner(pipe); lines > 0 && scanner.Scan(); lines-- {
		fmt.Fprintln(out, scanner.Text())
	}
	_ = command.Process.Kill()
	_ = command.Wait() // which is not an exit of its own
	return nil
}

// writeFiles writes files into a folder.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
