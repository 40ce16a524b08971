//go:build linux

package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// An example is Caddyfile.example as it runs for somebody who has checked it out, on ports that are free.
type example struct {
	*process
	t         *testing.T
	dir       string
	caddyfile string // its text
	ports     map[string]string
}

const exampleFile = "Caddyfile.example"

// startExample starts it as it says, with --watch, beside something that has the default port of Caddy's admin API.
func startExample(t *testing.T) *example {
	t.Helper()
	if l, err := net.Listen("tcp", "127.0.0.1:2019"); err == nil { // else something has it already
		t.Cleanup(func() { l.Close() })
	}
	e := &example{t: t, dir: t.TempDir(), ports: make(map[string]string)}
	address := regexp.MustCompile(`(localhost|127\.0\.0\.1|\$\{host\}):(80\d\d|84\d\d)\b`)
	for _, name := range []string{exampleFile, "example/index.html"} {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		adapted := address.ReplaceAllStringFunc(string(text), func(found string) string {
			host, port, _ := strings.Cut(found, ":")
			if e.ports[port] == "" {
				e.ports[port] = livecaddy.FreePort(t)
			}
			return host + ":" + e.ports[port]
		})
		if err := os.MkdirAll(filepath.Dir(filepath.Join(e.dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(e.dir, name), []byte(adapted), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == exampleFile {
			e.caddyfile = adapted
		}
	}
	command := e.command("run", "--config", exampleFile, "--watch")
	e.process = start(t, command, e.dir)
	t.Cleanup(func() { e.stop(t, syscall.SIGINT) })
	if _, err := e.await(t.Context(), "watching config file for changes"); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *example) command(arguments ...string) *exec.Cmd {
	e.t.Helper()
	binary, err := livecaddy.Binary()
	if err != nil {
		e.t.Fatal(err)
	}
	command := exec.Command(binary, arguments...)
	command.Dir = e.dir
	return command
}

// edit saves the file with one text in the place of another, and has Caddy reload it.
func (e *example) edit(old, new string) (output string, err error) {
	e.t.Helper()
	if strings.Count(e.caddyfile, old) != 1 {
		e.t.Fatalf("%q is not once in the file", old)
	}
	text := strings.Replace(e.caddyfile, old, new, 1)
	if err := os.WriteFile(filepath.Join(e.dir, exampleFile), []byte(text), 0o600); err != nil {
		e.t.Fatal(err)
	}
	command := e.command("reload", "--config", exampleFile)
	command.Env = append(os.Environ(), "HOME="+e.dir)
	all, err := command.CombinedOutput()
	return string(all), err
}

// network is what the page needs, by both names of the machine.
func (e *example) network() network {
	e.t.Helper()
	n := network{addresses: make(map[string]string), direct: true}
	for port, real := range e.ports {
		n.addresses["localhost:"+real] = "127.0.0.1:" + real
		n.addresses["127.0.0.1:"+real] = "127.0.0.1:" + real
		if strings.HasPrefix(port, "84") {
			n.secure = append(n.secure, "localhost:"+real)
		}
	}
	for name := range n.addresses {
		if strings.HasPrefix(name, "127.") && slices.Contains(n.secure, "localhost"+strings.TrimPrefix(name, "127.0.0.1")) {
			delete(n.addresses, name)
		}
	}
	livecaddy.Eventually(e.t, "Caddy has its certificates", func() bool {
		root, err := os.ReadFile(filepath.Join(e.dir, ".local/share/caddy/pki/authorities/local/root.crt"))
		if err != nil {
			return false
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(root)
		n.tls = &tls.Config{RootCAs: pool}
		for _, name := range n.secure {
			conn, err := (&tls.Dialer{Config: n.tls}).DialContext(context.Background(), "tcp", name)
			if err != nil {
				return false
			}
			conn.Close()
		}
		return true
	})
	return n
}

// The rows of the page that every browser can run everywhere.
var exampleRows = []string{"allow-origin", "preflight", "credentials", "redirect", "request-header", "method"}

// The page of Caddyfile.example shows what it says, in every engine, and follows the file as somebody edits it.
func TestExample(t *testing.T) {
	e := startExample(t)
	n := e.network()
	lines := strings.Split(e.caddyfile, "\n")
	const methods = "\t\tallow_methods PUT, PATCH, DELETE"
	at := 1 + slices.Index(lines, methods)
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			d := drive(t, engine, n, "http://localhost:"+e.ports["8080"]+"/")
			verdicts := func(row string) string {
				return d.text(fmt.Sprintf("[...document.querySelectorAll('#%s [data-verdict]')].map(cell => cell.dataset.verdict).join()", row))
			}
			shown := func(selector string) string {
				return d.text(fmt.Sprintf("document.querySelector(%q).textContent", selector))
			}
			complete := func(where string) {
				t.Helper()
				d.wait("document.documentElement?.dataset.done === 'true'")
				for _, row := range exampleRows {
					if got := verdicts(row); got != "blocked,allowed" {
						t.Errorf("%s: %s: %q, want blocked without cors and allowed with it", where, row, got)
					}
				}
			}
			want := func(where, text string, words ...string) {
				t.Helper()
				for _, word := range words {
					if !strings.Contains(text, word) {
						t.Errorf("%s: there is no %q in %q", where, word, text)
					}
				}
			}

			complete("http")
			want("the summary", shown("#summary"), "6 of 6 calls blocked without cors, 6 of 6 work with it.")
			want("what runs", shown("#state"), "Caddy is running Caddyfile.example as it is now.")
			want("how to edit", shown(".edit"), "caddy reload --config Caddyfile.example")
			if got := verdicts("mixed-content"); got != "elsewhere,elsewhere" {
				t.Errorf("mixed content: %q on a page that came over http", got)
			}

			// What Caddy saw and sent, preflights too.
			want("the preflight that failed", shown("#preflight .without .exchanges"), "OPTIONS 405", "Origin: http://localhost:"+e.ports["8080"],
				"Access-Control-Request-Headers: content-type")
			want("the preflight that worked", shown("#preflight .with .exchanges"), "OPTIONS 204, POST 200", "Access-Control-Allow-Headers: Content-Type, X-Requested-With",
				"Access-Control-Allow-Origin: http://localhost:"+e.ports["8080"], "POST /preflight")
			want("the redirect", shown("#redirect .with .exchanges"), "GET 302, GET 200", "Location: /redirect/?call=")
			if text := shown("#credentials .with .exchanges"); strings.Contains(text, "cors_demo") {
				t.Errorf("the log has cookies: %s", text)
			}

			// The line that makes the difference is one of the file.
			want("the method's line", shown("#method .difference"), strings.TrimSpace(methods), fmt.Sprintf("line %d", at))
			want("the origin's line", shown("#allow-origin .difference"), "cors http://localhost:"+e.ports["8080"])

			// An edit shows without loading the page again.
			d.must("window.stays = true", nil)
			if output, err := e.edit(methods, "\t\tallow_methods PATCH, DELETE"); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			d.wait("document.documentElement.dataset.done === 'true' && document.querySelector('#method .with').dataset.verdict === 'blocked'")
			want("what is missing", shown("#method .difference"), "Missing, says Caddy:", "allow_methods PUT")
			if got := verdicts("request-header"); got != "blocked,allowed" {
				t.Errorf("with other methods, the header is %s", got)
			}

			// A refused one is told, and what ran goes on.
			if output, err := e.edit(methods, "\t\tallow_methodz PUT"); err == nil {
				t.Errorf("it was not refused: %s", output)
			}
			if _, err := e.await(t.Context(), "unable to load latest config"); err != nil { // from then on, it does not watch
				t.Fatal(err)
			}
			d.wait("document.getElementById('state').dataset.state === 'refused'")
			want("the refusal", shown("#state"), "allow_methodz", fmt.Sprintf("Caddyfile:%d", at), "--watch")
			if output, err := e.edit(methods, methods); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			d.wait("document.documentElement.dataset.done === 'true' && document.querySelector('#method .with').dataset.verdict === 'allowed'")
			d.wait("document.getElementById('state').dataset.state === 'runs'")
			if stays := d.text("window.stays"); stays != "true" {
				t.Error("the page was loaded again")
			}

			// The other name of the machine.
			d.must(fmt.Sprintf("void (location.href = 'http://127.0.0.1:%s/')", e.ports["8080"]), nil)
			d.wait("location.hostname === '127.0.0.1'")
			complete("127.0.0.1")

			// Over https, mixed content is run.
			d.must(fmt.Sprintf("void (location.href = 'https://localhost:%s/')", e.ports["8443"]), nil)
			d.wait("location.protocol === 'https:'")
			complete("https")
			if got := verdicts("mixed-content"); got != "blocked,allowed" {
				t.Errorf("mixed content: %q: %s", got, shown("#mixed-content"))
			}
			want("mixed content", shown("#mixed-content .without"), "Blocked before it was sent", "TypeError", "Nothing reached Caddy.")
			want("its site", shown("#mixed-content .difference"), "https://localhost:"+e.ports["8444"])
			want("the summary", shown("#summary"), "7 of 7 calls blocked without cors, 7 of 7 work with it.")
		})
	}
}
