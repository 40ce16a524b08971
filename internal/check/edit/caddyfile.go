package edit

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// ErrNotFollowed says that this package reads a Caddyfile otherwise than Caddy does, and leaves it alone therefore.
var ErrNotFollowed = errors.New("this Caddyfile is written in a way that edits cannot follow; edit it by hand")

// A Caddyfile is the text of a Caddyfile and of all that it imports, and what stands where. It does not change: edits give
// another one.
type Caddyfile struct {
	files []*File // the Caddyfile first
	roots []*Use
	dir   string // of the Caddyfile, as the user wrote it
}

// Load reads the Caddyfile of the name, and all that it imports. The error is an [*AdaptError] where Caddy cannot parse it,
// and [ErrNotFollowed] where this package reads it otherwise than Caddy.
func Load(name string) (*Caddyfile, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &Caddyfile{dir: filepath.Dir(name), files: []*File{{Name: name, Path: path, onDisk: text, text: text}}}
	blocks, err := caddyfile.Parse(path, text)
	if errors.Is(err, io.EOF) {
		return nil, &FileError{name, errors.New("it is empty")}
	}
	if err != nil {
		return nil, &AdaptError{Err: err, message: strings.ReplaceAll(err.Error(), path, name)}
	}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, c.compare(blocks)
}

// read finds the places and uses of the text of c's files, and reads from disk those that are imported and not there yet.
func (c *Caddyfile) read() error {
	if err := c.files[0].lex(); err != nil {
		return err
	}
	c.files[0].parse()
	e := expander{caddyfile: c, snippets: make(map[string][]expanded), files: map[string]*File{c.files[0].Path: c.files[0]}}
	if err := e.all(); err != nil {
		return err
	}
	c.roots = e.roots
	for _, root := range c.roots {
		for use := range root.All() {
			use.Place.uses = append(use.Place.uses, use)
		}
	}
	return nil
}

// compare holds the uses against what Caddy has parsed.
func (c *Caddyfile) compare(blocks []caddyfile.ServerBlock) error {
	roots := slices.DeleteFunc(slices.Clone(c.roots), func(root *Use) bool { // Caddy leaves out what is empty
		return len(root.Words) == 0 && len(root.segments) == 0
	})
	if len(blocks) != len(roots) {
		return ErrNotFollowed
	}
	for i, block := range blocks {
		root := roots[i]
		if !slices.Equal(block.GetKeysText(), texts(root.Words)) {
			return ErrNotFollowed
		}
		if block.IsNamedRoute { // its one segment has the name and the braces, too
			segment := block.Segments[0]
			block.Segments = []caddyfile.Segment{segment[2 : len(segment)-1]}
		}
		if !slices.EqualFunc(root.segments, block.Segments, isSegment) {
			return &PlaceError{root.Place, ErrNotFollowed}
		}
		root.segments = nil
	}
	return nil
}

func isSegment(tokens []expanded, segment caddyfile.Segment) bool {
	return slices.EqualFunc(tokens, segment, func(t expanded, want caddyfile.Token) bool {
		return t.text == want.Text && t.Line == want.Line && t.file.Path == want.File
	})
}

// Files are the Caddyfile, what it imports, in the order in which Caddy reads it, and the lists that edits are in.
func (c *Caddyfile) Files() []*File { return c.files }

// Global is the block of global options, or nil.
func (c *Caddyfile) Global() *Use {
	if roots := c.ofKind(KindGlobal); len(roots) > 0 {
		return roots[0]
	}
	return nil
}

// NamedRoutes are the named routes. Their first word is the name.
func (c *Caddyfile) NamedRoutes() []*Use { return c.ofKind(KindNamedRoute) }

// Sites are the sites. Their words are the addresses.
func (c *Caddyfile) Sites() []*Use { return c.ofKind(KindSite) }

func (c *Caddyfile) ofKind(kind Kind) []*Use {
	var roots []*Use
	for _, root := range c.roots {
		if root.Kind == kind {
			roots = append(roots, root)
		}
	}
	return roots
}

// At is the place whose first word has the name, at the file and line that a token of Caddy's has (see
// [caddyfile.Dispenser]); without a name, the first on the line. It is nil where there is none. Caddy's line can be another
// than the one in the text: it counts after environment variables are replaced.
func (c *Caddyfile) At(file string, line int, name string) *Place {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil
	}
	for _, f := range c.files {
		if f.Path != path {
			continue
		}
		// Lines only increase from token to token.
		first, _ := slices.BinarySearchFunc(f.tokens, line, func(t *token, line int) int { return t.Line - line })
		for _, t := range f.tokens[first:] {
			if t.Line != line {
				break
			}
			if t == t.place.first() && (name == "" || t.Text == name) {
				return t.place
			}
		}
	}
	return nil
}

// nameOf is the name of a file for people: relative, where the Caddyfile's is.
func (c *Caddyfile) nameOf(path string) string {
	if filepath.IsAbs(c.dir) {
		return path
	}
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return filepath.Join(c.dir, relative)
}

func texts(words []Word) []string {
	list := make([]string, 0, len(words))
	for _, word := range words {
		list = append(list, word.Text)
	}
	return list
}
