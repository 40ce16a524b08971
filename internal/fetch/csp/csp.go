// Package csp reads Content Security Policies and says which requests they let a page make, by Content Security Policy
// Level 3 (https://w3c.github.io/webappsec-csp/): fetch directives, upgrade-insecure-requests and sandbox. What a policy
// says of anything else, such as inline scripts or frames, and reports of violations are left out.
package csp

import (
	"net/http"
	"slices"
	"strings"
)

// A List is what a document has: a "CSP list" (section 2.2).
type List struct {
	Policies   []Policy
	SelfOrigin string // that 'self' stands for, serialized: the origin of the URL that the document came from
}

// A Policy is a set of directives (section 2.2).
type Policy struct {
	Directives []Directive // each name once
	ReportOnly bool        // the disposition is "report", and not "enforce"
	Meta       bool        // the source is a <meta> element, and not a header
}

// A Directive has a name in lower case, and a value (section 2.3).
type Directive struct {
	Name  string
	Value []string
	Text  string // as it is written

	Second bool // one of the same name goes before it, which is ignored because it is not ASCII
}

const asciiWhitespace = "\t\n\f\r "

// Parse is "parse a serialized CSP" (section 2.2.1). A policy that says nothing has no directives.
func Parse(serialized string) Policy {
	var p Policy
	var ignored []string
	for token := range strings.SplitSeq(serialized, ";") {
		fields := strings.FieldsFunc(token, func(r rune) bool { return strings.ContainsRune(asciiWhitespace, r) })
		if len(fields) == 0 {
			continue
		}
		name := strings.ToLower(fields[0])
		if strings.IndexFunc(token, func(r rune) bool { return r > 0x7f }) >= 0 {
			ignored = append(ignored, name)
			continue
		}
		if _, ok := p.directive(name); !ok {
			d := Directive{Name: name, Value: fields[1:], Text: strings.Trim(token, asciiWhitespace), Second: slices.Contains(ignored, name)}
			p.Directives = append(p.Directives, d)
		}
	}
	return p
}

// FromHeader is "parse a response's Content Security Policies" (section 2.2.2).
func FromHeader(header http.Header) []Policy {
	var policies []Policy
	for _, field := range []struct {
		name       string
		reportOnly bool
	}{{"Content-Security-Policy", false}, {"Content-Security-Policy-Report-Only", true}} {
		for _, value := range header.Values(field.name) {
			for serialized := range strings.SplitSeq(value, ",") {
				if p := Parse(serialized); len(p.Directives) > 0 {
					p.ReportOnly = field.reportOnly
					policies = append(policies, p)
				}
			}
		}
	}
	return policies
}

// FromMeta parses the content of a <meta http-equiv="Content-Security-Policy"> (HTML Standard, section 4.2.5.3), which
// has no say in some things. A policy that says nothing has no directives.
func FromMeta(content string) Policy {
	p := Parse(content)
	p.Meta = true
	p.Directives = slices.DeleteFunc(p.Directives, func(d Directive) bool {
		return d.Name == "report-uri" || d.Name == "frame-ancestors" || d.Name == "sandbox"
	})
	return p
}

func (p Policy) directive(name string) (Directive, bool) {
	i := slices.IndexFunc(p.Directives, func(d Directive) bool { return d.Name == name })
	if i < 0 {
		return Directive{}, false
	}
	return p.Directives[i], true
}

// UpgradesInsecureRequests reports whether a policy has upgrade-insecure-requests (Upgrade Insecure Requests, section 3).
func (l List) UpgradesInsecureRequests() bool {
	return slices.ContainsFunc(l.Policies, func(p Policy) bool {
		_, ok := p.directive("upgrade-insecure-requests")
		return ok && !p.ReportOnly
	})
}

// Sandbox returns the policies' sandbox directives, of which each takes away what it does not allow (section 6.3.2).
func (l List) Sandbox() []Directive {
	var directives []Directive
	for _, p := range l.Policies {
		if d, ok := p.directive("sandbox"); ok && !p.ReportOnly {
			directives = append(directives, d)
		}
	}
	return directives
}

// SandboxAllows reports whether all sandbox directives allow something, such as "allow-scripts". Without any directive,
// all is allowed.
func (l List) SandboxAllows(token string) bool {
	return !slices.ContainsFunc(l.Sandbox(), func(d Directive) bool {
		return !slices.ContainsFunc(d.Value, func(value string) bool { return strings.EqualFold(value, token) })
	})
}
