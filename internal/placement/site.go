package placement

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// A Block is the directives between a site's braces, or between those of a directive such as handle.
type Block struct {
	Directives []Directive
	Ordered    bool // they run in the order in which they are written: it is the block of a route
}

// A Directive is one of a block.
type Directive struct {
	Name   string
	File   string
	Line   int
	Args   []string // of its first line
	Tokens []caddyfile.Token
	Block  *Block // if its block has directives
}

// withDirectives are the directives whose blocks have directives.
var withDirectives = []string{"handle", "handle_path", "handle_errors", "route"}

// Around returns what stands beside a cors in its site, snippets and files imported. It reports false if it cannot be told:
// the helper of a directive has its site, but does not show it, so that this depends on how Caddy calls it.
//
// Directives that have a matcher remove it from the tokens of the site as they are read. So the first cors of a site reads
// it for all.
func Around(helper httpcaddyfile.Helper, cors Directive) (Neighborhood, bool) {
	type known struct {
		segments uintptr
		around   map[string]*Neighborhood
	}
	const key = "http.handlers.cors.site"
	segments, ok := segmentsOf(helper)
	if !ok {
		return Neighborhood{}, false
	}
	last, ok := helper.State[key].(known)
	if !ok || last.segments != segments.Pointer() {
		last = known{segments.Pointer(), neighborhoods(read(segments))}
		if helper.State != nil {
			helper.State[key] = last
		}
	}
	n, ok := last.around[cors.id()]
	if !ok {
		return Neighborhood{}, false
	}
	return *n, true
}

func segmentsOf(helper httpcaddyfile.Helper) (reflect.Value, bool) {
	segments := reflect.ValueOf(helper).FieldByName("parentBlock")
	if segments.Kind() != reflect.Struct {
		return segments, false
	}
	segments = segments.FieldByName("Segments")
	return segments, segments.Kind() == reflect.Slice && segments.Len() > 0
}

func read(segments reflect.Value) Block {
	var site Block
	for i := range segments.Len() {
		segment := segments.Index(i)
		tokens := make([]caddyfile.Token, segment.Len())
		for j := range tokens {
			token := segment.Index(j)
			tokens[j] = caddyfile.Token{
				File: token.FieldByIndex(tokenFile).String(), Line: int(token.FieldByIndex(tokenLine).Int()), Text: token.FieldByIndex(tokenText).String(),
			}
		}
		if len(tokens) > 0 {
			site.Directives = append(site.Directives, directive(tokens))
		}
	}
	return site
}

// Where the fields of a token are: to look them up by name for each token takes most of the time of reading.
var tokenFile, tokenLine, tokenText = tokenField("File"), tokenField("Line"), tokenField("Text")

func tokenField(name string) []int {
	field, _ := reflect.TypeFor[caddyfile.Token]().FieldByName(name)
	return field.Index
}

func directive(tokens []caddyfile.Token) Directive {
	d := Directive{Name: tokens[0].Text, File: tokens[0].File, Line: tokens[0].Line, Tokens: tokens}
	dispenser := caddyfile.NewDispenser(tokens)
	dispenser.Next()
	d.Args = dispenser.RemainingArgs()
	if !slices.Contains(withDirectives, d.Name) {
		return d
	}
	d.Block = &Block{Ordered: d.Name == "route"}
	for nesting := dispenser.Nesting(); dispenser.NextBlock(nesting); {
		if segment := dispenser.NextSegment(); len(segment) > 0 {
			d.Block.Directives = append(d.Block.Directives, directive(segment))
		}
	}
	return d
}

// Matcher returns the directive's matcher token, or "". A "*" is an origin where the directive is a cors, and else all
// requests.
func (d Directive) Matcher() string {
	if len(d.Args) > 0 && (strings.HasPrefix(d.Args[0], "@") || strings.HasPrefix(d.Args[0], "/")) {
		return d.Args[0]
	}
	return ""
}

// has reports whether the directive has an option in its block.
func (d Directive) has(option string) bool {
	return slices.ContainsFunc(d.Tokens, func(t caddyfile.Token) bool { return t.Text == option })
}

// each calls f for each directive, with those of the blocks in them, and the blocks around it, the innermost last.
func (b *Block) each(f func(d Directive, around []*Block), around ...*Block) {
	around = append(around[:len(around):len(around)], b)
	for _, d := range b.Directives {
		f(d, around)
		if d.Block != nil {
			d.Block.each(f, around...)
		}
	}
}

// A Neighborhood is what stands beside a cors in a Caddyfile.
type Neighborhood struct {
	// Hiding is a cors of the same block that decides before this one, whatever the request is, if there is one.
	Hiding *Directive

	// Others is true if there are more cors in the site.
	Others bool

	// Maps are the placeholders that the site's map directives set, without their braces.
	Maps []string

	// Invokes is true if the site has parts that stand elsewhere.
	Invokes bool

	LastWords []LastWord
}

// neighborhoods returns what stands beside each cors of a site, by the directive's id.
func neighborhoods(site Block) map[string]*Neighborhood {
	around := make(map[string]*Neighborhood)
	lastWords := make(map[*Block][]LastWord)
	var whole Neighborhood // what is the same for all
	all := 0
	site.each(func(d Directive, blocks []*Block) {
		switch d.Name {
		case "cors":
			all++
			n := around[d.id()]
			if n == nil { // else imported by the same lines
				n = new(Neighborhood)
				around[d.id()] = n
			}
			for _, b := range blocks {
				words, ok := lastWords[b]
				if !ok {
					words = b.lastWords()
					lastWords[b] = words
				}
				n.LastWords = append(n.LastWords, words...)
			}
		case "map":
			for _, arg := range d.Args {
				if strings.HasPrefix(arg, "{") {
					whole.Maps = append(whole.Maps, strings.Trim(arg, "{}"))
				}
			}
		case "invoke":
			whole.Invokes = true
		}
	})
	site.hide(around)
	for _, n := range around {
		n.Others, n.Maps, n.Invokes = all > 1, whole.Maps, whole.Invokes
	}
	return around
}

// id tells a directive of a site from others, but for those that the same lines import.
func (d Directive) id() string { return fmt.Sprintf("%s:%d %q", d.File, d.Line, d.Args) }

// hide finds the cors of the block, and of those in it, that never decide, because another takes all of their requests
// before them.
func (b *Block) hide(around map[string]*Neighborhood) {
	byMatcher := make(map[string]*Directive) // the first of each
	for i, d := range b.Directives {
		if d.Block != nil {
			d.Block.hide(around)
		}
		if d.Name != "cors" {
			continue
		}
		hiding := byMatcher[d.Matcher()]
		if b.Ordered { // else Caddy sorts those without a matcher after those with one
			hiding = cmp.Or(byMatcher[""], hiding)
		}
		if hiding != nil {
			around[d.id()].Hiding = hiding
		}
		if byMatcher[d.Matcher()] == nil && !d.has("report_only") {
			byMatcher[d.Matcher()] = &b.Directives[i]
		}
	}
}

// lastWords returns the deferred header operations of the block itself.
func (b *Block) lastWords() []LastWord {
	var words []LastWord
	for _, d := range b.Directives {
		if d.Name == "header" {
			words = append(words, d.lastWords()...)
		}
	}
	return words
}

// lastWords returns the deferred operations of a header directive. One that is deferred makes all of the directive so, but
// for defaults ("?"), which are apart, and always deferred.
func (d Directive) lastWords() []LastWord {
	type line struct {
		field string
		at    string
	}
	var lines []line
	deferred := false
	dispenser := caddyfile.NewDispenser(d.Tokens)
	dispenser.Next()
	read := func() {
		field := strings.TrimSuffix(dispenser.Val(), ":")
		switch {
		case field == "defer" || field == "match":
			deferred = true
		case strings.HasPrefix(field, "-") || strings.HasPrefix(field, ">"):
			deferred = true
			fallthrough
		default:
			lines = append(lines, line{field, fmt.Sprintf("%s:%d", dispenser.File(), dispenser.Line())})
		}
	}
	if args := d.Args; len(args) > 0 && (d.Matcher() != "" || args[0] == "*") {
		dispenser.NextArg()
	}
	if dispenser.NextArg() {
		read()
		dispenser.RemainingArgs()
	}
	for nesting := dispenser.Nesting(); dispenser.NextBlock(nesting); {
		read()
		dispenser.RemainingArgs()
		for inner := dispenser.Nesting(); dispenser.NextBlock(inner); {
		}
	}
	var words []LastWord
	for _, l := range lines {
		sign, name := "", l.field
		if strings.ContainsAny(l.field[:min(1, len(l.field))], "+-?>") {
			sign, name = l.field[:1], l.field[1:]
		}
		if (deferred || sign == "?") && isOfCORS(name) {
			words = append(words, LastWord{l.at, sign + name})
		}
	}
	return words
}
