// Package caddycors is CORS for Caddy: an HTTP handler module that answers preflights and puts the right CORS headers on
// every other response, whoever wrote it, by the Fetch Standard (https://fetch.spec.whatwg.org/#http-cors-protocol).
package caddycors

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is a middleware for CORS (Cross-Origin Resource Sharing). It answers preflight requests and sets the CORS
// headers of every other response of its route, be it written by a file server, a proxied backend, a redirect or an
// error. By default it replaces what CORS headers the response has of its own.
//
// An origin is written exactly as browsers send it, such as `https://app.example.com` or `http://localhost:3000`. What is
// unsafe or cannot work is refused when the configuration is loaded, with the text to write instead.
type Handler struct {
	// The origins that may call: `https://example.com`; `https://*.example.com` for every subdomain at any depth;
	// `https://example.com:*` for every port; `https://*` for every https origin; `null` for opaque origins; or `*`
	// alone for everyone. A value may hold placeholders. Those that are known when the configuration is loaded, such
	// as `{env.APP_ORIGINS}`, are resolved once, to a list separated by commas or blanks. Others are resolved for each
	// request, to one origin, and never to `*`, `null` or a pattern.
	AllowOrigins []string `json:"allow_origins,omitempty"`

	// Regular expressions (RE2) of origins that may call. Each is matched against the whole origin.
	AllowOriginsRegexp []string `json:"allow_origins_regexp,omitempty"`

	// The methods that scripts may use besides GET, HEAD and POST; `*` for all.
	AllowMethods []string `json:"allow_methods,omitempty"`

	// The request headers that scripts may set besides the safelisted ones; `*` for all but `Authorization`, which is
	// listed by its name.
	AllowHeaders []string `json:"allow_headers,omitempty"`

	// The response headers that scripts may read besides the safelisted ones; `*` for all.
	ExposeHeaders []string `json:"expose_headers,omitempty"`

	// Whether scripts may read the detailed timing of their requests too: sends `Timing-Allow-Origin`.
	ExposeTiming bool `json:"expose_timing,omitempty"`

	// Whether requests may carry cookies, TLS client certificates and HTTP authentication of the browser.
	AllowCredentials bool `json:"allow_credentials,omitempty"`

	// Whether pages of public networks may call this server in a private one, for browsers that ask by
	// `Access-Control-Request-Private-Network`.
	AllowPrivateNetwork bool `json:"allow_private_network,omitempty"`

	// How long browsers may keep the answer to a preflight: whole seconds, at most 24h; 0 for not at all. Default: 10m.
	MaxAge *caddy.Duration `json:"max_age,omitempty"`

	// The status of the answer to a preflight of an allowed origin, from 200 to 299. Default: 204.
	PreflightStatus int `json:"preflight_status,omitempty"`

	// Whether preflights go on to the next handlers. Their responses get the CORS headers then.
	ForwardPreflight bool `json:"forward_preflight,omitempty"`

	// What becomes of CORS headers that a response has of its own: `override` replaces them all; `preserve` keeps them
	// where there is an `Access-Control-Allow-Origin` among them. Default: `override`.
	Upstream string `json:"upstream,omitempty"`

	// Whether requests of origins that are not allowed are refused, with the status 403, before the next handlers run.
	// Otherwise they run, and it is the browser that keeps the response from the script. Requests without an `Origin`,
	// and those of the server's own origin, are never refused.
	Enforce bool `json:"enforce,omitempty"`

	// Whether to decide only: nothing is answered and no header is changed.
	ReportOnly bool `json:"report_only,omitempty"`

	// Whether each response explains the decision, in the header `X-Cors-Decision`.
	Debug bool `json:"debug,omitempty"`

	// The risks that are taken knowingly, of `any_origin_with_credentials`, `null_origin_with_credentials`,
	// `http_origin_with_credentials` and `public_suffix_with_credentials`.
	Insecure []string `json:"insecure,omitempty"`

	policy *policy.Policy
	vary   varyNames // of actual requests
	// varyPreflight is for preflights.
	varyPreflight varyNames
}

const (
	defaultMaxAge          = 10 * time.Minute
	defaultPreflightStatus = http.StatusNoContent

	upstreamOverride = "override"
	upstreamPreserve = "preserve"
)

// CaddyModule returns the Caddy module information.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.cors",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision compiles the policy. The error names all that is wrong with the configuration.
func (h *Handler) Provision(ctx caddy.Context) error {
	origins, sources, problems := resolveOrigins(h.AllowOrigins)
	compiled, found, warnings := h.compile(origins, nil)
	for _, p := range found {
		if p.Option == "allow_origins" && sources[p.Index] != "" {
			p.Message = fmt.Sprintf("%s (from %s)", p.Message, sources[p.Index])
		}
		problems = append(problems, p)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}

	h.policy = compiled
	if h.PreflightStatus == 0 {
		h.PreflightStatus = defaultPreflightStatus
	}
	if !compiled.Everyone() {
		h.vary = newVaryNames("Origin")
	}
	h.varyPreflight = newVaryNames(append(h.vary.names, "Access-Control-Request-Method", "Access-Control-Request-Headers")...)
	if h.AllowPrivateNetwork {
		h.varyPreflight = newVaryNames(append(h.varyPreflight.names, "Access-Control-Request-Private-Network")...)
	}

	logger := ctx.Logger()
	for _, warning := range warnings {
		logger.Warn(warning)
	}
	if addr := plainAddress(ctx); addr != "" && compiled.SecureOnly() {
		logger.Warn("all allowed origins are https, but this server listens without TLS: browsers block calls from https pages to http URLs as mixed content; serve it over HTTPS, unless a proxy before it does",
			zap.String("listen", addr))
	}
	return nil
}

// compile checks the options and compiles them into a policy. It passes over origins that are not known yet.
func (h *Handler) compile(origins []string, unknown func(string) bool) (*policy.Policy, []policy.Problem, []string) {
	maxAge := defaultMaxAge
	if h.MaxAge != nil {
		maxAge = time.Duration(*h.MaxAge)
	}
	compiled, problems, warnings := policy.Compile(policy.Options{
		AllowOrigins:        origins,
		Unknown:             unknown,
		AllowOriginsRegexp:  h.AllowOriginsRegexp,
		AllowMethods:        h.AllowMethods,
		AllowHeaders:        h.AllowHeaders,
		ExposeHeaders:       h.ExposeHeaders,
		AllowCredentials:    h.AllowCredentials,
		AllowPrivateNetwork: h.AllowPrivateNetwork,
		MaxAge:              maxAge,
		Insecure:            h.Insecure,
	})
	problem := func(option, format string, args ...any) {
		problems = append(problems, policy.Problem{Option: option, Message: fmt.Sprintf(format, args...)})
	}
	if h.PreflightStatus != 0 && (h.PreflightStatus < 200 || h.PreflightStatus > 299) {
		problem("preflight_status", "browsers take %d for a refusal: write a status from 200 to 299", h.PreflightStatus)
	}
	switch h.Upstream {
	case "", upstreamOverride, upstreamPreserve:
	default:
		problem("upstream", "%q is neither %q nor %q", h.Upstream, upstreamOverride, upstreamPreserve)
	}
	if h.ReportOnly && h.Enforce {
		problem("report_only", "report_only changes nothing and enforce refuses requests: remove one of them")
	}
	return compiled, problems, warnings
}

// resolveOrigins resolves the placeholders that are known when the configuration is loaded. For each origin that comes
// from one, sources has the text that was written.
func resolveOrigins(written []string) (origins, sources []string, problems []error) {
	repl := caddy.NewReplacer()
	for _, text := range written {
		if !isLoadTime(repl, text) {
			origins, sources = append(origins, text), append(sources, "")
			continue
		}
		values := splitList(repl.ReplaceAll(text, ""))
		if len(values) == 0 {
			problems = append(problems, fmt.Errorf("allow_origins: %q is empty: set it to the origins that may call, separated by commas", text))
		}
		for _, value := range values {
			if policy.HasPlaceholder(value) {
				problems = append(problems, fmt.Errorf("allow_origins: %q stands for %q, which holds a placeholder itself: write that in the configuration", text, value))
				continue
			}
			origins, sources = append(origins, value), append(sources, text)
		}
	}
	return origins, sources, problems
}

// isLoadTime reports whether text has placeholders, and all of them are known without a request.
func isLoadTime(repl *caddy.Replacer, text string) bool {
	if !policy.HasPlaceholder(text) {
		return false
	}
	_, err := repl.ReplaceOrErr(text, false, true)
	return err == nil
}

// splitList splits a list that is separated by commas, blanks or both.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
}

// plainAddress returns an address beyond loopback on which the server that is being provisioned listens without TLS, if
// there is one.
func plainAddress(ctx caddy.Context) string {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.TLSConnPolicies) > 0 {
		return ""
	}
	for _, listen := range server.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil || addr.IsUnixNetwork() || addr.IsFdNetwork() || addr.Host == "localhost" {
			continue
		}
		if ip, err := netip.ParseAddr(addr.Host); err == nil && ip.IsLoopback() {
			continue
		}
		return listen
	}
	return ""
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
