// Package denials keeps what the cors directives of a process have denied: in a list that the admin API and a command
// show, and in the log. Requests that are alike are one denial. Whatever the requests are, the list and the number of log
// lines are bounded.
package denials

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

const (
	// maxEntries bounds the list. A flood of other denials replaces those that were seen least often.
	maxEntries = 1000

	// maxLogLines bounds the log lines of a logPeriod, but for one that counts what got none.
	maxLogLines = 256
	logPeriod   = time.Minute
)

// Default is the list of all cors directives of the process. It belongs to no configuration, so that it outlives reloads.
var Default List

// A List counts denied requests, those alike as one, and logs them. Its zero value is an empty list.
//
// A request that repeats another takes no lock: it finds its denial in recent, and adds one to it. All else is done under
// the lock.
type List struct {
	clock  clock
	recent [recentEntries]atomic.Pointer[entry]

	mu      sync.Mutex
	entries map[key]*entry
	others  uint64 // the count of denials that had to make room

	periodStart instant
	lines       int         // logged in the period
	unlogged    uint64      // denied in the period, but neither logged nor repeats of what was
	logger      *zap.Logger // for the line that counts those
}

// recentEntries is how many places there are for entries that can be found without the lock: each has one, which it shares
// with those of the same hash.
const recentEntries = 1024

// An entry is a denial in the list.
type entry struct {
	key    key
	server string
	first  instant
	last   atomic.Int64 // the instant of the last request
	logged atomic.Int64 // that of the last line; never is 0
	count  atomic.Uint64

	// What only the holder of the list's lock reads and writes.
	latest latest
	told   uint64 // the count when the last line, or that of all others, told it
}

// gone is added to the count of an entry that has left the list, by whoever finds it all the same.
const gone = 1 << 63

// A Request is one that was denied.
type Request struct {
	Directive *Directive
	HTTP      *http.Request
	Asked     *policy.Request
	Decision  *policy.Decision
}

// A key is what requests have in common that are one denial. Its texts are cut.
type key struct {
	directive      string
	reportOnly     bool
	policy         string
	reason         policy.Reason
	origin, detail string
}

// A Denial is one entry of the list, as it is shown. Nothing of a request stays in it but copies, cut and printable.
type Denial struct {
	ID     string        `json:"id"`
	Reason policy.Reason `json:"reason"`
	Origin string        `json:"origin"`
	Detail string        `json:"detail,omitempty"` // the method or the header name that was missing

	Count     uint64    `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`

	Server     string `json:"server"`
	Policy     string `json:"policy"`
	ReportOnly bool   `json:"report_only"`

	latest

	// RequestHeaders are the names of the headers that its preflight asked for; none where they are very many, or long.
	RequestHeaders []string `json:"request_headers,omitempty"`
}

// latest is what is known of the latest request of a denial that was not a mere repeat.
type latest struct {
	Kind   policy.Kind `json:"kind"`
	Method string      `json:"method"`
	Scheme string      `json:"scheme"`
	Host   string      `json:"host"`
	Path   string      `json:"path"`

	Fix   string        `json:"fix"`
	Lines []policy.Line `json:"lines,omitempty"` // of the fix; none where it is a sentence, because no line would do

	asked string // the names of RequestHeaders, with commas
}

func (r Request) key() key {
	k := key{
		directive:  r.Directive.ID,
		reportOnly: r.Directive.ReportOnly,
		policy:     r.Decision.Policy.Name(),
		reason:     r.Decision.Reason,
	}
	if len(r.Asked.Origin) > 0 { // else enforce takes it for forged
		k.origin = printable.Cut(r.Asked.Origin[0])
	}
	switch k.reason {
	case policy.MethodNotAllowed, policy.HeaderNotAllowed:
		k.detail = printable.Cut(r.Decision.Detail)
	}
	return k
}

// latest copies what may differ between requests of one denial.
func (r Request) latest() latest {
	method := r.HTTP.Method
	if r.Asked.IsPreflight() {
		method = r.Asked.PreflightMethod()
	}
	called := r.HTTP.URL
	if original, ok := r.HTTP.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		called = original.URL // as it was before rewrites
	}
	fix := policy.FixFor(r.Asked, r.Decision)
	shown := func(s string) string { return strings.Clone(printable.ASCII(printable.Cut(s))) }
	return latest{
		Kind:   r.Asked.Kind(),
		Method: shown(method),
		Scheme: scheme(r.HTTP),
		Host:   shown(r.HTTP.Host),
		Path:   shown(called.EscapedPath()),
		Fix:    fix.String(),
		Lines:  fix.Lines,
		asked:  strings.Clone(strings.Join(r.Asked.HeaderNames(), ",")),
	}
}

// scheme returns that of the URL that was called: of the connection, or what a trusted proxy says.
func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return "https"
	}
	return "http"
}

// URL returns the URL that the page called, as far as is known: a proxy that takes the TLS off need not say so, but a page
// over https can call https alone, unless it is a server of the same machine.
func (d *Denial) URL() string {
	u := url.URL{Scheme: cmp.Or(d.Scheme, "https"), Host: d.Host}
	page, _ := origin.Parse(d.Origin)
	server, ok := origin.Parse("http://" + strings.ToLower(d.Host))
	if page.Scheme() == "https" && !(ok && server.Loopback()) {
		u.Scheme = "https"
	}
	return u.String() + d.Path
}

// HeaderNames returns the names of the headers that the preflight asked for; where they are not kept, those that were missing.
func (d *Denial) HeaderNames() []string {
	if len(d.RequestHeaders) > 0 {
		return d.RequestHeaders
	}
	for _, line := range d.Lines {
		if line.Option == "allow_headers" {
			return line.Values
		}
	}
	return nil
}

// Add counts a denied request, and logs it if it is time to.
func (l *List) Add(r Request) {
	k := r.key()
	if l.addRepeat(&k) {
		return
	}
	latest := r.latest()
	if line, count := l.addLatest(k, latest, r.Directive); count > 0 {
		line.log(r.Directive.Logger, count)
	}
}

// addRepeat counts a request that is like one that was logged in the last minute. It reports false if there is none at
// hand.
func (l *List) addRepeat(k *key) bool {
	now, ok := l.clock.read()
	if !ok {
		return false
	}
	e := l.place(k).Load()
	return e != nil && e.key == *k && now.isWithin(logPeriod, instant(e.logged.Load())) && e.add(now)
}

// add counts a request. It reports false if the entry has left the list.
func (e *entry) add(now instant) bool {
	if e.last.Load() != int64(now) {
		e.last.Store(int64(now))
	}
	return e.count.Add(1) < gone
}

var seed = maphash.MakeSeed()

// place returns where the entry of the key is, if it is at hand.
func (l *List) place(k *key) *atomic.Pointer[entry] {
	hash := maphash.String(seed, k.directive) + 3*maphash.String(seed, k.origin) + 5*maphash.String(seed, k.detail)
	return &l.recent[hash%recentEntries]
}

// addLatest counts a request, and returns what to log, and the count to log with it: 0 if it is not time to.
func (l *List) addLatest(k key, latest latest, by *Directive) (line Denial, count uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.nowLocked()
	if !now.isWithin(logPeriod, l.periodStart) {
		l.periodStart, l.lines = now, 0
	}
	e := l.entries[k]
	if e == nil {
		if len(l.entries) >= maxEntries {
			l.evictLocked(now, by.Logger)
		}
		e = l.insertLocked(k, by, now)
	}
	e.latest = latest
	e.add(now)
	l.place(&k).Store(e)
	switch {
	case now.isWithin(logPeriod, instant(e.logged.Load())):
		return Denial{}, 0
	case l.lines >= maxLogLines:
		l.countUnloggedLocked(e.untoldLocked(), now, by.Logger)
		return Denial{}, 0
	}
	l.lines++
	e.logged.Store(int64(now))
	return e.denialLocked(), e.untoldLocked()
}

// untoldLocked returns how many requests no line has told of, as one is about to.
func (e *entry) untoldLocked() uint64 {
	count := e.count.Load()
	untold := count - e.told
	e.told = count
	return untold
}

func (l *List) insertLocked(k key, by *Directive, now instant) *entry {
	if l.entries == nil {
		l.entries = make(map[key]*entry, maxEntries)
	}
	k.origin, k.detail = strings.Clone(k.origin), strings.Clone(k.detail)
	e := &entry{key: k, server: by.Server, first: now}
	l.entries[k] = e
	return e
}

// denialLocked returns the entry as it is shown, but for its ID.
func (e *entry) denialLocked() Denial {
	d := Denial{
		Reason:     e.key.reason,
		Origin:     printable.ASCII(e.key.origin),
		Detail:     printable.ASCII(e.key.detail),
		Count:      e.count.Load(),
		FirstSeen:  e.first.time(),
		LastSeen:   instant(e.last.Load()).time(),
		Server:     e.server,
		Policy:     e.key.policy,
		ReportOnly: e.key.reportOnly,
		latest:     e.latest,
	}
	if e.latest.asked != "" {
		d.RequestHeaders = strings.Split(e.latest.asked, ",")
	}
	return d
}

// evictLocked makes room. It removes the least of some entries, those that an iteration happens to start with: one that
// was seen seldom, and long ago. So what is denied again and again stays in the list, and a flood costs the same however
// long it is.
func (l *List) evictLocked(now instant, logger *zap.Logger) {
	const some = 8
	var evicted *entry
	looked := 0
	for _, e := range l.entries {
		if evicted == nil || cmp.Or(cmp.Compare(e.count.Load(), evicted.count.Load()), cmp.Compare(e.last.Load(), evicted.last.Load())) < 0 {
			evicted = e
		}
		if looked++; looked == some {
			break
		}
	}
	delete(l.entries, evicted.key)
	count := l.leaveLocked(evicted)
	l.others += count
	l.countUnloggedLocked(count-evicted.told, now, logger)
}

// leaveLocked has an entry that was removed from the list counted no more, and returns its count.
func (l *List) leaveLocked(e *entry) uint64 {
	l.place(&e.key).CompareAndSwap(e, nil)
	return e.count.Swap(gone)
}

// countUnloggedLocked counts denials that get no line of their own. One line at the end of the period tells how many.
func (l *List) countUnloggedLocked(n uint64, now instant, logger *zap.Logger) {
	if n > 0 && l.unlogged == 0 {
		time.AfterFunc(logPeriod-time.Duration(now-l.periodStart), l.logUnlogged)
	}
	l.unlogged += n
	l.logger = logger
}

func (l *List) logUnlogged() {
	l.mu.Lock()
	n, logger := l.unlogged, l.logger
	l.unlogged = 0
	l.mu.Unlock()
	logger.Warn("more requests denied than are logged one by one", zap.Uint64("count", n))
}

// log writes the line of a denial.
func (d *Denial) log(logger *zap.Logger, count uint64) {
	fields := []zap.Field{
		zap.String("reason", string(d.Reason)),
		zap.String("origin", d.Origin),
		zap.String("kind", string(d.Kind)),
		zap.String("method", d.Method),
		zap.String("host", d.Host),
		zap.String("path", d.Path),
		zap.String("policy", d.Policy),
		zap.Bool("report_only", d.ReportOnly),
		zap.Uint64("count", count),
		zap.String("fix", d.Fix),
	}
	if d.Detail != "" {
		fields = slices.Insert(fields, 2, zap.String("detail", d.Detail))
	}
	logger.Warn("request denied", fields...)
}

// All returns the entries, the most frequent ones first, and how many denials the list had no room for.
func (l *List) All() (list []Denial, others uint64) {
	l.mu.Lock()
	list = make([]Denial, 0, len(l.entries))
	keys := make([]key, 0, len(l.entries))
	for _, e := range l.entries {
		list, keys = append(list, e.denialLocked()), append(keys, e.key)
	}
	others = l.others
	l.mu.Unlock()
	for i := range list {
		list[i].ID = keys[i].id()
	}
	slices.SortFunc(list, func(a, b Denial) int {
		return cmp.Or(
			cmp.Compare(b.Count, a.Count),
			b.LastSeen.Compare(a.LastSeen),
			strings.Compare(a.Origin, b.Origin),
			strings.Compare(a.ID, b.ID))
	})
	return list, others
}

// id returns a name for what the key stands for, the same wherever and whenever it is asked for.
func (k key) id() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %t %q %q %q %q", k.directive, k.reportOnly, k.policy, k.reason, k.origin, k.detail))
	return hex.EncodeToString(sum[:6])
}

// Clear empties the list. What is denied from then on is logged as if it were new.
func (l *List) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		l.leaveLocked(e)
	}
	clear(l.entries)
	l.others, l.lines = 0, 0
}
