package fetch

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The bytes around a value that do not belong to it (Fetch Standard, "HTTP whitespace bytes"), and those in a list.
const (
	httpWhitespace = "\t\n\r "
	tabOrSpace     = "\t "
)

func isToken(s string) bool { return httpguts.ValidHeaderFieldName(s) }

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
			element = strings.Trim(element, tabOrSpace)
			switch {
			case element == "": // which a recipient ignores (RFC 9110, section 5.6.1)
			case !isToken(element):
				return nil, true, false
			default:
				tokens = append(tokens, element)
			}
		}
	}
	return tokens, len(values) > 0, true
}

// isForbiddenRequestHeader is "forbidden request-header": one that the browser alone sets.
func isForbiddenRequestHeader(f Field) bool {
	lower := strings.ToLower(f.Name)
	switch lower {
	case "accept-charset", "accept-encoding", "access-control-request-headers", "access-control-request-method",
		"connection", "content-length", "cookie", "cookie2", "date", "dnt", "expect", "host", "keep-alive", "origin",
		"referer", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via":
		return true
	case "x-http-method", "x-http-method-override", "x-method-override":
		return slices.ContainsFunc(decodeAndSplit(f.Value), isForbiddenMethod)
	}
	return strings.HasPrefix(lower, "proxy-") || strings.HasPrefix(lower, "sec-")
}

// decodeAndSplit is "get, decode, and split", of one value: on commas that are not in a quoted string.
func decodeAndSplit(value string) []string {
	var values []string
	start, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			values = append(values, strings.Trim(value[start:i], tabOrSpace))
			start = i + 1
		}
	}
	return append(values, strings.Trim(value[start:], tabOrSpace))
}

func isForbiddenResponseHeader(name string) bool {
	return strings.EqualFold(name, "Set-Cookie") || strings.EqualFold(name, "Set-Cookie2")
}

// isRequestBodyHeader is "request-body-header name": it goes when a redirect takes the body away.
func isRequestBodyHeader(name string) bool {
	return containsFold([]string{"Content-Encoding", "Content-Language", "Content-Location", "Content-Type"}, name)
}

// isSafelistedResponseHeader is "CORS-safelisted response-header name", but for those that the server exposes.
func isSafelistedResponseHeader(name string) bool {
	return containsFold([]string{
		"Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Expires", "Last-Modified", "Pragma",
	}, name)
}

// The limits of values that need no preflight.
const (
	maxSafelistedValue  = 128  // of one
	maxSafelistedValues = 1024 // of all together
)

// isSafelistedRequestHeader is "CORS-safelisted request-header": one that a form or a link could have sent, too.
func isSafelistedRequestHeader(f Field) bool {
	if len(f.Value) > maxSafelistedValue {
		return false
	}
	switch strings.ToLower(f.Name) {
	case "accept":
		return !hasUnsafeByte(f.Value)
	case "accept-language", "content-language":
		return strings.IndexFunc(f.Value, func(r rune) bool {
			return !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || strings.ContainsRune(" *,-.;=", r))
		}) < 0
	case "content-type":
		if hasUnsafeByte(f.Value) {
			return false
		}
		switch essence(f.Value) {
		case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
			return true
		}
		return false
	case "range":
		return isSafelistedRange(f.Value)
	}
	return false
}

// hasUnsafeByte looks for a "CORS-unsafe request-header byte".
func hasUnsafeByte(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < 0x20 && c != '\t' || c == 0x7f || strings.IndexByte("\"():<>?@[\\]{}", c) >= 0 {
			return true
		}
	}
	return false
}

// essence is the essence of "parse a MIME type" (MIME Sniffing Standard), which parameters cannot make fail. It is
// empty for a failure.
func essence(value string) string {
	value = strings.Trim(value, httpWhitespace)
	value, _, _ = strings.Cut(value, ";")
	kind, subtype, ok := strings.Cut(value, "/")
	subtype = strings.TrimRight(subtype, httpWhitespace)
	if !ok || !isToken(kind) || !isToken(subtype) {
		return ""
	}
	return strings.ToLower(kind + "/" + subtype)
}

// isSafelistedRange is "parse a single range header value", without white space, of a range with a start. The Standard sets
// no limit to its numbers, but all browsers do.
func isSafelistedRange(value string) bool {
	value, ok := strings.CutPrefix(value, "bytes=")
	if !ok {
		return false
	}
	start, end, ok := strings.Cut(value, "-")
	if !ok || start == "" || strings.Trim(start+end, "0123456789") != "" {
		return false
	}
	first, err := strconv.ParseInt(start, 10, 64)
	if err != nil || end == "" {
		return err == nil
	}
	last, err := strconv.ParseInt(end, 10, 64)
	return err == nil && first <= last
}

// unsafeRequestHeaderNames is "CORS-unsafe request-header names": those that a preflight asks for.
func unsafeRequestHeaderNames(list []Field) []string {
	var unsafe, potentiallyUnsafe []string
	size := 0
	for _, f := range list {
		if !isSafelistedRequestHeader(f) {
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

func isAuthorization(name string) bool { return strings.EqualFold(name, "Authorization") }

func isSafelistedMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodPost
}

// isForbiddenMethod is "forbidden method".
func isForbiddenMethod(method string) bool {
	return containsFold([]string{http.MethodConnect, http.MethodTrace, "TRACK"}, method)
}

// normalizeMethod is "normalize": browsers write some methods in upper case, and leave all others, "patch" among them,
// as they are.
func normalizeMethod(method string) string {
	switch upper := strings.ToUpper(method); upper {
	case http.MethodDelete, http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodPut:
		return upper
	}
	return method
}
