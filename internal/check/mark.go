package check

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// marks counts the cors directives that are parsed while a check adapts a Caddyfile.
var marks struct {
	mu       sync.Mutex // held while one adapts
	adapting bool
	n        int
}

// A mark says in the JSON of a cors handler where its directive is. It is there while a check adapts, and nowhere else.
type mark struct {
	File string `json:"file"`
	Line int    `json:"line"`
	N    int    `json:"n"` // of the directives, in the order in which they are parsed
}

const markKey = "@cors_check"

// Mark notes where the directive of a route stands. It does nothing unless a check adapts the Caddyfile.
func Mark(route []httpcaddyfile.ConfigValue, directive caddyfile.Token) []httpcaddyfile.ConfigValue {
	if !marks.adapting {
		return route
	}
	m := mark{File: directive.File, Line: directive.Line, N: marks.n}
	marks.n++
	for _, value := range route {
		if r, ok := value.Value.(caddyhttp.Route); ok {
			for i, raw := range r.HandlersRaw {
				text, err := json.Marshal(map[string]mark{markKey: m})
				if err == nil && bytes.HasPrefix(raw, []byte("{")) {
					r.HandlersRaw[i] = slices.Concat(text[:len(text)-1], []byte(","), raw[1:])
				}
			}
		}
	}
	return route
}

// adapt has Caddy adapt a Caddyfile. It returns the JSON, and the directives of the cors handlers in it, by their places.
func adapt(c *edit.Caddyfile) (tree map[string]any, directives map[string]*edit.Use, err error) {
	marks.mu.Lock()
	defer marks.mu.Unlock()
	marks.adapting, marks.n = true, 0
	defer func() { marks.adapting = false }()
	text, _, err := c.Adapt()
	if err != nil {
		return nil, nil, err
	}
	if tree, err = decode(text); err != nil {
		return nil, nil, err
	}
	found := make(map[string]mark)
	walk(tree["apps"], "/apps", func(place string, object map[string]any) {
		if m, ok := object[markKey]; ok {
			delete(object, markKey)
			var of mark
			if remarshal(m, &of) == nil {
				found[place] = of
			}
		}
	})
	return tree, directivesOf(c, found), nil
}

// directivesOf finds the directives that were marked. One place in the text may be several of them, by imports; Caddy parses
// named routes first, and all else in the order of the text.
func directivesOf(c *edit.Caddyfile, found map[string]mark) map[string]*edit.Use {
	parsed := make(map[*edit.Place][]int) // the numbers of its directives, in their order
	for _, m := range found {
		p := c.At(m.File, m.Line, "cors")
		if p != nil && !slices.Contains(parsed[p], m.N) {
			parsed[p] = append(parsed[p], m.N)
		}
	}
	directives := make(map[string]*edit.Use)
	for place, m := range found {
		p := c.At(m.File, m.Line, "cors")
		if p == nil {
			continue
		}
		slices.Sort(parsed[p])
		uses := slices.Clone(p.Uses())
		slices.SortStableFunc(uses, func(a, b *edit.Use) int {
			return rankOfRoot(a) - rankOfRoot(b)
		})
		if i := slices.Index(parsed[p], m.N); i < len(uses) {
			directives[place] = uses[i]
		}
	}
	return directives
}

func rankOfRoot(u *edit.Use) int {
	if u.Root().Kind == edit.KindNamedRoute {
		return 0
	}
	return 1
}
