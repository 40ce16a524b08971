package origin

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func revised(t testing.TB, before *List, texts map[string]bool) *List {
	t.Helper()
	r := before.Revise()
	for text := range texts {
		for range 1 + len(text)%2 { // some twice
			if r.Keep([]byte(text)) {
				continue
			}
			p, err := ParsePattern(text)
			if err != nil {
				t.Fatal(err)
			}
			r.Add(text, p)
		}
	}
	return r.List()
}

// Lists of all sizes, each made from the one before: each has its own texts, and no other.
func TestListRevisions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		n := random.IntN(4 * manyTexts)
		switch n % 4 {
		case 0:
			return fmt.Sprintf("https://*.customer-%d.example.com", n)
		case 1:
			return fmt.Sprintf("http://localhost.customer-%d.test:*", n)
		}
		return fmt.Sprintf("https://customer-%d.example.com", n)
	}
	// What each allows, of its own texts alone.
	asked := func(text string) string {
		if p, _ := ParsePattern(text); p.subdomains {
			return "https://a.b" + text[len("https://*"):]
		} else if p.anyPort {
			return text[:len(text)-1] + "3000"
		}
		return text
	}
	list, has := new(List), map[string]bool{}
	for _, size := range []int{0, 1, 2, 100, manyTexts / 2, 2 * manyTexts, 2*manyTexts + 1, 2 * manyTexts, 3 * manyTexts, 1, 0, 3 * manyTexts, 10} {
		next := map[string]bool{}
		for text := range has { // at most a part of those before
			if len(next) < size && random.IntN(8) > 0 {
				next[text] = true
			}
		}
		for len(next) < size {
			next[text()] = true
		}
		list, has = revised(t, list, next), next
		for i := range 4 * manyTexts {
			for _, text := range []string{
				fmt.Sprintf("https://*.customer-%d.example.com", i), fmt.Sprintf("http://localhost.customer-%d.test:*", i), fmt.Sprintf("https://customer-%d.example.com", i),
			} {
				o, ok := Parse(asked(text))
				if !ok {
					t.Fatal(text)
				}
				if got := list.HasExact(o.text) || list.HasFamily(o); got != has[text] {
					t.Fatalf("of %d, it has %s for %s: %v", size, text, o.text, got)
				}
			}
		}
		if list.HasExact("https://*.customer-0.example.com") {
			t.Error("a pattern is taken for an origin")
		}
		if again := revised(t, list, has); again != list {
			t.Errorf("the same %d texts make another list", size)
		}
	}
}

// A change of one text leaves all shards but one as they are, and lists that were made apart share what they have in common
// when they are told to.
func TestListShares(t *testing.T) {
	texts := map[string]bool{}
	for i := range 2 * manyTexts {
		texts[fmt.Sprintf("https://customer-%d.example.com", i)] = true
	}
	unshared := func(a, b *List) (n int) {
		for i := range a.exact.shards {
			if !a.exact.sharesShard(&b.exact, i) {
				n++
			}
		}
		return n
	}
	list, apart := revised(t, new(List), texts), revised(t, new(List), texts)
	if n := unshared(list, apart); n != manyShards {
		t.Fatalf("lists that were made apart have %d shards of their own", n)
	}
	if apart.SharedWith(list) != list {
		t.Error("the same list is another")
	}
	delete(texts, "https://customer-7.example.com")
	next := revised(t, list, texts)
	if n := unshared(next, list); n != 1 || next.HasExact("https://customer-7.example.com") {
		t.Errorf("one text less makes %d shards new", n)
	}
	apart = revised(t, new(List), texts).SharedWith(list)
	if n := unshared(apart, list); n != 1 || apart.HasExact("https://customer-7.example.com") || !apart.HasExact("https://customer-8.example.com") {
		t.Errorf("one text less leaves %d shards of their own", n)
	}
	texts["https://*.example.com"] = true
	next = revised(t, list, texts)
	if o, _ := Parse("https://a.example.com"); !next.HasFamily(o) || list.HasFamily(o) || unshared(next, list) != 1 {
		t.Error("a pattern more is not the only difference")
	}
}

// A look-up does not allocate, nor does it read all of a text that is longer than those of the list.
func TestListLooksUpWithoutAllocation(t *testing.T) {
	list := revised(t, new(List), map[string]bool{"https://a.example.com": true, "https://b.example.com": true, "https://*.c.example.com:*": true})
	o, _ := Parse("https://x.y.z.c.example.com:8443")
	line := []byte("https://b.example.com")
	revision := list.Revise()
	revision.Keep(line)
	if n := testing.AllocsPerRun(100, func() {
		if !list.HasExact("https://a.example.com") || list.HasExact("https://c.example.com") || !list.HasFamily(o) || !revision.Keep(line) {
			t.Error("it does not have what it has")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
