// Package checktest runs "caddy cors check" in a test's own process. The test has to import the module's root package, which
// registers the command.
package checktest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-cors/caddy-cors/internal/check"
)

// Run runs the command with these arguments, and returns its report.
func Run(t testing.TB, args ...string) *check.Report {
	t.Helper()
	stdout, stderr := Output(t, append(args, "--json")...)
	report := new(check.Report)
	if err := json.Unmarshal([]byte(stdout), report); err != nil {
		t.Fatalf("%v, of %q: %s", err, args, stderr)
	}
	return report
}

// RunCaddyfile runs the command with a configuration, and returns its report.
func RunCaddyfile(t testing.TB, caddyfile string, args ...string) *check.Report {
	t.Helper()
	return Run(t, append(args, "--config", File(t, "Caddyfile", caddyfile))...)
}

// Judge runs the check of the command with these arguments, but looks for no fixes, and returns its report.
func Judge(t testing.TB, args ...string) *check.Report {
	t.Helper()
	cmd, _, err := command(t).Find([]string{"check"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Flags().Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := check.Parse(caddycmd.Flags{FlagSet: cmd.Flags()}, cmd.Flags().Args())
	if err != nil {
		t.Fatal(err)
	}
	return c.Judge(t.Context())
}

// File writes a file that is removed with the test, and returns its path.
func File(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Output runs the command with these arguments, and returns what it prints.
func Output(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	return Paste(t, "", args...)
}

// Paste runs the command with a text on its standard input, and returns what it prints.
func Paste(t testing.TB, text string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := command(t)
	var out, errs bytes.Buffer
	cmd.SetIn(strings.NewReader(text))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(append([]string{"check"}, args...))
	_ = cmd.Execute() // the error is the exit code
	return out.String(), errs.String()
}

// command returns "caddy cors".
func command(t testing.TB) *cobra.Command {
	t.Helper()
	cors, ok := caddycmd.Commands()["cors"]
	if !ok {
		t.Fatal("the command is not registered")
	}
	cmd := &cobra.Command{Use: "cors"}
	cors.CobraFunc(cmd)
	return cmd
}

// Backend returns the address of a server that knows nothing of CORS, or too much of it.
func Backend(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Total", "7")
		own := func(name, value string) { h.Add("Access-Control-"+name, value) }
		switch strings.Split(r.URL.Path, "/")[1] {
		case "orders":
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		case "star":
			own("Allow-Origin", "*")
		case "other":
			own("Allow-Origin", "https://other.example.com")
		case "twice":
			own("Allow-Origin", "https://app.example.com")
			own("Allow-Origin", "*")
		case "slash":
			own("Allow-Origin", "https://app.example.com/")
		case "own":
			own("Allow-Origin", "https://app.example.com")
			own("Allow-Methods", "GET")
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
			}
		case "login":
			http.Redirect(w, r, "https://login.example.com/", http.StatusFound)
		case "a", "b", "open":
			own("Allow-Origin", "*")
			own("Allow-Methods", "GET, POST, PUT, DELETE")
			own("Allow-Headers", "*")
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusNoContent)
			}
		case "items":
			if r.URL.Path == "/items" { // as frameworks redirect that do not know of TLS
				w.Header().Set("Location", "http://"+r.Host+"/items/")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		case "verify":
			http.Redirect(w, r, "https://login.example.com/?rd=https%3A%2F%2Fapi.example.com%2F", http.StatusFound)
		case "download":
			http.Redirect(w, r, "https://store.example.com/file?X-Amz-Signature=abc", http.StatusFound)
		case "session":
			if r.Method == http.MethodOptions {
				w.WriteHeader(http.StatusMethodNotAllowed)
			} else {
				http.Redirect(w, r, "https://login.example.com/", http.StatusFound)
			}
		case "broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "moved":
			http.Redirect(w, r, "/orders", http.StatusTemporaryRedirect)
		case "sse":
			h.Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
