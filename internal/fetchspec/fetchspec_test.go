package fetchspec_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

func TestMethods(t *testing.T) {
	for _, test := range []struct {
		method     string
		normalized string
		safelisted bool
		forbidden  bool
	}{
		{method: "GET", normalized: "GET", safelisted: true},
		{method: "HEAD", normalized: "HEAD", safelisted: true},
		{method: "POST", normalized: "POST", safelisted: true},
		{method: "get", normalized: "GET"}, // what is safelisted is what is sent, which is normalized
		{method: "Options", normalized: "OPTIONS"},
		{method: "delete", normalized: "DELETE"},
		{method: "pUt", normalized: "PUT"},
		{method: "patch", normalized: "patch"},
		{method: "PATCH", normalized: "PATCH"},
		{method: "query", normalized: "query"},
		{method: "CHICKEN", normalized: "CHICKEN"},
		{method: "CONNECT", normalized: "CONNECT", forbidden: true},
		{method: "Trace", normalized: "Trace", forbidden: true},
		{method: "track", normalized: "track", forbidden: true},
		{method: "TRACKS", normalized: "TRACKS"},
	} {
		if got := fetchspec.NormalizeMethod(test.method); got != test.normalized {
			t.Errorf("%s is normalized to %s, want %s", test.method, got, test.normalized)
		}
		if got := fetchspec.IsSafelistedMethod(test.method); got != test.safelisted {
			t.Errorf("%s: safelisted is %t, want %t", test.method, got, test.safelisted)
		}
		if got := fetchspec.IsForbiddenMethod(test.method); got != test.forbidden {
			t.Errorf("%s: forbidden is %t, want %t", test.method, got, test.forbidden)
		}
	}
}

func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{
		"GET": true, "X-Request-Id": true, "*": true, "!#$%&'*+-.^_`|~09aZ": true,
		"": false, "A B": false, "X:": false, "a\x0b": false, "ü": false, "a/b": false, "(a)": false,
	} {
		if got := fetchspec.IsToken(s); got != want {
			t.Errorf("%q is %t, want %t", s, got, want)
		}
	}
}

// Only tab, line feed, carriage return and space do not belong to a value.
func TestNormalizeValue(t *testing.T) {
	for value, want := range map[string]string{
		" a b ":              "a b",
		"\t\r\n a\t":         "a",
		"text/plain\x0b":     "text/plain\x0b",
		"\x0cform feed":      "\x0cform feed",
		"\u00a0no break\x00": "\u00a0no break\x00",
	} {
		if got := fetchspec.NormalizeValue(value); got != want {
			t.Errorf("%q is normalized to %q, want %q", value, got, want)
		}
	}
}

func TestForbiddenRequestHeader(t *testing.T) {
	for _, test := range []struct {
		name, value    string
		byName, header bool
	}{
		{name: "Accept-Charset", byName: true, header: true},
		{name: "accept-encoding", byName: true, header: true},
		{name: "Access-Control-Request-Headers", byName: true, header: true},
		{name: "Access-Control-Request-Method", byName: true, header: true},
		{name: "CONNECTION", byName: true, header: true},
		{name: "Content-Length", byName: true, header: true},
		{name: "Cookie", byName: true, header: true},
		{name: "Cookie2", byName: true, header: true},
		{name: "Date", byName: true, header: true},
		{name: "DNT", byName: true, header: true},
		{name: "Expect", byName: true, header: true},
		{name: "Host", byName: true, header: true},
		{name: "Keep-Alive", byName: true, header: true},
		{name: "Origin", byName: true, header: true},
		{name: "Referer", byName: true, header: true},
		{name: "Set-Cookie", byName: true, header: true},
		{name: "TE", byName: true, header: true},
		{name: "Trailer", byName: true, header: true},
		{name: "Transfer-Encoding", byName: true, header: true},
		{name: "Upgrade", byName: true, header: true},
		{name: "Via", byName: true, header: true},
		{name: "Proxy-Anything", byName: true, header: true},
		{name: "sec-anything", byName: true, header: true},
		{name: "X-HTTP-Method", value: "TRACE", header: true},
		{name: "X-HTTP-Method-Override", value: "PUT, track", header: true},
		{name: "x-method-override", value: `"a,TRACE", connect`, header: true},
		{name: "X-Method-Override", value: `"TRACE, CONNECT"`},
		{name: "X-HTTP-Method-Override", value: "PUT"},
		{name: "X-HTTP-Method-Overrides", value: "TRACE"},
		// The Standard has it not, though Private Network Access gave it a meaning.
		{name: "Access-Control-Request-Private-Network", value: "true"},
		{name: "Authorization", value: "Bearer x"},
		{name: "Proxy"}, {name: "Sec"}, {name: "Set-Cookie2"}, {name: "User-Agent"},
	} {
		if got := fetchspec.IsForbiddenRequestHeaderName(test.name); got != test.byName {
			t.Errorf("%s: forbidden is %t, want %t", test.name, got, test.byName)
		}
		if got := fetchspec.IsForbiddenRequestHeader(test.name, test.value); got != test.header {
			t.Errorf("%s: %s: forbidden is %t, want %t", test.name, test.value, got, test.header)
		}
	}
}

// What a name is in the sets of names, each of which knows no case.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		set string
		is  func(string) bool
		in  []string
		not []string
	}{
		{
			set: "forbidden response-header name", is: fetchspec.IsForbiddenResponseHeaderName,
			in:  []string{"Set-Cookie", "Set-Cookie2"},
			not: []string{"Cookie", "Set-Cookie3"},
		},
		{
			set: "CORS non-wildcard request-header name", is: fetchspec.IsNonWildcardRequestHeaderName,
			in:  []string{"Authorization"},
			not: []string{"Proxy-Authorization", "Cookie", "*"},
		},
		{
			set: "request-body-header name", is: fetchspec.IsRequestBodyHeaderName,
			in:  []string{"Content-Encoding", "Content-Language", "Content-Location", "Content-Type"},
			not: []string{"Content-Length", "Content-Disposition"},
		},
		{
			set: "CORS-safelisted response-header name", is: fetchspec.IsSafelistedResponseHeaderName,
			in:  []string{"Cache-Control", "Content-Language", "Content-Length", "Content-Type", "Expires", "Last-Modified", "Pragma"},
			not: []string{"Date", "ETag", "Location", "Set-Cookie"},
		},
	} {
		for _, name := range test.in {
			for _, name := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
				if !test.is(name) {
					t.Errorf("%s is not a %s", name, test.set)
				}
			}
		}
		for _, name := range test.not {
			if test.is(name) {
				t.Errorf("%s is a %s", name, test.set)
			}
		}
	}
}

func TestSafelistedRequestHeader(t *testing.T) {
	long := strings.Repeat("a", 128)
	for _, test := range []struct {
		name, value  string
		cors, noCORS bool
	}{
		{name: "Accept", value: "application/json, */*;q=0.1", cors: true, noCORS: true},
		{name: "ACCEPT", value: long, cors: true, noCORS: true},
		{name: "Accept", value: long + "a"},
		{name: "Accept", value: "a\tb\xff", cors: true, noCORS: true},
		{name: "Accept", value: "a\x0bb"}, {name: "Accept", value: "a\x7f"}, {name: "Accept", value: "a(b"},
		{name: "Accept-Language", value: "de-DE, en;q=0.5, *", cors: true, noCORS: true},
		{name: "Accept-Language", value: "en_US"}, {name: "Accept-Language", value: "a\tb"},
		{name: "Content-Language", value: "en", cors: true, noCORS: true},
		{name: "Content-Type", value: "text/plain;charset=UTF-8", cors: true, noCORS: true},
		{name: "content-type", value: "Multipart/Form-Data; boundary=x", cors: true, noCORS: true},
		{name: "Content-Type", value: "application/x-www-form-urlencoded", cors: true, noCORS: true},
		{name: "Content-Type", value: "text/plain ; x", cors: true, noCORS: true},
		{name: "Content-Type", value: "application/json"}, {name: "Content-Type", value: "text/plain\x0b"},
		{name: "Content-Type", value: `text/plain;charset="x"`}, {name: "Content-Type", value: "text/ plain"},
		{name: "Content-Type", value: "text/plain, application/json"}, {name: "Content-Type", value: "text"},
		{name: "Content-Type", value: ""}, {name: "Content-Type", value: "/"},
		{name: "Range", value: "bytes=0-5", cors: true},
		{name: "Range", value: "bytes=5-", cors: true},
		{name: "Range", value: "bytes=5-5", cors: true},
		{name: "Range", value: "bytes=5-4"}, {name: "Range", value: "bytes=-5"}, {name: "Range", value: "bytes=-"},
		{name: "Range", value: "Bytes=0-"}, {name: "Range", value: "bytes=0-1,3-4"}, {name: "Range", value: "bytes=0 -5"},
		{name: "Authorization", value: "x"}, {name: "X-Accept", value: "x"}, {name: "Last-Event-ID", value: "1"},
	} {
		if got := fetchspec.IsSafelistedRequestHeader(test.name, test.value); got != test.cors {
			t.Errorf("%s: %q: CORS-safelisted is %t, want %t", test.name, test.value, got, test.cors)
		}
		if got := fetchspec.IsNoCORSSafelistedRequestHeader(test.name, test.value); got != test.noCORS {
			t.Errorf("%s: %q: no-CORS-safelisted is %t, want %t", test.name, test.value, got, test.noCORS)
		}
	}
}

func TestDecodeAndSplit(t *testing.T) {
	for value, want := range map[string][]string{
		"":                {""},
		"nosniff,":        {"nosniff", ""},
		"text/html;\", x": {"text/html;\", x"},
		`x;test="hi",y`:   {`x;test="hi"`, "y"},
		`"a, b" , c`:      {`"a, b"`, "c"},
		`"a\", b", c`:     {`"a\", b"`, "c"},
		`"\`:              {`"\`},
	} {
		if got := fetchspec.DecodeAndSplit(value); !slices.Equal(got, want) {
			t.Errorf("%s: is %q, want %q", value, got, want)
		}
	}
}

func TestParseMIMEType(t *testing.T) {
	for value, want := range map[string]string{
		"text/plain":                              "text/plain",
		" Text/HTML ; Charset=x":                  "text/html;charset=x",
		"text/html;charset=a;charset=b":           "text/html;charset=a",
		`text/html; charset="a;b" ; c=d`:          `text/html;charset="a;b";c=d`,
		`text/html;a="b\"c\\";d=e`:                `text/html;a="b\"c\\";d=e`,
		`text/html;a="b`:                          "text/html;a=b",
		"text/html;a=;b=c;;d":                     "text/html;b=c",
		"text/html;a b=c;d= e":                    `text/html;d=" e"`,
		"text/html;=x":                            "text/html",
		"text/html;a=b c":                         `text/html;a="b c"`,
		"application/x-www-form-urlencoded;a\x01": "application/x-www-form-urlencoded",
		"text/plain\x0b":                          "",
		"text/":                                   "",
		"/plain":                                  "",
		"text":                                    "",
		"te xt/plain":                             "",
		"":                                        "",
	} {
		mimeType, ok := fetchspec.ParseMIMEType(value)
		if got := mimeType.String(); got != want || ok != (want != "") {
			t.Errorf("%q is %q, want %q", value, got, want)
		}
	}
}

func TestExtractMIMEType(t *testing.T) {
	for _, test := range []struct {
		values []string
		want   string
	}{
		{values: []string{"text/html"}, want: "text/html"},
		{values: []string{"text/html, image/png;a=b"}, want: "image/png"},
		{values: []string{"text/html", "*/*"}, want: "text/html"},
		{values: []string{"text/html", "x"}, want: "text/html"},
		{values: []string{`text/html;x="a,b/c"`}, want: "text/html"},
		{values: []string{""}},
		{values: nil},
	} {
		got, ok := fetchspec.ExtractMIMEType(http.Header{"Content-Type": test.values})
		if got != test.want || ok != (test.want != "") {
			t.Errorf("%q is %q, want %q", test.values, got, test.want)
		}
	}
}

func TestIsJavaScriptMIMEType(t *testing.T) {
	for essence, want := range map[string]bool{
		"text/javascript": true, "application/javascript": true, "text/javascript1.5": true, "text/livescript": true,
		"text/javascript1.6": false, "application/json": false, "text/plain": false, "": false,
	} {
		if got := fetchspec.IsJavaScriptMIMEType(essence); got != want {
			t.Errorf("%s is %t, want %t", essence, got, want)
		}
	}
}
