package pasted

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted/pastedtest"
)

// The calls of a page, exported by Chromium's network panel, are judged as Chromium has judged them.
func TestHAR(t *testing.T) {
	file, err := os.Open("testdata/chromium.har")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	paste, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/chromium.har.calls")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(want)), "\n")
	for i := range max(len(paste.Calls), len(lines)) {
		var got, want []string
		if i < len(paste.Calls) {
			c := &paste.Calls[i]
			result, err := c.Judge(t.Context())
			if err != nil {
				t.Error(err)
				continue
			}
			got = append(described(c), "=>", string(result.Verdict))
			if result.Cause != nil {
				got = append(got, string(result.Cause.Code))
			}
		}
		if i < len(lines) {
			want = pastedtest.Words(t, lines[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("call %d is\n\t%q, want\n\t%q", i, got, want)
		}
	}
}
