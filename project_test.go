package caddycors_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/zip"
)

const module = "github.com/caddy-cors/caddy-cors"

// imports has the packages of the module, and which of them the code of each imports. Tests may import more.
var imports = map[string][]string{
	module + "/internal/origin":    nil,
	module + "/internal/fetchspec": nil,
	module + "/internal/printable": nil,
	module + "/internal/spelling":  nil,
	module + "/internal/policy":    {module + "/internal/fetchspec", module + "/internal/origin", module + "/internal/printable"},
	module + "/internal/denials":   {module + "/internal/origin", module + "/internal/policy", module + "/internal/printable"},
	module + "/internal/placement": {module + "/internal/policy", module + "/internal/spelling"},
	module + "/internal/fetch/csp": nil,
	module + "/internal/fetch":     {module + "/internal/fetch/csp", module + "/internal/fetchspec", module + "/internal/origin"},
	module + "/origins":            {module + "/internal/origin"},
	module + "/internal/check": {
		module + "/internal/check/edit", module + "/internal/check/pasted", module + "/internal/denials", module + "/internal/fetch",
		module + "/internal/fetchspec", module + "/internal/origin", module + "/internal/policy", module + "/internal/printable",
	},
	module + "/internal/check/edit":              nil,
	module + "/internal/check/pasted":            {module + "/internal/fetch", module + "/internal/fetchspec", module + "/internal/origin"},
	module + "/internal/check/pasted/pastedtest": {module + "/internal/check/pasted"},
	module + "/internal/check/checktest":         {module + "/internal/check"},
	module + "/internal/check/ui": {
		module + "/internal/check", module + "/internal/check/pasted", module + "/internal/denials", module + "/internal/fetch",
		module + "/internal/policy",
	},
	module: {
		module + "/internal/check", module + "/internal/check/ui", module + "/internal/denials", module + "/internal/origin", module + "/internal/placement", module + "/internal/policy",
		module + "/internal/spelling", module + "/origins",
	},
	module + "/cmd/caddy":          {module},
	module + "/internal/livecaddy": nil,
	module + "/internal/markdown":  nil,
	module + "/docs":               nil,
	module + "/e2e":                nil,
	module + "/contrib":            nil,
}

// foreign has what some of them are to do without: Caddy; and servers, files and the network.
var foreign = map[string]*regexp.Regexp{
	module + "/internal/fetchspec": regexp.MustCompile(`^github\.com/|^(net|os|io|log)$`),
	module + "/internal/fetch":     regexp.MustCompile(`^github\.com/caddyserver/`),
	module + "/internal/origin":    regexp.MustCompile(`^github\.com/caddyserver/|^(net|net/http|os|io|log)$`),
	module + "/internal/policy":    regexp.MustCompile(`^github\.com/caddyserver/|^(net|net/http|os|io|log)$`),
}

// Imports point one way: from what knows Caddy to what knows origins alone.
func TestImports(t *testing.T) {
	list, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		names := strings.Fields(line)
		importer, imported := names[0], names[1:]
		allowed, known := imports[importer]
		if !known {
			t.Errorf("%s is new: say here and in docs/architecture.md what it is and what it imports", importer)
		}
		for _, name := range imported {
			own := strings.HasPrefix(name, module)
			if own && !slices.Contains(allowed, name) || foreign[importer] != nil && foreign[importer].MatchString(name) {
				t.Errorf("%s imports %s", importer, name)
			}
		}
	}
}

// The module can be published: no file has a name that the go command refuses on some system.
func TestModuleCanBePublished(t *testing.T) {
	checked, err := zip.CheckDir(".")
	if err != nil {
		t.Error(err)
	}
	if !slices.Contains(checked.Valid, "go.mod") {
		t.Errorf("%d files are valid, and go.mod is not among them", len(checked.Valid))
	}
}

// The image is built from what .dockerignore lets through.
func TestImageHasThePackages(t *testing.T) {
	ignore := readFile(t, ".dockerignore")
	for _, name := range imports[module] {
		top, _, _ := strings.Cut(strings.TrimPrefix(name, module+"/"), "/")
		if !strings.Contains(ignore, "\n!"+top+"\n") {
			t.Errorf(".dockerignore leaves out %s", name)
		}
	}
}

// The versions that are written down are those of go.mod.
func TestVersions(t *testing.T) {
	const goLine, caddyLine = `(?m)^go (\d+\.\d+)`, `github\.com/caddyserver/caddy/v2 v(\S+)`
	required := readFile(t, "go.mod")
	goVersion, caddyVersion := submatches(goLine, required)[0], submatches(caddyLine, required)[0]
	for _, test := range []struct{ file, pattern, want string }{
		{"README.md", `Go (\d+\.\d+)`, goVersion},
		{"README.md", `Caddy v(\d+\.\d+\.\d+)`, caddyVersion},
		{"CONTRIBUTING.md", `Go (\d+\.\d+)`, goVersion},
		{".github/workflows/test.yml", `golang:(\d+\.\d+)`, goVersion},
		{"Dockerfile", `CADDY_VERSION=(\S+)`, caddyVersion},
		{"docs/install.md", `Go\]\(\S+\) (\d+\.\d+)`, goVersion},
		{"docs/install.md", `xcaddy build v(\d\S+)`, caddyVersion},
		{"docs/install.md", `FROM caddy:([\d.]+)`, caddyVersion},
		{"bench/go.mod", goLine, goVersion},
		{"bench/go.mod", caddyLine, caddyVersion},
		{"docs/dockerproxy/go.mod", goLine, goVersion},
		{"docs/dockerproxy/go.mod", caddyLine, caddyVersion},
	} {
		found := submatches(test.pattern, readFile(t, test.file))
		if len(found) == 0 {
			t.Errorf("%s: nothing matches %s", test.file, test.pattern)
		}
		for _, version := range found {
			if version != test.want {
				t.Errorf("%s: it has %s, and go.mod %s", test.file, version, test.want)
			}
		}
	}
}

// Every make target that is written down is one of the Makefile.
func TestMakeTargets(t *testing.T) {
	makefile, workflows := readFile(t, "Makefile"), strings.Join(slices.Collect(maps.Values(workflows(t))), "")
	targets := submatches("`make (\\w+)`", readFile(t, "README.md")+readFile(t, "CONTRIBUTING.md")+workflows)
	targets = append(targets, submatches(`run: make (\w+)`, workflows)...)
	for _, list := range submatches(`target: \[(.+)\]`, workflows) {
		targets = append(targets, strings.Split(list, ", ")...)
	}
	for _, target := range targets {
		if !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
}

// Workflows run actions by their commits, which nobody can move, and may only read; to publish a release takes more.
func TestWorkflowsArePinned(t *testing.T) {
	for name, workflow := range workflows(t) {
		for _, action := range submatches(`uses: (.+)`, workflow) {
			if !strings.HasPrefix(action, "./") && !regexp.MustCompile(`^[\w/-]+@[0-9a-f]{40} # v\d`).MatchString(action) {
				t.Errorf("%s: %s is not a commit with its version", name, action)
			}
		}
		granted := 1
		if name == "release.yml" {
			granted = 2
		}
		if !strings.Contains(workflow, "\npermissions:\n  contents: read\n\n") || strings.Count(workflow, "permissions:") != granted {
			t.Errorf("%s: it has other permissions than to read the contents", name)
		}
	}
}

// workflows returns the texts of the workflows by their file names.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal("no workflows", err)
	}
	texts := make(map[string]string)
	for _, file := range files {
		texts[filepath.Base(file)] = readFile(t, file)
	}
	return texts
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// submatches returns what the group of the pattern is, wherever the pattern matches.
func submatches(pattern, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}
