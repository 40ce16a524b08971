package edit

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// texts are Caddyfiles as people write them, and what lexers stumble over.
var seeds = []string{
	"",
	"example.com",
	"localhost\n\nencode gzip\nreverse_proxy localhost:8080\n",
	"{\n\tdebug\n\torder cors before respond\n}\n\nexample.com, www.example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET, POST\n\t}\n\trespond `{\"ok\": true}` 200\n}\n",
	"\ufeffexample.com {\r\n    cors https://a.example.com \\\r\n        https://b.example.com # two\r\n    respond \"it's \\\"quoted\\\"\"\r\n}\r\n",
	"example.com {\n\trespond <<HTML\n\t\t<p># no comment</p>\n\n\t\tHTML 200\n\t# C:\\sites\n\tlog\n}\n",
	"example.com {\n\troot * C:\\sites\\example # C:\\sites\n}\n",
	"(cors) {\n\tcors {args[:]} {\n\t\tallow_methods {args[0]}\n\t\t{block}\n\t}\n}\nexample.com {\n\timport cors https://app.example.com {\n\t\tallow_credentials\n\t}\n}\n",
	"(one) { respond hi }\n&(two) {\n\timport one\n}\nexample.com {\n\tinvoke two\n}\n",
	"{$SITE:localhost:8080} {\n\tcors {$ORIGINS:https://a.example.com https://b.example.com} {$EMPTY}\n}\n",
	"a.example.com,\nb.example.com\n{\n\trespond <<a b\n\trespond \\<<EOF x\n}\n",
	"\\ x \\\"y\" `a\\`b \"c\\\\\" '\"' <<\n<<<E\n",
	"import sites/*\n",
}

// Tokens are Caddy's own, and each stands where it is said to: alone, its bytes are that token.
func FuzzTokens(f *testing.F) {
	for _, text := range seeds {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		t.Setenv("EMPTY", "")
		t.Setenv("ORIGINS", "https://a.example.com https://b.example.com")
		expanded, _ := expandEnv([]byte(text))
		want, wantErr := caddyfile.Tokenize(expanded, "Caddyfile")
		file := &File{Name: "Caddyfile", Path: "Caddyfile", text: []byte(text)}
		if err := file.lex(); err != nil {
			if wantErr == nil {
				t.Fatal(err)
			}
			return
		}
		if len(file.tokens) != len(want) {
			t.Fatalf("%d tokens, want %d", len(file.tokens), len(want))
		}
		end := 0
		for i, got := range file.tokens {
			if got.Text != want[i].Text || got.Line != want[i].Line || got.Quoted() != want[i].Quoted() {
				t.Errorf("token %d is %q, want %q", i, got.Text, want[i].Text)
			}
			if !got.literal {
				end = max(end, got.end)
				continue
			}
			if got.start < end || got.end <= got.start {
				t.Fatalf("%q stands from %d to %d, after %d", got.Text, got.start, got.end, end)
			}
			if between := text[end:got.start]; !isBetweenTokens(between) {
				t.Errorf("%q is between tokens", between)
			}
			end = got.end
			alone, err := caddyfile.Tokenize([]byte("x "+text[got.start:got.end]), "")
			if err != nil || len(alone) != 2 || alone[1].Text != got.Text || alone[1].Quoted() != got.Quoted() {
				t.Errorf("%q is not %q: %v", text[got.start:got.end], got.Text, err)
			}
		}
	})
}

// isBetweenTokens reports whether a text is white space, comments, and backslashes before them.
func isBetweenTokens(text string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsSpace(r) && r != '\\' && r != byteOrderMark }) {
			return strings.Contains(line, "{$") // empty, or a comment
		}
	}
	return true
}

func TestExpandEnv(t *testing.T) {
	t.Setenv("ORIGINS", "https://a.example.com https://b.example.com")
	t.Setenv("PORT", ":8443")
	t.Setenv("EMPTY", "")
	t.Setenv("LINES", "log\nencode gzip")
	for _, test := range []struct {
		name, text string
		tokens     []string // as Caddy has them
		spans      []string // the bytes of each; empty where an environment variable is in them
	}{
		{"one of several tokens", "cors {$ORIGINS} x", []string{"cors", "https://a.example.com", "https://b.example.com", "x"}, []string{"cors", "", "", "x"}},
		{"a part of a token", "cors https://a.example.com{$PORT} x", []string{"cors", "https://a.example.com:8443", "x"}, []string{"cors", "", "x"}},
		{"an empty one", "cors https://a.example.com{$EMPTY} x", []string{"cors", "https://a.example.com", "x"}, []string{"cors", "", "x"}},
		{"an empty one alone", "cors {$EMPTY} x", []string{"cors", "x"}, []string{"cors", "x"}},
		{"a default", "{$NOT_SET:localhost} {", []string{"localhost", "{"}, []string{"", "{"}},
		{"one that is not set", "x{$NOT_SET} y", []string{"x", "y"}, []string{"", "y"}},
		{"several lines", "a\n{$LINES}\nb", []string{"a", "log", "encode", "gzip", "b"}, []string{"a", "", "", "", "b"}},
		{"in a comment", "a # {$LINES}\nb", []string{"a", "encode", "gzip", "b"}, []string{"a", "", "", "b"}},
		{"without a name", "a{$}b", []string{"a{$}b"}, []string{"a{$}b"}},
		{"without an end", "a {$B", []string{"a", "{$B"}, []string{"a", "{$B"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := &File{Name: "Caddyfile", text: []byte(test.text)}
			if err := f.lex(); err != nil {
				t.Fatal(err)
			}
			var tokens, spans []string
			for _, token := range f.tokens {
				span := string(f.text[token.start:token.end])
				if !token.literal {
					if !strings.Contains(span, "{$") {
						t.Errorf("%q has %q, which is not an environment variable", token.Text, span)
					}
					span = ""
				}
				tokens, spans = append(tokens, token.Text), append(spans, span)
			}
			if !slices.Equal(tokens, test.tokens) {
				t.Errorf("tokens %q, want %q", tokens, test.tokens)
			}
			if !slices.Equal(spans, test.spans) {
				t.Errorf("spans %q, want %q", spans, test.spans)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for _, test := range []struct{ word, want string }{
		{"https://app.example.com", "https://app.example.com"},
		{`https://[a-z0-9-]+-preview\.vercel\.app`, `https://[a-z0-9-]+-preview\.vercel\.app`},
		{"X-Amz-Meta-*", "X-Amz-Meta-*"},
		{"{http.request.host}", "{http.request.host}"},
		{"", `""`},
		{"two words", `"two words"`},
		{"# no comment", `"# no comment"`},
		{"{", `"{"`},
		{"}", `"}"`},
		{`"`, "\"\\\"\""},
		{`"quoted`, "\"\\\"quoted\""},
		{`a b\`, "`a b\\`"},
		{"`", "\"`\""},
		{"<<EOF", `"<<EOF"`},
	} {
		got, err := quote(test.word)
		if err != nil || got != test.want {
			t.Errorf("%q is written %s (%v), want %s", test.word, got, err, test.want)
		}
	}
	for _, word := range []string{"a\nb", "a\tb", "{$HOME}", "\x00"} {
		if got, err := quote(word); err == nil {
			t.Errorf("%q is written %s", word, got)
		}
	}
}

func FuzzQuote(f *testing.F) {
	for _, word := range []string{"https://app.example.com", "a b", `"`, "`", `\`, "{", "#", "<<", "{$A}", "\ufeff"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		text, err := quote(word)
		if err != nil {
			return
		}
		line := []byte("\tcors " + text + " x\n")
		tokens, err := caddyfile.Tokenize(line, "")
		if err != nil || len(tokens) != 3 || tokens[1].Text != word {
			t.Errorf("%q is written %s, which Caddy reads as %v (%v)", word, text, tokens, err)
		}
		if formatted := caddyfile.Format(line); !bytes.Equal(bytes.TrimSpace(formatted), bytes.TrimSpace(line)) {
			t.Errorf("caddy fmt would write %s", formatted)
		}
	})
}
