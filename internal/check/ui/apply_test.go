package ui_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/ui"
)

const site = "http://api.example.com {\n\tcors http://app.example.com\n\trespond hello\n}\n"

// A result is what a check answers.
type result struct {
	Report struct {
		Verdict  string
		Diff     string
		Warnings []struct{ Code string }
	}
	Share, Edit string
	Error       string
}

// check checks a call of another page, of which the edit allows the origin.
func (s *served) check(origin, url string) result {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"call": map[string]any{"url": url, "origin": origin}})
	if err != nil {
		s.t.Fatal(err)
	}
	got := s.page("POST", "/api/check", string(body), nil)
	var r result
	if err := json.Unmarshal([]byte(got.text), &r); err != nil || got.StatusCode != 200 {
		s.t.Fatalf("%s: %s", got.Status, got.text)
	}
	return r
}

func (s *served) apply(edit string) answer {
	s.t.Helper()
	return s.page("POST", "/api/apply", `{"edit": "`+edit+`"}`, nil)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// An edit is written on a click, and the call is allowed from then on.
func TestApply(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "Caddyfile"), site)
	s := serve(t, ui.Options{Config: file, Write: true})
	r := s.check("http://new.example.com", "http://api.example.com/")
	if r.Report.Verdict != "blocked" || !strings.Contains(r.Report.Diff, "+\tcors http://app.example.com http://new.example.com") || read(t, file) != site {
		t.Fatalf("%+v", r)
	}
	if got := s.apply(r.Edit); got.StatusCode != 200 || !strings.Contains(got.text, "Caddyfile") {
		t.Fatalf("%s: %s", got.Status, got.text)
	}
	if want := strings.Replace(site, "app.example.com", "app.example.com http://new.example.com", 1); read(t, file) != want {
		t.Errorf("the file is %q", read(t, file))
	}
	if r := s.check("http://new.example.com", "http://api.example.com/"); r.Report.Verdict != "allowed" || r.Edit != "" {
		t.Errorf("%+v", r)
	}
}

// What was not asked for with --write, or not shown by a check, is not written.
func TestNothingElseIsWritten(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "Caddyfile"), site)
	reading := serve(t, ui.Options{Config: file})
	if got := reading.apply(reading.check("http://new.example.com", "http://api.example.com/").Edit); got.StatusCode != 403 {
		t.Errorf("without --write: %s: %s", got.Status, got.text)
	}
	writing := serve(t, ui.Options{Config: file, Write: true})
	writing.check("http://new.example.com", "http://api.example.com/")
	for _, edit := range []string{"", "x", reading.check("http://new.example.com", "http://api.example.com/").Edit, "../Caddyfile"} {
		if got := writing.apply(edit); got.StatusCode != 404 {
			t.Errorf("%q: %s: %s", edit, got.Status, got.text)
		}
	}
	if read(t, file) != site {
		t.Error("the file was written")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v: %v", entries, err)
	}
}

// A link is followed within the folder of the configuration, and not out of it.
func TestLinksOutOfTheFolderAreNotFollowed(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("links need a privilege on Windows")
		return
	}
	for _, test := range []struct {
		name    string
		link    func(t *testing.T, folder, outside string) (config, target string)
		written bool
	}{
		{"the configuration is a link to a file elsewhere", func(t *testing.T, folder, outside string) (string, string) {
			target := write(t, filepath.Join(outside, "target"), site)
			return filepath.Join(folder, "Caddyfile"), link(t, target, filepath.Join(folder, "Caddyfile"))
		}, false},
		{"what it imports is", func(t *testing.T, folder, outside string) (string, string) {
			target := write(t, filepath.Join(outside, "target"), site)
			link(t, target, filepath.Join(folder, "site.caddy"))
			return write(t, filepath.Join(folder, "Caddyfile"), "import site.caddy\n"), target
		}, false},
		{"the folder of what it imports is", func(t *testing.T, folder, outside string) (string, string) {
			target := write(t, filepath.Join(outside, "site.caddy"), site)
			link(t, outside, filepath.Join(folder, "sites"))
			return write(t, filepath.Join(folder, "Caddyfile"), "import sites/*\n"), target
		}, false},
		{"a link within the folder", func(t *testing.T, folder, outside string) (string, string) {
			target := write(t, filepath.Join(folder, "site-7.caddy"), site)
			link(t, target, filepath.Join(folder, "current"))
			return write(t, filepath.Join(folder, "Caddyfile"), "import current\n"), target
		}, true},
		{"an import of a file elsewhere, by its own path", func(t *testing.T, folder, outside string) (string, string) {
			target := write(t, filepath.Join(outside, "site.caddy"), site)
			return write(t, filepath.Join(folder, "Caddyfile"), "import "+target+"\n"), target
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir()) // which is a link itself on macOS
			if err != nil {
				t.Fatal(err)
			}
			folder, outside := filepath.Join(root, "folder"), filepath.Join(root, "outside")
			for _, dir := range []string{folder, outside} {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			config, target := test.link(t, folder, outside)
			s := serve(t, ui.Options{Config: config, Write: true})
			got := s.apply(s.check("http://new.example.com", "http://api.example.com/").Edit)
			if written := read(t, target) != site; written != test.written || (got.StatusCode == 200) != test.written {
				t.Errorf("written is %t: %s: %s", written, got.Status, got.text)
			}
		})
	}
}

func link(t *testing.T, target, name string) string {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	return target
}

// Of two writers, the second is told that the file is another one now; neither is lost or mixed up.
func TestTwoWriters(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "Caddyfile"), site)
	first, second := serve(t, ui.Options{Config: file, Write: true}), serve(t, ui.Options{Config: file, Write: true})
	edits := map[*served]string{}
	for s, origin := range map[*served]string{first: "http://one.example.com", second: "http://two.example.com"} {
		edits[s] = s.check(origin, "http://api.example.com/").Edit
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	var answers []answer
	for s, edit := range edits {
		for range 2 {
			group.Go(func() {
				got := s.apply(edit)
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, got)
			})
		}
	}
	group.Wait()
	written := 0
	for _, got := range answers {
		switch {
		case got.StatusCode == 200:
			written++
		case got.StatusCode != 409 || !strings.Contains(got.text, "changed"):
			t.Errorf("%s: %s", got.Status, got.text)
		}
	}
	text := read(t, file)
	if one, two := strings.Contains(text, "one.example.com"), strings.Contains(text, "two.example.com"); written == 0 || one == two {
		t.Errorf("%d were written, and the file is %q", written, text)
	}
}

// The text for others has no secrets in it.
func TestShare(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "Caddyfile"), site+"http://other.example.com {\n\tredir http://api.example.com/in?code=SECRET1\n}\n")
	s := serve(t, ui.Options{Config: file})
	body, err := json.Marshal(map[string]any{"call": map[string]any{
		"url":     "http://other.example.com/?token=SECRET2&page=7#SECRET3",
		"origin":  "http://new.example.com",
		"headers": []string{"Authorization: Bearer SECRET4", "X-Api-Key: SECRET5"},
		"cookie":  "session=SECRET6",
	}, "confirmed": true})
	if err != nil {
		t.Fatal(err)
	}
	got := s.page("POST", "/api/check", string(body), nil)
	var r result
	if err := json.Unmarshal([]byte(got.text), &r); err != nil || got.StatusCode != 200 {
		t.Fatalf("%s: %s", got.Status, got.text)
	}
	if strings.Contains(r.Share, "SECRET") || !strings.Contains(r.Share, "http://other.example.com/?token=...") || !strings.Contains(r.Share, "Blocked.") {
		t.Errorf("it is %s", r.Share)
	}
}

// A body is never read from a file, whatever it begins with.
func TestBodiesAreNotFiles(t *testing.T) {
	s := serve(t, ui.Options{})
	got := s.page("POST", "/api/check", `{"call": {"url": "http://127.0.0.1:1/", "origin": "http://app.example.com", "method": "POST", "body": "@/etc/passwd"}, "confirmed": true}`, nil)
	if got.StatusCode != 422 || !strings.Contains(got.text, "begins with @") {
		t.Errorf("%s: %s", got.Status, got.text)
	}
}
