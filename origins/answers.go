package origins

import (
	"container/list"
	"time"
)

// answers remembers a bounded number of answers. When there are too many, it forgets one that denies, and one that allows
// only if there is no other: anybody can send origins that are denied. Of several it forgets the one that was not needed
// for the longest time.
type answers struct {
	max     int
	known   map[string]*list.Element // by origin
	allowed *list.List               // of *answer, the one that was needed last in front
	denied  *list.List
}

type answer struct {
	origin string
	until  time.Time  // when it is no longer good
	among  *list.List // allowed or denied
}

func newAnswers(max int) answers {
	return answers{max: max, known: make(map[string]*list.Element), allowed: list.New(), denied: list.New()}
}

// get returns the last answer for an origin, denied if there is none, and whether it is still good.
func (a *answers) get(origin string, now time.Time) (allowed, good bool) {
	element, ok := a.known[origin]
	if !ok {
		return false, false
	}
	last := element.Value.(*answer)
	last.among.MoveToFront(element)
	return last.among == a.allowed, now.Before(last.until)
}

// put remembers an answer until it is no longer good, and longer.
func (a *answers) put(origin string, allowed bool, until time.Time) {
	if element, ok := a.known[origin]; ok {
		a.remove(element)
	}
	among := a.denied
	if allowed {
		among = a.allowed
	}
	added := among.PushFront(&answer{origin, until, among})
	a.known[origin] = added
	if len(a.known) > a.max {
		oldest := a.denied.Back()
		if oldest == nil || oldest == added {
			oldest = a.allowed.Back()
		}
		a.remove(oldest)
	}
}

func (a *answers) remove(element *list.Element) {
	removed := element.Value.(*answer)
	removed.among.Remove(element)
	delete(a.known, removed.origin)
}
