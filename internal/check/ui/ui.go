// Package ui is "caddy cors ui": a page on loopback that shows what "caddy cors check" and "caddy cors denials" say, and the
// server of that page. It has no rule of its own: what is shown is what those have found out.
//
// The server can read the configuration and may be allowed to write it, so whom it answers is the first thing it decides;
// see guard.go.
package ui

import (
	"context"
	"embed"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/denials"
)

// Options are what the page is about.
type Options struct {
	// Handler is what the check needs of the cors handler.
	Handler check.Handler

	// Config is the path of the configuration that calls are checked against; empty for live servers. Adapter is the name of
	// its adapter, if its file name does not tell.
	Config, Adapter string

	// Write says that edits may be written to the files of the configuration.
	Write bool

	// Admin is the address of the admin API that has the denials, as Caddy writes addresses.
	Admin string
}

// A Server serves the page. Whoever has its token can use it.
type Server struct {
	options Options
	guard   *guard
	handler http.Handler
	watcher *watcher

	// checks is held during a check: one that runs a configuration sets what is global in Caddy.
	checks sync.Mutex

	edits    edits
	archives archives
}

// NewServer returns a server of the page for the host that browsers ask for it by, such as "127.0.0.1:41234".
func NewServer(host string, options Options) *Server {
	s := &Server{options: options, guard: newGuard(host)}
	s.watcher = newWatcher(func() (*denials.Report, error) { return ask(options.Admin) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", servePage("index.html"))
	for _, name := range []string{"style.css", "app.js", "call.js", "denials.js", "dom.js", "drawing.js", "edit.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, servePage(name))
	}
	mux.HandleFunc("GET /api/about", s.about)
	mux.HandleFunc("GET /api/denials", s.denials)
	mux.HandleFunc("POST /api/check", s.check)
	mux.HandleFunc("POST /api/allow", s.allow)
	mux.HandleFunc("POST /api/apply", s.apply)
	mux.HandleFunc("POST /api/read", s.readPaste)
	mux.HandleFunc("GET /api/recorded/{archive}/{number}", s.recorded)
	s.handler = s.guard.around(mux)
	return s
}

// ServeHTTP serves the page to those who may see it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Link is the URL that opens the page, for the one who started the server.
func (s *Server) Link() string { return s.guard.link() }

// Serve serves the page on a listener, and watches the denials, until the context is done.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	var watching sync.WaitGroup
	watching.Go(func() { s.watcher.run(ctx) })
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // which ends Serve
	defer stop()
	err := server.Serve(l)
	if ctx.Err() != nil {
		err = nil
		watching.Wait()
	}
	return err
}

//go:embed page
var page embed.FS

// servePage serves a file of the page.
func servePage(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, page, "page/"+name) }
}
