package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// A Fix is one change that a blocked call needs: a line of a Caddyfile, or advice where no line can do it.
type Fix struct {
	Line     string `json:"line,omitempty"`
	Block    string `json:"block,omitempty"`    // that the line belongs in: "cors", "policy NAME", or "site"
	Site     string `json:"site,omitempty"`     // that the block is of
	Replaces string `json:"replaces,omitempty"` // the line, or the one value of it, that this one takes the place of
	Advice   string `json:"advice,omitempty"`
}

const (
	blockCors = "cors"
	blockSite = "site"
)

// A fixer finds what would change the outcome of one attempt. For an attempt in a configuration, it makes each change
// there as it goes, so that a next attempt tells what is still missing.
type fixer struct {
	check    *Check
	problems func(handler json.RawMessage, policyName string) []policy.Problem
	attempt  *attempt
	tree     map[string]any // the configuration; nil for a live server
	fixes    []Fix
	applied  bool // whether all fixes have been made in the tree
}

// find returns the fixes of a blocked attempt.
func (f *fixer) find(ctx context.Context) ([]Fix, bool) {
	f.applied = f.tree != nil
	cause := f.attempt.cause
	e := f.attempt.last()
	switch {
	case f.ofScript(cause):
	case f.httpsRedirect(cause):
	case e == nil || e.server == "":
		f.live(cause)
	default:
		if d, ok := e.decisive(); ok {
			f.decided(cause, d)
		} else {
			f.undecided(ctx, cause, e)
		}
	}
	return f.fixes, f.applied
}

func (f *fixer) advise(format string, args ...any) {
	f.applied = false
	f.advisedAndDone(format, args...)
}

// advisedAndDone is advice that has been followed in the tree already.
func (f *fixer) advisedAndDone(format string, args ...any) {
	f.fixes = append(f.fixes, Fix{Advice: fmt.Sprintf(format, args...)})
}

// line adds a line to a policy of a handler.
func (f *fixer) line(handler map[string]any, policyName string, line policy.Line, replaces string) {
	block, options := blockCors, handler
	if policyName != policy.DefaultName {
		block, options = "policy "+policyName, policyOptions(handler, policyName)
	}
	applyLine(options, line, replaces)
	f.fixes = append(f.fixes, Fix{Line: line.String(), Block: block, Site: f.site(), Replaces: replaces})
}

// site is the site that the cause is about, as its address says it.
func (f *fixer) site() string {
	u, err := url.Parse(f.attempt.cause.URL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// ofScript handles causes that no server can help: the script's own, or of a URL that cannot be called.
func (f *fixer) ofScript(cause *fetch.Cause) bool {
	switch cause.Code {
	case fetch.InvalidURL, fetch.InvalidMethod, fetch.InvalidHeaderName, fetch.InvalidHeaderValue:
		f.advise("The script has to ask for something else: no browser makes this request of %s.", strings.Join(cause.Names, ", "))
	case fetch.ForbiddenMethod:
		f.advise("No script can use the method %s: use another one.", strings.Join(cause.Names, ", "))
	case fetch.URLCredentials:
		f.advise("Have the script leave the user and the password out of the URL, and send them in an Authorization header.")
	case fetch.BadPort:
		f.advise("Have the server listen on another port: browsers call none that belong to other protocols.")
	case fetch.MixedContent:
		f.advise("Serve %s over https, and have the script call its https:// URL. A Caddy site has https where its address is a host name without http:// before it.", cause.URL)
	case fetch.RedirectCredentials:
		f.advise("Have the server redirect to a URL without a user and a password, or have the script call the final URL.")
	case fetch.InvalidRedirect, fetch.RedirectScheme:
		f.advise("Have the server redirect to an http or https URL; %q is none.", strings.Join(cause.Names, ", "))
	case fetch.TooManyRedirects:
		f.advise("The redirects go round in a circle, or nearly so: have the server answer at one of the URLs.")
	case codeNotReadable:
		if name := cause.Names[0]; strings.EqualFold(name, "Set-Cookie") || strings.EqualFold(name, "Set-Cookie2") {
			f.advise("No script can read %s, whatever the server allows: have the server send the value in another header, and expose that.", name)
			break
		}
		return false
	default:
		return false
	}
	return true
}

// httpsRedirect handles a redirect from http to https, such as Caddy's own: it has no CORS headers, no preflight may be
// redirected, and after it the origin is null.
func (f *fixer) httpsRedirect(cause *fetch.Cause) bool {
	if cause.At != fetch.AtPreflight && cause.At != fetch.AtRedirect {
		return false
	}
	from, err := url.Parse(cause.URL)
	if err != nil || from.Scheme != "http" {
		return false
	}
	status, header := f.attempt.lastResponse()
	to, err := from.Parse(header.Get("Location"))
	if status < 300 || status > 399 || err != nil || to.Scheme != "https" || to.Hostname() != from.Hostname() {
		return false
	}
	f.advise("Have the script call %s: the http URL only redirects there, a preflight may not be redirected, and after a redirect to another origin the Origin is null. If scripts have to call the http URL, give it a site of its own that answers without a redirect: http://%s { cors %s ... }.", to, from.Host, f.check.request.Origin)
	return true
}

// decided handles a response that a cors handler of the configuration has decided about.
func (f *fixer) decided(cause *fetch.Cause, seen decisionSeen) {
	handler, d := at(f.tree, seen.place), &seen.decision
	p := d.Policy
	if handler["report_only"] == true {
		delete(handler, "report_only")
		f.advisedAndDone("Remove report_only from the cors block: as long as it is there, cors only watches.")
		return
	}
	if cause.Code == codeNotReadable {
		if name := cause.Names[0]; listsName(policyOptions(handler, p.Name())["expose_headers"], name) {
			f.overridden(handler)
		} else {
			f.line(handler, p.Name(), policy.NewLine("expose_headers", name), "")
		}
		return
	}
	preserved := handler["upstream"] == "preserve" && cause.Code != fetch.MissingAllowOrigin
	switch forwarded := handler["forward_preflight"] == true && cause.At == fetch.AtPreflight; {
	case d.Outcome == policy.Denied && !preserved:
		f.denied(handler, seen)
	case cause.Code == fetch.WildcardWithCredentials && d.AllowOrigin == "*":
		f.notEveryone(handler, p.Name())
	case cause.Code == fetch.MissingAllowCredentials && !p.Credentials():
		f.line(handler, p.Name(), policy.NewLine("allow_credentials"), "")
	case forwarded && (cause.Code == fetch.PreflightStatus || cause.Code == fetch.PreflightRedirect):
		delete(handler, "forward_preflight")
		f.advisedAndDone("Remove forward_preflight from the cors block: what is behind it answers the preflight with %s, and without it cors answers preflights itself.", strings.Join(cause.Names, ", "))
	case d.Outcome == policy.SameOrigin:
		f.line(handler, p.Name(), policy.NewLine("allow_origins", cause.Origin), "")
	default:
		f.overridden(handler)
	}
	f.takeRisks(handler, p.Name())
}

// denied takes the fix that the log has for the denial.
func (f *fixer) denied(handler map[string]any, seen decisionSeen) {
	fix := policy.FixFor(&seen.asked, &seen.decision)
	if fix.Advice != "" {
		f.advise("%s", fix.Advice)
		f.adviseFinalURL()
	}
	for _, line := range fix.Lines {
		f.line(handler, seen.decision.Policy.Name(), line, "")
	}
}

// opaque handles an origin that no line should allow.
func (f *fixer) opaque() {
	f.denied(nil, decisionSeen{decision: policy.Decision{Outcome: policy.Denied, Denial: policy.Denial{Reason: policy.OriginNull}}})
}

// notEveryone puts the origin in the place of "*", which does not go with credentials.
func (f *fixer) notEveryone(handler map[string]any, policyName string) {
	if f.attempt.cause.Origin == origin.Null {
		f.opaque()
		return
	}
	f.inPlaceOf(handler, policyName, "*")
	f.line(handler, policyName, policy.NewLine("allow_credentials"), "")
}

// inPlaceOf puts the origin in the place of a pattern that does not go with credentials.
func (f *fixer) inPlaceOf(handler map[string]any, policyName, pattern string) {
	options := policyOptions(handler, policyName)
	if list, _ := options["allow_origins"].([]any); slices.Contains(list, any(f.attempt.cause.Origin)) {
		options["allow_origins"] = slices.DeleteFunc(list, func(value any) bool { return value == pattern })
		f.advisedAndDone("Remove %q from the origins: it does not go with credentials. List the others that are to call.", pattern)
		return
	}
	f.line(handler, policyName, policy.NewLine("allow_origins", f.attempt.cause.Origin), pattern)
	f.advisedAndDone("%q does not go with credentials. List the other origins that are to call, too.", pattern)
}

// adviseFinalURL says which URL has no redirect before it, where the redirect has made the origin null.
func (f *fixer) adviseFinalURL() {
	if cause := f.attempt.cause; cause.Origin == origin.Null && cause.Hop > 0 && f.check.request.Origin != origin.Null {
		f.advise("The redirect has made the Origin null. Have the script call %s in the first place.", cause.URL)
	}
}

// overridden handles a response that has other headers than the cors handler's.
func (f *fixer) overridden(handler map[string]any) {
	if handler["upstream"] == "preserve" {
		f.line(handler, policy.DefaultName, policy.NewLine("upstream", "override"), "upstream preserve")
		return
	}
	f.advise("Something changes what cors has set, such as a header directive with a deferred operation (-, > or ?), or a reverse_proxy in handle_errors without a cors beside it: remove its %s lines. cors sets them all.", "Access-Control-*")
}

// undecided handles a response that no cors handler has seen.
func (f *fixer) undecided(ctx context.Context, cause *fetch.Cause, e *exchange) {
	if cause.Origin == origin.Null {
		f.live(cause)
		return
	}
	if cause.At == fetch.AtPreflight && f.wouldDecide(ctx, e) {
		f.advise("The site has a cors directive, but preflights do not reach it: they have the method OPTIONS, and a matcher on the way asks for another one, or something before it answers them. Move cors out of what that matcher is for, to the top of the site, or have the matcher match OPTIONS, too.")
		return
	}
	server, ok := f.server(e.server)
	if !ok {
		f.advise("The server that answers here is none of the configuration's own: give %s a site with cors.", e.request.URL.Host)
		return
	}
	handler := map[string]any{"handler": "cors", "allow_origins": []any{cause.Origin}}
	match := map[string]any{"header": map[string]any{"Host": []any{e.request.URL.Host}}}
	line := "cors " + cause.Origin
	if hasCors(server, e.request.URL.Host) { // elsewhere in the site, whose requests are to stay with it
		path := e.request.URL.EscapedPath()
		line = "cors " + path + " " + cause.Origin
		match["path"] = []any{path}
	}
	routes, _ := server["routes"].([]any)
	server["routes"] = append([]any{map[string]any{"match": []any{match}, "handle": []any{handler}}}, routes...)
	f.fixes = append(f.fixes, Fix{Line: line, Block: blockSite, Site: f.site()})
}

// wouldDecide reports whether a cors handler would see the request itself, of which the preflight is. Nothing
// else happens.
func (f *fixer) wouldDecide(ctx context.Context, e *exchange) bool {
	dry := clone(f.tree)
	withoutEffects(dry)
	config, err := newLocalConfig(dry, nil)
	if err != nil {
		return false
	}
	defer config.Close()
	r := e.request.Clone(ctx)
	r.Method = r.Header.Get("Access-Control-Request-Method")
	r.Header.Del("Access-Control-Request-Method")
	r.Header.Del("Access-Control-Request-Headers")
	response, err := config.RoundTrip(r)
	if err != nil {
		return false
	}
	response.Body.Close()
	_, decides := config.exchanges[0].decisive()
	return decides
}

// live handles what a server says of which nothing else is known.
func (f *fixer) live(cause *fetch.Cause) {
	f.applied = false
	if cause.Origin == origin.Null {
		f.opaque()
		return
	}
	handler := map[string]any{}
	code := cause.Code
	if code == fetch.AllowOriginMismatch && !isOrigin(cause.Names[0]) { // such as one with a slash
		code = fetch.InvalidAllowOrigin
	}
	switch code {
	case fetch.AllowOriginMismatch:
		f.line(handler, policy.DefaultName, policy.NewLine("allow_origins", cause.Origin), "")
	case fetch.WildcardWithCredentials:
		f.notEveryone(handler, policy.DefaultName)
	case fetch.MissingAllowCredentials:
		handler["allow_origins"] = []any{cause.Origin}
		f.line(handler, policy.DefaultName, policy.NewLine("allow_credentials"), "")
	case fetch.MethodNotAllowed, fetch.HeaderNotAllowed:
		f.needs(handler, cause)
	case codeNotReadable:
		f.line(handler, policy.DefaultName, policy.NewLine("expose_headers", cause.Names[0]), "")
	case fetch.MissingAllowOrigin:
		if httpguts.HeaderValuesContainsToken(f.attempt.result.Header["Vary"], "Origin") { // somebody decides by it
			f.line(handler, policy.DefaultName, policy.NewLine("allow_origins", cause.Origin), "")
			break
		}
		f.wholeDirective(handler, cause)
	default: // nothing that cors sends
		f.wholeDirective(handler, cause)
		f.advise("cors replaces the CORS headers of what is behind it, and answers preflights itself. Remove the header lines that set them.")
	}
	f.takeRisks(handler, policy.DefaultName)
}

// isOrigin reports whether a value of Access-Control-Allow-Origin is one that cors could send.
func isOrigin(value string) bool {
	_, ok := origin.Parse(value)
	return ok || value == origin.Null
}

// wholeDirective is a cors directive with all that the call needs.
func (f *fixer) wholeDirective(handler map[string]any, cause *fetch.Cause) {
	handler["allow_origins"] = []any{cause.Origin}
	f.fixes = append(f.fixes, Fix{Line: "cors " + cause.Origin, Block: blockSite, Site: f.site()})
	f.needs(handler, cause)
	if f.check.request.Credentials {
		f.line(handler, policy.DefaultName, policy.NewLine("allow_credentials"), "")
	}
	for _, name := range f.check.reads {
		f.line(handler, policy.DefaultName, policy.NewLine("expose_headers", name), "")
	}
}

// needs adds the lines that the last preflight asks for.
func (f *fixer) needs(handler map[string]any, cause *fetch.Cause) {
	for _, step := range slices.Backward(f.attempt.result.Steps) {
		if step.Exchange == nil || !step.Exchange.Preflight {
			continue
		}
		p, _, _ := policy.Compile(policy.Options{Name: policy.DefaultName, AllowOrigins: []string{cause.Origin}})
		header := map[string][]string{
			"Origin":                         {cause.Origin},
			"Access-Control-Request-Method":  step.Exchange.RequestHeader["Access-Control-Request-Method"],
			"Access-Control-Request-Headers": step.Exchange.RequestHeader["Access-Control-Request-Headers"],
		}
		switch cause.Code { // those name just what is missing
		case fetch.MethodNotAllowed:
			delete(header, "Access-Control-Request-Headers")
		case fetch.HeaderNotAllowed:
			header["Access-Control-Request-Method"] = []string{http.MethodGet}
			header["Access-Control-Request-Headers"] = cause.Names
		}
		asked := policy.NewRequest(http.MethodOptions, "", header)
		if d := policy.NewPolicies(p).Decide(&asked); d.Outcome == policy.Denied {
			f.denied(handler, decisionSeen{asked: asked, decision: d})
		}
		return
	}
}

// takeRisks handles what credentials are refused with. A pattern that anybody can have an origin of gives way to the
// origin; else, it is the line that takes the risk, with the safer way.
func (f *fixer) takeRisks(handler map[string]any, policyName string) {
	options := maps.Clone(handler)
	delete(options, "handler") // which names its module
	text, err := json.Marshal(options)
	if err != nil {
		return
	}
	origins, _ := policyOptions(handler, policyName)["allow_origins"].([]any)
	for _, problem := range f.problems(text, policyName) {
		if problem.Risk == "" || problem.Index >= len(origins) {
			continue
		}
		switch pattern, _ := origins[problem.Index].(string); problem.Risk {
		case policy.AnyOrigin, policy.PublicSuffix:
			f.inPlaceOf(handler, policyName, pattern)
		default:
			f.line(handler, policyName, policy.NewLine("insecure", string(problem.Risk)), "")
			f.advisedAndDone("The insecure line takes a risk, and without it the configuration is refused. Better: %s.", problem.Message)
		}
	}
}

// server returns a server of the configuration.
func (f *fixer) server(name string) (map[string]any, bool) {
	apps, _ := f.tree["apps"].(map[string]any)
	app, _ := apps["http"].(map[string]any)
	servers, _ := app["servers"].(map[string]any)
	server, ok := servers[name].(map[string]any)
	return server, ok
}

// hasCors reports whether the routes of a server that are for the host have a cors handler.
func hasCors(server map[string]any, hostport string) bool {
	found := false
	routes, _ := server["routes"].([]any)
	for _, route := range routes {
		var parsed struct {
			Match []struct {
				Host caddyhttp.MatchHost `json:"host"`
			} `json:"match"`
		}
		if remarshal(route, &parsed) != nil {
			continue
		}
		provisioned := caddyhttp.Route{}
		for _, set := range parsed.Match {
			var matchers caddyhttp.MatcherSet
			if set.Host != nil {
				matchers = append(matchers, set.Host)
			}
			provisioned.MatcherSets = append(provisioned.MatcherSets, matchers)
		}
		if _, ok := servesHost(&caddyhttp.Server{Routes: caddyhttp.RouteList{provisioned}}, hostport); ok {
			walk(route, func(object map[string]any) { found = found || object["handler"] == "cors" })
		}
	}
	return found
}

// policyOptions returns the options of a policy of a handler.
func policyOptions(handler map[string]any, name string) map[string]any {
	policies, _ := handler["policies"].([]any)
	for i := range policies {
		options, _ := policies[i].(map[string]any)
		if options["name"] == name || options["name"] == nil && name == fmt.Sprintf("policy-%d", i+1) {
			return options
		}
	}
	return handler
}

// applyLine does to a handler's JSON what a line does to its block.
func applyLine(options map[string]any, line policy.Line, replaces string) {
	list, isList := options[line.Option].([]any)
	switch {
	case len(line.Values) == 0:
		options[line.Option] = true
	case line.Option == "upstream":
		options[line.Option] = line.Values[0]
	default:
		if isList {
			list = slices.DeleteFunc(list, func(value any) bool { return value == replaces })
		}
		for _, value := range line.Values {
			list = append(list, value)
		}
		options[line.Option] = list
	}
}

// listsName reports whether a list option has the name, or is a "*".
func listsName(list any, name string) bool {
	values, _ := list.([]any)
	return slices.ContainsFunc(values, func(value any) bool {
		text, _ := value.(string)
		return text == "*" || strings.EqualFold(text, name)
	})
}

// walk calls f for each object of a JSON value, those of an object in the order of their names.
func walk(value any, f func(object map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], f)
		}
	case []any:
		for _, element := range v {
			walk(element, f)
		}
	}
}

// remarshal turns one form of a JSON value into another.
func remarshal(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}
