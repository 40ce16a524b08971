package fetch

import (
	"errors"
	"slices"
)

// errPreflightOnly ends a call whose preflight alone was to be made.
var errPreflightOnly = errors.New("the preflight alone was to be made")

// httpFetch is "HTTP fetch" (section 4.4), without service workers.
func (f *fetch) httpFetch(makePreflight bool) (*response, error) {
	if makePreflight {
		if f.preflightCached() {
			f.step("CORS-preflight cache", Cached, f.current(), "An earlier preflight has allowed it.")
		} else if err := f.preflightFetch(); err != nil {
			return nil, err
		}
	}

	if makePreflight {
		if err := f.blockHTTP1Stream(AtPreflight); err != nil {
			return nil, err
		}
	}
	switch {
	case f.preflightOnly && makePreflight:
		return nil, errPreflightOnly
	case f.preflightOnly:
		return nil, ErrNoPreflight
	}
	response, err := f.networkOrCacheFetch()
	if err != nil {
		return nil, err
	}
	if err := f.blockHTTP1Stream(AtResponse); err != nil {
		return nil, err
	}
	isRedirect := isRedirectStatus(response.status)
	at := AtResponse
	if isRedirect {
		at = AtRedirect
	}
	switch f.tainting {
	case cors:
		if err := f.corsCheck(response, at); err != nil {
			return nil, err
		}
		f.warnVary(response)
	case opaque:
		if err := f.resourcePolicyCheck(response, at); err != nil {
			return nil, err
		}
	}
	if isRedirect && f.mode != modeWebSocket { // whose redirect mode is "error"
		return f.redirectFetch(response)
	}
	return response, nil
}

// blockHTTP1Stream blocks a stream to a server whose last answer came over HTTP/1.1, as Chromium does: it sends none there.
func (f *fetch) blockHTTP1Stream(at Part) error {
	if f.kind != KindStream || f.body == nil || !f.http1 {
		return nil
	}
	return f.networkError(HTTP1Stream, at, "net::ERR_H2_OR_QUIC_REQUIRED: browsers send streams over HTTP/2 or later, and the server speaks HTTP/1.1.")
}

func isRedirectStatus(status int) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, status)
}

// isOKStatus is "ok status" (section 2.2.3).
func isOKStatus(status int) bool { return 200 <= status && status <= 299 }
