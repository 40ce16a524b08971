package check

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// live says what a live server needs, of which no more is known than its answers. Nothing of it is tried.
func (c *Check) live(a *attempt) []Fix {
	p := &proposer{fixer: &fixer{check: c, before: &configuration{}}, conf: &configuration{}, attempt: a}
	cause := a.cause
	var fixes []Fix
	switch {
	case p.ofScript(cause), p.httpsRedirect(cause), p.plainLocation(cause), p.login(), p.oneTimeURL(cause):
	case cause.Origin == origin.Null:
		p.whyNull(cause)
		if !c.request.Credentials && cause.Hop == 0 {
			fixes = append(fixes, Fix{Action: ActionInsert, Line: "cors *", Block: blockSite, Site: p.site(), Tried: triedUntried})
		}
	case p.hasCors():
		for _, line := range p.needs(false) {
			fixes = append(fixes, Fix{Action: ActionAdd, Line: line.String(), Block: blockCors, Site: p.site(), Tried: triedUntried})
		}
		if len(fixes) == 0 {
			p.advise("Something changes what the server's cors directive has set, such as a header directive with a deferred operation (-, > or ?): remove its Access-Control-* lines. Check with --config <Caddyfile> to see which.")
		}
	default:
		lines := p.needs(true)
		whole := edit.Line{Words: []string{"cors", cause.Origin}}
		for _, line := range lines {
			if line.Option != "allow_origins" {
				whole.Block = append(whole.Block, edit.Line{Words: append([]string{line.Option}, line.Values...)})
			}
		}
		fixes = append(fixes, Fix{Action: ActionInsert, Line: textOf(whole, ""), Block: blockSite, Site: p.site(), Tried: triedUntried})
		if names := p.byHand(); len(names) > 0 {
			p.advise("No cors directive answers there, but something sets %s: a header line of the site, or the backend. cors replaces the headers of a backend; remove the header lines, which can override it. Check with --config <Caddyfile> to see them.", strings.Join(names, ", "))
		}
	}
	for _, text := range p.advice {
		fixes = append(fixes, Fix{Advice: text})
	}
	return fixes
}

// exchangesAt are the exchanges with the URL that the cause is about.
func (p *proposer) exchangesAt() []*fetch.Exchange {
	var list []*fetch.Exchange
	for _, step := range p.attempt.result.Steps {
		if step.Exchange != nil && step.URL == p.attempt.cause.URL {
			list = append(list, step.Exchange)
		}
	}
	return list
}

// hasCors reports whether the answers look like those of a cors directive: by Vary, by what it always sends and what it never
// does.
func (p *proposer) hasCors() bool {
	seen := false
	for _, e := range p.exchangesAt() {
		h := e.ResponseHeader
		vary := h["Vary"]
		if len(vary) > 1 { // it sends one field line
			return false
		}
		for _, name := range []string{"Access-Control-Allow-Methods", "Access-Control-Allow-Headers"} {
			if slices.Contains(h[name], "*") {
				return false
			}
		}
		if len(h["Access-Control-Allow-Origin"]) > 1 {
			return false
		}
		allowed := h.Get("Access-Control-Allow-Origin")
		public := allowed == "*"
		if e.Preflight {
			if e.Status == http.StatusForbidden && allowed == "" && httpguts.HeaderValuesContainsToken(vary, "Access-Control-Request-Method") {
				seen = true
				continue
			}
			if !httpguts.HeaderValuesContainsToken(vary, "Access-Control-Request-Method") || !httpguts.HeaderValuesContainsToken(vary, "Access-Control-Request-Headers") {
				return false
			}
			seen = true
			continue
		}
		if allowed != "" && !public && allowed != p.attempt.cause.Origin { // it sends the page's, or none
			return false
		}
		if !public && !httpguts.HeaderValuesContainsToken(vary, "Origin") {
			return false
		}
		seen = seen || !public
	}
	return seen
}

// byHand are the CORS fields that the answers have, with their values.
func (p *proposer) byHand() []string {
	var list []string
	for _, e := range p.exchangesAt() {
		for name, values := range e.ResponseHeader {
			if strings.HasPrefix(name, "Access-Control-") {
				text := fmt.Sprintf("%s: %s", name, strings.Join(values, ", "))
				if !slices.Contains(list, text) {
					list = append(list, text)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// needs are the lines that the call needs, all at once: those that the answers show to be missing, or the whole of them.
func (p *proposer) needs(whole bool) []policy.Line {
	cause, request := p.attempt.cause, p.check.request
	var lines []policy.Line
	allowed, methods, headers, credentials := "", "", "", ""
	for _, e := range p.exchangesAt() {
		allowed = e.ResponseHeader.Get("Access-Control-Allow-Origin")
		credentials = e.ResponseHeader.Get("Access-Control-Allow-Credentials")
		if e.Preflight {
			methods = strings.Join(e.ResponseHeader["Access-Control-Allow-Methods"], ", ")
			headers = strings.Join(e.ResponseHeader["Access-Control-Allow-Headers"], ", ")
		}
	}
	originMissing := whole || allowed != cause.Origin && (allowed != "*" || request.Credentials)
	if originMissing {
		lines = append(lines, policy.Line{Option: "allow_origins", Values: []string{cause.Origin}})
	}
	for _, e := range p.exchangesAt() {
		if !e.Preflight {
			continue
		}
		options := policy.Options{Name: policy.DefaultName, AllowOrigins: []string{cause.Origin}}
		if !whole && !originMissing {
			options.AllowMethods, options.AllowHeaders = tokens(methods), tokens(headers)
		}
		compiled, problems, _ := policy.Compile(options)
		if len(problems) > 0 {
			options.AllowMethods, options.AllowHeaders = nil, nil
			compiled, _, _ = policy.Compile(options)
		}
		if compiled == nil {
			continue
		}
		header := e.RequestHeader.Clone()
		asked := policy.NewRequest(http.MethodOptions, "", header)
		if d := policy.NewPolicies(compiled).Decide(&asked); d.Outcome == policy.Denied {
			fix := policy.FixFor(&asked, &d)
			if fix.Advice != "" {
				p.advise("%s", fix.Advice)
			}
			lines = append(lines, fix.Lines...)
		}
		break
	}
	if request.Credentials && (originMissing || credentials != "true") {
		lines = append(lines, policy.Line{Option: "allow_credentials"})
		if strings.HasPrefix(cause.Origin, "http://") {
			if o, ok := origin.Parse(cause.Origin); ok && !o.Loopback() {
				lines = append(lines, policy.Line{Option: "insecure", Values: []string{string(policy.HTTPOrigin)}})
				p.advice = append(p.advice, riskAdvice(string(policy.HTTPOrigin), cause.Origin))
			}
		}
	}
	for _, name := range p.check.reads {
		if whole || cause.Code == codeNotReadable && slices.Contains(cause.Names, name) {
			lines = append(lines, policy.Line{Option: "expose_headers", Values: []string{name}})
		}
	}
	return lines
}

// tokens splits a list of names.
func tokens(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}
