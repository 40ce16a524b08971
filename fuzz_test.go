package caddycors_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dunglas/httpsfv"
	"golang.org/x/net/http/httpguts"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A subject is a directive, and in plain terms what it says.
type subject struct {
	directive string
	rights    []rights // of its policies, in their order
	forward   bool
	preserve  bool
	enforce   bool
	status    int // of an answered preflight; 0 for the default
}

// rights are a policy in plain terms.
type rights struct {
	policy      string
	origins     string // that may call: a regular expression, or a text that ends with the request's {host}
	credentials bool
	timing      bool
	network     bool
	methods     []string
	headers     []string
	exposed     []string
	maxAge      string // the default if empty
}

var subjects = []subject{
	{
		directive: `cors https://app.example.com`,
		rights:    []rights{{policy: "default", origins: `https://app\.example\.com`}},
	},
	{
		directive: `cors * {
			allow_methods *
			allow_headers *
			expose_headers *
			expose_timing
			max_age off
		}`,
		rights: []rights{{policy: "default", origins: `.*`, timing: true, methods: []string{"*"}, headers: []string{"*"}, exposed: []string{"*"}, maxAge: "0"}},
	},
	{
		directive: `cors https://*.example.com:* {
			allow_methods * PUT
			allow_headers Authorization *
			expose_headers * X-Total
			expose_timing
			allow_credentials
			allow_private_network
			preflight_status 200
		}`,
		rights: []rights{{
			policy: "default", origins: `https://([a-z0-9_-]+\.)+example\.com(:[0-9]+)?`, credentials: true, timing: true, network: true,
			methods: []string{"*", "PUT"}, headers: []string{"Authorization", "*"}, exposed: []string{"*", "X-Total"},
		}},
		status: 200,
	},
	{
		directive: `cors null http://localhost:* {
			allow_methods PUT
			allow_headers X-One
			expose_headers ETag
			allow_credentials
			insecure null_origin_with_credentials
		}`,
		rights:  []rights{{policy: "default", origins: `null|http://localhost(:[0-9]+)?`, credentials: true, methods: []string{"PUT"}, headers: []string{"X-One"}, exposed: []string{"ETag"}}},
		enforce: true,
	},
	{
		directive: `cors * {
			forward_preflight
			policy https://app.example.com {
				allow_credentials
				allow_methods PUT
				allow_private_network
			}
			policy fleet {
				allow_origins_from test_fleet blue
				allow_headers *
			}
		}`,
		rights: []rights{
			{policy: "policy-1", origins: `https://app\.example\.com`, credentials: true, network: true, methods: []string{"PUT"}},
			{policy: "fleet", origins: `[a-z0-9+.-]+://([a-z0-9_-]+\.)+blue\.example\.com`, headers: []string{"*"}},
			{policy: "default", origins: `.*`},
		},
		forward: true,
	},
	{
		directive: `cors {
			upstream preserve
			forward_preflight
			allow_origins_regexp "https://pr-[0-9]+\.example\.com"
			allow_methods *
			expose_headers ETag, X-Total
		}`,
		rights:   []rights{{policy: "default", origins: `https://pr-[0-9]+\.example\.com`, methods: []string{"*"}, exposed: []string{"ETag", "X-Total"}}},
		forward:  true,
		preserve: true,
	},
	{
		directive: `cors https://{http.request.host} {
			upstream preserve
			forward_preflight
			allow_credentials
			insecure any_origin_with_credentials
			expose_headers *
		}`,
		rights:   []rights{{policy: "default", origins: `https://{host}`, credentials: true, exposed: []string{"*"}}},
		forward:  true,
		preserve: true,
		enforce:  true,
	},
	{
		directive: `cors * {
			allow_credentials
			insecure any_origin_with_credentials
			allow_headers *
			allow_methods *
		}`,
		rights: []rights{{policy: "default", origins: `[^:]+://.*`, credentials: true, methods: []string{"*"}, headers: []string{"*"}}},
	},
	{
		directive: `cors https://app.example.com {
			expose_timing
			max_age 1h
		}`,
		rights: []rights{{policy: "default", origins: `https://app\.example\.com`, timing: true, maxAge: "3600"}},
	},
}

// handler loads the subject's directive with further options.
func (s subject) handler(t testing.TB, options ...string) caddyhttp.MiddlewareHandler {
	directive := s.directive
	if len(options) > 0 {
		block, ok := strings.CutSuffix(directive, "}")
		if !ok {
			block += " {\n"
		}
		directive = block + strings.Join(options, "\n") + "\n}"
	}
	return livecaddy.Handler(t, directive)
}

// A judgment is what a subject makes of a request.
type judgment struct {
	outcome, reason, detail, policy string
	rights                          *rights // that the origin has; nil if it may not call
	allowOrigin                     string
}

func isPreflight(r *http.Request) bool {
	return r.Method == "OPTIONS" && len(r.Header["Origin"]) > 0 && len(r.Header["Access-Control-Request-Method"]) > 0
}

func (s subject) public() bool {
	return len(s.rights) == 1 && s.rights[0].origins == ".*" && !s.rights[0].credentials
}

func (s subject) judge(r *http.Request) judgment {
	last := &s.rights[len(s.rights)-1]
	lines := r.Header["Origin"]
	if s.public() {
		j := judgment{outcome: "allowed", policy: last.policy, rights: last, allowOrigin: "*"}
		if len(lines) == 0 {
			j.outcome = "no-origin"
		}
		return last.judgePreflight(j, r)
	}
	if len(lines) == 0 {
		return judgment{outcome: "no-origin", policy: last.policy}
	}
	text := lines[0]
	o, valid := origin.Parse(text)
	if len(lines) == 1 {
		for i := range s.rights {
			p := &s.rights[i]
			if (valid || text == "null") && p.has(text, r.Host) {
				return p.judgePreflight(judgment{outcome: "allowed", policy: p.policy, rights: p, allowOrigin: text}, r)
			}
		}
		site, known := r.Header["Sec-Fetch-Site"]
		scheme, host, _ := strings.Cut(text, "://")
		bySpelling := (scheme == "http" || scheme == "https") && host != "" && strings.EqualFold(host, r.Host)
		if !isPreflight(r) && (known && site[0] == "same-origin" || !known && (o.SameHost(r.Host) || bySpelling)) {
			return judgment{outcome: "same-origin", policy: last.policy}
		}
		mode := r.Header.Get("Sec-Fetch-Mode")
		if (r.Method == "GET" || r.Method == "HEAD") && (mode == "no-cors" || mode == "navigate") && !strings.Contains(asciiLower(r.Header.Get("Upgrade")), "websocket") {
			return judgment{outcome: "no-cors", policy: last.policy}
		}
	}
	j := judgment{outcome: "denied", reason: "origin-not-allowed", detail: text, policy: last.policy}
	switch {
	case len(lines) > 1 || !valid && text != "null":
		j.reason = "origin-invalid"
	case text == "null":
		j.reason = "origin-null"
	}
	return j
}

func (p *rights) has(text, host string) bool {
	if before, ok := strings.CutSuffix(p.origins, "{host}"); ok {
		return text == before+host
	}
	return regexp.MustCompile(`\A(?:` + p.origins + `)\z`).MatchString(text)
}

func (p *rights) judgePreflight(j judgment, r *http.Request) judgment {
	if !isPreflight(r) {
		return j
	}
	method := r.Header["Access-Control-Request-Method"]
	header, ok := p.missingHeader(r.Header["Access-Control-Request-Headers"])
	switch {
	case len(method) > 1 || !p.allowsMethod(method[0]):
		j.outcome, j.reason, j.detail = "denied", "method-not-allowed", method[0]
	case !ok:
		j.outcome, j.reason, j.detail = "denied", "header-not-allowed", header
	case r.Header.Get("Access-Control-Request-Private-Network") == "true" && !p.network:
		j.outcome, j.reason = "denied", "private-network-not-allowed"
	}
	return j
}

func (p *rights) allowsMethod(method string) bool {
	if slices.Contains([]string{"GET", "HEAD", "POST"}, method) || method != "*" && slices.Contains(p.methods, method) {
		return true
	}
	forbidden := slices.Contains([]string{"CONNECT", "TRACE", "TRACK"}, strings.ToUpper(method))
	return slices.Contains(p.methods, "*") && method != "*" && httpguts.ValidHeaderFieldName(method) && len(method) <= 4096 && !forbidden
}

func (p *rights) missingHeader(lines []string) (name string, ok bool) {
	total := 0
	for _, name := range requestedNames(lines) {
		byName := slices.ContainsFunc(p.headers, func(listed string) bool { return listed != "*" && asciiLower(listed) == asciiLower(name) })
		byStar := slices.Contains(p.headers, "*") && httpguts.ValidHeaderFieldName(name) && asciiLower(name) != "authorization" && name != "*"
		if total += len(name); total > 4096 || !byName && !byStar {
			return name, false
		}
	}
	return "", true
}

// gap is a run of more separators than are passed over.
var gap = regexp.MustCompile(`(\A|,)[,\t ]{257}`)

// requestedNames returns the names that are asked for, up to a gap, which is none.
func requestedNames(lines []string) (names []string) {
	for _, line := range lines {
		if at := gap.FindStringSubmatchIndex(line); at != nil {
			return append(append(names, membersOf(line[:at[3]])...), ",")
		}
		names = append(names, membersOf(line)...)
	}
	return names
}

// cors returns the CORS fields of a response to the request; other has the response's other fields.
func (s subject) cors(r *http.Request, j judgment, other http.Header) http.Header {
	h := http.Header{}
	p := j.rights
	if p == nil {
		return h
	}
	set := func(name string, values ...string) {
		if len(values) > 0 {
			h.Set(name, strings.Join(values, ", "))
		}
	}
	withoutStar := func(values []string) []string {
		return slices.DeleteFunc(slices.Clone(values), func(name string) bool { return name == "*" })
	}
	set("Access-Control-Allow-Origin", j.allowOrigin)
	if p.credentials {
		set("Access-Control-Allow-Credentials", "true")
	}
	if !isPreflight(r) {
		if p.timing {
			set("Timing-Allow-Origin", j.allowOrigin)
		}
		exposed := p.exposed
		if p.credentials && slices.Contains(exposed, "*") {
			exposed = append(slices.Collect(maps.Keys(other)), "Date")
		}
		set("Access-Control-Expose-Headers", exposed...)
		return h
	}
	methods := withoutStar(p.methods)
	if asked := r.Header["Access-Control-Request-Method"]; slices.Contains(p.methods, "*") && len(asked) == 1 &&
		p.allowsMethod(asked[0]) && !slices.Contains(methods, asked[0]) {
		methods = append(methods, asked[0])
	}
	set("Access-Control-Allow-Methods", methods...)
	set("Access-Control-Allow-Headers", p.headersFor(r)...)
	exposed := p.exposed
	if p.credentials {
		exposed = withoutStar(exposed)
	}
	set("Access-Control-Expose-Headers", exposed...)
	if p.network && r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		set("Access-Control-Allow-Private-Network", "true")
	}
	if j.outcome == "allowed" {
		age := p.maxAge
		if age == "" {
			age = "600"
		}
		set("Access-Control-Max-Age", age)
	}
	return h
}

// headersFor returns the header names of the answer to a preflight: those that are listed, and what a "*" allows of those that
// are asked for, up to the first that is not allowed.
func (p *rights) headersFor(r *http.Request) []string {
	listed := slices.DeleteFunc(slices.Clone(p.headers), func(name string) bool { return name == "*" })
	names, total := slices.Clone(listed), 0
	for _, name := range requestedNames(r.Header["Access-Control-Request-Headers"]) {
		if total += len(name); total > 4096 {
			return listed
		}
		if slices.ContainsFunc(listed, func(other string) bool { return asciiLower(other) == asciiLower(name) }) {
			continue
		}
		if _, ok := p.missingHeader([]string{name}); !ok || !httpguts.ValidHeaderFieldName(name) {
			break
		}
		names = append(names, name)
	}
	return names
}

// vary returns the names that an answer depends on.
func (s subject) vary(r *http.Request) []string {
	var names []string
	if !s.public() {
		names = append(names, "Origin")
	}
	if s.enforce && !s.public() && !isPreflight(r) {
		names = append(names, "Sec-Fetch-Site", "Sec-Fetch-Mode")
	}
	if isPreflight(r) {
		names = append(names, "Access-Control-Request-Method", "Access-Control-Request-Headers")
		if slices.ContainsFunc(s.rights, func(p rights) bool { return p.network }) {
			names = append(names, "Access-Control-Request-Private-Network")
		}
	}
	return names
}

// membersOf returns the members of a list field that are not empty.
func membersOf(lines ...string) []string {
	var members []string
	for member := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if member = strings.Trim(member, " \t"); member != "" {
			members = append(members, member)
		}
	}
	return members
}

// asciiLower folds the case of ASCII, and of nothing else.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// parseMessage reads the text of a request or a response: a line of its own kind, then fields.
func parseMessage(text string, canonical func(string) string) (first string, header http.Header) {
	first, rest, _ := strings.Cut(text, "\n")
	header = http.Header{}
	for line := range strings.SplitSeq(rest, "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && httpguts.ValidHeaderFieldName(name) {
			name = canonical(name)
			header[name] = append(header[name], strings.Trim(value, " \t"))
		}
	}
	return first, header
}

// parseRequest reads a request; its first line has the method and the host.
func parseRequest(text string) *http.Request {
	first, header := parseMessage(text, textproto.CanonicalMIMEHeaderKey)
	r := &http.Request{URL: &url.URL{Path: "/"}, Header: header}
	r.Method, r.Host, _ = strings.Cut(first, " ")
	replacer := caddy.NewReplacer()
	replacer.Set("http.request.host", r.Host)
	ctx := context.WithValue(context.Background(), caddy.ReplacerCtxKey, replacer)
	return r.WithContext(context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{}))
}

// parseBackend reads a response, as the handler that writes it. Its first line has a status, or says what it does instead.
// What is no CORS field is spelled as everybody spells it.
func parseBackend(text string) (next caddyhttp.HandlerFunc, does string, header http.Header) {
	does, header = parseMessage(text, func(name string) string {
		if isCORSField(name) {
			return name
		}
		return textproto.CanonicalMIMEHeaderKey(name)
	})
	return func(w http.ResponseWriter, _ *http.Request) error {
		maps.Copy(w.Header(), header.Clone())
		switch does {
		case "nothing":
		case "body":
			_, err := w.Write([]byte("hello"))
			return err
		case "flush":
			w.(http.Flusher).Flush()
		case "error":
			return errBackend
		default:
			if status, err := strconv.Atoi(does); err == nil && status >= 100 && status <= 999 {
				w.WriteHeader(status)
			}
		}
		return nil
	}, does, header
}

var errBackend = caddyhttp.Error(http.StatusBadGateway, errors.New("the backend is down"))

func isCORSField(name string) bool {
	name = asciiLower(name)
	return strings.HasPrefix(name, "access-control-") || name == "timing-allow-origin"
}

// A wire keeps what a response writer sends.
type wire struct {
	header http.Header
	early  []http.Header // of informational responses
	sent   http.Header   // of the final one
	status int
}

func (w *wire) Header() http.Header { return w.header }

func (w *wire) WriteHeader(status int) {
	switch {
	case w.sent != nil:
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.early = append(w.early, w.header.Clone())
	default:
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *wire) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}

func (w *wire) Flush() { w.WriteHeader(http.StatusOK) }

// serve has the handler serve the request, and whoever comes before it end the response.
func serve(handler caddyhttp.MiddlewareHandler, r *http.Request, next caddyhttp.HandlerFunc) (w *wire, ran bool, err error) {
	w = &wire{header: http.Header{}}
	err = handler.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
		ran = true
		return next(w, r)
	}))
	if err == nil {
		w.WriteHeader(http.StatusOK)
	} else if w.sent == nil {
		w.sent = w.header.Clone() // of the error's response
	}
	return w, ran, err
}

// withoutCORS is a handler that changes nothing.
type withoutCORS struct{}

func (withoutCORS) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(w, r)
}

// sortFields returns the CORS fields of a response, the members of each in order, and all its other fields but Vary.
func sortFields(header http.Header) (cors, other http.Header) {
	cors, other = http.Header{}, http.Header{}
	for name, values := range header {
		switch {
		case isCORSField(name):
			cors[name] = []string{}
			for _, value := range values {
				sorted := membersOf(value)
				slices.Sort(sorted)
				cors[name] = append(cors[name], strings.Join(sorted, ", "))
			}
		case name != "Vary":
			other[name] = values
		}
	}
	return cors, other
}

// checkVary checks that the response's own members of Vary are all there, and those that cors adds, but not twice.
func checkVary(t *testing.T, got, own, added []string) {
	want := membersOf(own...)
	if slices.Contains(want, "*") {
		want = []string{"*"}
	}
	if len(got) > 1 && len(added) > 0 {
		t.Fatalf("Vary has the lines %q", got)
	}
	for _, name := range added {
		if !slices.ContainsFunc(want, func(member string) bool { return member == "*" || asciiLower(member) == asciiLower(name) }) {
			want = append(want, name)
		}
	}
	if got = membersOf(got...); !slices.Equal(got, want) {
		t.Fatalf("Vary is %q, want %q", got, want)
	}
}

// FuzzHandler holds the response to an arbitrary request, over whatever the next handler answers, against the contract
// as an oracle reads it. From 128 on, the number of the subject is of one that explains its decisions.
func FuzzHandler(f *testing.F) {
	var plain, explaining, watching []caddyhttp.MiddlewareHandler
	for _, s := range subjects {
		var options []string
		if s.enforce {
			options = append(options, "enforce")
		}
		plain = append(plain, s.handler(f, options...))
		explaining = append(explaining, s.handler(f, append(options, "debug")...))
		watching = append(watching, s.handler(f, "report_only"))
	}
	f.Fuzz(func(t *testing.T, i uint8, requestText, responseText string) {
		n, explains := int(i%128)%len(subjects), i >= 128
		s, handler := subjects[n], plain[n]
		if explains {
			handler = explaining[n]
		}
		r := parseRequest(requestText)
		next, does, own := parseBackend(responseText)
		j := s.judge(r)

		// What report_only leaves is the response that there is without cors.
		bare, _, bareErr := serve(withoutCORS{}, r, next)
		if watched, _, err := serve(watching[n], r, next); !reflect.DeepEqual(watched, bare) || err != bareErr {
			t.Fatalf("report_only makes %+v, %v of %+v, %v", watched, err, bare, bareErr)
		}

		w, ran, err := serve(handler, r, next)
		runs, status, failure := true, bare.status, failureOf(bareErr)
		switch {
		case isPreflight(r) && j.rights == nil && (s.enforce || !s.forward):
			runs, status, failure = false, http.StatusForbidden, 0
		case isPreflight(r) && !s.forward:
			runs, status, failure = false, cmp.Or(s.status, http.StatusNoContent), 0
		case !isPreflight(r) && j.outcome == "denied" && s.enforce:
			runs, status, failure = false, 0, http.StatusForbidden
		}
		if ran != runs || w.status != status || failureOf(err) != failure {
			t.Fatalf("the next handler runs: %v, want %v; status %d, want %d; error %v, want %d", ran, runs, w.status, status, err, failure)
		}
		if !ran {
			own = http.Header{}
		}

		for _, early := range w.early {
			if !reflect.DeepEqual(early, own) {
				t.Fatalf("an informational response has %v", early)
			}
		}
		if does == "101" && ran {
			if !reflect.DeepEqual(w.sent, own) {
				t.Fatalf("switching protocols has %v", w.sent)
			}
			return
		}
		checkVary(t, w.sent["Vary"], own["Vary"], s.vary(r))
		gotCORS, gotOther := sortFields(w.sent)
		ownCORS, ownOther := sortFields(own)
		if explains {
			ownOther["X-Cors-Decision"] = gotOther["X-Cors-Decision"] // see FuzzDebugHeader
		}
		if !reflect.DeepEqual(gotOther, ownOther) {
			t.Fatalf("other fields %q, want %q", gotOther, ownOther)
		}
		exposed := maps.Clone(ownOther)
		if len(w.sent["Vary"]) > 0 {
			exposed["Vary"] = nil
		}
		delete(exposed, "Set-Cookie")
		delete(exposed, "Date")
		want, _ := sortFields(s.cors(r, j, exposed))
		allows := func(name string) bool { return asciiLower(name) == "access-control-allow-origin" }
		if s.preserve && slices.ContainsFunc(slices.Collect(maps.Keys(ownCORS)), allows) {
			want = ownCORS
		}
		if !reflect.DeepEqual(gotCORS, want) {
			t.Fatalf("%s %s: CORS fields %.500q, want %.500q", j.outcome, j.reason, gotCORS, want)
		}
	})
}

// failureOf returns the status of an error, 0 for none.
func failureOf(err error) int {
	var failure caddyhttp.HandlerError
	if err != nil && !errors.As(err, &failure) {
		return -1
	}
	return failure.StatusCode
}

// FuzzDebugHeader holds the header that explains a decision, as another's parser of Structured Fields reads it, and the
// variables of the request against the oracle's decision.
func FuzzDebugHeader(f *testing.F) {
	var handlers []caddyhttp.MiddlewareHandler
	for _, s := range subjects {
		handlers = append(handlers, s.handler(f, "debug", "report_only"))
	}
	f.Fuzz(func(t *testing.T, i uint8, requestText string) {
		r := parseRequest(requestText)
		next, _, _ := parseBackend("200")
		w, _, _ := serve(handlers[int(i)%len(subjects)], r, next)
		want := subjects[int(i)%len(subjects)].judge(r)

		vars := r.Context().Value(caddyhttp.VarsCtxKey).(map[string]any)
		reason, denied := vars["cors.reason"]
		if fmt.Sprint(vars["cors.outcome"]) != want.outcome || denied && fmt.Sprint(reason) != want.reason || denied != (want.reason != "") || fmt.Sprint(vars["cors.policy"]) != want.policy {
			t.Fatalf("the variables are %.200q, want %.200q, %q, %q", vars, want.outcome, want.reason, want.policy)
		}

		if len(w.sent) != 1 {
			t.Fatalf("the response has %v", w.sent)
		}
		item, err := httpsfv.UnmarshalItem(w.sent["X-Cors-Decision"])
		if err != nil {
			t.Fatalf("%q: %v", w.sent["X-Cors-Decision"], err)
		}
		shown := map[string]any{"": item.Value}
		for _, name := range item.Params.Names() {
			shown[name], _ = item.Params.Get(name)
		}
		expected := map[string]any{"": httpsfv.Token(want.outcome), "policy": want.policy}
		if want.reason != "" {
			expected["reason"] = httpsfv.Token(want.reason)
		}
		if want.detail != "" {
			detail := []byte(want.detail[:min(len(want.detail), 128)])
			for i, c := range detail {
				if c < ' ' || c > '~' {
					detail[i] = '?'
				}
			}
			expected["detail"] = string(detail)
		}
		if !reflect.DeepEqual(shown, expected) {
			t.Fatalf("%q shows %q, want %q", w.sent["X-Cors-Decision"], shown, expected)
		}
	})
}

// FuzzCaddyfile reads arbitrary directives. What is refused is refused with a line for each problem; what is accepted means
// the same in Caddy's format, and loads, but for what only loading can tell.
func FuzzCaddyfile(f *testing.F) {
	for _, directive := range []string{
		"*", "https://app.example.com", "https://a.test {\nallow_methods GET, PUT\nmax_age off\n}", "{\npolicy x https://a.test {\nallow_credentials\n}\ndebug\n}",
		"{\nallow_origins_regexp \"a)|(b\"\n}", "@m *", "/api/* null", "{env.X} {http.vars.y}", "{\nfoo {\nbar {\n}\n}\n}", "https://* {\nallow_credentials\ninsecure any_origin_with_credentials\n}",
		"{\nallow_origins_from test_fleet x {\n}\n}", "https://\xff", "{\nmax_age 99999999h\n}", "{\npolicy\n}",
	} {
		f.Add(directive)
	}
	server := livecaddy.Context(f, f.TempDir())
	place := regexp.MustCompile(`, at Caddyfile:([0-9]+)\z`)
	f.Fuzz(func(t *testing.T, directive string) {
		if strings.Contains(directive, "import") || strings.Contains(directive, "file.") {
			return // reads files
		}
		text := ":8080 {\n\tcors " + directive + "\n}\n"
		config, err := livecaddy.Adapt(text)
		if err != nil {
			if !strings.Contains(err.Error(), "parsing caddyfile tokens for 'cors'") {
				return // is Caddy's own
			}
			for _, problem := range flatten(err) {
				m := place.FindStringSubmatch(problem.Error())
				if m == nil {
					t.Fatalf("%q: no place in %q", text, problem)
				}
				if line, _ := strconv.Atoi(m[1]); line < 1 || line > strings.Count(text, "\n") {
					t.Fatalf("%q: no such line: %v", text, problem)
				}
			}
			return
		}
		// What caddy fmt makes of unusual texts is not always the same to Caddy.
		if formatted := caddyfile.Format([]byte(text)); slices.Equal(tokensOf(formatted), tokensOf([]byte(text))) {
			if again, err := livecaddy.Adapt(string(formatted)); err != nil || string(again) != string(config) {
				t.Fatalf("%q adapts to %s, but formatted to %s, %v", text, config, again, err)
			}
		}
		for _, handler := range livecaddy.Handlers(t, config) {
			ctx, cancel := caddy.NewContext(server)
			defer cancel()
			loaded, err := ctx.LoadModuleByID("http.handlers.cors", handler)
			if err == nil {
				checkRisks(t, loaded.(*caddycors.Handler))
				continue
			}
			for _, problem := range flatten(err) {
				if !strings.Contains(problem.Error(), "allow_origins") && !strings.Contains(problem.Error(), "insecure") {
					t.Fatalf("%q adapts to %s, which does not load: %v", text, handler, problem)
				}
			}
		}
	})
}

// checkRisks checks that the risks of a handler that was loaded are taken knowingly.
func checkRisks(t *testing.T, h *caddycors.Handler) {
	all := []caddycors.PolicyOptions{h.PolicyOptions}
	for _, p := range h.Policies {
		all = append(all, p.PolicyOptions)
	}
	risks := map[string]string{
		"*": "any_origin_with_credentials", "https://*": "any_origin_with_credentials", "null": "null_origin_with_credentials",
		"http://a.test": "http_origin_with_credentials", "https://*.com": "public_suffix_with_credentials",
	}
	for _, o := range all {
		for _, origin := range o.AllowOrigins {
			if risk := risks[origin]; risk != "" && o.AllowCredentials && !slices.Contains(o.Insecure, risk) {
				t.Fatalf("%q with credentials is taken for safe", origin)
			}
		}
	}
}

// flatten returns the errors that an error joins.
func flatten(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, err := range joined.Unwrap() {
			all = append(all, flatten(err)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		if all := flatten(inner); len(all) > 1 {
			return all
		}
	}
	return []error{err}
}

// tokensOf returns the tokens of a Caddyfile, those that start a line marked; none if it cannot be read.
func tokensOf(text []byte) []string {
	tokens, _ := caddyfile.Tokenize(text, "Caddyfile")
	var lines []string
	end := 0
	for _, token := range tokens {
		lines = append(lines, fmt.Sprintf("%v %v %s", token.Line > end, token.Quoted(), token.Text))
		end = token.Line + token.NumLineBreaks()
	}
	return lines
}
