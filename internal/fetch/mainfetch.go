package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// run fetches, and writes the result.
func (f *fetch) run() (*Result, error) {
	r := f.result
	response, err := (*response)(nil), f.invalid
	if err == nil {
		response, err = f.mainFetch()
	}
	if err == nil {
		err = f.blockResponse(response)
	}
	switch {
	case errors.As(err, &r.Cause):
		r.Verdict = Blocked
		f.step(f.failedIn(), Failed, r.Cause.URL, r.Cause.Message)
		return r, nil
	case errors.Is(err, errPreflightOnly):
		r.Verdict, r.ReadableHeaders = Allowed, []string{}
		f.warn(PreflightOnly, "The preflight allows the request, which was not made: whether its response allows the page, too, is not known.")
		return r, nil
	case err != nil && len(r.Steps) == 0:
		return nil, err
	case err != nil:
		r.Verdict = Unknown
		return r, err
	}
	r.Verdict = Allowed
	f.filter(response)
	return r, nil
}

// mainFetch is "main fetch" (section 4.1). Its errors are causes, the Standard's network errors, but for those that say
// that a server could not be asked.
func (f *fetch) mainFetch() (*response, error) {
	f.reportPolicyViolations()
	f.upgradeInsecure()
	for _, block := range []func() error{f.upgradeMixedContent, f.blockBadPort, f.blockMixedContent, f.blockByPolicy} {
		if err := block(); err != nil {
			return nil, err
		}
	}

	switch {
	case f.mode == modeWebSocket:
		f.step("main fetch", Basic, f.current(), "CORS does not apply to WebSockets: the server has to look at the Origin.")
		return f.httpFetch(false)
	case sameOrigin(originOf(f.currentURL()), f.origin) && f.tainting == basic:
		f.unsafeHeaders = f.unsafeHeaders || f.unsafeRequest && len(unsafeRequestHeaderNames(f.header)) > 0
		f.step("main fetch", Basic, f.current(), "The URL is of the page's own origin: CORS does not apply.")
		return f.httpFetch(false)
	case f.mode == modeNoCORS:
		f.tainting = opaque
		f.step("main fetch", Opaque, f.current(), "The URL is of another origin than the page, and the call is made without CORS: nothing has to allow it, and no script can see the response.")
		return f.httpFetch(false)
	}
	f.tainting = cors
	f.warnRepeated()
	f.warnUpload()
	f.warnFont()
	reasons := f.preflightReasons()
	if reasons == "" {
		f.warnNoPreflight()
		f.step("main fetch", CORS, f.current(), "The URL is of another origin than the page: the response has to allow it. No preflight is needed.")
		return f.httpFetch(false)
	}
	f.preflighted = true
	f.step("main fetch", Preflight, f.current(), "The URL is of another origin than the page, and a preflight is needed, because of "+reasons+".")
	response, err := f.httpFetch(true)
	if errors.As(err, new(*Cause)) {
		f.client.preflights.clear(f.cacheKey())
	}
	return response, err
}

// beforeRequest is the part that has a URL which cannot be called.
func (f *fetch) beforeRequest() Part {
	if f.redirects() > 0 {
		return AtRedirect
	}
	return AtRequest
}

// blockBadPort is "block bad port" (section 2.10).
func (f *fetch) blockBadPort() error {
	u := f.currentURL()
	if !isBadPort(u) {
		return nil
	}
	f.warnSilentPort()
	return f.networkError(BadPort, f.beforeRequest(), fmt.Sprintf("net::ERR_UNSAFE_PORT: browsers do not call port %s.", u.Port()), u.Port())
}

// preflightReasons says what of the request needs a preflight. It is empty if nothing does.
func (f *fetch) preflightReasons() string {
	var reasons []string
	switch {
	case f.kind == KindXHRUpload:
		reasons = append(reasons, "the listeners for the progress of the upload")
	case f.kind == KindStream:
		reasons = append(reasons, "the stream in the body")
	}
	if f.unsafeRequest && !fetchspec.IsSafelistedMethod(f.method) {
		reasons = append(reasons, "the method "+f.method)
	}
	if names := unsafeRequestHeaderNames(f.header); f.unsafeRequest && len(names) > 0 {
		reasons = append(reasons, "the header "+strings.Join(names, ", "))
	}
	return strings.Join(reasons, " and ")
}

// A response is what the Standard's algorithms know of one. Its values have no white space around them.
type response struct {
	status int
	header http.Header

	includesCredentials bool // the "request-includes-credentials"
}
