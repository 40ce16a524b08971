// Package printable shows what strangers have sent, as text and nothing else.
package printable

import "fmt"

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
