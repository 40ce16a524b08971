package origins

import (
	"fmt"
	"testing"
	"time"
)

func about(origin string) subject { return subject{origin: origin} }

func TestAnswersAreThoseThatWerePut(t *testing.T) {
	a := newAnswers(10)
	soon := time.Now().Add(time.Minute)
	a.put(subject{"http://x/1", originA}, true, true, soon)
	a.put(subject{"http://x/1", originB}, false, true, soon)
	a.put(subject{"http://x/2", originA}, false, false, soon)
	for name, test := range map[string]struct {
		subject               subject
		known, allowed, given bool
	}{
		"allowed":                    {subject{"http://x/1", originA}, true, true, true},
		"denied":                     {subject{"http://x/1", originB}, true, false, true},
		"another URL, not answered":  {subject{"http://x/2", originA}, true, false, false},
		"another URL, never asked":   {subject{"http://x/2", originB}, false, false, false},
		"the same for all requests":  {subject{"", originA}, false, false, false},
		"another origin of that URL": {subject{"http://x/1", "https://c.test"}, false, false, false},
	} {
		got := a.get(test.subject)
		if (got != nil) != test.known || a.allows(got) != test.allowed {
			t.Errorf("%s: %v, allowed %v", name, got, a.allows(got))
		}
		if got != nil && (got.given != test.given || got.until != soon) {
			t.Errorf("%s: given %v, until %v", name, got.given, got.until)
		}
	}
}

// Which answers are left of those that were put in this order: capital letters are allowed. A "+" before a letter is that
// the answer was needed again.
func TestAnswersForget(t *testing.T) {
	for name, test := range map[string]struct {
		max          int
		puts, remain string
	}{
		"none too early":                      {4, "ABcd", "ABcd"},
		"the oldest that denies":              {4, "ABcde", "ABde"},
		"of those that deny, the one unasked": {4, "ABcd+ce", "ABce"},
		"denied before allowed":               {2, "aBC", "BC"},
		"of those that allow, the one unasked": {
			2, "AB+AC", "AC"},
		"one that allows, for one that denies": {2, "ABc", "Bc"},
		"no second one, for a second":          {2, "ABcdefgh", "Bh"},
		"with room for one":                    {1, "AbCDefG", "G"},
		"an answer that changed":               {2, "aAbBc", "Bc"},
		"an answer that changed back":          {2, "ABabC", "bC"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswers(test.max)
			now := time.Now()
			needed := false
			for _, letter := range test.puts {
				lower := string(letter | 0x20)
				switch {
				case letter == '+':
					needed = true
					continue
				case needed:
					a.get(about(lower))
				default:
					a.put(about(lower), letter < 'a', true, now.Add(time.Hour))
				}
				needed = false
			}
			remain := ""
			for _, letter := range "abcdefgh" {
				if last := a.get(about(string(letter))); a.allows(last) {
					remain += string(letter &^ 0x20)
				} else if last != nil {
					remain += string(letter)
				}
			}
			if remain != test.remain {
				t.Errorf("remain %q, want %q", remain, test.remain)
			}
			if n := a.allowed.Len() + a.denied.Len(); n != len(a.known) || n > test.max {
				t.Errorf("%d in the lists, %d in the map", n, len(a.known))
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	a := newAnswers(100)
	now := time.Now()
	for i := range 60 {
		a.put(about(fmt.Sprintf("https://customer-%d.test", i)), true, true, now)
	}
	for i := range 100_000 {
		a.put(about(fmt.Sprintf("https://stranger-%d.test", i)), false, true, now)
	}
	if len(a.known) != 100 {
		t.Errorf("%d answers", len(a.known))
	}
	for i := range 60 {
		if !a.allows(a.get(about(fmt.Sprintf("https://customer-%d.test", i)))) {
			t.Fatalf("customer %d was forgotten", i)
		}
	}
}
