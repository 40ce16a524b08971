package policy

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// verdict is a decision in words.
type verdict struct {
	outcome, reason, detail, policy, allowOrigin string
}

func verdictOf(d Decision) verdict {
	return verdict{fmt.Sprint(d.Outcome), fmt.Sprint(d.Reason), d.Detail, d.Policy.Name(), d.AllowOrigin}
}

// A way is one of the ways for an origin to be allowed.
type way struct {
	origins, regexps []string
	source           Source
	risk             string                         // that it brings with credentials
	allows           func(text, tenant string) bool // of texts that are origins
}

func matches(pattern string) func(text, _ string) bool {
	re := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	return func(text, _ string) bool { return re.MatchString(text) }
}

var ways = []way{
	{origins: []string{"*"}, risk: "any_origin_with_credentials", allows: matches(`.*`)},
	{origins: []string{app, "https://b.test"}, allows: matches(`https://app\.example\.com|https://b\.test`)},
	{origins: []string{"null"}, risk: "null_origin_with_credentials", allows: matches(`null`)},
	{origins: []string{"https://*.example.org"}, allows: matches(`https://([a-z0-9_-]+\.)+example\.org`)},
	{origins: []string{"https://*.example.net:8443"}, allows: matches(`https://([a-z0-9_-]+\.)+example\.net:8443`)},
	{origins: []string{"http://localhost:*", "http://[::1]:*"}, allows: matches(`http://(localhost|\[::1\])(:[0-9]+)?`)},
	{origins: []string{"http://*.plain.test:*"}, risk: "http_origin_with_credentials", allows: matches(`http://([a-z0-9_-]+\.)+plain\.test(:[0-9]+)?`)},
	{origins: []string{"https://*"}, risk: "any_origin_with_credentials", allows: matches(`https://[^:]+|https://\[.*\]`)},
	{origins: []string{"app://*:*"}, risk: "any_origin_with_credentials", allows: matches(`app://.*`)},
	{origins: []string{"https://{tenant}.tenant.test"}, allows: func(text, tenant string) bool { return text == tenant }},
	{regexps: []string{`https?://pr-[0-9]+\.example\.com`, `(?m)^wss://a$|^wss://b$`}, allows: matches(`https?://pr-[0-9]+\.example\.com|wss://a|wss://b`)},
	{source: testSource(matches(`https?://(source\.test|sub\.localhost)(:9)?`)), allows: matches(`https?://(source\.test|sub\.localhost)(:9)?`)},
}

type testSource func(text, _ string) bool

func (s testSource) AllowsOrigin(_ context.Context, text string) bool {
	if _, ok := origin.Parse(text); !ok {
		panic(fmt.Sprintf("a source is asked of %q", text))
	}
	return s(text, "")
}

// A plan is a policy to be, and the oracle of its decisions.
type plan struct {
	options Options
	ways    []way
}

// newPlan takes the ways whose bits are set. The risks that they bring with them are taken; that of a source, which need
// not be, where insecureHTTP is.
func newPlan(name string, chosen uint16, credentials, privateNetwork, insecureHTTP bool) plan {
	p := plan{options: Options{
		Name: name, AllowCredentials: credentials, AllowPrivateNetwork: privateNetwork,
		AllowMethods: []string{"PUT"}, AllowHeaders: []string{"X-One"},
	}}
	o := &p.options
	for i, w := range ways {
		if chosen&(1<<i) == 0 {
			continue
		}
		p.ways = append(p.ways, w)
		o.AllowOrigins = append(o.AllowOrigins, w.origins...)
		o.AllowOriginsRegexp = append(o.AllowOriginsRegexp, w.regexps...)
		risk := w.risk
		if w.source != nil {
			o.Sources = append(o.Sources, w.source)
		}
		if insecureHTTP && (w.source != nil || w.regexps != nil) {
			risk = "http_origin_with_credentials"
		}
		if credentials && risk != "" && !slices.Contains(o.Insecure, risk) {
			o.Insecure = append(o.Insecure, risk)
		}
		if i == 0 {
			break // nothing stands beside "*"
		}
	}
	return p
}

// allows reports whether one of the ways allows the origin. What is not an origin is allowed by none, but for "null".
func (p plan) allows(text, tenant string) bool {
	o, valid := origin.Parse(text)
	for _, w := range p.ways {
		switch {
		case !valid && text != "null", !w.allows(text, tenant):
		case text == "null" && (w.origins == nil || w.origins[0] != "null" && (w.origins[0] != "*" || p.options.AllowCredentials)):
		case (w.source != nil || w.regexps != nil) && p.options.AllowCredentials && o.Scheme() == "http" && !o.Loopback() && !slices.Contains(p.options.Insecure, "http_origin_with_credentials"):
		default:
			return true
		}
	}
	return false
}

// oracleDecide decides as the policies do, tried in order.
func oracleDecide(plans []plan, r Request, tenant string) verdict {
	last := plans[len(plans)-1]
	v := verdict{policy: last.options.Name}
	if len(plans) == 1 && len(last.ways) == 1 && last.ways[0].origins != nil && last.ways[0].origins[0] == "*" && !last.options.AllowCredentials {
		v.outcome, v.allowOrigin = "allowed", "*"
		if len(r.Origin) == 0 {
			v.outcome = "no-origin"
		}
		return last.preflight(v, r)
	}
	if len(r.Origin) == 0 {
		v.outcome = "no-origin"
		return v
	}
	text := r.Origin[0]
	if len(r.Origin) == 1 {
		for _, p := range plans {
			if p.allows(text, tenant) {
				v.outcome, v.policy, v.allowOrigin = "allowed", p.options.Name, text
				return p.preflight(v, r)
			}
		}
		if !r.IsPreflight() && oracleSameOrigin(text, r) {
			v.outcome = "same-origin"
			return v
		}
	}
	v.outcome, v.reason, v.detail = "denied", "origin-not-allowed", text
	if _, valid := origin.Parse(text); len(r.Origin) > 1 || !valid && text != "null" {
		v.reason = "origin-invalid"
	} else if !valid {
		v.reason = "origin-null"
	}
	return v
}

func oracleSameOrigin(text string, r Request) bool {
	if site := r.Header["Sec-Fetch-Site"]; len(site) > 0 {
		return site[0] == "same-origin"
	}
	o, _ := origin.Parse(text)
	host, isHTTP := strings.CutPrefix(text, "http://")
	if !isHTTP {
		host, isHTTP = strings.CutPrefix(text, "https://")
	}
	return o.SameHost(r.Host) || isHTTP && host != "" && strings.EqualFold(host, r.Host)
}

// preflight judges the method, then the header names, then the private network.
func (p plan) preflight(v verdict, r Request) verdict {
	if !r.IsPreflight() {
		return v
	}
	name, headersAllowed := oracleHeaders(p.options, r.headers)
	switch {
	case !oracleMethod(p.options, r.methods):
		v.outcome, v.reason, v.detail = "denied", "method-not-allowed", r.methods[0]
	case !headersAllowed:
		v.outcome, v.reason, v.detail = "denied", "header-not-allowed", name
	case r.privateNetwork && !p.options.AllowPrivateNetwork:
		v.outcome, v.reason = "denied", "private-network-not-allowed"
	}
	return v
}

var oracleToken = regexp.MustCompile("\\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\\z")

func oracleMethod(o Options, lines []string) bool {
	method := lines[0]
	switch {
	case len(lines) > 1:
		return false
	case slices.Contains([]string{"GET", "HEAD", "POST"}, method):
		return true
	case method != "*" && slices.Contains(o.AllowMethods, method):
		return true
	}
	return slices.Contains(o.AllowMethods, "*") && oracleToken.MatchString(method) && method != "*" && len(method) <= 4096 &&
		!slices.Contains([]string{"CONNECT", "TRACE", "TRACK"}, strings.ToUpper(method))
}

// oracleHeaders returns the first name that is not allowed.
func oracleHeaders(o Options, lines []string) (name string, allowed bool) {
	total := 0
	for _, name := range oracleNames(lines) {
		isListed := slices.ContainsFunc(o.AllowHeaders, func(listed string) bool {
			return oracleLower(listed) == oracleLower(name) && !strings.HasSuffix(listed, "*")
		})
		byStar := oracleToken.MatchString(name) && oracleLower(name) != "authorization" && name != "*" &&
			slices.ContainsFunc(o.AllowHeaders, func(written string) bool {
				prefix, isPattern := strings.CutSuffix(oracleLower(written), "*")
				return isPattern && strings.HasPrefix(oracleLower(name), prefix)
			})
		if total += len(name); total > 4096 || !isListed && !byStar {
			return name, false
		}
	}
	return "", true
}

// gap is a run of more separators than are passed over.
var gap = regexp.MustCompile(`(\A|[^,\t ][\t ]*,)[,\t ]{257}`)

// oracleNames returns the names that are asked for, up to a gap, which is none.
func oracleNames(lines []string) (names []string) {
	for _, line := range lines {
		if at := gap.FindStringSubmatchIndex(line); at != nil {
			return append(append(names, oracleList(line[:at[3]])...), ",")
		}
		names = append(names, oracleList(line)...)
	}
	return names
}

// oracleList returns the elements of a list field that are not empty.
func oracleList(value string) []string {
	var elements []string
	for element := range strings.SplitSeq(value, ",") {
		if element = strings.Trim(element, " \t"); element != "" {
			elements = append(elements, element)
		}
	}
	return elements
}

// oracleLower folds the case of ASCII, and of nothing else.
func oracleLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// checkMethodsSent checks the list that a preflight's answer has: the methods that are listed, and the one that was asked
// for, where it is allowed by a "*".
func checkMethodsSent(t *testing.T, got string, o Options, asked string, allowed bool) {
	want := slices.DeleteFunc(slices.Clone(o.AllowMethods), func(name string) bool { return name == "*" })
	if slices.Contains(o.AllowMethods, "*") && allowed && !slices.Contains(want, asked) {
		want = append(want, asked)
	}
	if !slices.Equal(oracleList(got), want) {
		t.Fatalf("sends %q, want %q", got, want)
	}
	if len(got) > 4096+1024 {
		t.Fatalf("sends %d bytes", len(got))
	}
}

// checkHeadersSent checks the same of the header names: of those that are asked for, the ones before the first that is not
// allowed are added.
func checkHeadersSent(t *testing.T, got string, o Options, lines []string) {
	var want []string
	for _, name := range o.AllowHeaders {
		if !strings.HasSuffix(name, "*") {
			want = append(want, name)
		}
	}
	listed := len(want)
	total := 0
	for _, name := range oracleNames(lines) {
		if total += len(name); total > 4096 {
			want = want[:listed]
			break
		}
		if slices.ContainsFunc(want[:listed], func(other string) bool { return oracleLower(other) == oracleLower(name) }) {
			continue
		}
		if _, ok := oracleHeaders(o, []string{name}); !ok || !oracleToken.MatchString(name) {
			break
		}
		want = append(want, name)
	}
	if !slices.Equal(oracleList(got), want) {
		t.Fatalf("sends %q, want %q", got, want)
	}
	if len(got) > 2*4096+1024 {
		t.Fatalf("sends %d bytes", len(got))
	}
}

// FuzzRequestHeaders holds the reading of Access-Control-Request-Headers against one that is slow and plain.
func FuzzRequestHeaders(f *testing.F) {
	for _, line := range []string{"", "x-one", "X-ONE , x-two", ",,, x-one ,", "authorization", "x-one x-two", "x-\xff", strings.Repeat("x,", 3000), strings.Repeat(",", 10_000), "x-one" + strings.Repeat(", ", 128) + ",x-two", "\tx-one\t", "*", "x-one,x-meta-a,X-META-B,x-meta-", "x-meta-*,x-bad"} {
		f.Add(line, "x-two", false, false)
		f.Add("x-one", line, true, false)
		f.Add(line, line, true, true)
	}
	f.Fuzz(func(t *testing.T, first, second string, any, credentials bool) {
		o := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X-One", "x-two", "X-" + strings.Repeat("L", 200), "X-Meta-*"}, AllowCredentials: credentials}
		if any {
			o.AllowHeaders = slices.Insert(o.AllowHeaders, 1, "*")
		}
		for _, lines := range [][]string{nil, {first}, {first, second}} {
			name, allowed := oracleHeaders(o, lines)
			r := preflight(app, "GET", lines...)
			d := only(t, o).Decide(&r)
			want := verdict{"allowed", "", "", "", app}
			if !allowed {
				want = verdict{"denied", "header-not-allowed", name, "", app}
			}
			if got := verdictOf(d); got != want {
				t.Fatalf("%.200q: %.100q, the oracle says %.100q", lines, got, want)
			}
			checkHeadersSent(t, NewAnswers(only(t, o), AnswerOptions{}).To(&r, &d).allowHeaders, o, lines)
		}
	})
}

// FuzzRequestMethod does the same for Access-Control-Request-Method.
func FuzzRequestMethod(f *testing.F) {
	f.Fuzz(func(t *testing.T, method, second string, put, any, credentials bool) {
		o := Options{AllowOrigins: []string{app}, AllowCredentials: credentials}
		if put {
			o.AllowMethods = append(o.AllowMethods, "PUT", "M-SEARCH")
		}
		if any {
			o.AllowMethods = append(o.AllowMethods, "*", "DELETE")
		}
		for _, lines := range [][]string{{method}, {method, second}} {
			r := preflightOf(map[string][]string{"Origin": {app}, "Access-Control-Request-Method": lines})
			d := only(t, o).Decide(&r)
			allowed := oracleMethod(o, lines)
			want := verdict{"allowed", "", "", "", app}
			if !allowed {
				want = verdict{"denied", "method-not-allowed", method, "", app}
			}
			if got := verdictOf(d); got != want {
				t.Fatalf("%.200q: %.100q, the oracle says %.100q", lines, got, want)
			}
			checkMethodsSent(t, NewAnswers(only(t, o), AnswerOptions{}).To(&r, &d).allowMethods, o, method, allowed)
		}
	})
}

// FuzzDecide holds the decision against one that compares texts and nothing else. There are up to three policies: each of
// the first arguments has a bit for each of the ways to allow an origin; of flags, the lowest bits are for their
// credentials, and those above for their private networks. Of shape, the lowest two bits are the number of Origin fields.
func FuzzDecide(f *testing.F) {
	f.Fuzz(func(t *testing.T, first, second, third uint16, flags, shape uint8, text, secondText, tenant, host, fetchSite, method, headers string) {
		var plans []plan
		var compiled []*Policy
		for i, chosen := range []uint16{first, second, third} {
			p := newPlan(fmt.Sprint("policy-", i+1), chosen, flags&(1<<i) != 0, flags&(8<<i) != 0, flags&64 != 0)
			if len(p.ways) > 0 {
				plans = append(plans, p)
				compiled = append(compiled, compile(t, p.options))
			}
		}
		if len(plans) == 0 || !httpguts.ValidHostHeader(host) {
			return
		}
		header := map[string][]string{"Origin": []string{text, secondText, text}[:shape%4]}
		if shape&4 != 0 {
			header["Sec-Fetch-Site"] = []string{fetchSite}
		}
		requestMethod := "GET"
		if shape&8 != 0 {
			requestMethod = "OPTIONS"
			header["Access-Control-Request-Method"], header["Access-Control-Request-Headers"] = []string{method}, []string{headers}
		}
		if shape&16 != 0 {
			header["Access-Control-Request-Private-Network"] = []string{"true"}
		}
		r := NewRequest(requestMethod, host, header)
		r.Context, r.Placeholders = t.Context(), replacer{"https://{tenant}.tenant.test": tenant}
		want := oracleDecide(plans, r, tenant)
		d := NewPolicies(compiled...).Decide(&r)
		if got := verdictOf(d); got != want {
			t.Fatalf("%.200q: %.100q, the oracle says %.100q", text, got, want)
		}
		if d.AllowOrigin == "*" && d.Policy.Credentials() {
			t.Fatalf("%.200q: a wildcard with credentials", text)
		}
	})
}
