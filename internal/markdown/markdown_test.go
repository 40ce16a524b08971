package markdown

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const sample = "# Title\n" +
	"\n" +
	"See [the *other* page](other.md#part) and <https://example.com/>, with `` a ` b ``\n" +
	"and `x`.\n" +
	"\n" +
	"## First `code`, and more\n" +
	"\n" +
	"- item `one`\n" +
	"  ```caddyfile refused\n" +
	"  cors *\n" +
	"  ```\n" +
	"- item two\n" +
	"\n" +
	"| name | what it `is` |\n" +
	"|---|---|\n" +
	"| a `b\\|c` | d |\n" +
	"\n" +
	"### Below\n" +
	"\n" +
	"> ```\n" +
	"> quoted\n" +
	"> ```\n" +
	"\n" +
	"    indented\n" +
	"\n" +
	"## First `code`, and more\n" +
	"\n" +
	"Last.\n"

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	p := Read(t, path)
	first := p.Section(t, "First `code`, and more")
	for _, test := range []struct {
		what      string
		got, want any
	}{
		{"anchors", p.Anchors(), []string{"title", "first-code-and-more", "below", "first-code-and-more-1"}},
		{"headings below", len(first.Sections()), 1},
		{"level", first.Sections()[0].Level, 3},
		{"blocks", p.Whole().Blocks(), []Block{{9, "caddyfile refused", "cors *\n"}, {20, "", "quoted\n"}, {24, "", "indented\n"}}},
		{"blocks of an info", first.BlocksOf("caddyfile refused"), []string{"cors *\n"}},
		{"rows", first.Rows("name"), []map[string]Inline{{"name": {"a `b|c`", []string{"b|c"}}, "what it `is`": {"d", nil}}}},
		{"rows of another table", len(first.Rows("other")), 0},
		{"code of a column", first.Code("name", "name"), []string{"b|c"}},
		{"items", first.Items(), []Inline{{"item `one`", []string{"one"}}, {"item two", nil}}},
		{"the start of a section", first.Intro().Text(), "item `one` cors * item two name what it `is` a `b|c` d"},
		{"text", first.Sections()[0].Text(), "quoted indented"},
		{"paragraphs", p.Sections()[0].Intro().Paragraphs(), []Inline{
			{"See the other page and https://example.com/, with `a ` b` and `x`.", []string{"a ` b", "x"}},
		}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.what, test.got, test.want)
		}
	}
	var links []string
	for _, link := range p.Whole().Links() {
		links = append(links, link.Text+" "+link.Destination)
	}
	if want := "[the other page other.md#part https://example.com/ https://example.com/]"; fmt.Sprint(links) != want {
		t.Errorf("the links are %v, want %s", links, want)
	}
	if cells, tables := p.Whole().Columns("what it `is`"); tables != 1 || len(cells) != 1 || cells[0].Text != "d" {
		t.Errorf("the column has %v in %d tables", cells, tables)
	}
}

func TestFenceWithoutEnd(t *testing.T) {
	for source, open := range map[string]bool{
		"```\ntext\n```\n":         false,
		"> ```\n> text\n> ```":     false,
		"~~~ caddyfile\ntext\n~~~": false,
		"```\ntext\n":              true,
		"- ```\n  text\n\nmore\n":  true,
	} {
		if _, err := parse("page.md", []byte(source)); (err != nil) != open || open && !strings.Contains(err.Error(), "page.md:1: the code block has no end") {
			t.Errorf("%q: %v", source, err)
		}
	}
}
