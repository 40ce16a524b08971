package denials

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// Path is where the admin API has the list.
const Path = "/cors/denials"

// adminAPI is a module of Caddy's admin endpoint that shows and clears the list of denied requests. It needs no
// configuration, and who may use it is the endpoint's business.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.cors",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// Routes returns the one route.
func (*adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: Path, Handler: caddy.AdminHandlerFunc(serveDenials)}}
}

// A Report is the JSON of the list.
type Report struct {
	Denials []Denial `json:"denials"`
	Others  uint64   `json:"others"`
}

func serveDenials(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		list, others := Default.All()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "\t")
		return e.Encode(Report{list, others})
	case http.MethodDelete:
		Default.Clear()
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	w.Header().Set("Allow", "GET, HEAD, DELETE")
	return caddy.APIError{
		HTTPStatus: http.StatusMethodNotAllowed,
		Err:        fmt.Errorf("%s is not for %s: GET shows the list, DELETE clears it", Path, r.Method),
	}
}

// Interface guards
var _ caddy.AdminRouter = (*adminAPI)(nil)
