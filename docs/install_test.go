package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// The Caddyfile in the ConfigMap of the page is one that loads.
func TestInstallConfigMap(t *testing.T) {
	manifest := markdown.Read(t, "install.md").Section(t, "Kubernetes").BlocksOf("yaml")[0]
	_, rest, found := strings.Cut(manifest, "  Caddyfile: |\n")
	text, _, ended := strings.Cut(rest, "\n---\n")
	if !found || !ended {
		t.Fatalf("no Caddyfile in:\n%s", manifest)
	}
	config, err := livecaddy.Adapt(strings.ReplaceAll(text, "\n    ", "\n")[4:])
	if err == nil {
		err = validate(t, config)
	}
	if err != nil {
		t.Errorf("%v, in:\n%s", err, text)
	}
}

// The list of origins that the page writes into an environment file is one that cors reads from there.
func TestInstallEnvironmentFile(t *testing.T) {
	section := markdown.Read(t, "install.md").Section(t, "Debian and Ubuntu")
	line := regexp.MustCompile(`echo '(APP_ORIGINS=.+)'`).FindStringSubmatch(section.BlocksOf("sh")[1])
	binary, err := livecaddy.Binary()
	if err != nil || line == nil {
		t.Fatal(err, line)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"environment": line[1] + "\n", "Caddyfile": ":8080 {\n\tcors {env.APP_ORIGINS}\n}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, valid := range map[string]bool{"environment": true, "Caddyfile": false} { // in which there is none
		command := exec.Command(binary, "validate", "--envfile", file, "--config", "Caddyfile")
		command.Dir = dir
		if output, err := command.CombinedOutput(); (err == nil) != valid {
			t.Errorf("with the environment of %s: %v\n%s", file, err, output)
		}
	}
}
