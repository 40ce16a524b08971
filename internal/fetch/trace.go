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
		Hop:     max(len(f.urls)-1, 0),
		At:      at,
		Origin:  f.serializedOrigin(),
		Names:   names,
	}
}

// typeError is a network error before there is a request.
func (f *fetch) typeError(code Code, message string, name string) error {
	return &Cause{Code: code, Message: "TypeError: " + message, URL: f.current(), At: AtRequest, Origin: f.origin, Names: []string{name}}
}

// corsPolicy begins a message as browsers do.
func (f *fetch) corsPolicy(message string) string {
	from := ""
	if len(f.urls) > 1 {
		from = fmt.Sprintf(" (redirected from '%s')", f.urls[0].Href(true))
	}
	return fmt.Sprintf("Access to fetch at '%s'%s from origin '%s' has been blocked by CORS policy: %s", f.current(), from, f.origin, message)
}

// failedIn is the algorithm of the Standard that the cause is of.
func (f *fetch) failedIn() string {
	switch f.result.Cause.Code {
	case InvalidURL, URLCredentials, InvalidMethod, ForbiddenMethod, InvalidHeaderName, InvalidHeaderValue, BodyNotAllowed:
		return "Request constructor"
	case BadPort:
		return "block bad port"
	case MixedContent:
		return "mixed content"
	case InvalidRedirect, RedirectScheme, RedirectCredentials, TooManyRedirects:
		return "HTTP-redirect fetch"
	case PreflightStatus, PreflightRedirect, InvalidAllowMethods, InvalidAllowHeaders, MethodNotAllowed, HeaderNotAllowed:
		return "CORS-preflight fetch"
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
