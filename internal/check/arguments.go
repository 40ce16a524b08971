package check

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// Parse reads the arguments. The error is a sentence that says what to write instead.
func Parse(flags caddycmd.Flags, args []string) (*Check, error) {
	switch {
	case len(args) == 0:
		return nil, errors.New("which URL does the script call? Write it after the command: caddy cors check https://api.example.com/ --origin https://app.example.com; or write -, and paste what the browser gave you")
	case len(args) > 1:
		return nil, fmt.Errorf("one URL is checked at a time, and there are %d arguments: %q", len(args), args)
	}
	c := &Check{
		request:  fetch.Request{URL: args[0], Origin: flags.String("origin"), Method: flags.String("method")},
		config:   flags.String("config"),
		adapter:  flags.String("adapter"),
		servedBy: flags.String("served-by"),
	}
	if err := c.readCall(flags); err != nil {
		return nil, err
	}
	if err := checkURL(c.request.URL, c.request.Kind); err != nil {
		return nil, err
	}
	if c.page.url == "" || c.request.Origin != "" {
		if err := checkOrigin(c.request.Origin); err != nil {
			return nil, err
		}
	}
	headers, _ := flags.GetStringArray("header") // which exists
	for _, text := range headers {
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("the header %q is not a name, a colon and a value, such as 'Content-Type: application/json'", text)
		}
		c.request.Header = append(c.request.Header, fetch.Field{Name: name, Value: fetchspec.NormalizeValue(value)})
	}
	if err := c.request.Validate(); err != nil {
		return nil, err
	}
	reads, _ := flags.GetStringArray("reads")
	for _, name := range reads {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("--reads %q is not the name of a header", name)
		}
		c.reads = append(c.reads, name)
	}
	if c.adapter != "" && c.config == "" {
		return nil, errors.New("--adapter says how to read the --config, which is missing")
	}
	for _, name := range []string{"served-by", "diff", "write"} {
		if flags.Changed(name) && c.config == "" {
			return nil, fmt.Errorf("--%s is about the --config, which is missing", name)
		}
	}
	resolve := make(map[string]string)
	resolves, _ := flags.GetStringArray("resolve")
	for _, text := range resolves {
		hostport, target, err := parseResolve(text)
		if err != nil {
			return nil, err
		}
		resolve[hostport] = target
	}
	c.network = newNetwork(resolve, flags.Bool("insecure"))
	return c, nil
}

// checkURL reports a URL without a scheme, or with one that CORS is not about.
func checkURL(text string, kind fetch.Kind) error {
	scheme, _, ok := strings.Cut(text, "://")
	scheme = strings.ToLower(scheme)
	switch {
	case !ok:
		return fmt.Errorf("the URL %q has no scheme; did you mean %q?", text, cmp.Or(pasted.WithScheme(text), "https://"+text))
	case scheme == "http" || scheme == "https":
		return nil
	case scheme != "ws" && scheme != "wss":
		return fmt.Errorf("the URL %q is neither an http:// nor an https:// one, and CORS is about those", text)
	case kind != fetch.KindWebSocket:
		return fmt.Errorf("the URL %q is that of a WebSocket: add --kind websocket", text)
	}
	return nil
}

func checkOrigin(text string) error {
	if text == "" {
		return errors.New("--origin is missing: the origin of the page that calls, such as --origin https://app.example.com, or its --page")
	}
	if _, ok := origin.Parse(text); ok || text == origin.Null {
		return nil
	}
	if text == "*" {
		return errors.New("--origin is the origin of one page, such as https://app.example.com, and not *")
	}
	if _, err := origin.ParsePattern(text); err != nil {
		return fmt.Errorf("--origin: %w", err)
	}
	return fmt.Errorf("--origin: %q stands for many origins; write that of one page", text)
}

// parseResolve reads a --resolve, which is host:port:addr as curl has it. The host and the address may be IPv6 ones in
// brackets.
func parseResolve(text string) (hostport, target string, err error) {
	bad := fmt.Errorf("--resolve %q is not host:port:address, such as api.example.com:443:127.0.0.1", text)
	host, rest, ok := strings.Cut(text, ":")
	if strings.HasPrefix(text, "[") {
		host, rest, ok = strings.Cut(text[1:], "]:")
	}
	port, address, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || host == "" {
		return "", "", bad
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", bad
	}
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		return "", "", bad
	}
	return net.JoinHostPort(strings.ToLower(host), port), net.JoinHostPort(ip.String(), port), nil
}
