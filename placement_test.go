package caddycors_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// A cors that cannot work where it stands is refused when the Caddyfile is adapted, with its file and line.
func TestPlaceRefusesCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ caddyfile, want string }{
		"two": {
			":8080 {\ncors https://app.example.com\ncors https://admin.example.com\n}",
			"this cors never decides: the one at Caddyfile:2 comes before it and takes all of its requests; write the origins of both into one (cors https://app.example.com https://admin.example.com), or, where they may do different things, into policy blocks of one, at Caddyfile:3",
		},
		"two of a matcher": {
			":8080 {\n@api path /api/*\ncors @api https://a.test\ncors @api https://b.test\n}",
			"the one at Caddyfile:3 comes before it and takes all of its requests; write the origins of both into one (cors @api https://a.test https://b.test)",
		},
		"two of a path": {":8080 {\ncors /api/* https://a.test\ncors /api/* https://b.test\n}", "at Caddyfile:3"},
		"imported twice": {
			"(api) {\ncors {args[0]}\n}\n:8080 {\nimport api https://a.test\nimport api https://b.test\n}",
			"write the origins of both into one (cors https://a.test https://b.test)",
		},
		"imported twice, the same": {"(api) {\ncors https://a.test\n}\n:8080 {\nimport api\nimport api\n}", "this cors never decides"},
		"two in a handle":          {":8080 {\nhandle /api/* {\ncors https://a.test\ncors https://b.test\n}\n}", "the one at Caddyfile:3"},
		"one with a matcher, after one without, in the order written": {
			":8080 {\nroute {\ncors https://a.test\ncors /api/* https://b.test\n}\n}", "the one at Caddyfile:3",
		},

		"methods without OPTIONS": {
			":8080 {\n@api method GET PUT\ncors @api https://app.example.com {\nallow_methods PUT\n}\n}",
			"cors @api: its matcher leaves out OPTIONS, the method of preflights, and without its preflight a call that needs one is blocked: add OPTIONS to GET, PUT, or match by path, at Caddyfile:3",
		},
		"methods without OPTIONS, and a path": {
			":8080 {\n@api {\nmethod PUT\npath /api/*\n}\ncors @api https://app.example.com {\nallow_headers X-A\n}\n}", "leaves out OPTIONS",
		},
		"no OPTIONS": {":8080 {\n@api not method OPTIONS\ncors @api https://app.example.com {\nallow_methods PUT\n}\n}", "leaves out OPTIONS"},
		"a private network": {
			":8080 {\n@api method GET\ncors @api https://app.example.com {\nallow_private_network\n}\n}", "leaves out OPTIONS",
		},
		"Authorization": {
			":8080 {\n@api header Authorization *\ncors @api https://app.example.com {\nallow_headers Authorization\n}\n}",
			"cors @api: its matcher wants Authorization, which no preflight has, and without its preflight a call that needs one is blocked: match by path, or remove the matcher, at Caddyfile:3",
		},
		"a header that scripts may send": {
			":8080 {\n@api header X-Api-Key *\ncors @api https://app.example.com {\nallow_headers x-api-key\n}\n}", "its matcher wants X-Api-Key",
		},
		"a header by expression": {
			":8080 {\n@api header_regexp Cookie session=\ncors @api https://app.example.com {\nallow_methods PUT\n}\n}", "its matcher wants Cookie",
		},
		"preflights alone": {
			":8080 {\n@preflight method OPTIONS\ncors @preflight https://app.example.com {\nallow_methods PUT\n}\n}",
			"its matcher lets preflights through alone, and the responses to the calls themselves need their headers as well",
		},
		"preflights alone, by their header": {
			":8080 {\n@preflight header Access-Control-Request-Method *\ncors @preflight https://app.example.com {\nallow_methods PUT\n}\n}",
			"lets preflights through alone",
		},

		"a namespace that there is not": {":8080 {\ncors {evn.APP_ORIGINS}\n}", `allow_origins: nothing ever sets {evn.APP_ORIGINS}: did you mean "{env.APP_ORIGINS}"?, at Caddyfile:2`},
		"one in upper case":             {":8080 {\ncors https://a.test {ENV.APP_ORIGINS}\n}", `did you mean "{env.APP_ORIGINS}"?`},
		"one of no name":                {":8080 {\ncors {nowhere.at.all}\n}", `the placeholders of Caddy begin with env., file., http., system., time.`},
		"a part of http":                {":8080 {\ncors https://{http.reqest.host}\n}", `did you mean "{http.request.host}"?`},
		"an argument":                   {"(api) {\ncors {args[0]}\n}\n:8080 {\nimport api\n}", "nothing ever sets {args[0]}: it is filled by the import of a snippet"},
		"a map's, nearly":               {":8080 {\nmap {host} {tenant} {\ndefault a\n}\ncors https://{tenat}.example.com\n}", `did you mean "{tenant}"?`},
		"nobody's":                      {":8080 {\ncors https://{tenant}.example.com\n}", "nothing ever sets {tenant}: no map of this server does"},
		"in a policy":                   {":8080 {\ncors {\npolicy p {evn.X}\n}\n}", `did you mean "{env.X}"?, at Caddyfile:3`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := livecaddy.Adapt(test.caddyfile + "\n")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got: %v\nwant it to say: %s", err, test.want)
			}
		})
	}
}

// What the blocks around a cors keep from it is known when the JSON is loaded, and told with file and line, too.
func TestPlaceRefusesLoadedCaddyfile(t *testing.T) {
	for site, want := range map[string]string{
		"@writes method PUT\nhandle @writes {\ncors https://a.loaded.test {\nallow_methods PUT\n}\n}":                       "leaves out OPTIONS",
		"@in {\npath /api/*\nheader Authorization *\n}\nroute @in {\ncors https://b.loaded.test {\nallow_methods PUT\n}\n}": "wants Authorization",
	} {
		config, err := livecaddy.Adapt("http://api.test:8080 {\n" + site + "\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		var loaded struct {
			Apps struct {
				HTTP struct {
					Servers map[string]struct{ Routes json.RawMessage }
				}
			}
		}
		if err := json.Unmarshal(config, &loaded); err != nil {
			t.Fatal(err)
		}
		line := 2 + strings.Count(site[:strings.Index(site, "cors ")], "\n")
		err = validate(t, string(loaded.Apps.HTTP.Servers["srv0"].Routes))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), fmt.Sprintf("Caddyfile:%d (apps/http/servers/api/routes/0/", line)) {
			t.Errorf("%s\n%v", site, err)
		}
	}
}

// What works is not refused, be it unusual.
func TestPlaceAccepts(t *testing.T) {
	for name, site := range map[string]string{
		"one with a matcher, after one without":  "cors https://a.test\ncors /api/* https://b.test",
		"several matchers":                       "cors /a/* https://a.test\ncors /b/* https://b.test\ncors https://c.test",
		"the first only reports":                 "route {\ncors https://a.test {\nreport_only\n}\ncors https://b.test\n}",
		"one in another":                         "cors https://a.test\nhandle /api/* {\ncors https://b.test\n}",
		"one in each of several":                 "handle /a/* {\ncors https://a.test\n}\nhandle {\ncors https://b.test\n}",
		"one for errors":                         "cors https://a.test\nhandle_errors {\ncors https://a.test\n}",
		"methods with OPTIONS":                   "@api method GET PUT OPTIONS\ncors @api https://a.test {\nallow_methods PUT\n}",
		"methods that need no preflights":        "@api method GET\ncors @api https://a.test",
		"preflights, where none are needed":      "@api method OPTIONS\ncors @api https://a.test",
		"preflights and calls apart":             "@p method OPTIONS\n@c not method OPTIONS\ncors @p https://a.test {\nallow_methods PUT\n}\ncors @c https://a.test {\nallow_methods PUT\n}",
		"a path of a handle around it":           "@api path /api/*\nhandle @api {\ncors https://a.test {\nallow_methods PUT\n}\n}",
		"a header that is not there":             "@api header !Authorization\ncors @api https://a.test {\nallow_headers Authorization\n}",
		"a header of proxies":                    "@api header X-Forwarded-Host api.test\ncors @api https://a.test {\nallow_headers X-A\n}",
		"not OPTIONS of a path":                  "@api not {\nmethod OPTIONS\npath /x\n}\ncors @api https://a.test {\nallow_methods PUT\n}",
		"one of two sets":                        "@api expression `method('GET')`\ncors @api https://a.test {\nallow_methods PUT\n}",
		"a map":                                  "map {host} {tenant} {\ndefault a\n}\ncors https://{tenant}.example.com",
		"a map in a block":                       "handle {\nmap {host} {tenant} {\ndefault a\n}\ncors https://{tenant}.example.com\n}",
		"vars":                                   "vars tenant a\ncors https://{vars.tenant}.example.com https://{http.vars.tenant}.example.org",
		"vars that a third party may set":        "cors https://{http.vars.unknown}.example.com",
		"the request's":                          "cors https://{host} https://{header.X-Tenant}.example.com https://{query.t}.example.com https://{http.auth.user.id}.example.com",
		"the rest of Caddy's":                    "cors https://{system.hostname}.example.com https://{time.now.year}.example.com",
		"a request's, beside what is only known": "cors https://{http.request.host}:{http.request.port}",
	} {
		t.Run(name, func(t *testing.T) {
			livecaddy.Validate(t, ":8080 {\n"+site+"\n}\n")
		})
	}
	t.Run("a named route", func(t *testing.T) {
		livecaddy.Validate(t, "&(api) {\ncors https://{tenant}.example.com\n}\n:8080 {\nmap {host} {tenant} {\ndefault a\n}\ninvoke api\n}\n")
	})
	t.Run("two sites", func(t *testing.T) {
		livecaddy.Validate(t, "http://a.test:8080 {\ncors https://a.test\n}\nhttp://b.test:8080 {\ncors https://a.test\n}\n")
	})
	t.Run("a snippet in two sites", func(t *testing.T) {
		livecaddy.Validate(t, "(api) {\ncors https://a.test\n}\nhttp://a.test:8080 {\nimport api\n}\nhttp://b.test:8080 {\nimport api\n}\n")
	})
}

// From JSON, it is refused when it is loaded, with the path of its route.
func TestPlaceRefusesJSON(t *testing.T) {
	const a, b = `{"handler": "cors", "allow_origins": ["https://a.json.test"]}`, `{"handler": "cors", "allow_origins": ["https://b.json.test"]}`
	const put = `{"handler": "cors", "allow_origins": ["https://a.json.test"], "allow_methods": ["PUT"]}`
	subroute := func(routes string) string { return `[{"handle": [{"handler": "subroute", "routes": ` + routes + `}]}]` }
	for name, test := range map[string]struct{ routes, want string }{
		"two in a list": {
			subroute(`[{"handle": [` + a + `]}, {"handle": [` + b + `]}]`),
			`apps/http/servers/api/routes/0/handle/0/routes/1/handle/0: this cors never decides: the one at apps/http/servers/api/routes/0/handle/0/routes/0/handle/0 comes before it`,
		},
		"two of a route": {subroute(`[{"handle": [` + a + `, ` + b + `]}]`), `routes/0/handle/1: this cors never decides: the one at`},
		"two of a matcher": {
			subroute(`[{"match": [{"path": ["/x"]}], "handle": [` + a + `]}, {"match": [{"path": ["/x"]}], "handle": [` + b + `]}]`), "never decides",
		},
		"two of the server":       {`[{"handle": [` + a + `]}, {"handle": [` + b + `]}]`, `apps/http/servers/api/routes/1/handle/0: this cors never decides: the one at apps/http/servers/api/routes/0/handle/0 `},
		"the ways out":            {`[{"handle": [` + a + `, ` + b + `]}]`, `write the origins of both into "allow_origins" of one, or, where they may do different things, into "policies" of one`},
		"methods without OPTIONS": {`[{"match": [{"method": ["GET", "PUT"]}], "handle": [` + put + `]}]`, `apps/http/servers/api/routes/0/handle/0: cors in the route apps/http/servers/api/routes/0: its matcher leaves out OPTIONS`},
		"methods around it":       {`[{"match": [{"method": ["PUT"]}], "handle": [{"handler": "subroute", "routes": [{"handle": [` + put + `]}]}]}]`, `cors in the route apps/http/servers/api/routes/0: its matcher leaves out OPTIONS`},
		"a header below":          {subroute(`[{"match": [{"header": {"Authorization": ["*"]}}], "handle": [` + put + `]}]`), `its matcher wants Authorization`},
		"preflights alone":        {`[{"match": [{"method": ["OPTIONS"]}], "handle": [` + put + `]}]`, `lets preflights through alone`},
		"a namespace":             {`[{"handle": [{"handler": "cors", "allow_origins": ["{evn.X}"]}]}]`, `nothing ever sets {evn.X}: did you mean "{env.X}"?`},
		"a Caddyfile's shorthand": {`[{"handle": [{"handler": "cors", "allow_origins": ["https://{host}"]}]}]`, `nothing ever sets {host}: only a Caddyfile knows it; write "{http.request.host}"`},
		"nobody's":                {`[{"handle": [{"handler": "cors", "policies": [{"name": "p", "allow_origins": ["https://{tenant}.example.com"]}]}]}]`, `policy "p": allow_origins: nothing ever sets {tenant}`},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(t, test.routes)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got: %v\nwant it to say: %s", err, test.want)
			}
		})
	}
	for name, routes := range map[string]string{
		"one of a group":             subroute(`[{"group": "g", "match": [{"path": ["/x"]}], "handle": [` + a + `]}, {"group": "g", "handle": [` + b + `]}]`),
		"one with a matcher first":   `[{"match": [{"path": ["/x"]}], "handle": [` + a + `]}, {"handle": [` + b + `]}]`,
		"one of two methods":         `[{"match": [{"method": ["PUT"]}, {"path": ["/x"]}], "handle": [` + put + `]}]`,
		"a map of an earlier route":  `[{"handle": [{"handler": "map", "source": "{http.request.host}", "destinations": ["{tenant}"], "defaults": ["a"]}]}, {"handle": [{"handler": "cors", "allow_origins": ["https://{tenant}.example.com"]}]}]`,
		"a map of an earlier site's": subroute(`[{"handle": [{"handler": "map", "source": "{http.request.host}", "destinations": ["{tenant}"], "defaults": ["a"]}]}, {"handle": [{"handler": "cors", "allow_origins": ["https://{tenant}.example.com"]}]}]`),
		"two of different hosts":     `[{"match": [{"host": ["a.test"]}], "handle": [` + a + `]}, {"match": [{"host": ["b.test"]}], "handle": [` + a + `]}]`,
	} {
		if err := validate(t, routes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// validate provisions a server with the routes.
func validate(t *testing.T, routes string) error {
	t.Helper()
	var config caddy.Config
	text := fmt.Sprintf(`{"admin": {"disabled": true}, "storage": {"module": "file_system", "root": %q},
		"apps": {"http": {"servers": {"api": {"listen": ["127.0.0.1:0"], "routes": %s}}}}}`, t.TempDir(), routes)
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&config)
}

// What overrides cors is told when it is loaded: from a Caddyfile with its file and line, from JSON with the
// route.
func TestLastWord(t *testing.T) {
	for name, test := range map[string]struct {
		site string
		want []string
	}{
		"a default": {
			"cors https://a.test\nheader ?Access-Control-Allow-Origin {http.request.header.Origin}\nheader ?Access-Control-Allow-Credentials true",
			[]string{"the header operation ?Access-Control-Allow-Origin at Caddyfile:3 is deferred", "?Access-Control-Allow-Credentials at Caddyfile:4"},
		},
		"a set one":                 {"cors https://a.test\nheader >Access-Control-Allow-Origin *", []string{">Access-Control-Allow-Origin at Caddyfile:3"}},
		"a deleted one":             {"cors https://a.test\nheader -Access-Control-*", []string{"-Access-Control-* at Caddyfile:3"}},
		"Vary":                      {"cors https://a.test\nheader -Vary", []string{"-Vary at Caddyfile:3"}},
		"defer":                     {"cors https://a.test\nheader {\nX-A b\nAccess-Control-Max-Age 5\ndefer\n}", []string{"Access-Control-Max-Age at Caddyfile:5"}},
		"beside one that is":        {"cors https://a.test\nheader /x {\nTiming-Allow-Origin *\n-Server\n}", []string{"Timing-Allow-Origin at Caddyfile:4"}},
		"around the cors":           {"header >Access-Control-Allow-Origin *\nhandle {\ncors https://a.test\n}", []string{">Access-Control-Allow-Origin at Caddyfile:2"}},
		"one that is not deferred":  {"cors https://a.test\nheader Access-Control-Allow-Origin *", nil},
		"another field":             {"cors https://a.test\nheader -Server\nheader ?X-A b", nil},
		"one that the cors is over": {"cors https://a.test\nhandle {\nheader >Access-Control-Allow-Origin *\n}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			log := livecaddy.Validate(t, "http://:8080 {\n"+test.site+"\n}\n")
			for line := range 10 { // those of the site come after livecaddy's own
				log = strings.ReplaceAll(log, fmt.Sprintf("Caddyfile:%d ", line+livecaddy.LinesBefore), fmt.Sprintf("Caddyfile:%d ", line))
			}
			if n := strings.Count(log, "overrides what cors sends"); n != len(test.want) {
				t.Errorf("%d warnings, want %d:\n%s", n, len(test.want), log)
			}
			for _, want := range test.want {
				if !strings.Contains(log, want) {
					t.Errorf("no %s in:\n%s", want, log)
				}
			}
		})
	}
}

// A matcher for the Origin leaves other responses without Vary.
func TestMatcherByOrigin(t *testing.T) {
	const warning = "the matcher of this cors is for the Origin"
	for site, warns := range map[string]bool{
		"@o header Origin https://a.test\ncors @o https://a.test":              true,
		"@o header_regexp Origin .*\\.test$\ncors @o https://a.test":           true,
		"@o header Origin *\nhandle @o {\ncors https://a.test\n}":              true,
		"cors /api/* https://a.test":                                           false,
		"@o header X-Origin *\ncors @o https://a.test":                         false,
		"@o header Origin *\nheader @o X-A b\ncors https://a.test":             false,
		"@o header Origin *\ncors /api/* https://a.test\nrespond @o \"hello\"": false,
	} {
		if log := livecaddy.Validate(t, "http://:8080 {\n"+site+"\n}\n"); strings.Contains(log, warning) != warns {
			t.Errorf("%s\nwarns: %v\n%s", site, !warns, log)
		}
	}
}

// Four times as many directives add some four times as much to what a configuration takes to load, wherever they stand:
// none of them looks at all of the others. What is allocated tells, which the speed of a machine does not change.
func TestLoadingIsLinear(t *testing.T) {
	for name, test := range map[string]struct{ before, each, after string }{
		"blocks":       {before: ":8080 {\n", each: "handle /p%[1]d {\ncors https://app%[1]d.test {\nallow_methods PUT\n}\n}\n", after: "}\n"},
		"matchers":     {before: "http://api.test:8080 {\n", each: "cors /p%[1]d https://app%[1]d.test {\n}\n", after: "}\n"},
		"sites":        {each: "http://s%[1]d.test:8080 {\ncors https://app%[1]d.test {\n}\n}\n"},
		"a snippet":    {before: "(api) {\ncors https://app.test {\n}\n}\n", each: "http://s%d.test:8080 {\nimport api\n}\n"},
		"placeholders": {before: "http://api.test:8080 {\nmap {host} {tenant} {\ndefault a\n}\n", each: "handle /p%[1]d {\ncors https://{tenant}.app%[1]d.test {\n}\n}\n", after: "}\n"},
	} {
		allocated := func(n int, without bool) float64 {
			site := &strings.Builder{}
			site.WriteString(test.before)
			for i := range n {
				fmt.Fprintf(site, test.each, i)
			}
			site.WriteString(test.after)
			text := site.String()
			if without {
				text = directive.ReplaceAllString(text, "header X-A b")
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			livecaddy.Validate(t, text)
			runtime.ReadMemStats(&after)
			return float64(after.TotalAlloc - before.TotalAlloc)
		}
		added := func(n int) float64 { return allocated(n, false) - allocated(n, true) }
		const n = 50
		added(1) // what is loaded once for all
		if one, four := added(n), added(4*n); four > 6*one {
			t.Errorf("%s: %.1f times as much for four times as many", name, four/one)
		}
	}
}

// directive matches a cors directive with its block.
var directive = regexp.MustCompile(`cors [^{}]*(?:\{\w+\}[^{}]*)?\{\n[^}]*\}`)
