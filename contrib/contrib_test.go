package contrib_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const (
	app = "https://app.example.com"

	rulesFile, rulesTests = "prometheus/caddy-cors.rules.yml", "prometheus/caddy-cors.rules.test.yml"
	dashboardFile         = "grafana/caddy-cors.json"
)

// program returns the path of a program of Prometheus. Without it, a test says so and has nothing to do, but it fails where
// all programs are required.
func program(t *testing.T, name string) (path string, found bool) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path, true
	}
	if os.Getenv("CADDY_CORS_BROWSERS") == "required" {
		t.Fatalf("%s is missing, of the Debian package prometheus", name)
	}
	t.Logf("not run: it needs %s, of the Debian package prometheus", name)
	return "", false
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The rules are valid, the page explains each alert, and each has a case in which it fires.
func TestRules(t *testing.T) {
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(read(t, rulesFile), -1)
	tests, page := read(t, rulesTests), read(t, "../docs/observability.md")
	for _, alert := range alerts {
		if !strings.Contains(page, "| `"+alert[1]+"` |") {
			t.Errorf("docs/observability.md does not explain %s", alert[1])
		}
		cases := strings.Split(tests, "alertname: "+alert[1]+"\n")[1:]
		fires := slices.ContainsFunc(cases, func(text string) bool {
			this, _, _ := strings.Cut(text, "alertname:")
			return strings.Contains(this, "exp_labels:")
		})
		if len(cases) == 0 || !fires {
			t.Errorf("no case in which %s fires", alert[1])
		}
	}
	promtool, found := program(t, "promtool")
	if !found {
		return
	}
	for _, args := range [][]string{{"check", "rules", rulesFile}, {"test", "rules", rulesTests}} {
		if output, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
}

// A dashboard is what of one the test reads.
type dashboard struct {
	Panels []struct {
		ID      int
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// No panel hides another, and every query heeds the variables that a person has chosen.
func TestDashboard(t *testing.T) {
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, panel := range readDashboard(t).Panels {
		if ids[panel.ID] {
			t.Errorf("%s: another panel has the id %d", panel.Title, panel.ID)
		}
		ids[panel.ID] = true
		for x := range panel.GridPos.W {
			for y := range panel.GridPos.H {
				at := [2]int{panel.GridPos.X + x, panel.GridPos.Y + y}
				if other := taken[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s: %v is %q's, or beyond the edge", panel.Title, at, other)
				}
				taken[at] = panel.Title
			}
		}
		if len(panel.Targets) == 0 {
			t.Errorf("%s: it has no query", panel.Title)
		}
		for _, target := range panel.Targets {
			series := strings.Count(target.Expr, "caddy_http_cors_requests_total{")
			if series == 0 || strings.Count(target.Expr, `server=~"$server",policy=~"$policy"`) != series {
				t.Errorf("%s: %s", panel.Title, target.Expr)
			}
		}
	}
}

// Every query of the dashboard has an answer in a Prometheus that scrapes a Caddy with traffic of all kinds, and no rule
// fails there.
func TestWatching(t *testing.T) {
	binary, found := program(t, "prometheus")
	if !found {
		return
	}
	caddy := livecaddy.Observe(t, `
handle /enforced {
	cors `+app+` {
		enforce
	}
	respond hello
}
handle /reported {
	cors `+app+` {
		report_only
	}
	respond hello
}
handle {
	cors {
		policy partner `+app+` {
			allow_methods PUT
		}
	}
	respond hello
}`, "metrics")
	type fields = livecaddy.Fields
	const evil = "https://evil.example"
	// Of what is not only reported, 6 requests are allowed and 4 are denied; allowed are 2 preflights and 4 calls.
	traffic := func() {
		for range 4 {
			livecaddy.Send(t, "GET", caddy.URL, fields{"Origin": app})
		}
		for range 2 {
			livecaddy.Send(t, "OPTIONS", caddy.URL, fields{"Origin": app, "Access-Control-Request-Method": "PUT"})
		}
		livecaddy.Send(t, "OPTIONS", caddy.URL, fields{"Origin": app, "Access-Control-Request-Method": "DELETE"})
		livecaddy.Send(t, "GET", caddy.URL, fields{"Origin": evil})
		livecaddy.Send(t, "GET", caddy.URL, fields{"Origin": "nonsense"})
		livecaddy.Send(t, "GET", caddy.URL+"/enforced", fields{"Origin": evil})
		livecaddy.Send(t, "GET", caddy.URL+"/reported", fields{"Origin": evil})
		livecaddy.Send(t, "GET", caddy.URL, nil)
	}
	traffic()
	p := startPrometheus(t, binary, caddy.Admin)

	replacer := strings.NewReplacer("$server", ".*", "$policy", ".*", "$__rate_interval", "10s", "$__range", "10s")
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			query := replacer.Replace(target.Expr)
			var values []float64
			livecaddy.Eventually(t, panel.Title+" shows something: "+query, func() bool {
				traffic()
				values = p.query(t, query)
				return slices.ContainsFunc(values, func(v float64) bool { return v > 0 })
			})
			want, known := map[string]float64{"Denied": 0.4, "Preflights a call": 0.5}[panel.Title]
			if known && math.Abs(values[0]-want) > 0.1 {
				t.Errorf("%s: %v, want %v", panel.Title, values, want)
			}
		}
	}
	for _, variable := range readDashboard(t).Templating.List {
		inner := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(variable.Definition)
		if inner != nil && len(p.query(t, "count by ("+inner[2]+") ("+replacer.Replace(inner[1])+")")) == 0 {
			t.Errorf("the variable %s has no values", variable.Name)
		}
	}

	livecaddy.Eventually(t, "all rules were evaluated", func() bool {
		var answer struct {
			Data struct {
				Groups []struct {
					Rules []struct{ Name, Health, LastError string }
				}
			}
		}
		p.get(t, "/api/v1/rules", &answer)
		health := map[string]int{}
		for _, rule := range answer.Data.Groups[0].Rules {
			if rule.Health == "err" {
				t.Fatalf("%s: %s", rule.Name, rule.LastError)
			}
			health[rule.Health]++
		}
		return slices.Equal(slices.Collect(maps.Keys(health)), []string{"ok"})
	})
}

// A server is a running Prometheus, by its URL.
type server string

// startPrometheus runs a Prometheus that scrapes one Caddy, as docs/observability.md has it but for the interval.
func startPrometheus(t *testing.T, binary, target string) server {
	t.Helper()
	dir, address := t.TempDir(), "127.0.0.1:"+livecaddy.FreePort(t)
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf(`
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [%q]
scrape_configs:
  - job_name: caddy
    static_configs:
      - targets: [%q]
`, rules, target)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		log.Close()
		if t.Failed() {
			t.Log(read(t, log.Name()))
		}
	})
	s := server("http://" + address)
	livecaddy.Eventually(t, "Prometheus is ready", func() bool {
		response, err := http.Get(string(s) + "/-/ready")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return s
}

// get asks Prometheus's API.
func (s server) get(t *testing.T, path string, answer any) {
	t.Helper()
	response, err := http.Get(string(s) + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v: %s", path, response.StatusCode, err, body)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		t.Fatal(err)
	}
}

// query returns the values of the series that a query has for an answer now.
func (s server) query(t *testing.T, query string) (values []float64) {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	s.get(t, "/api/v1/query?query="+url.QueryEscape(query), &answer)
	for _, series := range answer.Data.Result {
		value, err := strconv.ParseFloat(series.Value[1].(string), 64)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}
