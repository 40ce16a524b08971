package edit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/diff"
)

// Why a file is not written. The error that has it is a [*FileError]; so is one of the file system's, such as
// [fs.ErrPermission].
var (
	// ErrChanged says that the file is not what it was when it was read.
	ErrChanged = errors.New("it has changed since it was read; run the command again")
	// ErrOwner says that the file belongs to somebody else.
	ErrOwner = errors.New("it belongs to another user; run the command as that user or as root")
	// ErrMounted says that the file is mounted by itself, as in a container, so that nothing can take its place.
	ErrMounted = errors.New("it is mounted by itself and cannot be replaced; edit it where it is mounted from, or mount its folder")
)

// A FileError is an error about a file.
type FileError struct {
	Name string // as the user wrote it
	Err  error
}

func (e *FileError) Error() string { return e.Name + ": " + e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

// Diff is a unified diff of all files that are changed, with three lines of context, for people and for `patch -p0`. It is
// empty if none is.
func (c *Caddyfile) Diff() string {
	var out strings.Builder
	for _, f := range c.files {
		text := string(diff.Diff(f.Name, f.onDisk, f.Name, f.text))
		_, text, _ = strings.Cut(text, "\n") // that is "diff", and names
		out.WriteString(text)
	}
	return out.String()
}

// Write writes the files that are changed: all or none. It returns their names.
//
// Each is replaced in one step, through symbolic links, with the mode and owner that it has. A file is not written that has
// changed since it was read ([ErrChanged]), that the user cannot write, or that belongs to somebody else, unless the user is
// root ([ErrOwner]). Another name of the same file, a hard link, keeps what it has.
func (c *Caddyfile) Write() ([]string, error) {
	var names []string
	var replacements []*replacement
	defer func() {
		for _, r := range replacements {
			r.cleanUp()
		}
	}()
	for _, f := range c.files {
		if !f.Changed() {
			continue
		}
		r, err := newReplacement(f)
		if r != nil {
			replacements = append(replacements, r)
		}
		if err != nil {
			return nil, &FileError{f.Name, err}
		}
		names = append(names, f.Name)
	}
	if err := replaceAll(replacements); err != nil {
		return nil, err
	}
	return names, nil
}

// replaceAll replaces all files, or takes back what it has done.
func replaceAll(replacements []*replacement) error {
	for i, r := range replacements {
		err := r.replace()
		if err == nil {
			continue
		}
		err = &FileError{r.file.Name, err}
		for _, done := range replacements[:i] {
			if failed := done.takeBack(); failed != nil {
				failed = fmt.Errorf("it is written, and what it was before is in %s: %w", done.backup, failed)
				err = errors.Join(err, &FileError{done.file.Name, failed})
				done.backup = "" // which is the user's now
			}
		}
		return err
	}
	return nil
}

// A replacement is a file that is about to be replaced.
type replacement struct {
	file    *File
	target  string // where symbolic links lead to
	written string // beside it, the new text; empty if there is none (any more)
	backup  string // beside it, what it was; likewise
}

// newReplacement writes the new text of a file beside it. The caller has to clean up, also after an error.
func newReplacement(f *File) (*replacement, error) {
	target, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return nil, err
	}
	r := &replacement{file: f, target: target}
	if err := r.unchanged(); err != nil {
		return r, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return r, err
	}
	if !mayReplace(info) {
		return r, ErrOwner
	}
	writable, err := os.OpenFile(target, os.O_WRONLY, 0) // which a rename would not ask for
	if err != nil {
		return r, err
	}
	if err := writable.Close(); err != nil {
		return r, err
	}
	if r.written, err = beside(target, info, f.text); err != nil {
		return r, err
	}
	r.backup, err = beside(target, info, f.onDisk)
	return r, err
}

// beside writes a file in the folder of another one, with its mode and owner.
func beside(target string, like os.FileInfo, text []byte) (name string, err error) {
	out, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*.tmp")
	if err != nil {
		return "", err
	}
	defer func() {
		if closed := out.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	if err := keepOwner(out, like); err != nil {
		return "", err
	}
	if err := out.Chmod(like.Mode().Perm()); err != nil {
		return "", err
	}
	if _, err := out.Write(text); err != nil {
		return "", err
	}
	return out.Name(), out.Sync()
}

func (r *replacement) unchanged() error {
	text, err := os.ReadFile(r.target)
	if err == nil && !bytes.Equal(text, r.file.onDisk) {
		err = ErrChanged
	}
	return err
}

func (r *replacement) replace() error {
	if err := r.unchanged(); err != nil {
		return err
	}
	err := os.Rename(r.written, r.target)
	if errors.Is(err, syscall.EBUSY) {
		err = errors.Join(ErrMounted, err)
	}
	if err != nil {
		return err
	}
	r.written = ""
	return nil
}

func (r *replacement) takeBack() error {
	if err := os.Rename(r.backup, r.target); err != nil {
		return err
	}
	r.backup = ""
	return nil
}

func (r *replacement) cleanUp() {
	for _, name := range []string{r.written, r.backup} {
		if name != "" {
			_ = os.Remove(name)
		}
	}
}
