package check_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
	_ "github.com/caddy-cors/caddy-cors/internal/livecaddy" // for Caddy's own modules
)

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
