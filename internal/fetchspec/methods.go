// Package fetchspec has the Fetch Standard's definitions (https://fetch.spec.whatwg.org/) that both halves of CORS use:
// the server's, in internal/policy, and the browser's, in internal/fetch. Each has the Standard's name, and the section
// that it is from. What only one half needs, such as the server's way of reading a list of names, is there.
//
// The methods and names that the functions take are tokens ([IsToken]).
package fetchspec

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// IsToken reports whether s is a token (RFC 9110, section 5.6.2), which methods and header names are.
func IsToken(s string) bool { return httpguts.ValidHeaderFieldName(s) }

// IsSafelistedMethod is "CORS-safelisted method" (section 2.2.1): one that needs no permission.
func IsSafelistedMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodPost
}

// IsForbiddenMethod is "forbidden method" (section 2.2.1): one that no script can use, in any case.
func IsForbiddenMethod(method string) bool {
	return equalsAny(method, http.MethodConnect, http.MethodTrace, "TRACK")
}

// NormalizeMethod is "normalize" a method (section 2.2.1): browsers write some methods in upper case, and leave all
// others, "patch" among them, as the script writes them.
func NormalizeMethod(method string) string {
	for _, normalized := range [...]string{
		http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut,
	} {
		if strings.EqualFold(method, normalized) {
			return normalized
		}
	}
	return method
}

// equalsAny reports whether a token is one of the words, in any case.
func equalsAny(token string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(token, word) })
}
