package edit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// An expanded token is a token of the configuration: one of the text, after imports have put it where it is used.
type expanded struct {
	*token
	text    string    // after arguments are replaced
	value   *token    // where the text is written, nil where no one token is just that
	by      *imported // the import line that has put it where it is, nil for what stands there itself
	chain   []*imported
	snippet string // whose definition it is from
}

func (t expanded) opens() bool  { return t.text == "{" && !t.Quoted() }
func (t expanded) closes() bool { return t.text == "}" && !t.Quoted() }

// onLineOf reports whether the token is on the line of the one before it, as Caddy sees lines.
func (t expanded) onLineOf(before expanded) bool {
	if t.file != before.file || !slices.EqualFunc(t.chain, before.chain, (*imported).isLike) {
		return false
	}
	last := before.Token
	last.Text = before.text
	return last.Line+last.NumLineBreaks() >= t.Line
}

// An imported is one execution of an import line.
type imported struct {
	place     *Place
	outer     *imported // that has put the line where it is
	arguments []expanded

	// What Caddy tells two of them apart by: the end of the line, and what is imported.
	file    *File
	line    int
	snippet string
}

func (i *imported) isLike(other *imported) bool {
	return i == other || i.file == other.file && i.line == other.line && i.snippet == other.snippet
}

// An expander does what Caddy's parser does: it replaces imports, and divides the tokens into the blocks of sites and their
// directives. It expects what Caddy accepts.
type expander struct {
	caddyfile *Caddyfile
	files     map[string]*File // by their paths
	snippets  map[string][]expanded
	depth     int // of imports
	tokens    []expanded
	roots     []*Use
}

// maxImports bounds what a Caddyfile that imports itself could do.
const maxImports = 10_000

func (e *expander) all() error {
	e.tokens = whole(e.caddyfile.files[0])
	for at := 0; at < len(e.tokens); {
		next, err := e.root(at)
		if err != nil {
			return err
		}
		at = next
	}
	return nil
}

// whole are the tokens of a file, as none is imported yet.
func whole(f *File) []expanded {
	tokens := make([]expanded, 0, len(f.tokens))
	for _, t := range f.tokens {
		e := expanded{token: t, text: t.Text}
		if t.literal {
			e.value = t
		}
		tokens = append(tokens, e)
	}
	return tokens
}

// startsLine reports whether the token is the first of its line.
func (e *expander) startsLine(at int) bool {
	return at == 0 || !e.tokens[at].onLineOf(e.tokens[at-1])
}

// root reads what stands in no block: global options, a snippet, a named route or a site. It returns where the next begins.
func (e *expander) root(at int) (int, error) {
	keys, at, err := e.addresses(at)
	if err != nil {
		return 0, err
	}
	if at == len(e.tokens) {
		if len(keys) > 0 {
			e.add(KindSite, keys, nil)
		}
		return at, nil
	}
	if len(keys) == 1 && strings.HasSuffix(keys[0].text, ")") {
		if name, ok := strings.CutPrefix(keys[0].text, "&("); ok {
			return e.namedRoute(keys[0], strings.TrimSuffix(name, ")"), at)
		}
		if name, ok := strings.CutPrefix(keys[0].text, "("); ok {
			end, err := e.closing(at)
			if err != nil {
				return 0, err
			}
			definition := slices.Clone(e.tokens[at+1 : end])
			name = strings.TrimSuffix(name, ")")
			for i := range definition {
				definition[i].snippet = name
			}
			e.snippets[name] = definition
			return end + 1, nil
		}
	}
	return e.site(keys, at)
}

// addresses reads those of a site, or what stands in their place.
func (e *expander) addresses(at int) (keys []expanded, next int, err error) {
	another := false
	for at < len(e.tokens) {
		t := e.tokens[at]
		if t.text == "import" && e.startsLine(at) {
			if err := e.importAt(at, 0); err != nil {
				return nil, 0, err
			}
			continue
		}
		if t.opens() {
			break
		}
		if t.text != "" {
			t.text, another = strings.CutSuffix(t.text, ",")
			if t.text != "" {
				keys = append(keys, t)
			}
		}
		at++
		if !another && at < len(e.tokens) && e.startsLine(at) {
			break
		}
	}
	return keys, at, nil
}

// closing finds the brace that closes the one at a place.
func (e *expander) closing(at int) (int, error) {
	nesting := 0
	for ; at < len(e.tokens); at++ {
		switch t := e.tokens[at]; {
		case t.opens():
			nesting++
		case t.closes():
			nesting--
		}
		if nesting == 0 {
			break
		}
	}
	if at == len(e.tokens) || !e.tokens[at].closes() {
		return 0, ErrNotFollowed
	}
	return at, nil
}

func (e *expander) namedRoute(key expanded, name string, at int) (int, error) {
	end, err := e.closing(at)
	if err != nil {
		return 0, err
	}
	for i := at + 1; i < end; i++ {
		for i < end && e.tokens[i].text == "import" && e.startsLine(i) {
			before := len(e.tokens)
			if err := e.importAt(i, 1); err != nil {
				return 0, err
			}
			end += len(e.tokens) - before
		}
	}
	key.text = name
	e.add(KindNamedRoute, []expanded{key}, &e.tokens[at], e.tokens[at+1:end])
	return end + 1, nil
}

// site reads the directives of a site, or the global options.
func (e *expander) site(keys []expanded, at int) (int, error) {
	var open *expanded
	if e.tokens[at].opens() {
		open = &expanded{}
		*open = e.tokens[at]
		at++
	}
	var segments [][]expanded
	for at < len(e.tokens) && !e.tokens[at].closes() {
		if e.tokens[at].text == "import" {
			if err := e.importAt(at, 1); err != nil {
				return 0, err
			}
			continue
		}
		begin := at
		var err error
		if at, err = e.directive(at); err != nil {
			return 0, err
		}
		segments = append(segments, e.tokens[begin:at])
	}
	kind := KindSite
	if len(keys) == 0 {
		kind = KindGlobal
	}
	e.add(kind, keys, open, segments...)
	return at + 1, nil
}

// directive replaces the imports in the directive that begins at a place, and returns where it ends.
func (e *expander) directive(at int) (int, error) {
	nesting := 0
	for at++; at < len(e.tokens); at++ {
		for nesting > 0 && at < len(e.tokens) && e.tokens[at].text == "import" && e.startsLine(at) {
			if err := e.importAt(at, 1); err != nil {
				return 0, err
			}
		}
		if at == len(e.tokens) {
			break
		}
		switch t := e.tokens[at]; {
		case t.opens():
			nesting++
		case nesting == 0 && (e.startsLine(at) || t.closes()):
			return at, nil
		case t.closes():
			nesting--
		}
	}
	return at, nil
}

// importAt replaces the import line that begins at a place by what it imports.
func (e *expander) importAt(at, nesting int) error {
	e.depth++
	if e.depth > maxImports {
		return ErrNotFollowed
	}
	line := e.tokens[at]
	var words []expanded
	next := at + 1
	for next < len(e.tokens) && e.tokens[next].onLineOf(e.tokens[next-1]) && !e.tokens[next].opens() {
		words = append(words, e.tokens[next])
		next++
	}
	if len(words) == 0 {
		return ErrNotFollowed
	}
	pattern, arguments := words[0], words[1:]
	block, next := e.importBlock(next)
	last := e.tokens[next-1]
	i := &imported{place: line.place, outer: line.by, arguments: arguments, file: last.file, line: last.Line}

	source, isSnippet := e.snippets[pattern.text]
	if !isSnippet {
		var err error
		if filepath.IsAbs(pattern.text) {
			line.place.absolute = true
		} else {
			line.place.relative = true
		}
		if source, err = e.filesOf(pattern, nesting > 0); err != nil {
			return err
		}
	}
	if len(source) > 0 {
		i.snippet = source[0].snippet
	}
	replaced := replaceArguments(source, i, block, nesting)
	e.tokens = slices.Concat(e.tokens[:at], replaced, e.tokens[next:])
	return nil
}

// importBlock reads the block of an import line, if there is one, and returns where the line ends.
func (e *expander) importBlock(at int) (block []expanded, next int) {
	sameLine := func(at int) bool { return at < len(e.tokens) && e.tokens[at].onLineOf(e.tokens[at-1]) }
	if !sameLine(at) || !e.tokens[at].opens() {
		return nil, at
	}
	at++
	if at == len(e.tokens) || e.tokens[at].closes() {
		return nil, min(at+1, len(e.tokens))
	}
	block = append(block, e.tokens[at])
	for nesting := 1; ; {
		at++
		if at >= len(e.tokens) {
			return block, len(e.tokens)
		}
		if t := e.tokens[at]; t.closes() {
			if sameLine(at + 1) {
				at++
			} else {
				nesting--
			}
		} else if t.opens() {
			if sameLine(at + 1) {
				at++
			} else {
				nesting++
			}
		}
		if nesting == 0 {
			return block, at + 1
		}
		block = append(block, e.tokens[at])
	}
}

// filesOf are the tokens of the files of a pattern.
func (e *expander) filesOf(pattern expanded, nested bool) ([]expanded, error) {
	paths, err := e.match(pattern)
	if err != nil {
		return nil, err
	}
	var tokens []expanded
	for _, path := range paths {
		f := e.files[path]
		if f == nil {
			if f, err = e.caddyfile.file(path, nested); err != nil {
				return nil, err
			}
			e.files[path] = f
		}
		tokens = append(tokens, whole(f)...)
	}
	return tokens, nil
}

// match are the paths of the files that a pattern is for.
func (e *expander) match(pattern expanded) ([]string, error) {
	glob := pattern.text
	if !filepath.IsAbs(glob) {
		glob = filepath.Join(filepath.Dir(pattern.file.Path), glob)
	}
	paths, err := filepath.Glob(glob)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(filepath.Base(glob), "*") {
		paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") })
	}
	return paths, nil
}

// file reads a file that c does not have yet, or is c's own.
func (c *Caddyfile) file(path string, nested bool) (*File, error) {
	i := slices.IndexFunc(c.files, func(f *File) bool { return f.Path == path })
	var f *File
	if i >= 0 {
		f = c.files[i]
	} else {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f = &File{Name: c.nameOf(path), Path: path, onDisk: text, text: text}
		c.files = append(c.files, f)
	}
	f.nested = nested
	if len(bytes.TrimSpace(f.text)) == 0 {
		return f, nil
	}
	if err := f.lex(); err != nil {
		return nil, err
	}
	f.parse()
	return f, nil
}

// replaceArguments puts the arguments and the block of an import line into what it imports, but not into snippets that are
// defined there.
func replaceArguments(source []expanded, i *imported, block []expanded, nesting int) []expanded {
	var blocks map[string][]expanded
	replacer := caddy.NewEmptyReplacer()
	replacer.Map(func(key string) (any, bool) {
		index, ok := strings.CutPrefix(key, "args[")
		if ok {
			index, ok = strings.CutSuffix(index, "]")
		} else {
			index, ok = strings.CutPrefix(key, "args.")
		}
		n, err := strconv.Atoi(index)
		if !ok || err != nil || n < 0 || n >= len(i.arguments) {
			return nil, false
		}
		return i.arguments[n].text, true
	})
	var out []expanded
	inSnippet, mayBegin, word := false, false, 0
	for at, t := range source {
		t.by, t.chain = i, append(slices.Clone(t.chain), i)
		if !inSnippet && nesting == 0 {
			if at == 0 || len(out) == 0 || !t.onLineOf(out[len(out)-1]) {
				word = 0
			} else {
				word++
			}
			if word == 0 && len(t.text) >= 3 && strings.HasPrefix(t.text, "(") && strings.HasSuffix(t.text, ")") {
				mayBegin = true
			}
		}
		switch {
		case t.opens():
			nesting++
			if word == 1 && mayBegin && nesting == 1 {
				inSnippet, mayBegin = true, false
			}
		case t.closes():
			nesting--
			if nesting == 0 && inSnippet {
				inSnippet = false
			}
		}
		name, isOfBlocks := strings.CutPrefix(t.text, "{blocks.")
		isOfBlocks = isOfBlocks && strings.HasSuffix(t.text, "}")
		first, last, isList := sliceOf(t.text, len(i.arguments))
		switch {
		case inSnippet:
			out = append(out, t)
		case t.text == "{block}":
			out = append(out, block...)
		case isOfBlocks:
			if blocks == nil {
				blocks = blocksOf(block)
			}
			out = append(out, blocks[strings.TrimSuffix(name, "}")]...)
		case isList:
			for _, argument := range i.arguments[first:last] {
				t.text, t.value = argument.text, argument.value
				out = append(out, t)
			}
		default:
			if text := replacer.ReplaceKnown(t.text, ""); text != t.text {
				n, isWhole := indexOf(t.text)
				t.text, t.value = text, nil
				if isWhole {
					t.value = i.arguments[n].value
				}
			}
			out = append(out, t)
		}
	}
	return out
}

// indexOf is the index of a token that is just one argument: {args[0]}.
func indexOf(text string) (int, bool) {
	index, ok := strings.CutPrefix(text, "{args[")
	if !ok {
		return 0, false
	}
	index, ok = strings.CutSuffix(index, "]}")
	n, err := strconv.Atoi(index)
	return n, ok && err == nil
}

// sliceOf are the indices of a token that is a list of arguments: {args[:]}, {args[1:]}.
func sliceOf(text string, arguments int) (first, last int, ok bool) {
	list, ok := strings.CutPrefix(text, "{args[")
	if !ok {
		return 0, 0, false
	}
	list, ok = strings.CutSuffix(list, "]}")
	from, to, isList := strings.Cut(list, ":")
	if !ok || !isList || strings.Contains(from, "}") || strings.Contains(to, "{") {
		return 0, 0, false
	}
	first, last = 0, arguments
	var err error
	if from != "" {
		if first, err = strconv.Atoi(from); err != nil {
			return 0, 0, false
		}
	}
	if to != "" {
		if last, err = strconv.Atoi(to); err != nil {
			return 0, 0, false
		}
	}
	return first, last, 0 <= first && first <= last && last <= arguments
}

// blocksOf are the named parts of an import's block, for {blocks.name}: of each line, what follows the name, with the
// lines of its own block.
func blocksOf(tokens []expanded) map[string][]expanded {
	blocks := make(map[string][]expanded)
	for at := 0; at < len(tokens); {
		name := tokens[at].text
		part := []expanded{}
		at++
		for at < len(tokens) && tokens[at].onLineOf(tokens[at-1]) && !tokens[at].opens() {
			part = append(part, tokens[at])
			at++
		}
		if at < len(tokens) && tokens[at].opens() && tokens[at].onLineOf(tokens[at-1]) {
			inner := expander{tokens: tokens}
			var lines []expanded
			lines, at = inner.importBlock(at)
			part = append(part, lines...)
		}
		blocks[name] = part
	}
	return blocks
}

// add makes the uses of a root, whose directives, or lines of a named route, are in the segments.
func (e *expander) add(kind Kind, keys []expanded, open *expanded, segments ...[]expanded) {
	root := &Use{Kind: kind, caddyfile: e.caddyfile, segments: segments}
	switch {
	case len(keys) > 0:
		root.begin(keys[0])
	case open != nil:
		root.begin(*open)
	case len(segments) > 0: // after an address of ""
		root.begin(segments[0][0])
	default:
		return
	}
	for _, key := range keys {
		root.addWord(key)
	}
	e.roots = append(e.roots, root)
	for _, tokens := range segments {
		for at := 0; at < len(tokens); {
			at = root.addLine(tokens, at)
		}
	}
}

func (u *Use) begin(t expanded) {
	u.Place, u.by, u.direct = t.place, t.by, t.token == t.place.first()
	for i := t.by; i != nil; i = i.outer {
		u.Imports = append(u.Imports, i.place)
	}
	slices.Reverse(u.Imports)
}

func (u *Use) addWord(t expanded) {
	u.Words = append(u.Words, Word{Text: t.text, Literal: t.value != nil, at: t.token, value: t.value})
}

// addLine adds the line at a place to the block, and returns where the next begins.
func (u *Use) addLine(tokens []expanded, at int) int {
	line := &Use{Kind: KindLine, Parent: u, caddyfile: u.caddyfile}
	line.begin(tokens[at])
	u.Block = append(u.Block, line)
	for {
		if !tokens[at].opens() {
			line.addWord(tokens[at])
			at++
		} else {
			for at++; at < len(tokens) && !tokens[at].closes(); {
				at = line.addLine(tokens, at)
			}
			return min(at+1, len(tokens))
		}
		if at == len(tokens) || tokens[at].closes() || !tokens[at].onLineOf(tokens[at-1]) {
			return at
		}
	}
}
