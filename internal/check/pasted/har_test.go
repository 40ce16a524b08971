package pasted

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted/pastedtest"
)

// The calls of pages, exported by a browser's network panel, are judged as the browser has judged them, as far as it tells.
func TestHAR(t *testing.T) {
	for _, browser := range []string{"chromium", "firefox", "webkit"} {
		t.Run(browser, func(t *testing.T) { testHAR(t, browser) })
	}
}

func testHAR(t *testing.T, browser string) {
	file, err := os.Open("testdata/" + browser + ".har")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	paste, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/" + browser + ".har.calls")
	if err != nil {
		t.Fatal(err)
	}
	if omits := browser == "webkit"; paste.OmitsFailed != omits {
		t.Errorf("it omits the calls that have failed: %v", paste.OmitsFailed)
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
			} else if cause := c.JudgeWithCredentials(t.Context()); cause != nil {
				got = append(got, "if-credentials", string(cause.Code))
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
