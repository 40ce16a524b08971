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
	known   map[subject]*list.Element
	allowed *list.List // of *answer, the one that was needed last in front
	denied  *list.List
}

// A subject is what an endpoint is asked about: an origin, by the URL that the request has led to.
type subject struct {
	url    string // "" if it is the same for all requests
	origin string
}

type answer struct {
	subject subject
	until   time.Time  // when it is no longer good
	given   bool       // whether the endpoint has given it; denied is what it has failed to answer for so far
	among   *list.List // allowed or denied
}

func newAnswers(max int) answers {
	return answers{max: max, known: make(map[subject]*list.Element), allowed: list.New(), denied: list.New()}
}

// get returns the last answer about a subject, and nil if there is none.
func (a *answers) get(s subject) *answer {
	element, ok := a.known[s]
	if !ok {
		return nil
	}
	last := element.Value.(*answer)
	last.among.MoveToFront(element)
	return last
}

// allows reports whether an answer, if there is one, allows the origin.
func (a *answers) allows(last *answer) bool { return last != nil && last.among == a.allowed }

// put remembers an answer until it is no longer good, and longer.
func (a *answers) put(s subject, allowed, given bool, until time.Time) {
	if element, ok := a.known[s]; ok {
		a.remove(element)
	}
	among := a.denied
	if allowed {
		among = a.allowed
	}
	added := among.PushFront(&answer{s, until, given, among})
	a.known[s] = added
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
	delete(a.known, removed.subject)
}
