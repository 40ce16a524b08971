//go:build linux

package e2e_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// writtenScripts are about what is rare among generated ones, or not in them at all. All engines agree on each, but on a
// known difference.
var writtenScripts = write(append(webSocketScripts(),
	script{name: "a page on loopback calls http", verdict: "allowed",
		page: loopbackPage, url: plainAPI, hops: []hop{allowAll}},
	script{name: "an https page calls http", verdict: "mixed-content",
		url: plainAPI, hops: []hop{allowAll}},
	script{name: "a frame of an https page calls http", verdict: "mixed-content",
		framed: true, url: plainAPI, hops: []hop{allowAll}},
	script{name: "a frame of an http page calls http", verdict: "allowed",
		page: plainPage, framed: true, url: plainAPI, hops: []hop{allowAll}},
	script{name: "a redirect from http to https on one host", verdict: "allowed",
		page: plainPage, url: plainAPI, hops: []hop{redirectTo(301, secureAPI+"{path}/1"), allowAll}},

	script{name: "* covers Authorization without credentials", verdict: "allowed",
		url: secureAPI, header: []fetch.Field{{Name: "Authorization", Value: "Bearer x"}}, hops: []hop{{
			preflight: answer{status: http.StatusNoContent, fields: []fetch.Field{
				{Name: "Access-Control-Allow-Origin", Value: "*"},
				{Name: "Access-Control-Allow-Headers", Value: "*"},
				{Name: "Access-Control-Max-Age", Value: "600"},
			}},
			actual: allowAll.actual,
		}}},

	script{name: "a style sheet without a body", verdict: "error-status", kind: fetch.KindStyle, url: secureAPI, hops: []hop{withStatus(204, "text/css")}},
	script{name: "an image without a body", verdict: "error-status", kind: fetch.KindImage, noCORS: true, credentials: true, url: secureAPI, hops: []hop{withStatus(205, "image/gif")}},
	script{name: "a script without a body", verdict: "allowed", kind: fetch.KindScript, noCORS: true, credentials: true, url: secureAPI, hops: []hop{withStatus(204, "text/javascript")}},

	script{name: "a font without a body", verdict: "error-status", kind: fetch.KindFont, url: secureAPI, hops: []hop{withStatus(204, "font/ttf")}},
	script{name: "a sound without a body", verdict: "error-status", kind: fetch.KindMedia, noCORS: true, credentials: true, url: secureAPI, hops: []hop{withStatus(204, "audio/wav")}},
	script{name: "a font of another origin", verdict: "allowed", kind: fetch.KindFont, url: secureAPI, hops: []hop{withStatus(200, "font/ttf")}},
	script{name: "a font that is not allowed", verdict: "missing-allow-origin", kind: fetch.KindFont, url: secureAPI, hops: []hop{{actual: answer{status: 200}}}},
	script{name: "a sound of another origin", verdict: "allowed", kind: fetch.KindMedia, url: secureAPI, hops: []hop{withStatus(200, "audio/wav")}},
	script{name: "a sound that is not allowed", verdict: "missing-allow-origin", kind: fetch.KindMedia, url: secureAPI, hops: []hop{{actual: answer{status: 200}}}},
	script{name: "a sound as mixed content", verdict: "allowed", kind: fetch.KindMedia, noCORS: true, credentials: true, url: plainAPI, hops: []hop{withStatus(200, "audio/wav")}},
	script{name: "a sound as mixed content, of which the policy allows https alone", verdict: "content-security-policy", kind: fetch.KindMedia, noCORS: true, credentials: true, url: plainAPI,
		document: &document{header: []fetch.Field{{Name: "Content-Security-Policy", Value: "media-src https://api.example.com"}}}, hops: []hop{withStatus(200, "audio/wav")}},
	script{name: "the beginning of a sound", verdict: "allowed", kind: fetch.KindMedia, noCORS: true, credentials: true, url: secureAPI, hops: []hop{{actual: answer{status: 206, fields: []fetch.Field{
		{Name: "Content-Type", Value: "audio/wav"}, {Name: "Content-Range", Value: "bytes 0-843/844"},
	}}}}},

	script{name: "a WebSocket whose URL has a fragment", verdict: "invalid-url", kind: fetch.KindWebSocket, credentials: true, url: secureAPI, suffix: "#fragment", hops: []hop{{actual: answer{status: http.StatusSwitchingProtocols}}}},
	script{name: "a stream over HTTP/1.1", verdict: "http1-stream", kind: fetch.KindStream, body: "hello", url: secureAPI, hops: []hop{allowAll}},
	script{name: "a stream over HTTP/2", verdict: "allowed", kind: fetch.KindStream, body: "hello", url: secureHTTP2, hops: []hop{allowAll}},
	script{name: "a stream whose preflight is not allowed", verdict: "missing-allow-origin", kind: fetch.KindStream, body: "hello", url: secureHTTP2, hops: []hop{{preflight: answer{status: 204}, actual: allowAll.actual}}},
	script{name: "a stream that is to be sent once more", verdict: "redirect-stream", kind: fetch.KindStream, body: "hello", url: secureHTTP2, hops: []hop{redirectTo(307, "{path}/1"), allowAll}},
	script{name: "a stream that is not to be sent once more", verdict: "allowed", kind: fetch.KindStream, body: "hello", url: secureHTTP2, hops: []hop{redirectTo(303, "{path}/1"), redirectTo(307, "{path}/2"), allowAll}},

	script{name: "early hints before what allows it", verdict: "allowed", url: secureAPI, method: "PUT", hops: []hop{{
		preflight: answer{status: 204, fields: allowAll.preflight.fields, early: []fetch.Field{{Name: "Link", Value: "</x>; rel=preconnect"}}},
		actual:    answer{status: 200, fields: allowAll.actual.fields, early: []fetch.Field{{Name: "Link", Value: "</x>; rel=preconnect"}}},
	}}},
	script{name: "early hints that alone allow it", verdict: "missing-allow-origin", url: secureAPI, hops: []hop{{
		actual: answer{status: 200, early: []fetch.Field{{Name: "Access-Control-Allow-Origin", Value: "*"}}},
	}}},

	script{name: "20 redirects", verdict: "allowed", url: secureAPI, hops: chain(20)},
	script{name: "21 redirects", verdict: "too-many-redirects", url: secureAPI, hops: chain(21)},
	script{name: "20 redirects within the page's origin", verdict: "allowed", url: securePage, hops: chain(20)},
	script{name: "21 redirects within the page's origin", verdict: "too-many-redirects", url: securePage, hops: chain(21)},
	script{name: "a URL that redirects to itself", verdict: "too-many-redirects",
		url: secureAPI, hops: []hop{redirectTo(302, "{path}/0")}},

	script{name: "one value of 128 bytes", verdict: "allowed",
		url: secureAPI, header: []fetch.Field{{Name: "Accept", Value: strings.Repeat("a", 128)}}, hops: []hop{allowAll}},
	script{name: "one value of 129 bytes", verdict: "allowed",
		url: secureAPI, header: []fetch.Field{{Name: "Accept", Value: strings.Repeat("a", 129)}}, hops: []hop{allowAll}},
	script{name: "a preflight is remembered", verdict: "allowed",
		url: secureAPI, method: "PUT", times: 2, hops: []hop{credentialed("600")}},
	script{name: "a preflight with credentials is remembered", verdict: "allowed",
		url: secureAPI, method: "PUT", credentials: true, times: 2, hops: []hop{credentialed("600")}},
	script{name: "a preflight is remembered for 0 seconds", verdict: "allowed",
		url: secureAPI, method: "PUT", credentials: true, times: 2, hops: []hop{credentialed("0")}},
	script{name: "a preflight is remembered after a redirect", verdict: "allowed",
		url: secureAPI, method: "PUT", times: 2, hops: []hop{redirectTo(307, "{path}/1"), credentialed("600")}},
)...)

// webSocketScripts are about policies and WebSockets, of which browsers compare the URL with its own scheme.
func webSocketScripts() []script {
	var scripts []script
	for _, c := range webSocketSources {
		policy := &document{header: []fetch.Field{{Name: "Content-Security-Policy", Value: "connect-src " + c.source}}}
		opened := hop{actual: answer{status: http.StatusSwitchingProtocols}}
		scripts = append(scripts, script{
			name: "a WebSocket and the source " + c.source, verdict: c.verdict, kind: fetch.KindWebSocket, url: secureAPI, document: policy, hops: []hop{opened},
		})
	}
	return scripts
}

// webSocketSources are those that a policy can have, and what comes of a WebSocket of https://api.example.com with them.
var webSocketSources = []struct{ source, verdict string }{
	{"*", "allowed"},
	{"'self'", "content-security-policy"},
	{"wss:", "allowed"},
	{"ws:", "allowed"},
	{"https:", "content-security-policy"},
	{"http:", "content-security-policy"},
	{"wss://api.example.com", "allowed"},
	{"ws://api.example.com", "allowed"},
	{"https://api.example.com", "content-security-policy"},
	{"api.example.com", "content-security-policy"},
	{"api.example.com:443", "content-security-policy"},
	{"*.example.com", "content-security-policy"},
	{"wss://api.example.com/script/", "allowed"},
	{"wss://api.example.com/elsewhere/", "content-security-policy"},
	{"https://*", "content-security-policy"},
}

func write(scripts ...script) []script {
	for i, s := range scripts {
		scripts[i] = s.withDefaults()
	}
	return scripts
}

// withStatus answers with a status and a type.
func withStatus(status int, contentType string) hop {
	return hop{actual: answer{status: status, fields: []fetch.Field{{Name: "Content-Type", Value: contentType}, {Name: "Access-Control-Allow-Origin", Value: "{origin}"}}}}
}

// chain redirects so many times.
func chain(redirects int) []hop {
	var hops []hop
	for i := range redirects {
		hops = append(hops, redirectTo(302, "{path}/"+strconv.Itoa(i+1)))
	}
	return append(hops, allowAll)
}

// repeated are so many fields of 128 bytes.
func repeated(count int) []fetch.Field {
	var fields []fetch.Field
	for range count {
		fields = append(fields, fetch.Field{Name: "Accept", Value: strings.Repeat("a", 128)})
	}
	return fields
}

// credentialed allows a PUT of any origin with credentials.
func credentialed(maxAge string) hop {
	fields := []fetch.Field{
		{Name: "Access-Control-Allow-Origin", Value: "{origin}"},
		{Name: "Access-Control-Allow-Credentials", Value: "true"},
	}
	preflight := append(slices.Clone(fields),
		fetch.Field{Name: "Access-Control-Allow-Methods", Value: "PUT"},
		fetch.Field{Name: "Access-Control-Max-Age", Value: maxAge},
	)
	return hop{preflight: answer{status: 204, fields: preflight}, actual: answer{status: 200, fields: fields}}
}
