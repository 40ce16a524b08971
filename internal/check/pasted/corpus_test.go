package pasted

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A sample is one pasted text, and the calls that it stands for.
type sample struct {
	file, name, text string

	// calls are lines: the arguments of "caddy cors check", quoted as in a shell; then what is missing, each with a question
	// mark before it; then what a console message says, after an arrow.
	calls []string
}

// corpus returns the texts of testdata/*.txt: each begins with a line "=== name", and its calls come after a line "---".
func corpus(t testing.TB) []sample {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq("\n"+string(content), "\n=== ") {
			name, rest, _ := strings.Cut(part, "\n")
			text, calls, ok := strings.Cut(rest, "\n---\n")
			if name == "" {
				continue
			}
			if !ok {
				t.Fatalf("%s: %s: there is no line ---", file, name)
			}
			s := sample{file: filepath.Base(file), name: name, text: text}
			for line := range strings.Lines(calls) {
				if line = strings.TrimSpace(line); line != "" {
					s.calls = append(s.calls, line)
				}
			}
			samples = append(samples, s)
		}
	}
	return samples
}

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

func wordsOf(t *testing.T, line string) []string {
	t.Helper()
	words, _, err := posixWords("curl " + strings.ReplaceAll(line, "=> ", "'=>' "))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var texts []string
	for _, w := range words[1:] {
		texts = append(texts, w.text)
	}
	return texts
}

// Each text is recognized as the calls that it stands for.
func TestCorpus(t *testing.T) {
	samples := corpus(t)
	names := make(map[string]bool)
	for _, s := range samples {
		if names[s.file+s.name] {
			t.Errorf("%s: there are two %q", s.file, s.name)
		}
		names[s.file+s.name] = true
		t.Run(s.file+"/"+s.name, func(t *testing.T) {
			for variant, text := range variants(s.text) {
				paste, err := Read(strings.NewReader(text))
				if len(s.calls) == 1 && s.calls[0] == "nothing" {
					if _, ok := err.(*UnrecognizedError); !ok {
						t.Fatalf("%s: it is recognized, as %+v, %v", variant, paste, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", variant, err)
				}
				for i := range max(len(paste.Calls), len(s.calls)) {
					var got, want []string
					if i < len(paste.Calls) {
						got = described(&paste.Calls[i])
					}
					if i < len(s.calls) {
						want = wordsOf(t, s.calls[i])
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
