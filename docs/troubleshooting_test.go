package docs_test

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// A remedy is what a section says of an error: the codes that caddy cors check has for it and the reasons that the log
// has, "" if it has nothing; and the Caddyfile that helps.
type remedy struct {
	codes, reasons []string
	caddyfile      string
}

// remedies returns them by the headings of their sections.
func remedies(t *testing.T) map[string]remedy {
	t.Helper()
	code := regexp.MustCompile("`([a-z]+(?:-[a-z]+)+)`|nothing")
	codes := func(text string) (found []string) {
		for _, m := range code.FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		return found
	}
	all := make(map[string]remedy)
	for _, section := range markdown.Read(t, "troubleshooting.md").Sections() {
		caddyfiles := section.BlocksOf("caddyfile")
		if section.Level != 2 || len(caddyfiles) == 0 {
			continue
		}
		for _, paragraph := range section.Paragraphs() {
			if check, log, ok := strings.Cut(paragraph.Text, "Log: "); ok && (check == "" || strings.HasPrefix(check, "Check")) {
				all[section.Heading] = remedy{codes(check), codes(log), caddyfiles[0]}
			}
		}
		if _, ok := all[section.Heading]; !ok {
			t.Errorf("%s has a Caddyfile, but not what the check and the log say", section.Heading)
		}
	}
	return all
}

// What docs/troubleshooting.md says of an error is true: of a site that is broken so, caddy cors check and the log say what
// the page does, and with the lines of the page in the place of what is broken, the call is allowed.
func TestTroubleshooting(t *testing.T) {
	const (
		hello      = "respond hello"
		cors       = "cors https://app.example.com"
		anyOrigin  = "header Access-Control-Allow-Origin *"
		thisOrigin = "header Access-Control-Allow-Origin https://app.example.com"
		login      = "basic_auth {\nbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\nrespond hello"
		proxy      = "reverse_proxy BACKEND" // what checktest.Backend returns
	)
	rows := []struct {
		heading      string
		broken, rest string // of the site; the fix takes the place of the first
		call         string // flags of the check, and the path if it is not /orders
		code, reason string // what it is, in the check and in the log

		script   string // what the call becomes, if the script has to change too
		hopeless bool   // no line helps
	}{
		{heading: "No Access-Control-Allow-Origin", rest: hello, code: "missing-allow-origin"},
		{heading: "No Access-Control-Allow-Origin", broken: "cors https://other.example.com", rest: hello, code: "missing-allow-origin", reason: "origin-not-allowed"},
		{heading: "No Access-Control-Allow-Origin", broken: "cors /other/* https://app.example.com", rest: hello, code: "missing-allow-origin"},

		{heading: "The origin is null", broken: cors, rest: hello, call: "--origin=null", code: "missing-allow-origin", reason: "origin-null"},

		{heading: "Another value in Access-Control-Allow-Origin", rest: proxy, call: "/other", code: "allow-origin-mismatch"},
		{heading: "Another value in Access-Control-Allow-Origin", rest: "header Access-Control-Allow-Origin *.example.com\n" + hello, code: "invalid-allow-origin"},
		{heading: "Another value in Access-Control-Allow-Origin", broken: cors + " {\nupstream preserve\n}", rest: proxy, call: "/slash", code: "allow-origin-mismatch"},
		{heading: "Another value in Access-Control-Allow-Origin", broken: cors, rest: "header >Access-Control-Allow-Origin https://other.example.com\n" + hello, code: "allow-origin-mismatch", hopeless: true},

		{heading: "Multiple values in Access-Control-Allow-Origin", rest: proxy, call: "/twice", code: "multiple-allow-origin"},
		{heading: "Multiple values in Access-Control-Allow-Origin", broken: "header +Access-Control-Allow-Origin https://app.example.com", rest: proxy, call: "/star", code: "multiple-allow-origin"},

		{heading: "The preflight has no ok status", broken: anyOrigin, rest: login, call: "-H Authorization:x", code: "preflight-status"},
		{heading: "The preflight has no ok status", broken: anyOrigin, rest: proxy, call: "-X PUT", code: "preflight-status"},
		{heading: "The preflight has no ok status", broken: cors + " {\nforward_preflight\nallow_methods PUT\n}", rest: proxy, call: "-X PUT", code: "preflight-status"},

		{heading: "The preflight is redirected", broken: anyOrigin, rest: "redir /orders /orders/\n" + hello, call: "-X PUT", code: "preflight-redirect"},
		{heading: "The preflight is redirected", broken: anyOrigin, rest: proxy, call: "-X PUT /moved", code: "preflight-redirect"},

		{heading: "The method is not allowed", broken: cors, rest: hello, call: "-X DELETE", code: "method-not-allowed", reason: "method-not-allowed"},
		{heading: "The method is not allowed", broken: cors, rest: hello, call: "-X patch", code: "method-not-allowed", reason: "method-not-allowed", script: "-X PATCH"},
		{heading: "The method is not allowed", broken: cors, rest: hello, call: "-X patch", code: "method-not-allowed", reason: "method-not-allowed", hopeless: true},

		{heading: "The request header is not allowed", broken: cors, rest: hello, call: "-X POST -H Content-Type:application/json", code: "header-not-allowed", reason: "header-not-allowed"},
		{heading: "The request header is not allowed", broken: cors + " {\nallow_headers *\n}", rest: hello, call: "-H Authorization:x", code: "header-not-allowed", reason: "header-not-allowed"},
		{heading: "The request header is not allowed", broken: cors, rest: hello, call: "-H Access-Control-Allow-Origin:*", code: "header-not-allowed", reason: "header-not-allowed", hopeless: true},

		{heading: "The lists of the preflight are malformed", broken: anyOrigin + "\nheader Access-Control-Allow-Methods \"PUT DELETE\"", rest: hello, call: "-X PUT", code: "invalid-allow-methods"},
		{heading: "The lists of the preflight are malformed", broken: anyOrigin + "\nheader Access-Control-Allow-Headers `\"Content-Type\"`", rest: hello, call: "-H Authorization:x", code: "invalid-allow-headers"},

		{heading: "Credentials", broken: "cors *", rest: hello, call: "--credentials", code: "wildcard-with-credentials"},
		{heading: "Credentials", rest: proxy, call: "--credentials /star", code: "wildcard-with-credentials"},
		{heading: "Credentials", broken: cors, rest: hello, call: "--credentials", code: "missing-allow-credentials"},
		{heading: "Credentials", broken: thisOrigin + "\nheader Access-Control-Allow-Credentials True", rest: hello, call: "--credentials", code: "invalid-allow-credentials"},

		{heading: "Redirects", rest: "redir /orders /orders/\nheader /orders/ Access-Control-Allow-Origin *\n" + hello, code: "missing-allow-origin"},
		{heading: "Redirects", rest: proxy, call: "/moved", code: "missing-allow-origin"},
		{heading: "Redirects", broken: cors, rest: "redir /orders http://localhost:{http.request.port}/\n" + hello, code: "missing-allow-origin", reason: "origin-null", hopeless: true},
		{heading: "Redirects", broken: cors, rest: "redir http://bob:secret@{http.request.hostport}/", code: "redirect-credentials", hopeless: true},
		{heading: "Redirects", broken: cors, rest: "redir mailto:bob@example.com", code: "redirect-scheme", hopeless: true},
		{heading: "Redirects", broken: cors, rest: "redir /orders /orders", code: "too-many-redirects", hopeless: true},

		{heading: "A response header is null", broken: cors, rest: "header X-Total 7\n" + hello, call: "--reads X-Total", code: "header-not-exposed"},

		{heading: "Fonts, images, canvas and scripts", rest: hello, call: "/assets/font.woff2", code: "missing-allow-origin"},

		{heading: "It works, and then it does not", broken: "@cors header Origin *\nheader @cors Access-Control-Allow-Origin https://app.example.com", rest: hello, code: "vary-origin"},

		{heading: "An error of the server in disguise", rest: "reverse_proxy 127.0.0.1:" + livecaddy.FreePort(t), code: "missing-allow-origin"},
		{heading: "An error of the server in disguise", rest: "error 413", code: "missing-allow-origin"},
	}

	backend, page := checktest.Backend(t), remedies(t)
	met := make(map[string]remedy)
	meet := func(heading, code, reason string) {
		met[heading] = remedy{codes: append(met[heading].codes, code), reasons: append(met[heading].reasons, reason)}
	}
	for _, row := range rows {
		t.Run(row.heading, func(t *testing.T) {
			code, reason := checkSite(t, strings.ReplaceAll(row.broken+"\n"+row.rest, "BACKEND", backend), row.call)
			if code != row.code || reason != row.reason {
				t.Errorf("broken, it is %q in the check and %q in the log, want %q and %q", code, reason, row.code, row.reason)
			}
			meet(row.heading, code, reason)
			want := ""
			if row.hopeless {
				want = row.code
			}
			fixed := page[row.heading].caddyfile + row.rest
			if code, _ := checkSite(t, strings.ReplaceAll(fixed, "BACKEND", backend), cmp.Or(row.script, row.call)); code != want {
				t.Errorf("fixed, it is %q in the check, want %q", code, want)
			}
		})
	}

	// An https page is served a site without https; that it has https is all of the fix.
	t.Run("Mixed content", func(t *testing.T) {
		t.Setenv("HOME", t.TempDir())
		caddyfile := strings.ReplaceAll(page["Mixed content"].caddyfile, "localhost:9000", backend)
		broken := checktest.RunCaddyfile(t, "http://"+caddyfile, "http://api.example.com/orders", "--origin=https://app.example.com")
		if broken.Verdict != "blocked" {
			t.Fatalf("broken, it is %s", broken.Verdict)
		}
		meet("Mixed content", broken.Cause.Code, "")
		if r := checktest.RunCaddyfile(t, caddyfile, "https://api.example.com/orders", "--origin=https://app.example.com"); r.Verdict != "allowed" {
			t.Errorf("fixed, it is %s: %+v", r.Verdict, r.Cause)
		}
	})

	// The check is of today's browsers, so the preflight is made by hand.
	t.Run("Private and local networks", func(t *testing.T) {
		const heading = "Private and local networks"
		allowed := func(directives string) (value, reason string) {
			reason = logged(t, directives+"\n"+hello, func(t *testing.T, url string) {
				value = livecaddy.Send(t, "OPTIONS", url, fields{
					"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true",
				}).Header.Get("Access-Control-Allow-Private-Network")
			})
			return value, reason
		}
		value, reason := allowed(cors)
		if value != "" {
			t.Errorf("broken, it is %q", value)
		}
		met[heading] = remedy{reasons: []string{reason}}
		if value, _ := allowed(page[heading].caddyfile); value != "true" {
			t.Errorf("fixed, it is %q", value)
		}
	})

	for heading, says := range page {
		is := met[heading]
		for _, both := range []struct{ says, is []string }{{says.codes, is.codes}, {says.reasons, is.reasons}} {
			slices.Sort(both.says)
			slices.Sort(both.is)
			if is := slices.Compact(both.is); !slices.Equal(both.says, is) {
				t.Errorf("%s: the page says %q, it is %q", heading, both.says, is)
			}
		}
	}
}

// checkSite checks a call of a site that has these directives, on a server that runs. It returns the code of what blocks it
// or could, and what the log has as its last reason.
func checkSite(t *testing.T, directives, call string) (code, reason string) {
	t.Helper()
	path := "/orders"
	args := []string{"--origin=https://app.example.com"} // the last one counts
	for _, arg := range strings.Fields(call) {
		if strings.HasPrefix(arg, "/") {
			path = arg
		} else {
			args = append(args, arg)
		}
	}
	reason = logged(t, directives, func(t *testing.T, url string) {
		r := checktest.Run(t, append(args, url+path)...)
		switch {
		case r.Verdict == check.VerdictUnknown:
			t.Fatal(r.Cause.Message)
		case r.Cause != nil:
			code = r.Cause.Code
		case slices.ContainsFunc(r.Warnings, func(w check.Warning) bool { return w.Code == "vary-origin" }):
			code = "vary-origin"
		}
	})
	return code, reason
}

// logged runs a site while something calls it, and returns the reason of the last denial in the log.
func logged(t *testing.T, directives string, calls func(t *testing.T, url string)) (reason string) {
	t.Helper()
	t.Run("site", func(t *testing.T) { // with whose end the server stops
		livecaddy.ForgetDenials(t)
		port := livecaddy.FreePort(t)
		server := livecaddy.Start(t, "http://:"+port+" {\n"+directives+"\n}\n")
		calls(t, "http://127.0.0.1:"+port)
		for _, denial := range server.Logged() {
			reason = denial["reason"].(string)
		}
	})
	return reason
}

// straight makes quotation marks those that people type.
var straight = strings.NewReplacer("‘", "'", "’", "'", "“", `"`, "”", `"`)

// What people search for is in the index, with the quotation marks that they type.
func TestTroubleshootingSearch(t *testing.T) {
	index := markdown.Read(t, "troubleshooting.md").Section(t, "Index").Text()
	for _, words := range []string{
		"Network Error", "0 Unknown Error", "xhr poll error", "strict-origin-when-cross-origin", "Refused to set unsafe header",
		"ERR_BLOCKED_BY_RESPONSE", "ORB", "CORB", `"opaque" response`, "A ServiceWorker passed an opaque Response",
		"Failed to construct 'Worker'", "Request had a target IP address space of", "sendBeacon", "upload", "431", "defer",
		"CORS header 'Access-Control-Allow-Origin' missing", "expected 'true' in CORS header 'Access-Control-Allow-Credentials'",
		"Did not find method in CORS header", "Multiple CORS header 'Access-Control-Allow-Origin' not allowed",
	} {
		if !strings.Contains(index, words) {
			t.Errorf("the index does not have %s", words)
		}
	}
}

// Each message of docs/troubleshooting.md has words in it that are in the index, and what the index leads to has them.
func TestTroubleshootingIndex(t *testing.T) {
	page := markdown.Read(t, "troubleshooting.md")
	var all []string
	messages := make(map[string][]string) // by the anchors of their sections
	for _, section := range page.Sections() {
		if section.Level != 2 {
			continue
		}
		for _, item := range section.Items() {
			browser, _, _ := strings.Cut(item.Text, ":")
			browser, _, _ = strings.Cut(browser, ",")
			if len(item.Code) == 1 && slices.Contains([]string{"Chrome", "Firefox", "Safari"}, browser) {
				messages["#"+section.Anchor()] = append(messages["#"+section.Anchor()], straight.Replace(item.Code[0]))
				all = append(all, straight.Replace(item.Code[0]))
			}
		}
	}
	var entries []string
	for _, link := range page.Section(t, "Index").Links() {
		if len(link.Code) == 0 || link.Text != "`"+link.Code[0]+"`" {
			continue
		}
		entries = append(entries, link.Code[0])
		if link.Destination == "#other-words-for-it" { // not of the console, or of a worker's
			if !strings.Contains(straight.Replace(page.Section(t, "Other words for it").Text()), link.Code[0]) {
				t.Errorf("there is no %q in %s", link.Code[0], link.Destination)
			}
			continue
		}
		if !slices.ContainsFunc(messages[link.Destination], func(message string) bool { return strings.Contains(message, link.Code[0]) }) {
			t.Errorf("there is no %q in %s", link.Code[0], link.Destination)
		}
	}
	for _, message := range all {
		if !slices.ContainsFunc(entries, func(entry string) bool { return strings.Contains(message, entry) }) {
			t.Errorf("the index has nothing of %s", message)
		}
	}
	if len(all) < 50 {
		t.Errorf("only %d messages", len(all))
	}
}

// quotedWords are what the words in capitals of a message stand for, in one that is tried.
var quotedWords = strings.NewReplacer(
	"SCHEMES", "chrome, data, http, https", "SCHEME", "ftp", "SPACE", "local", "REASON", "connect-src 'self'",
	"URL", "https://api.example.com/x", "ORIGIN", "https://app.example.com", "KIND", "fetch", "METHOD", "PUT", "NAME", "X-Token",
	"STATUS", "200", "VALUE", "https://other.example.com", "REST", "rest",
)

// Each message of docs/troubleshooting.md can be given to caddy cors check: it is read, or told what to give in its stead.
func TestTroubleshootingPasted(t *testing.T) {
	page := markdown.Read(t, "troubleshooting.md")
	begin := map[string]string{
		"Chrome":  "Access to fetch at 'URL' from origin 'ORIGIN' has been blocked by CORS policy: ",
		"Firefox": "Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at URL. ",
	}
	try := func(text string) (paste *pasted.Paste) {
		t.Helper()
		paste, err := pasted.Read(strings.NewReader(text))
		if err != nil {
			unrecognized, ok := errors.AsType[*pasted.UnrecognizedError](err)
			if !ok || unrecognized.Reason == "" {
				t.Errorf("%s: %v", text, err)
			}
		}
		return paste
	}
	count := 0
	for _, section := range page.Sections() {
		if section.Level != 2 {
			continue
		}
		for _, item := range section.Items() {
			browser, _, _ := strings.Cut(item.Text, ":")
			browser, _, _ = strings.Cut(browser, ",")
			if len(item.Code) != 1 || !slices.Contains([]string{"Chrome", "Firefox", "Safari"}, browser) {
				continue
			}
			count++
			message, isRest := strings.CutPrefix(item.Code[0], "… ")
			if isRest {
				message = begin[browser] + message
			}
			paste := try(quotedWords.Replace(message))
			if isRest && (paste == nil || paste.Calls[0].URL != "https://api.example.com/x") {
				t.Errorf("%s: it is not of the URL: %+v", message, paste)
			}
		}
	}
	if count < 50 {
		t.Errorf("only %d messages", count)
	}
	tables := straight.Replace(page.Section(t, "Failed to fetch").Text() + page.Section(t, "Other words for it").Text())
	for _, words := range []string{
		"net::ERR_FAILED", "net::ERR_CONNECTION_REFUSED", "net::ERR_NAME_NOT_RESOLVED", "net::ERR_CERT_AUTHORITY_INVALID",
		"net::ERR_SSL_PROTOCOL_ERROR", "net::ERR_CONNECTION_RESET", "net::ERR_EMPTY_RESPONSE", "net::ERR_BLOCKED_BY_CLIENT",
		"Network Error", "AxiosError: Network Error", "ERR_NETWORK", "xhr poll error", "websocket error", "(failed)", "CORS error",
		"Referrer Policy: strict-origin-when-cross-origin", `Refused to set unsafe header "NAME"`,
		"net::ERR_BLOCKED_BY_RESPONSE.NotSameOrigin", "net::ERR_BLOCKED_BY_ORB",
		"Cross-Origin Read Blocking (CORB) blocked cross-origin response",
		"A resource is blocked by OpaqueResponseBlocking, please check browser console for details.",
		"A ServiceWorker passed an opaque Response to FetchEvent.respondWith() while handling a 'cors' FetchEvent.",
		"Response served by service worker is opaque", "Security Error: Content at URL may not load data from URL.",
		"Failed to construct 'Worker': Script at 'URL' cannot be accessed from origin 'ORIGIN'.",
		"Request had a target IP address space of", "navigator.sendBeacon", "431 Request Header Fields Too Large",
		"413 Request Entity Too Large",
	} {
		if !strings.Contains(tables, words) {
			t.Errorf("the page does not have %s", words)
		}
		if !strings.HasPrefix(words, "net::") {
			words = quotedWords.Replace(words)
		}
		try(words)
	}
	for _, message := range []string{
		"Http failure response for URL: 0 Unknown Error",
		`The resource at "URL" was blocked by OpaqueResponseBlocking. Reason: "REASON".`,
		"Failed to load 'URL'. A ServiceWorker passed an opaque Response to FetchEvent.respondWith() while handling a 'cors' FetchEvent.",
		"Beacon API cannot load URL. Origin ORIGIN is not allowed by Access-Control-Allow-Origin. Status code: STATUS",
		`The FetchEvent for "URL" resulted in a network error response: an "opaque" response was used for a request whose type is not no-cors`,
	} {
		if paste := try(quotedWords.Replace(message)); paste == nil || paste.Calls[0].URL != "https://api.example.com/x" {
			t.Errorf("%s: it is not of the URL: %+v", message, paste)
		}
	}
}
