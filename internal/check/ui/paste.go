package ui

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// maxPaste bounds what is read: archives of a day are long.
const maxPaste = 1 << 30

// A Paste is what was recognized in what the browser gave a person.
type Paste struct {
	Source string       `json:"source"`
	Unread []string     `json:"unread,omitempty"` // what a text has besides the calls and could not be read
	Calls  []PastedCall `json:"calls"`

	// Archive is the name of a HAR, to ask for the report on one of its calls, and Gaps is what its browser has not written
	// down.
	Archive string   `json:"archive,omitempty"`
	Gaps    []string `json:"gaps,omitempty"`
}

// A PastedCall is one of its calls.
type PastedCall struct {
	Call    Call      `json:"call"`
	Missing []Missing `json:"missing,omitempty"`
	Count   int       `json:"count"`

	// Of a HAR, by its recorded answers.
	Verdict string `json:"verdict,omitempty"`
	Cause   string `json:"cause,omitempty"` // its code
	Status  int    `json:"status,omitempty"`
}

// A Missing is something that has to be filled in.
type Missing struct {
	Need   string `json:"need"`
	Likely string `json:"likely,omitempty"`
}

// readPaste reads what was pasted or dropped. Nothing is asked of any server.
func (s *Server) readPaste(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") != "application/octet-stream" {
		answer(w, http.StatusUnsupportedMediaType, Problem{Error: "The page sends application/octet-stream."})
		return
	}
	paste, err := pasted.Read(http.MaxBytesReader(w, r.Body, maxPaste))
	if err != nil {
		status := http.StatusUnprocessableEntity
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		answer(w, status, Problem{Error: err.Error()})
		return
	}
	shown := Paste{Source: string(paste.Source), Unread: paste.Unread, Calls: make([]PastedCall, len(paste.Calls))}
	var unsure atomic.Int64
	pasted.InParallel(len(paste.Calls), func(i int) {
		call := &paste.Calls[i]
		shown.Calls[i] = describe(r.Context(), call)
		if shown.Calls[i].Verdict == string(fetch.Allowed) && call.JudgeWithCredentials(r.Context()) != nil {
			unsure.Add(1)
		}
	})
	if paste.Source == pasted.HAR {
		shown.Archive = s.archives.keep(paste.Calls)
		shown.Gaps = check.Gaps(paste, int(unsure.Load()))
	}
	answer(w, http.StatusOK, shown)
}

// describe says what is known of a call. One of a HAR is judged.
func describe(ctx context.Context, c *pasted.Call) PastedCall {
	shown := PastedCall{Count: c.Count}
	for _, m := range c.Missing {
		shown.Missing = append(shown.Missing, Missing{string(m.Need), m.Likely})
	}
	if c.Recorded != nil {
		shown.Status = c.Recorded.Status()
		result, err := c.Judge(ctx) // which may find out that the call had credentials
		switch {
		case err != nil:
			shown.Verdict = check.VerdictUnknown
		case result.Cause != nil:
			shown.Verdict, shown.Cause = string(result.Verdict), string(result.Cause.Code)
		default:
			shown.Verdict = string(result.Verdict)
		}
	}
	shown.Call = callOfPasted(c)
	return shown
}

// callOfPasted is a call as the form has it.
func callOfPasted(c *pasted.Call) Call {
	call := Call{
		URL: c.URL, Origin: c.Origin, Method: c.Method, Credentials: c.Credentials, Kind: string(c.Kind),
		NoCORS: c.NoCORS, Body: string(c.Body), Cookie: c.Cookie,
	}
	for _, field := range c.Header {
		call.Headers = append(call.Headers, field.Name+": "+field.Value)
	}
	return call
}

// recorded sends the report on a call of a HAR.
func (s *Server) recorded(w http.ResponseWriter, r *http.Request) {
	calls := s.archives.get(r.PathValue("archive"))
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 0 || number >= len(calls) {
		answer(w, http.StatusNotFound, Problem{Error: "This archive is not here any more: drop it again."})
		return
	}
	call := calls[number]
	report := check.Recorded(r.Context(), &call)
	asked := callOfPasted(&call)
	answer(w, http.StatusOK, Result{Call: asked, Report: report, Share: share(report.Text(check.Of(&call)), asked, report)})
}

// archives has the calls of the HAR that was read last. There is one, because it may be large.
type archives struct {
	mu    sync.Mutex
	name  string
	calls []pasted.Call
}

func (a *archives) keep(calls []pasted.Call) (name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.name, a.calls = rand.Text(), calls
	return a.name
}

func (a *archives) get(name string) []pasted.Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	if name != a.name {
		return nil
	}
	return a.calls
}
