package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/pflag"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// defaultMaxTime is how long all requests of a check may take together.
const defaultMaxTime = 30 * time.Second

// addCallFlags adds the flags that say what the page's call is, besides its URL.
func addCallFlags(f *pflag.FlagSet) {
	f.String("origin", "", "The origin of the page, such as https://app.example.com; or null")
	f.StringP("method", "X", "", "The method that the script uses, if it is not GET. A live check really makes the request")
	f.StringArrayP("header", "H", nil, "A header that the script sets, as 'Name: value'; can be repeated")
	f.String("data", "", "The body that the script sends, or @file; it implies POST, and text/plain unless -H says otherwise")
	f.Bool("credentials", false, "The script asks for credentials: 'include', so that cookies are sent")
	f.String("cookie", "", "The cookies that the browser has for the URL, as 'a=b; c=d'; it implies --credentials")
	f.StringArray("reads", nil, "A response header that the script reads; can be repeated")
	f.String("kind", string(fetch.KindFetch), "What calls: "+kindNames())
	f.Bool("no-cors", false, "The script asks for mode: 'no-cors', or the element has no crossorigin attribute")
	f.String("page", "", "The URL of the page, whose policies count; it gives the --origin")
	f.String("page-file", "", "The HTML of the --page, if it is not to be fetched")
	f.Bool("preflight-only", false, "Ask the preflight, and do not make the request")
	f.Duration("max-time", defaultMaxTime, "How long all requests may take together")
	f.Bool("yes", false, "Make a live request that could change something, without being asked")
	f.Bool("show-secrets", false, "Show the values of Authorization, Cookie and Set-Cookie")
}

func kindNames() string {
	var names []string
	for _, kind := range fetch.Kinds {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

// A page is where the page's policies come from.
type page struct {
	url  string
	file string // that has it; empty if it is to be fetched
}

// readCall takes over what the flags say of the call, but for its URL, its method and its header.
func (c *Check) readCall(flags caddycmd.Flags) error {
	r := &c.request
	r.Kind = fetch.Kind(flags.String("kind"))
	if !slices.Contains(fetch.Kinds, r.Kind) {
		return fmt.Errorf("--kind %q is not one; those are: %s", r.Kind, kindNames())
	}
	r.NoCORS = flags.Bool("no-cors")
	r.PreflightOnly = flags.Bool("preflight-only")
	r.Credentials = flags.Bool("credentials")
	if r.Cookie = flags.String("cookie"); r.Cookie != "" {
		if strings.ContainsFunc(r.Cookie, func(c rune) bool { return c < ' ' || c > '~' }) {
			return errors.New("--cookie has what no Cookie field can have: it is written as a browser sends it, 'a=b; c=d'")
		}
		r.Credentials = r.Credentials || r.Kind != fetch.KindFont
	}
	if flags.Changed("data") {
		body, err := readData(flags.String("data"))
		if err != nil {
			return err
		}
		r.Body = body
	}
	if r.Method == "" {
		if r.Method = r.Kind.Method(); r.Body != nil {
			r.Method = http.MethodPost
		}
	}
	c.page = page{flags.String("page"), flags.String("page-file")}
	if err := c.readPage(); err != nil {
		return err
	}
	if c.maxTime = flags.Duration("max-time"); c.maxTime <= 0 {
		return fmt.Errorf("--max-time %v is not a time; write one such as 30s", c.maxTime)
	}
	c.yes = flags.Bool("yes")
	c.showSecrets = flags.Bool("show-secrets")
	return nil
}

// readData reads --data.
func readData(text string) ([]byte, error) {
	name, ok := strings.CutPrefix(text, "@")
	if !ok {
		return []byte(text), nil
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	return body, nil
}

// readPage takes the origin from the --page, where nothing else gives it. The page's own policies are not known yet, which
// can make it null.
func (c *Check) readPage() error {
	if c.page.url == "" {
		if c.page.file != "" {
			return errors.New("--page-file has the HTML of a page, whose URL is missing: --page https://app.example.com/")
		}
		return nil
	}
	page, err := fetch.ParsePage(c.page.url, nil, strings.NewReader(""))
	if err != nil {
		return fmt.Errorf("--page: %w", err)
	}
	switch c.request.Origin {
	case "", page.Origin(), origin.Null:
		return nil
	}
	return fmt.Errorf("--origin %q is not the origin of the --page, which is %q; leave one of the two out", c.request.Origin, page.Origin())
}

// loadPage reads or fetches the page, and lets it say what it has to say about the call.
func (c *Check) loadPage(ctx context.Context, network http.RoundTripper) error {
	if c.page.url == "" || c.request.Page != nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.maxTime, errMaxTime)
	defer cancel()
	var err error
	if c.page.file != "" {
		var file *os.File
		if file, err = os.Open(c.page.file); err != nil {
			return fmt.Errorf("--page-file: %w", err)
		}
		defer file.Close()
		c.request.Page, err = fetch.ParsePage(c.page.url, nil, file)
	} else {
		client := fetch.Client{Transport: timed{network, requestTimeout}}
		c.request.Page, err = client.LoadPage(ctx, c.page.url)
	}
	if err != nil {
		return err
	}
	c.request.Origin = pageOrigin(c.request.Origin, c.request.Page)
	return nil
}

// loadPageIn does so where a configuration may serve the page. The error may be that Caddy refuses the configuration.
func (c *Check) loadPageIn(ctx context.Context, conf *configuration, as trial) error {
	if c.page.url == "" || c.page.file != "" || c.request.Page != nil {
		return c.loadPage(ctx, c.network)
	}
	config, err := conf.run(ctx, c, as)
	if err != nil {
		return err
	}
	defer config.Close()
	return c.loadPage(ctx, pageNetwork{config, c.network})
}

// A pageNetwork has pages come from a configuration, where it serves them.
type pageNetwork struct {
	config *localConfig
	live   http.RoundTripper
}

// RoundTrip asks the configuration for a page of a host that one of its sites names, or that it listens for on the page's
// own port. A site for every host, which is called as one behind a proxy, is more likely to be that of the API alone.
func (n pageNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	found, err := n.config.serverFor(r.URL)
	if err != nil {
		return n.live.RoundTrip(r)
	}
	if named, _ := servesHost(found.server, r.URL.Host); found.via != "" && len(named) == 0 {
		return n.live.RoundTrip(r)
	}
	return n.config.RoundTrip(r)
}

// pageOrigin is the origin that was given, or else the page's. One that a policy sandboxes has no other than null.
func pageOrigin(given string, p *fetch.Page) string {
	if given == "" || p.Origin() == origin.Null {
		return p.Origin()
	}
	return given
}

// describe says what calls, for the first line of the report.
func (c *Check) describe() string {
	how := map[fetch.Kind]string{
		fetch.KindXHR:         "by an XMLHttpRequest",
		fetch.KindXHRUpload:   "by an XMLHttpRequest with listeners on its upload",
		fetch.KindStream:      "with a stream as its body",
		fetch.KindBeacon:      "by a beacon",
		fetch.KindEventSource: "by an EventSource",
		fetch.KindFont:        "for a font",
		fetch.KindScript:      "for a script with crossorigin",
		fetch.KindModule:      "for a module",
		fetch.KindStyle:       "for a style sheet with crossorigin",
		fetch.KindImage:       "for an image with crossorigin",
		fetch.KindMedia:       "for audio or video with crossorigin",
		fetch.KindManifest:    "for its manifest",
		fetch.KindWebSocket:   "by a WebSocket",
	}[c.request.Kind]
	if c.request.NoCORS {
		if c.request.Kind == fetch.KindFetch {
			how = "in the mode no-cors"
		}
		how = strings.ReplaceAll(how, " with crossorigin", " without crossorigin")
	}
	if c.request.Credentials {
		how += ", with credentials"
	}
	if how != "" && !strings.HasPrefix(how, ",") {
		how = " " + how
	}
	return how
}

// refuseUnasked returns an error where a person at a terminal has to say that a request is to be made.
func (c *Check) refuseUnasked(terminal bool) error {
	safe := slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, strings.ToUpper(c.request.Method))
	if safe || c.yes || c.config != "" || c.request.PreflightOnly || !terminal {
		return nil
	}
	return fmt.Errorf("this really sends %s to %s, which could change something there: add --preflight-only to ask whether a browser may send it, or --yes to send it", c.request.Method, c.request.URL)
}
