package check_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const page = "http://localhost:3000"

// A backend keeps a record of what it was asked: the method, the body, and some fields.
type backend struct {
	*httptest.Server
	asked []string
}

// newBackend answers by the path: what it allows, or of what kind the answer is.
func newBackend(t *testing.T) *backend {
	t.Helper()
	b := new(backend)
	mux := http.NewServeMux()
	open := func(w http.ResponseWriter) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", page)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Methods", "PUT, DELETE")
		h.Set("Access-Control-Allow-Headers", "content-type")
	}
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) { open(w) })
	mux.HandleFunc("/closed", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("/no-options", func(w http.ResponseWriter, r *http.Request) {
		if open(w); r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	mux.HandleFunc("/origin-alone", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Access-Control-Allow-Origin", page) })
	away := "http://localhost:" + livecaddy.FreePort(t) + "/" // where nobody listens
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		open(w)
		w.Header().Set("Location", away)
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/event-stream", func(w http.ResponseWriter, r *http.Request) {
		open(w)
		w.Header().Set("Content-Type", "text/event-stream")
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "connect-src 'self'; img-src *")
	})
	mux.HandleFunc("/sandbox", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "sandbox allow-scripts")
	})
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		line := r.Method + " " + string(body)
		for _, name := range []string{"Content-Type", "Cookie"} {
			if value := r.Header.Get(name); value != "" {
				line += " " + name + "=" + value
			}
		}
		b.asked = append(b.asked, line)
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

// What the flags say of the call is what the server is asked, and the verdict.
func TestCallFlags(t *testing.T) {
	file := checktest.File(t, "body.json", `{"a": 1}`)
	for _, test := range []struct {
		name  string
		path  string
		flags []string
		want  string // the verdict, or the code of the cause
		asked []string
	}{
		{name: "upload listeners", path: "/no-options", flags: []string{"--kind=xhr-upload", "--data=x"}, want: "preflight-status", asked: []string{"OPTIONS "}},
		{name: "an XMLHttpRequest without them", path: "/no-options", flags: []string{"--kind=xhr", "--data=x"}, want: "allowed", asked: []string{"POST x Content-Type=text/plain;charset=UTF-8"}},
		{name: "a body", path: "/open", flags: []string{"--data=x"}, want: "allowed", asked: []string{"POST x Content-Type=text/plain;charset=UTF-8"}},
		{name: "no body is a body, too", path: "/open", flags: []string{"--data="}, want: "allowed", asked: []string{"POST  Content-Type=text/plain;charset=UTF-8"}},
		{
			name: "a file", path: "/open", flags: []string{"-X", "PUT", "--data=@" + file, "-H", "Content-Type: application/json"}, want: "allowed",
			asked: []string{"OPTIONS ", `PUT {"a": 1} Content-Type=application/json`},
		},
		{
			name: "a cookie goes with the request, and not with the preflight", path: "/open", flags: []string{"-X", "DELETE", "--cookie=a=b; c=d"}, want: "allowed",
			asked: []string{"OPTIONS ", "DELETE  Cookie=a=b; c=d"},
		},
		{name: "a cookie is credentials", path: "/origin-alone", flags: []string{"--cookie=a=b"}, want: "missing-allow-credentials", asked: []string{"GET  Cookie=a=b"}},
		{name: "no-cors", path: "/closed", flags: []string{"--no-cors"}, want: "allowed", asked: []string{"GET "}},
		{name: "no-cors, and a header that is read", path: "/closed", flags: []string{"--no-cors", "--reads=X-Total"}, want: "header-not-exposed", asked: []string{"GET "}},
		{name: "a beacon of text", path: "/closed", flags: []string{"--kind=beacon", "--data=x"}, want: "allowed", asked: []string{"POST x Content-Type=text/plain;charset=UTF-8"}},
		{name: "a beacon of JSON", path: "/closed", flags: []string{"--kind=beacon", "--data={}", "-H", "Content-Type: application/json"}, want: "missing-allow-origin", asked: []string{"OPTIONS "}},
		{name: "an image with crossorigin", path: "/closed", flags: []string{"--kind=image"}, want: "missing-allow-origin", asked: []string{"GET "}},
		{name: "an image without", path: "/closed", flags: []string{"--kind=image", "--no-cors"}, want: "allowed", asked: []string{"GET "}},
		{name: "an event stream", path: "/event-stream", flags: []string{"--kind=eventsource"}, want: "allowed", asked: []string{"GET "}},
		{name: "an event stream that is none", path: "/open", flags: []string{"--kind=eventsource"}, want: "mime-type", asked: []string{"GET "}},
		{name: "a WebSocket that is refused", path: "/open", flags: []string{"--kind=websocket"}, want: "websocket-handshake", asked: []string{"GET "}},
		{name: "the preflight alone", path: "/open", flags: []string{"-X", "DELETE", "--preflight-only"}, want: "allowed", asked: []string{"OPTIONS "}},
		{name: "the preflight alone, where there is none", path: "/open", flags: []string{"--preflight-only"}, want: "no-preflight"},
		{name: "a vertical tab is a part of the value", path: "/closed", flags: []string{"-H", "Content-Type: text/plain\x0b"}, want: "missing-allow-origin", asked: []string{"OPTIONS "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBackend(t)
			r := checktest.Run(t, append([]string{b.URL + test.path, "--origin=" + page}, test.flags...)...)
			got := r.Verdict
			if r.Cause != nil {
				got = r.Cause.Code
			}
			if got != test.want {
				t.Errorf("is %s (%+v), want %s", got, r.Cause, test.want)
			}
			if !slices.Equal(b.asked, test.asked) {
				t.Errorf("asked %q, want %q", b.asked, test.asked)
			}
		})
	}
}

func TestWebSocketFlag(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != page || r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("the header is %q", r.Header)
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
	}))
	defer server.Close()
	r := checktest.Run(t, "ws"+strings.TrimPrefix(server.URL, "http"), "--origin="+page, "--kind=websocket")
	if r.Verdict != "allowed" || r.Status != http.StatusSwitchingProtocols {
		t.Errorf("is %+v", r)
	}
}

// A configuration speaks HTTP/2 over TLS, unless it says otherwise, and takes streams there.
func TestStreamFlag(t *testing.T) {
	for protocols, want := range map[string]string{"": "allowed", "{\nservers {\nprotocols h1\n}\n}\n": "http1-stream"} {
		r := checktest.RunCaddyfile(t, protocols+"api.example.com {\ncors https://app.example.com\nrespond ok\n}",
			"https://api.example.com/", "--origin=https://app.example.com", "--kind=stream", "--data=x")
		got := r.Verdict
		if r.Cause != nil {
			got = r.Cause.Code
		}
		if got != want {
			t.Errorf("with %q, it is %s, want %s", protocols, got, want)
		}
	}
}

// What is wrong with the flags themselves, and the text to write.
func TestCallFlagErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"http://localhost/", "--origin=" + page, "--kind=iframe"}, `--kind "iframe" is not one; those are: fetch, xhr, xhr-upload,`},
		{[]string{"http://localhost/", "--origin=" + page, "--kind=image", "--data=x"}, `a call of the kind "image" has no body`},
		{[]string{"http://localhost/", "--origin=" + page, "--kind=image", "-X", "PUT"}, `a call of the kind "image" is always a GET`},
		{[]string{"http://localhost/", "--origin=" + page, "--kind=font", "-H", "X-A: 1"}, `no script can set a header of a call of the kind "font"`},
		{[]string{"http://localhost/", "--origin=" + page, "--kind=xhr", "--no-cors"}, `a call of the kind "xhr" cannot be made without CORS`},
		{[]string{"http://localhost/", "--origin=" + page, "--data=@/does/not/exist"}, "--data: open /does/not/exist"},
		{[]string{"http://localhost/", "--origin=" + page, "--cookie=a=b\nc"}, "--cookie has what no Cookie field can have"},
		{[]string{"http://localhost/", "--origin=" + page, "--max-time=0s"}, "--max-time 0s is not a time; write one such as 30s"},
		{[]string{"http://localhost/"}, "--origin is missing"},
		{[]string{"http://localhost/", "--page-file=x"}, "whose URL is missing: --page"},
		{[]string{"http://localhost/", "--page=app.example.com"}, `--page: "app.example.com" is neither an http nor an https URL`},
		{[]string{"http://localhost/", "--page=https://app.example.com/x", "--origin=https://other.example.com"}, `--origin "https://other.example.com" is not the origin of the --page, which is "https://app.example.com"`},
		{[]string{"ws://localhost/", "--origin=" + page}, "add --kind websocket"},
	} {
		stdout, stderr := checktest.Output(t, test.args...)
		if stdout != "" || !strings.Contains(stderr, test.want) {
			t.Errorf("%q: %q and %q, want %q", test.args, stdout, stderr, test.want)
		}
		if report := checktest.Run(t, test.args...); report.Cause.Code != "arguments" || !strings.Contains(report.Cause.Message, test.want) {
			t.Errorf("%q: with --json, it is %+v", test.args, report.Cause)
		}
	}
}

func TestPageFlag(t *testing.T) {
	b := newBackend(t)
	html := checktest.File(t, "index.html", `<!doctype html><meta http-equiv="Content-Security-Policy" content="connect-src https://other.example.com">`)
	other := strings.Replace(b.URL, "127.0.0.1", "localhost", 1) // another origin
	for _, test := range []struct {
		name  string
		flags []string
		want  string
		asks  string // the Origin
	}{
		{name: "a policy of the page", flags: []string{other + "/open", "--page=" + b.URL + "/page"}, want: "content-security-policy", asks: b.URL},
		{name: "that is not about images", flags: []string{other + "/closed", "--kind=image", "--no-cors", "--page=" + b.URL + "/page"}, want: "allowed"},
		{name: "nor about the page's own origin", flags: []string{b.URL + "/closed", "--page=" + b.URL + "/page"}, want: "allowed"},
		{name: "a policy of a file", flags: []string{other + "/open", "--page=https://app.example.com/", "--page-file=" + html}, want: "content-security-policy", asks: "https://app.example.com"},
		{name: "a sandbox", flags: []string{other + "/closed", "--page=" + b.URL + "/sandbox"}, want: "missing-allow-origin", asks: "null"},
		{name: "an opaque origin in an https page", flags: []string{"http://api.example.com/", "--origin=null", "--page=https://app.example.com/", "--page-file=" + checktest.File(t, "empty.html", "")}, want: "mixed-content", asks: "null"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := checktest.Run(t, test.flags...)
			got := r.Verdict
			if r.Cause != nil {
				if got = r.Cause.Code; r.Cause.Origin != test.asks {
					t.Errorf("the origin is %s, want %s", r.Cause.Origin, test.asks)
				}
			}
			if got != test.want {
				t.Errorf("is %s (%+v), want %s", got, r.Cause, test.want)
			}
		})
	}
	if r := checktest.Run(t, b.URL, "--page=http://localhost:"+livecaddy.FreePort(t)); r.Verdict != "unknown" || r.Cause.Code != "connection-refused" {
		t.Errorf("a page that is not there: %+v", r.Cause)
	}
}

// All that is missing is told at once.
func TestNeeds(t *testing.T) {
	b := newBackend(t)
	r := checktest.Run(t, b.URL+"/closed", "--origin="+page, "-X", "PUT", "-H", "X-A: 1", "--credentials")
	if n := r.Needs; n == nil || n.At != "preflight" || n.Origin != page || !n.Credentials || n.Method != "PUT" || !slices.Equal(n.Headers, []string{"x-a"}) || n.Status {
		t.Errorf("needs %+v", r.Needs)
	}
}

// What was found before a server could not be asked is in the report.
func TestUnknownHasSteps(t *testing.T) {
	b := newBackend(t)
	args := []string{b.URL + "/away", "--origin=" + page}
	r := checktest.Run(t, args...)
	if r.Verdict != "unknown" || r.Cause.Code != "connection-refused" || !slices.ContainsFunc(r.Steps, func(s check.Step) bool { return s.Outcome == "redirect" }) {
		t.Errorf("is %+v, after %+v", r.Cause, r.Steps)
	}
	stdout, _ := checktest.Output(t, args...)
	if !strings.Contains(stdout, "Redirect 1, to http://localhost:") || !strings.Contains(stdout, "\nUnknown. Nobody listens there") {
		t.Errorf("it prints\n%s", stdout)
	}
}

// All requests together have their time, and so has each.
func TestMaxTime(t *testing.T) {
	b := newBackend(t)
	start := time.Now()
	r := checktest.Run(t, b.URL+"/slow", "--origin="+page, "--max-time=300ms")
	if r.Verdict != "unknown" || r.Cause.Code != "timeout" || !strings.Contains(r.Cause.Message, "--max-time") || time.Since(start) > 5*time.Second {
		t.Errorf("is %+v after %v", r.Cause, time.Since(start))
	}
}

// What a server sends is shown in ASCII, and stands for what it was.
func TestHostileServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const value = "https://a.test/\u009b31m\u202e\u2066\U000e0041"
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: "+value+"\r\n\r\n")
			conn.Close()
		}
	}()
	url := "http://" + listener.Addr().String()
	for _, args := range [][]string{{url, "--origin=" + page}, {url, "--origin=" + page, "--json"}} {
		stdout, _ := checktest.Output(t, args...)
		for i := range len(stdout) {
			if c := stdout[i]; c > '~' || c < ' ' && c != '\n' {
				t.Fatalf("%q prints the byte %#x", args, c)
			}
		}
	}
	stdout, _ := checktest.Output(t, url, "--origin="+page, "--json")
	var report struct{ Cause struct{ Names []string } }
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report.Cause.Names[0] != value {
		t.Errorf("it is %q, want %q (%v)", report.Cause.Names, value, err)
	}
}

// Whoever sees a report does not get in with it.
func TestSecretsAreCut(t *testing.T) {
	b := newBackend(t)
	args := []string{b.URL + "/secrets", "--origin=" + page, "--cookie=session=hunter1", "-H", "Authorization: Bearer hunter3", "--json"}
	b.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", page)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Access-Control-Allow-Headers", "authorization")
		w.Header().Set("Set-Cookie", "session=hunter2")
	})
	stdout, _ := checktest.Output(t, args...)
	if !strings.Contains(stdout, `"verdict": "allowed"`) || strings.Contains(stdout, "hunter") || strings.Count(stdout, `"..."`) < 3 {
		t.Errorf("it prints\n%s", stdout)
	}
	stdout, _ = checktest.Output(t, append(args, "--show-secrets")...)
	for _, secret := range []string{"hunter1", "hunter2", "hunter3"} {
		if !strings.Contains(stdout, secret) {
			t.Errorf("with --show-secrets, %s is not there", secret)
		}
	}
}
