package edit

import (
	"iter"
	"slices"
	"strings"
)

// A Use is a [Place] as it takes part in the configuration: after environment variables, imports and their arguments. A
// line of a snippet is used once for each time that it is imported. The uses of a configuration are a tree, like the
// blocks that Caddy sees.
type Use struct {
	Kind    Kind // KindGlobal, KindNamedRoute, KindSite or KindLine
	Place   *Place
	Words   []Word   // the directive or option and its arguments; the addresses of a site
	Parent  *Use     // whose block it is in; nil for global options, named routes and sites
	Block   []*Use   // what is in its block
	Imports []*Place // the import lines that brought it here, the outermost first

	caddyfile *Caddyfile
	by        *imported    // the innermost of those lines, nil for what no import has brought
	direct    bool         // whether it begins where its place does
	segments  [][]expanded // of a root, until they have been compared with what Caddy has
}

// A Word is a token of the configuration.
type Word struct {
	Text string

	// Literal says that the text is written as it is, so that it can be replaced: where it is used, or as the argument of
	// an import. What an environment variable or a part of a word brings in is not.
	Literal bool

	at    *token // where it is used
	value *token // where it is written
}

// Name is the first word, and empty for the global options.
func (u *Use) Name() string {
	if len(u.Words) == 0 {
		return ""
	}
	return u.Words[0].Text
}

// Args are the words after the first, as they read.
func (u *Use) Args() []string {
	var args []string
	for i, word := range u.Words {
		if i > 0 {
			args = append(args, word.Text)
		}
	}
	return args
}

// Root is the outermost use around it: a site, a named route, or the global options.
func (u *Use) Root() *Use {
	for u.Parent != nil {
		u = u.Parent
	}
	return u
}

// Sites are the sites that it serves: the one it is in, or those that invoke the named route it is in.
func (u *Use) Sites() []*Use {
	var sites []*Use
	u.addSites(&sites, map[*Use]bool{})
	return sites
}

func (u *Use) addSites(sites *[]*Use, seen map[*Use]bool) {
	root := u.Root()
	if seen[root] {
		return
	}
	seen[root] = true
	switch root.Kind {
	case KindSite:
		*sites = append(*sites, root)
	case KindNamedRoute:
		for _, other := range slices.Concat(u.caddyfile.Sites(), u.caddyfile.NamedRoutes()) {
			for line := range other.All() {
				if line.Name() == "invoke" && slices.Contains(line.Args(), root.Name()) {
					line.addSites(sites, seen)
				}
			}
		}
	}
}

// All are the use itself and all that is in its block, at any depth, in the order of the text.
func (u *Use) All() iter.Seq[*Use] {
	return func(yield func(*Use) bool) { u.each(yield) }
}

func (u *Use) each(yield func(*Use) bool) bool {
	if !yield(u) {
		return false
	}
	for _, line := range u.Block {
		if !line.each(yield) {
			return false
		}
	}
	return true
}

// Matcher is the directive's matcher: its first argument, where that is a path, "*", or a name with "@" before it; and the
// definition of the name, nil where there is none. A "*" of cors is the origin "everyone", and not a matcher.
func (u *Use) Matcher() (Word, *Use) {
	if len(u.Words) < 2 {
		return Word{}, nil
	}
	word := u.Words[1]
	switch {
	case strings.HasPrefix(word.Text, "/"), word.Text == "*" && u.Name() != "cors":
		return word, nil
	case strings.HasPrefix(word.Text, "@"):
		for outer := u.Parent; outer != nil; outer = outer.Parent {
			for _, line := range outer.Block {
				if line.Name() == word.Text {
					return word, line
				}
			}
		}
		return word, nil
	}
	return Word{}, nil
}
