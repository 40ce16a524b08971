//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// A call is one that the page's script makes: fetch(url, init).
type call struct {
	Name string         `json:"name"`
	URL  string         `json:"url,omitempty"`
	Init map[string]any `json:"init,omitempty"`

	// Script is what the page does in the call's stead: the body of an async function, which returns what is found.
	Script string `json:"script,omitempty"`
}

// A finding is what the script saw of a call: a response or an error.
type finding struct {
	Name    string `json:"name"`
	Status  int    `json:"status"`
	Body    string `json:"body"`
	Error   string `json:"error"` // the exception's name
	Message string `json:"message"`
}

// blocked reports whether it is the browser that kept the response from the script. It says no more than TypeError, by
// design. A call that merely takes too long ends with a TimeoutError.
func (f finding) blocked() bool { return f.Error == "TypeError" }

//go:embed page.html
var pageHTML []byte

// A page is a web server of a page that calls APIs and reports what it found.
type page struct {
	address string // for a reverse_proxy before it
	visit   atomic.Pointer[visit]
}

// A visit is what one browser and the page's server have to tell each other, each of it once.
type visit struct {
	calls    chan []call
	findings chan []finding
}

func newPage(t *testing.T) *page {
	t.Helper()
	p := new(page)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.html", time.Time{}, bytes.NewReader(pageHTML))
	})
	mux.HandleFunc("GET /calls", func(w http.ResponseWriter, r *http.Request) {
		select {
		case calls := <-p.visit.Load().calls:
			if err := json.NewEncoder(w).Encode(calls); err != nil {
				t.Error(err)
			}
		default:
			t.Error("a browser loaded the page twice")
			http.Error(w, "taken", http.StatusGone)
		}
	})
	mux.HandleFunc("POST /findings", func(w http.ResponseWriter, r *http.Request) {
		var findings []finding
		if err := json.NewDecoder(r.Body).Decode(&findings); err != nil {
			t.Error(err)
		}
		p.visit.Load().findings <- findings
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.address = server.Listener.Addr().String()
	return p
}

// browse opens the page in a new browser, by the URL it has in the network, and returns what its script found, call by
// call.
func (p *page) browse(t *testing.T, e engine, n network, url string, calls []call) []finding {
	t.Helper()
	browser := p.open(t, e, n, url, calls)
	defer browser.end(t)
	return p.findings(t, browser, len(calls))
}

// open opens the page in a new browser, and has its script make the calls.
func (p *page) open(t *testing.T, e engine, n network, url string, calls []call) *browser {
	t.Helper()
	p.expect(calls)
	return e.open(t, n, url)
}

// expect has the page's script make the calls when a browser loads the page next.
func (p *page) expect(calls []call) {
	v := &visit{calls: make(chan []call, 1), findings: make(chan []finding, 1)}
	v.calls <- calls
	p.visit.Store(v)
}

// findings waits for what the page's script found.
func (p *page) findings(t *testing.T, browser *browser, count int) []finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	name := filepath.Base(browser.executables[0])
	select {
	case findings := <-p.visit.Load().findings:
		if len(findings) != count {
			t.Fatalf("%s: %d calls, but %d findings", name, count, len(findings))
		}
		return findings
	case <-browser.ended:
		t.Fatalf("%s ended before the page's script did", name)
	case <-ctx.Done():
		t.Fatalf("%s: the page's script did not end: %v", name, ctx.Err())
	}
	return nil
}
