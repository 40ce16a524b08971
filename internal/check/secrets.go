package check

import (
	"slices"
	"strings"
)

// secretFields are the fields whose values let somebody in.
var secretFields = []string{"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"}

// cutSecrets leaves the values of secret fields out of the report.
func (r *Report) cutSecrets() {
	for _, step := range r.Steps {
		if e := step.Exchange; e != nil {
			e.RequestHeaders, e.ResponseHeaders = withoutSecrets(e.RequestHeaders), withoutSecrets(e.ResponseHeaders)
		}
	}
}

// withoutSecrets copies a header if it has something to hide.
func withoutSecrets(header map[string][]string) map[string][]string {
	isSecret := func(name string) bool {
		return slices.ContainsFunc(secretFields, func(secret string) bool { return strings.EqualFold(name, secret) })
	}
	cut := make(map[string][]string, len(header))
	for name, values := range header {
		if isSecret(name) {
			values = slices.Repeat([]string{"..."}, len(values))
		}
		cut[name] = values
	}
	return cut
}
