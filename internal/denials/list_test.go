package denials

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

// denying returns a directive, and what it logs.
func denying() (*Directive, *observer.ObservedLogs) {
	core, logs := observer.New(zap.WarnLevel)
	return &Directive{ID: "test", Server: "srv0", Logger: zap.New(core)}, logs
}

// none allows an origin that no test asks for.
var none = compile(policy.DefaultName)

func compile(name string) *policy.Policies {
	p, problems, _ := policy.Compile(policy.Options{Name: name, AllowOrigins: []string{"https://app.example.com"}})
	if len(problems) > 0 {
		panic(problems)
	}
	return policy.NewPolicies(p)
}

// deny adds a request of the origin to the list, as the handler does.
func (l *List) deny(by *Directive, origin string) { l.denyBy(by, none, origin) }

func (l *List) denyBy(by *Directive, policies *policy.Policies, origin string) {
	l.denyRequest(by, policies, "GET", http.Header{"Origin": {origin}})
}

func (l *List) denyRequest(by *Directive, policies *policy.Policies, method string, header http.Header) {
	r := &http.Request{Method: method, Host: "api.example.com", URL: &url.URL{Path: "/"}, Header: header}
	asked := policy.NewRequest(r.Method, r.Host, r.Header)
	d := policies.Decide(&asked)
	l.Add(Request{by, r, &asked, &d})
}

// counts returns the counts of the lines logged since the last call, by their origin; "" has the line for all that got
// none of their own.
func counts(t testing.TB, logs *observer.ObservedLogs) map[string]uint64 {
	t.Helper()
	lines := map[string]uint64{}
	for _, entry := range logs.TakeAll() {
		fields := entry.ContextMap()
		origin, _ := fields["origin"].(string)
		if _, twice := lines[origin]; twice {
			t.Errorf("two lines for %q", origin)
		}
		lines[origin] = fields["count"].(uint64)
	}
	return lines
}

func wantCounts(t testing.TB, logs *observer.ObservedLogs, want map[string]uint64) {
	t.Helper()
	if got := counts(t, logs); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lines %v, want %v", got, want)
	}
}

// What is denied again and again gets a line the first time, and then one a minute with its count.
func TestDenialsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l List
		h, logs := denying()
		const a, b = "https://a.example.com", "https://b.example.com"

		l.deny(h, a)
		wantCounts(t, logs, map[string]uint64{a: 1})
		for range 10 {
			l.deny(h, a)
			time.Sleep(time.Second)
		}
		l.deny(h, b)
		wantCounts(t, logs, map[string]uint64{b: 1})
		time.Sleep(49 * time.Second)
		l.deny(h, a)
		wantCounts(t, logs, nil)
		time.Sleep(time.Second)
		l.deny(h, a)
		wantCounts(t, logs, map[string]uint64{a: 12})
		time.Sleep(time.Hour)
		l.deny(h, a)
		wantCounts(t, logs, map[string]uint64{a: 1})

		list, others := l.All()
		if len(list) != 2 || list[0].Origin != a || list[0].Count != 14 || list[1].Count != 1 || others != 0 {
			t.Errorf("the list is %+v, and %d others", list, others)
		}
		if got := list[0].LastSeen.Sub(list[0].FirstSeen); got != time.Hour+60*time.Second {
			t.Errorf("from the first to the last: %v", got)
		}
	})
}

// A flood of distinct origins gets 256 lines a minute, and one for the count of all others. No denial is in two lines.
func TestDenialsFloodIsLoggedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l List
		h, logs := denying()
		total := uint64(0)
		for minute := range 3 {
			for i := range 10_000 {
				l.deny(h, fmt.Sprintf("https://%d-%d.example.com", minute, i))
			}
			for i := range 10 { // repeats: of one with a line, and of one without
				l.deny(h, fmt.Sprintf("https://%d-%d.example.com", minute, 9_999*(i%2)))
			}
			if n := logs.Len(); n != maxLogLines {
				t.Errorf("%d lines at once, want %d", n, maxLogLines)
			}
			time.Sleep(logPeriod)
			synctest.Wait()
			got := counts(t, logs)
			if len(got) != maxLogLines+1 || got[""] < 10_000-maxLogLines {
				t.Errorf("minute %d: %d lines, the last for %d requests", minute, len(got), got[""])
			}
			for _, n := range got {
				total += n
			}
		}
		if total > 30_030 || total < 30_000 {
			t.Errorf("the lines count %d requests, of 30030", total)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		wantCounts(t, logs, nil)
	})
}

// What is denied often stays in the list when a flood comes, and the flood's place in it is bounded.
func TestDenialsFloodLeavesTheFrequent(t *testing.T) {
	var l List
	h, _ := denying()
	for i := range 10 {
		for range 3 {
			l.deny(h, fmt.Sprintf("https://frequent-%d.example.com", i))
		}
	}
	for i := range 10_000 {
		l.deny(h, fmt.Sprintf("https://%d.example.com", i))
	}
	list, others := l.All()
	if len(list) != maxEntries || others != 10_010-maxEntries {
		t.Errorf("%d entries and %d others, want %d and %d", len(list), others, maxEntries, 10_010-maxEntries)
	}
	for i, d := range list[:10] {
		if !strings.HasPrefix(d.Origin, "https://frequent-") || d.Count != 3 {
			t.Errorf("place %d is of %s, %d times", i, d.Origin, d.Count)
		}
	}
	l.Clear()
	if list, others := l.All(); len(list) != 0 || others != 0 {
		t.Errorf("cleared, the list has %d entries and %d others", len(list), others)
	}
}

// 200,000 requests with values of all sizes leave less than 2 MiB behind, and no more than 257 lines.
func TestDenialsFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l List
		h, logs := denying()
		heap := func() uint64 {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			return stats.HeapAlloc
		}
		before := heap()
		for i := range 200_000 {
			l.denyRequest(h, none, "OPTIONS", http.Header{
				"Origin":                        {fmt.Sprintf("https://%d.%s", i, strings.Repeat("x", i%5000))},
				"Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {strings.Repeat(fmt.Sprintf("x-%d,", i), i%33)},
			})
		}
		used := int64(heap()) - int64(before)
		t.Logf("%d KiB for %d entries", used>>10, len(l.entries))
		if used > 2<<20 {
			t.Errorf("%d bytes are in use", used)
		}
		for key, e := range l.entries {
			d := e.denialLocked()
			for _, text := range []string{key.origin, d.Origin, d.Host, d.Path, d.Method} {
				if len(text) > printable.MaxLength {
					t.Errorf("%d bytes of a value are kept", len(text))
				}
			}
			if len(d.Fix) > 1024 {
				t.Errorf("%d bytes of a fix are kept", len(d.Fix))
			}
		}
		time.Sleep(logPeriod)
		synctest.Wait()
		if n := logs.Len(); n != maxLogLines+1 {
			t.Errorf("%d lines", n)
		}
		runtime.KeepAlive(&l)
	})
}

// Denials, readers and clearers at once, for the race detector; and no denial is lost.
func TestDenialsConcurrently(t *testing.T) {
	var l List
	h, _ := denying()
	const workers, each = 8, 2000
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range each {
				l.deny(h, fmt.Sprintf("https://%d.example.com", (worker+i)%3000))
				if i%100 == 0 {
					l.All()
				}
			}
		})
	}
	wg.Wait()
	list, total := l.All()
	for _, d := range list {
		total += d.Count
	}
	if total != workers*each {
		t.Errorf("%d requests are counted, of %d", total, workers*each)
	}
	for range workers {
		wg.Go(l.Clear)
		wg.Go(func() { l.deny(h, "https://a.example.com") })
	}
	wg.Wait()
}

// Denials are one only if all of what decides is the same: the directive, its mode and the policy. Each has its line.
func TestDenialsOfDifferentDirectivesAreDifferent(t *testing.T) {
	const a = "https://a.example.com"
	core, logs := observer.New(zap.WarnLevel)
	first := &Directive{ID: "first", Server: "srv0", Logger: zap.New(core)}
	again := &Directive{ID: "first", Server: "srv0", Logger: zap.New(core)} // after a reload
	second := &Directive{ID: "second", Server: "srv0", Logger: zap.New(core)}
	watching := &Directive{ID: "first", Server: "srv0", ReportOnly: true, Logger: zap.New(core)}
	partner := compile("partner")

	var l List
	for range 3 {
		l.deny(first, a)
		l.deny(again, a)
		l.deny(second, a)
		l.deny(watching, a)
		l.denyBy(first, partner, a)
	}
	list, _ := l.All()
	var got []string
	ids := make(map[string]bool)
	for _, d := range list {
		ids[d.ID] = true
	}
	for k, e := range l.entries {
		got = append(got, fmt.Sprintf("%s %s %v %d", k.directive, k.policy, k.reportOnly, e.count.Load()))
	}
	slices.Sort(got)
	if want := []string{"first default false 6", "first default true 3", "first partner false 3", "second default false 3"}; !slices.Equal(got, want) {
		t.Errorf("the list is %q, want %q", got, want)
	}
	if len(ids) != 4 || ids[""] {
		t.Errorf("the IDs are %v", ids)
	}
	if logs.Len() != 4 {
		t.Errorf("%d lines, want 4", logs.Len())
	}
}

// A denial that has made room for another is new when it comes back, and so it is for a request that has found its entry
// just before that left the list.
func TestDenialThatMadeRoomIsNew(t *testing.T) {
	var l List
	by, _ := denying()
	const seldom = "https://seldom.example.com"
	l.deny(by, seldom)
	k := l.onlyKey()
	found := l.entries[k]
	for i := 0; l.entries[k] != nil; i++ {
		for other, d := range l.entries {
			if other != k {
				d.count.Store(1e6)
			}
		}
		if len(l.entries) == maxEntries {
			l.addRepeat(&k)
		}
		l.addLatest(key{origin: fmt.Sprint(i)}, latest{}, by)
	}
	if at := l.place(&k).Load(); at == found {
		t.Error("an entry that has left the list is still at hand")
	}
	l.place(&k).Store(found)
	l.deny(by, seldom)
	if d := l.entries[k]; d == nil || d.count.Load() != 1 {
		t.Errorf("the list has %+v", d)
	}
}

// onlyKey returns the key of the only entry.
func (l *List) onlyKey() key {
	for k := range l.entries {
		return k
	}
	return key{}
}

// The scheme is that of the connection, or of the page's call before a proxy that takes the TLS off.
func TestDenialURL(t *testing.T) {
	trusting := func(trusted bool) context.Context {
		return context.WithValue(t.Context(), caddyhttp.VarsCtxKey, map[string]any{caddyhttp.TrustedProxyVarKey: trusted})
	}
	for _, test := range []struct {
		name      string
		tls       bool
		trusted   bool
		forwarded string
		host      string
		origin    string
		want      string
	}{
		{name: "over TLS", tls: true, host: "api.example.com", origin: "http://app.example.com", want: "https://api.example.com/orders"},
		{name: "without", host: "api.example.com", origin: "http://app.example.com", want: "http://api.example.com/orders"},
		{name: "a trusted proxy", trusted: true, forwarded: "https", host: "api.example.com", origin: "http://app.example.com", want: "https://api.example.com/orders"},
		{name: "anybody", forwarded: "https", host: "api.example.com", origin: "http://app.example.com", want: "http://api.example.com/orders"},
		{name: "a page over https, so a proxy that does not say so", host: "api.example.com", origin: "https://app.example.com", want: "https://api.example.com/orders"},
		{name: "a page over https, of the same machine", host: "localhost:8080", origin: "https://app.example.com", want: "http://localhost:8080/orders"},
	} {
		var l List
		by, _ := denying()
		r := (&http.Request{Method: "GET", Host: test.host, URL: &url.URL{Path: "/orders"}, Header: http.Header{"Origin": {test.origin}}}).WithContext(trusting(test.trusted))
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-Proto", test.forwarded)
		}
		if test.tls {
			r.TLS = new(tls.ConnectionState)
		}
		asked := policy.NewRequest(r.Method, r.Host, r.Header)
		d := compile("nobody's").Decide(&asked)
		if d.Outcome != policy.Denied {
			d = policy.Decision{Outcome: policy.Denied, Policy: d.Policy, Denial: policy.Denial{Reason: policy.OriginNotAllowed}}
		}
		l.Add(Request{by, r, &asked, &d})
		list, _ := l.All()
		if got := list[0].URL(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}
