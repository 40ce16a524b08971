package fetch

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// preflightCached reports whether the CORS-preflight cache has all that the request needs ("HTTP fetch").
func (f *fetch) preflightCached() bool {
	cache, key := f.client.preflights, f.cacheKey()
	if !fetchspec.IsSafelistedMethod(f.method) && !cache.hasMethod(key, f.credentials, f.method) {
		return false
	}
	return !slices.ContainsFunc(unsafeRequestHeaderNames(f.header), func(name string) bool {
		return !cache.hasHeaderName(key, f.credentials, name)
	})
}

func (f *fetch) cacheKey() cacheKey { return cacheKey{f.serializedOrigin(), f.current()} }

// preflightFetch is "CORS-preflight fetch". Its error is a cause, or says that the server could not be asked.
func (f *fetch) preflightFetch() error {
	f.warnPreflight()
	header := http.Header{
		"Accept":                        {"*/*"},
		"Origin":                        {f.serializedOrigin()},
		"Access-Control-Request-Method": {f.method},
	}
	unsafe := unsafeRequestHeaderNames(f.header)
	if len(unsafe) > 0 {
		header.Set("Access-Control-Request-Headers", strings.Join(unsafe, ","))
	}
	response, err := f.network(http.MethodOptions, header, nil, true)
	if err != nil {
		return err
	}
	if isRedirectStatus(response.status) {
		return f.networkError(PreflightRedirect, AtPreflight, f.corsPolicy(preflightFails+"Redirect is not allowed for a preflight request."), strconv.Itoa(response.status))
	}
	if err := f.corsCheck(response, AtPreflight); err != nil {
		return err
	}
	if response.status < 200 || response.status > 299 {
		return f.networkError(PreflightStatus, AtPreflight, f.corsPolicy(preflightFails+"It does not have HTTP ok status."), strconv.Itoa(response.status))
	}

	methods, _, ok := extractTokens(response.header, "Access-Control-Allow-Methods")
	if !ok {
		return f.networkError(InvalidAllowMethods, AtPreflight, f.corsPolicy("Cannot parse Access-Control-Allow-Methods response header field in preflight response."), response.header.Values("Access-Control-Allow-Methods")...)
	}
	headerNames, _, ok := extractTokens(response.header, "Access-Control-Allow-Headers")
	if !ok {
		return f.networkError(InvalidAllowHeaders, AtPreflight, f.corsPolicy("Cannot parse Access-Control-Allow-Headers response header field in preflight response."), response.header.Values("Access-Control-Allow-Headers")...)
	}
	if !slices.Contains(methods, f.method) && !fetchspec.IsSafelistedMethod(f.method) && (f.credentials || !slices.Contains(methods, "*")) {
		return f.networkError(MethodNotAllowed, AtPreflight, f.corsPolicy(fmt.Sprintf("Method %s is not allowed by Access-Control-Allow-Methods in preflight response.", f.method)), f.method)
	}
	wildcard := !f.credentials && slices.Contains(headerNames, "*")
	var missing []string
	for _, name := range unsafe {
		switch {
		case containsFold(headerNames, name):
		case !wildcard:
			missing = append(missing, name)
		case fetchspec.IsNonWildcardRequestHeaderName(name):
			f.warnAuthorization()
		}
	}
	if len(missing) > 0 {
		return f.networkError(HeaderNotAllowed, AtPreflight, f.corsPolicy(fmt.Sprintf("Request header field %s is not allowed by Access-Control-Allow-Headers in preflight response.", strings.Join(missing, ", "))), missing...)
	}
	f.step("CORS-preflight fetch", Passed, f.current(), "The preflight's answer allows the request.")
	f.client.preflights.add(f.cacheKey(), f.credentials, maxAge(response.header), methods, headerNames)
	return nil
}

// preflightFails begins what browsers write of a preflight's answer.
const preflightFails = "Response to preflight request doesn't pass access control check: "

// maxAge is how long a preflight's answer holds. An absurdly long one is cut.
func maxAge(header http.Header) time.Duration {
	values := header.Values("Access-Control-Max-Age")
	if len(values) != 1 || values[0] == "" || strings.Trim(values[0], "0123456789") != "" {
		return defaultMaxAge
	}
	seconds, err := strconv.ParseInt(values[0], 10, 32)
	if err != nil {
		return maxMaxAge
	}
	return time.Duration(seconds) * time.Second
}
