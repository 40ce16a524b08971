package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A fetch is one call on its way: the Standard's request (section 2.2.5), with what has become of it so far.
type fetch struct {
	ctx    context.Context
	client *Client

	kind           Kind
	info           kindInfo
	origin         string
	page           *Page // the policy container
	prohibitsMixed bool  // HTTP in HTTPS
	mode           string
	method         string
	header         []Field
	body           []byte
	credentials    string
	cookie         string
	unsafeRequest  bool       // the "unsafe-request flag": its method and header can need a preflight
	preflightOnly  bool       // as in the Request
	usePreflight   bool       // the "use-CORS-preflight flag"
	urls           []*url.Url // the URL list, of which the last is the current one
	tainting       tainting

	upgraded       bool  // whether upgrade-insecure-requests has upgraded the current URL
	http1          bool  // whether the last answer came over HTTP/1.1
	preflighted    bool  // whether a preflight has been needed
	unsafeHeaders  bool  // whether a request to the page's own origin had some that would need one elsewhere
	headersDropped bool  // by a redirect, and not safelisted
	invalid        error // a call that ends before it has begun

	result *Result
}

// A tainting is a "response tainting": what the page may see of the response.
type tainting string

const (
	basic  tainting = "basic"
	cors   tainting = "cors"
	opaque tainting = "opaque"
)

// newFetch makes the Standard's request of what a page asks for. An error is about what the package cannot fetch, not
// about what a browser would not.
func (c *Client) newFetch(ctx context.Context, r Request) (*fetch, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	r.Kind = cmp.Or(r.Kind, KindFetch)
	if r.Origin == "" && r.Page != nil {
		r.Origin = r.Page.Origin()
	}
	parsed, ok := origin.Parse(r.Origin)
	if !ok && r.Origin != origin.Null {
		return nil, fmt.Errorf("%q is not an origin as browsers write it", r.Origin)
	}
	f := &fetch{
		ctx:         ctx,
		client:      c,
		kind:        r.Kind,
		info:        kindInfos[r.Kind],
		origin:      r.Origin,
		page:        cmp.Or(r.Page, new(Page)),
		mode:        r.mode(),
		credentials: r.credentials(),
		cookie:      r.Cookie,
		tainting:    basic,

		preflightOnly: r.PreflightOnly,
		result:        new(Result),
	}
	// Mixed Content, "does settings prohibit mixed security contexts?", but for pages on loopback.
	f.prohibitsMixed = parsed.Scheme() == "https" ||
		r.Origin == origin.Null && (r.SecurePage || strings.HasPrefix(f.page.URL, "https:"))
	f.invalid = f.construct(r)
	if f.invalid != nil && errors.As(f.invalid, new(*Cause)) {
		return f, nil
	}
	return f, f.invalid
}

// construct takes over what the page asks for. Its error is a cause, which is an exception in the script, but for URLs
// that the package does not fetch.
func (f *fetch) construct(r Request) error {
	if err := f.parseURL(r.URL); err != nil {
		return err
	}
	f.warnURLCredentials()
	switch f.kind {
	case KindFetch, KindStream:
		return f.constructFetch(r)
	case KindXHR, KindXHRUpload:
		return f.constructXHR(r)
	case KindBeacon:
		return f.constructBeacon(r)
	}
	f.method = http.MethodGet
	f.header = []Field{{"Accept", f.info.accept}}
	if f.kind == KindMedia { // the whole of it, as long as nobody seeks
		f.header = append(f.header, Field{"Range", "bytes=0-"})
	}
	return nil
}

// parseURL begins the URL list. A WebSocket's URL gets the scheme of its handshake (WebSockets Standard, "establish a
// WebSocket connection").
func (f *fetch) parseURL(text string) error {
	u, err := url.Parse(text)
	if err == nil && f.kind == KindWebSocket {
		if scheme, rest, _ := strings.Cut(u.Href(false), ":"); scheme == "ws" || scheme == "wss" {
			u, err = url.Parse("http" + strings.TrimPrefix(scheme, "ws") + ":" + rest)
		}
	}
	switch {
	case err != nil && f.kind == KindFetch:
		return f.exception(InvalidURL, "TypeError", fmt.Sprintf("Failed to parse URL from %s.", text), text)
	case err != nil:
		return f.exception(InvalidURL, "SyntaxError", fmt.Sprintf("'%s' is not a valid URL.", text), text)
	case f.kind == KindWebSocket && strings.Contains(text, "#"): // "obtain a WebSocket URL", which may have no fragment, not even an empty one
		return f.exception(InvalidURL, "SyntaxError", fmt.Sprintf("The URL '%s' contains a fragment identifier. Fragment identifiers are not allowed in WebSocket URLs.", text), text)
	case !isHTTP(u):
		return fmt.Errorf("%s is neither an http nor an https URL", text)
	}
	f.urls = []*url.Url{u}
	return nil
}

// constructFetch is the constructor of Request (section 5.4), of a script that calls fetch().
func (f *fetch) constructFetch(r Request) error {
	if includesCredentials(f.currentURL()) {
		return f.exception(URLCredentials, "TypeError", fmt.Sprintf("Request cannot be constructed from a URL that includes credentials: %s", r.URL), r.URL)
	}
	f.unsafeRequest = true
	if err := f.setMethod(r, "TypeError", "TypeError"); err != nil {
		return err
	}
	if f.mode == modeNoCORS && !fetchspec.IsSafelistedMethod(f.method) {
		return f.exception(NoCORSMethod, "TypeError", fmt.Sprintf("'%s' is unsupported in no-cors mode.", f.method), f.method)
	}
	if err := f.fillHeaders(r.Header, "TypeError"); err != nil {
		return err
	}
	if r.Body != nil || f.kind == KindStream {
		if f.method == http.MethodGet || f.method == http.MethodHead {
			return f.exception(BodyNotAllowed, "TypeError", "Request with GET/HEAD method cannot have body.", f.method)
		}
		f.body = append([]byte{}, r.Body...)
	}
	switch {
	case f.kind == KindStream:
		f.usePreflight = true
		f.warn(UnsupportedStream, "Firefox and Safari send no streams: Firefox makes a text of it, \"[object ReadableStream]\", and sends that; Safari throws an exception.", Firefox, WebKit)
	case f.body != nil && !f.hasHeader("Content-Type"):
		f.header = append(f.header, Field{"Content-Type", typeOfString})
	}
	f.acceptAnything()
	return nil
}

// typeOfString is the type of a body that is a string ("extract a body", section 5.2).
const typeOfString = "text/plain;charset=UTF-8"

// setMethod takes the script's method over, or throws one of the exceptions.
func (f *fetch) setMethod(r Request, notOne, forbidden string) error {
	method := cmp.Or(r.Method, f.kind.Method())
	switch {
	case !fetchspec.IsToken(method):
		return f.exception(InvalidMethod, notOne, fmt.Sprintf("'%s' is not a valid HTTP method.", method), method)
	case fetchspec.IsForbiddenMethod(method):
		return f.exception(ForbiddenMethod, forbidden, fmt.Sprintf("'%s' HTTP method is unsupported.", method), method)
	}
	f.method = fetchspec.NormalizeMethod(method)
	if upper := strings.ToUpper(f.method); f.method != upper {
		f.warn(MethodCase, fmt.Sprintf("Method names are case-sensitive: the browser sends %q as the script writes it, and not %q.", f.method, upper))
	}
	return nil
}

// fillHeaders is "fill" a Headers object (section 5.1), with the guard "request" or "request-no-cors"; and setRequestHeader
// of an XMLHttpRequest.
func (f *fetch) fillHeaders(fields []Field, exception string) error {
	for _, field := range fields {
		value, ok := isomorphicEncode(fetchspec.NormalizeValue(field.Value))
		switch {
		case !fetchspec.IsToken(field.Name):
			return f.exception(InvalidHeaderName, exception, fmt.Sprintf("'%s' is not a valid HTTP header field name.", field.Name), field.Name)
		case !ok || strings.ContainsAny(value, "\x00\r\n"):
			return f.exception(InvalidHeaderValue, exception, fmt.Sprintf("The value of the header '%s' is not a valid HTTP header field value.", field.Name), strings.ToLower(field.Name))
		}
		field.Value = value
		if fetchspec.IsForbiddenRequestHeader(field.Name, field.Value) {
			f.step("Headers append", Dropped, f.current(), fmt.Sprintf("A script cannot set %s: the browser leaves it out.", field.Name))
			f.warn(ForbiddenHeader, fmt.Sprintf("No script can set %s. The browser leaves it out, and sends its own if it has one.", field.Name))
			continue
		}
		if f.mode == modeNoCORS && !fetchspec.IsNoCORSSafelistedRequestHeader(field.Name, f.combined(field)) {
			f.step("Headers append", Dropped, f.current(), fmt.Sprintf("Without CORS, a script cannot set %s to this value: the browser leaves it out.", field.Name))
			f.warn(NoCORSHeader, fmt.Sprintf("In the mode no-cors, a script can set Accept, Accept-Language, Content-Language and Content-Type alone, to values that a form could send. The browser leaves out %s.", field.Name))
			continue
		}
		f.header = append(f.header, field)
	}
	return nil
}

// combined is what the header would have of a name after it got one field more.
func (f *fetch) combined(field Field) string {
	for _, other := range slices.Backward(f.header) {
		if strings.EqualFold(other.Name, field.Name) {
			field.Value = other.Value + ", " + field.Value
		}
	}
	return field.Value
}

// constructBeacon is sendBeacon() (Beacon, section 3.1). A script that gives a Content-Type sends a Blob of that type.
func (f *fetch) constructBeacon(r Request) error {
	const maxKeepalive = 64 << 10 // of all bodies that are under way
	f.method = http.MethodPost
	if len(r.Body) > maxKeepalive {
		return f.exception(BodyTooLarge, "sendBeacon() returns false", fmt.Sprintf("a beacon has %d bytes at most.", maxKeepalive), fmt.Sprint(len(r.Body)))
	}
	f.body = append([]byte{}, r.Body...)
	contentType := ""
	if r.Body != nil {
		contentType = typeOfString
	}
	for _, field := range r.Header {
		contentType = blobType(field.Value)
	}
	if contentType != "" {
		field := Field{"Content-Type", contentType}
		f.header = append(f.header, field)
		if !fetchspec.IsSafelistedRequestHeader(field.Name, field.Value) {
			f.warnBeaconType(field.Value)
			f.mode = modeCORS
			f.unsafeRequest = true // without which there were no preflight, but all browsers make it
		}
	}
	f.acceptAnything()
	return nil
}

// blobType is the type of a Blob that is made with one (File API, section 3.1).
func blobType(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) >= 0 {
		return ""
	}
	return strings.ToLower(s)
}

// acceptAnything adds an Accept field, unless there is one.
func (f *fetch) acceptAnything() {
	if !f.hasHeader("Accept") {
		f.header = append(f.header, Field{"Accept", f.info.accept})
	}
}

// isomorphicEncode turns a script's string into bytes (Infra Standard, "isomorphic encode"; WebIDL, ByteString).
func isomorphicEncode(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return "", false
		}
		b = append(b, byte(r))
	}
	return string(b), true
}

// current is the current URL, without a fragment, as the page has it: of a WebSocket, with its own scheme.
func (f *fetch) current() string {
	if len(f.urls) == 0 {
		return ""
	}
	href := f.currentURL().Href(true)
	if f.kind == KindWebSocket {
		href = "ws" + strings.TrimPrefix(href, "http")
	}
	return href
}

func (f *fetch) currentURL() *url.Url { return f.urls[len(f.urls)-1] }

// redirects is the "redirect count".
func (f *fetch) redirects() int { return max(len(f.urls)-1, 0) }

func (f *fetch) hasHeader(name string) bool {
	return slices.ContainsFunc(f.header, func(field Field) bool { return strings.EqualFold(field.Name, name) })
}

// include reports whether the credentials mode is "include".
func (f *fetch) include() bool { return f.credentials == credentialsInclude }

// redirectTainted is whether the "redirect-taint" is not "same-origin": the call was redirected from one origin, which
// is not the page's, to another.
func (f *fetch) redirectTainted() bool {
	for i, u := range f.urls[1:] {
		last := originOf(f.urls[i])
		if !sameOrigin(originOf(u), last) && !sameOrigin(f.origin, last) {
			return true
		}
	}
	return false
}

// serializedOrigin is "serializing a request origin": what the Origin field says.
func (f *fetch) serializedOrigin() string {
	if len(f.urls) > 0 && f.redirectTainted() {
		return origin.Null
	}
	return f.origin
}
