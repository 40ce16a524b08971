//go:build linux

package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A netPanel is the network panel of a browser's own developer tools, open beside a page.
type netPanel struct {
	// run shows a page, and returns what its script found: the string that globalThis.ended is a promise of.
	run func(url string) string

	// tool evaluates a function, as JavaScript, of the panel's own modules, and returns the string that it promises. The
	// panel has all requests that the page has made before.
	tool func(function string) string
}

// seenLast is what pages load last, so that a panel that has it has all.
const seenLast = "/seen-last"

// firefoxTools are the modules of Firefox's developer tools, in the scope of a function of a panel.
const firefoxTools = `
const {require} = ChromeUtils.importESModule("resource://devtools/shared/loader/Loader.sys.mjs")
const {gDevTools} = require("devtools/client/framework/devtools")
const promised = async () => {
	const toolbox = await gDevTools.showToolboxForTab(gBrowser.selectedTab, {toolId: "netmonitor"})
	const window = toolbox.getCurrentPanel().panelWin
	const {connector, store} = window.api ?? window
	const {getSortedRequests} = window.windowRequire("devtools/client/netmonitor/src/selectors/index")
	const {HarMenuUtils} = window.windowRequire("devtools/client/netmonitor/src/har/har-menu-utils")
	const RequestListContextMenu = window.windowRequire("devtools/client/netmonitor/src/widgets/RequestListContextMenu")
	const clipboard = () => {
		const transferable = Cc["@mozilla.org/widget/transferable;1"].createInstance(Ci.nsITransferable)
		transferable.init(null)
		transferable.addDataFlavor("text/plain")
		Services.clipboard.getData(transferable, Services.clipboard.kGlobalClipboard)
		const value = {}
		transferable.getTransferData("text/plain", value)
		return value.value.QueryInterface(Ci.nsISupportsString).data
	}
	return (FUNCTION)()
}
const done = arguments[arguments.length - 1]
promised().then(text => done({text}), error => done({error: error + "\n" + error.stack}))
`

// openFirefoxPanel opens Firefox's network panel.
func openFirefoxPanel(t *testing.T, e engine, n network, url string) netPanel {
	t.Helper()
	d := drive(t, e, n, url)
	d.wait("location.href === '" + url + "' && document.readyState === 'complete'")
	tool := func(function string) string {
		t.Helper()
		value, err := d.marionette.chrome(strings.Replace(firefoxTools, "FUNCTION", function, 1))
		if err != nil {
			t.Fatalf("the network panel of Firefox: %v", err)
		}
		var result struct{ Text, Error string }
		if err := json.Unmarshal(value, &result); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if result.Error != "" {
			t.Fatalf("the network panel of Firefox is not where it was: %s", result.Error)
		}
		return result.Text
	}
	tool("async () => ''") // it records from now on
	return netPanel{
		run: func(url string) (found string) {
			t.Helper()
			if _, err := d.marionette.command("WebDriver:Navigate", map[string]string{"url": url}); err != nil {
				t.Fatal(err)
			}
			d.must("window.ended", &found)
			d.must("void(new Image().src = '"+seenLast+"')", nil)
			tool(`async () => {
				while (!getSortedRequests(store.getState()).some(({url, status}) => url.endsWith("` + seenLast + `") && status)) {
					await new Promise(done => window.setTimeout(done, 10))
				}
			}`)
			return found
		},
		tool: tool,
	}
}

// openWebKitPanel opens WebKit's network panel: its inspector is a page, which one browser has for another.
func openWebKitPanel(t *testing.T, e engine, n network, url string) netPanel {
	t.Helper()
	e.inspected = true
	inspected := e.open(t, n, url)
	t.Cleanup(func() { inspected.end(t) })
	var socket []byte
	for end := time.Now().Add(30 * time.Second); socket == nil; time.Sleep(20 * time.Millisecond) { // until there is a page
		if time.Now().After(end) {
			t.Fatal("WebKit has no page to inspect")
		}
		if response, err := http.Get("http://" + inspected.inspector + "/"); err == nil {
			html, _ := io.ReadAll(response.Body)
			response.Body.Close()
			socket = regexp.MustCompile(`/socket/\d+/\d+/WebPage`).Find(html)
		}
	}
	d := drive(t, e, network{direct: true}, "http://"+inspected.inspector+"/Main.html?ws="+inspected.inspector+string(socket))
	await := func(promise string) string {
		t.Helper()
		d.must("void(globalThis.result = undefined, (async () => { "+promise+" })()"+
			".then(text => result = {text: text ?? ''}, error => result = {error: error + '\\n' + error.stack}))", nil)
		d.wait("globalThis.result")
		var result struct{ Text, Error string }
		d.must("result", &result)
		if result.Error != "" {
			t.Fatalf("the network panel of WebKit is not where it was: %s", result.Error)
		}
		return result.Text
	}
	inPage := func(expression string) (text string) {
		t.Helper()
		quoted, err := json.Marshal("String(" + expression + ")")
		if err != nil {
			t.Fatal(err)
		}
		return await("return (await WI.mainTarget.RuntimeAgent.evaluate.invoke({expression: " + string(quoted) + ", returnByValue: true})).result.value")
	}
	d.wait("globalThis.WI?.mainTarget?.RuntimeAgent && WI.networkManager?.mainFrame")
	await("WI.showNetworkTab()")
	const panel = "WI.tabBrowser.selectedTabContentView.contentBrowser.currentContentView"
	d.wait(panel + "._HARResources && " + panel + "._activeCollection")
	return netPanel{
		run: func(url string) string {
			t.Helper()
			inPage("(location = '" + url + "')")
			found := ""
			for end := time.Now().Add(20 * time.Second); found == ""; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%s does not end", url)
				}
				found = inPage("location.href === '" + url + "' && globalThis.ended ? (ended.then(text => globalThis.found = text), globalThis.found || '') : ''")
			}
			inPage("(new Image().src = '" + seenLast + "')")
			d.wait(panel + "._activeCollection.entries.some(({resource}) => resource?.url.endsWith('" + seenLast + "') && resource.finished)")
			return found
		},
		tool: func(function string) string {
			t.Helper()
			return await("const panel = " + panel + "; return (" + function + ")()")
		},
	}
}

// panels open the network panels of the browsers whose developer tools have no protocol of their own.
var panels = map[string]struct {
	open    func(t *testing.T, e engine, n network, url string) netPanel
	archive string // a function that returns the panel's export
	copies  string // a function that returns, as JSON, what the menu of each request copies: {url, method, texts: {name: text}}
}{
	"Firefox": {
		open:    openFirefoxPanel,
		archive: "() => HarMenuUtils.copyAllAsHar(getSortedRequests(store.getState()), connector)",
		copies: `async () => {
			const requests = getSortedRequests(store.getState())
			const parts = ["requestHeaders", "requestPostData", "requestCookies", "responseHeaders"]
			const whole = await Promise.all(requests.map(async request => ({
				...request, ...Object.fromEntries(await Promise.all(parts.map(async part => [part, await connector.requestData(request.id, part)]))),
			})))
			const menu = new RequestListContextMenu({connector})
			const copies = []
			for (const request of whole) {
				const texts = {}
				for (const {id, click} of menu.createCopySubMenu(request, requests)) {
					const name = /request-list-context-copy-as-(.*)/.exec(id)?.[1]
					if (name) {
						await click()
						texts[name] = clipboard()
					}
				}
				// The menu has this in Windows only.
				await menu.copyAsCurl(request.id, request.url, request.method, request.httpVersion, request.requestHeaders,
					request.requestPostData, request.responseHeaders, "WINNT")
				texts["curl-win"] = clipboard()
				copies.push({url: request.url, method: request.method, texts})
			}
			return JSON.stringify(copies)
		}`,
	},
	"WebKitGTK": {
		open:    openWebKitPanel,
		archive: "async () => JSON.stringify(await WI.HARBuilder.buildArchive(panel._HARResources()))",
		copies: `async () => JSON.stringify(panel._activeCollection.entries.map(({resource}) => resource).filter(resource => resource).map(resource => ({
			url: resource.url, method: resource.requestMethod, texts: {curl: resource.generateCURLCommand(), fetch: resource.generateFetchCode()},
		})))`,
	},
}
