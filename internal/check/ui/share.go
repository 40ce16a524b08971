package ui

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check"
)

// shortestSecret is the length of the shortest value that is taken for a secret wherever it stands.
const shortestSecret = 6

// share cuts the secrets out of a report's text, for a chat or an issue: passwords and the values of queries in all URLs, and
// the values of the script's headers and cookies.
func share(text string, c Call, report *check.Report) string {
	secrets := make(map[string]string) // and what is shown in their place
	cutURL := func(address string) {
		u, err := url.Parse(address)
		if err != nil {
			return
		}
		if u.User != nil {
			secrets[u.User.String()+"@"] = "...@"
		}
		for pair := range strings.SplitSeq(u.RawQuery, "&") {
			if name, value, _ := strings.Cut(pair, "="); value != "" {
				secrets[name+"="+value] = name + "=..."
			}
		}
		if u.Fragment != "" {
			secrets["#"+u.EscapedFragment()] = "#..."
		}
	}
	cutURL(c.URL)
	cutURL(report.URL)
	if report.Cause != nil {
		cutURL(report.Cause.URL)
	}
	for _, step := range report.Steps {
		cutURL(step.URL)
		if step.Exchange != nil {
			for _, location := range step.Exchange.ResponseHeaders["Location"] {
				cutURL(location)
			}
		}
	}
	for _, field := range append(slices.Clone(c.Headers), "Cookie: "+c.Cookie, "Body: "+c.Body) {
		if _, value, _ := strings.Cut(field, ":"); len(strings.TrimSpace(value)) >= shortestSecret {
			secrets[strings.TrimSpace(value)] = "..."
		}
	}
	var pairs []string
	longest := func(a, b string) int { return len(b) - len(a) }
	for _, secret := range slices.SortedFunc(maps.Keys(secrets), longest) {
		pairs = append(pairs, secret, secrets[secret])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
