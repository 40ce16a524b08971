package policy

import "strings"

// A nameSet is a set of field names, which are compared without regard to case.
type nameSet struct {
	lower   map[string]struct{}
	longest int
}

// maxFieldName is the longest field name that the options accept. It lets a look-up fold the case without allocating.
const maxFieldName = 256

func newNameSet(names []string) nameSet {
	s := nameSet{lower: make(map[string]struct{}, len(names))}
	for _, name := range names {
		s.lower[strings.ToLower(name)] = struct{}{}
		s.longest = max(s.longest, len(name))
	}
	return s
}

// has reports whether the set has the name, in any case.
func (s nameSet) has(name string) bool {
	if len(name) > s.longest {
		return false
	}
	if _, ok := s.lower[name]; ok {
		return true // browsers send the names in lower case
	}
	var buf [maxFieldName]byte
	lower := buf[:len(name)]
	for i := range lower {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	_, ok := s.lower[string(lower)]
	return ok
}

// maxSeparators is the longest run of commas and white space that is passed over. Empty elements are to be ignored, but
// not so many that they could harm a server (RFC 9110, section 5.6.1.2).
const maxSeparators = 256

// nextElement takes the first element off a comma-separated list (RFC 9110, section 5.6.1), without the white space
// around it. An empty element is returned as such. After a run of more than [maxSeparators], the element is a separator,
// which is not the name of anything.
func nextElement(list string) (element, rest string, more bool) {
	start := 0
	for start < len(list) && (list[start] == ',' || list[start] == ' ' || list[start] == '\t') {
		if start++; start > maxSeparators {
			return ",", "", false
		}
	}
	element, rest, more = strings.Cut(list[start:], ",")
	end := len(element)
	for end > 0 && (element[end-1] == ' ' || element[end-1] == '\t') {
		end--
	}
	return element[:end], rest, more
}

// isCORSResponseHeader reports whether the field is one that a server answers a CORS request with, or is meant to be one.
func isCORSResponseHeader(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(lower, "access-control-allow-") || lower == "access-control-expose-headers" ||
		lower == "access-control-max-age" || lower == "timing-allow-origin"
}

// knownMethods are the methods of RFC 9110, PATCH (RFC 5789), QUERY and those of WebDAV and its kin that browsers'
// scripts use: all are written in upper case.
var knownMethods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "OPTIONS": true, "PATCH": true, "QUERY": true,
	"COPY": true, "LOCK": true, "MKCOL": true, "MOVE": true, "PROPFIND": true, "PROPPATCH": true, "REPORT": true,
	"SEARCH": true, "UNLOCK": true,
}
