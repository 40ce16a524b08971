//go:build linux

package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// A difference is one between an engine and the Standard, listed in docs/browsers.md under its name.
type difference struct {
	name    string
	engines []fetch.Engine // that differ in the example

	// applies says whether an engine can differ from a run of the package.
	applies func(run, fetch.Engine) bool

	// verdict says that what the script sees can differ, too, and not just what the server is asked.
	verdict bool

	// example is a script in which they do differ.
	example script
}

var differences = []difference{
	{
		name:    "chromium-redirect-credentials",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumRedirectCredentials),
		verdict: true,
		example: script{url: securePage, hops: []hop{
			redirectTo(302, "https://user@app.example.com{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "chromium-safelist",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumSafelist),
		verdict: true,
		example: script{url: secureAPI, header: []fetch.Field{{Name: "Viewport-Width", Value: "100"}}, hops: []hop{allowAll}},
	},
	{
		name:    "chromium-url-credentials",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumURLCredentials),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, credentials: true, url: "https://user:password@api.example.com", hops: []hop{allowAll}},
	},
	{
		name:    "chromium-url-credentials",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumURLCredentials),
		verdict: true,
		example: script{kind: fetch.KindEventSource, url: "https://user@app.example.com", hops: []hop{withStatus(200, "text/event-stream")}},
	},
	{
		name:    "beacon-type",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.BeaconType),
		verdict: true,
		example: script{kind: fetch.KindBeacon, url: secureAPI, body: "hello", credentials: true,
			header: []fetch.Field{{Name: "Content-Type", Value: "text/plain; " + strings.Repeat("x", 128)}},
			hops:   []hop{credentialed("600")}},
	},
	{
		name:    "chromium-policy-directive",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumPolicyDirective),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "connect-src https: ü; connect-src 'none'"},
		}}},
	},
	{
		name:    "chromium-policy-upgrade",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumPolicyUpgrade),
		verdict: true,
		example: script{page: plainPage, url: plainAPI, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "upgrade-insecure-requests; connect-src https://api.example.com"},
		}}},
	},
	{
		name:    "chromium-policy-upgrade",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: warned(fetch.ChromiumPolicyUpgrade),
		verdict: true,
		example: script{kind: fetch.KindBeacon, page: plainPage, url: plainAPI, body: "hello", credentials: true, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "upgrade-insecure-requests; connect-src https://api.example.com"},
		}}},
	},
	{
		name:    "chromium-policy-upgrade",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.ChromiumPolicyUpgrade),
		verdict: true,
		example: script{kind: fetch.KindEventSource, page: plainPage, url: plainAPI, hops: []hop{withStatus(200, "text/event-stream")}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "upgrade-insecure-requests; connect-src https://api.example.com"},
		}}},
	},
	{
		name:    "chromium-policy-upgrade",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: warned(fetch.ChromiumPolicyUpgrade),
		verdict: true,
		example: script{kind: fetch.KindMedia, noCORS: true, credentials: true, page: plainPage, url: plainAPI, hops: []hop{withStatus(200, "audio/wav")}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "upgrade-insecure-requests; media-src https://api.example.com"},
		}}},
	},
	{
		name:    "firefox-policy-upgrade",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxPolicyUpgrade),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, credentials: true, url: plainAPI, hops: []hop{withStatus(200, "image/gif")}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "img-src https://api.example.com"},
		}}},
	},
	{
		name:    "media-status",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.MediaStatus),
		verdict: true,
		example: script{kind: fetch.KindMedia, url: secureAPI, hops: []hop{withStatus(203, "audio/wav")}},
	},
	{
		name:    "media-status",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.MediaStatus),
		verdict: true,
		example: script{kind: fetch.KindMedia, noCORS: true, credentials: true, url: secureAPI, hops: []hop{withStatus(203, "audio/wav")}},
	},
	{
		name:    "firefox-partial-image",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxPartialImage),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 206, fields: []fetch.Field{{Name: "Content-Type", Value: "image/gif"}}}}}},
	},
	{
		name:    "chromium-loopback-origin",
		engines: []fetch.Engine{fetch.Chromium},
		applies: func(r run, e fetch.Engine) bool {
			return e == fetch.Chromium && r.hasStep(func(s fetch.Step) bool {
				x := s.Exchange
				return x != nil && x.Method == http.MethodPost && x.RequestHeader.Get("Origin") == "null" && strings.HasPrefix(s.URL, "http://localhost")
			})
		},
		example: script{kind: fetch.KindBeacon, url: loopbackPage, body: "hello", credentials: true, hops: []hop{allowAll}},
	},
	{
		name:    "chromium-redirect-origin",
		engines: []fetch.Engine{fetch.Chromium},
		applies: redirectedWithoutCORS,
		example: script{kind: fetch.KindBeacon, url: securePage, body: "hello", credentials: true, hops: []hop{redirectTo(307, secureAPI+"{path}/1"), allowAll}},
	},
	{
		name:    "lenient-status",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: warned(fetch.LenientStatus),
		verdict: true,
		example: script{kind: fetch.KindScript, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 300, fields: []fetch.Field{{Name: "Content-Type", Value: "text/javascript"}}}}}},
	},
	{
		name:    "chromium-upgraded-redirect",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumUpgradedRedirect),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, url: plainAPI, hops: []hop{redirectTo(302, portedLocal+"{path}/1"), allowAll}},
	},
	{
		name:    "chromium-upgraded-redirect",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumUpgradedRedirect),
		verdict: true,
		example: script{kind: fetch.KindImage, url: portedLocal, hops: []hop{redirectTo(302, plainAPI+"{path}/1"), withStatus(200, "image/gif")}},
	},
	{
		name:    "chromium-upgraded-url",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumUpgradedURL),
		verdict: true,
		example: script{page: plainPage, url: plainAPI, hops: []hop{allowAll}, document: &document{meta: "upgrade-insecure-requests"}},
	},
	{
		name:    "element-origin",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: elementWithoutOrigin,
		example: script{kind: fetch.KindImage, url: securePage, hops: []hop{allowAll}},
	},
	{
		name:    "element-origin",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: elementWithoutOrigin,
		example: script{kind: fetch.KindImage, noCORS: true, framed: true, url: secureAPI, hops: []hop{allowAll}},
	},
	{
		name:    "opaque-response-blocking",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.OpaqueResponseBlocking),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 200, fields: []fetch.Field{{Name: "Content-Type", Value: "text/csv"}}}}}},
	},
	{
		name:    "opaque-response-blocking",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.OpaqueResponseBlocking),
		verdict: true,
		example: script{kind: fetch.KindMedia, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 200, fields: []fetch.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Content-Type-Options", Value: "nosniff"}}}}}},
	},
	{
		name:    "opaque-response-blocking",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.OpaqueResponseBlocking),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 200, fields: []fetch.Field{{Name: "Content-Type", Value: "text/plain"}, {Name: "X-Content-Type-Options", Value: "nosniff"}}}}}},
	},
	{
		name:    "opaque-response-blocking",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.OpaqueResponseBlocking),
		verdict: true,
		example: script{kind: fetch.KindScript, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 206, fields: []fetch.Field{{Name: "Content-Type", Value: "text/html"}, {Name: "Content-Range", Value: "bytes 0-4/5"}}}}}},
	},
	{
		name:    "partial-content",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.PartialContent),
		verdict: true,
		example: script{kind: fetch.KindMedia, url: secureAPI, hops: []hop{withStatus(206, "audio/wav")}},
	},
	{
		name:    "partial-content",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.PartialContent),
		verdict: true,
		example: script{kind: fetch.KindMedia, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 206, fields: []fetch.Field{{Name: "Content-Type", Value: "audio/wav"}, {Name: "Content-Range", Value: "bytes 5-843/844"}}}}}},
	},
	{
		name:    "partial-content",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.PartialContent),
		verdict: true,
		example: script{kind: fetch.KindScript, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 206, fields: []fetch.Field{{Name: "Content-Type", Value: "text/javascript"}, {Name: "Content-Range", Value: "bytes 5-9/10"}}}}}},
	},
	{
		name:    "chromium-proxy-status",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.ChromiumProxyStatus),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{withStatus(407, "text/plain")}},
	},
	{
		name:    "lenient-status",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.LenientStatus),
		verdict: true,
		example: script{kind: fetch.KindMedia, url: secureAPI, hops: []hop{withStatus(300, "audio/wav")}},
	},
	{
		name:    "repeated-location",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.RepeatedLocation),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{{actual: redirected(redirected(allowAll.actual, 302, "{path}/1"), 302, "{path}/1")}, allowAll}},
	},
	{
		name:    "repeated-location",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.RepeatedLocation),
		verdict: true,
		example: script{url: securePage, hops: []hop{{actual: redirected(redirected(allowAll.actual, 302, "{path}/1"), 302, "{path}/2")}, allowAll}},
	},
	{
		name:    "repeated-location",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.RepeatedLocation),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{{actual: redirected(redirected(allowAll.actual, 200, "{path}/1"), 200, "{path}/2")}}},
	},
	{
		name:    "repeated-type",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.RepeatedType),
		verdict: true,
		example: script{kind: fetch.KindStyle, url: secureAPI, hops: []hop{withStatus(200, "text/html, text/css")}},
	},
	{
		name:    "style-type",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.StyleType),
		verdict: true,
		example: script{kind: fetch.KindStyle, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 200, fields: []fetch.Field{{Name: "Content-Type", Value: "application/x-unknown-content-type"}}}}}},
	},
	{
		name:    "webkit-authorization",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitAuthorization),
		verdict: true,
		example: script{url: securePage, header: []fetch.Field{{Name: "Authorization", Value: "Bearer x"}}, document: &document{meta: "upgrade-insecure-requests"}, hops: []hop{
			redirectTo(302, plainPage+"{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "webkit-data-redirect",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitDataRedirect),
		verdict: true,
		example: script{kind: fetch.KindScript, noCORS: true, credentials: true, url: secureOther, hops: []hop{redirectTo(302, "data:text/javascript,1")}},
	},
	{
		name:    "webkit-font",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitFont),
		verdict: true,
		example: script{kind: fetch.KindFont, url: securePage, hops: []hop{redirectTo(307, "https://user:password@api.example.com{path}/1"), withStatus(200, "font/ttf")}},
	},
	{
		name:    "webkit-delete",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitDelete),
		verdict: true,
		example: script{url: securePage, method: "DELETE", document: &document{meta: "upgrade-insecure-requests"}, hops: []hop{
			redirectTo(307, plainPage+"{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "policy-port",
		engines: []fetch.Engine{fetch.Firefox, fetch.WebKit},
		applies: warned(fetch.PolicyPort),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "connect-src https://api.example.com:80"},
		}}},
	},
	{
		name:    "policy-port",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.PolicyPort),
		verdict: true,
		example: script{url: plainAPI, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "upgrade-insecure-requests; connect-src https://api.example.com:443"},
		}}},
	},
	{
		name:    "policy-port",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.PolicyPort),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "connect-src *:443"},
		}}},
	},
	{
		name:    "style-type",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.StyleType),
		verdict: true,
		example: script{kind: fetch.KindStyle, url: secureAPI, hops: []hop{{actual: answer{status: 200, fields: []fetch.Field{
			{Name: "Access-Control-Allow-Origin", Value: "*"}, {Name: "Content-Type", Value: "text/"},
		}}}}},
	},
	{
		name:    "policy-websocket-source",
		engines: []fetch.Engine{fetch.Chromium, fetch.Firefox},
		applies: warned(fetch.PolicyWebSocketSource),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{allowAll}, document: &document{header: []fetch.Field{
			{Name: "Content-Security-Policy", Value: "connect-src wss://api.example.com"},
		}}},
	},
	{
		name:    "webkit-upgraded-loopback",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitUpgradedLoopback),
		verdict: true,
		example: script{page: plainPage, url: loopbackPage, hops: []hop{allowAll}, document: &document{meta: "upgrade-insecure-requests"}},
	},
	{
		name:    "unsupported-stream",
		engines: []fetch.Engine{fetch.Firefox, fetch.WebKit},
		applies: warned(fetch.UnsupportedStream),
		verdict: true,
		example: script{kind: fetch.KindStream, url: secureAPI, body: "hello", hops: []hop{allowAll}},
	},
	{
		name:    "upload-without-body",
		engines: []fetch.Engine{fetch.Chromium},
		applies: warned(fetch.UploadWithoutBody),
		verdict: true,
		example: script{kind: fetch.KindXHRUpload, url: secureAPI, hops: []hop{allowAll}},
	},
	{
		name:    "webkit-beacon-origin",
		engines: []fetch.Engine{fetch.WebKit},
		applies: func(r run, e fetch.Engine) bool {
			return e == fetch.WebKit && r.hasExchange(func(x *fetch.Exchange) bool {
				return x.Method == http.MethodPost && x.RequestHeader.Get("Sec-Fetch-Mode") != "cors" && x.RequestHeader.Get("Origin") == "null"
			})
		},
		example: script{kind: fetch.KindBeacon, framed: true, url: secureAPI, body: "hello", credentials: true, hops: []hop{allowAll}},
	},
	{
		name:    "webkit-font",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitFont),
		verdict: true,
		example: script{kind: fetch.KindFont, url: secureAPI, hops: []hop{allowAll}},
	},
	{
		name:    "empty-location",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: warned(fetch.EmptyLocation),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{redirectTo(302, "")}},
	},
	{
		name:    "firefox-dropped-headers",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxDroppedHeaders),
		verdict: true,
		example: script{url: secureAPI, method: "POST", body: "{}", header: []fetch.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "X-One", Value: "1"}}, hops: []hop{
			redirectTo(303, "{path}/1"),
			redirectTo(302, "{path}/2"),
			allowAll,
		}},
	},
	{
		name:    "firefox-upgraded-origin",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxUpgradedOrigin),
		verdict: true,
		example: script{url: plainPage, hops: []hop{allowAll}, document: &document{meta: "upgrade-insecure-requests"}},
	},
	{
		name:    "firefox-upgraded-origin",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxUpgradedOrigin),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{redirectTo(302, plainAPI+"{path}/1"), allowAll}, document: &document{meta: "upgrade-insecure-requests"}},
	},
	{
		name:    "firefox-upgraded-origin",
		engines: []fetch.Engine{fetch.Firefox, fetch.WebKit},
		applies: warned(fetch.FirefoxUpgradedOrigin),
		verdict: true,
		example: script{kind: fetch.KindImage, url: secureAPI, hops: []hop{redirectTo(302, plainAPI+"{path}/1"), withStatus(200, "image/gif")}},
	},
	{
		name:    "firefox-upgraded-origin",
		engines: []fetch.Engine{fetch.Firefox, fetch.WebKit},
		applies: warned(fetch.FirefoxUpgradedOrigin),
		verdict: true,
		example: script{url: secureAPI, document: &document{meta: "upgrade-insecure-requests"}, hops: []hop{redirectTo(307, plainAPI+"{path}/1"), redirectTo(302, secureAPI+"{path}/2"), allowAll}},
	},
	{
		name:    "firefox-resource-policy",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxResourcePolicy),
		verdict: true,
		example: script{kind: fetch.KindImage, noCORS: true, credentials: true, url: secureAPI, document: &document{header: []fetch.Field{
			{Name: "Cross-Origin-Embedder-Policy", Value: "require-corp"},
		}}, hops: []hop{{actual: answer{status: 200, fields: []fetch.Field{
			{Name: "Content-Type", Value: "image/gif"}, {Name: "Cross-Origin-Resource-Policy", Value: "same-origin, cross-origin"},
		}}}}},
	},
	{
		name:    "firefox-style-redirect",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxStyleRedirect),
		verdict: true,
		example: script{kind: fetch.KindStyle, url: secureAPI, hops: []hop{redirectTo(302, "{path}/1"), withStatus(200, "x")}},
	},
	{
		name:    "firefox-silent-port",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxSilentPort),
		verdict: true,
		example: script{kind: fetch.KindXHR, url: secureAPI, hops: []hop{redirectTo(302, secureAPI+":6000{path}/1"), allowAll}},
	},
	{
		name:    "firefox-preflight-cache",
		engines: []fetch.Engine{fetch.Firefox},
		applies: forgottenByFirefox,
		example: script{url: secureAPI, method: "PUT", times: 2, hops: []hop{allowAll}},
	},
	{
		name:    "firefox-preflight-cache",
		engines: []fetch.Engine{fetch.Firefox},
		applies: forgottenByFirefox,
		example: script{url: secureAPI, method: "PUT", times: 2, hops: []hop{credentialed("600, 600")}},
	},
	{
		name:    "firefox-preflight-origin",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.FirefoxPreflightOrigin),
		verdict: true,
		example: script{url: secureAPI, method: "PUT", hops: []hop{
			redirectTo(307, secureOther+"{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "preflight-cache-failure",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: func(r run, e fetch.Engine) bool { return len(r.results) > 1 && r.results[0].Verdict == fetch.Blocked },
		example: script{url: secureAPI, method: "PUT", credentials: true, times: 2, hops: []hop{
			{preflight: credentialed("600").preflight, actual: answer{status: http.StatusOK}},
		}},
	},
	{
		name:    "preflight-cache-failure",
		engines: []fetch.Engine{fetch.Firefox},
		applies: func(r run, e fetch.Engine) bool { return len(r.results) > 1 && r.results[0].Verdict == fetch.Blocked },
		example: script{url: secureAPI, method: "PUT", credentials: true, times: 2, hops: []hop{
			{
				preflight: credentialed("600").preflight,
				actual:    redirected(credentialed("600").actual, 307, plainAPI+"{path}/1"),
			},
			allowAll,
		}},
	},
	{
		name:    "preflight-cache-null",
		engines: []fetch.Engine{fetch.Chromium},
		applies: hitsCacheForNull,
		example: script{framed: true, url: secureAPI, method: "PUT", times: 2, hops: []hop{credentialed("600")}},
	},
	{
		name:    "preflight-cache-null",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: hitsCacheForNull,
		example: script{url: secureAPI, method: "PUT", times: 2, hops: []hop{
			{
				preflight: credentialed("600").preflight,
				actual:    redirected(credentialed("600").actual, 307, secureOther+"{path}/1"),
			},
			credentialed("600"),
		}},
	},
	{
		name:    "redirect-preflight",
		engines: []fetch.Engine{fetch.Firefox, fetch.WebKit},
		applies: warned(fetch.RedirectPreflight),
		verdict: true,
		example: script{url: secureAPI, method: "PUT", hops: []hop{
			redirectTo(303, "{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "repeated-header",
		engines: []fetch.Engine{fetch.Chromium, fetch.WebKit},
		applies: warned(fetch.RepeatedHeader),
		verdict: true,
		example: script{url: secureAPI, header: repeated(8), hops: []hop{allowAll}},
	},
	{
		name:    "repeated-header",
		engines: []fetch.Engine{fetch.Firefox},
		applies: warned(fetch.RepeatedHeader),
		verdict: true,
		example: script{url: secureAPI, header: repeated(9), hops: []hop{allowAll}},
	},
	{
		name:    "webkit-authorization",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitAuthorization),
		verdict: true,
		example: script{url: securePage, header: []fetch.Field{{Name: "Authorization", Value: "Bearer x"}, {Name: "X-One", Value: "1"}}, hops: []hop{
			redirectTo(302, secureAPI+"{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "webkit-body-headers",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitBodyHeaders),
		verdict: true,
		example: script{url: securePage, method: "POST", body: "{}",
			header: []fetch.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "X-One", Value: "1"}},
			hops: []hop{
				redirectTo(303, secureAPI+"{path}/1"),
				allowAll,
			}},
	},
	{
		name:    "webkit-delete",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitDelete),
		verdict: true,
		example: script{url: securePage, method: "DELETE", hops: []hop{
			redirectTo(307, secureAPI+"{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "webkit-location",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitLocation),
		verdict: true,
		example: script{url: secureAPI, hops: []hop{redirectTo(302, "{path}/1?q=ä"), allowAll}},
	},
	{
		name:    "webkit-loopback",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitLoopback),
		verdict: true,
		example: script{url: portedLocal, hops: []hop{allowAll}},
	},
	{
		name:    "webkit-origin",
		engines: []fetch.Engine{fetch.WebKit},
		applies: func(r run, e fetch.Engine) bool { return e == fetch.WebKit && r.becameGET() },
		example: script{url: securePage, method: "POST", hops: []hop{
			redirectTo(303, "{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "webkit-preflight-cache",
		engines: []fetch.Engine{fetch.WebKit},
		applies: func(r run, e fetch.Engine) bool {
			return e == fetch.WebKit && slices.ContainsFunc(r.warnings(), func(w fetch.Warning) bool { return w.Code == fetch.AuthorizationWildcard })
		},
		example: script{url: secureAPI, header: []fetch.Field{{Name: "Authorization", Value: "Bearer x"}}, times: 2, hops: []hop{{
			preflight: answer{status: http.StatusNoContent, fields: []fetch.Field{
				{Name: "Access-Control-Allow-Origin", Value: "*"},
				{Name: "Access-Control-Allow-Headers", Value: "*"},
				{Name: "Access-Control-Max-Age", Value: "600"},
			}},
			actual: allowAll.actual,
		}}},
	},
	{
		name:    "webkit-preflight-first",
		engines: []fetch.Engine{fetch.WebKit},
		applies: func(r run, e fetch.Engine) bool { return e == fetch.WebKit && r.redirectBlocked() },
		example: script{url: secureAPI, method: "PUT", hops: []hop{
			redirectTo(307, plainAPI+"{path}/1"),
			allowAll,
		}},
	},
	{
		name:    "webkit-range",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitRange),
		verdict: true,
		example: script{url: secureAPI, header: []fetch.Field{{Name: "Range", Value: "Bytes=0-1"}}, hops: []hop{allowAll}},
	},
	{
		name:    "webkit-redirect",
		engines: []fetch.Engine{fetch.WebKit},
		applies: warned(fetch.WebKitRedirect),
		verdict: true,
		example: script{url: securePage, hops: []hop{
			redirectTo(302, secureAPI+"{path}/1"),
			redirectTo(302, "{path}/2"),
			allowAll,
		}},
	},
}

// script is the example, as one of all scripts.
func (d difference) script() script {
	s := d.example
	s.name, s.differs = d.name, d.engines
	return s.withDefaults()
}

// warned is for a difference that the package warns of.
func warned(code fetch.WarningCode) func(run, fetch.Engine) bool {
	return func(r run, e fetch.Engine) bool {
		return slices.ContainsFunc(r.warnings(), func(w fetch.Warning) bool { return w.Code == code && slices.Contains(w.Engines, e) })
	}
}

// elementWithoutOrigin reports whether an element, or a call without CORS, has made a request without an Origin.
func elementWithoutOrigin(r run, e fetch.Engine) bool {
	return r.hasExchange(func(x *fetch.Exchange) bool {
		h := x.RequestHeader
		return h.Get("Origin") == "" && (h.Get("Sec-Fetch-Dest") != "empty" || h.Get("Sec-Fetch-Mode") != "cors")
	})
}

// redirectedWithoutCORS reports whether a request that changes something was redirected to another origin, without CORS.
func redirectedWithoutCORS(r run, e fetch.Engine) bool {
	redirected := false
	return e == fetch.Chromium && r.hasStep(func(s fetch.Step) bool {
		redirected = redirected || s.Outcome == fetch.Redirect
		return redirected && s.Exchange != nil && s.Exchange.Method == http.MethodPost && s.Exchange.RequestHeader.Get("Sec-Fetch-Mode") != "cors"
	})
}

// forgottenByFirefox reports whether a preflight is remembered whose answer has a *, or an age that is not a number.
func forgottenByFirefox(r run, e fetch.Engine) bool {
	return e == fetch.Firefox && r.hasStep(func(s fetch.Step) bool { return s.Outcome == fetch.Cached }) &&
		r.hasExchange(func(x *fetch.Exchange) bool {
			h := x.ResponseHeader
			lists := fmt.Sprint(h["Access-Control-Allow-Methods"], h["Access-Control-Allow-Headers"])
			age := strings.Join(h["Access-Control-Max-Age"], ", ")
			return x.Preflight && (strings.Contains(lists, "*") || strings.Trim(age, "0123456789") != "")
		})
}

// hitsCacheForNull reports whether a preflight is remembered whose Origin was null, for a frame or after a redirect.
func hitsCacheForNull(r run, e fetch.Engine) bool {
	return e != fetch.Firefox && r.hasStep(func(s fetch.Step) bool { return s.Outcome == fetch.Cached }) &&
		r.hasExchange(func(x *fetch.Exchange) bool { return x.Preflight && x.RequestHeader.Get("Origin") == "null" })
}

func (r run) hasStep(condition func(fetch.Step) bool) bool {
	return slices.ContainsFunc(r.results, func(result *fetch.Result) bool { return slices.ContainsFunc(result.Steps, condition) })
}

func (r run) hasExchange(condition func(*fetch.Exchange) bool) bool {
	return r.hasStep(func(s fetch.Step) bool { return s.Exchange != nil && condition(s.Exchange) })
}

// becameGET reports whether a redirect within the page's origin has made a GET of a call of another method.
func (r run) becameGET() bool {
	for _, result := range r.results {
		other := false
		for _, step := range result.Steps {
			switch e := step.Exchange; {
			case e == nil:
			case e.Method != http.MethodGet && e.Method != http.MethodHead:
				other = true
			case other && e.RequestHeader.Get("Origin") == "":
				return true
			}
		}
	}
	return false
}

// redirectBlocked reports whether a redirect was not followed because of where it goes.
func (r run) redirectBlocked() bool {
	return slices.ContainsFunc(r.results, func(result *fetch.Result) bool {
		return result.Verdict == fetch.Blocked && result.Cause.At == fetch.AtRedirect &&
			slices.Contains([]fetch.Code{fetch.MixedContent, fetch.RedirectCredentials}, result.Cause.Code)
	})
}

// allowAll answers with all that a call of any origin can need, if it has no credentials.
var allowAll = hop{
	preflight: answer{status: http.StatusNoContent, fields: []fetch.Field{
		{Name: "Access-Control-Allow-Origin", Value: "*"},
		{Name: "Access-Control-Allow-Methods", Value: "*"},
		{Name: "Access-Control-Allow-Headers", Value: "*, Authorization"},
		{Name: "Access-Control-Max-Age", Value: "600"},
	}},
	actual: answer{status: http.StatusOK, fields: []fetch.Field{
		{Name: "Access-Control-Allow-Origin", Value: "*"},
	}},
}

// redirectTo is as allowAll, but that it redirects.
func redirectTo(status int, location string) hop {
	return hop{
		preflight: allowAll.preflight,
		actual:    redirected(allowAll.actual, status, location),
	}
}

// redirected is the answer as a redirect.
func redirected(a answer, status int, location string) answer {
	a.status = status
	a.fields = append(slices.Clone(a.fields), fetch.Field{Name: "Location", Value: location})
	return a
}
