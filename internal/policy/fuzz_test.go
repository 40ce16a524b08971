package policy

import (
	"regexp"
	"strings"
	"testing"
)

// FuzzRequestHeaders holds the reading of Access-Control-Request-Headers against one that is slow and plain.
func FuzzRequestHeaders(f *testing.F) {
	for _, line := range []string{"", "x-one", "X-ONE , x-two", ",,, x-one ,", "authorization", "x-one x-two", "x-\xff", strings.Repeat("x,", 3000), strings.Repeat(",", 10_000), "\tx-one\t", "*"} {
		f.Add(line, "x-two", false, false)
		f.Add("x-one", line, true, false)
		f.Add(line, line, true, true)
	}
	token := regexp.MustCompile("\\A[!#$%&'*+.^_`|~0-9A-Za-z-]+\\z")
	f.Fuzz(func(t *testing.T, first, second string, any, credentials bool) {
		o := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X-One", "x-two", "X-" + strings.Repeat("L", 200)}, AllowCredentials: credentials}
		if any {
			o.AllowHeaders = append(o.AllowHeaders, "*")
		}
		var names []string
		total := 0
		for _, name := range strings.Split(first+","+second, ",") {
			if name = strings.Trim(name, " \t"); name != "" {
				names = append(names, name)
				total += len(name)
			}
		}
		want := total <= 4096
		for _, name := range names {
			listed := false
			for _, allowed := range o.AllowHeaders {
				listed = listed || allowed != "*" && strings.EqualFold(allowed, name) && len(allowed) == len(name)
			}
			if !listed && (!any || !token.MatchString(name) || strings.EqualFold(name, "Authorization")) {
				want = false
			}
		}
		r := preflight(app, "GET", first, second)
		d := only(t, o).Decide(&r)
		if (d.Outcome == Allowed) != want {
			t.Fatalf("%q, %q: %s, the oracle says %v", first, second, d.Outcome, want)
		}
		// Whatever is asked, what is sent is a list of what the policy allows.
		for name := range strings.SplitSeq(d.AllowHeaders, ",") {
			name = strings.Trim(name, " ")
			if name != "" && !token.MatchString(name) {
				t.Fatalf("%q, %q: sends %q", first, second, d.AllowHeaders)
			}
			if name == "*" && (credentials || d.Outcome != Allowed) && any {
				if credentials && strings.Contains(first+second, "*") {
					continue // it was asked for by its name
				}
				t.Fatalf("%q, %q: sends a wildcard: %q", first, second, d.AllowHeaders)
			}
		}
		if len(d.AllowHeaders) > 2*4096+1024 {
			t.Fatalf("sends %d bytes", len(d.AllowHeaders))
		}
	})
}

// FuzzDecide holds the decision about an origin against one that compares texts and nothing else.
func FuzzDecide(f *testing.F) {
	for _, text := range []string{app, "null", "*", "https://sub.example.org", "https://sub.example.org:8443", "https://example.org", "http://localhost:3000", "https://pr-1.example.com", "https://pr-1.example.com.evil.com", "https://a.tenant.test", "x y", "https://\xff"} {
		for kind := range uint8(8) {
			f.Add(text, kind, kind%2 == 0, "PUT", "x-one")
		}
	}
	regexps := []string{`https://pr-[0-9]+\.example\.com`}
	f.Fuzz(func(t *testing.T, text string, kind uint8, credentials bool, method, headers string) {
		o := Options{AllowCredentials: credentials, AllowMethods: []string{"PUT"}, AllowHeaders: []string{"X-One"}}
		var allowed func() bool
		switch kind % 8 {
		case 0:
			o.AllowOrigins = []string{app, "https://b.test"}
			allowed = func() bool { return text == app || text == "https://b.test" }
		case 1:
			o.AllowOrigins = []string{"https://*.example.org"}
			allowed = func() bool {
				return regexp.MustCompile(`\Ahttps://([a-z0-9_-]{1,63}\.)+example\.org\z`).MatchString(text) && len(text) <= 253+len("https://")
			}
		case 2:
			o.AllowOrigins = []string{"http://localhost:*"}
			allowed = func() bool {
				m := regexp.MustCompile(`\Ahttp://localhost(?::([1-9][0-9]{0,4}))?\z`).FindStringSubmatch(text)
				return m != nil && m[1] != "80" && (len(m[1]) < 5 || m[1] <= "65535")
			}
		case 3:
			o.AllowOriginsRegexp = regexps
			allowed = func() bool { return regexp.MustCompile(`\Ahttps://pr-[0-9]{1,60}\.example\.com\z`).MatchString(text) }
		case 4:
			o.AllowOrigins = []string{"https://{tenant}.tenant.test"}
			allowed = func() bool { return text == "https://a.tenant.test" }
		case 5:
			o.AllowOrigins = []string{"null", app}
			if credentials {
				o.Insecure = []string{"null_origin_with_credentials"}
			}
			allowed = func() bool { return text == "null" || text == app }
		case 6:
			o.AllowOrigins = []string{"*"}
			if credentials {
				return // is kind 7
			}
			allowed = func() bool { return true }
		case 7:
			o.AllowOrigins, o.AllowCredentials, credentials = []string{"*"}, true, true
			o.Insecure = []string{"any_origin_with_credentials"}
			allowed = func() bool { return text != "null" && strings.Contains(text, "://") }
		}
		policies := only(t, o)
		for _, isPreflight := range []bool{false, true} {
			r := actual(text)
			if isPreflight {
				r = preflight(text, method, headers)
			}
			r.Placeholders = replacer{"https://{tenant}.tenant.test": "https://a.tenant.test"}
			d := policies.Decide(&r)
			sent := d.AllowOrigin != ""
			switch {
			case sent && !allowed():
				t.Fatalf("%q: allowed, the oracle says no", text)
			case !sent && allowed() && kind%8 != 7: // where the oracle of 7 knows no more than a necessary part
				t.Fatalf("%q: denied for %s, the oracle says yes", text, d.Reason)
			case d.AllowOrigin == "*" && credentials:
				t.Fatalf("%q: a wildcard with credentials", text)
			case sent && d.AllowOrigin != "*" && d.AllowOrigin != text:
				t.Fatalf("%q: the answer is for %q", text, d.AllowOrigin)
			case (d.Outcome == Denied) != (d.Reason != ""):
				t.Fatalf("%q: %s, for %q", text, d.Outcome, d.Reason)
			}
		}
	})
}
