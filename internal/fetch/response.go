package fetch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// filter makes the "filtered response" (section 2.2.6): what the page gets of it.
func (f *fetch) filter(response *response) {
	r := f.result
	if f.tainting == opaque {
		r.Opaque, r.ReadableHeaders = true, []string{}
		if !f.warnOpaqueBlocking(response) {
			f.warnOpaque()
		}
		return
	}
	r.Status, r.URL, r.ReadableHeaders = response.status, f.current(), f.readableHeaders(response)
}

// readableHeaders are the names in the filtered response's header list ("basic filtered response", "CORS filtered
// response").
func (f *fetch) readableHeaders(response *response) []string {
	exposed, _, _ := extractTokens(response.header, "Access-Control-Expose-Headers")
	all := f.tainting == basic || !f.include() && slices.Contains(exposed, "*")
	readable := []string{}
	for name := range response.header {
		if !fetchspec.IsForbiddenResponseHeaderName(name) && (all || fetchspec.IsSafelistedResponseHeaderName(name) || containsFold(exposed, name)) {
			readable = append(readable, name)
		}
	}
	return sortedLowercaseSet(readable)
}

// blockResponse is the end of "main fetch", and what follows it in the standard of the kind: whether the response is of
// any use to the page.
func (f *fetch) blockResponse(response *response) error {
	essence, _ := fetchspec.ExtractMIMEType(response.header)
	fail := func(code Code, format string, args ...any) error {
		return f.networkError(code, AtResponse, fmt.Sprintf(format, args...), essence)
	}
	nosniff := f.nosniff(response)
	f.warnTypes(response)
	f.warnPartial(response)
	f.warnMediaStatus(response.status)
	f.warnProxyStatus(response)
	f.warnLocations(response)
	switch f.kind {
	case KindWebSocket:
		return f.blockHandshake(response)
	case KindEventSource: // HTML Standard, section 9.2.3
		switch {
		case response.status != http.StatusOK:
			return f.blockStatus(response)
		case essence != "text/event-stream":
			return fail(MIMEType, "EventSource's response has a MIME type (\"%s\") that is not \"text/event-stream\". Aborting the connection.", essence)
		}
	case KindScript, KindModule:
		isJavaScript := fetchspec.IsJavaScriptMIMEType(essence)
		switch {
		case isNoScript(essence): // "should response to request be blocked due to its MIME type?" (section 2.11)
			return fail(MIMEType, "Refused to execute script from '%s' because its MIME type ('%s') is not executable.", f.current(), essence)
		case nosniff && !isJavaScript: // "should response to request be blocked due to nosniff?" (section 3.6)
			return fail(MIMEType, "Refused to execute script from '%s' because its MIME type ('%s') is not executable, and strict MIME type checking is enabled.", f.current(), essence)
		case !isOKStatus(response.status):
			return f.blockStatus(response)
		case f.kind == KindModule && !isJavaScript: // HTML Standard, "fetch a single module script"
			return fail(MIMEType, "Failed to load module script: Expected a JavaScript-or-Wasm module script but the server responded with a MIME type of \"%s\". Strict MIME type checking is enforced for module scripts per HTML spec.", essence)
		}
	case KindStyle: // HTML Standard, section 4.6.7.10 "link type stylesheet"
		switch {
		case isNullBody(response.status): // scripts without a body are run, as empty ones are
			return f.blockEmpty(response)
		case !isOKStatus(response.status):
			return f.blockStatus(response)
		case !f.isStyleSheet(response, essence, nosniff):
			return fail(MIMEType, "Refused to apply style from '%s' because its MIME type ('%s') is not a supported stylesheet MIME type, and strict MIME checking is enabled.", f.current(), essence)
		}
	case KindImage:
		if isNullBody(response.status) {
			return f.blockEmpty(response)
		}
	case KindFont, KindMedia, KindManifest:
		switch {
		case isNullBody(response.status) && f.kind != KindManifest:
			return f.blockEmpty(response)
		case !isOKStatus(response.status):
			return f.blockStatus(response)
		}
	}
	return nil
}

// isNullBody reports whether a status with which a response has no body (section 2.2.3) is an ok status.
func isNullBody(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent
}

// blockStatus is for kinds that take no page of an error for what they load.
func (f *fetch) blockStatus(response *response) error {
	f.warnStatus(response.status)
	return f.blockEmpty(response)
}

// blockEmpty is for a status with which there is nothing that could be used.
func (f *fetch) blockEmpty(response *response) error {
	return f.networkError(ErrorStatus, AtResponse, fmt.Sprintf("Failed to load resource: the server responded with a status of %d (%s)", response.status, http.StatusText(response.status)), fmt.Sprint(response.status))
}

// isStyleSheet reports whether a response's type is that of a style sheet. A response without one that can be read is of
// the type that a style sheet has by default (HTML Standard, section 4.6.7.10).
func (f *fetch) isStyleSheet(response *response, essence string, nosniff bool) bool {
	switch {
	case essence == "text/css":
		return true
	case nosniff: // "should response to request be blocked due to nosniff?" (Fetch Standard, section 3.6)
		return false
	case essence == "application/x-unknown-content-type": // as in all browsers
		f.warnUnknownStyleType()
		return true
	case essence != "":
		return false
	}
	contentType, _ := get(response.header, "Content-Type")
	f.warnStyleType(contentType)
	if i := strings.IndexAny(contentType, " \t;,("); i >= 0 { // where browsers have it end
		contentType = contentType[:i]
	}
	return !strings.Contains(contentType, "/") || contentType == "text/css" || contentType == "*/*"
}

// isNoScript reports whether an essence cannot be that of a script, whatever else is true.
func isNoScript(essence string) bool {
	kind, _, _ := strings.Cut(essence, "/")
	return kind == "audio" || kind == "image" || kind == "video" || essence == "text/csv"
}

// nosniff is "determine nosniff" (section 3.6).
func (f *fetch) nosniff(response *response) bool {
	value, ok := get(response.header, "X-Content-Type-Options")
	return ok && strings.EqualFold(fetchspec.DecodeAndSplit(value)[0], "nosniff")
}

// blockHandshake is what follows from a WebSocket's handshake (RFC 6455, section 4.1). That the server knows the protocol,
// its Sec-WebSocket-Accept says.
func (f *fetch) blockHandshake(response *response) error {
	if response.status == http.StatusSwitchingProtocols {
		return nil
	}
	return f.networkError(WebSocketHandshake, AtResponse, fmt.Sprintf("WebSocket connection to '%s' failed: Error during WebSocket handshake: Unexpected response code: %d", f.current(), response.status), fmt.Sprint(response.status))
}

// warnOpaque says what an opaque response is good for.
func (f *fetch) warnOpaque() {
	switch f.kind {
	case KindFetch:
		f.warn(OpaqueResponse, "The response is opaque: to the script, its status is 0, ok is false, and it has neither a header nor a body. With mode: 'no-cors', no script can know what the server has answered, nor that it has failed.")
	case KindImage, KindMedia:
		f.warn(OpaqueResponse, "It is shown, but a canvas that it is drawn to is tainted: no script can read it. For that, the element needs crossorigin, and the response has to allow the page.")
	case KindScript:
		f.warn(OpaqueResponse, "The script runs, but its errors come as \"Script error.\", without a message and a line. For those, the element needs crossorigin, and the response has to allow the page.")
	case KindStyle:
		f.warn(OpaqueResponse, "The style sheet applies, but no script can read its rules. For that, the element needs crossorigin, and the response has to allow the page.")
	case KindBeacon:
		f.warn(OpaqueResponse, "The beacon is sent, and no script can know what the server has answered.")
	}
}
