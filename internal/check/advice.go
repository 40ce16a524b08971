package check

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// ofScript handles causes that no server can help: the script's own, or of a URL that cannot be called.
func (p *proposer) ofScript(cause *fetch.Cause) bool {
	switch cause.Code {
	case fetch.InvalidURL, fetch.InvalidMethod, fetch.InvalidHeaderName, fetch.InvalidHeaderValue:
		p.advise("The script has to ask for something else: no browser makes this request of %s.", strings.Join(cause.Names, ", "))
	case fetch.ForbiddenMethod:
		p.advise("No script can use the method %s: use another one.", strings.Join(cause.Names, ", "))
	case fetch.URLCredentials:
		p.advise("Have the script leave the user and the password out of the URL, and send them in an Authorization header.")
	case fetch.BadPort:
		p.advise("Have the server listen on another port: browsers do not call ports that belong to other protocols.")
	case fetch.MixedContent:
		if cause.Hop > 0 {
			return false
		}
		p.advise("Serve %s over https, and have the script call its https:// URL. A Caddy site has https where its address is a host name without http:// before it.", cause.URL)
	case fetch.RedirectCredentials:
		p.advise("Have the server redirect to a URL without a user and a password, or have the script call the final URL.")
	case fetch.InvalidRedirect, fetch.RedirectScheme:
		p.advise("Have the server redirect to an http or https URL; %q is not one.", strings.Join(cause.Names, ", "))
	case fetch.TooManyRedirects:
		p.advise("The redirects go round in a circle, or nearly so: have the server answer at one of the URLs.")
	case fetch.NoCORSMethod:
		p.advise("In the mode no-cors, a script can use GET, HEAD and POST alone: have it call with CORS, which is the default.")
	case fetch.BodyNotAllowed:
		p.advise("A GET or HEAD has no body: have the script put the data into the URL, or use POST.")
	case fetch.BodyTooLarge:
		p.advise("A beacon is 64 KiB at most: have the script send less, or use fetch.")
	case fetch.ContentSecurityPolicy:
		p.advise("It is the page that forbids the call, and not the server: add %s to the directive of the page's Content-Security-Policy that is named above.", p.site())
	case fetch.SandboxedScripts:
		p.advise("The page's Content-Security-Policy has sandbox without allow-scripts, so no script runs in it.")
	case fetch.RedirectStream:
		p.advise("A stream cannot be sent twice: have the script call the final URL.")
	case fetch.HTTP1Stream:
		p.advise("Browsers send streams over HTTP/2 or later alone: have the server speak it, over https.")
	case fetch.ResourcePolicy, fetch.EmbedderPolicy:
		p.advise("The response is loaded without CORS, and needs the header Cross-Origin-Resource-Policy: cross-origin; or have the page load it with CORS (the attribute crossorigin), and allow its origin with cors.")
	case fetch.MIMEType, fetch.ErrorStatus, fetch.WebSocketHandshake, fetch.HeadersTooLarge:
		p.advise("This is not about CORS: what answers %s has to answer otherwise.", cause.URL)
	case codeNotReadable:
		if name := cause.Names[0]; strings.EqualFold(name, "Set-Cookie") || strings.EqualFold(name, "Set-Cookie2") {
			p.advise("No script can read %s, whatever the server allows: have the server send the value in another header, and expose that.", name)
			break
		}
		return false
	default:
		return false
	}
	return true
}

// A redirect is a response that leads from one URL to another.
type redirect struct {
	exchange *exchange
	from, to *url.URL
}

// lastRedirect is the last one of the attempt.
func (p *proposer) lastRedirect() *redirect {
	for _, e := range slices.Backward(p.attempt.exchanges) {
		if e.status < 300 || e.status > 399 || e.header.Get("Location") == "" {
			continue
		}
		to, err := e.request.URL.Parse(e.header.Get("Location"))
		if err != nil {
			return nil
		}
		return &redirect{e, e.request.URL, to}
	}
	if p.attempt.result == nil {
		return nil
	}
	for _, step := range slices.Backward(p.attempt.result.Steps) {
		if step.Exchange == nil || step.Exchange.Status < 300 || step.Exchange.Status > 399 {
			continue
		}
		from, err := url.Parse(step.URL)
		if err != nil {
			return nil
		}
		to, err := from.Parse(step.Exchange.ResponseHeader.Get("Location"))
		if err != nil || step.Exchange.ResponseHeader.Get("Location") == "" {
			return nil
		}
		return &redirect{&exchange{status: step.Exchange.Status, header: step.Exchange.ResponseHeader}, from, to}
	}
	return nil
}

// httpsRedirect handles a redirect from http to https, such as Caddy's own: it has no CORS headers, no preflight may be
// redirected, and after it the origin is null.
func (p *proposer) httpsRedirect(cause *fetch.Cause) bool {
	r := p.lastRedirect()
	if r == nil || r.from.Scheme != "http" || r.to.Scheme != "https" || r.to.Hostname() != r.from.Hostname() {
		return false
	}
	if cause.At != fetch.AtPreflight && cause.At != fetch.AtRedirect && cause.Origin != origin.Null {
		return false
	}
	p.advise("Have the script call %s: the http URL only redirects there, a preflight may not be redirected, and after a redirect to another origin the Origin is null. If scripts have to call the http URL, give it a site of its own that answers without a redirect: http://%s { cors %s ... }.", r.to, r.from.Host, p.check.request.Origin)
	return true
}

// plainLocation handles a redirect from https to http on the same host, by a backend that does not know of the TLS before it.
func (p *proposer) plainLocation(cause *fetch.Cause) bool {
	r := p.lastRedirect()
	if r == nil || r.from.Scheme != "https" || r.to.Scheme != "http" || r.to.Hostname() != r.from.Hostname() {
		return false
	}
	switch cause.Code {
	case fetch.MixedContent, fetch.PreflightRedirect:
	default:
		if cause.Hop == 0 && cause.At != fetch.AtRedirect {
			return false
		}
		if cause.URL == r.from.String() && cause.Code == fetch.MissingAllowOrigin {
			return false // which comes first, and can be mended
		}
	}
	there := *r.to
	there.Scheme = "https"
	there.Host = r.from.Host
	text := fmt.Sprintf("The server redirects to %s, though it is called over https: what makes that redirect does not know of the TLS before it. Caddy tells a backend by X-Forwarded-Proto; have the backend believe it (a setting such as trusted or forwarded proxies). If another proxy before Caddy has the TLS, name it in Caddy's global option servers > trusted_proxies.", r.to)
	if strings.TrimSuffix(there.Path, "/") == strings.TrimSuffix(r.from.Path, "/") && there.Path != r.from.Path {
		text += fmt.Sprintf(" Or have the script call %s, which needs no redirect: it is the slash at the end that is missing, or too many.", there.String())
	} else if there.String() != r.from.String() {
		text += fmt.Sprintf(" Or have the script call %s.", there.String())
	}
	p.advise("%s", text)
	return true
}

// loginWords are in the URLs of pages that people sign in at.
var loginWords = []string{"login", "signin", "sign-in", "sign_in", "sso", "oauth", "authorize", "authelia", "authentik", "outpost.goauthentik", "keycloak", "openid", "saml", "auth."}

func isLogin(u *url.URL) bool {
	text := strings.ToLower(u.Host + u.Path)
	return slices.ContainsFunc(loginWords, func(word string) bool { return strings.Contains(text, word) })
}

// login handles a redirect to a page for signing in: a script is to get a 401, and people are still to be redirected.
func (p *proposer) login() bool {
	r := p.lastRedirect()
	if r == nil {
		return false
	}
	byAuth := false
	if r.exchange.answered != "" {
		byAuth = asksByGet(at(p.conf.tree, r.exchange.answered))
	}
	if !byAuth && !isLogin(r.to) {
		return false
	}
	if cause := p.attempt.cause; cause != nil && cause.URL == r.from.String() && cause.At != fetch.AtPreflight && r.exchange.server != "" && cause.Hop == 0 {
		return false // the redirect itself is not allowed yet, and a cors does that
	}
	if byAuth && p.conf.text != nil {
		for _, use := range p.usesOf(sitesFor(p.conf.text, r.from, r.exchange.via)) {
			if use.Name() != "forward_auth" || slices.ContainsFunc(use.Block, func(u *edit.Use) bool { return u.Name() == "handle_response" }) {
				continue
			}
			status := fmt.Sprint(r.exchange.status)
			fix := Fix{Action: ActionAdd, Block: "forward_auth", Site: p.originSite(r.from)}
			fix.File, fix.At = lineOf(use)
			matcher := edit.Line{Words: []string{"@login", "status", status}}
			handle := edit.Line{Words: []string{"handle_response", "@login"}, Block: []edit.Line{
				{Words: []string{"@script", "header", "Sec-Fetch-Mode", "cors"}},
				{Words: []string{"error", "@script", "401"}},
				{Words: []string{"copy_response"}},
			}}
			fix.Line = textOf(matcher, "") + "\n" + textOf(handle, "")
			p.add(candidate{
				change: change{edits: []edit.Edit{edit.AddOption{To: use, Line: matcher}, edit.AddOption{To: use, Line: handle}}},
				fixes:  []Fix{fix}, wide: true,
				advice: []string{fmt.Sprintf("The call was redirected to %s, a page for people to sign in at, which no script can use. With the lines above, scripts get a 401 and can tell the page to sign in; people are still redirected.", withoutQuery(r.to))},
			})
			return true
		}
	}
	p.advise("The call is redirected to %s, a page for people to sign in at, which no script can use. Have the API answer scripts with 401, and redirect people only: a script's request has Sec-Fetch-Mode: cors (a fetch or XMLHttpRequest), a person's has navigate. With forward_auth, these lines in its block do that: @login status %d; handle_response @login { @script header Sec-Fetch-Mode cors; error @script 401; copy_response }. If the visitor is signed in, the call needs its cookies: --credentials, and allow_credentials in cors.", withoutQuery(r.to), r.exchange.status)
	return true
}

func (p *proposer) originSite(u *url.URL) string { return u.Scheme + "://" + u.Host }

// withoutQuery is a URL without what may be secret in it, and long.
func withoutQuery(u *url.URL) string {
	short := *u
	short.RawQuery, short.Fragment, short.User = "", "", nil
	return short.String()
}

// oneTimeURL handles a redirect to a URL that is signed for one request, such as that of an object store.
func (p *proposer) oneTimeURL(cause *fetch.Cause) bool {
	r := p.lastRedirect()
	if r == nil || cause.Hop == 0 || !slices.ContainsFunc([]string{"signature", "x-amz-", "x-goog-", "sig=", "token=", "expires="}, func(word string) bool {
		return strings.Contains(strings.ToLower(r.to.RawQuery), word)
	}) {
		return false
	}
	p.advise("The server redirects to a URL that is made for one use (%s). Have it hand that URL to the script, in JSON, and the script call it: after a redirect to another origin, the Origin is null. What answers there has to allow %s; for an object store, that is set in its own CORS settings.", withoutQuery(r.to), p.check.request.Origin)
	return true
}

// whyNull says why the origin is null, as far as the call tells.
func (p *proposer) whyNull(cause *fetch.Cause) {
	switch {
	case cause.Hop > 0 && p.check.request.Origin != origin.Null:
		r := p.lastRedirect()
		if r != nil && isSafe(p.method()) {
			p.advise("The redirect from %s to another origin has made the Origin null. Have the script call %s in the first place.", r.from, cause.URL)
		} else {
			p.advise("The redirect to another origin has made the Origin null. Have the first URL answer without a redirect, or the script call %s in the first place.", cause.URL)
		}
	case p.check.request.Credentials:
		p.advise("A page with the origin null is in a sandboxed frame, or was opened from a file. It cannot be told from any other such page, so it is not for calls with credentials: serve the page from an origin of its own, and allow that; a sandboxed frame keeps its origin with sandbox=\"allow-scripts allow-same-origin\".")
	default:
		p.advise("A page with the origin null is in a sandboxed frame, or was opened from a file; any website can make one. For public data, the line is: cors *. For other data, serve the page from an origin of its own, and allow that.")
	}
}

func (p *proposer) method() string {
	if p.check.request.Method == "" {
		return http.MethodGet
	}
	return p.check.request.Method
}

// elsewhere handles a response of a server that the configuration does not have, after a redirect.
func (p *proposer) elsewhere(cause *fetch.Cause) {
	if cause.Origin == origin.Null {
		p.whyNull(cause)
		return
	}
	p.advise("%s is not in this configuration: it is its own server that has to allow %s.", cause.URL, cause.Origin)
}
