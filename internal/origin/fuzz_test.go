package origin

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
)

// The oracle: origins and patterns as slow and plain as can be. An origin is a pattern without a wildcard.

var shape = regexp.MustCompile(`\A([a-z][a-z0-9+.-]*)://(\*\.)?(\*|\[[0-9a-f:]+\]|[A-Za-z0-9._-]+)(?::(\*|[1-9][0-9]{0,4}))?\z`)

var labels = regexp.MustCompile(`\A[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?\z`)

var opaqueLabels = regexp.MustCompile(`\A[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\z`)

var number = regexp.MustCompile(`\A([0-9]+|0x[0-9a-f]*)\z`)

var defaultPorts = map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21"}

type parts struct {
	scheme string
	sub    string // "*." or nothing
	host   string // or "*"
	port   string // or "*", or nothing
}

func oraclePattern(text string) (parts, bool) {
	m := shape.FindStringSubmatch(text)
	if m == nil {
		return parts{}, false
	}
	p := parts{m[1], m[2], m[3], m[4]}
	port, _ := strconv.Atoi(p.port)
	name := strings.TrimSuffix(p.host, ".")
	last := name[strings.LastIndex(name, ".")+1:]
	switch {
	case p.scheme == "file" || len(p.scheme) > 128:
		return p, false
	case port > 65535 || p.port != "" && p.port == defaultPorts[p.scheme]:
		return p, false
	case p.host == "*":
		return p, p.sub == ""
	case strings.HasPrefix(p.host, "["):
		return p, p.sub == "" && oracleIPv6(p.host)
	case defaultPorts[p.scheme] == "":
		return p, len(p.sub+p.host) <= 253 && (p.sub == "" || opaqueLabels.MatchString(p.host)) // a "*" stands for a byte at least
	case number.MatchString(last):
		return p, p.sub == "" && oracleIPv4(p.host)
	}
	return p, labels.MatchString(p.host) && len(p.sub+name) <= 253
}

func oracleParse(text string) (parts, bool) {
	p, ok := oraclePattern(text)
	return p, ok && !strings.Contains(text, "*")
}

func oracleIPv4(host string) bool {
	numbers := strings.Split(host, ".")
	for _, number := range numbers {
		if n, err := strconv.Atoi(number); err != nil || n < 0 || n > 255 || strconv.Itoa(n) != number {
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

func (p parts) allow(o parts) bool {
	switch {
	case o.scheme != p.scheme || p.port != "*" && p.port != o.port:
		return false
	case p.sub != "":
		return strings.HasSuffix(o.host, "."+p.host)
	}
	return p.host == "*" || p.host == o.host
}

func oracleLoopback(p parts) bool {
	name := strings.TrimSuffix(p.host, ".")
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || p.host == "[::1]" ||
		strings.HasPrefix(p.host, "127.") && oracleIPv4(p.host)
}

// oracleOpen reports whether two names below the pattern's host can be two registrants' sites, or two below one of those.
func oracleOpen(p parts) bool {
	if p.sub == "" || defaultPorts[p.scheme] == "" || oracleLoopback(p) {
		return false
	}
	host := strings.TrimSuffix(p.host, ".")
	for rule := range strings.FieldsSeq(suffixesText) {
		if strings.HasSuffix(rule, "."+host) {
			return true
		}
	}
	one, errOne := publicsuffix.EffectiveTLDPlusOne("www.one." + host)
	two, errTwo := publicsuffix.EffectiveTLDPlusOne("www.two." + host)
	return errOne == nil && errTwo == nil && one != two
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"https://example.com", "http://localhost:3000", "http://[::1]:8080", "http://[::ffff:7f00:1]", "http://127.0.0.1", "null", "*",
		"https://Example.com:443/", "https://example.com.evil.com", "app://123", "http://0x7f.1", "http://[::ffff:127.0.0.1]", "http://1.2.3.4.5",
		"https://a..b", "http://[2001:db8:0:0:1::]", "https://\xff", "moz-extension://0-0", "http://a:0", "http://a:65536", "ftp://a:21", "https://a.", "http://127.0.0.1.", "app://.",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, got := Parse(text)
		p, want := oracleParse(text)
		switch {
		case got != want:
			t.Fatalf("Parse(%q): %v, the oracle says %v", text, got, want)
		case !got:
			if o != (Origin{}) {
				t.Fatalf("Parse(%q) leaves %+v behind", text, o)
			}
		case o.String() != text || o.Scheme() != p.scheme || o.Loopback() != oracleLoopback(p):
			t.Fatalf("Parse(%q): %q, %q, loopback %v", text, o, o.Scheme(), o.Loopback())
		}
	})
}

// FuzzSameHost holds the comparison of an origin with the value of a Host field against one of whole texts.
func FuzzSameHost(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, hostport string) {
		if !isASCII(hostport) {
			return // which no server takes for a Host
		}
		p, want := oracleParse(text)
		if want {
			authority := strings.TrimSuffix(strings.ToLower(hostport), ":") // RFC 3986, section 6.2.3: no port is the default one
			here := strings.TrimPrefix(text, p.scheme+"://")
			port, special := defaultPorts[p.scheme]
			want = authority == here || special && p.port == "" && authority == here+":"+port
		}
		o, _ := Parse(text)
		if got := o.SameHost(hostport); got != want {
			t.Fatalf("%q and the host %q: %v, the oracle says %v", text, hostport, got, want)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{
		"https://example.com", "https://*.example.com", "https://example.com:*", "https://*.example.com:8443", "https://*.example.com:*",
		"https://*", "https://*:*", "https://*:8443", "http://[::1]:*", "chrome-extension://*", "https://Example.com/", "https://*.*.com", "file://x", "*.com", "https://*.amazonaws.com", "https://*.a.", "app://*.a", "app://*..",
	} {
		for _, text := range []string{"https://example.com", "https://a.b.example.com:8443", "http://[::1]:1", "https://a.example.com.evil.com", "chrome-extension://abc"} {
			f.Add(pattern, text)
		}
	}
	suggestion := regexp.MustCompile(`did you mean "([^"]*)"\?\z`)
	f.Fuzz(func(t *testing.T, pattern, text string) {
		p, err := ParsePattern(pattern)
		want, ok := oraclePattern(pattern)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, the oracle says %v", pattern, err, ok)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), strconv.Quote(pattern)) {
				t.Fatalf("%q: the error does not say what it is about: %v", pattern, err)
			}
			if m := suggestion.FindStringSubmatch(err.Error()); m != nil && m[1] != Null {
				if _, ok := oraclePattern(m[1]); !ok {
					t.Fatalf("%q: the suggestion %q cannot be written", pattern, m[1])
				}
			}
			return
		}
		if p.Scheme() != want.scheme || p.AnyHost() != (want.host == "*") || (p.PublicSuffix() != "") != oracleOpen(want) {
			t.Fatalf("%q: scheme %q, any host %v, public suffix %q", pattern, p.Scheme(), p.AnyHost(), p.PublicSuffix())
		}
		if want.scheme == "http" && p.Loopback() != oracleLoopback(want) {
			t.Fatalf("%q: loopback %v", pattern, p.Loopback())
		}
		var s Set
		s.Add(p)
		for _, text := range append(want.nearby(), text) {
			o, ok := oracleParse(text)
			if got, want := has(&s, text), ok && want.allow(o); got != want {
				t.Fatalf("%q allows %q: %v, the oracle says %v", pattern, text, got, want)
			}
		}
	})
}

// FuzzSet asks a set of many patterns, one a line, for an origin and for all that are near one of the patterns, and holds
// it against a scan of the patterns.
func FuzzSet(f *testing.F) {
	f.Fuzz(func(t *testing.T, lines, text string) {
		var set, backwards Set
		var added []Pattern
		var patterns []parts
		asked := []string{text}
		for line := range strings.SplitSeq(lines, "\n") {
			if p, err := ParsePattern(line); err == nil && len(added) < 50 {
				set.Add(p)
				o, _ := oraclePattern(line)
				added, patterns, asked = append(added, p), append(patterns, o), append(asked, o.nearby()...)
			}
		}
		for _, p := range slices.Backward(added) {
			backwards.Add(p)
		}
		for _, text := range asked {
			o, want := oracleParse(text)
			want = want && slices.ContainsFunc(patterns, func(p parts) bool { return p.allow(o) })
			if got := has(&set, text); got != want {
				t.Fatalf("%q allow %q: %v, the oracle says %v", lines, text, got, want)
			}
			if has(&backwards, text) != want {
				t.Fatalf("%q allow %q or not by their order", lines, text)
			}
		}
	})
}

// nearby returns origins that the pattern allows, and some that it just does not.
func (p parts) nearby() []string {
	hosts, ports := []string{p.host, "x." + p.host, "x.y." + p.host, "x" + p.host}, []string{"", ":8443", ":1"}
	if p.host == "*" {
		hosts = []string{"any-host.test", "127.0.0.1", "[::1]"}
	}
	if p.port != "" && p.port != "*" {
		ports = append(ports, ":"+p.port, ":"+p.port+"0")
	}
	var texts []string
	for _, scheme := range []string{p.scheme, "http"} {
		for _, host := range hosts {
			for _, port := range ports {
				texts = append(texts, scheme+"://"+host+port)
			}
		}
	}
	return texts
}
