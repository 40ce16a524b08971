package fetch

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/publicsuffix"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// originOf serializes the origin of an http or https URL (URL Standard, "origin"; HTML Standard, "serialization of an
// origin").
func originOf(u *url.Url) string { return u.Protocol() + "//" + u.Host() }

// sameOrigin compares serialized origins, one of which is a URL's and so not opaque.
func sameOrigin(a, b string) bool { return a == b }

// sameSite is the HTML Standard's "same site", of serialized origins: their schemes and registrable domains are equal.
func sameSite(a, b string) bool {
	if a == origin.Null || b == origin.Null {
		return false
	}
	schemeA, hostA := schemeAndHost(a)
	schemeB, hostB := schemeAndHost(b)
	return schemeA == schemeB && sameRegistrableDomain(hostA, hostB)
}

// sameRegistrableDomain compares hosts as the two "same site" do.
func sameRegistrableDomain(hostA, hostB string) bool {
	domainA, errA := publicsuffix.EffectiveTLDPlusOne(hostA)
	domainB, errB := publicsuffix.EffectiveTLDPlusOne(hostB)
	if errA != nil || errB != nil || isAddress(hostA) || isAddress(hostB) {
		return hostA == hostB
	}
	return domainA == domainB
}

// schemeAndHost splits a serialized origin, and leaves out the port.
func schemeAndHost(serialized string) (scheme, host string) {
	scheme, host, _ = strings.Cut(serialized, "://")
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return scheme, host
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

func isHTTP(u *url.Url) bool { return u.Scheme() == "http" || u.Scheme() == "https" }

// isLoopback reports whether the URL's host is this machine whatever a resolver says (Secure Contexts, "is origin
// potentially trustworthy?", steps 4 and 5).
func isLoopback(u *url.Url) bool {
	o, ok := origin.Parse(originOf(u))
	return ok && o.Loopback()
}

// isPotentiallyTrustworthy follows Secure Contexts, "is url potentially trustworthy?", of http and https URLs.
func isPotentiallyTrustworthy(u *url.Url) bool { return u.Scheme() == "https" || isLoopback(u) }

func includesCredentials(u *url.Url) bool { return u.Username() != "" || u.Password() != "" }

// isBadPort follows the Fetch Standard, "block bad port", of http and https URLs.
func isBadPort(u *url.Url) bool {
	return u.Port() != "" && slices.Contains(badPorts, u.DecodedPort())
}

// badPorts are those of other protocols, which could take a request for something in their own language.
var badPorts = []int{
	0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
	111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
	540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
	6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
}
