package fetch

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// Where engines differ from the Standard, and not all of them in the same way, the result is the Standard's, and has one
// of these warnings. Each is about a difference that the tests see in the engine itself.
const (
	BeaconType                  WarningCode = "beacon-type"
	ChromiumPolicyDirective     WarningCode = "chromium-policy-directive"
	ChromiumPolicyUpgrade       WarningCode = "chromium-policy-upgrade"
	LenientStatus               WarningCode = "lenient-status"
	MediaStatus                 WarningCode = "media-status"
	ChromiumUpgradedURL         WarningCode = "chromium-upgraded-url"
	ChromiumURLCredentials      WarningCode = "chromium-url-credentials"
	ChromiumUpgradedRedirect    WarningCode = "chromium-upgraded-redirect"
	UploadWithoutBody           WarningCode = "upload-without-body"
	PolicyPort                  WarningCode = "policy-port"
	PolicyWebSocketSource       WarningCode = "policy-websocket-source"
	WebKitUpgradedLoopback      WarningCode = "webkit-upgraded-loopback"
	WebKitFont                  WarningCode = "webkit-font"
	ChromiumProxyStatus         WarningCode = "chromium-proxy-status"
	ChromiumRedirectCredentials WarningCode = "chromium-redirect-credentials"
	ChromiumSafelist            WarningCode = "chromium-safelist"
	EmptyLocation               WarningCode = "empty-location"
	FirefoxDroppedHeaders       WarningCode = "firefox-dropped-headers"
	StyleType                   WarningCode = "style-type"
	FirefoxPartialImage         WarningCode = "firefox-partial-image"
	FirefoxPolicyUpgrade        WarningCode = "firefox-policy-upgrade"
	FirefoxResourcePolicy       WarningCode = "firefox-resource-policy"
	FirefoxSilentPort           WarningCode = "firefox-silent-port"
	FirefoxStyleRedirect        WarningCode = "firefox-style-redirect"
	FirefoxUpgradedOrigin       WarningCode = "firefox-upgraded-origin"
	FirefoxPreflightOrigin      WarningCode = "firefox-preflight-origin"
	PartialContent              WarningCode = "partial-content"
	RedirectPreflight           WarningCode = "redirect-preflight"
	RepeatedHeader              WarningCode = "repeated-header"
	RepeatedLocation            WarningCode = "repeated-location"
	RepeatedType                WarningCode = "repeated-type"
	WebKitAuthorization         WarningCode = "webkit-authorization"
	WebKitBodyHeaders           WarningCode = "webkit-body-headers"
	WebKitDataRedirect          WarningCode = "webkit-data-redirect"
	WebKitDelete                WarningCode = "webkit-delete"
	WebKitLocation              WarningCode = "webkit-location"
	WebKitLoopback              WarningCode = "webkit-loopback"
	WebKitRange                 WarningCode = "webkit-range"
	WebKitRedirect              WarningCode = "webkit-redirect"
)

func (f *fetch) warnLoopbackPage(u *url.Url) {
	if page, ok := origin.Parse(f.origin); ok && page.Loopback() && !isPotentiallyTrustworthy(u) {
		f.warn(LoopbackPage, "By the Standard, a page on loopback cannot call http URLs of other hosts, as little as an https page. All browsers let it. When the page is served over https, they will not.")
	}
}

func (f *fetch) warnLoopbackURL(u *url.Url) {
	f.warn(WebKitLoopback, "Safari blocks http on loopback from https pages, as mixed content. By the Standard, and in other browsers, it is fine.", WebKit)
}

func (f *fetch) warnAuthorization() {
	f.warn(AuthorizationWildcard, `By the Standard, the "*" in Access-Control-Allow-Headers does not cover Authorization. All browsers let it, so far: list Authorization too.`)
}

// warnPreflight is about whether a preflight is made, and how.
func (f *fetch) warnPreflight() {
	if f.redirectTainted() && f.origin != origin.Null {
		f.warn(FirefoxPreflightOrigin, "After a redirect from one origin to another, the Origin is null. Firefox sends the page's in the preflight, and null in the request.", Firefox)
	}
	for _, field := range f.header {
		if !strings.EqualFold(field.Name, "Range") || fetchspec.IsSafelistedRequestHeader(field.Name, field.Value) {
			continue
		}
		field.Value = strings.ToLower(field.Value)
		if fetchspec.IsSafelistedRequestHeader(field.Name, field.Value) {
			f.warn(WebKitRange, "Safari needs no preflight for a Range whose unit is not in lower case.", WebKit)
		}
	}
	if slices.ContainsFunc(f.header, isSafelistedByChromium) {
		f.warn(ChromiumSafelist, "Chrome needs no preflight for a client hint or User-Agent, and does not ask for it if it needs one.", Chromium)
	}
}

// isSafelistedByChromium reports whether Chromium takes a field for safelisted, which is not.
func isSafelistedByChromium(f Field) bool {
	return containsFold([]string{"Device-Memory", "Downlink", "DPR", "ECT", "RTT", "User-Agent", "Viewport-Width", "Width"}, f.Name) ||
		strings.EqualFold(f.Name, "Save-Data") && strings.EqualFold(f.Value, "on")
}

// warnNoPreflight is about a call that needs no preflight any more.
func (f *fetch) warnNoPreflight() {
	const message = "Before a redirect, the call had what needs a preflight, and now it has not. "
	switch {
	case f.preflighted:
		f.warn(RedirectPreflight, message+"Firefox and Safari make one all the same.", Firefox, WebKit)
	case f.unsafeHeaders:
		f.warn(RedirectPreflight, message+"Firefox makes one all the same.", Firefox)
	}
}

// warnRepeated is about a script that sets a header more than once.
func (f *fetch) warnRepeated() {
	const message = "The script sets a header more than once, which browsers do not measure in the same way: "
	unsafe := unsafeRequestHeaderNames(f.header)
	if !slices.Equal(unsafe, unsafeRequestHeaderNames(combine(f.header))) {
		f.warn(RepeatedHeader, message+"Chrome and Safari take it for one value, joined by commas.", Chromium, WebKit)
	}
	if slices.ContainsFunc(f.header, func(field Field) bool {
		return slices.Contains(unsafe, strings.ToLower(field.Name)) && fetchspec.IsSafelistedRequestHeader(field.Name, field.Value)
	}) {
		f.warn(RepeatedHeader, message+"Firefox sets no limit to all of them together.", Firefox)
	}
	if combined := combine(f.header); len(combined) < len(f.header) && len(unsafe) > 0 {
		f.warn(RepeatedHeader, message+"Firefox asks for its name more than once.", Firefox)
	}
}

// warnBodyDropped is about a redirect that takes the body away.
func (f *fetch) warnBodyDropped() {
	// Those that are safelisted make no difference.
	if slices.ContainsFunc(f.header, func(field Field) bool {
		return fetchspec.IsRequestBodyHeaderName(field.Name) && !fetchspec.IsSafelistedRequestHeader(field.Name, field.Value)
	}) {
		f.warn(WebKitBodyHeaders, "The redirect makes a GET of the call, and leaves out the headers of its body. Safari does not send them either, but its preflights ask for them.", WebKit)
		f.headersDropped = true
	}
}

// warnRedirect is about a redirect that is followed. The method is the one after it, the header the one before.
func (f *fetch) warnRedirect(location string, next *url.Url) {
	if location == "" {
		f.warn(EmptyLocation, "A redirect with an empty Location is to the same URL, by the Standard and in Firefox. Chrome takes it for a response as any other, and Safari blocks the call.", Chromium, WebKit)
	}
	if f.tainting == cors && sameOrigin(f.origin, originOf(f.urls[0])) {
		f.warn(WebKitRedirect, "The page's own server has redirected to another origin, which redirects again: Safari blocks that.", WebKit)
	}
	if includesCredentials(next) {
		f.warn(ChromiumRedirectCredentials, "The redirect's location has a username or a password, which is fine within the page's own origin. Chrome blocks it all the same.", Chromium)
	}
	// To Safari, a redirect that is upgraded is to the origin of the URL before that.
	crossOrigin := f.upgraded || !sameOrigin(originOf(f.currentURL()), originOf(next))
	if crossOrigin && f.method == http.MethodDelete {
		f.warn(WebKitDelete, "Safari makes a GET of a DELETE that is redirected to another origin.", WebKit)
	}
	if crossOrigin && f.hasHeader("Authorization") {
		message := "Authorization is not sent to the origin that the call is redirected to. Safari does not send it either, but its preflight asks for it."
		if f.upgraded {
			message = "The page's policy upgrades the URL that the call is redirected to. Safari takes its origin for the one before the upgrade, and does not send Authorization to it."
		}
		f.warn(WebKitAuthorization, message, WebKit)
	}
	if f.headersDropped {
		f.warn(FirefoxDroppedHeaders, "Headers were left out after a redirect. Firefox sends them again after the next redirect.", Firefox)
	}
}

// warnStatus is about statuses of redirects that lead nowhere.
func (f *fetch) warnStatus(status int) {
	switch {
	case status >= 400 || f.kind == KindEventSource:
	case f.kind == KindMedia:
		f.warn(LenientStatus, "Safari plays what comes with a status below 400. By the Standard, it is one from 200 to 299.", WebKit)
	default:
		f.warn(LenientStatus, "Chrome and Safari take what comes with a status below 400. By the Standard, it is one from 200 to 299.", Chromium, WebKit)
	}
}

// warnStyleType is about types of style sheets that are not well-formed.
func (f *fetch) warnStyleType(contentType string) {
	if strings.Contains(contentType, "/") {
		engines := []Engine{WebKit}
		if strings.HasPrefix(contentType, "*/*;") {
			engines = append(engines, Chromium)
		}
		f.warn(StyleType, fmt.Sprintf("The type %q is not well-formed, and browsers do not agree on style sheets of such a type.", contentType), engines...)
	}
	if f.redirects() > 0 {
		f.warn(FirefoxStyleRedirect, "The style sheet has no type that can be read. After a redirect, Firefox does not apply such a one.", Firefox)
	}
}

// warnUnknownStyleType is about the one type of a style sheet that says nothing.
func (f *fetch) warnUnknownStyleType() {
	if f.tainting == opaque {
		f.warn(StyleType, "The type is application/x-unknown-content-type. Firefox does not apply a style sheet of that type from another origin, unless the element has crossorigin.", Firefox)
	}
}

// warnResourcePolicy is about a policy that is none of the three, of a response that a page with require-corp embeds.
func (f *fetch) warnResourcePolicy(policy string) {
	if policy != "" && f.page.Embedding == RequireCORP {
		f.warn(FirefoxResourcePolicy, fmt.Sprintf("The response's Cross-Origin-Resource-Policy is %q, which is not a policy and counts as none. Firefox takes any value for permission, though, and does not block the response.", policy), Firefox)
	}
}

// warnSilentPort is about a script that is told nothing.
func (f *fetch) warnSilentPort() {
	if f.redirects() > 0 && (f.kind == KindXHR || f.kind == KindXHRUpload) {
		f.warn(FirefoxSilentPort, "Firefox fires no event where an XMLHttpRequest is redirected to a port that browsers do not call: the script learns of it by its timeout, if it has set one.", Firefox)
	}
}

// warnPartial is about a part of something, of which nobody has asked for a part, or for all from the first byte on. The
// Standard has no question about it.
func (f *fetch) warnPartial(response *response) {
	if response.status != http.StatusPartialContent {
		return
	}
	contentRange, ok := get(response.header, "Content-Range")
	start, valid := rangeStart(contentRange)
	fromStart := valid && start == 0
	isOpaque := f.tainting == opaque
	switch f.kind {
	case KindImage:
		if isOpaque && !fromStart {
			f.warn(FirefoxPartialImage, "Firefox does not show an image of another origin whose status is 206, and whose Content-Range does not begin with the first byte, unless the element has crossorigin.", Firefox)
		}
	case KindMedia:
		switch {
		case fromStart:
		case ok || isOpaque:
			f.warn(PartialContent, "The response has the status 206, and its Content-Range does not begin with the first byte. Chrome and Firefox do not play that.", Chromium, Firefox)
		default:
			f.warn(PartialContent, "The response has the status 206, and no Content-Range. Chrome does not play that.", Chromium)
		}
		return
	}
	if isOpaque && valid && start > 0 {
		f.warn(PartialContent, "The response has the status 206, and its Content-Range does not begin with the first byte. Chrome keeps that from what loads it without CORS (net::ERR_BLOCKED_BY_ORB).", Chromium)
	}
}

// warnMediaStatus is about a status from 200 to 299 with which browsers do not expect anything to play.
func (f *fetch) warnMediaStatus(status int) {
	if f.kind != KindMedia || !isOKStatus(status) || status == http.StatusOK || status == http.StatusPartialContent {
		return
	}
	engines, browsers := []Engine{Chromium}, "Chrome plays"
	if f.tainting == opaque {
		engines, browsers = append(engines, Firefox), "Chrome and Firefox play"
	}
	f.warn(MediaStatus, fmt.Sprintf("%s what has the status 200 or 206, and no other.", browsers), engines...)
}

// warnMixedPolicy is about a policy that is asked about the http URL of an image before it is upgraded as mixed content.
func (f *fetch) warnMixedPolicy() {
	f.warn(FirefoxPolicyUpgrade, "The page's policy does not allow the http URL of the image, which browsers upgrade on an https page. Firefox asks it about that one, and the image is blocked.", Firefox)
}

// rangeStart is the number of the first byte in a Content-Range (RFC 9110, section 14.4).
func rangeStart(contentRange string) (start int64, ok bool) {
	positions, ok := strings.CutPrefix(contentRange, "bytes ")
	if !ok {
		return 0, false
	}
	first, _, ok := strings.Cut(positions, "-")
	start, err := strconv.ParseInt(first, 10, 64)
	return start, ok && err == nil
}

// warnTypes is about a response with more than one type, of which the last that can be read counts.
func (f *fetch) warnTypes(response *response) {
	switch f.kind {
	case KindScript, KindModule, KindStyle, KindEventSource:
		if contentType, _ := get(response.header, "Content-Type"); len(fetchspec.DecodeAndSplit(contentType)) > 1 {
			f.warn(RepeatedType, "The response has more than one type, and the last that can be read counts. Safari may take another one.", WebKit)
		}
	}
}

// warnProxyStatus is about a status that only a proxy can have, and that proxies have to themselves.
func (f *fetch) warnProxyStatus(response *response) {
	if response.status == http.StatusProxyAuthRequired {
		f.warn(ChromiumProxyStatus, "Chrome blocks a response with the status 407 that does not come from a proxy.", Chromium)
	}
}

// warnLocations is about a response with more than one Location, whatever its status is.
func (f *fetch) warnLocations(response *response) {
	locations := response.header.Values("Location")
	if len(locations) < 2 {
		return
	}
	equal := len(slices.Compact(slices.Clone(locations))) == 1
	switch {
	case !isRedirectStatus(response.status) && !equal:
		f.warn(RepeatedLocation, "The response has several Location fields that differ. Chrome and Firefox block that, whatever the status is.", Chromium, Firefox)
	case isRedirectStatus(response.status) && equal:
		f.warn(RepeatedLocation, "The redirect has the same Location more than once. Chrome and Firefox follow it, and Safari takes all of them together for one URL.", Chromium, Firefox, WebKit)
	case isRedirectStatus(response.status):
		f.warn(RepeatedLocation, "The redirect has several Location fields that differ. Safari takes all of them together for one URL.", WebKit)
	}
}

// warnFont is about fonts, which are to be allowed in all engines but one.
func (f *fetch) warnFont() {
	if f.kind == KindFont {
		f.warn(WebKitFont, "Safari loads fonts without CORS: it takes those of any server.", WebKit)
	}
}

// warnUpload is about listeners for an upload that there is not.
func (f *fetch) warnUpload() {
	if f.kind == KindXHRUpload && f.body == nil {
		f.warn(UploadWithoutBody, "Chrome makes no preflight for listeners of an upload without a body.", Chromium)
	}
}

// warnURLCredentials is about URLs with credentials, of which the Standard says something for fetch() alone.
func (f *fetch) warnURLCredentials() {
	switch f.kind {
	case KindBeacon, KindEventSource:
	case KindScript, KindStyle, KindImage:
		if f.mode == modeCORS {
			return
		}
	default:
		return
	}
	if includesCredentials(f.currentURL()) {
		f.warn(ChromiumURLCredentials, "The URL has a username or a password. Chrome does not load it: in a beacon, an event stream, or an element without crossorigin, it blocks such a URL.", Chromium)
	}
}

// warnDataRedirect is about a redirect to a data: URL.
func (f *fetch) warnDataRedirect(next *url.Url) {
	if next.Scheme() == "data" && (f.mode == modeNoCORS || f.kind == KindFont) {
		f.warn(WebKitDataRedirect, "Safari follows a redirect to a data: URL of what is loaded without CORS.", WebKit)
	}
}

// warnLocation is about a Location that is not as it should be: in ASCII.
func (f *fetch) warnLocation(location string) {
	if strings.IndexFunc(location, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		f.warn(WebKitLocation, "The redirect's Location has characters that are not ASCII. Safari takes each of its bytes for a character, and calls another URL. Have the server percent-encode them.", WebKit)
	}
}

// warnBeaconType is about types with parameters that make them unsafe.
func (f *fetch) warnBeaconType(contentType string) {
	mimeType, ok := fetchspec.ParseMIMEType(contentType)
	if !ok || fetchspec.IsSafelistedRequestHeader("Content-Type", mimeType.Essence) {
		f.warn(BeaconType, "Chrome and Firefox do not look at the parameters of a beacon's type, nor at its length, and take no notice of one that is not well-formed: they make no preflight.", Chromium, Firefox)
	}
}

// warnPolicyUpgrade is about a policy that is asked about a URL before it is upgraded.
func (f *fetch) warnPolicyUpgrade() {
	if !f.policies().UpgradesInsecureRequests() || f.policies().Check(f.policyRequest()).Verdict != csp.Blocked {
		return
	}
	var engines []Engine
	switch f.kind {
	case KindFetch, KindStream:
		engines = []Engine{Chromium}
	case KindEventSource:
		engines = []Engine{WebKit}
	case KindBeacon:
		engines = []Engine{Chromium, WebKit}
	case KindMedia:
		if engines = []Engine{Chromium}; f.mode == modeNoCORS {
			engines = append(engines, WebKit)
		}
	default:
		return
	}
	browsers := map[int]string{1: "Chrome asks", 2: "Chrome and Safari ask"}[len(engines)]
	if engines[0] == WebKit {
		browsers = "Safari asks"
	}
	f.warn(ChromiumPolicyUpgrade, fmt.Sprintf("The page's policy does not allow the http URL that upgrade-insecure-requests upgrades. %s it about that one, and the call is blocked.", browsers), engines...)
}

// warnPolicyDirective is about a directive after one of the same name that is ignored.
func (f *fetch) warnPolicyDirective(verdict csp.Verdict) {
	r := f.policyRequest()
	if r.FirstOfName = true; verdict == csp.Blocked && f.policies().Check(r).Verdict != csp.Blocked {
		f.warn(ChromiumPolicyDirective, "The page's policy has two directives of a name. The first is not ASCII, and counts for nothing. Chrome ignores the second, too, and makes the call.", Chromium)
	}
}

// warnPolicyPort is about sources with a port, of a policy that makes something of the URL.
func (f *fetch) warnPolicyPort(verdict csp.Verdict) {
	blocked := func(r csp.Request) bool { return f.policies().Check(r).Verdict == csp.Blocked }
	r := f.policyRequest()
	if verdict == csp.Blocked {
		if r.AnySchemePort80 = true; !blocked(r) {
			f.warn(PolicyPort, "The page's policy has a source with the port 80. Firefox and Safari take that for the port of https, too, and make the call.", Firefox, WebKit)
		}
		return
	}
	late, wildcard := r, r
	if late.UpgradedLate = true; f.upgraded && blocked(late) {
		f.warn(PolicyPort, "The page's policy allows the URL by a source with the port 443. Firefox compares that with the port 80 of the URL before the upgrade, and blocks the call.", Firefox)
	}
	if wildcard.NoWildcardPort = true; blocked(wildcard) {
		f.warn(PolicyPort, "The page's policy allows the URL by a source such as *:443, which matches nothing in Safari: it blocks the call. Write https://*:443.", WebKit)
	}
}

// warnUpgradedLocation is about a redirect to an http URL that is upgraded.
func (f *fetch) warnUpgradedLocation() {
	f.warn(FirefoxUpgradedOrigin, "The page's policy upgrades the URL that the call is redirected to. Firefox takes its origin for the one before the upgrade: it may send the Origin null, and take a response of the page's own origin for one of another.", Firefox)
}

// warnUpgradedTwice is about a redirect from a URL to which the call was redirected, and which was upgraded.
func (f *fetch) warnUpgradedTwice() {
	if f.upgraded && f.redirects() > 0 {
		f.warn(FirefoxUpgradedOrigin, "A URL that the call was redirected to is upgraded, and redirects again. Safari takes that for a redirect from the origin before the upgrade, and may send the Origin null.", WebKit)
	}
}

// warnUpgradedLoopback is about http on loopback, which is as good as https.
func (f *fetch) warnUpgradedLoopback() {
	if f.currentURL().Scheme() == "http" {
		f.warn(WebKitUpgradedLoopback, "Safari upgrades http on loopback, too, to https.", WebKit)
	}
}

// warnWebSocketSource is about a policy that allows a URL by a source such as wss:.
func (f *fetch) warnWebSocketSource() {
	r := f.policyRequest()
	if r.OwnSchemes = true; f.policies().Check(r).Verdict == csp.Blocked {
		f.warn(PolicyWebSocketSource, "The page's policy allows the URL by a source for WebSockets alone. Chrome and Firefox block it.", Chromium, Firefox)
	}
}

// warnUpgradedRedirect is about a redirect to http on loopback, of a call that would be upgraded elsewhere.
func (f *fetch) warnUpgradedRedirect() {
	if f.currentURL().Scheme() == "http" && f.redirects() > 0 {
		f.warn(ChromiumUpgradedRedirect, "Chrome upgrades a redirect to http on loopback, too, which is fine as it is.", Chromium)
	}
}

// warnMixedRedirect is about a redirect of an image, audio or video, which Chromium upgrades if it has upgraded, or was not
// to upgrade, the URL that the call began with.
func (f *fetch) warnMixedRedirect(upgraded bool) {
	if upgraded && f.redirects() > 0 {
		f.warn(FirefoxUpgradedOrigin, "The URL that the call is redirected to is upgraded to https. Firefox and Safari take its origin for the one before the upgrade, and may send the Origin null.", Firefox, WebKit)
	}
	switch beganSecure := f.urls[0].Scheme() == "https"; {
	case beganSecure:
		f.warnUpgradedRedirect()
	case upgraded && f.redirects() > 0:
		f.warn(ChromiumUpgradedRedirect, "The call began with http on loopback, and is redirected to http elsewhere, which browsers upgrade. Chrome does not: it calls the http URL.", Chromium)
	}
}

// warnCookie is about a cookie that is not sent.
func (f *fetch) warnCookie(header http.Header) {
	switch {
	case f.cookie == "" || header.Get("Cookie") != "":
	case !f.includesCredentials():
		f.warn(CookieNotSent, fmt.Sprintf("No cookie is sent to %s: the call is made without credentials.", f.current()))
	default:
		f.warn(CookieNotSent, fmt.Sprintf("The cookies are those of %s. Which ones a browser has for %s is not known, and none is sent.", f.urls[0].Host(), f.currentURL().Host()))
	}
}

// warnVary is about shared caches, which give a stored response to every request that Vary does not tell apart.
func (f *fetch) warnVary(response *response) {
	allowOrigin, _ := get(response.header, "Access-Control-Allow-Origin")
	vary, _, _ := extractTokens(response.header, "Vary")
	cacheControl, _ := get(response.header, "Cache-Control")
	if allowOrigin == "*" || f.method != "GET" && f.method != "HEAD" || slices.Contains(vary, "*") || containsFold(vary, "Origin") {
		return
	}
	for _, directive := range fetchspec.DecodeAndSplit(strings.ToLower(cacheControl)) {
		if directive == "no-store" || directive == "private" {
			return
		}
	}
	f.warn(VaryOrigin, "The response names one origin, and Vary does not name Origin: a shared cache could give it to the page of another origin, which would be blocked.")
}
