package checktest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// A Repair is a configuration that blocks a call, and what the check makes of it.
type Repair struct {
	Kind string // of mistake
	Name string

	// Site has the directives of https://api.example.com, or is a whole Caddyfile, if it starts with global options, a
	// snippet, a named route, an import or the address of a site. BACKEND stands for the address of Backend.
	Site  string
	Files map[string]string // beside the Caddyfile

	Call  string // of https://api.example.com/orders by https://app.example.com, unless it has its own: a method, and flags
	Cause string // the code; missing-allow-origin if it is empty

	Diff   []string // the lines that are taken out (-) and put in (+), as the diff has them, without their indentation
	Tried  string   // what was seen; "allowed" if it is empty and there is a diff
	Advice string   // a part of it
	Unseen string   // a part of why a cors directive did not see the request
	Note   string   // a part of a warning
	Loses  bool     // whether something is lost, which the report has to say
	Then   string   // the verdict after the edit, where it is not "allowed", as the trial could not see
	Public bool     // whether strangers may call after it
}

// Caddyfile is the whole of it, as caddy fmt has it.
func (r Repair) Caddyfile(backend string) string {
	text := r.Site
	if !regexp.MustCompile(`^(\{\n|\(|&\(|:|import |http:|https:|\*\.|[a-z]+\.example\.com)`).MatchString(text) {
		text = "api.example.com {\n" + text + "\n}"
	}
	return string(caddyfile.Format([]byte(strings.ReplaceAll(text, "BACKEND", backend))))
}

// Args are those of the check.
func (r Repair) Args() []string {
	args := strings.Fields(r.Call)
	if !slices.ContainsFunc(args, func(arg string) bool {
		return strings.Contains(arg, "://") && arg[0] != '-' && !strings.Contains(arg, "=")
	}) {
		args = append(args, "https://api.example.com/orders")
	}
	if !strings.Contains(r.Call, "--origin=") {
		args = append(args, "--origin=https://app.example.com")
	}
	return args
}

// Password is that of bob, as basic_auth takes it.
const Password = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"

// Repairs are broken configurations, of kinds that people report: each blocks a call.
var Repairs = []Repair{
	{
		Kind: "no cors", Name: "a site that answers by itself",
		Site: "respond hello",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "no cors", Name: "a call that needs all",
		Site: "header X-Total 7\nrespond hello",
		Call: "-X PUT -H X-Foo:1 --credentials --reads X-Total",
		Diff: []string{
			"+cors https://app.example.com {", "+allow_methods PUT", "+allow_headers x-foo", "+allow_credentials",
			"+expose_headers X-Total", "+}",
		},
	},
	{
		Kind: "no cors", Name: "a backend that rejects OPTIONS",
		Site: "reverse_proxy BACKEND", Call: "-X PUT",
		Diff:  []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"},
		Tried: "preflight",
	},
	{
		Kind: "no cors", Name: "a simple POST to a backend, which a trial does not make",
		Site: "reverse_proxy BACKEND", Call: "-X POST",
		Diff:  []string{"+cors https://app.example.com"},
		Tried: "untried",
	},
	{
		Kind: "no cors", Name: "a POST that is redirected for signing in",
		Site:  "api.example.com {\nreverse_proxy BACKEND\n}\nlogin.example.com {\nrespond login\n}",
		Call:  "-X POST -H Content-Type:application/json https://api.example.com/session",
		Diff:  []string{"+cors https://app.example.com {", "+allow_headers content-type", "+}"},
		Tried: "preflight",
		Then:  "blocked", // which only the POST itself can show
	},
	{
		Kind: "no cors", Name: "files",
		Site: "root * .\nfile_server", Call: "https://api.example.com/Caddyfile",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "no cors", Name: "a site for every host",
		Site: ":443 {\ntls internal {\non_demand\n}\nrespond hello\n}", Call: "-X PUT",
		Diff: []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"},
	},
	{
		Kind: "no cors", Name: "a port of its own",
		Site: "http://localhost:8080 {\nrespond hello\n}", Call: "http://localhost:8080/",
		Diff: []string{"+cors https://app.example.com"},
		Note: "Local Network Access",
	},
	{
		Kind: "no cors", Name: "in the other site",
		Site: "www.example.com {\ncors https://app.example.com\nrespond www\n}\napi.example.com {\nrespond api\n}",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "no cors", Name: "a site of several addresses",
		Site: "www.example.com, api.example.com {\nrespond hello\n}",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "no cors", Name: "a page with a login before it",
		Site: "basic_auth {\nbob " + Password + "\n}\nrespond hello",
		Diff: []string{"+cors https://app.example.com"},
		Note: "status 401",
	},
	{
		Kind: "no cors", Name: "a stream that does not end",
		Site: "reverse_proxy BACKEND", Call: "https://api.example.com/sse",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "no cors", Name: "a site without braces",
		Site: "api.example.com\n\nrespond hello\n",
		Diff: []string{"+cors https://app.example.com"},
	},

	{
		Kind: "origin", Name: "another one",
		Site: "cors https://other.example.com\nrespond hello",
		Diff: []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
	},
	{
		Kind: "origin", Name: "another one, and a method",
		Site: "cors https://other.example.com\nrespond hello", Call: "-X PUT",
		Diff: []string{
			"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com {",
			"+allow_methods PUT", "+}",
		},
	},
	{
		Kind: "origin", Name: "the other port",
		Site: "cors http://localhost:3000\nrespond hello", Call: "--origin=http://localhost:5173",
		Diff: []string{"-cors http://localhost:3000", "+cors http://localhost:3000 http://localhost:5173"},
	},
	{
		Kind: "origin", Name: "localhost by its address",
		Site: "cors http://localhost:3000\nrespond hello", Call: "--origin=http://127.0.0.1:3000",
		Diff: []string{"-cors http://localhost:3000", "+cors http://localhost:3000 http://127.0.0.1:3000"},
	},
	{
		Kind: "origin", Name: "only the subdomains",
		Site: "cors https://*.example.com\nrespond hello", Call: "--origin=https://example.com",
		Diff: []string{"-cors https://*.example.com", "+cors https://*.example.com https://example.com"},
	},
	{
		Kind: "origin", Name: "with www",
		Site: "cors {\nallow_origins https://example.com\n}\nrespond hello", Call: "--origin=https://www.example.com",
		Diff: []string{"-allow_origins https://example.com", "+allow_origins https://example.com https://www.example.com"},
	},
	{
		Kind: "origin", Name: "a regular expression that does not match",
		Site: "cors {\nallow_origins_regexp https://app-[0-9]+[.]example[.]com\n}\nrespond hello",
		Diff: []string{"+allow_origins https://app.example.com"},
	},
	{
		Kind: "origin", Name: "enforced",
		Site: "cors https://other.example.com {\nenforce\n}\nrespond hello",
		Diff: []string{
			"-cors https://other.example.com {", "+cors https://other.example.com https://app.example.com {",
		},
	},
	{
		Kind: "origin", Name: "from an environment variable",
		Site: "cors {$APP_ORIGINS} {\nallow_methods PUT\n}\nrespond hello", Call: "-X PUT",
		Diff: []string{"-cors {$APP_ORIGINS} {", "+cors {$APP_ORIGINS} https://app.example.com {"},
	},
	{
		Kind: "origin", Name: "from a variable that is known at run time",
		Site: "cors {env.APP_ORIGINS}\nrespond hello",
		Diff: []string{"-cors {env.APP_ORIGINS}", "+cors {env.APP_ORIGINS} https://app.example.com"},
	},
	{
		Kind: "origin", Name: "the argument of an import",
		Site: "(api) {\ncors {args[:]} {\nallow_methods PUT\n}\n}\napi.example.com {\nimport api https://other.example.com\nrespond hello\n}",
		Diff: []string{"-import api https://other.example.com", "+import api https://other.example.com https://app.example.com"},
	},
	{
		Kind: "origin", Name: "in one of two sites with the same snippet",
		Site: "(api) {\ncors {args[:]}\n}\nwww.example.com {\nimport api https://other.example.com\nrespond www\n}\napi.example.com {\nimport api https://other.example.com\nrespond hello\n}",
		Diff: []string{"-import api https://other.example.com", "+import api https://other.example.com https://app.example.com"},
	},

	{
		Kind: "list of a source", Name: "a file without the origin",
		Site:  "cors {\nallow_origins_from file origins\n}\nrespond hello",
		Files: map[string]string{"origins": "# partners\nhttps://other.example.com\n"},
		Diff:  []string{"+https://app.example.com"},
	},
	{
		Kind: "list of a source", Name: "a file without the origin, and a method",
		Site:  "cors {\nallow_origins_from file origins\n}\nrespond hello",
		Files: map[string]string{"origins": "https://other.example.com\n"},
		Call:  "-X PUT",
		Diff:  []string{"+allow_methods PUT", "+https://app.example.com"},
	},

	{
		Kind: "method", Name: "missing",
		Site: "cors https://app.example.com\nrespond hello", Call: "-X PUT", Cause: "method-not-allowed",
		Diff: []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_methods PUT", "+}"},
	},
	{
		Kind: "method", Name: "not in the list",
		Site:  "cors https://app.example.com {\nallow_methods PUT, PATCH\n}\nrespond hello",
		Call:  "-X DELETE",
		Cause: "method-not-allowed",
		Diff:  []string{"-allow_methods PUT, PATCH", "+allow_methods PUT, PATCH, DELETE"},
	},
	{
		Kind: "method", Name: "in lower case",
		Site: "cors https://app.example.com {\nallow_methods PATCH\n}\nrespond hello", Call: "-X patch",
		Cause: "method-not-allowed", Advice: `have the script write "PATCH"`,
	},
	{
		Kind: "method", Name: "missing, and the backend's headers are kept",
		Site: "cors https://app.example.com {\nupstream preserve\n}\nrespond ok", Call: "-X PUT",
		Cause: "method-not-allowed",
		Diff:  []string{"+allow_methods PUT"},
	},

	{
		Kind: "header", Name: "missing",
		Site: "cors https://app.example.com\nrespond hello", Call: "-H X-Foo:1", Cause: "header-not-allowed",
		Diff: []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_headers x-foo", "+}"},
	},
	{
		Kind: "header", Name: "JSON that is posted",
		Site:  "cors https://app.example.com\nrespond hello",
		Call:  "-X POST -H Content-Type:application/json",
		Cause: "header-not-allowed",
		Diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_headers content-type", "+}"},
	},
	{
		Kind: "header", Name: "Authorization beside a star",
		Site: "cors https://app.example.com {\nallow_headers *\n}\nrespond hello", Call: "-H Authorization:x",
		Cause: "header-not-allowed",
		Diff:  []string{"-allow_headers *", "+allow_headers * Authorization"},
	},
	{
		Kind: "header", Name: "and a method",
		Site: "cors https://app.example.com\nrespond hello", Call: "-X DELETE -H X-Foo:1 -H X-Bar:1",
		Cause: "method-not-allowed",
		Diff: []string{
			"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_methods DELETE",
			"+allow_headers x-bar x-foo", "+}",
		},
	},

	{
		Kind: "exposed header", Name: "missing",
		Site: "cors https://app.example.com\nheader X-Total 7\nrespond hello", Call: "--reads X-Total",
		Cause: "header-not-exposed",
		Diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+expose_headers X-Total", "+}"},
	},
	{
		Kind: "exposed header", Name: "two that are missing beside another",
		Site: "cors https://app.example.com {\nexpose_headers X-Other\n}\nheader X-Total 7\nheader X-Page 2\nrespond hello",
		Call: "--reads X-Total --reads X-Page", Cause: "header-not-exposed",
		Diff: []string{"-expose_headers X-Other", "+expose_headers X-Other X-Total X-Page"},
	},
	{
		Kind: "exposed header", Name: "not in the backend's own list",
		Site: "cors https://app.example.com {\nupstream preserve\nexpose_headers X-Total\n}\nreverse_proxy BACKEND",
		Call: "--reads X-Total https://api.example.com/star", Cause: "header-not-exposed",
		Diff:  []string{"-upstream preserve", "+upstream override"},
		Loses: true, // of all other pages
	},
	{
		Kind: "exposed header", Name: "a cookie",
		Site: "cors https://app.example.com\nheader Set-Cookie a=b\nrespond hello", Call: "--reads Set-Cookie",
		Cause: "header-not-exposed", Advice: "No script can read Set-Cookie",
	},

	{
		Kind: "credentials", Name: "missing",
		Site: "cors https://app.example.com\nrespond hello", Call: "--credentials", Cause: "missing-allow-credentials",
		Diff: []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_credentials", "+}"},
	},
	{
		Kind: "credentials", Name: "with a star",
		Site: "cors *\nrespond hello", Call: "--credentials", Cause: "wildcard-with-credentials",
		Diff:   []string{"-cors *", "+cors https://app.example.com {", "+allow_credentials", "+}"},
		Advice: `keep "*" for calls without credentials`,
		Loses:  true,
	},
	{
		Kind: "credentials", Name: "with a star in a block, and a method",
		Site: "cors {\nallow_origins *\nallow_methods PUT\n}\nrespond hello", Call: "--credentials -X PUT",
		Cause: "wildcard-with-credentials",
		Diff:  []string{"-allow_origins *", "+allow_origins https://app.example.com", "+allow_credentials"},
		Loses: true,
	},
	{
		Kind: "credentials", Name: "beside every https origin",
		Site: "cors https://*\nrespond hello", Call: "--credentials", Cause: "missing-allow-credentials",
		Diff: []string{
			"-cors https://*", "+cors https://* {", "+policy https://app.example.com {", "+allow_credentials", "+}", "+}",
		},
	},
	{
		Kind: "credentials", Name: "beside an http origin",
		Site:  "cors https://app.example.com http://old.example.com\nrespond hello",
		Call:  "--credentials",
		Cause: "missing-allow-credentials",
		Diff: []string{
			"-cors https://app.example.com http://old.example.com", "+cors https://app.example.com http://old.example.com {",
			"+policy https://app.example.com {", "+allow_credentials", "+}", "+}",
		},
	},
	{
		Kind: "credentials", Name: "of an http page",
		Site: "cors https://app.example.com {\nallow_credentials\n}\nrespond hello",
		Call: "--credentials --origin=http://app.example.com:3000",
		Diff: []string{
			"-cors https://app.example.com {", "+cors https://app.example.com http://app.example.com:3000 {",
			"+insecure http_origin_with_credentials",
		},
		Advice: "Safer: serve the page over https",
	},
	{
		Kind: "credentials", Name: "of every tenant of a public suffix",
		Site:  "cors {\npolicy tenants https://*.github.io\n}\nrespond hello",
		Call:  "--credentials --origin=https://me.github.io",
		Cause: "missing-allow-credentials",
		Diff: []string{
			"-policy tenants https://*.github.io", "+policy tenants https://me.github.io {", "+allow_credentials", "+}",
		},
		Loses: true,
	},

	{
		Kind: "policy", Name: "that lacks the method",
		Site: "cors https://other.example.com {\npolicy partner https://app.example.com {\nallow_headers X-Foo\n}\n}\nrespond hello",
		Call: "-X PUT -H X-Foo:1", Cause: "method-not-allowed",
		Diff: []string{"+allow_methods PUT"},
	},
	{
		Kind: "policy", Name: "without a name, that lacks credentials",
		Site: "cors {\npolicy https://app.example.com\n}\nrespond hello", Call: "--credentials",
		Cause: "missing-allow-credentials",
		Diff:  []string{"-policy https://app.example.com", "+policy https://app.example.com {", "+allow_credentials", "+}"},
	},
	{
		Kind: "policy", Name: "none has the origin",
		Site: "cors {\npolicy partner https://other.example.com {\nallow_methods PUT\n}\n}\nrespond hello", Call: "-X PUT",
		Diff: []string{
			"-policy partner https://other.example.com {", "+policy partner https://other.example.com https://app.example.com {",
		},
	},

	{
		Kind: "method matcher", Name: "of the directive",
		Site: "@writes method PUT\ncors @writes https://app.example.com\nrespond hello", Call: "-X PUT",
		Diff: []string{"-@writes method PUT", "-cors @writes https://app.example.com", "+@writes method PUT OPTIONS",
			"+cors @writes https://app.example.com {", "+allow_methods PUT", "+}",
		},
		Unseen: "preflights have the method OPTIONS",
	},
	{
		Kind: "method matcher", Name: "of a handle block",
		Site: "@writes method PUT\nhandle @writes {\ncors https://app.example.com\nreverse_proxy BACKEND\n}\nhandle {\nrespond hello\n}",
		Call: "-X PUT",
		Diff: []string{"-@writes method PUT", "+@writes method PUT OPTIONS", "-cors https://app.example.com",
			"+cors https://app.example.com {", "+allow_methods PUT", "+}",
		}, Tried: "preflight",
		Unseen: "preflights have the method OPTIONS",
	},
	{
		Kind: "method matcher", Name: "in a block of several",
		Site: "@writes {\npath /orders*\nmethod PUT\n}\ncors @writes https://app.example.com\nrespond hello", Call: "-X PUT",
		Diff: []string{
			"-method PUT", "-}", "-cors @writes https://app.example.com", "+method PUT OPTIONS", "+}",
			"+cors @writes https://app.example.com {", "+allow_methods PUT", "+}",
		},
		Unseen: "preflights have the method OPTIONS",
	},

	{
		Kind: "path matcher", Name: "that matches one path",
		Site: "cors /api https://app.example.com\nrespond hello", Call: "https://api.example.com/api/users/7",
		Diff:   []string{"-cors /api https://app.example.com", "+cors /api* https://app.example.com"},
		Unseen: "matches that path alone",
	},
	{
		Kind: "path matcher", Name: "by name, that matches one path",
		Site: "@api path /api\ncors @api https://app.example.com\nrespond hello", Call: "https://api.example.com/api/users/7",
		Diff:   []string{"-@api path /api", "+@api path /api*"},
		Unseen: "matches that path alone",
	},
	{
		Kind: "path matcher", Name: "of one version of several",
		Site: "cors /v2/orders/1 https://app.example.com\nrespond hello", Call: "https://api.example.com/v2/orders/7",
		Diff:   []string{"-cors /v2/orders/1 https://app.example.com", "+cors /v2/* https://app.example.com"},
		Unseen: "matches that path alone",
	},
	{
		Kind: "path matcher", Name: "for what lies below",
		Site:   "cors /orders/* https://app.example.com\nrespond hello",
		Diff:   []string{"-cors /orders/* https://app.example.com", "+cors /orders* https://app.example.com"},
		Unseen: "does not match /orders",
	},
	{
		Kind: "path matcher", Name: "for another path",
		Site: "cors /public/* *\nrespond hello",
		Diff: []string{"+cors /orders* https://app.example.com"},
	},
	{
		Kind: "path matcher", Name: "after handle_path has taken it off",
		Site:   "handle_path /api/* {\ncors /api/* https://app.example.com\nrespond hello\n}",
		Call:   "https://api.example.com/api/users",
		Diff:   []string{"-cors /api/* https://app.example.com", "+cors /* https://app.example.com"},
		Unseen: "handle_path has taken /api off the path",
	},

	{
		Kind: "order", Name: "a global option, and a redirect that answers first",
		Site:   "{\norder cors before respond\n}\napi.example.com {\ncors /orders* https://app.example.com\nredir /orders /v2\nrespond hello\n}",
		Diff:   []string{"-{", "-order cors before respond", "-}", "+cors /v2* https://app.example.com"},
		Unseen: `the global option "order cors before respond" puts it after what answered (redir)`,
	},
	{
		Kind: "order", Name: "a global option, and no cors yet",
		Site:   "{\norder cors before reverse_proxy\n}\napi.example.com {\nrespond hello\n}",
		Diff:   []string{"-{", "-order cors before reverse_proxy", "-}", "+cors https://app.example.com"},
		Advice: `The global option "order cors before reverse_proxy" has cors run later`,
	},
	{
		Kind: "order", Name: "a global option, and a cors for other paths",
		Site: "{\norder cors after respond\n}\napi.example.com {\ncors /public/* https://app.example.com\nrespond hello\n}", Call: "-X PUT",
		Diff: []string{
			"-{", "-order cors after respond", "-}", "+cors /orders* https://app.example.com {", "+allow_methods PUT", "+}",
		},
		Advice: `The global option "order cors after respond" has cors run later`,
	},
	{
		Kind: "order", Name: "a route in which it stands last",
		Site:   "route {\nrespond /orders hello\ncors https://app.example.com\n}",
		Diff:   []string{"-respond /orders hello", "+respond /orders hello"},
		Unseen: "a route runs its directives in the order in which they are written",
	},
	{
		Kind: "order", Name: "a route after authentication",
		Site: "route {\nbasic_auth {\nbob " + Password + "\n}\ncors https://app.example.com {\nallow_headers Authorization\n}\nrespond hello\n}",
		Call: "-H Authorization:x",
		Diff: []string{
			"-basic_auth {", "-bob " + Password, "-}", "+basic_auth {", "+bob " + Password, "+}",
		},
		Unseen: "basic_auth answered before it",
	},

	{
		Kind: "block", Name: "for another path",
		Site: "handle /public/* {\ncors *\nrespond public\n}\nhandle {\nrespond hello\n}",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "block", Name: "of a host in a wildcard site",
		Site: "*.example.com {\ntls internal\n@www host www.example.com\nhandle @www {\ncors https://app.example.com\nrespond www\n}\n@api host api.example.com\nhandle @api {\nrespond hello\n}\n}",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "block", Name: "a fallback in a wildcard site",
		Site: "*.example.com {\ntls internal\n@www host www.example.com\nhandle @www {\nrespond www\n}\nhandle {\nrespond hello\n}\n}",
		Call: "https://www.example.com/",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "block", Name: "a named route",
		Site: "&(api) {\nrespond hello\n}\napi.example.com {\ninvoke api\n}",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "block", Name: "in a named route, without the origin",
		Site: "&(api) {\ncors https://other.example.com\nrespond hello\n}\napi.example.com {\ninvoke api\n}",
		Diff: []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
	},

	{
		Kind: "imported file", Name: "of sites",
		Site:  "import sites/*.caddyfile\n",
		Files: map[string]string{"sites/api.caddyfile": "api.example.com {\n\tcors https://other.example.com\n\trespond hello\n}\n"},
		Diff:  []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
	},
	{
		Kind: "imported file", Name: "of directives",
		Site:  "respond hello\nimport cors.conf",
		Files: map[string]string{"cors.conf": "cors https://app.example.com {\n\tallow_headers X-Foo\n}\n"},
		Call:  "-X PUT", Cause: "method-not-allowed",
		Diff: []string{"+allow_methods PUT"},
	},
	{
		Kind: "snippet", Name: "with a cors that lacks the method",
		Site:  "(api) {\ncors https://app.example.com {\nallow_headers X-Foo\n}\n}\napi.example.com {\nimport api\nrespond hello\n}",
		Call:  "-X PUT",
		Cause: "method-not-allowed",
		Diff:  []string{"+allow_methods PUT"},
	},
	{
		Kind: "snippet", Name: "of two sites",
		Site:  "(api) {\ncors {args[0]} {\nallow_headers X-Foo\n}\n}\napi.example.com {\nimport api https://app.example.com\nrespond hello\n}\nstore.example.com {\nimport api https://admin-app.example.com\nrespond admin\n}",
		Call:  "-X PUT",
		Cause: "method-not-allowed",
		Diff:  []string{"+allow_methods PUT"},
		Note:  "Caddyfile:2 is a line of 2 sites (api.example.com; store.example.com): the edit changes what each of them allows",
	},
	{
		Kind: "named route", Name: "of two sites",
		Site:  "&(api) {\ncors https://app.example.com\nrespond hello\n}\napi.example.com {\ninvoke api\n}\nwww.example.com {\ninvoke api\n}",
		Call:  "-X PUT",
		Cause: "method-not-allowed",
		Diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_methods PUT", "+}"},
		Note:  "Caddyfile:2 is a line of 2 sites (api.example.com; www.example.com)",
	},
	{
		Kind: "snippet", Name: "beside a directive of the site's own",
		Site:  "(api) {\ncors /public/* {$APP_ORIGINS}\n}\napi.example.com {\nimport api\ncors /orders https://app.example.com\nrespond hello\n}",
		Call:  "-X PUT",
		Cause: "method-not-allowed",
		Diff:  []string{"-cors /orders https://app.example.com", "+cors /orders https://app.example.com {", "+allow_methods PUT", "+}"},
	},

	{
		Kind: "header line", Name: "of another origin",
		Site: "header Access-Control-Allow-Origin https://other.example.com\nrespond hello", Cause: "allow-origin-mismatch",
		Diff: []string{"+cors https://app.example.com https://other.example.com"},
	},
	{
		Kind: "header line", Name: "of the wrong scheme",
		Site: "header Access-Control-Allow-Origin http://app.example.com\nrespond hello", Cause: "allow-origin-mismatch",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "header line", Name: "deferred, of another origin, and no cors",
		Site:  "header >Access-Control-Allow-Origin http://old.example.com\nrespond hello",
		Cause: "allow-origin-mismatch",
		Diff:  []string{"-header >Access-Control-Allow-Origin http://old.example.com", "+cors https://app.example.com http://old.example.com"},
	},
	{
		Kind: "header line", Name: "deferred, beside a cors",
		Site:  "cors https://app.example.com\nheader >Access-Control-Allow-Origin https://other.example.com\nrespond hello",
		Cause: "allow-origin-mismatch",
		Diff: []string{
			"-cors https://app.example.com", "-header >Access-Control-Allow-Origin https://other.example.com",
			"+cors https://app.example.com https://other.example.com",
		},
	},
	{
		Kind: "header line", Name: "that removes it",
		Site: "cors https://app.example.com\nheader -Access-Control-Allow-Origin\nrespond hello",
		Diff: []string{"-header -Access-Control-Allow-Origin"},
	},
	{
		Kind: "header line", Name: "in a deferred block",
		Site:  "cors https://app.example.com\nheader {\nX-Frame-Options DENY\nAccess-Control-Allow-Origin https://www.example.com\ndefer\n}\nrespond hello",
		Cause: "allow-origin-mismatch",
		Diff: []string{
			"-cors https://app.example.com", "+cors https://app.example.com https://www.example.com",
			"-Access-Control-Allow-Origin https://www.example.com",
		},
	},
	{
		Kind: "header line", Name: "twice, with a backend's own",
		Site:   "handle /a {\nheader Access-Control-Allow-Origin *\nreverse_proxy BACKEND\n}\nhandle {\nreverse_proxy BACKEND\n}",
		Call:   "https://api.example.com/a",
		Cause:  "multiple-allow-origin",
		Diff:   []string{"-header Access-Control-Allow-Origin *"},
		Public: true, // as the backend has it
	},
	{
		Kind: "header line", Name: "a star, and a method",
		Site: "header Access-Control-Allow-Origin *\nrespond hello", Call: "-X PUT", Cause: "method-not-allowed",
		Diff: []string{"+cors * {", "+policy https://app.example.com {", "+allow_methods PUT", "+}", "+}"},
	},
	{
		Kind: "header line", Name: "a preflight by hand",
		Site: "@options method OPTIONS\nheader Access-Control-Allow-Origin https://app.example.com\nheader @options Access-Control-Allow-Methods GET\nrespond @options 204\nreverse_proxy BACKEND",
		Call: "-X PUT", Cause: "method-not-allowed",
		Diff: []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"}, Tried: "preflight",
	},
	{
		Kind: "header line", Name: "that a reverse proxy sets",
		Site:  "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND {\nheader_down Access-Control-Allow-Origin https://www.example.com\n}",
		Cause: "allow-origin-mismatch",
		Diff: []string{
			"-cors https://app.example.com {", "+cors https://app.example.com https://www.example.com {",
			"-reverse_proxy BACKEND {", "-header_down Access-Control-Allow-Origin https://www.example.com", "-}",
			"+reverse_proxy BACKEND",
		},
	},

	{
		Kind: "backend", Name: "that allows another origin",
		Site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND",
		Call: "https://api.example.com/other", Cause: "allow-origin-mismatch",
		Diff:  []string{"-upstream preserve", "+upstream override"},
		Loses: false,
	},
	{
		Kind: "backend", Name: "that allows everyone, with credentials",
		Site: "cors https://app.example.com {\nupstream preserve\nallow_credentials\n}\nreverse_proxy BACKEND",
		Call: "--credentials https://api.example.com/star", Cause: "wildcard-with-credentials",
		Diff:  []string{"-upstream preserve", "+upstream override"},
		Loses: true,
	},
	{
		Kind: "backend", Name: "that sends two values",
		Site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND",
		Call: "https://api.example.com/twice", Cause: "multiple-allow-origin",
		Diff: []string{"-upstream preserve", "+upstream override"},
	},
	{
		Kind: "backend", Name: "that writes the origin wrong",
		Site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND",
		Call: "https://api.example.com/slash", Cause: "allow-origin-mismatch",
		Diff: []string{"-upstream preserve", "+upstream override"},
	},
	{
		Kind: "backend", Name: "that sends two values, and no cors",
		Site: "reverse_proxy BACKEND", Call: "https://api.example.com/twice", Cause: "multiple-allow-origin",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "backend", Name: "that does not run",
		Site: "reverse_proxy 127.0.0.1:1",
		Diff: []string{"+cors https://app.example.com"},
		Note: "The upstream 127.0.0.1:1 of the reverse proxy does not answer",
	},
	{
		Kind: "backend", Name: "that fails",
		Site: "reverse_proxy BACKEND", Call: "https://api.example.com/broken",
		Diff: []string{"+cors https://app.example.com"},
		Note: "status 500",
	},

	{
		Kind: "header", Name: "and the origin, of a preflight that the backend answers",
		Site: "cors https://other.example.com {\nforward_preflight\n}\nheader ?Access-Control-Allow-Origin *\nreverse_proxy BACKEND", Call: "-H X-Foo:1 https://api.example.com/star",
		Cause: "header-not-allowed",
		Diff: []string{
			"-cors https://other.example.com {", "+cors https://other.example.com https://app.example.com {", "+allow_headers x-foo",
		},
	},
	{
		Kind: "forwarded preflight", Name: "that the backend rejects",
		Site: "cors https://app.example.com {\nforward_preflight\nallow_methods PUT\n}\nreverse_proxy BACKEND", Call: "-X PUT",
		Cause: "preflight-status",
		Diff:  []string{"-forward_preflight"}, Tried: "preflight",
	},
	{
		Kind: "forwarded preflight", Name: "that authentication rejects",
		Site: "cors https://app.example.com {\nforward_preflight\n}\nbasic_auth {\nbob " + Password + "\n}\nrespond hello",
		Call: "-H X-Foo:1", Cause: "preflight-status",
		Diff: []string{"-forward_preflight", "+allow_headers x-foo"},
	},
	{
		Kind: "forwarded preflight", Name: "that is redirected",
		Site: "cors https://app.example.com {\nforward_preflight\nallow_methods PUT\n}\nreverse_proxy BACKEND",
		Call: "-X PUT https://api.example.com/moved", Cause: "preflight-redirect",
		Diff: []string{"-forward_preflight"}, Tried: "preflight",
	},

	{
		Kind: "watching", Name: "only",
		Site: "cors https://app.example.com {\nreport_only\n}\nrespond hello",
		Diff: []string{"-cors https://app.example.com {", "-report_only", "-}", "+cors https://app.example.com"},
	},
	{
		Kind: "watching", Name: "and without the method",
		Site: "cors https://app.example.com {\nreport_only\n}\nrespond hello", Call: "-X PUT",
		Diff: []string{"-report_only", "+allow_methods PUT"},
	},

	{
		Kind: "error page", Name: "with headers of its own",
		Site:  "cors https://app.example.com\nerror 404\nhandle_errors {\nheader Access-Control-Allow-Origin https://www.example.com\nrespond sorry\n}",
		Cause: "allow-origin-mismatch",
		Diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com https://www.example.com", "-header Access-Control-Allow-Origin https://www.example.com"},
		Note:  "status 404",
	},

	{
		Kind: "redirect", Name: "in the site",
		Site: "redir /orders /v2/orders\nrespond hello",
		Diff: []string{"+cors https://app.example.com"},
	},
	{
		Kind: "redirect", Name: "of a preflight",
		Site: "redir /orders /v2/orders 308\nrespond hello", Call: "-X PUT", Cause: "preflight-redirect",
		Diff: []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"},
	},
	{
		Kind: "redirect", Name: "to https, Caddy's own",
		Site:   "cors http://localhost:3000\nrespond hello",
		Call:   "--origin=http://localhost:3000 http://api.example.com/orders",
		Advice: "Have the script call https://api.example.com/orders",
	},
	{
		Kind: "redirect", Name: "to https, of a preflight",
		Site:  "cors http://localhost:3000 {\nallow_methods PUT\n}\nrespond hello",
		Call:  "--origin=http://localhost:3000 -X PUT http://api.example.com/orders",
		Cause: "preflight-redirect", Advice: "Have the script call https://api.example.com/orders",
	},
	{
		Kind: "redirect", Name: "to http, by a backend behind TLS",
		Site: "cors https://app.example.com\nreverse_proxy BACKEND", Call: "https://api.example.com/items",
		Cause: "mixed-content", Advice: "does not know of the TLS before it",
	},
	{
		Kind: "redirect", Name: "to http, where the slash is missing",
		Site: "cors https://app.example.com\nreverse_proxy BACKEND", Call: "https://api.example.com/items",
		Cause: "mixed-content", Advice: "have the script call https://api.example.com/items/",
	},
	{
		Kind: "redirect", Name: "to another origin",
		Site:   "api.example.com {\ncors https://app.example.com\nredir https://cdn.example.com{uri}\n}\ncdn.example.com {\ncors https://app.example.com\nrespond hello\n}",
		Advice: "Have the script call https://cdn.example.com/orders",
	},
	{
		Kind: "redirect", Name: "to a URL for one use",
		Site:   "api.example.com {\ncors https://app.example.com\nreverse_proxy BACKEND\n}\nstore.example.com {\nrespond file\n}",
		Call:   "https://api.example.com/download",
		Advice: "made for one use (https://store.example.com/file)",
	},
	{
		Kind: "redirect", Name: "with credentials in it",
		Site:  "cors https://app.example.com\nredir /orders https://bob:secret@api.example.com/v2\nrespond hello",
		Cause: "redirect-credentials", Advice: "without a user and a password",
	},
	{
		Kind: "redirect", Name: "in a circle",
		Site:  "cors https://app.example.com\nredir /orders /orders\nrespond hello",
		Cause: "too-many-redirects", Advice: "answer at one of the URLs",
	},

	{
		Kind: "login page", Name: "by forward_auth",
		Site: "api.example.com {\ncors https://app.example.com\nforward_auth BACKEND {\nuri /verify\n}\nrespond hello\n}\nlogin.example.com {\nrespond login\n}",
		Diff: []string{
			"+@login status 302", "+handle_response @login {", "+@script header Sec-Fetch-Mode cors", "+error @script 401",
			"+copy_response", "+}",
		},
		Advice: "a page for people to sign in at",
	},
	{
		Kind: "login page", Name: "by forward_auth, and no cors",
		Site: "api.example.com {\nforward_auth BACKEND {\nuri /verify\n}\nrespond hello\n}\nlogin.example.com {\nrespond login\n}",
		Diff: []string{
			"+cors https://app.example.com",
			"+@login status 302", "+handle_response @login {", "+@script header Sec-Fetch-Mode cors", "+error @script 401",
			"+copy_response", "+}",
		},
		Advice: "a page for people to sign in at",
	},
	{
		Kind: "login page", Name: "by the backend",
		Site:   "api.example.com {\ncors https://app.example.com\nreverse_proxy BACKEND\n}\nlogin.example.com {\nrespond login\n}",
		Call:   "https://api.example.com/login",
		Advice: "Have the API answer scripts with 401",
	},

	{
		Kind: "opaque origin", Name: "of public data, and no cors",
		Site: "respond hello", Call: "--origin=null",
		Diff: []string{"+cors *"}, Advice: "For public data, the line is: cors *", Public: true,
	},
	{
		Kind: "opaque origin", Name: "of public data that takes a header, and no cors",
		Site: "respond hello", Call: "--origin=null -H X-Foo:1",
		Diff:   []string{"+cors * {", "+allow_headers x-foo", "+}"},
		Advice: "For public data, the line is: cors *", Public: true,
	},
	{
		Kind: "opaque origin", Name: "beside a star, of a call that takes a header",
		Site: "cors *\nrespond hello", Call: "--origin=null -H X-Foo:1", Cause: "header-not-allowed",
		Diff: []string{"-cors *", "+cors * {", "+allow_headers x-foo", "+}"}, Public: true,
	},
	{
		Kind: "opaque origin", Name: "and a list",
		Site: "cors https://app.example.com\nrespond hello", Call: "--origin=null", Advice: "cors *",
	},
	{
		Kind: "opaque origin", Name: "with credentials",
		Site: "cors *\nrespond hello", Call: "--credentials --origin=null", Cause: "wildcard-with-credentials",
		Advice: "serve the page from an origin of its own",
	},

	{
		Kind: "proxy", Name: "with TLS before a site on port 80",
		Site: ":80 {\ncors https://other.example.com\nreverse_proxy BACKEND\n}",
		Diff: []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
		Note: "behind a proxy",
	},
	{
		Kind: "proxy", Name: "a port mapping",
		Site: ":80 {\nrespond hello\n}", Call: "http://localhost:8080/orders --origin=http://localhost:3000",
		Diff: []string{"+cors http://localhost:3000"},
		Note: "behind a port mapping",
	},
	{
		Kind: "mixed content", Name: "an https page and an http site",
		Site: "cors https://app.example.com\nrespond hello", Call: "http://api.example.com/orders", Cause: "mixed-content",
		Advice: "Serve http://api.example.com/orders over https",
	},
	{
		Kind: "script", Name: "a forbidden method",
		Site: "cors https://app.example.com\nrespond hello", Call: "-X TRACE", Cause: "forbidden-method",
		Advice: "No script can use the method TRACE",
	},
	{
		Kind: "other matcher", Name: "an expression that keeps preflights out",
		Site: "@api expression `path('/orders*') && method('GET')`\ncors @api https://app.example.com {\nallow_headers X-A\n}\nrespond hello",
		Call: "-X DELETE",
		Diff: []string{
			"-cors @api https://app.example.com {", "+cors /orders* https://app.example.com {", "+allow_methods DELETE",
		},
		Unseen: "its matcher @api (expression) does not match OPTIONS /orders",
	},
	{
		Kind: "other matcher", Name: "an expression for another path, whose calls go on",
		Site:   "@api `path('/v2/*')`\ncors @api https://app.example.com\nrespond hello",
		Diff:   []string{"-cors @api https://app.example.com", "+cors https://app.example.com"},
		Unseen: "its matcher @api (expression) does not match GET /orders",
	},
	{
		Kind: "other matcher", Name: "a header that the call does not have, beside the path",
		Site:   "@api {\npath /orders*\nheader X-Version 2\n}\ncors @api https://app.example.com\nrespond hello",
		Diff:   []string{"-cors @api https://app.example.com", "+cors /orders* https://app.example.com"},
		Unseen: "its matcher @api (header) does not match GET /orders",
	},
	{
		Kind: "other matcher", Name: "the address of the client",
		Site:   "@api not remote_ip private_ranges\ncors @api https://app.example.com\nrespond hello",
		Diff:   []string{"-cors @api https://app.example.com", "+cors https://app.example.com"},
		Unseen: "its matcher @api (not) does not match GET /orders",
	},
	{
		Kind: "other matcher", Name: "a block for a query that the call does not have",
		Site:   "@v2 query v=2\nhandle @v2 {\ncors https://app.example.com\nrespond two\n}\nhandle {\nrespond one\n}",
		Diff:   []string{"+cors https://app.example.com", "-cors https://app.example.com"},
		Unseen: "it is in the block of handle @v2, which the request does not reach",
	},
	{
		Kind: "credentials", Name: "header lines for everyone, whose methods everyone keeps",
		Site: "@options method OPTIONS\nhandle @options {\nheader Access-Control-Allow-Origin *\nheader Access-Control-Allow-Methods \"GET, POST, PUT\"\nrespond 204\n}\nheader Access-Control-Allow-Origin *\nrespond hello",
		Call: "-X PUT -H X-Foo:1 --credentials", Cause: "wildcard-with-credentials",
		Diff: []string{
			"+cors * {", "+allow_methods PUT", "+policy https://app.example.com {", "+allow_methods PUT", "+allow_headers x-foo", "+allow_credentials", "+}", "+}",
		},
		Public: true,
	},
}
