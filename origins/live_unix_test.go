//go:build unix

package origins_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that the server may not read any more.
func TestFileThatMayNotBeRead(t *testing.T) {
	dir, err := os.MkdirTemp("", "origins") // whose parents everybody may enter, unlike those of the test's own
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	command := exec.Command(copyOfBinary(t, dir))
	if os.Getuid() == 0 { // who may read everything
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	path := filepath.Join(dir, "origins")
	must(t, os.WriteFile(path, []byte(originA+"\n"), 0o644))
	server := start(t, dir, filepath.Join(dir, "none"), "file "+path, command)
	if !allows(t, server.url, originA) {
		t.Error("denied")
	}
	must(t, os.WriteFile(path+".next", []byte(originB+"\n"), 0o000))
	must(t, os.Rename(path+".next", path))
	eventually(t, "the log says that it may not read the file", func() bool {
		return strings.Contains(server.Log(), "open "+path+": permission denied")
	})
	if !allows(t, server.url, originA) || allows(t, server.url, originB) {
		t.Error("the last good list does not stay")
	}
	must(t, os.Chmod(path, 0o644))
	eventually(t, "the list is live", func() bool { return allows(t, server.url, originB) })
}

// copyOfBinary copies the test's binary, which only its owner may run, into the directory.
func copyOfBinary(t *testing.T, dir string) string {
	t.Helper()
	binary, err := os.Executable()
	must(t, err)
	from, err := os.Open(binary)
	must(t, err)
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "caddy"), os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(to, from)
	must(t, err)
	must(t, to.Close())
	return to.Name()
}
