package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A repair is a configuration that blocks a call, and what the check makes of it.
type repair struct {
	kind string // of mistake
	name string

	// site has the directives of https://api.example.com, or is a whole Caddyfile, if it starts with global options, a
	// snippet, a named route, an import or the address of a site. BACKEND stands for the address of checktest.Backend.
	site  string
	files map[string]string // beside the Caddyfile

	call  string // of https://api.example.com/orders by https://app.example.com, unless it has its own: a method, and flags
	cause string // the code; missing-allow-origin if it is empty

	diff   []string // the lines that are taken out (-) and put in (+), as the diff has them, without their indentation
	tried  string   // what was seen; "allowed" if it is empty and there is a diff
	advice string   // a part of it
	unseen string   // a part of why a cors directive did not see the request
	note   string   // a part of a warning
	loses  bool     // whether something is lost, which the report has to say
	public bool     // whether strangers may call after it
}

// caddyfile is the whole of it, as caddy fmt has it.
func (r repair) caddyfile(backend string) string {
	text := r.site
	if !regexp.MustCompile(`^(\{\n|\(|&\(|:|import |http:|https:|\*\.|[a-z]+\.example\.com)`).MatchString(text) {
		text = "api.example.com {\n" + text + "\n}"
	}
	return string(caddyfile.Format([]byte(strings.ReplaceAll(text, "BACKEND", backend))))
}

// args are those of the check.
func (r repair) args() []string {
	args := strings.Fields(r.call)
	if !slices.ContainsFunc(args, func(arg string) bool {
		return strings.Contains(arg, "://") && arg[0] != '-' && !strings.Contains(arg, "=")
	}) {
		args = append(args, "https://api.example.com/orders")
	}
	if !strings.Contains(r.call, "--origin=") {
		args = append(args, "--origin=https://app.example.com")
	}
	return args
}

// write writes the files, and returns the path of the Caddyfile.
func (r repair) write(t *testing.T, backend string) string {
	t.Helper()
	file := checktest.File(t, "Caddyfile", strings.ReplaceAll(r.caddyfile(backend), "DIR", "."))
	for name, text := range r.files {
		path := filepath.Join(filepath.Dir(file), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "BACKEND", backend)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return file
}

// changed are the lines of a unified diff that are taken out and put in.
func changed(diff string) []string {
	var lines []string
	for line := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
		case strings.HasPrefix(line, "-"), strings.HasPrefix(line, "+"):
			lines = append(lines, line[:1]+strings.TrimSpace(line[1:]))
		}
	}
	return lines
}

// Whatever is wrong with a configuration: the check says what blocks the call; what it writes adapts, is as caddy fmt has it,
// and has the check allow the call; another page is as it was, and what worked still works, or it is said that it does not.
// Nothing is claimed that was not seen. Where no edit can help, the advice names the cause.
func TestRepairs(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("APP_ORIGINS", "https://other.example.com")
	backend := checktest.Backend(t)
	kinds := make(map[string]int)
	for _, r := range repairs {
		kinds[r.kind]++
		t.Run(r.kind+"/"+r.name, func(t *testing.T) { r.test(t, backend) })
	}
	if len(repairs) < 80 || len(kinds) < 20 {
		t.Errorf("only %d repairs of %d kinds", len(repairs), len(kinds))
	}
}

func (r repair) test(t *testing.T, backend string) {
	file := r.write(t, backend)
	t.Chdir(filepath.Dir(file))
	args := append(r.args(), "--config", file)
	before := others(t, args)
	text, _ := checktest.Output(t, args...)

	report := checktest.Run(t, append(args, "--write")...)
	cause := r.cause
	if cause == "" {
		cause = "missing-allow-origin"
	}
	if report.Verdict != "blocked" || report.Cause.Code != cause {
		t.Fatalf("it is %s: %+v", report.Verdict, report.Cause)
	}
	if got := changed(strings.ReplaceAll(report.Diff, backend, "BACKEND")); !slices.Equal(got, r.diff) {
		t.Errorf("the diff is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(r.diff, "\n"))
	}
	tried := r.tried
	if tried == "" && len(r.diff) > 0 {
		tried = "allowed"
	}
	if report.Tried != tried {
		t.Errorf("it was tried: %q (%s), want %q", report.Tried, report.TriedReason, tried)
	}
	assertContains(t, "advice", r.advice, adviceOf(report))
	assertContains(t, "unseen", r.unseen, unseenOf(report))
	assertContains(t, "notes", r.note, notesOf(report))
	if claims := strings.Contains(text, "it was tried"); claims != (tried == "allowed" || tried == "preflight") {
		t.Errorf("it was tried: %q, and the text is:\n%s", tried, text)
	}
	if len(r.diff) == 0 {
		if len(report.Written) > 0 {
			t.Errorf("%q are written", report.Written)
		}
		return
	}

	if len(report.Written) == 0 {
		t.Fatal("nothing is written")
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if formatted := string(caddyfile.Format(written)); formatted != string(written) {
		t.Errorf("caddy fmt changes it to:\n%s\nfrom:\n%s", formatted, written)
	}
	if len(r.files) == 0 {
		if _, err := livecaddy.Adapt(string(written)); err != nil {
			t.Errorf("it does not adapt: %v", err)
		}
	}
	after := checktest.Judge(t, args...)
	if after.Verdict != "allowed" {
		t.Errorf("written, it is %s: %+v, in:\n%s", after.Verdict, after.Cause, written)
	}
	for call, verdict := range others(t, args) {
		switch was := before[call]; {
		case was == "allowed" && verdict != "allowed" && !r.loses:
			t.Errorf("%s: it was allowed, and is %s", call, verdict)
		case was != "allowed" && verdict == "allowed" && strings.Contains(call, strangers) && !r.public:
			t.Errorf("%s: it was %s, and is allowed", call, was)
		}
	}
	if r.loses != (len(report.Loses) > 0) {
		t.Errorf("it loses %+v", report.Loses)
	}
}

const strangers = "https://strangers.example.net"

// others are the verdicts of other calls: of other pages, and of this one to other paths, by GET; and this very one by
// strangers.
func others(t *testing.T, args []string) map[string]string {
	t.Helper()
	verdicts := make(map[string]string)
	rest := slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "--origin=") })
	same := append(slices.Clone(rest), "--origin="+strangers)
	verdicts["this call by "+strangers] = checktest.Judge(t, same...).Verdict
	for _, page := range []string{"https://app.example.com", "https://other.example.com", strangers} {
		for _, url := range []string{"https://api.example.com/orders", "https://api.example.com/", "https://api.example.com/public/x"} {
			r := checktest.Judge(t, url, "--origin="+page, "--config", args[len(args)-1])
			verdicts[fmt.Sprintf("GET %s by %s", url, page)] = r.Verdict
		}
	}
	return verdicts
}

func assertContains(t *testing.T, what, part, whole string) {
	t.Helper()
	if !strings.Contains(whole, part) || part == "" && whole != "" && what == "unseen" {
		t.Errorf("%s: %q, want %q", what, whole, part)
	}
}

func adviceOf(r *check.Report) string {
	var all []string
	for _, fix := range r.Fixes {
		if fix.Advice != "" {
			all = append(all, fix.Advice)
		}
	}
	return strings.Join(all, "\n")
}

func unseenOf(r *check.Report) string {
	var all []string
	for _, u := range r.Unseen {
		all = append(all, fmt.Sprintf("%s:%d: %s", u.File, u.Line, u.Why))
	}
	return strings.Join(all, "\n")
}

func notesOf(r *check.Report) string {
	var all []string
	for _, w := range r.Warnings {
		all = append(all, w.Message)
	}
	return strings.Join(all, "\n")
}
