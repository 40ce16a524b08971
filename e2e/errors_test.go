//go:build linux

package e2e_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const cookie = "session=alice" // of the whole of example.com

// An errorCase is an error that people meet when a page calls an API of another origin. It has two sites, which differ
// by a cors block alone, or by TLS too where the lack of it is the error. All else is as it should be: the backend does
// its own CORS as far as it can, so that nothing but the named error blocks the call.
type errorCase struct {
	name string
	slug string // of the sites' names

	backend    http.Header // what it sends with every response, but with redirects
	directives string      // of both sites, before reverse_proxy
	plain      bool        // the site without cors has no TLS
	cors       string      // what the other site has besides

	path        string
	method      string // by default GET
	header      map[string]string
	body        string
	credentials bool

	// What Caddy answers to the browser, request by request, and what the call returns at last.
	without []string
	with    []string
	answer  string
}

var errorCases = []errorCase{
	{
		name: "1 no Access-Control-Allow-Origin",
		slug: "no-header",
		cors: `cors https://app.example.com`,

		path:    "/",
		without: []string{"GET / 200"},
		with:    []string{"GET / 200"},
		answer:  "GET /\n",
	},
	{
		name: "2 preflight blocked",
		slug: "preflight",
		backend: http.Header{
			"Access-Control-Allow-Origin":  {app},
			"Access-Control-Allow-Methods": {"POST"},
			"Access-Control-Allow-Headers": {"Authorization, Content-Type"},
		},
		directives: `
			basic_auth {
				alice $2a$04$urFDcshn4VF0srS4vcJa9.ZQ1XhfR6neCA70HeGZpoj9gb57ANEsW
			}`,
		cors: `
			cors https://app.example.com {
				allow_headers Authorization, Content-Type
			}`,

		path:   "/",
		method: "POST",
		header: map[string]string{
			"Authorization": "Basic YWxpY2U6d29uZGVybGFuZA==",
			"Content-Type":  "application/json",
		},
		body:    `{}`,
		without: []string{"OPTIONS / 401"},
		with:    []string{"OPTIONS / 204", "POST / 200"},
		answer:  "POST /\nAuthorization: Basic YWxpY2U6d29uZGVybGFuZA==\nContent-Type: application/json\n",
	},
	{
		name: "3 credentials blocked",
		slug: "credentials",
		backend: http.Header{
			"Access-Control-Allow-Origin":      {"*"},
			"Access-Control-Allow-Credentials": {"true"},
		},
		cors: `
			cors https://app.example.com {
				allow_credentials
			}`,

		path:        "/",
		credentials: true,
		without:     []string{"GET / 200"},
		with:        []string{"GET / 200"},
		answer:      "GET /\nCookie: session=alice\n",
	},
	{
		name:    "4 mixed content",
		slug:    "mixed",
		backend: http.Header{"Access-Control-Allow-Origin": {app}},
		plain:   true,
		cors:    `cors https://app.example.com`,

		path:    "/",
		without: nil, // the browser does not send it
		with:    []string{"GET / 200"},
		answer:  "GET /\n",
	},
	{
		name:       "5 blocked on a redirect by Caddy",
		slug:       "redir",
		backend:    http.Header{"Access-Control-Allow-Origin": {app}},
		directives: `redir /old /new`,
		cors:       `cors https://app.example.com`,

		path:    "/old",
		without: []string{"GET /old 302"},
		with:    []string{"GET /old 302", "GET /new 200"},
		answer:  "GET /new\n",
	},
	{
		name:    "5 blocked on a redirect by the backend",
		slug:    "moved",
		backend: http.Header{"Access-Control-Allow-Origin": {app}},
		cors:    `cors https://app.example.com`,

		path:    "/moved",
		without: []string{"GET /moved 307"},
		with:    []string{"GET /moved 307", "GET /new 200"},
		answer:  "GET /new\n",
	},
	{
		name: "5 blocked on a redirect of the preflight",
		slug: "redir-preflight",
		backend: http.Header{
			"Access-Control-Allow-Origin":  {app},
			"Access-Control-Allow-Headers": {"X-Requested-With"},
		},
		directives: `redir /old /new`,
		cors: `
			cors https://app.example.com {
				allow_headers X-Requested-With
			}`,

		path:    "/old",
		header:  map[string]string{"X-Requested-With": "XMLHttpRequest"},
		without: []string{"OPTIONS /old 302"},
		with:    []string{"OPTIONS /old 204", "GET /old 302", "OPTIONS /new 204", "GET /new 200"},
		answer:  "GET /new\nX-Requested-With: XMLHttpRequest\n",
	},
	{
		name: "6 request header not allowed",
		slug: "header",
		backend: http.Header{
			"Access-Control-Allow-Origin":  {app},
			"Access-Control-Allow-Methods": {"GET, POST"},
			"Access-Control-Allow-Headers": {"Content-Type"},
		},
		cors: `
			cors https://app.example.com {
				allow_headers Content-Type, X-Requested-With
			}`,

		path:    "/",
		header:  map[string]string{"X-Requested-With": "XMLHttpRequest"},
		without: []string{"OPTIONS / 200"},
		with:    []string{"OPTIONS / 204", "GET / 200"},
		answer:  "GET /\nX-Requested-With: XMLHttpRequest\n",
	},
	{
		name: "7 method not allowed, PUT",
		slug: "put",
		backend: http.Header{
			"Access-Control-Allow-Origin":  {app},
			"Access-Control-Allow-Methods": {"GET, POST"},
			"Access-Control-Allow-Headers": {"Content-Type"},
		},
		cors: `
			cors https://app.example.com {
				allow_methods PUT
				allow_headers Content-Type
			}`,

		path:    "/",
		method:  "PUT",
		header:  map[string]string{"Content-Type": "application/json"},
		body:    `{}`,
		without: []string{"OPTIONS / 200"},
		with:    []string{"OPTIONS / 204", "PUT / 200"},
		answer:  "PUT /\nContent-Type: application/json\n",
	},
	{
		name: "7 method not allowed, DELETE",
		slug: "delete",
		backend: http.Header{
			"Access-Control-Allow-Origin":  {app},
			"Access-Control-Allow-Methods": {"GET, POST"},
		},
		cors: `
			cors https://app.example.com {
				allow_methods DELETE
			}`,

		path:    "/",
		method:  "DELETE",
		without: []string{"OPTIONS / 200"},
		with:    []string{"OPTIONS / 204", "DELETE / 200"},
		answer:  "DELETE /\n",
	},
	{
		name: "7 method not allowed, PATCH",
		slug: "patch",
		backend: http.Header{
			"Access-Control-Allow-Origin":  {app},
			"Access-Control-Allow-Methods": {"GET, POST"},
		},
		cors: `
			cors https://app.example.com {
				allow_methods PATCH
			}`,

		path:    "/",
		method:  "PATCH",
		without: []string{"OPTIONS / 200"},
		with:    []string{"OPTIONS / 204", "PATCH / 200"},
		answer:  "PATCH /\n",
	},
}

func TestErrors(t *testing.T) {
	page := newPage(t)
	var sites strings.Builder
	fmt.Fprintf(&sites, `
(secure) {
	tls internal {
		on_demand # so that a handshake waits for the certificate
	}
}
%s {
	import secure
	header Set-Cookie "%s; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Strict"
	reverse_proxy %s
}
`, app, cookie, page.address)
	origins := []string{app}
	var calls []call
	for _, c := range errorCases {
		backend := serveBackend(t, c.backend)
		without, with := c.origins()
		sites.WriteString(c.site(without, "", backend) + c.site(with, c.cors, backend))
		origins = append(origins, without, with)
		calls = append(calls, c.call(without), c.call(with))
	}
	server := livecaddy.Start(t, sites.String())
	network := newNetwork(t, server, origins...)

	client := network.client(t)
	for i, call := range calls {
		c := errorCases[i/2]
		status, body := c.callWithoutBrowser(t, client, call.URL)
		if status != http.StatusOK || body != c.answer {
			t.Fatalf("%s, without a browser: got %d %q, want 200 %q", call.URL, status, body, c.answer)
		}
	}

	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			logged := len(server.Log())
			findings := page.browse(t, engine, network, app+"/", calls)
			answers := accessLog(t, server.Log()[logged:])
			for i, c := range errorCases {
				originWithout, originWith := c.origins()
				t.Run(c.name+"/without", func(t *testing.T) {
					if got := findings[2*i]; !got.blocked() {
						t.Errorf("not blocked: %+v", got)
					}
					if got := answers[originWithout]; !slices.Equal(got, c.without) {
						t.Errorf("Caddy answered %q, want %q", got, c.without)
					}
				})
				t.Run(c.name+"/with", func(t *testing.T) {
					if got := findings[2*i+1]; got.Status != http.StatusOK || got.Body != c.answer {
						t.Errorf("got %+v, want 200 %q", got, c.answer)
					}
					if got := answers[originWith]; !slices.Equal(got, c.with) {
						t.Errorf("Caddy answered %q, want %q", got, c.with)
					}
				})
			}
		})
	}
}

// origins are those of the two sites.
func (c errorCase) origins() (without, with string) {
	without, with = "https://"+c.slug+".bare.example.com", "https://"+c.slug+".api.example.com"
	if c.plain {
		without = "http://" + c.slug + ".bare.example.com"
	}
	return without, with
}

// site is one of the two, in a Caddyfile.
func (c errorCase) site(origin, cors, backend string) string {
	secure := "import secure"
	if strings.HasPrefix(origin, "http:") {
		secure = ""
	}
	return fmt.Sprintf("%s {\n\tlog\n\t%s\n\t%s\n\t%s\n\treverse_proxy %s\n}\n", origin, secure, cors, c.directives, backend)
}

// call is what the page's script does with one of them.
func (c errorCase) call(origin string) call {
	init := map[string]any{"method": cmp.Or(c.method, http.MethodGet), "headers": c.header}
	if c.header == nil {
		delete(init, "headers")
	}
	if c.body != "" {
		init["body"] = c.body
	}
	if c.credentials {
		init["credentials"] = "include"
	}
	return call{Name: c.name, URL: origin + c.path, Init: init}
}

// callWithoutBrowser makes the same call where nobody minds CORS: what a browser then blocks is a server that works.
func (c errorCase) callWithoutBrowser(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), cmp.Or(c.method, http.MethodGet), url, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", app)
	for name, value := range c.header {
		request.Header.Set(name, value)
	}
	if c.credentials {
		request.Header.Set("Cookie", cookie)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(read)
}

// serveBackend starts a backend that sends the same headers with every response, to OPTIONS too, but forgets them when
// it redirects. It answers with the request, as far as it bears on the errors.
func serveBackend(t *testing.T, header http.Header) (address string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/new", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range header {
			w.Header()[name] = slices.Clone(values)
		}
		fmt.Fprintln(w, r.Method, r.URL.Path)
		for _, name := range []string{"Authorization", "Content-Type", "Cookie", "X-Requested-With"} {
			if value := r.Header.Get(name); value != "" {
				fmt.Fprintf(w, "%s: %s\n", name, value)
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// accessLog returns by origin what a log of Caddy says of requests: method, path and status. Caddy logs a request before
// it ends the response, so that what a browser has seen the end of is there.
func accessLog(t *testing.T, log string) map[string][]string {
	t.Helper()
	answers := make(map[string][]string)
	for line := range strings.Lines(log) {
		var entry struct {
			Logger  string
			Status  int
			Request struct {
				Method, Host, URI string
				TLS               *struct{}
			}
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v, in %s", err, line)
		}
		if !strings.HasPrefix(entry.Logger, "http.log.access") {
			continue
		}
		origin := url.URL{Scheme: "http", Host: entry.Request.Host}
		if entry.Request.TLS != nil {
			origin.Scheme = "https"
		}
		answers[origin.String()] = append(answers[origin.String()], fmt.Sprintf("%s %s %d", entry.Request.Method, entry.Request.URI, entry.Status))
	}
	return answers
}
