package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// A configuration is what is checked, as it is or as edits have it.
type configuration struct {
	name       string
	text       *edit.Caddyfile      // nil where it is not a Caddyfile, or not one that can be edited
	unedited   error                // why a Caddyfile cannot be
	tree       map[string]any       // as JSON
	directives map[string]*edit.Use // of the cors handlers, by the places of these in the tree
	patch      []patchOp            // what has been changed in a JSON configuration
	deciding   bool                 // whether the handlers of the tree decide that only report in the text
}

// load reads the configuration that is checked. The error is Caddy's, where it refuses it.
func (c *Check) load() (*configuration, error) {
	conf := &configuration{name: c.config}
	if c.isCaddyfile() {
		var err error
		if conf.text, err = edit.Load(c.config); err == nil {
			if conf.tree, conf.directives, err = adapt(conf.text); err == nil {
				return conf, nil
			}
		}
		conf.text, conf.unedited = nil, err
	}
	text, _, adapter, err := caddycmd.LoadConfig(c.config, c.adapter)
	if err != nil {
		return nil, err
	}
	if conf.tree, err = decode(text); err != nil {
		return nil, fmt.Errorf("%s is not a configuration: %w", c.config, err)
	}
	switch {
	case c.config == "-" && adapter != "":
		conf.unedited = errors.New("it is read from standard input")
	case conf.unedited != nil: // a Caddyfile
	case adapter != "":
		conf.unedited = fmt.Errorf("the check can edit Caddyfiles and JSON, and this is for the adapter %q", adapter)
	}
	return conf, nil
}

// isCaddyfile reports whether the configuration is a file that Caddy takes for a Caddyfile, by the adapter or by the name.
func (c *Check) isCaddyfile() bool {
	name := strings.ToLower(filepath.Base(c.config))
	return c.config != "-" && (c.adapter == "caddyfile" ||
		c.adapter == "" && filepath.Ext(name) != ".json" && (strings.HasPrefix(name, "caddyfile") || strings.HasSuffix(name, ".caddyfile")))
}

// A change is one of the text of a Caddyfile, or of a JSON configuration.
type change struct {
	edits []edit.Edit
	patch []patchOp
}

// with returns the configuration with a change. The error is Caddy's, or says why the text cannot be edited so.
func (c *configuration) with(change change) (*configuration, error) {
	next := &configuration{name: c.name, unedited: c.unedited, patch: slices.Concat(c.patch, change.patch), deciding: c.deciding}
	if c.text == nil {
		next.tree = clone(c.tree)
		return next, apply(next.tree, change.patch)
	}
	var err error
	if next.text, err = c.text.Apply(change.edits...); err != nil {
		return nil, err
	}
	next.tree, next.directives, err = adapt(next.text)
	if c.deciding {
		withoutReportOnly(next.tree)
	}
	return next, err
}

// diff is what has been changed, as a unified diff.
func (c *configuration) diff() string {
	if c.text == nil {
		return ""
	}
	return c.text.Diff()
}

// withEditedLists returns the tree, in which the sources of origins read the lists as they are edited, from a folder that
// cleanUp removes.
func (c *configuration) withEditedLists() (tree map[string]any, cleanUp func(), err error) {
	cleanUp = func() {}
	if c.text == nil {
		return c.tree, cleanUp, nil
	}
	edited := make(map[string][]byte)
	for _, f := range c.text.Files() {
		if f.Changed() {
			edited[f.Path] = f.Text()
		}
	}
	if len(edited) == 0 {
		return c.tree, cleanUp, nil
	}
	tree = clone(c.tree)
	var dir string
	walk(object(tree, "apps"), "", func(_ string, o map[string]any) {
		path, _ := o["path"].(string)
		if o["source"] != "file" || path == "" || err != nil {
			return
		}
		absolute, _ := filepath.Abs(path) // a path that cannot be made absolute is not one of them
		text, ok := edited[absolute]
		if !ok {
			return
		}
		if dir == "" {
			if dir, err = os.MkdirTemp("", "caddyfile-"); err != nil {
				return
			}
			cleanUp = func() { _ = os.RemoveAll(dir) }
		}
		name := filepath.Join(dir, strconv.Itoa(len(absolute))+filepath.Base(absolute))
		err = os.WriteFile(name, text, 0o600)
		o["path"] = name
	})
	return tree, cleanUp, err
}

// A trial says what a run of the routes may do.
type trial bool

const (
	inEarnest trial = false // as the browser's requests would
	asTrial   trial = true  // nothing that could change something
)

// run provisions the configuration for requests. The caller has to close it.
func (c *configuration) run(ctx context.Context, check *Check, as trial) (*localConfig, error) {
	tree, cleanUp, err := c.withEditedLists()
	defer func() {
		if err != nil {
			cleanUp()
		}
	}()
	if err != nil {
		return nil, err
	}
	tree = withoutTraces(tree)
	elsewhere := http.RoundTripper(check.network)
	if as == asTrial {
		elsewhere = onlySafe{check.network}
	}
	if check.answers == nil {
		check.answers = make(map[string]bool)
	}
	remembered := &answers{known: check.answers, ask: as == inEarnest}
	config, err := newLocalConfig(tree, elsewhere, remembered)
	if err != nil {
		return nil, notProvisionedError{err}
	}
	config.cleanUp = append(config.cleanUp, cleanUp)
	config.servedBy = check.servedBy
	if as == asTrial {
		config.withoutEffects = func() (*localConfig, error) {
			harmless, err := newLocalConfig(withoutEffects(tree), nil, remembered)
			if err != nil {
				return nil, notProvisionedError{err}
			}
			harmless.servedBy = check.servedBy
			return harmless, nil
		}
	}
	return config, nil
}

// An onlySafe transport makes no request that could change something.
type onlySafe struct{ http.RoundTripper }

var errNotSafe = errors.New("the request could change something, so it is not made")

// RoundTrip makes the request if it is safe.
func (t onlySafe) RoundTrip(r *http.Request) (*http.Response, error) {
	if !isSafe(r.Method) {
		return nil, errNotSafe
	}
	return t.RoundTripper.RoundTrip(r)
}

// attempt runs the browser's algorithm once against the configuration. The attempt is there with an error, too: then it has
// what happened before.
func (c *Check) attempt(ctx context.Context, conf *configuration, as trial) (*attempt, error) {
	config, err := conf.run(ctx, c, as)
	if err != nil {
		return &attempt{}, err
	}
	defer config.Close()
	a, err := c.try(ctx, config)
	if err != nil {
		a.exchanges = config.exchanges
		return a, err
	}
	for _, e := range a.exchanges {
		switch {
		case e.server == "":
			a.warn("left-config", "%s is not in the configuration: its live server was asked.", e.request.URL.Host)
		case e.via == viaTLSProxy:
			a.warn("behind-proxy", "No server of the configuration takes https for %s; it was called as one behind a proxy that does, with X-Forwarded-Proto.", e.request.URL.Host)
		case e.via == viaPortMapping:
			a.warn("behind-proxy", "No server of the configuration listens on the port of %s; it was called as one behind a port mapping.", e.request.URL.Host)
		}
	}
	return a, nil
}

// newLocalConfig provisions a configuration with a witness around each of its handlers. It does not change the tree.
func newLocalConfig(tree map[string]any, elsewhere http.RoundTripper, remembered *answers) (*localConfig, error) {
	config, err := provisionConfig(withWitnesses(tree), elsewhere, remembered)
	if err != nil {
		// The error is to name the modules of the configuration alone.
		plain, errPlain := provisionConfig(clone(tree), elsewhere, remembered)
		if errPlain != nil {
			return nil, errPlain
		}
		plain.Close()
	}
	return config, err
}

// A notProvisionedError says that Caddy refuses a configuration.
type notProvisionedError struct{ error }

// A patchOp is an operation of a JSON Patch (RFC 6902).
type patchOp struct {
	Op    string `json:"op"` // "add", "replace" or "remove"
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// apply makes the operations in a tree.
func apply(tree map[string]any, patch []patchOp) error {
	for _, op := range patch {
		slash := strings.LastIndexByte(op.Path, '/')
		if slash < 0 {
			return fmt.Errorf("%q is not a JSON Pointer", op.Path)
		}
		value, err := copied(op.Value)
		if err != nil {
			return err
		}
		parent, key := op.Path[:slash], pointerUnescaper.Replace(op.Path[slash+1:])
		if o := at(tree, parent); o != nil {
			if _, there := o[key]; !there && op.Op != "add" {
				return fmt.Errorf("there is no %s", op.Path)
			}
			if op.Op == "remove" {
				delete(o, key)
			} else {
				o[key] = value
			}
			continue
		}
		slash = strings.LastIndexByte(parent, '/')
		if slash < 0 {
			return fmt.Errorf("there is no %s", parent)
		}
		holder, name := at(tree, parent[:slash]), pointerUnescaper.Replace(parent[slash+1:])
		list, ok := holder[name].([]any)
		i, err := strconv.Atoi(key)
		if key == "-" && op.Op == "add" {
			i, err = len(list), nil
		}
		if !ok || err != nil || i < 0 || i > len(list) || i == len(list) && op.Op != "add" {
			return fmt.Errorf("there is no %s", op.Path)
		}
		switch op.Op {
		case "add":
			list = slices.Insert(list, i, value)
		case "replace":
			list[i] = value
		case "remove":
			list = slices.Delete(list, i, i+1)
		}
		holder[name] = list
	}
	return nil
}

// copied returns a value as decode would.
func copied(value any) (any, error) {
	var of map[string]any
	err := remarshal(map[string]any{"value": value}, &of)
	return of["value"], err
}
