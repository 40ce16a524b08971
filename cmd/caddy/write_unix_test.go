//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A Caddyfile in a folder that the user cannot write to stays as it is: nothing claims that it was written, and the exit
// code says so.
func TestWriteIsRefused(t *testing.T) {
	dir, err := os.MkdirTemp("", "cors-write") // whose parents everybody may enter, unlike those of the test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	home := filepath.Join(dir, "home")
	config := filepath.Join(dir, "etc", "Caddyfile")
	const text = "api.example.com {\n\trespond hello\n}\n"
	for _, err := range []error{
		os.Chmod(dir, 0o755), os.Mkdir(home, 0o777), os.Chmod(home, 0o777), os.Mkdir(filepath.Dir(config), 0o755),
		os.WriteFile(config, []byte(text), 0o644), os.Chmod(filepath.Dir(config), 0o555), copyFile(binary, filepath.Join(dir, "caddy")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(filepath.Join(dir, "caddy"), "cors", "check", "https://api.example.com/", "--origin", "https://app.example.com",
		"--config", config, "--write", "--json")
	command.Dir = dir
	command.Env = []string{"HOME=" + home}
	if os.Getuid() == 0 { // who may write everywhere
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	_ = command.Run()
	if code := command.ProcessState.ExitCode(); code != 2 {
		t.Errorf("the exit code is %d", code)
	}
	var report struct{ Written []string }
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v: %s", err, &stdout)
	}
	if len(report.Written) > 0 || !strings.Contains(stderr.String(), "nothing is written") {
		t.Errorf("%q are written; it says %q", report.Written, &stderr)
	}
	if now, err := os.ReadFile(config); err != nil || string(now) != text {
		t.Errorf("it is %q: %v", now, err)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
