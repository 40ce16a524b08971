package pasted

import (
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted/pastedtest"
	"unicode/utf8"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// Whatever is pasted, reading it ends, and what is recognized are calls with a URL and an origin that browsers have. How lines
// end, and what white space is around the text, changes nothing.
func FuzzRead(f *testing.F) {
	for _, s := range pastedtest.Corpus(f, "testdata") {
		f.Add(s.Text)
	}
	f.Add(`{"log": {"pages": [{"id": "a", "title": "https://app.example.com/"}], "entries": [{"pageref": "a", "request": {"method": "GET", "url": "https://api.example.com/x", "headers": []}, "response": {"status": 200, "headers": []}}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(text, "\r") {
			return
		}
		paste, err := Read(strings.NewReader(text))
		for variant, text := range variants(text) {
			other, otherErr := Read(strings.NewReader(text))
			if (err == nil) != (otherErr == nil) {
				t.Fatalf("%s: %v, and then %v", variant, err, otherErr)
			}
			if err != nil {
				continue
			}
			if len(other.Calls) != len(paste.Calls) {
				t.Fatalf("%s: %d calls, and then %d", variant, len(paste.Calls), len(other.Calls))
			}
			for i := range paste.Calls {
				got, want := strings.Join(described(&other.Calls[i]), "\x00"), strings.Join(described(&paste.Calls[i]), "\x00")
				if got != want {
					t.Fatalf("%s: %q, and then %q", variant, want, got)
				}
			}
		}
		if err != nil {
			if _, ok := err.(*UnrecognizedError); !ok {
				t.Fatal(err)
			}
			return
		}
		for i := range paste.Calls {
			c := &paste.Calls[i]
			if (c.URL == "") != c.Lacks(NeedURL) || c.URL != "" && callableURL(c.URL) != c.URL {
				t.Fatalf("the URL is %q, and %+v is missing", c.URL, c.Missing)
			}
			if _, ok := origin.Parse(c.Origin); !ok && c.Origin != origin.Null && !(c.Origin == "" && (c.Lacks(NeedOrigin) || c.Lacks(NeedPage))) {
				t.Fatalf("the origin is %q, and %+v is missing", c.Origin, c.Missing)
			}
		}
	})
}
