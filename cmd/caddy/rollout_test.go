package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// A user has what the commands keep between runs.
type user struct{ env []string }

func newUser(t *testing.T) user {
	home := t.TempDir()
	env := os.Environ()
	for _, name := range []string{"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		env = append(env, name+"="+home)
	}
	return user{env}
}

// run runs the command in a directory, and returns what it says and its exit code.
func (u user) run(t *testing.T, dir string, args ...string) (output string, code int) {
	t.Helper()
	command := exec.Command(binary, args...)
	command.Dir, command.Env = dir, u.env
	printed, err := command.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^\{.*\n`).ReplaceAllString(string(printed), ""), command.ProcessState.ExitCode()
}

// The page's way from report_only to enforce, with the traffic of 20 clients and the commands as a person types them: a day,
// the list, what is right of it allowed by number, another day, and the switch.
func TestRollout(t *testing.T) {
	recipe := markdown.Read(t, filepath.Join("..", "..", "docs", "observability.md")).Section(t, "Turning CORS on for a live API")
	configs := recipe.BlocksOf("caddyfile")
	api := livecaddy.Upstream(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the API's answer") })
	inner := func(i int) string {
		text := strings.TrimSuffix(strings.TrimPrefix(configs[i], "api.example.com {\n"), "}\n")
		return strings.ReplaceAll(text, "localhost:9000", api)
	}
	server := run(t, strings.TrimSuffix(inner(0), "\n"))
	dir, u := filepath.Dir(server.config), newUser(t)
	const app, admin, evil = "https://app.example.com", "https://admin.example.com", "https://evil.example"
	type call struct {
		method, path string
		header       http.Header
		times        int
	}
	preflight := func(path, origin, method, headers string, times int) call {
		return call{"OPTIONS", path, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {method}, "Access-Control-Request-Headers": {headers},
		}, times}
	}
	calls := []call{
		{"GET", "/orders", http.Header{"Origin": {app}}, 4},
		{"POST", "/orders", nil, 1},
		preflight("/orders/7", app, "PUT", "content-type", 4),
		preflight("/reports", app, "GET", "x-api-key", 3),
		{"GET", "/users", http.Header{"Origin": {admin}}, 2},
		{"GET", "/users", http.Header{"Origin": {evil}}, 1},
	}
	day := func(check func(c call, res *http.Response)) {
		t.Helper()
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for _, c := range calls {
					for range c.times {
						req, err := http.NewRequest(c.method, server.site+c.path, nil)
						if err != nil {
							t.Error(err)
							return
						}
						req.Header = c.header.Clone()
						res, err := client.Do(req)
						if err != nil {
							t.Error(err)
							return
						}
						res.Body.Close()
						check(c, res)
					}
				}
			})
		}
		clients.Wait()
	}
	unchanged := func(c call, res *http.Response) {
		if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s %s, only reporting: %s %v", c.method, c.path, res.Status, res.Header)
		}
	}

	day(unchanged)
	list, code := u.run(t, dir, "cors", "denials", "--config", "Caddyfile")
	var first []string
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+)  (.*)$`).FindAllStringSubmatch(list, -1) {
		first = append(first, m[1]+" "+m[2])
	}
	want := []string{"1 " + app + ": the method PUT", "2 " + app + ": the header x-api-key", "3 " + admin + ": the origin", "4 " + evil + ": the origin"}
	if code != 0 || fmt.Sprint(first) != fmt.Sprint(want) || !strings.Contains(list, "80 times") || !strings.HasPrefix(list, "Only reported") {
		t.Fatalf("the list is:\n%s", list)
	}

	before := readFile(t, server.config)
	if output, code := u.run(t, dir, "cors", "allow", "1", "2", "3"); code != 0 || strings.Count(output, "is allowed with the edit") != 3 || !strings.Contains(output, "\n+") {
		t.Errorf("allow says (%d):\n%s", code, output)
	}
	if readFile(t, server.config) != before {
		t.Error("without --write, something is written")
	}
	if output, code := u.run(t, dir, "cors", "allow", "1", "2", "3", "--config", "Caddyfile", "--write"); code != 0 || !strings.Contains(output, "Written: Caddyfile") {
		t.Errorf("allow --write says (%d):\n%s", code, output)
	}
	site := func(i int) string { return strings.ReplaceAll(before, inner(0), inner(i)) }
	if got := readFile(t, server.config); got != site(1) {
		t.Fatalf("the Caddyfile is now\n%s\nwhile the page has\n%s", got, site(1))
	}
	reload := func() {
		t.Helper()
		if output, code := u.run(t, dir, "reload", "--config", "Caddyfile"); code != 0 {
			t.Fatalf("reload says:\n%s", output)
		}
	}
	reload()
	livecaddy.Send(t, "DELETE", "http://"+server.admin+"/cors/denials", nil)
	if output, code := u.run(t, dir, "cors", "allow", "4"); code == 0 || !strings.Contains(output, "is not in the list any more") {
		t.Errorf("of a list that was cleared, allow says (%d):\n%s", code, output)
	}

	day(unchanged)
	if list, _ := u.run(t, dir, "cors", "denials", "--config", "Caddyfile"); strings.Count(list, ": the ") != 1 || !strings.Contains(list, evil) {
		t.Errorf("the second day leaves:\n%s", list)
	}
	if err := os.WriteFile(server.config, []byte(site(2)), 0o600); err != nil {
		t.Fatal(err)
	}
	reload()
	day(func(c call, res *http.Response) {
		origin, got := c.header.Get("Origin"), res.Header.Get("Access-Control-Allow-Origin")
		switch {
		case origin == evil:
			if res.StatusCode != 403 || got != "" {
				t.Errorf("enforcing, %s gets %s %q", origin, res.Status, got)
			}
		case res.StatusCode >= 300 || got != origin:
			t.Errorf("enforcing, %s %s of %q gets %s %q", c.method, c.path, origin, res.Status, got)
		}
	})
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What cannot be allowed by an edit is said, and nothing is edited for it.
func TestAllow(t *testing.T) {
	server := run(t, "cors https://app.example.com\nrespond hello")
	dir, u := filepath.Dir(server.config), newUser(t)
	allow := func(code int, words string, args ...string) {
		t.Helper()
		if output, got := u.run(t, dir, append([]string{"cors", "allow"}, args...)...); got != code || !strings.Contains(output, words) {
			t.Errorf("%q says (%d, want %d and %q):\n%s", args, got, code, words, output)
		}
	}
	allow(1, "caddy cors denials: run that first", "1")
	server.request(t, http.DefaultClient, "GET", http.Header{"Origin": {"null"}})
	u.run(t, dir, "cors", "denials", "--config", "Caddyfile")
	allow(1, "is not allowed by any edit that was found", "1")
	allow(1, "The origin is opaque", "1")
	allow(1, "has no number 2", "2")
	allow(1, `"one" is not a number of a denial`, "one")
	allow(1, "which denials?")
	allow(1, "no list of denials from", "1", "--address", "127.0.0.1:"+livecaddy.FreePort(t))
}

// A configuration is held to a file of calls.
func TestSuite(t *testing.T) {
	dir, u := t.TempDir(), newUser(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	called := false
	api := livecaddy.Upstream(t, func(_ http.ResponseWriter, r *http.Request) { called = called || r.Method != "GET" })
	write("Caddyfile", "api.example.com {\n\tcors https://app.example.com {\n\t\tallow_methods PUT\n\t}\n\treverse_proxy "+api+"\n}\n")
	const page = " --origin https://app.example.com"
	for _, test := range []struct {
		name, text string
		code       int
		words      []string
	}{
		{"all as expected", "# the app\n\nallow https://api.example.com/" + page + "\nallow 'https://api.example.com/7'" + page + " -X PUT # with an id\n" +
			"deny https://api.example.com/ --origin https://evil.example\n", 0, []string{"3 passed, 0 failed\n"}},
		{"one denied", "allow https://api.example.com/" + page + " -H 'X-Key: a b'\ndeny https://api.example.com/" + page + "\n", 1, []string{
			"cors.test:1: should be allowed: https://api.example.com/" + page + " -H 'X-Key: a b'\n", "Request header field x-key is not allowed",
			"cors.test:2: should be denied: ", "0 passed, 2 failed\n"}},
		{"another word", "# first\nmaybe https://api.example.com/\n", 2, []string{`cors.test:2: it starts with "maybe", and not with allow or deny`}},
		{"a quote without an end", "allow 'https://api.example.com/\n", 2, []string{"cors.test:1: it is not quoted as in a shell"}},
		{"a flag that there is not", "allow https://api.example.com/ --orgin x\n", 2, []string{"cors.test:1: unknown flag: --orgin"}},
		{"no origin", "deny https://api.example.com/\n", 2, []string{"cors.test:1: --origin is missing"}},
		{"two lines that cannot be read", "allow x\ndeny y\n", 2, []string{"cors.test:1: ", "cors.test:2: "}},
		{"another host", "allow https://other.example.com/" + page + "\n", 2, []string{"cors.test:1: no site of this configuration is for other.example.com"}},
		{"no call", "# nothing\n", 2, []string{"cors.test has no call"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			write("cors.test", test.text)
			output, code := u.run(t, dir, "cors", "test", "cors.test", "--config", "Caddyfile")
			if code != test.code {
				t.Errorf("it exits with %d, want %d", code, test.code)
			}
			for _, words := range test.words {
				if !strings.Contains(output, words) {
					t.Errorf("it does not say %q:\n%s", words, output)
				}
			}
		})
	}
	if called {
		t.Error("a request was made that could change something")
	}
	write("cors.test", "allow https://api.example.com/"+page+"\n")
	write("Caddyfile", "api.example.com {\n\tcors https://app.example.com/\n}\n")
	if output, code := u.run(t, dir, "cors", "test", "cors.test", "--config", "Caddyfile"); code != 2 || !strings.Contains(output, `did you mean "https://app.example.com"?`) {
		t.Errorf("a configuration that is refused (%d):\n%s", code, output)
	}
	for words, args := range map[string][]string{
		"which file has the calls?": {"--config", "Caddyfile"},
		"--config is missing":       {"cors.test"},
		"nothing.test":              {"nothing.test", "--config", "Caddyfile"},
	} {
		if output, code := u.run(t, dir, append([]string{"cors", "test"}, args...)...); code != 2 || !strings.Contains(output, words) {
			t.Errorf("%q says (%d):\n%s", args, code, output)
		}
	}
}

// harEntry is an entry of a HAR: a call of a page of https://app.example.com, with what else its request has.
func harEntry(method, url, headers, more string, status int, answer string) string {
	if headers != "" {
		headers = "," + headers
	}
	return fmt.Sprintf(`{"request": {"method": %q, "url": %q, "headers": [{"name": "Origin", "value": "https://app.example.com"}%s]%s},
		"response": {"status": %d, "headers": [%s]}}`, method, url, headers, more, status, answer)
}

// har is a HAR of these entries.
func har(entries ...string) string {
	return `{"log": {"version": "1.2", "entries": [` + strings.Join(entries, ",") + `]}}`
}

// What Chromium recorded of a site is a file of calls, which a configuration that does the same as the site passes, and one that
// does not fails.
func TestSuiteFromHAR(t *testing.T) {
	recorded, err := filepath.Abs("../../internal/check/pasted/testdata/chromium.har")
	if err != nil {
		t.Fatal(err)
	}
	dir, u := t.TempDir(), newUser(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	suite, code := u.run(t, dir, "cors", "test", "--from-har", recorded)
	if code != 0 {
		t.Fatalf("it exits with %d:\n%s", code, suite)
	}
	for _, line := range []string{
		"# The calls of chromium.har to other origins",
		"allow 'https://api.example.com/ok?a=...&b=...' --origin https://app.example.com",
		"allow https://api.example.com/ok --origin https://app.example.com --kind xhr -X PUT -H 'content-type: application/json'",
		"deny  https://api.example.com/star --origin https://app.example.com --credentials  # wildcard-with-credentials",
		"deny  https://api.example.com/no.woff2 --origin https://app.example.com --kind font  # missing-allow-origin",
		"allow https://api.example.com/no.png --origin https://app.example.com --kind image --no-cors",
		"# left out (its answer is not in the HAR, but net::ERR_NAME_NOT_RESOLVED): https://down.example.com/x --origin https://app.example.com",
	} {
		if !strings.Contains("\n"+suite, "\n"+line) {
			t.Errorf("no line %q in:\n%s", line, suite)
		}
	}
	sites := "https://api.example.com, http://api.example.com, https://end.example.com {\n\ttls internal\n"
	write("Caddyfile", sites+"\tcors /ok https://app.example.com {\n\t\tallow_methods PUT\n\t\tallow_headers Content-Type, Authorization, X-Requested-With\n\t}\n"+
		"\theader /star Access-Control-Allow-Origin *\n\trespond ok\n}\n")
	write("cors.test", suite)
	if output, code := u.run(t, dir, "cors", "test", "cors.test", "--config", "Caddyfile"); code != 0 || output != "22 passed, 0 failed\n" {
		t.Errorf("it exits with %d:\n%s", code, output)
	}
	write("Caddyfile", sites+"\tcors https://app.example.com\n\trespond ok\n}\n")
	if output, code := u.run(t, dir, "cors", "test", "cors.test", "--config", "Caddyfile"); code != 1 || !strings.Contains(output, "should be denied: https://api.example.com/no --origin") {
		t.Errorf("with another configuration, it exits with %d:\n%s", code, output)
	}
}

// A HAR's secrets stay in it. A call is said once, whatever they were; and one that no line can say is a comment, with why.
func TestSuiteFromHARLeavesOut(t *testing.T) {
	const allowed = `{"name": "Access-Control-Allow-Origin", "value": "*"}`
	field := func(name, value string) string { return fmt.Sprintf(`{"name": %q, "value": %q}`, name, value) }
	for _, test := range []struct {
		name string
		har  string
		want string // the lines, but for the heading
	}{
		{"a query", har(harEntry("GET", "https://api.example.com/x?token=s3cret&s3cret&a=", "", "", 200, allowed)),
			"allow 'https://api.example.com/x?token=...&...&a=' --origin https://app.example.com\n"},
		{"headers", har(harEntry("GET", "https://api.example.com/x", field("Authorization", "Bearer s3cret")+","+field("X-Api-Key", "s3cret"), "", 200, "")),
			"deny  https://api.example.com/x --origin https://app.example.com -H 'Authorization: ...' -H 'X-Api-Key: ...'  # missing-allow-origin\n"},
		{"cookies", har(harEntry("GET", "https://api.example.com/x", field("Cookie", "id=s3cret"), "", 200, "")),
			"deny  https://api.example.com/x --origin https://app.example.com --credentials  # missing-allow-origin\n"},
		{"a body", har(harEntry("POST", "https://api.example.com/x", field("Content-Type", "application/x-www-form-urlencoded"), `, "postData": {"text": "password=s3cret"}`, 200, allowed)),
			"allow https://api.example.com/x --origin https://app.example.com -X POST -H 'Content-Type: application/x-www-form-urlencoded'\n"},
		{"a user in the URL", har(harEntry("GET", "https://bob:s3cret@api.example.com/x", "", "", 200, allowed),
			harEntry("GET", "https://api.example.com/y", "", "", 200, allowed)),
			"# left out (there is a user in its URL): https://api.example.com/x --origin https://app.example.com\n" +
				"allow https://api.example.com/y --origin https://app.example.com\n"},
		{"twice, with another secret", har(
			harEntry("GET", "https://api.example.com/x?token=s3cret", "", "", 200, allowed),
			harEntry("GET", "https://api.example.com/x?token=other", "", "", 200, allowed),
			harEntry("GET", "https://api.example.com/x?token=third", "", "", 0, "")),
			"allow 'https://api.example.com/x?token=...' --origin https://app.example.com\n"},
		{"allowed and blocked", har(
			harEntry("GET", "https://api.example.com/x", "", "", 200, allowed),
			harEntry("GET", "https://api.example.com/x", "", "", 200, ""),
			harEntry("GET", "https://api.example.com/y", "", "", 200, allowed)),
			"# left out (it was allowed and blocked in turn): https://api.example.com/x --origin https://app.example.com\n" +
				"allow https://api.example.com/y --origin https://app.example.com\n"},
		{"by host", har(
			harEntry("GET", "https://api.example.com/x", "", "", 200, allowed),
			harEntry("GET", "https://cdn.example.com:8443/y", "", "", 200, allowed),
			harEntry("GET", "https://api.example.com/z'z", "", "", 200, allowed)),
			"allow https://api.example.com/x --origin https://app.example.com\nallow \"https://api.example.com/z'z\" --origin https://app.example.com\n" +
				"\n# cdn.example.com:8443\nallow https://cdn.example.com:8443/y --origin https://app.example.com\n"},
		{"of no page", har(`{"pageref": "unknown", "_resourceType": "fetch", "request": {"method": "GET", "url": "https://api.example.com/x", "headers": []}, "response": {"status": 200, "headers": []}}`,
			harEntry("GET", "https://api.example.com/y", "", "", 200, allowed)),
			"# left out (the page that makes it is not known): https://api.example.com/x\nallow https://api.example.com/y --origin https://app.example.com\n"},
		{"a header that is not ASCII", har(harEntry("GET", "https://api.example.com/x", field("Content-Language", "\u202e\u00e9"), "", 200, allowed),
			harEntry("GET", "https://api.example.com/y", "", "", 200, allowed)),
			`# left out (it has a header whose value is not ASCII): https://api.example.com/x --origin https://app.example.com -H $'Content-Language: \u202e\xc3\xa9'` +
				"\nallow https://api.example.com/y --origin https://app.example.com\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			command := exec.Command(binary, "cors", "test", "--from-har", "-")
			command.Stdin, command.Env = strings.NewReader(test.har), newUser(t).env
			output, err := command.CombinedOutput()
			_, lines, _ := strings.Cut(string(output), "\n# api.example.com\n")
			if lines != test.want || strings.Contains(string(output), "s3cret") {
				t.Errorf("it prints (%v):\n%s\nwant:\n%s", err, output, test.want)
			}
		})
	}
}

// What is wrong with the arguments or the file is told, and the exit code is 2.
func TestSuiteFromHARArguments(t *testing.T) {
	dir, u := t.TempDir(), newUser(t)
	for name, text := range map[string]string{
		"page.har":   har(harEntry("GET", "https://api.example.com/x", "", "", 200, "")),
		"same.har":   har(harEntry("GET", "https://app.example.com/x", "", "", 200, "")),
		"down.har":   har(harEntry("GET", "https://api.example.com/x", "", "", 0, "")),
		"cut.har":    har(harEntry("GET", "https://api.example.com/x", "", "", 200, ""))[:100],
		"other.json": `{"logs": []}`,
		"entries":    `{"log": {"entries": [1]}}`,
		"array.json": `[]`,
		"curl.txt":   "curl https://api.example.com/ -H 'Origin: https://app.example.com'",
		"empty.har":  "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		words string
		args  []string
	}{
		{"nowhere.har", []string{"nowhere.har"}},
		{"directory", []string{"."}},
		{"curl.txt is not a HAR: the text does not begin as a JSON object does; export one", []string{"curl.txt"}},
		{"empty.har is not a HAR", []string{"empty.har"}},
		{"array.json is not a HAR", []string{"array.json"}},
		{`other.json is not a HAR: the text is JSON, but not a HAR, which has its entries in "log"`, []string{"other.json"}},
		{"cut.har is not a HAR: the text begins as JSON does, and is not a whole JSON text", []string{"cut.har"}},
		{"entries is not a HAR", []string{"entries"}},
		{"same.har has no call to another origin than its page's", []string{"same.har"}},
		{"down.har: no line can say any of its calls", []string{"down.har"}},
		{"so --config says nothing", []string{"page.har", "--config", "Caddyfile"}},
		{"so --adapter says nothing", []string{"page.har", "--adapter", "caddyfile"}},
		{"so --served-by says nothing", []string{"page.har", "--served-by", ":80"}},
		{`leave out ["more.har"]`, []string{"page.har", "more.har"}},
		{"which HAR has the calls?", []string{""}},
		{"flag needs an argument", nil},
	} {
		output, code := u.run(t, dir, append([]string{"cors", "test", "--from-har"}, test.args...)...)
		if code != 2 || !strings.Contains(output, test.words) {
			t.Errorf("%q exits with %d, and says %q, want %q", test.args, code, output, test.words)
		}
	}
}
