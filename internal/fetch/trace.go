package fetch

import (
	"fmt"
	"slices"
)

// Error returns the message, so that a cause can stand for a network error.
func (c *Cause) Error() string { return c.Message }

// networkError is a "network error": the call is blocked.
func (f *fetch) networkError(code Code, at Part, message string, names ...string) error {
	return &Cause{
		Code:    code,
		Message: message,
		URL:     f.current(),
		Hop:     f.redirects(),
		At:      at,
		Origin:  f.serializedOrigin(),
		Names:   names,
	}
}

// exception is a network error before there is a request, which the script gets as an exception of that name.
func (f *fetch) exception(code Code, name, message, about string) error {
	return &Cause{Code: code, Message: name + ": " + message, URL: f.current(), At: AtRequest, Origin: f.origin, Names: []string{about}}
}

// corsPolicy begins a message as browsers do.
func (f *fetch) corsPolicy(message string) string {
	from := ""
	if f.redirects() > 0 {
		from = fmt.Sprintf(" (redirected from '%s')", f.urls[0].Href(true))
	}
	return fmt.Sprintf("Access to %s at '%s'%s from origin '%s' has been blocked by CORS policy: %s", f.info.resource, f.current(), from, f.origin, message)
}

// failedIn is the algorithm of the standards that the cause is of.
func (f *fetch) failedIn() string {
	switch f.result.Cause.Code {
	case InvalidURL, URLCredentials, InvalidMethod, ForbiddenMethod, NoCORSMethod, InvalidHeaderName, InvalidHeaderValue, BodyNotAllowed, BodyTooLarge:
		return f.info.constructor
	case BadPort:
		return "block bad port"
	case MixedContent:
		return "mixed content"
	case ContentSecurityPolicy, SandboxedScripts:
		return "Content Security Policy"
	case InvalidRedirect, RedirectScheme, RedirectCredentials, RedirectStream, TooManyRedirects:
		return "HTTP-redirect fetch"
	case PreflightStatus, PreflightRedirect, InvalidAllowMethods, InvalidAllowHeaders, MethodNotAllowed, HeaderNotAllowed:
		return "CORS-preflight fetch"
	case ResourcePolicy, EmbedderPolicy:
		return "cross-origin resource policy check"
	case HTTP1Stream, HeadersTooLarge:
		return "HTTP-network fetch"
	case MIMEType, ErrorStatus:
		return "process response"
	case WebSocketHandshake:
		return "establish a WebSocket connection"
	}
	return "CORS check"
}

func (f *fetch) step(algorithm string, outcome Outcome, url, text string) {
	f.result.Steps = append(f.result.Steps, Step{Algorithm: algorithm, Outcome: outcome, Text: text, URL: url})
}

// warn adds a warning, unless it is there.
func (f *fetch) warn(code WarningCode, message string, engines ...Engine) {
	if !slices.ContainsFunc(f.result.Warnings, func(w Warning) bool { return w.Code == code && w.Message == message }) {
		f.result.Warnings = append(f.result.Warnings, Warning{Code: code, Message: message, Engines: engines})
	}
}
