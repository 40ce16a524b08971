package edit_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// What Caddy can parse can be loaded, a round trip that edits nothing changes nothing, and an edit changes what it is about
// and keeps every other byte.
func FuzzEdits(f *testing.F) {
	for _, text := range []string{
		"example.com\n\ncors https://app.example.com # everyone\n",
		"{\n\torder cors before respond\n}\n(cors) {\n\tcors {args[:]} {\n\t\tallow_methods GET, PUT\n\t\t{block}\n\t}\n}\nexample.com {\n\timport cors https://a.example.com { allow_credentials }\n\timport cors https://b.example.com\n\trespond hi\n}\n",
		"(common) { encode gzip }\n&(api) {\n\timport common\n\treverse_proxy localhost:8080\n}\n*.example.com, example.com\n{\n\t@a host a.example.com\n\thandle @a {\n\t\tinvoke api\n\t}\n\thandle {\n\t\tabort\n\t}\n}\n",
		"\ufeffexample.com {\r\n  header {\r\n    X-A 1\r\n  }\r\n\r\n  respond <<E\r\n  # x\r\n  E\r\n  # C:\\x\r\n}",
		"import imported.caddy\nb.example.com {\n\timport imported.*\n\timport x a b {\n\t\tone {\n\t\t\trespond hi\n\t\t}\n\t}\n}\n(x) {\n\thandle /{args[0]} {\n\t\t{blocks.one}\n\t}\n}\n",
		"{\n}\n\nexample.com {\n}\n",
		"{$SITE:example.com} {\n\thandle {\n\t\t{$LINES}\n\t\tcors {$ORIGINS} {$BLOCK}\n\t}\n}\n",
		"\"\"\nexample.com {\n\trespond \"\"\n}\n",
	} {
		for choice := range 16 {
			f.Add(text, "log\n", uint(choice))
			f.Add(text, "(x) {\n\t{block}\n\t{blocks.one}\n}\nimported.example.com {\n\trespond {args[0]}\n}", uint(choice))
		}
	}
	f.Fuzz(func(t *testing.T, text, imported string, choice uint) {
		t.Setenv("LINES", "log\nencode gzip")
		t.Setenv("BLOCK", "{\n\tdebug\n}")
		t.Setenv("ORIGINS", "https://a.example.com https://b.example.com")
		makeEdit(t, text, imported, choice)
	})
}

// makeEdit makes one edit.
func makeEdit(t *testing.T, text, imported string, choice uint) {
	t.Helper()
	if strings.Count(text, "import")+strings.Count(imported, "import") > 8 || strings.Contains(text+imported, "..") {
		return // it would take long, or read other files
	}
	write(t, map[string]string{"Caddyfile": text, "imported.caddy": imported})
	if _, err := caddyfile.Parse("Caddyfile", []byte(text)); err != nil {
		return
	}
	c, err := edit.Load("Caddyfile")
	if err != nil {
		t.Fatalf("Caddy parses it: %v", err)
	}
	same, err := c.Apply()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range same.Files() {
		if !bytes.Equal(f.Text(), c.Files()[i].Text()) || f.Changed() {
			t.Errorf("%s has changed", f.Name)
		}
	}
	if names, err := same.Write(); err != nil || len(names) > 0 || same.Diff() != "" {
		t.Errorf("%q is written (%v): %s", names, err, same.Diff())
	}

	var uses []*edit.Use
	for _, root := range slices.Concat(c.NamedRoutes(), c.Sites()) {
		uses = slices.AppendSeq(uses, root.All())
	}
	if len(uses) == 0 {
		return
	}
	use := uses[int(choice/4%uint(len(uses)))]
	added := edit.Line{Words: []string{"cors", "https://added.example.com"}}
	var e edit.Edit
	switch choice % 4 {
	case 0:
		e = edit.AddValues{To: use, Values: added.Words[1:]}
	case 1:
		e = edit.AddOption{To: use, Line: added}
	case 2:
		e = edit.Insert{Into: use, Line: added}
	case 3:
		e = edit.Remove{Use: use}
	}
	edited, err := c.Apply(e)
	if err != nil {
		return // it cannot be made there
	}
	removes := choice%4 == 3
	for i, f := range edited.Files() {
		before, after := words(c.Files()[i]), words(f)
		if removes {
			before, after = after, before
		}
		if !isAmong(before, after) {
			t.Errorf("%#v of %q makes %q of %q", e, use.Place.Text(), f.Text(), c.Files()[i].Text())
		}
	}
	if use.Kind == edit.KindLine && !removes && !hasWord(edited, added.Words[1]) {
		t.Errorf("%#v of %q adds nothing to %q", e, use.Place.Text(), text)
	}
}

// words are what stands in a file between white space and commas, comments included.
func words(f *edit.File) []string {
	return strings.FieldsFunc(string(f.Text()), func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == '\ufeff' })
}

// isAmong reports whether some of the words are the others, in their order.
func isAmong(some, all []string) bool {
	for _, word := range all {
		if len(some) > 0 && some[0] == word {
			some = some[1:]
		}
	}
	return len(some) == 0
}

func hasWord(c *edit.Caddyfile, text string) bool {
	for _, root := range slices.Concat(c.NamedRoutes(), c.Sites()) {
		for use := range root.All() {
			for _, word := range use.Words {
				if word.Text == text {
					return true
				}
			}
		}
	}
	return false
}
