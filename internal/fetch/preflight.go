package fetch

import (
	"errors"
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
	if (f.usePreflight || !fetchspec.IsSafelistedMethod(f.method)) && !cache.hasMethod(key, f.include(), f.method) {
		return false
	}
	return !slices.ContainsFunc(unsafeRequestHeaderNames(f.header), func(name string) bool {
		return !cache.hasHeaderName(key, f.include(), name)
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
	response, err := f.networkFetch(http.MethodOptions, header, nil, true)
	if errors.Is(err, ErrNotRecorded) {
		f.warn(PreflightNotSeen, "The preflight is not in the record. If the request after it was answered, it has passed.")
		return nil
	}
	if err != nil {
		return err
	}
	fail := func(code Code, message string, names ...string) error {
		f.need(response, AtPreflight)
		return f.networkError(code, AtPreflight, f.corsPolicy(message), names...)
	}
	if isRedirectStatus(response.status) {
		return fail(PreflightRedirect, preflightFails+"Redirect is not allowed for a preflight request.", strconv.Itoa(response.status))
	}
	if err := f.corsCheck(response, AtPreflight); err != nil {
		return err
	}
	if !isOKStatus(response.status) {
		return fail(PreflightStatus, preflightFails+"It does not have HTTP ok status.", strconv.Itoa(response.status))
	}

	methods, hasMethods, ok := extractTokens(response.header, "Access-Control-Allow-Methods")
	if !ok {
		return fail(InvalidAllowMethods, "Cannot parse Access-Control-Allow-Methods response header field in preflight response.", response.header.Values("Access-Control-Allow-Methods")...)
	}
	headerNames, _, ok := extractTokens(response.header, "Access-Control-Allow-Headers")
	if !ok {
		return fail(InvalidAllowHeaders, "Cannot parse Access-Control-Allow-Headers response header field in preflight response.", response.header.Values("Access-Control-Allow-Headers")...)
	}
	if !f.allowsMethod(methods) {
		return fail(MethodNotAllowed, fmt.Sprintf("Method %s is not allowed by Access-Control-Allow-Methods in preflight response.", f.method), f.method)
	}
	if missing := f.missingHeaders(headerNames); len(missing) > 0 {
		return fail(HeaderNotAllowed, fmt.Sprintf("Request header field %s is not allowed by Access-Control-Allow-Headers in preflight response.", strings.Join(missing, ", ")), missing...)
	}
	if wildcard := slices.Contains(headerNames, "*"); wildcard && slices.ContainsFunc(unsafe, func(name string) bool {
		return fetchspec.IsNonWildcardRequestHeaderName(name) && !containsFold(headerNames, name)
	}) {
		f.warnAuthorization()
	}
	if !hasMethods && f.usePreflight { // so that it is remembered; by the Standard, it would also allow a PUT, but in no browser
		methods = []string{f.method}
	}
	f.step("CORS-preflight fetch", Passed, f.current(), "The preflight's answer allows the request.")
	if age, ok := maxAge(response.header); ok {
		f.client.preflights.add(f.cacheKey(), f.include(), age, methods, headerNames)
	}
	return nil
}

// allowsMethod reports whether the methods of a preflight's answer allow the request's.
func (f *fetch) allowsMethod(methods []string) bool {
	return fetchspec.IsSafelistedMethod(f.method) || slices.Contains(methods, f.method) || !f.include() && slices.Contains(methods, "*")
}

// missingHeaders are the CORS-unsafe request-header names that the names of a preflight's answer do not allow. By the
// Standard, a * does not cover Authorization; in browsers it does.
func (f *fetch) missingHeaders(allowed []string) []string {
	if !f.include() && slices.Contains(allowed, "*") {
		return nil
	}
	return slices.DeleteFunc(unsafeRequestHeaderNames(f.header), func(name string) bool { return containsFold(allowed, name) })
}

// preflightFails begins what browsers write of a preflight's answer.
const preflightFails = "Response to preflight request doesn't pass access control check: "

// maxAge is how long a preflight's answer holds. An absurdly long one is cut. One with a negative age does not hold at all,
// in any engine; by the Standard, that is not an age, as little as no number is.
func maxAge(header http.Header) (age time.Duration, ok bool) {
	values := header.Values("Access-Control-Max-Age")
	if len(values) != 1 {
		return defaultMaxAge, true
	}
	digits, negative := strings.CutPrefix(values[0], "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return defaultMaxAge, true
	}
	if negative {
		return 0, false
	}
	seconds, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return maxMaxAge, true
	}
	return time.Duration(seconds) * time.Second, true
}
