package origins

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

// What a third party's source of origins has to be, and ours are.
type source interface {
	AllowsOrigin(ctx context.Context, origin string) bool
}

// newContext returns the context of a Caddy with the file system storage in this directory.
func newContext(t testing.TB, dir string) caddy.Context {
	t.Helper()
	storage, err := json.Marshal(map[string]string{"module": "file_system", "root": dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&caddy.Config{
		StorageRaw: storage,
		Logging:    &caddy.Logging{Logs: map[string]*caddy.CustomLog{"default": {BaseLog: caddy.BaseLog{WriterRaw: json.RawMessage(`{"output": "discard"}`)}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// load loads a source as Caddy does; unload cleans it up.
func load(parent caddy.Context, name, config string) (loaded source, unload func(), err error) {
	ctx, cancel := caddy.NewContext(parent)
	module, err := ctx.LoadModuleByID("http.cors.origins."+name, json.RawMessage(config))
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return module.(source), cancel, nil
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ORIGINS_TEST_DIR", dir)
	t.Chdir(dir)
	ctx := newContext(t, dir)
	write(t, filepath.Join(dir, "run", "origins"), originA+"\n")
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("origin") != originA {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer endpoint.Close()
	t.Setenv("ORIGINS_TEST_ENDPOINT", endpoint.URL)
	for name, test := range map[string]struct{ source, config string }{
		"a file":                       {"file", `{"path": "run/origins"}`},
		"a file by its whole path":     {"file", `{"path": "{env.ORIGINS_TEST_DIR}/run/origins", "interval": "1h"}`},
		"a key of the storage":         {"storage", `{"key": "run/origins"}`},
		"a key with a placeholder":     {"storage", `{"key": "run/{system.os}/../origins", "interval": "100ms"}`},
		"an endpoint":                  {"ask", `{"url": "{env.ORIGINS_TEST_ENDPOINT}/cors"}`},
		"an endpoint with all options": {"ask", `{"url": "{env.ORIGINS_TEST_ENDPOINT}", "timeout": "10s", "ttl": "1h", "max": 1}`},
	} {
		t.Run(name, func(t *testing.T) {
			source, unload, err := load(ctx, test.source, test.config)
			if err != nil {
				t.Fatal(err)
			}
			defer unload()
			if !source.AllowsOrigin(t.Context(), originA) || source.AllowsOrigin(t.Context(), originB) {
				t.Error("it does not allow just that origin")
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	ctx := newContext(t, dir)
	write(t, filepath.Join(dir, "run", "origins"), originA+"\nhttps://Example.com\n")
	write(t, filepath.Join(dir, "run", "empty"), "")
	_, nowhere := os.Stat("run/nowhere") // whose text is the system's
	t.Setenv("ORIGINS_TEST_NESTED", "{http.request.host}")
	for name, test := range map[string]struct{ source, config, want string }{
		"no path":                   {"file", `{}`, `path: it is missing`},
		"an unknown placeholder":    {"file", `{"path": "{http.request.host}"}`, `path: "{http.request.host}": unrecognized placeholder`},
		"an empty placeholder":      {"file", `{"path": "{env.ORIGINS_TEST_UNSET}"}`, `path: "{env.ORIGINS_TEST_UNSET}": `},
		"no file":                   {"file", `{"path": "run/nowhere"}`, nowhere.Error()},
		"a directory":               {"file", `{"path": "run"}`, `run is not a regular file: it is a directory`},
		"a device":                  {"file", `{"path": "` + os.DevNull + `"}`, os.DevNull + ` is not a regular file`},
		"a bad list":                {"file", `{"path": "run/origins"}`, `run/origins:2: "https://Example.com" is not written as browsers send it (the host in lower case); did you mean "https://example.com"?`},
		"an empty list":             {"file", `{"path": "run/empty"}`, `run/empty: it has no origins`},
		"a short interval":          {"file", `{"path": "run/origins", "interval": "99ms"}`, `interval: 99ms is too short; at least 100ms`},
		"a negative interval":       {"file", `{"path": "run/origins", "interval": "-5s"}`, `interval: -5s is too short`},
		"an unknown option":         {"file", `{"path": "run/origins", "ttl": "5s"}`, `unknown field "ttl"`},
		"no key":                    {"storage", `{}`, `key: it is missing`},
		"a key without a value":     {"storage", `{"key": "run/nowhere"}`, `key run/nowhere: `},
		"a key that is not a value": {"storage", `{"key": "run"}`, `key run: `},
		"a bad list in storage":     {"storage", `{"key": "run/origins"}`, `run/origins:2: "https://Example.com"`},
		"an interval of a storage":  {"storage", `{"key": "run/origins", "interval": "1ms"}`, `interval: 1ms is too short`},
		"no URL":                    {"ask", `{}`, `url: it is missing`},
		"no http URL":               {"ask", `{"url": "localhost:9000"}`, `url: "localhost:9000" is not an http or https URL; write one such as http://localhost:9000/cors`},
		"a URL without a host":      {"ask", `{"url": "http:///cors"}`, `url: "http:///cors" is not an http or https URL`},
		"no URL at all":             {"ask", `{"url": "http://[/"}`, `url: it is not a URL`},
		"a fragment":                {"ask", `{"url": "http://localhost:9000/#cors"}`, `url: a fragment is never sent`},
		"an origin in the query":    {"ask", `{"url": "http://localhost:9000/?origin=x"}`, `url: its query has an origin already`},
		"a request's choice of the server": {"ask", `{"url": "http://{http.request.host}/"}`,
			`url: {http.request.host} is in the place of the server's name, and a request must not choose which server is asked`},
		"a request's choice of a part of its name": {"ask", `{"url": "http://tenants.{http.request.host}/"}`, `url: {http.request.host} is in the place of the server's name`},
		"a request's choice of its port":           {"ask", `{"url": "http://localhost:{http.request.port}/"}`, `url: {http.request.port} is in the place of the server's name`},
		"a request's choice of a user":             {"ask", `{"url": "http://{http.request.host}@localhost/"}`, `url: {http.request.host} is in the place of the server's name`},
		"a request's choice of the scheme":         {"ask", `{"url": "{http.request.scheme}://localhost/"}`, `url: {http.request.scheme} is in the place of the server's name`},
		"a path without its slash":                 {"ask", `{"url": "http://localhost{http.request.uri}"}`, `url: {http.request.uri} is in the place of the server's name`},
		"a request's whole URL":                    {"ask", `{"url": "{http.request.header.X-Url}"}`, `url: {http.request.header.X-Url} is in the place of the server's name`},
		"a request's whole query":                  {"ask", `{"url": "http://localhost/?{http.request.uri.query}"}`, `url: in the query, {http.request.uri.query} has to be a value: write it after a name, such as ?host={http.request.uri.query}`},
		"a request's name of a parameter":          {"ask", `{"url": "http://localhost/?a=b&{http.request.host}=c"}`, `url: in the query, {http.request.host} has to be a value`},
		"a request's fragment":                     {"ask", `{"url": "http://localhost/#{http.request.host}"}`, `url: a fragment is never sent`},
		"a placeholder without http://":            {"ask", `{"url": "localhost:9000/{http.request.host}"}`, `is not an http or https URL`},
		"a placeholder that nothing sets":          {"ask", `{"url": "http://localhost/{evn.TENANT}"}`, `url: unrecognized placeholder {evn.TENANT}; those of a request begin with http.`},
		"what an import did not fill":              {"ask", `{"url": "http://localhost/{args[0]}"}`, `url: unrecognized placeholder {args[0]}`},
		"a block that an import did not fill":      {"ask", `{"url": "http://localhost/{block}"}`, `url: unrecognized placeholder {block}`},
		"an empty placeholder of the URL":          {"ask", `{"url": "http://localhost/{env.ORIGINS_TEST_UNSET}"}`, `url: {env.ORIGINS_TEST_UNSET} is empty; set it`},
		"a placeholder in a placeholder":           {"ask", `{"url": "http://localhost/{env.ORIGINS_TEST_NESTED}"}`, `url: the value of {env.ORIGINS_TEST_NESTED} has a placeholder in it`},
		"a placeholder without an end":             {"ask", `{"url": "http://localhost/{http.request.host"}`, `url: the placeholder "{http.request.host" is not closed; add a }`},
		"a backslash":                              {"ask", `{"url": "http://localhost/{http.request.uri.query.X\\}"}`, `url: a backslash is not a part of any URL; remove it`},
		"a negative timeout":                       {"ask", `{"url": "http://localhost:9000/", "timeout": "-1s"}`, `timeout: -1s is too short; more than 0`},
		"a negative ttl":                           {"ask", `{"url": "http://localhost:9000/", "ttl": "-1s"}`, `ttl: -1s is too short; more than 0`},
		"a negative max":                           {"ask", `{"url": "http://localhost:9000/", "max": -1}`, `max: -1 is not a number of answers; write 1 or more`},
	} {
		t.Run(name, func(t *testing.T) {
			_, unload, err := load(ctx, test.source, test.config)
			if err == nil {
				unload()
				t.Fatal("it is accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got: %v\nwant it to say: %s", err, test.want)
			}
		})
	}
}

func TestUnmarshalCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ source, text, want string }{
		"file":                       {"file", "file run/origins", `{"path":"run/origins"}`},
		"file, an empty block":       {"file", "file run/origins {\n}", `{"path":"run/origins"}`},
		"file, all options":          {"file", "file \"a b\" {\n\tinterval 1m\n}", `{"path":"a b","interval":60000000000}`},
		"file, a placeholder":        {"file", "file {env.DIR}/origins", `{"path":"{env.DIR}/origins"}`},
		"storage":                    {"storage", "storage cors/origins", `{"key":"cors/origins"}`},
		"storage, all options":       {"storage", "storage cors/origins {\n\tinterval 100ms\n}", `{"key":"cors/origins","interval":100000000}`},
		"ask":                        {"ask", "ask http://localhost:9000/cors", `{"url":"http://localhost:9000/cors"}`},
		"ask, a placeholder":         {"ask", "ask {env.ENDPOINT}", `{"url":"{env.ENDPOINT}"}`},
		"ask, one of a request":      {"ask", "ask http://x/?host={http.request.host}", `{"url":"http://x/?host={http.request.host}"}`},
		"ask, all options":           {"ask", "ask https://x/?a=b {\n\ttimeout 500ms\n\tttl 1d\n\tmax 5\n}", `{"url":"https://x/?a=b","timeout":500000000,"ttl":86400000000000,"max":5}`},
		"nothing after file":         {"file", "file", "file: write after it the path of a file, such as run/origins, at Testfile:1"},
		"nothing after storage":      {"storage", "storage {\n}", "storage: write after it the key of the list, such as cors/origins, at Testfile:1"},
		"nothing after ask":          {"ask", `ask ""`, "ask: write after it the URL to ask, such as http://localhost:9000/cors, at Testfile:1"},
		"two paths":                  {"file", "file a b c", `file: one argument is expected, the path of a file, such as run/origins; remove "b c", at Testfile:1`},
		"no URL":                     {"ask", "ask localhost:9000", `ask: "localhost:9000" is not an http or https URL; write one such as http://localhost:9000/cors, at Testfile:1`},
		"an unknown option":          {"file", "file a {\n\tttl 5s\n}", `file: unknown option "ttl"; its options: interval, at Testfile:2`},
		"an unknown option of ask":   {"ask", "ask http://x {\n\tinterval 5s\n}", `ask: unknown option "interval"; its options: max, timeout, ttl, at Testfile:2`},
		"an option twice":            {"file", "file a {\n\tinterval 5s\n\tinterval 6s\n}", `file: interval: it is on line 2 too; remove one of them, at Testfile:3`},
		"an option without value":    {"file", "file a {\n\tinterval\n}", `file: interval: one value is expected, at Testfile:2`},
		"an option with two":         {"ask", "ask http://x {\n\tmax 1 2\n}", `ask: max: one value is expected, at Testfile:2`},
		"no unit":                    {"file", "file a {\n\tinterval 5\n}", `file: interval: "5" has no unit; did you mean "5s"?, at Testfile:2`},
		"no duration":                {"ask", "ask http://x {\n\tttl forever\n}", `ask: ttl: "forever" is not a duration, such as 500ms, 5s or 1m, at Testfile:2`},
		"a short interval":           {"storage", "storage a {\n\tinterval 1ms\n}", `storage: interval: 1ms is too short; at least 100ms, at Testfile:2`},
		"no interval":                {"storage", "storage a {\n\tinterval 0s\n}", `storage: interval: 0s is too short; at least 100ms, at Testfile:2`},
		"no timeout":                 {"ask", "ask http://x {\n\ttimeout 0s\n}", `ask: timeout: 0s is too short; more than 0, at Testfile:2`},
		"no max":                     {"ask", "ask http://x {\n\tmax 0\n}", `ask: max: "0" is not a number of answers; write 1 or more, at Testfile:2`},
		"a max that is not a number": {"ask", "ask http://x {\n\tmax many\n}", `ask: max: "many" is not a number of answers; write 1 or more, at Testfile:2`},
		"an option with a block":     {"ask", "ask http://x {\n\tmax 1 {\n\t\tb c\n\t\td\n\t}\n\tttl 0s\n}", "ask: max: it has no block; remove the braces and what is between them, at Testfile:3\nask: ttl: 0s is too short; more than 0, at Testfile:6"},
		"all problems at once":       {"ask", "ask x y {\n\tmaximum 1\n\tttl 5\n}", "ask: one argument is expected, the URL to ask, such as http://localhost:9000/cors; remove \"y\", at Testfile:1\nask: unknown option \"maximum\"; its options: max, timeout, ttl, at Testfile:2\nask: ttl: \"5\" has no unit; did you mean \"5s\"?, at Testfile:3"},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := caddy.GetModule("http.cors.origins." + test.source)
			if err != nil {
				t.Fatal(err)
			}
			tokens, err := caddyfile.Tokenize([]byte(test.text), "Testfile")
			if err != nil {
				t.Fatal(err)
			}
			module := info.New()
			err = module.(caddyfile.Unmarshaler).UnmarshalCaddyfile(caddyfile.NewDispenser(tokens))
			if err != nil {
				if err.Error() != test.want {
					t.Errorf("got:\n%v\nwant:\n%s", err, test.want)
				}
				return
			}
			got, err := json.Marshal(module)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

// A thousand reloads leave nothing behind.
func TestCleanup(t *testing.T) {
	dir := t.TempDir()
	ctx := newContext(t, dir)
	path := filepath.Join(dir, "origins")
	write(t, path, originA+"\n")
	var hang http.HandlerFunc = func(_ http.ResponseWriter, r *http.Request) {
		if r.FormValue("origin") == originB {
			<-r.Context().Done()
		}
	}
	for name, config := range map[string]string{
		"file":    `{"path": "` + filepath.ToSlash(path) + `", "interval": "100ms"}`,
		"storage": `{"key": "origins", "interval": "100ms"}`,
		"ask":     `{"url": "%s", "timeout": "1h"}`,
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			server := httptest.NewServer(hang)
			for range 1000 {
				source, unload, err := load(ctx, name, strings.Replace(config, "%s", server.URL, 1))
				if err != nil {
					t.Fatal(err)
				}
				if !source.AllowsOrigin(t.Context(), originA) {
					t.Error("denied")
				}
				if name == "ask" {
					// One question has no answer yet when the configuration goes.
					nobodyWaits, cancel := context.WithCancel(t.Context())
					cancel()
					source.AllowsOrigin(nobodyWaits, originB)
				}
				unload()
			}
			server.Close()
			deadline := time.Now().Add(30 * time.Second)
			for runtime.NumGoroutine() > before {
				if time.Now().After(deadline) {
					stacks := make([]byte, 1<<20)
					t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	if n, used := endpointsInUse(); used {
		t.Errorf("%d endpoints are still in use", n)
	}
}

// Cleanup alone stops it, while the context lives on.
func TestCleanupAlone(t *testing.T) {
	dir := t.TempDir()
	ctx := newContext(t, dir)
	path := filepath.Join(dir, "origins")
	write(t, path, originA+"\n")
	before := runtime.NumGoroutine()
	for _, source := range []interface {
		caddy.Provisioner
		caddy.CleanerUpper
	}{&File{Path: path}, &Storage{Key: "origins"}} {
		if err := source.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		if err := source.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func endpointsInUse() (n int, used bool) {
	endpoints.Range(func(any, any) bool { n++; return true })
	return n, n > 0
}
