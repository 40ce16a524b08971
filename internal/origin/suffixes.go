package origin

import (
	"cmp"
	_ "embed"
	"slices"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
)

//go:generate go run suffixes_generate.go

// suffixesText has a rule of the Public Suffix List a line: those that stand below a domain which is not a public suffix
// itself, as s3.amazonaws.com does.
//
//go:embed suffixes.txt
var suffixesText string

// suffixesBelow maps each domain that is not a public suffix, but has some below it, to the rules for those, the shortest
// first.
var suffixesBelow = sync.OnceValue(func() map[string][]string {
	below := make(map[string][]string)
	for rule := range strings.Lines(suffixesText) {
		if rule = strings.TrimSpace(rule); rule == "" || rule[0] == '#' {
			continue
		}
		for _, domain, more := strings.Cut(rule, "."); more; _, domain, more = strings.Cut(domain, ".") {
			if !isPublicSuffix(domain) {
				below[domain] = append(below[domain], rule)
			}
		}
	}
	for _, rules := range below {
		slices.SortStableFunc(rules, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	}
	return below
})

// suffixBelow returns a public suffix below the domain, the shortest that there is, or "".
func suffixBelow(domain string) string {
	if rules := suffixesBelow()[domain]; len(rules) > 0 {
		return rules[0]
	}
	return ""
}

func isPublicSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

// hasSite reports whether the domain has a registrable domain: a public suffix and a label before it.
func hasSite(domain string) bool {
	_, err := publicsuffix.EffectiveTLDPlusOne(domain)
	return err == nil
}
