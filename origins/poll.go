package origins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

const (
	minInterval = 100 * time.Millisecond

	// patience is how long a look at a text may take. It is long enough for the longest list over a slow network.
	patience = 30 * time.Second

	// restless is the number of looks in a row that may find another version each.
	restless = 20
)

// errChanged is that a text was changed while it was read.
var errChanged = errors.New("it was changed while it was read; load it again")

// A text is where a list stands: a file or a key of a storage.
type text interface {
	// stat returns the stamp of the version that is there now.
	stat(ctx context.Context) (stamp, error)

	// read has the text of the version with this stamp read. The error is errChanged if that version is not there to the
	// end, and otherwise the reading's own.
	read(ctx context.Context, version stamp, reading func(io.Reader) error) error
}

// A stamp tells a version of a text from others without reading it.
type stamp struct {
	size     int64
	modified time.Time   // zero if that cannot be told
	file     os.FileInfo // nil for what is not a file
}

func (s stamp) known() bool { return !s.modified.IsZero() }

func (s stamp) same(other stamp) bool {
	return s.known() && s.size == other.size && s.modified.Equal(other.modified) &&
		(s.file == nil || other.file == nil || os.SameFile(s.file, other.file))
}

// A poller keeps the list of a text, and is what sources of such lists have in common. It looks at the text twice an interval, and reads a version once two looks have
// found it the same. So what is half-written is left alone, a change is live within the interval, and no second change
// hides behind the coarse clock of a file system: the first read of a version is never in the moment it was written.
//
// Whatever fails, the last good list stays.
type poller struct {
	text       text
	name       string
	wholeLines bool // whether a list that loses the newline at its end is taken for cut off
	interval   time.Duration
	logger     *zap.Logger

	list atomic.Pointer[originList] // replaced in one step; requests never wait for it
	stop context.CancelFunc         // nil until it has started

	seen    *stamp // what the last look found; nil if it failed
	settled bool   // whether that version has been read
	changes int    // how many looks in a row found another version
	problem error  // what is wrong now
	fault   *fault
}

// start loads the list of a text, and keeps it until the context is done or Cleanup is called. The name is the text's, for
// errors about its lines.
func (p *poller) start(ctx context.Context, text text, name string, interval caddy.Duration, logger *zap.Logger) error {
	p.text, p.name, p.interval, p.logger, p.fault = text, name, time.Duration(interval), logger, newFault()
	ctx, p.stop = context.WithCancel(ctx)
	if err := p.load(ctx); err != nil {
		return err
	}
	go p.run(ctx)
	return nil
}

// Cleanup stops watching for changes.
func (p *poller) Cleanup() error {
	if p.stop != nil {
		p.stop()
	}
	return nil
}

// AllowsOrigin reports whether the list contains the origin, or a pattern that matches it.
func (p *poller) AllowsOrigin(_ context.Context, origin string) bool {
	return p.list.Load().allows(origin)
}

func (p *poller) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	version, err := p.text.stat(ctx)
	if err != nil {
		return err
	}
	// The version is not settled: it may have been half-written, or changed in the moment it was read.
	p.seen = &version
	return p.take(ctx, version)
}

func (p *poller) run(ctx context.Context) {
	ticker := time.NewTicker(p.interval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		p.lookInTime(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case p.problem != nil:
			p.report(p.problem)
		default:
			p.fault.over(p.logger, "the list of origins is good again")
		}
	}
}

func (p *poller) report(err error) {
	p.fault.is(p.logger, "the list of origins cannot be used; the last good one stays", err)
}

// lookInTime reports a look that takes too long while it does: a file system or a storage that hangs may never return.
func (p *poller) lookInTime(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	late := fmt.Errorf("%s: no answer within %v", p.name, patience)
	isLate := func() bool { return errors.Is(ctx.Err(), context.DeadlineExceeded) }
	stop := context.AfterFunc(ctx, func() {
		if isLate() {
			p.report(late)
		}
	})
	defer stop()
	p.look(ctx)
	if isLate() {
		p.problem, p.settled = late, false
	}
}

// look takes one look at the text.
func (p *poller) look(ctx context.Context) {
	now, err := p.text.stat(ctx)
	if err != nil {
		if p.seen == nil { // once is how it looks while a file is being replaced
			p.problem = err
		}
		p.seen = nil
		return
	}
	same := p.seen != nil && now.same(*p.seen)
	p.seen = &now
	if same {
		p.changes = 0
	} else if now.known() {
		p.settled = false
		if p.changes++; p.changes >= restless {
			p.problem = fmt.Errorf("%s: it is never the same for %v, and might be half-written whenever it is read; change it less often", p.name, p.interval/2)
		}
		return
	}
	if p.settled {
		return
	}
	err = p.take(ctx, now)
	if errors.Is(err, errChanged) {
		return
	}
	if _, bad := errors.AsType[badListError](err); bad || err == nil {
		p.settled = now.known()
	}
	p.problem = err
}

// take replaces the list by the one of a version of the text.
func (p *poller) take(ctx context.Context, version stamp) error {
	begin := time.Now()
	current := p.list.Load()
	// Some editors end no last line. Where the list has had an end so far, one without it may be half of the next.
	wholeLines := p.wholeLines && current != nil && current.ended
	var next *originList
	before := latestList(p.name)
	err := p.text.read(ctx, version, func(text io.Reader) (err error) {
		next, err = parseList(p.name, text, wholeLines, before)
		return err
	})
	if err != nil {
		return err
	}
	next.origins = shareList(p.name, next.origins, before)
	if current != nil && *next == *current {
		return nil
	}
	p.list.Store(next)
	if current != nil {
		p.logger.Info("the list of origins was replaced", zap.Int("origins", next.count), zap.Duration("took", time.Since(begin)))
	}
	return nil
}

// provisionInterval sets the default of an interval that is not given, and checks one that is.
func provisionInterval(interval *caddy.Duration, standard time.Duration) error {
	if *interval == 0 {
		*interval = caddy.Duration(standard)
	}
	if err := checkInterval(time.Duration(*interval)); err != nil {
		return fmt.Errorf("interval: %w", err)
	}
	return nil
}

func checkInterval(interval time.Duration) error {
	if interval < minInterval {
		return fmt.Errorf("%v is too short; at least %v", interval, minInterval)
	}
	return nil
}

// resolve replaces the placeholders of a value. All of them must be known when the configuration is loaded.
func resolve(option, value string) (string, error) {
	resolved, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %q: %w", option, value, err)
	}
	if resolved == "" {
		return "", fmt.Errorf("%s: it is missing", option)
	}
	return resolved, nil
}
