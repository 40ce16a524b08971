package caddycors_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// enforced has what becomes of requests to https://api.example.com, where app is listed. The last columns are the status
// under "enforce" and under "enforce unsafe". WS is the handshake of a WebSocket.
const enforced = `
	method   Sec-Fetch-Site  Sec-Fetch-Mode  Origin      enforce  unsafe

	# What is listed may do everything.
	GET      cross-site      cors            app         200      200
	GET      same-site       cors            app         200      200
	HEAD     cross-site      cors            app         200      200
	POST     cross-site      cors            app         200      200
	POST     same-site       navigate        app         200      200
	PUT      cross-site      cors            app         200      200
	DELETE   -               -               app         200      200
	OPTIONS  cross-site      cors            app         200      200
	WS       cross-site      websocket       app         200      200
	WS       -               -               app         200      200

	# A script of another origin is refused, or where only forgery is, as soon as it could change something.
	GET      cross-site      cors            other       403      200
	GET      same-site       cors            other       403      200
	GET      -               -               other       403      200
	GET      -               cors            other       403      200
	HEAD     cross-site      cors            other       403      200
	POST     cross-site      cors            other       403      403
	POST     same-site       cors            other       403      403
	POST     -               -               other       403      403
	PUT      cross-site      cors            other       403      403
	PATCH    cross-site      cors            other       403      403
	DELETE   cross-site      cors            other       403      403
	QUERY    cross-site      cors            other       403      403
	BREW     -               -               other       403      403
	OPTIONS  cross-site      cors            other       403      200
	OPTIONS  cross-site      no-cors         other       403      200
	TRACE    -               -               other       403      200

	# Nobody reads the answer to an image or a navigation, and it changes nothing.
	GET      cross-site      no-cors         other       200      200
	GET      cross-site      navigate        other       200      200
	GET      same-site       no-cors         other       200      200
	GET      cross-site      no-cors         null        200      200
	GET      -               no-cors         other       200      200
	HEAD     cross-site      no-cors         other       200      200
	HEAD     cross-site      navigate        null        200      200
	GET      cross-site      same-origin     other       403      200
	GET      cross-site      websocket       other       403      200

	# A form or a beacon of another site is what forgery is made of.
	POST     cross-site      navigate        other       403      403
	POST     cross-site      no-cors         other       403      403
	POST     same-site       navigate        other       403      403
	POST     cross-site      navigate        null        403      403
	POST     cross-site      no-cors         null        403      403

	# The server's own pages, by what the browser says, or by the host where it says nothing.
	GET      same-origin     cors            own         200      200
	GET      same-origin     no-cors         -           200      200
	POST     same-origin     cors            own         200      200
	POST     same-origin     navigate        null        200      200
	POST     same-origin     cors            other       200      200
	PUT      same-origin     cors            own         200      200
	OPTIONS  same-origin     cors            own         200      200
	GET      -               -               own         200      200
	POST     -               -               own         200      200
	DELETE   -               -               own         200      200
	POST     cross-site      cors            own         403      403
	POST     same-site       cors            own         403      403
	POST     -               -               own:8443    403      403
	POST     -               -               sub.own     403      403

	# A person who types an address or opens a bookmark sends no Origin. Go's CrossOriginProtection trusts "none" alike.
	GET      none            navigate        -           200      200
	POST     none            navigate        -           200      200
	POST     none            navigate        null        403      200
	POST     none            cors            other       403      200

	# Without Origin and Sec-Fetch-Site it is no browser's. Without the first alone, the second tells.
	GET      -               -               -           200      200
	POST     -               -               -           200      200
	PUT      -               -               -           200      200
	GET      cross-site      no-cors         -           200      200
	GET      cross-site      navigate        -           200      200
	HEAD     cross-site      no-cors         -           200      200
	OPTIONS  cross-site      cors            -           200      200
	POST     cross-site      navigate        -           200      403
	POST     same-site       navigate        -           200      403
	DELETE   cross-site      cors            -           200      403
	POST     elsewhere       navigate        -           200      403

	# An opaque origin, and what is not an origin.
	GET      cross-site      cors            null        403      200
	PUT      -               -               null        403      403
	GET      -               -               no.origin   403      200
	POST     -               -               no.origin   403      403
	POST     cross-site      cors            no.origin   403      403
	POST     same-origin     cors            no.origin   200      200

	# A WebSocket is judged by its origin: any page can open one, and reads what comes.
	WS       cross-site      websocket       other       403      403
	WS       same-site       websocket       other       403      403
	WS       -               -               other       403      403
	WS       cross-site      no-cors         other       403      403
	WS       cross-site      navigate        other       403      403
	WS       -               -               null        403      403
	WS       same-origin     websocket       own         200      200
	WS       -               -               own         200      200
	WS       -               -               -           200      200
	WS       cross-site      websocket       -           200      403
`

// enforcingSite returns the URL of a server with a path for each value of enforce.
func enforcingSite(t *testing.T) string {
	t.Helper()
	port := livecaddy.FreePort(t)
	livecaddy.Start(t, "http://:"+port+` {
		handle /all {
			cors `+app+` {
				enforce
			}
			respond hello
		}
		handle /unsafe* {
			cors `+app+` {
				enforce unsafe
				enforce_except /unsafe/saml/acs /unsafe/webhooks/*
			}
			respond hello
		}
	}`)
	return "http://127.0.0.1:" + port
}

func TestEnforce(t *testing.T) {
	origins := map[string]string{
		"app": app, "other": other, "null": "null", "own": "https://api.example.com", "own:8443": "https://api.example.com:8443",
		"sub.own": "https://www.api.example.com", "no.origin": "https://api.example.com/",
	}
	url := enforcingSite(t)
	rows := 0
	for line := range strings.Lines(enforced) {
		cells := strings.Fields(line)
		if len(cells) == 0 || cells[0] == "#" || cells[0] == "method" {
			continue
		}
		rows++
		t.Run(strings.Join(cells[:4], " "), func(t *testing.T) {
			if len(cells) != 6 {
				t.Fatalf("%d cells", len(cells))
			}
			header := fields{"Host": "api.example.com"}
			for i, name := range []string{"Sec-Fetch-Site", "Sec-Fetch-Mode"} {
				if value := cells[1+i]; value != "-" {
					header[name] = value
				}
			}
			if cells[3] != "-" {
				header["Origin"] = origins[cells[3]]
			}
			method := cells[0]
			if method == "WS" {
				method = "GET"
				header["Connection"], header["Upgrade"] = "Upgrade", "websocket"
			}
			for i, path := range []string{"/all", "/unsafe"} {
				res := livecaddy.Send(t, method, url+path, header)
				if strconv.Itoa(res.StatusCode) != cells[4+i] {
					t.Errorf("%s: status %d, want %s", path, res.StatusCode, cells[4+i])
				}
				if ran := res.Text == "hello"; ran != (res.StatusCode == 200 && method != "HEAD") {
					t.Errorf("%s: status %d, and the next handler has run: %v", path, res.StatusCode, ran)
				}
				if got := res.Header.Get("Access-Control-Allow-Origin") != ""; got != (cells[3] == "app") {
					t.Errorf("%s: the script may read the response: %v", path, got)
				}
			}
		})
	}
	if rows < 60 {
		t.Errorf("%d rows", rows)
	}
}

// "enforce unsafe" refuses what net/http's CrossOriginProtection refuses that trusts the same origins, and lets pass what
// that lets pass; "enforce_except" is its bypass pattern. TRACE is safe here, as in RFC 9110, and is not there.
func TestEnforceUnsafeIsCrossOriginProtection(t *testing.T) {
	url := enforcingSite(t)
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin(app); err != nil {
		t.Fatal(err)
	}
	protection.AddInsecureBypassPattern("/unsafe/saml/acs")
	protection.AddInsecureBypassPattern("/unsafe/webhooks/")
	refused, passed := 0, 0
	for _, path := range []string{"/unsafe", "/unsafe/saml/acs", "/unsafe/saml/acs/more", "/unsafe/webhooks/", "/unsafe/webhooks/bank"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "QUERY"} {
			for _, site := range []string{"", "same-origin", "same-site", "cross-site", "none"} {
				for _, origin := range []string{"", app, other, "null", "https://api.example.com", "http://api.example.com", "https://api.example.com:8443", "no origin"} {
					theirs := httptest.NewRequest(method, path, nil)
					theirs.Host = "api.example.com"
					header := fields{"Host": "api.example.com"}
					for name, value := range map[string]string{"Sec-Fetch-Site": site, "Origin": origin} {
						if value != "" {
							header[name] = value
							theirs.Header.Set(name, value)
						}
					}
					want := 200
					if protection.Check(theirs) != nil {
						want = 403
						refused++
					} else {
						passed++
					}
					if got := livecaddy.Send(t, method, url+path, header).StatusCode; got != want {
						t.Errorf("%s %s, Sec-Fetch-Site: %q, Origin: %q: %d, and %d there", method, path, site, origin, got, want)
					}
				}
			}
		}
	}
	if refused == 0 || passed == 0 {
		t.Errorf("%d refused, %d passed", refused, passed)
	}
}
