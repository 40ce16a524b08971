//go:build unix

package edit_test

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// asNobody lets root be somebody else for the rest of the test, so that files can be another's.
func asNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	if err := syscall.Seteuid(65534); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Seteuid(0); err != nil {
			t.Error(err)
		}
	})
}

func TestWriteKeepsModeAndLinks(t *testing.T) {
	write(t, map[string]string{"real/Caddyfile": "example.com {\n\trespond hi\n}\n"})
	if err := os.Chmod("real/Caddyfile", 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real/Caddyfile", "middle"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("middle", "Caddyfile"); err != nil {
		t.Fatal(err)
	}
	c, err := edit.Load("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	edited, err := c.Apply(edit.Insert{Into: find(t, c, "example.com"), Line: line("cors " + app)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edited.Write(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Caddyfile", "middle"} {
		if info, err := os.Lstat(name); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is not a link any more: %v, %v", name, info, err)
		}
	}
	info, err := os.Lstat("real/Caddyfile")
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
	if text := onDisk(t)["real/Caddyfile"]; text != "example.com {\n\tcors https://app.example.com\n\trespond hi\n}\n" {
		t.Errorf("it is %q", text)
	}
}

// Another's file is left alone, even where its mode and the folder's would let everybody replace it.
func TestWriteRefusesAnothersFile(t *testing.T) {
	write(t, map[string]string{"Caddyfile": "example.com\n", "list": "https://app.example.com\n"})
	list := "/etc/hosts" // of root, where the test is not
	if os.Geteuid() == 0 {
		list = "list"
		for name, mode := range map[string]os.FileMode{list: 0o666, ".": 0o777, "..": 0o777} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := edit.Load("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	edited, err := c.Apply(edit.EditList{File: list, Add: []string{admin}})
	if err != nil {
		t.Fatal(err)
	}
	asNobody(t)
	if _, err := edited.Write(); !errors.Is(err, edit.ErrOwner) {
		t.Errorf("got %v", err)
	}
}

// A file that its owner has made read-only stays as it is, and so does one in a folder that is read-only.
func TestWriteRefusesReadOnly(t *testing.T) {
	asNobody(t)
	for _, test := range []struct {
		name       string
		file, path os.FileMode
	}{
		{"the file", 0o444, 0o755},
		{"the folder", 0o644, 0o555},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.Mkdir("conf", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("conf/Caddyfile", []byte("example.com\n"), test.file); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod("conf", test.path); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod("conf", 0o755) })
			c, err := edit.Load("conf/Caddyfile")
			if err != nil {
				t.Fatal(err)
			}
			edited, err := c.Apply(edit.Insert{Into: find(t, c, "example.com"), Line: line("cors " + app)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := edited.Write(); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("got %v", err)
			}
			if text := onDisk(t)["conf/Caddyfile"]; text != "example.com\n" {
				t.Errorf("it is %q", text)
			}
		})
	}
}
