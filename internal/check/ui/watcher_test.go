package ui

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/denials"
)

// noon is a time in the middle of a minute.
var noon = time.Date(2026, 5, 4, 12, 0, 30, 0, time.UTC)

func after(d time.Duration) time.Time { return noon.Add(d) }

// of is a list of one denial.
func of(id string, count uint64, first, last time.Time) *denials.Report {
	return &denials.Report{Denials: []denials.Denial{{ID: id, Count: count, FirstSeen: first, LastSeen: last}}}
}

// last returns the end of the plot of the only denial.
func last(t *testing.T, w *watcher, now time.Time, n int) []uint64 {
	t.Helper()
	list := w.watched(now)
	if len(list.Denials) != 1 {
		t.Fatalf("there are %d denials", len(list.Denials))
	}
	minutes := list.Denials[0].Minutes
	if len(minutes) == 0 {
		return nil
	}
	if len(minutes) != plotted {
		t.Fatalf("the plot has %d minutes", len(minutes))
	}
	return minutes[plotted-n:]
}

// A plot counts from the first look on, by the minute of the last of them, and forgets after an hour.
func TestPlots(t *testing.T) {
	type look struct {
		at     time.Duration
		report *denials.Report
	}
	for _, test := range []struct {
		name  string
		looks []look
		now   time.Duration
		want  []uint64 // the end of the plot; nil if nothing was counted
	}{
		{
			name:  "what was denied before the first look is in no minute",
			looks: []look{{0, of("a", 7, after(-time.Hour), after(-time.Minute))}},
			want:  nil,
		},
		{
			name: "what comes is in the minute of the last of them",
			looks: []look{
				{0, of("a", 7, after(-time.Hour), after(-time.Minute))},
				{2 * time.Second, of("a", 9, after(-time.Hour), after(time.Second))},
				{60 * time.Second, of("a", 12, after(-time.Hour), after(59*time.Second))},
			},
			now:  time.Minute,
			want: []uint64{0, 2, 3},
		},
		{
			name: "one that is new between two looks is counted whole",
			looks: []look{
				{0, &denials.Report{}},
				{10 * time.Second, of("a", 4, after(5*time.Second), after(9*time.Second))},
			},
			now:  10 * time.Second,
			want: []uint64{0, 0, 4},
		},
		{
			name: "one that comes back to the list, and was first seen before, is not",
			looks: []look{
				{0, &denials.Report{}},
				{10 * time.Second, of("a", 4, after(-time.Minute), after(9*time.Second))},
			},
			now:  10 * time.Second,
			want: nil,
		},
		{
			name: "a list that was cleared starts anew",
			looks: []look{
				{0, of("a", 100, after(-time.Hour), after(-time.Minute))},
				{10 * time.Second, of("a", 3, after(5*time.Second), after(9*time.Second))},
			},
			now:  10 * time.Second,
			want: []uint64{0, 0, 3},
		},
		{
			name: "minutes move on without news",
			looks: []look{
				{0, &denials.Report{}},
				{10 * time.Second, of("a", 4, after(5*time.Second), after(9*time.Second))},
			},
			now:  3 * time.Minute,
			want: []uint64{4, 0, 0, 0},
		},
		{
			name: "an hour later, nothing is left",
			looks: []look{
				{0, &denials.Report{}},
				{10 * time.Second, of("a", 4, after(5*time.Second), after(9*time.Second))},
			},
			now:  plotted * time.Minute,
			want: nil,
		},
		{
			name: "a server whose clock is behind counts in its own minute",
			looks: []look{
				{0, &denials.Report{}},
				{time.Minute, of("a", 1, after(time.Minute), after(time.Minute))},
				{2 * time.Minute, of("a", 3, after(time.Minute), after(0))},
			},
			now:  time.Minute,
			want: []uint64{0, 2, 1},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWatcher(nil)
			for _, l := range test.looks {
				w.note(after(l.at), l.report, nil)
			}
			if got := last(t, w, after(test.now), max(1, len(test.want))); !slices.Equal(got, test.want) {
				t.Errorf("it ends with %d, want %d", got, test.want)
			}
		})
	}
}

// What is not in the list any more is forgotten, so that no flood of origins makes the watcher grow.
func TestWatcherForgets(t *testing.T) {
	w := newWatcher(nil)
	for i := range 100 {
		w.note(after(time.Duration(i)*time.Second), of(string(rune('a'+i)), 1, noon, noon), nil)
	}
	if len(w.counted) != 1 {
		t.Errorf("it has the counts of %d denials, and one is in the list", len(w.counted))
	}
}

// A page that has the list is told so, until there is news: another list, an error, or another minute in the plots.
func TestVersions(t *testing.T) {
	w := newWatcher(nil)
	seen := []string{w.versionAt(noon)}
	news := func(what string, at time.Time, want bool) {
		t.Helper()
		version := w.versionAt(at)
		if is := version != seen[len(seen)-1]; is != want {
			t.Errorf("%s: news is %t", what, is)
		}
		seen = append(seen, version)
	}
	w.note(noon, of("a", 1, noon, noon), nil)
	news("the first list", noon, true)
	news("nothing", noon, false)
	news("another minute", after(time.Minute), true)
	w.note(after(time.Minute), nil, errors.New("refused"))
	news("an error", after(time.Minute), true)
	if list := w.watched(after(time.Minute)); list.Error != "refused" || len(list.Denials) != 1 {
		t.Errorf("with an error, the list is %+v", list)
	}
	w.note(after(time.Minute), nil, errors.New("refused"))
	news("the same error", after(time.Minute), false)
	w.note(after(time.Minute), of("a", 1, noon, noon), nil)
	news("the server is back", after(time.Minute), true)
	if list := w.watched(after(time.Minute)); list.Error != "" {
		t.Errorf("it still says %q", list.Error)
	}
}

// The server is asked often while somebody looks, and seldom else; who comes back does not wait for what is seldom.
func TestWatcherAsks(t *testing.T) {
	asked := make(chan struct{})
	w := newWatcher(func() (*denials.Report, error) {
		asked <- struct{}{}
		return &denials.Report{}, nil
	})
	if p := w.period(noon); p != unwatchedPeriod {
		t.Errorf("before anybody looks, it waits %s", p)
	}
	w.look(noon)
	<-w.wake
	for since, want := range map[time.Duration]time.Duration{time.Second: watchedPeriod, time.Hour: unwatchedPeriod} {
		if p := w.period(after(since)); p != want {
			t.Errorf("%s after a look, it waits %s, want %s", since, p, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(ctx)
	}()
	<-asked // at once, and then a minute is to pass
	w.look(time.Now().Add(time.Hour))
	<-asked
	stop()
	<-ended
}
