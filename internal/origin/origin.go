// Package origin says what a web origin is: how a browser serializes one, which patterns of origins a person may write,
// and which of a set of them a given origin is in. It knows nothing of HTTP.
package origin

import (
	"net/netip"
	"strconv"
	"strings"
)

// Null is the serialization of an opaque origin: what browsers send for sandboxed frames, for file: pages, and after a
// redirect from one origin to another.
const Null = "null"

const (
	maxHostLength  = 253 // RFC 1035, section 2.3.4, less the root label and the length octets
	maxLabelLength = 63

	// maxSchemeLength is longer than any scheme there is. No standard has a limit, but what is long is not an origin: with
	// it, an origin is bounded.
	maxSchemeLength = 128
)

// An Origin is a tuple origin (HTML Standard, section 7.1.1), taken from the exact text that a browser sends.
type Origin struct {
	text   string
	scheme string
	host   string // with the brackets of an IPv6 address
	port   string // with its colon; empty for the scheme's default port
}

// Parse parses the value of an Origin field. It accepts nothing but the serialization of a tuple origin: a scheme, "://",
// a host of lower-case labels, with or without a dot at the end, or an IP address as the URL Standard serializes it, and a
// port unless it is the scheme's default one. Hosts of schemes that are not special to the URL Standard are opaque: letters
// of any case, digits, ".", "_" and "-". For [Null] and all else it reports false. It does not allocate.
func Parse(text string) (Origin, bool) {
	scheme, rest, ok := cutScheme(text)
	if !ok {
		return Origin{}, false
	}
	host, port, ok := splitPort(rest)
	if !ok || !validPort(scheme, port) {
		return Origin{}, false
	}
	switch {
	case strings.HasPrefix(host, "["):
		ok = validIPv6(host)
	case isSpecial(scheme):
		ok = validHost(host)
	default:
		ok = validOpaqueHost(host)
	}
	if !ok {
		return Origin{}, false
	}
	return Origin{text: text, scheme: scheme, host: host, port: port}, true
}

// String returns the serialization of the origin, the text it was parsed from.
func (o Origin) String() string { return o.text }

// Scheme returns the scheme, without "://".
func (o Origin) Scheme() string { return o.scheme }

// Loopback reports whether the host is this machine by its name or address alone: localhost, any name below it, with or
// without a dot at the end, 127.0.0.0/8 or [::1].
func (o Origin) Loopback() bool { return isLoopback(o.host) }

// SameHost reports whether the origin names the host and port of hostport, the value of a Host field. The scheme is not
// compared: behind a TLS-terminating proxy a server does not know its own.
func (o Origin) SameHost(hostport string) bool {
	host, port, ok := splitPort(hostport)
	if !ok || o.host == "" || len(host) != len(o.host) || !strings.EqualFold(host, o.host) {
		return false
	}
	return port == o.port || o.port == "" && (port == ":" || port == ":"+defaultPort(o.scheme))
}

// cutScheme takes the scheme and the "://" off an origin's text. Most have the one that is tried first.
func cutScheme(text string) (scheme, rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "https://"); ok {
		return "https", rest, true
	}
	scheme, rest, ok = strings.Cut(text, "://")
	return scheme, rest, ok && validScheme(scheme) && scheme != "file"
}

// splitPort splits "host:port" into "host" and ":port", which is empty when there is none.
func splitPort(hostport string) (host, port string, ok bool) {
	if strings.HasPrefix(hostport, "[") {
		end := strings.IndexByte(hostport, ']')
		if end < 0 {
			return "", "", false
		}
		host, port = hostport[:end+1], hostport[end+1:]
		return host, port, port == "" || port[0] == ':'
	}
	if colon := strings.IndexByte(hostport, ':'); colon >= 0 {
		return hostport[:colon], hostport[colon:], true
	}
	return hostport, "", true
}

// validScheme follows the URL Standard's scheme, in lower case.
func validScheme(s string) bool {
	if s == "" || len(s) > maxSchemeLength || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// isSpecial reports whether hosts of the scheme are domains or IP addresses to the URL Standard, not opaque.
func isSpecial(scheme string) bool { return defaultPort(scheme) != "" }

func defaultPort(scheme string) string {
	switch scheme {
	case "https", "wss":
		return "443"
	case "http", "ws":
		return "80"
	case "ftp":
		return "21"
	}
	return ""
}

// validPort takes the port with its colon.
func validPort(scheme, port string) bool {
	if port == "" {
		return true
	}
	digits := port[1:]
	if digits == "" || len(digits) > 5 || digits[0] == '0' || digits == defaultPort(scheme) {
		return false
	}
	n := 0
	for i := 0; i < len(digits); i++ {
		if !isDigit(digits[i]) {
			return false
		}
		n = n*10 + int(digits[i]-'0')
	}
	return n <= 65535
}

// validHost takes the host of a special scheme: a domain, which may end with a dot, or an IPv4 address, which may not.
func validHost(host string) bool {
	name := strings.TrimSuffix(host, ".")
	if len(name) > maxHostLength {
		return false
	}
	label := 0 // where it starts
	for i := 0; i < len(name); i++ {
		if isLabel[name[i]] {
			continue
		}
		if name[i] != '.' || i == label || i-label > maxLabelLength {
			return false
		}
		label = i + 1
	}
	if len(name) == label || len(name)-label > maxLabelLength {
		return false
	}
	if isNumber(name[label:]) {
		return validIPv4(host)
	}
	return true
}

// validOpaqueHost takes the host of any other scheme. The URL Standard leaves it as it is written, so that it has no
// labels and keeps its case: Electron's app://. is one, and so are the upper-case identifiers of Safari's extensions.
func validOpaqueHost(host string) bool {
	if host == "" || len(host) > maxHostLength {
		return false
	}
	for i := 0; i < len(host); i++ {
		if c := host[i]; !isLabel[c] && c != '.' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// isLabel tells which bytes a label of a host consists of.
var isLabel = func() (table [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyz0123456789-_" {
		table[c] = true
	}
	return table
}()

// endsInNumber is the URL Standard's ends-in-a-number checker: such a host is an IPv4 address or nothing.
func endsInNumber(host string) bool {
	name := strings.TrimSuffix(host, ".")
	return isNumber(name[strings.LastIndexByte(name, '.')+1:])
}

// isNumber is its part for the last label.
func isNumber(last string) bool {
	if last != "" && !isDigit(last[0]) {
		return false
	}
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func validIPv4(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is4()
}

func validIPv6(bracketed string) bool {
	if len(bracketed) > len("[1111:1111:1111:1111:1111:1111:1111:1111]") {
		return false
	}
	addr, err := netip.ParseAddr(strings.Trim(bracketed, "[]"))
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return false
	}
	var buf [48]byte
	return string(appendIPv6(buf[:0], addr)) == bracketed
}

// appendIPv6 is the URL Standard's IPv6 serializer. netip's differs from it where the address holds an IPv4 one, which
// the Standard does not spell in dots.
func appendIPv6(b []byte, addr netip.Addr) []byte {
	b = append(b, '[')
	if addr.Is4In6() {
		a := addr.As16()
		b = append(b, "::ffff:"...)
		b = strconv.AppendUint(b, uint64(a[12])<<8|uint64(a[13]), 16)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(a[14])<<8|uint64(a[15]), 16)
	} else {
		b = addr.AppendTo(b)
	}
	return append(b, ']')
}

func isLoopback(host string) bool {
	name := strings.TrimSuffix(host, ".") // as in Secure Contexts, section 3.1
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || host == "[::1]" ||
		strings.HasPrefix(host, "127.") && validIPv4(host)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
