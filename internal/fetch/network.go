package fetch

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// maxHeader is the most that browsers take of a response's header: Chromium's limit, in bytes.
const maxHeader = 256 << 10

// userAgent is the User-Agent of all requests whose script sets none.
const userAgent = "Mozilla/5.0 (compatible; caddy-cors)"

// networkOrCacheFetch is "HTTP-network-or-cache fetch" (section 4.6), without a cache.
func (f *fetch) networkOrCacheFetch() (*response, error) {
	header := f.requestHeader()
	credentials := f.includesCredentials()
	if credentials && f.cookie != "" && f.currentURL().Hostname() == f.urls[0].Hostname() {
		header.Set("Cookie", f.cookie)
	}
	f.warnCookie(header)
	response, err := f.networkFetch(f.method, header, f.body, false)
	if err != nil {
		return nil, err
	}
	response.includesCredentials = credentials
	return response, nil
}

// includesCredentials is the includeCredentials of that.
func (f *fetch) includesCredentials() bool {
	return (f.include() || f.tainting == basic) && f.embedderPolicyAllowsCredentials()
}

// networkFetch is "HTTP-network fetch" (section 4.7).
func (f *fetch) networkFetch(method string, header http.Header, body []byte, preflight bool) (*response, error) {
	request, err := f.newHTTPRequest(method, header, body)
	if err != nil {
		return nil, err
	}
	answer, err := f.client.Transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, f.current(), err)
	}
	drain(answer)

	r := &response{status: answer.StatusCode, header: make(http.Header, len(answer.Header))}
	size := 0
	for name, values := range answer.Header {
		for _, value := range values {
			size += len(name) + len(": ") + len(value) + len("\r\n")
			r.header.Add(name, fetchspec.NormalizeValue(value))
		}
	}
	algorithm, at := "HTTP-network fetch", AtResponse
	if preflight {
		algorithm, at = "CORS-preflight fetch", AtPreflight
	}
	if size > maxHeader {
		return nil, f.networkError(HeadersTooLarge, at, fmt.Sprintf("net::ERR_RESPONSE_HEADERS_TOO_BIG: the response's header has %d bytes, and browsers take %d at most.", size, maxHeader), fmt.Sprint(size))
	}
	f.result.Header = r.header
	f.step(algorithm, Answered, f.current(), fmt.Sprintf("%s %s: %d", method, f.current(), r.status))
	f.result.Steps[len(f.result.Steps)-1].Exchange = &Exchange{
		Preflight:      preflight,
		Method:         method,
		RequestHeader:  header.Clone(),
		Status:         r.status,
		ResponseHeader: r.header,
	}
	f.http1 = answer.ProtoMajor == 1
	return r, nil
}

// newHTTPRequest makes the request for Go's client, with the fields that browsers add to each.
func (f *fetch) newHTTPRequest(method string, header http.Header, body []byte) (*http.Request, error) {
	u := f.currentURL()
	if includesCredentials(u) { // which browsers send only when they are asked to
		u = u.Clone()
		u.SetUsername("")
		u.SetPassword("")
	}
	var reader io.Reader
	switch {
	case body != nil && f.kind == KindStream:
		reader = io.MultiReader(bytes.NewReader(body)) // whose length Go's client does not know
	case body != nil:
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(f.ctx, method, u.Href(true), reader)
	if err != nil { // Go's parser is stricter on paths and queries
		request, err = http.NewRequestWithContext(f.ctx, method, originOf(u), reader)
		if err != nil {
			return nil, err
		}
		request.URL = &url.URL{Scheme: u.Scheme(), Host: u.Host(), Opaque: u.Pathname(), RawQuery: u.Query()}
	}

	if isPotentiallyTrustworthy(u) { // Fetch Metadata
		mode, destination := f.mode, f.info.destination
		if method == http.MethodOptions && header.Get("Access-Control-Request-Method") != "" {
			mode = modeCORS
		}
		if destination == "" {
			destination = "empty"
		}
		header.Set("Sec-Fetch-Dest", destination)
		header.Set("Sec-Fetch-Mode", mode)
		header.Set("Sec-Fetch-Site", f.site())
	}
	// Browsers take what they can decode. With a value here, Go leaves the response as it is.
	header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	if header.Get("Range") != "" {
		header.Set("Accept-Encoding", "identity")
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", userAgent)
	}
	if f.kind == KindEventSource || f.kind == KindWebSocket { // the cache mode "no-store"
		header.Set("Pragma", "no-cache")
		header.Set("Cache-Control", "no-cache")
	}
	if f.kind == KindWebSocket { // RFC 6455, section 4.1
		key := make([]byte, 16)
		_, _ = rand.Read(key) // which never fails
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
		header.Set("Sec-WebSocket-Version", "13")
		header.Set("Sec-WebSocket-Key", base64.StdEncoding.EncodeToString(key))
	}
	request.Header = header
	return request, nil
}

// requestHeader has the script's fields and the Origin.
func (f *fetch) requestHeader() http.Header {
	header := make(http.Header)
	for _, field := range combine(f.header) {
		header.Set(field.Name, field.Value)
	}
	if value := f.originHeader(); value != "" {
		header.Set("Origin", value)
	}
	return header
}

// originHeader is "append a request `Origin` header" (section 3.1), under the referrer policy that pages have by default.
func (f *fetch) originHeader() string {
	switch {
	case f.tainting == cors || f.mode == modeWebSocket:
		return f.serializedOrigin()
	case f.method == http.MethodGet || f.method == http.MethodHead:
		return ""
	case f.mode != modeCORS && strings.HasPrefix(f.origin, "https:") && f.currentURL().Scheme() != "https":
		return origin.Null
	}
	return f.serializedOrigin()
}

// site is the value of Sec-Fetch-Site (Fetch Metadata, section 2.4).
func (f *fetch) site() string {
	site := "same-origin"
	for _, u := range f.urls {
		switch o := originOf(u); {
		case sameOrigin(o, f.origin):
		case sameSite(o, f.origin):
			site = "same-site"
		default:
			return "cross-site"
		}
	}
	return site
}

// maxDrained is how much of a body is read, so that the connection can be used again. No algorithm needs any of it.
const maxDrained = 4 << 10

func drain(answer *http.Response) {
	if answer.StatusCode != http.StatusSwitchingProtocols && answer.ContentLength >= 0 && answer.ContentLength <= maxDrained {
		_, _ = io.Copy(io.Discard, answer.Body) // whatever comes of it
	}
	answer.Body.Close()
}
