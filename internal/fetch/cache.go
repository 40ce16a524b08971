package fetch

import (
	"slices"
	"strings"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// A preflightCache is the "CORS-preflight cache": what preflights have allowed so far.
type preflightCache []cacheEntry

// A cacheEntry is a "cache entry", without a network partition key: there is one page.
type cacheEntry struct {
	cacheKey
	credentials bool
	expires     time.Time

	method     string // one of the two, and the other is empty
	headerName string
}

type cacheKey struct{ origin, url string }

// defaultMaxAge is for an answer without Access-Control-Max-Age, and maxMaxAge the most that any of them gets.
const (
	defaultMaxAge = 5 * time.Second
	maxMaxAge     = 24 * time.Hour
)

// has reports whether a "cache entry match" meets the condition.
func (c preflightCache) has(key cacheKey, credentials bool, condition func(cacheEntry) bool) bool {
	now := time.Now()
	return slices.ContainsFunc(c, func(e cacheEntry) bool {
		return e.cacheKey == key && (e.credentials || !credentials) && now.Before(e.expires) && condition(e)
	})
}

// hasMethod is "method cache entry match".
func (c preflightCache) hasMethod(key cacheKey, credentials bool, method string) bool {
	return c.has(key, credentials, func(e cacheEntry) bool { return e.method == method || e.method == "*" })
}

// hasHeaderName is "header-name cache entry match".
func (c preflightCache) hasHeaderName(key cacheKey, credentials bool, name string) bool {
	return c.has(key, credentials, func(e cacheEntry) bool {
		return e.headerName != "" && (strings.EqualFold(e.headerName, name) || e.headerName == "*" && !fetchspec.IsNonWildcardRequestHeaderName(name))
	})
}

// add stores what a preflight has allowed, in place of what there is of the same.
func (c *preflightCache) add(key cacheKey, credentials bool, maxAge time.Duration, methods, headerNames []string) {
	now := time.Now()
	*c = slices.DeleteFunc(*c, func(e cacheEntry) bool {
		return !now.Before(e.expires) || e.cacheKey == key && e.credentials == credentials &&
			(slices.Contains(methods, e.method) || e.headerName != "" && containsFold(headerNames, e.headerName))
	})
	entry := cacheEntry{cacheKey: key, credentials: credentials, expires: now.Add(min(maxAge, maxMaxAge))}
	for _, entry.method = range methods {
		*c = append(*c, entry)
	}
	entry.method = ""
	for _, entry.headerName = range headerNames {
		*c = append(*c, entry)
	}
}

// clear is "clear cache entries".
func (c *preflightCache) clear(key cacheKey) {
	*c = slices.DeleteFunc(*c, func(e cacheEntry) bool { return e.cacheKey == key })
}
