//go:build linux

package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// A consoleCase is a call that browsers block, with something in their consoles that a section of docs/troubleshooting.md
// is about. Each case has a host of its own, which HOST stands for.
type consoleCase struct {
	section string // its heading
	site    string // the directives of https://HOST and https://to.HOST

	init    string // the page's script calls fetch("https://HOST/", init),
	script  string // or does this in its stead,
	sandbox bool   // or has a sandboxed frame call https://to.HOST/,
	policy  string // or a frame with this Content-Security-Policy,
	frame   string // or does this in a frame
}

const (
	anyOrigin  = "header Access-Control-Allow-Origin *\n"
	thisOrigin = "header Access-Control-Allow-Origin " + app + "\n"
	picture    = "header Content-Type image/svg+xml\nrespond `<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>`"
)

var consoleCases = []consoleCase{
	{section: "No Access-Control-Allow-Origin", site: "respond ok"},
	{section: "No Access-Control-Allow-Origin", site: "respond ok", init: "{method: 'PUT'}"},

	{section: "The origin is null", site: "respond ok", sandbox: true},

	{section: "Another value in Access-Control-Allow-Origin", site: "header Access-Control-Allow-Origin https://other.example.com\nrespond ok"},
	{section: "Another value in Access-Control-Allow-Origin", site: "header Access-Control-Allow-Origin " + app + "/\nrespond ok", init: "{method: 'PUT'}"},
	{section: "Another value in Access-Control-Allow-Origin", site: "header Access-Control-Allow-Origin *.example.com\nrespond ok"},

	{section: "Multiple values in Access-Control-Allow-Origin", site: "header +Access-Control-Allow-Origin *\nheader +Access-Control-Allow-Origin " + app + "\nrespond ok"},
	{section: "Multiple values in Access-Control-Allow-Origin", site: "header Access-Control-Allow-Origin \"https://www.example.com, " + app + "\"\nrespond ok"},

	{section: "The preflight has no ok status", site: anyOrigin + "respond 401", init: "{method: 'PUT'}"},

	{section: "The preflight is redirected", site: anyOrigin + "redir / /new", init: "{method: 'PUT'}"},

	{section: "The method is not allowed", site: anyOrigin + "respond ok", init: "{method: 'PUT'}"},
	{section: "The method is not allowed", site: anyOrigin + "header Access-Control-Allow-Methods PATCH\nrespond ok", init: "{method: 'patch'}"},

	{section: "The request header is not allowed", site: anyOrigin + "respond ok", init: "{headers: {'X-Requested-With': 'x'}}"},
	{section: "The request header is not allowed", site: anyOrigin + "header Access-Control-Allow-Headers *\nrespond ok", init: "{headers: {'Authorization': 'x'}}"},

	{section: "The lists of the preflight are malformed", site: anyOrigin + "header Access-Control-Allow-Methods \"PUT DELETE\"\nrespond ok", init: "{method: 'PUT'}"},
	{section: "The lists of the preflight are malformed", site: anyOrigin + "header Access-Control-Allow-Headers \"X-One X-Two\"\nrespond ok", init: "{headers: {'X-One': '1'}}"},

	{section: "Credentials", site: anyOrigin + "respond ok", init: "{credentials: 'include'}"},
	{section: "Credentials", site: thisOrigin + "respond ok", init: "{credentials: 'include'}"},
	{section: "Credentials", site: anyOrigin + "respond ok", script: "const request = new XMLHttpRequest(); request.open('GET', 'https://HOST/'); request.withCredentials = true" + sent},

	{section: "Mixed content", site: "respond ok", script: "return (await fetch('http://HOST/')).status"},
	{section: "Mixed content", site: anyOrigin + "redir / http://HOST/"},

	{section: "Redirects", site: "redir / /new\nheader /new Access-Control-Allow-Origin *\nrespond /new ok"},
	{section: "Redirects", site: "@to header Origin null\nheader @to Access-Control-Allow-Origin " + app + "\nrespond @to ok\n" + anyOrigin + "redir https://to.HOST/"},
	{section: "Redirects", site: anyOrigin + "redir / https://user:secret@to.HOST/"},
	{section: "Redirects", site: anyOrigin + "redir / mailto:alice@HOST"},
	{section: "Redirects", site: anyOrigin + "redir / /"},

	{section: "Private and local networks", site: "respond ok", policy: "treat-as-public-address"},

	{section: "A response header is null", site: anyOrigin + "header X-Total 7\nrespond ok", script: "const request = new XMLHttpRequest(); request.open('GET', 'https://HOST/'); request.addEventListener('load', () => request.getResponseHeader('X-Total'))" + sent},

	{section: "Fonts, images, canvas and scripts", site: "respond ok", script: "await new FontFace('Font', 'url(https://HOST/)').load()"},
	{section: "Fonts, images, canvas and scripts", site: "header Content-Type text/javascript\nrespond ok", script: "await import('https://HOST/')"},
	{section: "Fonts, images, canvas and scripts", site: "respond ok", script: element("script")},
	{section: "Fonts, images, canvas and scripts", site: picture, script: element("img")},
	{section: "Fonts, images, canvas and scripts", site: picture, script: drawn("getImageData(0, 0, 1, 1)")},
	{section: "Fonts, images, canvas and scripts", site: picture, script: drawn("canvas.toDataURL()")},

	{section: "It works, and then it does not", site: "header Cache-Control max-age=600\n@cors header Origin *\nheader @cors Access-Control-Allow-Origin " + app + "\n" + picture,
		script: "const image = new Image(); image.src = 'https://HOST/'; await image.decode(); return (await fetch('https://HOST/')).status"},

	{section: "Failed to fetch", site: "respond ok"},
	{section: "Failed to fetch", site: "abort"},

	{section: "The URL is not http", site: "respond ok", script: "return (await fetch('ftp://HOST/')).status"},
	{section: "The URL is not http", site: "respond ok", script: "return (await fetch('file:///HOST/')).status"},
	{section: "The URL is not http", site: "respond ok", script: "const request = new XMLHttpRequest(); request.open('GET', 'custom://HOST/')" + sent},

	{section: "It is not a CORS error", site: "respond ok", policy: "connect-src 'none'"},
	{section: "It is not a CORS error", site: "header Cross-Origin-Resource-Policy same-origin\nrespond ok", init: "{mode: 'no-cors'}"},

	{section: "Other words for it", site: "respond ok", script: "const request = new XMLHttpRequest(); request.open('GET', 'https://HOST/'); request.setRequestHeader('Cookie', 'a=b')" + sent},
	{section: "Other words for it", site: "header Cross-Origin-Resource-Policy same-origin\n" + picture, script: loadedImage},
	{section: "Other words for it", site: "header /frame Cross-Origin-Embedder-Policy require-corp\n" + picture, frame: loadedImage},
	{section: "Other words for it", site: "header X-Content-Type-Options nosniff\nheader Content-Type text/html\nrespond \"<!doctype html>\"", script: loadedImage},
	{section: "Other words for it", site: "header /worker Content-Type text/javascript\n" +
		"respond /worker `onactivate = event => event.waitUntil(clients.claim())\nonfetch = event => event.respondWith(fetch(event.request.url, {mode: 'no-cors'}))`\nrespond ok",
		frame: "const claimed = new Promise(done => navigator.serviceWorker.oncontrollerchange = done)\n" +
			"await navigator.serviceWorker.register('/worker'); await claimed; return (await fetch('https://to.HOST/')).status"},
	{section: "Other words for it", site: "header Content-Type text/javascript\nrespond ok", script: "new Worker('https://HOST/worker.js')"},
	{section: "Other words for it", site: "respond ok", script: "navigator.sendBeacon('https://HOST/', new Blob(['{}'], {type: 'application/json'}))"},
	{section: "Other words for it", site: anyOrigin + "respond 431"},
	{section: "Other words for it", site: "respond 413"},
}

// sent ends a script that has opened an XMLHttpRequest.
const sent = "; const ended = new Promise(done => { request.onloadend = () => done(request.status) }); request.send(); return ended"

// element is a script that adds an element with crossorigin to the page.
func element(name string) string {
	return "const element = document.createElement('" + name + "'); element.crossOrigin = ''\n" +
		"const ended = new Promise(done => { element.onload = element.onerror = ({type}) => done(type) })\n" +
		"element.src = 'https://HOST/'; document.body.append(element); return ended"
}

// drawn is a script that reads a canvas with a picture on it.
func drawn(read string) string {
	return "const image = new Image(); image.src = 'https://HOST/'; await image.decode()\n" +
		"const context = document.createElement('canvas').getContext('2d'); context.drawImage(image, 0, 0)\n" +
		"context." + read
}

// host returns the name that HOST stands for in a case.
func host(number int) string { return fmt.Sprintf("case%d.example.com", number) }

// named finds such a name.
var named = regexp.MustCompile(`case(\d+)\.`)

// framed reports whether it is a frame that makes the call.
func (c consoleCase) framed() bool { return c.sandbox || c.policy != "" || c.frame != "" }

// origins are those of the case's sites.
func (c consoleCase) origins(number int) []string {
	origins := []string{"https://" + host(number)}
	if c.framed() || strings.Contains(c.site, "to.HOST") {
		origins = append(origins, "https://to."+host(number))
	}
	return origins
}

// sites are the case's, in a Caddyfile. Their directives run in the order in which they are written.
func (c consoleCase) sites(number int) string {
	frame := ""
	if c.framed() {
		frame = "header /frame Content-Type text/html\n" +
			"respond /frame `<script>(async () => { " + cmp.Or(c.frame, "return (await fetch('https://to.HOST/')).status") + " })()" +
			".catch(String).then(found => parent.postMessage(found, '*'))</script>`\n"
	}
	if c.policy != "" {
		frame = "header /frame Content-Security-Policy \"" + c.policy + "\"\n" + frame
	}
	sites := strings.Join(c.origins(number), ", ") + " {\nimport secure\nroute {\n" + frame + c.site + "\n}\n}\n"
	return strings.ReplaceAll(sites, "HOST", host(number))
}

// call is what the page's script does. It names the case in the console first, for messages that do not name it.
func (c consoleCase) call(number int) call {
	script := cmp.Or(c.script, "return (await fetch('https://HOST/', "+cmp.Or(c.init, "undefined")+")).status")
	if c.framed() {
		script = "const frame = document.createElement('iframe'); frame.src = 'https://HOST/frame'\n"
		if c.sandbox {
			script += "frame.sandbox = 'allow-scripts'\n"
		}
		script += "const found = new Promise(done => onmessage = ({data}) => done(data)); document.body.append(frame); return found"
	}
	return call{Script: strings.ReplaceAll("console.log('HOST'); "+script, "HOST", host(number))}
}

// The messages on docs/troubleshooting.md are what browsers print, each of them in a case of its section.
func TestConsole(t *testing.T) {
	beginnings, sections := quotedMessages(t)
	others := markdown.Read(t, "../docs/troubleshooting.md").Section(t, "Other words for it").Text()
	for _, messages := range otherWords {
		for _, message := range messages {
			if !strings.Contains(others, message) {
				t.Errorf("the page does not have %s", message)
			}
		}
	}
	sections = append(sections, quotedSection{"Other words for it", otherWords})
	for _, c := range consoleCases {
		if !slices.ContainsFunc(sections, func(s quotedSection) bool { return s.heading == c.section && len(s.messages) > 0 }) {
			t.Errorf("no message is quoted under %q", c.section)
		}
	}

	// The last case is the page that is opened first, which is not of a secure context.
	cases := append(slices.Clone(consoleCases), consoleCase{section: "Private and local networks"})
	first := "http://" + host(len(consoleCases))
	page := newPage(t)
	gate := newGate(t)
	var sites strings.Builder
	fmt.Fprintf(&sites, `
(secure) {
	tls internal {
		on_demand # so that a handshake waits for the certificate
	}
}
%[1]s {
	import secure
	reverse_proxy /gate %[2]s
	reverse_proxy %[3]s
}
https://%[4]s {
	import secure
	respond ok
}
%[5]s {
	header Content-Security-Policy treat-as-public-address
	header Content-Type text/html
	respond "<script>fetch('/').finally(() => location = '%[1]s/')</script>"
}
`, app, gate.address, page.address, endHost, first)
	origins := []string{app, "https://" + endHost, first}
	calls := []call{{Script: "await fetch('/gate')"}}
	for i, c := range consoleCases {
		sites.WriteString(c.sites(i))
		origins = append(origins, c.origins(i)...)
		calls = append(calls, c.call(i))
	}
	calls = append(calls, call{Script: "await fetch('https://" + endHost + "/')"})
	// Over HTTP/2, Firefox does not know that a field comes twice.
	network := newNetwork(t, livecaddy.Start(t, sites.String(), "servers {\nprotocols h1\n}"), origins...)

	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			engine.inspected = true
			browser := page.open(t, engine, network, first+"/", calls)
			defer browser.end(t)
			gate.wait(t, ctx, browser)
			console := inspectors[engine.name](t, ctx, browser)
			gate.open(browser)
			findings := page.findings(t, browser, len(calls))

			printed := byCase(console(), len(cases))
			for i, texts := range printed {
				if problem := heldToPaste(i, texts); problem != "" {
					t.Errorf("%s: %s", cases[i].section, problem)
				}
			}
			for i, f := range findings[1 : len(calls)-1] {
				printed[i] = append(printed[i], f.Error+": "+f.Message) // as it is printed if nobody catches it
			}
			unused := slices.Clone(beginnings[engine.name])
			for _, section := range sections {
				var texts []string
				for i, c := range cases {
					if c.section == section.heading {
						texts = append(texts, printed[i]...)
					}
				}
				for _, quoted := range section.messages[engine.name] {
					if !slices.ContainsFunc(texts, pattern(quoted, beginnings[engine.name]).MatchString) {
						t.Errorf("%s: none is %q, of\n\t%s", section.heading, quoted, strings.Join(texts, "\n\t"))
					}
				}
				unused = slices.DeleteFunc(unused, func(beginning string) bool {
					return slices.ContainsFunc(texts, pattern(beginning+" REST", nil).MatchString)
				})
			}
			for _, beginning := range unused {
				t.Errorf("no message begins with %q", beginning)
			}
		})
	}
}

// heldToPaste returns what is wrong with what caddy cors check reads of the messages of a case: if one has a URL, it is that of
// the call, or nothing can be checked and it is said why.
func heldToPaste(number int, texts []string) string {
	text := strings.Join(slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return text == host(number) }), "\n")
	if !strings.Contains(text, "://"+host(number)) && !strings.Contains(text, "://to."+host(number)) {
		return ""
	}
	paste, err := pasted.Read(strings.NewReader(text))
	if err != nil {
		if unrecognized, ok := errors.AsType[*pasted.UnrecognizedError](err); ok && unrecognized.Reason != "" {
			return ""
		}
		return fmt.Sprintf("%v, of\n%s", err, text)
	}
	for _, call := range paste.Calls {
		if !strings.Contains(call.URL, host(number)) && !strings.Contains(call.URL, endHost) && (!call.Lacks(pasted.NeedURL) || strings.Contains(text, "https://"+host(number))) {
			return fmt.Sprintf("a call of %q is read, of\n%s", call.URL, text)
		}
	}
	return ""
}

// otherWords are the messages of the section "Other words for it" that engines print.
var otherWords = map[string][]string{
	"Chromium": {
		`Refused to set unsafe header "NAME"`,
		`The FetchEvent for "URL" resulted in a network error response: an "opaque" response was used for a request whose type is not no-cors`,
		"SecurityError: Failed to construct 'Worker': Script at 'URL' cannot be accessed from origin 'ORIGIN'.",
	},
	"Firefox": {
		"The resource at “URL” was blocked by OpaqueResponseBlocking. Reason: “REASON”.",
		"Failed to load ‘URL’. A ServiceWorker passed an opaque Response to FetchEvent.respondWith() while handling a ‘cors’ FetchEvent. Opaque Response objects are only valid when the RequestMode is ‘no-cors’.",
		"Security Error: Content at URL may not load data from URL.",
	},
	"WebKitGTK": {
		`Refused to set unsafe header "NAME"`,
		"Response served by service worker is opaque",
		"Beacon API cannot load URL. Origin ORIGIN is not allowed by Access-Control-Allow-Origin. Status code: STATUS",
	},
}

// byCase returns the texts of the messages of each case. A message that names none is of the one that was named in a message
// of its own, or of the last one, which is the first page's.
func byCase(messages []consoleMessage, count int) [][]string {
	texts := make([][]string, count)
	current := count - 1
	for _, message := range messages {
		number := current
		if m := named.FindStringSubmatch(message.text + " " + message.url); m != nil {
			number, _ = strconv.Atoi(m[1])
		}
		if message.text == host(number) {
			current = number
		}
		texts[number] = append(texts[number], message.text)
	}
	return texts
}

// A gate lets the script of a page wait for the test.
type gate struct {
	address         string
	arrived, opened chan struct{}
}

func newGate(t *testing.T) gate {
	t.Helper()
	g := gate{arrived: make(chan struct{}), opened: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, step := range []chan struct{}{g.arrived, g.opened} {
			select {
			case step <- struct{}{}:
			case <-r.Context().Done():
			}
		}
	}))
	t.Cleanup(server.Close)
	g.address = server.Listener.Addr().String()
	return g
}

// wait waits until the page's script is at the gate.
func (g gate) wait(t *testing.T, ctx context.Context, b *browser) {
	t.Helper()
	select {
	case <-g.arrived:
	case <-b.ended:
		t.Fatal("the browser ended before the page's script began")
	case <-ctx.Done():
		t.Fatalf("the page's script does not begin: %v", ctx.Err())
	}
}

// open lets it go on.
func (g gate) open(b *browser) {
	select {
	case <-g.opened:
	case <-b.ended:
	}
}

// A quotedSection is a section of the page, with the messages in it by the engine that prints them.
type quotedSection struct {
	heading  string
	messages map[string][]string
}

// quotedMessages returns the messages of docs/troubleshooting.md, which have words in capitals for what differs, and by
// engine what stands for a "…" at their beginning.
func quotedMessages(t *testing.T) (beginnings map[string][]string, sections []quotedSection) {
	t.Helper()
	engineOf := map[string]string{"Chrome": "Chromium", "Firefox": "Firefox", "Safari": "WebKitGTK"}
	read := func(part markdown.Section) map[string][]string {
		messages := make(map[string][]string)
		for _, item := range part.Items() {
			browser, _, _ := strings.Cut(item.Text, ":")
			browser, _, _ = strings.Cut(browser, ",")
			if engine := engineOf[browser]; engine != "" && len(item.Code) == 1 {
				messages[engine] = append(messages[engine], item.Code[0])
			}
		}
		return messages
	}
	all := markdown.Read(t, "../docs/troubleshooting.md").Sections()
	for _, section := range all {
		if section.Level == 2 {
			sections = append(sections, quotedSection{section.Heading, read(section)})
		}
	}
	return read(all[0].Intro()), sections
}

// What the words in capitals stand for.
var placeholders = map[string]string{
	"KIND":    `(fetch|XMLHttpRequest|font|image|resource|script)`,
	"METHOD":  `[A-Za-z]+`,
	"NAME":    `[A-Za-z-]+`,
	"ORIGIN":  `(null|https?://[a-z0-9.:-]+)`,
	"REASON":  `.+`,
	"REST":    `.+`,
	"SCHEME":  `[a-z]+`,
	"SCHEMES": `[a-z, -]+`,
	"SPACE":   `(loopback|local)`,
	"STATUS":  `[1-5][0-9][0-9]`,
	"URL":     `[a-z]+:[^ '‘’“”"]+`,
	"VALUE":   `[^‘’]*`,
}

var inCapitals = regexp.MustCompile(`\b[A-Z]+\b`)

// pattern returns the regular expression of a message.
func pattern(message string, beginnings []string) *regexp.Regexp {
	expression := regexp.QuoteMeta(message)
	if rest, begins := strings.CutPrefix(expression, "… "); begins {
		var either []string
		for _, beginning := range beginnings {
			either = append(either, regexp.QuoteMeta(beginning))
		}
		expression = "(" + strings.Join(either, "|") + ") " + rest
	}
	expression = inCapitals.ReplaceAllStringFunc(expression, func(word string) string {
		if stands, ok := placeholders[word]; ok {
			return "(" + word + "|" + stands + ")"
		}
		return word
	})
	return regexp.MustCompile("^" + expression + "$")
}

// A consoleMessage is one of a browser's console. The URL is that of the resource, if it is known besides the text.
type consoleMessage struct{ text, url string }

// endHost is called at last, in vain, so that the messages of all other calls are there when the one of this is.
const endHost = "end.example.com"

// inspectors connect to the console of a browser. What they return, returns the messages when all of them are printed.
var inspectors = map[string]func(t *testing.T, ctx context.Context, b *browser) (read func() []consoleMessage){
	"Chromium":  inspectChromium,
	"Firefox":   inspectFirefox,
	"WebKitGTK": inspectWebKit,
}

// Chromium prints them, with where they come from.
func inspectChromium(t *testing.T, ctx context.Context, b *browser) func() []consoleMessage {
	line := regexp.MustCompile(`(?m):CONSOLE\S*\] "(.*)", source: .*$`)
	return func() []consoleMessage {
		t.Helper()
		text, err := b.await(ctx, endHost)
		if err != nil {
			t.Fatal(err)
		}
		var messages []consoleMessage
		for _, m := range line.FindAllStringSubmatch(text, -1) {
			messages = append(messages, consoleMessage{text: m[1]})
		}
		return messages
	}
}

// Firefox has them in its console service.
func inspectFirefox(t *testing.T, ctx context.Context, b *browser) func() []consoleMessage {
	const messages = `
		const [end, done] = arguments
		const look = () => {
			const messages = Services.console.getMessageArray().map(m => m instanceof Ci.nsIScriptError ? m.errorMessage : m.message)
			if (messages.some(text => text.includes(end))) done(messages)
		}
		Services.console.registerListener({observe: look})
		look()`
	return func() []consoleMessage {
		t.Helper()
		value, err := connectMarionette(t, ctx, b).chrome(messages, endHost)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		if err := json.Unmarshal(value, &texts); err != nil {
			t.Fatal(err)
		}
		var all []consoleMessage
		for _, text := range texts {
			all = append(all, consoleMessage{text: text})
		}
		return all
	}
}

// WebKit sends them to its inspector, over a WebSocket. For an inspector that comes late, it has kept no more than the last
// hundred.
func inspectWebKit(t *testing.T, ctx context.Context, b *browser) func() []consoleMessage {
	t.Helper()
	index, err := http.Get("http://" + b.inspector + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer index.Body.Close()
	html, err := io.ReadAll(index.Body)
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.MustCompile(`/socket/\d+/\d+/WebPage`).Find(html)
	if path == nil {
		t.Fatalf("there is no page to inspect: %s", html)
	}
	socket, err := websocket.Dial("ws://"+b.inspector+string(path), "", "http://"+b.inspector)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	deadline, _ := ctx.Deadline()
	_ = socket.SetDeadline(deadline)

	type message struct {
		ID     int
		Method string
		Params struct {
			TargetInfo struct{ TargetID string } // of Target.targetCreated
			Message    json.RawMessage           // of Target.dispatchMessageFromTarget, a text; of Console.messageAdded, an object
		}
	}
	// receive returns the next message; what a target says, without its wrapping.
	receive := func() message {
		t.Helper()
		var m message
		if err := websocket.JSON.Receive(socket, &m); err != nil {
			t.Fatal(err)
		}
		if m.Method == "Target.dispatchMessageFromTarget" {
			var wrapped string
			if err := json.Unmarshal(m.Params.Message, &wrapped); err != nil {
				t.Fatal(err)
			}
			m = message{}
			if err := json.Unmarshal([]byte(wrapped), &m); err != nil {
				t.Fatal(err)
			}
		}
		return m
	}
	m := receive()
	for m.Method != "Target.targetCreated" {
		m = receive()
	}
	enable := map[string]any{"id": 1, "method": "Target.sendMessageToTarget", "params": map[string]string{
		"targetId": m.Params.TargetInfo.TargetID, "message": `{"id": 2, "method": "Console.enable"}`,
	}}
	if err := websocket.JSON.Send(socket, enable); err != nil {
		t.Fatal(err)
	}
	for m.ID != 2 { // it is enabled
		m = receive()
	}
	return func() []consoleMessage {
		t.Helper()
		var all []consoleMessage
		for {
			m := receive()
			if m.Method != "Console.messageAdded" {
				continue
			}
			var added struct{ Text, URL string }
			if err := json.Unmarshal(m.Params.Message, &added); err != nil {
				t.Fatal(err)
			}
			all = append(all, consoleMessage{strings.TrimSpace(added.Text), added.URL})
			if strings.Contains(added.Text, endHost) {
				return all
			}
		}
	}
}
