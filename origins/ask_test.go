package origins

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// An asked is an endpoint under test, with an HTTP server behind it.
type asked struct {
	*Ask
	t      *testing.T
	server *httptest.Server
	count  atomic.Int64 // of the requests that the server got
	logs   *observer.ObservedLogs
	mu     sync.Mutex
	time   time.Time // what the endpoint takes for the time
}

func ask(t *testing.T, settings Ask, answer http.HandlerFunc) *asked {
	t.Helper()
	a := &asked{Ask: &settings, t: t, time: time.Now()}
	a.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.count.Add(1)
		answer(w, r)
	}))
	t.Cleanup(a.server.Close)
	a.URL = a.server.URL + settings.URL
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if err := a.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	core, logs := observer.New(zapcore.DebugLevel)
	a.logger, a.logs = zap.New(core), logs
	a.endpoint.now = func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.time
	}
	return a
}

func (a *asked) after(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.time = a.time.Add(d)
}

// expect checks the answer for an origin, and how many requests the server has got by then.
func (a *asked) expect(origin string, allowed bool, requests int64) {
	a.t.Helper()
	if got := a.AllowsOrigin(a.t.Context(), origin); got != allowed {
		a.t.Errorf("%s: allowed %v, want %v", origin, got, allowed)
	}
	if got := a.count.Load(); got != requests {
		a.t.Errorf("%s: %d requests, want %d", origin, got, requests)
	}
}

// expectBehind checks the answer for an origin, and how many requests the server has got when all that is asked behind the
// request has its answer.
func (a *asked) expectBehind(origin string, allowed bool, requests int64) {
	a.t.Helper()
	if got := a.AllowsOrigin(a.t.Context(), origin); got != allowed {
		a.t.Errorf("%s: allowed %v, want %v", origin, got, allowed)
	}
	a.quiet()
	if got := a.count.Load(); got != requests {
		a.t.Errorf("%s: %d requests, want %d", origin, got, requests)
	}
}

// quiet waits until nothing is being asked.
func (a *asked) quiet() {
	asking := func() int {
		a.endpoint.mu.Lock()
		defer a.endpoint.mu.Unlock()
		return len(a.endpoint.questions)
	}
	for deadline := time.Now().Add(30 * time.Second); asking() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// logged waits until as many entries were logged as are wanted, and checks them.
func (a *asked) logged(want ...string) {
	a.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); a.logs.Len() < len(want) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	polled{t: a.t, logs: a.logs}.logged(want...)
}

func status(code *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(code.Load())) }
}

func TestAskAnswers(t *testing.T) {
	for code, test := range map[int64]struct {
		allowed bool
		want    string
	}{
		200: {true, ""},
		403: {false, ""},
		404: {false, ""},
		201: {false, "error it answered 201; 200 allows an origin, 403 and 404 deny it"},
		204: {false, "error it answered 204"},
		304: {false, "error it answered 304, and redirects are not followed; write the URL that answers"},
		400: {false, "error it answered 400"},
		401: {false, "error it answered 401"},
		429: {false, "error it answered 429"},
		500: {false, "error it answered 500"},
		503: {false, "error it answered 503"},
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			var now atomic.Int64
			now.Store(code)
			a := ask(t, Ask{}, status(&now))
			a.expect(originA, test.allowed, 1)
			if test.want == "" {
				a.logged()
				return
			}
			a.logged(test.want)
			// As a failure it does not change an answer that there is.
			now.Store(200)
			a.expect(originB, true, 2)
			a.logged("info the endpoint answers again")
			now.Store(code)
			a.after(time.Hour)
			a.expect(originB, true, 3)
		})
	}
}

// What is asked, and how.
func TestAskRequest(t *testing.T) {
	t.Setenv("ORIGINS_TEST_TOKEN", "s&cret")
	for name, test := range map[string]struct{ url, origin, want string }{
		"no path":       {"", originA, "/?origin=https%3A%2F%2Fa.test"},
		"a path":        {"/cors", "http://localhost:3000", "/cors?origin=http%3A%2F%2Flocalhost%3A3000"},
		"a query":       {"/cors?b=2&a=%201", originA, "/cors?b=2&a=%201&origin=https%3A%2F%2Fa.test"},
		"a ?":           {"/?", originA, "/?origin=https%3A%2F%2Fa.test"},
		"an IP address": {"/", "http://[::1]:8080", "/?origin=http%3A%2F%2F%5B%3A%3A1%5D%3A8080"},
		"a plus":        {"/", "web+app://x", "/?origin=web%2Bapp%3A%2F%2Fx"},
		"a placeholder": {"/{env.ORIGINS_TEST_TOKEN}", originA, "/s&cret?origin=https%3A%2F%2Fa.test"},
	} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan *http.Request, 1)
			a := ask(t, Ask{URL: test.url}, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
			a.expect(test.origin, true, 1)
			r := <-requests
			if got := r.RequestURI; got != test.want {
				t.Errorf("asks for %s, want %s", got, test.want)
			}
			if r.Method != http.MethodGet || r.Header.Get("Origin") != "" || r.URL.Query().Get("origin") != test.origin {
				t.Error(r)
			}
		})
	}
}

func TestAskAsksOnlyAboutOrigins(t *testing.T) {
	a := ask(t, Ask{}, func(http.ResponseWriter, *http.Request) {})
	for _, text := range []string{"", "*", "null", "https://Example.com", "https://a.test/", "https://*.a.test", "https://a.test:443", "a.test", "file://x",
		strings.Repeat("a", 600) + "://a.test"} {
		a.expect(text, false, 0)
	}
	a.logged()
	if len(a.endpoint.answers.known)+len(a.endpoint.questions) != 0 {
		t.Error("they are remembered")
	}
}

func TestAskRemembers(t *testing.T) {
	var code atomic.Int64
	code.Store(200)
	a := ask(t, Ask{TTL: caddy.Duration(time.Minute)}, status(&code))
	a.expect(originA, true, 1)
	code.Store(403)
	a.expect(originB, false, 2)
	for range 10 {
		a.expect(originA, true, 2)
		a.expect(originB, false, 2)
	}
	a.after(time.Minute - 1)
	a.expectBehind(originA, true, 2)
	a.expectBehind(originB, false, 2)
	// An answer that has run out is used once more.
	a.after(1)
	a.expectBehind(originA, true, 3)
	a.expect(originA, false, 3)
	code.Store(200)
	a.expectBehind(originB, false, 4)
	a.expect(originB, true, 4)
	// An older one is not.
	code.Store(403)
	a.after(2 * time.Minute)
	a.expect(originB, false, 5)
	code.Store(200)
	a.expectBehind(originA, true, 6)
}

// A request whose answer has run out waits for nothing, however slow the endpoint is, and however many there are, one
// request is made behind them.
func TestAskAsksAgainBehindRequests(t *testing.T) {
	answer := make(chan int)
	var slow atomic.Bool
	a := ask(t, Ask{Timeout: caddy.Duration(time.Hour), TTL: caddy.Duration(time.Minute)}, func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			w.WriteHeader(<-answer)
		}
	})
	a.expect(originA, true, 1)
	slow.Store(true)
	a.after(time.Minute)
	for range 100 {
		if !a.AllowsOrigin(t.Context(), originA) {
			t.Error("denied")
		}
	}
	a.after(time.Minute - 1)
	if !a.AllowsOrigin(t.Context(), originA) {
		t.Error("denied")
	}
	answer <- http.StatusForbidden
	a.quiet()
	a.expect(originA, false, 2)

	// A ttl later there is nothing to use, and it waits.
	a.after(2 * time.Minute)
	allowed := make(chan bool)
	go func() { allowed <- a.AllowsOrigin(t.Context(), originA) }()
	answer <- http.StatusOK
	if !<-allowed {
		t.Error("it has not waited for the answer")
	}
	a.expect(originA, true, 3)
}

// Denied is what the endpoint has failed to answer for, but that is no answer of its own, to be used once more.
func TestAskWaitsForTheFirstAnswer(t *testing.T) {
	var code atomic.Int64
	code.Store(500)
	a := ask(t, Ask{}, status(&code))
	a.expect(originA, false, 1)
	code.Store(200)
	a.after(retryAfter)
	a.expect(originA, true, 2)
}

// While the endpoint fails, it is not asked about the same origin for some time, its last answer stands, and one error a
// minute is logged.
func TestAskFailures(t *testing.T) {
	var code atomic.Int64
	code.Store(200)
	a := ask(t, Ask{}, status(&code))
	a.expect(originA, true, 1)
	code.Store(500)
	a.after(time.Hour)
	for i := range int64(10) {
		a.expectBehind(originA, true, 2+2*i)
		a.expect(originB, false, 3+2*i)
		a.expect(originA, true, 3+2*i)
		a.expect(originB, false, 3+2*i)
		a.after(retryAfter - 1)
		a.expectBehind(originA, true, 3+2*i)
		a.expectBehind(originB, false, 3+2*i)
		a.after(1)
	}
	a.logged("error it answered 500")
	code.Store(403)
	a.expectBehind(originA, true, 22)
	a.expect(originA, false, 22)
	code.Store(200)
	a.expect(originB, true, 23)
	a.logged("info the endpoint answers again")
}

func TestAskRetriesAfterTheTTLWhereThatIsShorter(t *testing.T) {
	var code atomic.Int64
	code.Store(500)
	a := ask(t, Ask{TTL: caddy.Duration(time.Second)}, status(&code))
	a.expect(originA, false, 1)
	a.after(time.Second)
	a.expect(originA, false, 2)
}

func TestAskNobody(t *testing.T) {
	a := ask(t, Ask{}, func(http.ResponseWriter, *http.Request) {})
	a.expect(originA, true, 1)
	a.server.Close()
	a.after(time.Hour)
	a.expect(originA, true, 1)
	a.expect(originB, false, 1)
	a.logged("error dial tcp " + strings.TrimPrefix(a.server.URL, "http://") + ": connect")
}

func TestAskFollowsNoRedirect(t *testing.T) {
	a := ask(t, Ask{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/allowed", http.StatusFound)
		}
	})
	a.expect(originA, false, 1)
	a.logged("error it answered 302, and redirects are not followed")
}

// An endpoint that does not answer in time fails then, and not later.
func TestAskTimeout(t *testing.T) {
	gone := make(chan struct{}, 2)
	var slow atomic.Bool
	a := ask(t, Ask{Timeout: caddy.Duration(50 * time.Millisecond)}, func(_ http.ResponseWriter, r *http.Request) {
		if slow.Load() {
			<-r.Context().Done()
			gone <- struct{}{}
		}
	})
	a.expect(originA, true, 1)
	slow.Store(true)
	a.after(time.Hour)
	begin := time.Now()
	a.expect(originA, true, 2)
	a.expect(originB, false, 3)
	if took := time.Since(begin); took < 100*time.Millisecond || took > 10*time.Second {
		t.Errorf("two questions took %v", took)
	}
	a.logged("error no answer within 50ms")
	<-gone
	<-gone
}

// What is behind the status does not matter, however long it is.
func TestAskReadsNoLongBody(t *testing.T) {
	gone := make(chan struct{}, 1)
	a := ask(t, Ask{Timeout: caddy.Duration(time.Hour)}, func(w http.ResponseWriter, r *http.Request) {
		defer func() { gone <- struct{}{} }()
		block := make([]byte, 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	a.expect(originA, true, 1)
	<-gone
}

// Nobody waits for a body that does not come.
func TestAskWaitsForNoBody(t *testing.T) {
	a := ask(t, Ask{Timeout: caddy.Duration(time.Hour)}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	a.expect(originA, true, 1)
	if err := a.Cleanup(); err != nil { // which ends the request
		t.Fatal(err)
	}
	a.Ask.endpoint = nil
}

// A connection serves many questions.
func TestAskUsesConnectionsAgain(t *testing.T) {
	var connections sync.Map
	a := ask(t, Ask{}, func(w http.ResponseWriter, r *http.Request) {
		connections.Store(r.RemoteAddr, nil)
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, strings.Repeat("not found ", 100))
	})
	for i := range 100 {
		a.expect(fmt.Sprintf("https://%d.test", i), false, int64(i+1))
	}
	// A body is read after its question was answered, so the next question may come too early for the connection.
	n := 0
	connections.Range(func(any, any) bool { n++; return true })
	if n > 50 {
		t.Errorf("%d connections for 100 questions", n)
	}
}

// However many wait for an answer, one request gets it, and it goes on without those that do not wait any longer.
func TestAskOnce(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	a := ask(t, Ask{Timeout: caddy.Duration(time.Hour)}, func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	impatient, leave := context.WithCancel(t.Context())
	left := make(chan bool)
	go func() { left <- a.AllowsOrigin(impatient, originA) }()
	<-arrived
	answers := make(chan bool)
	for range 100 {
		go func() { answers <- a.AllowsOrigin(t.Context(), originA) }()
	}
	leave()
	if <-left {
		t.Error("who left has an answer")
	}
	close(release)
	for range 100 {
		if !<-answers {
			t.Error("denied")
		}
	}
	a.expect(originA, true, 1)
}

// A flood of origins that nobody knows finds a bounded number of requests, and the answers of a bounded number of others
// in memory, and does not drive out who is allowed.
func TestAskFlood(t *testing.T) {
	const known = 50
	var underWay, most atomic.Int64
	a := ask(t, Ask{Max: 100}, func(w http.ResponseWriter, r *http.Request) {
		now := underWay.Add(1)
		defer underWay.Add(-1)
		time.Sleep(time.Millisecond) // so that there could be more
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		if !strings.HasPrefix(r.FormValue("origin"), "https://customer-") {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	for i := range int64(known) {
		a.expect(fmt.Sprintf("https://customer-%d.test", i), true, i+1)
	}
	var strangers sync.WaitGroup
	for i := range 200 {
		strangers.Go(func() {
			for j := range 20 {
				if a.AllowsOrigin(t.Context(), fmt.Sprintf("https://stranger-%d-%d.test", i, j)) {
					t.Error("allowed")
				}
			}
		})
	}
	strangers.Wait()
	asked := a.count.Load()
	for i := range known {
		a.expect(fmt.Sprintf("https://customer-%d.test", i), true, asked)
	}
	a.endpoint.mu.Lock()
	if n := len(a.endpoint.answers.known); n != 100 {
		t.Errorf("%d answers", n)
	}
	if n := len(a.endpoint.questions); n != 0 {
		t.Errorf("%d questions", n)
	}
	a.endpoint.mu.Unlock()
	if n := most.Load(); n > maxRequests {
		t.Errorf("%d requests at a time", n)
	}
}

// Questions that cannot even wait are denied at once; who is known still has the last answer.
func TestAskTooManyQuestions(t *testing.T) {
	arrived := make(chan struct{}, maxQuestions)
	var hang atomic.Bool
	a := ask(t, Ask{Timeout: caddy.Duration(time.Hour)}, func(_ http.ResponseWriter, r *http.Request) {
		if hang.Load() {
			arrived <- struct{}{}
			<-r.Context().Done()
		}
	})
	a.expect(originA, true, 1)
	a.after(time.Hour)
	hang.Store(true)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for i := range maxQuestions {
		a.AllowsOrigin(ctx, fmt.Sprintf("https://stranger-%d.test", i))
	}
	for range maxRequests {
		<-arrived
	}
	a.expect(originA, true, 1+maxRequests)
	a.expect(originB, false, 1+maxRequests)
	a.logged("error it is being asked about 1024 other origins")
	if err := a.Cleanup(); err != nil {
		t.Fatal(err)
	}
	a.Ask.endpoint = nil
	a.logged() // that they were stopped is no failure
}

// Answers outlive a reload, which provisions the new configuration before it cleans up the old one.
func TestAskAnswersOutliveReloads(t *testing.T) {
	a := ask(t, Ask{}, func(http.ResponseWriter, *http.Request) {})
	a.expect(originA, true, 1)
	for _, test := range []struct {
		name    string
		next    Ask
		allowed bool
	}{
		{"the same", Ask{URL: a.URL}, true},
		{"another ttl", Ask{URL: a.URL, TTL: 1}, false},
	} {
		next := test.next
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer cancel()
		if err := next.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = next.Cleanup() }()
		if test.name == "the same" {
			if err := a.Cleanup(); err != nil {
				t.Fatal(err)
			}
			a.Ask.endpoint = nil
			a.server.Close()
		}
		if got := next.AllowsOrigin(t.Context(), originA); got != test.allowed {
			t.Errorf("%s: allowed %v", test.name, got)
		}
	}
}

// What nobody uses any more still answers who waits, and then ends its connections.
func TestAskCleanup(t *testing.T) {
	closed, arrived, answer := make(chan struct{}, 2), make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.FormValue("origin") == originB {
			arrived <- struct{}{}
			<-answer
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	core, logs := observer.New(zapcore.DebugLevel)
	logger := zap.New(core)
	e := newEndpoint(endpointSettings{server.URL, time.Hour, time.Hour, 10})

	// Two questions at a time, so that there are two connections.
	answered := make(chan bool)
	go func() { answered <- e.allows(t.Context(), logger, about(originB)) }()
	<-arrived
	if !e.allows(t.Context(), logger, about(originA)) {
		t.Error("denied")
	}
	for len(e.requests) > 1 { // until the second connection is idle
		time.Sleep(time.Millisecond)
	}
	if err := e.Destruct(); err != nil {
		t.Fatal(err)
	}
	close(answer)
	if !<-answered {
		t.Error("denied, because the configuration was replaced")
	}
	for range 2 {
		select {
		case <-closed:
		case <-time.After(30 * time.Second):
			t.Fatal("a connection stays open")
		}
	}
	for len(e.requests) > 0 { // until all is logged
		time.Sleep(time.Millisecond)
	}
	polled{t: t, logs: logs}.logged()
}

// The log has nothing of a URL that may be secret.
func TestAskKeepsSecrets(t *testing.T) {
	t.Setenv("ORIGINS_TEST_SECRET", "hunter2")
	a := ask(t, Ask{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	for _, address := range []string{
		strings.Replace(a.URL, "http://", "http://me:{env.ORIGINS_TEST_SECRET}@", 1) + "/cors?token={env.ORIGINS_TEST_SECRET}",
		"http://me:{env.ORIGINS_TEST_SECRET}@127.0.0.1:1/cors?token={env.ORIGINS_TEST_SECRET}",
	} {
		parsed, err := parseAddress(address)
		resolved := parsed.text
		if err != nil || !strings.Contains(resolved, "hunter2") {
			t.Fatal(resolved, err)
		}
		if got := withoutSecrets(resolved); !strings.HasSuffix(got, "/cors") || strings.Contains(got, "hunter2") || strings.Contains(got, "me") {
			t.Error(got)
		}
		e := newEndpoint(endpointSettings{resolved, time.Minute, time.Minute, 1})
		core, logs := observer.New(zapcore.DebugLevel)
		if e.allows(t.Context(), zap.New(core), about(originA)) {
			t.Error("allowed")
		}
		for logs.Len() == 0 {
			time.Sleep(time.Millisecond)
		}
		for _, entry := range logs.All() {
			if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "hunter2") {
				t.Error(text)
			}
		}
		if err := e.Destruct(); err != nil {
			t.Error(err)
		}
	}
	for _, address := range []string{"http://me:hunter2@[", "ftp://me:hunter2@x/", "http://me:hunter2@x/%zz"} {
		if err := checkURL(address); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
	}
}

func BenchmarkAskRemembered(b *testing.B) {
	e := newEndpoint(endpointSettings{"http://127.0.0.1:1", time.Second, time.Hour, defaultMax})
	for i := range defaultMax {
		e.answers.put(about(fmt.Sprintf("https://customer-%d.test", i)), true, true, time.Now().Add(time.Hour))
	}
	b.ReportAllocs()
	for b.Loop() {
		if !e.allows(b.Context(), nil, about("https://customer-77.test")) {
			b.Fatal("denied")
		}
	}
}
