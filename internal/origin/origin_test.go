package origin

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	host253 := strings.Repeat(label63+".", 3) + strings.Repeat("b", 253-3*64)
	tests := []struct {
		text  string
		valid bool
	}{
		{"https://example.com", true},
		{"http://example.com", true},
		{"https://example.com:8443", true},
		{"http://localhost:3000", true},
		{"http://localhost:65535", true},
		{"http://localhost:1", true},
		{"http://127.0.0.1:8080", true},
		{"http://[::1]:8080", true},
		{"https://[2001:db8::1]", true},
		{"https://[::ffff:7f00:1]", true},
		{"https://xn--bcher-kva.example", true},
		{"https://under_score.example", true},
		{"https://a-.-b.example", true},
		{"https://" + label63 + ".example", true},
		{"https://" + host253, true},
		{"https://example.com:80", true},
		{"http://example.com:443", true},
		{"chrome-extension://abcdefghijklmnopabcdefghijklmnop", true},
		{"moz-extension://0b5e7d7c-3b7a-4f0e-9d5c-000000000000", true},
		{"capacitor://localhost", true},
		{"app://obsidian.md", true},
		{"app://.", true}, // Electron
		{"app://-", true},
		{"ionic://localhost", true},
		{"tauri://localhost", true},
		{"http://tauri.localhost", true},
		{"ms-appx-web://0f1e2d3c4b5a", true},
		{"vscode-webview://1a2b3c4d5e6f7g8h9i0j1k2l3m4n5o6p7q8r9s0t1u2v3w4x5y6z", true},
		{"safari-web-extension://0F1E2D3C-4B5A-4697-8877-665544332211", true},
		{"https://example.com.", true}, // the URL Standard keeps one dot at the end
		{"https://example.com.:8443", true},
		{"https://" + host253 + ".", true},
		{"app://123", true}, // opaque hosts are no IPv4 addresses
		{"a+b-c.1://x", true},

		{"", false},
		{"null", false},
		{"*", false},
		{"example.com", false},
		{"https:example.com", false},
		{"https:/example.com", false},
		{"https://", false},
		{"://example.com", false},
		{"1https://example.com", false},
		{"ht_tp://example.com", false},
		{"HTTPS://example.com", false},
		{"https://Example.com", false},
		{"https://bücher.example", false},
		{"https://example.com/", false},
		{"https://example.com/path", false},
		{"https://example.com?q", false},
		{"https://example.com#f", false},
		{"https://user@example.com", false},
		{"https://example.com https://other.example", false},
		{"https://example.com,https://other.example", false},
		{" https://example.com", false},
		{"https://example.com ", false},
		{"https://example.com\x00", false},
		{"https://example.com..", false},
		{"https://.", false},
		{"http://127.0.0.1.", false},
		{"http://1.", false},
		{"https://.example.com", false},
		{"https://a..b", false},
		{"https://a" + label63 + ".example", false},
		{"https://b" + host253, false},
		{"https://*.example.com", false},
		{"https://example.com:", false},
		{"https://example.com:0", false},
		{"https://example.com:08443", false},
		{"https://example.com:443", false},
		{"http://example.com:80", false},
		{"https://example.com:65536", false},
		{"https://example.com:99999999999999999999", false},
		{"https://example.com:*", false},
		{"https://example.com:+80", false},
		{"https://example.com:8443:1", false},
		{"http://127.1", false},
		{"http://127.0.0.01", false},
		{"http://256.0.0.1", false},
		{"http://1.2.3.4.5", false},
		{"http://0x7f.1", false},
		{"http://example.0x1", false},
		{"http://example.1", false},
		{"http://[::1", false},
		{"http://::1", false},
		{"http://[]", false},
		{"http://[[::1]]", false},
		{"http://[::1]x", false},
		{"http://[::1]:80", false},
		{"http://[0:0:0:0:0:0:0:1]", false},
		{"http://[::ABCD]", false},
		{"http://[::ffff:127.0.0.1]", false},
		{"http://[fe80::1%eth0]", false},
		{"http://[127.0.0.1]", false},
		{"app://", false},
		{"app://a/b", false},
		{"app://" + host253 + "b", false},
		{"file://", false},
		{"file://host", false},
	}
	for _, test := range tests {
		o, ok := Parse(test.text)
		if ok != test.valid {
			t.Errorf("Parse(%q): valid is %v, want %v", test.text, ok, test.valid)
		}
		if ok && o.String() != test.text {
			t.Errorf("Parse(%q).String() = %q", test.text, o)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	for _, text := range []string{
		"https://a.b.c.example.com:8443", "http://127.0.0.1:3000", "http://[2001:db8::1]:3000", "http://[::ffff:7f00:1]",
		"https://" + strings.Repeat("a.", 30_000), strings.Repeat("x", 60_000), "http://[" + strings.Repeat(":", 60_000) + "]",
		"https://" + strings.Repeat("9", 60_000), "https://a:" + strings.Repeat("1", 60_000),
	} {
		if n := testing.AllocsPerRun(10, func() { Parse(text) }); n != 0 {
			t.Errorf("%.40q: %v allocations", text, n)
		}
	}
}

func TestLoopback(t *testing.T) {
	for text, want := range map[string]bool{
		"http://localhost":            true,
		"http://localhost:3000":       true,
		"http://app.localhost":        true,
		"http://127.0.0.1":            true,
		"http://127.255.0.1:1":        true,
		"http://[::1]:3000":           true,
		"http://localhost.example":    false,
		"http://notlocalhost":         false,
		"http://127.0.0.1.example":    false,
		"http://128.0.0.1":            false,
		"http://[::2]":                false,
		"http://example.com":          false,
		"capacitor://localhost":       true,
		"http://127.example.com:8080": false,
		"http://localhost.:3000":      true,
		"http://app.localhost.":       true,
	} {
		o, ok := Parse(text)
		if !ok || o.Loopback() != want {
			t.Errorf("%s: loopback is %v, want %v (valid: %v)", text, o.Loopback(), want, ok)
		}
	}
}

func TestSameHost(t *testing.T) {
	tests := []struct {
		origin, hostport string
		same             bool
	}{
		{"https://example.com", "example.com", true},
		{"https://example.com", "EXAMPLE.com", true},
		{"https://example.com", "example.com:443", true},
		{"http://example.com", "example.com:80", true},
		{"http://example.com:8080", "example.com:8080", true},
		{"http://[::1]:8080", "[::1]:8080", true},
		{"http://[::1]", "[::1]", true},
		{"https://example.com", "example.com:80", false},
		{"https://example.com:8443", "example.com", false},
		{"https://example.com", "example.com:8443", false},
		{"https://example.com", "api.example.com", false},
		{"https://example.com", "", false},
		{"https://example.com", ":443", false},
		{"http://[::1]", "[::1", false},
		{"http://[::1]", "[::1]80", false},
	}
	for _, test := range tests {
		o, _ := Parse(test.origin)
		if got := o.SameHost(test.hostport); got != test.same {
			t.Errorf("%s, Host: %s: same is %v", test.origin, test.hostport, got)
		}
	}
	if (Origin{}).SameHost("") {
		t.Error("no origin has the same host as no host")
	}
}
