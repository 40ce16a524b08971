package edit

import (
	"bytes"
	"strings"
)

// A Kind is what a [Place] is by its form alone.
type Kind int

const (
	KindLine       Kind = iota // of a block: a directive, a matcher, an option
	KindGlobal                 // the block of global options
	KindSnippet                // (name) { ... }
	KindNamedRoute             // &(name) { ... }
	KindSite                   // addresses, and the block after them or, without braces, the rest of the file
	KindImport                 // import ..., at any depth
)

// A Place is one line of text, however many it is continued on, with the block that it opens.
type Place struct {
	File   *File
	Kind   Kind
	Parent *Place   // whose block it stands in; nil for the outermost ones of a file
	Block  []*Place // what stands in the block that it opens

	words       []*token // without the braces
	open, close *token   // the braces; nil where there are none
	uses        []*Use

	absolute, relative bool // of an import line: what its paths of files have been
}

// Line is the number of the line in the file, from 1, that it begins on.
func (p *Place) Line() int { return p.File.line(p.start()) }

// Text is the text from its first byte to its last, with its block.
func (p *Place) Text() string { return string(p.File.text[p.start():p.end()]) }

// Uses are what it becomes in the configuration: none for what no site imports, several for a line of a snippet that is
// imported several times. What stands around other things that are used, such as a snippet, has none of its own.
func (p *Place) Uses() []*Use { return p.uses }

// Name is its first word, and empty for the global options.
func (p *Place) Name() string {
	if len(p.words) == 0 {
		return ""
	}
	return p.words[0].Text
}

func (p *Place) first() *token {
	if len(p.words) == 0 {
		return p.open
	}
	return p.words[0]
}

func (p *Place) start() int { return p.first().start }

// end is the offset after its last byte. Comments after it do not count.
func (p *Place) end() int {
	switch {
	case p.close != nil:
		return p.close.end
	case p.open != nil: // which the text does not close
		return len(p.File.text)
	case len(p.Block) > 0: // a site without braces
		return p.Block[len(p.Block)-1].end()
	}
	return p.lastWord().end
}

func (p *Place) lastWord() *token { return p.words[len(p.words)-1] }

// hasBlock reports whether other lines can stand in it.
func (p *Place) hasBlock() bool { return p.open != nil || p.Kind == KindSite }

// depth is how many braces are open around it.
func (p *Place) depth() int {
	depth := 0
	for outer := p.Parent; outer != nil; outer = outer.Parent {
		if outer.open != nil {
			depth++
		}
	}
	return depth
}

// parse finds the places of the file's tokens.
func (f *File) parse() {
	r := reader{file: f, tokens: f.tokens}
	f.places = r.block(nil)
}

type reader struct {
	file   *File
	tokens []*token // those that are left
	last   *token   // the one that was read last
}

func (r *reader) peek() *token {
	if len(r.tokens) == 0 {
		return nil
	}
	return r.tokens[0]
}

func (r *reader) take() *token {
	r.last, r.tokens = r.tokens[0], r.tokens[1:]
	return r.last
}

// onSameLine reports whether a token is left that is on the line of the last one.
func (r *reader) onSameLine() bool {
	t := r.peek()
	return t != nil && r.last.Line+r.last.NumLineBreaks() >= t.Line
}

// block reads the lines of a block up to its end, which is not read, or all that are left.
func (r *reader) block(parent *Place) []*Place {
	var places []*Place
	for {
		t := r.peek()
		if t == nil || parent != nil && t.closes() {
			return places
		}
		if parent == nil && !r.file.nested {
			places = append(places, r.outermost())
		} else {
			places = append(places, r.line(parent))
		}
	}
}

// line reads a line of a block and the block that it opens.
func (r *reader) line(parent *Place) *Place {
	p := &Place{File: r.file, Parent: parent}
	r.word(p)
	if p.Name() == "import" {
		p.Kind = KindImport
	}
	for r.onSameLine() && !r.peek().closes() {
		if r.peek().opens() {
			r.braces(p)
			return p
		}
		r.word(p)
	}
	return p
}

func (r *reader) word(p *Place) {
	t := r.take()
	t.place = p
	p.words = append(p.words, t)
}

// braces reads a block with its braces.
func (r *reader) braces(p *Place) {
	p.open = r.take()
	p.open.place = p
	p.Block = r.block(p)
	if r.peek() != nil {
		p.close = r.take()
		p.close.place = p
	}
}

// outermost reads what stands in no block: global options, a snippet, a named route, an import or a site. A comma after an
// address says that another one comes, on the next line if need be; the brace of a site may stand on the next line.
func (r *reader) outermost() *Place {
	if r.peek().opens() {
		p := &Place{File: r.file, Kind: KindGlobal}
		r.braces(p)
		return p
	}
	if r.peek().Text == "import" {
		return r.line(nil)
	}
	p := &Place{File: r.file, Kind: KindSite}
	r.word(p)
	for {
		t := r.peek()
		if t != nil && t.opens() {
			break
		}
		if t == nil || !r.onSameLine() && !strings.HasSuffix(r.last.Text, ",") {
			break
		}
		r.word(p)
	}
	if len(p.words) == 1 {
		switch name := p.Name(); {
		case strings.HasPrefix(name, "&(") && strings.HasSuffix(name, ")"):
			p.Kind = KindNamedRoute
		case strings.HasPrefix(name, "(") && strings.HasSuffix(name, ")"):
			p.Kind = KindSnippet
		}
	}
	switch t := r.peek(); {
	case t == nil:
	case t.opens():
		r.braces(p)
	case p.Kind == KindSite:
		for t := r.peek(); t != nil && !t.closes(); t = r.peek() {
			p.Block = append(p.Block, r.line(p))
		}
	}
	return p
}

// lineEnd is the offset of the end of the line that an offset is on: of its newline, with the carriage return before it, or
// of the text.
func (f *File) lineEnd(offset int) int {
	length := bytes.IndexByte(f.text[offset:], '\n')
	if length < 0 {
		return len(f.text)
	}
	end := offset + length
	if end > offset && f.text[end-1] == '\r' {
		end--
	}
	return end
}

// lineStart is the offset of the beginning of the line that an offset is on.
func (f *File) lineStart(offset int) int {
	start := bytes.LastIndexByte(f.text[:offset], '\n') + 1
	if start == 0 && bytes.HasPrefix(f.text, []byte(string(byteOrderMark))) {
		start = len(string(byteOrderMark))
	}
	return start
}

// newline is the line ending of the file: that of its first line.
func (f *File) newline() string {
	if i := bytes.IndexByte(f.text, '\n'); i > 0 && f.text[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}
