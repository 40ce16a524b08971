package edit

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// Adapt has Caddy's adapter adapt the text as it is, without a file of it being written: in a temporary folder, where all
// files stand to each other as they do on disk, and which is removed. The JSON, the warnings and the error name the real
// files, as Caddy does: the Caddyfile as the user wrote it, what it imports by absolute paths.
//
// The adapter is Caddy's own, with the directives that the program has registered.
func (c *Caddyfile) Adapt() ([]byte, []caddyconfig.Warning, error) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return nil, nil, errors.New("this program has no adapter for Caddyfiles")
	}
	root, err := os.MkdirTemp("", "caddyfile-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = os.RemoveAll(root) }()
	m := &mirror{root: root, names: make(map[string]string)}
	texts := make(map[*File][]byte)
	for _, f := range c.files {
		if f.isList {
			continue
		}
		if texts[f], err = m.text(f); err != nil {
			return nil, nil, err
		}
		name := m.path(f.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return nil, nil, err
		}
		if err := os.WriteFile(name, texts[f], 0o600); err != nil {
			return nil, nil, err
		}
	}
	main := c.files[0]
	mirrored := m.path(main.Path)
	m.names[mirrored] = main.Name
	config, warnings, err := adapter.Adapt(texts[main], map[string]any{"filename": mirrored})
	for i := range warnings {
		warnings[i].File, warnings[i].Message = m.real(warnings[i].File), m.real(warnings[i].Message)
	}
	if err != nil {
		return nil, warnings, &AdaptError{Err: err, message: m.real(err.Error())}
	}
	return []byte(m.realJSON(string(config))), warnings, nil
}

// An AdaptError is what Caddy says to a Caddyfile that it does not accept, with the names of the real files.
type AdaptError struct {
	Err     error // with the names of temporary files
	message string
}

func (e *AdaptError) Error() string { return e.message }

func (e *AdaptError) Unwrap() error { return e.Err }

// A mirror is a folder where files stand to each other as they do on disk: below it, each has its absolute path.
type mirror struct {
	root  string
	names map[string]string // the real ones, by those in the mirror
}

// path is where the file of an absolute path is in the mirror. A Windows volume is a folder there.
func (m *mirror) path(path string) string {
	volume := filepath.VolumeName(path)
	mirrored := filepath.Join(m.root, strings.NewReplacer(":", "", `\`, "_", "/", "_").Replace(volume), path[len(volume):])
	m.names[mirrored] = path
	return mirrored
}

// text is the text of a file, whose imports of absolute paths are of the mirror's.
func (m *mirror) text(f *File) ([]byte, error) {
	out := f.text
	for _, t := range slices.Backward(f.tokens) {
		p := t.place
		if !p.absolute || t != p.words[1] {
			continue
		}
		var pattern string
		switch {
		case filepath.IsAbs(t.Text):
			pattern = m.path(t.Text)
		case p.relative || runtime.GOOS == "windows": // an argument that is now the one, now the other; or that has a volume
			return nil, &PlaceError{p, ErrNotFollowed}
		default:
			pattern = m.root + t.Text
		}
		out = slices.Concat(out[:t.start], []byte("`"+pattern+"`"), out[t.end:])
	}
	return out, nil
}

// real is a text in which files of the mirror have their real names.
func (m *mirror) real(text string) string {
	return m.replacer(func(name string) string { return name }).Replace(text)
}

// realJSON does so for JSON, where the names are quoted.
func (m *mirror) realJSON(text string) string {
	return m.replacer(func(name string) string {
		quoted, _ := json.Marshal(name) // a string
		return string(quoted[1 : len(quoted)-1])
	}).Replace(text)
}

// replacer replaces the longest names first: some begin with others.
func (m *mirror) replacer(quote func(string) string) *strings.Replacer {
	var pairs []string
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(m.names))) {
		pairs = append(pairs, quote(name), quote(m.names[name]))
	}
	return strings.NewReplacer(pairs...)
}
