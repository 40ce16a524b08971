//go:build unix

package origins

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/caddyserver/certmagic"
)

// Links are made in tests on Unix alone: on Windows that takes a privilege.
func TestLinkInPlaceOfTheFile(t *testing.T) {
	testChange(t, func(f *testFile) {
		f.rename("https://b.test\n")
		f.must(os.Rename(f.path, f.path+".target"))
		f.must(os.Symlink(f.path+".target", f.path))
	})
}

func TestFaultsOfLinksAndPipes(t *testing.T) {
	links := map[string]listFault{
		"a broken link":     {replaceFault(func(path string) error { return os.Symlink("nowhere", path) }), "no such file or directory"},
		"a circle of links": {replaceFault(func(path string) error { return os.Symlink(path, path) }), "too many levels of symbolic links"},
	}
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "list")
		testFaults(t, links, path, path, textFile(path), true)
		testFaults(t, map[string]listFault{
			"a named pipe": {replaceFault(func(path string) error { return syscall.Mkfifo(path, 0o600) }), "is not a regular file: it is a named pipe"},
		}, path, path, textFile(path), true)
	})
	t.Run("storage", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "list")
		testFaults(t, links, path, path, storedText{&certmagic.FileStorage{Path: filepath.Dir(path)}, "list"}, false)
	})
}
