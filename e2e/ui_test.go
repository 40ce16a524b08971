//go:build linux

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/ui"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A uiCommand is "caddy cors ui", running.
type uiCommand struct {
	*process
	link   string
	origin string
}

// startUI starts the command, with what belongs to it in a folder.
func startUI(t testing.TB, dir string, arguments ...string) *uiCommand {
	t.Helper()
	binary, err := livecaddy.Binary()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, append([]string{"cors", "ui", "--no-open"}, arguments...)...)
	command.Dir = dir
	p := start(t, command, dir)
	t.Cleanup(func() { p.stop(t, syscall.SIGINT) })
	text, err := p.await(t.Context(), "The page is at ")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`http://\S+`).FindString(text)
	origin, _, _ := strings.Cut(link, "/?")
	return &uiCommand{p, link, origin}
}

// network is what a browser needs to reach the page, by its own name and by others.
func (c *uiCommand) network(names ...string) network { return uiNetwork(c.origin, names...) }

func uiNetwork(origin string, names ...string) network {
	address := strings.TrimPrefix(origin, "http://")
	_, port, _ := strings.Cut(address, ":")
	n := network{addresses: map[string]string{address: address}, direct: true}
	for _, name := range names {
		n.addresses[name+":"+port] = address
	}
	return n
}

const uiReady = "document.documentElement.dataset.ready === ''"

// fill fills in the form of the page, and clicks on Check.
func (d *driver) fill(values map[string]string) {
	d.t.Helper()
	text, err := json.Marshal(values)
	if err != nil {
		d.t.Fatal(err)
	}
	d.must(fmt.Sprintf(`(() => {
		for (const [id, value] of Object.entries(%s)) document.getElementById(id).value = value
		document.getElementById("result").replaceChildren()
		document.getElementById("check").click()
		return true
	})()`, text), nil)
}

// folder is a new one with files, whose path is short enough for a browser's sockets.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// markup is what strangers send in the hope that somebody's page takes it for markup.
const markup = `<img src=x onerror=window.taken=1><script>window.taken=1</script>`

// From a call to what blocks it, in every engine.
func TestUI(t *testing.T) {
	dir := folder(t, map[string]string{"Caddyfile": `{
	admin off
}
http://api.example.com {
	cors http://app.example.com {
		allow_headers Content-Type
	}
	redir /old http://other.example.com/new 307
	respond hello
}
`})
	command := startUI(t, dir, "--config", "Caddyfile", "--address", "127.0.0.1:1")
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			d := drive(t, engine, command.network(), command.link)
			d.wait(uiReady)
			if url := d.text("location.href"); url != command.origin+"/" {
				t.Errorf("the page is at %s", url)
			}
			if cookie := d.text("document.cookie"); cookie != "" {
				t.Errorf("scripts read the cookie: %s", cookie)
			}
			if about := d.text("document.getElementById('about').innerText"); about != "Checked against Caddyfile" {
				t.Errorf("it says %q", about)
			}
			for _, test := range []struct {
				name    string
				values  map[string]string
				confirm bool
				verdict string
				shows   []string // of the drawing and the rest, in this order
			}{
				{
					name:    "allowed",
					values:  map[string]string{"origin": "http://app.example.com", "url": "http://api.example.com/x", "method": "GET", "headers": ""},
					verdict: "Allowed",
					shows:   []string{"Page", "Caddy", "GET /x", "Origin: http://app.example.com", "200", "Access-Control-Allow-Origin: http://app.example.com", "The script gets the response"},
				},
				{
					name:    "blocked at the preflight",
					values:  map[string]string{"origin": "http://app.example.com", "url": "http://api.example.com/x", "method": "PUT", "headers": "X-Api-Key: 1"},
					confirm: true,
					verdict: "Blocked",
					shows:   []string{"OPTIONS /x", "preflight", "Access-Control-Request-Method: PUT", "204", "no Access-Control-Allow-Methods", "Blocked here", "PUT /x", "not sent", "TypeError", "+\t\tallow_headers Content-Type x-api-key", "+\t\tallow_methods PUT", "Tried: with this edit, the call is allowed."},
				},
				{
					name:    "a redirect that is not followed",
					values:  map[string]string{"origin": "http://other.example.com", "url": "http://api.example.com/old", "method": "GET", "headers": ""},
					verdict: "Blocked",
					shows:   []string{"Another host", "other.example.com", "GET /old", "307", "Blocked here", "not followed", "+\tcors http://app.example.com http://other.example.com {"},
				},
				{
					name:    "markup",
					values:  map[string]string{"origin": "http://app.example.com", "url": "http://api.example.com/" + markup, "method": "GET", "headers": "X-A: " + markup},
					verdict: "Blocked",
					shows:   []string{"OPTIONS /%3Cimg", "x-a"},
				},
				{
					name:    "nothing that could be called",
					values:  map[string]string{"origin": "http://app.example.com", "url": markup, "method": "GET", "headers": ""},
					verdict: "",
					shows:   nil,
				},
			} {
				d.fill(test.values)
				if test.confirm {
					d.wait("document.getElementById('confirm').open")
					if focused := d.text("document.activeElement.value"); focused != "no" {
						t.Errorf("%s: the focus is on %q", test.name, focused)
					}
					d.must("document.querySelector('#confirm [value=yes]').click()", nil)
				}
				if test.verdict == "" {
					d.wait("!document.getElementById('form-problem').hidden")
				} else {
					d.wait("document.getElementById('verdict')?.innerText === " + fmt.Sprintf("%q", test.verdict))
				}
				shown := d.text("document.getElementById('result').textContent")
				at := 0
				for _, words := range test.shows {
					i := strings.Index(shown[at:], words)
					if i < 0 {
						t.Errorf("%s: there is no %q after the others in %s", test.name, words, shown)
						break
					}
					at += i
				}
				d.untaken(test.name)
			}
		})
	}
}

// paste pastes a text, and clicks on Check.
func (d *driver) paste(text string) {
	d.t.Helper()
	d.fill(map[string]string{"paste": text})
}

// drop drops a file on the page, as far as a script can: not every engine lets it make a drag with a file.
func (d *driver) drop(name, text string) {
	d.t.Helper()
	d.must("window.dropped = ''", nil)
	for part := range slices.Chunk([]byte(text), 8<<10) { // WebKit's inspector reads no long commands
		d.must(fmt.Sprintf("window.dropped += decodeURIComponent(%q), true", url.PathEscape(string(part))), nil)
	}
	d.must(fmt.Sprintf(`(() => {
		const drop = new Event("drop", {bubbles: true, cancelable: true})
		drop.dataTransfer = {types: ["Files"], files: [new File([dropped], %q)]}
		document.body.dispatchEvent(drop)
		return drop.defaultPrevented
	})()`, name), nil)
}

// From what the browser gave a person to the Caddyfile that is right, in every engine: what was pasted is drawn, the edit is
// shown, and written on a click; then the call is drawn again.
func TestUIPaste(t *testing.T) {
	const caddyfile = "http://api.example.com {\n\tcors http://app.example.com\n\trespond hello\n}\n"
	har, err := os.ReadFile("../internal/check/pasted/testdata/chromium.har")
	if err != nil {
		t.Fatal(err)
	}
	firefoxHAR, err := os.ReadFile("../internal/check/pasted/testdata/firefox.har")
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"Caddyfile": caddyfile})
			command := startUI(t, dir, "--config", "Caddyfile", "--write", "--address", "127.0.0.1:1")
			d := drive(t, engine, command.network(), command.link)
			d.wait(uiReady)
			for _, test := range []struct {
				name, text string
				shows      []string // before and after the edit
				edit       string   // a line of it
			}{
				{
					name: "a line of Chromium's console",
					text: "Access to fetch at 'http://api.example.com/orders' from origin 'http://new.example.com' has been blocked by CORS policy: " +
						"No 'Access-Control-Allow-Origin' header is present on the requested resource.",
					shows: []string{"GET /orders", "Origin: http://new.example.com", "200", "no Access-Control-Allow-Origin", "Blocked here", "Caddyfile:2"},
					edit:  "+\tcors http://app.example.com http://new.example.com",
				},
				{
					name:  "Copy as cURL",
					text:  "curl 'http://api.example.com/orders/7' -H 'Origin: http://curl.example.com' -H 'X-Api-Key: secret'",
					shows: []string{"OPTIONS /orders/7", "preflight", "Access-Control-Request-Headers: x-api-key", "Blocked here", "GET /orders/7", "not sent"},
					edit:  "+\t\tallow_headers x-api-key",
				},
				{
					name: "Copy as fetch",
					text: `fetch("http://api.example.com/orders", {"headers": {"x-api-key": "k", "x-trace": "1"}, "referrer": "http://new.example.com/", ` +
						`"method": "GET", "mode": "cors", "credentials": "include"});`,
					shows: []string{"OPTIONS /orders", "Access-Control-Request-Headers: x-api-key,x-trace", "Blocked here"},
					edit:  "+\t\tallow_credentials",
				},
			} {
				d.paste(test.text)
				d.wait("document.getElementById('verdict')?.innerText === 'Blocked'")
				shown := d.text("document.getElementById('result').textContent")
				at := 0
				for _, words := range append(test.shows, test.edit) {
					i := strings.Index(shown[at:], words)
					if i < 0 {
						t.Errorf("%s: there is no %q after the others in %s", test.name, words, shown)
						break
					}
					at += i
				}
				before := read(t, dir, "Caddyfile")
				if strings.Contains(before, strings.TrimPrefix(test.edit, "+")+"\n") {
					t.Fatalf("%s: the file has %q before it was applied", test.name, test.edit)
				}
				d.must("document.querySelector('#result .apply').click()", nil)
				d.wait("document.getElementById('verdict')?.innerText === 'Allowed' && document.querySelector('.written')")
				if written := d.text("document.querySelector('.written').innerText"); !strings.HasPrefix(written, "Written: Caddyfile") {
					t.Errorf("%s: it says %q", test.name, written)
				}
				if after := read(t, dir, "Caddyfile"); !strings.Contains(after, strings.TrimPrefix(test.edit, "+")) {
					t.Errorf("%s: after it was applied, the file is %q", test.name, after)
				}
				if rows := d.text("document.querySelectorAll('.rows .failing').length"); rows != "0" {
					t.Errorf("%s: it is drawn again with %s failing steps", test.name, rows)
				}
			}

			// A HAR is a table, the blocked calls first, and a click opens one. Neither asks anything of a server.
			d.must("document.getElementById('paste').value = ''", nil)
			d.drop("chromium.har", string(har))
			d.wait("document.getElementById('archive')")
			if summary := d.text("document.querySelector('.summary').innerText"); !strings.HasPrefix(summary, "24 calls to other origins, 14 blocked") {
				t.Errorf("of the HAR, it says %q", summary)
			}
			if signs := d.text("[...document.querySelectorAll('#archive .sign')].map(sign => sign.textContent).join()"); !strings.HasPrefix(signs, strings.Repeat("Blocked,", 14)) ||
				strings.Count(signs, "Blocked") != 14 {
				t.Errorf("the table has %s", signs)
			}
			d.must("[...document.querySelectorAll('#archive button')].find(b => b.textContent === 'DELETE https://api.example.com/ok').click()", nil)
			d.wait("document.getElementById('verdict')?.innerText === 'Blocked'")
			if shown := d.text("document.getElementById('result').textContent"); !strings.Contains(shown, "Method DELETE is not allowed by Access-Control-Allow-Methods in preflight response") ||
				!strings.Contains(shown, "OPTIONS /ok") {
				t.Errorf("the call of the HAR is shown as %s", shown)
			}

			// What Firefox does not write down is told with the table.
			d.drop("firefox.har", string(firefoxHAR))
			d.wait("document.getElementById('pasted').innerText.includes('Firefox does not record whether a script asks for credentials')")

			// A file that is none is told to be none, and a text that was changed by hand elsewhere is not overwritten.
			d.drop("x.har", `{"log": {}`)
			d.wait("!document.getElementById('form-problem').hidden")
			d.paste("curl http://api.example.com/orders -H 'Origin: http://late.example.com'")
			d.wait("document.querySelector('#result .apply')")
			changed := read(t, dir, "Caddyfile") + "# Somebody else was here.\n"
			if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			d.must("document.querySelector('#result .apply').click()", nil)
			d.wait("document.querySelector('#result .alert:not([hidden])')?.innerText.includes('changed')")
			if read(t, dir, "Caddyfile") != changed {
				t.Error("what somebody else has written is lost")
			}
		})
	}
}

// read reads a file of a folder.
func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// untaken checks that nothing that strangers have sent has become a part of the page.
func (d *driver) untaken(where string) {
	d.t.Helper()
	if taken := d.text("window.taken"); taken != "undefined" {
		d.t.Errorf("%s: a script of strangers has run", where)
	}
	if found := d.text("document.querySelectorAll('main img, main script, main iframe').length"); found != "0" {
		d.t.Errorf("%s: markup of strangers is in the page", where)
	}
}

// Denials show as they come, as text, and those that are chosen are allowed by one edit.
func TestUIDenials(t *testing.T) {
	o := livecaddy.Observe(t, "cors https://app.example.com {\nallow_headers Content-Type\n}\nrespond hello")
	caddyfile := o.URL + " {\n\tcors https://app.example.com {\n\t\tallow_headers Content-Type\n\t}\n\trespond hello\n}\n"
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			livecaddy.ForgetDenials(t)
			dir := folder(t, map[string]string{"Caddyfile": caddyfile})
			command := startUI(t, dir, "--address", o.Admin, "--config", "Caddyfile", "--write")
			d := drive(t, engine, command.network(), command.link)
			d.wait(uiReady)
			d.must("location.hash = '#denials'", nil)
			d.wait("!document.getElementById('denials-none').hidden")
			const rows = "document.querySelectorAll('#denials-real > li')"
			livecaddy.Send(t, "GET", o.URL+"/a?b", map[string]string{"Origin": "https://evil.example.com"})
			d.wait(rows + ".length === 1")
			livecaddy.Send(t, "GET", o.URL+"/%3Cimg%20src=x%20onerror=taken=1%3E", map[string]string{"Origin": markup})
			livecaddy.Send(t, "OPTIONS", o.URL+"/"+"'\"<b>", map[string]string{
				"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "<b>bold</b>",
			})
			d.wait(rows + ".length === 3")
			text := d.text("document.getElementById('denials-real').textContent")
			for _, words := range []string{"https://evil.example.com", "/a", markup, "<b>bold</b>", "allow_origins https://evil.example.com"} {
				if !strings.Contains(text, words) {
					t.Errorf("there is no %q in %s", words, text)
				}
			}
			d.untaken("the denials")
			if found := d.text("document.querySelectorAll('#denials-real b').length"); found != "6" { // the method and the count of each
				t.Errorf("there are %s <b>", found)
			}
			// What is denied now is in the plot.
			d.wait("[...document.querySelectorAll('.plot')].filter(plot => plot.getAttribute('aria-label').startsWith('1 in the last hour')).length === 3")

			// Two are chosen, and stay chosen while others come.
			const box = "[...document.querySelectorAll('.denial')].find(row => row.textContent.includes(%q)).querySelector('input')"
			for _, words := range []string{"https://evil.example.com", "<b>bold</b>"} {
				d.must(fmt.Sprintf(box+".click()", words), nil)
			}
			livecaddy.Send(t, "GET", o.URL+"/later", map[string]string{"Origin": "https://later.example.com"})
			livecaddy.Send(t, "GET", o.URL+"/a", map[string]string{"Origin": "https://evil.example.com"})
			d.wait(rows + ".length === 4 && document.querySelectorAll('.denial input:checked').length === 2")
			if chosen := d.text("document.getElementById('chosen-count').innerText"); chosen != "2 denials selected." {
				t.Errorf("it says %q", chosen)
			}
			d.must("document.getElementById('allow').click()", nil)
			d.wait("document.querySelector('#allowed .diff')")
			d.untaken("the edit of what was chosen")
			if read(t, dir, "Caddyfile") != caddyfile {
				t.Error("the file was written before the click on Apply")
			}
			d.must("document.querySelector('#allowed .apply').click()", nil)
			d.wait("document.querySelector('#allowed .written') && !document.querySelector('#allowed .diff')")
			want := strings.Replace(caddyfile, "cors https://app.example.com", "cors https://app.example.com https://evil.example.com", 1)
			if got := read(t, dir, "Caddyfile"); got != want {
				t.Errorf("the file is %q, want %q", got, want)
			}
			d.must("document.getElementById('choose-none').click()", nil)
			d.wait("document.getElementById('chosen').hidden && document.querySelectorAll('.denial input:checked').length === 0")

			// A click opens the call.
			d.must("[...document.querySelectorAll('#denials-real button')].find(b => b.textContent === 'https://evil.example.com').click()", nil)
			d.wait("document.getElementById('verdict')?.innerText === 'Allowed'") // by the configuration as it is now
			if url := d.text("document.getElementById('url').value"); url != o.URL+"/a" {
				t.Errorf("the call is %s", url)
			}
		})
	}
}

// What a Caddyfile, an archive and a paste say is shown as text, wherever it is shown: in errors, in the form, in the table, in
// the drawing, in the edit and in what is copied.
func TestUIMarkup(t *testing.T) {
	o := livecaddy.Observe(t, "cors https://app.example.com\nrespond hello")
	livecaddy.ForgetDenials(t)
	livecaddy.Send(t, "GET", o.URL+"/<b>", map[string]string{"Origin": "https://evil.example.com/" + markup})
	livecaddy.Send(t, "OPTIONS", o.URL+"/", map[string]string{"Origin": "https://app.example.com", "Access-Control-Request-Method": "<SVG/ONLOAD=TAKEN=1>"})
	text := `http://api.example.com {
	# ` + markup + `
	cors http://app.example.com
	header X-Markup "` + markup + `"
	header Server "` + markup + `"
	respond ` + "`" + markup + "`" + `
}
`
	quoted := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	fields := func(pairs ...string) (list []map[string]string) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, map[string]string{"name": pairs[i], "value": pairs[i+1]})
		}
		return list
	}
	har := quoted(map[string]any{"log": map[string]any{
		"version": "1.2", "creator": map[string]string{"name": markup},
		"pages": []any{map[string]string{"id": markup, "title": markup}},
		"entries": []any{map[string]any{
			"pageref": markup, "_resourceType": markup,
			"request": map[string]any{
				"method": "GET", "url": "http://api.example.com/" + markup + "?q=" + markup,
				"headers": fields("Origin", "http://app.example.com", "X-Markup", markup),
			},
			"response": map[string]any{"status": 200, "headers": fields("Access-Control-Allow-Origin", markup, "X-Other", markup), "_error": markup},
		}},
	}})
	refused := "http://api.example.com {\n\tcors \"" + markup + "\"\n}\n"
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"Caddyfile": text})
			command := startUI(t, dir, "--config", "Caddyfile", "--write", "--address", o.Admin)
			d := drive(t, engine, command.network(), command.link)
			d.wait(uiReady)
			shows := func(where, selector string) {
				t.Helper()
				if shown := d.text(fmt.Sprintf("document.querySelector(%q).textContent", selector)); !strings.Contains(shown, "onerror=window.taken=1") && !strings.Contains(shown, "ONLOAD=TAKEN=1") {
					t.Errorf("%s: the markup is not in the text: %s", where, shown)
				}
				d.untaken(where)
			}

			d.drop("x.har", har)
			d.wait("document.querySelector('#archive button')")
			d.untaken("the table of an archive")
			d.must("document.querySelector('#archive button').click()", nil)
			d.wait("document.getElementById('verdict')")
			shows("a call of an archive", "#result")
			if copied := d.text("document.getElementById('headers').value"); !strings.Contains(copied, markup) {
				t.Errorf("the form has the header %q", copied)
			}

			d.paste("Access to fetch at 'http://api.example.com/" + markup + "' from origin 'http://new.example.com' has been blocked by CORS policy: " +
				"No 'Access-Control-Allow-Origin' header is present on the requested resource. " + markup)
			d.wait("!document.getElementById('form-problem').hidden") // "that is not a URL"
			d.untaken("a line of a console")
			d.fill(map[string]string{"paste": "", "origin": "http://new.example.com", "url": "http://api.example.com/" + markup, "method": "GET", "headers": ""})
			d.wait("document.querySelector('#result .diff')")
			shows("the edit of a Caddyfile, and what it answers", "#result")
			d.paste("curl 'http://api.example.com/' -H 'Origin: http://app.example.com' " + strings.ReplaceAll("--"+markup, " ", "-"))
			d.wait("document.querySelector('#pasted p') || !document.getElementById('form-problem').hidden")
			d.untaken("a flag that is not known")

			if err := os.WriteFile(filepath.Join(dir, "Caddyfile"), []byte(refused), 0o600); err != nil {
				t.Fatal(err)
			}
			d.fill(map[string]string{"paste": "", "origin": "http://app.example.com", "url": "http://api.example.com/", "method": "GET", "headers": ""})
			d.wait("document.getElementById('verdict')?.innerText === 'Could not tell'")
			shows("a Caddyfile that is refused", "#result")

			d.must("location.hash = '#denials'", nil)
			d.wait("document.querySelectorAll('.denial').length === 2")
			for i, row := range []string{"the denial of an origin", "the denial of a method"} {
				shows(row, fmt.Sprintf(".denial:nth-of-type(%d)", i+1))
				if label := d.text(fmt.Sprintf("document.querySelectorAll('.denial input')[%d].ariaLabel ?? document.querySelectorAll('.denial input')[%[1]d].getAttribute('aria-label')", i)); !strings.Contains(strings.ToLower(label), "taken=1") {
					t.Errorf("%s: its box is called %q", row, label)
				}
				d.must(fmt.Sprintf("document.querySelectorAll('.denial input')[%d].click()", i), nil)
			}
			d.must("document.getElementById('allow').click()", nil)
			d.wait("document.querySelector('#allowed .alert, #allowed .card')")
			shows("what comes of allowing them", "#allowed")
		})
	}
}

// Long lists are shown in part, and stay what they are: a row for each denial, and the calls of an archive by the hundreds.
func TestUILarge(t *testing.T) {
	o := livecaddy.Observe(t, "cors https://app.example.com\nrespond hello")
	livecaddy.ForgetDenials(t)
	const many = 1000
	send := func(i int) {
		livecaddy.Send(t, "GET", o.URL+"/orders", map[string]string{"Origin": fmt.Sprintf("https://app%d.example.com", i)})
	}
	for i := range many {
		send(i)
	}
	var har strings.Builder
	har.WriteString(`{"log": {"version": "1.2", "entries": [`)
	for i := range many {
		allowed := ""
		if i%2 == 0 {
			allowed = `{"name": "Access-Control-Allow-Origin", "value": "*"}`
		}
		fmt.Fprintf(&har, `%s{"request": {"method": "GET", "url": "http://api.example.com/%d", "headers": [{"name": "Origin", "value": "http://app.example.com"}]}, "response": {"status": 200, "headers": [%s]}}`,
			strings.Repeat(",", min(i, 1)), i, allowed)
	}
	har.WriteString("]}}")
	command := startUI(t, folder(t, map[string]string{"Caddyfile": "http://api.example.com {\n\tcors http://app.example.com\n}\n"}), "--config", "Caddyfile", "--address", o.Admin)
	d := drive(t, engines[0], command.network(), command.link)
	d.wait(uiReady)
	d.drop("large.har", har.String())
	const rows = "document.querySelectorAll('#archive li').length"
	d.wait(rows + " === 200")
	if summary := d.text("document.querySelector('.summary').innerText"); !strings.HasPrefix(summary, "1000 calls to other origins, 500 blocked") {
		t.Errorf("it says %q", summary)
	}
	const more = "document.querySelector('#pasted .actions button')"
	for _, left := range []string{"800", "600", "400", "200"} {
		if label := d.text(more + ".innerText"); label != "Show more ("+left+" left)" {
			t.Errorf("the button is %q, want %s", label, left)
		}
		d.must(more+".click()", nil)
	}
	if n, hidden := d.text(rows), d.text(more+".hidden"); n != "1000" || hidden != "true" {
		t.Errorf("in the end, there are %s rows, and the button is hidden: %s", n, hidden)
	}
	if order := d.text("[...document.querySelectorAll('#archive .sign')].findIndex(sign => sign.textContent === 'Allowed')"); order != "500" {
		t.Errorf("the first allowed call is row %s", order)
	}

	d.must("location.hash = '#denials'", nil)
	const denied = "document.querySelectorAll('#denials-real > li')"
	d.wait(denied + ".length === 1000")
	d.must("window.before = ["+"..."+denied+"], true", nil)
	for range 3 {
		send(700)
	}
	d.wait(denied + "[0].textContent.includes('https://app700.example.com')")
	if kept := d.text("[..." + denied + "].filter(row => before.includes(row)).length"); kept != "1000" {
		t.Errorf("with one that has changed, %s of 1000 rows are the ones that were there", kept)
	}
	d.must("document.getElementById('filter').value = 'app77', document.getElementById('filter').dispatchEvent(new Event('input'))", nil)
	d.wait(denied + ".length === 11") // app77 and app770 to app779
}

// On paper, there is what was found, and not what one clicks on; and nothing moves for those who do not want it.
func TestUIMedia(t *testing.T) {
	dir := folder(t, map[string]string{"Caddyfile": "http://api.example.com {\n\tcors http://app.example.com\n\trespond hello\n}\n"})
	command := startUI(t, dir, "--config", "Caddyfile", "--address", "127.0.0.1:1")
	d := drive(t, engines[0], command.network(), command.link)
	d.wait(uiReady)
	d.fill(map[string]string{"origin": "http://new.example.com", "url": "http://api.example.com/x", "method": "GET"})
	d.wait("document.getElementById('verdict')?.innerText === 'Blocked'")
	emulate := func(media string, features ...string) {
		t.Helper()
		list := []map[string]string{}
		for i := 0; i < len(features); i += 2 {
			list = append(list, map[string]string{"name": features[i], "value": features[i+1]})
		}
		if err := d.command("Emulation.setEmulatedMedia", map[string]any{"media": media, "features": list}, nil); err != nil {
			t.Fatal(err)
		}
	}
	displayed := func(selector string) string {
		return d.text(fmt.Sprintf("document.querySelector(%q).checkVisibility()", selector))
	}
	emulate("print", "prefers-color-scheme", "dark")
	for selector, want := range map[string]string{
		"#form": "false", "nav": "false", "#result .actions": "false",
		".verdict": "true", ".drawing": "true", "#result .diff": "true", ".why": "true",
	} {
		if got := displayed(selector); got != want {
			t.Errorf("on paper, %s is displayed: %s", selector, got)
		}
	}
	if color := d.text("getComputedStyle(document.body).backgroundColor + getComputedStyle(document.body).color"); color != "rgb(255, 255, 255)rgb(0, 0, 0)" {
		t.Errorf("on paper, in the dark scheme, the colors are %s", color)
	}
	const moving = `[...document.querySelectorAll("*")].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0 || parseFloat(getComputedStyle(e).animationDuration) > 0).length`
	emulate("screen", "prefers-reduced-motion", "no-preference")
	if d.text(moving) == "0" {
		t.Error("nothing moves for anybody, so that this test shows nothing")
	}
	emulate("screen", "prefers-reduced-motion", "reduce")
	if found := d.text(moving); found != "0" {
		t.Errorf("%s elements move", found)
	}
	d.must(`(() => { window.scrolled = []; Element.prototype.scrollIntoView = function (options) { window.scrolled.push(options.behavior) }; return true })()`, nil)
	d.must("document.getElementById('check').click()", nil)
	d.wait("scrolled.length > 0")
	if behavior := d.text("scrolled"); behavior != "auto" {
		t.Errorf("it scrolls %s", behavior)
	}
}

// An attack is a page of another origin, open in the browser that has the cookie.
const attackPage = `<!doctype html><title>attack</title>
<iframe name="sink"></iframe>
<iframe src="TARGET/"></iframe>
<form id="f" method="post" action="TARGET/api/check" enctype="text/plain" target="sink"><input name='{"call": {"url": "http://127.0.0.1:1/", "origin": "http://a.example.com", "method": "GET", "reads": ["' value='"]}}'></form>
<script src="TARGET/api/about"></script>
<script src="TARGET/app.js" type="module"></script>
<script>
const target = "TARGET"
const tried = []
async function attempt(name, f) {
	try {
		const response = await f()
		tried.push(name + ": " + response.type + " " + response.status)
	} catch (error) {
		tried.push(name + ": " + error.name)
	}
}
(async () => {
	const body = JSON.stringify({call: {url: "http://127.0.0.1:1/", origin: "http://a.example.com"}})
	for (const credentials of ["include", "omit"]) {
		await attempt("get", () => fetch(target + "/api/about", {credentials}))
		await attempt("no-cors", () => fetch(target + "/api/denials", {credentials, mode: "no-cors"}))
		await attempt("json", () => fetch(target + "/api/check", {method: "POST", credentials, body, headers: {"Content-Type": "application/json"}}))
		await attempt("text", () => fetch(target + "/api/check", {method: "POST", credentials, body, mode: "no-cors"}))
	}
	document.getElementById("f").submit()
	addEventListener("load", () => setTimeout(() => { window.tried = tried }, 500))
	if (document.readyState === "complete") setTimeout(() => { window.tried = tried }, 500)
})()
</script>
`

// Pages of other origins get nothing: not those of other ports, to which browsers send the cookie; and not those whose name
// was pointed at the page's own address.
func TestUIAttacks(t *testing.T) {
	type asked struct {
		status         int
		method, target string
		cookie, own    bool
	}
	var mu sync.Mutex
	var log []asked
	served := httptest.NewUnstartedServer(nil)
	page := ui.NewServer(served.Listener.Addr().String(), ui.Options{Admin: "127.0.0.1:1"})
	served.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		page.ServeHTTP(recorder, r)
		mu.Lock()
		log = append(log, asked{recorder.Code, r.Method, r.Host + r.URL.Path, r.Header.Get("Cookie") != "", r.Host == served.Listener.Addr().String()})
		mu.Unlock()
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
	})
	served.Start()
	defer served.Close()
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		target := served.URL
		if host := r.URL.Query().Get("target"); host != "" {
			target = "http://" + host
		}
		fmt.Fprint(w, strings.ReplaceAll(attackPage, "TARGET", target))
	}))
	defer evil.Close()
	_, port, _ := strings.Cut(served.Listener.Addr().String(), ":")
	rebound := "rebound.localhost:" + port
	n := uiNetwork(served.URL, "rebound.localhost")
	evilHost := strings.TrimPrefix(evil.URL, "http://")
	_, evilPort, _ := strings.Cut(evilHost, ":")
	n.addresses[evilHost] = evilHost
	n.addresses["evil.localhost:"+evilPort] = evilHost
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			d := drive(t, engine, n, page.Link())
			d.wait(uiReady)
			for _, attack := range []struct{ name, url string }{
				{"a page on another port", evil.URL + "/"},
				{"another website", "http://evil.localhost:" + evilPort + "/"},
				{"another website that calls itself by this address", "http://evil.localhost:" + evilPort + "/?target=" + rebound},
			} {
				mu.Lock()
				log = nil
				mu.Unlock()
				d.must(fmt.Sprintf("void (location.href = %q)", attack.url), nil)
				d.wait(fmt.Sprintf("location.href === %q && window.tried?.length === 8", attack.url))
				var tried []string
				d.must("window.tried", &tried)
				for _, outcome := range tried {
					if !strings.HasSuffix(outcome, ": TypeError") && !strings.Contains(outcome, ": opaque 0") {
						t.Errorf("%s: %s", attack.name, outcome)
					}
				}
				mu.Lock()
				all := slices.Clone(log)
				mu.Unlock()
				if len(all) < 8 {
					t.Errorf("%s: there were only %d requests", attack.name, len(all))
				}
				cookies := 0
				for _, a := range all {
					if strings.HasSuffix(a.target, "/icon.svg") { // the page's own, which is in no hurry
						continue
					}
					if a.status != 401 && a.status != 403 {
						t.Errorf("%s: %+v", attack.name, a)
					}
					if a.cookie {
						cookies++
					}
				}
				if attack.url == evil.URL+"/" && cookies == 0 {
					t.Errorf("%s: the browser has not sent the cookie, so this shows nothing", attack.name)
				}
			}
			// The page whose name was pointed here is of another host, and has no cookie.
			d.must(fmt.Sprintf("void (location.href = %q)", "http://"+rebound+"/"), nil)
			d.wait("location.host === '" + rebound + "' && document.body?.innerText.includes('and nothing else')")
		})
	}
}

// axe finds nothing to improve, in light and dark, on a phone, on a tablet and on a wide screen.
func TestUIAccessibility(t *testing.T) {
	axe, err := os.ReadFile(find(t, "axe", program{"axe/node_modules/axe-core/axe.min.js", "npm"})[0])
	if err != nil {
		t.Fatal(err)
	}
	har, err := os.ReadFile("../internal/check/pasted/testdata/chromium.har")
	if err != nil {
		t.Fatal(err)
	}
	o := livecaddy.Observe(t, "cors /reported* https://app.example.com {\nreport_only\n}\ncors https://app.example.com\nrespond hello")
	for i := range 5 {
		livecaddy.Send(t, "GET", o.URL+"/orders/7?page=2", map[string]string{"Origin": fmt.Sprintf("https://app%d.example.com", i)})
	}
	livecaddy.Send(t, "GET", o.URL+"/reported", map[string]string{"Origin": "https://partner.example.com"})
	dir := folder(t, map[string]string{"Caddyfile": "http://api.example.com {\n\tcors http://app.example.com\n\trespond hello\n}\n"})
	command := startUI(t, dir, "--config", "Caddyfile", "--address", o.Admin)
	d := drive(t, engines[0], command.network(), command.link)
	d.wait(uiReady)
	states := []struct {
		name string
		show func()
	}{
		{"the form", func() {}},
		{"a blocked call", func() {
			d.fill(map[string]string{"origin": "http://app.example.com", "url": "http://api.example.com/x", "method": "GET", "headers": "X-Api-Key: 1"})
			d.wait("document.getElementById('verdict')?.innerText === 'Blocked'")
		}},
		{"an allowed call", func() {
			d.fill(map[string]string{"headers": ""})
			d.wait("document.getElementById('verdict')?.innerText === 'Allowed'")
		}},
		{"the question", func() {
			d.fill(map[string]string{"method": "DELETE"})
			d.wait("document.getElementById('confirm').open")
		}},
		{"the denials", func() {
			d.must("document.querySelector('#confirm [value=no]').click()", nil)
			d.must("location.hash = '#denials'", nil)
			d.wait("document.querySelectorAll('.denial').length === 7")
		}},
		{"what is chosen of them", func() {
			d.must("document.querySelector('.denial input').click(), document.getElementById('allow').click()", nil)
			d.wait("document.querySelector('#allowed .card')")
		}},
		{"an archive", func() {
			d.drop("chromium.har", string(har))
			d.wait("document.getElementById('archive')")
		}},
	}
	must := func(method string, parameters any) {
		t.Helper()
		if err := d.command(method, parameters, nil); err != nil {
			t.Fatal(err)
		}
	}
	must("Page.setBypassCSP", map[string]any{"enabled": true})
	d.must("location.reload()", nil)
	d.wait(uiReady)
	d.must(string(axe)+"; true", nil)
	for _, state := range states {
		state.show()
		for _, width := range []int{360, 768, 1920} {
			for _, scheme := range []string{"light", "dark"} {
				must("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
					{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"},
				}})
				must("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false})
				d.must(`window.found = undefined, axe.run().then(result => {
					window.found = result.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html + " " + n.failureSummary).join(" | "))
				}, error => { window.found = [String(error)] }), true`, nil)
				d.wait("window.found")
				var found []string
				d.must("window.found", &found)
				for _, finding := range found {
					t.Errorf("%s, %d px, %s: %s", state.name, width, scheme, finding)
				}
				if wider := d.text("document.documentElement.scrollWidth > innerWidth"); wider != "false" {
					t.Errorf("%s, %d px: it is wider than the screen", state.name, width)
				}
			}
		}
	}
}

// What can be done with a mouse can be done with the keyboard, and what changes is said.
func TestUIKeyboard(t *testing.T) {
	dir := folder(t, map[string]string{"Caddyfile": "http://api.example.com {\n\tcors http://app.example.com\n\trespond hello\n}\n"})
	command := startUI(t, dir, "--config", "Caddyfile", "--address", "127.0.0.1:1")
	d := drive(t, engines[0], command.network(), command.link)
	d.wait(uiReady)
	press := func(key string, code int, text string) {
		t.Helper()
		for _, kind := range []string{"keyDown", "keyUp"} {
			parameters := map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
			if kind == "keyDown" && text != "" {
				parameters["text"] = text
			}
			if err := d.command("Input.dispatchKeyEvent", parameters, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	tabTo := func(id string) {
		t.Helper()
		for range 40 {
			if d.text("document.activeElement.id || document.activeElement.getAttribute('href') || document.activeElement.value || ''") == id {
				return
			}
			press("Tab", 9, "")
		}
		t.Fatalf("the tab key does not come to %s", id)
	}
	write := func(text string) {
		t.Helper()
		if err := d.command("Input.insertText", map[string]any{"text": text}, nil); err != nil {
			t.Fatal(err)
		}
	}
	tabTo("origin")
	write("http://app.example.com")
	tabTo("url")
	write("http://api.example.com/x")
	press("Enter", 13, "\r")
	d.wait("document.getElementById('verdict')?.innerText === 'Allowed'")
	d.wait("document.activeElement.id === 'result'")
	d.wait("document.getElementById('status').innerText.startsWith('Allowed')")
	d.must("document.getElementById('method').value = 'DELETE', document.getElementById('url').focus()", nil)
	press("Enter", 13, "\r")
	d.wait("document.getElementById('confirm').open")
	press("Escape", 27, "")
	d.wait("!document.getElementById('confirm').open")
	d.must("document.getElementById('url').focus()", nil)
	press("Enter", 13, "\r")
	d.wait("document.getElementById('confirm').open")
	tabTo("yes")
	press("Enter", 13, "\r")
	d.wait("document.getElementById('verdict')?.innerText === 'Blocked'")
	d.wait("document.getElementById('status').innerText.startsWith('Blocked')")
	d.must("document.body.focus(), document.querySelector('.skip').focus()", nil)
	press("Enter", 13, "\r")
	d.wait("document.activeElement.id === 'main'")
	d.must("document.querySelector('nav a').focus()", nil)
	tabTo("#denials")
	press("Enter", 13, "\r")
	d.wait("!document.getElementById('view-denials').hidden && !document.getElementById('denials-problem').hidden")
}
