package origin

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The oracle: origins and patterns as slow and plain as can be.

var shape = regexp.MustCompile(`\A([a-z][a-z0-9+.-]*)://(\[[0-9a-f:]+\]|[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*)(?::([1-9][0-9]{0,4}))?\z`)

type parts struct{ scheme, host, port string }

func oracleParse(text string) (parts, bool) {
	m := shape.FindStringSubmatch(text)
	if m == nil {
		return parts{}, false
	}
	p := parts{m[1], m[2], m[3]}
	defaults := map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}
	if port, _ := strconv.Atoi(p.port); port > 65535 || p.port != "" && p.port == defaults[p.scheme] || p.scheme == "file" {
		return parts{}, false
	}
	if strings.HasPrefix(p.host, "[") {
		return p, oracleIPv6(p.host)
	}
	last := p.host[strings.LastIndex(p.host, ".")+1:]
	if defaults[p.scheme] != "" && regexp.MustCompile(`\A([0-9]+|0x[0-9a-f]*)\z`).MatchString(last) {
		return p, oracleIPv4(p.host)
	}
	return p, len(p.host) <= 253
}

func oracleIPv4(host string) bool {
	numbers := strings.Split(host, ".")
	for _, number := range numbers {
		if n, err := strconv.Atoi(number); err != nil || n > 255 || strconv.Itoa(n) != number {
			return false
		}
	}
	return len(numbers) == 4
}

// oracleIPv6 serializes the address by the letter of the URL Standard, and compares.
func oracleIPv6(bracketed string) bool {
	addr, err := netip.ParseAddr(bracketed[1 : len(bracketed)-1])
	if err != nil {
		return false
	}
	bytes := addr.As16()
	var pieces [8]uint16
	for i := range pieces {
		pieces[i] = uint16(bytes[2*i])<<8 | uint16(bytes[2*i+1])
	}
	compress, longest := -1, 1
	for i := range pieces {
		run := 0
		for i+run < 8 && pieces[i+run] == 0 {
			run++
		}
		if run > longest {
			compress, longest = i, run
		}
	}
	output := ""
	for i := 0; i < 8; i++ {
		if i == compress {
			output += "::"
			i += longest - 1
			continue
		}
		if output != "" && !strings.HasSuffix(output, ":") {
			output += ":"
		}
		output += fmt.Sprintf("%x", pieces[i])
	}
	return "["+output+"]" == bracketed
}

func oracleMatch(pattern, text string) bool {
	if pattern == text {
		_, ok := oracleParse(text)
		return ok
	}
	o, ok := oracleParse(text)
	scheme, rest, found := strings.Cut(pattern, "://")
	if !ok || !found || o.scheme != scheme {
		return false
	}
	host, port := rest, ""
	if !strings.HasSuffix(rest, "]") {
		if colon := strings.LastIndex(rest, ":"); colon >= 0 {
			host, port = rest[:colon], rest[colon+1:]
		}
	}
	if port != "*" && port != o.port {
		return false
	}
	if base, ok := strings.CutPrefix(host, "*."); ok {
		return strings.HasSuffix(o.host, "."+base)
	}
	return host == "*" || host == o.host
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"https://example.com", "http://localhost:3000", "http://[::1]:8080", "http://[::ffff:7f00:1]", "http://127.0.0.1", "null", "*",
		"https://Example.com:443/", "https://example.com.evil.com", "app://123", "http://0x7f.1", "http://[::ffff:127.0.0.1]", "http://1.2.3.4.5",
		"https://a..b", "http://[2001:db8:0:0:1::]", "https://\xff", "moz-extension://0-0", "http://a:0", "http://a:65536", "ftp://a:21",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, got := Parse(text)
		if _, want := oracleParse(text); got != want {
			t.Fatalf("Parse(%q): %v, the oracle says %v", text, got, want)
		}
		if got && o.String() != text {
			t.Fatalf("Parse(%q).String() = %q", text, o)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{
		"https://example.com", "https://*.example.com", "https://example.com:*", "https://*.example.com:8443", "https://*.example.com:*",
		"https://*", "https://*:*", "https://*:8443", "http://[::1]:*", "chrome-extension://*", "https://Example.com/", "https://*.*.com", "file://x", "*.com",
	} {
		for _, text := range []string{"https://example.com", "https://a.b.example.com:8443", "http://[::1]:1", "https://a.example.com.evil.com", "chrome-extension://abc"} {
			f.Add(pattern, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := ParsePattern(pattern)
		if err != nil {
			if suggestion := regexp.MustCompile(`did you mean "([^"]*)"\?\z`).FindStringSubmatch(err.Error()); suggestion != nil && suggestion[1] != Null {
				if _, err := ParsePattern(suggestion[1]); err != nil {
					t.Fatalf("%q: the suggestion %q is refused too: %v", pattern, suggestion[1], err)
				}
			}
			if _, ok := oracleParse(pattern); ok {
				t.Fatalf("%q is refused: %v", pattern, err)
			}
			return
		}
		p.PublicSuffix()
		// Others in the same set must make no difference, unless they allow the origin themselves.
		var alone, among Set
		alone.Add(p)
		among.Add(p)
		others := []string{"https://one.test", "https://*.two.test", "http://three.test:*", "https://*.a.b.c.four.test:*"}
		byOthers := false
		for _, other := range others {
			o, err := ParsePattern(other)
			if err != nil {
				t.Fatal(err)
			}
			among.Add(o)
			byOthers = byOthers || oracleMatch(other, text)
		}
		want := oracleMatch(pattern, text)
		if got := has(&alone, text); got != want {
			t.Fatalf("%q allows %q: %v, the oracle says %v", pattern, text, got, want)
		}
		if got := has(&among, text); got != (want || byOthers) {
			t.Fatalf("%q among others allows %q: %v, the oracle says %v", pattern, text, got, want || byOthers)
		}
	})
}
