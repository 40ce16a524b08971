package origins

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// requestOf returns the context of a request with these placeholders.
func requestOf(t testing.TB, values map[string]string) context.Context {
	replacer := caddy.NewReplacer()
	for name, value := range values {
		replacer.Set(name, value)
	}
	return context.WithValue(t.Context(), caddy.ReplacerCtxKey, replacer)
}

// What is asked about a request, by where its placeholders stand.
func TestAskPlaceholders(t *testing.T) {
	t.Setenv("ORIGINS_TEST_PATH", "origins")
	const host, tenant, query = "http.request.host", "http.request.header.X-Tenant", "http.request.uri.query.q"
	for name, test := range map[string]struct {
		url    string
		values map[string]string
		want   string
	}{
		"a value of the query":     {"/?host={http.request.host}", map[string]string{host: "a.example"}, "/?host=a.example"},
		"a host in upper case":     {"/?host={http.request.host}", map[string]string{host: "A.Example"}, "/?host=a.example"},
		"a header in upper case":   {"/?t={http.request.header.X-Tenant}", map[string]string{tenant: "ACME"}, "/?t=ACME"},
		"two values":               {"/?h={http.request.host}&t={http.request.header.X-Tenant}", map[string]string{host: "a.example", tenant: "1"}, "/?h=a.example&t=1"},
		"a part of a value":        {"/?key=cors:{http.request.host}:1", map[string]string{host: "a.example"}, "/?key=cors:a.example:1"},
		"a value that map sets":    {"/?t={tenant}", map[string]string{"tenant": "acme"}, "/?t=acme"},
		"a segment of the path":    {"/tenants/{http.request.host}/cors", map[string]string{host: "a.example"}, "/tenants/a.example/cors"},
		"a part of a segment":      {"/{http.request.header.X-Tenant}.txt", map[string]string{tenant: "."}, "/..txt"},
		"path and query":           {"/{http.request.host}?q={http.request.uri.query.q}", map[string]string{host: "a.example", query: "1"}, "/a.example?q=1"},
		"one known at load, too":   {"/{env.ORIGINS_TEST_PATH}?h={http.request.host}", map[string]string{host: "a.example"}, "/origins?h=a.example"},
		"another parameter":        {"/?q={http.request.uri.query.q}", map[string]string{query: "1&origin=https://evil.test#?+ /;"}, "/?q=1%26origin%3Dhttps%3A%2F%2Fevil.test%23%3F%2B+%2F%3B"},
		"a query in the path":      {"/{http.request.uri.query.q}", map[string]string{query: "a?origin=https://evil.test#"}, "/a%3Forigin=https:%2F%2Fevil.test%23"},
		"another segment":          {"/a/{http.request.uri.query.q}/b", map[string]string{query: "x/y"}, "/a/x%2Fy/b"},
		"a line break":             {"/{http.request.uri.query.q}", map[string]string{query: "a HTTP/1.1\r\nHost: evil.test\r\n\r\n"}, "/a%20HTTP%2F1.1%0D%0AHost:%20evil.test%0D%0A%0D%0A"},
		"another server":           {"/{http.request.uri.query.q}", map[string]string{query: "//evil.test/"}, "/%2F%2Fevil.test%2F"},
		"another user":             {"/{http.request.uri.query.q}", map[string]string{query: "x@evil.test:80"}, "/x@evil.test:80"},
		"bytes that are not UTF-8": {"/?q={http.request.uri.query.q}", map[string]string{query: "\xff\x00"}, "/?q=%FF%00"},
		"what is escaped already":  {"/{http.request.uri.query.q}", map[string]string{query: "%2e%2e"}, "/%252e%252e"},
	} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan *http.Request, 1)
			a := ask(t, Ask{URL: test.url}, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
			if !a.AllowsOrigin(requestOf(t, test.values), originA) {
				t.Fatal("denied")
			}
			r := <-requests
			separator := "?"
			if strings.Contains(test.want, "?") {
				separator = "&"
			}
			if want := test.want + separator + "origin=https%3A%2F%2Fa.test"; r.RequestURI != want {
				t.Errorf("asks for %s, want %s", r.RequestURI, want)
			}
			if r.URL.Query()["origin"][0] != originA || r.Host != strings.TrimPrefix(a.server.URL, "http://") || r.Header.Get("Authorization") != "" {
				t.Error(r.URL, r.Host, r.Header)
			}
		})
	}
}

// Requests that lead nowhere are not asked about.
func TestAskIsNotLedAstray(t *testing.T) {
	const name = "http.request.header.X-Tenant"
	for what, test := range map[string]struct {
		url    string
		values map[string]string
	}{
		"no value":                           {"/?t={http.request.header.X-Tenant}", nil},
		"an empty value":                     {"/?t={http.request.header.X-Tenant}", map[string]string{name: ""}},
		"an empty part of the path":          {"/a/{http.request.header.X-Tenant}/b", map[string]string{name: ""}},
		"a very long value":                  {"/?t={http.request.header.X-Tenant}", map[string]string{name: strings.Repeat("x", maxValues+1)}},
		"the directory above":                {"/tenants/{http.request.header.X-Tenant}/origins", map[string]string{name: ".."}},
		"the directory itself":               {"/tenants/{http.request.header.X-Tenant}/origins", map[string]string{name: "."}},
		"the directory above, by more parts": {"/tenants/{http.request.header.X-Tenant}/origins", map[string]string{name: "x/../../admin"}},
		"the same with backslashes":          {"/tenants/{http.request.header.X-Tenant}/origins", map[string]string{name: `x\..\..\admin`}},
		"the same at the end":                {"/tenants/{http.request.header.X-Tenant}", map[string]string{name: "/.."}},
		"dots of two placeholders":           {"/tenants/{http.request.header.X-Tenant}{http.request.header.X-Tenant}/", map[string]string{name: "."}},
	} {
		a := ask(t, Ask{URL: test.url}, func(http.ResponseWriter, *http.Request) {})
		if a.AllowsOrigin(requestOf(t, test.values), originA) {
			t.Errorf("%s: allowed", what)
		}
		if a.AllowsOrigin(t.Context(), originA) { // which is no request's
			t.Errorf("%s: allowed without a request", what)
		}
		if n := a.count.Load(); n != 0 {
			t.Errorf("%s: %d requests", what, n)
		}
	}
}

// An answer belongs to the origin and the URL: what one tenant allows, another does not.
func TestAskAnswersBelongToTheURL(t *testing.T) {
	table := map[string]string{"one.example": originA, "two.example": originB}
	a := ask(t, Ask{URL: "/?host={http.request.host}"}, func(w http.ResponseWriter, r *http.Request) {
		if table[r.FormValue("host")] != r.FormValue("origin") {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	for range 3 {
		for _, host := range []string{"one.example", "two.example", "ONE.example", "three.example"} {
			for _, origin := range []string{originA, originB} {
				want := table[strings.ToLower(host)] == origin
				if got := a.AllowsOrigin(requestOf(t, map[string]string{"http.request.host": host}), origin); got != want {
					t.Errorf("%s on %s: allowed %v", origin, host, got)
				}
			}
		}
	}
	if n := a.count.Load(); n != 6 {
		t.Errorf("%d requests for three hosts and two origins", n)
	}
}

// A flood of hosts and origins that nobody knows fills the memory no more than one of origins does, and does not drive out
// who is allowed.
func TestAskFloodOfHosts(t *testing.T) {
	const known = 20
	a := ask(t, Ask{URL: "/?host={http.request.host}", Max: 50}, func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.FormValue("host"), "tenant-") || r.FormValue("origin") != originA {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	tenant := func(i int) context.Context {
		return requestOf(t, map[string]string{"http.request.host": fmt.Sprintf("tenant-%d.example", i)})
	}
	for i := range known {
		if !a.AllowsOrigin(tenant(i), originA) {
			t.Error("denied")
		}
	}
	var strangers sync.WaitGroup
	for i := range 50 {
		strangers.Go(func() {
			for j := range 20 {
				ctx := requestOf(t, map[string]string{"http.request.host": fmt.Sprintf("stranger-%d.example", i)})
				if a.AllowsOrigin(ctx, fmt.Sprintf("https://%d.test", j)) {
					t.Error("allowed")
				}
			}
		})
	}
	strangers.Wait()
	asked := a.count.Load()
	for i := range known {
		if !a.AllowsOrigin(tenant(i), originA) {
			t.Error("denied")
		}
	}
	if a.count.Load() != asked {
		t.Error("a tenant was forgotten")
	}
	a.endpoint.mu.Lock()
	defer a.endpoint.mu.Unlock()
	if n := len(a.endpoint.answers.known); n != 50 {
		t.Errorf("%d answers", n)
	}
	if n := len(a.endpoint.questions); n != 0 {
		t.Errorf("%d questions", n)
	}
}

// FuzzAddress holds that whatever a placeholder stands for, the server, the parameters and the number of segments that are
// asked for are those that were written, and the value arrives as it is.
func FuzzAddress(f *testing.F) {
	for _, value := range []string{"a.example", "..", "a/b", "&origin=x", "?", "#", "@evil.test", `\evil.test`, "%2e%2e", "\r\n", "\xff", ":80", "//evil.test/"} {
		f.Add(value)
	}
	const base = "http://me:secret@tenants.internal:8080"
	inQuery, err := parseAddress(base + "/origins?a=1&host={http.request.host}")
	if err != nil {
		f.Fatal(err)
	}
	inPath, err := parseAddress(base + "/tenants/{http.request.host}/origins")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		get := func(string) string { return value }
		for _, a := range []address{inQuery, inPath} {
			text, err := a.resolve(get)
			if err != nil {
				continue
			}
			u, err := url.Parse(questionURL(text, originA))
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if !strings.HasPrefix(text, base+"/") || u.Host != "tenants.internal:8080" || u.User.String() != "me:secret" || u.Fragment != "" {
				t.Fatalf("%q leads to %s", value, u)
			}
			if query := u.Query(); len(query["origin"]) != 1 || query.Get("origin") != originA {
				t.Fatalf("%q asks about %q", value, query["origin"])
			}
		}
		if text, err := inQuery.resolve(get); err == nil {
			if u, _ := url.Parse(text); u.Query().Get("host") != value || len(u.Query()) != 2 || u.Path != "/origins" {
				t.Fatalf("%q arrives as %q", value, text)
			}
		}
		if text, err := inPath.resolve(get); err == nil {
			u, _ := url.Parse(text)
			parts := strings.Split(u.EscapedPath(), "/")
			if len(parts) != 4 || u.RawQuery != "" {
				t.Fatalf("%q makes the path %q", value, u.EscapedPath())
			}
			if got, err := url.PathUnescape(parts[2]); err != nil || got != value {
				t.Fatalf("%q arrives as %q", value, got)
			}
		}
	})
}
