package pasted

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted/pastedtest"
)

// described is a call in the form of the corpus.
func described(c *Call) []string {
	words := c.Args()
	for _, m := range c.Missing {
		words = append(words, "?"+string(m.Need))
	}
	if c.Said != "" {
		words = append(words, "=>", string(c.Said))
	}
	return words
}

// Each text is recognized as the calls that it stands for.
func TestCorpus(t *testing.T) {
	samples := pastedtest.Corpus(t, "testdata")
	names := make(map[string]bool)
	for _, s := range samples {
		if names[s.File+s.Name] {
			t.Errorf("%s: there are two %q", s.File, s.Name)
		}
		names[s.File+s.Name] = true
		t.Run(s.File+"/"+s.Name, func(t *testing.T) {
			for variant, text := range variants(s.Text) {
				paste, err := Read(strings.NewReader(text))
				if len(s.Calls) == 1 && s.Calls[0] == "nothing" {
					if _, ok := err.(*UnrecognizedError); !ok {
						t.Fatalf("%s: it is recognized, as %+v, %v", variant, paste, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", variant, err)
				}
				for i := range max(len(paste.Calls), len(s.Calls)) {
					var got, want []string
					if i < len(paste.Calls) {
						got = described(&paste.Calls[i])
					}
					if i < len(s.Calls) {
						want = pastedtest.Words(t, s.Calls[i])
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s: it is\n\t%q, want\n\t%q", variant, got, want)
					}
				}
			}
		})
	}
	if len(samples) < 150 {
		t.Errorf("there are %d texts only", len(samples))
	}
}

// variants are what happens to a text on its way that changes nothing.
func variants(text string) map[string]string {
	return map[string]string{
		"as it is":           text,
		"CRLF":               strings.ReplaceAll(text, "\n", "\r\n"),
		"white space around": "\n  \t\n" + text + "\n\n \n",
		"a byte order mark":  "\ufeff" + text,
	}
}

// What no browser copies is refused, before it takes more time or memory than a text of its length should.
func TestHostileCommands(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"URLs":                   "curl" + strings.Repeat(" https://api.example.com/x", n),
		"headers":                "curl https://api.example.com/x" + strings.Repeat(" -H 'a: b'", n),
		"headers of fetch":       `fetch("https://api.example.com/x", {"headers": {` + strings.Repeat(`"a": "b",`, n) + "}});",
		"commands in a command":  "curl https://api.example.com/x " + strings.Repeat("$(", n),
		"more than can be words": strings.Repeat("x", maxText+1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Read(strings.NewReader(text))
		runtime.ReadMemStats(&after)
		if _, ok := errors.AsType[*UnrecognizedError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 256<<20 {
			t.Errorf("%s: %d MiB are allocated for %d KiB", name, used>>20, len(text)>>10)
		}
	}
}
