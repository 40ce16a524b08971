package check_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A randomSite writes a configuration as people write them: each part is right by itself, and may be wrong beside the others.
type randomSite struct {
	*rand.Rand
	backend  string
	matchers int
}

func (r *randomSite) one(choices ...string) string { return choices[r.IntN(len(choices))] }

// cors is the directive, with the option that it may lack.
func (r *randomSite) cors() string {
	matcher := r.one("", "", "", "", "/orders", "/orders/*", "/api/*", "/public/*", "@m")
	origins := r.one("https://other.example.com", "https://app.example.com", "*", "https://*.example.com", "http://localhost:3000 https://app.example.com",
		"https://app.example.com:*", "https://other.example.com, https://third.example.com")
	var options []string
	add := func(chance float64, option string) {
		if r.Float64() < chance {
			options = append(options, option)
		}
	}
	add(.3, "allow_methods "+r.one("PUT", "PUT DELETE", "*", "GET, POST", "PATCH"))
	add(.3, "allow_headers "+r.one("Authorization", "X-Foo", "*", "Content-Type, X-Foo", "X-Amz-Meta-*"))
	add(.2, "expose_headers "+r.one("X-Total", "*", "X-Other"))
	if origins != "*" {
		add(.25, "allow_credentials")
	}
	add(.2, "upstream preserve")
	add(.1, "forward_preflight")
	add(.1, "max_age 1h")
	add(.1, "enforce")
	add(.05, "debug")
	if r.Float64() < .1 {
		options = append(options, "policy partner https://partner.example.com {\n\tallow_methods PUT\n}")
	}
	if r.Float64() < .1 && origins != "*" {
		options = append(options, "allow_origins_regexp https://app-[0-9]+\\.example\\.com")
	}
	line := "cors "
	if matcher == "@m" {
		r.matchers++
		name := fmt.Sprintf("@m%d", r.matchers)
		line = name + " path " + r.one("/orders /orders/*", "/api/*", "/public/* /orders*") + "\n" + line
		matcher = name
	}
	if matcher != "" {
		line += matcher + " "
	}
	if r.Float64() < .2 {
		options = append([]string{"allow_origins " + origins}, options...)
	} else {
		line += origins
	}
	if len(options) == 0 {
		return line
	}
	return line + " {\n" + strings.Join(options, "\n") + "\n}"
}

func (r *randomSite) header() string {
	matcher := r.one("", "", "", "/orders ", "/orders* ", "/api/* ")
	return "header " + matcher + r.one(
		"Access-Control-Allow-Origin *", "Access-Control-Allow-Origin https://other.example.com", ">Access-Control-Allow-Origin *",
		"?Access-Control-Allow-Origin *", "-Access-Control-Allow-Origin", "+Access-Control-Allow-Origin https://app.example.com",
		"Access-Control-Allow-Methods \"GET, PUT\"", "Access-Control-Allow-Headers *", "Access-Control-Allow-Credentials true",
		"Cache-Control no-store", "X-Total 7",
		"{\nAccess-Control-Allow-Origin *\nAccess-Control-Allow-Methods *\ndefer\n}", "{\nAccess-Control-Allow-Origin https://app.example.com\nX-Frame-Options DENY\n}")
}

func (r *randomSite) answer() string {
	return r.one("respond hello", "respond hello", "reverse_proxy "+r.backend, "reverse_proxy "+r.backend, "reverse_proxy /api/* "+r.backend,
		"respond /orders orders", "redir /orders /api/orders", "redir /orders https://api.example.com/orders/ 308", "error /orders 404",
		"reverse_proxy "+r.backend+" {\nheader_down -Access-Control-Allow-Origin\n}",
		"reverse_proxy "+r.backend+" {\nheader_down Access-Control-Allow-Origin *\n}")
}

func (r *randomSite) lines(depth int) []string {
	var lines []string
	for range 1 + r.IntN(3) {
		switch n := r.IntN(12); {
		case n < 3:
			lines = append(lines, r.cors())
		case n < 6:
			lines = append(lines, r.header())
		case n < 8 && depth < 2:
			lines = append(lines, r.block(depth+1))
		case n < 9:
			lines = append(lines, r.one("rewrite /api/* /orders", "basic_auth /orders* {\nbob "+checktest.Password+"\n}", "encode gzip", "request_body {\nmax_size 1MB\n}",
				"@options method OPTIONS\nrespond @options 204", "uri strip_prefix /api", "handle_errors {\nrespond oops\n}"))
		default:
			lines = append(lines, r.answer())
		}
	}
	return lines
}

func (r *randomSite) block(depth int) string {
	lines := r.lines(depth)
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "handle_errors") })
	opening := r.one("handle /orders*", "handle", "handle_path /api/*", "route", "route /orders*", "handle /api/*")
	return opening + " {\n" + strings.Join(lines, "\n") + "\n}"
}

func (r *randomSite) caddyfile() string {
	var b strings.Builder
	if r.Float64() < .1 {
		b.WriteString("{\norder cors " + r.one("before respond", "first", "after redir", "before reverse_proxy") + "\n}\n")
	}
	site := r.lines(0)
	if r.Float64() < .15 {
		b.WriteString("(shared) {\n" + strings.Join(r.lines(1), "\n") + "\n}\n")
		site = append(site, "import shared")
		if r.Float64() < .5 {
			b.WriteString("www.example.com {\nimport shared\n}\n")
		}
	}
	name := r.one("api.example.com", "api.example.com", "api.example.com, www2.example.com", "*.example.com", "https://api.example.com", "api.example.com:443")
	b.WriteString(name + " {\n" + strings.Join(site, "\n") + "\n}\n")
	return b.String()
}

func (r *randomSite) call() []string {
	args := []string{"https://api.example.com" + r.one("/orders", "/orders/7", "/api/orders", "/", "/star", "/own", "/public/x", "/api/star")}
	args = append(args, "--origin="+r.one("https://app.example.com", "https://app.example.com", "https://app.example.com", "https://www.other.net", "http://localhost:3000", "null"))
	if r.Float64() < .1 {
		args = append(args, "--kind", r.one("font", "eventsource", "image", "script"))
	} else {
		if r.Float64() < .2 {
			args = append(args, "-X", r.one("PUT", "DELETE", "PATCH", "POST"))
		}
		for range r.IntN(3) {
			args = append(args, "-H", r.one("X-Foo: 1", "Authorization: x", "Content-Type: application/json", "X-Amz-Meta-Day: 1", "X-Bar: 2"))
		}
	}
	if r.Float64() < .25 {
		args = append(args, "--credentials")
	}
	if r.Float64() < .15 {
		args = append(args, "--reads", r.one("X-Total", "X-Other"))
	}
	return args
}

// Configurations that nobody has thought of, made of what people write: where the check offers an edit, it works as it is said
// to, takes nothing away in silence, and lets nobody else in; where it has none, it says why.
//
// CADDY_CORS_SEED generates others, those of a seed or, if it is "random", of one that nobody has seen; CADDY_CORS_CASES says
// how many.
func TestRandomRepairs(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	seed, count := uint64(4), 40
	switch text := os.Getenv("CADDY_CORS_SEED"); text {
	case "":
	case "random":
		seed = rand.Uint64()
	default:
		seed = uint64(number(t, text))
	}
	if text := os.Getenv("CADDY_CORS_CASES"); text != "" {
		count = number(t, text)
	}
	t.Logf("CADDY_CORS_SEED=%d CADDY_CORS_CASES=%d", seed, count)
	backend := checktest.Backend(t)
	repaired := 0
	for i := range count {
		r := &randomSite{Rand: rand.New(rand.NewPCG(seed, uint64(i))), backend: backend}
		text, args := string(caddyfile.Format([]byte(r.caddyfile()))), r.call()
		adapted, err := livecaddy.Adapt(text)
		if err != nil {
			continue // refused, which others test
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if testRandomRepair(t, text, args) {
				repaired++
			}
			testRandomPatch(t, adapted, args)
		})
	}
	if repaired < count/2 {
		t.Errorf("only %d of %d cases are blocked calls with an edit that allows them", repaired, count)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// testRandomRepair reports whether an edit allows the call.
func testRandomRepair(t *testing.T, text string, args []string) (repaired bool) {
	file := checktest.File(t, "Caddyfile", text)
	t.Chdir(filepath.Dir(file))
	args = append(args, "--config", "Caddyfile")
	t.Cleanup(func() {
		if t.Failed() {
			edited, _ := os.ReadFile(file)
			t.Logf("%q of\n%s\nwhich has become\n%s", args, text, edited)
		}
	})
	before := byOthers(t, args)
	report := checktest.Run(t, append(slices.Clone(args), "--write")...)
	if report.Verdict != "blocked" {
		return false
	}
	if len(report.Written) == 0 {
		if adviceOf(report) == "" && unseenOf(report) == "" {
			t.Errorf("nothing is said of what could help against %+v", report.Cause)
		}
		return false
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if formatted := string(caddyfile.Format(written)); formatted != string(written) {
		t.Errorf("caddy fmt changes it to:\n%s", formatted)
	}
	if _, err := livecaddy.Adapt(string(written)); err != nil {
		t.Fatalf("it does not adapt: %v", err)
	}
	if after := checktest.Judge(t, args...); report.Tried == "allowed" && after.Verdict != "allowed" {
		t.Errorf("it was tried, and is %s: %+v", after.Verdict, after.Cause)
	}
	for call, verdict := range byOthers(t, args) {
		switch was := before[call]; {
		case was == "allowed" && verdict != "allowed" && len(report.Loses) == 0:
			t.Errorf("%s: it was allowed, and is %s", call, verdict)
		case was != "allowed" && verdict == "allowed" && strings.HasSuffix(call, strangers) && !strings.Contains(string(written), "*"):
			t.Errorf("%s: it was %s, and is allowed", call, was)
		}
	}
	return report.Tried == "allowed"
}

// testRandomPatch tests the same of a JSON configuration.
func testRandomPatch(t *testing.T, config []byte, args []string) {
	file := checktest.File(t, "caddy.json", string(config))
	args = append(slices.Clone(args), "--config", file)
	report := checktest.Run(t, args...)
	switch {
	case report.Verdict != "blocked":
		return
	case report.Patch == nil:
		if adviceOf(report) == "" && unseenOf(report) == "" {
			t.Errorf("in JSON, nothing is said of what could help against %+v", report.Cause)
		}
		return
	}
	operations, err := json.Marshal(report.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(config)
	if err != nil {
		t.Fatalf("%v, of %s", err, operations)
	}
	if err := os.WriteFile(file, patched, 0o600); err != nil {
		t.Fatal(err)
	}
	if after := checktest.Judge(t, args...); report.Tried == "allowed" && after.Verdict != "allowed" {
		t.Errorf("the patch was tried, and with it the call is %s: %+v; %s", after.Verdict, after.Cause, operations)
	}
}
