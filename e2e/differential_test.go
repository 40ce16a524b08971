//go:build linux

package e2e_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

//go:embed differential.html
var differentialHTML []byte

//go:embed make.js
var makeJS []byte

// An outcome is what a script saw of a call.
type outcome struct {
	Status  int
	URL     string
	Headers []string
	Error   string // the exception's name
	Message string
	Loaded  bool // of a kind of which no more is seen
}

// seen is what a page can see of a call of a kind.
type seen int

const (
	nothing  seen = iota // what is loaded would have to be a font or a video, or nobody is told
	loaded               // whether it is
	response             // the status, the URL and the header
)

func seenOf(kind fetch.Kind) seen {
	switch kind {
	case fetch.KindBeacon, fetch.KindManifest:
		return nothing
	case fetch.KindEventSource, fetch.KindFont, fetch.KindMedia, fetch.KindScript, fetch.KindModule, fetch.KindStyle, fetch.KindImage, fetch.KindWebSocket:
		return loaded
	}
	return response
}

// describe writes it so that it can be compared, whoever the client is.
func (o outcome) describe(path string, kind fetch.Kind) string {
	if seenOf(kind) == nothing {
		return "made"
	}
	if o.Loaded {
		return "loaded"
	}
	switch o.Error {
	case "":
		// Go's client keeps Connection to itself.
		o.Headers = slices.DeleteFunc(o.Headers, func(name string) bool { return name == "connection" })
		return fmt.Sprintf("%d %s %s", o.Status, strings.Replace(o.URL, path, "", 1), o.Headers)
	case "TypeError":
		return "blocked"
	}
	return o.Error + ": " + o.Message
}

// A run is one client's execution of a script: what the script saw, call by call, and what the server was asked.
type run struct {
	outcomes, requests []string
	results            []*fetch.Result // of the package
}

func (r run) String() string {
	return strings.Join(r.outcomes, "; ") + "\n    " + strings.Join(r.requests, "\n    ")
}

func (r run) warnings() []fetch.Warning {
	var warnings []fetch.Warning
	for _, result := range r.results {
		warnings = append(warnings, result.Warnings...)
	}
	return warnings
}

// What the package says of a call, and what it asks the server, is what the engines say and ask: in scripts that are
// generated from a seed, and in some that are written by hand. Where an engine differs in a way that
// is known, the package has to say so.
//
// CADDY_CORS_SEED generates them from another seed, or, if it is "random", from one that nobody has seen; CADDY_CORS_CASES
// makes another number of them.
func TestDifferential(t *testing.T) {
	scripts := slices.Clone(writtenScripts)
	for _, d := range differences {
		scripts = append(scripts, d.script())
	}
	scripts = append(scripts, generatedScripts(t)...)

	pages := newScriptPages(t)
	server := newScriptedServer(t, scripts, pages, scriptOrigins...)
	transport := &http.Transport{DialContext: server.network.dial, TLSClientConfig: server.network.tls, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	expected := make([]run, len(scripts))
	allowed := 0
	for i, s := range scripts {
		expected[i] = server.fetch(t, transport, i)
		if expected[i].results[0].Verdict == fetch.Allowed {
			allowed++
		}
		if s.verdict != "" && s.verdict != expected[i].verdict() {
			t.Errorf("%v\nis %s, want %s", s, expected[i].verdict(), s.verdict)
		}
	}
	t.Logf("%d scripts, of which %d are allowed", len(scripts), allowed)

	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			outcomes := pages.browse(t, engine, server, scripts)
			name := fetch.Engine(strings.TrimSuffix(engine.name, "GTK"))
			agree, could, differ, failures := 0, 0, 0, 0
			for i, s := range scripts {
				path := pathOf(engine.name, i)
				got := run{requests: server.recordOf(path)}
				for _, o := range outcomes[i] {
					got.outcomes = append(got.outcomes, o.describe(path, s.kind))
				}
				sameOutcomes := slices.Equal(got.outcomes, expected[i].outcomes)
				same := sameOutcomes && slices.Equal(got.requests, expected[i].requests)
				known, knownVerdict := knownDifference(expected[i], name)
				switch {
				case same && slices.Contains(s.differs, name):
					t.Errorf("%s: the engine does as the Standard says\n%v\n%v", s.name, s, got)
				case same:
					agree++
					if known {
						could++
					}
				case !known || !sameOutcomes && !knownVerdict:
					if failures++; failures <= 20 {
						t.Errorf("%v\nwarnings %v\ngot  %v\nwant %v", s, expected[i].warnings(), got, expected[i])
					}
				default:
					differ++
				}
			}
			t.Logf("%d agree (%d of them could differ), %d differ as is known, %d differ otherwise", agree, could, differ, failures)
		})
	}
}

// generatedScripts makes them as the environment says.
func generatedScripts(t *testing.T) []script {
	t.Helper()
	number := func(name string, bits int) (n uint64, ok bool) {
		text := os.Getenv(name)
		if text == "" {
			return 0, false
		}
		n, err := strconv.ParseUint(text, 10, bits)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n, true
	}
	seed := uint64(33) // so that a run is like the one before
	if os.Getenv("CADDY_CORS_SEED") == "random" {
		seed = rand.Uint64()
	} else if n, ok := number("CADDY_CORS_SEED", 64); ok {
		seed = n
	}
	count, ok := number("CADDY_CORS_CASES", 31)
	if !ok {
		count = 300
	}
	t.Logf("CADDY_CORS_SEED=%d CADDY_CORS_CASES=%d", seed, count)
	g := newGenerator(seed)
	var scripts []script
	for range count {
		scripts = append(scripts, g.script())
	}
	return scripts
}

// fetch has the package run a script.
func (s *scriptedServer) fetch(t *testing.T, transport http.RoundTripper, number int) run {
	t.Helper()
	script, path := s.scripts[number], pathOf("fetch", number)
	client := &fetch.Client{Transport: transport}
	var r run
	for range script.times {
		result, err := client.Fetch(t.Context(), script.request(path))
		if err != nil && result == nil {
			t.Fatalf("%v\n%v", script, err)
		}
		o := outcome{Status: result.Status, URL: result.URL, Headers: result.ReadableHeaders}
		switch {
		case result.Verdict == fetch.Blocked, err != nil: // where a URL was upgraded, nobody may speak TLS
			o.Error = "TypeError"
		case seenOf(script.kind) == loaded:
			o.Loaded = true
		}
		r.outcomes = append(r.outcomes, o.describe(path, script.kind))
		r.results = append(r.results, result)
	}
	r.requests = s.recordOf(path)
	return r
}

// verdict is that of the last call, or the cause that it is blocked for.
func (r run) verdict() string {
	last := r.results[len(r.results)-1]
	if last.Verdict == fetch.Blocked {
		return string(last.Cause.Code)
	}
	return string(last.Verdict)
}

// knownDifference reports whether the engine can differ from a run in what the server is asked, and in what the script
// sees, too.
func knownDifference(r run, e fetch.Engine) (requests, verdict bool) {
	for _, d := range differences {
		if d.applies(r, e) {
			requests = true
			verdict = verdict || d.verdict
		}
	}
	return requests, verdict
}

// All differences are in the documentation.
func TestDifferencesAreDocumented(t *testing.T) {
	documentation, err := os.ReadFile("../docs/browsers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		if !strings.Contains(string(documentation), "`"+d.name+"`") {
			t.Errorf("docs/browsers.md does not have %s", d.name)
		}
	}
}

// scriptPages serve the pages that run scripts.
type scriptPages struct {
	*http.ServeMux
	calls     map[string]pageCalls // by the page's origin
	documents []*document
	outcomes  chan [][]outcome
}

type pageCalls struct {
	Calls []pageCall `json:"calls"`
	Next  string     `json:"next,omitempty"` // page
}

func newScriptPages(t *testing.T) *scriptPages {
	p := &scriptPages{ServeMux: http.NewServeMux()}
	p.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "differential.html", time.Time{}, bytes.NewReader(differentialHTML))
	})
	p.HandleFunc("GET /make.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "make.js", time.Time{}, bytes.NewReader(makeJS))
	})
	p.HandleFunc("GET /document/{number}", func(w http.ResponseWriter, r *http.Request) {
		number, err := strconv.Atoi(r.PathValue("number"))
		if err != nil || number >= len(p.documents) {
			t.Errorf("there is no %s", r.URL)
			return
		}
		d := p.documents[number]
		for _, field := range d.header {
			w.Header().Add(field.Name, field.Value)
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, d.html())
	})
	p.HandleFunc("GET /calls", func(w http.ResponseWriter, r *http.Request) {
		origin := "http://" + r.Host
		if r.TLS != nil {
			origin = "https://" + r.Host
		}
		if err := json.NewEncoder(w).Encode(p.calls[origin]); err != nil {
			t.Error(err)
		}
	})
	p.HandleFunc("POST /outcomes", func(w http.ResponseWriter, r *http.Request) {
		var outcomes [][]outcome
		if err := json.NewDecoder(r.Body).Decode(&outcomes); err != nil {
			t.Error(err)
		}
		p.outcomes <- outcomes
	})
	return p
}

// browse has all scripts run by a new browser, page after page, and returns what they saw.
func (p *scriptPages) browse(t *testing.T, e engine, server *scriptedServer, scripts []script) [][]outcome {
	t.Helper()
	p.documents = nil
	p.calls, p.outcomes = make(map[string]pageCalls), make(chan [][]outcome, len(pageOrigins))
	numbers := make(map[string][]int)
	for i, s := range scripts {
		calls := p.calls[s.page]
		call := s.pageCall(pathOf(e.name, i))
		if s.document != nil {
			number := slices.Index(p.documents, s.document)
			if number < 0 {
				number = len(p.documents)
				p.documents = append(p.documents, s.document)
			}
			call.Document = fmt.Sprintf("/document/%d", number)
		}
		calls.Calls = append(calls.Calls, call)
		p.calls[s.page] = calls
		numbers[s.page] = append(numbers[s.page], i)
	}
	for i, page := range pageOrigins[1:] {
		calls := p.calls[pageOrigins[i]]
		calls.Next = page + "/"
		p.calls[pageOrigins[i]] = calls
	}

	result := make([][]outcome, len(scripts))
	browser := e.open(t, server.network, pageOrigins[0]+"/")
	defer browser.end(t)
	timeout := time.After(4 * time.Minute)
	for _, page := range pageOrigins {
		select {
		case outcomes := <-p.outcomes:
			if len(outcomes) != len(numbers[page]) {
				t.Fatalf("%s: %d calls, but %d outcomes", page, len(numbers[page]), len(outcomes))
			}
			for i, o := range outcomes {
				result[numbers[page][i]] = o
			}
		case <-browser.ended:
			t.Fatalf("%s ended before the scripts of %s did", e.name, page)
		case <-timeout:
			last := "none"
			for _, i := range numbers[page] {
				if len(server.recordOf(pathOf(e.name, i))) > 0 {
					last = scripts[i].String()
				}
			}
			t.Fatalf("%s: the scripts of %s did not end; the last that made a request is\n%s", e.name, page, last)
		}
	}
	return result
}
