package check

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2"
)

// A rememberingSource stands for a source of origins that asks somebody else. The first call asks; a trial has the answers that
// it got, and asks nobody.
type rememberingSource struct {
	AskedRaw json.RawMessage `json:"asked" caddy:"namespace=http.cors.origins inline_key=source"`

	asked interface {
		AllowsOrigin(ctx context.Context, origin string) bool
	}
	key     string
	answers *answers
}

const rememberingName = "cors_check"

// answers are those of the sources of one check.
type answers struct {
	mu    sync.Mutex
	known map[string]bool // by the source and what it was asked
	ask   bool            // whether others may be asked
}

type answersKey struct{}

// rememberAnswers puts a remembering source in the place of each that asks somebody else.
func rememberAnswers(handler map[string]any) {
	walk(handler, "", func(_ string, o map[string]any) {
		for i, source := range array(o, "allow_origins_from") {
			if s, ok := source.(map[string]any); ok && s["source"] == "ask" {
				array(o, "allow_origins_from")[i] = map[string]any{"source": rememberingName, "asked": s}
			}
		}
	})
}

// CaddyModule returns the Caddy module information.
func (*rememberingSource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.cors.origins." + rememberingName,
		New: func() caddy.Module { return new(rememberingSource) },
	}
}

// Provision loads the source.
func (s *rememberingSource) Provision(ctx caddy.Context) error {
	s.key = string(s.AskedRaw)
	module, err := ctx.LoadModule(s, "AskedRaw")
	if err != nil {
		return err
	}
	var ok bool
	if s.asked, ok = module.(interface {
		AllowsOrigin(ctx context.Context, origin string) bool
	}); !ok {
		return fmt.Errorf("the module %T is not a source of origins", module)
	}
	s.answers, _ = ctx.Value(answersKey{}).(*answers)
	return nil
}

// RequestPlaceholders returns those of the source.
func (s *rememberingSource) RequestPlaceholders() []string {
	if source, ok := s.asked.(interface{ RequestPlaceholders() []string }); ok {
		return source.RequestPlaceholders()
	}
	return nil
}

// AllowsOrigin asks the source, or remembers its answer.
func (s *rememberingSource) AllowsOrigin(ctx context.Context, origin string) bool {
	if s.answers == nil {
		return s.asked.AllowsOrigin(ctx, origin)
	}
	key := s.key + " " + origin
	e := exchangeOf(ctx)
	if e != nil {
		key += " " + e.request.Host + e.request.URL.Host // which its URL can depend on
	}
	s.answers.mu.Lock()
	allowed, known := s.answers.known[key]
	s.answers.mu.Unlock()
	if known {
		return allowed
	}
	if !s.answers.ask {
		if e != nil {
			e.mu.Lock()
			e.leftOut = append(e.leftOut, "allow_origins_from ask")
			e.mu.Unlock()
		}
		return false
	}
	allowed = s.asked.AllowsOrigin(ctx, origin)
	s.answers.mu.Lock()
	defer s.answers.mu.Unlock()
	s.answers.known[key] = allowed
	return allowed
}

// Interface guards
var _ caddy.Provisioner = (*rememberingSource)(nil)
