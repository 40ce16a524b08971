package ui

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/caddy-cors/caddy-cors/internal/check"
)

// maxCall bounds a call that the page sends.
const maxCall = 1 << 20

// about says what the page is about.
func (s *Server) about(w http.ResponseWriter, _ *http.Request) {
	name := s.options.Config
	if name != "" {
		name = filepath.Base(name)
	}
	answer(w, http.StatusOK, struct {
		Config string `json:"config"` // the name of its file; empty for live checks
		Write  bool   `json:"write"`
		Admin  string `json:"admin"`
	}{name, s.options.Write, s.options.Admin})
}

// A Problem is the answer where there is none, in a sentence.
type Problem struct {
	Error string `json:"error"`

	// Confirm is true if the call is to be confirmed before it is made: it could change something.
	Confirm bool `json:"confirm,omitempty"`
}

// check checks a call.
func (s *Server) check(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Call      Call `json:"call"`
		Confirmed bool `json:"confirmed"`
	}
	if !readJSON(w, r, &asked) {
		return
	}
	c, err := s.read(asked.Call)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, Problem{Error: err.Error()})
		return
	}
	if !asked.Call.isSafe() && !asked.Confirmed {
		answer(w, http.StatusConflict, Problem{Error: s.effect(asked.Call), Confirm: true})
		return
	}
	s.checks.Lock()
	defer s.checks.Unlock()
	report := c.Run(r.Context(), s.options.Handler)
	result := Result{Call: asked.Call, Report: report, Share: share(report.Text(c), asked.Call, report)}
	if report.Diff != "" {
		result.Edit = s.edits.keep(report.Write)
	}
	answer(w, http.StatusOK, result)
}

// A Result is what was found out of a call.
type Result struct {
	Call   Call          `json:"call"`
	Report *check.Report `json:"report"`
	Share  string        `json:"share"`          // the report as a text for others
	Edit   string        `json:"edit,omitempty"` // the name of the edit that the report has, to apply it
}

// apply writes the edit of a report that the page shows.
func (s *Server) apply(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Edit string `json:"edit"`
	}
	if !readJSON(w, r, &asked) {
		return
	}
	if !s.options.Write {
		answer(w, http.StatusForbidden, Problem{Error: "Nothing is written: the command was started without --write."})
		return
	}
	write := s.edits.get(asked.Edit)
	if write == nil {
		answer(w, http.StatusNotFound, Problem{Error: "This edit is too old: check the call again."})
		return
	}
	s.checks.Lock()
	defer s.checks.Unlock()
	written, err := write(s.mayWrite)
	if err != nil {
		answer(w, http.StatusConflict, Problem{Error: err.Error()})
		return
	}
	answer(w, http.StatusOK, struct {
		Written []string `json:"written"`
	}{written})
}

// mayWrite returns an error for a file that a link leads to, out of the folder that it is named in.
func (s *Server) mayWrite(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(s.options.Config))
	if err != nil {
		return err
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	if target, err = filepath.Abs(target); err != nil {
		return err
	}
	inside, err := filepath.Rel(folder, target)
	if err == nil && filepath.IsLocal(inside) || target == filepath.Clean(path) {
		return nil
	}
	return fmt.Errorf("nothing is written: %s is a link to %s, out of the folder of %s; caddy cors check --write follows it", path, target, filepath.Base(s.options.Config))
}

// maxEdits is how many edits can be applied: those of the last checks.
const maxEdits = 20

// An edit writes what the page has shown to the files for which mayWrite has no error, and returns their names.
type edit func(mayWrite func(path string) error) (written []string, err error)

// edits are those that can be applied, by names that nobody can guess.
type edits struct {
	mu     sync.Mutex
	names  []string // the oldest first
	byName map[string]edit
}

func (e *edits) keep(one edit) (name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byName == nil {
		e.byName = make(map[string]edit)
	}
	if len(e.names) == maxEdits {
		delete(e.byName, e.names[0])
		e.names = e.names[1:]
	}
	name = rand.Text()
	e.names = append(e.names, name)
	e.byName[name] = one
	return name
}

// get returns an edit, or nil if there is none of that name any more.
func (e *edits) get(name string) edit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byName[name]
}

// effect says what a call would do that could change something.
func (s *Server) effect(c Call) string {
	if s.options.Config != "" {
		return fmt.Sprintf("If the preflight allows it, %s %s runs through the routes of %s, and a reverse_proxy there calls its upstream. What that does is done.", c.Method, c.URL, filepath.Base(s.options.Config))
	}
	return fmt.Sprintf("If the preflight allows it, %s %s is really made. What the server does is done.", c.Method, c.URL)
}

// readJSON reads what the page sends. It reports false if it has answered instead.
func readJSON(w http.ResponseWriter, r *http.Request, value any) bool {
	if r.Header.Get("Content-Type") != "application/json" {
		answer(w, http.StatusUnsupportedMediaType, Problem{Error: "The page sends application/json."})
		return false
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCall))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, Problem{Error: fmt.Sprintf("What the page has sent cannot be read: %v.", err)})
		return false
	}
	return true
}

// answer sends a value as JSON, in which nothing could be taken for markup.
func answer(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it has nothing that JSON does not
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // a browser that has gone does not need it
}
