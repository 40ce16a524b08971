// Package livecaddy runs a real Caddy in a test's own process, on free ports of the loopback interface. There is one
// Caddy a process, so tests that use it do not run in parallel.
package livecaddy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // as in the caddy command
)

// A Server is a running Caddy.
type Server struct {
	// HTTPPort and HTTPSPort are where sites listen whose addresses have no port, http:// and https:// ones.
	HTTPPort, HTTPSPort string

	t   testing.TB
	dir string // its storage and its log
}

// given are the ports that FreePort has returned.
var given sync.Map

// FreePort returns a port that nobody listens on, for TCP and for UDP, and that it has not returned before.
func FreePort(t testing.TB) string {
	t.Helper()
	for range 100 {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		_, port, _ := net.SplitHostPort(tcp.Addr().String())
		tcp.Close()
		if err != nil {
			continue
		}
		udp.Close()
		if _, again := given.LoadOrStore(port, true); !again {
			return port
		}
	}
	t.Fatal("no port is free for both TCP and UDP")
	return ""
}

// Start runs Caddy with the sites of a Caddyfile, which has no global options but those given. It stops with the test.
func Start(t testing.TB, caddyfile string, globalOptions ...string) *Server {
	t.Helper()
	s := newServer(t)
	s.Load(s.adapt(caddyfile, append(globalOptions, "default_bind 127.0.0.1")...))
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Validate provisions Caddy with the sites of a Caddyfile and global options, but does not start it, and returns what it logged.
func Validate(t testing.TB, caddyfile string, globalOptions ...string) (log string) {
	t.Helper()
	s := newServer(t)
	var config caddy.Config
	if err := json.Unmarshal(s.adapt(caddyfile, globalOptions...), &config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		t.Fatal(err)
	}
	return s.Log()
}

func newServer(t testing.TB) *Server {
	t.Helper()
	return &Server{HTTPPort: FreePort(t), HTTPSPort: FreePort(t), t: t, dir: t.TempDir()}
}

// LinesBefore is how many lines are before the sites in the Caddyfiles of this package, without further global options.
const LinesBefore = 13

// adapt logs at the level INFO. At DEBUG, Caddy's TLS app reads itself in a handshake, for a log entry, while it may still
// be starting, which the race detector minds.
func (s *Server) adapt(sites string, globalOptions ...string) json.RawMessage {
	s.t.Helper()
	caddyfile := fmt.Sprintf(`{
	admin off
	persist_config off
	skip_install_trust
	grace_period 1s
	storage file_system %q
	http_port %s
	https_port %s
	log {
		output file %q
	}
	%s
}
%s`, filepath.Join(s.dir, "storage"), s.HTTPPort, s.HTTPSPort, s.logFile(), strings.Join(globalOptions, "\n\t"), sites)
	config, err := Adapt(caddyfile)
	if err != nil {
		s.t.Fatalf("%v, in:\n%s", err, caddyfile)
	}
	return config
}

// Site runs Caddy with one plain HTTP site that has these directives, and returns its URL without a trailing slash.
func Site(t testing.TB, directives string) string {
	t.Helper()
	url := "http://127.0.0.1:" + FreePort(t)
	Start(t, url+" {\n"+directives+"\n}\n")
	return url
}

// Load replaces the configuration, as a reload does.
func (s *Server) Load(config []byte) {
	s.t.Helper()
	if err := caddy.Load(config, true); err != nil {
		s.t.Fatalf("%v, in:\n%s", err, config)
	}
}

// Reload replaces the sites and the global options.
func (s *Server) Reload(caddyfile string, globalOptions ...string) {
	s.t.Helper()
	s.Load(s.adapt(caddyfile, globalOptions...))
}

// Log returns what Caddy has logged so far, a line of JSON an entry.
func (s *Server) Log() string {
	s.t.Helper()
	log, err := os.ReadFile(s.logFile())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(log)
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "caddy.log") }

// TLS returns a client's configuration that trusts the certificates of this Caddy's own authority, as "tls internal"
// issues them. With on_demand, a site has its certificate from the first handshake on.
func (s *Server) TLS() *tls.Config {
	s.t.Helper()
	root, err := os.ReadFile(filepath.Join(s.dir, "storage", "pki", "authorities", "local", "root.crt"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(root) {
		s.t.Fatal("Caddy's root certificate is none")
	}
	return &tls.Config{RootCAs: roots}
}

// Adapt turns a Caddyfile into the JSON configuration.
func Adapt(caddyfile string) (json.RawMessage, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	return config, err
}
