package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dunglas/httpsfv"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// An attack is an exchange whose request, or whose backend's response, is as large as it likes.
type attack struct {
	name      string
	directive string
	header    func(n int) http.Header // of the request, with n bytes or a little less; a preflight's if it asks for a method
	backend   func(n int) http.Header // of the response, likewise; nil for one without fields of its own

	denied bool // whether the origin is
	status int  // 0 for what such a request is answered with

	// copied marks a Vary field that is added to: it leaves as one line, so what the backend sent is copied, once.
	copied bool
}

// attacks returns those that there are. The list {list} is one of patterns.
func attacks() []attack {
	const (
		// Everything that an origin can be compared with.
		strict = `cors https://app.example.com https://*.b.c.d.example.org http://localhost:* {
			allow_origins_regexp "https://pr-[0-9]+\.example\.com" "(.*\.)?regexp\.test"
			allow_origins_from file {list}
			allow_methods PUT
			allow_headers X-One
			debug
		}`
		public = `cors * {
			allow_methods *
			allow_headers *
			debug
		}`
		echoing = `cors * {
			allow_methods *
			allow_headers *
			allow_credentials
			insecure any_origin_with_credentials
			debug
		}`
		forwarded = `cors https://app.example.com {
			forward_preflight
			debug
		}`
		enforced = `cors https://app.example.com {
			enforce
			debug
		}`

		origin, method, names, site = "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Sec-Fetch-Site"
	)
	fill := func(before, repeated, after string) func(n int) []string {
		return func(n int) []string {
			return []string{before + strings.Repeat(repeated, (n-len(before+after))/len(repeated)) + after}
		}
	}
	lines := func(name, value string) func(n int) []string {
		return func(n int) []string {
			return slices.Repeat([]string{value}, n/len(name+": "+value+"\r\n"))
		}
	}
	with := func(name string, values func(n int) []string, others http.Header) func(int) http.Header {
		return func(n int) http.Header {
			header := others.Clone()
			header[name] = values(n)
			return header
		}
	}
	var (
		from    = http.Header{origin: {app}}
		ask     = http.Header{origin: {app}, method: {"PUT"}}
		nothing = http.Header{}
		always  = func(header http.Header) func(int) http.Header {
			return func(int) http.Header { return header }
		}
	)
	return []attack{
		{name: "names/commas", directive: strict, header: with(names, fill("", ",", ""), ask)},
		{name: "names/commas-and-blanks", directive: strict, header: with(names, fill("", " ,\t", ""), ask)},
		{name: "names/blanks", directive: strict, header: with(names, fill("", " ", ""), ask)},
		{name: "names/one", directive: strict, header: with(names, fill("", "x", ""), ask)},
		{name: "names/one-and-a-star", directive: public, header: with(names, fill("", "x", ""), ask)},
		{name: "names/one-behind-blanks", directive: echoing, header: with(names, fill("", " ", "x-a"), ask)},
		{name: "names/one-before-blanks", directive: echoing, header: with(names, fill("x-a", " ", ""), ask)},
		{name: "names/one-behind-commas", directive: echoing, header: with(names, fill("", ",", "x-a"), ask)},
		{name: "names/far-apart", directive: echoing, header: with(names, fill("", strings.Repeat(",", 256)+"x", ""), ask)},
		{name: "names/two-between-blanks", directive: strict, header: with(names, fill("x-one", " ", "x-two"), ask)},
		{name: "names/short", directive: strict, header: with(names, fill("", "x,", ""), ask)},
		{name: "names/short-and-a-star", directive: public, header: with(names, fill("", "x,", ""), ask)},
		{name: "names/short-and-an-echo", directive: echoing, header: with(names, fill("", "x,", ""), ask)},
		{name: "names/listed", directive: strict, header: with(names, fill("", "x-one,", ""), ask)},
		{name: "names/bytes-that-are-no-text", directive: strict, header: with(names, fill("", "\xff,", ""), ask)},
		{name: "names/empty-lines", directive: strict, header: with(names, lines(names, ""), ask)},
		{name: "names/lines-of-commas", directive: strict, header: with(names, lines(names, strings.Repeat(",", 500)), ask)},
		{name: "names/lines-of-one", directive: strict, header: with(names, lines(names, "x-one"), ask)},
		{name: "names/lines-of-short", directive: public, header: with(names, lines(names, strings.Repeat("x,", 250)), ask)},

		{name: "method/upper-case", directive: strict, header: with(method, fill("", "M", ""), from)},
		{name: "method/lower-case", directive: strict, header: with(method, fill("", "m", ""), from)},
		{name: "method/star", directive: public, header: with(method, fill("", "M", ""), from)},
		{name: "method/echo", directive: echoing, header: with(method, fill("", "M", ""), from)},
		{name: "method/bytes-that-are-no-text", directive: echoing, header: with(method, fill("", "\x80", ""), from)},
		{name: "method/lines", directive: strict, header: with(method, lines(method, "PUT"), from)},

		{name: "origin/labels", directive: strict, header: with(origin, fill("https://", "a.", "example.org"), nothing), denied: true},
		{name: "origin/labels-and-an-echo", directive: echoing, header: with(origin, fill("https://", "a.", "test"), nothing), denied: true},
		{name: "origin/one-label", directive: strict, header: with(origin, fill("https://", "a", ""), nothing), denied: true},
		{name: "origin/dots", directive: strict, header: with(origin, fill("https://", ".", ""), nothing), denied: true},
		{name: "origin/dots-behind", directive: strict, header: with(origin, fill(app, ".", ""), nothing), denied: true},
		{name: "origin/scheme", directive: strict, header: with(origin, fill("", "a", "://x"), nothing), denied: true},
		{name: "origin/scheme-and-an-echo", directive: echoing, header: with(origin, fill("", "a", "://x"), nothing), denied: true},
		{name: "origin/scheme-alone", directive: strict, header: with(origin, fill("", "a", ""), nothing), denied: true},
		{name: "origin/ipv4", directive: strict, header: with(origin, fill("http://", "1.", "1"), nothing), denied: true},
		{name: "origin/ipv6", directive: strict, header: with(origin, fill("http://[", "1:", "1]"), nothing), denied: true},
		{name: "origin/ipv6-without-an-end", directive: strict, header: with(origin, fill("http://[", ":", ""), nothing), denied: true},
		{name: "origin/port", directive: strict, header: with(origin, fill("http://localhost:", "1", ""), nothing), denied: true},
		{name: "origin/ports", directive: strict, header: with(origin, fill("http://localhost", ":1", ""), nothing), denied: true},
		{name: "origin/bytes-that-are-no-text", directive: strict, header: with(origin, fill("https://", "\xff", ""), nothing), denied: true},
		{name: "origin/nul", directive: strict, header: with(origin, fill("https://", "\x00", ""), nothing), denied: true, status: http.StatusBadRequest},
		{name: "origin/lines", directive: strict, header: with(origin, lines(origin, app), nothing), denied: true},
		{name: "origin/enforced", directive: enforced, header: with(origin, fill("", "\xff", ""), nothing), denied: true, status: http.StatusForbidden},
		{name: "origin/of-a-preflight", directive: strict, header: with(origin, fill("", "a", ""), http.Header{method: {"PUT"}}), denied: true},

		// As many labels as a host can have, and as many other fields as there can be.
		{name: "labels/pattern", directive: strict, header: otherFields(http.Header{origin: {"https://" + strings.Repeat("a.", 120) + "example.org"}}), denied: true},
		{name: "labels/regexp", directive: strict, header: otherFields(http.Header{origin: {"https://" + strings.Repeat("a.", 120) + "regexp.test"}})},
		{name: "labels/source", directive: strict, header: otherFields(http.Header{origin: {"https://" + strings.Repeat("a.", 120) + "source.test"}})},

		{name: "site/word", directive: strict, header: with(site, fill("", "same-origin", ""), http.Header{origin: {other}}), denied: true},
		{name: "site/lines", directive: strict, header: with(site, lines(site, "cross-site"), http.Header{origin: {other}}), denied: true},
		{name: "private-network", directive: strict, header: with("Access-Control-Request-Private-Network", fill("", "true", ""), ask)},

		{name: "backend/vary", directive: strict, header: always(from), backend: with("Vary", fill("", "Accept, ", "Cookie"), nothing), copied: true},
		{name: "backend/vary-of-commas", directive: strict, header: always(from), backend: with("Vary", fill("", ",", ""), nothing), copied: true},
		{name: "backend/vary-of-a-preflight", directive: forwarded, header: always(ask), backend: with("Vary", fill("", "Access-Control-Request-Head,", ""), nothing), status: http.StatusOK, copied: true},
		{name: "backend/vary-lines", directive: strict, header: always(from), backend: with("Vary", lines("Vary", "Accept"), nothing), copied: true},
		{name: "backend/fields", directive: strict, header: always(from), backend: otherFields(nothing)},
		{name: "backend/allow-origin", directive: strict, header: always(from), backend: with("Access-Control-Allow-Origin", fill("", "*", ""), nothing)},
		{name: "backend/allow-origin-lines", directive: strict, header: always(from), backend: with("Access-Control-Allow-Origin", lines("Access-Control-Allow-Origin", "*"), nothing)},
	}
}

// otherFields adds to a header as many fields of other names as n bytes hold.
func otherFields(header http.Header) func(n int) http.Header {
	return func(n int) http.Header {
		header := header.Clone()
		for i := range n / len("Field-12345: 1\r\n") {
			header[fmt.Sprintf("Field-%05d", i)] = []string{"1"}
		}
		return header
	}
}

// directiveWith returns the directive, with a file for the list that it names.
func (a attack) directiveWith(t testing.TB) string {
	list := filepath.Join(t.TempDir(), "origins")
	if err := os.WriteFile(list, []byte("https://*.source.test\nhttps://*.a.b.c.d.e.f.source.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(a.directive, "{list}", list)
}

// method returns that of the request, and the status that is expected of the response.
func (a attack) method(header http.Header) (method string, status int) {
	method, status = "GET", http.StatusOK
	if len(header["Access-Control-Request-Method"]) > 0 {
		method, status = "OPTIONS", http.StatusNoContent
		if a.denied {
			status = http.StatusForbidden
		}
	}
	if a.status != 0 {
		status = a.status
	}
	return method, status
}

// serve returns a function that has the handler serve the exchange, with what is hostile in it n bytes large.
func (a attack) serve(t testing.TB, n int) func() {
	handler := livecaddy.Handler(t, a.directiveWith(t))
	header := a.header(n)
	method, _ := a.method(header)
	request := &http.Request{Method: method, Host: "api.example.com", URL: &url.URL{Path: "/"}, Header: header}
	w := livecaddy.Discard{}
	own := http.Header{} // what cors may replace
	if a.backend != nil {
		w = livecaddy.Discard(a.backend(n))
		for name, values := range w {
			if name == "Vary" || strings.HasPrefix(name, "Access-Control-") {
				own[name] = values
			}
		}
	}
	next := caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		maps.Copy(w.Header(), own)
		w.WriteHeader(http.StatusOK)
		return nil
	})
	return func() {
		delete(w, "Vary")
		var refused caddyhttp.HandlerError
		if err := handler.ServeHTTP(w, request, next); err != nil && (!errors.As(err, &refused) || refused.StatusCode != http.StatusForbidden) {
			t.Fatal(err)
		}
	}
}

// The sizes of what is hostile. Caddy takes 16 KiB of header fields, and more where max_header_size says so.
var hostileSizes = [...]int{9_000, 90_000, 900_000}

// BenchmarkHostile shows what each byte of a hostile exchange costs, next to one reading of as many bytes.
func BenchmarkHostile(b *testing.B) {
	for _, n := range hostileSizes {
		text := strings.Repeat(",", n)
		b.Run(fmt.Sprintf("read-once/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				if strings.Count(text, ",") != n {
					b.Fatal()
				}
			}
		})
	}
	for _, a := range attacks() {
		for _, n := range hostileSizes {
			b.Run(fmt.Sprintf("%s/%d", a.name, n), func(b *testing.B) {
				serve := a.serve(b, n)
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					serve()
				}
			})
		}
	}
}

// What is allocated is little, however much is hostile, though each denial is listed and logged as a new one. The bounds
// leave room for an echo of 8 KiB, which is the longest, as it grows, and for the race detector, which has pools forget
// what they hold.
func TestHostileAllocations(t *testing.T) {
	const (
		most = 64 << 10 // bytes
		more = 24       // allocations, for what is a hundred times larger: it may be a denial, which is listed and logged, and the small one not
	)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 << 30)) // where far too much is allocated, this fails, not the machine
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			bytes, times := a.allocates(t, hostileSizes[0])
			largeBytes, largeTimes := a.allocates(t, hostileSizes[2])
			if a.copied {
				for _, line := range a.backend(hostileSizes[2])["Vary"] {
					largeBytes -= len(line) + len(", ")
				}
			}
			if bytes > most || largeBytes > most || largeTimes > times+more {
				t.Errorf("%d allocations have %d bytes, and %d have %d where it is a hundred times larger", times, bytes, largeTimes, largeBytes)
			}
		})
	}
}

// allocates returns how many bytes one exchange allocates, and how many times: the least of some.
func (a attack) allocates(t *testing.T, n int) (bytes, times int) {
	serve := a.serve(t, n)
	bytes, times = math.MaxInt, math.MaxInt
	for range 10 {
		livecaddy.ForgetDenials(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		serve()
		runtime.ReadMemStats(&after)
		bytes = min(bytes, int(after.TotalAlloc-before.TotalAlloc))
		times = min(times, int(after.Mallocs-before.Mallocs))
	}
	return bytes, times
}

// Over a real connection, to a real Caddy with a real backend, hostile exchanges are answered as others are: nothing of
// what is hostile comes back, and little of it is in the log.
func TestHostileExchanges(t *testing.T) {
	n := hostileSizes[2]
	rows := attacks()
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		if a := rows[i]; a.backend != nil {
			maps.Copy(w.Header(), a.backend(n))
		}
	})
	address := "127.0.0.1:" + livecaddy.FreePort(t)
	site := &strings.Builder{}
	fmt.Fprintf(site, "http://%s {\n", address)
	for i, a := range rows {
		fmt.Fprintf(site, "handle /%d {\n%s\nreverse_proxy %s\n}\n", i, a.directiveWith(t), backend)
	}
	livecaddy.ForgetDenials(t)
	server := livecaddy.Start(t, site.String()+"}\n", "servers {\nmax_header_size 1MB\n}")

	for i, a := range rows {
		t.Run(a.name, func(t *testing.T) {
			header := a.header(n)
			method, status := a.method(header)
			res := livecaddy.SendRaw(t, address, method, fmt.Sprintf("/%d", i), header)
			if res.StatusCode != status {
				t.Fatalf("status %s, want %d", res.Status, status)
			}
			if status == http.StatusBadRequest {
				return // the server's own
			}
			if got := res.Header["Access-Control-Allow-Origin"]; a.denied != (len(got) == 0) || len(got) > 1 {
				t.Errorf("Access-Control-Allow-Origin: %.100q", got)
			}
			if item, err := httpsfv.UnmarshalItem(res.Header["X-Cors-Decision"]); err != nil {
				t.Errorf("X-Cors-Decision: %.200q: %v", res.Header["X-Cors-Decision"], err)
			} else if a.denied && item.Value != httpsfv.Token("denied") {
				t.Errorf("X-Cors-Decision: %q", res.Header["X-Cors-Decision"])
			}
			for name, values := range res.Header {
				if a.backend != nil && name == "Vary" {
					continue // is the backend's
				}
				for _, value := range values {
					if len(value) > 8<<10 || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' }) {
						t.Errorf("%s has %d bytes: %.100q", name, len(value), value)
					}
				}
			}
		})
	}
	denied := 0
	for line := range strings.Lines(server.Log()) {
		if len(line) > 2048 || strings.Contains(line, `"level":"error"`) {
			t.Errorf("a line of %d bytes: %.300s", len(line), line)
		}
		if strings.Contains(line, "request denied") {
			denied++
		}
	}
	if denied == 0 || denied > len(rows) {
		t.Errorf("%d lines of denials, for %d requests", denied, len(rows))
	}
}
