package check_test

import (
	"bytes"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	_ "github.com/caddy-cors/caddy-cors/internal/livecaddy" // for Caddy's own modules
)

// A broken configuration, and the call that it blocks.
type broken struct {
	name string

	// site has the directives of https://api.example.com, or is whole sites, if it starts with the address of one.
	// BACKEND stands for the address of what checktest.Backend returns.
	site string

	call  string   // of https://api.example.com/orders by https://app.example.com, unless it has its own: a method, and flags
	cause []string // what blocks it: the code of the first run, and after each edit
	lines []string // the lines that are suggested, all at once; those of more than one run
	edits []edit   // what a person does by the advice, where no line is suggested
}

// An edit is what advice says: old text of the Caddyfile and the new, or another URL.
type edit struct {
	advice   string // a part of it
	old, new string
	url      string // or another flag
}

// caddyfile is the whole of it.
func (b broken) caddyfile(backend string) string {
	text := b.site
	if !regexp.MustCompile(`^(\(|:|http:|[a-z]+\.example\.com).* \{`).MatchString(text) {
		text = "api.example.com {\n" + text + "\n}"
	}
	text = strings.ReplaceAll(text, "BACKEND", backend)
	return regexp.MustCompile(`(?m)^[\t ]*`).ReplaceAllString(text, "")
}

// The loop closes: whatever is wrong with a configuration, the lines that the check suggests, applied, have it allow the
// call, and the advice where there is no line.
func TestCheckFixesWork(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	backend := checktest.Backend(t)
	for _, b := range brokenConfigurations {
		t.Run(b.name, func(t *testing.T) {
			caddyfile := b.caddyfile(backend)
			args := strings.Fields(b.call)
			if !slices.ContainsFunc(args, func(arg string) bool {
				return strings.Contains(arg, "://") && arg[0] != '-' && !strings.Contains(arg, "=")
			}) {
				args = append(args, "https://api.example.com/orders")
			}
			if !strings.Contains(b.call, "--origin=") {
				args = append(args, "--origin=https://app.example.com")
			}
			var lines []string
			edits := b.edits
			for run := 0; ; run++ {
				r := checktest.RunCaddyfile(t, caddyfile, args...)
				if r.Verdict == "allowed" && run > 0 {
					if len(edits) > 0 {
						t.Errorf("it is allowed without %+v", edits)
					}
					break
				}
				if r.Verdict != "blocked" || run >= len(b.cause) || r.Cause.Code != b.cause[run] {
					t.Fatalf("run %d: it is %s: %+v, in:\n%s", run, r.Verdict, r.Cause, caddyfile)
				}
				edited := false
				for _, fix := range r.Fixes {
					if fix.Line != "" {
						caddyfile = applyToCaddyfile(t, caddyfile, fix)
						lines = append(lines, fix.Line)
						continue
					}
					if len(edits) > 0 && !edited && strings.Contains(fix.Advice, edits[0].advice) {
						edited = true
						if strings.HasPrefix(edits[0].url, "http") {
							args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "http") })
						}
						if edits[0].url != "" {
							args = append(args, edits[0].url)
						} else if !strings.Contains(caddyfile, edits[0].old) {
							t.Fatalf("no %q in:\n%s", edits[0].old, caddyfile)
						}
						caddyfile = strings.ReplaceAll(caddyfile, edits[0].old, strings.ReplaceAll(edits[0].new, "BACKEND", backend))
					}
				}
				if edited {
					edits = edits[1:]
				}
			}
			if !slices.Equal(lines, b.lines) {
				t.Errorf("the lines are %q, want %q", lines, b.lines)
			}
		})
	}
	if len(brokenConfigurations) < 40 {
		t.Errorf("only %d", len(brokenConfigurations))
	}
}

// applyToCaddyfile does by the text what a person does with a line.
func applyToCaddyfile(t *testing.T, caddyfile string, fix check.Fix) string {
	t.Helper()
	lines := strings.Split(caddyfile, "\n")
	site, err := url.Parse(fix.Site)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(lines, func(line string) bool {
		address, opens := strings.CutSuffix(line, " {")
		return opens && (address == site.Host || address == fix.Site || address == ":443" && site.Scheme == "https")
	})
	if at < 0 {
		t.Fatalf("no site %s in:\n%s", fix.Site, caddyfile)
	}
	if fix.Block == "site" {
		return strings.Join(slices.Insert(lines, at+1, fix.Line), "\n")
	}
	find := func(prefix string) {
		for at++; at < len(lines) && !strings.HasPrefix(lines[at], prefix); at++ {
		}
		if at == len(lines) {
			t.Fatalf("no %q in:\n%s", prefix, caddyfile)
		}
	}
	find("cors")
	if name, ok := strings.CutPrefix(fix.Block, "policy "); ok {
		if name == "policy-1" { // which has no name of its own
			name = ""
		}
		find("policy " + name)
	}
	if fix.Replaces != "" {
		option, _, _ := strings.Cut(fix.Line, " ")
		place := at // of the line that has it: the opening one, or one of the block
		for !slices.Contains(strings.Fields(lines[place]), fix.Replaces) && lines[place] != fix.Replaces {
			if place++; place == len(lines) {
				t.Fatalf("no %q in:\n%s", fix.Replaces, caddyfile)
			}
		}
		if lines[place] == fix.Replaces || lines[place] == option+" "+fix.Replaces {
			lines = slices.Delete(lines, place, place+1)
		} else {
			lines[place] = strings.Replace(lines[place], " "+fix.Replaces, "", 1)
		}
	}
	if !strings.HasSuffix(lines[at], "{") {
		lines[at] += " {"
		lines = slices.Insert(lines, at+1, "}")
	}
	return strings.Join(slices.Insert(lines, at+1, fix.Line), "\n")
}

var brokenConfigurations = []broken{
	// The seven classic errors.
	{name: "no cors at all", site: `respond hello`,
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},
	{name: "another origin", site: "cors https://other.example.com\nrespond hello",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins https://app.example.com"}},
	{name: "the method is missing", site: "cors https://app.example.com\nrespond hello", call: "-X PUT",
		cause: []string{"method-not-allowed"}, lines: []string{"allow_methods PUT"}},
	{name: "the header is missing", site: "cors https://app.example.com\nrespond hello", call: "-H X-Foo:1",
		cause: []string{"header-not-allowed"}, lines: []string{"allow_headers x-foo"}},
	{name: "credentials are missing", site: "cors https://app.example.com\nrespond hello", call: "--credentials",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_credentials"}},
	{name: "everyone, with credentials", site: "cors *\nrespond hello", call: "--credentials",
		cause: []string{"wildcard-with-credentials"}, lines: []string{"allow_origins https://app.example.com", "allow_credentials"}},
	{name: "the header is not exposed", site: "cors https://app.example.com\nheader X-Total 7\nrespond hello", call: "--reads X-Total",
		cause: []string{"header-not-exposed"}, lines: []string{"expose_headers X-Total"}},

	// Their mixtures.
	{name: "origin and method", site: "cors https://other.example.com\nrespond hello", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins https://app.example.com", "allow_methods PUT"}},
	{name: "method and header", site: "cors https://app.example.com\nrespond hello", call: "-X DELETE -H X-Foo:1 -H X-Bar:1",
		cause: []string{"method-not-allowed"}, lines: []string{"allow_methods DELETE", "allow_headers x-bar, x-foo"}},
	{name: "no cors, and a call that needs all", site: "header X-Total 7\nrespond hello", call: "-X PUT -H X-Foo:1 --credentials --reads X-Total",
		cause: []string{"missing-allow-origin"},
		lines: []string{"cors https://app.example.com", "allow_methods PUT", "allow_headers x-foo", "allow_credentials", "expose_headers X-Total"}},
	{name: "everyone, with credentials and a method", site: "cors *\nrespond hello", call: "--credentials -X PATCH",
		cause: []string{"wildcard-with-credentials"},
		lines: []string{"allow_methods PATCH", "allow_origins https://app.example.com", "allow_credentials"}},
	{name: "everyone in a block of several lines", site: "cors {\nallow_origins *\nallow_methods PUT\n}\nrespond hello", call: "--credentials -X PUT",
		cause: []string{"wildcard-with-credentials"}, lines: []string{"allow_origins https://app.example.com", "allow_credentials"}},
	{name: "two headers that are read", site: "cors https://app.example.com {\nexpose_headers X-Other\n}\nheader X-Total 7\nheader X-Page 2\nrespond hello", call: "--reads X-Total --reads X-Page",
		cause: []string{"header-not-exposed"}, lines: []string{"expose_headers X-Total", "expose_headers X-Page"}},
	{name: "a header that the response does not have", site: "cors https://app.example.com\nrespond hello", call: "--reads X-Total",
		cause: []string{"header-not-exposed"}, lines: []string{"expose_headers X-Total"}},
	{name: "any header but Authorization", site: "cors https://app.example.com {\nallow_headers *\n}\nrespond hello", call: "-H Authorization:x",
		cause: []string{"header-not-allowed"}, lines: []string{"allow_headers Authorization"}},
	{name: "JSON that is posted", site: "cors https://app.example.com\nrespond hello", call: "-X POST -H Content-Type:application/json",
		cause: []string{"header-not-allowed"}, lines: []string{"allow_headers content-type"}},
	{name: "a method in lower case", site: "cors https://app.example.com {\nallow_methods PATCH\n}\nrespond hello", call: "-X patch",
		cause: []string{"method-not-allowed"}, lines: nil, edits: []edit{{advice: `have the script write "PATCH"`, url: "-XPATCH"}}},
	{name: "the other port", site: "cors http://localhost:3000\nrespond hello", call: "--origin=http://localhost:5173 -X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins http://localhost:5173", "allow_methods PUT"}},
	{name: "only the subdomains", site: "cors https://*.example.com\nrespond hello", call: "--origin=https://example.com",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins https://example.com"}},
	{name: "a regular expression that does not match", site: "cors {\nallow_origins_regexp https://app-[0-9]+[.]example[.]com\n}\nrespond hello",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins https://app.example.com"}},
	{name: "an http page, with credentials", site: "cors https://app.example.com\nrespond hello", call: "--credentials --origin=http://intranet.example.com",
		cause: []string{"missing-allow-origin"},
		lines: []string{"allow_origins http://intranet.example.com", "allow_credentials", "insecure http_origin_with_credentials"}},
	{name: "every https origin, with credentials", site: "cors https://*\nrespond hello", call: "--credentials",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_credentials", "allow_origins https://app.example.com"}},
	{name: "every https origin and others, with credentials", site: "cors https://* http://localhost:3000\nrespond hello", call: "--credentials -X PUT --origin=http://localhost:3000",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_methods PUT", "allow_credentials"},
		edits: []edit{{advice: `Remove "https://*"`, old: "https://* ", new: ""}}},
	{name: "an http origin among others, with credentials", site: "cors https://app.example.com http://old.example.com\nrespond hello", call: "--credentials",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_credentials", "insecure http_origin_with_credentials"}},
	{name: "every tenant of a public suffix, with credentials", site: "cors {\npolicy tenants https://*.github.io\n}\nrespond hello", call: "--credentials --origin=https://me.github.io",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_credentials", "allow_origins https://me.github.io"}},
	{name: "the opaque origin, everyone and credentials", site: "cors *\nrespond hello", call: "--credentials --origin=null",
		cause: []string{"wildcard-with-credentials", "wildcard-with-credentials"}, lines: []string{"allow_origins https://app.example.com", "allow_credentials"}, edits: []edit{{advice: "Serve the page from an origin of its own", url: "--origin=https://app.example.com"}}},

	// Policies.
	{name: "a policy lacks the method", site: "cors https://other.example.com {\npolicy partner https://app.example.com {\nallow_headers X-Foo\n}\n}\nrespond hello", call: "-X PUT -H X-Foo:1",
		cause: []string{"method-not-allowed"}, lines: []string{"allow_methods PUT"}},
	{name: "a policy without a name lacks credentials", site: "cors {\npolicy https://app.example.com\n}\nrespond hello", call: "--credentials",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_credentials"},
	},
	{name: "no policy has the origin", site: "cors {\npolicy partner https://partner.example.com {\nallow_methods PUT\n}\n}\nrespond hello", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins https://app.example.com"}},

	// Matchers.
	{name: "a method matcher swallows the preflight", site: "@writes method PUT\ncors @writes https://app.example.com {\nallow_methods PUT\n}\nrespond hello", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, edits: []edit{{advice: "they have the method OPTIONS", old: "method PUT", new: "method PUT OPTIONS"}}},
	{name: "a handle block with a method matcher", site: "@writes method PUT\nhandle @writes {\ncors https://app.example.com {\nallow_methods PUT\n}\nreverse_proxy BACKEND\n}\nhandle {\nrespond hello\n}", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, edits: []edit{{advice: "they have the method OPTIONS", old: "method PUT", new: "method PUT OPTIONS"}}},
	{name: "a method matcher, and a header is missing", site: "@writes method PUT\ncors @writes https://app.example.com {\nallow_methods PUT\n}\nrespond hello", call: "-X PUT -H X-Foo:1",
		cause: []string{"missing-allow-origin", "header-not-allowed"}, lines: []string{"allow_headers x-foo"},
		edits: []edit{{advice: "to the top of the site", old: "cors @writes", new: "cors"}}},
	{name: "cors for another path", site: "cors /public/* *\nrespond hello",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors /orders https://app.example.com"}},
	{name: "cors for another path, and a method", site: "handle /public/* {\ncors *\n}\nrespond hello", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors /orders https://app.example.com", "allow_methods PUT"}},
	{name: "cors in the other site", site: "www.example.com {\ncors https://app.example.com\nrespond www\n}\napi.example.com {\nrespond api\n}",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},

	// What the backend does.
	{name: "a backend that rejects OPTIONS", site: "reverse_proxy BACKEND", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com", "allow_methods PUT"}},
	{name: "a backend that rejects OPTIONS gets the preflight", site: "cors https://app.example.com {\nforward_preflight\nallow_methods PUT\n}\nreverse_proxy BACKEND", call: "-X PUT",
		cause: []string{"preflight-status"}, edits: []edit{{advice: "Remove forward_preflight", old: "forward_preflight\n"}}},
	{name: "authentication gets the preflight", site: "cors https://app.example.com {\nforward_preflight\n}\nbasic_auth {\nbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\nrespond hello", call: "-H X-Foo:1",
		cause: []string{"preflight-status"}, lines: []string{"allow_headers x-foo"}, edits: []edit{{advice: "Remove forward_preflight", old: "forward_preflight\n"}}},
	{name: "a redirect gets the preflight", site: "cors https://app.example.com {\nforward_preflight\nallow_methods PUT\n}\nreverse_proxy BACKEND", call: "-X PUT https://api.example.com/moved",
		cause: []string{"preflight-redirect"}, edits: []edit{{advice: "Remove forward_preflight", old: "forward_preflight\n"}}},
	{name: "the backend allows another origin", site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND", call: "https://api.example.com/other",
		cause: []string{"allow-origin-mismatch"}, lines: []string{"upstream override"}},
	{name: "the backend allows everyone, with credentials", site: "cors https://app.example.com {\nupstream preserve\nallow_credentials\n}\nreverse_proxy BACKEND", call: "--credentials https://api.example.com/star",
		cause: []string{"wildcard-with-credentials"}, lines: []string{"upstream override"}},
	{name: "the backend sends two values", site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND", call: "https://api.example.com/twice",
		cause: []string{"multiple-allow-origin"}, lines: []string{"upstream override"}},
	{name: "the backend sends no origin at all", site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND", call: "https://api.example.com/slash",
		cause: []string{"allow-origin-mismatch"}, lines: []string{"upstream override"}},
	{name: "the backend lacks the method, and credentials", site: "cors https://app.example.com {\nupstream preserve\nforward_preflight\n}\nreverse_proxy BACKEND", call: "--credentials -X PUT https://api.example.com/own",
		cause: []string{"missing-allow-credentials"}, lines: []string{"allow_credentials", "upstream override", "allow_methods PUT"}},
	{name: "the backend's own headers, and none of cors", site: "reverse_proxy BACKEND", call: "https://api.example.com/twice",
		cause: []string{"multiple-allow-origin"}, lines: []string{"cors https://app.example.com"}},
	{name: "what the backend exposes", site: "cors https://app.example.com {\nupstream preserve\nexpose_headers X-Total\n}\nreverse_proxy BACKEND", call: "--reads X-Total https://api.example.com/star",
		cause: []string{"header-not-exposed"}, lines: []string{"upstream override"}},
	{name: "a backend that does not run", site: "reverse_proxy 127.0.0.1:1",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},
	{name: "a stream that does not end", site: "reverse_proxy BACKEND", call: "https://api.example.com/sse",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},

	// Others in the same site.
	{name: "an error page", site: "basic_auth {\nbob $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG\n}\nrespond hello\nhandle_errors {\nrespond sorry\n}",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},
	{name: "header lines by hand", site: "header Access-Control-Allow-Origin https://other.example.com\nrespond hello",
		cause: []string{"allow-origin-mismatch"}, lines: []string{"cors https://app.example.com"}},
	{name: "a deferred header line behind cors", site: "cors https://app.example.com\nheader >Access-Control-Allow-Origin https://other.example.com\nrespond hello",
		cause: []string{"allow-origin-mismatch"}, edits: []edit{{advice: "such as a header directive", old: "header >Access-Control-Allow-Origin https://other.example.com\n"}}},
	{name: "it only watches", site: "cors https://app.example.com {\nreport_only\n}\nrespond hello",
		cause: []string{"missing-allow-origin"}, edits: []edit{{advice: "Remove report_only", old: "report_only\n"}}},
	{name: "it only watches, and lacks the method", site: "cors https://app.example.com {\nreport_only\n}\nrespond hello", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_methods PUT"}, edits: []edit{{advice: "Remove report_only", old: "report_only\n"}}},
	{name: "it is strict", site: "cors https://other.example.com {\nenforce\n}\nrespond hello",
		cause: []string{"missing-allow-origin"}, lines: []string{"allow_origins https://app.example.com"}},

	// Redirects.
	{name: "the automatic redirect to https", site: "cors https://app.example.com\nrespond hello", call: "--origin=http://localhost:3000 http://api.example.com/orders",
		cause: []string{"missing-allow-origin", "missing-allow-origin"}, lines: []string{"allow_origins http://localhost:3000"},
		edits: []edit{{advice: "Have the script call https://api.example.com/orders", url: "https://api.example.com/orders"}}},
	{name: "the automatic redirect to https gets the preflight", site: "cors http://localhost:3000 {\nallow_methods PUT\n}\nrespond hello", call: "--origin=http://localhost:3000 -X PUT http://api.example.com/orders",
		cause: []string{"preflight-redirect"},
		edits: []edit{{advice: "Have the script call https://api.example.com/orders", url: "https://api.example.com/orders"}}},
	{name: "an http site of its own", site: "api.example.com {\ncors http://localhost:3000\nrespond hello\n}", call: "--origin=http://localhost:3000 -X PUT http://api.example.com/orders",
		cause: []string{"preflight-redirect", "method-not-allowed"}, lines: []string{"allow_methods PUT"},
		edits: []edit{{advice: "http://api.example.com { cors http://localhost:3000 ... }", old: "api.example.com {", new: "http://api.example.com {"}}},
	{name: "a page over https calls http", site: "cors https://app.example.com\nrespond hello", call: "http://api.example.com/orders",
		cause: []string{"mixed-content"}, edits: []edit{{advice: "Serve http://api.example.com/orders over https", url: "https://api.example.com/orders"}}},
	{name: "a redirect in the site", site: "redir /orders /v2/orders\nrespond hello",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},
	{name: "a redirect in the site gets the preflight", site: "redir /orders /v2/orders 308\nrespond hello", call: "-X PUT",
		cause: []string{"preflight-redirect"}, lines: []string{"cors https://app.example.com", "allow_methods PUT"}},
	{name: "a redirect to a site without cors", site: "api.example.com {\ncors https://app.example.com\nredir /orders https://app.example.com/orders\n}\napp.example.com {\nrespond hello\n}",
		cause: []string{"missing-allow-origin"}, edits: []edit{{advice: "Have the script call https://app.example.com/orders", url: "https://app.example.com/orders"}}},
	{name: "a redirect to another origin", site: "api.example.com {\ncors https://app.example.com\nredir https://cdn.example.com{uri}\n}\ncdn.example.com {\ncors https://app.example.com\nrespond hello\n}",
		cause: []string{"missing-allow-origin"}, edits: []edit{{advice: "Have the script call https://cdn.example.com/orders", url: "https://cdn.example.com/orders"}}},
	{name: "credentials in a redirect", site: "cors https://app.example.com\nredir /orders https://bob:secret@api.example.com/v2\nrespond hello",
		cause: []string{"redirect-credentials"}, edits: []edit{{advice: "without a user and a password", old: "bob:secret@"}}},
	{name: "redirects in a circle", site: "cors https://app.example.com\nredir /orders /orders\nrespond hello",
		cause: []string{"too-many-redirects"}, edits: []edit{{advice: "answer at one of the URLs", old: "redir /orders /orders\n"}}},
	{name: "the opaque origin", site: "cors https://app.example.com\nrespond hello", call: "--origin=null",
		cause: []string{"missing-allow-origin"}, edits: []edit{{advice: "allow_origins null", old: "cors https://app.example.com", new: "cors https://app.example.com null"}}},

	// Caddyfiles of other forms.
	{name: "a site for every host", site: ":443 {\ntls internal {\non_demand\n}\nrespond hello\n}", call: "-X PUT",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com", "allow_methods PUT"}},
	{name: "a port of its own", site: "http://localhost:8080 {\nrespond hello\n}", call: "http://localhost:8080/",
		cause: []string{"missing-allow-origin"}, lines: []string{"cors https://app.example.com"}},
	{name: "a snippet and an environment variable", site: "(api) {\ncors {$ORIGINS:https://other.example.com}\n}\napi.example.com {\ntls internal\nimport api\ncors /orders https://app.example.com\nrespond hello\n}", call: "-X PUT",
		cause: []string{"method-not-allowed"}, lines: []string{"allow_methods PUT"}},
}

// What is suggested for one site is not applied to another, and the text says where it belongs.
func TestCheckNamesTheSite(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	r := checktest.RunCaddyfile(t, "a.example.com, b.example.com {\nrespond hello\n}\n", "https://b.example.com/x", "--origin=https://app.example.com")
	want := []check.Fix{{Line: "cors https://app.example.com", Block: "site", Site: "https://b.example.com"}}
	if !slices.Equal(r.Fixes, want) {
		t.Errorf("the fixes are %+v", r.Fixes)
	}
}

// After a check, nothing of it runs, not even of a stream that would go on, and Caddy's default storage is as before.
func TestCheckCleansUp(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	origins := filepath.Join(t.TempDir(), "origins")
	if err := os.WriteFile(origins, []byte("https://app.example.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := certmagic.Default.Storage
	r := checktest.RunCaddyfile(t, "api.example.com {\ntls internal\ncors {\nallow_origins_from file "+origins+"\n}\nreverse_proxy "+checktest.Backend(t)+"\n}\n", "https://api.example.com/sse", "--origin=https://app.example.com", "--credentials")
	if r.Verdict != "blocked" {
		t.Errorf("it is %+v", r)
	}
	if certmagic.Default.Storage != before {
		t.Error("the default storage is another one")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		running := ""
		for _, of := range []string{"check.(*memoryListener)", "caddyhttp.(*Server).ServeHTTP", "caddy-cors/origins."} {
			if bytes.Contains(stacks, []byte(of)) {
				running = of
			}
		}
		if running == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s still runs:\n%s", running, stacks)
		}
	}
}
