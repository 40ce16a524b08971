//go:build linux

package e2e_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A network is all that a browser can reach: names as in production, on the ports of production, each of them mapped to
// a listener on loopback. Loopback names of their own would not do: browsers exempt them from mixed content, and cookies
// and sites do not tell their ports apart.
type network struct {
	addresses map[string]string // "api.example.com:443" to "127.0.0.1:41234"
	secure    []string          // the names of https on other ports than 443 and 8443
	tls       *tls.Config       // trusts the certificates of the https ones
	direct    bool              // the names are of loopback themselves, so that no browser needs a proxy to find them
	quic      bool              // the https ones are to be called over HTTP/3, by browsers that can
}

// newNetwork maps origins such as https://api.example.com to the ports of a Caddy.
func newNetwork(t *testing.T, server *livecaddy.Server, origins ...string) network {
	t.Helper()
	n := network{addresses: make(map[string]string), tls: server.TLS()}
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil {
			t.Fatal(err)
		}
		switch u.Scheme {
		case "https":
			n.addresses[net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))] = net.JoinHostPort("127.0.0.1", server.HTTPSPort)
		case "http":
			n.addresses[u.Host+":80"] = net.JoinHostPort("127.0.0.1", server.HTTPPort)
		default:
			t.Fatalf("%s is neither https nor http", origin)
		}
	}
	return n
}

// dial connects to a name of the network, and to nothing else.
func (n network) dial(ctx context.Context, _, name string) (net.Conn, error) {
	address, ok := n.addresses[name]
	if !ok {
		return nil, fmt.Errorf("%s is not in the network", name)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// client is an HTTP client in the network, one that knows nothing of CORS.
func (n network) client(t *testing.T) *http.Client {
	transport := &http.Transport{DialContext: n.dial, TLSClientConfig: n.tls, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// certificates returns, by their names in the network, the chain that each TLS server shows, verified.
func (n network) certificates(t testing.TB) map[string][]*x509.Certificate {
	t.Helper()
	chains := make(map[string][]*x509.Certificate)
	for name := range n.addresses {
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			t.Fatal(err)
		}
		if port != "443" && port != "8443" && !slices.Contains(n.secure, name) { // those of https
			continue
		}
		conn, err := n.dial(t.Context(), "tcp", name)
		if err != nil {
			t.Fatal(err)
		}
		config := n.tls.Clone()
		config.ServerName = host
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		chains[name] = secure.ConnectionState().PeerCertificates
		secure.Close()
	}
	return chains
}
