// Package docs_test holds the documentation to the code.
package docs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// root is the repository's directory.
const root = ".."

// What is shown of a configuration is right: it loads as it is written. What a block is, is said behind the backquotes that
// open it:
//
//	```caddyfile            is accepted: a whole Caddyfile; or lines of a site, the first of which is cors or a named
//	                        matcher; or options of cors, and then of one that has an origin if they name none
//	```caddyfile refused    is refused, because of cors
//	```json                 is accepted: a whole configuration, or a handler
//	```json refused         is refused, because of cors
//	```json output          is not a configuration, but what something prints or sends
//
// Blocks of other languages are not looked at. One of no language, or an indented one, must not be a Caddyfile; a synopsis,
// with "<...>" for what is to be filled in, is none.
func TestDocumentedConfigurations(t *testing.T) {
	pages := markdown.ReadAll(t, root)
	if len(pages) < 2 {
		t.Fatalf("%d pages", len(pages))
	}
	for _, p := range pages {
		for _, b := range p.Whole().Blocks() {
			t.Run(fmt.Sprintf("%s:%d", p.Path, b.Line), func(t *testing.T) {
				if err := checkBlock(t, b); err != nil {
					t.Errorf("%v, in:\n%s", err, b.Text)
				}
			})
		}
	}
}

// The test of the blocks lets nothing pass.
func TestCheckBlock(t *testing.T) {
	for _, test := range []struct{ name, info, text, want string }{
		{"a Caddyfile", "caddyfile", "api.example.com {\n\tcors https://app.example.com\n}\n", ""},
		{"lines of a site", "caddyfile", "# the API\ncors https://app.example.com\n", ""},
		{"lines with a matcher", "caddyfile", "@api path /api/*\ncors @api https://app.example.com\n", ""},
		{"options", "caddyfile", "allow_methods PUT\nallow_credentials\n", ""},
		{"options that are enough", "caddyfile", "policy https://app.example.com {\n\tallow_methods PUT\n}\n", ""},
		{"environment", "caddyfile", "cors {env.DOCUMENTED} {$DOCUMENTED_TOO}\n", ""},
		{"files", "caddyfile", "cors {file./run/origins} {\n\tallow_origins_from file /run/origins\n\tallow_origins_from storage cors/origins\n}\n", ""},
		{"a log file", "caddyfile", "{\n\tlog {\n\t\toutput file /nowhere/x.log\n\t}\n}\n", ""},
		{"lines of a site without cors", "caddyfile", "reverse_proxy localhost:9000\n", `"reverse_proxy" is not a site`},
		{"nothing", "caddyfile", "# cors\n", "it is empty"},
		{"a mistake", "caddyfile", "cors https://App.example.com\n", "did you mean"},
		{"a mistake that only loading tells", "caddyfile", "cors {env.DOCUMENTED} {\n\tallow_credentials\n\tinsecure null_origin_with_credentials\n}\n", "nothing here needs"},
		{"a mistake on purpose", "caddyfile refused", "cors https://App.example.com\n", ""},
		{"no mistake, but said to be", "caddyfile refused", "cors https://app.example.com\n", "it is accepted"},
		{"another mistake", "caddyfile refused", ":8080 {\n\tnothing\n}\n", "refused for another reason"},
		{"a handler", "json", `{"handler": "cors", "allow_origins": ["*"]}`, ""},
		{"a handler that is wrong", "json", `{"handler": "cors"}`, "no origin may call"},
		{"a handler that is wrong on purpose", "json refused", `{"handler": "cors"}`, ""},
		{"a configuration", "json", `{"apps": {"http": {"servers": {}}}}`, ""},
		{"a configuration with an unknown field", "json", `{"apps": {}, "app": {}}`, `unknown field "app"`},
		{"output", "json output", "{\"count\": 1}\n{\"count\": 2}\n", ""},
		{"output that is cut off", "json output", `{"count": 1`, "unexpected EOF"},
		{"output that does not say so", "json", `{"count": 1}`, "write ```json output"},
		{"no language", "", ":8080 {\n\tcors *\n}\n", "looks like a Caddyfile"},
		{"no language, a line", "", "cors *\n", "looks like a Caddyfile"},
		{"a synopsis", "", "cors [<matcher>] [<origin>...] {\n\t...\n}\n", ""},
		{"a misspelled language", "Caddyfile", "cors *\n", `what is "Caddyfile"?`},
		{"a misspelled kind", "caddyfile bad", "cors *\n", `what is "caddyfile bad"?`},
		{"another language", "nginx", "server {\n}\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := checkBlock(t, markdown.Block{Info: test.info, Text: test.text})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got: %v, want: %q", err, test.want)
			}
		})
	}
}

func checkBlock(t *testing.T, b markdown.Block) error {
	language, kind, _ := strings.Cut(b.Info, " ")
	var config []byte
	var err error
	switch {
	case b.Info == "caddyfile" || b.Info == "caddyfile refused":
		config, err = adaptBlock(t, b.Text)
	case b.Info == "json" || b.Info == "json refused":
		config, err = completeJSON(b.Text)
	case b.Info == "json output":
		return isJSON(b.Text)
	case strings.Contains(strings.ToLower(language), "caddy") || strings.HasPrefix(strings.ToLower(language), "json"):
		return fmt.Errorf("what is %q? A block is one of caddyfile, json, each of them refused, and json output", b.Info)
	case language == "" && isCaddyfile(b.Text):
		return errors.New("this looks like a Caddyfile; write ```caddyfile")
	default:
		return nil
	}
	if err == nil {
		err = validate(t, config)
	}
	switch {
	case kind != "refused":
		return err
	case err == nil:
		return errors.New("it is accepted")
	case !strings.Contains(err.Error(), "cors"):
		return fmt.Errorf("it is refused for another reason: %w", err)
	}
	return nil
}

// isCaddyfile reports whether a text looks like a Caddyfile, and is not a synopsis.
func isCaddyfile(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if (strings.HasPrefix(line, "cors ") || strings.HasSuffix(line, " {")) && !strings.Contains(line, "<") {
			return true
		}
	}
	return false
}

var oneWord = regexp.MustCompile(`^[a-z_]+$`)

// adaptBlock completes a Caddyfile and adapts it.
func adaptBlock(t *testing.T, text string) ([]byte, error) {
	for _, m := range regexp.MustCompile(`\{\$(\w+)\}`).FindAllStringSubmatch(text, -1) {
		t.Setenv(m[1], "https://variable.example.com")
	}
	var words []string // with which the lines begin
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			words = append(words, fields[0])
		}
	}
	if len(words) == 0 {
		return nil, errors.New("it is empty")
	}
	policy, directive := optionNames(t)
	switch first := words[0]; {
	case first == "cors" || strings.HasPrefix(first, "@"):
		text = ":8080 {\n" + text + "}\n"
	case slices.Contains(slices.Concat(policy, directive), first):
		origin := "https://app.example.com"
		if slices.ContainsFunc(words, func(word string) bool {
			return strings.HasPrefix(word, "allow_origins") || word == "policy"
		}) {
			origin = ""
		}
		text = ":8080 {\ncors " + origin + " {\n" + text + "}\n}\n"
	case oneWord.MatchString(first) && first != "localhost":
		return nil, fmt.Errorf("%q is not a site: a block is a whole Caddyfile, or begins with cors, a named matcher or an option of cors", first)
	}
	return livecaddy.Adapt(text)
}

// completeJSON puts a server around a handler.
func completeJSON(text string) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		return nil, fmt.Errorf("it is no JSON object; for what something prints, write ```json output: %w", err)
	}
	switch {
	case object["handler"] != nil:
		return fmt.Appendf(nil, `{"apps": {"http": {"servers": {"srv0": {"listen": [":8080"], "routes": [{"handle": [%s]}]}}}}}`, text), nil
	case object["apps"] != nil:
		return []byte(text), nil
	}
	return nil, errors.New("it is neither a configuration nor a handler; for what something prints, write ```json output")
}

// isJSON reports whether a text is one JSON value or several of them.
func isJSON(text string) error {
	for decoder := json.NewDecoder(strings.NewReader(text)); ; {
		var value any
		switch err := decoder.Decode(&value); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// validate provisions a configuration, as "caddy validate" does. What it takes from the environment and from files is there.
// Its storage is empty but for the lists that it names, and its logs are discarded.
func validate(t *testing.T, config []byte) error {
	const origins = "https://listed.example.com\n"
	dir := t.TempDir()
	write := func(path string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(origins), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range regexp.MustCompile(`\{env\.(\w+)\}`).FindAllSubmatch(config, -1) {
		t.Setenv(string(m[1]), strings.TrimSpace(origins))
	}
	list := filepath.Join(dir, "origins")
	write(list)
	config = regexp.MustCompile(`\{file\.[^}]+\}`).ReplaceAll(config, []byte("{file."+list+"}"))

	var tree map[string]any
	if err := json.Unmarshal(caddy.RemoveMetaFields(config), &tree); err != nil {
		return err
	}
	storage := filepath.Join(dir, "storage")
	tree["storage"] = map[string]any{"module": "file_system", "root": storage}
	livecaddy.WalkJSON(tree["apps"], func(object map[string]any) {
		switch object["source"] {
		case "file":
			object["path"] = list
		case "storage":
			write(filepath.Join(storage, object["key"].(string)))
		}
	})
	logging, _ := tree["logging"].(map[string]any)
	logs, _ := logging["logs"].(map[string]any)
	discarded := map[string]any{"default": map[string]any{}}
	for name, log := range logs {
		discarded[name] = log
	}
	for _, log := range discarded {
		log.(map[string]any)["writer"] = map[string]any{"output": "discard"}
	}
	tree["logging"] = map[string]any{"logs": discarded}

	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	var parsed caddy.Config
	if err := caddy.StrictUnmarshalJSON(text, &parsed); err != nil {
		return err
	}
	return caddy.Validate(&parsed)
}

// Links within the repository lead somewhere: to a file or directory that exists, and to a heading of it.
func TestLinks(t *testing.T) {
	pages := markdown.ReadAll(t, root)
	anchors := make(map[string][]string)
	for _, p := range pages {
		anchors[p.Path] = p.Anchors()
	}
	for _, p := range pages {
		for _, link := range p.Whole().Links() {
			to, err := url.Parse(link.Destination)
			if err != nil {
				t.Errorf("%s: %v", p.Path, err)
				continue
			}
			if to.IsAbs() {
				continue
			}
			target := p.Path
			if to.Path != "" {
				target = filepath.Join(filepath.Dir(p.Path), to.Path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads nowhere: %v", p.Path, link.Destination, err)
			} else if headings, ok := anchors[target]; ok && to.Fragment != "" && !slices.Contains(headings, to.Fragment) {
				t.Errorf("%s: the link %s leads to no heading of %s", p.Path, link.Destination, target)
			}
		}
	}
}
