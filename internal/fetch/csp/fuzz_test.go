package csp_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
)

// The directives that a request can ask for.
var directives = []string{"connect-src", "img-src", "font-src", "media-src", "manifest-src", "script-src-elem", "style-src-elem"}

// serialize writes a policy as it could have been sent.
func serialize(p csp.Policy) string {
	var tokens []string
	for _, d := range p.Directives {
		tokens = append(tokens, strings.Join(append([]string{d.Name}, d.Value...), " "))
	}
	return strings.Join(tokens, "; ")
}

func isASCII(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0 }

// What holds of all policies, whatever they say: no policy takes back what another forbids, no source what another
// allows, and a policy means what it says in whatever case and however often it was written and read.
func FuzzPolicies(f *testing.F) {
	for _, policy := range []string{
		"connect-src 'self' https: *.example.com; img-src *; upgrade-insecure-requests",
		"DEFAULT-SRC 'none' wss://api.example.com:443/v2/; sandbox allow-scripts",
		"script-src 'nonce-x' 'strict-dynamic' http://a:*; style-src 'sha256-x' *:80;;",
		"connect-src\thttps://api.example.com/%41/;\fconnect-src *, font-src ü",
	} {
		f.Add(policy, "connect-src https://api.example.com/", "https://api.example.com/v2/a?b#c", self, uint8(0), uint8(1))
		f.Add(policy, "style-src-elem 'self'; default-src http:", self+"/", self, uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, first, second, href, origin string, directive, redirects uint8) {
		u, err := url.Parse(href)
		if err != nil || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme()) {
			return
		}
		o, err := url.Parse(origin)
		if err != nil || !slices.Contains([]string{"http", "https"}, o.Scheme()) {
			return
		}
		origin = o.Protocol() + "//" + o.Host()
		r := csp.Request{URL: u, Directive: directives[int(directive)%len(directives)], Redirects: int(redirects % 2)}
		check := func(r csp.Request, policies ...csp.Policy) csp.Verdict {
			return csp.List{Policies: policies, SelfOrigin: origin}.Check(r).Verdict
		}
		p, q := csp.Parse(first), csp.Parse(second)
		verdict := check(r, p)

		again := csp.Parse(serialize(p))
		if serialize(again) != serialize(p) || check(r, again) != verdict {
			t.Errorf("%q is %q, and then %q", first, serialize(p), serialize(again))
		}
		if got, want := check(r, p, q), max(verdict, check(r, q)); got != want {
			t.Errorf("%q and %q are %d together, want %d", first, second, got, want)
		}
		if check(r, p, q) != check(r, q, p) {
			t.Errorf("%q and %q depend on their order", first, second)
		}
		if isASCII(first) && check(r, csp.Parse(strings.ReplaceAll(first, " ", "\n\f "))) != verdict {
			t.Errorf("%q depends on its white space", first)
		}

		// A policy that only reports.
		report := p
		report.ReportOnly = true
		l := csp.List{Policies: []csp.Policy{report}, SelfOrigin: origin}
		if l.Check(r).Verdict != csp.Allowed || l.UpgradesInsecureRequests() || !l.SandboxAllows("allow-scripts") {
			t.Errorf("%q does more than report", first)
		}
		if l.CheckReportOnly(r).Verdict != verdict {
			t.Errorf("%q does not report what it would block", first)
		}

		// The engines' own ways are stricter, but for one.
		for _, stricter := range []func(*csp.Request){
			func(r *csp.Request) { r.OwnSchemes = true }, func(r *csp.Request) { r.UpgradedLate = true }, func(r *csp.Request) { r.NoWildcardPort = true },
		} {
			strict := r
			if stricter(&strict); check(strict, p) < verdict {
				t.Errorf("%q is %d for %+v", first, check(strict, p), strict)
			}
		}
		lenient := r
		lenient.AnySchemePort80 = true
		redirected := r
		redirected.Redirects = 1
		if check(lenient, p) > verdict || check(redirected, p) > verdict {
			t.Errorf("%q blocks more where ports and paths count for less", first)
		}
		checkSources(t, r, origin, p)
	})
}

// checkSources checks a policy of one directive, source by source.
func checkSources(t *testing.T, r csp.Request, origin string, p csp.Policy) {
	t.Helper()
	check := func(sources ...string) csp.Verdict {
		policy := csp.Parse(r.Directive + " " + strings.Join(sources, " "))
		return csp.List{Policies: []csp.Policy{policy}, SelfOrigin: origin}.Check(r).Verdict
	}
	for _, none := range [][]string{{}, {"'none'"}, {"'NONE'"}} {
		if check(none...) != csp.Blocked {
			t.Errorf("%q does not block %s", none, r.URL)
		}
	}
	if check("*") != csp.Allowed {
		t.Errorf("* blocks %s", r.URL)
	}
	if u := r.URL; strings.Trim(u.Hostname(), "abcdefghijklmnopqrstuvwxyz0123456789-.") == "" && !strings.HasPrefix(u.Hostname(), ".") && !strings.Contains(u.Hostname(), "..") {
		for _, source := range []string{u.Protocol(), u.Protocol() + "//" + u.Host(), u.Protocol() + "//" + u.Hostname() + ":*", u.Protocol() + "//*:*"} {
			if source = strings.ToUpper(source); check(source) != csp.Allowed {
				t.Errorf("%s blocks %s", source, u)
			}
			if source = strings.ToLower(source); check(source) != csp.Allowed {
				t.Errorf("%s blocks %s", source, u)
			}
		}
		if path := u.Pathname(); isASCII(path) && !strings.ContainsAny(path, "; ,") && check(u.Protocol()+"//"+u.Host()+path) != csp.Allowed {
			t.Errorf("%s//%s%s blocks %s", u.Protocol(), u.Host(), path, u)
		}
		if check(u.Protocol()+"//x"+u.Host()) == csp.Allowed || check(u.Protocol()+"//*."+u.Host()) == csp.Allowed {
			t.Errorf("a source of another host allows %s", u)
		}
	}
	for _, d := range p.Directives {
		all := check(d.Value...)
		reversed := slices.Clone(d.Value)
		slices.Reverse(reversed)
		if check(reversed...) != all {
			t.Errorf("%q depends on the order", d.Value)
		}
		conditional := slices.ContainsFunc(d.Value, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), "'s") })
		for _, source := range d.Value {
			one := check(source)
			if one == csp.Allowed && all != csp.Allowed && !conditional {
				t.Errorf("%q allows %s, but not with the others of %q", source, r.URL, d.Value)
			}
			if _, path, _ := strings.Cut(strings.Replace(source, "://", "", 1), "/"); path == "" && check(strings.ToUpper(source)) != one {
				t.Errorf("%q depends on its case", source)
			}
		}
	}
}

// A field with several policies has them all, and so have several fields.
func FuzzHeader(f *testing.F) {
	f.Add("connect-src 'self', img-src *", "sandbox")
	f.Add(",;", "font-src ü,")
	f.Fuzz(func(t *testing.T, first, second string) {
		policies := csp.FromHeader(http.Header{"Content-Security-Policy": {first, second}})
		joined := csp.FromHeader(http.Header{"Content-Security-Policy": {first + "," + second}})
		if !reflect.DeepEqual(policies, joined) {
			t.Errorf("%q and %q are %v, and %v in one field", first, second, policies, joined)
		}
		for _, p := range policies {
			if len(p.Directives) == 0 || p.ReportOnly || p.Meta {
				t.Errorf("%q and %q have %+v", first, second, p)
			}
		}
		if reported := csp.FromHeader(http.Header{"Content-Security-Policy-Report-Only": {first, second}}); len(reported) != len(policies) {
			t.Errorf("%q and %q are %d policies, and %d that report", first, second, len(policies), len(reported))
		}
	})
}
