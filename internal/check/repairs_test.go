package check_test

const password = "$2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG"

var repairs = []repair{
	{
		kind: "no cors", name: "a site that answers by itself",
		site: "respond hello",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "no cors", name: "a call that needs all",
		site: "header X-Total 7\nrespond hello",
		call: "-X PUT -H X-Foo:1 --credentials --reads X-Total",
		diff: []string{
			"+cors https://app.example.com {", "+allow_credentials", "+allow_methods PUT", "+allow_headers x-foo",
			"+expose_headers X-Total", "+}",
		},
	},
	{
		kind: "no cors", name: "a backend that rejects OPTIONS",
		site: "reverse_proxy BACKEND", call: "-X PUT",
		diff:  []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"},
		tried: "preflight",
	},
	{
		kind: "no cors", name: "a simple POST to a backend, which a trial does not make",
		site: "reverse_proxy BACKEND", call: "-X POST",
		diff:  []string{"+cors https://app.example.com"},
		tried: "untried",
	},
	{
		kind: "no cors", name: "a POST that is redirected for signing in",
		site:  "reverse_proxy BACKEND",
		call:  "-X POST -H Content-Type:application/json https://api.example.com/orders/login",
		diff:  []string{"+cors https://app.example.com {", "+allow_headers content-type", "+}"},
		tried: "preflight",
	},
	{
		kind: "no cors", name: "files",
		site: "root * .\nfile_server", call: "https://api.example.com/Caddyfile",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "no cors", name: "a site for every host",
		site: ":443 {\ntls internal {\non_demand\n}\nrespond hello\n}", call: "-X PUT",
		diff: []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"},
	},
	{
		kind: "no cors", name: "a port of its own",
		site: "http://localhost:8080 {\nrespond hello\n}", call: "http://localhost:8080/",
		diff: []string{"+cors https://app.example.com"},
		note: "Local Network Access",
	},
	{
		kind: "no cors", name: "in the other site",
		site: "www.example.com {\ncors https://app.example.com\nrespond www\n}\napi.example.com {\nrespond api\n}",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "no cors", name: "a site of several addresses",
		site: "www.example.com, api.example.com {\nrespond hello\n}",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "no cors", name: "a page with a login before it",
		site: "basic_auth {\nbob " + password + "\n}\nrespond hello",
		diff: []string{"+cors https://app.example.com"},
		note: "status 401",
	},
	{
		kind: "no cors", name: "a stream that does not end",
		site: "reverse_proxy BACKEND", call: "https://api.example.com/sse",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "no cors", name: "a site without braces",
		site: "api.example.com\n\nrespond hello\n",
		diff: []string{"+cors https://app.example.com"},
	},

	{
		kind: "origin", name: "another one",
		site: "cors https://other.example.com\nrespond hello",
		diff: []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
	},
	{
		kind: "origin", name: "another one, and a method",
		site: "cors https://other.example.com\nrespond hello", call: "-X PUT",
		diff: []string{
			"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com {",
			"+allow_methods PUT", "+}",
		},
	},
	{
		kind: "origin", name: "the other port",
		site: "cors http://localhost:3000\nrespond hello", call: "--origin=http://localhost:5173",
		diff: []string{"-cors http://localhost:3000", "+cors http://localhost:3000 http://localhost:5173"},
	},
	{
		kind: "origin", name: "localhost by its address",
		site: "cors http://localhost:3000\nrespond hello", call: "--origin=http://127.0.0.1:3000",
		diff: []string{"-cors http://localhost:3000", "+cors http://localhost:3000 http://127.0.0.1:3000"},
	},
	{
		kind: "origin", name: "only the subdomains",
		site: "cors https://*.example.com\nrespond hello", call: "--origin=https://example.com",
		diff: []string{"-cors https://*.example.com", "+cors https://*.example.com https://example.com"},
	},
	{
		kind: "origin", name: "with www",
		site: "cors {\nallow_origins https://example.com\n}\nrespond hello", call: "--origin=https://www.example.com",
		diff: []string{"-allow_origins https://example.com", "+allow_origins https://example.com https://www.example.com"},
	},
	{
		kind: "origin", name: "a regular expression that does not match",
		site: "cors {\nallow_origins_regexp https://app-[0-9]+[.]example[.]com\n}\nrespond hello",
		diff: []string{"+allow_origins https://app.example.com"},
	},
	{
		kind: "origin", name: "enforced",
		site: "cors https://other.example.com {\nenforce\n}\nrespond hello",
		diff: []string{
			"-cors https://other.example.com {", "+cors https://other.example.com https://app.example.com {",
		},
	},
	{
		kind: "origin", name: "from an environment variable",
		site: "cors {$APP_ORIGINS} {\nallow_methods PUT\n}\nrespond hello", call: "-X PUT",
		diff: []string{"-cors {$APP_ORIGINS} {", "+cors {$APP_ORIGINS} https://app.example.com {"},
	},
	{
		kind: "origin", name: "from a variable that is known at run time",
		site: "cors {env.APP_ORIGINS}\nrespond hello",
		diff: []string{"-cors {env.APP_ORIGINS}", "+cors {env.APP_ORIGINS} https://app.example.com"},
	},
	{
		kind: "origin", name: "the argument of an import",
		site: "(api) {\ncors {args[:]} {\nallow_methods PUT\n}\n}\napi.example.com {\nimport api https://other.example.com\nrespond hello\n}",
		diff: []string{"-import api https://other.example.com", "+import api https://other.example.com https://app.example.com"},
	},
	{
		kind: "origin", name: "in one of two sites with the same snippet",
		site: "(api) {\ncors {args[:]}\n}\nwww.example.com {\nimport api https://other.example.com\nrespond www\n}\napi.example.com {\nimport api https://other.example.com\nrespond hello\n}",
		diff: []string{"-import api https://other.example.com", "+import api https://other.example.com https://app.example.com"},
	},

	{
		kind: "list of a source", name: "a file without the origin",
		site:  "cors {\nallow_origins_from file origins\n}\nrespond hello",
		files: map[string]string{"origins": "# partners\nhttps://other.example.com\n"},
		diff:  []string{"+https://app.example.com"},
	},
	{
		kind: "list of a source", name: "a file without the origin, and a method",
		site:  "cors {\nallow_origins_from file origins\n}\nrespond hello",
		files: map[string]string{"origins": "https://other.example.com\n"},
		call:  "-X PUT",
		diff:  []string{"+allow_methods PUT", "+https://app.example.com"},
	},

	{
		kind: "method", name: "missing",
		site: "cors https://app.example.com\nrespond hello", call: "-X PUT", cause: "method-not-allowed",
		diff: []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_methods PUT", "+}"},
	},
	{
		kind: "method", name: "not in the list",
		site:  "cors https://app.example.com {\nallow_methods PUT, PATCH\n}\nrespond hello",
		call:  "-X DELETE",
		cause: "method-not-allowed",
		diff:  []string{"-allow_methods PUT, PATCH", "+allow_methods PUT, PATCH, DELETE"},
	},
	{
		kind: "method", name: "in lower case",
		site: "cors https://app.example.com {\nallow_methods PATCH\n}\nrespond hello", call: "-X patch",
		cause: "method-not-allowed", advice: `have the script write "PATCH"`,
	},
	{
		kind: "method", name: "missing, and the backend's headers are kept",
		site: "cors https://app.example.com {\nupstream preserve\n}\nrespond ok", call: "-X PUT",
		cause: "method-not-allowed",
		diff:  []string{"+allow_methods PUT"},
	},

	{
		kind: "header", name: "missing",
		site: "cors https://app.example.com\nrespond hello", call: "-H X-Foo:1", cause: "header-not-allowed",
		diff: []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_headers x-foo", "+}"},
	},
	{
		kind: "header", name: "JSON that is posted",
		site:  "cors https://app.example.com\nrespond hello",
		call:  "-X POST -H Content-Type:application/json",
		cause: "header-not-allowed",
		diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_headers content-type", "+}"},
	},
	{
		kind: "header", name: "Authorization beside a star",
		site: "cors https://app.example.com {\nallow_headers *\n}\nrespond hello", call: "-H Authorization:x",
		cause: "header-not-allowed",
		diff:  []string{"-allow_headers *", "+allow_headers * Authorization"},
	},
	{
		kind: "header", name: "and a method",
		site: "cors https://app.example.com\nrespond hello", call: "-X DELETE -H X-Foo:1 -H X-Bar:1",
		cause: "method-not-allowed",
		diff: []string{
			"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_methods DELETE",
			"+allow_headers x-bar x-foo", "+}",
		},
	},

	{
		kind: "exposed header", name: "missing",
		site: "cors https://app.example.com\nheader X-Total 7\nrespond hello", call: "--reads X-Total",
		cause: "header-not-exposed",
		diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+expose_headers X-Total", "+}"},
	},
	{
		kind: "exposed header", name: "two that are missing beside another",
		site: "cors https://app.example.com {\nexpose_headers X-Other\n}\nheader X-Total 7\nheader X-Page 2\nrespond hello",
		call: "--reads X-Total --reads X-Page", cause: "header-not-exposed",
		diff: []string{"-expose_headers X-Other", "+expose_headers X-Other X-Total X-Page"},
	},
	{
		kind: "exposed header", name: "not in the backend's own list",
		site: "cors https://app.example.com {\nupstream preserve\nexpose_headers X-Total\n}\nreverse_proxy BACKEND",
		call: "--reads X-Total https://api.example.com/star", cause: "header-not-exposed",
		diff:  []string{"-upstream preserve", "+upstream override"},
		loses: true, // of all other pages
	},
	{
		kind: "exposed header", name: "a cookie",
		site: "cors https://app.example.com\nheader Set-Cookie a=b\nrespond hello", call: "--reads Set-Cookie",
		cause: "header-not-exposed", advice: "No script can read Set-Cookie",
	},

	{
		kind: "credentials", name: "missing",
		site: "cors https://app.example.com\nrespond hello", call: "--credentials", cause: "missing-allow-credentials",
		diff: []string{"-cors https://app.example.com", "+cors https://app.example.com {", "+allow_credentials", "+}"},
	},
	{
		kind: "credentials", name: "with a star",
		site: "cors *\nrespond hello", call: "--credentials", cause: "wildcard-with-credentials",
		diff:   []string{"-cors *", "+cors https://app.example.com {", "+allow_credentials", "+}"},
		advice: `keep "*" for calls without credentials`,
		loses:  true,
	},
	{
		kind: "credentials", name: "with a star in a block, and a method",
		site: "cors {\nallow_origins *\nallow_methods PUT\n}\nrespond hello", call: "--credentials -X PUT",
		cause: "wildcard-with-credentials",
		diff:  []string{"-allow_origins *", "+allow_origins https://app.example.com", "+allow_credentials"},
		loses: true,
	},
	{
		kind: "credentials", name: "beside every https origin",
		site: "cors https://*\nrespond hello", call: "--credentials", cause: "missing-allow-credentials",
		diff: []string{
			"-cors https://*", "+cors https://* {", "+policy https://app.example.com {", "+allow_credentials", "+}", "+}",
		},
	},
	{
		kind: "credentials", name: "beside an http origin",
		site:  "cors https://app.example.com http://old.example.com\nrespond hello",
		call:  "--credentials",
		cause: "missing-allow-credentials",
		diff: []string{
			"-cors https://app.example.com http://old.example.com", "+cors https://app.example.com http://old.example.com {",
			"+policy https://app.example.com {", "+allow_credentials", "+}", "+}",
		},
	},
	{
		kind: "credentials", name: "of an http page",
		site: "cors https://app.example.com {\nallow_credentials\n}\nrespond hello",
		call: "--credentials --origin=http://app.example.com:3000",
		diff: []string{
			"-cors https://app.example.com {", "+cors https://app.example.com http://app.example.com:3000 {",
			"+insecure http_origin_with_credentials",
		},
		advice: "Safer: serve the page over https",
	},
	{
		kind: "credentials", name: "of every tenant of a public suffix",
		site:  "cors {\npolicy tenants https://*.github.io\n}\nrespond hello",
		call:  "--credentials --origin=https://me.github.io",
		cause: "missing-allow-credentials",
		diff: []string{
			"-policy tenants https://*.github.io", "+policy tenants https://me.github.io {", "+allow_credentials", "+}",
		},
		loses: true,
	},

	{
		kind: "policy", name: "that lacks the method",
		site: "cors https://other.example.com {\npolicy partner https://app.example.com {\nallow_headers X-Foo\n}\n}\nrespond hello",
		call: "-X PUT -H X-Foo:1", cause: "method-not-allowed",
		diff: []string{"+allow_methods PUT"},
	},
	{
		kind: "policy", name: "without a name, that lacks credentials",
		site: "cors {\npolicy https://app.example.com\n}\nrespond hello", call: "--credentials",
		cause: "missing-allow-credentials",
		diff:  []string{"-policy https://app.example.com", "+policy https://app.example.com {", "+allow_credentials", "+}"},
	},
	{
		kind: "policy", name: "none has the origin",
		site: "cors {\npolicy partner https://other.example.com {\nallow_methods PUT\n}\n}\nrespond hello", call: "-X PUT",
		diff: []string{
			"-policy partner https://other.example.com {", "+policy partner https://other.example.com https://app.example.com {",
		},
	},

	{
		kind: "method matcher", name: "of the directive",
		site: "@writes method PUT\ncors @writes https://app.example.com {\nallow_methods PUT\n}\nrespond hello", call: "-X PUT",
		diff:   []string{"-@writes method PUT", "+@writes method PUT OPTIONS"},
		unseen: "preflights have the method OPTIONS",
	},
	{
		kind: "method matcher", name: "of a handle block",
		site: "@writes method PUT\nhandle @writes {\ncors https://app.example.com {\nallow_methods PUT\n}\nreverse_proxy BACKEND\n}\nhandle {\nrespond hello\n}",
		call: "-X PUT",
		diff: []string{"-@writes method PUT", "+@writes method PUT OPTIONS"}, tried: "preflight",
		unseen: "preflights have the method OPTIONS",
	},
	{
		kind: "method matcher", name: "in a block of several",
		site: "@writes {\npath /orders*\nmethod PUT\n}\ncors @writes https://app.example.com\nrespond hello", call: "-X PUT",
		diff: []string{
			"-method PUT", "-}", "-cors @writes https://app.example.com", "+method PUT OPTIONS", "+}",
			"+cors @writes https://app.example.com {", "+allow_methods PUT", "+}",
		},
		unseen: "preflights have the method OPTIONS",
	},

	{
		kind: "path matcher", name: "that matches one path",
		site: "cors /api https://app.example.com\nrespond hello", call: "https://api.example.com/api/users/7",
		diff:   []string{"-cors /api https://app.example.com", "+cors /api* https://app.example.com"},
		unseen: "matches that path alone",
	},
	{
		kind: "path matcher", name: "by name, that matches one path",
		site: "@api path /api\ncors @api https://app.example.com\nrespond hello", call: "https://api.example.com/api/users/7",
		diff:   []string{"-@api path /api", "+@api path /api*"},
		unseen: "matches that path alone",
	},
	{
		kind: "path matcher", name: "of one version of several",
		site: "cors /v2/orders/1 https://app.example.com\nrespond hello", call: "https://api.example.com/v2/orders/7",
		diff:   []string{"-cors /v2/orders/1 https://app.example.com", "+cors /v2/* https://app.example.com"},
		unseen: "matches that path alone",
	},
	{
		kind: "path matcher", name: "for what lies below",
		site:   "cors /orders/* https://app.example.com\nrespond hello",
		diff:   []string{"-cors /orders/* https://app.example.com", "+cors /orders* https://app.example.com"},
		unseen: "does not match /orders",
	},
	{
		kind: "path matcher", name: "for another path",
		site: "cors /public/* *\nrespond hello",
		diff: []string{"+cors /orders* https://app.example.com"},
	},
	{
		kind: "path matcher", name: "after handle_path has taken it off",
		site:   "handle_path /api/* {\ncors /api/* https://app.example.com\nrespond hello\n}",
		call:   "https://api.example.com/api/users",
		diff:   []string{"-cors /api/* https://app.example.com", "+cors /* https://app.example.com"},
		unseen: "handle_path has taken /api off the path",
	},

	{
		kind: "order", name: "a global option, and a redirect that answers first",
		site:   "{\norder cors before respond\n}\napi.example.com {\ncors /orders* https://app.example.com\nredir /orders /v2\nrespond hello\n}",
		diff:   []string{"-{", "-order cors before respond", "-}", "+cors /v2* https://app.example.com"},
		unseen: `the global option "order cors before respond" puts it after what answered (redir)`,
	},
	{
		kind: "order", name: "a route in which it stands last",
		site:   "route {\nrespond /orders hello\ncors https://app.example.com\n}",
		diff:   []string{"-respond /orders hello", "+respond /orders hello"},
		unseen: "in a route, what stands first runs first",
	},
	{
		kind: "order", name: "a route after authentication",
		site: "route {\nbasic_auth {\nbob " + password + "\n}\ncors https://app.example.com {\nallow_headers Authorization\n}\nrespond hello\n}",
		call: "-H Authorization:x",
		diff: []string{
			"-basic_auth {", "-bob " + password, "-}", "+basic_auth {", "+bob " + password, "+}",
		},
		unseen: "basic_auth answered before it",
	},

	{
		kind: "block", name: "for another path",
		site: "handle /public/* {\ncors *\nrespond public\n}\nhandle {\nrespond hello\n}",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "block", name: "of a host in a wildcard site",
		site: "*.example.com {\ntls internal\n@www host www.example.com\nhandle @www {\ncors https://app.example.com\nrespond www\n}\n@api host api.example.com\nhandle @api {\nrespond hello\n}\n}",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "block", name: "a fallback in a wildcard site",
		site: "*.example.com {\ntls internal\n@www host www.example.com\nhandle @www {\nrespond www\n}\nhandle {\nrespond hello\n}\n}",
		call: "https://www.example.com/",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "block", name: "a named route",
		site: "&(api) {\nrespond hello\n}\napi.example.com {\ninvoke api\n}",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "block", name: "in a named route, without the origin",
		site: "&(api) {\ncors https://other.example.com\nrespond hello\n}\napi.example.com {\ninvoke api\n}",
		diff: []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
	},

	{
		kind: "imported file", name: "of sites",
		site:  "import sites/*.caddyfile\n",
		files: map[string]string{"sites/api.caddyfile": "api.example.com {\n\tcors https://other.example.com\n\trespond hello\n}\n"},
		diff:  []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
	},
	{
		kind: "imported file", name: "of directives",
		site:  "respond hello\nimport cors.conf",
		files: map[string]string{"cors.conf": "cors https://app.example.com {\n\tallow_headers X-Foo\n}\n"},
		call:  "-X PUT", cause: "method-not-allowed",
		diff: []string{"+allow_methods PUT"},
	},
	{
		kind: "snippet", name: "with a cors that lacks the method",
		site:  "(api) {\ncors https://app.example.com {\nallow_headers X-Foo\n}\n}\napi.example.com {\nimport api\nrespond hello\n}",
		call:  "-X PUT",
		cause: "method-not-allowed",
		diff:  []string{"+allow_methods PUT"},
	},
	{
		kind: "snippet", name: "beside a directive of the site's own",
		site:  "(api) {\ncors /public/* {$APP_ORIGINS}\n}\napi.example.com {\nimport api\ncors /orders https://app.example.com\nrespond hello\n}",
		call:  "-X PUT",
		cause: "method-not-allowed",
		diff:  []string{"-cors /orders https://app.example.com", "+cors /orders https://app.example.com {", "+allow_methods PUT", "+}"},
	},

	{
		kind: "header line", name: "of another origin",
		site: "header Access-Control-Allow-Origin https://other.example.com\nrespond hello", cause: "allow-origin-mismatch",
		diff: []string{"+cors https://app.example.com https://other.example.com"},
	},
	{
		kind: "header line", name: "of the wrong scheme",
		site: "header Access-Control-Allow-Origin http://app.example.com\nrespond hello", cause: "allow-origin-mismatch",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "header line", name: "deferred, of another origin, and no cors",
		site:  "header >Access-Control-Allow-Origin http://old.example.com\nrespond hello",
		cause: "allow-origin-mismatch",
		diff:  []string{"-header >Access-Control-Allow-Origin http://old.example.com", "+cors https://app.example.com http://old.example.com"},
	},
	{
		kind: "header line", name: "deferred, beside a cors",
		site:  "cors https://app.example.com\nheader >Access-Control-Allow-Origin https://other.example.com\nrespond hello",
		cause: "allow-origin-mismatch",
		diff: []string{
			"-cors https://app.example.com", "-header >Access-Control-Allow-Origin https://other.example.com",
			"+cors https://app.example.com https://other.example.com",
		},
	},
	{
		kind: "header line", name: "that removes it",
		site: "cors https://app.example.com\nheader -Access-Control-Allow-Origin\nrespond hello",
		diff: []string{"-header -Access-Control-Allow-Origin"},
	},
	{
		kind: "header line", name: "in a deferred block",
		site:  "cors https://app.example.com\nheader {\nX-Frame-Options DENY\nAccess-Control-Allow-Origin https://www.example.com\ndefer\n}\nrespond hello",
		cause: "allow-origin-mismatch",
		diff: []string{
			"-cors https://app.example.com", "+cors https://app.example.com https://www.example.com",
			"-Access-Control-Allow-Origin https://www.example.com",
		},
	},
	{
		kind: "header line", name: "twice, with a backend's own",
		site:   "handle /a {\nheader Access-Control-Allow-Origin *\nreverse_proxy BACKEND\n}\nhandle {\nreverse_proxy BACKEND\n}",
		call:   "https://api.example.com/a",
		cause:  "multiple-allow-origin",
		diff:   []string{"-header Access-Control-Allow-Origin *"},
		public: true, // as the backend has it
	},
	{
		kind: "header line", name: "a star, and a method",
		site: "header Access-Control-Allow-Origin *\nrespond hello", call: "-X PUT", cause: "method-not-allowed",
		diff: []string{"+cors * {", "+policy https://app.example.com {", "+allow_methods PUT", "+}", "+}"},
	},
	{
		kind: "header line", name: "a preflight by hand",
		site: "@options method OPTIONS\nheader Access-Control-Allow-Origin https://app.example.com\nheader @options Access-Control-Allow-Methods GET\nrespond @options 204\nreverse_proxy BACKEND",
		call: "-X PUT", cause: "method-not-allowed",
		diff: []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"}, tried: "preflight",
	},
	{
		kind: "header line", name: "that a reverse proxy sets",
		site:  "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND {\nheader_down Access-Control-Allow-Origin https://www.example.com\n}",
		cause: "allow-origin-mismatch",
		diff: []string{
			"-cors https://app.example.com {", "+cors https://app.example.com https://www.example.com {",
			"-reverse_proxy BACKEND {", "-header_down Access-Control-Allow-Origin https://www.example.com", "-}",
			"+reverse_proxy BACKEND",
		},
	},

	{
		kind: "backend", name: "that allows another origin",
		site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND",
		call: "https://api.example.com/other", cause: "allow-origin-mismatch",
		diff:  []string{"-upstream preserve", "+upstream override"},
		loses: false,
	},
	{
		kind: "backend", name: "that allows everyone, with credentials",
		site: "cors https://app.example.com {\nupstream preserve\nallow_credentials\n}\nreverse_proxy BACKEND",
		call: "--credentials https://api.example.com/star", cause: "wildcard-with-credentials",
		diff:  []string{"-upstream preserve", "+upstream override"},
		loses: true,
	},
	{
		kind: "backend", name: "that sends two values",
		site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND",
		call: "https://api.example.com/twice", cause: "multiple-allow-origin",
		diff: []string{"-upstream preserve", "+upstream override"},
	},
	{
		kind: "backend", name: "that writes the origin wrong",
		site: "cors https://app.example.com {\nupstream preserve\n}\nreverse_proxy BACKEND",
		call: "https://api.example.com/slash", cause: "allow-origin-mismatch",
		diff: []string{"-upstream preserve", "+upstream override"},
	},
	{
		kind: "backend", name: "that sends two values, and no cors",
		site: "reverse_proxy BACKEND", call: "https://api.example.com/twice", cause: "multiple-allow-origin",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "backend", name: "that does not run",
		site: "reverse_proxy 127.0.0.1:1",
		diff: []string{"+cors https://app.example.com"},
		note: "The upstream 127.0.0.1:1 of the reverse proxy does not answer",
	},
	{
		kind: "backend", name: "that fails",
		site: "reverse_proxy BACKEND", call: "https://api.example.com/broken",
		diff: []string{"+cors https://app.example.com"},
		note: "status 500",
	},

	{
		kind: "forwarded preflight", name: "that the backend rejects",
		site: "cors https://app.example.com {\nforward_preflight\nallow_methods PUT\n}\nreverse_proxy BACKEND", call: "-X PUT",
		cause: "preflight-status",
		diff:  []string{"-forward_preflight"}, tried: "preflight",
	},
	{
		kind: "forwarded preflight", name: "that authentication rejects",
		site: "cors https://app.example.com {\nforward_preflight\n}\nbasic_auth {\nbob " + password + "\n}\nrespond hello",
		call: "-H X-Foo:1", cause: "preflight-status",
		diff: []string{"-forward_preflight", "+allow_headers x-foo"},
	},
	{
		kind: "forwarded preflight", name: "that is redirected",
		site: "cors https://app.example.com {\nforward_preflight\nallow_methods PUT\n}\nreverse_proxy BACKEND",
		call: "-X PUT https://api.example.com/moved", cause: "preflight-redirect",
		diff: []string{"-forward_preflight"}, tried: "preflight",
	},

	{
		kind: "watching", name: "only",
		site: "cors https://app.example.com {\nreport_only\n}\nrespond hello",
		diff: []string{"-cors https://app.example.com {", "-report_only", "-}", "+cors https://app.example.com"},
	},
	{
		kind: "watching", name: "and without the method",
		site: "cors https://app.example.com {\nreport_only\n}\nrespond hello", call: "-X PUT",
		diff: []string{"-report_only", "+allow_methods PUT"},
	},

	{
		kind: "error page", name: "with headers of its own",
		site:  "cors https://app.example.com\nerror 404\nhandle_errors {\nheader Access-Control-Allow-Origin https://www.example.com\nrespond sorry\n}",
		cause: "allow-origin-mismatch",
		diff:  []string{"-cors https://app.example.com", "+cors https://app.example.com https://www.example.com", "-header Access-Control-Allow-Origin https://www.example.com"},
		note:  "status 404",
	},

	{
		kind: "redirect", name: "in the site",
		site: "redir /orders /v2/orders\nrespond hello",
		diff: []string{"+cors https://app.example.com"},
	},
	{
		kind: "redirect", name: "of a preflight",
		site: "redir /orders /v2/orders 308\nrespond hello", call: "-X PUT", cause: "preflight-redirect",
		diff: []string{"+cors https://app.example.com {", "+allow_methods PUT", "+}"},
	},
	{
		kind: "redirect", name: "to https, Caddy's own",
		site:   "cors http://localhost:3000\nrespond hello",
		call:   "--origin=http://localhost:3000 http://api.example.com/orders",
		advice: "Have the script call https://api.example.com/orders",
	},
	{
		kind: "redirect", name: "to https, of a preflight",
		site:  "cors http://localhost:3000 {\nallow_methods PUT\n}\nrespond hello",
		call:  "--origin=http://localhost:3000 -X PUT http://api.example.com/orders",
		cause: "preflight-redirect", advice: "Have the script call https://api.example.com/orders",
	},
	{
		kind: "redirect", name: "to http, by a backend behind TLS",
		site: "cors https://app.example.com\nreverse_proxy BACKEND", call: "https://api.example.com/items",
		cause: "mixed-content", advice: "does not know of the TLS before it",
	},
	{
		kind: "redirect", name: "to http, where the slash is missing",
		site: "cors https://app.example.com\nreverse_proxy BACKEND", call: "https://api.example.com/items",
		cause: "mixed-content", advice: "have the script call https://api.example.com/items/",
	},
	{
		kind: "redirect", name: "to another origin",
		site:   "api.example.com {\ncors https://app.example.com\nredir https://cdn.example.com{uri}\n}\ncdn.example.com {\ncors https://app.example.com\nrespond hello\n}",
		advice: "Have the script call https://cdn.example.com/orders",
	},
	{
		kind: "redirect", name: "to a URL for one use",
		site:   "api.example.com {\ncors https://app.example.com\nreverse_proxy BACKEND\n}\nstore.example.com {\nrespond file\n}",
		call:   "https://api.example.com/download",
		advice: "made for one use (https://store.example.com/file)",
	},
	{
		kind: "redirect", name: "with credentials in it",
		site:  "cors https://app.example.com\nredir /orders https://bob:secret@api.example.com/v2\nrespond hello",
		cause: "redirect-credentials", advice: "without a user and a password",
	},
	{
		kind: "redirect", name: "in a circle",
		site:  "cors https://app.example.com\nredir /orders /orders\nrespond hello",
		cause: "too-many-redirects", advice: "answer at one of the URLs",
	},

	{
		kind: "login page", name: "by forward_auth",
		site: "api.example.com {\ncors https://app.example.com\nforward_auth BACKEND {\nuri /verify\n}\nrespond hello\n}\nlogin.example.com {\nrespond login\n}",
		diff: []string{
			"+@login status 302", "+handle_response @login {", "+@script header Sec-Fetch-Mode cors", "+error @script 401",
			"+copy_response", "+}",
		},
		advice: "a page for people to sign in at",
	},
	{
		kind: "login page", name: "by forward_auth, and no cors",
		site: "api.example.com {\nforward_auth BACKEND {\nuri /verify\n}\nrespond hello\n}\nlogin.example.com {\nrespond login\n}",
		diff: []string{
			"+cors https://app.example.com",
			"+@login status 302", "+handle_response @login {", "+@script header Sec-Fetch-Mode cors", "+error @script 401",
			"+copy_response", "+}",
		},
		advice: "a page for people to sign in at",
	},
	{
		kind: "login page", name: "by the backend",
		site:   "api.example.com {\ncors https://app.example.com\nreverse_proxy BACKEND\n}\nlogin.example.com {\nrespond login\n}",
		call:   "https://api.example.com/login",
		advice: "Have the API answer scripts with 401",
	},

	{
		kind: "opaque origin", name: "of public data, and no cors",
		site: "respond hello", call: "--origin=null",
		diff: []string{"+cors *"}, advice: "For public data, the line is: cors *", public: true,
	},
	{
		kind: "opaque origin", name: "and a list",
		site: "cors https://app.example.com\nrespond hello", call: "--origin=null", advice: "cors *",
	},
	{
		kind: "opaque origin", name: "with credentials",
		site: "cors *\nrespond hello", call: "--credentials --origin=null", cause: "wildcard-with-credentials",
		advice: "serve the page from an origin of its own",
	},

	{
		kind: "proxy", name: "with TLS before a site on port 80",
		site: ":80 {\ncors https://other.example.com\nreverse_proxy BACKEND\n}",
		diff: []string{"-cors https://other.example.com", "+cors https://other.example.com https://app.example.com"},
		note: "behind a proxy",
	},
	{
		kind: "proxy", name: "a port mapping",
		site: ":80 {\nrespond hello\n}", call: "http://localhost:8080/orders --origin=http://localhost:3000",
		diff: []string{"+cors http://localhost:3000"},
		note: "behind a port mapping",
	},
	{
		kind: "mixed content", name: "an https page and an http site",
		site: "cors https://app.example.com\nrespond hello", call: "http://api.example.com/orders", cause: "mixed-content",
		advice: "Serve http://api.example.com/orders over https",
	},
	{
		kind: "script", name: "a forbidden method",
		site: "cors https://app.example.com\nrespond hello", call: "-X TRACE", cause: "forbidden-method",
		advice: "No script can use the method TRACE",
	},
}
