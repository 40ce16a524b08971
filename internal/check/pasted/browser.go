package pasted

import (
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// A header is that of a request as it was sent: the script's fields and the browser's.
type header []fetch.Field

// get returns the first value of a field.
func (h header) get(name string) string {
	for _, f := range h {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// has reports whether a field is there.
func (h header) has(name string) bool {
	return slices.ContainsFunc(h, func(f fetch.Field) bool { return strings.EqualFold(f.Name, name) })
}

// origin returns the origin of the page, from the Origin field or else from the Referer; empty if neither tells.
func (h header) origin() string {
	if o := originOf(h.get("Origin")); o != "" {
		return o
	}
	return originOf(h.get("Referer"))
}

// page returns the URL of the page, from the Referer; empty if that is the URL of a document of another origin.
func (h header) page() string {
	if referer := callableURL(h.get("Referer")); referer != "" && originOf(referer) == h.origin() {
		return referer
	}
	return ""
}

// script returns the fields that a script has set: all but those that browsers send by themselves.
func (h header) script() []fetch.Field {
	uncached := strings.EqualFold(h.get("Pragma"), "no-cache") && strings.EqualFold(h.get("Cache-Control"), "no-cache")
	var few [32]fetch.Field // so that what is returned, of which there may be very much, is not longer than it has to be
	fields := few[:0]
	for _, f := range h {
		switch {
		case strings.HasPrefix(f.Name, ":"): // HTTP/2's and HTTP/3's pseudo-header fields
		case fetchspec.IsForbiddenRequestHeader(f.Name, f.Value):
		case isBrowsers(f):
		case uncached && (strings.EqualFold(f.Name, "Pragma") || strings.EqualFold(f.Name, "Cache-Control")):
			// The developer tools' "disable cache" and a reload send both, and so does fetch's cache: "reload".
		case strings.EqualFold(f.Name, "Cache-Control") && strings.EqualFold(f.Value, "max-age=0"): // of its cache: "no-cache"
		default:
			fields = append(fields, f)
		}
	}
	return slices.Clone(fields)
}

// isBrowsers reports whether a browser sends a field by itself, though a script could set it, too. A script that sets
// Accept or Accept-Language to another value changes nothing for CORS, unless the value is not safelisted.
func isBrowsers(f fetch.Field) bool {
	switch name := strings.ToLower(f.Name); name {
	case "accept", "accept-language":
		return fetchspec.IsSafelistedRequestHeader(name, f.Value)
	case "authority", // HTTP/2's :authority, as it was copied once
		"user-agent", "priority", "upgrade-insecure-requests", "purpose", "x-client-data", "save-data",
		"dpr", "viewport-width", "width", "device-memory", "rtt", "downlink", "ect",
		"if-none-match", "if-modified-since", "last-event-id", "service-worker", "alt-used",
		"attribution-reporting-eligible", "attribution-reporting-support":
		return true
	}
	return false
}
