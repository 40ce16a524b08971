// Package caddycors is CORS for Caddy: an HTTP handler module that answers preflights and puts the right CORS headers on
// every other response, whoever wrote it, as defined by the Fetch Standard
// (https://fetch.spec.whatwg.org/#http-cors-protocol).
package caddycors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/denials"
	"github.com/caddy-cors/caddy-cors/internal/placement"
	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/origins" // the sources that come with the module
)

func init() {
	caddy.RegisterModule(new(Handler))
}

// Handler is a middleware for CORS (Cross-Origin Resource Sharing). It answers preflight requests and sets the CORS
// headers of every other response in its route, whether it comes from a file server, a proxied backend, a redirect or an
// error. By default it replaces any CORS headers that the response already has.
//
// Write an origin exactly as browsers send it, such as `https://app.example.com` or `http://localhost:3000`. Anything
// unsafe, or that cannot work, is refused when the configuration is loaded, with the text to write instead.
//
// Put the handler first in its route: preflights carry no credentials, and have to be answered before authentication and
// redirects.
//
//	{
//		"handler": "cors",
//		"allow_origins": ["https://app.example.com", "https://*.preview.example.com"],
//		"allow_methods": ["PUT", "DELETE"],
//		"allow_headers": ["Content-Type"],
//		"allow_credentials": true,
//		"max_age": "30m",
//		"policies": [
//			{"name": "public", "allow_origins": ["https://status.example.org"]}
//		]
//	}
type Handler struct {
	PolicyOptions

	// Policies for some origins. They are tried in order, and the first whose origins match decides. The handler's own
	// policy, named `default`, comes last, and may be absent. Policies inherit nothing.
	Policies []Policy `json:"policies,omitempty"`

	// The status of the answer to a preflight from an allowed origin, from 200 to 299. Default: 204.
	PreflightStatus int `json:"preflight_status,omitempty"`

	// Whether preflights are passed on to the next handlers, whose responses then get the CORS headers.
	ForwardPreflight bool `json:"forward_preflight,omitempty"`

	// What happens to CORS headers that a response already has: `override` replaces them all; `preserve` keeps them if
	// they include an `Access-Control-Allow-Origin`. Default: `override`.
	Upstream string `json:"upstream,omitempty"`

	// Which requests are refused, with the status 403, before the next handlers run. If it is not set, none are, and the
	// browser keeps the response from the script. `all` refuses requests from origins that are not allowed, except those
	// without an `Origin`, those from the server's own origin, and `GET` and `HEAD` requests whose response no script can
	// read, such as those for images. `unsafe` refuses only forgery: requests with methods other than `GET`, `HEAD`,
	// `OPTIONS` and `TRACE`, and WebSocket handshakes, that come from another site, unless its origin is allowed.
	Enforce policy.Enforcement `json:"enforce,omitempty"`

	// Paths that are never refused, as `path` matcher patterns: where sign-ins come back from another site by POST.
	EnforceExcept caddyhttp.MatchPath `json:"enforce_except,omitempty"`

	// Whether to decide without acting: nothing is answered and no header is changed.
	ReportOnly bool `json:"report_only,omitempty"`

	// Whether each response explains the decision in the header `X-Cors-Decision`.
	Debug bool `json:"debug,omitempty"`

	raw       json.RawMessage  // what it was decoded from, until it is provisioned
	unknown   []policy.Problem // fields that there are not
	policies  *policy.Policies
	answers   *policy.Answers
	tallies   []tally // one for each policy
	directive *denials.Directive
	witness   policy.Witness
}

// Policy says what some origins may do.
type Policy struct {
	// The policy's name, which appears in logs, metrics and other explanations of decisions. It consists of letters,
	// digits, `.`, `_` and `-`, and is unique among the handler's policies. Default: `policy-1` for the first, and so on.
	Name string `json:"name,omitempty"`

	PolicyOptions

	unknown []policy.Problem // fields that there are not
}

// PolicyOptions say which origins may call, and what their requests may contain.
type PolicyOptions struct {
	// The origins that may call: `https://example.com`; `https://*.example.com` for every subdomain at any depth;
	// `https://example.com:*` for every port; `https://*` for every https origin; `null` for opaque origins; or `*`
	// alone for everyone. Values may contain placeholders. Those that are known when the configuration is loaded, such
	// as `{env.APP_ORIGINS}`, are resolved once, to a list separated by commas or whitespace. Others are resolved for
	// each request, to a single origin, and never to `*`, `null` or a pattern.
	AllowOrigins []string `json:"allow_origins,omitempty"`

	// Regular expressions (RE2) for origins that may call. Each is matched against the whole origin. With credentials, they
	// allow no `http` origins except loopback ones, unless `insecure` includes `http_origin_with_credentials`.
	AllowOriginsRegexp []string `json:"allow_origins_regexp,omitempty"`

	// Sources of origins that may call, for lists that change while the server runs. With credentials, they allow no
	// `http` origins except loopback ones, unless `insecure` includes `http_origin_with_credentials`.
	AllowOriginsFromRaw []json.RawMessage `json:"allow_origins_from,omitempty" caddy:"namespace=http.cors.origins inline_key=source"`

	// The methods that scripts may use in addition to GET, HEAD and POST; `*` for all.
	AllowMethods []string `json:"allow_methods,omitempty"`

	// The request headers that scripts may set in addition to the safelisted ones; `*` for all but `Authorization`, which
	// has to be listed by name.
	AllowHeaders []string `json:"allow_headers,omitempty"`

	// The response headers that scripts may read in addition to the safelisted ones; `*` for all.
	ExposeHeaders []string `json:"expose_headers,omitempty"`

	// Whether scripts may also read the detailed timing of their requests: sends `Timing-Allow-Origin`.
	ExposeTiming bool `json:"expose_timing,omitempty"`

	// Whether requests may carry the browser's cookies, TLS client certificates and HTTP authentication.
	AllowCredentials bool `json:"allow_credentials,omitempty"`

	// Whether pages on public networks may call this server on a private one, for browsers that ask with
	// `Access-Control-Request-Private-Network`.
	AllowPrivateNetwork bool `json:"allow_private_network,omitempty"`

	// How long browsers may remember the answer to a preflight: whole seconds, at most 24h; 0 for not at all. Default: 10m.
	MaxAge *caddy.Duration `json:"max_age,omitempty"`

	// The risks to accept: any of `any_origin_with_credentials`, `null_origin_with_credentials`,
	// `http_origin_with_credentials` and `public_suffix_with_credentials`.
	Insecure []string `json:"insecure,omitempty"`

	sources []policy.Source // nil until they are loaded
}

// OriginSource is implemented by guest modules in the namespace `http.cors.origins`: lists of origins that change while
// the server runs. The package [github.com/caddy-cors/caddy-cors/origins] has the built-in ones, and an example of a
// custom one.
type OriginSource interface {
	// AllowsOrigin reports whether pages of the origin may call. The origin is the serialization of a tuple origin, such
	// as "https://app.example.com". It is called while requests are served, concurrently; ctx is the request's context.
	AllowsOrigin(ctx context.Context, origin string) bool
}

// RequestSource is an [OriginSource] whose answers depend on the request, not only on the origin. Its ctx has the
// request's placeholders, as a [*caddy.Replacer] under [caddy.ReplacerCtxKey].
type RequestSource interface {
	OriginSource

	// RequestPlaceholders returns the placeholders that answers depend on, such as "{http.request.header.X-Tenant}". It is
	// called once, after the source is provisioned. The Vary field of responses names the header fields among them, so
	// that no cache reuses the answer to one request for another.
	RequestPlaceholders() []string
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

// Provision compiles the policies. The error lists everything that is wrong with the configuration.
func (h *Handler) Provision(ctx caddy.Context) error {
	asJSON, err := json.Marshal(h)
	if err != nil {
		return err
	}
	h.provisionDirective(ctx, asJSON)
	var problems []error
	for _, problem := range append(h.unknown, h.check()...) {
		problems = append(problems, problem)
	}
	var compiled []*policy.Policy
	secureOnly := true
	for i, options := range h.all() {
		p, warnings, found := options.provision(ctx, h.policyName(i))
		if i < len(h.Policies) {
			for _, problem := range h.Policies[i].unknown {
				found = append(found, problem)
			}
		}
		if len(found) > 0 {
			for _, err := range found {
				if i < len(h.Policies) {
					err = fmt.Errorf("policy %q: %w", h.policyName(i), err)
				}
				problems = append(problems, err)
			}
			continue
		}
		for _, warning := range warnings {
			ctx.Logger().Warn(warning, zap.String("policy", p.Name()))
		}
		secureOnly = secureOnly && p.SecureOnly()
		compiled = append(compiled, p)
	}
	problems = append(problems, h.provisionPlace(ctx, asJSON)...)
	if len(problems) > 0 {
		return errors.Join(problems...)
	}

	h.policies = policy.NewPolicies(compiled...).Enforcing(h.Enforce)
	h.answers = policy.NewAnswers(h.policies, policy.AnswerOptions{
		Preserve: h.Upstream == upstreamPreserve,
		Debug:    h.Debug,
		Silent:   h.ReportOnly,
		VaryOn:   h.fieldsOfPlaceholders(ctx),
	})
	h.witness = policy.WitnessIn(ctx)
	if err := h.EnforceExcept.Provision(ctx); err != nil {
		return err
	}
	if err := h.provisionTallies(ctx, compiled); err != nil {
		return err
	}
	if h.PreflightStatus == 0 {
		h.PreflightStatus = defaultPreflightStatus
	}
	if addr := plainAddress(ctx); addr != "" && secureOnly && h.firstOfServer(ctx) {
		ctx.Logger().Warn("all allowed origins are https, but this server listens without TLS: browsers block calls from https pages to http URLs as mixed content; serve it over HTTPS, unless a proxy before it does",
			zap.String("listen", addr))
	}
	return nil
}

// Cleanup releases what Provision acquired.
func (h *Handler) Cleanup() error {
	if h.directive != nil {
		h.directive.Forget()
	}
	return nil
}

// all returns the options of all policies in the order in which they are tried.
func (h *Handler) all() []*PolicyOptions {
	var all []*PolicyOptions
	for i := range h.Policies {
		all = append(all, &h.Policies[i].PolicyOptions)
	}
	if len(all) == 0 || h.hasOrigins() {
		all = append(all, &h.PolicyOptions)
	}
	return all
}

// fieldsOfPlaceholders returns the names of the request's fields that origins are made of, or that sources look at, and
// answers depend on.
func (h *Handler) fieldsOfPlaceholders(ctx caddy.Context) []string {
	var texts []string
	for _, options := range h.all() {
		texts = append(texts, options.AllowOrigins...)
		for _, source := range options.sources {
			if source, ok := source.(RequestSource); ok {
				texts = append(texts, source.RequestPlaceholders()...)
			}
		}
	}
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return slices.DeleteFunc(placement.RequestFields(server, texts), func(name string) bool { return name == "Origin" })
}

// policyName returns the name of a policy, which is its place where it has none.
func (h *Handler) policyName(i int) string {
	switch {
	case i >= len(h.Policies):
		return policy.DefaultName
	case h.Policies[i].Name == "":
		return fmt.Sprintf("policy-%d", i+1)
	}
	return h.Policies[i].Name
}

// check checks what concerns the handler as a whole.
func (h *Handler) check() []policy.Problem {
	var problems []policy.Problem
	problem := func(option string, index int, format string, args ...any) {
		problems = append(problems, policy.Problem{Option: option, Index: index, Message: fmt.Sprintf(format, args...)})
	}
	if h.PreflightStatus != 0 && (h.PreflightStatus < 200 || h.PreflightStatus > 299) {
		problem("preflight_status", 0, "browsers take %d for a refusal: write a status from 200 to 299", h.PreflightStatus)
	}
	switch h.Upstream {
	case "", upstreamOverride, upstreamPreserve:
	default:
		problem("upstream", 0, "%q is neither %q nor %q", h.Upstream, upstreamOverride, upstreamPreserve)
	}
	switch h.Enforce {
	case policy.EnforceNothing, policy.EnforceAll, policy.EnforceUnsafe:
	default:
		problem("enforce", 0, "%.80q is neither %q nor %q", h.Enforce, policy.EnforceAll, policy.EnforceUnsafe)
	}
	if h.ReportOnly && h.Enforce != policy.EnforceNothing {
		problem("report_only", 0, "report_only changes nothing and enforce refuses requests: remove one of them")
	}
	if len(h.EnforceExcept) > 0 && h.Enforce == policy.EnforceNothing {
		problem("enforce_except", 0, "without enforce, no request is refused: add enforce, or remove enforce_except")
	}
	for i, pattern := range h.EnforceExcept {
		if !strings.ContainsAny(pattern[:min(len(pattern), 1)], "/*{") {
			problem("enforce_except", i, "the path %.80q does not start with a slash; did you mean %.80q?", pattern, "/"+pattern)
		}
	}
	if len(h.Policies) > 0 && !h.hasOrigins() {
		for _, option := range h.optionsSet() {
			problem(option, 0, "policies inherit nothing, and outside them no origin may call: write the option into the blocks that need it")
		}
	}
	places := map[string]bool{policy.DefaultName: true}
	for i := range h.Policies {
		name := h.policyName(i)
		switch {
		case strings.Trim(name, nameCharacters) != "" || len(name) > maxNameLength:
			problem("policy", i, "the name %.80q is not one of letters, digits, \".\", \"_\" and \"-\", %d at most", name, maxNameLength)
		case places[name]:
			problem("policy", i, "another policy is named %q too; give this one a name of its own", name)
		}
		places[name] = true
		if slices.Contains(h.Policies[i].AllowOrigins, "*") && i < len(h.all())-1 {
			problem("policy", i, `the policy %q is for everyone ("*"), so those behind it are never reached: put it last`, name)
		}
	}
	return problems
}

const (
	nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	maxNameLength  = 64
)

// hasOrigins reports whether there is any way for an origin to be allowed.
func (o *PolicyOptions) hasOrigins() bool {
	return len(o.AllowOrigins)+len(o.AllowOriginsRegexp)+len(o.AllowOriginsFromRaw) > 0
}

// optionsSet returns the names of the options that are set.
func (o *PolicyOptions) optionsSet() []string {
	var names []string
	for name, set := range map[string]bool{
		"allow_methods":         len(o.AllowMethods) > 0,
		"allow_headers":         len(o.AllowHeaders) > 0,
		"expose_headers":        len(o.ExposeHeaders) > 0,
		"expose_timing":         o.ExposeTiming,
		"allow_credentials":     o.AllowCredentials,
		"allow_private_network": o.AllowPrivateNetwork,
		"max_age":               o.MaxAge != nil,
		"insecure":              len(o.Insecure) > 0,
	} {
		if set {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// provision resolves the origins' placeholders, loads the sources and compiles the policy.
func (o *PolicyOptions) provision(ctx caddy.Context, name string) (*policy.Policy, []string, []error) {
	origins, writtenAs, problems := resolveOrigins(o.AllowOrigins)
	sources, err := o.loadSources(ctx)
	if err != nil {
		problems = append(problems, err)
	}
	o.sources = sources
	compiled, found, warnings := o.compile(name, policy.JSON, origins, sources, nil)
	for _, p := range found {
		if p.Option == "allow_origins" && writtenAs[p.Index] != "" {
			p.Message = fmt.Sprintf("%s (from %s)", p.Message, writtenAs[p.Index])
			p.Form = policy.Either
		}
		problems = append(problems, p)
	}
	return compiled, warnings, problems
}

func (o *PolicyOptions) loadSources(ctx caddy.Context) ([]policy.Source, error) {
	sources := make([]policy.Source, len(o.AllowOriginsFromRaw))
	if len(sources) == 0 {
		return nil, nil
	}
	modules, err := ctx.LoadModule(o, "AllowOriginsFromRaw")
	if err != nil {
		return sources, fmt.Errorf("allow_origins_from: %w", err)
	}
	for i, module := range modules.([]any) {
		source, ok := module.(OriginSource)
		if !ok {
			return sources, fmt.Errorf("allow_origins_from: the module %T is not a source of origins", module)
		}
		sources[i] = source
	}
	return sources, nil
}

// compile checks the options and compiles them into a policy. It passes over origins that are not known yet.
func (o *PolicyOptions) compile(name string, form policy.Form, origins []string, sources []policy.Source, unknown func(string) bool) (*policy.Policy, []policy.Problem, []string) {
	maxAge := defaultMaxAge
	if o.MaxAge != nil {
		maxAge = time.Duration(*o.MaxAge)
	}
	return policy.Compile(policy.Options{
		Name:                name,
		Form:                form,
		AllowOrigins:        origins,
		Unknown:             unknown,
		AllowOriginsRegexp:  o.AllowOriginsRegexp,
		Sources:             sources,
		AllowMethods:        o.AllowMethods,
		AllowHeaders:        o.AllowHeaders,
		ExposeHeaders:       o.ExposeHeaders,
		ExposeTiming:        o.ExposeTiming,
		AllowCredentials:    o.AllowCredentials,
		AllowPrivateNetwork: o.AllowPrivateNetwork,
		MaxAge:              maxAge,
		Insecure:            o.Insecure,
	})
}

// resolveOrigins resolves the placeholders that are known when the configuration is loaded. For each origin that comes
// from one, writtenAs has the text that was written.
func resolveOrigins(written []string) (origins, writtenAs []string, problems []error) {
	repl := caddy.NewReplacer()
	for _, text := range written {
		if !isLoadTime(repl, text) {
			origins, writtenAs = append(origins, text), append(writtenAs, "")
			continue
		}
		values := splitList(repl.ReplaceAll(text, ""))
		if len(values) == 0 {
			problems = append(problems, fmt.Errorf("allow_origins: %q is empty: set it to the origins that may call, separated by commas", text))
		}
		for _, value := range values {
			if policy.HasPlaceholder(value) {
				problems = append(problems, fmt.Errorf("allow_origins: %q is %q, which has a placeholder itself: write that in the configuration", text, value))
				continue
			}
			origins, writtenAs = append(origins, value), append(writtenAs, text)
		}
	}
	return origins, writtenAs, problems
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
// there is one, and no proxy is known to be before it.
func plainAddress(ctx caddy.Context) string {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok || len(server.TLSConnPolicies) > 0 || trustsProxies(server) {
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

// firstOfServer reports whether this is the first handler of its server to warn of what concerns all of them.
func (h *Handler) firstOfServer(ctx caddy.Context) bool {
	server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	return ok && placement.FirstWarning(server)
}

// trustsProxies reports whether the server has trusted_proxies. When its handlers are provisioned, that field has become a
// module already, of which the server shows nothing but that.
func trustsProxies(server *caddyhttp.Server) bool {
	module := reflect.ValueOf(server).Elem().FieldByName("trustedProxies")
	return server.TrustedProxiesUnix || server.TrustedProxiesRaw != nil ||
		module.Kind() == reflect.Interface && !module.IsNil()
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ json.Unmarshaler            = (*Handler)(nil)
	_ json.Unmarshaler            = (*Policy)(nil)
	_ OriginSource                = (*origins.File)(nil)
	_ OriginSource                = (*origins.Storage)(nil)
	_ RequestSource               = (*origins.Ask)(nil)
)
