package edit_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// twoFiles has a Caddyfile and what it imports, and edits of both.
func twoFiles(t *testing.T) (c, edited *edit.Caddyfile) {
	t.Helper()
	write(t, map[string]string{
		"Caddyfile":     "import sites/*\na.example.com {\n\trespond a\n}\n",
		"sites/b.caddy": "b.example.com {\n\trespond b\n}\n",
	})
	c, err := edit.Load("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	edited, err = c.Apply(
		edit.Insert{Into: find(t, c, "a.example.com"), Line: line("cors " + app)},
		edit.Insert{Into: find(t, c, "b.example.com"), Line: line("cors " + app)},
	)
	if err != nil {
		t.Fatal(err)
	}
	return c, edited
}

// onDisk are the names and texts of all files below the working directory.
func onDisk(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	if err := filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[filepath.ToSlash(path)] = string(text)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestWrite(t *testing.T) {
	_, edited := twoFiles(t)
	names, err := edited.Write()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"Caddyfile", filepath.Join("sites", "b.caddy")}; !slices.Equal(names, want) {
		t.Errorf("%q are written, want %q", names, want)
	}
	want := map[string]string{
		"Caddyfile":     "import sites/*\na.example.com {\n\tcors https://app.example.com\n\trespond a\n}\n",
		"sites/b.caddy": "b.example.com {\n\tcors https://app.example.com\n\trespond b\n}\n",
	}
	got := onDisk(t)
	if len(got) != len(want) || got["Caddyfile"] != want["Caddyfile"] || got["sites/b.caddy"] != want["sites/b.caddy"] {
		t.Errorf("on disk there is %q, want %q", got, want)
	}
	if _, err := edited.Write(); !errors.Is(err, edit.ErrChanged) {
		t.Errorf("written again: %v", err)
	}
}

// Of several files, none is written where one cannot be.
func TestWriteAllOrNone(t *testing.T) {
	for _, test := range []struct {
		name    string
		prevent func() error
		want    error
	}{
		{"the last has changed", func() error { return os.WriteFile("sites/b.caddy", []byte("b.example.com\n"), 0o644) }, edit.ErrChanged},
		{"the last is gone", func() error { return os.Remove("sites/b.caddy") }, os.ErrNotExist},
		{"the first has changed", func() error { return os.WriteFile("Caddyfile", []byte("a.example.com\n"), 0o644) }, edit.ErrChanged},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, edited := twoFiles(t)
			if err := test.prevent(); err != nil {
				t.Fatal(err)
			}
			before := onDisk(t)
			names, err := edited.Write()
			var of *edit.FileError
			if !errors.Is(err, test.want) || !errors.As(err, &of) || len(names) > 0 {
				t.Errorf("%q are written, with %v; want %v", names, err, test.want)
			}
			after := onDisk(t)
			for name, text := range before {
				if after[name] != text {
					t.Errorf("%s is %q now", name, after[name])
				}
			}
			if len(after) != len(before) {
				t.Errorf("files are left: %q", after)
			}
		})
	}
}

// A diff is what `patch -p0` makes the new text of.
func TestDiff(t *testing.T) {
	long := strings.Repeat("# a comment\n", 20)
	for _, test := range []struct{ name, text string }{
		{"in the middle", long + "example.com {\n\trespond hi\n}\n" + long},
		{"without a newline at the end", "example.com {\n\trespond hi\n}"},
		{"a last line that changes, without a newline", "localhost"},
		{"CRLF", "example.com {\r\n\trespond hi\r\n}\r\n"},
		{"a byte order mark", "\ufeffexample.com\n"},
		{"two hunks", "{\n\torder cors before respond\n}\n" + long + "example.com {\n\trespond hi\n}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, test.text)
			list := []edit.Edit{edit.Insert{Into: c.Sites()[0], Line: line("cors "+app, line("debug"))}}
			if global := c.Global(); global != nil {
				list = append(list, edit.Remove{Use: global.Block[0]})
			}
			edited, err := c.Apply(list...)
			if err != nil {
				t.Fatal(err)
			}
			diff := edited.Diff()
			if !strings.HasPrefix(diff, "--- Caddyfile\n+++ Caddyfile\n@@ -") {
				t.Errorf("it begins otherwise: %s", diff)
			}
			if got, want := patched(t, test.text, diff), string(edited.Files()[0].Text()); got != want {
				t.Errorf("%s\nmakes %q, want %q", diff, got, want)
			}
		})
	}
}

// patched does what patch does with the diff of one file.
func patched(t *testing.T, text, diff string) string {
	t.Helper()
	old := strings.SplitAfter(text, "\n")
	at, out := 0, []string{}
	take := func(line string) {
		if at == len(old) || old[at] != line {
			t.Fatalf("the diff has %q, which is not line %d", line, at+1)
		}
		at++
	}
	lines := strings.SplitAfter(diff, "\n")[2:]
	for i, line := range lines {
		if line == "" {
			break
		}
		content := line[1:]
		if i+1 < len(lines) && lines[i+1] == "\\ No newline at end of file\n" {
			content = strings.TrimSuffix(content, "\n")
		}
		switch line[0] {
		case '@':
			number, _, _ := strings.Cut(strings.TrimPrefix(line, "@@ -"), ",")
			start, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, old[at:max(start-1, 0)]...)
			at = max(start-1, 0)
		case ' ':
			take(content)
			out = append(out, content)
		case '-':
			take(content)
		case '+':
			out = append(out, content)
		}
	}
	return strings.Join(append(out, old[at:]...), "")
}

func TestDiffNames(t *testing.T) {
	write(t, map[string]string{
		"conf/Caddyfile":      "import ../shared/*.caddy\nimport sites/a.caddy\n",
		"conf/sites/a.caddy":  "a.example.com {\n\trespond a\n}\n",
		"shared/b.caddy":      "b.example.com {\n\trespond b\n}\n",
		"shared/origins.list": "https://app.example.com\n",
	})
	working, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		load string
		want []string
	}{
		{"conf/Caddyfile", []string{"shared/b.caddy", "conf/sites/a.caddy", "shared/origins.list"}},
		{filepath.Join(working, "conf", "Caddyfile"), []string{
			filepath.Join(working, "shared", "b.caddy"), filepath.Join(working, "conf", "sites", "a.caddy"), "shared/origins.list",
		}},
	} {
		c, err := edit.Load(filepath.FromSlash(test.load))
		if err != nil {
			t.Fatal(err)
		}
		edited, err := c.Apply(
			edit.Insert{Into: find(t, c, "a.example.com"), Line: line("cors " + app)},
			edit.Insert{Into: find(t, c, "b.example.com"), Line: line("cors " + app)},
			edit.EditList{File: "shared/origins.list", Add: []string{admin}},
		)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for line := range strings.Lines(edited.Diff()) {
			if name, ok := strings.CutPrefix(line, "+++ "); ok {
				names = append(names, filepath.ToSlash(strings.TrimSpace(name)))
			}
		}
		for i := range test.want {
			test.want[i] = filepath.ToSlash(test.want[i])
		}
		if !slices.Equal(names, test.want) {
			t.Errorf("%s: the names are %q, want %q", test.load, names, test.want)
		}
	}
}

func TestEditList(t *testing.T) {
	for _, test := range []struct {
		name, text  string
		add, remove []string
		want        string
	}{
		{"another origin", "# ours\nhttps://app.example.com # the app\n", []string{admin}, nil, "# ours\nhttps://app.example.com # the app\nhttps://admin.example.com\n"},
		{"after a last line without an end", "https://app.example.com", []string{admin}, nil, "https://app.example.com\nhttps://admin.example.com\n"},
		{"CRLF", "https://app.example.com\r\n", []string{admin}, nil, "https://app.example.com\r\nhttps://admin.example.com\r\n"},
		{"one away, with its comment", "# ours\nhttps://app.example.com # the app\nhttps://b.example.com\n", nil, []string{app}, "# ours\nhttps://b.example.com\n"},
		{"one in place of another", "\ufeffhttps://app.example.com\n", []string{admin}, []string{app}, "\ufeffhttps://admin.example.com\n"},
		{"not what is only a part", "https://app.example.com.au\nhttps://app.example.com\n#https://app.example.com\n", nil, []string{app}, "https://app.example.com.au\n#https://app.example.com\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			write(t, map[string]string{"Caddyfile": "example.com {\n\trespond hi\n}\n", "origins.list": test.text})
			c, err := edit.Load("Caddyfile")
			if err != nil {
				t.Fatal(err)
			}
			edited, err := c.Apply(edit.EditList{File: "origins.list", Add: test.add, Remove: test.remove})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := edited.Adapt(); err != nil { // without the list
				t.Error(err)
			}
			if len(c.Files()) != 1 {
				t.Error("the list is a file of the first Caddyfile, too")
			}
			if _, err := edited.Write(); err != nil {
				t.Fatal(err)
			}
			if got := onDisk(t)["origins.list"]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	c := load(t, "example.com\n")
	for _, e := range []edit.EditList{
		{File: "origins.list", Add: []string{app}},
		{File: "Caddyfile", Remove: []string{app}},
		{File: "Caddyfile", Add: []string{"https://a\nhttps://b"}},
		{File: "Caddyfile", Add: []string{""}},
	} {
		if _, err := c.Apply(e); err == nil {
			t.Errorf("%+v is made", e)
		}
	}
}

func TestAdapt(t *testing.T) {
	_, edited := twoFiles(t)
	config, warnings, err := edited.Adapt()
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	if strings.Count(string(config), `"allow_origins":["https://app.example.com"],"handler":"cors"`) != 2 {
		t.Errorf("the edits are not in it: %s", config)
	}
	if got := onDisk(t); strings.Contains(got["Caddyfile"], "cors") || len(got) != 2 {
		t.Errorf("on disk there is %q", got)
	}
}

// An import of an absolute path is of the edited text, too.
func TestAdaptAbsoluteImports(t *testing.T) {
	write(t, map[string]string{"conf/a.caddy": "respond a\n", "conf/b.caddy": "respond b\n"})
	folder, err := filepath.Abs("conf")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONF", folder)
	for name, text := range map[string]string{
		"written":               "example.com {\n\timport `" + folder + "/a.caddy`\n}\n",
		"a glob":                "example.com {\n\timport `" + folder + "/a*`\n}\n",
		"a variable":            "example.com {\n\timport {$CONF}/a.caddy\n}\n",
		"a part of an argument": "(x) {\n\timport `" + folder + "/{args[0]}.caddy`\n}\nexample.com {\n\timport x a\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile("Caddyfile", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			c, err := edit.Load("Caddyfile")
			if err != nil {
				t.Fatal(err)
			}
			edited, err := c.Apply(edit.ReplaceValue{In: find(t, c, "respond"), Old: "a", New: []string{"edited"}})
			if err != nil {
				t.Fatal(err)
			}
			config, _, err := edited.Adapt()
			if err != nil || !strings.Contains(string(config), `"body":"edited"`) {
				t.Errorf("%v: %s", err, config)
			}
		})
	}
}

// An error names the real files, and nothing is left of the others.
func TestAdaptErrors(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	t.Setenv("TMP", temporary)
	c, _ := twoFiles(t)
	edited, err := c.Apply(edit.Insert{Into: find(t, c, "b.example.com"), Line: line("cors https://Example.com/")})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = edited.Adapt()
	var of *edit.AdaptError
	if !errors.As(err, &of) {
		t.Fatalf("got %v", err)
	}
	name, absErr := filepath.Abs(filepath.Join("sites", "b.caddy"))
	if absErr != nil {
		t.Fatal(absErr)
	}
	if !strings.Contains(err.Error(), name+":2") || strings.Contains(err.Error(), "caddyfile-") {
		t.Errorf("%v: want %s:2", err, name)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
