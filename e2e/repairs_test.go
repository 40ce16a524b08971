//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const stranger = "https://strangers.example.net"

// A repairCase is a broken configuration in the network of a test, before and after the check's edit.
type repairCase struct {
	checktest.Repair
	number int
	edited string // the text that the check has written
}

var (
	ownHost      = regexp.MustCompile(`\b(api|www|cdn|login|store)\.example\.com`)
	wildcardHost = regexp.MustCompile(`(?m)^\*\.example\.com`)
	snippetName  = regexp.MustCompile(`\((api)\)|(import|invoke) (api)\b`)
	siteLine     = regexp.MustCompile(`(?m)^((?:[a-z0-9*.-]+\.example\.com(?:, )?)+) \{$`)
)

// inNetwork reports whether browsers can call it by its name, beside the others: rows that need global options, files, ports
// of their own, another page or a stream that does not end are for the tests of the check alone.
func inNetwork(r checktest.Repair) bool {
	args := strings.Join(r.Args(), " ")
	return len(r.Diff) > 0 && len(r.Files) == 0 && !strings.HasSuffix(args, "/sse --origin="+app) && !strings.HasPrefix(r.Site, "{") && !strings.HasPrefix(r.Site, ":") &&
		strings.Contains(args, "--origin="+app) && strings.Contains(args, "https://api.example.com") && !strings.Contains(r.Site, "{$") &&
		!strings.Contains(r.Site, "{env.") && !strings.HasSuffix(r.Site, "respond hello\n") && !strings.Contains(r.Site, "root *")
}

// renamed gives the hosts of a text, and its snippets, names of their own.
func (c repairCase) renamed(text, suffix string) string {
	text = ownHost.ReplaceAllString(text, fmt.Sprintf("$1.r%d%s.example.com", c.number, suffix))
	text = wildcardHost.ReplaceAllString(text, fmt.Sprintf("*.r%d%s.example.com", c.number, suffix))
	return snippetName.ReplaceAllStringFunc(text, func(name string) string {
		return strings.Replace(name, "api", fmt.Sprintf("api%d%s", c.number, suffix), 1)
	})
}

// withCertificates are the sites of a text, with certificates.
func withCertificates(text string) string {
	return siteLine.ReplaceAllStringFunc(text, func(line string) string {
		return line + "\n\timport repaired"
	})
}

// call is the browser's.
func (c repairCase) call(suffix string) call {
	init := map[string]any{"cache": "no-store"}
	header := make(map[string]string)
	made := call{Name: fmt.Sprintf("%d%s %s/%s", c.number, suffix, c.Kind, c.Name), Init: init}
	reads := ""
	args := c.Args()
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "-X":
			i++
			init["method"] = args[i]
		case arg == "-H":
			i++
			name, value, _ := strings.Cut(args[i], ":")
			header[name] = value
		case arg == "--credentials":
			init["credentials"] = "include"
		case arg == "--reads":
			i++
			reads = args[i]
		case strings.HasPrefix(arg, "https://"):
			made.URL = c.renamed(arg, suffix)
		}
	}
	init["headers"] = header
	if reads != "" { // which cannot be told from a header that is not there
		made.Script = fmt.Sprintf(`const r = await fetch(%q, {cache: "no-store"}); if (r.headers.get(%q) === null) throw new TypeError("not exposed"); return "read"`, made.URL, reads)
	}
	return made
}

// What blocks a call in the check blocks it in Chromium; what the check writes has Chromium allow it; and the pages of strangers
// get no more than they did.
func TestRepairs(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	backend := checktest.Backend(t)
	page := newPage(t)
	var caddyfile strings.Builder
	fmt.Fprintf(&caddyfile, `
(repaired) {
	tls internal {
		on_demand
	}
}
%s, %s {
	import repaired
	reverse_proxy %s
}
`, app, stranger, page.address)
	origins := []string{app, stranger}
	var cases []repairCase
	var calls, strangers []call
	for i, r := range checktest.Repairs {
		if !inNetwork(r) {
			continue
		}
		c := repairCase{Repair: r, number: i}
		text := strings.ReplaceAll(r.Caddyfile(backend), "\ttls internal\n", "")
		file := checktest.File(t, "Caddyfile", text)
		report := checktest.Run(t, append(r.Args(), "--config", file, "--write")...)
		if len(report.Written) == 0 {
			t.Fatalf("%s/%s: nothing is written", r.Kind, r.Name)
		}
		written, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		c.edited = string(written)
		caddyfile.WriteString(withCertificates(c.renamed(text, "a")) + withCertificates(c.renamed(c.edited, "b")))
		for _, suffix := range []string{"a", "b"} {
			addresses := strings.Join(siteLine.FindAllString(text, -1), " ") + strings.Join(r.Args(), " ")
			for _, host := range ownHost.FindAllString(addresses, -1) {
				origins = append(origins, "https://"+c.renamed(host, suffix))
			}
			calls = append(calls, c.call(suffix))
		}
		strangers = append(strangers, c.call("a"), c.call("b"))
		cases = append(cases, c)
	}
	if len(cases) < 60 {
		t.Fatalf("only %d", len(cases))
	}
	server := livecaddy.Start(t, caddyfile.String())
	network := newNetwork(t, server, origins...)

	chromium := engines[0]
	found := page.browse(t, chromium, network, app+"/", calls)
	others := page.browse(t, chromium, network, stranger+"/", strangers)
	for i, c := range cases {
		t.Run(c.Kind+"/"+c.Name, func(t *testing.T) {
			if before := found[2*i]; !before.blocked() {
				t.Errorf("before the edit, it is not blocked: %+v", before)
			}
			if after := found[2*i+1]; after.Error != "" && c.Then == "" {
				t.Errorf("after the edit, it is blocked: %+v, in:\n%s", after, c.edited)
			}
			if before, after := others[2*i], others[2*i+1]; before.blocked() && !after.blocked() && !c.Public {
				t.Errorf("a stranger was blocked, and now is not: %+v", after)
			}
		})
	}
}
