package livecaddy

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// An Observed is a Caddy with one site, whose admin API, log and metrics show what cors has decided.
type Observed struct {
	*Server

	// URL is the site's, without a trailing slash, and Admin the host and port of the admin API.
	URL, Admin string
}

// A Denial is an entry of the list of denials, or a line of the log, by the names of its fields.
type Denial map[string]any

// Observe runs Caddy with one plain HTTP site that has these directives, with an admin API, and with no denials yet.
func Observe(t testing.TB, directives string, globalOptions ...string) *Observed {
	t.Helper()
	ForgetDenials(t)
	o := new(Observed)
	o.listen(t)
	o.Server = Start(t, o.site(directives), o.options(globalOptions)...)
	return o
}

// ForgetDenials empties the list of the denials of this process, as the admin API does. What is denied again is logged
// as if it were new.
func ForgetDenials(t testing.TB) {
	t.Helper()
	info, err := caddy.GetModule("admin.api.cors")
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range info.New().(caddy.AdminRouter).Routes() {
		w := httptest.NewRecorder()
		if err := route.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodDelete, route.Pattern, nil)); err != nil {
			t.Fatal(err)
		}
	}
}

// listen chooses the addresses for the next configuration.
func (o *Observed) listen(t testing.TB) {
	t.Helper()
	o.URL, o.Admin = "http://127.0.0.1:"+FreePort(t), "127.0.0.1:"+FreePort(t)
}

func (o *Observed) site(directives string) string { return o.URL + " {\n" + directives + "\n}\n" }

func (o *Observed) options(more []string) []string {
	return append([]string{"admin " + o.Admin}, more...)
}

// Reload gives the site other directives. It has other addresses then, because a connection to one that is listened on
// before and after could still end up at the server that stops.
func (o *Observed) Reload(directives string, globalOptions ...string) {
	o.t.Helper()
	o.listen(o.t)
	o.ReloadInPlace(directives, globalOptions...)
}

// ReloadInPlace gives the site other directives, and leaves its addresses as they are.
func (o *Observed) ReloadInPlace(directives string, globalOptions ...string) {
	o.t.Helper()
	o.Server.Reload(o.site(directives), o.options(globalOptions)...)
}

// DenialsURL is that of the list of denials.
func (o *Observed) DenialsURL() string { return "http://" + o.Admin + "/cors/denials" }

// Denials asks the admin API for the list of denials, and for the count of those that it has no room for.
func (o *Observed) Denials() (list []Denial, others int) {
	o.t.Helper()
	res := Send(o.t, "GET", o.DenialsURL(), nil)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
		o.t.Fatalf("%s, %s: %s", res.Status, res.Header.Get("Content-Type"), res.Text)
	}
	var report struct {
		Denials []Denial
		Others  int
	}
	if err := json.Unmarshal([]byte(res.Text), &report); err != nil {
		o.t.Fatal(err)
	}
	if report.Denials == nil {
		o.t.Fatalf("no list: %s", res.Text)
	}
	return report.Denials, report.Others
}

// Logged returns the lines that cors has logged about denials, without their time and level.
func (s *Server) Logged() []Denial {
	s.t.Helper()
	var lines []Denial
	for text := range strings.Lines(s.Log()) {
		var line Denial
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			s.t.Fatalf("%v: %s", err, text)
		}
		if line["logger"] != "http.handlers.cors" || line["msg"] != "request denied" {
			continue
		}
		if line["level"] != "warn" {
			s.t.Errorf("level %s", line["level"])
		}
		for _, field := range []string{"level", "ts", "logger", "msg"} {
			delete(line, field)
		}
		lines = append(lines, line)
	}
	return lines
}

// Series returns the samples of the metrics whose names begin with caddy_http_cors_, by what follows that, labels
// included.
func (o *Observed) Series() map[string]float64 {
	o.t.Helper()
	res := Send(o.t, "GET", "http://"+o.Admin+"/metrics", nil)
	samples := map[string]float64{}
	for line := range strings.Lines(res.Text) {
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
