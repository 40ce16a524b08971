package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// A response is what the Standard's algorithms know of one. Its values have no white space around them.
type response struct {
	status int
	header http.Header
}

// maxRedirects is the most that are followed.
const maxRedirects = 20

// run fetches, and writes the result.
func (f *fetch) run() (*Result, error) {
	r := f.result
	response, err := (*response)(nil), f.invalid
	if err == nil {
		response, err = f.mainFetch()
	}
	if errors.As(err, &r.Cause) {
		r.Verdict = Blocked
		f.step(f.failedIn(), Failed, r.Cause.URL, r.Cause.Message)
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	r.Verdict, r.Status, r.URL = Allowed, response.status, f.current()
	r.ReadableHeaders = f.readableHeaders(response)
	return r, nil
}

// mainFetch is "main fetch". Its errors are causes, the Standard's network errors, but for those that say that a server
// could not be asked.
func (f *fetch) mainFetch() (*response, error) {
	u := f.currentURL()
	if isBadPort(u) {
		return nil, f.networkError(BadPort, f.beforeRequest(), fmt.Sprintf("net::ERR_UNSAFE_PORT: browsers do not call port %s.", u.Port()), u.Port())
	}
	if err := f.blockMixedContent(); err != nil {
		return nil, err
	}

	if sameOrigin(originOf(u), f.origin) && !f.responseTainted {
		f.unsafeHeaders = f.unsafeHeaders || len(unsafeRequestHeaderNames(f.header)) > 0
		f.step("main fetch", Basic, f.current(), "The URL is of the page's own origin: CORS does not apply.")
		return f.httpFetch(false)
	}
	f.responseTainted = true
	f.warnRepeated()
	reasons := f.preflightReasons()
	if reasons == "" {
		f.warnNoPreflight()
		f.step("main fetch", CORS, f.current(), "The URL is of another origin than the page: the response has to allow it. No preflight is needed.")
		return f.httpFetch(false)
	}
	f.preflighted = true
	f.step("main fetch", Preflight, f.current(), "The URL is of another origin than the page, and a preflight is needed, because of "+reasons+".")
	response, err := f.httpFetch(true)
	if errors.As(err, new(*Cause)) {
		f.client.preflights.clear(f.cacheKey())
	}
	return response, err
}

// beforeRequest is the part that has a URL which cannot be called.
func (f *fetch) beforeRequest() Part {
	if len(f.urls) > 1 {
		return AtRedirect
	}
	return AtRequest
}

// blockMixedContent is "should fetching request be blocked as mixed content?" (Mixed Content, section 4.4).
func (f *fetch) blockMixedContent() error {
	u := f.currentURL()
	switch {
	case u.Scheme() == "https":
	case !f.prohibitsMixed:
		f.warnLoopbackPage(u)
	case isPotentiallyTrustworthy(u):
		f.warnLoopbackURL(u)
		f.step("mixed content", Passed, f.current(), "An https page may call http on loopback.")
	default:
		return f.networkError(MixedContent, f.beforeRequest(), fmt.Sprintf("Mixed Content: The page at '%s' was loaded over HTTPS, but requested an insecure resource '%s'. This request has been blocked; the content must be served over HTTPS.", f.origin, f.current()))
	}
	return nil
}

// preflightReasons says what of the request needs a preflight.
func (f *fetch) preflightReasons() string {
	var reasons []string
	if !fetchspec.IsSafelistedMethod(f.method) {
		reasons = append(reasons, "the method "+f.method)
	}
	if names := unsafeRequestHeaderNames(f.header); len(names) > 0 {
		reasons = append(reasons, "the header "+strings.Join(names, ", "))
	}
	return strings.Join(reasons, " and ")
}

// httpFetch is "HTTP fetch".
func (f *fetch) httpFetch(makePreflight bool) (*response, error) {
	if makePreflight {
		if f.preflightCached() {
			f.step("CORS-preflight cache", Cached, f.current(), "An earlier preflight has allowed it.")
		} else if err := f.preflightFetch(); err != nil {
			return nil, err
		}
	}

	response, err := f.network(f.method, f.requestHeader(), f.body, false)
	if err != nil {
		return nil, err
	}
	isRedirect := isRedirectStatus(response.status)
	if f.responseTainted {
		at := AtResponse
		if isRedirect {
			at = AtRedirect
		}
		if err := f.corsCheck(response, at); err != nil {
			return nil, err
		}
		f.warnVary(response)
	}
	if isRedirect {
		return f.redirectFetch(response)
	}
	return response, nil
}

func isRedirectStatus(status int) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, status)
}

// redirectFetch is "HTTP-redirect fetch".
func (f *fetch) redirectFetch(response *response) (*response, error) {
	const algorithm = "HTTP-redirect fetch"
	locations := response.header.Values("Location")
	if len(locations) == 0 {
		f.step(algorithm, Passed, f.current(), fmt.Sprintf("A %d without a Location is a response as any other.", response.status))
		return response, nil
	}
	locationURL, err := f.currentURL().Parse(locations[0])
	switch {
	case err != nil, len(locations) > 1:
		return nil, f.networkError(InvalidRedirect, AtRedirect, fmt.Sprintf("net::ERR_INVALID_REDIRECT: the redirect's location '%s' is not a URL.", strings.Join(locations, ", ")), locations...)
	case !isHTTP(locationURL):
		return nil, f.networkError(RedirectScheme, AtRedirect, f.corsPolicy(fmt.Sprintf("Redirect location '%s' has a disallowed scheme for cross-origin requests.", locations[0])), locationURL.Scheme())
	case len(f.urls)-1 == maxRedirects:
		return nil, f.networkError(TooManyRedirects, AtRedirect, fmt.Sprintf("net::ERR_TOO_MANY_REDIRECTS: browsers follow %d redirects at most.", maxRedirects))
	case includesCredentials(locationURL) && (f.responseTainted || !sameOrigin(f.origin, originOf(locationURL))):
		return nil, f.networkError(RedirectCredentials, AtRedirect, f.corsPolicy(fmt.Sprintf("Redirect location '%s' contains a username and password, which is disallowed for cross-origin requests.", locations[0])), locations[0])
	}
	if s := response.status; (s == 301 || s == 302) && f.method == http.MethodPost ||
		s == 303 && f.method != http.MethodGet && f.method != http.MethodHead {
		f.step(algorithm, Dropped, f.current(), fmt.Sprintf("A %d makes a GET without a body of the %s.", s, f.method))
		f.warnBodyDropped()
		f.method, f.body = http.MethodGet, nil
		f.header = slices.DeleteFunc(slices.Clone(f.header), func(field Field) bool { return fetchspec.IsRequestBodyHeaderName(field.Name) })
	}
	f.warnRedirect(locations[0], locationURL)
	if !sameOrigin(originOf(f.currentURL()), originOf(locationURL)) && f.hasHeader("Authorization") {
		f.step(algorithm, Dropped, f.current(), "The redirect is to another origin, so Authorization is left out.")
		f.headersDropped = true
		f.header = slices.DeleteFunc(slices.Clone(f.header), func(field Field) bool { return fetchspec.IsNonWildcardRequestHeaderName(field.Name) })
	}

	tainted := f.redirectTainted()
	f.urls = append(f.urls, locationURL)
	text := fmt.Sprintf("Redirect %d, to %s.", len(f.urls)-1, f.current())
	if f.redirectTainted() && !tainted && f.origin != "null" {
		text += " It is from one origin, which is not the page's, to another: from here on, the Origin is null."
	}
	f.step(algorithm, Redirect, f.current(), text)
	return f.mainFetch()
}

// network is "HTTP-network-or-cache fetch", without a cache.
func (f *fetch) network(method string, header http.Header, body []byte, preflight bool) (*response, error) {
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
	for name, values := range answer.Header {
		for _, value := range values {
			r.header.Add(name, fetchspec.NormalizeValue(value))
		}
	}
	f.result.Header = r.header
	algorithm := "HTTP-network fetch"
	if preflight {
		algorithm = "CORS-preflight fetch"
	}
	f.step(algorithm, Answered, f.current(), fmt.Sprintf("%s %s: %d", method, f.current(), r.status))
	f.result.Steps[len(f.result.Steps)-1].Exchange = &Exchange{
		Preflight:      preflight,
		Method:         method,
		RequestHeader:  header.Clone(),
		Status:         r.status,
		ResponseHeader: r.header,
	}
	return r, nil
}

// newHTTPRequest makes the request for Go's client, with the fields that browsers add to each.
func (f *fetch) newHTTPRequest(method string, header http.Header, body []byte) (*http.Request, error) {
	target := f.current()
	if u := f.currentURL(); includesCredentials(u) { // which browsers send only when they are asked to
		u = u.Clone()
		u.SetUsername("")
		u.SetPassword("")
		target = u.Href(true)
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(f.ctx, method, target, reader)
	if err != nil { // Go's parser is stricter on paths and queries
		u := f.currentURL()
		request, err = http.NewRequestWithContext(f.ctx, method, originOf(u), reader)
		if err != nil {
			return nil, err
		}
		request.URL = &url.URL{Scheme: u.Scheme(), Host: u.Host(), Opaque: u.Pathname(), RawQuery: u.Query()}
	}

	if isPotentiallyTrustworthy(f.currentURL()) { // Fetch Metadata
		header.Set("Sec-Fetch-Dest", "empty")
		header.Set("Sec-Fetch-Mode", "cors")
		header.Set("Sec-Fetch-Site", f.site())
	}
	// Browsers take what they can decode. With a value here, Go leaves the response as it is.
	header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	if header.Get("Range") != "" {
		header.Set("Accept-Encoding", "identity")
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "Mozilla/5.0 (compatible; caddy-cors)")
	}
	request.Header = header
	return request, nil
}

// requestHeader has the script's fields and the Origin ("append a request `Origin` header").
func (f *fetch) requestHeader() http.Header {
	header := make(http.Header)
	for _, field := range combine(f.header) {
		header.Set(field.Name, field.Value)
	}
	if f.responseTainted || f.method != http.MethodGet && f.method != http.MethodHead {
		header.Set("Origin", f.serializedOrigin())
	}
	return header
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
	if answer.ContentLength >= 0 && answer.ContentLength <= maxDrained {
		_, _ = io.Copy(io.Discard, answer.Body) // whatever comes of it
	}
	answer.Body.Close()
}

// readableHeaders are the names in the filtered response's header list ("basic filtered response", "CORS filtered
// response").
func (f *fetch) readableHeaders(response *response) []string {
	exposed, _, _ := extractTokens(response.header, "Access-Control-Expose-Headers")
	all := !f.responseTainted || !f.credentials && slices.Contains(exposed, "*")
	readable := []string{}
	for name := range response.header {
		if !fetchspec.IsForbiddenResponseHeaderName(name) && (all || fetchspec.IsSafelistedResponseHeaderName(name) || containsFold(exposed, name)) {
			readable = append(readable, name)
		}
	}
	return sortedLowercaseSet(readable)
}
