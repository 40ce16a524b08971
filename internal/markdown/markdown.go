// Package markdown reads the Markdown pages of this repository, for the tests that hold them to the code.
package markdown

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// A Page is a Markdown page.
type Page struct {
	// Path is the file's.
	Path string

	source []byte
	nodes  []ast.Node // of its top level
}

// A Section is a part of a page: what stands under a heading up to the next one of its level or above.
type Section struct {
	Level   int // of its heading; 0 if it has none
	Heading string

	page  *Page
	nodes []ast.Node
}

// An Inline is a piece of prose.
type Inline struct {
	Text string   // with its code spans in backquotes, and single blanks between its words
	Code []string // the code spans
}

// Plain returns the text without the backquotes around it.
func (i Inline) Plain() string { return strings.Trim(i.Text, "`") }

// A Block is a block of code.
type Block struct {
	Line int    // on which it begins
	Info string // what stands after the backquotes that open it; empty for an indented block
	Text string
}

// Read reads a page. A fence that nothing closes is an error.
func Read(t testing.TB, path string) *Page {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parse(path, source)
	if err != nil {
		t.Error(err)
	}
	return p
}

func parse(path string, source []byte) (*Page, error) {
	document := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(source))
	p := &Page{Path: path, source: source}
	for node := document.FirstChild(); node != nil; node = node.NextSibling() {
		p.nodes = append(p.nodes, node)
	}
	var err error
	walk(p.nodes, func(node ast.Node) {
		if fence, ok := node.(*ast.FencedCodeBlock); ok && fence.Lines().Len() > 0 {
			_, rest, _ := bytes.Cut(source[fence.Lines().At(fence.Lines().Len()-1).Stop-1:], []byte("\n"))
			if end := bytes.TrimLeft(rest, "> \t"); !bytes.HasPrefix(end, []byte("```")) && !bytes.HasPrefix(end, []byte("~~~")) {
				err = fmt.Errorf("%s:%d: the code block has no end", path, p.lineOf(fence))
			}
		}
	})
	return p, err
}

// ReadAll reads all pages below a directory, but for those in testdata, and in directories whose names start with a dot.
func ReadAll(t testing.TB, root string) []*Page {
	t.Helper()
	var pages []*Page
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		switch {
		case entry.IsDir() && path != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")):
			return filepath.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ".md"):
			pages = append(pages, Read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// Whole returns all of the page.
func (p *Page) Whole() Section { return Section{page: p, nodes: p.nodes} }

// Sections returns the sections of all levels, in order.
func (p *Page) Sections() []Section { return p.Whole().Sections() }

// Section returns the section with a heading.
func (p *Page) Section(t testing.TB, heading string) Section {
	t.Helper()
	for _, s := range p.Sections() {
		if s.Heading == heading {
			return s
		}
	}
	t.Fatalf("%s has no heading %q", p.Path, heading)
	return Section{}
}

// Anchors returns the anchors of the headings as GitHub makes them: the text in lower case, without punctuation, with a
// hyphen for each blank; and with a number where a heading comes again.
func (p *Page) Anchors() []string {
	var anchors []string
	times := make(map[string]int)
	for _, s := range p.Sections() {
		anchor := s.Anchor()
		if n := times[anchor]; n > 0 {
			anchors = append(anchors, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			anchors = append(anchors, anchor)
		}
		times[anchor]++
	}
	return anchors
}

// Anchor returns the anchor that GitHub makes of the heading, where no other of the page is the same.
func (s Section) Anchor() string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			return unicode.ToLower(r)
		}
		return -1
	}, s.Heading)
}

// Sections returns the sections below it, of all levels.
func (s Section) Sections() []Section {
	var sections []Section
	for i, node := range s.nodes {
		h, ok := node.(*ast.Heading)
		if !ok {
			continue
		}
		below := s.nodes[i+1:]
		if end := slices.IndexFunc(below, func(next ast.Node) bool {
			other, ok := next.(*ast.Heading)
			return ok && other.Level <= h.Level
		}); end >= 0 {
			below = below[:end]
		}
		sections = append(sections, Section{h.Level, s.page.inline(h).Text, s.page, below})
	}
	return sections
}

// Intro returns what stands before the first heading that is in it.
func (s Section) Intro() Section {
	if end := slices.IndexFunc(s.nodes, func(node ast.Node) bool { return node.Kind() == ast.KindHeading }); end >= 0 {
		s.nodes = s.nodes[:end]
	}
	return s
}

// Blocks returns the blocks of code, wherever in it they are.
func (s Section) Blocks() []Block {
	var blocks []Block
	walk(s.nodes, func(node ast.Node) {
		switch node := node.(type) {
		case *ast.FencedCodeBlock:
			b := Block{Line: s.page.lineOf(node), Text: s.page.lines(node)}
			if node.Info != nil {
				b.Info = strings.TrimSpace(string(node.Info.Segment.Value(s.page.source)))
			}
			blocks = append(blocks, b)
		case *ast.CodeBlock:
			blocks = append(blocks, Block{Line: s.page.lineOf(node), Text: s.page.lines(node)})
		}
	})
	return blocks
}

// BlocksOf returns the texts of the blocks that have this info.
func (s Section) BlocksOf(info string) []string {
	var texts []string
	for _, b := range s.Blocks() {
		if b.Info == info {
			texts = append(texts, b.Text)
		}
	}
	return texts
}

// Rows returns the rows of the tables whose first column has this heading. A row has a cell for the heading of each
// column.
func (s Section) Rows(first string) []map[string]Inline {
	var rows []map[string]Inline
	walk(s.nodes, func(node ast.Node) {
		table, ok := node.(*tables.Table)
		if !ok {
			return
		}
		names := s.page.cells(table.FirstChild())
		if names[0].Text != first {
			return
		}
		for row := table.FirstChild().NextSibling(); row != nil; row = row.NextSibling() {
			cells := make(map[string]Inline)
			for i, cell := range s.page.cells(row) {
				if i < len(names) {
					cells[names[i].Text] = cell
				}
			}
			rows = append(rows, cells)
		}
	})
	return rows
}

// Columns returns the cells of all columns that have this heading, whatever the tables' other columns, and the number of
// tables that have one.
func (s Section) Columns(name string) (cells []Inline, found int) {
	walk(s.nodes, func(node ast.Node) {
		table, ok := node.(*tables.Table)
		if !ok {
			return
		}
		column := slices.IndexFunc(s.page.cells(table.FirstChild()), func(cell Inline) bool { return cell.Text == name })
		if column < 0 {
			return
		}
		found++
		for row := table.FirstChild().NextSibling(); row != nil; row = row.NextSibling() {
			if all := s.page.cells(row); column < len(all) {
				cells = append(cells, all[column])
			}
		}
	})
	return cells, found
}

// Code returns the code spans in a column of the tables whose first column has the heading.
func (s Section) Code(first, name string) []string {
	var all []string
	for _, row := range s.Rows(first) {
		all = append(all, row[name].Code...)
	}
	return all
}

// Paragraphs returns the paragraphs, the items of lists and the cells of tables among them.
func (s Section) Paragraphs() []Inline {
	var paragraphs []Inline
	walk(s.nodes, func(node ast.Node) {
		switch node.(type) {
		case *ast.Paragraph, *ast.TextBlock, *tables.TableCell:
			paragraphs = append(paragraphs, s.page.inline(node))
		}
	})
	return paragraphs
}

// Items returns the items of lists, each as far as its first paragraph goes.
func (s Section) Items() []Inline {
	var items []Inline
	walk(s.nodes, func(node ast.Node) {
		if item, ok := node.(*ast.ListItem); ok && item.FirstChild() != nil {
			items = append(items, s.page.inline(item.FirstChild()))
		}
	})
	return items
}

// Text returns all that is in it, code too, with single blanks between the words.
func (s Section) Text() string {
	var words []string
	walk(s.nodes, func(node ast.Node) {
		switch node.(type) {
		case *ast.Paragraph, *ast.TextBlock, *ast.Heading, *tables.TableCell:
			words = append(words, strings.Fields(s.page.inline(node).Text)...)
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			words = append(words, strings.Fields(s.page.lines(node))...)
		}
	})
	return strings.Join(words, " ")
}

// A Link is a link with what a reader sees of it.
type Link struct {
	Inline
	Destination string
}

// Links returns the links and the images.
func (s Section) Links() []Link {
	var links []Link
	walk(s.nodes, func(node ast.Node) {
		switch node := node.(type) {
		case *ast.Link:
			links = append(links, Link{s.page.inline(node), string(node.Destination)})
		case *ast.Image:
			links = append(links, Link{s.page.inline(node), string(node.Destination)})
		case *ast.AutoLink:
			links = append(links, Link{s.page.inline(node), string(node.URL(s.page.source))})
		}
	})
	return links
}

func walk(nodes []ast.Node, visit func(ast.Node)) {
	for _, node := range nodes {
		_ = ast.Walk(node, func(node ast.Node, entering bool) (ast.WalkStatus, error) { // no error is returned
			if entering {
				visit(node)
			}
			return ast.WalkContinue, nil
		})
	}
}

func (p *Page) cells(row ast.Node) []Inline {
	var cells []Inline
	for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
		cells = append(cells, p.inline(cell))
	}
	return cells
}

// inline returns the prose of a node.
func (p *Page) inline(of ast.Node) Inline {
	var i Inline
	var b strings.Builder
	_ = ast.Walk(of, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch node := node.(type) {
		case *ast.CodeSpan:
			var code strings.Builder
			for part := node.FirstChild(); part != nil; part = part.NextSibling() {
				code.Write(bytes.ReplaceAll(part.(*ast.Text).Value(p.source), []byte("\n"), []byte(" ")))
			}
			i.Code = append(i.Code, code.String())
			b.WriteString("`" + code.String() + "`")
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			b.Write(node.Value(p.source))
			if node.SoftLineBreak() || node.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(node.Value)
		case *ast.AutoLink:
			b.Write(node.Label(p.source))
		}
		return ast.WalkContinue, nil
	})
	i.Text = strings.Join(strings.Fields(b.String()), " ")
	return i
}

// lines returns the lines of a block of code.
func (p *Page) lines(node ast.Node) string {
	return string(node.Lines().Value(p.source))
}

// lineOf returns the number of the line that a block of code begins on.
func (p *Page) lineOf(node ast.Node) int {
	start, line := 0, 1
	if fence, ok := node.(*ast.FencedCodeBlock); ok && fence.Info != nil {
		start = fence.Info.Segment.Start
	} else if node.Lines().Len() > 0 {
		start = node.Lines().At(0).Start
		if ok {
			line = 0 // that of the backquotes is the one before
		}
	}
	return line + bytes.Count(p.source[:start], []byte("\n"))
}
