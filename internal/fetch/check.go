package fetch

import (
	"fmt"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// corsCheck is "CORS check": whether a response allows the page's origin, and its credentials if the request has them.
// The order of its questions is the Standard's; only the one for the cause of a mismatch is ours.
func (f *fetch) corsCheck(response *response, at Part) error {
	fail := func(code Code, message string, values ...string) error {
		if at == AtPreflight {
			message = preflightFails + message
		}
		return f.networkError(code, at, f.corsPolicy(message), values...)
	}
	allowOrigin, ok := get(response.header, "Access-Control-Allow-Origin")
	if !ok {
		return fail(MissingAllowOrigin, "No 'Access-Control-Allow-Origin' header is present on the requested resource.")
	}
	if allowOrigin == "*" && !f.credentials {
		f.step("CORS check", Passed, f.current(), "Access-Control-Allow-Origin is *.")
		return nil
	}
	if serialized := f.serializedOrigin(); allowOrigin != serialized {
		switch {
		case allowOrigin == "*":
			return fail(WildcardWithCredentials, "The value of the 'Access-Control-Allow-Origin' header in the response must not be the wildcard '*' when the request's credentials mode is 'include'.", allowOrigin)
		case strings.ContainsAny(allowOrigin, ", "):
			return fail(MultipleAllowOrigin, fmt.Sprintf("The 'Access-Control-Allow-Origin' header contains multiple values '%s', but only one is allowed.", allowOrigin), allowOrigin)
		case !isSerializedOrigin(allowOrigin):
			return fail(InvalidAllowOrigin, fmt.Sprintf("The 'Access-Control-Allow-Origin' header contains the invalid value '%s'.", allowOrigin), allowOrigin)
		}
		return fail(AllowOriginMismatch, fmt.Sprintf("The 'Access-Control-Allow-Origin' header has a value '%s' that is not equal to the supplied origin.", allowOrigin), allowOrigin)
	}
	if !f.credentials {
		f.step("CORS check", Passed, f.current(), "Access-Control-Allow-Origin is the request's origin.")
		return nil
	}
	allowCredentials, ok := get(response.header, "Access-Control-Allow-Credentials")
	if allowCredentials == "true" {
		f.step("CORS check", Passed, f.current(), "Access-Control-Allow-Origin is the request's origin, and Access-Control-Allow-Credentials is true.")
		return nil
	}
	message := fmt.Sprintf("The value of the 'Access-Control-Allow-Credentials' header in the response is '%s' which must be 'true' when the request's credentials mode is 'include'.", allowCredentials)
	if !ok {
		return fail(MissingAllowCredentials, message)
	}
	return fail(InvalidAllowCredentials, message, allowCredentials)
}

func isSerializedOrigin(value string) bool {
	_, ok := origin.Parse(value)
	return ok || value == origin.Null
}
