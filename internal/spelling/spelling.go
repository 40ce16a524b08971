// Package spelling finds the name that was meant by one that does not exist.
package spelling

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Among says which of the names the word was meant to be, or where that is none, which there are.
func Among(word string, names []string, what string) string {
	if name := Nearest(word, names); name != "" {
		return fmt.Sprintf("did you mean %q?", name)
	}
	return fmt.Sprintf("the %s are: %s", what, strings.Join(names, ", "))
}

// Nearest returns the name that was most likely meant: the shortest that contains the parts of the word, or else the one with the
// least edit distance (Levenshtein's) to it, if that is a third of the word's length at most. If there is none, it returns
// "".
func Nearest(word string, names []string) string {
	word = strings.ToLower(word)
	best, least := "", math.MaxInt
	for _, name := range names {
		d := 100 + Distance(word, name)
		switch {
		case containsParts(name, word):
			d = len(name)
		case d > 100+max(1, len(word)/3):
			continue
		}
		if d < least {
			best, least = name, d
		}
	}
	return best
}

// containsParts reports whether the name contains all parts of the word, as allow_origins_regexp does those of
// origin_regexp, and the word is longer than three letters.
func containsParts(name, word string) bool {
	for part := range strings.SplitSeq(word, "_") {
		if !strings.Contains(name, part) {
			return false
		}
	}
	return len(word) > 3
}

// Distance returns the edit distance of two words (Levenshtein's), in bytes.
func Distance(a, b string) int {
	row := make([]int, len(b)+1) // the distances of a's prefix so far to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitution := diagonal
			if a[i] != b[j] {
				substitution++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitution, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// SameLetters reports whether two words have the same letters, in another order.
func SameLetters(a, b string) bool {
	one, other := []byte(a), []byte(b)
	slices.Sort(one)
	slices.Sort(other)
	return string(one) == string(other)
}
