package fetch

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// warnOpaqueBlocking warns of "opaque response blocking", which the Fetch Standard does not have yet: Chromium and Firefox
// give elements without CORS no response that is data or a document, as an error page is. The verdict does not depend on
// it: what the body looks like is not known. It reports whether there is a warning.
func (f *fetch) warnOpaqueBlocking(response *response) bool {
	essence, _ := fetchspec.ExtractMIMEType(response.header)
	nosniff := f.nosniff(response)
	warn := func(format string, engines ...Engine) {
		f.warn(OpaqueResponseBlocking, fmt.Sprintf("The response is of the type %s. "+format+", because the element loads it without CORS (net::ERR_BLOCKED_BY_ORB). "+
			"Look at the response: it may be an error page. If it is not, have the server send the right Content-Type.", essence), engines...)
	}
	const looksLikeIt = "if the body looks like HTML, XML or JSON"
	switch {
	case f.kind != KindScript && f.kind != KindImage && f.kind != KindMedia:
		return false
	case isNeverSniffed(essence):
		warn("Chrome and Firefox block that", Chromium, Firefox)
	case isOpaqueBlocklisted(essence) && nosniff:
		warn("With X-Content-Type-Options: nosniff, Chrome and Firefox block that", Chromium, Firefox)
	case isOpaqueBlocklisted(essence) && response.status == http.StatusPartialContent:
		warn("With the status 206, Firefox blocks that, and Chrome does "+looksLikeIt, Firefox)
	case isOpaqueBlocklisted(essence):
		warn("Chrome and Firefox block that " + looksLikeIt)
	case essence == "text/plain" && nosniff:
		warn("With X-Content-Type-Options: nosniff, Chrome blocks that", Chromium)
	default:
		return false
	}
	return true
}

// isOpaqueBlocklisted reports whether an essence is that of HTML, XML or JSON (Opaque Response Blocking,
// "opaque-blocklisted MIME type"; MIME Sniffing Standard, section 4.6), but for what is drawn or played.
func isOpaqueBlocklisted(essence string) bool {
	switch essence {
	case "text/html", "text/xml", "application/xml", "application/json", "text/json":
		return true
	case "image/svg+xml", "application/dash+xml":
		return false
	}
	return strings.HasSuffix(essence, "+xml") || strings.HasSuffix(essence, "+json")
}

// isNeverSniffed reports whether an essence is that of archives, documents or data that no element loads (Opaque Response
// Blocking, "opaque-blocklisted-never-sniffed MIME type").
func isNeverSniffed(essence string) bool {
	switch essence {
	case "application/gzip", "application/msexcel", "application/mspowerpoint", "application/msword",
		"application/msword-template", "application/pdf", "application/vnd.ces-quickpoint",
		"application/vnd.ces-quicksheet", "application/vnd.ces-quickword", "application/vnd.ms-excel",
		"application/vnd.ms-excel.sheet.macroenabled.12", "application/vnd.ms-powerpoint",
		"application/vnd.ms-powerpoint.presentation.macroenabled.12", "application/vnd.ms-word",
		"application/vnd.ms-word.document.12", "application/vnd.ms-word.document.macroenabled.12",
		"application/vnd.msword", "application/vnd.presentation-openxml", "application/vnd.presentation-openxmlm",
		"application/vnd.spreadsheet-openxml", "application/vnd.wordprocessing-openxml", "application/x-gzip",
		"application/x-protobuf", "application/x-protobuffer", "application/zip", "multipart/byteranges",
		"multipart/signed", "text/csv", "text/event-stream":
		return true
	}
	kind, ok := strings.CutPrefix(essence, "application/vnd.openxmlformats-officedocument.")
	return ok && (strings.HasSuffix(kind, "ml.document") || strings.HasSuffix(kind, "ml.presentation") ||
		strings.HasSuffix(kind, "ml.sheet") || strings.HasSuffix(kind, "ml.template"))
}
