//go:build linux

package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A panelCase is a page that makes one call. HOST stands for the host that it calls, and PAGE for the page's origin.
type panelCase struct {
	name   string
	site   string // the directives of https://HOST and https://to.HOST
	policy string // the page's Content-Security-Policy
	script string // the body of an async function, which fails if the call does

	// fails is why, as Chromium's Network domain has it: a CORS error, the reason of a block, or the text of another error.
	// It is empty for a call that is allowed.
	fails string

	// unseen calls are blocked before the Network domain hears of them, so that no archive has them.
	unseen bool

	// warning is the check's, of a call that fails for a reason that is not in the Fetch Standard or not in an archive.
	warning string
}

const loadedImage = "const image = new Image(); image.src = 'https://HOST/'; await image.decode()"

var panelCases = []panelCase{
	{
		name:   "the preflight allows the method",
		site:   "cors PAGE {\nallow_methods PUT\n}\nrespond ok",
		script: "await fetch('https://HOST/', {method: 'PUT', body: 'x'})",
	},
	{
		name:   "the preflight does not allow the method",
		site:   "cors PAGE\nrespond ok",
		script: "await fetch('https://HOST/', {method: 'DELETE'})",
		fails:  "MethodDisallowedByPreflightResponse",
	},
	{
		name:   "the preflight does not allow the header",
		site:   "cors PAGE\nrespond ok",
		script: "await fetch('https://HOST/', {headers: {'X-Requested-With': 'x'}})",
		fails:  "HeaderDisallowedByPreflightResponse",
	},
	{
		name:   "the preflight is not answered with an ok status",
		site:   anyOrigin + "respond 401",
		script: "await fetch('https://HOST/', {method: 'PUT'})",
		fails:  "PreflightInvalidStatus",
	},
	{
		name: "the preflight of an upload with a listener does not allow the origin",
		site: "@preflight method OPTIONS\nrespond @preflight 204\n" + anyOrigin + "respond ok",
		script: "const request = new XMLHttpRequest(); request.open('POST', 'https://HOST/'); request.upload.onprogress = () => {}\n" +
			"await new Promise((done, fail) => { request.onload = done; request.onerror = fail; request.send('x') })",
		fails: "PreflightMissingAllowOriginHeader",
	},
	{
		name:   "nothing allows the origin",
		site:   "respond ok",
		script: "await fetch('https://HOST/')",
		fails:  "MissingAllowOriginHeader",
	},
	{
		name:   "credentials and a wildcard",
		site:   anyOrigin + "respond ok",
		script: "await fetch('https://HOST/', {credentials: 'include'})",
		fails:  "WildcardOriginNotAllowed",
	},
	{
		name:   "all redirects allow the origin",
		site:   anyOrigin + "redir / /first\nredir /first https://to.HOST/last\nrespond /last ok",
		script: "await fetch('https://HOST/')",
	},
	{
		name:   "a redirect to a third origin makes the origin null",
		site:   "header Access-Control-Allow-Origin PAGE\n@from host HOST\nredir @from https://to.HOST/\nrespond ok",
		script: "await fetch('https://HOST/')",
		fails:  "AllowOriginMismatch",
	},
	{
		name:   "an image without CORS",
		site:   picture,
		script: loadedImage,
	},
	{
		name:    "an image without CORS that is a page",
		site:    "header X-Content-Type-Options nosniff\nheader Content-Type text/html\nrespond \"<!doctype html>\"",
		script:  loadedImage,
		fails:   "net::ERR_BLOCKED_BY_ORB",
		warning: "opaque-response-blocking",
	},
	{
		name: "a script without CORS that is JSON",
		site: "header Content-Type application/json\nrespond `{\"a\": 1, \"b\": [2, 3]}`",
		script: "const script = document.createElement('script'); script.src = 'https://HOST/'\n" +
			"await new Promise((done, fail) => { script.onload = done; script.onerror = fail; document.head.append(script) })",
		fails:   "net::ERR_BLOCKED_BY_ORB",
		warning: "opaque-response-blocking",
	},
	{
		name:   "a font",
		site:   "respond ok",
		script: "await new FontFace('Font', 'url(https://HOST/)').load()",
		fails:  "MissingAllowOriginHeader",
	},
	{
		name:   "a module",
		site:   anyOrigin + "header Content-Type text/javascript\nrespond \"export const x = 1\"",
		script: "await import('https://HOST/')",
	},
	{
		name:    "a module that is a page",
		site:    anyOrigin + "header Content-Type text/html\nrespond \"<!doctype html>\"",
		script:  "await import('https://HOST/')",
		warning: "module-type",
	},
	{
		name: "an EventSource",
		site: "header Content-Type text/event-stream\nrespond \"data: x\"",
		script: "const source = new EventSource('https://HOST/')\n" +
			"await new Promise((done, fail) => { source.onopen = done; source.onerror = fail }).finally(() => source.close())",
		fails: "MissingAllowOriginHeader",
	},
	{
		name:   "the page's policy forbids the call of a script",
		site:   anyOrigin + "respond ok",
		policy: "connect-src 'self'",
		script: "await fetch('https://HOST/')",
		unseen: true,
	},
	{
		name:   "the page's policy forbids an image",
		site:   picture,
		policy: "img-src 'self'",
		script: loadedImage,
		fails:  "csp",
	},
	{
		name:   "the page's policy forbids what a redirect leads to",
		site:   anyOrigin + "@from host HOST\nredir @from https://to.HOST/\nrespond ok",
		policy: "connect-src https://HOST",
		script: "await fetch('https://HOST/')",
		fails:  "csp",
	},
}

// panelCodes are the causes that the check has for Chromium's.
var panelCodes = map[string]fetch.Code{
	"AllowOriginMismatch":                 fetch.AllowOriginMismatch,
	"HeaderDisallowedByPreflightResponse": fetch.HeaderNotAllowed,
	"MethodDisallowedByPreflightResponse": fetch.MethodNotAllowed,
	"MissingAllowOriginHeader":            fetch.MissingAllowOrigin,
	"PreflightInvalidStatus":              fetch.PreflightStatus,
	"PreflightMissingAllowOriginHeader":   fetch.MissingAllowOrigin,
	"WildcardOriginNotAllowed":            fetch.WildcardWithCredentials,
	"csp":                                 fetch.ContentSecurityPolicy,
}

// sites are the page's and those that it calls, in a Caddyfile. The directives of the latter run as they are written.
func (c panelCase) sites(number int) string {
	return strings.NewReplacer("HOST", host(number), "PAGE", panelPage(number)).Replace(`
PAGE {
	import secure
	header Content-Type text/html
	header Content-Security-Policy "` + c.policy + `"
	respond / ` + "`<!doctype html><script>" + `
		globalThis.ended = (async () => {
			` + c.script + `
		})().then(() => "allowed", error => "failed: " + (error.message || error.type))
	</script>` + "`" + `
}
https://HOST, https://to.HOST {
	import secure
	route {
		` + c.site + `
	}
}
`)
}

// lastPage is opened after all others, and calls nothing.
const lastPage = "https://last.example.com"

func panelPage(number int) string { return fmt.Sprintf("https://page%d.example.com", number) }

// panelNetwork has the pages of all cases, and the servers that they call.
func panelNetwork(t *testing.T) network {
	t.Helper()
	var sites strings.Builder
	sites.WriteString("(secure) {\ntls internal {\non_demand\n}\n}\n" + lastPage + " {\nimport secure\nrespond ok\n}\n")
	origins := []string{lastPage}
	for i, c := range panelCases {
		sites.WriteString(c.sites(i))
		origins = append(origins, panelPage(i), "https://"+host(i), "https://to."+host(i))
	}
	return newNetwork(t, livecaddy.Start(t, sites.String()), origins...)
}

// An archive of Chromium's own network panel gets the verdicts that Chromium came to.
func TestNetworkPanel(t *testing.T) {
	network := panelNetwork(t)
	d := drive(t, engines[slices.IndexFunc(engines, func(e engine) bool { return e.name == "Chromium" })], network, "about:blank")
	panel := openNetworkPanel(d)

	called := make(map[string]string)  // by the ID of the request, its first URL
	failure := make(map[string]string) // by that URL
	d.tools.event = func(method string, parameters json.RawMessage) {
		var e struct {
			RequestID                string
			Request                  struct{ URL string }
			ErrorText, BlockedReason string
			CORSErrorStatus          struct{ CORSError string }
		}
		if err := json.Unmarshal(parameters, &e); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		switch method {
		case "Network.requestWillBeSent":
			if called[e.RequestID] == "" { // and not after a redirect
				called[e.RequestID] = e.Request.URL
			}
		case "Network.loadingFailed":
			if url := called[e.RequestID]; failure[url] == "" {
				failure[url] = cmp.Or(e.CORSErrorStatus.CORSError, e.BlockedReason, e.ErrorText)
			}
		}
	}
	navigate := func(url string) {
		t.Helper()
		if err := d.command("Page.navigate", map[string]string{"url": url}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.command("Network.enable", struct{}{}, nil); err != nil {
		t.Fatal(err)
	}
	for i, c := range panelCases {
		navigate(panelPage(i) + "/")
		d.wait("globalThis.ended")
		var outcome string
		d.must("ended", &outcome)
		if allowed := outcome == "allowed"; allowed != (c.fails == "" && !c.unseen && c.warning == "") {
			t.Errorf("%s: the page finds %q", c.name, outcome)
		}
	}
	navigate(lastPage + "/")
	d.wait("location.href === '" + lastPage + "/' && document.body")
	archive := panel(lastPage + "/")

	stdout, stderr := checktest.Paste(t, archive, "-", "--json")
	var judged struct{ Calls []check.PastedReport }
	if err := json.Unmarshal([]byte(stdout), &judged); err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	byPage := make(map[string][]check.PastedReport)
	for _, r := range judged.Calls {
		byPage[r.Call.Page] = append(byPage[r.Call.Page], r)
	}
	for i, c := range panelCases {
		if found := failure["https://"+host(i)+"/"]; found != c.fails {
			t.Errorf("%s: the Network domain has the failure %q, want %q", c.name, found, c.fails)
		}
		reports := byPage[panelPage(i)+"/"]
		delete(byPage, panelPage(i)+"/")
		if c.unseen {
			if len(reports) > 0 {
				t.Errorf("%s: the archive has it", c.name)
			}
			continue
		}
		if len(reports) != 1 {
			t.Errorf("%s: %d reports", c.name, len(reports))
			continue
		}
		r := reports[0]
		verdict, code := fetch.Allowed, fetch.Code("")
		if c.fails != "" && c.warning == "" {
			verdict, code = fetch.Blocked, panelCodes[c.fails]
		}
		var found fetch.Code
		if r.Cause != nil {
			found = fetch.Code(r.Cause.Code)
		}
		if r.Verdict != string(verdict) || found != code {
			t.Errorf("%s: the check says %s %s, want %s %s", c.name, r.Verdict, found, verdict, code)
		}
		if r.Call.URL != "https://"+host(i)+"/" || r.Call.Origin != panelPage(i) {
			t.Errorf("%s: it is of %s to %s", c.name, r.Call.Origin, r.Call.URL)
		}
		if c.warning != "" && !slices.ContainsFunc(r.Warnings, func(w check.Warning) bool { return w.Code == c.warning }) {
			t.Errorf("%s: the warnings are %v", c.name, r.Warnings)
		}
	}
	for page := range byPage {
		t.Errorf("there is a call of %q", page)
	}
	if t.Failed() {
		t.Logf("the archive is %s", archive)
	}
}

// openNetworkPanel opens Chromium's developer tools on the page, in a tab of their own. What it returns, returns the panel's
// export of all pages, as soon as the request for a URL has ended.
func openNetworkPanel(d *driver) (export func(last string) string) {
	d.t.Helper()
	must := func(err error) {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
	}
	var tab struct{ TargetID string }
	must(d.tools.command("", "Target.createTarget", map[string]any{"url": "about:blank"}, &tab))
	session, err := d.tools.attach(tab.TargetID)
	must(err)
	tools := "devtools://devtools/bundled/"
	must(d.tools.command(session, "Page.navigate", map[string]any{
		"url": tools + "devtools_app.html?panel=network&ws=" + d.tools.address + "/devtools/page/" + d.page,
	}, nil))
	eval := func(expression string) (text string) {
		d.t.Helper()
		value, err := d.tools.eval(session, expression)
		must(err)
		must(json.Unmarshal(value, &text))
		return text
	}
	// The modules are the ones that the tools themselves run on; there are no events before there is the page's target.
	if opened := eval(`(async () => {
		let why = ''
		for (const end = Date.now() + 20_000; Date.now() < end; await new Promise(done => setTimeout(done, 20))) {
			try {
				const {TargetManager} = (await import('` + tools + `core/sdk/sdk.js')).TargetManager
				const target = TargetManager.instance().primaryPageTarget()
				const {NetworkLog} = (await import('` + tools + `models/logs/logs.js')).NetworkLog
				const {Settings} = (await import('` + tools + `core/common/common.js')).Settings
				Settings.instance().moduleSetting('network-log.preserve-log').set(true)
				globalThis.networkLog = NetworkLog.instance()
				globalThis.har = (await import('` + tools + `models/har/har.js')).Log.Log
				await target.networkAgent().invoke_enable({})
				return ''
			} catch (error) {
				why = String(error)
			}
		}
		return why
	})()`); opened != "" {
		d.t.Fatalf("the developer tools do not open: %s", opened)
	}
	return func(last string) string {
		d.t.Helper()
		return eval(`(async () => {
			const ended = () => networkLog.requests().some(request => request.url() === '` + last + `' && request.finished)
			for (const end = Date.now() + 20_000; !ended() && Date.now() < end;) await new Promise(done => setTimeout(done, 20))
			return JSON.stringify({log: await har.build(networkLog.requests(), {sanitize: true})})
		})()`)
	}
}
