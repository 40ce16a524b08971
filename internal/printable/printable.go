// Package printable makes what strangers have sent fit to be shown: as text and nothing else, and not too much of it.
package printable

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxLength bounds what of a request is shown to others, in bytes.
const MaxLength = 128

// Cut returns the start of s, of [MaxLength] at most.
func Cut(s string) string { return s[:min(len(s), MaxLength)] }

// ASCII returns s with an escape, such as \x1b, for each byte that is not printable ASCII.
func ASCII(s string) string {
	isOther := func(c byte) bool { return c < ' ' || c > '~' }
	other := 0
	for i := range len(s) {
		if isOther(s[i]) {
			other++
		}
	}
	if other == 0 {
		return s
	}
	b := make([]byte, 0, len(s)+other*len(`x00`))
	for i := range len(s) {
		if c := s[i]; isOther(c) {
			b = fmt.Appendf(b, `\x%02x`, c)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// JSON returns a JSON text in which all that is not printable ASCII, but for white space between the values, is escaped: it
// stands for the same values.
func JSON(text []byte) []byte {
	escaped := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r < utf8.RuneSelf && r != 0x7f:
			escaped = append(escaped, byte(r))
		case r <= 0xffff:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		}
	}
	return escaped
}
