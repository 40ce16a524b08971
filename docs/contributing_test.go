package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// The files, tests and functions that the pages for contributors name are there.
func TestPagesNameWhatIsThere(t *testing.T) {
	words := make(map[string]bool) // of the code
	if err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool {
			return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		}) {
			words[word] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(`[\w./*-]+\.(?:go|md|yml|example|caddyfiletest)\b`)
	folder, exported := regexp.MustCompile(`^[\w./-]+/$`), regexp.MustCompile(`^\w*[A-Z]\w*$`)
	for _, name := range []string{"CONTRIBUTING.md", "docs/architecture.md"} {
		page := markdown.Read(t, filepath.Join(root, name)).Whole()
		files := file.FindAllString(page.Text(), -1)
		var named []string
		for _, paragraph := range page.Paragraphs() {
			for _, span := range paragraph.Code {
				switch {
				case folder.MatchString(span):
					files = append(files, span)
				case exported.MatchString(span):
					named = append(named, span)
				}
			}
		}
		if len(files) == 0 || len(named) == 0 {
			t.Errorf("%s names %d files, and %d tests and functions", name, len(files), len(named))
		}
		for _, file := range files {
			if found, err := filepath.Glob(filepath.Join(root, file)); err != nil || len(found) == 0 {
				t.Errorf("%s: there is no %s", name, file)
			}
		}
		for _, word := range named {
			if _, err := os.Stat(filepath.Join(root, word)); err != nil && !words[word] {
				t.Errorf("%s: there is no %s", name, word)
			}
		}
	}
}
