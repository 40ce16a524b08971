package check_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// write writes the files, and returns the path of the Caddyfile.
func write(t *testing.T, r checktest.Repair, backend string) string {
	t.Helper()
	file := checktest.File(t, "Caddyfile", r.Caddyfile(backend))
	for name, text := range r.Files {
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
	for _, r := range checktest.Repairs {
		kinds[r.Kind]++
		t.Run(r.Kind+"/"+r.Name, func(t *testing.T) { testRepair(t, r, backend) })
	}
	if len(checktest.Repairs) < 80 || len(kinds) < 20 {
		t.Errorf("only %d repairs of %d kinds", len(checktest.Repairs), len(kinds))
	}
}

func testRepair(t *testing.T, r checktest.Repair, backend string) {
	file := write(t, r, backend)
	t.Chdir(filepath.Dir(file))
	args := append(r.Args(), "--config", file)
	before := others(t, args)
	text, _ := checktest.Output(t, args...)

	report := checktest.Run(t, append(args, "--write")...)
	cause := r.Cause
	if cause == "" {
		cause = "missing-allow-origin"
	}
	if report.Verdict != "blocked" || report.Cause.Code != cause {
		t.Fatalf("it is %s: %+v", report.Verdict, report.Cause)
	}
	if got := changed(strings.ReplaceAll(report.Diff, backend, "BACKEND")); !slices.Equal(got, r.Diff) {
		t.Errorf("the diff is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(r.Diff, "\n"))
	}
	tried := r.Tried
	if tried == "" && len(r.Diff) > 0 {
		tried = "allowed"
	}
	if report.Tried != tried {
		t.Errorf("it was tried: %q (%s), want %q", report.Tried, report.TriedReason, tried)
	}
	assertContains(t, "advice", r.Advice, adviceOf(report))
	assertContains(t, "unseen", r.Unseen, unseenOf(report))
	assertContains(t, "notes", r.Note, notesOf(report))
	if claims := strings.Contains(text, "it was tried"); claims != (tried == "allowed" || tried == "preflight") {
		t.Errorf("it was tried: %q, and the text is:\n%s", tried, text)
	}
	if len(r.Diff) == 0 {
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
	if len(r.Files) == 0 {
		if _, err := livecaddy.Adapt(string(written)); err != nil {
			t.Errorf("it does not adapt: %v", err)
		}
	}
	after := checktest.Judge(t, args...)
	if want := cmp.Or(r.Then, "allowed"); after.Verdict != want {
		t.Errorf("written, it is %s: %+v, in:\n%s", after.Verdict, after.Cause, written)
	}
	for call, verdict := range others(t, args) {
		switch was := before[call]; {
		case was == "allowed" && verdict != "allowed" && !r.Loses:
			t.Errorf("%s: it was allowed, and is %s", call, verdict)
		case was != "allowed" && verdict == "allowed" && strings.Contains(call, strangers) && !r.Public:
			t.Errorf("%s: it was %s, and is allowed", call, was)
		}
	}
	if r.Loses != (len(report.Loses) > 0) {
		t.Errorf("it loses %+v", report.Loses)
	}
}

const strangers = "https://strangers.example.net"

// others are the verdicts of other calls: of other pages, and of this one to other paths, by GET; and this very one by
// strangers.
func others(t *testing.T, args []string) map[string]string {
	t.Helper()
	verdicts := byOthers(t, args)
	rest := slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return strings.HasPrefix(arg, "--origin=") })
	same := append(slices.Clone(rest), "--origin="+strangers)
	verdicts["this call by "+strangers] = checktest.Judge(t, same...).Verdict
	return verdicts
}

// byOthers are the verdicts of simple calls.
func byOthers(t *testing.T, args []string) map[string]string {
	t.Helper()
	verdicts := make(map[string]string)
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
