//go:build linux

package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// reporter is added to the example's page. It posts the verdicts that the page shows, once the page says that it has
// them all.
const reporter = `<script>
  const root = document.documentElement
  function report() {
    if (root.dataset.done !== "true") return
    const verdicts = {}
    for (const row of document.querySelectorAll("tbody tr")) {
      verdicts[row.id] = [...row.querySelectorAll("[data-verdict]")].map(cell => cell.dataset.verdict).join()
    }
    fetch("/verdicts", {method: "POST", body: JSON.stringify({verdicts, summary: document.getElementById("summary").textContent})})
  }
  new MutationObserver(report).observe(root, {attributeFilter: ["data-done"]})
  report()
</script>`

// The page of Caddyfile.example shows what it says, in every engine. Its ports are replaced by free ones.
func TestExample(t *testing.T) {
	type report struct {
		Verdicts map[string]string
		Summary  string
	}
	reports := make(chan report, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var got report
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		reports <- got
	}))
	t.Cleanup(receiver.Close)

	root := t.TempDir()
	replacements := []string{"root example\n", "root " + root + "\n\treverse_proxy /verdicts " + receiver.Listener.Addr().String() + "\n"}
	n := network{addresses: make(map[string]string)}
	ports := make(map[string]string)
	for _, port := range []string{"8080", "8081", "8082", "8083"} {
		ports[port] = livecaddy.FreePort(t)
		replacements = append(replacements, "localhost:"+port, "localhost:"+ports[port])
		n.addresses["localhost:"+ports[port]] = "127.0.0.1:" + ports[port]
	}
	adapted := strings.NewReplacer(replacements...)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		return adapted.Replace(string(text))
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), []byte(read("example/index.html")+reporter), 0o600); err != nil {
		t.Fatal(err)
	}
	_, sites, found := strings.Cut(read("Caddyfile.example"), "\n}\n") // the global options, of which a test has its own
	if !found {
		t.Fatal("Caddyfile.example has no global options")
	}
	livecaddy.Start(t, sites)

	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			browser := engine.open(t, n, "http://localhost:"+ports["8080"]+"/")
			defer browser.end(t)
			select {
			case got := <-reports:
				for _, row := range []string{"allow-origin", "preflight", "credentials", "redirect", "request-header", "method"} {
					if got.Verdicts[row] != "blocked,allowed" {
						t.Errorf("%s: %q, want blocked without cors and allowed with it", row, got.Verdicts[row])
					}
				}
				if got.Verdicts["mixed-content"] != "explained,explained" || len(got.Verdicts) != 7 {
					t.Errorf("the verdicts are %v", got.Verdicts)
				}
				if want := "6 of 6 calls blocked without cors, 6 of 6 work with it. Mixed content is explained."; !strings.HasPrefix(got.Summary, want) {
					t.Errorf("the summary is %q", got.Summary)
				}
			case <-browser.ended:
				t.Fatal("the browser ended before the page did")
			case <-time.After(2 * time.Minute):
				t.Fatal("the page does not come to an end")
			}
		})
	}
}
