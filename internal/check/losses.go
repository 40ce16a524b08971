package check

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A Loss is a call that was allowed before an edit, and would not be after it.
type Loss struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Origin string `json:"origin"`          // of the page; empty for a request that is not a page's
	Cause  string `json:"cause,omitempty"` // the code of what would block it
	Status int    `json:"status,omitempty"`
}

// A probe is a call that worked before.
type probe struct {
	method, url, origin string
	status              int // of a request that is not a page's
}

const (
	maxProbedPaths   = 6
	maxProbedOrigins = 4
	probeTimeout     = 2 * time.Second
	probesTimeout    = 8 * time.Second // for all of one configuration
)

// anotherPage is the origin of a page that no configuration knows.
const anotherPage = "https://another-page.invalid"

// probed makes a call. The request of a method that is not safe is made of handlers alone that only decide.
func (f *fixer) probed(ctx context.Context, config *localConfig, p probe) (cause string, status int, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	config.exchanges = nil
	if p.origin == "" {
		r, err := http.NewRequestWithContext(ctx, p.method, p.url, nil)
		if err != nil {
			return "", 0, false
		}
		response, err := config.RoundTrip(r)
		if err != nil {
			return "", 0, false
		}
		response.Body.Close()
		return "", response.StatusCode, true
	}
	client := fetch.Client{Transport: config}
	result, err := client.Fetch(ctx, fetch.Request{URL: p.url, Origin: p.origin, Method: p.method})
	switch {
	case err != nil:
		return "", 0, false
	case result.Cause != nil:
		return string(result.Cause.Code), 0, true
	}
	return "", result.Status, true
}

// prepare makes the calls that could be taken away, in the configuration as it is: of the same URL and of others of its
// site, from this page, from others that the configuration names, from one that it does not know, and from none.
func (f *fixer) prepare(ctx context.Context) {
	if f.probes != nil {
		return
	}
	f.probes = []probe{}
	config, err := f.before.run(ctx, f.check, asTrial)
	if err != nil {
		return
	}
	defer config.Close()
	config.elsewhere = nil
	ctx, cancel := context.WithTimeout(ctx, probesTimeout)
	defer cancel()
	for _, u := range f.probedURLs() {
		plain := probe{method: http.MethodGet, url: u}
		_, status, ok := f.probed(ctx, config, plain)
		if !ok {
			continue // it does not answer, or not in time
		}
		plain.status = status
		f.probes = append(f.probes, plain)
		for _, page := range f.probedOrigins() {
			for _, method := range []string{http.MethodGet, http.MethodPut} {
				p := probe{method: method, url: u, origin: page}
				if cause, _, ok := f.probed(ctx, config, p); ok && cause == "" {
					f.probes = append(f.probes, p)
				}
			}
		}
	}
}

// losses are the calls that worked and would not with another configuration.
func (f *fixer) losses(ctx context.Context, conf *configuration) []Loss {
	if lost, known := f.lost[conf]; known {
		return lost
	}
	f.prepare(ctx)
	config, err := conf.run(ctx, f.check, asTrial)
	if err != nil {
		return nil
	}
	defer config.Close()
	config.elsewhere = nil
	ctx, cancel := context.WithTimeout(ctx, probesTimeout)
	defer cancel()
	var lost []Loss
	for _, p := range f.probes {
		switch cause, status, ok := f.probed(ctx, config, p); {
		case !ok:
		case p.origin == "" && status != p.status:
			lost = append(lost, Loss{Method: p.method, URL: p.url, Status: status})
		case cause != "":
			lost = append(lost, Loss{Method: p.method, URL: p.url, Origin: p.origin, Cause: cause})
		}
	}
	if f.lost == nil {
		f.lost = make(map[*configuration][]Loss)
	}
	f.lost[conf] = lost
	return lost
}

// probedURLs are the call's own and, of the routes of the configuration that are for its host, one for each path that a
// matcher names.
func (f *fixer) probedURLs() []string {
	u, err := url.Parse(f.check.request.URL)
	if err != nil {
		return nil
	}
	urls := []string{u.String()}
	add := func(path string) {
		other := *u
		other.Path, other.RawPath, other.RawQuery = path, "", ""
		if text := other.String(); len(urls) < maxProbedPaths && !slices.Contains(urls, text) {
			urls = append(urls, text)
		}
	}
	walk(object(f.before.tree, "apps"), "", func(_ string, o map[string]any) {
		patterns := texts(o, "path")
		for _, quoted := range quotedPath.FindAllStringSubmatch(expressionOf(o), -1) {
			patterns = append(patterns, quoted[1])
		}
		for _, pattern := range patterns {
			if strings.HasPrefix(pattern, "/") && !strings.ContainsAny(strings.TrimSuffix(pattern, "*"), "*{") {
				if prefix, wild := strings.CutSuffix(pattern, "*"); wild {
					pattern = prefix
					if strings.HasSuffix(prefix, "/") {
						pattern += "x"
					}
				}
				add(pattern)
			}
		}
	})
	add("/")
	return urls
}

// quotedPath matches a path in an expression.
var quotedPath = regexp.MustCompile("['\"`](/[^'\"`]*)['\"`]")

// expressionOf is the text of the expression matcher among others; empty if there is none.
func expressionOf(matchers map[string]any) string {
	switch expression := matchers["expression"].(type) {
	case string:
		return expression
	case map[string]any:
		text, _ := expression["expr"].(string)
		return text
	}
	return ""
}

// probedOrigins are the page's, those that the configuration names, and one that it does not.
func (f *fixer) probedOrigins() []string {
	origins := []string{f.check.request.Origin, anotherPage}
	walk(object(f.before.tree, "apps"), "", func(_ string, o map[string]any) {
		for _, name := range []string{"allow_origins", "Access-Control-Allow-Origin"} {
			for _, text := range texts(o, name) {
				// Another page below a pattern; and one on the same host that differs in the scheme or the port is this one's,
				// written wrong.
				text = strings.TrimSuffix(strings.Replace(text, "*.", "another-page.", 1), ":*")
				_, ok := origin.Parse(text)
				if ok && len(origins) < maxProbedOrigins && !slices.Contains(origins, text) && hostOf(text) != hostOf(f.check.request.Origin) {
					origins = append(origins, text)
				}
			}
		}
	})
	return origins
}
