package fetchspec

import (
	"slices"
	"strconv"
	"strings"
)

// Bytes that the Standard's algorithms trim.
const (
	HTTPWhitespace = "\t\n\r " // "HTTP whitespace bytes" (section 2.2), which do not belong to a value
	TabOrSpace     = "\t "     // "HTTP tab or space bytes" (section 2.2), which do not belong to a list's element
)

// NormalizeValue is "normalize" a header value (section 2.2.2). Other white space, such as a vertical tab, is a part of
// the value.
func NormalizeValue(value string) string { return strings.Trim(value, HTTPWhitespace) }

// IsForbiddenRequestHeader is "forbidden request-header" (section 2.2.2): the browser alone sets it, and leaves out what
// a script sets.
func IsForbiddenRequestHeader(name, value string) bool {
	if IsForbiddenRequestHeaderName(name) {
		return true
	}
	return equalsAny(name, "X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override") &&
		slices.ContainsFunc(DecodeAndSplit(value), IsForbiddenMethod)
}

// IsForbiddenRequestHeaderName reports whether a header with the name is a "forbidden request-header" (section 2.2.2)
// whatever its value is.
func IsForbiddenRequestHeaderName(name string) bool {
	switch lower := strings.ToLower(name); lower {
	case "accept-charset", "accept-encoding", "access-control-request-headers", "access-control-request-method",
		"connection", "content-length", "cookie", "cookie2", "date", "dnt", "expect", "host", "keep-alive", "origin",
		"referer", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "via":
		return true
	default:
		return strings.HasPrefix(lower, "proxy-") || strings.HasPrefix(lower, "sec-")
	}
}

// IsForbiddenResponseHeaderName is "forbidden response-header name" (section 2.2.2): no script can read it.
func IsForbiddenResponseHeaderName(name string) bool {
	return equalsAny(name, "Set-Cookie", "Set-Cookie2")
}

// IsNonWildcardRequestHeaderName is "CORS non-wildcard request-header name" (section 2.2.2): a * does not cover it.
func IsNonWildcardRequestHeaderName(name string) bool { return equalsAny(name, "Authorization") }

// IsRequestBodyHeaderName is "request-body-header name" (section 2.2.2): it goes when a redirect takes the body away.
func IsRequestBodyHeaderName(name string) bool {
	return equalsAny(name, "Content-Encoding", "Content-Language", "Content-Location", "Content-Type")
}

// IsSafelistedResponseHeaderName is "CORS-safelisted response-header name" (section 2.2.2), given an empty list: a script
// can read it without Access-Control-Expose-Headers.
func IsSafelistedResponseHeaderName(name string) bool {
	return equalsAny(name, "Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Expires", "Last-Modified", "Pragma")
}

// maxSafelistedValue is the length of a value from which on a header needs permission, whatever its name is.
const maxSafelistedValue = 128

// IsSafelistedRequestHeader is "CORS-safelisted request-header" (section 2.2.2): one that a form or a link could have
// sent, too, and that needs no permission.
func IsSafelistedRequestHeader(name, value string) bool {
	if len(value) > maxSafelistedValue {
		return false
	}
	switch strings.ToLower(name) {
	case "accept":
		return !hasUnsafeByte(value)
	case "accept-language", "content-language":
		return strings.IndexFunc(value, func(r rune) bool {
			return !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || strings.ContainsRune(" *,-.;=", r))
		}) < 0
	case "content-type":
		if hasUnsafeByte(value) {
			return false
		}
		mimeType, _ := ParseMIMEType(value)
		switch mimeType.Essence {
		case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
			return true
		}
	case "range":
		return isSafelistedRange(value)
	}
	return false
}

// IsNoCORSSafelistedRequestHeader is "no-CORS-safelisted request-header" (section 2.2.2): a script can set it on a
// request in the mode "no-cors".
func IsNoCORSSafelistedRequestHeader(name, value string) bool {
	return equalsAny(name, "Accept", "Accept-Language", "Content-Language", "Content-Type") && IsSafelistedRequestHeader(name, value)
}

// hasUnsafeByte looks for a "CORS-unsafe request-header byte" (section 2.2.2).
func hasUnsafeByte(value string) bool {
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < 0x20 && c != '\t' || c == 0x7f || strings.IndexByte("\"():<>?@[\\]{}", c) >= 0 {
			return true
		}
	}
	return false
}

// isSafelistedRange is "parse a single range header value" (section 2.2.2), without white space, of a range with a start.
// The Standard sets no limit to its numbers, but all browsers do.
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

// DecodeAndSplit is "get, decode, and split" (section 2.2.2), of one value: on commas that are not in a quoted string.
func DecodeAndSplit(value string) []string {
	var values []string
	start, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			values = append(values, strings.Trim(value[start:i], TabOrSpace))
			start = i + 1
		}
	}
	return append(values, strings.Trim(value[start:], TabOrSpace))
}
