package fetch

import (
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// An Embedding is an "embedder policy value" (HTML Standard, section 7.1.4): what a page asks of what it embeds.
type Embedding string

// The values.
const (
	UnsafeNone     Embedding = "" // nothing
	RequireCORP    Embedding = "require-corp"
	Credentialless Embedding = "credentialless"
)

// parseEmbedding reads Cross-Origin-Embedder-Policy ("obtain an embedder policy"), of a page in a secure context.
func parseEmbedding(values []string) Embedding {
	item, err := httpsfv.UnmarshalItem(values)
	if err != nil {
		return UnsafeNone
	}
	token, _ := item.Value.(httpsfv.Token)
	if value := Embedding(token); value == RequireCORP || value == Credentialless {
		return value
	}
	return UnsafeNone
}

// embedderPolicyAllowsCredentials is "Cross-Origin-Embedder-Policy allows credentials" (section 4.12).
func (f *fetch) embedderPolicyAllowsCredentials() bool {
	return f.mode != modeNoCORS || f.page.Embedding != Credentialless ||
		sameOrigin(originOf(f.currentURL()), f.origin) && !f.redirectTainted()
}

// resourcePolicyCheck is "cross-origin resource policy check" (section 3.7), of a response that is opaque.
func (f *fetch) resourcePolicyCheck(response *response, at Part) error {
	policy, _ := get(response.header, "Cross-Origin-Resource-Policy")
	if !f.resourcePolicyAllows(policy) {
		return f.networkError(ResourcePolicy, at, fmt.Sprintf("net::ERR_BLOCKED_BY_RESPONSE.%s: the response has Cross-Origin-Resource-Policy: %s.", notSame(policy), policy), policy)
	}
	if policy == "cross-origin" || policy == "same-origin" || policy == "same-site" {
		f.step("cross-origin resource policy check", Passed, f.current(), "Cross-Origin-Resource-Policy allows the page.")
		return nil
	}
	sameOriginByDefault := f.page.Embedding == RequireCORP || f.page.Embedding == Credentialless && response.includesCredentials
	if sameOriginByDefault && !f.resourcePolicyAllows("same-origin") {
		f.warnResourcePolicy(policy)
		return f.networkError(EmbedderPolicy, at, fmt.Sprintf("net::ERR_BLOCKED_BY_RESPONSE.NotSameOriginAfterDefaultedToSameOriginByCoep: the page has Cross-Origin-Embedder-Policy: %s, and the response has no Cross-Origin-Resource-Policy that allows it.", f.page.Embedding), string(f.page.Embedding))
	}
	return nil
}

func notSame(policy string) string {
	if policy == "same-site" {
		return "NotSameSite"
	}
	return "NotSameOrigin"
}

// resourcePolicyAllows is the last step of "cross-origin resource policy internal check".
func (f *fetch) resourcePolicyAllows(policy string) bool {
	u := originOf(f.currentURL())
	switch policy {
	case "same-origin":
		return sameOrigin(u, f.origin)
	case "same-site":
		return schemelesslySameSite(u, f.origin) && (strings.HasPrefix(f.origin, "https:") || f.currentURL().Scheme() != "https")
	}
	return true
}

// schemelesslySameSite is "schemelessly same site" (HTML Standard, section 7.1.1), of serialized origins.
func schemelesslySameSite(a, b string) bool {
	if a == origin.Null || b == origin.Null {
		return false
	}
	_, hostA := schemeAndHost(a)
	_, hostB := schemeAndHost(b)
	return sameRegistrableDomain(hostA, hostB)
}
