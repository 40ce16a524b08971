// Package denials keeps what the cors directives of a process have denied: in a list that the admin API and a command
// show, and in the log. Requests that are alike are one denial. Whatever the requests are, the list and the number of log
// lines are bounded.
package denials

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/printable"
)

const (
	// maxEntries bounds the list. A flood of other denials replaces those that were seen least often.
	maxEntries = 1000

	// maxLogLines bounds the log lines of a logPeriod, but for one that counts what got none.
	maxLogLines = 256
	logPeriod   = time.Minute

	// clockPeriod is how far the times of denials may be behind.
	clockPeriod = 100 * time.Millisecond
)

// Default is the list of all cors directives of the process. It belongs to no configuration, so that it outlives reloads.
var Default List

// A List counts denied requests, those alike as one, and logs them. Its zero value is an empty list.
type List struct {
	mu      sync.Mutex
	entries map[key]*Denial
	latest  *Denial // what was denied last, which is most often what is denied next; nil where that is not in the list
	others  uint64  // the count of denials that had to make room

	// Reading the clock would be the dearest part of a denial that repeats others. So while there are denials, it is
	// read once in a while for all of them.
	now      time.Time
	ticking  bool // a timer keeps now up to date
	wasAsked bool // since the timer's last tick

	periodStart time.Time
	lines       int         // logged in the period
	unlogged    uint64      // denied in the period, but neither logged nor repeats of what was
	logger      *zap.Logger // for the line that counts those
}

// A Directive is the cors directive that has denied a request.
type Directive struct {
	// ID tells it from the other directives of the configuration. Loading the same directive again does not change it.
	ID string

	// Server is the name of its HTTP server in Caddy's configuration.
	Server string

	// ReportOnly is true if it only watches.
	ReportOnly bool

	// Logger is where its denials are logged.
	Logger *zap.Logger
}

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

// A Denial is one entry of the list. Nothing of a request stays in it but copies, cut and printable.
type Denial struct {
	key key

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

	logged  time.Time // when it last got a line
	repeats uint64    // since then
}

// latest is what is known of the latest request of a denial that was not a mere repeat.
type latest struct {
	Kind   policy.Kind   `json:"kind"`
	Method string        `json:"method"`
	Host   string        `json:"host"`
	Path   string        `json:"path"`
	Fix    string        `json:"fix"`
	Lines  []policy.Line `json:"lines,omitempty"` // of the fix; none where it is a sentence, because no line would do
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
	url := r.HTTP.URL
	if original, ok := r.HTTP.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		url = original.URL // as it was before rewrites
	}
	fix := policy.FixFor(r.Asked, r.Decision)
	shown := func(s string) string { return strings.Clone(printable.ASCII(printable.Cut(s))) }
	return latest{
		Kind:   r.Asked.Kind(),
		Method: shown(method),
		Host:   shown(r.HTTP.Host),
		Path:   shown(url.EscapedPath()),
		Fix:    fix.String(),
		Lines:  fix.Lines,
	}
}

// Add counts a denied request, and logs it if it is time to.
func (l *List) Add(r Request) {
	k := r.key()
	if l.addRepeat(k) {
		return
	}
	latest := r.latest()
	if line, ok := l.addLatest(k, latest, r.Directive); ok {
		line.log(r.Directive.Logger)
	}
}

// addRepeat counts a request that is like one that was logged in the last minute. It reports false if there is none.
func (l *List) addRepeat(k key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.latest
	if d == nil || d.key != k {
		d = l.entries[k]
		l.latest = d
	}
	now := l.nowLocked()
	if d == nil || now.Sub(d.logged) >= logPeriod {
		return false
	}
	d.countLocked(now)
	return true
}

// addLatest counts a request, and returns the entry to log, if it is time to.
func (l *List) addLatest(k key, latest latest, by *Directive) (line Denial, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.nowLocked()
	if now.Sub(l.periodStart) >= logPeriod {
		l.periodStart, l.lines = now, 0
	}
	d := l.entries[k]
	if d == nil {
		if len(l.entries) >= maxEntries {
			l.evictLocked(now, by.Logger)
		}
		d = l.insertLocked(k, by, now)
	}
	d.latest = latest
	d.countLocked(now)
	switch {
	case now.Sub(d.logged) < logPeriod:
		return Denial{}, false
	case l.lines >= maxLogLines:
		l.countUnloggedLocked(d.repeats, now, by.Logger)
		d.repeats = 0
		return Denial{}, false
	}
	l.lines++
	line = *d
	d.logged, d.repeats = now, 0
	return line, true
}

func (d *Denial) countLocked(now time.Time) {
	d.Count++
	d.repeats++
	d.LastSeen = now
}

func (l *List) insertLocked(k key, by *Directive, now time.Time) *Denial {
	if l.entries == nil {
		l.entries = make(map[key]*Denial, maxEntries)
	}
	k.origin, k.detail = strings.Clone(k.origin), strings.Clone(k.detail)
	d := &Denial{
		key:        k,
		Reason:     k.reason,
		Origin:     printable.ASCII(k.origin),
		Detail:     printable.ASCII(k.detail),
		Server:     by.Server,
		Policy:     k.policy,
		ReportOnly: k.reportOnly,
		FirstSeen:  now,
	}
	l.entries[k] = d
	return d
}

// evictLocked makes room. It removes the least of some entries, those that an iteration happens to start with: one that
// was seen seldom, and long ago. So what is denied again and again stays in the list, and a flood costs the same however
// long it is.
func (l *List) evictLocked(now time.Time, logger *zap.Logger) {
	const some = 8
	var evicted *Denial
	looked := 0
	for _, d := range l.entries {
		if evicted == nil || cmp.Or(cmp.Compare(d.Count, evicted.Count), d.LastSeen.Compare(evicted.LastSeen)) < 0 {
			evicted = d
		}
		if looked++; looked == some {
			break
		}
	}
	delete(l.entries, evicted.key)
	l.latest = nil
	l.others += evicted.Count
	l.countUnloggedLocked(evicted.repeats, now, logger)
}

// countUnloggedLocked counts denials that get no line of their own. One line at the end of the period tells how many.
func (l *List) countUnloggedLocked(n uint64, now time.Time, logger *zap.Logger) {
	if n > 0 && l.unlogged == 0 {
		time.AfterFunc(l.periodStart.Add(logPeriod).Sub(now), l.logUnlogged)
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

// log writes the line of an entry.
func (d *Denial) log(logger *zap.Logger) {
	fields := []zap.Field{
		zap.String("reason", string(d.Reason)),
		zap.String("origin", d.Origin),
		zap.String("kind", string(d.Kind)),
		zap.String("method", d.Method),
		zap.String("host", d.Host),
		zap.String("path", d.Path),
		zap.String("policy", d.Policy),
		zap.Bool("report_only", d.ReportOnly),
		zap.Uint64("count", d.repeats),
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
	for _, d := range l.entries {
		list = append(list, *d)
	}
	others = l.others
	l.mu.Unlock()
	for i := range list {
		list[i].ID = list[i].key.id()
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
	clear(l.entries)
	l.latest = nil
	l.others, l.lines = 0, 0
}

// nowLocked returns the time, or that of a short while ago.
func (l *List) nowLocked() time.Time {
	if l.ticking {
		l.wasAsked = true
		return l.now
	}
	l.now, l.ticking = time.Now(), true
	time.AfterFunc(clockPeriod, l.tick)
	return l.now
}

// tick moves the clock on, as long as it is asked.
func (l *List) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ticking = l.wasAsked; l.ticking {
		l.now, l.wasAsked = time.Now(), false
		time.AfterFunc(clockPeriod, l.tick)
	}
}
