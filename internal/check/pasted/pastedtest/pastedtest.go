// Package pastedtest reads the corpus of pasted texts, for tests.
package pastedtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/shell"
)

// A Sample is one pasted text, and the calls that it stands for.
type Sample struct {
	File, Name, Text string

	// Calls are lines: the arguments of "caddy cors check", quoted as in a shell; then what is missing, each with a question
	// mark before it; then what a console message says, after an arrow. "nothing" is a text that is not recognized.
	Calls []string
}

// Corpus returns the texts of the .txt files of a folder: each begins with a line "=== name", and its calls come after a line
// "---".
func Corpus(t testing.TB, folder string) []Sample {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var samples []Sample
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq("\n"+string(content), "\n=== ") {
			if part == "" {
				continue
			}
			name, rest, _ := strings.Cut(part, "\n")
			text, calls, ok := strings.Cut(rest, "\n---\n")
			if !ok {
				t.Fatalf("%s: %s: there is no line ---", file, name)
			}
			s := Sample{File: filepath.Base(file), Name: name, Text: text}
			for line := range strings.Lines(calls) {
				if line = strings.TrimSpace(line); line != "" {
					s.Calls = append(s.Calls, line)
				}
			}
			samples = append(samples, s)
		}
	}
	return samples
}

// Words are those of a line of a sample.
func Words(t testing.TB, line string) []string {
	t.Helper()
	words, err := shell.Fields(strings.ReplaceAll(line, "=> ", "'=>' "), func(string) string { return "" })
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return words
}
