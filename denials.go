package caddycors

import (
	"cmp"
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
	// maxDenials bounds the list of denials. A flood of others replaces those that were seen least often.
	maxDenials = 1000

	// maxLogLines bounds the log lines of a logPeriod, but for one that counts what got none.
	maxLogLines = 256
	logPeriod   = time.Minute

	// clockPeriod is how far the times of denials may be behind.
	clockPeriod = 100 * time.Millisecond
)

// allDenials has the denials of all cors handlers of the process. It is not part of any configuration, so that it outlives
// reloads.
var allDenials denials

// denials counts denied requests, those alike as one, and logs them. Whatever the requests are, its size and the number
// of its log lines are bounded.
type denials struct {
	mu     sync.Mutex
	list   map[denialKey]*denial
	latest *denial // what was denied last, which is most often what is denied next; nil where that is not in the list
	others uint64  // the count of denials that had to make room

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

// A denialKey is what denials that count as one have in common. Its texts are cut.
type denialKey struct {
	reason         policy.Reason
	origin, detail string
}

// A denial is one entry of the list.
type denial struct {
	key denialKey

	Reason policy.Reason `json:"reason"`
	Origin string        `json:"origin"`
	Detail string        `json:"detail,omitempty"` // the method or the header name that was missing

	Count     uint64    `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`

	denialLatest

	logged  time.Time // when it last got a line
	repeats uint64    // since then
}

// denialLatest is what is known of the latest request of an entry: the one that was logged last, or the first that
// another policy denied.
type denialLatest struct {
	Kind       string `json:"kind"`
	Method     string `json:"method"`
	Host       string `json:"host"`
	Path       string `json:"path"`
	Policy     string `json:"policy"`
	ReportOnly bool   `json:"report_only"`
	Fix        string `json:"fix"`
}

// A denialOf is a request that was denied.
type denialOf struct {
	handler  *Handler
	request  *http.Request
	asked    *policy.Request
	decision *policy.Decision
}

func (o denialOf) key() denialKey {
	key := denialKey{reason: o.decision.Reason, origin: cut(o.asked.Origin[0])}
	switch o.decision.Reason {
	case policy.MethodNotAllowed, policy.HeaderNotAllowed:
		key.detail = cut(o.decision.Detail)
	}
	return key
}

// latest returns what may differ between denials of one key. Nothing of the request stays in it but copies.
func (o denialOf) latest() denialLatest {
	kind, method := kindActual, o.request.Method
	if o.asked.Preflight {
		kind, method = kindPreflight, o.asked.Method[0]
	}
	url := o.request.URL
	if original, ok := o.request.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		url = original.URL // as it was before rewrites
	}
	return denialLatest{
		Kind:       kind,
		Method:     strings.Clone(printable.ASCII(cut(method))),
		Host:       strings.Clone(printable.ASCII(cut(o.request.Host))),
		Path:       strings.Clone(printable.ASCII(cut(url.EscapedPath()))),
		Policy:     o.decision.Policy.Name(),
		ReportOnly: o.handler.ReportOnly,
		Fix:        policy.FixFor(o.asked, o.decision).String(),
	}
}

// add counts a denied request, and logs it if it is time to.
func (l *denials) add(o denialOf) {
	key := o.key()
	if l.addRepeat(key, o) {
		return
	}
	latest := o.latest()
	if line, ok := l.addLatest(key, latest, o.handler.logger); ok {
		line.log(o.handler.logger)
	}
}

// addRepeat counts a request that is like one that was logged in the last minute. It reports false if there is none.
func (l *denials) addRepeat(key denialKey, o denialOf) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.latest
	if d == nil || d.key != key {
		d = l.list[key]
		l.latest = d
	}
	now := l.clock()
	if d == nil || now.Sub(d.logged) >= logPeriod || d.Policy != o.decision.Policy.Name() || d.ReportOnly != o.handler.ReportOnly {
		return false
	}
	d.count(now)
	return true
}

// addLatest counts a request, and returns the entry to log, if it is time to.
func (l *denials) addLatest(key denialKey, latest denialLatest, logger *zap.Logger) (line denial, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock()
	if now.Sub(l.periodStart) >= logPeriod {
		l.periodStart, l.lines = now, 0
	}
	d := l.list[key]
	if d == nil {
		if len(l.list) >= maxDenials {
			l.evict(now, logger)
		}
		d = l.insert(key, now)
	}
	d.denialLatest = latest
	d.count(now)
	switch {
	case now.Sub(d.logged) < logPeriod:
		return denial{}, false
	case l.lines >= maxLogLines:
		l.countUnlogged(d.repeats, now, logger)
		d.repeats = 0
		return denial{}, false
	}
	l.lines++
	line = *d
	d.logged, d.repeats = now, 0
	return line, true
}

func (d *denial) count(now time.Time) {
	d.Count++
	d.repeats++
	d.LastSeen = now
}

func (l *denials) insert(key denialKey, now time.Time) *denial {
	if l.list == nil {
		l.list = make(map[denialKey]*denial, maxDenials)
	}
	key.origin, key.detail = strings.Clone(key.origin), strings.Clone(key.detail)
	d := &denial{key: key, Reason: key.reason, Origin: printable.ASCII(key.origin), Detail: printable.ASCII(key.detail), FirstSeen: now}
	l.list[key] = d
	return d
}

// evict makes room. It removes the least of some entries, those that an iteration happens to start with: one that was
// seen seldom, and long ago. So what is denied again and again stays in the list, and a flood costs the same however
// long it is.
func (l *denials) evict(now time.Time, logger *zap.Logger) {
	const some = 8
	var least denialKey
	var evicted *denial
	looked := 0
	for key, d := range l.list {
		if evicted == nil || cmp.Or(cmp.Compare(d.Count, evicted.Count), d.LastSeen.Compare(evicted.LastSeen)) < 0 {
			least, evicted = key, d
		}
		if looked++; looked == some {
			break
		}
	}
	delete(l.list, least)
	l.latest = nil
	l.others += evicted.Count
	l.countUnlogged(evicted.repeats, now, logger)
}

// countUnlogged counts denials that get no line of their own. One line at the end of the period tells how many.
func (l *denials) countUnlogged(n uint64, now time.Time, logger *zap.Logger) {
	if n > 0 && l.unlogged == 0 {
		time.AfterFunc(l.periodStart.Add(logPeriod).Sub(now), l.logUnlogged)
	}
	l.unlogged += n
	l.logger = logger
}

func (l *denials) logUnlogged() {
	l.mu.Lock()
	n, logger := l.unlogged, l.logger
	l.unlogged = 0
	l.mu.Unlock()
	logger.Warn("more requests denied than are logged one by one", zap.Uint64("count", n))
}

// log writes the line of an entry.
func (d *denial) log(logger *zap.Logger) {
	fields := []zap.Field{
		zap.String("reason", string(d.Reason)),
		zap.String("origin", d.Origin),
		zap.String("kind", d.Kind),
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

// all returns the entries, the most frequent ones first, and how many denials the list had no room for.
func (l *denials) all() (list []denial, others uint64) {
	l.mu.Lock()
	list = make([]denial, 0, len(l.list))
	for _, d := range l.list {
		list = append(list, *d)
	}
	others = l.others
	l.mu.Unlock()
	slices.SortFunc(list, func(a, b denial) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.LastSeen.Compare(a.LastSeen), strings.Compare(a.Origin, b.Origin))
	})
	return list, others
}

// clear empties the list. What comes back is logged as if it were new, however many lines this period has had.
func (l *denials) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.list)
	l.latest = nil
	l.others, l.lines = 0, 0
}

// clock returns the time, or that of a short while ago.
func (l *denials) clock() time.Time {
	if l.ticking {
		l.wasAsked = true
		return l.now
	}
	l.now, l.ticking = time.Now(), true
	time.AfterFunc(clockPeriod, l.tick)
	return l.now
}

// tick moves the clock on, as long as it is asked.
func (l *denials) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ticking = l.wasAsked; l.ticking {
		l.now, l.wasAsked = time.Now(), false
		time.AfterFunc(clockPeriod, l.tick)
	}
}
