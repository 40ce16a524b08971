package docs_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// The configuration of the page serves, and its commands do to the running server what the page says, one after the other.
func TestJSONPage(t *testing.T) {
	for _, program := range []string{"sh", "curl", "sed"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Logf("not run: it needs %s", program)
			return
		}
	}
	page := markdown.Read(t, "json.md")
	upstream := livecaddy.Upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://of-the-backend.example")
	})
	admin, address := "127.0.0.1:"+livecaddy.FreePort(t), "127.0.0.1:"+livecaddy.FreePort(t)
	config := page.Section(t, "Where the handler goes").BlocksOf("json")[0]
	for _, replacement := range [][2]string{
		{`"localhost:2019"`, `"` + admin + `", "config": {"persist": false}}, "logging": {"logs": {"default": {"writer": {"output": "discard"}}}`},
		{`"listen": [":443"]`, `"listen": ["` + address + `"], "automatic_https": {"disable": true}`},
		{`localhost:9000`, upstream},
	} {
		if !strings.Contains(config, replacement[0]) {
			t.Fatalf("no %s in:\n%s", replacement[0], config)
		}
		config = strings.Replace(config, replacement[0], replacement[1], 1)
	}
	livecaddy.Start(t, "").Load([]byte(config))

	// run runs the next command of the page.
	commands := page.Whole().BlocksOf("sh")
	run := func() string {
		t.Helper()
		command := strings.ReplaceAll(commands[0], "localhost:2019", admin)
		commands = commands[1:]
		output, err := exec.Command("sh", "-c", command).Output()
		if err != nil {
			t.Fatalf("%v:\n%s", err, command)
		}
		return string(output)
	}
	// allowed checks which origins may call now.
	allowed := func(origins ...string) {
		t.Helper()
		var got []string
		for _, origin := range []string{
			"https://app.example.com", "https://admin.example.com", "https://one.example", "https://two.example", "https://three.example",
			"https://shop.example.com", "https://of-the-backend.example",
		} {
			response := livecaddy.Send(t, "GET", "http://"+address, fields{"Origin": origin, "Host": "api.example.com"})
			switch sent := response.Header.Get("Access-Control-Allow-Origin"); sent {
			case origin:
				got = append(got, origin)
			case "":
			default:
				t.Errorf("%s is answered with %s", origin, sent)
			}
		}
		if !slices.Equal(got, origins) {
			t.Errorf("%q may call, want %q", got, origins)
		}
	}

	allowed("https://app.example.com")
	if shown, output := page.Section(t, "Origins of a running server").BlocksOf("json output")[0], run(); output != shown {
		t.Errorf("the list is\n%s\nand the page shows\n%s", output, shown)
	}
	run()
	allowed("https://app.example.com", "https://admin.example.com")
	run()
	allowed("https://app.example.com", "https://admin.example.com", "https://one.example", "https://two.example")
	run()
	allowed("https://app.example.com", "https://admin.example.com", "https://two.example", "https://three.example")
	run()
	allowed("https://app.example.com", "https://two.example", "https://three.example")
	run()
	allowed("https://app.example.com", "https://admin.example.com")
	var refusal struct{ Error string }
	if err := json.Unmarshal([]byte(run()), &refusal); err != nil {
		t.Fatal(err)
	}
	const refused = `did you mean "https://shop.example.com"?`
	if !strings.HasSuffix(refusal.Error, refused) || !strings.Contains(page.Section(t, "Origins of a running server").Text(), "`"+refused+"`") {
		t.Errorf("it is refused with %q, which is not what the page says", refusal.Error)
	}
	allowed("https://app.example.com", "https://admin.example.com")

	// The last command, run with a change of somebody else's in between, and without.
	read, remove, _ := strings.Cut(strings.TrimSpace(commands[0]), "\n")
	const add = `curl -s -H 'Content-Type: application/json' -d '"https://two.example"' http://localhost:2019/id/cors-api/allow_origins`
	commands = []string{strings.Join([]string{read, add, remove + ` -s -o /dev/null -w '%{http_code}'`}, "\n"), commands[0]}
	if status := run(); status != "412" {
		t.Errorf("after somebody else's change, the status is %q", status)
	}
	allowed("https://app.example.com", "https://admin.example.com", "https://two.example")
	run()
	allowed("https://app.example.com", "https://two.example")
	if len(commands) > 0 {
		t.Errorf("not run: %q", commands)
	}
}

// The example of the handler's doc comment is one that loads.
func TestHandlerExample(t *testing.T) {
	source, err := os.ReadFile("../module.go")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(source), "// Put the handler first in its route")
	text, _, _ = strings.Cut(text, "\ntype Handler")
	var example strings.Builder
	for line := range strings.Lines(text) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			example.WriteString(code)
		}
	}
	config, err := completeJSON(example.String())
	if err == nil {
		err = validate(t, config)
	}
	if !found || err != nil {
		t.Errorf("%v, in:\n%s", err, example.String())
	}
}
