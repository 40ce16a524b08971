package pasted

import (
	"bytes"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// longString is the longest string of a HAR that is read whole. Longer ones are bodies, or data: URLs; they are cut, so that
// an archive of any size is read in bounded memory.
const longString = 64 << 10

// A harDecoder reads the JSON text of a HAR. HARs are written by many programs: a value of another type than what is asked for
// is passed over.
type harDecoder struct {
	*jsontext.Decoder
	unquoted []byte
}

func newHARDecoder(in io.Reader) *harDecoder {
	return &harDecoder{Decoder: jsontext.NewDecoder(&shortStrings{in: in}, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))}
}

// object calls a function at the value of each member of an object.
func (d *harDecoder) object(each func(name []byte) error) error {
	return d.collection(jsontext.KindBeginObject, func() error {
		name, err := d.text()
		if err != nil {
			return err
		}
		return each(name)
	})
}

// array calls a function at each element of an array.
func (d *harDecoder) array(each func() error) error {
	return d.collection(jsontext.KindBeginArray, each)
}

func (d *harDecoder) collection(begin jsontext.Kind, each func() error) error {
	if d.PeekKind() != begin {
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for {
		switch d.PeekKind() {
		case jsontext.KindEndObject, jsontext.KindEndArray:
			_, err := d.ReadToken()
			return err
		}
		if err := each(); err != nil {
			return err
		}
	}
}

// text reads a string. It is valid until the next value is read.
func (d *harDecoder) text() ([]byte, error) {
	if d.PeekKind() != jsontext.KindString {
		return nil, d.SkipValue()
	}
	value, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) { // as most
		return value[1 : len(value)-1], nil
	}
	d.unquoted, _ = jsontext.AppendUnquote(d.unquoted[:0], value) // what is not UTF-8 it replaces, and says so
	return d.unquoted, nil
}

func (d *harDecoder) string() (string, error) {
	text, err := d.text()
	return string(text), err
}

// integer reads a number, cut to an integer; 0 if it is out of range.
func (d *harDecoder) integer() (int, error) {
	if d.PeekKind() != jsontext.KindNumber {
		return 0, d.SkipValue()
	}
	token, err := d.ReadToken()
	if err != nil {
		return 0, err
	}
	n, err := token.Float()
	if err != nil {
		return 0, nil
	}
	return int(n), nil
}

// shortStrings reads a JSON text with its long strings cut, so that no token of it is long.
type shortStrings struct {
	in       io.Reader
	inString bool
	length   int  // of the string so far
	drops    bool // the rest of it
	escaped  int  // how many bytes of an escape sequence are still to come
}

func (s *shortStrings) Read(p []byte) (int, error) {
	for {
		n, err := s.in.Read(p)
		kept := s.cut(p[:n])
		if kept > 0 || err != nil || len(p) == 0 {
			return kept, err
		}
	}
}

// cut moves what is kept to the beginning, and returns its length.
func (s *shortStrings) cut(p []byte) (kept int) {
	quote := -1 // where the next one is
	for i := 0; i < len(p); {
		if quote < i {
			if quote = bytes.IndexByte(p[i:], '"'); quote < 0 {
				quote = len(p)
			} else {
				quote += i
			}
		}
		if !s.inString {
			end := min(quote+1, len(p))
			kept += copy(p[kept:], p[i:end])
			i = end
			if quote < len(p) {
				s.inString, s.length, s.escaped = true, 0, 0
			}
			continue
		}
		if s.escaped == 0 {
			end := quote
			if backslash := bytes.IndexByte(p[i:quote], '\\'); backslash >= 0 {
				end = i + backslash
			}
			n := copy(p[kept:], p[i:min(end, i+max(longString-s.length, 0))])
			kept += n
			s.length += n
			if i = end; i == len(p) {
				break
			}
			s.drops = s.length >= longString // an escape sequence is kept or dropped whole
		}
		c := p[i]
		switch {
		case s.escaped > 0:
			if s.escaped == 1 && c == 'u' { // \u and four digits
				s.escaped = 5
			}
			s.escaped--
		case c == '\\':
			s.escaped = 1
		default: // the quote at the end
			s.inString, s.drops = false, false
		}
		if !s.drops {
			p[kept] = c
			kept++
			s.length++
		}
		i++
	}
	return kept
}
