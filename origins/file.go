// Package origins has the guest modules in the namespace http.cors.origins: sources of origins that change without a
// reload, or are too many for a configuration file.
package origins

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(File))
}

// File reads the origins that may call from a text file: one origin or pattern per line, with `#` comments. The file is
// read again when it changes.
//
// To replace the file, rename another file to its name; on Windows, that fails while the file is being read, so retry. A
// file that is written in place is read once it has stayed the same for half the interval. If its last line has always
// ended in a newline, it still has to: that way, half a list is never taken for the whole.
//
// A bad list is an error when the configuration is loaded. After that, the last good list stays in use, whatever happens
// to the file, and the log says why. A list is bad if a line is not an origin or pattern as browsers would write it; if it
// has `*`, `null`, `https://*` or patterns of a public suffix, which belong in the configuration; if it has no origins; or
// if the file is missing, cannot be read, or is larger than 256 MiB.
type File struct {
	// The path of the file. It may contain placeholders that are known when the configuration is loaded.
	Path string `json:"path,omitempty"`

	// How soon a change to the file takes effect; at least 100ms. Default: 5s.
	Interval caddy.Duration `json:"interval,omitempty"`

	poller
}

const defaultFileInterval = 5 * time.Second

// CaddyModule returns the Caddy module information.
func (*File) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.cors.origins.file",
		New: func() caddy.Module { return new(File) },
	}
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens. Syntax:
//
//	file <path> {
//	    interval <duration>
//	}
func (f *File) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, "the path of a file, such as run/origins", &f.Path, nil, options{
		"interval": durationOption(&f.Interval, checkInterval),
	})
}

// Provision loads the list and starts watching for changes.
func (f *File) Provision(ctx caddy.Context) error {
	if err := provisionInterval(&f.Interval, defaultFileInterval); err != nil {
		return err
	}
	path, err := resolve("path", f.Path)
	if err != nil {
		return err
	}
	f.wholeLines = true
	return f.start(ctx, textFile(path), path, f.Interval, ctx.Logger().With(zap.String("path", path)))
}

// A textFile is a file that holds a list.
type textFile string

func (path textFile) stat(context.Context) (stamp, error) {
	info, err := os.Stat(string(path))
	if err != nil {
		return stamp{}, err
	}
	// To open a named pipe would wait for its writer.
	if !info.Mode().IsRegular() {
		return stamp{}, fmt.Errorf("%s is not a regular file: %s", path, kind(info.Mode()))
	}
	// On Windows, a FileInfo finds out which file it is about when it is first compared, which may be another by then.
	os.SameFile(info, info)
	return fileStamp(info), nil
}

func (path textFile) read(_ context.Context, version stamp, reading func(io.Reader) error) error {
	if err := checkSize(string(path), version.size); err != nil {
		return err
	}
	file, err := os.Open(string(path))
	if err != nil {
		return err
	}
	defer file.Close()
	content := &io.LimitedReader{R: file, N: version.size + 1}
	failed := reading(content)
	if _, err := io.Copy(io.Discard, content); err != nil { // what was left unread
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if content.N != 1 || !fileStamp(info).same(version) {
		return fmt.Errorf("%s: %w", path, errChanged)
	}
	return failed
}

func fileStamp(info os.FileInfo) stamp {
	return stamp{size: info.Size(), modified: info.ModTime(), file: info}
}

func kind(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "it is a directory"
	case mode&os.ModeNamedPipe != 0:
		return "it is a named pipe"
	}
	return "its mode is " + mode.String()
}

func checkSize(name string, size int64) error {
	if size > maxText {
		return fmt.Errorf("%s: %d bytes are too many for a list of origins; at most %d", name, size, maxText)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*File)(nil)
	_ caddy.CleanerUpper    = (*File)(nil)
	_ caddyfile.Unmarshaler = (*File)(nil)
)
