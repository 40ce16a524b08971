package origins

import (
	"errors"
	"fmt"
	"strings"

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
	text     string // the origins are parts of it, so that a line costs no allocation
	count    int    // the lines that hold an origin or a pattern
	origins  origin.Set
	families bool // whether there is a wildcard pattern
}

// allows reports whether the list has the origin, or a pattern of it.
func (l *originList) allows(text string) bool {
	if l.origins.HasExact(text) {
		return true
	}
	if !l.families {
		return false
	}
	o, ok := origin.Parse(text)
	return ok && l.origins.HasFamily(o)
}

// parseList reads a list: one origin or pattern a line, as the Caddyfile has them; a comment is a "#" at the start of a
// line or after a blank, and what follows it. Line ends are LF or CRLF. The error names the bad lines, each by name and
// number, and what is right instead.
//
// What would open the policy to more than its author can have in mind is refused, because a list may be written by a
// program, and read by nobody: "*", "null", a pattern of any host, one of a whole public suffix. So is a list without an
// origin, which is what a failed writer leaves behind. With wholeLines, a last line that has no end is refused as well:
// the text may have been cut there, and the beginning of an origin can be another origin.
func parseList(name, text string, wholeLines bool) (*originList, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return nil, fmt.Errorf("%s: it is written in UTF-16; save it as UTF-8", name)
	}
	l := &originList{text: text}
	var problems []error
	bad := 0
	problem := func(line int, err error) {
		if bad++; bad <= maxProblems {
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, line, err))
		}
	}
	rest, number := strings.TrimPrefix(text, "\ufeff"), 0
	for rest != "" {
		number++
		line, after, ended := strings.Cut(rest, "\n")
		rest = after
		if line = strings.Trim(withoutComment(line), " \t\r"); line != "" {
			if pattern, err := parseLine(line); err != nil {
				problem(number, err)
			} else {
				l.count++
				l.origins.Add(pattern)
				l.families = l.families || strings.Contains(line, "*")
			}
		}
		if wholeLines && !ended {
			problem(number, errors.New("the last line is not terminated, so the file may be cut off there; end it with a newline"))
		}
	}
	if bad > maxProblems {
		problems = append(problems, fmt.Errorf("%s: and %d more bad lines", name, bad-maxProblems))
	}
	if l.count == 0 && bad == 0 {
		return nil, fmt.Errorf(`%s: it has no origins; for a list that allows nobody, write "https://nobody.invalid"`, name)
	}
	if bad > 0 {
		return nil, errors.Join(problems...)
	}
	return l, nil
}

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

func withoutComment(line string) string {
	for from := 0; ; {
		i := strings.IndexByte(line[from:], '#')
		if i < 0 {
			return line
		}
		if i += from; i == 0 || line[i-1] == ' ' || line[i-1] == '\t' {
			return line[:i]
		}
		from = i + 1
	}
}
