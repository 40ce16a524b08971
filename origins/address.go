package origins

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// maxValues bounds what placeholders stand for in one URL, in bytes. It is more than the name of any host, and keeps what
// strangers send from filling the memory.
const maxValues = 1 << 10

// An address is the URL of an endpoint. Placeholders of the request may stand in its path and in the values of its query.
type address struct {
	text   string // what was written; placeholders that are known when the configuration is loaded are resolved
	pieces []piece
}

// A piece of an address is literal text, or else a placeholder.
type piece struct {
	literal     string
	placeholder string // its name, without braces
	escape      func(string) string
}

// requestPlaceholder matches the names of placeholders that only a request has a value for: Caddy's own, and those that
// map sets, which may be any.
var requestPlaceholder = regexp.MustCompile(`^(http\..+|[\w-]+)$`)

// unfilled matches the names of placeholders that an import leaves if it has nothing to put there.
var unfilled = regexp.MustCompile(`^(args|block|blocks)\b`)

// parseAddress reads a URL with placeholders. Which server is asked is never a request's choice, nor is what else it is
// asked than about the one origin.
func parseAddress(text string) (address, error) {
	if strings.Contains(text, `\`) {
		return address{}, errors.New("a backslash is not a part of any URL; remove it")
	}
	var a address
	loaded := caddy.NewReplacer()
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		a.literal(literal)
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed || name == "" {
			return address{}, fmt.Errorf("the placeholder %.80q is not closed; add a }", "{"+name)
		}
		rest = after
		value, known := loaded.GetString(name)
		switch {
		case known && value == "":
			return address{}, fmt.Errorf("{%s} is empty; set it", name)
		case known && strings.ContainsAny(value, "{}"):
			return address{}, fmt.Errorf("the value of {%s} has a placeholder in it; write that in the configuration", name)
		case known:
			a.literal(value)
		case unfilled.MatchString(name) || !requestPlaceholder.MatchString(name):
			return address{}, fmt.Errorf("unrecognized placeholder {%s}; those of a request begin with http., such as {http.request.host}", name)
		default:
			a.pieces = append(a.pieces, piece{placeholder: name})
		}
	}
	for _, p := range a.pieces {
		if p.placeholder != "" {
			a.text += "{" + p.placeholder + "}"
		}
		a.text += p.literal
	}
	return a, a.place()
}

func (a *address) literal(text string) {
	if text != "" {
		a.pieces = append(a.pieces, piece{literal: text})
	}
}

// place checks the URL, and finds out where in it each placeholder stands, and so how its value is escaped.
func (a *address) place() error {
	before := ""
	for i := range a.pieces {
		p := &a.pieces[i]
		if p.placeholder == "" {
			before += p.literal
			continue
		}
		_, afterScheme, absolute := strings.Cut(before, "://")
		path, query, inQuery := strings.Cut(afterScheme, "?")
		switch pair := query[strings.LastIndexAny(query, "&")+1:]; {
		case inQuery && !strings.Contains(pair, "="):
			return fmt.Errorf("in the query, {%s} has to be a value: write it after a name, such as ?host={%[1]s}", p.placeholder)
		case inQuery:
			p.escape = url.QueryEscape
		case strings.Contains(path, "/"):
			p.escape = url.PathEscape
		case before != "" && !absolute: // it is not a URL, which is said below
		default:
			return fmt.Errorf("{%s} is in the place of the server's name, and a request must not choose which server is asked: write it in the path or the query, such as https://tenants.internal/origins?host={%[1]s}", p.placeholder)
		}
		before += "x"
	}
	return checkURL(before)
}

// perRequest reports whether the URL depends on the request.
func (a *address) perRequest() bool {
	return slices.ContainsFunc(a.pieces, func(p piece) bool { return p.placeholder != "" })
}

// resolve returns the URL for a request.
func (a *address) resolve(value func(placeholder string) string) (string, error) {
	var resolved strings.Builder
	size := 0
	for _, p := range a.pieces {
		if p.placeholder == "" {
			resolved.WriteString(p.literal)
			continue
		}
		text := value(p.placeholder)
		if size += len(text); text == "" || size > maxValues {
			return "", fmt.Errorf("{%s} has %d bytes; the endpoint is not asked with less than 1 or more than %d in all", p.placeholder, len(text), maxValues)
		}
		resolved.WriteString(p.escape(text))
	}
	u := resolved.String()
	if path, _, _ := strings.Cut(u, "?"); slices.ContainsFunc(strings.FieldsFunc(unescape(path), isSlash), isDots) {
		return "", errors.New("its path leads elsewhere, by a . or .. between slashes")
	}
	return u, nil
}

// unescape undoes the escaping of a path, as the server does before it routes.
func unescape(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

func isDots(segment string) bool { return segment == "." || segment == ".." }

// placeholders returns the placeholders of the request, in braces.
func (a *address) placeholders() []string {
	var all []string
	for _, p := range a.pieces {
		if p.placeholder != "" {
			all = append(all, "{"+p.placeholder+"}")
		}
	}
	return all
}
