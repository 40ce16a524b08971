package fetch

import (
	"fmt"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
)

// upgradeInsecure is "upgrade request to a potentially trustworthy URL, if appropriate" (Upgrade Insecure Requests,
// section 4.1).
func (f *fetch) upgradeInsecure() {
	if f.policies().UpgradesInsecureRequests() {
		f.warnPolicyUpgrade()
		if f.upgrade("The page's policy has upgrade-insecure-requests") {
			f.upgraded = true
		}
		f.warnUpgradedRedirect()
		f.warnUpgradedLoopback()
	}
}

// upgradeMixedContent is "upgrade a mixed content request to a potentially trustworthy URL, if appropriate" (Mixed
// Content, section 4.1). By the Standard, the page's policies are asked about the URL after it; but of audio and video, all
// browsers ask them about the one before it, too.
func (f *fetch) upgradeMixedContent() error {
	u := f.currentURL()
	if upgradable := f.kind == KindImage || f.kind == KindMedia; !upgradable || !f.prohibitsMixed || u.IsIPv4() || u.IsIPv6() {
		return nil
	}
	found := f.policies().Check(f.policyRequest())
	switch {
	case found.Verdict != csp.Blocked || isPotentiallyTrustworthy(u):
	case f.kind == KindMedia:
		return f.networkError(ContentSecurityPolicy, f.beforeRequest(), f.policyMessage(found.Directive), found.Directive.Text)
	default:
		f.warnMixedPolicy()
	}
	f.warnMixedRedirect(f.upgrade("Browsers upgrade images, audio and video of an https page"))
	return nil
}

// upgrade makes an https URL of the current one, if it is not as good as one.
func (f *fetch) upgrade(why string) (upgraded bool) {
	u := f.currentURL()
	secure := f.upgradedURL(u)
	if secure == u {
		return false
	}
	f.urls[len(f.urls)-1] = secure
	f.step("upgrade to a potentially trustworthy URL", Upgraded, f.current(), fmt.Sprintf("%s: the URL is %s.", why, f.current()))
	if f.redirects() == 0 && sameOrigin(originOf(secure), f.origin) {
		f.warn(FirefoxUpgradedOrigin, "The call is of the page's own origin after the upgrade. Firefox takes it for one of another origin, as it was before.", Firefox)
	}
	if f.redirects() == 0 && f.info.script {
		f.warn(ChromiumUpgradedURL, "In Chrome, the URL of the response is the one before the upgrade.", Chromium)
	}
	return true
}

func (f *fetch) upgradedURL(u *url.Url) *url.Url {
	if isPotentiallyTrustworthy(u) {
		return u
	}
	u = u.Clone()
	u.SetProtocol("https")
	return u
}

// blockMixedContent is "should fetching request be blocked as mixed content?" (Mixed Content, section 4.4).
func (f *fetch) blockMixedContent() error {
	u := f.currentURL()
	switch {
	case u.Scheme() == "https":
	case !f.prohibitsMixed:
		f.warnLoopbackPage(u)
	case isPotentiallyTrustworthy(u):
		f.warnLoopbackURL(u)
		f.step("mixed content", Passed, f.current(), "An https page may call http on loopback.")
	case f.kind == KindWebSocket:
		return f.networkError(MixedContent, f.beforeRequest(), fmt.Sprintf("Mixed Content: The page at '%s' was loaded over HTTPS, but attempted to connect to the insecure WebSocket endpoint '%s'. This request has been blocked; this endpoint must be available over WSS.", f.origin, f.current()))
	default:
		return f.networkError(MixedContent, f.beforeRequest(), fmt.Sprintf("Mixed Content: The page at '%s' was loaded over HTTPS, but requested an insecure %s '%s'. This request has been blocked; the content must be served over HTTPS.", f.origin, f.info.endpoint, f.current()))
	}
	return nil
}
