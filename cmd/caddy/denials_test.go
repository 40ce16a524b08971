package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// running is the command, running a server.
type running struct {
	site, admin, config string

	mu  sync.Mutex
	log []string
}

// run starts "caddy run" with these directives for its one site, and returns when it serves.
func run(t *testing.T, directives string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{
		site:   "http://127.0.0.1:" + livecaddy.FreePort(t),
		admin:  "127.0.0.1:" + livecaddy.FreePort(t),
		config: filepath.Join(dir, "Caddyfile"),
	}
	text := fmt.Sprintf("{\n\tadmin %s\n\tpersist_config off\n}\n%s {\n%s\n}\n", r.admin, r.site, directives)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "run", "--config", r.config)
	command.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	serving, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			r.mu.Lock()
			r.log = append(r.log, lines.Text())
			r.mu.Unlock()
			if strings.Contains(lines.Text(), "serving initial configuration") {
				close(serving)
			}
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-ended
		_ = command.Wait()
	})
	select {
	case <-serving:
	case <-ended:
		t.Fatalf("it ended:\n%s", strings.Join(r.log, "\n"))
	case <-time.After(30 * time.Second):
		t.Fatal("it does not serve")
	}
	return r
}

func (r *running) request(t *testing.T, client *http.Client, method string, header http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, r.site+"/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
}

// The table and the JSON, from the address given or from a configuration.
func TestDenials(t *testing.T) {
	server := run(t, "cors https://app.example.com {\npolicy partner https://partner.example.com\n}\nrespond hello")
	if output, ok := caddy(t, "cors", "denials", "--address", server.admin); !ok || output != "No cross-origin request has been denied.\n" {
		t.Errorf("at the start:\n%s", output)
	}
	ask := func(origin, method, headers string) http.Header {
		return http.Header{"Origin": {origin}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {headers}}
	}
	client := http.DefaultClient
	defer client.CloseIdleConnections()
	for range 3 {
		server.request(t, client, "GET", http.Header{"Origin": {"https://other.example.com"}})
	}
	for range 2 {
		server.request(t, client, "OPTIONS", ask("https://partner.example.com", "PUT", "x-foo"))
	}
	server.request(t, client, "GET", http.Header{"Origin": {"https://\xc2\x9b31m"}})

	for name, args := range map[string][]string{
		"by address":       {"--address", server.admin},
		"by configuration": {"--config", server.config},
	} {
		t.Run(name, func(t *testing.T) {
			output, ok := caddy(t, append([]string{"cors", "denials"}, args...)...)
			where := strings.TrimPrefix(server.site, "http://") + "/orders"
			when := `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`
			list := regexp.MustCompile(`(?m)^\{.*\n`).ReplaceAllString(output, "") // less Caddy's log
			want := `Denied:
   1  https://other\.example\.com: the origin
      WHERE
      3 times, last WHEN
        allow_origins https://other\.example\.com

   2  https://partner\.example\.com: the method PUT
      policy partner, WHERE
      2 times, last WHEN
        allow_methods PUT
        allow_headers x-foo

   3  https://\\xc2\\x9b31m: the origin
      WHERE
      1 time, last WHEN
      No browser sends such an Origin: [^\n]+
(      [^\n]+\n)+
`
			want = strings.NewReplacer("WHERE", regexp.QuoteMeta(where), "WHEN", when).Replace(want)
			if !ok || !regexp.MustCompile("^"+want+"$").MatchString(list) {
				t.Errorf("it says:\n%s", list)
			}
			for line := range strings.Lines(list) {
				if len(line) > 80+1 {
					t.Errorf("%d columns: %s", len(line)-1, line)
				}
			}
		})
	}
	output, ok := caddy(t, "cors", "denials", "--address", server.admin, "--json")
	var report struct {
		Denials []struct {
			Origin string
			Count  int
			Fix    string
		}
		Others *int
	}
	if err := json.Unmarshal([]byte(output), &report); err != nil || !ok {
		t.Fatalf("%v:\n%s", err, output)
	}
	if len(report.Denials) != 3 || report.Denials[1].Fix != "allow_methods PUT\nallow_headers x-foo" || report.Others == nil {
		t.Errorf("the JSON is:\n%s", output)
	}
}

// Where nobody answers, or not as expected, it says so and fails.
func TestDenialsWithoutServer(t *testing.T) {
	nobody := "127.0.0.1:" + livecaddy.FreePort(t)
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"nobody listens":            {[]string{"cors", "denials", "--address", nobody}, "no list of denials from " + nobody + ": is Caddy running there"},
		"a configuration not there": {[]string{"cors", "denials", "--config", "nowhere.json"}, "nowhere.json"},
		"an argument":               {[]string{"cors", "denials", "all"}, "unknown command"},
		"another command":           {[]string{"cors", "denails"}, "unknown command"},
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.Command(binary, test.args...)
			output, err := command.CombinedOutput()
			if command.ProcessState.ExitCode() != 1 || !strings.Contains(string(output), test.want) {
				t.Errorf("%v:\n%s", err, output)
			}
		})
	}
}

// Whatever the server sends, nothing of it controls the terminal; and what is no list is an error.
func TestDenialsOfAnotherServer(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   string
		ok     bool
	}{
		"control characters": {200, `{"denials": [{"origin": "\u001b[31m\u009b", "reason": "header-not-allowed", "detail": "\t\u202e", "policy": "\r", "fix": "\u0007\n\u0008"}]}`, `\x1b[31m\xc2\x9b: the header \x09\xe2\x80\xae`, true},
		"another JSON":       {200, `["denials"]`, "is not a list of denials", false},
		"no such path":       {404, `nothing here`, "with its admin API on and this module in it?", false},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}))
			defer server.Close()
			output, ok := caddy(t, "cors", "denials", "--address", server.Listener.Addr().String())
			if ok != test.ok || !strings.Contains(output, test.want) {
				t.Errorf("it says:\n%s", output)
			}
			if other := regexp.MustCompile(`[^ -~\n]`).FindString(output); other != "" {
				t.Errorf("%q in:\n%s", other, output)
			}
		})
	}
}

// Without a command, cors tells which there are.
func TestCorsHelp(t *testing.T) {
	for _, args := range [][]string{{"cors"}, {"cors", "-h"}} {
		if output, ok := caddy(t, args...); !ok || !strings.Contains(output, "\n  denials ") {
			t.Errorf("%v says:\n%s", args, output)
		}
	}
}

// A flood of made-up origins, over the network: the list and the log stay short, and what is denied again and again is at
// the top.
func TestDenialsFlood(t *testing.T) {
	server := run(t, "cors https://app.example.com\nrespond hello")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	const flood = 3000
	for i := range flood {
		if i%300 == 0 {
			server.request(t, client, "GET", http.Header{"Origin": {"https://frequent.example.com"}})
		}
		server.request(t, client, "GET", http.Header{"Origin": {"https://" + strconv.Itoa(i) + ".example.com"}})
	}
	output, ok := caddy(t, "cors", "denials", "--address", server.admin)
	if n := len(regexp.MustCompile(`(?m)^ *\d+  https://`).FindAllString(output, -1)); !ok || n != 1000 {
		t.Errorf("%d denials are shown", n)
	}
	if !regexp.MustCompile(`(?m)^   1  https://frequent\.example\.com: the origin\n.*\n      10 times`).MatchString(output) {
		t.Errorf("it starts:\n%.300s", output)
	}
	if want := fmt.Sprintf("And %d others, which the list had no room for.\n", flood+1-1000); !strings.HasSuffix(output, want) {
		t.Errorf("it does not end with %q", want)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	logged := 0
	for _, line := range server.log {
		if strings.Contains(line, "request denied") {
			logged++
		}
	}
	if logged == 0 || logged > 256 {
		t.Errorf("%d requests have a log line", logged)
	}
}
