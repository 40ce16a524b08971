package ui

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/denials"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// A Call is what the form of the page has: the arguments of "caddy cors check", by their names.
type Call struct {
	URL           string   `json:"url"`
	Origin        string   `json:"origin"`
	Method        string   `json:"method,omitempty"`
	Headers       []string `json:"headers,omitempty"` // as "Name: value"
	Credentials   bool     `json:"credentials,omitempty"`
	Reads         []string `json:"reads,omitempty"`
	Kind          string   `json:"kind,omitempty"`
	NoCORS        bool     `json:"no_cors,omitempty"`
	Body          string   `json:"body,omitempty"`
	Cookie        string   `json:"cookie,omitempty"`
	PreflightOnly bool     `json:"preflight_only,omitempty"`
}

// arguments are the command's.
func (c Call) arguments() ([]string, error) {
	var flags []string
	add := func(name, value string) {
		if value != "" {
			flags = append(flags, name+"="+value)
		}
	}
	add("--origin", c.Origin)
	add("--method", c.Method)
	for _, field := range c.Headers {
		add("--header", field)
	}
	for _, name := range c.Reads {
		add("--reads", name)
	}
	add("--kind", c.Kind)
	add("--cookie", c.Cookie)
	if strings.HasPrefix(c.Body, "@") { // no page names files to this server
		return nil, errors.New("a body that begins with @ is the name of a file to the command, and the page reads no files: caddy cors check --data takes it")
	}
	add("--data", c.Body)
	for name, set := range map[string]bool{"--credentials": c.Credentials, "--no-cors": c.NoCORS, "--preflight-only": c.PreflightOnly} {
		if set {
			flags = append(flags, name)
		}
	}
	return append(flags, "--", c.URL), nil
}

// isSafe reports whether the call's own request changes nothing (RFC 9110, section 9.2.1).
func (c Call) isSafe() bool {
	method := strings.ToUpper(c.Method)
	if method == "" && (c.Body != "" || c.Kind == string(fetch.KindBeacon)) {
		method = http.MethodPost
	}
	return c.PreflightOnly || slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions}, method)
}

// read reads the call as the command reads its arguments, whose errors say what to write instead.
func (s *Server) read(c Call) (*check.Check, error) {
	arguments, err := c.arguments()
	if err != nil {
		return nil, err
	}
	if s.options.Config != "" {
		arguments = append([]string{"--config", s.options.Config}, arguments...)
		if s.options.Adapter != "" {
			arguments = append([]string{"--adapter", s.options.Adapter}, arguments...)
		}
	}
	cmd := check.Command(s.options.Handler)
	if err := cmd.ParseFlags(arguments); err != nil {
		return nil, fmt.Errorf("the call cannot be read: %w", err)
	}
	return check.Parse(caddycmd.Flags{FlagSet: cmd.Flags()}, cmd.Flags().Args())
}

// callOf is the call of which a request was denied, as far as the denial tells.
func callOf(d denials.Denial) Call {
	c := Call{URL: d.URL(), Origin: d.Origin, Method: d.Method}
	for _, name := range d.HeaderNames() {
		c.Headers = append(c.Headers, name+": 1") // the name is what counts
	}
	return c
}
