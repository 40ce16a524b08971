package caddycors_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dunglas/httpsfv"
	"github.com/quic-go/quic-go/http3"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const (
	app   = "https://app.example.com"
	other = "https://other.example.com"
)

type fields = livecaddy.Fields

var (
	allowApp      = []string{"Access-Control-Allow-Origin: " + app}
	varyOrigin    = []string{"Origin"}
	varyEnforced  = []string{"Origin", "Sec-Fetch-Mode", "Sec-Fetch-Site"}
	varyPreflight = []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}
)

func TestPreflight(t *testing.T) {
	const lists = `
		allow_methods GET, PUT
		allow_headers Content-Type, X-One
		expose_headers X-Total`
	listed := []string{
		"Access-Control-Allow-Origin: " + app, "Access-Control-Allow-Methods: GET, PUT",
		"Access-Control-Allow-Headers: Content-Type, X-One", "Access-Control-Expose-Headers: X-Total",
	}
	and := func(lines []string, more ...string) []string { return slices.Concat(lines, more) }

	tests := []struct {
		name   string
		cors   string // the directive's first line
		block  string
		header fields
		status int
		want   []string
		vary   []string
	}{
		{"allowed", app, lists, fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,x-one"}, 204, and(listed, "Access-Control-Max-Age: 600"), varyPreflight},
		{"nothing but the origin is configured", app, "", fields{"Origin": app, "Access-Control-Request-Method": "POST"}, 204, and(allowApp, "Access-Control-Max-Age: 600"), varyPreflight},
		{"with credentials", app, "allow_credentials", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 204, and(allowApp, "Access-Control-Allow-Credentials: true", "Access-Control-Max-Age: 600"), varyPreflight},
		{"method denied: the lists, but no age", app, lists, fields{"Origin": app, "Access-Control-Request-Method": "DELETE"}, 204, listed, varyPreflight},
		{"header denied: the lists, but no age", app, lists + "\nallow_credentials", fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-two"}, 204, and(listed, "Access-Control-Allow-Credentials: true"), varyPreflight},
		{"origin denied", app, lists + "\nallow_credentials", fields{"Origin": other, "Access-Control-Request-Method": "PUT"}, 403, nil, varyPreflight},
		{"null denied", app, lists, fields{"Origin": "null", "Access-Control-Request-Method": "PUT"}, 403, nil, varyPreflight},
		{"an origin with an end of its own", app, "", fields{"Origin": app + ".evil.com", "Access-Control-Request-Method": "PUT"}, 403, nil, varyPreflight},
		{"two origins", app, "", fields{"Origin": app, "Origin+": app, "Access-Control-Request-Method": "PUT"}, 403, nil, varyPreflight},
		{"two methods", app, lists, fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Method+": "GET"}, 204, listed, varyPreflight},
		{"everyone", "*", "allow_methods *\nallow_headers *", fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a"}, 204,
			[]string{"Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: x-a", "Access-Control-Max-Age: 600"}, varyPreflight[1:]},
		{"any header does not cover Authorization", "*", "allow_headers * X-One", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}, 204,
			[]string{"Access-Control-Allow-Origin: *", "Access-Control-Allow-Headers: X-One"}, varyPreflight[1:]},
		{"any method and header, with credentials", app, "allow_methods *\nallow_headers *\nallow_credentials", fields{"Origin": app, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-a,x-b"}, 204,
			and(allowApp, "Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: x-a,x-b", "Access-Control-Max-Age: 600"), varyPreflight},
		{"max_age", app, "max_age 2h", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 204, and(allowApp, "Access-Control-Max-Age: 7200"), varyPreflight},
		{"max_age off", app, "max_age off", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 204, and(allowApp, "Access-Control-Max-Age: 0"), varyPreflight},
		{"preflight_status", app, "preflight_status 200", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 200, and(allowApp, "Access-Control-Max-Age: 600"), varyPreflight},
		{"private network, allowed", app, "allow_private_network", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}, 204,
			and(allowApp, "Access-Control-Allow-Private-Network: true", "Access-Control-Max-Age: 600"), and(varyPreflight, "Access-Control-Request-Private-Network")},
		{"private network, allowed but not asked for", app, "allow_private_network", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 204,
			and(allowApp, "Access-Control-Max-Age: 600"), and(varyPreflight, "Access-Control-Request-Private-Network")},
		{"private network, not allowed", app, "", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}, 204, allowApp, varyPreflight},
		{"every field name of the response, with credentials: a preflight has none", app, "allow_credentials\nexpose_headers * X-Total", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 204,
			and(allowApp, "Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Total", "Access-Control-Max-Age: 600"), varyPreflight},
		{"expose_timing is not for preflights", app, "expose_timing", fields{"Origin": app, "Access-Control-Request-Method": "GET"}, 204, and(allowApp, "Access-Control-Max-Age: 600"), varyPreflight},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// Neither the redirect nor the authentication nor the upstream must see a preflight.
			url := livecaddy.Site(t, fmt.Sprintf(`
				cors %s {
					%s
				}
				redir /old /new
				basic_auth {
					user $2a$04$5un7Qqhl0RPQIbh.gEfC4u.FdK47/qEjblz6NvFwawPSKDwvcVvha
				}
				header Access-Control-Allow-Origin early
				header X-Early yes
				respond "not for preflights" 418`, test.cors, test.block))
			for _, path := range []string{"/", "/old"} {
				res := livecaddy.Send(t, "OPTIONS", url+path, test.header)
				res.Want(t, test.status, test.want, test.vary)
				if res.Text != "" {
					t.Errorf("body %q", res.Text)
				}
			}
		})
	}
}

// What lacks a part of a preflight is a request like others.
func TestNoPreflight(t *testing.T) {
	url := livecaddy.Site(t, "cors "+app+"\nrespond hello 200")
	for name, test := range map[string]struct {
		method string
		header fields
		want   []string
	}{
		"no method asked for": {"OPTIONS", fields{"Origin": app}, allowApp},
		"no origin":           {"OPTIONS", fields{"Access-Control-Request-Method": "PUT"}, nil},
		"no OPTIONS":          {"GET", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}, allowApp},
	} {
		t.Run(name, func(t *testing.T) {
			res := livecaddy.Send(t, test.method, url, test.header)
			res.Want(t, 200, test.want, varyOrigin)
			if res.Text != "hello" {
				t.Errorf("body %q", res.Text)
			}
		})
	}
}

func TestActual(t *testing.T) {
	exposing := "expose_headers X-Total ETag\nexpose_timing\nallow_methods PUT\nallow_headers X-One"
	tests := []struct {
		name   string
		cors   string
		block  string
		header fields
		status int
		want   []string
		vary   []string
	}{
		{"allowed", app, "", fields{"Origin": app}, 200, allowApp, varyOrigin},
		{"allowed, with all that applies", app, exposing + "\nallow_credentials", fields{"Origin": app}, 200,
			[]string{"Access-Control-Allow-Origin: " + app, "Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Total, ETag", "Timing-Allow-Origin: " + app}, varyOrigin},
		{"denied", app, exposing + "\nallow_credentials", fields{"Origin": other}, 200, nil, varyOrigin},
		{"no origin", app, exposing + "\nallow_credentials", nil, 200, nil, varyOrigin},
		{"everyone", "*", exposing, fields{"Origin": other}, 200, []string{"Access-Control-Allow-Origin: *", "Access-Control-Expose-Headers: X-Total, ETag", "Timing-Allow-Origin: *"}, nil},
		{"everyone: no origin", "*", "", nil, 200, []string{"Access-Control-Allow-Origin: *"}, nil},
		{"everyone: null", "*", "", fields{"Origin": "null"}, 200, []string{"Access-Control-Allow-Origin: *"}, nil},
		{"everyone, with credentials", "*", "allow_credentials\ninsecure any_origin_with_credentials", fields{"Origin": other}, 200, []string{"Access-Control-Allow-Origin: " + other, "Access-Control-Allow-Credentials: true"}, varyOrigin},
		{"everyone, with credentials: null", "*", "allow_credentials\ninsecure any_origin_with_credentials", fields{"Origin": "null"}, 200, nil, varyOrigin},
		{"same origin", app, "", fields{"Origin": "https://api.example.com", "Sec-Fetch-Site": "same-origin"}, 200, nil, varyOrigin},
		{"a subdomain", "https://*.example.com", "", fields{"Origin": other}, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin},
		{"a regexp", "", `allow_origins_regexp https://(app|other)\.example\.com`, fields{"Origin": other}, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin},
		{"a regexp with more behind", "", `allow_origins_regexp https://(app|other)\.example\.com`, fields{"Origin": other + ".evil.com"}, 200, nil, varyOrigin},
		{"the lists of the first line and of the block", app, "allow_origins https://a.test, https://b.test\nallow_origins " + other, fields{"Origin": other}, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin},
		{"bytes outside ASCII", app, "", fields{"Origin": "https://\x80\xff.example.com"}, 200, nil, varyOrigin},

		{"enforce: allowed", app, "enforce", fields{"Origin": app}, 200, allowApp, varyEnforced},
		{"enforce: denied", app, "enforce", fields{"Origin": other}, 403, nil, varyEnforced},
		{"enforce: no origin", app, "enforce", nil, 200, nil, varyEnforced},
		{"enforce: same origin, by the browser", app, "enforce", fields{"Origin": "https://api.example.com", "Sec-Fetch-Site": "same-origin"}, 200, nil, varyEnforced},
		{"enforce: everyone", "*", "enforce", fields{"Origin": "null"}, 200, []string{"Access-Control-Allow-Origin: *"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			url := livecaddy.Site(t, fmt.Sprintf(`
				cors %s {
					%s
				}
				respond "%s"`, test.cors, test.block, "hello"))
			res := livecaddy.Send(t, "GET", url, test.header)
			res.Want(t, test.status, test.want, test.vary)
			if wrote := res.Text == "hello"; wrote != (test.status == 200) {
				t.Errorf("body %q", res.Text)
			}
		})
	}
}

// Without Sec-Fetch-Site the request's own host tells what is same-origin.
func TestSameOriginByHost(t *testing.T) {
	url := livecaddy.Site(t, "cors "+app+" {\nenforce\n}\nrespond hello")
	livecaddy.Send(t, "POST", url, fields{"Origin": url}).Want(t, 200, nil, varyEnforced)
	livecaddy.Send(t, "POST", url, fields{"Origin": url, "Sec-Fetch-Site": "cross-site"}).Want(t, 403, nil, varyEnforced)
}

// Vary names the fields that an origin is made of, however it comes to be made of them.
func TestVaryNamesWhatOriginsAreMadeOf(t *testing.T) {
	for _, test := range []struct {
		name, directives string
		vary             []string
	}{
		{"a field", "cors https://{header.X-Tenant}.example.com", []string{"X-Tenant"}},
		{"two fields", "cors https://{header.X-Tenant}.{header.X-Zone}.example.com", []string{"X-Tenant", "X-Zone"}},
		{"a cookie", "cors https://{cookie.tenant}.example.com", []string{"Cookie"}},
		{"the host", "cors https://{host}.example.com", nil},
		{"a map of a field", "map {header.X-Tenant} {tenant} {\nblue app\n}\ncors https://{tenant}.example.com", []string{"X-Tenant"}},
		{"a map of the host", "map {host} {tenant} {\nblue app\n}\ncors https://{tenant}.example.com", nil},
		{"a map whose output has a field", "map {host} {tenant} {\ndefault {header.X-Tenant}\n}\ncors https://{tenant}.example.com", []string{"X-Tenant"}},
		{"a map of a map", "map {header.X-Tenant} {one} {\ndefault x\n}\nmap {one} {two} {\ndefault x\n}\ncors https://{two}.example.com", []string{"X-Tenant"}},
		{"a variable", "vars tenant {header.X-Tenant}\ncors https://{vars.tenant}.example.com", []string{"X-Tenant"}},
		{"a variable that a matcher decides about", "@blue header X-Tenant blue\nvars @blue tenant app\ncors https://{vars.tenant}.example.com", []string{"X-Tenant"}},
		{"a variable that a matcher's opposite decides about", "@blue not header X-Tenant blue\nvars @blue tenant app\ncors https://{vars.tenant}.example.com", []string{"X-Tenant"}},
		{"a variable that an expression decides about", "@blue `{header.X-Tenant} == 'blue'`\nvars @blue tenant app\ncors https://{vars.tenant}.example.com", []string{"X-Tenant"}},
		{"what an expression finds", "@t header_regexp t X-Tenant (.+)\ncors @t https://{re.t.1}.example.com", []string{"X-Tenant"}},
		{"a variable of an outer block", "vars tenant {header.X-Tenant}\nhandle {\nroute {\ncors https://{vars.tenant}.example.com\n}\n}", []string{"X-Tenant"}},
		{"another variable", "vars tenant {header.X-Tenant}\nvars other app\ncors https://{vars.other}.example.com", nil},
		{"no placeholder", "vars tenant {header.X-Tenant}\ncors " + app, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := livecaddy.Site(t, test.directives+"\nrespond hello")
			res := livecaddy.Send(t, "GET", url, fields{"Origin": other, "X-Tenant": "x"})
			res.Want(t, 200, nil, append([]string{"Origin"}, test.vary...))
		})
	}
}

// Origins that are known when the configuration is loaded, and those known per request only.
func TestPlaceholderOrigins(t *testing.T) {
	file := filepath.Join(t.TempDir(), "origins")
	if err := os.WriteFile(file, []byte("https://f1.test\nhttps://*.f2.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CORS_TEST_ORIGINS", "https://e1.test, https://e2.test")
	url := livecaddy.Site(t, `
		map {path} {mapped} {
			/mapped https://mapped.test
			/star   *
			/null   null
			/wild   https://*.test
		}
		vars /vars origin https://vars.test
		cors {env.CORS_TEST_ORIGINS} {file.`+file+`} https://{http.request.host}:8443 {mapped} {vars.origin} {http.request.header.X-Origin}
		respond hello`)
	for _, test := range []struct {
		path, origin string
		allowed      bool
	}{
		{"/", "https://e1.test", true},
		{"/", "https://e2.test", true},
		{"/", "https://f1.test", true},
		{"/", "https://x.f2.test", true},
		{"/", "https://127.0.0.1:8443", true},
		{"/", "https://127.0.0.2:8443", false},
		{"/mapped", "https://mapped.test", true},
		{"/vars", "https://vars.test", true},
		{"/", "https://mapped.test", false},
		{"/star", app, false},
		{"/star", "*", false},
		{"/null", "null", false},
		{"/wild", "https://x.test", false},
		{"/", "", false},
	} {
		var want []string
		if test.allowed {
			want = []string{"Access-Control-Allow-Origin: " + test.origin}
		}
		t.Run(test.path+" "+test.origin, func(t *testing.T) {
			livecaddy.Send(t, "GET", url+test.path, fields{"Origin": test.origin}).Want(t, 200, want, []string{"Origin", "X-Origin"})
		})
	}
}

// Whoever writes the response, and whatever it is, it has the headers: for the allowed origin its own, for the denied
// one none, and Vary for both.
func TestEveryResponse(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "file.txt"), []byte(strings.Repeat("text ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		if _, err := fmt.Sscanf(r.URL.Path, "/upstream/%d", &status); err == nil {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			return
		}
		switch r.URL.Path {
		case "/upstream/own":
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			w.Header().Set("Access-Control-Expose-Headers", "X-Upstream")
			w.Header().Set("Access-Control-Max-Age", "1")
			w.Header().Set("Timing-Allow-Origin", "*")
		case "/upstream/twice":
			w.Header().Add("Access-Control-Allow-Origin", "*")
			w.Header().Add("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			w.Header().Set("Vary", "origin")
		case "/upstream/vary":
			w.Header().Add("Vary", "Accept-Language, Accept")
			w.Header().Add("Vary", "X-Tenant")
		case "/upstream/vary-star":
			w.Header().Set("Vary", "*")
		}
		io.WriteString(w, "upstream")
	})
	dead := livecaddy.UpstreamDown(t)
	url := livecaddy.Site(t, fmt.Sprintf(`
		root %s
		cors %s
		header /early Access-Control-Allow-Origin *
		redir /redir/301 /x 301
		redir /redir/302 /x 302
		redir /redir/303 /x 303
		redir /redir/307 /x 307
		redir /redir/308 /x 308
		basic_auth /auth {
			user $2a$04$5un7Qqhl0RPQIbh.gEfC4u.FdK47/qEjblz6NvFwawPSKDwvcVvha
		}
		handle /error {
			error 500
		}
		handle /nothing
		handle /upstream/* {
			reverse_proxy %s
		}
		handle /dead {
			reverse_proxy %s
		}
		handle /encoded* {
			encode gzip
			header Content-Type text/plain
			respond "%s"
		}
		handle /early {
			reverse_proxy %s
		}
		handle /template {
			templates {
				mime text/plain
			}
			header Content-Type text/plain
			respond "{{1}}"
		}
		handle {
			file_server
		}`, root, app, backend, dead, strings.Repeat("compressible ", 100), backend))

	type test struct {
		path   string
		header fields
		status int
		vary   []string
	}
	acceptEncoding := []string{"Accept-Encoding"}
	tests := []test{
		{"/file.txt", nil, 200, acceptEncoding},
		{"/file.txt", fields{"Range": "bytes=0-9"}, 206, acceptEncoding},
		{"/file.txt", fields{"Range": "bytes=99999-"}, 416, acceptEncoding},
		{"/file.txt", fields{"If-Modified-Since": time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, 304, acceptEncoding},
		{"/missing.txt", nil, 404, nil},
		{"/auth", nil, 401, nil},
		{"/error", nil, 500, nil},
		{"/nothing", nil, 200, nil},
		{"/dead", nil, 502, nil},
		{"/encoded", fields{"Accept-Encoding": "gzip"}, 200, acceptEncoding},
		{"/early", nil, 200, nil},
		{"/template", nil, 200, nil},
		{"/upstream/own", nil, 200, nil},
		{"/upstream/twice", nil, 200, nil},
		{"/upstream/vary", nil, 200, []string{"Accept-Language", "Accept", "X-Tenant"}},
		{"/upstream/404", nil, 404, nil},
		{"/upstream/204", nil, 204, nil},
		{"/upstream/500", nil, 500, nil},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		tests = append(tests, test{fmt.Sprintf("/redir/%d", status), nil, status, nil}, test{fmt.Sprintf("/upstream/%d", status), nil, status, nil})
	}
	for _, test := range tests {
		for origin, want := range map[string][]string{app: allowApp, other: nil, "": nil} {
			t.Run(fmt.Sprintf("%d%s from %q", test.status, test.path, origin), func(t *testing.T) {
				header := fields{}
				if origin != "" {
					header["Origin"] = origin
				}
				for name, value := range test.header {
					header[name] = value
				}
				res := livecaddy.Send(t, "GET", url+test.path, header)
				vary := append([]string{"Origin"}, test.vary...)
				if test.path == "/upstream/twice" {
					vary = []string{"origin"} // as the upstream wrote it, not twice
				}
				res.Want(t, test.status, want, vary)
				if test.path == "/encoded" {
					if r, err := gzip.NewReader(strings.NewReader(res.Text)); err != nil {
						t.Errorf("not compressed: %v", err)
					} else if _, err := io.ReadAll(r); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	t.Run("Vary: * says it all", func(t *testing.T) {
		livecaddy.Send(t, "GET", url+"/upstream/vary-star", fields{"Origin": app}).Want(t, 200, allowApp, []string{"*"})
	})
}

// An error route is a response like others. A cors in it decides anew; without one, the first decision stands.
func TestHandleErrors(t *testing.T) {
	own := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://upstream.example.com")
		io.WriteString(w, "upstream")
	})
	allowOther := []string{"Access-Control-Allow-Origin: " + other}
	fromUpstream := []string{"Access-Control-Allow-Origin: https://upstream.example.com"}
	for _, test := range []struct {
		name   string
		errors string
		app    []string
		other  []string
	}{
		{"without cors", "respond page", allowApp, nil},
		{"with cors for another origin", "cors " + other + "\nrespond page", nil, allowOther},
		{"with cors for another origin, that preserves", "cors " + other + " {\nupstream preserve\n}\nrespond page", nil, allowOther},
		{"with cors that preserves an upstream's", "cors " + other + " {\nupstream preserve\n}\nreverse_proxy " + own, fromUpstream, fromUpstream},
		{"with cors that overrides an upstream's", "cors " + other + "\nreverse_proxy " + own, nil, allowOther},
		{"with cors, and nobody writes", "cors " + other, nil, allowOther},
		{"with cors, and an error again", "cors " + other + "\nerror 503", nil, allowOther},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := livecaddy.Site(t, fmt.Sprintf(`
				cors %s
				error 500
				handle_errors {
					%s
				}`, app, test.errors))
			for origin, want := range map[string][]string{app: test.app, other: test.other} {
				res := livecaddy.Send(t, "GET", url, fields{"Origin": origin})
				res.Want(t, res.StatusCode, want, varyOrigin)
			}
		})
	}
	t.Run("the 403 of enforce", func(t *testing.T) {
		url := livecaddy.Site(t, `
			cors `+app+` {
				enforce
			}
			respond hello
			handle_errors {
				respond "sorry: {err.status_code}" 403
			}`)
		res := livecaddy.Send(t, "GET", url, fields{"Origin": other})
		res.Want(t, 403, nil, varyEnforced)
		if res.Text != "sorry: 403" {
			t.Errorf("body %q", res.Text)
		}
	})
}

func TestUpstreamPreserve(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/own":
			w.Header().Add("Access-Control-Allow-Origin", "https://upstream.example.com")
			w.Header().Add("Access-Control-Allow-Methods", "PUT")
		case "/parts":
			w.Header().Add("Access-Control-Allow-Methods", "PUT")
			w.Header().Add("Access-Control-Expose-Headers", "X-Upstream")
		}
	})
	url := livecaddy.Site(t, `
		cors `+app+` {
			upstream preserve
			expose_headers X-Ours
		}
		reverse_proxy `+backend)
	theirs := []string{"Access-Control-Allow-Origin: https://upstream.example.com", "Access-Control-Allow-Methods: PUT"}
	ours := append([]string{"Access-Control-Expose-Headers: X-Ours"}, allowApp...)
	for _, test := range []struct {
		path, origin string
		want         []string
	}{
		{"/own", app, theirs},
		{"/own", other, theirs},
		{"/parts", app, ours},
		{"/parts", other, nil},
		{"/none", app, ours},
		{"/none", other, nil},
	} {
		t.Run(test.path+" "+test.origin, func(t *testing.T) {
			livecaddy.Send(t, "GET", url+test.path, fields{"Origin": test.origin}).Want(t, 200, test.want, varyOrigin)
		})
	}
}

// The next handlers answer the preflights, and the decision is put on their answers.
func TestForwardPreflight(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Methods", "*")
		w.Header().Set("X-Method", r.Method)
		w.WriteHeader(202)
	})
	preflight := func(origin, method string) fields {
		return fields{"Origin": origin, "Access-Control-Request-Method": method}
	}
	allowed := append([]string{"Access-Control-Allow-Methods: PUT", "Access-Control-Max-Age: 600"}, allowApp...)
	for _, test := range []struct {
		name, options  string
		header         fields
		status         int
		want           []string
		backendAnswers bool
	}{
		{"allowed", "", preflight(app, "PUT"), 202, allowed, true},
		{"method denied", "", preflight(app, "DELETE"), 202, append([]string{"Access-Control-Allow-Methods: PUT"}, allowApp...), true},
		{"origin denied", "", preflight(other, "PUT"), 202, nil, true},
		{"enforce: allowed", "enforce", preflight(app, "PUT"), 202, allowed, true},
		{"enforce: origin denied", "enforce", preflight(other, "PUT"), 403, nil, false},
		{"enforce: method denied", "enforce", preflight(app, "DELETE"), 202, append([]string{"Access-Control-Allow-Methods: PUT"}, allowApp...), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := livecaddy.Site(t, `
				cors `+app+` {
					allow_methods PUT
					forward_preflight
					`+test.options+`
				}
				reverse_proxy `+backend)
			res := livecaddy.Send(t, "OPTIONS", url, test.header)
			res.Want(t, test.status, test.want, varyPreflight)
			if got := res.Header.Get("X-Method") == "OPTIONS"; got != test.backendAnswers {
				t.Errorf("the backend answers: %v, want %v", got, test.backendAnswers)
			}
		})
	}
}

// report_only changes nothing at all: a preflight goes on, an upstream's headers stay, Vary too.
func TestReportOnly(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://upstream.example.com")
		w.Header().Set("X-Method", r.Method)
	})
	theirs := []string{"Access-Control-Allow-Origin: https://upstream.example.com"}
	for name, header := range map[string]fields{
		"allowed":               {"Origin": app},
		"denied":                {"Origin": other},
		"no origin":             {},
		"preflight":             {"Origin": app, "Access-Control-Request-Method": "PUT"},
		"denied preflight":      {"Origin": other, "Access-Control-Request-Method": "PUT"},
		"what is not an origin": {"Origin": "x y"},
	} {
		t.Run(name, func(t *testing.T) {
			url := livecaddy.Site(t, `
				cors `+app+` {
					report_only
				}
				reverse_proxy `+backend)
			res := livecaddy.Send(t, "OPTIONS", url, header)
			res.Want(t, 200, theirs, nil)
			if res.Header.Get("X-Method") != "OPTIONS" {
				t.Error("the request did not reach the upstream")
			}
		})
	}
	t.Run("another cors further in still decides", func(t *testing.T) {
		url := livecaddy.Site(t, `
			route {
				cors `+other+` {
					report_only
					debug
				}
				cors `+app+`
				respond hello
			}`)
		res := livecaddy.Send(t, "GET", url, fields{"Origin": app})
		res.Want(t, 200, allowApp, varyOrigin)
		if got := res.Header.Get("X-Cors-Decision"); !strings.HasPrefix(got, "denied;") {
			t.Errorf("the outer decision is %q", got)
		}
	})
}

func TestDebug(t *testing.T) {
	for _, test := range []struct {
		name, options, method string
		header                fields
		want                  string
	}{
		{"allowed", "", "GET", fields{"Origin": app}, `allowed; policy="default"`},
		{"no origin", "", "GET", nil, `no-origin; policy="default"`},
		{"same origin", "", "GET", fields{"Origin": other, "Sec-Fetch-Site": "same-origin"}, `same-origin; policy="default"`},
		{"denied", "", "GET", fields{"Origin": other}, `denied; reason=origin-not-allowed; detail="` + other + `"; policy="default"`},
		{"denied, enforced", "enforce", "GET", fields{"Origin": other}, `denied; reason=origin-not-allowed; detail="` + other + `"; policy="default"`},
		{"null", "", "GET", fields{"Origin": "null"}, `denied; reason=origin-null; detail="null"; policy="default"`},
		{"what no Structured Field can hold", "", "GET", fields{"Origin": "a\"b\\c\x80\xff\td"}, `denied; reason=origin-invalid; detail="a\"b\\c???d"; policy="default"`},
		{"what is too long", "", "GET", fields{"Origin": strings.Repeat("x", 5000)}, `denied; reason=origin-invalid; detail="` + strings.Repeat("x", 128) + `"; policy="default"`},
		{"preflight: method", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}, `denied; reason=method-not-allowed; detail="PUT"; policy="default"`},
		{"preflight: header", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "x-a"}, `denied; reason=header-not-allowed; detail="x-a"; policy="default"`},
		{"preflight: private network", "", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}, `denied; reason=private-network-not-allowed; policy="default"`},
		{"preflight: origin", "", "OPTIONS", fields{"Origin": other, "Access-Control-Request-Method": "GET"}, `denied; reason=origin-not-allowed; detail="` + other + `"; policy="default"`},
		{"report_only", "report_only", "GET", fields{"Origin": other}, `denied; reason=origin-not-allowed; detail="` + other + `"; policy="default"`},
		{"report_only, preflight", "report_only", "OPTIONS", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}, `denied; reason=method-not-allowed; detail="PUT"; policy="default"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			url := livecaddy.Site(t, "cors "+app+" {\ndebug\n"+test.options+"\n}\nrespond hello")
			res := livecaddy.Send(t, test.method, url, test.header)
			if got := res.Header["X-Cors-Decision"]; len(got) != 1 || got[0] != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if item, err := httpsfv.UnmarshalItem(res.Header["X-Cors-Decision"]); err != nil {
				t.Errorf("no Structured Field: %v", err)
			} else if policy, _ := item.Params.Get("policy"); policy != "default" {
				t.Errorf("the policy is %v", policy)
			}
			if test.options == "report_only" {
				res.Want(t, 200, nil, nil)
			}
		})
	}
}

// expose_headers * with credentials, where browsers would take "*" for a name, lists the names that the response has.
func TestExposeEverythingWithCredentials(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Total", "17")
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Access-Control-Expose-Headers", "X-Upstream")
	})
	url := livecaddy.Site(t, `
		cors `+app+` {
			allow_credentials
			expose_headers *
		}
		reverse_proxy `+backend)
	res := livecaddy.Send(t, "GET", url, fields{"Origin": app})
	exposed := strings.Split(res.Header.Get("Access-Control-Expose-Headers"), ", ")
	if names := slices.Compact(slices.Sorted(slices.Values(exposed))); len(names) != len(exposed) {
		t.Errorf("a name comes twice: %v", exposed)
	}
	for _, name := range []string{"X-Total", "Etag", "Date"} {
		if !slices.Contains(exposed, name) {
			t.Errorf("%s is not exposed: %v", name, exposed)
		}
	}
	for _, name := range exposed {
		if _, ok := res.Header[name]; !ok || name == "Set-Cookie" || strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s is exposed", name)
		}
	}
	if exposed := livecaddy.Send(t, "GET", url, fields{"Origin": other}).Header["Access-Control-Expose-Headers"]; exposed != nil {
		t.Errorf("exposed to a denied origin: %q", exposed)
	}
}

// Of several cors on one request the outermost that matches decides.
func TestSeveral(t *testing.T) {
	url := livecaddy.Site(t, `
		cors /one/* https://one.test
		cors https://two.test {
			expose_headers X-Two
		}
		handle {
			cors https://three.test {
				expose_headers X-Three
				enforce
			}
			respond hello
		}`)
	for _, test := range []struct {
		path, origin string
		want         []string
	}{
		{"/one/x", "https://one.test", []string{"Access-Control-Allow-Origin: https://one.test"}},
		{"/one/x", "https://two.test", nil},
		{"/two", "https://two.test", []string{"Access-Control-Allow-Origin: https://two.test", "Access-Control-Expose-Headers: X-Two"}},
		{"/two", "https://one.test", nil},
	} {
		t.Run(test.path+" "+test.origin, func(t *testing.T) {
			livecaddy.Send(t, "GET", url+test.path, fields{"Origin": test.origin}).Want(t, 200, test.want, varyOrigin)
		})
	}
}

// A deferred header operation, the user's own, has the last word; an immediate one does not.
func TestHeaderDirective(t *testing.T) {
	url := livecaddy.Site(t, `
		cors `+app+`
		header /immediate Access-Control-Allow-Origin https://header.test
		header /deferred >Access-Control-Allow-Origin https://header.test
		respond hello`)
	livecaddy.Send(t, "GET", url+"/immediate", fields{"Origin": app}).Want(t, 200, allowApp, varyOrigin)
	livecaddy.Send(t, "GET", url+"/deferred", fields{"Origin": app}).Want(t, 200, []string{"Access-Control-Allow-Origin: https://header.test"}, varyOrigin)
}

// A header operation may rewrite values in place. What it rewrites is one response's alone.
func TestHeaderValuesAreNotShared(t *testing.T) {
	url := livecaddy.Site(t, `
		cors `+app+` {
			allow_methods PUT
			allow_headers X-One
			expose_headers X-Total
			allow_credentials
		}
		header {
			defer
			>* "(.)$" "$1!"
		}
		respond hello`)
	for range 3 {
		for _, header := range []fields{{"Origin": app}, {"Origin": app, "Access-Control-Request-Method": "PUT"}} {
			res := livecaddy.Send(t, "OPTIONS", url, header)
			for _, line := range append(res.CORS(), res.Vary()...) {
				if strings.Count(line, "!") > 1 {
					t.Fatalf("%s: rewritten by an earlier response too", line)
				}
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != app+"!" {
				t.Fatalf("got %q: the test rewrites nothing", got)
			}
		}
	}
}

// A 103 passes as the upstream sent it; the final response has the headers.
func TestEarlyHints(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(200)
	})
	url := livecaddy.Site(t, "cors "+app+"\nreverse_proxy "+backend)
	var hints []textproto.MIMEHeader
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code != http.StatusEarlyHints {
				return fmt.Errorf("status %d", code)
			}
			hints = append(hints, header)
			return nil
		},
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	req.Header.Set("Origin", app)
	res, err := livecaddy.HTTP1(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if len(hints) != 1 || hints[0].Get("Link") == "" || len((livecaddy.Response{Response: &http.Response{Header: http.Header(hints[0])}}).CORS()) > 0 || hints[0].Get("Vary") != "" {
		t.Errorf("the hints are %v", hints)
	}
	(livecaddy.Response{Response: res}).Want(t, 200, allowApp, varyOrigin)
}

// The first event of a stream arrives, with the headers, while the upstream still holds the second one back.
func TestServerSentEvents(t *testing.T) {
	release := make(chan struct{})
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		<-release
		io.WriteString(w, "data: 2\n\n")
	})
	url := livecaddy.Site(t, "cors "+app+"\nreverse_proxy "+backend)
	req, _ := http.NewRequest("GET", url, nil)
	req.Header.Set("Origin", app)
	res, err := livecaddy.HTTP1(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	(livecaddy.Response{Response: res}).Want(t, 200, allowApp, varyOrigin)
	body := bufio.NewReader(res.Body)
	if line, err := body.ReadString('\n'); line != "data: 1\n" {
		t.Fatalf("the first event is %q, %v", line, err)
	}
	close(release)
	if rest, err := io.ReadAll(body); string(rest) != "\ndata: 2\n\n" || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}

// upgrade asks for a WebSocket and returns the response with the connection's further bytes as its body.
func upgrade(t *testing.T, url, origin string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: %s\r\n\r\nping", origin)
	reader := bufio.NewReader(conn)
	res, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body = io.NopCloser(reader)
	return res
}

// A WebSocket passes through as it is, unless enforce refuses its origin.
func TestWebSocket(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		var ping [4]byte
		io.ReadFull(rw, ping[:])
		io.WriteString(conn, "pong to "+string(ping[:]))
	})
	for _, test := range []struct {
		options, origin string
		status          int
	}{
		{"", app, 101},
		{"", other, 101},
		{"enforce", app, 101},
		{"enforce", other, 403},
		{"enforce", "null", 403},
		{"enforce", "http://api.example.com", 101}, // same origin
	} {
		t.Run(test.options+" "+test.origin, func(t *testing.T) {
			url := "http://127.0.0.1:" + livecaddy.FreePort(t)
			livecaddy.Start(t, strings.Replace(url, "127.0.0.1", "", 1)+" {\ncors "+app+" {\n"+test.options+"\n}\nreverse_proxy "+backend+"\n}")
			res := upgrade(t, url, test.origin)
			if res.StatusCode != test.status {
				t.Fatalf("status %d, want %d", res.StatusCode, test.status)
			}
			if test.status != 101 {
				(livecaddy.Response{Response: res}).Want(t, 403, nil, varyEnforced)
				return
			}
			(livecaddy.Response{Response: res}).Want(t, 101, nil, nil)
			if body, _ := io.ReadAll(res.Body); string(body) != "pong to ping" {
				t.Errorf("the socket says %q", body)
			}
		})
	}
}

// The same requests on every version of HTTP, over TLS with the certificates of Caddy's own authority.
func TestProtocols(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		io.WriteString(w, "upstream")
	})
	port := livecaddy.FreePort(t)
	url := "https://localhost:" + port
	server := livecaddy.Start(t, fmt.Sprintf(`%s {
		tls internal {
			on_demand
		}
		cors %s {
			allow_methods PUT
			allow_credentials
		}
		redir /redir /x
		handle /error {
			error 500
		}
		handle /nothing
		handle /dead {
			reverse_proxy %s
		}
		handle {
			reverse_proxy %s
		}
	}`, url, app, livecaddy.UpstreamDown(t), backend))

	credentials := append([]string{"Access-Control-Allow-Credentials: true"}, allowApp...)
	trusted := server.TLS()
	h2 := &http.Transport{TLSClientConfig: trusted.Clone(), ForceAttemptHTTP2: true}
	h1 := &http.Transport{TLSClientConfig: trusted.Clone()}
	h3 := &http3.Transport{TLSClientConfig: trusted}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	for proto, transport := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2.0": h2, "HTTP/3.0": h3} {
		for _, test := range []struct {
			method, path string
			header       fields
			status       int
			want         []string
			vary         []string
		}{
			{"GET", "/", fields{"Origin": app}, 200, credentials, varyOrigin},
			{"GET", "/", fields{"Origin": other}, 200, nil, varyOrigin},
			{"GET", "/", nil, 200, nil, varyOrigin},
			{"GET", "/redir", fields{"Origin": app}, 302, credentials, varyOrigin},
			{"GET", "/error", fields{"Origin": app}, 500, credentials, varyOrigin},
			{"GET", "/dead", fields{"Origin": app}, 502, credentials, varyOrigin},
			{"GET", "/nothing", fields{"Origin": app}, 200, credentials, varyOrigin},
			{"HEAD", "/", fields{"Origin": app}, 200, credentials, varyOrigin},
			{"OPTIONS", "/", fields{"Origin": app, "Access-Control-Request-Method": "PUT"}, 204, append([]string{"Access-Control-Allow-Methods: PUT", "Access-Control-Max-Age: 600"}, credentials...), varyPreflight},
			{"OPTIONS", "/", fields{"Origin": other, "Access-Control-Request-Method": "PUT"}, 403, nil, varyPreflight},
		} {
			t.Run(proto+" "+test.method+test.path, func(t *testing.T) {
				res := livecaddy.SendBy(t, livecaddy.Client(transport), test.method, url+test.path, test.header)
				res.Want(t, test.status, test.want, test.vary)
				if res.Proto != proto {
					t.Errorf("over %s", res.Proto)
				}
			})
		}
	}
}

// A reload with a configuration that is refused leaves the running one as it is.
func TestRefusedReload(t *testing.T) {
	url := livecaddy.Site(t, "cors "+app+"\nrespond hello")
	config := fmt.Sprintf(`{"admin": {"disabled": true}, "apps": {"http": {"servers": {"srv0": {"listen": [%q], "routes": [
		{"handle": [{"handler": "cors", "allow_origins": ["https://Other.example.com"]}]}
	]}}}}}`, strings.TrimPrefix(url, "http://"))
	err := caddy.Load([]byte(config), true)
	if err == nil || !strings.Contains(err.Error(), `did you mean "https://other.example.com"?`) {
		t.Errorf("the reload says: %v", err)
	}
	livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, allowApp, varyOrigin)
}

// The first policy whose origins match decides, and inherits nothing.
func TestPolicies(t *testing.T) {
	const partner, guest, insider = "https://partner.example.com", "https://a.guest.example.com", "https://insider.example.com"
	url := livecaddy.Site(t, `
		cors https://app.example.com https://*.example.com {
			allow_methods PUT
			allow_headers X-App
			expose_headers X-Total
			allow_credentials
			max_age 1h
			debug
			policy partner `+partner+` {
				allow_methods DELETE
				expose_headers X-Partner
				max_age off
			}
			policy https://*.guest.example.com
			policy insiders {
				allow_origins `+insider+`
				allow_origins_regexp https://in[0-9]+\.example\.com
				allow_headers *
				allow_private_network
				expose_timing
			}
		}
		respond hello`)
	varyAll := append([]string{"Access-Control-Request-Private-Network"}, varyPreflight...)
	for _, test := range []struct {
		name, origin string
		preflight    string // the method asked for
		headers      string
		want         []string
		policy       string
	}{
		{"the partner", partner, "", "", []string{"Access-Control-Expose-Headers: X-Partner"}, "partner"},
		{"a preflight of the partner sees only the partner's rights", partner, "DELETE", "", []string{"Access-Control-Allow-Methods: DELETE", "Access-Control-Expose-Headers: X-Partner", "Access-Control-Max-Age: 0"}, "partner"},
		{"the rights of others are none of the partner's", partner, "PUT", "", []string{"Access-Control-Allow-Methods: DELETE", "Access-Control-Expose-Headers: X-Partner"}, "partner"},
		{"a block without a name or options", guest, "", "", nil, "policy-2"},
		{"a preflight to it", guest, "GET", "x-app", nil, "policy-2"},
		{"an insider", insider, "", "", []string{"Timing-Allow-Origin: " + insider}, "insiders"},
		{"an insider by regexp", "https://in7.example.com", "GET", "x-any", []string{"Access-Control-Allow-Headers: x-any", "Access-Control-Max-Age: 600"}, "insiders"},
		{"the directive's own", app, "", "", []string{"Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Total"}, "default"},
		{"a preflight to the directive's own", app, "PUT", "x-app", []string{"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: X-App", "Access-Control-Expose-Headers: X-Total", "Access-Control-Max-Age: 3600"}, "default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, method, status, vary := fields{"Origin": test.origin}, "GET", 200, varyOrigin
			if test.preflight != "" {
				method, status, vary = "OPTIONS", 204, varyAll
				header["Access-Control-Request-Method"] = test.preflight
				header["Access-Control-Request-Headers"] = test.headers
			}
			res := livecaddy.Send(t, method, url, header)
			res.Want(t, status, append([]string{"Access-Control-Allow-Origin: " + test.origin}, test.want...), vary)
			if got := res.Header.Get("X-Cors-Decision"); !strings.HasSuffix(got, `policy="`+test.policy+`"`) {
				t.Errorf("decided by %s, want %s", got, test.policy)
			}
		})
	}
	t.Run("nobody's origin", func(t *testing.T) {
		res := livecaddy.Send(t, "GET", url, fields{"Origin": "https://evil.com"})
		res.Want(t, 200, nil, varyOrigin)
		if got, want := res.Header.Get("X-Cors-Decision"), `denied; reason=origin-not-allowed; detail="https://evil.com"; policy="default"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// The directive's own policy may be absent; and it is not public where it is not the only one.
func TestPoliciesAlone(t *testing.T) {
	t.Run("blocks alone", func(t *testing.T) {
		url := livecaddy.Site(t, "cors {\npolicy "+app+"\nenforce\n}\nrespond hello")
		livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, allowApp, varyEnforced)
		livecaddy.Send(t, "GET", url, fields{"Origin": other}).Want(t, 403, nil, varyEnforced)
	})
	t.Run("one block for everyone is public", func(t *testing.T) {
		url := livecaddy.Site(t, "cors {\npolicy *\n}\nrespond hello")
		livecaddy.Send(t, "GET", url, nil).Want(t, 200, []string{"Access-Control-Allow-Origin: *"}, nil)
	})
	t.Run("everyone behind a block is not", func(t *testing.T) {
		url := livecaddy.Site(t, "cors * {\npolicy "+app+" {\nallow_credentials\n}\n}\nrespond hello")
		livecaddy.Send(t, "GET", url, nil).Want(t, 200, nil, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": other}).Want(t, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": "null"}).Want(t, 200, []string{"Access-Control-Allow-Origin: null"}, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": "x y"}).Want(t, 200, nil, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, append([]string{"Access-Control-Allow-Credentials: true"}, allowApp...), varyOrigin)
	})
}

func TestPoliciesRefused(t *testing.T) {
	for name, test := range map[string]struct{ handler, want string }{
		"a block without origins":           {`{"policies": [{"name": "x"}]}`, `policy "x": no origin may call: name those that may ("allow_origins": ["https://app.example.com"])`},
		"a block without name and origins":  {`{"policies": [{"allow_origins": ["https://a.test"]}, {}]}`, `policy "policy-2": no origin may call`},
		"two of a name":                     {`{"policies": [{"name": "x", "allow_origins": ["https://a.test"]}, {"name": "x", "allow_origins": ["https://b.test"]}]}`, `another policy is named "x" too`},
		"a name that stands for a place":    {`{"policies": [{"name": "policy-2", "allow_origins": ["https://a.test"]}, {"allow_origins": ["https://b.test"]}]}`, `another policy is named "policy-2" too`},
		"the name of the directive's own":   {`{"policies": [{"name": "default", "allow_origins": ["https://a.test"]}]}`, `another policy is named "default" too`},
		"a name of other characters":        {`{"policies": [{"name": "a b", "allow_origins": ["https://a.test"]}]}`, `the name "a b" is not one of letters`},
		"everyone before others":            {`{"policies": [{"allow_origins": ["*"]}], "allow_origins": ["https://a.test"]}`, `those behind it are never reached`},
		"everyone before another block":     {`{"policies": [{"allow_origins": ["*"]}, {"allow_origins": ["https://a.test"]}]}`, `those behind it are never reached`},
		"a risk in a block":                 {`{"policies": [{"allow_origins": ["null"], "allow_credentials": true}]}`, `"insecure": ["null_origin_with_credentials"]`},
		"options of nobody's":               {`{"policies": [{"allow_origins": ["https://a.test"]}], "allow_methods": ["PUT"], "max_age": 0}`, "allow_methods: policies inherit nothing, and outside them no origin may call: write the option into the blocks that need it\nmax_age: policies inherit nothing"},
		"an unset variable":                 {`{"policies": [{"allow_origins": ["{env.CORS_TEST_UNSET}"]}]}`, `policy "policy-1": allow_origins: "{env.CORS_TEST_UNSET}" is empty`},
		"a source that is not there":        {`{"allow_origins_from": [{"source": "nowhere"}]}`, `unknown module: http.cors.origins.nowhere`},
		"a source that is not one":          {`{"allow_origins_from": [{"source": "test_no_source"}]}`, `is not a source of origins`},
		"a source that does not provision":  {`{"allow_origins_from": [{"source": "test_fleet"}]}`, `allow_origins_from: position 0: loading module 'test_fleet': provision http.cors.origins.test_fleet: which fleet?`},
		"everyone beside a source":          {`{"allow_origins": ["*"], "allow_origins_from": [{"source": "test_fleet", "fleet": "x"}]}`, `remove "*" to allow just those`},
		"a handler's option in a block":     {`{"policies": [{"allow_origins": ["https://a.test"], "enforce": true}]}`, `policy "policy-1": "enforce" is a field of the handler: move it out of "policies"`},
		"an unknown field in a block":       {`{"policies": [{"name": "p", "allow_origins": ["https://a.test"], "allow_method": ["PUT"]}]}`, `policy "p": unknown field "allow_method"; did you mean "allow_methods"?`},
		"two problems in a block":           {`{"policies": [{"name": "p", "allow_origins": ["foo"], "allow_methods": ["put"]}]}`, "did you mean \"PUT\"?"},
		"each of them with the policy":      {`{"policies": [{"name": "p", "allow_origins": ["foo"], "allow_methods": ["put"]}]}`, "\npolicy \"p\": allow_methods: "},
		"a risk that no source brings":      {`{"allow_origins_from": [{"source": "test_fleet", "fleet": "x"}], "insecure": ["http_origin_with_credentials"]}`, `nothing here needs http_origin_with_credentials`},
		"everyone with a name, before all":  {`{"policies": [{"name": "all", "allow_origins": ["*"]}], "allow_origins_from": [{"source": "test_fleet", "fleet": "x"}]}`, `the policy "all" is for everyone`},
		"two problems in different blocks":  {`{"policies": [{"allow_origins": ["foo"]}, {"allow_origins": ["https://A.test"]}]}`, `policy "policy-2": allow_origins: "https://A.test"`},
		"a name that is far too long, too.": {`{"policies": [{"name": "` + strings.Repeat("x", 65) + `", "allow_origins": ["https://a.test"]}]}`, `64 at most`},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, test.handler)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got: %v\nwant it to say: %s", err, test.want)
			}
		})
	}
}

// load loads a handler from its JSON.
func load(t *testing.T, handler string) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	_, err := ctx.LoadModuleByID(string(new(caddycors.Handler).CaddyModule().ID), json.RawMessage(handler))
	return err
}

// fleet is a third party's source of origins.
type fleet struct {
	Fleet string `json:"fleet,omitempty"`
}

// noSource is a guest module in the wrong place.
type noSource struct{}

func init() {
	caddy.RegisterModule(new(fleet))
	caddy.RegisterModule(noSource{})
}

func (*fleet) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.cors.origins.test_fleet", New: func() caddy.Module { return new(fleet) }}
}

func (noSource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.cors.origins.test_no_source", New: func() caddy.Module { return noSource{} }}
}

func (f *fleet) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&f.Fleet) {
		return d.ArgErr()
	}
	return nil
}

func (f *fleet) Provision(caddy.Context) error {
	if f.Fleet == "" {
		return errors.New("which fleet?")
	}
	return nil
}

func (f *fleet) AllowsOrigin(_ context.Context, origin string) bool {
	return strings.HasSuffix(origin, "."+f.Fleet+".example.com")
}

var _ caddycors.OriginSource = (*fleet)(nil)

func TestThirdPartySource(t *testing.T) {
	url := livecaddy.Site(t, `
		cors {
			allow_origins_from test_fleet blue
			allow_origins_from test_fleet green
			allow_credentials
			policy red {
				allow_origins_from test_fleet red
				allow_credentials
				insecure http_origin_with_credentials
			}
		}
		respond hello`)
	for origin, allowed := range map[string]bool{
		"https://a.blue.example.com":         true,
		"https://a.green.example.com":        true,
		"https://a.red.example.com":          true,
		"https://a.white.example.com":        false,
		"http://a.blue.example.com":          false, // with credentials, and the risk is not taken
		"http://a.red.example.com":           true,
		"https://A.blue.example.com":         false, // a source is asked only of what browsers write
		"null":                               false,
		"evil://x/.blue.example.com":         false,
		"https://evil.com#.blue.example.com": false,
	} {
		t.Run(origin, func(t *testing.T) {
			var want []string
			if allowed {
				want = []string{"Access-Control-Allow-Origin: " + origin, "Access-Control-Allow-Credentials: true"}
			}
			livecaddy.Send(t, "GET", url, fields{"Origin": origin}).Want(t, 200, want, varyOrigin)
		})
	}
}
