package edit_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// describe says of each use what it is and whose: "cors https://app.example.com of api.example.com".
func describe(uses []*edit.Use) []string {
	var list []string
	for _, use := range uses {
		words := append([]string{use.Name()}, use.Args()...)
		for _, site := range use.Sites() {
			list = append(list, strings.Join(words, " ")+" of "+site.Name())
		}
		if len(use.Sites()) == 0 {
			list = append(list, strings.Join(words, " ")+" of none")
		}
	}
	return list
}

func TestAt(t *testing.T) {
	t.Setenv("ORIGINS", "https://a.example.com https://b.example.com")
	t.Setenv("TWO_LINES", "encode gzip\nlog")
	for _, test := range []struct {
		name  string
		files map[string]string
		at    string // the file of the line of cors, as Caddy has it
		line  int
		real  int // the line in the text, if it is another
		want  []string
	}{
		{
			"in a site",
			map[string]string{"Caddyfile": "example.com {\n\tcors https://app.example.com\n}\n"},
			"Caddyfile", 2, 0,
			[]string{"cors https://app.example.com of example.com"},
		},
		{
			"in a site without braces",
			map[string]string{"Caddyfile": "# us\nlocalhost\ncors https://app.example.com\nrespond hi\n"},
			"Caddyfile", 3, 0,
			[]string{"cors https://app.example.com of localhost"},
		},
		{
			"in nested blocks",
			map[string]string{"Caddyfile": "*.example.com {\n\thandle {\n\t\troute /x {\n\t\t\tcors /x https://app.example.com {\n\t\t\t\tdebug\n\t\t\t}\n\t\t}\n\t}\n}\n"},
			"Caddyfile", 4, 0,
			[]string{"cors /x https://app.example.com of *.example.com"},
		},
		{
			"in a snippet of two sites, with arguments and a block",
			map[string]string{"Caddyfile": "(cors) {\n\tcors {args[:]} {\n\t\t{block}\n\t}\n}\n" +
				"a.example.com {\n\timport cors https://a.example.com https://b.example.com {\n\t\tallow_credentials\n\t}\n}\nb.example.com {\n\timport cors *\n}\n"},
			"Caddyfile", 2, 0,
			[]string{"cors https://a.example.com https://b.example.com of a.example.com", "cors * of b.example.com"},
		},
		{
			"in a snippet that nobody imports",
			map[string]string{"Caddyfile": "(cors) {\n\tcors *\n}\nexample.com {\n\trespond hi\n}\n"},
			"Caddyfile", 2, 0,
			nil,
		},
		{
			"in a snippet of a snippet",
			map[string]string{"Caddyfile": "(inner) {\n\tcors {args[0]}\n}\n(outer) {\n\timport inner https://{args[0]}.example.com\n}\na.example.com {\n\timport outer one\n\timport outer two\n}\n"},
			"Caddyfile", 2, 0,
			[]string{"cors https://one.example.com of a.example.com", "cors https://two.example.com of a.example.com"},
		},
		{
			"in a file of a glob, which has sites",
			map[string]string{
				"Caddyfile":         "import sites/*.caddy\n",
				"sites/a.caddy":     "a.example.com {\n\tcors https://app.example.com\n}\n",
				"sites/.hidden":     "nonsense {",
				"sites/b.caddy":     "b.example.com {\n}\n",
				"sites/notes.txt":   "{",
				"elsewhere/a.caddy": "c.example.com {\n\tcors *\n}\n",
			},
			"sites/a.caddy", 2, 0,
			[]string{"cors https://app.example.com of a.example.com"},
		},
		{
			"in a file of directives, with relative imports of its own",
			map[string]string{
				"Caddyfile":             "a.example.com {\n\timport parts/api.caddy https://a.example.com\n}\nb.example.com {\n\thandle {\n\t\timport parts/api.caddy https://b.example.com\n\t}\n}\n",
				"parts/api.caddy":       "import deep/cors.caddy {args[0]}\nrespond hi\n",
				"parts/deep/cors.caddy": "cors {args[0]}",
			},
			"parts/deep/cors.caddy", 1, 0,
			[]string{"cors https://a.example.com of a.example.com", "cors https://b.example.com of b.example.com"},
		},
		{
			"in an imported snippet",
			map[string]string{
				"Caddyfile":      "import snippets.caddy\nexample.com {\n\timport cors https://app.example.com\n}\n",
				"snippets.caddy": "(other) {\n\tlog\n}\n(cors) { cors {args[0]} }\n",
			},
			"snippets.caddy", 4, 0,
			[]string{"cors https://app.example.com of example.com"},
		},
		{
			"in a snippet that is a site",
			map[string]string{"Caddyfile": "(site) {\n\t{args[0]}.example.com {\n\t\tcors https://{args[0]}-app.example.com\n\t}\n}\nimport site a\nimport site b\n"},
			"Caddyfile", 3, 0,
			[]string{"cors https://a-app.example.com of a.example.com", "cors https://b-app.example.com of b.example.com"},
		},
		{
			"in the block of an import",
			map[string]string{"Caddyfile": "(proxy) {\n\thandle {\n\t\t{blocks.before}\n\t\treverse_proxy {args[0]}\n\t}\n}\nexample.com {\n\timport proxy localhost:8080 {\n\t\tbefore {\n\t\t\tcors https://app.example.com\n\t\t}\n\t}\n}\n"},
			"Caddyfile", 10, 0,
			[]string{"cors https://app.example.com of example.com"},
		},
		{
			"in a named route of two sites, one of them by another route",
			map[string]string{"Caddyfile": "&(api) {\n\tcors https://app.example.com\n\trespond hi\n}\n&(all) {\n\tinvoke api\n}\na.example.com {\n\thandle /api/* {\n\t\tinvoke api\n\t}\n}\nb.example.com {\n\tinvoke all\n}\nc.example.com {\n\trespond hi\n}\n"},
			"Caddyfile", 2, 0,
			[]string{"cors https://app.example.com of a.example.com", "cors https://app.example.com of b.example.com"},
		},
		{
			"after an environment variable of two lines, which Caddy counts",
			map[string]string{"Caddyfile": "example.com {\n\t{$TWO_LINES}\n\tcors {$ORIGINS}\n}\n"},
			"Caddyfile", 4, 3,
			[]string{"cors https://a.example.com https://b.example.com of example.com"},
		},
		{
			"after a comment with a backslash, which Caddy does not count",
			map[string]string{"Caddyfile": "example.com {\n\t# C:\\sites\n\tcors https://a.example.com\n}\n"},
			"Caddyfile", 2, 3,
			[]string{"cors https://a.example.com of example.com"},
		},
		{
			"after a heredoc",
			map[string]string{"Caddyfile": "example.com {\n\thandle /x {\n\t\trespond <<END\n\t\t\tcors *\n\t\t\tEND\n\t}\n\tcors https://a.example.com\n}\n"},
			"Caddyfile", 7, 0,
			[]string{"cors https://a.example.com of example.com"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			write(t, test.files)
			c, err := edit.Load("Caddyfile")
			if err != nil {
				t.Fatal(err)
			}
			place := c.At(test.at, test.line, "cors")
			if place == nil {
				t.Fatal("no cors is there")
			}
			real := test.real
			if real == 0 {
				real = test.line
			}
			if place.File.Name != filepath.FromSlash(test.at) || place.Line() != real {
				t.Errorf("it is at %s:%d, want %s:%d", place.File.Name, place.Line(), test.at, real)
			}
			if got := describe(place.Uses()); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			// The adapter's own tokens lead to the same place.
			if absolute, err := filepath.Abs(test.at); err != nil || c.At(absolute, test.line, "") == nil {
				t.Errorf("it is not found by %s: %v", absolute, err)
			}
		})
	}
}

func TestMatcher(t *testing.T) {
	c := load(t, "example.com {\n\t@api path /api/*\n\thandle @api {\n\t\tcors @api https://app.example.com\n\t\tcors *\n\t}\n\thandle /x* {\n\t\trespond *\n\t}\n\thandle {\n\t\trespond hi\n\t}\n}\n")
	for _, test := range []struct {
		use, word, definition string
	}{
		{"handle", "@api", "@api path /api/*"},
		{"cors", "@api", "@api path /api/*"},
		{"cors 2", "", ""},
		{"handle 2", "/x*", ""},
		{"respond", "*", ""},
		{"handle 33", "", ""},
	} {
		word, definition := find(t, c, test.use).Matcher()
		got := ""
		if definition != nil {
			got = definition.Place.Text()
		}
		if word.Text != test.word || got != test.definition {
			t.Errorf("%s: got %q, defined by %q; want %q, by %q", test.use, word.Text, got, test.word, test.definition)
		}
	}
}

// Edits are made at the narrowest place, through imports.
func TestApplyThroughImports(t *testing.T) {
	const snippet = "(cors) {\n\tcors {args[:]} {\n\t\tallow_methods GET\n\t\t{block}\n\t}\n}\n"
	const sites = "a.example.com {\n\timport cors https://a.example.com\n\trespond a\n}\nb.example.com {\n\timport cors https://b.example.com {\n\t\tallow_credentials\n\t}\n\trespond b\n}\n"
	for _, test := range []struct {
		name     string
		files    map[string]string
		edit     edits
		want     map[string]string // the files that change
		affected []string          // the sites
	}{
		{
			"an origin, where the snippet takes all arguments",
			map[string]string{"Caddyfile": snippet + sites},
			addValues("cors", admin),
			map[string]string{"Caddyfile": snippet + strings.Replace(sites, "https://a.example.com", "https://a.example.com https://admin.example.com", 1)},
			[]string{"a.example.com"},
		},
		{
			"an option, where the snippet takes a block and there is none",
			map[string]string{"Caddyfile": snippet + sites},
			addOption("cors", "max_age 1h"),
			map[string]string{"Caddyfile": snippet + strings.Replace(sites, "https://a.example.com\n", "https://a.example.com {\n\t\tmax_age 1h\n\t}\n", 1)},
			[]string{"a.example.com"},
		},
		{
			"an option, where there is a block",
			map[string]string{"Caddyfile": snippet + sites},
			addOption("cors 2", "max_age 1h"),
			map[string]string{"Caddyfile": snippet + strings.Replace(sites, "allow_credentials\n", "allow_credentials\n\t\tmax_age 1h\n", 1)},
			[]string{"b.example.com"},
		},
		{
			"an option, where the block is on one line",
			map[string]string{"Caddyfile": snippet + "a.example.com {\n\timport cors https://a.example.com { allow_credentials }\n\trespond a\n}\n"},
			addOption("cors", "max_age 1h"),
			map[string]string{"Caddyfile": snippet + "a.example.com {\n\timport cors https://a.example.com {\n\t\tallow_credentials\n\t\tmax_age 1h\n\t}\n\trespond a\n}\n"},
			[]string{"a.example.com"},
		},
		{
			"a value of an argument",
			map[string]string{"Caddyfile": snippet + sites},
			replace("cors 2", "https://b.example.com", admin),
			map[string]string{"Caddyfile": snippet + strings.Replace(sites, "https://b.example.com", admin, 1)},
			[]string{"b.example.com"},
		},
		{
			"an option of the block of an import",
			map[string]string{"Caddyfile": snippet + sites},
			remove("allow_credentials"),
			map[string]string{"Caddyfile": snippet + strings.Replace(sites, " {\n\t\tallow_credentials\n\t}", "", 1)},
			[]string{"b.example.com"},
		},
		{
			"an origin, where the snippet takes one argument: both sites change",
			map[string]string{
				"Caddyfile":  "import cors.caddy\n" + sites,
				"cors.caddy": "(cors) {\n\tcors {args[0]} # each its own\n}\n",
			},
			addValues("cors", admin),
			map[string]string{"cors.caddy": "(cors) {\n\tcors {args[0]} https://admin.example.com # each its own\n}\n"},
			[]string{"a.example.com", "b.example.com"},
		},
		{
			"a directive after the imports that only prepare",
			map[string]string{
				"Caddyfile":    "a.example.com {\n\timport log.caddy\n\timport answer.caddy\n}\n",
				"log.caddy":    "log\nencode gzip\n",
				"answer.caddy": "respond hi\n",
			},
			insert("a.example.com", line("cors "+app)),
			map[string]string{"Caddyfile": "a.example.com {\n\timport log.caddy\n\tcors https://app.example.com\n\timport answer.caddy\n}\n"},
			[]string{"a.example.com"},
		},
		{
			"a directive of an imported file, by its site",
			map[string]string{
				"Caddyfile":     "import sites/*\n",
				"sites/a.caddy": "a.example.com {\r\n\trespond a\r\n}",
			},
			insert("a.example.com", line("cors "+app)),
			map[string]string{"sites/a.caddy": "a.example.com {\r\n\tcors https://app.example.com\r\n\trespond a\r\n}"},
			[]string{"a.example.com"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			write(t, test.files)
			c, err := edit.Load("Caddyfile")
			if err != nil {
				t.Fatal(err)
			}
			list := test.edit(func(name string) *edit.Use { return find(t, c, name) })
			edited, err := c.Apply(list...)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range edited.Files() {
				want, changes := test.want[filepath.ToSlash(f.Name)]
				if !changes {
					want = test.files[filepath.ToSlash(f.Name)]
				}
				if string(f.Text()) != want || f.Changed() != changes {
					t.Errorf("%s is\n%s\nwant\n%s", f.Name, f.Text(), want)
				}
			}
			wellFormed(t, c, edited)
			uses, err := c.Affected(list...)
			if err != nil {
				t.Fatal(err)
			}
			var sites []string
			for _, use := range uses {
				for _, site := range use.Sites() {
					if !slices.Contains(sites, site.Name()) {
						sites = append(sites, site.Name())
					}
				}
			}
			if !slices.Equal(sites, test.affected) {
				t.Errorf("%q are affected, want %q", sites, test.affected)
			}
		})
	}
}

// An edit of what an edit has made goes on from there; the first Caddyfile is as it was.
func TestApplyAgain(t *testing.T) {
	c := load(t, "example.com {\n\trespond hi\n}\n")
	first, err := c.Apply(edit.Insert{Into: find(t, c, "example.com"), Line: line("cors " + app)})
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.Apply(edit.AddOption{To: find(t, first, "cors"), Line: line("allow_methods PUT")})
	if err != nil {
		t.Fatal(err)
	}
	const want = "--- Caddyfile\n+++ Caddyfile\n@@ -1,3 +1,6 @@\n example.com {\n+\tcors https://app.example.com {\n+\t\tallow_methods PUT\n+\t}\n \trespond hi\n }\n"
	if got := second.Diff(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c.Diff() != "" || !strings.Contains(first.Diff(), "+\tcors https://app.example.com\n") {
		t.Errorf("the first ones have changed: %s, %s", c.Diff(), first.Diff())
	}
}

func TestLoadRefuses(t *testing.T) {
	write(t, map[string]string{"Caddyfile": "example.com {\n\timport missing.caddy\n}\n", "broken": "example.com {\n"})
	if _, err := edit.Load("nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, name := range []string{"Caddyfile", "broken"} {
		_, err := edit.Load(name)
		if err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s: %v, want Caddy's error with its file and line", name, err)
		}
	}
	if err := os.Remove("broken"); err != nil {
		t.Error(err)
	}
}
