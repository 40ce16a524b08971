package origins_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/certmagic"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
	_ "github.com/caddy-cors/caddy-cors/origins"
)

const (
	originA, originB = "https://a.test", "https://b.test"

	// soon is what the tests wait for at most. What they wait for takes an interval, which is 100ms here, but the
	// machine may be busy.
	soon = 30 * time.Second
)

// TestMain has the test's own binary, which Caddy is linked into, be the caddy command where a test starts it as that.
func TestMain(m *testing.M) {
	if os.Getenv(beCaddy) != "" {
		caddycmd.Main()
		return
	}
	os.Exit(m.Run())
}

const beCaddy = "ORIGINS_TEST_BE_CADDY"

// allows asks a server whether it allows the origin.
func allows(t testing.TB, url, origin string) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", origin)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	switch allowed := response.Header.Get("Access-Control-Allow-Origin"); allowed {
	case "", origin:
		return allowed != ""
	default:
		t.Fatalf("Access-Control-Allow-Origin: %s", allowed)
		return false
	}
}

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", soon, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rename puts a list where another one is, as the documentation recommends it.
func rename(t testing.TB, path, list string) {
	t.Helper()
	must(t, os.WriteFile(path+".next", []byte(list), 0o600))
	insist(t, func() error { return os.Rename(path+".next", path) })
}

// insist does what fails on Windows while a server reads the file.
func insist(t testing.TB, do func() error) {
	t.Helper()
	if runtime.GOOS != "windows" {
		must(t, do())
		return
	}
	eventually(t, "the file is not in use", func() bool { return do() == nil })
}

func TestFileInCaddy(t *testing.T) {
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "origins"))
	rename(t, path, originA+"\n")
	url := "http://127.0.0.1:" + livecaddy.FreePort(t)
	server := livecaddy.Start(t, fmt.Sprintf("%s {\n cors {\n allow_origins_from file %s {\n interval 100ms\n }\n }\n respond hello\n}\n", url, path))
	if !allows(t, url, originA) || allows(t, url, originB) {
		t.Error("it does not allow just what the file has")
	}

	rename(t, path, originB+"\n")
	eventually(t, "the new list is live", func() bool { return allows(t, url, originB) })
	if allows(t, url, originA) {
		t.Error("an origin of the old list is still allowed")
	}

	rename(t, path, originA+"\nhttps://Example.com\n")
	eventually(t, "the log says what is wrong", func() bool {
		return strings.Contains(server.Log(), path+`:2: \"https://Example.com\" is not written as browsers send it (the host in lower case); did you mean \"https://example.com\"?`)
	})
	insist(t, func() error { return os.Remove(path) })
	if !allows(t, url, originB) || allows(t, url, originA) {
		t.Error("the last good list does not stay")
	}

	rename(t, path, originA+"\n")
	eventually(t, "the good list is live", func() bool { return allows(t, url, originA) })
	eventually(t, "the log says that it is", func() bool { return strings.Contains(server.Log(), "the list of origins is good again") })
	if n := strings.Count(server.Log(), `"level":"error"`); n != 1 {
		t.Errorf("%d errors in the log:\n%s", n, server.Log())
	}
}

// The endpoint may be a site of the same server.
func TestAskInCaddy(t *testing.T) {
	url, endpoint := "http://127.0.0.1:"+livecaddy.FreePort(t), "http://127.0.0.1:"+livecaddy.FreePort(t)
	livecaddy.Start(t, fmt.Sprintf(`
%s {
	@customer query origin=%s
	respond @customer 200
	respond 403
}
%s {
	cors {
		allow_origins_from ask %s/customers?is=one {
			timeout 10s
			ttl 1m
			max 10
		}
	}
	respond hello
}
`, endpoint, originA, url, endpoint))
	for range 2 {
		if !allows(t, url, originA) || allows(t, url, originB) {
			t.Error("it does not allow just what the endpoint allows")
		}
	}
}

// A process is a Caddy of its own.
type process struct {
	url string

	mu  sync.Mutex
	log bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start runs a Caddy of its own, as the command has it, with one site whose origins come from this source. It ends with
// the test.
func start(t testing.TB, dir, storage, source string, command *exec.Cmd) *process {
	t.Helper()
	p := &process{url: "http://127.0.0.1:" + livecaddy.FreePort(t)}
	config := filepath.Join(dir, strings.TrimPrefix(p.url, "http://127.0.0.1:"))
	must(t, os.WriteFile(config, []byte(fmt.Sprintf(`{
	admin off
	persist_config off
	storage file_system %q
}
%s {
	cors {
		allow_origins_from %s {
			interval 100ms
		}
	}
	respond hello
}
`, filepath.ToSlash(storage), p.url, source)), 0o644))
	command.Args = append(command.Args, "run", "--adapter", "caddyfile", "--config", config)
	command.Dir = dir
	command.Env = append(os.Environ(), beCaddy+"=1", "HOME="+dir, "AppData="+dir, "XDG_CONFIG_HOME=", "XDG_DATA_HOME=")
	command.Stdout, command.Stderr = p, p
	must(t, command.Start())
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Kill() // which works everywhere
		<-ended
	})
	eventually(t, "it serves", func() bool {
		response, err := http.Get(p.url)
		if err != nil {
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("%v:\n%s", err, p.Log())
			default:
			}
			return false
		}
		response.Body.Close()
		return true
	})
	return p
}

// Two servers share a storage: what is stored once is live in both.
func TestStorageOfTwoServers(t *testing.T) {
	binary, err := os.Executable()
	must(t, err)
	dir := t.TempDir()
	storage := &certmagic.FileStorage{Path: filepath.Join(dir, "storage")}
	store := func(list string) {
		t.Helper()
		insist(t, func() error { return storage.Store(t.Context(), "cors/origins", []byte(list)) })
	}
	store(originA + "\n")
	var servers []*process
	for range 2 {
		servers = append(servers, start(t, dir, storage.Path, "storage cors/origins", exec.Command(binary)))
	}
	for _, server := range servers {
		if !allows(t, server.url, originA) || allows(t, server.url, originB) {
			t.Error("it does not allow just what the list has")
		}
	}
	for _, change := range []struct{ list, allowed, denied string }{
		{originB, originB, originA},
		{"# none but:\r\n" + originA, originA, originB},
		{originB + "\n", originB, originA},
	} {
		store(change.list)
		for i, server := range servers {
			eventually(t, fmt.Sprintf("%q is live in server %d", change.list, i), func() bool {
				return allows(t, server.url, change.allowed) && !allows(t, server.url, change.denied)
			})
		}
	}

	insist(t, func() error { return storage.Delete(t.Context(), "cors") })
	for i, server := range servers {
		eventually(t, fmt.Sprintf("server %d logs that the list is gone", i), func() bool {
			return strings.Contains(server.Log(), "the list of origins cannot be used; the last good one stays")
		})
		if !allows(t, server.url, originB) || allows(t, server.url, originA) {
			t.Error("the last good list does not stay")
		}
	}
	store(originA)
	for i, server := range servers {
		eventually(t, fmt.Sprintf("the list is live again in server %d", i), func() bool { return allows(t, server.url, originA) })
	}
}

// A source of somebody else, as the example has it.
func TestExampleSource(t *testing.T) {
	Example()
	url := livecaddy.Site(t, "cors {\nallow_origins_from partners example.com\n}\nrespond hello")
	for _, test := range []struct {
		origin, tenant string
		allowed        bool
	}{
		{"https://one.portal.example.com", "", true},
		{"http://one.portal.example.com", "", false},
		{"https://acme.app.example.com", "ACME", true},
		{"https://acme.app.example.com", "other", false},
		{"https://acme.app.example.com", "", false},
	} {
		response := livecaddy.Send(t, "GET", url, livecaddy.Fields{"Origin": test.origin, "X-Tenant": test.tenant})
		if allowed := response.Header.Get("Access-Control-Allow-Origin") == test.origin; allowed != test.allowed {
			t.Errorf("%s for %q: allowed %v", test.origin, test.tenant, allowed)
		}
		if vary := response.Vary(); !slices.Contains(vary, "X-Tenant") {
			t.Errorf("Vary: %q", vary)
		}
	}
}
