package origins

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"weak"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

const (
	// maxText is more than any list of origins, and less than what a server has: a log or a disk image that got the
	// list's name is refused, not read into memory.
	maxText = 256 << 20

	// maxOrigin is longer than the origin of any site: a host has at most 253 bytes.
	maxOrigin = 512

	maxProblems = 10 // that are reported one by one
)

// An originList is what the text of a list of origins says. It does not change, so requests read it without a lock.
type originList struct {
	origins *origin.List
	count   int  // the lines that hold an origin or a pattern
	ended   bool // the last line has a newline
}

// allows reports whether the list has the origin, or a pattern of it.
func (l *originList) allows(text string) bool {
	if l.origins.HasExact(text) {
		return true
	}
	if !l.origins.HasFamilies() {
		return false
	}
	o, ok := origin.Parse(text)
	return ok && l.origins.HasFamily(o)
}

// parseList reads a list: one origin or pattern a line, as the Caddyfile has them; a comment is a "#" at the start of a
// line or after a blank, and what follows it. Line ends are LF or CRLF. The error names the bad lines, each by name and
// number, and what is right instead, and is a [badListError]; or it is the reader's.
//
// What would open the policy to more than its author can have in mind is refused, because a list may be written by a
// program, and read by nobody: "*", "null", a pattern of any host, one of a whole public suffix. So is a list without an
// origin, which is what a failed writer leaves behind. With wholeLines, a last line that has no end is refused as well:
// the text may have been cut there, and the beginning of an origin can be another origin.
//
// The list shares with a list before it what both have, and what that one has is neither parsed nor copied again. So the
// text is read in pieces, and of each only the lines that are new become strings.
func parseList(name string, text io.Reader, wholeLines bool, before *origin.List) (*originList, error) {
	l := new(originList)
	revision := before.Revise()
	var problems []error
	bad, number := 0, 0
	problem := func(err error) {
		if bad++; bad <= maxProblems {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, number, err))
		}
	}
	pieces := bufio.NewScanner(text)
	pieces.Buffer(make([]byte, 0, pieceSize), maxText+1)
	pieces.Split(wholeLinesOf)
	for pieces.Scan() {
		piece := pieces.Bytes()
		if number == 0 {
			if bytes.HasPrefix(piece, []byte("\xff\xfe")) || bytes.HasPrefix(piece, []byte("\xfe\xff")) {
				return nil, badListError{fmt.Errorf("%s: it is written in UTF-16; save it as UTF-8", name)}
			}
			piece = bytes.TrimPrefix(piece, []byte("\ufeff"))
		}
		var asString string // of the whole piece, once it is needed
		for begin := 0; begin < len(piece); {
			number++
			end, after := len(piece), len(piece)
			if i := bytes.IndexByte(piece[begin:], '\n'); i >= 0 {
				end, after = begin+i, begin+i+1
			}
			l.ended = after > end
			from, to := contentOf(piece, begin, end)
			switch {
			case from == to:
			case revision.Keep(piece[from:to]):
				l.count++
			default:
				if asString == "" {
					asString = string(piece)
				}
				if pattern, err := parseLine(asString[from:to]); err != nil {
					problem(err)
				} else {
					l.count++
					revision.Add(asString[from:to], pattern)
				}
			}
			if wholeLines && !l.ended {
				problem(errors.New("the last line is not terminated, so the file may be cut off there; end it with a newline"))
			}
			begin = after
		}
	}
	if err := pieces.Err(); err != nil {
		return nil, err
	}
	if bad > maxProblems {
		problems = append(problems, fmt.Errorf("%s: and %d more bad lines", name, bad-maxProblems))
	}
	if l.count == 0 && bad == 0 {
		return nil, badListError{fmt.Errorf(`%s: it has no origins; for a list that allows nobody, write "https://nobody.invalid"`, name)}
	}
	if bad > 0 {
		return nil, badListError{errors.Join(problems...)}
	}
	l.origins = revision.List()
	return l, nil
}

// A badListError says what is wrong with a list that could be read.
type badListError struct{ error }

// pieceSize is that of the pieces of a text, except where a line alone is longer.
const pieceSize = 64 << 10

// wholeLinesOf is a [bufio.SplitFunc] for pieces of whole lines, with their ends. The last line may have none.
func wholeLinesOf(data []byte, atEOF bool) (advance int, piece []byte, err error) {
	if i := bytes.LastIndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// contentOf returns where the content of a line begins and ends, without comment and blanks.
func contentOf(piece []byte, begin, end int) (from, to int) {
	to = begin + len(withoutComment(piece[begin:end]))
	for begin < to && isBlank(piece[begin]) {
		begin++
	}
	for to > begin && isBlank(piece[to-1]) {
		to--
	}
	return begin, to
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// parseLine parses what stands on a line besides comment and blanks.
func parseLine(line string) (origin.Pattern, error) {
	var none origin.Pattern
	switch {
	case line == "*" || line == origin.Null:
		return none, fmt.Errorf("%q is not for lists, which open nothing by accident: write it in the configuration", line)
	case len(line) > maxOrigin:
		return none, fmt.Errorf("%q... is %d bytes long, which is longer than any origin", line[:64], len(line))
	case strings.ContainsAny(line, " \t,"):
		return none, fmt.Errorf("%q: write one origin a line, and nothing else but a comment (#)", line)
	}
	pattern, err := origin.ParsePattern(line)
	if err != nil {
		return none, err
	}
	if pattern.AnyHost() {
		return none, fmt.Errorf("%q allows every host; lists open nothing by accident: write it in the configuration", line)
	}
	if suffix := pattern.PublicSuffix(); suffix != "" {
		return none, fmt.Errorf("%q allows every site of the public suffix %s, where anybody can register one; lists open nothing by accident: write it in the configuration", line, suffix)
	}
	return pattern, nil
}

func withoutComment(line []byte) []byte {
	for from := 0; ; {
		i := bytes.IndexByte(line[from:], '#')
		if i < 0 {
			return line
		}
		if i += from; i == 0 || line[i-1] == ' ' || line[i-1] == '\t' {
			return line[:i]
		}
		from = i + 1
	}
}

// lists has the latest list of each name, for as long as anybody uses it. Several sources may have the list of one file, and
// while a configuration is loaded, those of the one before it are still there: what they have in common is in memory once.
var lists = struct {
	sync.Mutex
	latest map[string]weak.Pointer[origin.List]
}{latest: make(map[string]weak.Pointer[origin.List])}

// latestList returns the latest list of a name; an empty one if there is none.
func latestList(name string) *origin.List {
	lists.Lock()
	defer lists.Unlock()
	if latest := lists.latest[name].Value(); latest != nil {
		return latest
	}
	return new(origin.List)
}

// shareList makes a list the latest of its name. It returns one that is the same, and shares with the latest so far what
// both have, if that is another by now than the one that the list was made from.
func shareList(name string, list, madeFrom *origin.List) *origin.List {
	lists.Lock()
	defer lists.Unlock()
	if latest := lists.latest[name].Value(); latest != nil && latest != list && latest != madeFrom {
		list = list.SharedWith(latest)
	}
	maps.DeleteFunc(lists.latest, func(_ string, latest weak.Pointer[origin.List]) bool { return latest.Value() == nil })
	lists.latest[name] = weak.Make(list)
	return list
}
