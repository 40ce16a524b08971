package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/certmagic"
)

// An overlayStorage reads from the storage of a configuration, but keeps what is written in memory: provisioning may make
// a certificate authority, say, and a check leaves nothing behind.
type overlayStorage struct {
	// Read says that something reads from the storage of the configuration. It is not opened otherwise.
	Read bool `json:"read,omitempty"`

	// StorageRaw is the configuration's own; Caddy's default one if it is absent.
	StorageRaw json.RawMessage `json:"storage,omitempty" caddy:"namespace=caddy.storage inline_key=module"`

	beneath certmagic.Storage
	cancel  context.CancelFunc // of the module beneath

	mu      sync.Mutex
	written map[string]storedValue
}

// A storedValue is a value that was written, or the absence of one that was deleted.
type storedValue struct {
	value    []byte
	modified time.Time
	deleted  bool
}

const overlayStorageName = "cors_check"

// CaddyModule returns the Caddy module information.
func (*overlayStorage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.storage." + overlayStorageName,
		New: func() caddy.Module { return new(overlayStorage) },
	}
}

// Provision loads the storage beneath.
func (s *overlayStorage) Provision(ctx caddy.Context) error {
	s.written = make(map[string]storedValue)
	if !s.Read {
		return nil
	}
	s.beneath = caddy.DefaultStorage
	ctx, s.cancel = caddy.NewContext(ctx)
	if s.StorageRaw == nil {
		return nil
	}
	module, err := ctx.LoadModule(s, "StorageRaw")
	if err != nil {
		return fmt.Errorf("loading the storage: %w", err)
	}
	s.beneath, err = module.(caddy.StorageConverter).CertMagicStorage()
	return err
}

// CertMagicStorage returns the storage itself.
func (s *overlayStorage) CertMagicStorage() (certmagic.Storage, error) { return s, nil }

func (s *overlayStorage) get(key string) (storedValue, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.written[key]
	return v, ok
}

func (s *overlayStorage) put(key string, v storedValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.modified = time.Now()
	s.written[key] = v
}

// Store keeps a value in memory.
func (s *overlayStorage) Store(_ context.Context, key string, value []byte) error {
	s.put(key, storedValue{value: slices.Clone(value)})
	return nil
}

// Load returns the value that was written, or else the one beneath.
func (s *overlayStorage) Load(ctx context.Context, key string) ([]byte, error) {
	v, ok := s.get(key)
	switch {
	case !ok && s.beneath != nil:
		return s.beneath.Load(ctx, key)
	case !ok || v.deleted:
		return nil, fs.ErrNotExist
	}
	return slices.Clone(v.value), nil
}

// Delete hides a value, and all below it.
func (s *overlayStorage) Delete(ctx context.Context, key string) error {
	below, _ := s.List(ctx, key, true) // there may be nothing
	for _, name := range append(below, key) {
		s.put(name, storedValue{deleted: true})
	}
	return nil
}

// Exists reports whether there is a value.
func (s *overlayStorage) Exists(ctx context.Context, key string) bool {
	if v, ok := s.get(key); ok {
		return !v.deleted
	}
	return s.beneath != nil && s.beneath.Exists(ctx, key)
}

// List returns the keys below a path.
func (s *overlayStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	var beneath []string
	err := error(fs.ErrNotExist)
	if s.beneath != nil {
		beneath, err = s.beneath.List(ctx, path, recursive)
	}
	keys := make(map[string]bool)
	for _, key := range beneath {
		keys[key] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, v := range s.written {
		below, found := strings.CutPrefix(key, strings.TrimSuffix(path, "/")+"/")
		if path == "" {
			below, found = key, true
		}
		if !found {
			continue
		}
		if first, _, deeper := strings.Cut(below, "/"); deeper && !recursive {
			key = strings.TrimSuffix(key, below) + first
			if v.deleted {
				continue
			}
		}
		keys[key] = !v.deleted
	}
	maps.DeleteFunc(keys, func(_ string, exists bool) bool { return !exists })
	if len(keys) == 0 {
		return nil, err
	}
	return slices.Sorted(maps.Keys(keys)), nil
}

// Stat describes a value.
func (s *overlayStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	v, ok := s.get(key)
	switch {
	case !ok && s.beneath != nil:
		return s.beneath.Stat(ctx, key)
	case !ok || v.deleted:
		return certmagic.KeyInfo{}, fs.ErrNotExist
	}
	return certmagic.KeyInfo{Key: key, Modified: v.modified, Size: int64(len(v.value)), IsTerminal: true}, nil
}

// Lock does nothing: nobody else sees what is written here.
func (s *overlayStorage) Lock(context.Context, string) error { return nil }

// Unlock does nothing.
func (s *overlayStorage) Unlock(context.Context, string) error { return nil }

// Interface guards
var (
	_ caddy.Provisioner      = (*overlayStorage)(nil)
	_ caddy.StorageConverter = (*overlayStorage)(nil)
	_ certmagic.Storage      = (*overlayStorage)(nil)
)
