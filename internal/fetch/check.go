package fetch

import (
	"fmt"
	"strings"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// corsCheck is "CORS check": whether a response allows the page's origin, and its credentials if the request has them.
// The order of its questions is the Standard's; only the one for the cause of a mismatch is ours.
func (f *fetch) corsCheck(response *response, at Part) error {
	fail := func(code Code, message string, values ...string) error {
		if at == AtPreflight {
			message = preflightFails + message
		}
		f.need(response, at)
		return f.networkError(code, at, f.corsPolicy(message), values...)
	}
	allowOrigin, ok := get(response.header, "Access-Control-Allow-Origin")
	if !ok {
		return fail(MissingAllowOrigin, "No 'Access-Control-Allow-Origin' header is present on the requested resource.")
	}
	if allowOrigin == "*" && !f.include() {
		f.step("CORS check", Passed, f.current(), "Access-Control-Allow-Origin is *.")
		return nil
	}
	if serialized := f.serializedOrigin(); allowOrigin != serialized {
		const correct = " Have the server send the header with a valid value."
		switch {
		case allowOrigin == "*":
			return fail(WildcardWithCredentials, "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*' when the request's credentials mode is 'include'."+f.withCredentials(), allowOrigin)
		case strings.ContainsAny(allowOrigin, ", "):
			return fail(MultipleAllowOrigin, fmt.Sprintf("The 'Access-Control-Allow-Origin' header contains multiple values '%s', but only one is allowed.", allowOrigin)+correct, allowOrigin)
		case !isOriginOrURL(allowOrigin):
			return fail(InvalidAllowOrigin, fmt.Sprintf("The 'Access-Control-Allow-Origin' header contains the invalid value '%s'.", allowOrigin)+correct, allowOrigin)
		}
		return fail(AllowOriginMismatch, fmt.Sprintf("The 'Access-Control-Allow-Origin' header has a value '%s' that is not equal to the supplied origin.", allowOrigin)+correct, allowOrigin)
	}
	if !f.include() {
		f.step("CORS check", Passed, f.current(), "Access-Control-Allow-Origin is the request's origin.")
		return nil
	}
	allowCredentials, ok := get(response.header, "Access-Control-Allow-Credentials")
	if allowCredentials == "true" {
		f.step("CORS check", Passed, f.current(), "Access-Control-Allow-Origin is the request's origin, and Access-Control-Allow-Credentials is true.")
		return nil
	}
	message := fmt.Sprintf("The value of the 'Access-Control-Allow-Credentials' header in the response is '%s' which must be 'true' when the request's credentials mode is 'include'.", allowCredentials) + f.withCredentials()
	if !ok {
		return fail(MissingAllowCredentials, message)
	}
	return fail(InvalidAllowCredentials, message, allowCredentials)
}

// withCredentials is what Chrome adds where the script is not the one that speaks of a credentials mode.
func (f *fetch) withCredentials() string {
	if f.kind == KindXHR || f.kind == KindXHRUpload {
		return " The credentials mode of requests initiated by the XMLHttpRequest is controlled by the withCredentials attribute."
	}
	return ""
}

// isOriginOrURL reports whether a value could at least be meant for an origin.
func isOriginOrURL(value string) bool {
	_, err := url.Parse(value)
	return err == nil || value == origin.Null
}
