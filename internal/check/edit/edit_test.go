package edit_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

const app, admin = "https://app.example.com", "https://admin.example.com"

// write writes the files of a configuration into a folder of its own, and makes that the working directory.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, text string) *edit.Caddyfile {
	t.Helper()
	write(t, map[string]string{"Caddyfile": text})
	c, err := edit.Load("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// find is the first use of the name, in the order of the configuration: "@api", "cors", "api.example.com". A number after
// it ("cors 2") is for a later one.
func find(t *testing.T, c *edit.Caddyfile, name string) *edit.Use {
	t.Helper()
	name, number, _ := strings.Cut(name, " ")
	left := len(number) // "", "2", "22"
	if number == "" {
		left = 0
	}
	roots := slices.Concat(c.NamedRoutes(), c.Sites())
	if global := c.Global(); global != nil {
		roots = append(roots, global)
	}
	for _, root := range roots {
		for use := range root.All() {
			if use.Name() == name {
				if left == 0 {
					return use
				}
				left--
			}
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

func line(words string, block ...edit.Line) edit.Line {
	return edit.Line{Words: strings.Fields(words), Block: block}
}

// A way to edit, which finds the uses that it is about.
type edits func(find func(name string) *edit.Use) []edit.Edit

func addOption(to, words string) edits {
	return func(find func(string) *edit.Use) []edit.Edit {
		return []edit.Edit{edit.AddOption{To: find(to), Line: line(words)}}
	}
}

func addValues(to string, values ...string) edits {
	return func(find func(string) *edit.Use) []edit.Edit {
		return []edit.Edit{edit.AddValues{To: find(to), Values: values}}
	}
}

func replace(in, value string, with ...string) edits {
	return func(find func(string) *edit.Use) []edit.Edit {
		return []edit.Edit{edit.ReplaceValue{In: find(in), Old: value, New: with}}
	}
}

func insert(into string, l edit.Line) edits {
	return func(find func(string) *edit.Use) []edit.Edit {
		return []edit.Edit{edit.Insert{Into: find(into), Line: l}}
	}
}

func remove(name string) edits {
	return func(find func(string) *edit.Use) []edit.Edit { return []edit.Edit{edit.Remove{Use: find(name)}} }
}

func move(name, into string) edits {
	return func(find func(string) *edit.Use) []edit.Edit {
		return []edit.Edit{edit.Move{Use: find(name), Into: find(into)}}
	}
}

func both(first, second edits) edits {
	return func(find func(string) *edit.Use) []edit.Edit { return append(first(find), second(find)...) }
}

func TestApply(t *testing.T) {
	for _, test := range []struct {
		name string
		text string
		edit edits
		want string
	}{
		{
			"an option begins a block",
			"example.com {\n\tcors https://app.example.com\n\treverse_proxy localhost:8080\n}\n",
			addOption("cors", "allow_methods PUT"),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods PUT\n\t}\n\treverse_proxy localhost:8080\n}\n",
		},
		{
			"several options begin one block",
			"example.com {\n\tcors https://app.example.com\n\trespond hi\n}\n",
			both(addOption("cors", "allow_methods PUT"), addOption("cors", "allow_credentials")),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods PUT\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
		},
		{
			"a comment after the directive goes into its new block",
			"example.com {\n\tcors https://app.example.com # the web app\n\trespond hi\n}\n",
			addOption("cors", "allow_credentials"),
			"example.com {\n\tcors https://app.example.com {\n\t\t# the web app\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
		},
		{
			"an option goes after the last one",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_credentials # for the session\n\t\t# debug\n\t}\n\trespond hi\n}\n",
			addOption("cors", "allow_methods PUT DELETE"),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_credentials # for the session\n\t\tallow_methods PUT DELETE\n\t\t# debug\n\t}\n\trespond hi\n}\n",
		},
		{
			"an option of a list that is there is added to it",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET\n\t}\n\trespond hi\n}\n",
			addOption("cors", "allow_methods PUT"),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET PUT\n\t}\n\trespond hi\n}\n",
		},
		{
			"a list with commas gets another one",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET, POST # as in nginx\n\t}\n\trespond hi\n}\n",
			addOption("cors", "allow_methods PUT DELETE"),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET, POST, PUT, DELETE # as in nginx\n\t}\n\trespond hi\n}\n",
		},
		{
			"another origin on the directive's line, before its block",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
			addValues("cors", admin),
			"example.com {\n\tcors https://app.example.com https://admin.example.com {\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
		},
		{
			"a line that is continued",
			"example.com {\n\tcors https://app.example.com \\\n https://www.example.com\n\trespond hi\n}\n",
			addValues("cors", admin),
			"example.com {\n\tcors https://app.example.com \\\n https://www.example.com https://admin.example.com\n\trespond hi\n}\n",
		},
		{
			"an origin in place of everyone",
			"example.com {\n\tcors * {\n\t\tallow_methods PUT\n\t}\n\trespond hi\n}\n",
			both(replace("cors", "*", app), addOption("cors", "allow_credentials")),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods PUT\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
		},
		{
			"a value between commas is replaced",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET,PUT,HEAD\n\t}\n\trespond hi\n}\n",
			replace("allow_methods", "PUT", "PATCH", "DELETE"),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET,PATCH,DELETE,HEAD\n\t}\n\trespond hi\n}\n",
		},
		{
			"the last of a list with commas is removed with the comma",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET, PUT\n\t}\n\trespond hi\n}\n",
			replace("allow_methods", "PUT"),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods GET\n\t}\n\trespond hi\n}\n",
		},
		{
			"the last value of a list takes the line and the block with it",
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_methods PUT\n\t}\n\trespond hi\n}\n",
			replace("allow_methods", "PUT"),
			"example.com {\n\tcors https://app.example.com\n\trespond hi\n}\n",
		},
		{
			"a directive goes before what answers, above its comment",
			"example.com {\n\troot * /srv\n\tencode gzip\n\n\t# the API\n\treverse_proxy localhost:8080\n}\n",
			insert("example.com", line("cors "+app)),
			"example.com {\n\troot * /srv\n\tencode gzip\n\n\tcors https://app.example.com\n\t# the API\n\treverse_proxy localhost:8080\n}\n",
		},
		{
			"a site without braces",
			"localhost\n\nreverse_proxy localhost:8080\n",
			insert("localhost", line("cors "+app, line("allow_methods PUT"))),
			"localhost\n\ncors https://app.example.com {\n\tallow_methods PUT\n}\nreverse_proxy localhost:8080\n",
		},
		{
			"a site without braces or a newline at its end",
			"localhost",
			insert("localhost", line("cors "+app)),
			"localhost\ncors https://app.example.com",
		},
		{
			"an empty site",
			"example.com {\n}\n",
			insert("example.com", line("cors "+app)),
			"example.com {\n\tcors https://app.example.com\n}\n",
		},
		{
			"a host block in a wildcard site",
			"*.example.com {\n\t@api host api.example.com\n\thandle @api {\n\t\treverse_proxy localhost:8080\n\t}\n}\n",
			insert("handle", line("cors "+app)),
			"*.example.com {\n\t@api host api.example.com\n\thandle @api {\n\t\tcors https://app.example.com\n\t\treverse_proxy localhost:8080\n\t}\n}\n",
		},
		{
			"one with a matcher goes before one without",
			"example.com {\n\troute {\n\t\theader X-A 1\n\t\tcors https://www.example.com\n\t\trespond hi\n\t}\n}\n",
			insert("route", line("cors /api/* "+app)),
			"example.com {\n\troute {\n\t\theader X-A 1\n\t\tcors /api/* https://app.example.com\n\t\tcors https://www.example.com\n\t\trespond hi\n\t}\n}\n",
		},
		{
			"spaces, which `caddy fmt` would make tabs",
			"example.com {\n    encode gzip\n    reverse_proxy localhost:8080\n}\n",
			insert("example.com", line("cors "+app)),
			"example.com {\n    encode gzip\n\tcors https://app.example.com\n    reverse_proxy localhost:8080\n}\n",
		},
		{
			"CRLF and a byte order mark",
			"\ufeffexample.com {\r\n\tcors https://app.example.com\r\n\trespond hi\r\n}\r\n",
			addOption("cors", "allow_credentials"),
			"\ufeffexample.com {\r\n\tcors https://app.example.com {\r\n\t\tallow_credentials\r\n\t}\r\n\trespond hi\r\n}\r\n",
		},
		{
			"a directive out of a route, before what answers",
			"example.com {\n\troute {\n\t\tredir /old /new\n\n\t\t# for the app\n\t\tcors https://app.example.com {\n\t\t\tallow_credentials\n\t\t}\n\t\trespond hi\n\t}\n}\n",
			move("cors", "example.com"),
			"example.com {\n\t# for the app\n\tcors https://app.example.com {\n\t\tallow_credentials\n\t}\n\troute {\n\t\tredir /old /new\n\n\t\trespond hi\n\t}\n}\n",
		},
		{
			"a directive before what answers in its own route",
			"example.com {\n\troute {\n\t\tredir /old /new\n\t\tcors https://app.example.com\n\t\trespond hi\n\t}\n}\n",
			move("cors", "route"),
			"example.com {\n\troute {\n\t\tcors https://app.example.com\n\t\tredir /old /new\n\t\trespond hi\n\t}\n}\n",
		},
		{
			"a matcher of one path is widened",
			"example.com {\n\tcors /api https://app.example.com\n\trespond hi\n}\n",
			replace("cors", "/api", "/api*"),
			"example.com {\n\tcors /api* https://app.example.com\n\trespond hi\n}\n",
		},
		{
			"a matcher of methods on one line",
			"example.com {\n\t@api method GET PUT\n\tcors @api https://app.example.com\n\trespond hi\n}\n",
			addValues("@api", "OPTIONS"),
			"example.com {\n\t@api method GET PUT OPTIONS\n\tcors @api https://app.example.com\n\trespond hi\n}\n",
		},
		{
			"a matcher of methods in a block",
			"example.com {\n\t@api {\n\t\tpath /api/*\n\t\tmethod GET PUT\n\t}\n\tcors @api https://app.example.com\n\trespond hi\n}\n",
			addValues("method", "OPTIONS"),
			"example.com {\n\t@api {\n\t\tpath /api/*\n\t\tmethod GET PUT OPTIONS\n\t}\n\tcors @api https://app.example.com\n\trespond hi\n}\n",
		},
		{
			"a line of a header block",
			"example.com {\n\theader {\n\t\tX-Frame-Options DENY\n\t\tAccess-Control-Allow-Origin * # CORS\n\t\t-Server\n\t}\n\trespond hi\n}\n",
			remove("Access-Control-Allow-Origin"),
			"example.com {\n\theader {\n\t\tX-Frame-Options DENY\n\t\t-Server\n\t}\n\trespond hi\n}\n",
		},
		{
			"the only line of a header block",
			"example.com {\n\tencode gzip\n\n\theader /api/* {\n\t\tAccess-Control-Allow-Origin *\n\t}\n\n\trespond hi\n}\n",
			remove("Access-Control-Allow-Origin"),
			"example.com {\n\tencode gzip\n\n\trespond hi\n}\n",
		},
		{
			"all lines of a header block",
			"example.com {\n\theader {\n\t\tAccess-Control-Allow-Origin *\n\t\tAccess-Control-Allow-Methods *\n\t}\n\trespond hi\n}\n",
			both(remove("Access-Control-Allow-Origin"), remove("Access-Control-Allow-Methods")),
			"example.com {\n\trespond hi\n}\n",
		},
		{
			"the one global option",
			"{\n\torder cors before respond\n}\n\nexample.com {\n\trespond hi\n}\n",
			remove("order"),
			"example.com {\n\trespond hi\n}\n",
		},
		{
			"a global option where there are none",
			"# our API\nexample.com {\n\trespond hi\n}\n",
			func(func(string) *edit.Use) []edit.Edit {
				return []edit.Edit{edit.AddGlobal{Line: line("http_port 8080")}}
			},
			"{\n\thttp_port 8080\n}\n\n# our API\nexample.com {\n\trespond hi\n}\n",
		},
		{
			"a snippet on one line",
			"(common) { cors https://app.example.com }\nexample.com {\n\timport common\n\trespond hi\n}\n",
			addOption("cors", "allow_credentials"),
			"(common) {\n\tcors https://app.example.com {\n\t\tallow_credentials\n\t}\n}\nexample.com {\n\timport common\n\trespond hi\n}\n",
		},
		{
			"an option of a policy",
			"example.com {\n\tcors {\n\t\tpolicy partner https://partner.example {\n\t\t\tallow_methods PUT\n\t\t}\n\t}\n\trespond hi\n}\n",
			addOption("policy", "allow_credentials"),
			"example.com {\n\tcors {\n\t\tpolicy partner https://partner.example {\n\t\t\tallow_methods PUT\n\t\t\tallow_credentials\n\t\t}\n\t}\n\trespond hi\n}\n",
		},
		{
			"a policy, with its block",
			"example.com {\n\tcors https://app.example.com\n\trespond hi\n}\n",
			func(find func(string) *edit.Use) []edit.Edit {
				return []edit.Edit{edit.AddOption{To: find("cors"), Line: line("policy https://admin.example.com", line("allow_credentials"))}}
			},
			"example.com {\n\tcors https://app.example.com {\n\t\tpolicy https://admin.example.com {\n\t\t\tallow_credentials\n\t\t}\n\t}\n\trespond hi\n}\n",
		},
		{
			"an expression",
			"example.com {\n\tcors https://app.example.com\n\trespond hi\n}\n",
			func(find func(string) *edit.Use) []edit.Edit {
				words := []string{"allow_origins_regexp", `https://[a-z]+\.example\.com`}
				return []edit.Edit{edit.AddOption{To: find("cors"), Line: edit.Line{Words: words}}}
			},
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_origins_regexp https://[a-z]+\\.example\\.com\n\t}\n\trespond hi\n}\n",
		},
		{
			"another address of a site",
			"example.com,\nwww.example.com {\n\trespond hi\n}\n",
			addValues("example.com", "http://example.com"),
			"example.com,\nwww.example.com, http://example.com {\n\trespond hi\n}\n",
		},
		{
			"an address, which has a comma after it",
			"example.com, www.example.com {\n\trespond hi\n}\n",
			replace("example.com", "example.com", "api.example.com"),
			"api.example.com, www.example.com {\n\trespond hi\n}\n",
		},
		{
			"a site whose brace stands on the next line",
			"example.com\n{\n  respond hi\n}\n",
			insert("example.com", line("cors "+app)),
			"example.com\n{\n\tcors https://app.example.com\n  respond hi\n}\n",
		},
		{
			"a site and origins of environment variables",
			"{$SITE:example.com} {\n\tcors {$ORIGINS:https://app.example.com} # from .env\n\trespond hi\n}\n",
			both(addValues("cors", admin), addOption("cors", "allow_credentials")),
			"{$SITE:example.com} {\n\tcors {$ORIGINS:https://app.example.com} https://admin.example.com {\n\t\t# from .env\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
		},
		{
			"a directive with a heredoc is moved as it is",
			"example.com {\n  handle /x {\n    # a page\n    respond /x/y <<HTML\n    <p>\n\n      hi</p>\n    HTML 200 # OK\n  }\n}\n",
			move("respond", "example.com"),
			"example.com {\n\t# a page\n\trespond /x/y <<HTML\n    <p>\n\n      hi</p>\n    HTML 200 # OK\n  handle /x {\n  }\n}\n",
		},
		{
			"a directive that is moved into a deeper block",
			"example.com {\n\tcors /api/* https://app.example.com {\n\t\t# for the session\n\t\tallow_credentials\n\n\t\tmax_age 1h\n\t}\n\n\thandle /api/* {\n\t\trespond hi\n\t}\n}\n",
			move("cors", "handle"),
			"example.com {\n\thandle /api/* {\n\t\tcors /api/* https://app.example.com {\n\t\t\t# for the session\n\t\t\tallow_credentials\n\n\t\t\tmax_age 1h\n\t\t}\n\t\trespond hi\n\t}\n}\n",
		},
		{
			"a directive at the end of a text without a newline",
			"localhost\nlog\nheader Access-Control-Allow-Origin *",
			remove("header"),
			"localhost\nlog",
		},
		{
			"a block of global options that has only a comment",
			"{\n\t# debug\n}\n\nexample.com {\n\trespond hi\n}\n",
			func(func(string) *edit.Use) []edit.Edit {
				return []edit.Edit{edit.AddGlobal{Line: line("http_port 8080")}}
			},
			"{\n\t# debug\n\thttp_port 8080\n}\n\nexample.com {\n\trespond hi\n}\n",
		},
		{
			"a header block of which a comment is left",
			"example.com {\n\theader {\n\t\t# CORS\n\t\tAccess-Control-Allow-Origin *\n\t}\n\trespond hi\n}\n",
			remove("Access-Control-Allow-Origin"),
			"example.com {\n\theader {\n\t\t# CORS\n\t}\n\trespond hi\n}\n",
		},
		{
			"a directive with all of its block",
			"example.com {\n\tencode gzip\n\n\tcors https://app.example.com {\n\t\tallow_credentials\n\t}\n\n\trespond hi\n}\n",
			remove("cors"),
			"example.com {\n\tencode gzip\n\n\trespond hi\n}\n",
		},
		{
			"the one directive of a handle, which stays",
			"example.com {\n\thandle /x {\n\t\tredir /y\n\t}\n\trespond hi\n}\n",
			remove("redir"),
			"example.com {\n\thandle /x {\n\t}\n\trespond hi\n}\n",
		},
		{
			"an option in place of another",
			"example.com {\n\tcors https://app.example.com {\n\t\tupstream preserve\n\t}\n\trespond hi\n}\n",
			both(remove("upstream"), addOption("cors", "allow_credentials")),
			"example.com {\n\tcors https://app.example.com {\n\t\tallow_credentials\n\t}\n\trespond hi\n}\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, test.text)
			edited, err := c.Apply(test.edit(func(name string) *edit.Use { return find(t, c, name) })...)
			if err != nil {
				t.Fatal(err)
			}
			got := string(edited.Files()[0].Text())
			if got != test.want {
				t.Fatalf("got:\n%s\nwant:\n%s", got, test.want)
			}
			wellFormed(t, c, edited)
			if _, _, err := edited.Adapt(); err != nil {
				t.Error(err)
			}
		})
	}
}

// wellFormed tests what holds for all edits: `caddy fmt` changes nothing in the lines that are new, and on disk nothing has
// changed.
func wellFormed(t *testing.T, c, edited *edit.Caddyfile) {
	t.Helper()
	for i, f := range edited.Files() {
		before := slices.Collect(maps.Keys(linesOf(c.Files()[i].Text())))
		formatted := linesOf(caddyfile.Format(bytes.ReplaceAll(f.Text(), []byte("\r\n"), []byte("\n"))))
		for added := range linesOf(f.Text()) {
			if !slices.Contains(before, added) && !formatted[added] {
				t.Errorf("caddy fmt would change %q", added)
			}
		}
		if onDisk, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(onDisk, c.Files()[i].Text()) {
			t.Errorf("%s has changed on disk, or is gone: %v", f.Name, err)
		}
	}
}

func linesOf(text []byte) map[string]bool {
	lines := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		lines[strings.Trim(line, "\ufeff\r\n")] = true
	}
	return lines
}

func TestApplyRefuses(t *testing.T) {
	t.Setenv("ORIGIN", app)
	for _, test := range []struct {
		name string
		text string
		edit edits
		want error
	}{
		{"a value of an environment variable", "example.com {\n\tcors {$ORIGIN}\n}\n", replace("cors", app, admin), edit.ErrNotWritten},
		{"a value that is not there", "example.com {\n\tcors https://app.example.com\n}\n", replace("cors", "*", admin), edit.ErrNotWritten},
		{"a directive where none can be", "example.com {\n\trespond hi\n}\n", insert("respond", line("cors "+app)), edit.ErrNoBlock},
		{"a word with a newline", "example.com {\n\tcors https://app.example.com\n}\n", addValues("cors", "https://a\nb"), edit.ErrUnwritable},
		{
			"an option of what is removed",
			"example.com {\n\tcors https://app.example.com\n\trespond hi\n}\n",
			both(remove("cors"), addValues("cors", admin)),
			edit.ErrConflict,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, test.text)
			_, err := c.Apply(test.edit(func(name string) *edit.Use { return find(t, c, name) })...)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
