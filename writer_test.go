package caddycors_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/quic-go/quic-go/http3"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A handlerFunc is a Caddy handler of this test: the directive test_handler.
type handlerFunc struct {
	serve func(http.ResponseWriter, *http.Request) error
}

// current is what test_handler does.
var current handlerFunc

func init() {
	caddy.RegisterModule(handlerFunc{})
	httpcaddyfile.RegisterHandlerDirective("test_handler", func(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		return handlerFunc{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("test_handler", httpcaddyfile.Before, "respond")
}

func (handlerFunc) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_handler", New: func() caddy.Module { return new(handlerFunc) }}
}

func (handlerFunc) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return current.serve(w, r)
}

func siteWithHandler(t *testing.T, cors string, serve func(http.ResponseWriter, *http.Request) error) string {
	t.Helper()
	current = handlerFunc{serve}
	return livecaddy.Site(t, cors+"\ntest_handler")
}

// A handler can do with the response writer what it can do without cors.
func TestResponseWriterKeepsItsAbilities(t *testing.T) {
	for name, serve := range map[string]func(http.ResponseWriter, *http.Request) error{
		"write": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "hello")
			return err
		},
		"io.ReaderFrom": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("hello"))
			return err
		},
		"http.Flusher": func(w http.ResponseWriter, _ *http.Request) error {
			w.(http.Flusher).Flush()
			_, err := io.WriteString(w, "hello")
			return err
		},
		"flush with http.ResponseController": func(w http.ResponseWriter, _ *http.Request) error {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			_, err := io.WriteString(w, "hello")
			return err
		},
		"deadlines with http.ResponseController": func(w http.ResponseWriter, _ *http.Request) error {
			control := http.NewResponseController(w)
			if err := control.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				return err
			}
			if err := control.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				return err
			}
			_, err := io.WriteString(w, "hello")
			return err
		},
		"full duplex with http.ResponseController": func(w http.ResponseWriter, _ *http.Request) error {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				return err
			}
			_, err := io.WriteString(w, "hello")
			return err
		},
		"status and body": func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusOK)
			w.Header().Set("Access-Control-Allow-Origin", "too late")
			_, err := io.WriteString(w, "hello")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := livecaddy.Send(t, "GET", siteWithHandler(t, "cors "+app, serve), fields{"Origin": app})
			res.Want(t, 200, allowApp, varyOrigin)
			if res.Text != "hello" {
				t.Errorf("body %q", res.Text)
			}
		})
	}
	for name, hijack := range map[string]func(http.ResponseWriter) (io.WriteCloser, error){
		"http.Hijacker": func(w http.ResponseWriter) (io.WriteCloser, error) {
			conn, _, err := w.(http.Hijacker).Hijack()
			return conn, err
		},
		"hijack with http.ResponseController": func(w http.ResponseWriter) (io.WriteCloser, error) {
			conn, _, err := http.NewResponseController(w).Hijack()
			return conn, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := siteWithHandler(t, "cors "+app, func(w http.ResponseWriter, _ *http.Request) error {
				conn, err := hijack(w)
				if err != nil {
					return err
				}
				defer conn.Close()
				_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
				return err
			})
			res := livecaddy.Send(t, "GET", url, fields{"Origin": app})
			res.Want(t, 200, nil, nil) // what is hijacked is left alone
			if res.Text != "hello" {
				t.Errorf("body %q", res.Text)
			}
		})
	}
}

// What stands in the response is replaced in whatever case it was written, though Go's own header methods know but one.
func TestOverrideInAnyCase(t *testing.T) {
	for _, mode := range []string{"override", "preserve"} {
		t.Run(mode, func(t *testing.T) {
			url := siteWithHandler(t, "cors "+app+" {\nupstream "+mode+"\n}", func(w http.ResponseWriter, _ *http.Request) error {
				w.Header()["access-control-allow-origin"] = []string{"https://handler.test"}
				w.Header()["ACCESS-CONTROL-ALLOW-CREDENTIALS"] = []string{"true"}
				w.Header()["timing-allow-origin"] = []string{"*"}
				return nil
			})
			want := allowApp
			if mode == "preserve" {
				want = []string{"Access-Control-Allow-Origin: https://handler.test", "Access-Control-Allow-Credentials: true", "Timing-Allow-Origin: *"}
			}
			livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, want, varyOrigin)
		})
	}
}

// A handler may set a slice that all its responses share. Adding to Vary must not write into it.
func TestVaryIsNotAddedInPlace(t *testing.T) {
	shared := append(make([]string, 0, 4), "Accept")
	url := siteWithHandler(t, "cors "+app, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header()["Vary"] = shared
		return nil
	})
	livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, allowApp, []string{"Accept", "Origin"})
	if got := shared[:cap(shared)]; !slices.Equal(got, []string{"Accept", "", "", ""}) {
		t.Errorf("the shared slice is now %q", got)
	}
}

// An error of any kind that travels past the handler is a response too.
func TestErrorsThatPassBy(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
	}{
		"a handler error": {caddyhttp.Error(http.StatusTeapot, io.EOF), http.StatusTeapot},
		"another error":   {io.ErrUnexpectedEOF, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			url := siteWithHandler(t, "cors "+app, func(http.ResponseWriter, *http.Request) error { return test.err })
			livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, test.status, allowApp, varyOrigin)
		})
	}
}

// enforce refuses an extended CONNECT (RFC 9220), the WebSocket handshake of HTTP/3, by its origin.
func TestExtendedConnect(t *testing.T) {
	current = handlerFunc{func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodConnect || r.Proto != "websocket" {
			t.Errorf("%s %s", r.Method, r.Proto)
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}}
	port := livecaddy.FreePort(t)
	server := livecaddy.Start(t, "https://localhost:"+port+" {\ntls internal {\non_demand\n}\ncors "+app+" {\nenforce\n}\ntest_handler\n}")
	transport := &http3.Transport{TLSClientConfig: server.TLS()}
	t.Cleanup(func() { transport.Close() })
	for origin, want := range map[string]int{app: 200, other: 403, "https://localhost:" + port: 200} {
		t.Run(origin, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodConnect, "https://localhost:"+port+"/socket", http.NoBody)
			req.Proto = "websocket"
			req.Header.Set("Origin", origin)
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("status %d, want %d", res.StatusCode, want)
			}
		})
	}
}

// CORS headers that a backend sends after the body, announced or not, do not leave; other trailers do.
func TestTrailers(t *testing.T) {
	backend := livecaddy.Upstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/announced" {
			w.Header().Set("Trailer", "X-Checksum, access-control-allow-origin, Timing-Allow-Origin")
		}
		io.WriteString(w, "hello")
		w.(http.Flusher).Flush()
		prefix := http.TrailerPrefix
		if r.URL.Path == "/announced" {
			prefix = ""
		}
		w.Header()[prefix+"Access-Control-Allow-Origin"] = []string{"*"}
		w.Header()[prefix+"Timing-Allow-Origin"] = []string{"*"}
		w.Header()[prefix+"X-Checksum"] = []string{"1"}
	})
	url := "https://localhost:" + livecaddy.FreePort(t)
	server := livecaddy.Start(t, url+` {
		tls internal {
			on_demand
		}
		@cors not path /without/*
		cors @cors `+app+`
		uri strip_prefix /without
		reverse_proxy `+backend+`
	}`)
	trusted := server.TLS()
	h1 := &http.Transport{TLSClientConfig: trusted.Clone()}
	h2 := &http.Transport{TLSClientConfig: trusted.Clone(), ForceAttemptHTTP2: true}
	h3 := &http3.Transport{TLSClientConfig: trusted}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	for proto, transport := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2.0": h2, "HTTP/3.0": h3} {
		for _, path := range []string{"/announced", "/unannounced"} {
			for _, origin := range []string{app, other} {
				t.Run(proto+path+" "+origin, func(t *testing.T) {
					trailer := func(path string) http.Header {
						res := livecaddy.SendBy(t, livecaddy.Client(transport), "GET", url+path, fields{"Origin": origin})
						if res.Proto != proto || res.Text != "hello" {
							t.Fatalf("%s %s: %q", res.Proto, res.Status, res.Text)
						}
						return res.Trailer
					}
					if got := trailer("/without" + path); len(got) != 3 {
						t.Fatalf("without cors, the trailers are %v", got)
					}
					if got := trailer(path); len(got) != 1 || got.Get("X-Checksum") != "1" {
						t.Errorf("the trailers are %v", got)
					}
				})
			}
		}
	}
}
