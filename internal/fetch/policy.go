package fetch

import (
	"fmt"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
)

// policies are those of the page.
func (f *fetch) policies() csp.List { return f.page.Policies }

// policyRequest is what the policies are asked about: of a WebSocket, in all browsers, the URL with its own scheme.
func (f *fetch) policyRequest() csp.Request {
	u := f.currentURL()
	if f.kind == KindWebSocket {
		if own, err := url.Parse(f.current()); err == nil {
			u = own
		}
	}
	return csp.Request{URL: u, Directive: f.info.directive, Redirects: f.redirects()}
}

// reportPolicyViolations is "report Content Security Policy violations for request" (Content Security Policy, section
// 4.1.1), to the one who asks.
func (f *fetch) reportPolicyViolations() {
	if found := f.policies().CheckReportOnly(f.policyRequest()); found.Verdict == csp.Blocked {
		f.warn(PolicyReportOnly, fmt.Sprintf("The page's Content-Security-Policy-Report-Only would block it, by %q.", found.Directive.Text))
	}
}

// blockByPolicy is "should request be blocked by Content Security Policy?" (section 4.1.2), after a look at what lets a
// script run at all.
func (f *fetch) blockByPolicy() error {
	const algorithm = "Content Security Policy"
	if runs := f.info.script || f.kind == KindScript || f.kind == KindModule; runs && !f.policies().SandboxAllows("allow-scripts") {
		return f.networkError(SandboxedScripts, AtRequest, fmt.Sprintf("Blocked script execution in '%s' because the document's frame is sandboxed and the 'allow-scripts' permission is not set.", f.page.URL))
	}
	found := f.policies().Check(f.policyRequest())
	f.warnPolicyPort(found.Verdict)
	f.warnPolicyDirective(found.Verdict)
	switch found.Verdict {
	case csp.Blocked:
		return f.networkError(ContentSecurityPolicy, f.beforeRequest(), f.policyMessage(found.Directive), found.Directive.Text)
	case csp.Conditional:
		f.step(algorithm, Passed, f.current(), fmt.Sprintf("The page's policy allows it on a condition: %s.", found.Directive.Text))
		f.warn(PolicyCondition, fmt.Sprintf("The page's Content-Security-Policy does not go by the URL alone: the element needs the nonce or the hash of %q, or with 'strict-dynamic' to be made by a script that has it.", found.Directive.Text))
	default:
		if len(f.policies().Policies) > 0 {
			f.warnWebSocketSource()
			f.step(algorithm, Passed, f.current(), "The page's Content-Security-Policy allows it.")
		}
	}
	return nil
}

// policyMessage is what Chrome writes of a request that a directive blocks.
func (f *fetch) policyMessage(d csp.Directive) string {
	action := "Connecting to"
	switch f.kind {
	case KindFont, KindImage, KindScript:
		action = "Loading the " + f.info.endpoint
	case KindModule:
		action = "Loading the script"
	case KindStyle:
		action = "Loading the stylesheet"
	case KindMedia:
		action = "Loading media from "
	case KindManifest:
		action = "Loading manifest from"
	}
	fallback := ""
	if d.Name != f.info.directive {
		fallback = fmt.Sprintf(" Note that '%s' was not explicitly set, so '%s' is used as a fallback.", f.info.directive, d.Name)
	}
	return fmt.Sprintf("%s '%s' violates the following Content Security Policy directive: \"%s\".%s The action has been blocked.", action, f.current(), d.Text, fallback)
}
