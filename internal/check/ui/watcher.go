package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-cors/caddy-cors/internal/denials"
)

const (
	// Each request to the admin API is a line in Caddy's log, so it is asked seldom where nobody looks.
	watchedPeriod   = 2 * time.Second
	unwatchedPeriod = time.Minute

	// plotted is how far back the plot of a denial goes, in minutes.
	plotted = 60
)

// A watcher asks a running server for its denials, and keeps how often there was each in the minutes of the last hour.
type watcher struct {
	ask func() (*denials.Report, error)

	mu      sync.Mutex
	looked  time.Time     // when somebody has last looked
	wake    chan struct{} // ends the wait of run; has room for one
	asked   time.Time     // when the server was last asked; zero if it never was
	since   time.Time     // from when on counts are known
	report  *denials.Report
	err     error
	counted map[string]*counts // by the IDs of the denials
	version int                // grows with each change
}

// counts are how often there was a denial, by the minute.
type counts struct {
	total   uint64 // at last
	minutes [plotted]uint64
	newest  int64 // the minute that the last of them is, since 1970
}

func newWatcher(ask func() (*denials.Report, error)) *watcher {
	return &watcher{ask: ask, wake: make(chan struct{}, 1), counted: make(map[string]*counts)}
}

// run asks until the context is done.
func (w *watcher) run(ctx context.Context) {
	for {
		report, err := w.ask()
		w.note(time.Now(), report, err)
		timer := time.NewTimer(w.period(time.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-w.wake:
			timer.Stop()
		}
	}
}

func (w *watcher) period(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.looked) < 5*watchedPeriod {
		return watchedPeriod
	}
	return unwatchedPeriod
}

// look notes that somebody looks.
func (w *watcher) look(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = now
	if now.Sub(w.asked) > watchedPeriod {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// note takes what the server has said.
func (w *watcher) note(now time.Time, report *denials.Report, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.asked
	w.asked = now
	if err != nil {
		if w.err == nil || w.err.Error() != err.Error() {
			w.version++
		}
		w.err = err
		return
	}
	first := w.report == nil
	if first {
		w.since = now
	}
	listed := make(map[string]bool, len(report.Denials))
	for _, d := range report.Denials {
		listed[d.ID] = true
		c := w.counted[d.ID]
		if c == nil {
			c = new(counts)
			w.counted[d.ID] = c
			if first || d.FirstSeen.Before(before) { // what it was counted before, nobody knows when
				c.total = d.Count
			}
		}
		if d.Count < c.total { // the list was cleared, or the server started anew
			c.total = 0
		}
		c.add(d.LastSeen, d.Count-c.total)
		c.total = d.Count
	}
	for id := range w.counted {
		if !listed[id] {
			delete(w.counted, id)
		}
	}
	w.report, w.err = report, nil
	w.version++
}

// add counts n more, of which the last was at a time.
func (c *counts) add(at time.Time, n uint64) {
	if n == 0 {
		return
	}
	c.advance(at)
	if i := plotted - 1 - (c.newest - minuteOf(at)); i >= 0 && i < plotted {
		c.minutes[i] += n
	}
}

// advance moves the minutes on to a time.
func (c *counts) advance(to time.Time) {
	minute := minuteOf(to)
	switch passed := minute - c.newest; {
	case passed <= 0:
		return
	case passed >= plotted:
		c.minutes = [plotted]uint64{}
	default:
		copy(c.minutes[:], c.minutes[passed:])
		clear(c.minutes[plotted-passed:])
	}
	c.newest = minute
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// denial returns a denial of the list that was last shown, by its ID.
func (w *watcher) denial(id string) (d denials.Denial, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.report != nil {
		for _, d := range w.report.Denials {
			if d.ID == id {
				return d, true
			}
		}
	}
	return denials.Denial{}, false
}

// A Watched is the list of denials as the page shows it.
type Watched struct {
	Version string          `json:"version"`
	Error   string          `json:"error,omitempty"` // why there is no list, or no newer one
	Since   time.Time       `json:"since"`           // from when on the plots have counts
	Now     time.Time       `json:"now"`
	Others  uint64          `json:"others"`
	Denials []WatchedDenial `json:"denials"`
}

// A WatchedDenial is one of them.
type WatchedDenial struct {
	denials.Denial
	Call    Call     `json:"call"`
	Minutes []uint64 `json:"minutes"` // the counts of the last hour, the last minute's at the end; empty if there are none
}

// version names what watched would return, so that nobody has to be told twice. The plots move on with the minutes.
func (w *watcher) versionAt(now time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.versionLocked(now)
}

func (w *watcher) versionLocked(now time.Time) string {
	return fmt.Sprintf("%d-%d", w.version, minuteOf(now))
}

// watched is the list, and the plots up to now.
func (w *watcher) watched(now time.Time) Watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := Watched{Version: w.versionLocked(now), Since: w.since, Now: now, Denials: []WatchedDenial{}}
	if w.err != nil {
		list.Error = w.err.Error()
	}
	if w.report == nil {
		return list
	}
	list.Others = w.report.Others
	for _, d := range w.report.Denials {
		shown := WatchedDenial{Denial: d, Call: callOf(d), Minutes: []uint64{}}
		c := w.counted[d.ID]
		c.advance(now)
		for _, n := range c.minutes {
			if n > 0 {
				shown.Minutes = c.minutes[:]
				break
			}
		}
		shown.Minutes = append([]uint64{}, shown.Minutes...) // the watcher goes on counting
		list.Denials = append(list.Denials, shown)
	}
	return list
}

// ask asks the admin API at an address.
func ask(address string) (*denials.Report, error) {
	response, err := caddycmd.AdminAPIRequest(address, http.MethodGet, denials.Path, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("no running server tells its denials at %s: %w", address, err)
	}
	defer response.Body.Close()
	report := new(denials.Report)
	if err := json.NewDecoder(io.LimitReader(response.Body, 16<<20)).Decode(report); err != nil {
		return nil, fmt.Errorf("what %s sends is not a list of denials: %w", address, err)
	}
	return report, nil
}

// denials sends the list, unless the page has it.
func (s *Server) denials(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	s.watcher.look(now)
	if r.URL.Query().Get("have") == s.watcher.versionAt(now) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, http.StatusOK, s.watcher.watched(now))
}
