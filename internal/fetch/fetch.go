// Package fetch is the browser's half of CORS, as a client: it makes the requests that a browser makes for a call of a
// page, and says whether the page gets the response, what of it, and why not. A call is a script's fetch(url, ...), or of
// another [Kind]: an XMLHttpRequest, a beacon, a font, an image. It follows the Fetch Standard
// (https://fetch.spec.whatwg.org/) step by step and with its names, from the Request constructor, or what the kind has in
// its place, to the filtered response; an algorithm has a file of its own.
//
// What a browser knows and a command does not is left out: passwords, a cache of responses, service workers, and hosts
// that are known to be https only (HSTS).
package fetch

import (
	"context"
	"errors"
	"net/http"
)

// A Request is what a page asks for, and the page itself.
type Request struct {
	// Kind is what makes the call. It is KindFetch if it is empty.
	Kind Kind

	// URL is absolute: http or https, or for a WebSocket, ws or wss.
	URL string

	// Origin is the page's, as browsers serialize it: "https://app.example.com", or "null" for an opaque one. If it is
	// empty, it is the Page's.
	Origin string

	// SecurePage says of a page with an opaque origin that it came over https, or is in a frame of a page that did:
	// such a page cannot call http URLs. Of another page, its Origin says so, or its Page.
	SecurePage bool

	// Page is what the page's own response has to say about its calls; nil is nothing.
	Page *Page

	// NoCORS is the mode "no-cors" of fetch(), and of elements, that they have no crossorigin attribute.
	NoCORS bool

	// Method is the kind's if it is empty: GET, but of a beacon and a stream POST.
	Method string

	// Header has what the script sets, in its order. Of a beacon, that can be the Content-Type alone: the type of a Blob.
	Header []Field

	// Body is what the script sends, as a string if nothing else says the Content-Type; nil is none.
	Body []byte

	// Credentials is the credentials mode "include", as opposed to "same-origin": credentials: "include" of fetch(),
	// withCredentials, crossorigin="use-credentials". Some kinds include them always, or never.
	Credentials bool

	// Cookie is the value of the Cookie field that a browser would send to the URL's host, if it has any.
	Cookie string

	// PreflightOnly has the preflight made, and nothing else: the call ends, and is allowed as far as that goes, where the
	// request itself would be made. It fails with [ErrNoPreflight] where the call needs no preflight.
	PreflightOnly bool
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

// ErrNoPreflight says that a call whose preflight alone is to be made needs none.
var ErrNoPreflight = errors.New("the call needs no preflight")

// Fetch does what a browser does for the page's call. Its error says that this could not be found out: a request that
// is not in the package's scope, or a server that could not be asked. A browser blocks a call to such a server, too,
// but CORS has no part in it. Where requests were made before that, or steps taken, there is a result with the error,
// whose verdict is Unknown.
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
	Needs   *Needs // of one that is blocked for what a response does not allow

	// Of an allowed one, what the script sees: response.status, .url, and the names in response.headers, in lower case
	// and sorted. Of an opaque response, it sees nothing: the status is 0, the URL is empty. So they are where the
	// preflight alone was made.
	Status          int
	URL             string
	ReadableHeaders []string
	Opaque          bool

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

// The verdicts. A blocked call is a TypeError in the script, or an error event.
const (
	Allowed Verdict = "allowed"
	Blocked Verdict = "blocked"
	Unknown Verdict = "unknown" // with an error
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
	Opaque    Outcome = "opaque"    // cross-origin, but without CORS: nobody sees the response
	Preflight Outcome = "preflight" // as CORS, and a preflight has to allow it before
	Cached    Outcome = "cached"    // as CORS, and an earlier preflight has allowed it
	Dropped   Outcome = "dropped"   // a part of the request is left out
	Redirect  Outcome = "redirect"  // to another URL
	Upgraded  Outcome = "upgraded"  // from http to https
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
	NoCORSMethod       Code = "no-cors-method" // other than GET, HEAD, POST
	InvalidHeaderName  Code = "invalid-header-name"
	InvalidHeaderValue Code = "invalid-header-value"
	BodyNotAllowed     Code = "body-not-allowed" // with GET and HEAD
	BodyTooLarge       Code = "body-too-large"   // of a beacon

	// The URL cannot be called, at first or after a redirect.
	BadPort               Code = "bad-port"
	MixedContent          Code = "mixed-content"
	ContentSecurityPolicy Code = "content-security-policy" // of the page
	SandboxedScripts      Code = "sandboxed-scripts"       // the page's policy lets no script run

	// The CORS check of a preflight, of a redirect or of the response fails.
	MissingAllowOrigin      Code = "missing-allow-origin"
	MultipleAllowOrigin     Code = "multiple-allow-origin"     // fields, or values in one
	InvalidAllowOrigin      Code = "invalid-allow-origin"      // neither * nor null nor a URL
	AllowOriginMismatch     Code = "allow-origin-mismatch"     // another origin, or the same, but not as browsers write it
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
	InvalidRedirect     Code = "redirect-invalid"     // its Location is not a URL
	RedirectScheme      Code = "redirect-scheme"      // neither http nor https
	RedirectCredentials Code = "redirect-credentials" // user:password@ in the URL
	RedirectStream      Code = "redirect-stream"      // a stream cannot be sent twice
	TooManyRedirects    Code = "too-many-redirects"

	// The response is not for the page, or of no use to it.
	ResourcePolicy     Code = "resource-policy"     // its Cross-Origin-Resource-Policy
	EmbedderPolicy     Code = "embedder-policy"     // the page's Cross-Origin-Embedder-Policy, and none of the response
	MIMEType           Code = "mime-type"           // not what the kind needs
	ErrorStatus        Code = "error-status"        // of a kind that needs an ok status
	HTTP1Stream        Code = "http1-stream"        // streams are sent over HTTP/2 or later
	WebSocketHandshake Code = "websocket-handshake" // the server refuses it
	HeadersTooLarge    Code = "headers-too-large"
)

// A WarningCode is a kind of warning.
type WarningCode string

// The warnings. Those from AuthorizationWildcard on are about browsers that differ from the Standard.
const (
	ForbiddenHeader        WarningCode = "forbidden-header"         // the script cannot set it, and the browser drops it
	NoCORSHeader           WarningCode = "no-cors-header"           // the same, in the mode no-cors
	MethodCase             WarningCode = "method-case"              // the method is written in lower case, and sent so
	OpaqueResponse         WarningCode = "opaque-response"          // what a script cannot do with it
	OpaqueResponseBlocking WarningCode = "opaque-response-blocking" // Chromium's and Firefox's, of HTML, XML, JSON and documents
	CookieNotSent          WarningCode = "cookie-not-sent"          // to another host, or without credentials
	PolicyCondition        WarningCode = "policy-condition"         // a Content-Security-Policy allows it with a nonce or a hash
	PolicyReportOnly       WarningCode = "policy-report-only"       // one that only reports would block it
	PreflightOnly          WarningCode = "preflight-only"           // the request itself was not made, as it was asked
	PreflightNotSeen       WarningCode = "preflight-not-seen"       // it is not in a record
	UnsupportedStream      WarningCode = "unsupported-stream"       // by some engines
	VaryOrigin             WarningCode = "vary-origin"              // a shared cache could give one origin's response to another

	// All engines do it, so the result says it, too.
	AuthorizationWildcard WarningCode = "authorization-wildcard" // "*" covers Authorization
	LoopbackPage          WarningCode = "loopback-page"          // a page on http://localhost may call http URLs
)
