package caddycors_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// observed is a Caddy with one site and the admin API, and with no denials yet.
type observed struct {
	*livecaddy.Server
	t        testing.TB
	url, api string
}

func observe(t testing.TB, directives string, globalOptions ...string) *observed {
	t.Helper()
	caddycors.ForgetDenials()
	o := &observed{t: t}
	o.listen()
	o.Server = livecaddy.Start(t, o.site(directives), o.options(globalOptions)...)
	return o
}

// listen chooses the addresses for the next configuration.
func (o *observed) listen() {
	o.url, o.api = "http://127.0.0.1:"+livecaddy.FreePort(o.t), "127.0.0.1:"+livecaddy.FreePort(o.t)
}

func (o *observed) site(directives string) string { return o.url + " {\n" + directives + "\n}\n" }

func (o *observed) options(more []string) []string {
	return append([]string{"admin " + o.api}, more...)
}

// reload gives the site other directives. It has other addresses then, because a connection to one that is listened on
// before and after could still end up at the server that stops.
func (o *observed) reload(directives string, globalOptions ...string) {
	o.t.Helper()
	o.listen()
	o.Reload(o.site(directives), o.options(globalOptions)...)
}

// A denial is an entry of the list, with all fields of its JSON.
type denial map[string]any

// denials asks the admin API for the list.
func (o *observed) denials() (list []denial, others int) {
	o.t.Helper()
	res := send(o.t, http1(o.t), "GET", "http://"+o.api+"/cors/denials", nil)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
		o.t.Fatalf("%s, %s: %s", res.Status, res.Header.Get("Content-Type"), res.body)
	}
	var report struct {
		Denials []denial
		Others  int
	}
	if err := json.Unmarshal([]byte(res.body), &report); err != nil {
		o.t.Fatal(err)
	}
	if report.Denials == nil {
		o.t.Fatalf("no list: %s", res.body)
	}
	return report.Denials, report.Others
}

// logged returns the lines that the handlers have logged about denials, without their time and level.
func (o *observed) logged() []denial {
	o.t.Helper()
	var lines []denial
	for text := range strings.Lines(o.Log()) {
		var line denial
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			o.t.Fatalf("%v: %s", err, text)
		}
		if line["logger"] != "http.handlers.cors" || line["msg"] != "request denied" {
			continue
		}
		if line["level"] != "warn" {
			o.t.Errorf("level %s", line["level"])
		}
		for _, field := range []string{"level", "ts", "logger", "msg"} {
			delete(line, field)
		}
		lines = append(lines, line)
	}
	return lines
}

// series returns the samples of the metrics, those of cors, by their labels.
func (o *observed) series() map[string]float64 {
	o.t.Helper()
	res := send(o.t, http1(o.t), "GET", "http://"+o.api+"/metrics", nil)
	samples := map[string]float64{}
	for line := range strings.Lines(res.body) {
		if rest, ok := strings.CutPrefix(line, "caddy_http_cors_"); ok {
			labels, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				o.t.Fatal(err)
			}
			samples[labels] = n
		}
	}
	return samples
}

func TestDenialIsLoggedAndListed(t *testing.T) {
	o := observe(t, `
		cors `+app+` {
			allow_methods PUT
			policy partner https://partner.example.com
		}
		respond hello`)
	host := strings.TrimPrefix(o.url, "http://")
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
		{"an origin's preflight", "OPTIONS", "/", ask(other, "PUT", ""),
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
			caddycors.ForgetDenials()
			before := len(o.logged())
			for range 3 {
				send(t, http1(t), test.method, o.url+test.path, test.header)
			}
			want := denial{"host": host, "policy": "default", "report_only": false, "count": 1.0}
			maps.Copy(want, test.want)
			if got := o.logged()[before:]; len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
				t.Errorf("logged\n\t%v, want\n\t%v", got, want)
			}
			want["count"] = 3.0
			list, others := o.denials()
			if len(list) != 1 || others != 0 {
				t.Fatalf("listed: %v and %d others", list, others)
			}
			if first, last := list[0]["first_seen"].(string), list[0]["last_seen"].(string); first > last {
				t.Errorf("seen first at %s, last at %s", first, last)
			}
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
	o := observe(t, "cors "+app+"\nrespond hello")
	for _, header := range []fields{
		nil,
		{"Origin": app},
		{"Origin": o.url, "Sec-Fetch-Site": "same-origin"},
	} {
		send(t, http1(t), "GET", o.url, header)
	}
	send(t, http1(t), "OPTIONS", o.url, fields{"Origin": app, "Access-Control-Request-Method": "GET"})
	if list, _ := o.denials(); len(list)+len(o.logged()) != 0 {
		t.Errorf("listed: %v; logged: %v", list, o.logged())
	}
}

// report_only logs and lists what it would have denied, and says so.
func TestReportOnlyIsLogged(t *testing.T) {
	o := observe(t, "cors "+app+" {\nreport_only\n}\nrespond hello")
	res := send(t, http1(t), "GET", o.url, fields{"Origin": other})
	res.want(t, 200, nil, nil)
	list, _ := o.denials()
	if lines := o.logged(); len(list) != 1 || list[0]["report_only"] != true || len(lines) != 1 || lines[0]["report_only"] != true {
		t.Errorf("listed: %v; logged: %v", list, lines)
	}
}

// The path is the one that was asked for, not what it was rewritten to.
func TestDenialHasOriginalPath(t *testing.T) {
	o := observe(t, "handle_path /api/* {\nroute {\nrewrite /elsewhere\ncors "+app+"\nrespond hello\n}\n}")
	send(t, http1(t), "GET", o.url+"/api/orders?x=y", fields{"Origin": other})
	if list, _ := o.denials(); len(list) != 1 || list[0]["path"] != "/api/orders" {
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
			o := observe(t, fmt.Sprintf(site, ""))
			if res := send(t, http1(t), test.method, o.url, test.header); !strings.HasPrefix(res.Header.Get("X-Cors-Decision"), "denied") {
				t.Fatalf("decided: %s", res.Header.Get("X-Cors-Decision"))
			}
			list, _ := o.denials()
			o.reload(fmt.Sprintf(site, list[0]["fix"]))
			if res := send(t, http1(t), test.method, o.url, test.header); !strings.HasPrefix(res.Header.Get("X-Cors-Decision"), "allowed") {
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
	o := observe(t, "cors "+app+" {\nallow_methods *\n}\nrespond hello", logs...)
	requests := 0
	for _, value := range hostile {
		send(t, http1(t), "GET", o.url+"/"+strings.Repeat("a", 5000), fields{"Origin": value})
		send(t, http1(t), "OPTIONS", o.url, fields{"Origin": app, "Access-Control-Request-Method": value})
		send(t, http1(t), "OPTIONS", o.url, fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": value})
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
	res := send(t, http1(t), "GET", "http://"+o.api+"/cors/denials", nil)
	if other := unprintable.FindString(strings.NewReplacer("\n", "", "\t", "").Replace(res.body)); other != "" {
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
	o := observe(t, directives, "metrics")
	start := o.series()
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
		{"GET", "/", fields{"Origin": o.url, "Sec-Fetch-Site": "same-origin"}},
		{"GET", "/", fields{"Origin": other}},
		{"GET", "/", fields{"Origin": "null"}},
		{"GET", "/", fields{"Origin": "x\"\xff"}},
		{"OPTIONS", "/", preflight(app, "GET")},
		{"OPTIONS", "/", preflight(app, "PUT")},
		{"OPTIONS", "/", preflight("https://partner.example.com", "PUT")},
		{"OPTIONS", "/", preflight("https://partner.example.com", "BREW")},
		{"OPTIONS", "/", preflight(other, "PUT")},
	} {
		send(t, http1(t), request.method, o.url+request.path, request.header)
	}
	after := o.series()
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
		want[fmt.Sprintf("requests_total{kind=%q,outcome=%q,policy=%q,reason=%q}", part[0], part[1], part[2], part[3])] = n
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
	if named != 5 {
		t.Errorf("%d series of a policy that is not the last, want 5", named)
	}

	o.reload(directives, "metrics")
	if got := increases(after, o.series()); len(got) != 0 {
		t.Errorf("a reload has changed %v", got)
	}
	send(t, http1(t), "GET", o.url, fields{"Origin": app})
	if got := increases(after, o.series()); len(got) != 1 {
		t.Errorf("a request after a reload has changed %v", got)
	}

	o.reload(directives)
	send(t, http1(t), "GET", o.url, fields{"Origin": app})
	if got := o.series(); len(got) != 0 {
		t.Errorf("without metrics there are %v", got)
	}
}

// A request whose error route has a cors too is counted once, by the first decision.
func TestErrorRouteCountsOnce(t *testing.T) {
	o := observe(t, `
		cors `+app+` {
			enforce
		}
		respond hello
		handle_errors {
			cors *
			respond "{http.vars.cors.outcome}|{http.vars.cors.reason}"
		}`, "metrics")
	before := o.series()
	res := send(t, http1(t), "GET", o.url, fields{"Origin": other})
	if res.body != "allowed|" { // by the error route, which has the last word
		t.Errorf("the page says %q", res.body)
	}
	if got, want := increases(before, o.series()), `map[requests_total{kind="actual",outcome="denied",policy="default",reason="origin-not-allowed"}:1]`; fmt.Sprint(got) != want {
		t.Errorf("the series rose by %v, want %v", got, want)
	}
	if list, _ := o.denials(); len(list) != 1 || list[0]["count"] != 1.0 {
		t.Errorf("listed: %v", list)
	}
}

// The placeholders are there for the handlers behind, for error pages and for the access log, whoever answers.
func TestPlaceholders(t *testing.T) {
	const shown = `"{http.vars.cors.outcome}|{http.vars.cors.reason}|{http.vars.cors.policy}"`
	o := observe(t, `
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
		{"same origin", "GET", fields{"Origin": o.url, "Sec-Fetch-Site": "same-origin"}, "same-origin||default", "same-origin||default"},
		{"denied, in an error page", "GET", fields{"Origin": other}, "denied|origin-not-allowed|default", "denied|origin-not-allowed|default"},
		{"a preflight", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}, "denied|method-not-allowed|default", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(o.Log())
			res := send(t, http1(t), test.method, o.url, test.header)
			if res.body != test.body {
				t.Errorf("behind cors: %q, want %q", res.body, test.body)
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
