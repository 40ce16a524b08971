package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A fetch is one call on its way: the Standard's request, with what has become of it so far.
type fetch struct {
	ctx    context.Context
	client *Client

	origin          string
	prohibitsMixed  bool // HTTP in HTTPS
	method          string
	header          []Field
	body            []byte
	credentials     bool
	urls            []*url.Url // the URL list, of which the last is the current one
	responseTainted bool       // whether the response tainting is "cors", and not "basic"
	preflighted     bool       // whether a preflight has been needed
	unsafeHeaders   bool       // whether a request to the page's own origin had some that would need one elsewhere
	headersDropped  bool       // by a redirect, and not safelisted
	invalid         error      // a call that ends before it has begun

	result *Result
}

// newFetch follows the Fetch Standard's constructor of Request. An error is about what the package cannot fetch, not
// about what a browser would not.
func (c *Client) newFetch(ctx context.Context, r Request) (*fetch, error) {
	parsed, ok := origin.Parse(r.Origin)
	if !ok && r.Origin != origin.Null {
		return nil, fmt.Errorf("%q is not an origin as browsers write it", r.Origin)
	}
	f := &fetch{
		ctx:    ctx,
		client: c,
		origin: r.Origin,
		// Mixed Content, "does settings prohibit mixed security contexts?", but for pages on loopback.
		prohibitsMixed: parsed.Scheme() == "https" || r.Origin == origin.Null && r.SecurePage,
		credentials:    r.Credentials,
		result:         new(Result),
	}
	f.invalid = f.construct(r)
	if f.invalid != nil && errors.As(f.invalid, new(*Cause)) {
		return f, nil
	}
	return f, f.invalid
}

// construct takes over what the script asks for. Its error is a cause, which is a TypeError in the script, but for URLs
// that the package does not fetch.
func (f *fetch) construct(r Request) error {
	u, err := url.Parse(r.URL)
	if err != nil {
		return f.typeError(InvalidURL, fmt.Sprintf("Failed to parse URL from %s.", r.URL), r.URL)
	}
	if !isHTTP(u) {
		return fmt.Errorf("%s is neither an http nor an https URL", r.URL)
	}
	f.urls = []*url.Url{u}
	if includesCredentials(u) {
		return f.typeError(URLCredentials, fmt.Sprintf("Request cannot be constructed from a URL that includes credentials: %s", r.URL), r.URL)
	}

	f.method = http.MethodGet
	if r.Method != "" {
		switch {
		case !fetchspec.IsToken(r.Method):
			return f.typeError(InvalidMethod, fmt.Sprintf("'%s' is not a valid HTTP method.", r.Method), r.Method)
		case fetchspec.IsForbiddenMethod(r.Method):
			return f.typeError(ForbiddenMethod, fmt.Sprintf("'%s' HTTP method is unsupported.", r.Method), r.Method)
		}
		f.method = fetchspec.NormalizeMethod(r.Method)
	}
	if upper := strings.ToUpper(f.method); f.method != upper {
		f.warn(MethodCase, fmt.Sprintf("Method names are case-sensitive: the browser sends %q as the script writes it, and not %q.", f.method, upper))
	}

	if err := f.fillHeaders(r.Header); err != nil {
		return err
	}
	if r.Body != nil {
		if f.method == http.MethodGet || f.method == http.MethodHead {
			return f.typeError(BodyNotAllowed, "Request with GET/HEAD method cannot have body.", f.method)
		}
		f.body = r.Body
		if !f.hasHeader("Content-Type") {
			f.header = append(f.header, Field{"Content-Type", "text/plain;charset=UTF-8"}) // of a string
		}
	}
	if !f.hasHeader("Accept") {
		f.header = append(f.header, Field{"Accept", "*/*"})
	}
	return nil
}

// fillHeaders is "fill" a Headers object, with the guard "request".
func (f *fetch) fillHeaders(fields []Field) error {
	for _, field := range fields {
		value, ok := isomorphicEncode(fetchspec.NormalizeValue(field.Value))
		switch {
		case !fetchspec.IsToken(field.Name):
			return f.typeError(InvalidHeaderName, fmt.Sprintf("'%s' is not a valid HTTP header field name.", field.Name), field.Name)
		case !ok || strings.ContainsAny(value, "\x00\r\n"):
			return f.typeError(InvalidHeaderValue, fmt.Sprintf("The value of the header '%s' is not a valid HTTP header field value.", field.Name), strings.ToLower(field.Name))
		}
		field.Value = value
		if fetchspec.IsForbiddenRequestHeader(field.Name, field.Value) {
			f.step("Headers append", Dropped, f.current(), fmt.Sprintf("A script cannot set %s: the browser leaves it out.", field.Name))
			f.warn(ForbiddenHeader, fmt.Sprintf("No script can set %s. The browser leaves it out, and sends its own if it has one.", field.Name))
			continue
		}
		f.header = append(f.header, field)
	}
	return nil
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

// current is the current URL, without a fragment.
func (f *fetch) current() string {
	if len(f.urls) == 0 {
		return ""
	}
	return f.currentURL().Href(true)
}

func (f *fetch) currentURL() *url.Url { return f.urls[len(f.urls)-1] }

func (f *fetch) hasHeader(name string) bool {
	for _, field := range f.header {
		if strings.EqualFold(field.Name, name) {
			return true
		}
	}
	return false
}

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
	if f.redirectTainted() {
		return origin.Null
	}
	return f.origin
}
