package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A checked is what "caddy cors check" came to.
type checked struct {
	stdout, stderr string
	code           int
	home           string
}

// check runs "caddy cors check" with its flags, for a page of https://app.example.com unless they say otherwise.
func check(t *testing.T, args ...string) checked {
	t.Helper()
	args = append([]string{"cors", "check"}, args...)
	if !strings.Contains(strings.Join(args, " "), "--origin") {
		args = append(args, "--origin", "https://app.example.com")
	}
	c := checked{home: t.TempDir()}
	command := exec.Command(binary, args...)
	command.Env = []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if _, exited := command.Run().(*exec.ExitError); !exited && command.ProcessState == nil {
		t.Fatal("it does not run")
	}
	c.stdout, c.stderr, c.code = stdout.String(), stderr.String(), command.ProcessState.ExitCode()
	return c
}

func (c checked) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if c.code != code {
		t.Errorf("it exits with %d, want %d", c.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(c.stdout+c.stderr, text) {
			t.Errorf("no %q", text)
		}
	}
	if t.Failed() {
		t.Logf("stdout:\n%s\nstderr:\n%s", c.stdout, c.stderr)
	}
}

// caddyfile writes a configuration.
func caddyfile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What is wrong with the arguments is one sentence, and the exit code is 2.
func TestCheckArguments(t *testing.T) {
	const url = "https://api.example.com/"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no URL":                 {nil, "which URL does the script call?"},
		"two URLs":               {[]string{url, url}, "one URL is checked at a time"},
		"no scheme":              {[]string{"api.example.com/x"}, `did you mean "https://api.example.com/x"?`},
		"another scheme":         {[]string{"ftp://api.example.com/"}, "neither an http:// nor an https:// one"},
		"no origin":              {[]string{url, "--origin", ""}, "--origin is missing"},
		"an origin as a URL":     {[]string{url, "--origin", "https://App.example.com/"}, `did you mean "https://app.example.com"?`},
		"a pattern":              {[]string{url, "--origin", "https://*.example.com"}, "stands for many origins"},
		"everyone":               {[]string{url, "--origin", "*"}, "the origin of one page"},
		"a header without colon": {[]string{url, "-H", "X-Foo"}, `the header "X-Foo" is not a name, a colon and a value`},
		"a field that is none":   {[]string{url, "--reads", "X Total"}, `"X Total" is not the name of a header`},
		"a resolve of two parts": {[]string{url, "--resolve", "api.example.com:443"}, "is not host:port:address"},
		"a resolve to a name":    {[]string{url, "--resolve", "api.example.com:443:localhost"}, "is not host:port:address"},
		"an unknown flag":        {[]string{url, "--orign", "x"}, "unknown flag: --orign"},
		"an adapter alone":       {[]string{url, "--adapter", "caddyfile"}, "--config, which is missing"},
		"no such file":           {[]string{url, "--config", "nowhere/Caddyfile"}, "nowhere/Caddyfile"},
		"no such adapter":        {[]string{url, "--config", caddyfile(t, ""), "--adapter", "toml5"}, "toml5"},
		"no JSON":                {[]string{url, "--config", caddyfile(t, "{"), "--adapter", "caddyfile"}, "adapting config"},
		"a refused policy":       {[]string{url, "--config", caddyfile(t, "api.example.com {\ncors https://App.example.com\n}\n")}, `did you mean "https://app.example.com"?`},
		"a site that is not in it": {[]string{url, "--config", caddyfile(t, "www.example.com, example.com {\nrespond hello\n}\n")},
			"no site of this configuration is for api.example.com; on that port, there is example.com, www.example.com"},
		"http on a port for https": {[]string{"http://localhost:8443/", "--config", caddyfile(t, "https://localhost:8443 {\nrespond hello\n}\n")},
			"no server of this configuration listens on port 8443, and none is for localhost:8443 behind a proxy; they listen on :80, :8443"},
		"nothing to serve": {[]string{url, "--config", caddyfile(t, "{\nadmin off\n}\n")}, "it has no HTTP servers"},
	} {
		t.Run(name, func(t *testing.T) {
			c := check(t, test.args...)
			c.want(t, 2, test.want)
			if c.stdout != "" || strings.Count(c.stderr, "\n") != 1 {
				t.Errorf("it is not one line on stderr:\n%s%s", c.stdout, c.stderr)
			}
		})
	}
}

// What Caddy says of a configuration that it refuses names the modules that are in it.
func TestCheckRefusedJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"apps": {"http": {"servers": {"api": {"listen": [":8080"], "routes": [{"handle": [{"handler": "cors", "allow_origins": ["https://App.example.com"]}]}]}}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := check(t, "http://localhost:8080/", "--config", file)
	c.want(t, 2, `did you mean "https://app.example.com"?`, "http.handlers.cors")
	if strings.Contains(c.stderr, "cors_check") {
		t.Errorf("it says:\n%s", c.stderr)
	}
}

// The same with --json is JSON.
func TestCheckUnknownAsJSON(t *testing.T) {
	c := check(t, "api.example.com", "--json")
	c.want(t, 2)
	var report struct {
		Verdict string
		Cause   struct{ Code, Message string }
		Fixes   []any
	}
	if err := json.Unmarshal([]byte(c.stdout), &report); err != nil || report.Verdict != "unknown" || report.Cause.Code != "arguments" || report.Fixes == nil {
		t.Errorf("%v:\n%s", err, c.stdout)
	}
}

// A configuration with certificates, several sites and matchers: no listener, no state, no log in the output.
func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	file := caddyfile(t, `{
	storage file_system `+dir+`/storage
	log {
		output file `+dir+`/caddy.log
	}
	admin unix/`+dir+`/admin.sock
}
api.example.com {
	tls internal
	log {
		output file `+dir+`/access.log
	}
	@v2 path /v2/*
	cors @v2 https://app.example.com {
		allow_methods PUT
	}
	respond hello
}
localhost, www.example.com:8443 {
	cors *
	respond www
}
`)
	allowed := check(t, "https://api.example.com/v2/orders", "-X", "PUT", "--config", file)
	allowed.want(t, 0, "OPTIONS https://api.example.com/v2/orders: 204\n", "  < Access-Control-Allow-Methods: PUT\n", "\nAllowed. The script gets the response, whose status is 200")
	blocked := check(t, "https://api.example.com/v1/orders", "--config", file)
	blocked.want(t, 1, "\nBlocked. Access to fetch at 'https://api.example.com/v1/orders' from origin 'https://app.example.com' has been blocked by CORS policy: No 'Access-Control-Allow-Origin' header is present on the requested resource.\n",
		"\n+\tcors /v1/* https://app.example.com\n", "it was tried")
	for _, url := range []string{"https://localhost/", "https://www.example.com:8443/"} {
		check(t, url, "--config", file).want(t, 0, "\nAllowed.")
	}
	for _, c := range []checked{allowed, blocked} {
		if c.stderr != "" || strings.Contains(c.stdout, "\x1b") {
			t.Errorf("it prints more:\n%s%q", c.stderr, c.stdout)
		}
		for _, dir := range []string{dir, c.home} {
			_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
				if path != dir {
					t.Errorf("it leaves %s", path)
				}
				return nil
			})
		}
	}
}

// An origin list in the configured storage is read, and stays as it is.
func TestCheckConfigWithStorage(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "origins"), []byte("https://app.example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := caddyfile(t, "{\nstorage file_system "+dir+"\n}\napi.example.com {\ntls internal\ncors {\nallow_origins_from storage origins\n}\nrespond hello\n}\n")
	check(t, "https://api.example.com/", "--config", file).want(t, 0, "\nAllowed.")
	check(t, "https://api.example.com/", "--config", file, "--origin", "https://other.example.com").want(t, 1, "\tallow_origins https://other.example.com\n")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v: in the storage there is %v", err, entries)
	}
}

// The ports that http:// and https:// mean are the configuration's; so is its JSON form.
func TestCheckConfigForms(t *testing.T) {
	ports := caddyfile(t, "{\nhttp_port 8080\nhttps_port 8443\n}\napi.example.com {\ncors *\nrespond hello\n}\nhttp://plain.example.com {\ncors *\n respond hello\n}\n")
	check(t, "https://api.example.com/", "--config", ports).want(t, 0)
	check(t, "http://plain.example.com/", "--origin", "http://localhost:3000", "--config", ports).want(t, 0)
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, []byte(`{"apps": {"http": {"servers": {"api": {"listen": [":8080"], "routes": [{"handle": [{"handler": "cors", "allow_origins": ["https://other.example.com"]}]}]}}}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, "http://localhost:8080/", "--config", file).want(t, 1, "    allow_origins https://app.example.com\n")
}

// reverse_proxy calls its upstream, and where that does not run, the 502 is what a script gets. A redirect out of the
// configuration is followed.
func TestCheckConfigUpstream(t *testing.T) {
	var calls atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("X-Total", "7")
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}))
	defer upstream.Close()
	nobody := "127.0.0.1:" + livecaddy.FreePort(t)
	file := caddyfile(t, "api.example.com {\ncors https://app.example.com\nreverse_proxy /down "+nobody+"\nredir /away "+upstream.URL+"\nreverse_proxy "+upstream.Listener.Addr().String()+"\n}\n")
	check(t, "https://api.example.com/", "--config", file, "--reads", "X-Total").want(t, 1, `Refused to get unsafe header "X-Total"`, "\texpose_headers X-Total\n")
	if calls.Load() == 0 {
		t.Error("the upstream was not called")
	}
	check(t, "https://api.example.com/down", "--config", file).want(t, 0, "whose status is 502", "Note: The script gets the response, and its status is 502.")
	check(t, "https://api.example.com/away", "--config", file).want(t, 0, "is not in the configuration: its live server was asked.")
}

// What a browser would have blocked does not happen, though its fixes are tried.
func TestCheckConfigChangesNothing(t *testing.T) {
	var calls atomic.Int32
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			calls.Add(1)
		}
	}))
	defer upstream.Close()
	file := caddyfile(t, "api.example.com {\ncors https://app.example.com\nreverse_proxy "+upstream.Listener.Addr().String()+"\n}\n")
	check(t, "https://api.example.com/orders/7", "-X", "DELETE", "--config", file).want(t, 1, "\tallow_methods DELETE\n", "the preflight")
	if n := calls.Load(); n > 0 {
		t.Errorf("the upstream was called %d times", n)
	}
}

// The JSON has what docs/check.md says.
func TestCheckJSON(t *testing.T) {
	file := caddyfile(t, "api.example.com {\ncors https://app.example.com\nheader X-Total 7\nrespond hello\n}\n")
	c := check(t, "https://api.example.com/", "--config", file, "-X", "PUT", "--json")
	c.want(t, 1)
	var report map[string]json.RawMessage
	if err := json.Unmarshal([]byte(c.stdout), &report); err != nil {
		t.Fatalf("%v:\n%s", err, c.stdout)
	}
	for name, want := range map[string]string{
		"verdict":          `"blocked"`,
		"fixes":            `[{"action":"add","line":"allow_methods PUT","block":"cors","site":"https://api.example.com","file":"` + file + `","at":2,"tried":"allowed"}]`,
		"warnings":         `[]`,
		"readable_headers": `[]`,
	} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, report[name]); err != nil || compact.String() != want {
			t.Errorf("%s is %s, want %s", name, report[name], want)
		}
	}
	var cause struct{ Code, Message, URL, At, Origin string }
	type step struct {
		Algorithm, Outcome, Text, URL string
		Exchange                      *struct {
			Preflight       bool
			Method          string
			Status          int
			RequestHeaders  http.Header `json:"request_headers"`
			ResponseHeaders http.Header `json:"response_headers"`
		}
	}
	var steps []step
	if json.Unmarshal(report["cause"], &cause) != nil || cause.Code != "method-not-allowed" || cause.At != "preflight" || cause.Origin != "https://app.example.com" {
		t.Errorf("cause is %s", report["cause"])
	}
	if json.Unmarshal(report["steps"], &steps) != nil || len(steps) < 2 || !slices.ContainsFunc(steps, func(s step) bool {
		return s.Exchange != nil && s.Exchange.Preflight && s.Exchange.Status == 204 && s.Exchange.RequestHeaders.Get("Origin") != ""
	}) {
		t.Errorf("steps are %s", report["steps"])
	}
	ok := check(t, "https://api.example.com/", "--config", file, "--json")
	ok.want(t, 0, `"verdict": "allowed"`, `"cause": null`, `"status": 200`)
}

// Against a live server, over plain HTTP and over TLS.
func TestCheckLive(t *testing.T) {
	server := run(t, "cors https://app.example.com {\nallow_methods PUT\n}\nrespond hello")
	check(t, server.site+"/orders", "-X", "PUT").want(t, 0, "\nAllowed.")
	check(t, server.site, "-X", "DELETE").want(t, 1, "Method DELETE is not allowed by Access-Control-Allow-Methods", "    allow_methods DELETE\n")
	check(t, server.site, "-H", "X-Foo: 1").want(t, 1, "    allow_headers x-foo\n")
	check(t, server.site, "--credentials").want(t, 1, "    allow_credentials\n")
	check(t, server.site, "--reads", "Server").want(t, 1, "    expose_headers Server\n")
	check(t, server.site, "--origin", "https://other.example.com").want(t, 1, "in the cors block of the site "+server.site+", add\n    allow_origins https://other.example.com\n")
}

// Where a host is: *.localhost is loopback, and the others as --resolve says.
func TestCheckResolves(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Expose-Headers", "X-Host")
		w.Header().Set("X-Host", r.Host)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	check(t, "http://api.localhost:"+port, "--reads", "X-Host").want(t, 0, "x-host")
	check(t, "http://API.example.com:"+port, "--origin", "http://app.example.com", "--resolve", "api.Example.com:"+port+":127.0.0.1").want(t, 0, "\nAllowed.")
}

func TestCheckLiveWithoutCORS(t *testing.T) {
	server := run(t, "respond hello")
	c := check(t, server.site, "-X", "PUT", "-H", "X-Foo: 1", "--credentials", "--reads", "X-Total")
	c.want(t, 1, "in the site "+server.site+`, add
    cors https://app.example.com {
        allow_methods PUT
        allow_headers x-foo
        allow_credentials
        expose_headers X-Total
    }
`)
}

// Certificates that nobody trusts, and --insecure.
func TestCheckTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	args := []string{"https://api.example.com:" + port, "--resolve", "api.example.com:" + port + ":127.0.0.1"}
	check(t, args...).want(t, 2, "certificate is not trusted", "with --insecure, the check does")
	check(t, append(args, "--insecure")...).want(t, 0, "\nAllowed.")
}

// A real Caddy with certificates of its own: its redirect from http, its routes, and a name that it has no certificate for.
func TestCheckLiveCaddyTLS(t *testing.T) {
	server := livecaddy.Start(t, "api.example.com {\ntls internal {\non_demand\n}\ncors http://localhost:3000 {\nallow_methods PUT\n}\nrespond hello\n}\nhttps://localhost {\ntls internal {\non_demand\n}\ncors *\n}\n")
	https, http := "https://api.example.com:"+server.HTTPSPort, "http://api.example.com:"+server.HTTPPort
	flags := []string{"--origin", "http://localhost:3000", "-X", "PUT", "--insecure",
		"--resolve", "api.example.com:" + server.HTTPSPort + ":127.0.0.1", "--resolve", "api.example.com:" + server.HTTPPort + ":127.0.0.1"}
	check(t, append(flags, http)...).want(t, 1, "Redirect is not allowed for a preflight request.", "Have the script call https://api.example.com/: the http URL only redirects there", "http://api.example.com:"+server.HTTPPort+" { cors http://localhost:3000 ... }")
	check(t, append(flags, https, "-H", "X-Foo: 1")...).want(t, 1, "    allow_headers x-foo\n")
	check(t, append(flags, "https://localhost:"+server.HTTPSPort)...).want(t, 1, "    allow_methods PUT\n")
	check(t, "https://nobody.example.com:"+server.HTTPSPort, "--resolve", "nobody.example.com:"+server.HTTPSPort+":127.0.0.1").want(t, 2, "do not agree on TLS")
}

// Servers that cannot be asked, for real.
func TestCheckUnreachable(t *testing.T) {
	nobody := "127.0.0.1:" + livecaddy.FreePort(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, by its backlog, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for name, test := range map[string]struct{ url, want string }{
		"nobody listens": {"http://" + nobody, "Nobody listens there"},
		"no such name":   {"https://api.invalid", `The address of "api.invalid" cannot be found`},
		"no TLS":         {"https://" + plain.Listener.Addr().String(), "does not speak TLS on that port"},
		"no answer":      {"http://" + silent.Addr().String(), "does not answer: GET http://" + silent.Addr().String() + "/: no answer within 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := check(t, test.url)
			c.want(t, 2, "\nUnknown. ", test.want)
		})
	}
}

// An interrupt ends it at once.
func TestCheckInterrupted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	command := exec.Command(binary, "cors", "check", "http://"+listener.Addr().String(), "--origin", "https://app.example.com")
	var printed bytes.Buffer
	command.Stdout, command.Stderr = &printed, &printed
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := listener.Accept() // now it waits for an answer
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	if command.ProcessState.ExitCode() != 2 || !strings.Contains(printed.String(), "The check was interrupted.") {
		t.Errorf("it exits with %d and says:\n%s", command.ProcessState.ExitCode(), printed.String())
	}
}

// What a server sends cannot control a terminal.
func TestCheckOutputIsPrintable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://\x9b31m\xc2\x9b\r\nVary: \xff\r\nConnection: close\r\n\r\n"))
			conn.Close()
		}
	}()
	c := check(t, "http://"+listener.Addr().String())
	c.want(t, 1, `https://\x9b31m\xc2\x9b`)
	if strings.ContainsFunc(c.stdout, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
		t.Errorf("it prints %q", c.stdout)
	}
}

func TestCheckHelp(t *testing.T) {
	c := check(t, "-h")
	c.want(t, 0, "Paste what the browser gave you", "The exit code is 0 if the call is allowed", "--resolve")
	if parent := check(t); parent.code != 2 {
		t.Errorf("without arguments, it exits with %d", parent.code)
	}
}
