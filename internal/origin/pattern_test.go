package origin

import (
	"errors"
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	tests := []struct {
		pattern      string
		allows       string // separated by spaces
		doesNotAllow string
	}{
		{
			"https://example.com", "https://example.com",
			"http://example.com https://example.com:8443 https://www.example.com https://example.com.evil.com https://example.co https://xexample.com",
		},
		{"http://localhost:3000", "http://localhost:3000", "http://localhost https://localhost:3000 http://localhost:3001 http://localhost:30000"},
		{"http://[::1]:8080", "http://[::1]:8080", "http://[::1] http://[::2]:8080"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.2:8080"},
		{
			"https://*.example.com", "https://a.example.com https://a.b.c.d.e.example.com",
			"https://example.com http://a.example.com https://a.example.com:8443 https://aexample.com https://a.example.com.evil.com https://a.example.org https://com",
		},
		{
			"https://*.example.com:8443", "https://a.example.com:8443 https://a.b.example.com:8443",
			"https://example.com:8443 https://a.example.com https://a.example.com:8444 https://a.example.com:84433",
		},
		{
			"https://example.com:*", "https://example.com https://example.com:1 https://example.com:65535",
			"http://example.com https://a.example.com:1 https://example.com.evil.com:1 https://evil-example.com:1",
		},
		{"http://[::1]:*", "http://[::1] http://[::1]:3000", "http://[::2]:3000"},
		{"http://localhost:*", "http://localhost http://localhost:3000", "http://app.localhost:3000"},
		{
			"https://*.example.com:*", "https://a.example.com https://a.b.example.com:8443",
			"https://example.com https://example.com:8443 http://a.example.com:1 https://a.example.com.evil.com:1",
		},
		{
			"https://*", "https://example.com https://a.b.example.org https://127.0.0.1 https://[::1]",
			"http://example.com https://example.com:8443 chrome-extension://abc",
		},
		{"http://*", "http://example.com", "https://example.com http://example.com:8080"},
		{"https://*:8443", "https://example.com:8443", "https://example.com https://example.com:443"},
		{"https://*:*", "https://example.com https://example.com:8443", "http://example.com"},
		{"chrome-extension://*", "chrome-extension://abc", "moz-extension://abc chrome-extension://abc:1"},
		{"capacitor://localhost", "capacitor://localhost", "ionic://localhost"},
		{"app://.", "app://.", "app://.. app://a. app://-"},
		{"https://example.com.", "https://example.com.", "https://example.com https://a.example.com."},
		{"https://*.example.com.", "https://a.example.com. https://a.b.example.com.", "https://example.com. https://a.example.com"},
		{"https://*.example.com", "https://a.example.com", "https://a.example.com."},
	}
	for _, test := range tests {
		p, err := ParsePattern(test.pattern)
		if err != nil {
			t.Errorf("%s: %v", test.pattern, err)
			continue
		}
		var s Set
		s.Add(p)
		for _, text := range strings.Fields(test.allows) {
			if !has(&s, text) {
				t.Errorf("%s does not allow %s", test.pattern, text)
			}
		}
		for _, text := range strings.Fields(test.doesNotAllow) {
			if has(&s, text) {
				t.Errorf("%s allows %s", test.pattern, text)
			}
		}
	}
}

// has is how a policy asks a set.
func has(s *Set, text string) bool {
	if s.HasExact(text) {
		return true
	}
	o, ok := Parse(text)
	return ok && s.HasFamily(o)
}

// Many patterns in one set: each allows what it allows alone, and nothing comes of their mixture.
func TestSetOfMany(t *testing.T) {
	var s Set
	for _, text := range []string{
		"https://example.com", "https://*.example.com:8443", "http://*.deep.er.example.org", "http://localhost:*", "https://one.test:*",
	} {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(p)
	}
	for text, want := range map[string]bool{
		"https://example.com":            true,
		"https://example.com:8443":       false,
		"https://a.example.com:8443":     true,
		"https://a.example.com":          false,
		"http://a.example.com:8443":      false,
		"http://x.deep.er.example.org":   true,
		"http://deep.er.example.org":     false,
		"https://x.deep.er.example.org":  false,
		"http://localhost:1":             true,
		"https://localhost:1":            false,
		"https://one.test:7":             true,
		"https://a.one.test:7":           false,
		"http://x.y.deep.er.example.org": true,
	} {
		if got := has(&s, text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if has(new(Set), "https://example.com") {
		t.Error("the empty set has an origin")
	}
}

func TestSetLookUpDoesNotAllocate(t *testing.T) {
	var s Set
	for _, text := range []string{"https://example.com", "https://*.example.com", "https://*.a.b.c.d.example.com:*", "http://localhost:*"} {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(p)
	}
	for _, text := range []string{"https://example.com", "https://a.b.example.com", "https://" + strings.Repeat("a.", 120) + "net:8443"} {
		if n := testing.AllocsPerRun(10, func() { has(&s, text) }); n != 0 {
			t.Errorf("%.40q: %v allocations", text, n)
		}
	}
}

// The error for what is not written as browsers send it gives the text to write instead.
func TestParsePatternSuggestions(t *testing.T) {
	for text, want := range map[string]string{
		"https://Example.com:443/":      "https://example.com",
		"HTTPS://example.com":           "https://example.com",
		"https://example.com/":          "https://example.com",
		"https://example.com/app?x#y":   "https://example.com",
		"https://user:pw@example.com":   "https://example.com",
		"https://example.com:443":       "https://example.com",
		"http://example.com:80":         "http://example.com",
		"https://example.com:08443":     "https://example.com:8443",
		"https://example.com:":          "https://example.com",
		"https://Example.com.":          "https://example.com.",
		"NULL":                          "null",
		"Null":                          "null",
		"https://bücher.example":        "https://xn--bcher-kva.example",
		"https://BÜCHER.example":        "https://xn--bcher-kva.example",
		"https://*.Bücher.example:443":  "https://*.xn--bcher-kva.example",
		"https://faß.example":           "https://xn--fa-hia.example",
		"example.com":                   "https://example.com",
		"//example.com":                 "https://example.com",
		"example.com:8443":              "https://example.com:8443",
		"www.Example.com/":              "https://www.example.com",
		"localhost:3000":                "http://localhost:3000",
		"127.0.0.1:3000":                "http://127.0.0.1:3000",
		"[::1]:3000":                    "http://[::1]:3000",
		"*.example.com":                 "https://*.example.com",
		"'https://example.com'":         "https://example.com",
		"https://*example.com":          "https://*.example.com",
		"https://*.*.example.com":       "https://*.example.com",
		"https://*.example.com/":        "https://*.example.com",
		"https://*.Example.com:443":     "https://*.example.com",
		"https://Example.com:*":         "https://example.com:*",
		"http://127.1:3000":             "http://127.0.0.1:3000",
		"http://0x7f.0.0.1":             "http://127.0.0.1",
		"http://2130706433":             "http://127.0.0.1",
		"http://0177.0.0.01":            "http://127.0.0.1",
		"http://[0:0:0:0:0:0:0:1]:3000": "http://[::1]:3000",
		"http://[::ffff:127.0.0.1]":     "http://[::ffff:7f00:1]",
		"http://[2001:DB8::1]":          "http://[2001:db8::1]",
		"file:///home/me/index.html":    "null",
		"file://":                       "null",
		"FILE:///x":                     "null",
	} {
		_, err := ParsePattern(text)
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		if !strings.Contains(err.Error(), `did you mean "`+want+`"?`) {
			t.Errorf("%q: no suggestion of %q in: %v", text, want, err)
		}
		if want == Null {
			continue
		}
		if _, err := ParsePattern(want); err != nil {
			t.Errorf("%q: its suggestion is refused: %v", text, err)
		}
	}
}

// The error for a "*" that is a part of a label gives the expression to write. It matches what was meant.
func TestParsePatternExpressions(t *testing.T) {
	for text, test := range map[string]struct{ want, matches string }{
		"https://*-preview.vercel.app":       {`https://[a-z0-9-]+-preview\.vercel\.app`, "https://pr-1-preview.vercel.app"},
		"https://*preview.vercel.app":        {`https://[a-z0-9-]+preview\.vercel\.app`, "https://pr-1-preview.vercel.app"},
		"https://deploy-*--site.netlify.app": {`https://deploy-[a-z0-9-]+--site\.netlify\.app`, "https://deploy-1--site.netlify.app"},
		"https://app-*.example.com":          {`https://app-[a-z0-9-]+\.example\.com`, "https://app-1.example.com"},
		"https://app.*.example.com:8443":     {`https://app\.[a-z0-9-]+\.example\.com:8443`, "https://app.eu.example.com:8443"},
		"http://*-dev.localhost:*":           {`http://[a-z0-9-]+-dev\.localhost(?::[0-9]+)?`, "http://me-dev.localhost:3000"},
		"https://*.pr-*.preview.example.com": {`https://[a-z0-9-]+\.pr-[a-z0-9-]+\.preview\.example\.com`, "https://api.pr-7.preview.example.com"},
		"https://*-*.example.com":            {`https://[a-z0-9-]+-[a-z0-9-]+\.example\.com`, "https://a-b.example.com"},
	} {
		_, err := ParsePattern(text)
		refused, ok := errors.AsType[*PatternError](err)
		if !ok || refused.Expression != test.want || !strings.HasSuffix(err.Error(), ": "+test.want) {
			t.Errorf("%s: no %s in: %v", text, test.want, err)
			continue
		}
		x, err := ParseExpression(test.want)
		if o, ok := Parse(test.matches); err != nil || !ok || !x.Match(o) {
			t.Errorf("%s: %s does not match %s", text, test.want, test.matches)
		}
	}
}

// What cannot be guessed is refused with examples of what can be written.
func TestParsePatternRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"":                          `such as "https://example.com"`,
		"null":                      `such as "https://example.com"`,
		"foo":                       `such as "https://example.com"`,
		"https://":                  `such as "https://example.com"`,
		"https://a..b":              `such as "https://example.com"`,
		"https://exa mple.com":      `such as "https://example.com"`,
		"https://example.com:99999": `such as "https://example.com"`,
		"https://*.127.0.0.1":       `such as "https://example.com"`,
		"https://*.[::1]":           `such as "https://example.com"`,
		"https://*.1":               `such as "https://example.com"`,
		"https://example.com:80*":   "allow_origins_regexp",

		"https://a.example;https://b.example":   `more than one origin: write them as values of their own, "https://a.example" "https://b.example"`,
		"https://a.example | https://B.example": `"https://a.example" "https://b.example"`,
		"https://a.example,b.example":           `"https://a.example" "https://b.example"`,
		"ALL":                                   `did you mean "*", which allows everyone?`,
		"any":                                   `did you mean "*", which allows everyone?`,
		"https://ex*mple.com":                   "allow_origins_regexp",
		"https://api.*.com":                     "allow_origins_regexp",
		"https://example.*":                     "allow_origins_regexp",
		"*://example.com":                       `such as "https://example.com"`,
		"file://x*y":                            "no file: origin",
		"https://\xff\xfe":                      `such as "https://example.com"`,
		"https://" + strings.Repeat("a.", 127) + "com": `such as "https://example.com"`,
	} {
		_, err := ParsePattern(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want a refusal with %q", text, err, want)
		}
	}
}

func TestPublicSuffix(t *testing.T) {
	for text, want := range map[string]string{
		"https://*.com":                       "com",
		"https://*.com.":                      "com",
		"https://*.amazonaws.com":             "s3.amazonaws.com",
		"https://*.us-east-1.amazonaws.com":   "us-east-1.amazonaws.com",
		"https://*.windows.net":               "web.core.windows.net",
		"https://*.s3.amazonaws.com":          "s3.amazonaws.com",
		"https://*.bucket.s3.amazonaws.com":   "",
		"https://*.localhost.":                "",
		"https://*.co.uk":                     "co.uk",
		"https://*.github.io":                 "github.io",
		"https://*.github.io:*":               "github.io",
		"https://*.ck":                        "ck",
		"https://*.compute.amazonaws.com":     "*.compute.amazonaws.com",
		"https://*.example.com":               "",
		"https://*.me.github.io":              "",
		"https://*.localhost":                 "",
		"http://*.localhost:*":                "",
		"https://github.io":                   "",
		"https://*":                           "",
		"chrome-extension://*.com":            "",
		"https://*.xn--p1ai":                  "xn--p1ai",
		"https://*.eu-west-1.elb.example.org": "",
	} {
		p, err := ParsePattern(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := p.PublicSuffix(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
