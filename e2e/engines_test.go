//go:build linux

package e2e_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// An engine is one of the browser engines there are, in a browser of Debian's.
type engine struct {
	name     string
	programs []program
	launch   func(t testing.TB, b *browser, n network, url string)

	// inspected engines let developer tools connect to them.
	inspected bool
}

// A program is an executable, by its name or by a pattern of its path, and the Debian package that has it.
type program struct{ executable, debian string }

var engines = []engine{
	{name: "Chromium", programs: []program{{"chromium", "chromium"}}, launch: launchChromium},
	{name: "Firefox", programs: []program{{"firefox-esr", "firefox-esr"}}, launch: launchFirefox},
	{name: "WebKitGTK", programs: []program{
		{"/usr/lib/*/webkit2gtk-4.1/MiniBrowser", "webkit2gtk-driver"},
		{"Xvfb", "xvfb"},
	}, launch: launchWebKit},
}

// A browser is a running one.
type browser struct {
	*process
	executables []string // as the engine's programs
	home        string
	display     *process // the X server of its own, if it needs one
	inspected   bool     // as the engine
	inspector   string   // the address that WebKit is inspected at
}

// open starts a new browser, with nothing in its profile, that shows a page.
func (e engine) open(t testing.TB, n network, url string) *browser {
	t.Helper()
	b := &browser{executables: e.find(t), inspected: e.inspected}
	// Not t.TempDir, whose names grow with the test's: the path of a socket must be short.
	home, err := os.MkdirTemp("", "browser")
	if err != nil {
		t.Fatal(err)
	}
	b.home = home
	defer func() {
		if b.process == nil { // the launch has failed, and the test with it
			b.end(t)
		}
	}()
	e.launch(t, b, n, url)
	return b
}

// end ends the browser with all that belongs to it.
func (b *browser) end(t testing.TB) {
	t.Helper()
	if b.process != nil {
		b.stop(t, syscall.SIGKILL)
	}
	if b.display != nil {
		b.display.stop(t, syscall.SIGTERM) // it has a lock and a socket to remove
	}
	if err := os.RemoveAll(b.home); err != nil {
		t.Error(err)
	}
}

// find returns the paths of the engine's programs.
func (e engine) find(t testing.TB) []string {
	t.Helper()
	return find(t, e.name, e.programs...)
}

// find returns the paths of programs. Without them, the test is skipped, or fails where they are required.
func find(t testing.TB, name string, programs ...program) []string {
	t.Helper()
	var paths []string
	for _, p := range programs {
		path, err := exec.LookPath(p.executable)
		if found, _ := filepath.Glob(p.executable); len(found) > 0 {
			path, err = found[0], nil
		}
		if err == nil {
			paths = append(paths, path)
			continue
		}
		if os.Getenv("CADDY_CORS_BROWSERS") == "required" {
			t.Fatalf("%s needs %s, of the Debian package %s", name, p.executable, p.debian)
		}
		t.Skipf("%s needs %s, of the Debian package %s", name, p.executable, p.debian)
	}
	return paths
}

// launchChromium maps names by Chromium's own resolver. Through a proxy, it would keep 32 connections at most, and close
// those with live requests on them.
func launchChromium(t testing.TB, b *browser, n network, url string) {
	t.Helper()
	var rules []string
	for name, address := range n.addresses {
		rules = append(rules, "MAP "+name+" "+address)
	}
	if b.inspected {
		rules = append(rules, "EXCLUDE 127.0.0.1") // where its developer tools find it
	}
	rules = append(rules, "MAP * ~NOTFOUND") // the first rule that matches decides

	// The certificate of the authority, not of a site, so that whatever it has issued is fine, and nothing else is.
	var pins []string
	for _, chain := range n.certificates(t) {
		pin := sha256.Sum256(chain[len(chain)-1].RawSubjectPublicKeyInfo)
		pins = append(pins, base64.StdEncoding.EncodeToString(pin[:]))
	}
	slices.Sort(pins)

	quic := "--disable-quic"
	if n.quic {
		quic = "--origin-to-force-quic-on=" + strings.Join(slices.Collect(maps.Keys(n.certificates(t))), ",")
	}
	arguments := []string{
		"--headless",
		quic,
		"--user-data-dir=" + b.home,
		"--host-resolver-rules=" + strings.Join(rules, ", "),
		"--ignore-certificate-errors-spki-list=" + strings.Join(slices.Compact(pins), ","),
		"--no-sandbox", // containers have none, and root may not
		"--no-first-run",
		"--disable-gpu",
		"--disable-dev-shm-usage",
		"--disable-background-networking",
		"--disable-breakpad",
		"--disable-component-update",
		"--disable-extensions",
		"--disable-sync",
		"--disable-features=HttpsUpgrades,HttpsFirstBalancedMode,HttpsFirstBalancedModeAutoEnable,OptimizationHints,MediaRouter,Translate",
		"--enable-logging=stderr", // says why a call is blocked
	}
	if b.inspected {
		arguments = append(arguments, "--remote-debugging-port=0", "--remote-allow-origins=http://localhost,devtools://devtools")
	}
	b.process = start(t, exec.Command(b.executables[0], append(arguments, url)...), b.home)
}

// firefoxPreferences send everything through the proxy, and keep Firefox from greeting, updating and reporting.
const firefoxPreferences = `
user_pref("network.proxy.type", 1);
user_pref("network.proxy.socks", %q);
user_pref("network.proxy.socks_port", %s);
user_pref("network.proxy.socks_version", 5);
user_pref("network.proxy.socks_remote_dns", true);
user_pref("network.proxy.allow_hijacking_localhost", true);
user_pref("network.proxy.no_proxies_on", "");
user_pref("app.normandy.enabled", false);
user_pref("app.update.auto", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.security.https_first", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
`

// firefoxInspection has Firefox say which port it is inspected at, and be otherwise as it is for everybody.
const firefoxInspection = `
user_pref("browser.dom.window.dump.enabled", true);
user_pref("marionette.port", 0);
user_pref("remote.prefs.recommended", false);
`

func launchFirefox(t testing.TB, b *browser, n network, url string) {
	t.Helper()
	host, port, err := net.SplitHostPort(serveSOCKS(t, n))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(b.home, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	preferences := fmt.Sprintf(firefoxPreferences, host, port)
	arguments := []string{"--headless", "--no-remote", "--profile", b.home}
	if b.inspected {
		preferences += firefoxInspection
		arguments = append(arguments, "--marionette", "--remote-allow-system-access")
	}
	write("user.js", preferences)

	// The exceptions that a person can make, each for one certificate of one server.
	var exceptions strings.Builder
	for name, chain := range n.certificates(t) {
		fmt.Fprintf(&exceptions, "%s:\tOID.2.16.840.1.101.3.4.2.1\t%s\t\n", name, fingerprint(chain[0]))
	}
	write("cert_override.txt", exceptions.String())

	b.process = start(t, exec.Command(b.executables[0], append(arguments, url)...), b.home, "MOZ_CRASHREPORTER_DISABLE=1")
}

// fingerprint is a certificate's SHA-256 hash, written AB:CD:...
func fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// launchWebKit starts the browser on an X server of its own, because it has no headless mode.
func launchWebKit(t testing.TB, b *browser, n network, url string) {
	t.Helper()
	n.certificates(t) // it cannot be told which certificates are fine, so see that all are
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	xvfb := exec.Command(b.executables[1], "-displayfd", "3", "-screen", "0", "800x600x24", "-nolisten", "tcp")
	xvfb.ExtraFiles = []*os.File{write}
	b.display = start(t, xvfb, b.home)
	write.Close()
	display, err := bufio.NewReader(read).ReadString('\n') // when it is ready
	if err != nil {
		t.Fatalf("Xvfb has no display: %v", err)
	}

	arguments := []string{"--private", "--ignore-tls-errors"}
	if !n.direct {
		arguments = append(arguments, "--proxy=socks5://"+serveSOCKS(t, n))
	}
	environment := []string{"DISPLAY=:" + strings.TrimSpace(display), "NO_AT_BRIDGE=1"}
	if b.inspected {
		b.inspector = "127.0.0.1:" + livecaddy.FreePort(t)
		environment = append(environment, "WEBKIT_INSPECTOR_HTTP_SERVER="+b.inspector)
	}
	b.process = start(t, exec.Command(b.executables[0], append(arguments, url)...), b.home, environment...)
}
