package ui

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
)

// A guard keeps the server for the one who started it.
//
// What could reach it besides: any website that is open in a browser on this machine, by forms, by fetch and by frames; a
// name that its owner points at this address (DNS rebinding); a page of another server on this machine, whose cookies the
// browser shares between ports; and the other users of this machine.
//
//   - Its Host is its own, or the request is refused: a name of somebody else's never gets further.
//   - A request from another origin is refused, by Sec-Fetch-Site and by Origin. No answer has a CORS header.
//   - The link has a random token. It is exchanged for a cookie, which scripts cannot read and other sites cannot send.
//   - An answer is not to be framed, guessed at, kept or referred from, and runs no script but its own files.
type guard struct {
	host   string
	token  string
	cookie *http.Cookie
}

const tokenParameter = "token"

func newGuard(host string) *guard {
	port := host[strings.LastIndexByte(host, ':')+1:]
	return &guard{
		host:  host,
		token: rand.Text(),
		cookie: &http.Cookie{
			Name:     "caddy_cors_ui_" + port, // because cookies are for all ports of a host
			Value:    rand.Text(),
			Path:     "/",
			HttpOnly: true,
			SameSite: http.SameSiteStrictMode,
		},
	}
}

func (g *guard) link() string { return g.origin() + "/?" + tokenParameter + "=" + g.token }

func (g *guard) origin() string { return "http://" + g.host }

// contentPolicy is the Content-Security-Policy of every answer. Nothing is inline, and no text becomes markup: Trusted Types are
// required, and there are none.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// around returns a handler that hands on the requests of the one who may make them.
func (g *guard) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		switch {
		case r.Host != g.host:
			refuse(w, http.StatusForbidden, "This server is "+g.host+", and nothing else.")
		case g.isLink(r):
			g.letIn(w)
		case !g.sameOrigin(r):
			refuse(w, http.StatusForbidden, "This server answers its own page, and no other.")
		case !g.known(r):
			refuse(w, http.StatusUnauthorized, "Open the link that the command has printed: it has the token that this server asks for.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// isLink reports whether the request is the one of the link: the only one that another page may have led to, such as that of
// a terminal in a browser.
func (g *guard) isLink(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Path == "/" && same(r.URL.Query().Get(tokenParameter), g.token) &&
		!slices.Contains([]string{"iframe", "frame", "embed", "object"}, r.Header.Get("Sec-Fetch-Dest"))
}

// letIn gives the browser the cookie. What leads it on to the page is a document and not a redirect, which would count as
// the request of whoever had the link, and so come without the cookie.
func (g *guard) letIn(w http.ResponseWriter) {
	http.SetCookie(w, g.cookie)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>caddy cors</title><meta http-equiv="refresh" content="0; url=/"><p><a href="/">caddy cors</a></p></html>` + "\n"))
}

// sameOrigin reports whether the request is one of the page, or of the user. Browsers say so in Sec-Fetch-Site; what could
// change something has an Origin, too, in all of them.
func (g *guard) sameOrigin(r *http.Request) bool {
	site := r.Header.Values("Sec-Fetch-Site")
	if len(site) > 0 && !slices.Equal(site, []string{"same-origin"}) && !slices.Equal(site, []string{"none"}) {
		return false
	}
	origin := r.Header.Values("Origin")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return len(origin) == 0 || slices.Equal(origin, []string{g.origin()})
	}
	return slices.Equal(origin, []string{g.origin()})
}

// known reports whether the request has the cookie.
func (g *guard) known(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(g.cookie.Name), func(c *http.Cookie) bool { return same(c.Value, g.cookie.Value) })
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func refuse(w http.ResponseWriter, status int, message string) {
	http.Error(w, message, status)
}
