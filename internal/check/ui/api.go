package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"

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
		Admin  string `json:"admin"`
	}{name, s.options.Admin})
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
	answer(w, http.StatusOK, struct {
		Call   Call          `json:"call"`
		Report *check.Report `json:"report"`
	}{asked.Call, c.Run(r.Context(), s.options.Handler)})
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
