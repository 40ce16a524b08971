package docs_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/markdown"
)

// The JSON and the log lines of the page have the fields that there are, in their order, and the series are named right.
func TestObservability(t *testing.T) {
	page := markdown.Read(t, "observability.md")
	o := livecaddy.Observe(t, "cors "+app+"\nrespond hello", "metrics")
	livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"})
	names := func(text string) []string {
		var found []string
		for _, match := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
		return found
	}
	res := livecaddy.Send(t, "GET", o.DenialsURL(), nil)
	shown := page.Section(t, "Admin API").BlocksOf("json output")[0]
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
	got, want := names(page.Section(t, "Log").BlocksOf("json output")[0]), slices.DeleteFunc(names(line), func(name string) bool { return name == "ts" })
	if !slices.Equal(got, want) {
		t.Errorf("the page shows a line with\n\t%v, there are\n\t%v", got, want)
	}
	metrics := page.Section(t, "Metrics")
	for labels := range maps.Keys(o.Series()) {
		name, rest, _ := strings.Cut(labels, "{")
		if !strings.Contains(metrics.Text(), "`caddy_http_cors_"+name+"`") {
			t.Errorf("the page does not name %s", name)
		}
		for _, match := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(rest, -1) {
			if !slices.Contains(metrics.Code("label", "label"), match[1]) {
				t.Errorf("the page does not explain the label %s", match[1])
			}
		}
	}
}

// The page's recipe, from the first policy that is only tried to the last that is enforced.
func TestRollout(t *testing.T) {
	api := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the API's answer") })
	recipe := markdown.Read(t, "observability.md").Section(t, "Turning CORS on for a live API")
	configs := recipe.BlocksOf("caddyfile")
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
	table := regexp.MustCompile(`(?m)^ {8}([a-z].*)$`).FindAllStringSubmatch(recipe.BlocksOf("console")[0], -1)
	list, _ := o.Denials()
	if len(list) != len(table) {
		t.Fatalf("%d entries, the page shows %d: %v", len(list), len(table), list)
	}
	for i, d := range list {
		if d["fix"] != table[i][1] || d["report_only"] != true {
			t.Errorf("place %d is %v, the page shows %s", i, d, table[i][1])
		}
		_, value, _ := strings.Cut(d["fix"].(string), " ")
		if taken := strings.Contains(configs[1], value); taken != (d["origin"] != evil) {
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
			res.Want(t, 403, nil, varyEnforced)
		case c.method == "OPTIONS":
			if res.StatusCode != 204 || res.Header.Get("Access-Control-Max-Age") == "" {
				t.Errorf("the preflight of %s: %s %v", c.path, res.Status, res.CORS())
			}
		case c.header == nil || c.header["Sec-Fetch-Site"] != "":
			res.Want(t, 200, nil, varyEnforced)
		default:
			res.Want(t, 200, []string{"Access-Control-Allow-Origin: " + c.header["Origin"]}, varyEnforced)
		}
	}
	list, _ = o.Denials()
	if len(list) != 2 || list[0]["origin"] != evil || list[1]["origin"] != evil || list[0]["report_only"] == list[1]["report_only"] {
		t.Errorf("at the end, with what was reported and what was refused: %v", list)
	}
}
