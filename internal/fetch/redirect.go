package fetch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// maxRedirects is the most that are followed.
const maxRedirects = 20

// redirectFetch is "HTTP-redirect fetch" (section 4.5).
func (f *fetch) redirectFetch(response *response) (*response, error) {
	const algorithm = "HTTP-redirect fetch"
	locations := response.header.Values("Location")
	if len(locations) == 0 {
		f.step(algorithm, Passed, f.current(), fmt.Sprintf("A %d without a Location is a response as any other.", response.status))
		return response, nil
	}
	f.warnLocation(locations[0])
	locationURL, err := f.locationURL(locations[0])
	switch {
	case err != nil, len(locations) > 1:
		f.warnLocations(response)
		return nil, f.networkError(InvalidRedirect, AtRedirect, fmt.Sprintf("net::ERR_INVALID_REDIRECT: the redirect's location '%s' is not a URL.", strings.Join(locations, ", ")), locations...)
	case !isHTTP(locationURL):
		f.warnDataRedirect(locationURL)
		return nil, f.networkError(RedirectScheme, AtRedirect, f.corsPolicy(fmt.Sprintf("Redirect location '%s' has a disallowed scheme for cross-origin requests.", locations[0])), locationURL.Scheme())
	case f.redirects() == maxRedirects:
		return nil, f.networkError(TooManyRedirects, AtRedirect, fmt.Sprintf("net::ERR_TOO_MANY_REDIRECTS: browsers follow %d redirects at most.", maxRedirects))
	}
	f.warnUpgradedTwice()
	f.upgraded = false
	if f.policies().UpgradesInsecureRequests() { // before origins are compared, as in Chromium and WebKit
		if secure := f.upgradedURL(locationURL); secure != locationURL {
			locationURL, f.upgraded = secure, true
			f.warnUpgradedLocation()
		}
	}
	switch {
	case includesCredentials(locationURL) && (f.tainting == cors || f.mode == modeCORS && !sameOrigin(f.origin, originOf(locationURL))):
		f.warnFont()
		return nil, f.networkError(RedirectCredentials, AtRedirect, f.corsPolicy(fmt.Sprintf("Redirect location '%s' contains a username and password, which is disallowed for cross-origin requests.", locations[0])), locations[0])
	case response.status != http.StatusSeeOther && f.kind == KindStream && f.body != nil:
		return nil, f.networkError(RedirectStream, AtRedirect, fmt.Sprintf("net::ERR_INVALID_ARGUMENT: the body is a stream, which cannot be sent once more after a %d.", response.status))
	}
	if s := response.status; (s == 301 || s == 302) && f.method == http.MethodPost ||
		s == 303 && f.method != http.MethodGet && f.method != http.MethodHead {
		f.step(algorithm, Dropped, f.current(), fmt.Sprintf("A %d makes a GET without a body of the %s.", s, f.method))
		f.warnBodyDropped()
		f.method, f.body = http.MethodGet, nil
		f.header = slices.DeleteFunc(slices.Clone(f.header), func(field Field) bool { return fetchspec.IsRequestBodyHeaderName(field.Name) })
	}
	f.warnRedirect(locations[0], locationURL)
	if !sameOrigin(originOf(f.currentURL()), originOf(locationURL)) && f.hasHeader("Authorization") {
		f.step(algorithm, Dropped, f.current(), "The redirect is to another origin, so Authorization is left out.")
		f.headersDropped = true
		f.header = slices.DeleteFunc(slices.Clone(f.header), func(field Field) bool { return fetchspec.IsNonWildcardRequestHeaderName(field.Name) })
	}

	tainted := f.redirectTainted()
	f.urls = append(f.urls, locationURL)
	text := fmt.Sprintf("Redirect %d, to %s.", f.redirects(), f.current())
	if f.redirectTainted() && !tainted && f.origin != origin.Null {
		text += " It is from one origin, which is not the page's, to another: from here on, the Origin is null."
	}
	f.step(algorithm, Redirect, f.current(), text)
	return f.mainFetch()
}

// locationURL is "location URL" (section 2.2.6). A value that is not UTF-8 is taken byte by byte, as Chromium and Firefox
// take it.
func (f *fetch) locationURL(location string) (*url.Url, error) {
	if !utf8.ValidString(location) {
		var b strings.Builder
		for i := range len(location) {
			if c := location[i]; c < utf8.RuneSelf {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		location = b.String()
	}
	return f.currentURL().Parse(location)
}
