package origins

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(Storage))
}

// Storage reads the origins that may call from a key in Caddy's configured storage (files, Redis, Consul, S3, ...): one
// list for all servers that share the storage. The value has the same format as a file of origins: one origin or pattern
// per line, with `#` comments. It is read again when it changes.
//
// A bad list is an error when the configuration is loaded. After that, the last good list stays in use, whatever happens
// to the key or the storage, and the log says why. What is bad is the same as for a file of origins, except that the last
// line never needs a newline: the value of a key is stored whole or not at all.
type Storage struct {
	// The key, such as `cors/origins`. It may contain placeholders that are known when the configuration is loaded.
	Key string `json:"key,omitempty"`

	// How soon a change to the list takes effect; at least 100ms. Default: 10s.
	Interval caddy.Duration `json:"interval,omitempty"`

	poller
}

const defaultStorageInterval = 10 * time.Second

// CaddyModule returns the Caddy module information.
func (*Storage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.cors.origins.storage",
		New: func() caddy.Module { return new(Storage) },
	}
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens. Syntax:
//
//	storage <key> {
//	    interval <duration>
//	}
func (s *Storage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, "the key of the list, such as cors/origins", &s.Key, nil, options{
		"interval": durationOption(&s.Interval, checkInterval),
	})
}

// Provision loads the list and starts watching for changes.
func (s *Storage) Provision(ctx caddy.Context) error {
	if err := provisionInterval(&s.Interval, defaultStorageInterval); err != nil {
		return err
	}
	key, err := resolve("key", s.Key)
	if err != nil {
		return err
	}
	return s.start(ctx, storedText{ctx.Storage(), key}, key, s.Interval, ctx.Logger().With(zap.String("key", key)))
}

// A storedText is a key of a storage whose value is a list.
type storedText struct {
	storage certmagic.Storage
	key     string
}

func (t storedText) stat(ctx context.Context) (stamp, error) {
	info, err := t.storage.Stat(ctx, t.key)
	if err != nil {
		return stamp{}, fmt.Errorf("key %s: %w", t.key, err)
	}
	return stamp{size: info.Size, modified: info.Modified}, nil
}

func (t storedText) read(ctx context.Context, version stamp, reading func(io.Reader) error) error {
	if err := checkSize(t.key, version.size); err != nil {
		return err
	}
	value, err := t.storage.Load(ctx, t.key)
	if err != nil {
		return fmt.Errorf("key %s: %w", t.key, err)
	}
	if err := checkSize(t.key, int64(len(value))); err != nil {
		return err
	}
	return reading(bytes.NewReader(value))
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Storage)(nil)
	_ caddy.CleanerUpper    = (*Storage)(nil)
	_ caddyfile.Unmarshaler = (*Storage)(nil)
)
