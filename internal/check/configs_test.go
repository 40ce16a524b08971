package check_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const byApp = "--origin=https://app.example.com"

// A JSON configuration gets a JSON Patch, with which the call is allowed.
func TestJSONPatch(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, test := range []struct {
		name, site string
		args       []string
		want       string // of the patch, in JSON
	}{
		{
			name: "no cors", site: "respond hello",
			want: `[{"op":"add","path":"/apps/http/servers/srv0/routes/0","value":{"handle":[{"allow_origins":["https://app.example.com"],"handler":"cors"}],"match":[{"host":["api.example.com"]}]}}]`,
		},
		{
			name: "an origin and a method", site: "cors https://other.example.com\nrespond hello", args: []string{"-X", "PUT"},
			want: `[{"op":"add","path":"/apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0/allow_origins","value":["https://other.example.com","https://app.example.com"]},` +
				`{"op":"add","path":"/apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0/allow_methods","value":["PUT"]}]`,
		},
		{
			name: "a star, with credentials", site: "cors *\nrespond hello", args: []string{"--credentials"},
			want: `[{"op":"replace","path":"/apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0/allow_origins","value":["https://app.example.com"]},` +
				`{"op":"add","path":"/apps/http/servers/srv0/routes/0/handle/0/routes/0/handle/0/allow_credentials","value":true}]`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			config, err := livecaddy.Adapt("api.example.com {\n" + test.site + "\n}\n")
			if err != nil {
				t.Fatal(err)
			}
			file := checktest.File(t, "caddy.json", string(config))
			args := append(test.args, "https://api.example.com/orders", byApp, "--config", file)
			r := checktest.Run(t, args...)
			patch, err := json.Marshal(r.Patch)
			if err != nil {
				t.Fatal(err)
			}
			if r.Tried != "allowed" || string(patch) != test.want {
				t.Errorf("it was tried: %q, and the patch is\n%s\nwant\n%s", r.Tried, patch, test.want)
			}
			if _, stderr := checktest.Output(t, append(args, "--write")...); !strings.Contains(stderr, "admin API") {
				t.Errorf("--write says %q", stderr)
			}
			if now, err := os.ReadFile(file); string(now) != string(config) {
				t.Errorf("the file is changed, %v", err)
			}
		})
	}
}

// What is written of the diff is what patch makes of it.
func TestDiffIsForPatch(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	file := checktest.File(t, "Caddyfile", "api.example.com {\n\tcors https://other.example.com\n\trespond hello\n}\n")
	t.Chdir(filepath.Dir(file))
	diff, stderr := checktest.Output(t, "https://api.example.com/", byApp, "-X", "PUT", "--config", "Caddyfile", "--diff")
	if !strings.HasPrefix(diff, "--- Caddyfile\n+++ Caddyfile\n@@ ") {
		t.Fatalf("it prints:\n%s%s", diff, stderr)
	}
	tool, err := exec.LookPath("patch")
	if err != nil {
		t.Logf("there is no patch on this machine: %v", err)
		return
	}
	command := exec.Command(tool, "-p0")
	command.Stdin = strings.NewReader(diff)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if r := checktest.Judge(t, "https://api.example.com/", byApp, "-X", "PUT", "--config", file); r.Verdict != "allowed" {
		t.Errorf("patched, it is %s", r.Verdict)
	}
}

// A check touches nothing that the configuration names: no file, no lock, no database.
func TestNothingIsTouched(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME", "AppData"} {
		t.Setenv(name, filepath.Join(home, name))
	}
	var checks, asks atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/health":
			checks.Add(1)
		case "/ask":
			asks.Add(1)
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer backend.Close()
	path := func(name string) string { return filepath.ToSlash(filepath.Join(dir, name)) }
	file := checktest.File(t, "Caddyfile", `{
	storage file_system `+path("storage")+`
	log {
		output file `+path("global.log")+`
	}
	on_demand_tls {
		ask `+backend.URL+`/ask
	}
	pki {
		ca local {
			name mine
		}
	}
}
ca.example.com {
	tls internal
	acme_server
}
other.example.com {
	tls `+path("missing.pem")+` `+path("missing.key")+`
	respond other
}
api.example.com {
	tls internal {
		on_demand
	}
	log {
		output file `+path("access.log")+`
	}
	cors {
		allow_origins_from ask `+backend.URL+`/ask
	}
	reverse_proxy `+backend.URL+` {
		health_uri /health
		health_interval 1ms
	}
}
`)
	for _, url := range []string{"https://api.example.com/orders", "https://other.example.com/", "https://ca.example.com/acme/local/directory"} {
		r := checktest.Run(t, url, byApp, "--config", file)
		if r.Verdict != "blocked" {
			t.Errorf("%s is %s: %+v", url, r.Verdict, r.Cause)
		}
		if url == "https://ca.example.com/acme/local/directory" && !strings.Contains(notesOf(r), "acme_server is not run") {
			t.Errorf("the notes are %q", notesOf(r))
		}
	}
	for _, of := range []string{home, dir} {
		if entries, err := os.ReadDir(of); len(entries) > 0 || err != nil {
			t.Errorf("in %s, there is %v, %v", of, entries, err)
		}
	}
	if checks.Load() > 0 {
		t.Errorf("%d health checks", checks.Load())
	}
	if asks.Load() != 1 { // by the call itself
		t.Errorf("it is asked %d times", asks.Load())
	}
}

// Of a live server, only its answers are known.
func TestLive(t *testing.T) {
	cors := func(options string) string {
		return "cors https://other.example.com https://app.example.com" + options + "\nrespond hello"
	}
	for _, test := range []struct {
		name, site string
		args       []string
		want       []string // the lines
		advice     string
	}{
		{
			name: "no cors", site: "respond hello", args: []string{"-X", "PUT", "-H", "X-Foo: 1", "--credentials"},
			want: []string{"cors https://app.example.com {\n\tallow_methods PUT\n\tallow_headers x-foo\n\tallow_credentials\n}"},
		},
		{
			name: "a header line by hand, of the wrong scheme",
			site: "header Access-Control-Allow-Origin http://app.example.com\nrespond hello",
			want: []string{"cors https://app.example.com"}, advice: "Access-Control-Allow-Origin: http://app.example.com",
		},
		{
			name: "a method and a header, at once", site: cors(""), args: []string{"-X", "PUT", "-H", "X-Foo: 1"},
			want: []string{"allow_methods PUT", "allow_headers x-foo"},
		},
		{
			name: "by hand: a method and a header, at once",
			site: "header Access-Control-Allow-Origin https://app.example.com\nheader Access-Control-Allow-Methods GET\nheader Access-Control-Allow-Headers X-Bar\nrespond hello",
			args: []string{"-X", "PUT", "-H", "X-Foo: 1"},
			want: []string{"cors https://app.example.com {\n\tallow_methods PUT\n\tallow_headers x-foo\n}"},
		},
		{
			name: "another origin", site: "cors https://other.example.com\nrespond hello",
			want: []string{"allow_origins https://app.example.com"},
		},
		{
			name: "the opaque origin, public data", site: "respond hello", args: []string{"--origin=null"},
			want: []string{"cors *"}, advice: "cors *",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			port := livecaddy.FreePort(t)
			livecaddy.Start(t, "http://127.0.0.1:"+port+" {\n"+test.site+"\n}\n")
			args := append([]string{"http://127.0.0.1:" + port + "/orders", byApp}, test.args...)
			r := checktest.Run(t, args...)
			if r.Verdict != "blocked" {
				t.Fatalf("it is %s", r.Verdict)
			}
			var lines []string
			for _, fix := range r.Fixes {
				if fix.Advice == "" {
					lines = append(lines, fix.Line)
				}
			}
			if !slices.Equal(lines, test.want) {
				t.Errorf("the lines are %q, want %q", lines, test.want)
			}
			if !strings.Contains(adviceOf(r), test.advice) {
				t.Errorf("the advice is %q", adviceOf(r))
			}
			if text, _ := checktest.Output(t, args...); strings.Contains(text, "it was tried") {
				t.Errorf("it claims:\n%s", text)
			}
		})
	}
}

// A page that a site of the configuration serves comes from there, with its policies; one of another server does not.
func TestPageOfTheConfiguration(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "connect-src https://api.example.com")
	}))
	t.Cleanup(elsewhere.Close)
	const api = "\tcors https://*.example.com http://localhost:* http://127.0.0.1:*\n\trespond hello\n"
	const app = "app.example.com {\n" +
		"\tredir / /start/\n" +
		"\theader /start/* Content-Security-Policy \"connect-src 'self'\"\n" +
		"\theader /open/* Content-Security-Policy \"connect-src api.example.com\"\n" +
		"\trespond <p>Hello.</p>\n}\n"
	const both = "api.example.com {\n" + api + "}\n" + app
	const everyHost = ":80 {\n\theader Content-Security-Policy \"connect-src 'none'\"\n" + api + "}\n"
	for _, test := range []struct{ name, config, page, want string }{
		{"its policy", both, "https://app.example.com/start/", "content-security-policy"},
		{"after a redirect", both, "https://app.example.com/", "content-security-policy"},
		{"another policy", both, "https://app.example.com/open/", "allowed"},
		{"a site for every host is not the page's", everyHost, elsewhere.URL, "allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := checktest.Run(t, "https://api.example.com/", "--page", test.page, "--config", checktest.File(t, "Caddyfile", test.config))
			got := r.Verdict
			if r.Cause != nil {
				got = r.Cause.Code
			}
			if got != test.want {
				t.Errorf("is %q, want %q: %+v", got, test.want, r)
			}
		})
	}
}
