package origins

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

func TestParseList(t *testing.T) {
	const a, b = "https://a.test", "https://b.test"
	for name, test := range map[string]struct {
		text            string
		count           int
		allowed, denied []string
	}{
		"one origin":                {"https://a.test\n", 1, []string{a}, []string{b, "http://a.test", "https://a.test:8443", "https://x.a.test"}},
		"two origins":               {"https://a.test\nhttps://b.test\n", 2, []string{a, b}, nil},
		"no newline at the end":     {"https://a.test\nhttps://b.test", 2, []string{a, b}, nil},
		"CRLF":                      {"https://a.test\r\nhttps://b.test\r\n", 2, []string{a, b}, nil},
		"a byte order mark":         {"\ufeffhttps://a.test\n", 1, []string{a}, nil},
		"blanks around":             {"  https://a.test \t \n\t\n \r\n\thttps://b.test  \r\n", 2, []string{a, b}, nil},
		"comments":                  {"# customers\n\nhttps://a.test # since May\nhttps://b.test\t#\n  # https://c.test\n#https://d.test", 2, []string{a, b}, []string{"https://c.test", "https://d.test"}},
		"an origin twice":           {"https://a.test\nhttps://a.test\n", 2, []string{a}, []string{b}},
		"subdomains":                {"https://*.a.test\n", 1, []string{"https://x.a.test", "https://x.y.a.test"}, []string{a, "https://xa.test", "http://x.a.test"}},
		"any port":                  {"http://localhost:*\n", 1, []string{"http://localhost", "http://localhost:3000"}, []string{"https://localhost:3000"}},
		"an origin and a pattern":   {"https://a.test\nhttps://*.b.test", 2, []string{a, "https://x.b.test"}, []string{b, "https://x.a.test"}},
		"another scheme":            {"chrome-extension://abcdefgh", 1, []string{"chrome-extension://abcdefgh"}, nil},
		"subdomains of all schemes": {"app://*.com\n", 1, []string{"app://x.com"}, []string{"https://x.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := parseList("list", strings.NewReader(test.text), false, new(origin.List))
			if err != nil {
				t.Fatal(err)
			}
			if l.count != test.count {
				t.Errorf("counts %d, want %d", l.count, test.count)
			}
			for _, text := range test.allowed {
				if !l.allows(text) {
					t.Errorf("denies %s", text)
				}
			}
			for _, text := range append(test.denied, "", "*", "null", "nonsense", "https://*.a.test") {
				if l.allows(text) {
					t.Errorf("allows %q", text)
				}
			}
		})
	}
}

func TestParseListRefuses(t *testing.T) {
	lines := func(from, to int) (lines string) {
		for i := from; i <= to; i++ {
			lines += fmt.Sprintf("bad%d\n", i)
		}
		return lines
	}
	for name, test := range map[string]struct {
		text       string
		wholeLines bool
		want       []string
	}{
		"an empty list":         {"", false, []string{`list: it has no origins; for a list that allows nobody, write "https://nobody.invalid"`}},
		"blanks and comments":   {"\ufeff \r\n# none\n", false, []string{`list: it has no origins`}},
		"NULs":                  {"\x00\x00\x00\x00", false, []string{`list:1: "\x00\x00\x00\x00" is not an origin`}},
		"upper case":            {"https://a.test\n\nhttps://Example.com # here\n", false, []string{`list:3: "https://Example.com" is not written as browsers send it (the host in lower case); did you mean "https://example.com"?`}},
		"a comment too near":    {"https://a.test# here\n", false, []string{`list:1: "https://a.test# here": write one origin a line`}},
		"a fragment":            {"https://a.test#here\n", false, []string{`list:1: "https://a.test#here" is not written`, `did you mean "https://a.test"?`}},
		"everyone":              {"https://a.test\n*\n", false, []string{`list:2: "*" is not for lists, which open nothing by accident: write it in the configuration`}},
		"null":                  {"null\n", false, []string{`list:1: "null" is not for lists`}},
		"any host":              {"https://*\n", false, []string{`list:1: "https://*" allows every host`, `write it in the configuration`}},
		"any host and port":     {"http://*:*\n", false, []string{`list:1: "http://*:*" allows every host`}},
		"a public suffix":       {"https://*.github.io\n", false, []string{`list:1: "https://*.github.io" allows every site of the public suffix github.io`}},
		"public suffixes below": {"https://*.amazonaws.com\n", false, []string{`list:1: "https://*.amazonaws.com" allows every site of the public suffix s3.amazonaws.com`}},
		"two origins on a line": {"https://a.test https://b.test\n", false, []string{`list:1: "https://a.test https://b.test": write one origin a line`}},
		"commas":                {"https://a.test,\n", false, []string{`list:1: "https://a.test,": write one origin a line`}},
		"lone CR":               {"https://a.test\rhttps://b.test\n", false, []string{`list:1: `}},
		"UTF-16":                {"\xff\xfeh\x00t\x00", false, []string{`list: it is written in UTF-16; save it as UTF-8`}},
		"a very long line":      {"https://a.test\n" + strings.Repeat("a", 1<<20), false, []string{`list:2: "` + strings.Repeat("a", 64) + `"... is 1048576 bytes`}},
		"two bad lines":         {"bad1\nhttps://a.test\nbad2\n", false, []string{"list:1: \"bad1\"", "\nlist:3: \"bad2\""}},
		"ten bad lines":         {lines(1, 10), false, []string{"\nlist:10: \"bad10\""}},
		"more bad lines":        {lines(1, 1000), false, []string{"\nlist:10: \"bad10\"", "\nlist: and 990 more bad lines"}},
		"a line without an end": {"https://a.test\nhttps://app.example.co", true, []string{`list:2: the last line is not terminated, so the file may be cut off there; end it with a newline`}},
		"blanks without an end": {"https://a.test\n ", true, []string{`list:2: the last line is not terminated`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseList("list", strings.NewReader(test.text), test.wholeLines, new(origin.List))
			if err == nil {
				t.Fatal("it is accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got:\n%v\nwant it to say:\n%s", err, want)
				}
			}
			if n := strings.Count(err.Error(), "\n"); n > maxProblems || len(err.Error()) > 10_000 {
				t.Errorf("%d lines, %d bytes", n, len(err.Error()))
			}
			if name == "ten bad lines" && strings.Contains(err.Error(), "more") {
				t.Error(err)
			}
		})
	}
}

// A list costs a few allocations for its set and for each piece of its text, whatever the number of lines.
func TestLinesShareTheText(t *testing.T) {
	text := strings.Repeat("https://a.test\n", 10_000)
	if n := testing.AllocsPerRun(10, func() { _, _ = parseList("list", strings.NewReader(text), true, new(origin.List)) }); n > 40 {
		t.Errorf("%v allocations", n)
	}
}

// What is wrong with a list is the same whatever the list before it has, and lines in pieces of their own are lines.
func TestParseListAfterAnother(t *testing.T) {
	long := strings.Repeat("# a comment that is longer than a piece\n", pieceSize/30) + "https://a.test # " + strings.Repeat("x", 3*pieceSize) + "\n"
	for name, test := range map[string]struct{ before, text, want string }{
		"a bad line":          {"https://a.test\n", "https://a.test\nbad\n", `list:2: "bad" is not an origin`},
		"a pattern of no one": {"https://a.test\nhttps://*.a.test\n", "https://*.a.test\nhttps://*\n", `list:2: "https://*" allows every host`},
		"a cut line":          {"https://a.test\nhttps://b.test\n", "https://b.test\nhttps://a.test", `list:2: the last line is not terminated`},
		"nothing":             {"https://a.test\n", "# https://a.test\n", `list: it has no origins`},
		"after long lines":    {"https://b.test\n", long + "https://A.test\n", fmt.Sprintf(`list:%d: "https://A.test"`, strings.Count(long, "\n")+1)},
	} {
		t.Run(name, func(t *testing.T) {
			before, err := parseList("list", strings.NewReader(test.before), false, new(origin.List))
			if err != nil {
				t.Fatal(err)
			}
			for _, before := range []*origin.List{new(origin.List), before.origins} {
				if _, err := parseList("list", strings.NewReader(test.text), true, before); err == nil || !strings.HasPrefix(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
			}
		})
	}
}
