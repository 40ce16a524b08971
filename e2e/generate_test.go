//go:build linux

package e2e_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// The origins of the pages and of the servers. The ports are the default ones but for one, because a browser can tell
// ports apart in no other way than names.
const (
	securePage   = "https://app.example.com"
	plainPage    = "http://app.example.com"
	loopbackPage = "http://localhost"

	secureAPI   = "https://api.example.com"
	plainAPI    = "http://api.example.com"
	plainPort   = "http://api.example.com:8080"
	secureOther = "https://other.test"
	secureHTTP2 = "https://http2.test" // over HTTP/2, which streams need
	portedLocal = "http://localhost:8080"
)

var (
	pageOrigins   = []string{securePage, plainPage, loopbackPage}
	scriptOrigins = []string{securePage, plainPage, loopbackPage, secureAPI, plainAPI, plainPort, secureOther, secureHTTP2, portedLocal}
)

// A generator makes scripts, the same ones for the same seed.
type generator struct {
	*rand.Rand
	documents []*document // a few, so that a page needs no frame for each call
}

func newGenerator(seed uint64) generator {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	for range 24 {
		g.documents = append(g.documents, g.document())
	}
	return g
}

// A choice is one of several things, taken as often as its weight says.
type choice[T any] struct {
	weight int
	value  T
}

func choose[T any](g generator, choices ...choice[T]) T {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	n := g.IntN(total)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.value
		}
	}
	panic("unreachable")
}

func oneOf[T any](g generator, values ...T) T { return values[g.IntN(len(values))] }

// percent is true so many times in a hundred.
func (g generator) percent(n int) bool { return g.IntN(100) < n }

// script makes one.
func (g generator) script() script {
	s := script{
		page:        choose(g, choice[string]{80, securePage}, choice[string]{10, plainPage}, choice[string]{10, loopbackPage}),
		framed:      g.percent(12),
		credentials: g.percent(40),
		times:       choose(g, choice[int]{95, 1}, choice[int]{5, 2}),
	}
	s.url = g.server(s.page)
	s.kind = choose(g,
		choice[fetch.Kind]{60, fetch.KindFetch}, choice[fetch.Kind]{8, fetch.KindXHR}, choice[fetch.Kind]{4, fetch.KindXHRUpload},
		choice[fetch.Kind]{2, fetch.KindStream}, choice[fetch.Kind]{4, fetch.KindBeacon}, choice[fetch.Kind]{4, fetch.KindEventSource},
		choice[fetch.Kind]{3, fetch.KindFont}, choice[fetch.Kind]{5, fetch.KindScript}, choice[fetch.Kind]{3, fetch.KindModule},
		choice[fetch.Kind]{3, fetch.KindStyle}, choice[fetch.Kind]{5, fetch.KindImage}, choice[fetch.Kind]{3, fetch.KindMedia},
		choice[fetch.Kind]{2, fetch.KindWebSocket},
	)
	switch s.kind {
	case fetch.KindFetch:
		s.noCORS = g.percent(8)
	case fetch.KindScript, fetch.KindStyle, fetch.KindImage, fetch.KindMedia:
		s.noCORS = g.percent(50)
	}
	if !s.framed && g.percent(30) {
		s.document = oneOf(g, g.documents...)
	}
	if s.page == loopbackPage && s.upgrades() { // WebKit would upgrade the document's own script
		s.document = nil
	}
	s.url = s.reachable(s.url)
	if g.percent(6) {
		s.suffix = oneOf(g, suffixes...)
	}
	if g.percent(2) && s.kind != fetch.KindXHR && s.kind != fetch.KindXHRUpload {
		s.url = strings.Replace(s.url, "://", oneOf(g, "://user@", "://user:password@", "://:@", "://@"), 1)
	}
	if s.kind != fetch.KindFetch && s.kind != fetch.KindXHR && s.kind != fetch.KindXHRUpload {
		return g.otherKind(s)
	}
	s.method = choose(g,
		choice[string]{40, "GET"}, choice[string]{15, "POST"}, choice[string]{12, "PUT"}, choice[string]{6, "DELETE"},
		choice[string]{6, "PATCH"}, choice[string]{5, "HEAD"}, choice[string]{3, "patch"}, choice[string]{3, "OPTIONS"},
		choice[string]{2, "put"}, choice[string]{2, "QUERY"}, choice[string]{2, "CHICKEN"}, choice[string]{1, "Get"},
		choice[string]{1, "post"}, choice[string]{1, "TRACE"}, choice[string]{1, "track"}, choice[string]{1, "A B"},
	)
	s.header = g.requestHeader()
	if slices.Contains([]string{"POST", "PUT", "PATCH", "QUERY"}, s.method) && g.percent(60) || g.percent(1) {
		s.body = "hello"
	}

	g.hops(&s)
	return s
}

// suffixes are what can come after the path of a URL.
var suffixes = []string{"?a=b c", "?a='\"<>`", "?ä=ö", "?%zz", "?a=b?c", "?\\", "?{|}^", "?", "?[]@!$&()*+,;=", "#fragment", "#", "?a#b#c", " "}

// upgrades reports whether the document's policies upgrade http URLs.
func (s *script) upgrades() bool {
	return s.document != nil && s.document.parse(s.page).Policies.UpgradesInsecureRequests()
}

// reachable is a server, or another one where an upgrade would lead to a port on which nobody speaks TLS: engines take their
// time to find that out.
func (s *script) reachable(server string) string {
	if strings.HasSuffix(server, ":8080") && s.upgrades() {
		return plainAPI
	}
	return server
}

// otherKind goes on with a kind whose method is not the script's.
func (g generator) otherKind(s script) script {
	s.times = 1
	s.method = s.kind.Method()
	switch s.kind {
	case fetch.KindStream:
		s.body = "hello"
		s.url = oneOf(g, secureAPI, secureHTTP2, secureHTTP2, secureHTTP2)
		s.header = g.requestHeader()
	case fetch.KindBeacon:
		s.credentials, s.body = true, "hello"
		if g.percent(60) {
			s.header = []fetch.Field{{Name: "Content-Type", Value: oneOf(g, contentTypes...)}}
		}
	case fetch.KindFont:
		s.credentials = false
	case fetch.KindWebSocket:
		s.credentials = true
		s.url = oneOf(g, securePage, secureAPI, secureOther, plainAPI)
		h := g.hop(&s, 85)
		h.actual.status = choose(g, choice[int]{70, 101}, choice[int]{10, 200}, choice[int]{10, 403}, choice[int]{10, 302})
		h.actual.raw = false
		s.hops = []hop{h}
		return s
	}
	if s.noCORS {
		s.credentials = true
	}
	g.hops(&s)
	last := &s.hops[len(s.hops)-1].actual
	add := func(name string, values ...string) {
		last.fields = append(last.fields, fetch.Field{Name: name, Value: oneOf(g, values...)})
	}
	if types := typesOf[s.kind]; types != nil {
		if g.percent(70) {
			last.status = 200
			add("Content-Type", types[0])
		} else if g.percent(80) {
			add("Content-Type", types...)
			if g.percent(10) {
				add("Content-Type", types[:len(types)-1]...)
			}
		}
		if g.percent(15) {
			add("X-Content-Type-Options", "nosniff", "NOSNIFF", "nosniff,", "x", "x, nosniff")
		}
		last.raw = false // it needs its body
		if last.status == 206 && g.percent(50) {
			add("Content-Range", "bytes 0-4/5", "bytes 0-1023/1024", "bytes 7-11/12", "bytes */5", "x")
		}
	}
	if s.noCORS && g.percent(50) {
		h := &s.hops[g.IntN(len(s.hops))].actual
		h.fields = append(h.fields, fetch.Field{
			Name: "Cross-Origin-Resource-Policy", Value: oneOf(g, "same-origin", "same-site", "cross-origin", "Same-Origin", "same-origin, cross-origin", ""),
		})
	}
	return s
}

// typesOf are Content-Types of responses: first the right one. Where there is a picture, none is that of another format
// which an engine draws, such as SVG, or PDF in WebKit.
var typesOf = map[fetch.Kind][]string{
	fetch.KindEventSource: {"text/event-stream", "text/event-stream;charset=utf-8", "text/plain", "TEXT/EVENT-STREAM", "application/json", "", noField},
	fetch.KindScript:      {"text/javascript", "application/javascript", "text/plain", "image/png", "text/csv", "text/html", "application/json", "audio/mpeg", "application/octet-stream", "", noField},
	fetch.KindModule:      {"text/javascript", "application/javascript;charset=utf-8", "text/plain", "image/png", "text/html", "text/ecmascript", "", noField},
	fetch.KindStyle:       {"text/css", "text/css;charset=utf-8", "text/plain", "text/html", "TEXT/CSS", "", noField, "x", "text/", "*/*", "application/x-unknown-content-type"},
	fetch.KindImage:       {"image/gif", "image/png", "text/plain", "text/html", "application/json", "application/gzip", "text/csv", "application/octet-stream", "", noField},
	fetch.KindMedia:       {"audio/wav", "audio/x-wav", "text/plain", "text/html", "application/rss+xml", "application/zip", "text/event-stream", "application/octet-stream", "", noField},
	fetch.KindFont:        {"font/ttf", "text/html", "application/octet-stream", "", noField},
}

// hops makes the answers: some redirects, and what is at the end of them.
func (g generator) hops(s *script) {
	redirects := choose(g, choice[int]{55, 0}, choice[int]{22, 1}, choice[int]{14, 2}, choice[int]{8, 3}, choice[int]{1, 20})
	if redirects == 20 {
		redirects += g.IntN(2)
	}
	current := s.url
	for i := range redirects {
		next := current
		if redirects < 20 || g.percent(5) {
			next = s.reachable(g.server(s.page))
		}
		if s.kind == fetch.KindStream && g.percent(60) {
			next = secureHTTP2
		}
		h := g.hop(s, 85)
		h.actual.status = oneOf(g, 301, 302, 303, 307, 308)
		location, ok := g.location(current, next, i)
		if strings.HasPrefix(location, "mailto:") && (s.noCORS || s.kind == fetch.KindBeacon) {
			location = "ftp://example.com/" // Firefox ends the page's process
		}
		if strings.Contains(location, ":/") && !strings.Contains(location, "://") && s.kind == fetch.KindImage {
			location = next + fmt.Sprintf("{path}/%d", i+1) // it is a path where it is relative, and no picture is there
		}
		if ok {
			h.actual.fields = append(h.actual.fields, fetch.Field{Name: "Location", Value: location})
			if location != "" && g.percent(2) {
				h.actual.fields = append(h.actual.fields, fetch.Field{Name: "Location", Value: oneOf(g, location, next+fmt.Sprintf("{path}/%d", i+1))})
			}
		}
		s.hops = append(s.hops, h)
		current = next
	}
	if redirects > 0 && g.percent(2) { // a loop
		return
	}
	s.hops = append(s.hops, g.hop(s, 60))
}

// document makes one with policies.
func (g generator) document() *document {
	d := new(document)
	add := func(name, value string) { d.header = append(d.header, fetch.Field{Name: name, Value: value}) }
	const field = "Content-Security-Policy"
	switch g.IntN(10) {
	case 0:
		add("Cross-Origin-Embedder-Policy", oneOf(g, "require-corp", "require-corp", "credentialless", "require-corp; report-to=\"x\"", "unsafe-none", "Require-Corp"))
	case 1:
		add(field, oneOf(g, "upgrade-insecure-requests", "upgrade-insecure-requests", "upgrade-insecure-requests; "+g.policy()))
	case 2:
		add(field, oneOf(g, "sandbox allow-scripts", "sandbox allow-scripts allow-same-origin", "Sandbox Allow-Scripts"))
	case 3:
		add(field+"-Report-Only", g.policy())
		add(field, g.policy())
	case 4:
		d.meta = oneOf(g, g.policy(), "upgrade-insecure-requests", "sandbox; "+g.policy())
	case 5:
		add(field, g.policy()+", "+g.policy())
	case 6:
		add(field, g.policy())
		add(field, g.policy())
	default:
		add(field, g.policy())
	}
	return d
}

// policy makes one that lets the document run its own script.
func (g generator) policy() string {
	sources := func() string {
		var list []string
		for range choose(g, choice[int]{10, 0}, choice[int]{50, 1}, choice[int]{30, 2}, choice[int]{10, 3}) {
			list = append(list, oneOf(g, "'self'", "'self'", "'none'", "*", "https:", "http:", "wss:", secureAPI, secureOther, "api.example.com", "*.example.com",
				"http://api.example.com", "http://api.example.com:80", "https://api.example.com:80", "api.example.com:443", "*:443", "*:*", "api.example.com:*", "https://*", "https://api.example.com/",
				"https://api.example.com/script/", "https://api.example.com/elsewhere/", "https://other.test/elsewhere", "HTTPS://API.example.com", "wss://api.example.com",
				"https://api.example.com/script/?query", "'SELF'", "app.example.com", "localhost:8080", "ftp:", "//api.example.com", "https://api.example.com:x"))
		}
		return strings.Join(list, " ")
	}
	var directives []string
	for range 1 + g.IntN(3) {
		name := oneOf(g, "connect-src", "connect-src", "img-src", "font-src", "media-src", "style-src", "style-src-elem", "script-src", "script-src-elem", "default-src", "default-src", "Connect-Src")
		value := sources()
		switch {
		case name == "script-src" || name == "script-src-elem":
			value = "'self' " + value
		case g.percent(4):
			// Browsers ignore the whole directive. Of one that has the document's own script, default-src would decide.
			value += " ü"
		}
		directives = append(directives, strings.TrimSpace(name+" "+value))
		if name == "default-src" {
			directives = append(directives, "script-src 'self' "+sources())
		}
	}
	return strings.Join(directives, oneOf(g, "; ", ";", ";; "))
}

// server chooses where a call or a redirect goes: mostly to where the page's browser lets it.
func (g generator) server(page string) string {
	if page == securePage {
		return choose(g,
			choice[string]{20, securePage}, choice[string]{45, secureAPI}, choice[string]{25, secureOther},
			choice[string]{4, plainAPI}, choice[string]{2, plainPage}, choice[string]{2, loopbackPage}, choice[string]{2, portedLocal},
		)
	}
	return oneOf(g, page, page, secureAPI, plainAPI, plainPort, secureOther, portedLocal, loopbackPage, plainPage)
}

// location writes one hop's Location, if there is any.
func (g generator) location(current, next string, hop int) (location string, ok bool) {
	path := fmt.Sprintf("{path}/%d", hop+1)
	scheme, host, _ := strings.Cut(next, "://")
	port := map[string]string{"https": ":443", "http": ":80"}[scheme]
	if strings.Contains(host, ":") {
		port = ""
	}
	location = choose(g,
		choice[string]{300, next + path},
		choice[string]{12, scheme + "://user:password@" + host + path},
		choice[string]{6, scheme + "://user@" + host + path},
		choice[string]{4, scheme + "://:password@" + host + path},
		choice[string]{4, scheme + "://@" + host + path},
		choice[string]{4, scheme + "://:@" + host + path},
		choice[string]{6, next + path + "#fragment"},
		choice[string]{6, scheme + "://" + host + port + path},
		choice[string]{4, strings.ToUpper(next) + path},
		choice[string]{4, scheme + `:\\` + host + strings.ReplaceAll(path, "/", `\`)},
		choice[string]{4, scheme + ":/" + host + path},
		choice[string]{4, next + "/x/../" + strings.TrimPrefix(path, "/")},
		choice[string]{6, next + path + oneOf(g, suffixes...)},
		choice[string]{4, next + ":6000" + path},
		choice[string]{4, next + ":99999" + path},
		choice[string]{4, "ftp://" + host + path},
		choice[string]{3, "data:text/plain,hello"},
		choice[string]{3, "mailto:alice@example.com"},
		choice[string]{3, "javascript:1"},
		choice[string]{3, "app://" + host + path},
		choice[string]{2, scheme + "://"},
		choice[string]{2, scheme + "://exa mple.com" + path},
		choice[string]{2, scheme + "://[::1" + path},
		choice[string]{3, ""},
	)
	if current == next && g.percent(40) {
		location = oneOf(g, path, fmt.Sprint(hop+1), fmt.Sprintf("./%d#fragment", hop+1), fmt.Sprintf("//%s%s", host, path))
	}
	return location, !g.percent(3)
}

// hop makes the answers to one URL, which allow what the script asks for in about so many of a hundred cases.
func (g generator) hop(s *script, good int) hop {
	h := hop{preflight: g.answer(s, good), actual: g.answer(s, good)}
	h.preflight.status = choose(g,
		choice[int]{45, 204}, choice[int]{40, 200}, choice[int]{1, 201}, choice[int]{1, 202}, choice[int]{1, 206},
		choice[int]{1, 299}, choice[int]{1, 300}, choice[int]{1, 301}, choice[int]{1, 302}, choice[int]{1, 304},
		choice[int]{1, 307}, choice[int]{1, 400}, choice[int]{1, 401}, choice[int]{1, 403}, choice[int]{1, 404},
		choice[int]{1, 405}, choice[int]{1, 500},
	)
	if g.percent(good) {
		h.preflight.status = 204
	}
	if h.preflight.status > 300 && h.preflight.status < 309 && g.percent(70) {
		h.preflight.fields = append(h.preflight.fields, fetch.Field{Name: "Location", Value: "{path}/0"})
	}
	maxAge := choose(g,
		choice[string]{80, "600"}, choice[string]{10, "0"}, choice[string]{5, "99999999999"}, choice[string]{1, "-1"}, choice[string]{1, ""},
		choice[string]{1, "600, 600"}, choice[string]{1, "5m"}, choice[string]{1, "1.5"},
	)
	h.preflight.fields = append(h.preflight.fields, fetch.Field{Name: "Access-Control-Max-Age", Value: maxAge})
	g.allowMethods(&h.preflight, s.method, good)
	g.allowHeaders(&h.preflight, s.header, good)

	h.actual.status = choose(g,
		choice[int]{60, 200}, choice[int]{2, 201}, choice[int]{2, 203}, choice[int]{3, 204}, choice[int]{1, 205},
		choice[int]{2, 206}, choice[int]{2, 300}, choice[int]{2, 302}, choice[int]{1, 304}, choice[int]{1, 305},
		choice[int]{1, 306}, choice[int]{2, 400}, choice[int]{2, 401}, choice[int]{2, 403}, choice[int]{3, 404},
		choice[int]{1, 407}, choice[int]{1, 410}, choice[int]{1, 418}, choice[int]{1, 422}, choice[int]{2, 429}, choice[int]{3, 500},
	)
	g.exposeHeaders(&h.actual)
	for _, a := range []*answer{&h.preflight, &h.actual} {
		if g.percent(4) {
			early := g.answer(s, 50)
			a.early, a.raw = append(early.fields, fetch.Field{Name: "Link", Value: "</x>; rel=preconnect"}), false
		}
	}
	return h
}

// answer makes one that has what all answers have: the origin and the credentials.
func (g generator) answer(s *script, good int) answer {
	var a answer
	add := func(name string, values ...string) {
		for _, value := range values {
			a.fields = append(a.fields, fetch.Field{Name: name, Value: value})
			if strings.Trim(value, " \t") != value {
				a.raw = true
			}
		}
	}
	type values = []string
	origin := s.origin()
	allowOrigin := choose(g, choice[values]{60, values{"{origin}"}}, choice[values]{20, values{origin}}, choice[values]{20, values{"*"}})
	if s.credentials && g.percent(90) {
		allowOrigin = values{"{origin}"}
	}
	if !g.percent(good) {
		allowOrigin = choose(g,
			choice[values]{8, nil}, choice[values]{6, values{"*"}}, choice[values]{6, values{origin}}, choice[values]{6, values{"null"}},
			choice[values]{4, values{secureOther}}, choice[values]{4, values{"{origin}", "{origin}"}}, choice[values]{2, values{"{origin}", "*"}},
			choice[values]{2, values{"{origin}, {origin}"}}, choice[values]{2, values{"{origin} " + secureOther}}, choice[values]{2, values{"{origin},"}},
			choice[values]{2, values{"*, {origin}"}}, choice[values]{2, values{"**"}}, choice[values]{2, values{"'*'"}},
			choice[values]{4, values{strings.ToUpper(origin)}}, choice[values]{4, values{"{origin}/"}}, choice[values]{2, values{origin + ":443"}},
			choice[values]{2, values{""}}, choice[values]{2, values{"NULL"}}, choice[values]{2, values{`"{origin}"`}},
			choice[values]{2, values{" {origin}\t"}}, choice[values]{2, values{" \t* "}}, choice[values]{2, values{strings.TrimPrefix(origin, "https://")}},
			choice[values]{2, values{"https://*.example.com"}},
		)
	}
	add(oneOf(g, "Access-Control-Allow-Origin", "Access-Control-Allow-Origin", "access-control-allow-origin", "ACCESS-CONTROL-ALLOW-ORIGIN"), allowOrigin...)

	allowCredentials := values{"true"}
	if !g.percent(good) {
		allowCredentials = choose(g,
			choice[values]{8, nil}, choice[values]{3, values{"True"}}, choice[values]{3, values{"TRUE"}}, choice[values]{3, values{"false"}},
			choice[values]{2, values{"1"}}, choice[values]{2, values{""}}, choice[values]{2, values{"true", "true"}},
			choice[values]{2, values{"true, true"}}, choice[values]{2, values{"  true\t"}}, choice[values]{2, values{`"true"`}},
		)
	}
	add("Access-Control-Allow-Credentials", allowCredentials...)
	return a
}

// list spells a list in one of the ways there are.
func (g generator) list(a *answer, name string, elements []string) {
	g.Shuffle(len(elements), func(i, j int) { elements[i], elements[j] = elements[j], elements[i] })
	var lines []string
	switch g.IntN(8) {
	case 0:
		lines = elements
	case 1:
		lines = []string{strings.Join(elements, ",")}
	case 2:
		lines = []string{strings.Join(elements, " ,\t")}
	case 3:
		lines = []string{"," + strings.Join(elements, ",, ,") + ","}
	case 4:
		middle := len(elements) / 2
		lines = []string{strings.Join(elements[:middle], ", "), strings.Join(elements[middle:], ", ")}
	default:
		lines = []string{strings.Join(elements, ", ")}
	}
	for _, line := range lines {
		a.fields = append(a.fields, fetch.Field{Name: name, Value: strings.Trim(line, " \t")})
	}
}

func (g generator) allowMethods(a *answer, method string, good int) {
	const name = "Access-Control-Allow-Methods"
	upper := strings.ToUpper(method)
	elements := []string{"GET", "OPTIONS"}
	switch {
	case g.percent(good):
		elements = append(elements, method)
		if method == "put" || method == "Get" {
			elements = append(elements, upper)
		}
	case g.percent(25):
		elements = []string{"*"}
	case g.percent(20):
		elements = []string{"*", "GET"}
	case g.percent(20):
		elements = append(elements, upper)
	case g.percent(20):
		elements = append(elements, strings.ToLower(method))
	case g.percent(20):
		a.fields = append(a.fields, fetch.Field{Name: name, Value: oneOf(g, "", "GET "+upper, "GET; "+upper, `"`+upper+`"`, "GET, "+upper+" POST", "GET,"+upper+",@")})
		return
	case g.percent(50):
		return
	}
	g.list(a, name, slices.DeleteFunc(elements, func(s string) bool { return strings.Contains(s, " ") }))
}

func (g generator) allowHeaders(a *answer, header []fetch.Field, good int) {
	const name = "Access-Control-Allow-Headers"
	var elements []string
	for _, field := range header {
		elements = append(elements, oneOf(g, field.Name, strings.ToLower(field.Name), strings.ToUpper(field.Name)))
	}
	if len(elements) == 0 && g.percent(50) {
		return
	}
	switch {
	case g.percent(good):
		elements = append(elements, "X-Any")
	case g.percent(40):
		elements = []string{"*"}
	case g.percent(20):
		elements = append([]string{"*"}, elements[:len(elements)/2]...)
	case g.percent(40) && len(elements) > 0:
		elements = elements[1:]
	case g.percent(40):
		a.fields = append(a.fields, fetch.Field{Name: name, Value: oneOf(g, "", strings.Join(elements, " "), strings.Join(elements, "; "), strings.Join(append(elements, "a b"), ","), strings.Join(append(elements, "a:"), ","))})
		return
	default:
		return
	}
	g.list(a, name, elements)
}

func (g generator) exposeHeaders(a *answer) {
	add := func(name, value string) { a.fields = append(a.fields, fetch.Field{Name: name, Value: value}) }
	if g.percent(20) {
		add("Content-Language", "en")
		add("Pragma", "x")
		add("Expires", "0")
		add("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")
		add("ETag", `"x"`)
	}
	add("X-Total", "1")
	add("X-Other", "1")
	if g.percent(10) {
		add("Set-Cookie", "a=b; Path=/script")
	}
	const name = "Access-Control-Expose-Headers"
	switch g.IntN(12) {
	case 0:
		g.list(a, name, []string{"X-Total"})
	case 1:
		g.list(a, name, []string{"x-total", "X-OTHER", "X-Missing"})
	case 2:
		g.list(a, name, []string{"*"})
	case 3:
		g.list(a, name, []string{"*", "X-Total", "Set-Cookie"})
	case 4:
		g.list(a, name, []string{"Set-Cookie", "ETag"})
	case 5:
		add(name, oneOf(g, "", "X-Total X-Other", "X-Total; X-Other", `"X-Total"`, "X-Total, X Other", "X-Total, @"))
	}
}

// requestHeader chooses what the script sets.
func (g generator) requestHeader() []fetch.Field {
	var fields []fetch.Field
	count := choose(g, choice[int]{40, 0}, choice[int]{35, 1}, choice[int]{15, 2}, choice[int]{10, 3})
	for range count {
		field := choose(g,
			choice[fetch.Field]{20, fetch.Field{Name: "X-One", Value: "1"}},
			choice[fetch.Field]{10, fetch.Field{Name: "x-two", Value: "2"}},
			choice[fetch.Field]{10, fetch.Field{Name: "Authorization", Value: "Bearer x"}},
			choice[fetch.Field]{16, fetch.Field{Name: "Content-Type", Value: oneOf(g, contentTypes...)}},
			choice[fetch.Field]{8, fetch.Field{Name: oneOf(g, "Accept", "accept"), Value: oneOf(g, accepts...)}},
			choice[fetch.Field]{8, fetch.Field{Name: oneOf(g, "Accept-Language", "Content-Language"), Value: oneOf(g, languages...)}},
			choice[fetch.Field]{8, fetch.Field{Name: "Range", Value: oneOf(g, ranges...)}},
			choice[fetch.Field]{4, fetch.Field{Name: "Cache-Control", Value: "no-cache"}},
			choice[fetch.Field]{3, fetch.Field{Name: "X-HTTP-Method-Override", Value: oneOf(g, "PUT", "TRACE", "PUT, track", `"TRACE"`, "TRACER")}},
			choice[fetch.Field]{3, fetch.Field{Name: oneOf(g, "Cookie", "Origin", "Sec-X", "Proxy-X", "DNT", "Host", "Access-Control-Request-Method", "Via", "Set-Cookie"), Value: "1"}},
			choice[fetch.Field]{2, fetch.Field{Name: oneOf(g, "DPR", "Downlink", "RTT", "Width", "Viewport-Width", "Device-Memory", "ECT"), Value: oneOf(g, "1", "1.5", "4g", "x")}},
			choice[fetch.Field]{2, fetch.Field{Name: oneOf(g, "Save-Data", "User-Agent"), Value: oneOf(g, "on", "off")}},
			choice[fetch.Field]{1, fetch.Field{Name: oneOf(g, "X:Y", "X Y", ""), Value: "1"}},
			choice[fetch.Field]{1, fetch.Field{Name: "X-One", Value: oneOf(g, "", " 1\t", "a\nb", "☃")}},
		)
		if slices.ContainsFunc(fields, func(f fetch.Field) bool { return strings.EqualFold(f.Name, field.Name) }) && (g.percent(90) || field.Name == "Authorization") {
			continue // Firefox takes one Authorization alone
		}
		fields = append(fields, field)
	}
	slices.SortFunc(fields, func(a, b fetch.Field) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

var (
	contentTypes = []string{
		"application/json", "application/json", "text/plain", "text/plain;charset=UTF-8", "Text/Plain", "text/plain ; x=y",
		"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", `text/plain; charset="utf-8"`, "text/plain;@",
		"text", "text/", "/plain", "", "text/plain, application/json", "text/html", "application/x-www-form-urlencoded; " + strings.Repeat("x", 93),
		"application/x-www-form-urlencoded; " + strings.Repeat("x", 94),
	}
	accepts   = []string{"application/json", "text/html, */*;q=0.1", "a(b)", "a@b", strings.Repeat("a", 128), strings.Repeat("a", 129), ""}
	languages = []string{"en", "de-DE, en;q=0.5", "*", "en_US", "en/us", "en\tus", strings.Repeat("a", 128), strings.Repeat("a", 129)}
	ranges    = []string{
		"bytes=0-5", "bytes=5-", "bytes=-5", "bytes=5-1", "bytes=0-1,3-4", "bytes= 0-5", "bytes=0 - 5", "Bytes=0-5", "items=0-5",
		"bytes=", "bytes=-", "bytes=0-5x", "bytes=00000000000000000000009-10", "bytes=99999999999999999999-99999999999999999999",
	}
)
