package check_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/check/pasted/pastedtest"
)

// answering is a configuration that answers every URL of the corpus.
const answering = `
(answers) {
	cors /ok* https://app.example.com {
		allow_methods PUT
		allow_headers Content-Type
	}
	header /star Access-Control-Allow-Origin *
	respond ok
}
https:// {
	tls internal
	import answers
}
http://, http://:8080, http://:5000 {
	import answers
}
`

// pastedReports runs the command with a pasted text, and returns its reports.
func pastedReports(t *testing.T, text string, args ...string) []check.PastedReport {
	t.Helper()
	stdout, stderr := checktest.Paste(t, text, append([]string{"-", "--json"}, args...)...)
	var several struct{ Calls []check.PastedReport }
	var one check.PastedReport
	if err := json.Unmarshal([]byte(stdout), &several); err != nil {
		t.Fatalf("%v, of %q: %s", err, stdout, stderr)
	}
	if several.Calls != nil {
		return several.Calls
	}
	if err := json.Unmarshal([]byte(stdout), &one); err != nil {
		t.Fatal(err)
	}
	return []check.PastedReport{one}
}

func outcome(r *check.Report) string {
	if r.Cause == nil {
		return r.Verdict
	}
	return r.Verdict + " " + r.Cause.Code
}

// What is pasted comes to the verdict that the flags which stand for it come to. What it lacks is asked for, and given by the
// flags that are named.
func TestPasted(t *testing.T) {
	config := checktest.File(t, "Caddyfile", answering)
	known := make(map[string]string)
	byFlags := func(args []string) string {
		key := strings.Join(args, "\x00")
		if known[key] == "" {
			known[key] = outcome(checktest.Run(t, append(slices.Clone(args), "--config", config)...))
		}
		return known[key]
	}
	for _, s := range pastedtest.Corpus(t, "pasted/testdata") {
		t.Run(s.File+"/"+s.Name, func(t *testing.T) {
			reports := pastedReports(t, s.Text, "--config", config)
			if s.Calls[0] == "nothing" {
				if got := outcome(reports[0].Report); got != "unknown unrecognized" {
					t.Errorf("it is %s", got)
				}
				return
			}
			if len(reports) != len(s.Calls) {
				t.Fatalf("there are %d calls, want %d", len(reports), len(s.Calls))
			}
			for i, line := range s.Calls {
				args, needs := splitCall(pastedtest.Words(t, line))
				want := "unknown missing"
				if len(needs) == 0 {
					want = byFlags(args)
				}
				if got := outcome(reports[i].Report); got != want {
					t.Errorf("%s: it is %s, want %s", line, got, want)
				}
				if len(needs) > 0 && len(s.Calls) == 1 && !slices.Contains(needs, "?page") {
					gives := given(needs)
					full := append(slices.Clone(args), gives...)
					if slices.Contains(needs, "?url") {
						full = append([]string{gives[0]}, append(args, gives[1:]...)...)
					}
					want, got := byFlags(full), outcome(pastedReports(t, s.Text, append(gives, "--config", config)...)[0].Report)
					if got != want {
						t.Errorf("%s: with %q, it is %s, want %s", line, gives, got, want)
					}
				}
			}
		})
	}
}

// splitCall takes a line of the corpus apart: the arguments, and what is missing.
func splitCall(words []string) (args, needs []string) {
	for _, w := range words {
		switch {
		case w == "=>":
			return args, needs
		case strings.HasPrefix(w, "?"):
			needs = append(needs, w)
		default:
			args = append(args, w)
		}
	}
	return args, needs
}

// given are flags that have what is missing; the URL comes first.
func given(needs []string) (flags []string) {
	for _, need := range needs {
		switch need {
		case "?url":
			flags = append([]string{"https://api.example.com/given"}, flags...)
		case "?origin":
			flags = append(flags, "--origin=https://app.example.com")
		case "?preflight", "?method":
			flags = append(flags, "-X=PUT")
		case "?header":
			flags = append(flags, "-H=Authorization: given")
		case "?body":
			flags = append(flags, "--data=given")
		}
	}
	return flags
}

// Flags win over what was pasted.
func TestPastedFlags(t *testing.T) {
	const text = "curl 'https://api.example.com/ok' -X PUT -H 'content-type: application/json' -H 'x-token: a' -H 'origin: https://other.example.com' -b 'sid=1' --data-raw '{}'"
	config := checktest.File(t, "Caddyfile", answering)
	for _, test := range []struct {
		args []string
		want string // of the command's flags
	}{
		{nil, "https://api.example.com/ok --origin https://other.example.com -X PUT -H 'content-type: application/json' -H 'x-token: a' --data '{}' --cookie ..."},
		{[]string{"--origin=https://app.example.com"}, "https://api.example.com/ok --origin https://app.example.com -X PUT -H 'content-type: application/json' -H 'x-token: a' --data '{}' --cookie ..."},
		{[]string{"-X=PATCH"}, "https://api.example.com/ok --origin https://other.example.com -X PATCH -H 'content-type: application/json' -H 'x-token: a' --data '{}' --cookie ..."},
		{[]string{"-H=Content-Type: text/plain"}, "https://api.example.com/ok --origin https://other.example.com -X PUT -H 'x-token: a' -H 'Content-Type: text/plain' --data '{}' --cookie ..."},
		{[]string{"--data=[]", "--cookie=b=2"}, "https://api.example.com/ok --origin https://other.example.com -X PUT -H 'content-type: application/json' -H 'x-token: a' --data '[]' --cookie ..."},
		{[]string{"https://api.example.com/star"}, "https://api.example.com/star --origin https://other.example.com -X PUT -H 'content-type: application/json' -H 'x-token: a' --data '{}' --cookie ..."},
		{[]string{"--show-secrets"}, "https://api.example.com/ok --origin https://other.example.com -X PUT -H 'content-type: application/json' -H 'x-token: a' --data '{}' --cookie 'sid=1'"},
	} {
		got := pastedReports(t, text, append(test.args, "--config", config)...)[0].Call.Command
		if want := "caddy cors check " + test.want; got != want {
			t.Errorf("%q: it is\n\t%s, want\n\t%s", test.args, got, want)
		}
	}
}

// What is missing is asked for by its flag, with the command to run; the secrets of what was pasted are not in it.
func TestPastedMissing(t *testing.T) {
	_, stderr := checktest.Paste(t, "curl 'https://api.example.com/x' -H 'authorization: Bearer s3cr3t' -H \"X-Token: $TOKEN\" -b 'sid=s3cr3t' -d @order.json", "-", "--config", "Caddyfile")
	for _, want := range []string{
		"add --origin", "add -H 'X-Token: VALUE'", "add --data (@order.json, most likely)",
		"\n    caddy cors check https://api.example.com/x -X POST -H 'authorization: ...' -H 'Content-Type: application/x-www-form-urlencoded' --cookie ... --origin ORIGIN -H 'X-Token: ...' --data @order.json --config=Caddyfile\n",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr, "s3cr3t") {
		t.Errorf("a secret is in\n%s", stderr)
	}
}

// Files that a text names are not read, and not sent.
func TestPastedFiles(t *testing.T) {
	secret := checktest.File(t, "secret", "s3cr3t")
	config := checktest.File(t, "Caddyfile", "http:// {\n\tcors https://app.example.com\n\trespond {http.request.body}\n}\n")
	for _, text := range []string{
		"curl http://api.example.com/ -H 'Origin: https://app.example.com' --data-raw '@" + secret + "'",
		"fetch('http://api.example.com/', {method: 'POST', body: '@" + secret + "', referrer: 'http://app.example.com/'})",
	} {
		stdout, stderr := checktest.Paste(t, text, "-", "--config", config)
		if strings.Contains(stdout+stderr, "s3cr3t") {
			t.Errorf("%s: the file was read:\n%s%s", text, stdout, stderr)
		}
		if strings.Contains(stderr, "no such file") || strings.Contains(stdout, "s3cr3t") {
			t.Errorf("%s: %s", text, stderr)
		}
	}
}

// The help fits a terminal, and says first what most people need.
func TestHelp(t *testing.T) {
	stdout, _ := checktest.Output(t, "--help")
	if paste, flags := strings.Index(stdout, "Paste what the browser gave you"), strings.Index(stdout, "Or say what the script calls"); paste < 0 || paste > flags {
		t.Errorf("pasting is not first:\n%s", stdout)
	}
	if first, _, _ := strings.Cut(stdout[strings.Index(stdout, "Examples:\n"):], "https://"); !strings.Contains(first, "check -") {
		t.Errorf("the first example is another:\n%s", first)
	}
}

// A URL without a scheme is told the one that was meant: a person's own machine has no https, most likely.
func TestURLWithoutScheme(t *testing.T) {
	for url, want := range map[string]string{
		"localhost:8080/x": `did you mean \"http://localhost:8080/x\"?`,
		"127.0.0.1:3000":   `did you mean \"http://127.0.0.1:3000/\"?`,
		"api.example.com":  `did you mean \"https://api.example.com/\"?`,
	} {
		if stdout, _ := checktest.Output(t, url, "--origin=http://localhost:3000", "--json"); !strings.Contains(stdout, want) {
			t.Errorf("%s: no %s in\n%s", url, want, stdout)
		}
	}
}

// An archive is a table of all its calls to other origins, which fits in 80 columns, and then those that are blocked.
func TestPastedArchive(t *testing.T) {
	archive, err := os.ReadFile("pasted/testdata/chromium.har")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := checktest.Paste(t, string(archive), "-")
	for _, want := range []string{
		"24 calls to other origins, judged by the answers in the archive; no request was made:\n14 blocked, 8 allowed, 2 unknown.\n",
		"       allowed     3  POST     fetch        200  api.example.com/ok\n",
		"   9.  blocked     1  GET      font         200  api.example.com/no.woff2\n",
		"\n4. A page of https://app.example.com calls DELETE https://api.example.com/ok.\n",
		"Method DELETE is not allowed by Access-Control-Allow-Methods in preflight response.",
		"allow_methods DELETE",
		"net::ERR_NAME_NOT_RESOLVED",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q", want)
		}
	}
	table, _, _ := strings.Cut(stdout, "\n1. ")
	for line := range strings.Lines(table) {
		if len(strings.TrimRight(line, "\n")) > 80 && strings.HasPrefix(line, "  ") {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", stdout, stderr)
	}
	reports := pastedReports(t, string(archive))
	if len(reports) != 24 || reports[0].Call.Source != "har" || reports[0].Verdict != "allowed" {
		t.Errorf("the reports are %d, and the first %+v", len(reports), reports[0])
	}
}

// An archive has the policy of its pages, which tells why a request was not sent.
func TestPastedArchivePolicy(t *testing.T) {
	const document = `{"pageref": %q, "_resourceType": "document", "request": {"method": "GET", "url": "https://app.example.com/"}, "response": {"status": 200, "headers": [{"name": "content-security-policy", "value": %q}]}}`
	const call = `{"pageref": "page_1", "_resourceType": %q, "request": {"method": "GET", "url": %q, "headers": [%s]}, "response": {"status": %d, "headers": [%s]}}`
	const origin = `{"name": "Origin", "value": "https://app.example.com"}`
	const star = `{"name": "Access-Control-Allow-Origin", "value": "*"}`
	image := fmt.Sprintf(call, "image", "https://img.example.com/", "", 0, "")
	for _, test := range []struct {
		name    string
		entries []string
		want    string
		command string
	}{
		{
			name:    "forbidden, and not sent",
			entries: []string{fmt.Sprintf(document, "page_1", "img-src 'self'"), image},
			want:    "blocked content-security-policy",
			command: "caddy cors check https://img.example.com/ --page https://app.example.com/ --kind image --no-cors -X GET",
		},
		{
			name:    "the entry of the page comes later",
			entries: []string{image, fmt.Sprintf(document, "page_1", "img-src 'self'")},
			want:    "blocked content-security-policy",
			command: "caddy cors check https://img.example.com/ --page https://app.example.com/ --kind image --no-cors -X GET",
		},
		{
			name: "forbidden after a redirect",
			entries: []string{
				fmt.Sprintf(document, "page_1", "connect-src https://api.example.com"),
				fmt.Sprintf(call, "fetch", "https://api.example.com/", origin, 302, star+`, {"name": "Location", "value": "https://end.example.com/"}`),
			},
			want:    "blocked content-security-policy",
			command: "caddy cors check https://api.example.com/ --page https://app.example.com/ -X GET",
		},
		{
			name:    "not forbidden, and not sent",
			entries: []string{fmt.Sprintf(document, "page_1", "img-src *"), image},
			want:    "unknown not-recorded",
			command: "caddy cors check https://img.example.com/ --origin https://app.example.com --kind image --no-cors -X GET",
		},
		{
			name:    "forbidden by another page",
			entries: []string{fmt.Sprintf(document, "page_2", "img-src 'self'"), image},
			want:    "unknown not-recorded",
			command: "caddy cors check https://img.example.com/ --origin https://app.example.com --kind image --no-cors -X GET",
		},
		{
			name: "answered, so that it was not forbidden",
			entries: []string{
				fmt.Sprintf(document, "page_1", "connect-src 'self'"),
				fmt.Sprintf(call, "fetch", "https://api.example.com/", origin, 200, star),
			},
			want:    "allowed",
			command: "caddy cors check https://api.example.com/ --origin https://app.example.com -X GET",
		},
	} {
		archive := `{"log": {"pages": [{"id": "page_1", "title": "https://app.example.com/"}, {"id": "page_2", "title": "https://app.example.com/"}], "entries": [` +
			strings.Join(test.entries, ",") + `]}}`
		reports := pastedReports(t, archive)
		if len(reports) != 1 {
			t.Errorf("%s: %d reports", test.name, len(reports))
			continue
		}
		found := reports[0].Verdict
		if reports[0].Cause != nil {
			found += " " + reports[0].Cause.Code
		}
		if found != test.want {
			t.Errorf("%s: %s, want %s", test.name, found, test.want)
		}
		if command := reports[0].Call.Command; command != test.command {
			t.Errorf("%s: the command is %s", test.name, command)
		}
	}
}

// A call that the recorded answers allow, and that failed all the same, is explained after the table.
func TestPastedArchiveError(t *testing.T) {
	const archive = `{"log": {"pages": [{"id": "page_1", "title": "https://app.example.com/"}], "entries": [{"pageref": "page_1", "_resourceType": "image", "request": {"method": "GET", "url": "https://img.example.com/", "headers": []}, "response": {"status": 200, "_error": %q, "headers": [{"name": "Content-Type", "value": "text/html"}]}}]}}`
	for failure, want := range map[string]bool{"net::ERR_BLOCKED_BY_ORB": true, "net::ERR_ABORTED": false} {
		stdout, stderr := checktest.Paste(t, fmt.Sprintf(archive, failure), "-")
		if !strings.Contains(stdout, "0 blocked, 1 allowed, 0 unknown.") || strings.Contains(stdout, "The browser says of it: "+failure) != want {
			t.Errorf("%s: %s%s", failure, stdout, stderr)
		}
	}
}

// An archive does not tell modules from scripts, of which more is run.
func TestPastedArchiveModule(t *testing.T) {
	for contentType, want := range map[string]bool{"text/html": true, "text/javascript": false} {
		reports := pastedReports(t, fmt.Sprintf(`{"log": {"entries": [{"_resourceType": "script", "request": {"method": "GET", "url": "https://cdn.example.com/x.js", "headers": [{"name": "Origin", "value": "https://app.example.com"}]}, "response": {"status": 200, "headers": [{"name": "Access-Control-Allow-Origin", "value": "*"}, {"name": "Content-Type", "value": %q}]}}]}}`, contentType))
		if len(reports) != 1 || reports[0].Verdict != "allowed" {
			t.Errorf("%s: the reports are %+v", contentType, reports)
			continue
		}
		if got := slices.ContainsFunc(reports[0].Warnings, func(w check.Warning) bool { return w.Code == "module-type" }); got != want {
			t.Errorf("%s: there is a warning: %v", contentType, got)
		}
	}
}

// After the table is what the browser that made an archive has not written down.
func TestPastedArchiveGaps(t *testing.T) {
	for _, test := range []struct{ creator, answer, want string }{
		{"Firefox", "*", "If so, one of the allowed calls is blocked"},
		{"Firefox", "https://other.example.com", ""}, // is blocked in any case
		{"WebInspector", "*", ""},                    // Chromium's tells
		{"WebKit Web Inspector", "*", "leaves failed calls out"},
	} {
		stdout, _ := checktest.Paste(t, fmt.Sprintf(`{"log": {"creator": {"name": %q}, "entries": [{"request": {"method": "GET", "url": "https://api.example.com/x", "headers": [{"name": "Origin", "value": "https://app.example.com"}]}, "response": {"status": 200, "headers": [{"name": "Access-Control-Allow-Origin", "value": %q}]}}]}}`, test.creator, test.answer), "-")
		gap := strings.Contains(stdout, "Firefox does not record") || strings.Contains(stdout, "Safari's Web Inspector")
		if gap != (test.want != "") {
			t.Errorf("%s, %s: it says\n%s", test.creator, test.answer, stdout)
		}
		if !strings.Contains(stdout, test.want) {
			t.Errorf("%s, %s: it does not say %q, but\n%s", test.creator, test.answer, test.want, stdout)
		}
	}
}

// With a configuration, the calls of an archive run through it; those that could change something send their preflights only.
func TestPastedArchiveReplay(t *testing.T) {
	const entry = `{"request": {"method": %q, "url": "http://api.example.com/%s", "headers": [{"name": "Origin", "value": "http://app.example.com"}, {"name": "Content-Type", "value": "application/json"}]%s}, "response": {"status": 200, "headers": []}}`
	archive := `{"log": {"version": "1.2", "entries": [` +
		fmt.Sprintf(entry, "GET", "a", "") + "," + fmt.Sprintf(entry, "DELETE", "b", "") + `]}}`
	config := checktest.File(t, "Caddyfile", `http:// {
		cors http://app.example.com {
			allow_methods DELETE
			allow_headers Content-Type
		}
		respond /a hi
		respond /b "deleted" 410
	}`)
	if got := pastedReports(t, archive)[0]; got.Verdict != "blocked" {
		t.Errorf("as recorded, it is %s", got.Verdict)
	}
	reports := pastedReports(t, archive, "--config", config)
	if reports[0].Verdict != "allowed" || reports[0].Status != 200 {
		t.Errorf("in the configuration, it is %s, with %d", reports[0].Verdict, reports[0].Status)
	}
	if reports[1].Verdict != "allowed" || reports[1].Status == 410 {
		t.Errorf("the DELETE is %s, with %d", reports[1].Verdict, reports[1].Status)
	}
	reports = pastedReports(t, archive, "--config", config, "--yes")
	if reports[1].Verdict != "allowed" || reports[1].Status != 410 {
		t.Errorf("with --yes, the DELETE is %s, with %d", reports[1].Verdict, reports[1].Status)
	}
}
