package ui_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/ui"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// An allowed is what allowing denials answers.
type allowed struct {
	Report struct {
		Allowances []struct{ ID, Tried string }
		Diff       string
	}
	Says        [][]string
	Edit, Error string
}

// denied returns the IDs of the denials of the running server by what was denied, once the page has all of them.
func (s *served) denied(n int) map[string]string {
	s.t.Helper()
	ids := make(map[string]string)
	livecaddy.Eventually(s.t, "the page has the denials", func() bool {
		var list struct {
			Denials []struct{ ID, Origin, Detail string }
		}
		if got := s.page(http.MethodGet, "/api/denials", "", nil); got.StatusCode == 200 {
			if err := json.Unmarshal([]byte(got.text), &list); err != nil {
				s.t.Fatal(err)
			}
		}
		for _, d := range list.Denials {
			ids[strings.TrimSpace(d.Origin+" "+d.Detail)] = d.ID
		}
		return len(list.Denials) == n
	})
	return ids
}

func (s *served) allow(ids ...string) (allowed, answer) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"denials": ids})
	if err != nil {
		s.t.Fatal(err)
	}
	got := s.page(http.MethodPost, "/api/allow", string(body), nil)
	var a allowed
	if err := json.Unmarshal([]byte(got.text), &a); err != nil {
		s.t.Fatalf("%s: %s", got.Status, got.text)
	}
	return a, got
}

// Denials that were chosen are allowed by one edit, as "caddy cors allow" does; those that were not stay denied.
func TestSeveralDenialsAreOneEdit(t *testing.T) {
	const policy = "cors http://app.example.com\nrespond hello"
	o := livecaddy.Observe(t, policy)
	livecaddy.ForgetDenials(t)
	livecaddy.Send(t, "GET", o.URL+"/a", livecaddy.Fields{"Origin": "http://one.example.com"})
	livecaddy.Send(t, "GET", o.URL+"/a", livecaddy.Fields{"Origin": "http://other.example.com"})
	livecaddy.Send(t, "OPTIONS", o.URL+"/b", livecaddy.Fields{"Origin": "http://app.example.com", "Access-Control-Request-Method": "PUT"})
	text := o.URL + " {\n\tcors http://app.example.com\n\trespond hello\n}\n"
	file := write(t, filepath.Join(t.TempDir(), "Caddyfile"), text)
	s := serve(t, ui.Options{Config: file, Write: true, Admin: o.Admin})
	ids := s.denied(3)

	a, got := s.allow(ids["http://one.example.com"], ids["http://app.example.com PUT"])
	want := o.URL + " {\n\tcors http://app.example.com http://one.example.com {\n\t\tallow_methods PUT\n\t}\n\trespond hello\n}\n"
	if got.StatusCode != 200 || len(a.Says) != 2 || len(a.Report.Allowances) != 2 || a.Report.Allowances[0].Tried != "allowed" || a.Edit == "" || read(t, file) != text {
		t.Fatalf("%s: %s", got.Status, got.text)
	}
	if got := s.apply(a.Edit); got.StatusCode != 200 || read(t, file) != want {
		t.Fatalf("%s: %s; the file is %q", got.Status, got.text, read(t, file))
	}
	a, got = s.allow(ids["http://one.example.com"], ids["http://app.example.com PUT"])
	if len(a.Report.Allowances) != 2 || a.Report.Allowances[0].Tried != "already" || a.Report.Allowances[1].Tried != "already" || a.Edit != "" || a.Report.Diff != "" {
		t.Errorf("with the edit: %s", got.text)
	}
}

// What a preflight asked for is allowed with its origin, so that the call that was denied works; and where a call works that
// cors has denied, it is said why.
func TestWhatWasAskedForIsAllowed(t *testing.T) {
	o := livecaddy.Observe(t, "cors http://app.example.com\nheader /open ?Access-Control-Allow-Origin *\nrespond hello")
	livecaddy.ForgetDenials(t)
	livecaddy.Send(t, "OPTIONS", o.URL+"/b", livecaddy.Fields{
		"Origin": "http://one.example.com", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization,x-api-key",
	})
	livecaddy.Send(t, "GET", o.URL+"/open", livecaddy.Fields{"Origin": "http://other.example.com"})
	livecaddy.Send(t, "OPTIONS", o.URL+"/many", livecaddy.Fields{ // more than are kept
		"Origin": "http://app.example.com", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": strings.Repeat("x-many,", 33),
	})
	file := write(t, filepath.Join(t.TempDir(), "Caddyfile"), o.URL+" {\n\tcors http://app.example.com\n\theader /open ?Access-Control-Allow-Origin *\n\trespond hello\n}\n")
	s := serve(t, ui.Options{Config: file, Write: true, Admin: o.Admin})
	ids := s.denied(3)

	a, got := s.allow(ids["http://app.example.com x-many"])
	if len(a.Report.Allowances) != 1 || a.Report.Allowances[0].Tried != "allowed" || !strings.Contains(a.Report.Diff, "+\t\tallow_headers x-many\n") {
		t.Errorf("%s: %s", got.Status, got.text)
	}
	a, got = s.allow(ids["http://one.example.com"])
	if len(a.Says) != 1 || !strings.Contains(a.Says[0][0], "/b with authorization, x-api-key of a page of http://one.example.com is allowed with the edit") ||
		!strings.Contains(a.Report.Diff, "+\t\tallow_headers Authorization x-api-key\n") || !strings.Contains(a.Report.Diff, "+\t\tallow_methods PUT\n") {
		t.Errorf("%s: %s", got.Status, got.text)
	}
	a, got = s.allow(ids["http://other.example.com"])
	if len(a.Says) != 1 || a.Report.Allowances[0].Tried != "already" || !strings.HasPrefix(a.Says[0][1], "cors denies it, and what comes after cors allows it all the same") {
		t.Errorf("%s: %s", got.Status, got.text)
	}
}

// What cannot be allowed is refused with the reason.
func TestDenialsThatCannotBeAllowed(t *testing.T) {
	o := livecaddy.Observe(t, "cors http://app.example.com\nrespond hello")
	livecaddy.ForgetDenials(t)
	livecaddy.Send(t, "GET", o.URL+"/a", livecaddy.Fields{"Origin": "http://one.example.com"})
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "Caddyfile"), o.URL+" {\n\tcors http://app.example.com\n\trespond hello\n}\n")
	refused := write(t, filepath.Join(dir, "refused"), o.URL+" {\n\tcors http://App.example.com/\n}\n")
	for _, test := range []struct {
		name   string
		config string
		choose func(id string) []string
		status int
		says   string
	}{
		{"without a configuration", "", func(id string) []string { return []string{id} }, 409, "--config Caddyfile"},
		{"none", file, func(string) []string { return nil }, 422, "No denial was selected."},
		{"one that is not in the list", file, func(id string) []string { return []string{id, "0123456789ab"} }, 404, "select again"},
		{"by a configuration that Caddy refuses", refused, func(id string) []string { return []string{id} }, 422, `did you mean "http://app.example.com"?`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, ui.Options{Config: test.config, Adapter: "caddyfile", Write: true, Admin: o.Admin})
			a, got := s.allow(test.choose(s.denied(1)["http://one.example.com"])...)
			if got.StatusCode != test.status || !strings.Contains(a.Error, test.says) || a.Edit != "" {
				t.Errorf("%s: %s", got.Status, got.text)
			}
		})
	}
}
