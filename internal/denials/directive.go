package denials

import (
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// A Directive is the cors directive that has denied a request. [NewDirective] makes those of a configuration.
type Directive struct {
	// ID tells it from the other directives of the configuration. Loading the same directive again does not change it.
	ID string

	// Server is the name of its HTTP server in Caddy's configuration.
	Server string

	// ReportOnly is true if it only watches.
	ReportOnly bool

	// Logger is where its denials are logged.
	Logger *zap.Logger

	alike alike
}

// NewDirective returns the directive with this configuration, which is being loaded for the server, or for none if that is
// nil. The server and the text of the configuration tell it from others, and among those that are alike in both, as in
// sites that import one snippet, their order does. So a reload that leaves the directive alone does not make another of it.
// [Directive.Forget] has to be called when the configuration goes.
func NewDirective(server *caddyhttp.Server, configuration []byte, reportOnly bool, logger *zap.Logger) *Directive {
	d := &Directive{ReportOnly: reportOnly, Logger: logger, alike: alike{server, sha256.Sum256(configuration)}}
	if server != nil {
		d.Server = server.Name()
	}
	d.ID = fmt.Sprintf("%s/%x/%d", d.Server, d.alike.configuration[:8], d.alike.next())
	return d
}

// Forget frees what NewDirective has taken.
func (d *Directive) Forget() {
	alikeCount.Lock()
	defer alikeCount.Unlock()
	delete(alikeCount.n, d.alike)
}

// alike are directives of one server that have the same configuration.
type alike struct {
	server        *caddyhttp.Server // of one configuration that was loaded; nil beyond servers
	configuration [sha256.Size]byte
}

// alikeCount counts them while a configuration is being loaded, one after the other in the order of the routes.
var alikeCount struct {
	sync.Mutex
	n map[alike]int
}

func (a alike) next() int {
	alikeCount.Lock()
	defer alikeCount.Unlock()
	if alikeCount.n == nil {
		alikeCount.n = make(map[alike]int)
	}
	alikeCount.n[a]++
	return alikeCount.n[a]
}
