//go:build linux

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A copiedCase is a call of a page to https://api.example.com, and what is read of the texts that a browser's developer tools
// copy of it.
type copiedCase struct {
	path   string
	script string // an expression of API, the URL

	kind   fetch.Kind
	noCORS bool
	method string
	header map[string]string // the script's, names in lower case
	body   string            // if the tools copy it whole
	cookie string

	// preflight is set if the browser asks first. Firefox lists that as a request of its own, which can be copied, too.
	preflight bool
}

const copiedText = "{\n  \"a\": \"it's\",\n  \"b\": \"é€😀 \\n\\t line & | < > % ^ ! $(id) `id` \\\\\",\n  \"c\": \"\\\"\"\n}"

var copiedCases = []copiedCase{
	{path: "/query?a=1&b=%22x%22%27&c=[1]{2}&d=100%25", script: "fetch(API)"},
	{
		path: "/json",
		script: `fetch(API, {method: 'POST', headers: {'Content-Type': 'application/json', 'X-Note': "it's %PATH% ^ \"q\" $HOME !x"},
			body: JSON.stringify({a: "it's", b: "é€😀 \n\t line & | < > % ^ ! $(id) ` + "`id`" + ` \\", c: '"'}, null, 2)})`,
		method:    "POST",
		header:    map[string]string{"content-type": "application/json", "x-note": `it's %PATH% ^ "q" $HOME !x`},
		body:      copiedText,
		preflight: true,
	},
	{
		path:   "/form",
		script: "fetch(API, {method: 'POST', body: new URLSearchParams({a: '1 2', b: '&', c: 'é'})})",
		method: "POST",
		header: map[string]string{"content-type": "application/x-www-form-urlencoded;charset=UTF-8"},
		body:   "a=1+2&b=%26&c=%C3%A9",
	},
	{
		path:   "/upload", // whose boundary the browser makes up
		script: "fetch(API, {method: 'POST', body: new FormData(Object.assign(document.createElement('form'), {innerHTML: '<input name=a value=b>'}))})",
		method: "POST",
		header: map[string]string{"content-type": "multipart/form-data; boundary="},
	},
	{
		path:      "/token",
		script:    "fetch(API, {method: 'PUT', headers: {Authorization: 'Bearer abc', 'Content-Type': 'application/json'}, body: '{}'})",
		method:    "PUT",
		header:    map[string]string{"authorization": "Bearer abc", "content-type": "application/json"},
		body:      "{}",
		preflight: true,
	},
	{path: "/cookie", script: "fetch(API, {credentials: 'include'})"}, // which sets it
	{path: "/me", script: "fetch(API, {credentials: 'include'})", cookie: "sid=1%2"},
	{path: "/orders/7", script: "fetch(API, {method: 'DELETE'})", method: "DELETE", preflight: true},
	{path: "/head", script: "fetch(API, {method: 'HEAD'})", method: "HEAD"},
	{
		path:   "/no-cors",
		script: "fetch(API, {mode: 'no-cors', method: 'POST', body: '@file'})",
		noCORS: true,
		method: "POST",
		header: map[string]string{"content-type": "text/plain;charset=UTF-8"},
		body:   "@file",
	},
	{
		path:      "/blocked",
		script:    "fetch(API, {headers: {'X-Blocked': '1'}})",
		header:    map[string]string{"x-blocked": "1"},
		preflight: true,
	},
	{
		path:      "/xhr",
		script:    "new Promise(done => { const r = new XMLHttpRequest(); r.open('POST', API); r.setRequestHeader('Content-Type', 'application/json'); r.onloadend = done; r.send('{\"a\":1}') })",
		method:    "POST",
		header:    map[string]string{"content-type": "application/json"},
		body:      `{"a":1}`,
		preflight: true,
	},
	{path: "/image", script: "Object.assign(new Image(), {src: API}).decode()", kind: fetch.KindImage, noCORS: true, cookie: "sid=1%2"},
	{path: "/picture", script: "Object.assign(new Image(), {crossOrigin: '', src: API}).decode()", kind: fetch.KindImage},
	{
		path:   "/events",
		script: "new Promise(done => { const source = new EventSource(API); source.onopen = source.onerror = () => done(source.close()) })",
		kind:   fetch.KindEventSource,
	},
}

const copiedAPI = "https://api.example.com"

// What the developer tools of Firefox and WebKit copy of a request is read as the call that was made, as far as they copy it.
func TestCopied(t *testing.T) {
	var script strings.Builder
	for _, c := range copiedCases {
		fmt.Fprintf(&script, "{ const API = %q; await %s.catch(() => {}) }\n", copiedAPI+c.path, c.script)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/" {
			fmt.Fprintf(w, "<!doctype html><script>globalThis.ended = (async () => {\n%s\nreturn 'done'\n})()</script>", script.String())
		}
	}))
	defer page.Close()
	network := newNetwork(t, livecaddy.Start(t, `
(secure) {
	tls internal {
		on_demand
	}
}
`+app+` {
	import secure
	reverse_proxy `+page.Listener.Addr().String()+`
}
`+copiedAPI+` {
	import secure
	cors /blocked `+app+`
	@others not path /blocked
	cors @others `+app+` {
		allow_credentials
		allow_methods PUT DELETE
		allow_headers Authorization Content-Type X-Note
	}
	header /cookie Set-Cookie "sid=1%2; Secure; SameSite=None"
	respond ok
}
`), app, copiedAPI)
	for _, e := range engines {
		tools, ok := panels[e.name]
		if !ok {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			panel := tools.open(t, e, network, app+"/opened")
			panel.run(app + "/")
			var copies []copiedRequest
			if err := json.Unmarshal([]byte(panel.tool(tools.copies)), &copies); err != nil {
				t.Fatal(err)
			}
			for _, c := range copiedCases {
				request := requestOf(copies, copiedAPI+c.path, false)
				if request == nil {
					t.Errorf("%s is not in the panel", c.path)
					continue
				}
				for _, name := range slices.Sorted(maps.Keys(request.Texts)) {
					c.hold(t, e, name, request.Texts[name])
				}
				preflight := requestOf(copies, copiedAPI+c.path, true)
				if listed := preflight != nil; listed != (c.preflight && e.name == "Firefox") {
					t.Errorf("%s: its preflight is listed: %v", c.path, listed)
				}
				if preflight != nil {
					c.holdPreflight(t, preflight.Texts)
				}
			}
			if t.Failed() {
				t.Logf("what is copied is %+v", copies)
			}
		})
	}
}

// A copiedRequest has what the menu of a request copies, by the entries' names.
type copiedRequest struct {
	URL, Method string
	Texts       map[string]string
}

func requestOf(copies []copiedRequest, url string, preflight bool) *copiedRequest {
	i := slices.IndexFunc(copies, func(r copiedRequest) bool { return r.URL == url && (r.Method == "OPTIONS") == preflight })
	if i < 0 {
		return nil
	}
	return &copies[i]
}

// hold compares what is read of a text with the call.
func (c copiedCase) hold(t *testing.T, e engine, name, text string) {
	t.Helper()
	paste, err := pasted.Read(strings.NewReader(text))
	if name == "powershell" {
		if unrecognized, ok := errors.AsType[*pasted.UnrecognizedError](err); !ok || !strings.Contains(unrecognized.Reason, "PowerShell") {
			t.Errorf("%s, %s: %v", c.path, name, err)
		}
		return
	}
	if err != nil || len(paste.Calls) != 1 {
		t.Errorf("%s, %s: %+v, %v", c.path, name, paste, err)
		return
	}
	got := paste.Calls[0]
	differ := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s, %s: %s is %#v, want %#v, of\n%s", c.path, name, what, got, want, text)
		}
	}
	differ("the URL", got.URL, copiedAPI+c.path)
	differ("the origin", got.Origin, app)
	differ("the method", got.Method, c.method)
	differ("the kind", got.Kind, c.kind)
	if e.name != "WebKitGTK" || name != "fetch" { // which says "cors" of all calls
		differ("no-cors", got.NoCORS, c.noCORS)
	}
	header := make(map[string]string)
	for _, f := range got.Header {
		header[strings.ToLower(f.Name)] = f.Value
	}
	if c.path == "/upload" {
		header["content-type"] = strings.TrimRight(header["content-type"], "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
	}
	differ("the header", fmt.Sprint(header), fmt.Sprint(c.header))
	if c.body != "" {
		differ("the body", string(got.Body), c.body)
	}
	// In fetch, cookies are credentials, and so is a token, of which it is not known whether the script asked for cookies.
	cookie, credentials := c.cookie, c.cookie != ""
	if name == "fetch" {
		cookie, credentials = "", credentials || c.header["authorization"] != ""
		differ("the doubt about credentials", got.CredentialsUnsure, c.header["authorization"] != "")
	}
	differ("the cookie", got.Cookie, cookie)
	differ("credentials", got.Credentials, credentials)
}

// holdPreflight compares what is read of a preflight's texts with the call that it is for.
func (c copiedCase) holdPreflight(t *testing.T, texts map[string]string) {
	t.Helper()
	paste, err := pasted.Read(strings.NewReader(texts["curl"]))
	if err != nil {
		t.Errorf("%s, the preflight: %v", c.path, err)
		return
	}
	got := paste.Calls[0]
	var names, want []string
	for _, f := range got.Header {
		names = append(names, f.Name)
	}
	for name := range c.header {
		if name != "content-type" || c.header[name] == "application/json" {
			want = append(want, name)
		}
	}
	slices.Sort(names)
	slices.Sort(want)
	if got.Method != c.method && !(got.Method == "GET" && c.method == "") || !slices.Equal(names, want) {
		t.Errorf("%s, the preflight: it is for %s with %q, want %s with %q", c.path, got.Method, names, c.method, want)
	}
	if paste, err = pasted.Read(strings.NewReader(texts["fetch"])); err != nil || !paste.Calls[0].Lacks(pasted.NeedPreflight) {
		t.Errorf("%s, the preflight as a call of fetch: %+v, %v", c.path, paste, err)
	}
}

// An archive of the network panel of Firefox gets the verdicts that Firefox came to; one of WebKit's, as far as it has the
// calls.
func TestArchives(t *testing.T) {
	network := panelNetwork(t)
	for _, e := range engines {
		tools, ok := panels[e.name]
		if !ok {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			panel := tools.open(t, e, network, lastPage+"/")
			for i, c := range panelCases {
				found := panel.run(panelPage(i) + "/")
				archive := panel.tool(tools.archive)
				stdout, stderr := checktest.Paste(t, archive, "-", "--json")
				var judged struct {
					Calls    []check.PastedReport
					Warnings []check.Warning
				}
				if err := json.Unmarshal([]byte(stdout), &judged); err != nil {
					t.Fatalf("%v: %s", err, stderr)
				}
				if problem := c.archived(e, i, found == "allowed", judged.Calls, judged.Warnings); problem != "" {
					t.Errorf("%s, of which the page finds %q: %s, of\n%s", c.name, found, problem, archive)
				}
			}
		})
	}
}

// archived returns what is wrong with the reports on the archive of a case, which the browser allowed or did not.
func (c panelCase) archived(e engine, number int, allowed bool, reports []check.PastedReport, warnings []check.Warning) string {
	has := func(warnings []check.Warning, code string) bool {
		return slices.ContainsFunc(warnings, func(w check.Warning) bool { return w.Code == code })
	}
	if e.name == "WebKitGTK" {
		if !has(warnings, "failed-left-out") {
			return "nothing says that failed calls are left out"
		}
		if len(reports) == 0 && !allowed {
			return ""
		}
	}
	if len(reports) != 1 {
		return fmt.Sprintf("there are %d reports", len(reports))
	}
	r := reports[0]
	code, verdict := fetch.Code(""), fetch.Allowed
	switch {
	case allowed || c.warning != "":
	case c.unseen:
		code, verdict = fetch.ContentSecurityPolicy, fetch.Blocked
	case e.name == "Firefox" && panelCodes[c.fails] == fetch.WildcardWithCredentials:
		if !has(r.Warnings, "credentials-unknown") {
			return "nothing says that credentials are not recorded"
		}
	default:
		code, verdict = panelCodes[c.fails], fetch.Blocked
	}
	var found fetch.Code
	if r.Cause != nil {
		found = fetch.Code(r.Cause.Code)
	}
	// Of a redirected call, WebKit has the last request only.
	url := "https://" + host(number) + "/"
	switch {
	case r.Verdict != string(verdict) || found != code:
		return fmt.Sprintf("the check says %s %s, want %s %s", r.Verdict, found, verdict, code)
	case r.Call.URL != url && (e.name != "WebKitGTK" || !strings.Contains(c.site, "redir")):
		return "it is of " + r.Call.URL
	case c.warning != "" && !has(r.Warnings, c.warning):
		return fmt.Sprintf("the warnings are %v", r.Warnings)
	}
	return ""
}
