package check

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// A localConfig is a configuration whose routes run in this process, for one check. It listens nowhere, and starts no
// app; what reverse proxies do is real.
type localConfig struct {
	app       *caddyhttp.App
	elsewhere http.RoundTripper // for requests that leave the configuration

	// servedBy, if not empty, is the listener that every request comes to.
	servedBy string

	// withoutEffects, if not nil, makes the configuration that handles requests that could change something, in place of this
	// one: see the function of that name. It is called at the first of these, most of which never come.
	withoutEffects func() (*localConfig, error)
	harmless       *localConfig // what it has made

	servers   map[*caddyhttp.Server]*localServer
	exchanges []*exchange
	cleanUp   []func()
}

// silence keeps Caddy's logs from the check's output.
func silence() {
	before := certmagic.Default.Storage
	_, _ = caddy.ProvisionContext(&caddy.Config{Logging: noLogs()}) // which cannot fail
	certmagic.Default.Storage = before
}

// noLogs has logs that write nothing. The default one is still for stderr, because Caddy logs it there when that changes.
func noLogs() *caddy.Logging {
	return &caddy.Logging{
		Sink: &caddy.SinkLog{BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output": "discard"}`)}},
		Logs: map[string]*caddy.CustomLog{caddy.DefaultLoggerName: {BaseLog: caddy.BaseLog{Level: "FATAL"}}},
	}
}

// provisionConfig provisions a configuration's HTTP servers, and nothing else of it that they do not need. The caller has
// to close it.
func provisionConfig(tree map[string]any, elsewhere http.RoundTripper, remembered *answers) (_ *localConfig, err error) {
	registerModules()
	var parsed caddy.Config
	if err := remarshal(tree, &parsed); err != nil {
		return nil, err
	}
	overlay := map[string]any{"module": overlayStorageName}
	if configured, needed := storageOf(tree, parsed.StorageRaw); needed {
		overlay["read"] = true
		if configured != nil {
			overlay["storage"] = configured
		}
	}
	storage, err := json.Marshal(overlay)
	if err != nil {
		return nil, err
	}
	if parsed.AppsRaw["http"] == nil {
		return nil, errors.New("it has no HTTP servers")
	}

	c := &localConfig{elsewhere: elsewhere, servers: make(map[*caddyhttp.Server]*localServer)}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	before := certmagic.Default.Storage
	c.cleanUp = append(c.cleanUp, func() { certmagic.Default.Storage = before })

	// Apps are loaded on demand, in a context that can be canceled: the one that Caddy provisions cannot.
	config := &caddy.Config{Logging: noLogs(), StorageRaw: storage}
	base, err := caddy.ProvisionContext(config)
	if err != nil {
		return nil, err
	}
	if overlay, ok := base.Storage().(*overlayStorage); ok {
		c.cleanUp = append(c.cleanUp, func() {
			if overlay.cancel != nil {
				overlay.cancel()
			}
		})
	}
	config.AppsRaw = parsed.AppsRaw
	base.Context = context.WithValue(policy.WithWitness(base.Context, witnessDecision), answersKey{}, remembered)
	ctx, cancel := caddy.NewContext(base)
	c.cleanUp = append(c.cleanUp, cancel)
	app, err := ctx.App("http")
	if err != nil {
		return nil, err
	}
	c.app = app.(*caddyhttp.App)
	return c, nil
}

// Close ends what is still running.
func (c *localConfig) Close() {
	if c.harmless != nil {
		c.harmless.Close()
	}
	for _, server := range c.servers {
		server.transport.CloseIdleConnections()
		// With their connections gone, handlers that still run are canceled. They get a moment to notice.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_ = server.Shutdown(ctx)
		cancel()
		_ = server.Close()
	}
	for _, f := range slices.Backward(c.cleanUp) {
		f()
	}
}

// isSafe reports whether a request of the method changes nothing (RFC 9110, section 9.2.1).
func isSafe(method string) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, method)
}

// RoundTrip has the request handled by the server that listens on the URL's port. The first request has to be for the
// configuration; those after it are the redirects', which may leave it.
func (c *localConfig) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.withoutEffects != nil && !isSafe(r.Method) {
		if c.harmless == nil {
			var err error
			if c.harmless, err = c.withoutEffects(); err != nil {
				return nil, err
			}
		}
		response, err := c.harmless.RoundTrip(r)
		c.exchanges = append(c.exchanges, c.harmless.exchanges[len(c.harmless.exchanges)-1])
		return response, err
	}
	e := &exchange{request: r}
	found, err := c.serverFor(r.URL)
	c.exchanges = append(c.exchanges, e)
	if err != nil {
		if len(c.exchanges) == 1 || c.elsewhere == nil {
			return nil, err
		}
		return c.elsewhere.RoundTrip(r)
	}
	for name, s := range c.app.Servers {
		if s == found.server {
			e.server = name
		}
	}
	e.via = found.via
	plain := r.Clone(r.Context())
	plain.URL.Scheme = "http"
	if e.via == viaTLSProxy {
		plain.Header.Set("X-Forwarded-Proto", "https")
		plain.Header.Set("X-Forwarded-Host", r.URL.Host)
		plain.Header.Set("X-Forwarded-For", loopbackAddr.IP.String())
	}
	if c.servers[found.server] == nil {
		c.servers[found.server] = c.newLocalServer(found.server)
	}
	response, err := c.servers[found.server].transport.RoundTrip(plain)
	if err == nil {
		e.status, e.header = response.StatusCode, response.Header
		if r.URL.Scheme == "https" && (len(found.server.Protocols) == 0 || slices.Contains(found.server.Protocols, "h2")) {
			response.Proto, response.ProtoMajor, response.ProtoMinor = "HTTP/2.0", 2, 0 // as it would be over TLS
		}
	}
	return response, err
}

// A localServer is a server of the configuration as it is reached on one of its ports, over connections that are in
// memory.
type localServer struct {
	http.Server
	transport *http.Transport
}

// A notLocalError says that the configuration has no server for a URL.
type notLocalError struct{ error }

// A via is what stands between the browser and a server of the configuration.
type via string

const (
	viaTLSProxy    via = "tls-proxy"    // that takes https, and speaks http to the server
	viaPortMapping via = "port-mapping" // of a container, or a proxy that passes connections on
)

// A servedBy is a server of the configuration that a URL comes to.
type servedBy struct {
	server *caddyhttp.Server
	listen string // its address
	via    via    // empty if it listens on the URL's own port
}

// serverFor finds the server as a connection would: by the port and TLS. Of several, it is the one that listens on the
// URL's own address, or on all. Where none does, it is one that serves the host behind a proxy or a port mapping.
func (c *localConfig) serverFor(u *url.URL) (servedBy, error) {
	https := u.Scheme == "https"
	ports := []int{80, c.app.HTTPPort}
	if https {
		ports = []int{443, c.app.HTTPSPort}
	}
	if text := u.Port(); text != "" {
		port, _ := strconv.Atoi(text) // the URL was parsed
		ports = []int{port}
	}
	httpPort := c.app.HTTPPort
	if httpPort == 0 {
		httpPort = caddyhttp.DefaultHTTPPort
	}
	var found, behind servedBy
	best, bestBehind := -1, -1
	var listening []string
	for _, name := range slices.Sorted(maps.Keys(c.app.Servers)) {
		server := c.app.Servers[name]
		for _, listen := range server.Listen {
			address, err := caddy.ParseNetworkAddress(listen)
			if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() {
				continue
			}
			here := address.JoinHostPort(0)
			listening = append(listening, here)
			secure := len(server.TLSConnPolicies) > 0 && int(address.StartPort) != httpPort
			onPort := slices.ContainsFunc(ports, func(port int) bool {
				return port > 0 && uint(port) >= address.StartPort && uint(port) <= address.EndPort
			})
			rank := rankOfAddress(address.Host, u.Hostname())
			if c.servedBy != "" && c.servedBy != here && c.servedBy != listen {
				continue
			}
			if onPort && secure == https {
				if rank > best {
					best, found = rank, servedBy{server: server, listen: here}
				}
				continue
			}
			if secure && !https { // a proxy that takes http, and speaks https to the server, is not one that people run
				continue
			}
			rank = 0 // the host that a proxy calls is its own affair
			passes := viaPortMapping
			if secure != https {
				passes = viaTLSProxy
			}
			if passes == viaPortMapping {
				rank += 2
			}
			if onlyRedirects(server) {
				rank -= 8
			}
			if _, ok := servesHost(server, u.Host); ok {
				rank += 4
			} else if c.servedBy == "" {
				continue
			}
			if rank > bestBehind {
				bestBehind, behind = rank, servedBy{server, here, passes}
			}
		}
	}
	if found.server == nil && behind.server != nil {
		found = behind
	}
	switch {
	case found.server == nil && c.servedBy != "":
		return found, notLocalError{fmt.Errorf("--served-by %s: no server of this configuration listens there; they listen on %s", c.servedBy, strings.Join(listening, ", "))}
	case found.server == nil:
		return found, notLocalError{fmt.Errorf("no server of this configuration listens on port %d, and none is for %s behind a proxy; they listen on %s", ports[0], u.Host, strings.Join(listening, ", "))}
	}
	if hosts, ok := servesHost(found.server, u.Host); !ok {
		return found, notLocalError{fmt.Errorf("no site of this configuration is for %s; on that port, there is %s", u.Host, strings.Join(hosts, ", "))}
	}
	return found, nil
}

// rankOfAddress says how near the address that a server listens on is to the host of a URL.
func rankOfAddress(listens, host string) int {
	switch listens {
	case host:
		return 3
	case "", "0.0.0.0", "::":
		return 2
	case "127.0.0.1", "::1", "localhost":
		return 1
	}
	return 0
}

// onlyRedirects reports whether a server is one that Caddy adds for redirects to https.
func onlyRedirects(server *caddyhttp.Server) bool {
	return !slices.ContainsFunc(server.Routes, func(route caddyhttp.Route) bool {
		return !slices.ContainsFunc(route.Handlers, func(h caddyhttp.MiddlewareHandler) bool {
			response, ok := h.(caddyhttp.StaticResponse) // Caddy's own are not pointers
			return ok && response.StatusCode == "308" && response.Close
		})
	})
}

// servesHost reports whether any route of the server is for the host, as far as its own matchers tell, and which hosts they
// name: those of the matcher that matches, and none if it is for every host.
func servesHost(server *caddyhttp.Server, hostport string) (hosts []string, ok bool) {
	r := &http.Request{Host: hostport, Header: http.Header{}}
	r = r.WithContext(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	for _, route := range server.Routes {
		if len(route.MatcherSets) == 0 {
			return nil, true
		}
		for _, set := range route.MatcherSets {
			named := false
			for _, matcher := range set {
				var names caddyhttp.MatchHost
				switch m := matcher.(type) {
				case *caddyhttp.MatchHost:
					names = *m
				case caddyhttp.MatchHost:
					names = m
				default:
					continue
				}
				named = true
				hosts = append(hosts, names...)
				if matches, err := names.MatchWithError(r); err == nil && matches {
					return names, true
				}
			}
			if !named {
				return nil, true
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts), false
}

// newLocalServer makes the server's end and the client's of connections in memory, so that what handles requests is Go's
// own HTTP server, as ever.
func (c *localConfig) newLocalServer(server *caddyhttp.Server) *localServer {
	listener := &memoryListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	s := &localServer{transport: &http.Transport{DialContext: listener.dial}}
	s.Server = http.Server{
		MaxHeaderBytes: server.MaxHeaderBytes,
		ErrorLog:       log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e := c.exchanges[len(c.exchanges)-1] // requests are made one at a time
			if e.request.URL.Scheme == "https" {
				r.TLS = &tls.ConnectionState{
					Version: tls.VersionTLS13, HandshakeComplete: true, CipherSuite: tls.TLS_AES_128_GCM_SHA256,
					ServerName: e.request.URL.Hostname(), NegotiatedProtocol: "http/1.1",
				}
			}
			w = &answerWriter{ResponseWriterWrapper: caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, exchange: e}
			server.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, e)))
		}),
	}
	go func() { _ = s.Serve(listener) }() // until it is closed
	return s
}

// A memoryListener is both ends of connections that no network carries.
type memoryListener struct {
	conns     chan net.Conn
	closed    chan struct{}
	closeOnce sync.Once
}

func (l *memoryListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, served := net.Pipe()
	select {
	case l.conns <- loopbackConn{served}:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr implements [net.Listener].
func (l *memoryListener) Addr() net.Addr { return loopbackAddr }

// Close implements [net.Listener].
func (l *memoryListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return nil
}

// A loopbackConn seems to come from this machine.
type loopbackConn struct{ net.Conn }

// LocalAddr implements [net.Conn].
func (loopbackConn) LocalAddr() net.Addr { return loopbackAddr }

// RemoteAddr implements [net.Conn].
func (loopbackConn) RemoteAddr() net.Addr { return loopbackAddr }

var loopbackAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
