package ui_test

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/ui"
)

// What a browser has not written down in an archive is told with its table, and with the calls that it is about.
func TestArchiveGaps(t *testing.T) {
	for _, test := range []struct {
		browser, gap string
		warns        bool
	}{
		{"chromium", "", false},
		{"firefox", "Firefox does not record whether a script asks for credentials", true},
		{"webkit", "Safari's Web Inspector leaves failed calls out", false},
	} {
		t.Run(test.browser, func(t *testing.T) {
			har, err := os.ReadFile("../pasted/testdata/" + test.browser + ".har")
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, ui.Options{})
			got := s.page("POST", "/api/read", string(har), map[string]string{"Content-Type": "application/octet-stream"})
			var paste ui.Paste
			if err := json.Unmarshal([]byte(got.text), &paste); err != nil || got.StatusCode != 200 {
				t.Fatalf("%s: %s", got.Status, got.text)
			}
			if test.gap == "" && len(paste.Gaps) > 0 || test.gap != "" && (len(paste.Gaps) != 1 || !strings.HasPrefix(paste.Gaps[0], test.gap)) {
				t.Errorf("the gaps are %q", paste.Gaps)
			}
			allowed := slices.IndexFunc(paste.Calls, func(c ui.PastedCall) bool { return c.Verdict == "allowed" })
			if allowed < 0 {
				t.Fatal("no call is allowed")
			}
			got = s.page("GET", "/api/recorded/"+paste.Archive+"/"+strconv.Itoa(allowed), "", nil)
			var r result
			if err := json.Unmarshal([]byte(got.text), &r); err != nil || got.StatusCode != 200 {
				t.Fatalf("%s: %s", got.Status, got.text)
			}
			warned := slices.ContainsFunc(r.Report.Warnings, func(w struct{ Code string }) bool { return w.Code == "credentials-unknown" })
			if warned != test.warns {
				t.Errorf("the warnings are %+v", r.Report.Warnings)
			}
		})
	}
}
