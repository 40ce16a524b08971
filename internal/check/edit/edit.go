package edit

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Edit is one change: [AddOption], [AddValues], [ReplaceValue], [Insert], [Move], [Remove], [AddGlobal] or [EditList].
// It is about the [Caddyfile] whose uses it names.
type Edit interface {
	apply(*composer) error
}

// A Line is a line to write, with its block. Its words are written with quotes where they need them.
type Line struct {
	Words []string
	Block []Line
}

// AddOption adds a line to the block of a directive or of one of its options, such as policy; if there is no block, it
// begins one. If the block has a line for the same list of cors, such as allow_methods, the values are added to that.
type AddOption struct {
	To   *Use
	Line Line
}

// AddValues adds words to the end of a line, before its block: origins to that of a cors directive, methods to that of a
// matcher.
type AddValues struct {
	To     *Use
	Values []string
}

// ReplaceValue puts words in the place of one, or of one between commas: New takes the place of Old; without New, Old is
// removed. What is left of a list of cors without a value is removed, too.
type ReplaceValue struct {
	In  *Use
	Old string
	New []string
}

// Insert adds a directive to a site or to a block of directives, such as handle.
//
// Without Before, it goes before what could answer a request, and after what only prepares for that: matchers, header, log
// and the like. One with a matcher goes before those of its name that are there, because in a route the first decides.
type Insert struct {
	Into   *Use
	Line   Line
	Before *Use // in the block, or nil
}

// Move moves a directive, with the comment above it, to where [Insert] would put one.
type Move struct {
	Use    *Use
	Into   *Use
	Before *Use
}

// Remove removes a line and its block. A block of options that is then empty loses its braces; a header directive or a
// block of global options is removed altogether.
type Remove struct{ Use *Use }

// AddGlobal adds a global option, in the block of them or in a new one at the top of the Caddyfile.
type AddGlobal struct{ Line Line }

// EditList changes a list of origins, one a line (the source "file" of cors). Remove has origins as they are written;
// comments stay.
type EditList struct {
	File        string // its path; a relative one is relative to the working directory, as it is for Caddy
	Add, Remove []string
}

// Why an edit cannot be made. The error that has it is a [*PlaceError], if it is about a place.
var (
	// ErrConflict says that two edits do not go together.
	ErrConflict = errors.New("two edits are about the same text")
	// ErrNotWritten says that the text comes from elsewhere: an environment variable, or a part of a word.
	ErrNotWritten = errors.New("it is not written there as it is")
	// ErrNoBlock says that there is no block that a directive could stand in.
	ErrNoBlock = errors.New("it has no block")
	// ErrUnwritable says that no Caddyfile can have a word.
	ErrUnwritable = errors.New("it cannot be written in a Caddyfile")
)

// A PlaceError is an error about a place.
type PlaceError struct {
	Place *Place
	Err   error
}

func (e *PlaceError) Error() string {
	return fmt.Sprintf("%s:%d: %s: %v", e.Place.File.Name, e.Place.Line(), strings.Join(wordsOf(e.Place), " "), e.Err)
}

func (e *PlaceError) Unwrap() error { return e.Err }

func wordsOf(p *Place) []string {
	var words []string
	for _, t := range p.words {
		words = append(words, t.Text)
	}
	return words
}

// Apply makes the edits, all of them or none, and returns the Caddyfile that results. What Caddy says to it is not known
// before [Caddyfile.Adapt].
func (c *Caddyfile) Apply(edits ...Edit) (*Caddyfile, error) {
	m, err := c.compose(edits)
	if err != nil {
		return nil, err
	}
	return m.result()
}

// Affected are the uses, in the order of the configuration, whose lines the edits would change, or in whose block they would
// add one. Their sites ([Use.Sites]) are those that notice.
func (c *Caddyfile) Affected(edits ...Edit) ([]*Use, error) {
	m, err := c.compose(edits)
	if err != nil {
		return nil, err
	}
	touched := make(map[*Use]bool)
	for _, p := range m.touched {
		for _, use := range p.users(m.caddyfile) {
			touched[use] = true
		}
	}
	return slices.DeleteFunc(c.all(), func(use *Use) bool { return !touched[m.now(use)] }), nil
}

// users are its uses or, for an import line, which has none, what it has brought in.
func (p *Place) users(c *Caddyfile) []*Use {
	if len(p.uses) > 0 {
		return p.uses
	}
	var uses []*Use
	for _, root := range c.roots {
		for use := range root.All() {
			if slices.Contains(use.Imports, p) && (use.Parent == nil || !slices.Contains(use.Parent.Imports, p)) {
				uses = append(uses, use)
			}
		}
	}
	return uses
}

func (e AddOption) apply(m *composer) error {
	to := m.now(e.To)
	name := ""
	if len(e.Line.Words) > 0 {
		name = e.Line.Words[0]
	}
	if lists[name] && len(e.Line.Block) == 0 {
		for _, line := range to.Block {
			if line.Name() == name {
				return m.addValues(line, e.Line.Words[1:])
			}
		}
	}
	place := to.Place
	if !to.direct {
		return &PlaceError{place, ErrNotWritten}
	}
	by := to.by
	for by != nil && slices.ContainsFunc(place.Block, (*Place).isBlockPlaceholder) {
		place, by = by.place, by.outer
	}
	return m.addLine(place, e.Line)
}

// isBlockPlaceholder reports whether the place stands for the block of an import.
func (p *Place) isBlockPlaceholder() bool { return len(p.words) == 1 && p.Name() == "{block}" }

// lists are the options of cors that add to a list, wherever they stand in their block.
var lists = map[string]bool{
	"allow_origins": true, "allow_origins_regexp": true, "allow_methods": true, "allow_headers": true,
	"expose_headers": true, "enforce_except": true, "insecure": true,
}

func (e AddValues) apply(m *composer) error { return m.addValues(m.now(e.To), e.Values) }

// addValues adds words to a line, or to the import line whose arguments the line ends with.
func (m *composer) addValues(to *Use, values []string) error {
	if !to.direct {
		return &PlaceError{to.Place, ErrNotWritten}
	}
	place, by := to.Place, to.by
	for by != nil && place.endsWithArguments() {
		place, by = by.place, by.outer
	}
	last := place.lastWord()
	commas := to.ofCors() && place.hasCommas() || place.Kind == KindSite
	var text strings.Builder
	for _, value := range values {
		word, err := quote(value)
		if err != nil {
			return &PlaceError{place, err}
		}
		if commas && (text.Len() > 0 || !strings.HasSuffix(last.Text, ",")) {
			text.WriteByte(',')
		}
		text.WriteString(" " + word)
	}
	m.splice(place, last.end, last.end, text.String(), valueRank)
	return nil
}

// endsWithArguments reports whether the line takes all arguments of an import that are left: {args[:]}, {args[1:]}.
func (p *Place) endsWithArguments() bool {
	list, ok := strings.CutPrefix(p.lastWord().Text, "{args[")
	return ok && strings.HasSuffix(list, ":]}")
}

// hasCommas reports whether all words but the name and the last have a comma after them.
func (p *Place) hasCommas() bool {
	if len(p.words) < 3 {
		return false
	}
	for _, t := range p.words[1 : len(p.words)-1] {
		if !strings.HasSuffix(t.Text, ",") {
			return false
		}
	}
	return true
}

// ofCors reports whether it is a cors directive, or in one.
func (u *Use) ofCors() bool {
	for ; u != nil; u = u.Parent {
		if u.Name() == "cors" && u.Kind == KindLine {
			return true
		}
	}
	return false
}

func (e ReplaceValue) apply(m *composer) error {
	in := m.now(e.In)
	at, part := -1, false
	for i, word := range in.Words {
		if i == 0 && in.Kind == KindLine {
			continue
		}
		if word.Text == e.Old {
			at, part = i, false
			break
		}
		if at < 0 && in.ofCors() && slices.Contains(strings.Split(word.Text, ","), e.Old) {
			at, part = i, true
		}
	}
	if at < 0 {
		return &PlaceError{in.Place, fmt.Errorf("%q: %w", e.Old, ErrNotWritten)}
	}
	word := in.Words[at]
	part = part || word.Literal && word.value.Text == e.Old+"," // an address
	if !word.Literal {
		return &PlaceError{in.Place, fmt.Errorf("%q: %w", e.Old, ErrNotWritten)}
	}
	var quoted []string
	for _, value := range e.New {
		text, err := quote(value)
		if err != nil {
			return &PlaceError{in.Place, err}
		}
		quoted = append(quoted, text)
	}
	if part {
		return m.replacePart(word.value, e.Old, quoted)
	}
	if len(quoted) > 0 {
		m.splice(word.value.place, word.value.start, word.value.end, strings.Join(quoted, " "), valueRank)
		return nil
	}
	if lists[in.Name()] && len(in.Words) == 2 && in.direct && in.ofCors() {
		return m.remove(in)
	}
	return m.removeWord(word.value)
}

// removeWord removes a word that is not the first of its line, with the white space before it. A comma after the word
// before is removed with the last word.
func (m *composer) removeWord(t *token) error {
	words := t.place.words
	i := slices.Index(words, t)
	if i <= 0 {
		return &PlaceError{t.place, ErrNotWritten}
	}
	before := words[i-1]
	from := before.end
	if i == len(words)-1 && i > 1 && before.literal && !before.Quoted() && len(before.Text) > 1 && strings.HasSuffix(before.Text, ",") {
		from--
	}
	m.splice(t.place, from, t.end, "", valueRank)
	return nil
}

// replacePart replaces what is between commas of a word.
func (m *composer) replacePart(t *token, old string, replacement []string) error {
	text := string(t.file.text[t.start:t.end])
	at := 0
	for part := range strings.SplitSeq(text, ",") {
		if strings.Trim(part, "\"`") == old {
			break
		}
		at += len(part) + 1
	}
	if at > len(text) || slices.ContainsFunc(replacement, func(word string) bool { return strings.ContainsAny(word, " \"`") }) {
		return &PlaceError{t.place, fmt.Errorf("%q: %w", old, ErrNotWritten)}
	}
	for strings.HasPrefix(text[at:], `"`) || strings.HasPrefix(text[at:], "`") {
		at++
	}
	end := at + len(old)
	if len(replacement) == 0 { // with one of the commas
		switch {
		case end < len(text) && text[end] == ',':
			if at == 0 && end+1 == len(text) {
				return m.removeWord(t)
			}
			end++
		case at > 0 && text[at-1] == ',':
			at--
		}
	}
	m.splice(t.place, t.start+at, t.start+end, strings.Join(replacement, ","), valueRank)
	return nil
}

func (e Insert) apply(m *composer) error {
	into := m.now(e.Into)
	before, err := m.before(into, e.Line.Words, m.now(e.Before), nil)
	if err != nil {
		return err
	}
	text, err := e.Line.render(into.Place.innerDepth())
	if err != nil {
		return &PlaceError{into.Place, err}
	}
	m.insert(into.Place, before, text)
	return nil
}

// innerDepth is how many braces are open around what stands in its block.
func (p *Place) innerDepth() int {
	if p.open == nil {
		return p.depth()
	}
	return p.depth() + 1
}

// before is the place in a block that a directive is to go before; nil for its end. A directive that is to be moved away
// does not count.
func (m *composer) before(into *Use, words []string, given *Use, moved *Place) (*Place, error) {
	if !into.direct || !into.Place.hasBlock() {
		return nil, &PlaceError{into.Place, ErrNoBlock}
	}
	if !into.Place.hasWrittenBraces() {
		return nil, &PlaceError{into.Place, ErrNotWritten}
	}
	if given != nil {
		for place := given.Place; place != nil; place = place.Parent {
			if place.Parent == into.Place {
				return place, nil
			}
		}
		for _, place := range given.Imports {
			if place.Parent == into.Place {
				return place, nil
			}
		}
		return nil, &PlaceError{given.Place, ErrNoBlock}
	}
	hasMatcher := len(words) > 1 && (strings.HasPrefix(words[1], "/") || strings.HasPrefix(words[1], "@"))
	for _, place := range into.Place.Block {
		if place != moved && !into.prepares(place, words[0], hasMatcher) {
			return place, nil
		}
	}
	return nil, nil
}

// prepares reports whether a line of the block answers no request and changes none, so that a directive can go after it.
func (u *Use) prepares(place *Place, name string, hasMatcher bool) bool {
	for _, line := range u.Block {
		if line.Place != place && !slices.Contains(line.Imports, place) {
			continue
		}
		switch other := line.Name(); {
		case strings.HasPrefix(other, "@"):
		case other == name && hasMatcher:
			return false
		case !preparing[other]:
			return false
		}
	}
	return true
}

// preparing are the directives after which a request is as it came, and not answered yet.
var preparing = map[string]bool{
	"acme_dns": true, "bind": true, "cors": true, "encode": true, "fs": true, "header": true, "log": true, "log_append": true,
	"log_level": true, "log_name": true, "log_skip": true, "map": true, "metrics": false, "request_body": true, "root": true,
	"skip_log": true, "timeouts": true, "tls": true, "tracing": true, "vars": true,
}

func (e Move) apply(m *composer) error {
	use, into := m.now(e.Use), m.now(e.Into)
	if use.Parent == nil || !use.isWritten() {
		return &PlaceError{use.Place, ErrNotWritten}
	}
	for _, word := range use.Words {
		if word.value != word.at && use.by != into.by { // an argument, which is not one there
			return &PlaceError{use.Place, ErrNotWritten}
		}
	}
	before, err := m.before(into, texts(use.Words), m.now(e.Before), use.Place)
	if err != nil {
		return err
	}
	if before == use.Place {
		return nil
	}
	if m.unfold(use.Place.Parent) {
		return nil
	}
	p := use.Place
	begin := p.commented()
	end := p.File.lineEnd(p.end())
	text, err := reformat(string(p.File.text[begin:end]), into.Place.innerDepth())
	if err != nil {
		return &PlaceError{p, err}
	}
	m.removeLines(p, begin)
	m.insert(into.Place, before, text)
	return nil
}

func (e Remove) apply(m *composer) error { return m.remove(m.now(e.Use)) }

// isWritten reports whether the text has the use as a line of its own, and not as what an environment variable is.
func (u *Use) isWritten() bool {
	return u.direct && u.Place.first().literal && u.Place.hasWrittenBraces()
}

func (m *composer) remove(use *Use) error {
	if !use.isWritten() {
		return &PlaceError{use.Place, ErrNotWritten}
	}
	if use.Place.Parent != nil && m.unfold(use.Place.Parent) {
		return nil
	}
	m.touched = append(m.touched, use.Place)
	m.removed = append(m.removed, use.Place)
	return nil
}

func (e AddGlobal) apply(m *composer) error {
	if global := m.caddyfile.Global(); global != nil && global.direct {
		return m.addLine(global.Place, e.Line)
	}
	if _, err := e.Line.render(1); err != nil {
		return err
	}
	m.globals = append(m.globals, e.Line)
	return nil
}
