package caddycors_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

type denial = livecaddy.Denial

func TestDenialIsLoggedAndListed(t *testing.T) {
	o := livecaddy.Observe(t, `
		cors `+app+` {
			allow_methods PUT
			policy partner https://partner.example.com
		}
		respond hello`)
	host := strings.TrimPrefix(o.URL, "http://")
	ask := func(origin, method, headers string) fields {
		return fields{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
	}
	for _, test := range []struct {
		name, method, path string
		header             fields
		want               denial // besides what all have
	}{
		{"an origin", "POST", "/orders?token=secret", fields{"Origin": other},
			denial{"reason": "origin-not-allowed", "origin": other, "kind": "actual", "method": "POST", "path": "/orders", "fix": "allow_origins " + other}},
		{"an origin's preflight", "OPTIONS", "/", ask(other, "PUT", "x-foo,x-bar"),
			denial{"reason": "origin-not-allowed", "origin": other, "kind": "preflight", "method": "PUT", "path": "/", "fix": "allow_origins " + other}},
		{"a method", "OPTIONS", "/a/b", ask(app, "DELETE", ""),
			denial{"reason": "method-not-allowed", "origin": app, "detail": "DELETE", "kind": "preflight", "method": "DELETE", "path": "/a/b", "fix": "allow_methods DELETE"}},
		{"a header", "OPTIONS", "/", ask(app, "PUT", "x-foo"),
			denial{"reason": "header-not-allowed", "origin": app, "detail": "x-foo", "kind": "preflight", "method": "PUT", "path": "/", "fix": "allow_headers x-foo"}},
		{"a policy of its own", "OPTIONS", "/", ask("https://partner.example.com", "PUT", ""),
			denial{"reason": "method-not-allowed", "origin": "https://partner.example.com", "detail": "PUT", "kind": "preflight", "method": "PUT", "path": "/", "policy": "partner", "fix": "allow_methods PUT"}},
		{"a path that is no text", "GET", "/%0a%1b%c3%a9%22", fields{"Origin": other},
			denial{"reason": "origin-not-allowed", "origin": other, "kind": "actual", "method": "GET", "path": "/%0a%1b%c3%a9%22", "fix": "allow_origins " + other}},
	} {
		t.Run(test.name, func(t *testing.T) {
			livecaddy.ForgetDenials(t)
			before := len(o.Logged())
			for range 3 {
				livecaddy.Send(t, test.method, o.URL+test.path, test.header)
			}
			want := denial{"host": host, "policy": "default", "report_only": false, "count": 1.0}
			maps.Copy(want, test.want)
			if got := o.Logged()[before:]; len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
				t.Errorf("logged\n\t%v, want\n\t%v", got, want)
			}
			want["count"], want["server"], want["scheme"] = 3.0, "srv0", "http"
			if names := test.header["Access-Control-Request-Headers"]; names != "" {
				want["request_headers"] = strings.Split(names, ",")
			}
			list, others := o.Denials()
			if len(list) != 1 || others != 0 {
				t.Fatalf("listed: %v and %d others", list, others)
			}
			lines, _ := list[0]["lines"].([]any)
			if fix := fmt.Sprint(want["fix"]); len(lines) > 0 != strings.HasPrefix(fix, "allow_") || len(lines) > 1 {
				t.Errorf("the lines of the fix %q are %v", fix, lines)
			} else if len(lines) == 1 {
				line := lines[0].(map[string]any)
				if got := fmt.Sprint(line["option"], " ", line["values"].([]any)[0]); got != fix {
					t.Errorf("the line of the fix %q is %q", fix, got)
				}
			}
			delete(list[0], "lines")
			if first, last := list[0]["first_seen"].(string), list[0]["last_seen"].(string); first > last {
				t.Errorf("seen first at %s, last at %s", first, last)
			}
			if id, _ := list[0]["id"].(string); len(id) != 12 {
				t.Errorf("the id is %q", id)
			}
			delete(list[0], "id")
			delete(list[0], "first_seen")
			delete(list[0], "last_seen")
			if fmt.Sprint(list[0]) != fmt.Sprint(want) {
				t.Errorf("listed\n\t%v, want\n\t%v", list[0], want)
			}
		})
	}
	if strings.Contains(o.Log(), "secret") {
		t.Error("the query is in the log")
	}
}

// What is not denied is neither logged nor listed.
func TestOnlyDenialsAreLogged(t *testing.T) {
	o := livecaddy.Observe(t, "cors "+app+"\nrespond hello")
	for _, header := range []fields{
		nil,
		{"Origin": app},
		{"Origin": o.URL, "Sec-Fetch-Site": "same-origin"},
	} {
		livecaddy.Send(t, "GET", o.URL, header)
	}
	livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": "GET"})
	if list, _ := o.Denials(); len(list)+len(o.Logged()) != 0 {
		t.Errorf("listed: %v; logged: %v", list, o.Logged())
	}
}

// report_only logs and lists what it would have denied, and says so.
func TestReportOnlyIsLogged(t *testing.T) {
	o := livecaddy.Observe(t, "cors "+app+" {\nreport_only\n}\nrespond hello")
	res := livecaddy.Send(t, "GET", o.URL, fields{"Origin": other})
	res.Want(t, 200, nil, nil)
	list, _ := o.Denials()
	if lines := o.Logged(); len(list) != 1 || list[0]["report_only"] != true || len(lines) != 1 || lines[0]["report_only"] != true {
		t.Errorf("listed: %v; logged: %v", list, lines)
	}
}

// The path is the one that was asked for, not what it was rewritten to.
func TestDenialHasOriginalPath(t *testing.T) {
	o := livecaddy.Observe(t, "handle_path /api/* {\nroute {\nrewrite /elsewhere\ncors "+app+"\nrespond hello\n}\n}")
	livecaddy.Send(t, "GET", o.URL+"/api/orders?x=y", fields{"Origin": other})
	if list, _ := o.Denials(); len(list) != 1 || list[0]["path"] != "/api/orders" {
		t.Errorf("listed: %v", list)
	}
}

// Each fix that is a line or more can be written into the block, and then the same request is allowed.
func TestFixesFix(t *testing.T) {
	network := fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
	for _, test := range []struct {
		name, block string
		method      string
		header      fields
	}{
		{"an origin", "", "GET", fields{"Origin": other}},
		{"an http origin, with credentials", "allow_credentials", "GET", fields{"Origin": "http://other.example.com"}},
		{"a method", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}},
		{"a method that starts like a comment", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "#`"}},
		{"a header", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-foo"}},
		{"headers", "allow_headers X-Bar", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-foo,x-bar,`a,#b"}},
		{"authorization beside a star", "allow_headers *", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}},
		{"a private network", "", "OPTIONS", network},
		{"a method and a header", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-foo"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := "cors " + app + " {\n" + test.block + "\ndebug\n%s\n}\nrespond hello"
			o := livecaddy.Observe(t, fmt.Sprintf(site, ""))
			if res := livecaddy.Send(t, test.method, o.URL, test.header); !strings.HasPrefix(res.Header.Get("X-Cors-Decision"), "denied") {
				t.Fatalf("decided: %s", res.Header.Get("X-Cors-Decision"))
			}
			list, _ := o.Denials()
			o.Reload(fmt.Sprintf(site, list[0]["fix"]))
			if res := livecaddy.Send(t, test.method, o.URL, test.header); !strings.HasPrefix(res.Header.Get("X-Cors-Decision"), "allowed") {
				t.Errorf("with %q: %s", list[0]["fix"], res.Header.Get("X-Cors-Decision"))
			}
		})
	}
}

// hostile are header values that a Go server accepts and a terminal or a log should not.
var hostile = []string{
	"https://\xc2\x9b31m.example.com",
	"https://\xe2\x80\xae.example.com",
	"https://a\",\"level\":\"error.example.com",
	"https://\xff\xfe\x80\t\\n{\"}",
	"https://" + strings.Repeat("a", 8000) + ".example.com",
	strings.Repeat("\xc3\xa9", 4000),
}

// Whatever a request holds, a denial is one short line of printable ASCII, in both of Caddy's encodings.
func TestHostileValuesInLog(t *testing.T) {
	dir := t.TempDir()
	var logs []string
	for _, encoding := range []string{"console", "json"} {
		logs = append(logs, fmt.Sprintf("log %s {\noutput file %s\nformat %[1]s\ninclude http.handlers.cors\n}", encoding, filepath.Join(dir, encoding)))
	}
	o := livecaddy.Observe(t, "cors "+app+" {\nallow_methods *\n}\nrespond hello", logs...)
	requests := 0
	for _, value := range hostile {
		livecaddy.Send(t, "GET", o.URL+"/"+strings.Repeat("a", 5000), fields{"Origin": value})
		livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": value})
		livecaddy.Send(t, "OPTIONS", o.URL, fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": value})
		requests += 3
	}
	for _, encoding := range []string{"console", "json"} {
		log, err := os.ReadFile(filepath.Join(dir, encoding))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for line := range strings.Lines(string(log)) {
			if !strings.Contains(line, "request denied") {
				continue
			}
			lines++
			if len(line) > 3000 {
				t.Errorf("%s: a line of %d bytes", encoding, len(line))
			}
			// The console encoding separates its columns by tabs, and colors the level; the rest is ours.
			_, fields, _ := strings.Cut(line, "request denied")
			if other := unprintable.FindString(strings.TrimSpace(fields)); other != "" {
				t.Errorf("%s: %q in %q", encoding, other, line)
			}
		}
		if lines != requests {
			t.Errorf("%s: %d lines for %d requests", encoding, lines, requests)
		}
	}
	res := livecaddy.Send(t, "GET", o.DenialsURL(), nil)
	if other := unprintable.FindString(strings.NewReplacer("\n", "", "\t", "").Replace(res.Text)); other != "" {
		t.Errorf("%q in the list", other)
	}
}

var unprintable = regexp.MustCompile(`[^ -~]`)

// increases sends nothing itself; it returns what requests in between have added to the series.
func increases(before, after map[string]float64) map[string]float64 {
	added := map[string]float64{}
	for labels, n := range after {
		if n != before[labels] {
			added[labels] = n - before[labels]
		}
	}
	return added
}

// A request is counted once by each cors that decides about it: by one that only reports, and by the first after it. What
// passes through another cors, or comes again as an error, is not counted again.
func TestMetricsOfSeveral(t *testing.T) {
	const reports, decides = "{kind=\"actual\",mode=\"report_only\"", "{kind=\"actual\",mode=\"decide\""
	o := livecaddy.Observe(t, `
		route {
			cors `+other+` {
				report_only
			}
			cors `+app+`
			handle {
				cors https://third.example.com
				error /error 500
				respond hello
			}
		}
		handle_errors {
			cors `+other+`
			respond page
		}`, "metrics")
	for _, test := range []struct {
		path, origin string
		want         map[string]float64
	}{
		{"/", app, map[string]float64{
			reports + `,outcome="denied",policy="default",reason="origin-not-allowed",server="srv0"}`: 1,
			decides + `,outcome="allowed",policy="default",reason="",server="srv0"}`:                  1,
		}},
		{"/", other, map[string]float64{
			reports + `,outcome="allowed",policy="default",reason="",server="srv0"}`:                  1,
			decides + `,outcome="denied",policy="default",reason="origin-not-allowed",server="srv0"}`: 1,
		}},
		{"/error", app, map[string]float64{
			reports + `,outcome="denied",policy="default",reason="origin-not-allowed",server="srv0"}`: 1,
			decides + `,outcome="allowed",policy="default",reason="",server="srv0"}`:                  1,
		}},
	} {
		t.Run(test.path+" "+test.origin, func(t *testing.T) {
			before := o.Series()
			livecaddy.Send(t, "GET", o.URL+test.path, fields{"Origin": test.origin})
			want := make(map[string]float64)
			for labels, n := range test.want {
				want["requests_total"+labels] = n
			}
			if got := increases(before, o.Series()); !maps.Equal(got, want) {
				t.Errorf("the series rose by\n\t%v, want\n\t%v", got, want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	const directives = `
		@two path /two
		cors @two https://two.example.com
		cors /three/* ` + app + ` {
			report_only
		}
		cors ` + app + ` {
			policy metrics-partner https://partner.example.com {
				allow_methods PUT
			}
		}
		respond hello`
	o := livecaddy.Observe(t, directives, "metrics")
	start := o.Series()
	preflight := func(origin, method string) fields {
		return fields{"Origin": origin, "Access-Control-Request-Method": method}
	}
	for _, request := range []struct {
		method, path string
		header       fields
	}{
		{"GET", "/", fields{"Origin": app}},
		{"GET", "/", fields{"Origin": app}},
		{"GET", "/two", fields{"Origin": "https://two.example.com"}},
		{"GET", "/", fields{"Origin": "https://partner.example.com"}},
		{"GET", "/", nil},
		{"GET", "/", fields{"Origin": o.URL, "Sec-Fetch-Site": "same-origin"}},
		{"GET", "/", fields{"Origin": other}},
		{"GET", "/", fields{"Origin": "null"}},
		{"GET", "/", fields{"Origin": "x\"\xff"}},
		{"OPTIONS", "/", preflight(app, "GET")},
		{"OPTIONS", "/", preflight(app, "PUT")},
		{"OPTIONS", "/", preflight("https://partner.example.com", "PUT")},
		{"OPTIONS", "/", preflight("https://partner.example.com", "BREW")},
		{"OPTIONS", "/", preflight(other, "PUT")},
	} {
		livecaddy.Send(t, request.method, o.URL+request.path, request.header)
	}
	after := o.Series()
	want := map[string]float64{}
	for _, sample := range []string{
		"actual allowed default  3", "actual allowed metrics-partner  1", "actual no-origin default  1", "actual same-origin default  1",
		"actual denied default origin-not-allowed 1", "actual denied default origin-null 1", "actual denied default origin-invalid 1",
		"preflight allowed default  1", "preflight denied default method-not-allowed 1",
		"preflight allowed metrics-partner  1", "preflight denied metrics-partner method-not-allowed 1",
		"preflight denied default origin-not-allowed 1",
	} {
		part := strings.Split(sample, " ")
		n, _ := strconv.ParseFloat(part[4], 64)
		want[fmt.Sprintf("requests_total{kind=%q,mode=\"decide\",outcome=%q,policy=%q,reason=%q,server=\"srv0\"}", part[0], part[1], part[2], part[3])] = n
	}
	if got := increases(start, after); !maps.Equal(got, want) {
		t.Errorf("the series rose by\n\t%v, want\n\t%v", got, want)
	}
	if got, want := slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(start)); !slices.Equal(got, want) {
		t.Errorf("requests have made series:\n\t%v, at the start they were\n\t%v", got, want)
	}
	named := 0
	for labels := range after {
		if strings.Contains(labels, `policy="metrics-partner"`) {
			named++
		}
	}
	if named != 14 {
		t.Errorf("%d series of a policy, want 14", named)
	}

	o.Reload(directives, "metrics")
	if got := increases(after, o.Series()); len(got) != 0 {
		t.Errorf("a reload has changed %v", got)
	}
	livecaddy.Send(t, "GET", o.URL, fields{"Origin": app})
	if got := increases(after, o.Series()); len(got) != 1 {
		t.Errorf("a request after a reload has changed %v", got)
	}

	o.Reload(directives)
	livecaddy.Send(t, "GET", o.URL, fields{"Origin": app})
	if got := o.Series(); len(got) != 0 {
		t.Errorf("without metrics there are %v", got)
	}
}

// A request whose error route has a cors too is counted once, by the first decision.
func TestErrorRouteCountsOnce(t *testing.T) {
	o := livecaddy.Observe(t, `
		cors `+app+` {
			enforce
		}
		respond hello
		handle_errors {
			cors *
			respond "{http.vars.cors.outcome}|{http.vars.cors.reason}"
		}`, "metrics")
	before := o.Series()
	res := livecaddy.Send(t, "GET", o.URL, fields{"Origin": other})
	if res.Text != "allowed|" { // by the error route, which has the last word
		t.Errorf("the page says %q", res.Text)
	}
	if got, want := increases(before, o.Series()), `map[requests_total{kind="actual",mode="enforce",outcome="denied",policy="default",reason="origin-not-allowed",server="srv0"}:1]`; fmt.Sprint(got) != want {
		t.Errorf("the series rose by %v, want %v", got, want)
	}
	if list, _ := o.Denials(); len(list) != 1 || list[0]["count"] != 1.0 {
		t.Errorf("listed: %v", list)
	}
}

// The placeholders are there for the handlers behind, for error pages and for the access log, whoever answers.
func TestPlaceholders(t *testing.T) {
	const shown = `"{http.vars.cors.outcome}|{http.vars.cors.reason}|{http.vars.cors.policy}"`
	o := livecaddy.Observe(t, `
		log
		log_append outcome {http.vars.cors.outcome}
		log_append reason {http.vars.cors.reason}
		log_append policy {http.vars.cors.policy}
		cors `+app+` {
			enforce
			policy placeholder-partner https://partner.example.com
		}
		respond `+shown+`
		handle_errors {
			respond `+shown+`
		}`)
	for _, test := range []struct {
		name, method string
		header       fields
		want, body   string
	}{
		{"allowed", "GET", fields{"Origin": app}, "allowed||default", "allowed||default"},
		{"another policy", "GET", fields{"Origin": "https://partner.example.com"}, "allowed||placeholder-partner", "allowed||placeholder-partner"},
		{"no origin", "GET", nil, "no-origin||default", "no-origin||default"},
		{"same origin", "GET", fields{"Origin": o.URL, "Sec-Fetch-Site": "same-origin"}, "same-origin||default", "same-origin||default"},
		{"denied, in an error page", "GET", fields{"Origin": other}, "denied|origin-not-allowed|default", "denied|origin-not-allowed|default"},
		{"a preflight", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}, "denied|method-not-allowed|default", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(o.Log())
			res := livecaddy.Send(t, test.method, o.URL, test.header)
			if res.Text != test.body {
				t.Errorf("behind cors: %q, want %q", res.Text, test.body)
			}
			logged := ""
			lines := bufio.NewScanner(strings.NewReader(o.Log()[before:]))
			for lines.Scan() {
				var line struct{ Logger, Outcome, Reason, Policy string }
				if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line.Logger, "http.log.access") {
					logged += line.Outcome + "|" + line.Reason + "|" + line.Policy
				}
			}
			if logged != test.want {
				t.Errorf("in the access log: %q, want %q", logged, test.want)
			}
		})
	}
}

// Denials of different directives are different, though they are written alike; and those of one stay together over a
// reload that does not change it.
func TestDenialsOfDirectives(t *testing.T) {
	const directives = `
		cors /a/* https://known.example
		cors /b/* https://known.example
		cors /c/* https://known.example {
			report_only
		}
		respond hello`
	o := livecaddy.Observe(t, directives)
	call := func(paths ...string) {
		for _, path := range paths {
			livecaddy.Send(t, "GET", o.URL+path, fields{"Origin": app})
		}
	}
	want := func(when string, want map[string]float64) {
		t.Helper()
		list, _ := o.Denials()
		got := make(map[string]float64)
		ids := make(map[any]bool)
		for _, d := range list {
			got[fmt.Sprint(d["path"], " ", d["report_only"])] = d["count"].(float64)
			ids[d["id"]] = true
		}
		if !maps.Equal(got, want) || len(ids) != len(want) {
			t.Errorf("%s: %v, want %v; with %d ids", when, got, want, len(ids))
		}
	}
	call("/a/1", "/b/1", "/b/1", "/b/1", "/c/1", "/c/1")
	want("at first", map[string]float64{"/a/1 false": 1, "/b/1 false": 3, "/c/1 true": 2})
	o.Reload("header X-Version 2\n" + directives)
	call("/a/1", "/b/1")
	want("after a reload that leaves them alone", map[string]float64{"/a/1 false": 2, "/b/1 false": 4, "/c/1 true": 2})
	if lines := o.Logged(); len(lines) != 3 {
		t.Errorf("%d lines, want one for each denial: %v", len(lines), lines)
	}
}

// A request that a directive only watches, and another decides about, is counted once by each.
func TestReportOnlyAndAnother(t *testing.T) {
	o := livecaddy.Observe(t, `
		route {
			cors https://known.example {
				report_only
			}
			cors https://known.example {
				enforce
			}
			respond hello
		}`, "metrics")
	before := o.Series()
	livecaddy.Send(t, "GET", o.URL, fields{"Origin": app}).Want(t, 403, nil, varyEnforced)
	const series = `requests_total{kind="actual",mode=%q,outcome="denied",policy="default",reason="origin-not-allowed",server="srv0"}`
	want := map[string]float64{fmt.Sprintf(series, "report_only"): 1, fmt.Sprintf(series, "enforce"): 1}
	if got := increases(before, o.Series()); !maps.Equal(got, want) {
		t.Errorf("the series rose by\n\t%v, want\n\t%v", got, want)
	}
	if list, _ := o.Denials(); len(list) != 2 || list[0]["count"] != 1.0 || list[1]["count"] != 1.0 || list[0]["report_only"] == list[1]["report_only"] {
		t.Errorf("listed: %v", list)
	}
}

// The error of a request that is refused can be asked for its reason.
func TestDeniedError(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	module, err := ctx.LoadModuleByID("http.handlers.cors", json.RawMessage(`{"allow_origins": ["`+app+`"], "enforce": "all"}`))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Origin", other)
	err = module.(caddyhttp.MiddlewareHandler).ServeHTTP(httptest.NewRecorder(), r, nil)
	denied, ok := errors.AsType[*caddycors.DeniedError](err)
	if !ok || denied.Reason != "origin-not-allowed" || denied.Detail != other {
		t.Errorf("the error is %v", err)
	}
}
