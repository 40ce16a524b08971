package fetch

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// combine makes one field of all that have the same name, as they are sent.
func combine(list []Field) []Field {
	var combined []Field
	for _, f := range list {
		same := func(other Field) bool { return strings.EqualFold(other.Name, f.Name) }
		if i := slices.IndexFunc(combined, same); i >= 0 {
			combined[i].Value += ", " + f.Value
		} else {
			combined = append(combined, f)
		}
	}
	return combined
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(element string) bool { return strings.EqualFold(element, s) })
}

// sortedLowercaseSet is "convert header names to a sorted-lowercase set".
func sortedLowercaseSet(names []string) []string {
	set := make([]string, len(names))
	for i, name := range names {
		set[i] = strings.ToLower(name)
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// get is "get", of a response's header list: the values of all fields with the name, as one.
func get(header http.Header, name string) (value string, ok bool) {
	values := header.Values(name)
	return strings.Join(values, ", "), len(values) > 0
}

// extractTokens is "extract header list values", of a field whose ABNF is a list of tokens: present is false where the
// Standard has null, and ok where it has failure.
func extractTokens(header http.Header, name string) (tokens []string, present, ok bool) {
	values := header.Values(name)
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			element = strings.Trim(element, fetchspec.TabOrSpace)
			switch {
			case element == "": // which a recipient ignores (RFC 9110, section 5.6.1)
			case !fetchspec.IsToken(element):
				return nil, true, false
			default:
				tokens = append(tokens, element)
			}
		}
	}
	return tokens, len(values) > 0, true
}

// maxSafelistedValues is the limit of all values that need no preflight together.
const maxSafelistedValues = 1024

// unsafeRequestHeaderNames is "CORS-unsafe request-header names": those that a preflight asks for.
func unsafeRequestHeaderNames(list []Field) []string {
	var unsafe, potentiallyUnsafe []string
	size := 0
	for _, f := range list {
		if !fetchspec.IsSafelistedRequestHeader(f.Name, f.Value) {
			unsafe = append(unsafe, f.Name)
			continue
		}
		potentiallyUnsafe = append(potentiallyUnsafe, f.Name)
		size += len(f.Value)
	}
	if size > maxSafelistedValues {
		unsafe = append(unsafe, potentiallyUnsafe...)
	}
	return sortedLowercaseSet(unsafe)
}
