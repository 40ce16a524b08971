package caddycors_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

func TestAdminAPI(t *testing.T) {
	o := livecaddy.Observe(t, "cors "+app+"\nrespond hello")
	list := "http://" + o.Admin + "/cors/denials"
	for i, origin := range []string{"https://once.example.com", "https://thrice.example.com", "https://twice.example.com"} {
		for range []int{1, 3, 2}[i] {
			livecaddy.Send(t, "GET", o.URL, fields{"Origin": origin})
		}
	}
	var origins []any
	denials, _ := o.Denials()
	for _, d := range denials {
		origins = append(origins, d["origin"])
	}
	if want := "[https://thrice.example.com https://twice.example.com https://once.example.com]"; fmt.Sprint(origins) != want {
		t.Errorf("the order is %v, want %s", origins, want)
	}

	for _, test := range []struct {
		name, method string
		header       fields
		status       int
		words        string
	}{
		{"HEAD", "HEAD", nil, 200, ""},
		{"another method", "POST", nil, 405, "GET shows the list, DELETE clears it"},
		{"a page of another origin", "GET", fields{"Origin": "https://evil.com"}, 403, "not allowed to access from origin"},
		{"a page of another origin that deletes", "DELETE", fields{"Origin": "https://evil.com"}, 403, "not allowed to access from origin"},
		{"an opaque origin", "GET", fields{"Origin": "null"}, 400, "null"},
		{"a page that asks no-cors", "DELETE", fields{"Sec-Fetch-Mode": "no-cors"}, 400, "same-origin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := livecaddy.Send(t, test.method, list, test.header)
			if res.StatusCode != test.status || !strings.Contains(res.Text, test.words) {
				t.Errorf("%s: %s", res.Status, res.Text)
			}
			if allow := res.Header.Get("Allow"); (test.status == 405) != (allow == "GET, HEAD, DELETE") {
				t.Errorf("Allow: %q", allow)
			}
		})
	}

	o.Reload("cors " + other + "\nrespond hello again")
	if after, _ := o.Denials(); fmt.Sprint(after) != fmt.Sprint(denials) {
		t.Errorf("after a reload the list is\n\t%v, before it was\n\t%v", after, denials)
	}
	if res := livecaddy.Send(t, "DELETE", o.DenialsURL(), nil); res.StatusCode != 204 || res.Text != "" {
		t.Errorf("DELETE: %s: %s", res.Status, res.Text)
	}
	if after, others := o.Denials(); len(after) != 0 || others != 0 {
		t.Errorf("DELETE leaves %v and %d others", after, others)
	}
	before := len(o.Logged())
	livecaddy.Send(t, "GET", o.URL, fields{"Origin": "https://once.example.com"})
	if n := len(o.Logged()) - before; n != 1 {
		t.Errorf("after DELETE, what is denied again has %d log lines", n)
	}
}

// Requests, readers, deleters and reloads at once, for the race detector.
func TestAdminAPIConcurrently(t *testing.T) {
	const directives = "cors " + app + "\nrespond hello"
	o := livecaddy.Observe(t, directives, "metrics")
	client := livecaddy.HTTP1(t)
	do := func(method, url, origin string) (ok bool) {
		req, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Error(err)
			return false
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := client.Do(req)
		if err != nil {
			return false // a reload can reset a connection
		}
		res.Body.Close()
		return res.StatusCode < 300
	}
	list := "http://" + o.Admin + "/cors/denials"
	var wg sync.WaitGroup
	var served atomic.Int64
	many := func(n int, request func(i int) bool) {
		wg.Go(func() {
			for i := range n {
				if request(i) {
					served.Add(1)
				}
			}
		})
	}
	for worker := range 4 {
		many(200, func(i int) bool { return do("GET", o.URL, fmt.Sprintf("https://%d.example.com", worker*50+i)) })
		many(20, func(int) bool { return do("GET", list, "") })
	}
	many(10, func(int) bool { return do("DELETE", list, "") })
	for range 3 {
		o.ReloadInPlace(directives, "metrics")
	}
	wg.Wait()
	if n := served.Load(); n < 445 {
		t.Errorf("%d of 890 requests were served", n)
	}
}

// page returns docs/observability.md from one heading on to the next of any level, all of it for "".
func page(t testing.TB, heading string) string {
	t.Helper()
	text, err := os.ReadFile("docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), heading)
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	if heading != "" {
		section, _, _ = strings.Cut(section, "\n## ")
	}
	return section
}

// blocks returns the code blocks of a text that are of the language.
func blocks(text, language string) []string {
	var found []string
	for i, part := range strings.Split("\n"+text, "\n```") { // every second one is a block
		if first, block, _ := strings.Cut(part, "\n"); i%2 == 1 && first == language {
			found = append(found, block+"\n")
		}
	}
	return found
}

// The JSON and the log lines of the page have the fields that there are, in their order, and the series are named right.
func TestPageIsRight(t *testing.T) {
	const directives = "cors " + app + "\nrespond hello"
	o := livecaddy.Observe(t, directives, "metrics")
	livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": "PUT"})
	names := func(text string) []string {
		var found []string
		for _, match := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
		return found
	}
	res := livecaddy.Send(t, "GET", o.DenialsURL(), nil)
	shown := blocks(page(t, "## Admin API"), "json output")[0]
	if got, want := names(shown), names(res.Text); !slices.Equal(got, want) {
		t.Errorf("the page shows the fields\n\t%v, there are\n\t%v", got, want)
	}
	if !json.Valid([]byte(shown)) {
		t.Error("the page shows JSON that is none")
	}
	line := ""
	for text := range strings.Lines(o.Log()) {
		if strings.Contains(text, "request denied") {
			line = text
		}
	}
	got, want := names(blocks(page(t, "## Log"), "json output")[0]), slices.DeleteFunc(names(line), func(name string) bool { return name == "ts" })
	if !slices.Equal(got, want) {
		t.Errorf("the page shows a line with\n\t%v, there are\n\t%v", got, want)
	}
	metrics := page(t, "## Metrics")
	for labels := range maps.Keys(o.Series()) {
		name, rest, _ := strings.Cut(labels, "{")
		if !strings.Contains(metrics, "`caddy_http_cors_"+name+"`") {
			t.Errorf("the page does not name %s", name)
		}
		for _, match := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(rest, -1) {
			if !strings.Contains(metrics, "| `"+match[1]+"` |") {
				t.Errorf("the page does not explain the label %s", match[1])
			}
		}
	}
}

// The page's recipe, from the first policy that is only tried to the last that is enforced.
func TestRollout(t *testing.T) {
	api := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the API's answer") })
	recipe := page(t, "## Turning CORS on for a live API")
	configs := blocks(recipe, "caddyfile")
	if len(configs) != 3 {
		t.Fatalf("%d Caddyfiles", len(configs))
	}
	config := func(i int) string {
		inner := strings.TrimSuffix(strings.TrimPrefix(configs[i], "api.example.com {\n"), "}\n")
		return strings.ReplaceAll(inner, "localhost:9000", api)
	}
	o := livecaddy.Observe(t, config(0))

	type call struct {
		method, path string
		header       fields
	}
	preflight := func(path, origin, method, headers string) call {
		return call{"OPTIONS", path, fields{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}}
	}
	const admin, evil = "https://admin.example.com", "https://evil.example"
	put := preflight("/orders/7", app, "PUT", "content-type")
	key := preflight("/reports", app, "GET", "x-api-key")
	fromAdmin := call{"GET", "/users", fields{"Origin": admin}}
	fromEvil := call{"GET", "/users", fields{"Origin": evil}}
	known := call{"GET", "/orders", fields{"Origin": app}}
	ownPage := call{"GET", "/", fields{"Origin": o.URL, "Sec-Fetch-Site": "same-origin"}}
	curl := call{"POST", "/orders", nil}
	all := []call{known, ownPage, curl, put, put, put, put, key, key, key, fromAdmin, fromAdmin, fromEvil}
	do := func(c call) livecaddy.Response { return livecaddy.Send(t, c.method, o.URL+c.path, c.header) }

	// A day of calls: none of them notices.
	for _, c := range all {
		if res := do(c); res.StatusCode != 200 || res.Text != "the API's answer" || len(res.CORS())+len(res.Vary()) > 0 {
			t.Errorf("%s %s, only reporting: %s %v %v %q", c.method, c.path, res.Status, res.CORS(), res.Vary(), res.Text)
		}
	}
	// The list is that of the page, and has the lines that the next Caddyfile of the page adds.
	table := regexp.MustCompile(`(?m)^\d+ .*  ([a-z].*)$`).FindAllStringSubmatch(blocks(recipe, "")[0], -1)
	list, _ := o.Denials()
	if len(list) != len(table) {
		t.Fatalf("%d entries, the page shows %d: %v", len(list), len(table), list)
	}
	for i, d := range list {
		if d["fix"] != table[i][1] || d["report_only"] != true {
			t.Errorf("place %d is %v, the page shows %s", i, d, table[i][1])
		}
		if taken := strings.Contains(configs[1], "\t\t"+d["fix"].(string)+"\n"); taken != (d["origin"] != evil) {
			t.Errorf("the fix %q is in the next Caddyfile: %v", d["fix"], taken)
		}
	}

	// The lines are in, the list is empty: another day.
	o.Reload(config(1))
	livecaddy.Send(t, "DELETE", o.DenialsURL(), nil)
	for _, c := range all {
		if res := do(c); res.StatusCode != 200 || len(res.CORS()) > 0 {
			t.Errorf("%s %s, still reporting: %s %v", c.method, c.path, res.Status, res.CORS())
		}
	}
	if list, _ := o.Denials(); len(list) != 1 || list[0]["origin"] != evil {
		t.Errorf("left: %v", list)
	}

	// Enforcing: whatever was right works, and what was not is refused.
	o.Reload(config(2))
	for _, c := range all {
		res := do(c)
		switch {
		case c.header["Origin"] == evil:
			res.Want(t, 403, nil, varyOrigin)
		case c.method == "OPTIONS":
			if res.StatusCode != 204 || res.Header.Get("Access-Control-Max-Age") == "" {
				t.Errorf("the preflight of %s: %s %v", c.path, res.Status, res.CORS())
			}
		case c.header == nil || c.header["Sec-Fetch-Site"] != "":
			res.Want(t, 200, nil, varyOrigin)
		default:
			res.Want(t, 200, []string{"Access-Control-Allow-Origin: " + c.header["Origin"]}, varyOrigin)
		}
	}
	if list, _ := o.Denials(); len(list) != 1 || list[0]["origin"] != evil || list[0]["report_only"] != false || list[0]["count"] != 2.0 {
		t.Errorf("at the end: %v", list)
	}
}
