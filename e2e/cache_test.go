//go:build linux

package e2e_test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A cache is a program that many put before their servers.
type cache struct {
	name    string
	program program

	// launch starts it before a server, as it listens on an address. All that it may store, errors too, it stores.
	launch func(t *testing.T, path, home, listen, server string) *process
}

var caches = []cache{
	{"nginx", program{"/usr/sbin/nginx", "nginx-light"}, launchNginx},
	{"Varnish", program{"/usr/sbin/varnishd", "varnish"}, launchVarnish},
}

func launchNginx(t *testing.T, path, home, listen, server string) *process {
	t.Helper()
	config := filepath.Join(home, "nginx.conf")
	user := ""
	if os.Geteuid() == 0 { // or its worker may not open what is root's
		user = "user root;"
	}
	writeFile(t, config, fmt.Sprintf(`
%[4]s
daemon off;
worker_processes 1;
error_log stderr;
pid %[1]s/pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/temp;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=all:1m;
	server {
		listen %[2]s;
		location / {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_cache all;
			proxy_cache_valid any 1h;
			proxy_cache_revalidate on;
			add_header X-Cache $upstream_cache_status always;
		}
	}
}
`, home, listen, server, user))
	return start(t, exec.Command(path, "-e", "stderr", "-p", home, "-c", config), home)
}

func launchVarnish(t *testing.T, path, home, listen, server string) *process {
	t.Helper()
	config := filepath.Join(home, "default.vcl")
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, config, fmt.Sprintf(`vcl 4.1;
backend default {
	.host = "%s";
	.port = "%s";
}
sub vcl_backend_response {
	if (bereq.uncacheable) {
		return (deliver);
	}
	set beresp.ttl = 1h;
	return (deliver);
}
sub vcl_deliver {
	set resp.http.X-Cache = "MISS";
	if (obj.hits > 0) {
		set resp.http.X-Cache = "HIT";
	}
}
`, host, port))
	return start(t, exec.Command(path, "-F", "-j", "none", "-n", filepath.Join(home, "work"), "-a", listen, "-f", config, "-s", "malloc,64m"), home)
}

// start starts the cache before a server, until the test ends, and returns its URL.
func (c cache) start(t *testing.T, server string) (url string) {
	t.Helper()
	path := find(t, c.name, c.program)[0]
	home, err := os.MkdirTemp("", "cache") // not t.TempDir, whose names are too long for Varnish
	if err != nil {
		t.Fatal(err)
	}
	listen := "127.0.0.1:" + livecaddy.FreePort(t)
	p := c.launch(t, path, home, listen, server)
	t.Cleanup(func() {
		p.stop(t, syscall.SIGTERM)
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	livecaddy.Eventually(t, c.name+" listens", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s has ended", c.name)
		default:
		}
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "http://" + listen
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// cachedPolicies are what a cache may stand before, by the first part of the path.
var cachedPolicies = map[string]string{
	"listed":      "cors " + app + " https://*.partner.example",
	"everyone":    "cors *",
	"credentials": "cors " + app + " {\nallow_credentials\nexpose_headers *\nexpose_timing\n}",
	"anybody":     "cors * {\nallow_credentials\ninsecure any_origin_with_credentials\n}",
	"policies":    "cors * {\npolicy " + app + " {\nallow_credentials\nexpose_headers X-Total\n}\n}",
	"preserve":    "cors " + app + " {\nupstream preserve\n}",
	"preserve-everyone": `cors * {
		upstream preserve
	}`,
	"enforce":        "cors " + app + " {\nenforce\n}",
	"enforce-unsafe": "cors " + app + " {\nenforce unsafe\n}",
	"enforce-except": "cors " + app + " {\nenforce\nenforce_except /enforce-except/echo/*\n}",
	"enforce-preserve": `cors ` + app + ` {
		enforce
		upstream preserve
	}`,
	"tenant":    "cors https://{http.request.header.X-Tenant}.example.com",
	"mapped":    "map {http.request.header.X-Tenant} {tenant} {\nblue app\ndefault other\n}\ncors https://{tenant}.example.com",
	"variable":  "@tenant header X-Tenant app\nvars @tenant tenant app\ncors https://{vars.tenant}.example.com",
	"forwarded": "cors " + app + " {\nforward_preflight\n}",
	"error":     "cors " + app + "\nerror 500",
}

// cachedAnswers are what a backend may answer, by the second part of the path. It has its own ideas of CORS, which depend
// on nothing but the Origin, though it does not say so.
var cachedAnswers = map[string]func(w http.ResponseWriter, origin string){
	"plain":     func(http.ResponseWriter, string) {},
	"not-found": func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusNotFound) },
	"failed":    func(w http.ResponseWriter, _ string) { w.WriteHeader(http.StatusInternalServerError) },
	"moved": func(w http.ResponseWriter, _ string) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusMovedPermanently)
	},
	"echo": func(w http.ResponseWriter, origin string) {
		if origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
	},
	"echo-some": func(w http.ResponseWriter, origin string) {
		if origin == evil {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
		}
	},
	"star": func(w http.ResponseWriter, _ string) { w.Header().Set("Access-Control-Allow-Origin", "*") },
	"varies": func(w http.ResponseWriter, _ string) {
		w.Header().Add("Vary", "Accept-Encoding")
		w.Header().Add("Vary", "Accept-Language")
	},
}

// serveCached is the backend. All that it answers may be stored for an hour, and has a validator.
func serveCached(w http.ResponseWriter, r *http.Request) {
	const tag = `"1"`
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("X-Total", "7")
	part := strings.Split(r.URL.Path, "/")
	cachedAnswers[part[2]](w, r.Header.Get("Origin"))
	if part[2] == "not-found" || part[2] == "failed" || part[2] == "moved" {
		return
	}
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	io.WriteString(w, "hello")
}

// cachedRequests makes requests of all that an answer may depend on.
type cachedRequests struct{ *rand.Rand }

func (g cachedRequests) next() (method string, header fields) {
	header = make(fields)
	set := func(name string, values ...string) {
		if value := pick(g.Rand, values...); value != "" {
			header[name] = value
		}
	}
	set("Origin", "", app, app, other, evil, "null", "https://www.partner.example", "https://api.example.com", "no origin")
	set("Sec-Fetch-Site", "", "", "same-origin", "same-site", "cross-site", "none")
	set("Sec-Fetch-Mode", "", "", "cors", "no-cors", "navigate", "websocket")
	set("X-Tenant", "", "", "blue", "app", "other")
	set("Accept-Encoding", "", "gzip")
	set("If-None-Match", "", "", "", `"1"`, `"2"`)
	method = pick(g.Rand, "GET", "GET", "GET", "GET", "HEAD", "POST", "OPTIONS")
	if method == "OPTIONS" {
		set("Access-Control-Request-Method", "", "GET", "PUT")
	}
	return method, header
}

// Whoever has asked before, and for what: nobody gets an answer of a cache that the server would not have given them.
//
// The oracle is the server itself, which is asked the same beside the cache.
func TestCaches(t *testing.T) {
	backend := livecaddy.Upstream(t, serveCached)
	address := "127.0.0.1:" + livecaddy.FreePort(t)
	site := new(strings.Builder)
	fmt.Fprintf(site, "http://:%s {\n", strings.TrimPrefix(address, "127.0.0.1:"))
	for name, directives := range cachedPolicies {
		fmt.Fprintf(site, "handle /%s/* {\n%s\nreverse_proxy %s\n}\n", name, directives, backend)
	}
	site.WriteString("handle_errors {\ncors https://*.example.com\nheader Cache-Control \"public, max-age=3600\"\nrespond \"{err.status_code}\"\n}\n}\n")
	livecaddy.Start(t, site.String())

	seed := testSeed(t)
	for _, c := range caches {
		t.Run(c.name, func(t *testing.T) {
			url := c.start(t, address)
			direct, cached := livecaddy.HTTP1(t), livecaddy.HTTP1(t)
			g := cachedRequests{rand.New(rand.NewPCG(seed, 0))}
			hits := make(map[string]int)   // by policy
			shared := make(map[string]int) // hits of the answer to another origin's request
			for _, policy := range slices.Sorted(maps.Keys(cachedPolicies)) {
				for _, answer := range slices.Sorted(maps.Keys(cachedAnswers)) {
					path := fmt.Sprintf("/%s/%s/%d", policy, answer, g.Uint64())
					var before []string
					for range 60 {
						method, header := g.next()
						header["Host"] = "api.example.com"
						want := livecaddy.SendBy(t, direct, method, "http://"+address+path, header)
						got := livecaddy.SendBy(t, cached, method, url+path, header)
						hit := got.Header.Get("X-Cache") == "HIT"
						sent := fmt.Sprintf("%s %v", method, header)
						if hit {
							hits[policy]++
							if !slices.Contains(before, sent) {
								shared[policy]++
							}
						}
						if lines := len(want.Header["Vary"]); lines > 1 {
							t.Fatalf("%s: Vary has %d lines: %q", path, lines, want.Header["Vary"])
						}
						if !sameAnswer(got, want) {
							t.Fatalf("CADDY_CORS_SEED=%d, %s\n%s\ngets   %d %q\nand not %d %q, Vary %q\nbefore it came\n%s", seed, path, sent,
								got.StatusCode, got.CORS(), want.StatusCode, want.CORS(), want.Vary(), strings.Join(before, "\n"))
						}
						before = append(before, sent)
					}
				}
			}
			for policy := range cachedPolicies {
				if hits[policy] == 0 {
					t.Errorf("nothing of %s came from the cache", policy)
				}
			}
			if shared["everyone"] < shared["listed"] || shared["everyone"] == 0 {
				t.Errorf("%d answers of everyone were shared, and %d of listed", shared["everyone"], shared["listed"])
			}
			t.Logf("answers from the cache: %v", hits)
		})
	}
}

// sameAnswer compares what answers allow and say. Where they have no body, a cache's may list the names of the fields that
// the whole answer had.
func sameAnswer(a, b livecaddy.Response) bool {
	cors := func(r livecaddy.Response) []string {
		return slices.DeleteFunc(r.CORS(), func(line string) bool {
			return r.Text == "" && strings.HasPrefix(line, "Access-Control-Expose-Headers: ")
		})
	}
	return a.StatusCode == b.StatusCode && slices.Equal(cors(a), cors(b)) && a.Text == b.Text
}
