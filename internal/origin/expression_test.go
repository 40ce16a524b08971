package origin

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Expressions of real configurations that match what is written in them and no more: previews, subdomains, ports,
// alternations. Names are changed.
var goodExpressions = []string{
	// one site
	`https://example\.com`,
	`^https://example\.com$`,
	`\Ahttps://example\.com\z`,
	`^https:\/\/example\.com$`,
	`https?://example\.com`,
	`https://example[.]com`,
	`https://www\.example\.com`,
	`https://(www\.)?example\.com`,
	`https://(?:www\.)?example\.com`,
	`^https?://(www\.)?(example\.sh|example\.online)$`,
	`(https?://)?(www\.)?example\.org(:\d+)?`,
	`(?i)https://example\.com`,
	`(?i:https)://EXAMPLE\.com|https://example\.com`,
	`https://examples?\.com`,
	`https://example\.co(m|\.uk)`,
	`https://example\.(com|org|net)`,
	`https://example\.(?:com|co\.uk|de)`,
	`https://(example|sample)\.(com|org)`,
	`https://example-?app\.com`,
	`https://example[123]\.com`,
	`https://app(1|2|3|4|5|6)\.example\.com`,
	`\Qhttps://example.com\E`,
	`https://\Qexample.com\E(:8443)?`,
	`https://xn--bcher-kva\.example`,
	`https://example\.co\.uk`,

	// its subdomains
	`https://.*\.example\.com`,
	`https://.+\.example\.com`,
	`^https://.*[.]example[.]com$`,
	`https://[a-z]+\.example\.com`,
	`^https://[a-z0-9-]+\.example\.com$`,
	`^https://[\w-]+\.example\.ac\.in$`,
	`https://[^.]+\.example\.com`,
	`https?://[^/]*\.example\.com(:[0-9]+)?`,
	`https://([a-z0-9-]+\.)?example\.(me|app)`,
	`https://([a-z0-9-]+\.)*example\.com`,
	`https://(?:.+\.)?example\.com`,
	`https?://(?:.+\.)?(sub1\.example\.com|sub2\.example\.com)$`,
	`https://(app|admin)\.example\.com`,
	`https://(app|admin|www)\.(staging|dev)\.example\.com`,
	`https://app-[0-9]+\.example\.com`,
	`https://pr-\d+\.preview\.example\.com`,
	`https://[a-z0-9-]+-api\.example\.com`,
	`https://tenant-[a-f0-9]{8}\.example\.com`,
	`https://.*\.example\.com|https://example\.com|http://localhost(:\d+)?`,
	`.*\.example\.com`,
	`^.*\.home\.example\.fr$`,
	`\S+\.example\.com`,
	`https?:\/\/.*\.(example\.co|example\.dev|app\.localhost)(:\d+)?`,
	`\Ahttps?:\/\/(?:.*\.)?example\.(test(?::\d+)?|de|eu)\z`,
	`^(https?://)?(\w+\.)?example\.org(:\d+)?$`,
	`^(https?://)?(\w*-*\w*\.+)*example\.com$`,
	`(^|^[^:]+:\/\/|[^\.]+\.)example\.com$`,
	`https://\b[a-z]+\b\.example\.com`,
	`https://(eu|us|ap)-(west|east)-[1-4]\.console\.example\.com`,

	// ports
	`https://example\.com(:\d+)?`,
	`https://example\.com:(3000|8443)`,
	`https://example\.com:8[0-9]{3}`,
	`https://example\.com:.*`,
	`http://localhost:\d+`,
	`^https?://localhost(:[0-9]+)?$`,
	`https?://(localhost|127\.0\.0\.1)(:\d+)?`,
	`^http://(localhost|127\.0\.0\.1|\[::1\]):[0-9]{1,5}$`,
	`^https?://((.*\.)*localhost|127\.0\.0\.1)(:\d+)?$`,
	`https?://[a-z0-9-]+\.localhost:\d{4,5}`,
	`https?://(localhost|127\.0\.0\.1|192\.168\.\d{1,3}\.\d{1,3}|10\.\d{1,3}\.\d{1,3}\.\d{1,3}|172\.(1[6-9]|2\d|3[0-1])\.\d{1,3}\.\d{1,3}):5173`,
	`^http://10\.\d+\.\d+\.\d+$`,
	`https://203\.0\.113\.\d+`,

	// previews
	`https://[a-z0-9-]+--mysite\.netlify\.app`,
	`https://deploy-preview-\d+--mysite\.netlify\.app`,
	`^https://(deploy-preview-[0-9]+--|branch--)?mysite\.netlify\.app$`,
	`https://[a-z0-9-]+\.my-project\.pages\.dev`,
	`https://([a-f0-9]{8}\.)?my-project\.pages\.dev`,
	`https://[a-z0-9-]+\.my-account\.workers\.dev`,
	`https://pr-\d+\.d1a2b3c4d5\.amplifyapp\.com`,
	`https://my-app\.vercel\.app`,
	`https://my-app-(git-main|staging)-my-team\.vercel\.app`,
	`https://(me|my-org)\.github\.io`,
	`https://my-bucket\.s3\.[a-z0-9-]+\.amazonaws\.com`,
	`https://[a-z0-9]+\.execute-api\.example\.com`,

	// apps
	`(capacitor|ionic)://localhost`,
	`chrome-extension://(abcdefghijklmnopabcdefghijklmnop|ponmlkjihgfedcbaponmlkjihgfedcba)`,
	`app://\.`,
	`https?://tauri\.localhost|tauri://localhost`,
}

func TestExpressionsWithoutExcess(t *testing.T) {
	if len(goodExpressions) < 60 {
		t.Fatalf("%d expressions are few", len(goodExpressions))
	}
	for _, text := range goodExpressions {
		x, err := ParseExpression(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, e := range x.Excesses(true) {
			t.Errorf("%s: a false alarm, %s", text, e.Origin)
		}
	}
}

// Expressions that match more than was written, most of them from real configurations, too.
var wideExpressions = []struct {
	text       string
	kind       ExcessKind
	suffix     string // that is written
	suggestion string
	meant      string // an origin that the suggestion has to match
}{
	// any host
	{`.*`, AnotherSite, "", "", ""},
	{`.+`, AnotherSite, "", "", ""},
	{`https://.*`, AnotherSite, "", "", ""},
	{`https?://.+`, AnotherSite, "", "", ""},
	{`^https?:\/\/.*$`, AnotherSite, "", "", ""},
	{`https://[^/]+`, AnotherSite, "", "", ""},
	{`https://[a-z0-9.]+`, AnotherSite, "", "", ""},
	{`https://[\w.-]+(:\d+)?`, AnotherSite, "", "", ""},
	{`[a-z]+://.*`, AnotherSite, "", "", ""},
	{`https://\w+\.\w+`, AnotherSite, "", "", ""},
	{`https?://.*:(4200|4300)`, AnotherSite, "", "", ""},
	{`https://.*example.*`, AnotherSite, "", "", ""},
	{`https://\d+\.\d+\.\d+\.\d+`, AnotherSite, "", "", ""},
	{`https?://[0-9.]+(:\d+)?`, AnotherSite, "", "", ""},
	{`^http://172\.\d+\.\d+\.\d+:3000$`, AnotherSite, "", "", ""},
	{`https://\[[0-9a-f:]+\]`, AnotherSite, "", "", ""},

	// any name below a registry's suffix
	{`.+\.com`, AnotherSite, "com", "", ""},
	{`https://.*\.com`, AnotherSite, "com", "", ""},
	{`https://[a-z]+\.co\.uk`, AnotherSite, "co.uk", "", ""},
	{`https://[a-z0-9-]+\.(com|com)`, AnotherSite, "com", "", ""},
	{`https://example-.*\.com`, AnotherSite, "com", "", ""},
	{`https://example\d\.com`, AnotherSite, "com", "", ""},
	{`https://[ab]{30}\.com`, AnotherSite, "com", "", ""},
	{`https://[a-d]{10}\.com`, AnotherSite, "com", "", ""},

	// any suffix
	{`https://example\.[a-z]+`, AnotherSite, "", "", ""},
	{`https://example\.[a-z]{2,3}`, AnotherSite, "", "", ""},
	{`https://www\.example\.(com|co\.[a-z]{2})`, AnotherSite, "", "", ""},
	{`https://example\.(com|.+)`, AnotherSite, "", "", ""},

	// no dot before the suffix
	{`https://.*example\.com`, AnotherSite, "com", `https://(?:.+\.)?example\.com`, "https://example.com"},
	{`.*example\.com`, AnotherSite, "com", `https://(?:.+\.)?example\.com`, "https://a.b.example.com"},
	{`^https://.*example\.com$`, AnotherSite, "com", `^https://(?:.+\.)?example\.com$`, "https://www.example.com"},
	{`https://(.*)example\.com`, AnotherSite, "com", `https://(?:.+\.)?example\.com`, "https://example.com"},
	{`\Ahttps?:\/\/(.*?)\.?example\.test\z`, AnotherSite, "test", `\Ahttps?:\/\/(?:.+\.)?example\.test\z`, "http://a.example.test"},
	{`https://[a-z-]*example\.com`, AnotherSite, "com", `https://(?:.+\.)?example\.com`, "https://www.example.com"},
	{`https://.*-?example\.com`, AnotherSite, "com", `https://(?:.+\.)?example\.com`, "https://www.example.com"},
	{`https://.*example\.com(:\d+)?`, AnotherSite, "com", `https://(?:.+\.)?example\.com(:\d+)?`, "https://example.com:8443"},
	{`https://.*(example|sample)\.com`, AnotherSite, "com", `https://(?:.+\.)?(example|sample)\.com`, "https://a.sample.com"},
	{`https://app-.*example\.com`, AnotherSite, "com", `https://app-.*\.example\.com`, "https://app-1.example.com"},
	{`https://.*localhost`, AnotherSite, "", `https://(?:.+\.)?localhost`, "https://localhost"},

	// a dot that is any character
	{`https://example.com`, AnotherSite, "", `https://example\.com`, "https://example.com"},
	{`^https://www.example.com$`, AnotherSite, "com", `^https://www\.example\.com$`, "https://www.example.com"},
	{`https://example.co.uk`, AnotherSite, "uk", `https://example\.co\.uk`, "https://example.co.uk"},
	{`https://app.example\.com`, AnotherSite, "com", `https://app\.example\.com`, "https://app.example.com"},
	{`https://.*.example.com`, AnotherSite, "com", `https://.*\.example\.com`, "https://www.example.com"},
	{`https://.*\.example.com`, AnotherSite, "", `https://.*\.example\.com`, "https://www.example.com"},
	{`https://[a-z0-9-]+.example.com`, AnotherSite, "com", `https://[a-z0-9-]+\.example\.com`, "https://www.example.com"},
	{`https?://(a|b).example\.com`, AnotherSite, "com", `https?://(a|b)\.example\.com`, "http://b.example.com"},
	{`https?://([a-z0-9._-]*\.)?203.0.113.11(:[0-9]+)?`, AnotherSite, "", `https?://([a-z0-9._-]*\.)?203\.0\.113\.11(:[0-9]+)?`, "https://203.0.113.11"},

	// no end
	{`https://example\.com.*`, AnotherSite, "", `https://example\.com`, "https://example.com"},
	{`https://example.com.*`, AnotherSite, "", `https://example\.com`, "https://example.com"},
	{`https://(app|admin)\.example\.com.*`, AnotherSite, "", `https://(app|admin)\.example\.com`, "https://admin.example.com"},
	{`https://example\.com\.?[a-z]*`, AnotherSite, "", `https://example\.com`, "https://example.com"},
	{`https://example\.com(.*)`, AnotherSite, "", `https://example\.com`, "https://example.com"},
	{`https://example\.com[^/]*`, AnotherSite, "", `https://example\.com`, "https://example.com"},
	{`.*\.example\.com.*`, AnotherSite, "", `.*\.example\.com`, "https://www.example.com"},
	{`http://localhost.*`, AnotherSite, "", `http://localhost`, "http://localhost"},

	// anybody's name below a private suffix
	{`.+\.github\.io`, AnotherTenant, "github.io", "", ""},
	{`https://my-app-.*\.vercel\.app`, AnotherTenant, "vercel.app", "", ""},
	{`^https:\/\/.*\.vercel\.app$`, AnotherTenant, "vercel.app", "", ""},
	{`https://frontend-dql2-.*\.vercel\.app`, AnotherTenant, "vercel.app", "", ""},
	// A team's name at the end is not a team's alone: a project of anybody can be called evil-my-team.
	{`https://[a-z0-9-]+-my-team\.vercel\.app`, AnotherTenant, "vercel.app", "", ""},
	{`https://shop-.*-acme\.vercel\.app`, AnotherTenant, "vercel.app", "", ""},
	{`https://my-app-[a-z0-9]{9}-my-team\.vercel\.app`, AnotherTenant, "vercel.app", "", ""},
	{`https://[a-z0-9-]+\.netlify\.app`, AnotherTenant, "netlify.app", "", ""},
	{`https://[a-z0-9-]+--[a-z0-9-]+\.netlify\.app`, AnotherTenant, "netlify.app", "", ""},
	{`https://.*my-site\.netlify\.app`, AnotherTenant, "netlify.app", `https://(?:.+\.)?my-site\.netlify\.app`, "https://my-site.netlify.app"},
	{`https://.*--my-site.netlify.app`, AnotherSite, "app", `https://.*--my-site\.netlify\.app`, "https://main--my-site.netlify.app"},
	{`^https://\w+\.herokuapp\.com$`, AnotherTenant, "herokuapp.com", "", ""},
	{`https://my-app-pr-\d+\.herokuapp\.com`, AnotherTenant, "herokuapp.com", "", ""},
	{`https:\/\/video\-[a-z\-\d]+\.herokuapp\.com\/?`, AnotherTenant, "herokuapp.com", "", ""},
	{`https://[a-z0-9-]+\.up\.railway\.app`, AnotherTenant, "up.railway.app", "", ""},
	{`https://.*\.s3\.amazonaws\.com`, AnotherTenant, "s3.amazonaws.com", "", ""},
	{`https://.*\.amazonaws\.com`, AnotherTenant, "s3.amazonaws.com", "", ""},
	{`https://[a-z0-9-]+\.[a-z]+\.core\.windows\.net`, AnotherTenant, "web.core.windows.net", "", ""},

	// any app
	{`chrome-extension://.*`, AnotherSite, "", "", ""},
	{`chrome-extension://[a-p]{32}`, AnotherSite, "", "", ""},
	{`moz-extension://[0-9a-f-]{36}`, AnotherSite, "", "", ""},
	{`(capacitor|ionic)://.+`, AnotherSite, "", "", ""},

	// any port that begins so
	{`https://example\.com:80.*`, AnotherPort, "", `https://example\.com:80`, "https://example.com:80"},
	{`https://example\.com:300.`, AnotherPort, "", "", ""},
	{`https://.*\.example\.com:8.+`, AnotherPort, "", "", ""},
}

func TestExpressionsWithExcess(t *testing.T) {
	if len(wideExpressions) < 60 {
		t.Fatalf("%d expressions are few", len(wideExpressions))
	}
	for _, test := range wideExpressions {
		x, err := ParseExpression(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		found := x.Excesses(true)
		i := slices.IndexFunc(found, func(e Excess) bool { return e.Kind == test.kind })
		if i < 0 {
			t.Errorf("%s: no excess of kind %d in %v", test.text, test.kind, found)
			continue
		}
		checkExcesses(t, test.text, found)
		if e := found[i]; e.Suffix != test.suffix || e.Suggestion != test.suggestion {
			t.Errorf("%s: below %q, want %q; suggests %q, want %q", test.text, e.Suffix, test.suffix, e.Suggestion, test.suggestion)
		}
		if test.meant != "" && !regexp.MustCompile(`\A(?:`+test.suggestion+`)\z`).MatchString(test.meant) {
			t.Errorf("%s: %q does not match %s", test.text, test.suggestion, test.meant)
		}
	}
}

// checkExcesses checks what holds of every excess, whatever the expression is.
func checkExcesses(t *testing.T, text string, found []Excess) {
	t.Helper()
	matches := func(expression, origin string) bool {
		return regexp.MustCompile(`\A(?:` + expression + `)\z`).MatchString(origin)
	}
	for _, e := range found {
		if _, ok := oracleParse(e.Origin.String()); !ok || !matches(text, e.Origin.String()) {
			t.Errorf("%q: the witness %q is not an origin that it matches", text, e.Origin)
		}
		if e.Suffix != "" && !strings.HasSuffix(e.Origin.host, "."+e.Suffix) && !strings.HasSuffix(e.Origin.host, "."+e.Suffix+".") {
			t.Errorf("%q: the witness %q is not below %q", text, e.Origin, e.Suffix)
		}
		if e.Suggestion == "" {
			continue
		}
		x, err := ParseExpression(e.Suggestion)
		if err != nil {
			t.Errorf("%q: its suggestion is refused: %v", text, err)
		} else if again := x.Excesses(true); len(again) > 0 {
			t.Errorf("%q: its suggestion %q matches %s", text, e.Suggestion, again[0].Origin)
		}
	}
}

// Origins of http count only where they are asked for: with credentials, a policy does not allow them by an expression.
func TestExcessesWithoutHTTP(t *testing.T) {
	for text, want := range map[string]int{
		`http://.*`:                         0,
		`http://.*example\.com`:             0,
		`http://localhost.*|https://a\.com`: 0,
		`https?://.*example\.com`:           1,
		`.*example\.com`:                    1,
	} {
		x, err := ParseExpression(text)
		if err != nil {
			t.Fatal(err)
		}
		if found := x.Excesses(false); len(found) != want {
			t.Errorf("%s: %v", text, found)
		}
		if len(x.Excesses(true)) == 0 {
			t.Errorf("%s: no excess, http or not", text)
		}
	}
}

func TestParseExpressionRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`HTTPS://APP\.EXAMPLE\.COM`:       `(origins are in lower case); did you mean "https://app\\.example\\.com"?`,
		`https://[A-Z]+\.Example\.com`:    `did you mean "https://[a-z]+\\.example\\.com"?`,
		`https://example\.com/`:           `(origins have no path); did you mean "https://example\\.com"?`,
		`https://example\.com/.*`:         `did you mean "https://example\\.com"?`,
		`^https:\/\/example\.com\/api$`:   `did you mean "^https:\\/\\/example\\.com"?`,
		`/^https:\/\/example\.com$/`:      `did you mean "^https:\\/\\/example\\.com$"?`,
		`/^https:\/\/Example\.com$/i`:     `did you mean "^https:\\/\\/example\\.com$"?`,
		`https://example\.com:443`:        `(origins have no default port); did you mean "https://example\\.com"?`,
		`example\.com`:                    `(origins have a scheme); did you mean "https://example\\.com"?`,
		`^example\.com$`:                  `did you mean "^https://example\\.com$"?`,
		`my-app-.*\.vercel\.app`:          `did you mean "https://my-app-.*\\.vercel\\.app"?`,
		`null`:                            `write null in allow_origins`,
		``:                                `"" matches no origin; it is matched against`,
		`x`:                               `"x" matches no origin`,
		`file://.*`:                       `matches no origin`,
		`https://example\.com:0`:          `matches no origin`,
		`https://example\.com:[7-9]\d{4}`: `matches no origin`,
		`https://a\.\.example\.com`:       `matches no origin`,
		`https://b$a`:                     `matches no origin`,
		`https://exam\bple\.com`:          `matches no origin`,
		`https://bücher\.example`:         `in lower case and punycode`,
		`https://(`:                       `is not an RE2 regular expression`,
		`https://(?!evil)\.com`:           `is not an RE2 regular expression`,
		`https://a)|(?:b`:                 `is not an RE2 regular expression`,
		`*.example.com`:                   `for the pattern of origins "https://*.example.com", write it in allow_origins`,
		`\Qhttps://example.com`:           `\Q has no \E, so it takes what is put after the expression for a part of it; did you mean "\\Qhttps://example.com\\E"?`,
		`https://\Qa.com\E|\Qhttps://b`:   `did you mean "https://\\Qa.com\\E|\\Qhttps://b\\E"?`,
		strings.Repeat("(", 1000) + "a" + strings.Repeat(")", 1000): `is not an RE2 regular expression`,
	} {
		_, err := ParseExpression(text)
		if err == nil {
			t.Errorf("%.80s is accepted", text)
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v\nwant it to say: %s", text, err, want)
		}
		if _, meant, ok := strings.Cut(err.Error(), "did you mean "); ok {
			meant, err := strconv.Unquote(strings.TrimSuffix(meant, "?"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseExpression(meant); err != nil {
				t.Errorf("%.80s: its suggestion is refused: %v", text, err)
			}
		}
	}
}

// An expression matches the whole of an origin, each of its branches too.
func TestExpressionMatch(t *testing.T) {
	for text, test := range map[string]struct{ matches, not string }{
		`https://a\.test|https://b\.test`: {"https://a.test https://b.test", "https://a.test.evil.com https://evilhttps.test"},
		`https://.*\.example\.com`:        {"https://a.example.com", "https://example.com http://a.example.com"},
		`^https://a\.test`:                {"https://a.test", "https://a.test:8443"},
		`(?m)^https://a\.test$`:           {"https://a.test", "https://b.test"},
	} {
		x, err := ParseExpression(text)
		if err != nil || x.String() != text {
			t.Fatalf("%s: %v, %v", text, x, err)
		}
		for _, origin := range strings.Fields(test.matches) {
			if o, ok := Parse(origin); !ok || !x.Match(o) {
				t.Errorf("%s does not match %s", text, origin)
			}
		}
		for _, origin := range strings.Fields(test.not) {
			if o, ok := Parse(origin); ok && x.Match(o) {
				t.Errorf("%s matches %s", text, origin)
			}
		}
	}
}

// The analysis is bounded, and large expressions that are written out are no excess.
func TestLargeExpressions(t *testing.T) {
	var written []string
	for i := range 3000 {
		written = append(written, fmt.Sprintf(`https://(www\.)?customer-%d\.com`, i))
	}
	for name, test := range map[string]struct {
		text string
		wide bool
	}{
		"many sites":              {strings.Join(written, "|"), false},
		"many sites and a gap":    {strings.Join(append(written, `https://.*example\.com`), "|"), true},
		"many classes":            {`https://` + strings.Repeat(`[a-z0-9.]{0,9}`, 200) + `\.com`, true},
		"nested repetitions":      {`https://(((([a-z]*)*)*x)*y)*\.com`, true},
		"word boundaries":         {`https://` + strings.Repeat(`\b[a-z]*`, 300) + `\.com`, true},
		"more names than one has": {`https://(a|b|cd|ef|gh|ij){2,60}\.com`, true},
	} {
		x, err := ParseExpression(test.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := x.newAnalysis()
		spent := a.budget
		a.run(true)
		if got := len(a.found) > 0; got != test.wide {
			t.Errorf("%s: %v", name, a.found)
		}
		if a.budget < 0 || spent > 1<<17+8*len(x.program.inst) {
			t.Errorf("%s: %d visits are left of %d", name, a.budget, spent)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, text := range goodExpressions {
		f.Add(text)
	}
	for _, test := range wideExpressions {
		f.Add(test.text)
	}
	for _, text := range []string{`\Qhttps://a`, `(?m)^https://a$`, `(?i)K://`, `[[:^alpha:]]`, `\pL\PN`, `a{2}{3}`, `\x{10FFFF}`, `\C`, "\xff", `(?:)|`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 200 {
			return
		}
		x, err := ParseExpression(text)
		re, compiled := regexp.Compile(`\A(?:` + text + `)\z`)
		if err != nil {
			if !strings.HasPrefix(err.Error(), strconv.Quote(text)) {
				t.Fatalf("%q: the error does not say what it is about: %v", text, err)
			}
			for _, origin := range []string{"https://example.com", "https://a.b.example.co.uk:8443", "http://localhost:3000", "http://127.0.0.1", "http://[::1]:1", "app://.", "capacitor://localhost"} {
				if _, alone := regexp.Compile(text); alone == nil && compiled == nil && re.MatchString(origin) && !strings.Contains(err.Error(), `\Q`) {
					t.Fatalf("%q matches %q, but: %v", text, origin, err)
				}
			}
			return
		}
		checkExcesses(t, text, x.Excesses(true))
	})
}
