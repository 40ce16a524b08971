package edit

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A composer collects what several edits do to the text of a Caddyfile.
type composer struct {
	caddyfile *Caddyfile
	uses      map[*Use]*Use // of caddyfile, by those that the edits name; nil where they are the same

	splices  []splice
	lines    []placed[Line]   // to go to the end of blocks
	inserted []placed[string] // to go before other lines, or to the end of blocks of directives
	removed  []*Place
	from     map[*Place]int   // where the removed ones begin, if not with their line
	globals  []Line           // for a block that is not there yet
	lists    map[string]*File // of origins, as they are edited, by path
	touched  []*Place
	folded   map[*Place]bool // blocks that have to be unfolded first
}

// A placed is something for the block of a place.
type placed[T any] struct {
	into   *Place
	before *Place // in the block, or nil for its end
	what   T
}

// A splice is a change of the bytes of a file.
type splice struct {
	file       *File
	start, end int
	text       string
	rank       rank
}

// A rank orders insertions at the same offset.
type rank int

const (
	valueRank rank = iota // on the line
	blockRank             // after it
	lineRank
)

// compose collects the edits. Where one needs it, a block that is written on one line is unfolded first.
func (c *Caddyfile) compose(edits []Edit) (*composer, error) {
	m := &composer{caddyfile: c}
	for {
		m.from, m.lists, m.folded = make(map[*Place]int), make(map[string]*File), make(map[*Place]bool)
		for _, e := range edits {
			if err := e.apply(m); err != nil {
				return nil, err
			}
		}
		if len(m.folded) == 0 {
			return m, nil
		}
		unfolded, err := m.unfolded()
		if err != nil {
			return nil, err
		}
		uses := make(map[*Use]*Use)
		before, after := c.all(), unfolded.all()
		if len(before) != len(after) {
			return nil, ErrNotFollowed
		}
		for i, use := range before {
			uses[use] = after[i]
		}
		m = &composer{caddyfile: unfolded, uses: uses}
	}
}

// all are the uses of the configuration.
func (c *Caddyfile) all() []*Use {
	var uses []*Use
	for _, root := range c.roots {
		uses = slices.AppendSeq(uses, root.All())
	}
	return uses
}

// now is the use that an edit names, in the Caddyfile as it is now.
func (m *composer) now(use *Use) *Use {
	if m.uses == nil || use == nil {
		return use
	}
	return m.uses[use]
}

func (m *composer) splice(place *Place, start, end int, text string, rank rank) {
	m.touched = append(m.touched, place)
	m.splices = append(m.splices, splice{place.File, start, end, text, rank})
}

// addLine adds a line to a block, which begins with it if there is none.
func (m *composer) addLine(place *Place, line Line) error {
	if !place.hasWrittenBraces() {
		return &PlaceError{place, ErrNotWritten}
	}
	if _, err := line.render(0); err != nil {
		return &PlaceError{place, err}
	}
	if m.unfold(place) || place.open == nil && place.Parent != nil && m.unfold(place.Parent) {
		return nil
	}
	m.touched = append(m.touched, place)
	m.lines = append(m.lines, placed[Line]{into: place, what: line})
	return nil
}

func (m *composer) insert(into, before *Place, text string) {
	if m.unfold(into) {
		return
	}
	m.touched = append(m.touched, into)
	m.inserted = append(m.inserted, placed[string]{into, before, text})
}

func (m *composer) removeLines(p *Place, from int) {
	m.touched = append(m.touched, p)
	m.removed = append(m.removed, p)
	m.from[p] = from
}

// hasWrittenBraces reports whether no environment variable has brought in its braces, if it has any.
func (p *Place) hasWrittenBraces() bool {
	return p.open == nil || p.close != nil && p.open.literal && p.close.literal
}

// unfold reports whether lines of the place's block share one, or a brace's. They are then put on lines of their own, and
// the edits made again.
func (m *composer) unfold(p *Place) bool {
	if p.isFolded() {
		m.folded[p] = true
	}
	return m.folded[p]
}

func (p *Place) isFolded() bool {
	if p.open == nil || p.close == nil {
		return false
	}
	for _, gap := range p.gaps() {
		if gap[0] < gap[1] && !bytes.ContainsRune(p.File.text[gap[0]:gap[1]], '\n') {
			return true
		}
	}
	return false
}

// gaps are the spans between the lines of a block, and between those and the braces.
func (p *Place) gaps() [][2]int {
	var gaps [][2]int
	end := p.open.end
	for _, line := range p.Block {
		gaps = append(gaps, [2]int{end, max(end, line.start())}) // not before it: an environment variable may have both lines
		end = line.end()
	}
	return append(gaps, [2]int{end, max(end, p.close.start)})
}

// unfolded puts each line of the folded blocks on a line of its own.
func (m *composer) unfolded() (*Caddyfile, error) {
	next := &composer{caddyfile: m.caddyfile}
	for p := range m.folded {
		gaps := p.gaps()
		for i, gap := range gaps {
			depth := p.innerDepth()
			if i == len(gaps)-1 {
				depth--
			}
			if gap[0] < gap[1] && !bytes.ContainsRune(p.File.text[gap[0]:gap[1]], '\n') {
				next.splice(p, gap[0], gap[1], "\n"+tabs(depth), valueRank)
			}
		}
	}
	return next.result()
}

// result is the Caddyfile with all that was collected.
func (m *composer) result() (*Caddyfile, error) {
	m.writeRemoved()
	m.writeLines()
	m.writeInserted()
	if err := m.writeGlobals(); err != nil {
		return nil, err
	}
	c := &Caddyfile{dir: m.caddyfile.dir}
	for _, f := range m.caddyfile.files {
		text, err := m.textOf(f)
		if err != nil {
			return nil, err
		}
		c.files = append(c.files, &File{Name: f.Name, Path: f.Path, onDisk: f.onDisk, text: text, isList: f.isList})
	}
	for _, path := range slices.Sorted(maps.Keys(m.lists)) {
		if !slices.ContainsFunc(c.files, func(f *File) bool { return f.Path == path }) {
			c.files = append(c.files, m.lists[path])
		}
	}
	return c, c.read()
}

// textOf is the text of a file with the splices.
func (m *composer) textOf(f *File) ([]byte, error) {
	if text, ok := m.lists[f.Path]; ok {
		return text.text, nil
	}
	var splices []splice
	for _, s := range m.splices {
		if s.file == f {
			splices = append(splices, s)
		}
	}
	slices.SortStableFunc(splices, func(a, b splice) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.rank, b.rank))
	})
	var out []byte
	at := 0
	for i, s := range splices {
		if s.start < at {
			if i > 0 && s == splices[i-1] {
				continue
			}
			return nil, &PlaceError{f.placeAt(s.start), ErrConflict}
		}
		out = append(out, f.text[at:s.start]...)
		out = append(out, strings.ReplaceAll(s.text, "\n", f.newline())...)
		at = s.end
	}
	return append(out, f.text[at:]...), nil
}

// placeAt is the innermost place around an offset.
func (f *File) placeAt(offset int) *Place {
	var found *Place
	for places := f.places; ; places = found.Block {
		i := slices.IndexFunc(places, func(p *Place) bool { return p.start() <= offset && offset <= p.end() })
		if i < 0 {
			break
		}
		found = places[i]
	}
	if found == nil {
		found = f.places[0]
	}
	return found
}

// commented is the offset of the beginning of its line, or of the comment right above it.
func (p *Place) commented() int {
	f := p.File
	begin := f.lineStart(p.start())
	bound := 0 // the end of what stands before it
	if i := slices.Index(f.tokens, p.first()); i > 0 {
		bound = f.lineEnd(f.tokens[i-1].end)
	}
	for begin > 0 {
		above := f.lineStart(begin - 1)
		if above <= bound && bound > 0 || above == begin || !bytes.HasPrefix(bytes.TrimSpace(f.text[above:begin]), []byte("#")) {
			break
		}
		begin = above
	}
	return begin
}

// lastLeft is the last line of a block that is not removed, or nil.
func (m *composer) lastLeft(p *Place) *Place {
	for _, line := range slices.Backward(p.Block) {
		if !slices.Contains(m.removed, line) {
			return line
		}
	}
	return nil
}

// endOfBlock is the offset after which lines can be added to a block.
func (m *composer) endOfBlock(p *Place) int {
	f := p.File
	if last := m.lastLeft(p); last != nil {
		return f.lineEnd(last.end())
	}
	if p.open == nil {
		return f.lineEnd(p.lastWord().end)
	}
	if len(p.Block) == 0 { // comments at most
		end := f.lineStart(p.close.start) - 1
		if end > 0 && f.text[end-1] == '\r' {
			end--
		}
		return end
	}
	return f.lineEnd(p.open.end)
}

// writeLines writes the options: those of one block together, with braces around them if there are none.
func (m *composer) writeLines() {
	texts := make(map[*Place]string)
	for _, add := range m.lines {
		p := add.into
		depth := p.innerDepth()
		if p.open == nil {
			depth = p.depth() + 1
		}
		text, _ := add.what.render(depth) // which was tried
		texts[p] += "\n" + text
	}
	for _, add := range m.lines {
		p := add.into
		text := texts[p]
		if text == "" {
			continue
		}
		delete(texts, p)
		f := p.File
		if p.open != nil {
			at := m.endOfBlock(p)
			m.splices = append(m.splices, splice{f, at, at, text, blockRank})
			continue
		}
		end, lineEnd := p.lastWord().end, f.lineEnd(p.lastWord().end)
		closing := "\n" + tabs(p.depth()) + "}"
		rest := bytes.TrimLeft(f.text[end:lineEnd], " \t")
		if !bytes.HasPrefix(rest, []byte("#")) {
			m.splices = append(m.splices, splice{f, end, end, " {" + text + closing, blockRank})
			continue
		}
		comment := lineEnd - len(rest) // goes into the block
		m.splices = append(m.splices,
			splice{f, end, end, " {\n" + tabs(p.depth()+1), blockRank},
			splice{f, end, comment, "", lineRank},
			splice{f, lineEnd, lineEnd, text + closing, blockRank})
	}
}

func (m *composer) writeInserted() {
	for _, add := range m.inserted {
		f := add.into.File
		if add.before != nil {
			at := add.before.commented()
			m.splices = append(m.splices, splice{f, at, at, add.what + "\n", lineRank})
			continue
		}
		at := m.endOfBlock(add.into)
		m.splices = append(m.splices, splice{f, at, at, "\n" + add.what, lineRank})
	}
}

// writeGlobals writes a block of global options, at the top of the Caddyfile.
func (m *composer) writeGlobals() error {
	if len(m.globals) == 0 {
		return nil
	}
	text, err := Line{Block: m.globals}.render(0)
	if err != nil {
		return err
	}
	f := m.caddyfile.files[0]
	at := f.lineStart(0)
	if len(f.places) > 0 {
		at = f.places[0].commented()
	}
	m.splices = append(m.splices, splice{f, at, at, text + "\n\n", lineRank})
	return nil
}

// directives are what has a block of directives, which may be empty.
var directives = map[string]bool{
	"handle": true, "handle_path": true, "route": true, "handle_errors": true, "handle_response": true,
}

// writeRemoved writes what is removed, and what would be left of blocks without anything in them.
func (m *composer) writeRemoved() {
	for i := 0; i < len(m.removed); i++ { // it grows
		p := m.removed[i]
		outer := p.Parent
		if outer == nil || slices.Contains(m.removed, outer) || m.addsTo(outer) || m.lastLeft(outer) != nil || outer.hasComment() {
			continue
		}
		if outer.Kind == KindGlobal || outer.Name() == "header" && !outer.hasField() {
			m.removed = append(m.removed, outer)
		}
	}
	var spans []splice
	for _, p := range m.removed {
		if outer := p.Parent; outer != nil {
			if slices.ContainsFunc(m.removed, func(other *Place) bool { return other != p && p.isIn(other) }) {
				continue
			}
			empty := m.lastLeft(outer) == nil && !m.addsTo(outer) && !outer.hasComment()
			if empty && outer.open != nil && outer.Kind != KindSite && outer.Kind != KindSnippet && outer.Kind != KindNamedRoute && !directives[outer.Name()] {
				s := splice{outer.File, outer.lastWord().end, outer.close.end, "", blockRank}
				if !slices.Contains(spans, s) {
					spans = append(spans, s)
				}
				continue
			}
		}
		f := p.File
		begin, ok := m.from[p]
		if !ok {
			begin = f.lineStart(p.start())
		}
		s := splice{f, begin, f.afterLine(p.end()), "", blockRank}
		if !slices.Contains(spans, s) {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b splice) int {
		return cmp.Or(strings.Compare(a.file.Path, b.file.Path), cmp.Compare(a.start, b.start))
	})
	for i := 0; i < len(spans); i++ {
		s := spans[i]
		for i+1 < len(spans) && spans[i+1].file == s.file && spans[i+1].start == s.end {
			s.end = spans[i+1].end
			i++
		}
		s.withBlankLine()
		m.splices = append(m.splices, s)
	}
}

func (p *Place) isIn(outer *Place) bool {
	for ; p != nil; p = p.Parent {
		if p == outer {
			return true
		}
	}
	return false
}

// addsTo reports whether something is added to a block.
func (m *composer) addsTo(p *Place) bool {
	return slices.ContainsFunc(m.lines, func(add placed[Line]) bool { return add.into == p }) ||
		slices.ContainsFunc(m.inserted, func(add placed[string]) bool { return add.into == p })
}

// hasField reports whether a header directive has a field on its own line, too.
func (p *Place) hasField() bool {
	for _, t := range p.words[1:] {
		if t.Text != "*" && !strings.HasPrefix(t.Text, "/") && !strings.HasPrefix(t.Text, "@") {
			return true
		}
	}
	return false
}

// hasComment reports whether comments stand between the lines of its block.
func (p *Place) hasComment() bool {
	if p.open == nil || p.close == nil {
		return false
	}
	for i, gap := range p.gaps() {
		if i > 0 && i <= len(p.Block) {
			gap[0] = min(p.File.lineEnd(gap[0]), gap[1]) // a comment on the line of what is removed goes with it
		}
		if len(bytes.TrimSpace(p.File.text[gap[0]:gap[1]])) > 0 {
			return true
		}
	}
	return false
}

// afterLine is the offset after the newline of the line that an offset is on.
func (f *File) afterLine(offset int) int {
	length := bytes.IndexByte(f.text[offset:], '\n')
	if length < 0 {
		return len(f.text)
	}
	return offset + length + 1
}

// withBlankLine makes a removal of lines take a blank line with it, where two of them, or one beside a brace, would be left.
// The last line of a text takes the newline before it.
func (s *splice) withBlankLine() {
	text := s.file.text
	if s.start != s.file.lineStart(s.start) {
		return // braces
	}
	atEnd := s.end == len(text)
	if atEnd && text[s.end-1] != '\n' && s.start > s.file.lineStart(0) {
		s.start--
		if s.start > 0 && text[s.start-1] == '\r' {
			s.start--
		}
		return
	}
	var above, below []byte
	atStart := s.start == s.file.lineStart(0)
	aboveStart := 0
	if !atStart {
		aboveStart = s.file.lineStart(s.start - 1)
		above = bytes.TrimSpace(text[aboveStart:s.start])
	}
	if !atEnd {
		below = bytes.TrimSpace(text[s.end:s.file.afterLine(s.end)])
	}
	switch {
	case !atStart && len(above) == 0 && (atEnd || len(below) == 0 || below[0] == '}'):
		s.start = aboveStart
	case !atEnd && len(below) == 0 && (atStart || above[len(above)-1] == '{'):
		s.end = s.file.afterLine(s.end)
	}
}

func (e EditList) apply(m *composer) error {
	f, err := m.list(e.File)
	if err != nil {
		return err
	}
	newline := f.newline()
	var out []byte
	removed := make(map[string]bool)
	for line := range bytes.Lines(f.text) {
		origin := string(bytes.Trim(withoutComment(line), " \t\r\n"+string(byteOrderMark)))
		if origin == "" || !slices.Contains(e.Remove, origin) {
			out = append(out, line...)
			continue
		}
		removed[origin] = true
		if bytes.HasPrefix(line, []byte(string(byteOrderMark))) {
			out = append(out, string(byteOrderMark)...)
		}
	}
	for _, origin := range e.Remove {
		if !removed[origin] {
			return &FileError{f.Name, fmt.Errorf("%q: %w", origin, ErrNotWritten)}
		}
	}
	for _, origin := range e.Add {
		if origin == "" || strings.ContainsAny(origin, " \t\r\n#") {
			return &FileError{f.Name, fmt.Errorf("%q: %w", origin, ErrUnwritable)}
		}
		if len(out) > len(string(byteOrderMark)) && out[len(out)-1] != '\n' {
			out = append(out, newline...)
		}
		out = append(out, origin+newline...)
	}
	f.text = out
	return nil
}

// withoutComment is a line of a list up to its comment: a "#" at its start or after white space.
func withoutComment(line []byte) []byte {
	for i, c := range line {
		if c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

// list is a list of origins, to be changed in place: as it was edited before, or as it is on disk.
func (m *composer) list(name string) (*File, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	if f := m.lists[path]; f != nil {
		return f, nil
	}
	f := &File{Name: name, Path: path, isList: true}
	if i := slices.IndexFunc(m.caddyfile.files, func(f *File) bool { return f.Path == path }); i >= 0 {
		f.onDisk, f.text = m.caddyfile.files[i].onDisk, m.caddyfile.files[i].text
	} else if f.onDisk, err = os.ReadFile(path); err != nil {
		return nil, err
	} else {
		f.text = f.onDisk
	}
	m.lists[path] = f
	return f, nil
}
