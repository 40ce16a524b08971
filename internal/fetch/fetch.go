// Package fetch is the browser's half of CORS, as a client: it makes the requests that a browser makes for a script's
// fetch(url, ...), and says whether the script gets the response, what of it, and why not. It follows the Fetch Standard
// (https://fetch.spec.whatwg.org/) step by step and with its names, from the Request constructor to the filtered
// response, in the mode "cors" and the redirect mode "follow", which are what a script has that asks for nothing else.
//
// What a browser knows and a command does not is left out: cookies and passwords, a cache of responses, service workers,
// Content Security Policy, and hosts that are known to be https only (HSTS).
package fetch

import (
	"context"
	"net/http"
)

// A Request is what a script asks for, and the page that it runs on.
type Request struct {
	// URL is absolute. Fetch follows http and https.
	URL string

	// Origin is the page's, as browsers serialize it: "https://app.example.com", or "null" for an opaque one.
	Origin string

	// SecurePage says of a page with an opaque origin that it came over https, or is in a frame of a page that did:
	// such a page cannot call http URLs. Of another page, its Origin says so.
	SecurePage bool

	// Method is GET if it is empty.
	Method string

	// Header has what the script sets, in its order.
	Header []Field

	// Body is a string that the script sends; nil is none.
	Body []byte

	// Credentials is the credentials mode: "include", or else "same-origin", as if the script had not said anything.
	// There are no cookies to send, so all it changes is what the server has to answer.
	Credentials bool
}

// A Field is one field of a script's headers.
type Field struct{ Name, Value string }

// A Client is one browser, as far as it remembers: it has a CORS-preflight cache. It is not safe for concurrent use.
type Client struct {
	// Transport makes the requests, one at a time, and follows no redirect. A path that Go's parser refuses, though
	// browsers send it ("/%zz"), is in URL.Opaque, and in URL.RequestURI as always.
	Transport http.RoundTripper

	preflights preflightCache
}

// Fetch does what a browser does for the script's call. Its error says that this could not be found out: a request that
// is not in the package's scope, or a server that could not be asked. A browser blocks a call to such a server, too,
// but CORS has no part in it.
func (c *Client) Fetch(ctx context.Context, r Request) (*Result, error) {
	f, err := c.newFetch(ctx, r)
	if err != nil {
		return nil, err
	}
	return f.run()
}

// A Result is what has become of a request.
type Result struct {
	Verdict Verdict
	Cause   *Cause // of a blocked one

	// Of an allowed one, what the script sees: response.status, .url, and the names in response.headers, in lower case
	// and sorted.
	Status          int
	URL             string
	ReadableHeaders []string

	// Header is the whole of the last response's header, what the script cannot read included; nil if there is no
	// response.
	Header http.Header

	Steps    []Step    // in their order
	Warnings []Warning // each once
}

// Readable reports whether the script can read a field of the response. One that the response does not have is not
// readable, either.
func (r *Result) Readable(name string) bool { return containsFold(r.ReadableHeaders, name) }

// A Verdict is what a browser makes of a call.
type Verdict string

// The verdicts. A blocked call is a TypeError in the script.
const (
	Allowed Verdict = "allowed"
	Blocked Verdict = "blocked"
)

// A Step is one decision on the way, or one exchange with a server.
type Step struct {
	Algorithm string    // the Standard's name for it, such as "CORS check"
	Outcome   Outcome   // in a word
	Text      string    // in a sentence
	URL       string    // that it is about
	Exchange  *Exchange // where a request was made
}

// An Outcome is what a step came to.
type Outcome string

// What a step can come to.
const (
	Passed    Outcome = "passed"    // nothing in the way
	Failed    Outcome = "failed"    // the call is blocked
	Basic     Outcome = "basic"     // same-origin: CORS does not apply
	CORS      Outcome = "cors"      // cross-origin: the response has to allow it
	Preflight Outcome = "preflight" // as CORS, and a preflight has to allow it before
	Cached    Outcome = "cached"    // as CORS, and an earlier preflight has allowed it
	Dropped   Outcome = "dropped"   // a part of the request is left out
	Redirect  Outcome = "redirect"  // to another URL
	Answered  Outcome = "answered"  // a server has answered
)

// An Exchange is a request and its response.
type Exchange struct {
	Preflight      bool
	Method         string
	RequestHeader  http.Header
	Status         int
	ResponseHeader http.Header
}

// A Warning is about something that does not change the verdict.
type Warning struct {
	Code    WarningCode
	Message string

	// Engines has the browser engines that do otherwise than the result says. It is empty for a warning of another kind.
	Engines []Engine
}

// An Engine is what a browser is built on.
type Engine string

// The engines.
const (
	Chromium Engine = "Chromium" // Chrome, Edge, Opera
	Firefox  Engine = "Firefox"
	WebKit   Engine = "WebKit" // Safari, and every browser on an iPhone
)

// A Cause is why a call is blocked.
type Cause struct {
	Code    Code
	Message string // as browsers write it on their consoles

	// URL is the one that it is about, Hop the number of redirects before it.
	URL string
	Hop int

	// At is the part of the exchange that it is about.
	At Part

	// Origin is what the Origin field says, or would have said: "null" after some redirects.
	Origin string

	// Names has the method, or the header names in lower case, that are not allowed; or the field values that are wrong.
	Names []string
}

// A Part is a part of an exchange.
type Part string

// The parts.
const (
	AtRequest   Part = "request"   // what the script asks for: no request is made
	AtPreflight Part = "preflight" // the answer to a preflight
	AtRedirect  Part = "redirect"  // a response that redirects, or where it leads to
	AtResponse  Part = "response"  // any other
)

// A Code is a kind of cause.
type Code string

// The causes.
const (
	// The script's call is wrong in itself.
	InvalidURL         Code = "invalid-url"
	URLCredentials     Code = "url-credentials" // user:password@ in the URL
	InvalidMethod      Code = "invalid-method"
	ForbiddenMethod    Code = "forbidden-method"
	InvalidHeaderName  Code = "invalid-header-name"
	InvalidHeaderValue Code = "invalid-header-value"
	BodyNotAllowed     Code = "body-not-allowed" // with GET and HEAD

	// The URL cannot be called, at first or after a redirect.
	BadPort      Code = "bad-port"
	MixedContent Code = "mixed-content"

	// The CORS check of a preflight, of a redirect or of the response fails.
	MissingAllowOrigin      Code = "missing-allow-origin"
	MultipleAllowOrigin     Code = "multiple-allow-origin"     // fields, or values in one
	InvalidAllowOrigin      Code = "invalid-allow-origin"      // no origin as browsers write it: a slash, upper case, ...
	AllowOriginMismatch     Code = "allow-origin-mismatch"     // another origin
	WildcardWithCredentials Code = "wildcard-with-credentials" // the origin *
	MissingAllowCredentials Code = "missing-allow-credentials"
	InvalidAllowCredentials Code = "invalid-allow-credentials" // not exactly "true"

	// The preflight's answer does not do.
	PreflightStatus     Code = "preflight-status" // not 200 to 299
	PreflightRedirect   Code = "preflight-redirect"
	InvalidAllowMethods Code = "invalid-allow-methods" // not a list of methods
	InvalidAllowHeaders Code = "invalid-allow-headers" // not a list of header names
	MethodNotAllowed    Code = "method-not-allowed"
	HeaderNotAllowed    Code = "header-not-allowed"

	// The redirect cannot be followed.
	InvalidRedirect     Code = "redirect-invalid"     // its Location is no URL
	RedirectScheme      Code = "redirect-scheme"      // neither http nor https
	RedirectCredentials Code = "redirect-credentials" // user:password@ in the URL
	TooManyRedirects    Code = "too-many-redirects"
)

// A WarningCode is a kind of warning.
type WarningCode string

// The warnings. Those from AuthorizationWildcard on are about browsers that differ from the Standard.
const (
	ForbiddenHeader WarningCode = "forbidden-header" // the script cannot set it, and the browser drops it
	MethodCase      WarningCode = "method-case"      // the method is written in lower case, and sent so
	VaryOrigin      WarningCode = "vary-origin"      // a shared cache could give one origin's response to another

	// All engines do it, so the result says it, too.
	AuthorizationWildcard WarningCode = "authorization-wildcard" // "*" covers Authorization
	LoopbackPage          WarningCode = "loopback-page"          // a page on http://localhost may call http URLs
)
