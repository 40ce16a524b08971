package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// A File is one file of text: the Caddyfile, one that it imports, or a list of origins.
type File struct {
	Name string // relative as the user wrote it, for people and for diffs
	Path string // absolute, symbolic links not followed

	onDisk []byte // as it was read
	text   []byte // as it is now
	isList bool   // a list of origins, which is not Caddyfile text

	tokens []*token
	places []*Place // the outermost ones
	nested bool     // imported from within a block, so that its lines are directives or options
}

// Text is what the file has now, after edits. It must not be changed.
func (f *File) Text() []byte { return f.text }

// Changed reports whether the text is not what is on disk.
func (f *File) Changed() bool { return !bytes.Equal(f.text, f.onDisk) }

// line is the number of the line of an offset in the text, from 1.
func (f *File) line(offset int) int { return 1 + bytes.Count(f.text[:offset], []byte("\n")) }

// A token is one of Caddy's, with the bytes of the text that it stands in.
type token struct {
	caddyfile.Token
	file       *File
	start, end int    // in the file's text
	literal    bool   // whether no environment variable is in it
	place      *Place // whose line it is on
}

func (t *token) opens() bool  { return t.Text == "{" && !t.Quoted() }
func (t *token) closes() bool { return t.Text == "}" && !t.Quoted() }

// lex finds the tokens of the file's text with Caddy's lexer, and where each stands.
func (f *File) lex() error {
	f.tokens = nil
	expanded, expansions := expandEnv(f.text)
	tokens, err := caddyfile.Tokenize(expanded, f.Path)
	if errors.Is(err, io.EOF) { // it is empty
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	found := scan(expanded)
	if len(found) != len(tokens) {
		return fmt.Errorf("%s: %w", f.Name, ErrNotFollowed)
	}
	for i, s := range found {
		t := &token{Token: tokens[i], file: f, literal: true}
		if s.text != t.Text && !s.heredoc || s.quoted != t.Quoted() {
			return fmt.Errorf("%s:%d: %w", f.Name, t.Line, ErrNotFollowed)
		}
		t.start, t.end, t.literal = expansions.inText(s.start, s.end)
		f.tokens = append(f.tokens, t)
	}
	return nil
}

// An expansion is a reference to an environment variable, {$NAME} or {$NAME:default}, and what it becomes.
type expansion struct {
	start, end   int // of the reference, in the text
	from, to     int // of the value, in the expanded text
	shiftAfter   int // what is to be added to an offset after the value for one in the text
	shiftBetween int // likewise for one before the reference
}

type expansions []expansion

// expandEnv replaces references to environment variables, as Caddy does before its lexer sees the text: in comments and
// in quotes, too.
func expandEnv(text []byte) ([]byte, expansions) {
	var out []byte
	var list expansions
	at, shift := 0, 0
	for search := 0; ; {
		begin := bytes.Index(text[search:], []byte("{$"))
		if begin < 0 {
			break
		}
		begin += search
		length := bytes.IndexByte(text[begin+2:], '}')
		if length < 0 {
			break
		}
		end := begin + 2 + length + 1
		search = end
		if length == 0 {
			continue
		}
		name, fallback, hasFallback := strings.Cut(string(text[begin+2:end-1]), ":")
		value, found := os.LookupEnv(name)
		if !found && hasFallback {
			value = fallback
		}
		out = append(out, text[at:begin]...)
		from := len(out)
		out = append(out, value...)
		before := shift
		shift = end - len(out)
		list = append(list, expansion{start: begin, end: end, from: from, to: len(out), shiftBetween: before, shiftAfter: shift})
		at = end
	}
	return append(out, text[at:]...), list
}

// inText turns the span of a token of the expanded text into one of the text. Where a value is in it or touches it with
// nothing between, the whole reference is.
func (list expansions) inText(from, to int) (start, end int, literal bool) {
	literal = true
	start, end = -1, -1
	// The first expansion that could be in the span, or just before it.
	first := sort.Search(len(list), func(i int) bool { return list[i].to >= from })
	shift := 0
	if first > 0 {
		shift = list[first-1].shiftAfter
	}
	for _, x := range list[first:] {
		if x.from > to {
			break
		}
		empty := x.from == x.to
		touches := empty || x.from < to && x.to > from
		if touches {
			literal = false
			if start < 0 {
				start = min(from+x.shiftBetween, x.start)
			}
			end = max(x.end, to+x.shiftAfter)
		}
		if x.to <= from {
			shift = x.shiftAfter
		}
	}
	if start < 0 {
		return from + shift, to + shift, true
	}
	return start, end, literal
}

// A scanned is where a token stands in text without environment variables.
type scanned struct {
	start, end int
	text       string // but of a heredoc
	quoted     bool
	heredoc    bool
}

// scan finds the bytes of each token. Caddy's lexer, which says what the tokens are, has no offsets; [File.lex] compares
// the two.
func scan(text []byte) []scanned {
	s := scanner{text: text}
	if r, size := utf8.DecodeRune(text); r == byteOrderMark {
		s.next = size
	}
	var tokens []scanned
	for {
		t, ok := s.token()
		if !ok {
			return tokens
		}
		tokens = append(tokens, t)
	}
}

const byteOrderMark = '\uFEFF'

type scanner struct {
	text []byte
	next int // the offset of what is read next
}

// read returns the next rune and its offset.
func (s *scanner) read() (r rune, at int, ok bool) {
	if s.next == len(s.text) {
		return 0, s.next, false
	}
	r, size := utf8.DecodeRune(s.text[s.next:])
	at = s.next
	s.next += size
	return r, at, true
}

// token skips white space and comments, and reads the token after them.
//
// A backslash makes a line go on after a newline, in comments, too. Before anything else, it is a part of the token, but
// for one before a "<".
func (s *scanner) token() (scanned, bool) {
	comment, escapedAt := false, -1
	for {
		r, at, ok := s.read()
		switch {
		case !ok:
			return scanned{}, false
		case r == '\\' && escapedAt < 0:
			escapedAt = at
		case r == '\n':
			comment, escapedAt = false, -1
		case unicode.IsSpace(r):
		case comment || r == '#':
			comment = true
		default:
			start := at
			if escapedAt >= 0 {
				start = escapedAt
			}
			switch r {
			case '"':
				return s.quoted(start, escapedAt >= 0)
			case '`':
				return s.backquoted(start)
			}
			s.next = at
			return s.word(start, escapedAt >= 0)
		}
	}
}

// quoted reads what is between double quotes, the first of which has been read.
func (s *scanner) quoted(start int, escaped bool) (scanned, bool) {
	var value strings.Builder
	for {
		r, _, ok := s.read()
		if !ok {
			return scanned{start: start, end: s.next, text: value.String()}, value.Len() > 0
		}
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		if escaped {
			if r != '"' {
				value.WriteByte('\\')
			}
			escaped = false
		} else if r == '"' {
			return scanned{start: start, end: s.next, text: value.String(), quoted: true}, true
		}
		value.WriteRune(r)
	}
}

// backquoted reads what is between backquotes, the first of which has been read.
func (s *scanner) backquoted(start int) (scanned, bool) {
	var value strings.Builder
	for {
		r, _, ok := s.read()
		if !ok {
			return scanned{start: start, end: s.next, text: value.String()}, value.Len() > 0
		}
		if r == '`' {
			return scanned{start: start, end: s.next, text: value.String(), quoted: true}, true
		}
		value.WriteRune(r)
	}
}

// word reads a token without quotes, or a heredoc.
func (s *scanner) word(start int, escaped bool) (scanned, bool) {
	var value []rune
	end, isHeredoc := start, true // as long as no backslash says that it is not one
	for {
		r, at, ok := s.read()
		if !ok {
			return scanned{start: start, end: end, text: string(value)}, len(value) > 0
		}
		if isHeredoc && len(value) > 1 && value[0] == '<' && value[1] == '<' {
			switch r {
			case ' ':
				return scanned{start: start, end: at, text: string(value)}, true
			case '\r':
			case '\n':
				return s.heredoc(start, string(value[2:]))
			default:
				value, end = append(value, r), s.next
			}
			continue
		}
		switch {
		case r == '\\' && !escaped:
			escaped = true
		case r == '\r':
		case unicode.IsSpace(r):
			return scanned{start: start, end: end, text: string(value)}, true
		default:
			if escaped && r == '<' {
				isHeredoc = false
			} else if escaped {
				value = append(value, '\\')
			}
			escaped = false
			value, end = append(value, r), s.next
		}
	}
}

// heredoc reads up to the marker, which ends it wherever it stands.
func (s *scanner) heredoc(start int, marker string) (scanned, bool) {
	length := bytes.Index(s.text[s.next:], []byte(marker))
	if length < 0 {
		return scanned{}, false
	}
	s.next += length + len(marker)
	return scanned{start: start, end: s.next, quoted: true, heredoc: true}, true
}
