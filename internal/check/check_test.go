package check

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// Colors are for terminals alone, and no text has any other control character.
func TestCheckColors(t *testing.T) {
	r := &Report{
		Verdict:  "blocked",
		Cause:    &Cause{Message: "bad \x1b[2J value"},
		Warnings: []Warning{{Message: "a note"}},
		Fixes: []Fix{{
			Action: ActionReplace, Line: "upstream override", Replaces: "upstream preserve",
			Block: "cors", Site: "https://api.example.com", File: "Caddyfile", At: 2,
		}},
		Steps: []Step{{Text: "GET https://api.example.com/: 200", Exchange: &Exchange{
			ResponseHeaders: map[string][]string{"Vary": {"\x1b[31m"}, "Server": {"Caddy"}},
		}}},
	}
	c := &Check{}
	plain := r.text(c, false)
	if strings.Contains(plain, "\x1b") || !strings.Contains(plain, `Blocked. bad \x1b[2J value`) || !strings.Contains(plain, "\nFix: Caddyfile:2: in the cors block of the site https://api.example.com, in the place of upstream preserve, write\n    upstream override\n") {
		t.Errorf("without colors, it is:\n%q", plain)
	}
	colored := r.text(c, true)
	for _, sequence := range []string{colors.bad, colors.note, colors.faint} {
		if !strings.Contains(colored, sequence) {
			t.Errorf("no %q in %q", sequence, colored)
		}
		colored = strings.ReplaceAll(colored, sequence, "")
	}
	if colored = strings.ReplaceAll(colored, colors.reset, ""); colored != plain {
		t.Errorf("less the colors, it is:\n%q", colored)
	}
}

func TestParseResolve(t *testing.T) {
	for text, want := range map[string][2]string{
		"api.example.com:443:127.0.0.1": {"api.example.com:443", "127.0.0.1:443"},
		"API.example.com:8443:::1":      {"api.example.com:8443", "[::1]:8443"},
		"api.example.com:443:[::1]":     {"api.example.com:443", "[::1]:443"},
		"[::1]:80:127.0.0.2":            {"[::1]:80", "127.0.0.2:80"},
		"":                              {},
		":443:127.0.0.1":                {},
		"api.example.com:0:127.0.0.1":   {},
		"api.example.com:https:1.2.3.4": {},
		"api.example.com:443:":          {},
		"api.example.com:443:nowhere":   {},
	} {
		hostport, target, err := parseResolve(text)
		if hostport != want[0] || target != want[1] || (err != nil) != (want[0] == "") {
			t.Errorf("%q is %q at %q, %v", text, hostport, target, err)
		}
	}
}

// What is written to the storage of a check is there, and not in the one beneath.
func TestOverlayStorage(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	beneath := &certmagic.FileStorage{Path: dir}
	for _, key := range []string{"a/1", "a/2", "a/b/3"} {
		if err := beneath.Store(ctx, key, []byte("old "+key)); err != nil {
			t.Fatal(err)
		}
	}
	s := &overlayStorage{beneath: beneath, written: make(map[string]storedValue)}
	for _, err := range []error{
		s.Store(ctx, "a/2", []byte("new")),
		s.Store(ctx, "a/c/4", []byte("new")),
		s.Delete(ctx, "a/1"),
		s.Delete(ctx, "a/b"),
		s.Lock(ctx, "a"),
		s.Unlock(ctx, "a"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	for key, want := range map[string]string{"a/1": "", "a/2": "new", "a/b/3": "", "a/c/4": "new", "a/5": ""} {
		value, err := s.Load(ctx, key)
		info, statErr := s.Stat(ctx, key)
		exists := want != ""
		if string(value) != want || s.Exists(ctx, key) != exists || errors.Is(err, fs.ErrNotExist) == exists || errors.Is(statErr, fs.ErrNotExist) == exists || info.Size != int64(len(want)) {
			t.Errorf("%s is %q, %v; %+v, %v", key, value, err, info, statErr)
		}
	}
	if keys, err := s.List(ctx, "a", true); !slices.Equal(keys, []string{"a/2", "a/c/4"}) || err != nil {
		t.Errorf("all keys are %q, %v", keys, err)
	}
	if keys, err := s.List(ctx, "a", false); !slices.Contains(keys, "a/c") || slices.Contains(keys, "a/1") || err != nil {
		t.Errorf("the keys at the top are %q, %v", keys, err)
	}
	if _, err := s.List(ctx, "nowhere", true); err == nil {
		t.Error("nowhere is somewhere")
	}
	for _, key := range []string{"a/1", "a/2", "a/b/3"} {
		if value, err := os.ReadFile(filepath.Join(dir, key)); string(value) != "old "+key {
			t.Errorf("beneath, %s is %q, %v", key, value, err)
		}
	}
}

// A person at a terminal says that a request which could change something is to be made.
func TestRefuseUnasked(t *testing.T) {
	for _, test := range []struct {
		name     string
		check    Check
		terminal bool
		refused  bool
	}{
		{name: "DELETE at a terminal", check: Check{request: fetch.Request{Method: "DELETE"}}, terminal: true, refused: true},
		{name: "a POST", check: Check{request: fetch.Request{Method: "POST"}}, terminal: true, refused: true},
		{name: "GET", check: Check{request: fetch.Request{Method: "GET"}}, terminal: true},
		{name: "in a script", check: Check{request: fetch.Request{Method: "DELETE"}}},
		{name: "with --yes", check: Check{request: fetch.Request{Method: "DELETE"}, yes: true}, terminal: true},
		{name: "the preflight alone", check: Check{request: fetch.Request{Method: "DELETE", PreflightOnly: true}}, terminal: true},
		{name: "against a configuration", check: Check{request: fetch.Request{Method: "DELETE"}, config: "Caddyfile"}, terminal: true},
	} {
		if err := test.check.refuseUnasked(test.terminal); (err != nil) != test.refused {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// A server may wait for the first event before it answers at all, longer than another may.
func TestEventSourceWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := roundTripper(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(12 * time.Second):
				header := http.Header{"Access-Control-Allow-Origin": {"*"}, "Content-Type": {"text/event-stream"}}
				return &http.Response{StatusCode: 200, Header: header, Body: http.NoBody}, nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		for kind, want := range map[fetch.Kind]bool{fetch.KindEventSource: true, fetch.KindFetch: false} {
			c := &Check{request: fetch.Request{URL: "https://api.example.com", Origin: "https://app.example.com", Kind: kind}, maxTime: defaultMaxTime}
			if _, err := c.try(t.Context(), slow); (err == nil) != want {
				t.Errorf("%s: %v", kind, err)
			}
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
