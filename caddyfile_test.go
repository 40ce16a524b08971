package caddycors_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// Each file of testdata/adapt is a Caddyfile and, below the line, the JSON it stands for or the end of the error.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), "----------\n")
			want = strings.TrimSuffix(want, "\n")
			if formatted := caddyfile.Format([]byte(input)); string(formatted) != input {
				t.Errorf("caddy fmt changes it to:\n%s", formatted)
			}
			config, err := livecaddy.Adapt(input)
			if err != nil {
				if !strings.HasSuffix(err.Error(), want) {
					t.Errorf("got:\n%v\nwant:\n%s", err, want)
				}
				return
			}
			var got bytes.Buffer
			if err := json.Indent(&got, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			if got.String() != want {
				t.Errorf("got:\n%s\nwant:\n%s", &got, want)
			}
		})
	}
}

// The JSON form is checked as the Caddyfile is, and what only loading can tell, then.
func TestLoadRefuses(t *testing.T) {
	t.Setenv("CORS_TEST_EMPTY", " , ")
	t.Setenv("CORS_TEST_BAD", "https://a.test, https://B.test")
	t.Setenv("CORS_TEST_STAR", "*")
	t.Setenv("CORS_TEST_NESTED", "https://{http.request.host}")
	for name, test := range map[string]struct{ handler, want string }{
		"nothing":                     {`{}`, `no origin may call: name those that may`},
		"an unknown field":            {`{"allow_origins": ["*"], "allow_origin": "x"}`, `unknown field "allow_origin"; did you mean "allow_origins"?`},
		"a field of no name":          {`{"allow_origins": ["*"], "zzzzzz": 1}`, `unknown field "zzzzzz"; the fields are: allow_origins, `},
		"an unknown field, and more":  {`{"allow_origins": ["*", "https://a.test"], "allow_method": ["GET"]}`, "did you mean \"allow_methods\"?\nallow_origins: \"*\" allows everyone"},
		"a number as a duration":      {`{"allow_origins": ["*"], "max_age": 600}`, `max_age: a number is taken for nanoseconds, and 600 of them are less than a second; did you mean "600s"?`},
		"a risk":                      {`{"allow_origins": ["*"], "allow_credentials": true}`, `or, to take the risk, add: "insecure": ["any_origin_with_credentials"]`},
		"a part of a label":           {`{"allow_origins": ["https://*-x.vercel.app"]}`, `"allow_origins_regexp": ["https://[a-z0-9-]+-x\\.vercel\\.app"]`},
		"a value of another type":     {`{"allow_origins": "*"}`, `cannot unmarshal string`},
		"two problems":                {`{"allow_origins": ["https://Example.com"], "allow_methods": ["put"]}`, "did you mean \"https://example.com\"?\nallow_methods: method names are case-sensitive; did you mean \"PUT\"?"},
		"a list in one value":         {`{"allow_origins": ["*"], "allow_methods": ["GET, PUT"]}`, `allow_methods: "GET, PUT" is not a method name`},
		"a status":                    {`{"allow_origins": ["*"], "preflight_status": 404}`, `preflight_status: browsers take 404 for a refusal`},
		"upstream":                    {`{"allow_origins": ["*"], "upstream": "ignore"}`, `upstream: "ignore" is neither "override" nor "preserve"`},
		"report_only and enforce":     {`{"allow_origins": ["*"], "report_only": true, "enforce": "all"}`, `report_only: report_only changes nothing`},
		"enforce as a flag":           {`{"allow_origins": ["*"], "enforce": true}`, `enforce: true says which requests are refused: write "all" or "unsafe"`},
		"enforce what":                {`{"allow_origins": ["*"], "enforce": "some"}`, `enforce: "some" is neither "all" nor "unsafe"`},
		"enforce_except alone":        {`{"allow_origins": ["*"], "enforce_except": ["/a"]}`, `enforce_except: without enforce, no request is refused`},
		"enforce_except a name":       {`{"allow_origins": ["*"], "enforce": "all", "enforce_except": ["a"]}`, `enforce_except: the path "a" does not start with a slash; did you mean "/a"?`},
		"max_age":                     {`{"allow_origins": ["*"], "max_age": "25h"}`, `max_age: 25h0m0s is longer than any browser remembers; did you mean "24h"?`},
		"an unset variable":           {`{"allow_origins": ["{env.CORS_TEST_UNSET}"]}`, `allow_origins: "{env.CORS_TEST_UNSET}" is empty: set it`},
		"an unset variable among all": {`{"allow_origins": ["https://a.test", "{env.CORS_TEST_UNSET}"]}`, `allow_origins: "{env.CORS_TEST_UNSET}" is empty: set it`},
		"a variable with no origin":   {`{"allow_origins": ["{env.CORS_TEST_EMPTY}"]}`, `"{env.CORS_TEST_EMPTY}" is empty: set it`},
		"a variable with a bad one":   {`{"allow_origins": ["{env.CORS_TEST_BAD}"]}`, `did you mean "https://b.test"? (from {env.CORS_TEST_BAD})`},
		"a variable that opens":       {`{"allow_origins": ["https://a.test", "{env.CORS_TEST_STAR}"]}`, `remove "*" to allow just those, or remove the others (from {env.CORS_TEST_STAR})`},
		"a variable with another":     {`{"allow_origins": ["{env.CORS_TEST_NESTED}"]}`, `has a placeholder itself`},
		"a missing file":              {`{"allow_origins": ["{file./nowhere/origins}"]}`, `"{file./nowhere/origins}" is empty: set it`},
		"a risk that came with it":    {`{"allow_origins": ["{env.CORS_TEST_STAR}"], "allow_credentials": true}`, `(from {env.CORS_TEST_STAR}); or, to take the risk, add: insecure any_origin_with_credentials (in JSON, "insecure": ["any_origin_with_credentials"])`},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, test.handler)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got: %v\nwant it to say: %s", err, test.want)
			}
		})
	}
}

// A proxy that the server trusts is one that can be before it, with TLS of its own.
func TestMixedContentBehindProxies(t *testing.T) {
	const site = "http://:8080 {\ncors https://app.example.com\n}"
	for _, options := range []string{"trusted_proxies static private_ranges", "trusted_proxies_unix"} {
		if log := livecaddy.Validate(t, site, "servers {\n"+options+"\n}"); strings.Contains(log, "mixed content") {
			t.Errorf("%s: it warns:\n%s", options, log)
		}
	}
	if log := livecaddy.Validate(t, site, "servers {\nmax_header_size 16KB\n}"); !strings.Contains(log, "mixed content") {
		t.Errorf("it does not warn:\n%s", log)
	}
}

// The warning is about the server, and comes once for all of its sites; another server has its own.
func TestMixedContentIsSaidOnce(t *testing.T) {
	const site = "http://%s {\ncors https://app.example.com\n}\n"
	var sites string
	for _, address := range []string{"a.test:8080", "b.test:8080", "c.test:8080", "d.test:8081"} {
		sites += fmt.Sprintf(site, address)
	}
	if log := livecaddy.Validate(t, sites); strings.Count(log, "mixed content") != 2 {
		t.Errorf("two servers are warned of %d times:\n%s", strings.Count(log, "mixed content"), log)
	}
}

// Loading warns of what works, but seldom as meant.
func TestLoadWarns(t *testing.T) {
	const mixedContent, nobody = "mixed content", `the origin \"null\" is anyone's`
	for name, test := range map[string]struct {
		site, want string
		warns      bool
	}{
		"a wide expression":                {"http://:8080 {\ncors {\nallow_origins_regexp https://.*example\\.com\n}\n}", "evil-example.com", true},
		"a narrow expression":              {"http://:8080 {\ncors {\nallow_origins_regexp https://.*\\.example\\.com\n}\n}", "allow_origins_regexp", false},
		"null":                             {"http://:8080 {\ncors null\n}", nobody, true},
		"another origin":                   {"http://:8080 {\ncors http://localhost:3000\n}", nobody, false},
		"https origins, http server":       {"http://:8080 {\ncors https://app.example.com https://*.example.org\n}", mixedContent, true},
		"an http origin too":               {"http://:8080 {\ncors https://app.example.com http://localhost:3000\n}", mixedContent, false},
		"https origins, loopback address":  {"http://:8080 {\nbind 127.0.0.1\ncors https://app.example.com\n}", mixedContent, false},
		"https origins, loopback name":     {"http://:8080 {\nbind localhost\ncors https://app.example.com\n}", mixedContent, false},
		"https origins, TLS":               {"https://localhost:8443 {\ntls internal\ncors https://app.example.com\n}", mixedContent, false},
		"https origins, a socket's server": {"http://x {\nbind unix//run/api.sock\ncors https://app.example.com\n}", mixedContent, false},
	} {
		t.Run(name, func(t *testing.T) {
			log := livecaddy.Validate(t, test.site)
			if got := strings.Contains(log, test.want); got != test.warns {
				t.Errorf("warns: %v, want %v; the log:\n%s", got, test.warns, log)
			}
		})
	}
}
