package origins

import (
	"fmt"
	"testing"
	"time"
)

func TestAnswersAreGoodForTheirTime(t *testing.T) {
	a := newAnswers(10)
	begin := time.Now()
	a.put("https://a.test", true, begin.Add(time.Minute))
	for name, test := range map[string]struct {
		origin        string
		after         time.Duration
		allowed, good bool
	}{
		"at once":              {"https://a.test", 0, true, true},
		"shortly before":       {"https://a.test", time.Minute - 1, true, true},
		"the last one, though": {"https://a.test", time.Minute, true, false},
		"never asked":          {"https://b.test", 0, false, false},
	} {
		if allowed, good := a.get(test.origin, begin.Add(test.after)); allowed != test.allowed || good != test.good {
			t.Errorf("%s: allowed %v, good %v", name, allowed, good)
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
					a.get(lower, now)
				default:
					a.put(lower, letter < 'a', now.Add(time.Hour))
				}
				needed = false
			}
			remain := ""
			for _, letter := range "abcdefgh" {
				if allowed, good := a.get(string(letter), now); good && allowed {
					remain += string(letter &^ 0x20)
				} else if good {
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
		a.put(fmt.Sprintf("https://customer-%d.test", i), true, now)
	}
	for i := range 100_000 {
		a.put(fmt.Sprintf("https://stranger-%d.test", i), false, now)
	}
	if len(a.known) != 100 {
		t.Errorf("%d answers", len(a.known))
	}
	for i := range 60 {
		if allowed, _ := a.get(fmt.Sprintf("https://customer-%d.test", i), now); !allowed {
			t.Fatalf("customer %d was forgotten", i)
		}
	}
}
