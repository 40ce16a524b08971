package placement

import (
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

// Site returns the block of the site that a directive is in, snippets and files imported. It reports false if it cannot be
// told: the helper of a directive has its site, but does not show it, so that this depends on how Caddy calls it.
//
// Directives that have a matcher remove it from the tokens of the site as they are read. So the first cors of a site reads
// it for all.
func Site(helper httpcaddyfile.Helper) (Block, bool) {
	type known struct {
		segments uintptr
		site     Block
	}
	const key = "http.handlers.cors.site"
	segments, ok := segmentsOf(helper)
	if !ok {
		return Block{}, false
	}
	if last, ok := helper.State[key].(known); ok && last.segments == segments.Pointer() {
		return last.site, true
	}
	site := read(segments)
	if helper.State != nil {
		helper.State[key] = known{segments.Pointer(), site}
	}
	return site, true
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
		var tokens []caddyfile.Token
		for j := range segments.Index(i).Len() {
			token := segments.Index(i).Index(j)
			tokens = append(tokens, caddyfile.Token{
				File: token.FieldByName("File").String(), Line: int(token.FieldByName("Line").Int()), Text: token.FieldByName("Text").String(),
			})
		}
		if len(tokens) > 0 {
			site.Directives = append(site.Directives, directive(tokens))
		}
	}
	return site
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

// Around returns what stands beside the cors in its site.
func Around(site Block, cors Directive) Neighborhood {
	var n Neighborhood
	all := 0
	site.each(func(d Directive, around []*Block) {
		switch d.Name {
		case "cors":
			all++
			if d.is(cors) {
				block := around[len(around)-1]
				if hiding := block.hiding(d); hiding != nil {
					n.Hiding = hiding
				}
				for _, b := range around {
					n.LastWords = append(n.LastWords, b.lastWords()...)
				}
			}
		case "map":
			for _, arg := range d.Args {
				if strings.HasPrefix(arg, "{") {
					n.Maps = append(n.Maps, strings.Trim(arg, "{}"))
				}
			}
		case "invoke":
			n.Invokes = true
		}
	})
	n.Others = all > 1
	return n
}

// is reports whether both are the same directive, or imported by the same lines.
func (d Directive) is(other Directive) bool {
	return d.File == other.File && d.Line == other.Line && slices.Equal(d.Args, other.Args)
}

// hiding returns a cors of the block before d that takes all requests that d could.
func (b *Block) hiding(d Directive) *Directive {
	var before []*Directive
	for i, other := range b.Directives {
		if other.Name != "cors" {
			continue
		}
		if other.is(d) {
			for _, earlier := range before {
				// Where Caddy sorts, those without a matcher go after those with one.
				if !earlier.has("report_only") && (earlier.Matcher() == d.Matcher() || b.Ordered && earlier.Matcher() == "") {
					return earlier
				}
			}
		}
		before = append(before, &b.Directives[i])
	}
	return nil
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
