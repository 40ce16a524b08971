package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A Fix is what would have a denied request allowed: Lines, or where no line can do it, Advice.
type Fix struct {
	// Lines are lines of a Caddyfile, for the block of the policy that decided.
	Lines []string

	// Advice is a sentence.
	Advice string
}

// String returns the lines, one below the other, or the advice.
func (f Fix) String() string {
	if f.Advice != "" {
		return f.Advice
	}
	return strings.Join(f.Lines, "\n")
}

// maxLine is the longest line that is suggested: whatever a request asks for, what remains of it is small.
const maxLine = 512

// FixFor returns what would have the request allowed, of which d is the denial. For an origin that may not call, it is
// what would let it call at all; what it may ask for then is another question, and not one that an unknown origin should
// get to answer.
func FixFor(r *Request, d *Decision) Fix {
	p := d.Policy
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

// line makes a line of an option and its values, none of which has a quote, a blank or a backslash.
func line(option string, values ...string) Fix {
	quoted := slices.Clone(values)
	for i, value := range quoted {
		if strings.ContainsAny(value, "#`") { // which start a comment and a raw string
			quoted[i] = `"` + value + `"`
		}
	}
	text := option + " " + strings.Join(quoted, ", ")
	if len(text) > maxLine {
		return Fix{Advice: fmt.Sprintf("Add to %s what the request asks for, if it is yours; it is too long to be shown here (%d bytes).", option, len(text))}
	}
	return Fix{Lines: []string{text}}
}

func (p *Policy) fixOrigin(text string) Fix {
	f := line("allow_origins", text)
	o, _ := origin.Parse(text)
	if f.Advice == "" && p.credentials && !p.insecureHTTP && o.Scheme() == "http" && !o.Loopback() {
		f.Lines = append(f.Lines, "insecure "+httpOrigin)
	}
	return f
}

func fixInvalidOrigin(r *Request) Fix {
	switch text := r.Origin[0]; {
	case len(r.Origin) > 1:
		return Fix{Advice: "The request has more than one Origin field: something on its way, such as a proxy, adds one. Have it leave the browser's alone."}
	case strings.HasPrefix(text, "file:"):
		return Fix{Advice: "The page was opened from a file in an app's browser, which sends an origin that is none. Have the app serve its pages from an origin of its own, such as https://appassets.androidplatform.net or capacitor://localhost."}
	}
	return Fix{Advice: "No browser sends such an Origin: the request comes from another program, or something on its way rewrites the field. An origin is a scheme, a host and, unless it is the default, a port, in lower case and without a slash at the end."}
}

func (p *Policy) fixMethod(r *Request) Fix {
	method := r.Method[0]
	switch {
	case len(r.Method) > 1:
		return Fix{Advice: "The request has more than one Access-Control-Request-Method field, which no browser sends: something on its way adds one. Have it leave the browser's alone."}
	case p.allowsMethod(method):
		return Fix{}
	case len(method) > maxMethod || !fetchspec.IsToken(method) || method == "*":
		return Fix{Advice: "The method that the request asks for is none that can be allowed, and no browser asks for it: the request comes from another program."}
	}
	switch upper := strings.ToUpper(method); {
	case fetchspec.IsForbiddenMethod(method):
		return Fix{Advice: "No script can use the method " + upper + ", so no browser asks for it: the request comes from another program."}
	case method == upper || !knownMethods[upper]:
		return line("allow_methods", method)
	case fetchspec.NormalizeMethod(method) != method:
		return Fix{Advice: "Methods have a case, and browsers write " + upper + " in upper case, however the script does: the request comes from another program, which has to write it so too."}
	case p.allowsMethod(upper):
		return Fix{Advice: fmt.Sprintf("Methods have a case: have the script write %q, which is allowed.", upper)}
	default:
		return Fix{Advice: fmt.Sprintf("Methods have a case: have the script write %q, and add: allow_methods %s", upper, upper)}
	}
}

func (p *Policy) fixHeaders(r *Request) Fix {
	var missing []string
	total := 0
	for _, fieldLine := range r.Headers {
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
				return Fix{Advice: "A header name that the request asks for is none that can be allowed: if a script of yours sets it, give it another one."}
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
	return line("allow_headers", missing...)
}

func (p *Policy) fixPrivateNetwork(r *Request) Fix {
	if !r.PrivateNetwork || p.privateNetwork {
		return Fix{}
	}
	return Fix{Lines: []string{"allow_private_network"}}
}
