package ui

import (
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/denials"
)

// An Allowed is what came of allowing the denials that were chosen.
type Allowed struct {
	Report *check.AllowReport `json:"report"`
	Says   [][]string         `json:"says"`           // of each of the report's allowances: a sentence, and what else there is to say
	Edit   string             `json:"edit,omitempty"` // the name of the edit, to apply it
}

// allow looks for the one edit that allows the denials that were chosen.
func (s *Server) allow(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Denials []string `json:"denials"` // by their IDs
	}
	if !readJSON(w, r, &asked) {
		return
	}
	if s.options.Config == "" {
		answer(w, http.StatusConflict, Problem{Error: "No configuration can be edited: start caddy cors ui with --config Caddyfile."})
		return
	}
	chosen := make([]denials.Denial, len(asked.Denials))
	for i, id := range asked.Denials {
		d, ok := s.watcher.denial(id)
		if !ok {
			answer(w, http.StatusNotFound, Problem{Error: "One of the selected denials is no longer in the list: select again."})
			return
		}
		chosen[i] = d
	}
	if len(chosen) == 0 {
		answer(w, http.StatusUnprocessableEntity, Problem{Error: "No denial was selected."})
		return
	}
	s.checks.Lock()
	defer s.checks.Unlock()
	of := check.Configuration{File: s.options.Config, Adapter: s.options.Adapter}
	report, err := check.Allow(r.Context(), s.options.Handler, of, check.Numbered(chosen...)...)
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, Problem{Error: fmt.Sprintf("%s cannot be edited: %v", filepath.Base(s.options.Config), err)})
		return
	}
	allowed := Allowed{Report: report, Says: make([][]string, len(report.Allowances))}
	for i, a := range report.Allowances {
		allowed.Says[i] = a.Says()
	}
	if report.Diff != "" {
		allowed.Edit = s.edits.keep(report.Write)
	}
	answer(w, http.StatusOK, allowed)
}
