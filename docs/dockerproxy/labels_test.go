// Package dockerproxy_test holds the labels of docs/install.md to what caddy-docker-proxy makes of them. It is a module of its
// own, so that nobody who uses caddy-cors gets the modules of caddy-docker-proxy.
package dockerproxy_test

import (
	"fmt"
	"strings"
	"testing"
	"text/template"

	"github.com/lucaslorentz/caddy-docker-proxy/v2/caddyfile"
	"go.yaml.in/yaml/v3"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// generate is what caddy-docker-proxy makes of the labels of a container at 172.18.0.2.
func generate(t *testing.T, labels map[string]string) string {
	t.Helper()
	container, err := caddyfile.FromLabels(labels, nil, template.FuncMap{
		"upstreams": func(port int) string { return fmt.Sprintf("172.18.0.2:%d", port) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(container.Marshal())
}

// The labels of the page make the Caddyfile that is beside them, and none of its sites is left out. A site whose cors is refused
// is, and the log says why.
func TestLabels(t *testing.T) {
	section := markdown.Read(t, "../install.md").Section(t, "caddy-docker-proxy")
	var compose struct {
		Services map[string]struct{ Labels map[string]string }
	}
	if err := yaml.Unmarshal([]byte(section.BlocksOf("yaml")[0]), &compose); err != nil {
		t.Fatal(err)
	}
	labels := compose.Services["api"].Labels
	want := section.BlocksOf("caddyfile")[0]
	if got := generate(t, labels); got != want {
		t.Errorf("the labels make\n%s\nand the page has\n%s", got, want)
	}
	if kept, log := caddyfile.Process([]byte(want)); string(kept) != want || len(log) > 0 {
		t.Errorf("it keeps\n%s\nand logs:\n%s", kept, log)
	}
	labels["caddy.cors"] = "https://app.example.com/"
	kept, log := caddyfile.Process([]byte(generate(t, labels) + "other.example.com {\n\trespond hello\n}\n"))
	if strings.Contains(string(kept), "api.example.com") || !strings.Contains(string(kept), "other.example.com") {
		t.Errorf("of a cors that is refused, it keeps\n%s", kept)
	}
	for _, words := range []string{"Removing invalid block", `did you mean "https://app.example.com"?`} {
		if !strings.Contains(string(log), words) {
			t.Errorf("the log does not say %q:\n%s", words, log)
		}
	}
}
