package e2e_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A soak is a test in which something happens to a Caddy again and again, while clients call it all the time.
//
// CADDY_CORS_SOAK has it happen that many times as often. CADDY_CORS_SEED repeats what is chosen at random; what happens
// at the same time is never the same twice.
type soak struct {
	*testing.T
	factor int
	seed   uint64
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{t, int(number(t, "CADDY_CORS_SOAK", 1)), testSeed(t)}
	t.Logf("CADDY_CORS_SOAK=%d", s.factor)
	return s
}

// run runs a part of the test.
func (s *soak) run(name string, part func(*soak)) {
	s.Run(name, func(t *testing.T) { part(&soak{t, s.factor, s.seed}) })
}

// random returns a source for one of several that choose at the same time.
func (s *soak) random(number int) *rand.Rand { return rand.New(rand.NewPCG(s.seed, uint64(number))) }

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// A visitor is a client that keeps its connection.
type visitor struct {
	client *http.Client
	url    string
	random *rand.Rand
	met    atomic.Int64 // the last change that an answer has shown
}

// newVisitor returns a visitor of a site, over HTTP/2 if that is https.
func (s *soak) newVisitor(number int, url string, trusted *tls.Config) *visitor {
	transport := &http.Transport{DisableCompression: true, TLSClientConfig: trusted.Clone(), ForceAttemptHTTP2: trusted != nil}
	return &visitor{client: livecaddy.Client(transport), url: url, random: s.random(number)}
}

// whileVisited does something while visitors come again and again.
func (s *soak) whileVisited(visitors []*visitor, visit func(*visitor), do func()) {
	var over atomic.Bool
	var group sync.WaitGroup
	defer group.Wait()
	defer over.Store(true)
	for _, v := range visitors {
		v.met.Store(-1)
		group.Go(func() {
			defer v.client.CloseIdleConnections()
			for !over.Load() && !s.Failed() {
				visit(v)
				time.Sleep(time.Duration(v.random.IntN(10)) * time.Millisecond) // as pages do
			}
		})
	}
	do()
}

// everyoneMeets waits until each visitor has met what there is after so many changes.
func (s *soak) everyoneMeets(visitors []*visitor, changes int64) {
	s.Helper()
	livecaddy.Eventually(s, "every visitor has met the change", func() bool {
		return !slices.ContainsFunc(visitors, func(v *visitor) bool { return v.met.Load() != changes })
	})
}

// A pageRequest is what a page of an origin asks for: a preflight, if it asks for a method.
type pageRequest struct{ origin, asks, path, query string }

func (r pageRequest) method() string {
	if r.asks != "" {
		return http.MethodOptions
	}
	return http.MethodGet
}

func (r pageRequest) String() string {
	return fmt.Sprintf("%s %s?%s from %q, asking for %q", r.method(), r.path, r.query, r.origin, r.asks)
}

// errCutOff is that a response began and did not come to its end.
var errCutOff = errors.New("the response is cut off")

// get sends a request and reads the response. With errCutOff, there is what came of it.
func (v *visitor) get(r pageRequest) (livecaddy.Response, error) {
	req, err := http.NewRequest(r.method(), v.url+r.path+"?"+r.query, nil)
	if err != nil {
		return livecaddy.Response{}, err
	}
	for name, value := range map[string]string{"Origin": r.origin, "Access-Control-Request-Method": r.asks} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	res, err := v.client.Do(req)
	if err != nil {
		return livecaddy.Response{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		err = fmt.Errorf("%w after %d bytes: %v", errCutOff, len(body), err)
	}
	return livecaddy.Response{Response: res, Text: string(body)}, err
}

// summary is what of a response is compared, in one line.
func summary(status int, cors, vary []string) string {
	return fmt.Sprintf("%d %q, Vary %q", status, slices.Sorted(slices.Values(cors)), slices.Sorted(slices.Values(vary)))
}

func summarize(r livecaddy.Response) string { return summary(r.StatusCode, r.CORS(), r.Vary()) }

// answerWithQuery is an upstream that repeats the query, with CORS headers of its own.
func answerWithQuery(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Methods", "*")
	w.Header().Set("Access-Control-Max-Age", "1")
	io.WriteString(w, proxied(r.URL.RawQuery))
}

func proxied(query string) string { return strings.Repeat(query+"\n", 1000) }

// restingGoroutines returns the number of goroutines once it stays the same.
func (s *soak) restingGoroutines() int {
	s.Helper()
	n, looks := 0, 0
	livecaddy.Eventually(s, "the number of goroutines stays the same", func() bool {
		looks++
		if now := runtime.NumGoroutine(); now != n {
			n, looks = now, 0
		}
		return looks == 100
	})
	return n
}

// noMoreGoroutines waits until there are no more goroutines than before.
func (s *soak) noMoreGoroutines(before int) {
	s.Helper()
	for deadline := time.Now().Add(livecaddy.Patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			var stacks strings.Builder
			pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			s.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, &stacks)
		}
	}
}

// heapInUse returns the bytes that are reachable.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what the first took out of a pool
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

const (
	partner = "https://www.partner.example"
	both    = "https://both.example.com" // may call whatever the configuration or the list
)

// A variant is one of two configurations that replace each other.
type variant struct {
	version   string // which all its responses tell
	directive string // empty for none

	origins   []string
	actual    []string // what a response has for an origin that may call, besides Access-Control-Allow-Origin
	denied    int      // the status for one that may not
	method    string   // that a preflight may ask for
	preflight []string // what its answer has for an origin that may call, likewise
	maxAge    string   // and, if it may ask for the method
	status    int
	vary      []string // of the answer to a preflight
	varies    []string // and of other responses
}

var variants = [2]variant{
	{
		version: "a",
		directive: `cors ` + app + ` ` + both + ` {
			allow_methods PUT
			allow_headers X-A
			expose_headers X-Total-A
			allow_credentials
			max_age 1h
		}`,
		origins: []string{app, both},
		actual:  []string{"Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Total-A"},
		denied:  200,
		method:  "PUT",
		preflight: []string{
			"Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Total-A",
			"Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: X-A",
		},
		maxAge: "Access-Control-Max-Age: 3600",
		status: 204,
		vary:   varyPreflight,
		varies: varyOrigin,
	},
	{
		version: "b",
		directive: `cors ` + partner + ` {
			allow_origins_from file {list} {
				interval 100ms
			}
			allow_origins_from ask {endpoint}
			allow_methods DELETE
			allow_headers X-B
			expose_headers X-Total-B
			allow_private_network
			max_age 2h
			preflight_status 200
			enforce
		}`,
		origins: []string{partner, both},
		actual:  []string{"Access-Control-Expose-Headers: X-Total-B"},
		denied:  403,
		method:  "DELETE",
		preflight: []string{
			"Access-Control-Expose-Headers: X-Total-B",
			"Access-Control-Allow-Methods: DELETE", "Access-Control-Allow-Headers: X-B",
		},
		maxAge: "Access-Control-Max-Age: 7200",
		status: 200,
		vary:   append([]string{"Access-Control-Request-Private-Network"}, varyPreflight...),
		varies: []string{"Origin", "Sec-Fetch-Mode", "Sec-Fetch-Site"},
	},
}

// want is the summary and the body of the response to a request.
func (v variant) want(r pageRequest) (line, body string) {
	if body = r.query; r.path == "/proxied" {
		body = proxied(r.query)
	}
	allowed := slices.Contains(v.origins, r.origin)
	lines := []string{"Access-Control-Allow-Origin: " + r.origin}
	switch {
	case r.asks != "" && !allowed:
		return summary(403, nil, v.vary), ""
	case r.asks != "":
		if lines = append(lines, v.preflight...); r.asks == v.method {
			lines = append(lines, v.maxAge)
		}
		return summary(v.status, lines, v.vary), ""
	case allowed:
		return summary(200, append(lines, v.actual...), v.varies), body
	case r.origin != "" && v.denied != 200:
		return summary(v.denied, nil, v.varies), ""
	}
	return summary(200, nil, v.varies), body
}

// Whatever is asked while the configuration is replaced, the answer is whole, and by one of the two policies alone; and
// nothing is left behind. What a reload of Caddy does to connections, it does without cors, too.
func TestSoakReloads(t *testing.T) {
	s := newSoak(t)
	reloads := 200 * s.factor
	var without, with reloadCost
	s.run("without cors", func(s *soak) { without = s.reload([2]variant{{version: "a"}, {version: "b"}}, reloads) })
	s.run("with cors", func(s *soak) { with = s.reload(variants, reloads) })
	if t.Failed() {
		return
	}
	t.Logf("%d reloads, without cors: %+v, with cors: %+v", reloads, without, with)
	// Both numbers are a few, by chance.
	if with.dropped > without.dropped+reloads/10 {
		t.Errorf("%d requests had no answer, and %d without cors", with.dropped, without.dropped)
	}
	// A handler that a reload left behind would take some twenty kilobytes.
	if with.heap > max(without.heap, 0)+1<<19 {
		t.Errorf("the heap has grown by %d bytes, and by %d without cors", with.heap, without.heap)
	}
}

// A reloadCost is what reloads have cost the visitors and the process.
type reloadCost struct {
	requests, dropped int
	heap              int64
}

// reload has Caddy load one variant after the other, by the admin API.
func (s *soak) reload(variants [2]variant, reloads int) reloadCost {
	backend := httptest.NewServer(http.HandlerFunc(answerWithQuery))
	defer backend.Close()
	defer backend.CloseClientConnections()
	endpoint := livecaddy.Upstream(s, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("origin") != both {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	list := filepath.Join(s.TempDir(), "list")
	if err := os.WriteFile(list, []byte("https://nobody.example\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	values := strings.NewReplacer("{list}", list, "{endpoint}", "http://"+endpoint)

	admin := "127.0.0.1:" + livecaddy.FreePort(s)
	plain, secure := "http://127.0.0.1:"+livecaddy.FreePort(s), "https://localhost:"+livecaddy.FreePort(s)
	caddyfile := func(v variant) string {
		return fmt.Sprintf(`
			(site) {
				header X-Version %s
				%s
				handle /proxied {
					reverse_proxy %s {
						transport http {
							keepalive 200ms # a reload leaves connections behind until then
						}
					}
				}
				respond {http.request.uri.query}
			}
			%s {
				import site
			}
			%s {
				tls internal {
					on_demand
				}
				import site
			}`, v.version, values.Replace(v.directive), backend.Listener.Addr(), plain, secure)
	}
	options := []string{"admin " + admin, "default_bind 127.0.0.1"}
	running := func() (config string) {
		// The admin server that a reload replaces may still take a connection, and close it.
		livecaddy.Eventually(s, "the running configuration", func() bool {
			res, err := http.Get("http://" + admin + "/config/")
			if err != nil {
				return false
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			config = string(text)
			return err == nil
		})
		return config
	}
	server := livecaddy.Start(s, caddyfile(variants[1]), options...)
	configs := [2]string{1: running()}
	server.Reload(caddyfile(variants[0]), options...)
	configs[0] = running()
	trusted := server.TLS()

	var requests, dropped atomic.Int64
	var changes atomic.Int64 // the number of reloads, the one that goes on included
	var settled atomic.Int64 // the number of those that everyone has met
	visit := func(v *visitor) {
		r := pageRequest{
			origin: pick(v.random, app, partner, both, both, other, ""),
			path:   pick(v.random, "/proxied", "/static"),
			query:  fmt.Sprint(v.random.Uint64()),
		}
		if r.origin != "" {
			r.asks = pick(v.random, "", "", "PUT", "DELETE")
		}
		change, nothingElse := changes.Load(), settled.Load()
		var res livecaddy.Response
		for try := 1; ; try++ {
			var err error
			requests.Add(1)
			if res, err = v.get(r); err == nil {
				break
			}
			// A server that shuts down closes connections that have just come, without an answer.
			dropped.Add(1)
			if errors.Is(err, errCutOff) || try == 10 {
				s.Errorf("%v: %v, try %d", r, err, try)
				return
			}
		}
		version := res.Header.Get("X-Version")
		i := slices.IndexFunc(variants[:], func(v variant) bool { return v.version == version })
		switch {
		case i < 0:
			s.Errorf("%v: answered by %q: %s", r, version, summarize(res))
			return
		case nothingElse == changes.Load() && i != int(nothingElse%2):
			s.Errorf("%v: answered by %q, which was replaced before", r, version)
		case i == int(change%2) && change == changes.Load():
			v.met.Store(change)
		}
		if variants[i].directive == "" {
			return
		}
		line, body := variants[i].want(r)
		if got := summarize(res); got != line {
			s.Errorf("%v: answered by %q\ngot  %s\nwant %s", r, version, got, line)
		}
		if res.Text != body {
			s.Errorf("%v: a body of %d bytes, want %d: %.60q", r, len(res.Text), len(body), res.Text)
		}
	}

	visitors := []*visitor{s.newVisitor(0, plain, nil), s.newVisitor(1, plain, nil), s.newVisitor(2, plain, nil), s.newVisitor(3, secure, trusted)}
	addresses := s.random(len(visitors))
	again := func(reloads int) {
		s.whileVisited(visitors, visit, func() {
			for range reloads {
				// Go's server, when it shuts down, forgets HTTP/2 connections whose handshake goes on. So everyone has one.
				s.everyoneMeets(visitors, changes.Load())
				config := configs[changes.Add(1)%2]
				s.load(admin, config)
				s.everyoneMeets(visitors, changes.Load())
				settled.Store(changes.Load())
				newcomer := s.newVisitor(len(visitors), pick(addresses, plain, secure), trusted)
				visit(newcomer)
				newcomer.client.CloseIdleConnections()
			}
		})
		backend.CloseClientConnections()
	}
	again(2)
	goroutines, heap := s.restingGoroutines(), heapInUse()
	requests.Store(0)
	dropped.Store(0)
	again(reloads)
	s.noMoreGoroutines(goroutines)
	return reloadCost{int(requests.Load()), int(dropped.Load()), heapInUse() - heap}
}

// load has a Caddy load a configuration. The admin API is replaced with it, and may close connections then: to load a
// configuration twice does nothing more.
func (s *soak) load(admin, config string) {
	s.Helper()
	client := livecaddy.Client(&http.Transport{DisableKeepAlives: true})
	livecaddy.Eventually(s, "the configuration is loaded", func() bool {
		res, err := client.Post("http://"+admin+"/load", "application/json", strings.NewReader(config))
		if err != nil {
			return false
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			text, _ := io.ReadAll(res.Body)
			s.Fatalf("%s: %s", res.Status, text)
		}
		return true
	})
}

// An upstream is killed and started again. Its 502s have the headers that its 200s have, and no preflight needs it.
func TestSoakUpstream(t *testing.T) {
	s := newSoak(t)
	socket := filepath.Join(t.TempDir(), "upstream") // a port could be somebody else's while nobody listens there
	url := livecaddy.Site(t, "cors "+app+"\nreverse_proxy unix/"+socket)

	inTwoParts := func(w http.ResponseWriter, r *http.Request) { // so that it can die between them
		body := proxied(r.URL.RawQuery)
		w.Header().Set("Access-Control-Allow-Origin", "*")
		io.WriteString(w, body[:len(body)/2])
		http.NewResponseController(w).Flush()
		time.Sleep(2 * time.Millisecond)
		io.WriteString(w, body[len(body)/2:])
	}
	const down, starting, up, stopping = 0, 1, 2, 3
	var changes atomic.Int64 // modulo 4, one of these
	var requests, cut atomic.Int64
	visit := func(v *visitor) {
		r := pageRequest{origin: pick(v.random, app, app, other, ""), path: "/", query: fmt.Sprint(v.random.Uint64())}
		if r.origin != "" {
			r.asks = pick(v.random, "", "", "", "GET")
		}
		before := changes.Load()
		res, err := v.get(r)
		requests.Add(1)
		state := before % 4
		if changes.Load() != before {
			state = stopping
		}
		switch {
		case res.Response == nil:
			s.Errorf("%v: %v", r, err)
			return
		case err != nil && (r.asks != "" || state == up || state == down):
			s.Errorf("%v: %v", r, err)
		case err != nil:
			cut.Add(1)
		}

		var lines []string
		if r.origin == app {
			lines = allowApp
		}
		want := []string{summary(200, lines, varyOrigin), summary(502, lines, varyOrigin)}
		switch {
		case r.asks != "" && r.origin == app:
			want = []string{summary(204, append([]string{"Access-Control-Max-Age: 600"}, allowApp...), varyPreflight)}
		case r.asks != "":
			want = []string{summary(403, nil, varyPreflight)}
		case state == up:
			want = want[:1]
		case state == down:
			want = want[1:]
		}
		if got := summarize(res); !slices.Contains(want, got) {
			s.Errorf("%v:\ngot  %s\nwant %s", r, got, strings.Join(want, "\n  or "))
		}
		if r.asks == "" && res.StatusCode == 200 && err == nil && res.Text != proxied(r.query) {
			s.Errorf("%v: a body of %d bytes: %.60q", r, len(res.Text), res.Text)
		}
		if r.asks == "" && changes.Load() == before {
			v.met.Store(before)
		}
	}
	var server *http.Server
	change := func(do func()) {
		changes.Add(1)
		do()
		changes.Add(1)
	}
	visitors := []*visitor{s.newVisitor(0, url, nil), s.newVisitor(1, url, nil), s.newVisitor(2, url, nil)}
	rounds := 20 * s.factor
	s.whileVisited(visitors, visit, func() {
		for range rounds {
			s.everyoneMeets(visitors, changes.Load())
			change(func() {
				listener, err := net.Listen("unix", socket)
				if err != nil {
					t.Fatal(err)
				}
				server = &http.Server{Handler: http.HandlerFunc(inTwoParts)}
				go server.Serve(listener)
			})
			s.everyoneMeets(visitors, changes.Load())
			change(func() { server.Close() })
		}
		s.everyoneMeets(visitors, changes.Load())
	})
	t.Logf("%d times killed, %d requests, %d responses cut off by that", rounds, requests.Load(), cut.Load())
}

// A file of origins is replaced. Each answer is by the old list or the new one, and by the new one alone from the first on
// that is. What is no list changes nothing.
func TestSoakFile(t *testing.T) {
	s := newSoak(t)
	const interval = 100 * time.Millisecond
	path := filepath.Join(t.TempDir(), "list")
	lists := [2]struct{ origin, text string }{
		{app, "# the first\n" + both + "\n" + strings.Repeat("https://customer.example\n", 500) + app + "\n"},
		{partner, "# the second\nhttps://*.partner.example\n" + strings.Repeat("https://customer.example\n", 900) + both + "\n"},
	}
	renamed := func(text string) {
		if err := os.WriteFile(path+".next", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".next", path); err != nil {
			t.Fatal(err)
		}
	}
	renamed(lists[0].text)
	url := livecaddy.Site(t, fmt.Sprintf("cors {\nallow_origins_from file %s {\ninterval %v\n}\n}\nrespond hello", path, interval))

	var changes atomic.Int64 // the number of lists that there were, less the first
	var newest atomic.Int64  // the last of them that has been met
	var requests atomic.Int64
	visit := func(v *visitor) {
		r := pageRequest{origin: pick(v.random, app, partner, both, evil), asks: pick(v.random, "", "", "GET"), path: "/"}
		met, before := newest.Load(), changes.Load()
		res, err := v.get(r)
		requests.Add(1)
		if err != nil {
			s.Errorf("%v: %v", r, err)
			return
		}
		yes, no := summary(200, []string{"Access-Control-Allow-Origin: " + r.origin}, varyOrigin), summary(200, nil, varyOrigin)
		if r.asks != "" {
			yes, no = summary(204, []string{"Access-Control-Allow-Origin: " + r.origin, "Access-Control-Max-Age: 600"}, varyPreflight), summary(403, nil, varyPreflight)
		}
		got := summarize(res)
		switch {
		case got != yes && got != no:
			s.Errorf("%v: %s\nwant %s\n  or %s", r, got, yes, no)
		case r.origin == both && got == no:
			s.Errorf("%v: denied, and it is in both lists", r)
		case r.origin == evil && got == yes:
			s.Errorf("%v: allowed, and it is in no list", r)
		case r.origin == both || r.origin == evil || changes.Load() != before:
		case (got == yes) == (r.origin == lists[before%2].origin):
			newest.Store(before)
			v.met.Store(before)
		case met == before:
			s.Errorf("%v: answered by a list that was replaced before", r)
		}
	}
	visitors := []*visitor{s.newVisitor(0, url, nil), s.newVisitor(1, url, nil), s.newVisitor(2, url, nil)}
	random := s.random(len(visitors))
	rounds := 6 * s.factor
	s.whileVisited(visitors, visit, func() {
		for range rounds {
			s.everyoneMeets(visitors, changes.Load())
			renamed(lists[changes.Add(1)%2].text)
			s.everyoneMeets(visitors, changes.Load())
			pick(random,
				func() { renamed(evil + "\nhttps://Bad.example.com\n") },
				func() { renamed("*\n") },
				func() { renamed("") },
				func() { renamed(lists[random.IntN(2)].text + evil) }, // whose end is missing
				func() {
					if err := os.Truncate(path, int64(1+random.IntN(40))); err != nil {
						t.Fatal(err)
					}
				},
				func() {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				},
			)()
			time.Sleep(2 * interval) // in which it would be live
		}
	})
	t.Logf("%d lists and as many faults, %d requests", rounds, requests.Load())
}

// Clients leave at any moment of an exchange, over HTTP/1.1 and HTTP/2. Nothing panics, and nothing is left behind.
func TestSoakDisconnects(t *testing.T) {
	s := newSoak(t)
	var exchanges atomic.Int64 // of the upstream, that go on
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchanges.Add(1)
		defer exchanges.Add(-1)
		switch r.URL.Path {
		case "/stream":
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: 1\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/large":
			for chunk := make([]byte, 64<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		case "/never":
			<-r.Context().Done()
		case "/upload":
			io.Copy(io.Discard, r.Body)
		default:
			answerWithQuery(w, r)
		}
	}))
	defer backend.Close()
	defer backend.CloseClientConnections()

	// Caddy logs panics of HTTP/2 handlers at DEBUG.
	panics := filepath.Join(t.TempDir(), "panics")
	plain, secure := "http://127.0.0.1:"+livecaddy.FreePort(t), "https://localhost:"+livecaddy.FreePort(t)
	server := livecaddy.Start(t, fmt.Sprintf(`
		(site) {
			cors %s
			reverse_proxy %s
		}
		%s {
			import site
		}
		%s {
			tls internal {
				on_demand
			}
			import site
		}`, app, backend.Listener.Addr(), plain, secure),
		fmt.Sprintf("log panics {\noutput file %q\ninclude http.stdlib\nlevel DEBUG\n}", panics))
	trusted := server.TLS()

	visit := func(v *visitor) {
		r := pageRequest{origin: app, path: "/", query: fmt.Sprint(v.random.Uint64())}
		res, err := v.get(r)
		if err != nil || res.Text != proxied(r.query) || summarize(res) != summary(200, allowApp, varyOrigin) {
			s.Errorf("%v: %v, %s, a body of %d bytes", r, err, summarize(res), len(res.Text))
		}
		v.met.Store(1)
	}
	visitors := []*visitor{s.newVisitor(0, plain, nil), s.newVisitor(1, secure, trusted)}
	s.whileVisited(visitors, visit, func() { s.everyoneMeets(visitors, 1) })
	backend.CloseClientConnections()
	goroutines := s.restingGoroutines()

	departures := 200 * s.factor
	s.whileVisited(visitors, visit, func() {
		var group sync.WaitGroup
		defer group.Wait()
		for i := range 4 {
			random := s.random(len(visitors) + i)
			group.Go(func() {
				for range departures / 4 {
					if random.IntN(10) == 0 {
						s.leaveInHeader(plain, random)
					} else {
						s.leave(pick(random, plain, secure), trusted, random)
					}
				}
			})
		}
	})
	livecaddy.Eventually(s, "the upstream knows", func() bool { return exchanges.Load() == 0 })
	backend.CloseClientConnections()
	s.noMoreGoroutines(goroutines)
	logged, err := os.ReadFile(panics)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(server.Log() + string(logged)) {
		if strings.Contains(line, "panic") {
			t.Error(line)
		}
	}
	t.Logf("%d clients have left", departures)
}

// leave sends a request, and leaves at some moment before the exchange is complete.
func (s *soak) leave(url string, trusted *tls.Config, random *rand.Rand) {
	var conn atomic.Pointer[net.TCPConn]
	transport := &http.Transport{
		TLSClientConfig: trusted.Clone(), ForceAttemptHTTP2: true,
		IdleConnTimeout: time.Millisecond, // a connection of HTTP/2 outlives a request that is canceled
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				conn.Store(dialed.(*net.TCPConn))
			}
			return dialed, err
		},
	}
	ctx, cancel := context.WithTimeout(context.Background(), livecaddy.Patience)
	defer cancel()
	leave := pick(random, cancel, func() { reset(conn.Load()) })

	method, path, reads := "GET", "", 0
	var body io.Reader
	switch random.IntN(5) {
	case 0:
		path, reads = "/stream", len("data: 1")
	case 1:
		path, reads = "/large", 1+random.IntN(200_000)
	case 2:
		path = "/never"
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { leave() }})
	case 3:
		method, path, body = "POST", "/upload", &halfABody{leave: leave}
	case 4:
		method, path = "OPTIONS", "/"
	}
	req, err := http.NewRequestWithContext(ctx, method, url+path, body)
	if err != nil {
		s.Error(err)
		return
	}
	if body != nil {
		req.ContentLength = 1 << 20
	}
	origin := pick(random, app, other)
	req.Header.Set("Origin", origin)
	if method == "OPTIONS" {
		req.Header.Set("Access-Control-Request-Method", "GET")
	}
	res, err := livecaddy.Client(transport).Do(req)
	if err != nil {
		if reads > 0 || method == "OPTIONS" {
			s.Errorf("%s %s: %v", method, url+path, err)
		}
		return
	}
	defer res.Body.Close()
	if allowed := res.Header.Get("Access-Control-Allow-Origin"); (allowed == app) != (origin == app) {
		s.Errorf("%s %s from %s: allowed is %q", method, url+path, origin, allowed)
	}
	io.CopyN(io.Discard, res.Body, int64(reads))
	leave()
}

// leaveInHeader leaves before the header of the request is complete.
func (s *soak) leaveInHeader(url string, random *rand.Rand) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		s.Error(err)
		return
	}
	defer conn.Close()
	const header = "OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: " + app + "\r\nAccess-Control-Request-Method: GET\r\n"
	io.WriteString(conn, header[:random.IntN(len(header))])
	if random.IntN(2) == 0 {
		reset(conn.(*net.TCPConn))
	}
}

// reset closes a connection without saying so.
func reset(conn *net.TCPConn) {
	conn.SetLinger(0)
	conn.Close()
}

// halfABody is the body of a request whose client leaves in the middle of it.
type halfABody struct {
	leave func()
	begun bool
}

func (b *halfABody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		return len(p), nil
	}
	b.leave()
	return 0, io.ErrUnexpectedEOF
}
