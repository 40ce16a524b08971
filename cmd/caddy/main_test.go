package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// caddy runs the command that this package builds and returns what it printed.
func caddy(t *testing.T, args ...string) (output string, ok bool) {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir(), "XDG_CACHE_HOME="+t.TempDir(), "LocalAppData="+t.TempDir())
	var printed bytes.Buffer
	command.Stdout, command.Stderr = &printed, &printed
	err := command.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return printed.String(), err == nil
}

var binary string

func TestMain(m *testing.M) {
	var err error
	if binary, err = livecaddy.Binary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestListModules(t *testing.T) {
	modules, ok := caddy(t, "list-modules")
	if !ok || !strings.Contains(modules, "\nhttp.handlers.cors\n") {
		t.Errorf("no http.handlers.cors among:\n%s", modules)
	}
}

// Without a command, there is what there is, with the one to start with first.
func TestCommandsAreListed(t *testing.T) {
	output, ok := caddy(t, "cors")
	if !ok {
		t.Errorf("caddy cors fails:\n%s", output)
	}
	at := 0
	for _, words := range []string{"\nTo start with:\n  ui ", "\n  allow ", "\n  check ", "\n  denials ", "\n  test "} {
		i := strings.Index(output[at:], words)
		if i < 0 {
			t.Fatalf("there is no %q after the others in\n%s", words, output)
		}
		at += i
	}
}

func TestExampleIsValidAndFormatted(t *testing.T) {
	example, err := filepath.Abs("../../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // where it may have its log
	if output, ok := caddy(t, "validate", "--config", example, "--adapter", "caddyfile"); !ok || !strings.Contains(output, "Valid configuration") {
		t.Errorf("validate says:\n%s", output)
	}
	want, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	if formatted, ok := caddy(t, "fmt", example); !ok || formatted != string(want) {
		t.Errorf("fmt makes it:\n%s", formatted)
	}
}

// A configuration that is refused exits non-zero, and says what to write instead.
func TestValidateRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"Caddyfile":   ":8080 {\n\tcors https://Example.com\n}\n",
		"config.json": `{"apps": {"http": {"servers": {"srv0": {"routes": [{"handle": [{"handler": "cors", "allow_origins": ["https://Example.com"]}]}]}}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			output, ok := caddy(t, "validate", "--config", file)
			if ok {
				t.Error("validate accepts it")
			}
			if !strings.Contains(output, `did you mean \"https://example.com\"?`) {
				t.Errorf("validate says:\n%s", output)
			}
		})
	}
}

// A program of another module can have cors in it, as xcaddy makes one.
func TestBuildFromAnotherModule(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"cmd/caddy/main.go": "main.go", "go.mod": "go.mod", "go.sum": "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(name string, args ...string) {
		command := exec.Command(name, args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
		}
	}
	run("go", "mod", "edit", "-module=caddy", "-require=github.com/caddy-cors/caddy-cors@v0.0.0", "-replace=github.com/caddy-cors/caddy-cors="+root)
	run("go", "vet", ".") // which compiles all of it, and links nothing
}

// The helps fit a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	for _, command := range []string{"", "allow", "check", "denials", "test", "ui"} {
		output, ok := caddy(t, append(strings.Fields("cors "+command), "--help")...)
		if !ok {
			t.Errorf("caddy cors %s --help fails:\n%s", command, output)
		}
		for line := range strings.Lines(output) {
			if len(line)-1 > 80 {
				t.Errorf("caddy cors %s: %d columns: %s", command, len(line)-1, line)
			}
		}
	}
}
