package placement

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// A Note is what a Caddyfile tells of a cors, and its JSON does not.
type Note struct {
	At        string // its file and line
	LastWords []LastWord
	expires   time.Time
}

// notes are those of the directives that were adapted, by the JSON of their handlers, which is loaded next as a rule. Each
// is for one load, and for a minute: JSON that comes later, and is the same, may be from elsewhere.
var notes = struct {
	sync.Mutex
	byJSON map[string][]Note
}{byJSON: make(map[string][]Note)}

const (
	noteLifetime = time.Minute
	maxNotes     = 10_000 // handlers that notes are kept of
)

// Keep keeps the note of a handler that was adapted to this JSON.
func (n Note) Keep(handler json.RawMessage, now time.Time) {
	notes.Lock()
	defer notes.Unlock()
	if len(notes.byJSON) >= maxNotes {
		clear(notes.byJSON)
	}
	n.expires = now.Add(noteLifetime)
	notes.byJSON[string(handler)] = append(keptLocked(handler, now), n)
}

// TakeNote returns the note of a handler, if this process has just adapted it: the newest, and of several handlers that are
// equal one that has as many operations with the last word.
func TakeNote(handler json.RawMessage, lastWords int, now time.Time) (Note, bool) {
	notes.Lock()
	defer notes.Unlock()
	list := keptLocked(handler, now)
	delete(notes.byJSON, string(handler))
	if len(list) == 0 {
		return Note{}, false
	}
	taken := len(list) - 1
	for i, n := range slices.Backward(list) {
		if len(n.LastWords) == lastWords {
			taken = i
			break
		}
	}
	n := list[taken]
	if list = slices.Delete(list, taken, taken+1); len(list) > 0 {
		notes.byJSON[string(handler)] = list
	}
	return n, true
}

// keptLocked returns the notes of the handler that have not run out, the oldest first.
func keptLocked(handler json.RawMessage, now time.Time) []Note {
	list := notes.byJSON[string(handler)]
	for len(list) > 0 && now.After(list[0].expires) {
		list = list[1:]
	}
	return list
}
