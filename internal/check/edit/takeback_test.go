package edit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Where the second of two files cannot be replaced, the first becomes what it was.
func TestReplaceAllTakesBack(t *testing.T) {
	folder := t.TempDir()
	var replacements []*replacement
	for _, name := range []string{"first", "second"} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("old\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := newReplacement(&File{Name: name, Path: path, onDisk: []byte("old\n"), text: []byte("new\n")})
		if err != nil {
			t.Fatal(err)
		}
		defer r.cleanUp()
		replacements = append(replacements, r)
	}
	if err := os.Remove(replacements[1].written); err != nil {
		t.Fatal(err)
	}
	err := replaceAll(replacements)
	var of *FileError
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &of) || of.Name != "second" {
		t.Errorf("got %v", err)
	}
	for _, r := range replacements {
		if text, err := os.ReadFile(r.target); err != nil || string(text) != "old\n" {
			t.Errorf("%s has %q (%v)", r.file.Name, text, err)
		}
	}
}
