package denials

import (
	"sync/atomic"
	"time"
)

// clockPeriod is how far the times of denials may be behind.
const clockPeriod = 100 * time.Millisecond

// An instant is a time, in nanoseconds since the Unix epoch.
type instant int64

func (i instant) time() time.Time { return time.Unix(0, int64(i)) }

// isWithin reports whether the instant is in the period that began at another. It is not in one that begins later, as one
// may when the clock of the machine is set back.
func (i instant) isWithin(period time.Duration, begin instant) bool {
	return begin <= i && i-begin < instant(period)
}

// A clock tells the time of some moments ago. To ask the system would be the dearest part of a denial that repeats others;
// so while there are denials, that is done once in a while for all of them.
type clock struct {
	now      atomic.Int64 // 0 while no timer keeps it up to date
	wasAsked atomic.Bool  // since the timer's last tick
}

// read returns the time, if it is kept up to date.
func (c *clock) read() (instant, bool) {
	now := c.now.Load()
	if now != 0 && !c.wasAsked.Load() { // which is written once in a period, not by every request
		c.wasAsked.Store(true)
	}
	return instant(now), now != 0
}

// nowLocked returns the time, and has it kept up to date from then on.
func (l *List) nowLocked() instant {
	if now, ok := l.clock.read(); ok {
		return now
	}
	now := time.Now().UnixNano()
	l.clock.now.Store(now)
	time.AfterFunc(clockPeriod, l.tick)
	return instant(now)
}

// tick moves the clock on, as long as it is asked.
func (l *List) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.clock.wasAsked.Swap(false) {
		l.clock.now.Store(0)
		return
	}
	l.clock.now.Store(time.Now().UnixNano())
	time.AfterFunc(clockPeriod, l.tick)
}
