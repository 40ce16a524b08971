package ui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/html"

	_ "github.com/caddy-cors/caddy-cors" // whose directive the configurations have
	"github.com/caddy-cors/caddy-cors/internal/check/ui"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

// A served is a server of the page, and the one who has its link.
type served struct {
	t      *testing.T
	link   string // with the token
	origin string
	cookie *http.Cookie
}

// serve starts a server of the page, and opens its link.
func serve(t *testing.T, options ui.Options) *served {
	t.Helper()
	// No fix of these tests has a risk that the handler would have to be asked about.
	options.Handler.Problems = func(json.RawMessage, string) []policy.Problem { return nil }
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := ui.NewServer(listener.Addr().String(), options)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- page.Serve(ctx, listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := &served{t: t, link: page.Link(), origin: "http://" + listener.Addr().String()}
	response := s.send(http.MethodGet, s.link, "", nil)
	cookies := response.Cookies()
	if response.StatusCode != http.StatusOK || len(cookies) != 1 {
		t.Fatalf("the link: %s, cookies %v", response.Status, cookies)
	}
	s.cookie = cookies[0]
	return s
}

// An answer is a response and its body.
type answer struct {
	*http.Response
	text string
}

// send sends a request as it is told, and follows no redirect. In the fields, Host is the request's own.
func (s *served) send(method, url, body string, header map[string]string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range header {
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response, string(text)}
}

// page sends a request as the page does, with other fields in place of its own; an empty one is left out.
func (s *served) page(method, path, body string, other map[string]string) answer {
	s.t.Helper()
	header := map[string]string{"Cookie": s.cookie.Name + "=" + s.cookie.Value, "Sec-Fetch-Site": "same-origin"}
	if method != http.MethodGet {
		header["Origin"], header["Content-Type"] = s.origin, "application/json"
	}
	for name, value := range other {
		header[name] = value
		if value == "" {
			delete(header, name)
		}
	}
	return s.send(method, s.origin+path, body, header)
}

const call = `{"call": {"url": "http://127.0.0.1:1/", "origin": "https://app.example.com"}}`

// requests are those that the page makes.
var requests = []struct{ method, path, body string }{
	{"GET", "/", ""},
	{"GET", "/app.js", ""},
	{"GET", "/style.css", ""},
	{"GET", "/api/about", ""},
	{"GET", "/api/denials", ""},
	{"POST", "/api/check", call},
	{"POST", "/api/allow", `{"denials": ["x"]}`},
	{"POST", "/api/apply", `{"edit": "x"}`},
	{"POST", "/api/read", "curl https://api.example.com"},
	{"GET", "/api/recorded/x/0", ""},
	{"GET", "/nothing", ""},
}

// Who does not have the token gets nothing, and neither does who has it and comes by another name or from another page.
func TestOnlyThePageIsAnswered(t *testing.T) {
	s := serve(t, ui.Options{Admin: "127.0.0.1:1"})
	_, port, _ := strings.Cut(strings.TrimPrefix(s.origin, "http://"), ":")
	for _, test := range []struct {
		name   string
		header map[string]string
		want   int
	}{
		{"no cookie", map[string]string{"Cookie": ""}, 401},
		{"an empty cookie", map[string]string{"Cookie": s.cookie.Name + "="}, 401},
		{"a guessed cookie", map[string]string{"Cookie": s.cookie.Name + "=" + strings.Repeat("A", len(s.cookie.Value))}, 401},
		{"the token as the cookie", map[string]string{"Cookie": s.cookie.Name + "=" + s.link[strings.Index(s.link, "=")+1:]}, 401},
		{"the cookie by another name", map[string]string{"Cookie": "session=" + s.cookie.Value}, 401},
		{"a name that was pointed here", map[string]string{"Host": "evil.example.com:" + port}, 403},
		{"that name, from its own page", map[string]string{"Host": "evil.example.com:" + port, "Origin": "http://evil.example.com:" + port}, 403},
		{"localhost, which is not in the link", map[string]string{"Host": "localhost:" + port}, 403},
		{"the host without its port", map[string]string{"Host": "127.0.0.1"}, 403},
		{"the host with a dot at its end", map[string]string{"Host": "127.0.0.1.:" + port}, 403},
		{"another website", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a page on another port", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"another website, in a browser that says so by the origin alone", map[string]string{"Sec-Fetch-Site": "", "Origin": "https://evil.example.com"}, 403},
		{"a page on another port, likewise", map[string]string{"Sec-Fetch-Site": "", "Origin": "http://127.0.0.1:3000"}, 403},
		{"a sandboxed page", map[string]string{"Sec-Fetch-Site": "", "Origin": "null"}, 403},
		{"a page of the host over https", map[string]string{"Sec-Fetch-Site": "", "Origin": strings.Replace(s.origin, "http:", "https:", 1)}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range requests {
				got := s.page(r.method, r.path, r.body, test.header)
				if got.StatusCode != test.want || strings.Contains(got.text, "{") || len(got.Cookies()) > 0 {
					t.Errorf("%s %s: %s: %s", r.method, r.path, got.Status, got.text)
				}
			}
		})
	}
	for _, r := range requests {
		if got := s.page(r.method, r.path, r.body, nil); got.StatusCode == 401 || got.StatusCode == 403 && r.path != "/api/apply" {
			t.Errorf("the page itself: %s %s: %s: %s", r.method, r.path, got.Status, got.text)
		}
	}
}

// What could change something has an Origin in every browser; without one, it is not made.
func TestPostsNeedTheirOrigin(t *testing.T) {
	s := serve(t, ui.Options{})
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if got := s.page(method, "/api/check", call, map[string]string{"Origin": ""}); got.StatusCode != 403 {
			t.Errorf("%s: %s", method, got.Status)
		}
	}
}

// A form can send none but three types, and none of them is the page's.
func TestFormsAreNotRead(t *testing.T) {
	s := serve(t, ui.Options{})
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""} {
		if got := s.page("POST", "/api/check", call, map[string]string{"Content-Type": contentType}); got.StatusCode != 415 {
			t.Errorf("%q: %s", contentType, got.Status)
		}
	}
}

// The link's token lets in, and nothing that is nearly the link.
func TestLink(t *testing.T) {
	s := serve(t, ui.Options{})
	token := s.link[strings.Index(s.link, "=")+1:]
	if len(token) < 26 { // of 32 letters, that is 130 bits
		t.Errorf("the token is %q", token)
	}
	if other := serve(t, ui.Options{}); strings.HasSuffix(other.link, token) || other.cookie.Value == s.cookie.Value {
		t.Error("two servers have the same secret")
	}
	if c := s.cookie; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Domain != "" || c.Value == token || len(c.Value) < 26 {
		t.Errorf("the cookie is %v", c)
	}
	for _, test := range []struct {
		name, method, path string
		header             map[string]string
		want               int
	}{
		{"from a page that shows it, such as a terminal's", "GET", "/?token=" + token, map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
		{"by another host", "GET", "/?token=" + token, map[string]string{"Host": "evil.example.com"}, 403},
		{"in a frame", "GET", "/?token=" + token, map[string]string{"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"}, 403},
		{"posted", "POST", "/?token=" + token, nil, 403},
		{"another token", "GET", "/?token=" + strings.Repeat("A", len(token)), nil, 401},
		{"a part of it", "GET", "/?token=" + token[:25], nil, 401},
		{"no token", "GET", "/?token=", nil, 401},
		{"for another path", "GET", "/api/about?token=" + token, nil, 401},
	} {
		got := s.send(test.method, s.origin+test.path, "", test.header)
		if got.StatusCode != test.want || (len(got.Cookies()) > 0) != (test.want == 200) || strings.Contains(got.text, token) {
			t.Errorf("%s: %s, %v: %s", test.name, got.Status, got.Header, got.text)
		}
	}
}

// Every answer, a refusal too, forbids what is not needed.
func TestEveryAnswerHasItsHeaders(t *testing.T) {
	s := serve(t, ui.Options{Admin: "127.0.0.1:1"})
	want := map[string]string{
		"X-Frame-Options":              "DENY",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cache-Control":                "no-store",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
	}
	check := func(what string, got answer) {
		for name, value := range want {
			if all := got.Header.Values(name); !slices.Equal(all, []string{value}) {
				t.Errorf("%s: %s is %q", what, name, all)
			}
		}
		for name := range got.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: it has %s", what, name)
			}
		}
		policy := strings.Split(got.Header.Get("Content-Security-Policy"), "; ")
		for _, directive := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"} {
			if !slices.Contains(policy, directive) {
				t.Errorf("%s: the policy %q does not have %s", what, policy, directive)
			}
		}
		for _, directive := range policy {
			name, sources, _ := strings.Cut(directive, " ")
			if strings.HasSuffix(name, "-src") && sources != "'none'" && sources != "'self'" {
				t.Errorf("%s: the policy has %s", what, directive)
			}
		}
	}
	for _, r := range requests {
		check(r.path, s.page(r.method, r.path, r.body, nil))
		check(r.path+" without the cookie", s.page(r.method, r.path, r.body, map[string]string{"Cookie": ""}))
		check(r.path+" of another host", s.page(r.method, r.path, r.body, map[string]string{"Host": "evil.example.com"}))
		check(r.path+" of another page", s.page(r.method, r.path, r.body, map[string]string{"Sec-Fetch-Site": "cross-site"}))
	}
	check("a preflight", s.send("OPTIONS", s.origin+"/api/check", "", map[string]string{
		"Origin": "https://evil.example.com", "Access-Control-Request-Method": "POST", "Cookie": s.cookie.Name + "=" + s.cookie.Value,
	}))
	check("the link", s.send("GET", s.link, "", nil))
}

// The page is small, has nothing inline, and asks for nothing that is elsewhere.
func TestPageIsPlain(t *testing.T) {
	s := serve(t, ui.Options{})
	size := 0
	elsewhere := regexp.MustCompile(`(?:https?:)?//[^\s"'` + "`" + `]+`)
	if err := fs.WalkDir(os.DirFS("page"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		got := s.page("GET", "/"+strings.TrimSuffix(name, "index.html"), "", nil)
		if got.StatusCode != 200 {
			t.Errorf("%s: %s", name, got.Status)
		}
		size += len(got.text)
		if regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|eval\(|new Function|DOMParser`).MatchString(got.text) {
			t.Errorf("%s makes markup or code of text", name)
		}
		for _, found := range elsewhere.FindAllString(got.text, -1) {
			u, err := url.Parse(found)
			example := err == nil && (u.Hostname() == "example.com" || strings.HasSuffix(u.Hostname(), ".example.com"))
			if strings.HasPrefix(found, "http") && !example && !strings.HasPrefix(found, "http://www.w3.org/") {
				t.Errorf("%s names %s", name, found)
			}
		}
		if name == "index.html" {
			nothingInline(t, got.text)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if size == 0 || size >= 100_000 {
		t.Errorf("it has %d bytes", size)
	}
	nothingInline(t, s.send("GET", s.link, "", nil).text)
}

func nothingInline(t *testing.T, text string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Val, "javascript:") {
				t.Errorf("<%s %s=%q> is inline", n.Data, a.Key, a.Val)
			}
		}
		if (n.Data == "script" || n.Data == "style") && n.FirstChild != nil {
			t.Errorf("<%s> is inline", n.Data)
		}
	}
}

// A call that could change something is not made before it is confirmed.
func TestUnsafeCallsAreConfirmed(t *testing.T) {
	var got atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Add(1)
		for _, name := range []string{"Origin", "Methods"} {
			w.Header().Set("Access-Control-Allow-"+name, "*")
		}
	}))
	defer api.Close()
	s := serve(t, ui.Options{})
	for _, method := range []string{"POST", "PUT", "delete", "FROB"} {
		body := func(confirmed bool) string {
			text, err := json.Marshal(map[string]any{
				"call":      map[string]any{"url": api.URL + "/orders/7", "origin": "http://app.example.com", "method": method},
				"confirmed": confirmed,
			})
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		got.Store(0)
		answer := s.page("POST", "/api/check", body(false), nil)
		var problem struct {
			Error   string
			Confirm bool
		}
		if err := json.Unmarshal([]byte(answer.text), &problem); err != nil || answer.StatusCode != 409 || !problem.Confirm ||
			!strings.Contains(problem.Error, method+" "+api.URL+"/orders/7") || got.Load() != 0 {
			t.Errorf("%s: %s, %d requests: %s", method, answer.Status, got.Load(), answer.text)
		}
		if answer := s.page("POST", "/api/check", body(true), nil); answer.StatusCode != 200 || got.Load() == 0 {
			t.Errorf("%s, confirmed: %s, %d requests: %s", method, answer.Status, got.Load(), answer.text)
		}
	}
}

// What the page cannot have sent is refused in a sentence.
func TestBadRequests(t *testing.T) {
	s := serve(t, ui.Options{})
	for _, test := range []struct {
		name, body string
		want       int
		says       string
	}{
		{"no JSON", "<html>", 400, "cannot be read"},
		{"a field that does not exist", `{"calls": []}`, 400, "calls"},
		{"too much", `{"call": {"url": "` + strings.Repeat("a", 2<<20) + `"}}`, 413, "too large"},
		{"no URL", `{"call": {"origin": "https://app.example.com"}}`, 422, "URL"},
		{"no origin", `{"call": {"url": "https://api.example.com/"}}`, 422, "origin"},
		{"a URL that is a flag", `{"call": {"url": "--config=/etc/passwd", "origin": "https://app.example.com"}}`, 422, "scheme"},
		{"an origin that is a flag", `{"call": {"url": "https://api.example.com/", "origin": "--json"}}`, 422, "--origin"},
		{"a header without a colon", `{"call": {"url": "https://api.example.com/", "origin": "https://app.example.com", "headers": ["X"]}}`, 422, `"X"`},
	} {
		answer := s.page("POST", "/api/check", test.body, nil)
		var problem struct{ Error string }
		if err := json.Unmarshal([]byte(answer.text), &problem); err != nil || answer.StatusCode != test.want || !strings.Contains(problem.Error, test.says) {
			t.Errorf("%s: %s: %s", test.name, answer.Status, answer.text)
		}
	}
}

// No JSON has a character that could end the element of a page that somebody puts it in.
func TestAnswersAreNoMarkup(t *testing.T) {
	s := serve(t, ui.Options{})
	answer := s.page("POST", "/api/check", `{"call": {"url": "https://api.example.com/</script><b>", "origin": "https://app.example.com", "method": "<img src=x>"}}`, nil)
	if !strings.Contains(answer.text, "img src") || bytes.ContainsAny([]byte(answer.text), "<>") || answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %s", answer.Header.Get("Content-Type"), answer.text)
	}
}
