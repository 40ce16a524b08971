package fetch

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// warnOpaqueBlocking warns of "opaque response blocking", which the Fetch Standard does not have yet: Chromium gives no
// element without CORS a response that is HTML, XML or JSON, as an error page is. It reports whether there is a warning.
func (f *fetch) warnOpaqueBlocking(response *response) bool {
	switch f.kind {
	case KindScript, KindStyle, KindImage, KindMedia:
	default:
		return false
	}
	essence, _ := fetchspec.ExtractMIMEType(response.header)
	if !isOpaqueBlocklisted(essence) {
		return false
	}
	when := "if the body looks like it"
	switch {
	case f.nosniff(response):
		when = "with X-Content-Type-Options: nosniff"
	case response.status == http.StatusPartialContent:
		when = "with the status 206"
	}
	f.warn(OpaqueResponseBlocking, fmt.Sprintf("The response is of the type %s. Chrome blocks that %s (net::ERR_BLOCKED_BY_ORB), because the element loads it without CORS. Look at the response: it may be an error page. If it is not, have the server send the right Content-Type.", essence, when))
	return true
}

// isOpaqueBlocklisted reports whether an essence is that of HTML, XML other than SVG, or JSON (Opaque Response Blocking,
// "opaque-blocklisted MIME type"; MIME Sniffing Standard, section 4.6).
func isOpaqueBlocklisted(essence string) bool {
	switch essence {
	case "text/html", "text/xml", "application/xml", "application/json", "text/json":
		return true
	case "image/svg+xml":
		return false
	}
	return strings.HasSuffix(essence, "+xml") || strings.HasSuffix(essence, "+json")
}
