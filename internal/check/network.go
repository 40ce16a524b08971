package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// requestTimeout is how long a server may take to answer one request.
const requestTimeout = 10 * time.Second

// newNetwork returns the transport to live servers. It resolves some addresses ("host:port") as it is told, and localhost
// and all names below it to loopback, as browsers do.
func newNetwork(resolve map[string]string, insecure bool) *http.Transport {
	dialer := &net.Dialer{}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if resolved, ok := resolve[strings.ToLower(address)]; ok {
				return dialer.DialContext(ctx, network, resolved)
			}
			host, port, _ := net.SplitHostPort(address)
			if host != "localhost" && !strings.HasSuffix(host, ".localhost") {
				return dialer.DialContext(ctx, network, address)
			}
			conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			if errors.Is(err, connRefused) {
				if conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); err == nil {
					return conn, nil
				}
			}
			return conn, err
		},
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: insecure},
	}
}

// A timed transport gives each request its time, which ends at the latest when its response is closed.
type timed struct {
	http.RoundTripper
	limit time.Duration
}

// RoundTrip makes the request.
func (t timed) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), t.limit, errTimeout)
	response, err := t.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		switch context.Cause(ctx) {
		case errTimeout:
			err = fmt.Errorf("%w within %v", errTimeout, t.limit)
		case errMaxTime:
			err = errMaxTime
		}
		cancel()
		return nil, err
	}
	response.Body = cancelingBody{response.Body, cancel}
	return response, nil
}

var (
	errTimeout = errors.New("no answer")
	errMaxTime = errors.New("all requests together take longer than --max-time allows")
)

// A cancelingBody ends its request when it is closed.
type cancelingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends the request.
func (b cancelingBody) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// explainFailure says in a sentence why a server could not be asked, and with which code.
func explainFailure(err error) (code, message string) {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		alert     tls.AlertError
		noTLS     tls.RecordHeaderError
	)
	const insecure = " A browser would not go on either, unless it trusts it; with --insecure, the check does."
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted", "The check was interrupted."
	case errors.Is(err, fetch.ErrNoPreflight):
		return "no-preflight", "The call needs no preflight, so with --preflight-only there is nothing to ask."
	case errors.Is(err, fetch.ErrNotRecorded):
		return "not-recorded", "The archive has no answer to this request: it was not sent, or nothing came back."
	case errors.Is(err, errTimeout), errors.Is(err, errMaxTime), errors.Is(err, context.DeadlineExceeded):
		return "timeout", fmt.Sprintf("The server does not answer: %v.", err)
	case errors.As(err, &dns):
		return "dns", fmt.Sprintf("The address of %q cannot be found: %v. If the name is only known elsewhere, say where the server is with --resolve.", dns.Name, err)
	case errors.Is(err, connRefused):
		return "connection-refused", fmt.Sprintf("Nobody listens there: %v.", err)
	case errors.As(err, &noTLS), errors.Is(err, http.ErrSchemeMismatch):
		return "tls", fmt.Sprintf("The server does not speak TLS on that port; is it meant to be an http:// URL? %v.", err)
	case errors.As(err, &hostname), errors.As(err, &authority), errors.As(err, &invalid), errors.As(err, &verify):
		return "tls", fmt.Sprintf("The server's certificate is not trusted: %v.", err) + insecure
	case errors.As(err, &alert), strings.Contains(err.Error(), "tls: "):
		return "tls", fmt.Sprintf("The server and the check do not agree on TLS: %v.", err)
	}
	return "failed", fmt.Sprintf("The request fails: %v.", err)
}
