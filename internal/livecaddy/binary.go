package livecaddy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
)

// Binary returns the path of the caddy command with this module in it. To link it takes long, so it is done once, however
// many packages need it at the same time or later, until the code changes.
func Binary() (path string, err error) { return binary() }

var binary = sync.OnceValues(func() (path string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "caddy-cors", fmt.Sprintf("%x", strings.TrimSpace(string(root))))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock := &certmagic.FileStorage{Path: dir}
	if err := lock.Lock(context.Background(), "link"); err != nil {
		return "", err
	}
	defer lock.Unlock(context.Background(), "link")
	path = filepath.Join(dir, "caddy")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	build := exec.Command("go", "build", "-o", path, "./cmd/caddy") // which does nothing to what is up to date
	build.Dir = strings.TrimSpace(string(root))
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return path, nil
})
