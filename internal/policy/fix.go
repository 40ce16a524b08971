package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A Fix is what would have a denied request allowed: Lines, or where no line can do it, Advice.
type Fix struct {
	// Lines are for the block of the policy that decided.
	Lines []Line

	// Advice is a sentence.
	Advice string
}

// String returns the lines as a Caddyfile has them, one below the other, or the advice.
func (f Fix) String() string {
	if f.Advice != "" {
		return f.Advice
	}
	var texts []string
	for _, line := range f.Lines {
		texts = append(texts, line.String())
	}
	return strings.Join(texts, "\n")
}

// A Line is an option of a policy with its values: of a flag, none.
type Line struct {
	Option string   `json:"option"`
	Values []string `json:"values,omitempty"`
}

// NewLine returns the line of an option with its values.
func NewLine(option string, values ...string) Line { return Line{option, values} }

// String returns the line as a Caddyfile has it. No value may have a quote, a blank or a backslash.
func (l Line) String() string {
	if len(l.Values) == 0 {
		return l.Option
	}
	quoted := slices.Clone(l.Values)
	for i, value := range quoted {
		if strings.ContainsAny(value, "#`") { // which start a comment and a raw string
			quoted[i] = `"` + value + `"`
		}
	}
	return l.Option + " " + strings.Join(quoted, ", ")
}

// maxLine is the longest line that is suggested: whatever a request asks for, what remains of it is small.
const maxLine = 512

// FixFor returns what would allow the request of which d is the denial. For an origin that may not call, it is
// what would let it call at all; what it may ask for then is another question, and not one that an unknown origin should
// get to answer.
func FixFor(r *Request, d *Decision) Fix {
	p := d.Policy
	switch {
	case r.IsPreflight():
	case len(r.Origin) == 0:
		return Fix{Advice: "The request says that a page of another site has made it, but not which: it may be forged, so enforce refuses it. A script of yours has an Origin where it calls with fetch and is not in the mode no-cors."}
	case r.isForm():
		return Fix{Advice: fixForm(r)}
	}
	switch d.Reason {
	case OriginNotAllowed:
		return p.fixOrigin(d.Detail)
	case OriginNull:
		return Fix{Advice: `The origin is opaque: the page is in a sandboxed frame or was opened from a file, or the request was redirected from one origin to another. Serve the page from an origin of its own, or have the script call the final URL. ("allow_origins null" lets every website call: it is for public data, without credentials.)`}
	case OriginInvalid:
		return fixInvalidOrigin(r)
	}
	var f Fix
	for _, part := range []Fix{p.fixMethod(r), p.fixHeaders(r), p.fixPrivateNetwork(r)} {
		if part.Advice != "" {
			return part // no line for another part would help
		}
		f.Lines = append(f.Lines, part.Lines...)
	}
	return f
}

// fixLine is the fix of one line, if it is short enough.
func fixLine(option string, values ...string) Fix {
	line := NewLine(option, values...)
	if n := len(line.String()); n > maxLine {
		return Fix{Advice: fmt.Sprintf("Add to %s what the request asks for, if it is yours; it is too long to be shown here (%d bytes).", option, n)}
	}
	return Fix{Lines: []Line{line}}
}

// fixForm is advice, because no line should let the form's site read the API.
func fixForm(r *Request) string {
	const advice = "A page of another site has sent a form here, which CORS is not for. If a sign-in comes back here by POST (SAML, OIDC's form_post, Sign in with Apple), let enforce leave that path alone: "
	if simplePath.MatchString(r.Path) {
		return advice + NewLine("enforce_except", r.Path).String()
	}
	return advice + "enforce_except, with the path"
}

// simplePath matches a path that means itself as a pattern, and is the same in a Caddyfile and in a log.
var simplePath = regexp.MustCompile(`\A/[A-Za-z0-9/._~-]{1,200}\z`)

func (p *Policy) fixOrigin(text string) Fix {
	f := fixLine("allow_origins", text)
	o, _ := origin.Parse(text)
	if f.Advice == "" && p.credentials && !p.insecureHTTP && o.Scheme() == "http" && !o.Loopback() {
		f.Lines = append(f.Lines, NewLine("insecure", string(HTTPOrigin)))
	}
	return f
}

func fixInvalidOrigin(r *Request) Fix {
	switch text := r.Origin[0]; {
	case len(r.Origin) > 1:
		return Fix{Advice: "The request has more than one Origin field: something on its way, such as a proxy, adds one. Have it leave the browser's alone."}
	case strings.HasPrefix(text, "file:"):
		return Fix{Advice: "The page was opened from a file in an app's browser, which sends an Origin that is not an origin. Have the app serve its pages from an origin of its own, such as https://appassets.androidplatform.net or capacitor://localhost."}
	}
	return Fix{Advice: "No browser sends such an Origin: the request comes from another program, or something on its way rewrites the field. An origin is a scheme, a host and, unless it is the default, a port, in lower case and without a slash at the end."}
}

func (p *Policy) fixMethod(r *Request) Fix {
	method := r.PreflightMethod()
	switch {
	case len(r.methods) > 1:
		return Fix{Advice: "The request has more than one Access-Control-Request-Method field, which no browser sends: something on its way adds one. Have it leave the browser's alone."}
	case p.allowsMethod(method):
		return Fix{}
	case len(method) > maxMethod || !fetchspec.IsToken(method) || method == "*":
		return Fix{Advice: "The method that the request asks for is not one that can be allowed, and no browser asks for it: the request comes from another program."}
	}
	switch upper := strings.ToUpper(method); {
	case fetchspec.IsForbiddenMethod(method):
		return Fix{Advice: "No script can use the method " + upper + ", so no browser asks for it: the request comes from another program."}
	case method == upper || !knownMethods[upper]:
		return fixLine("allow_methods", method)
	case fetchspec.NormalizeMethod(method) != method:
		return Fix{Advice: "Method names are case-sensitive, and browsers send " + upper + " in upper case, however the script writes it: the request comes from another program, which has to send it in upper case, too."}
	case p.allowsMethod(upper):
		return Fix{Advice: fmt.Sprintf("Method names are case-sensitive: have the script write %q, which is allowed.", upper)}
	default:
		return Fix{Advice: fmt.Sprintf("Method names are case-sensitive: have the script write %q, and add: allow_methods %s", upper, upper)}
	}
}

func (p *Policy) fixHeaders(r *Request) Fix {
	var missing []string
	total := 0
	for _, fieldLine := range r.headers {
		for rest, more := fieldLine, true; more; {
			var name string
			if name, rest, more = nextElement(rest); name == "" {
				continue
			}
			if total += len(name); total > maxRequestHeaderNames {
				return Fix{Advice: "The request asks for more than 4 KiB of header names, which is never allowed: have the script send fewer, or one with all of the data in it."}
			}
			if p.allowsHeader(name) {
				continue
			}
			switch {
			case !fetchspec.IsToken(name) || name == "*" || len(name) > maxFieldName:
				return Fix{Advice: "A header name that the request asks for is not one that can be allowed: if a script of yours sets it, give it another one."}
			case fetchspec.IsForbiddenRequestHeaderName(name):
				return Fix{Advice: fmt.Sprintf("No script can set %s, so no browser asks for it: the request comes from another program. (Cookies need no permission here, but allow_credentials.)", name)}
			case isCORSResponseHeader(name):
				return Fix{Advice: fmt.Sprintf("The script sends %s, which is a header of responses: remove it from the script, it has no effect there but to be asked about.", name)}
			case strings.EqualFold(name, "authorization"):
				name = "Authorization"
			}
			if !slices.ContainsFunc(missing, func(other string) bool { return strings.EqualFold(name, other) }) {
				missing = append(missing, name)
			}
		}
	}
	if len(missing) == 0 {
		return Fix{}
	}
	return fixLine("allow_headers", missing...)
}

func (p *Policy) fixPrivateNetwork(r *Request) Fix {
	if !r.privateNetwork || p.privateNetwork {
		return Fix{}
	}
	return Fix{Lines: []Line{NewLine("allow_private_network")}}
}
