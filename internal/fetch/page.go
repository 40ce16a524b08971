package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/nlnwa/whatwg-url/url"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A Page is what the response of a page says about the page's calls: the part of its "policy container" (HTML Standard,
// section 7.1.3) that bears on them.
type Page struct {
	URL       string // that it came from, after redirects
	Status    int    // of its response; 0 if it came from elsewhere
	Policies  csp.List
	Embedding Embedding // its Cross-Origin-Embedder-Policy
}

// Origin is the page's, as browsers serialize it: that of its URL, or "null" if a policy has it sandboxed.
func (p *Page) Origin() string {
	if !p.Policies.SandboxAllows("allow-same-origin") {
		return origin.Null
	}
	return p.Policies.SelfOrigin
}

// maxPage is how much of a page is read, in bytes. Its policies are in its head.
const maxPage = 4 << 20

// ParsePage reads a page: the header that came with it, if it is known, and its HTML. The URL is absolute, http or https.
// Of the HTML, the first 4 MiB are read.
func ParsePage(pageURL string, header http.Header, body io.Reader) (*Page, error) {
	u, err := url.Parse(pageURL)
	if err != nil || !isHTTP(u) {
		return nil, fmt.Errorf("%q is neither an http nor an https URL", pageURL)
	}
	p := &Page{URL: u.Href(true), Policies: csp.List{SelfOrigin: originOf(u), Policies: csp.FromHeader(header)}}
	if isPotentiallyTrustworthy(u) {
		p.Embedding = parseEmbedding(header.Values("Cross-Origin-Embedder-Policy"))
	}
	document, err := html.Parse(io.LimitReader(body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("the page %s: %w", pageURL, err)
	}
	for n := range document.Descendants() {
		if n.DataAtom == atom.Meta && n.Parent.DataAtom == atom.Head && strings.EqualFold(attribute(n, "http-equiv"), "Content-Security-Policy") {
			if policy := csp.FromMeta(attribute(n, "content")); len(policy.Directives) > 0 {
				p.Policies.Policies = append(p.Policies.Policies, policy)
			}
		}
	}
	return p, nil
}

// attribute is an attribute of an element; empty if it has none of the name.
func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name && a.Namespace == "" {
			return a.Val
		}
	}
	return ""
}

// LoadPage fetches a page as if a person had entered its URL, and follows up to 20 redirects. Whatever its status is, its
// policies are those of the page that people see.
func (c *Client) LoadPage(ctx context.Context, pageURL string) (*Page, error) {
	u, err := url.Parse(pageURL)
	if err != nil || !isHTTP(u) {
		return nil, fmt.Errorf("%q is neither an http nor an https URL", pageURL)
	}
	for range maxRedirects + 1 {
		answer, err := c.navigate(ctx, u)
		if err != nil {
			return nil, err
		}
		location := answer.Header.Get("Location")
		if !isRedirectStatus(answer.StatusCode) || location == "" {
			defer answer.Body.Close()
			p, err := ParsePage(u.Href(true), answer.Header, answer.Body)
			if err != nil {
				return nil, err
			}
			p.Status = answer.StatusCode
			return p, nil
		}
		drain(answer)
		if u, err = u.Parse(location); err != nil || !isHTTP(u) {
			return nil, fmt.Errorf("the page %s redirects to %q, which is neither an http nor an https URL", pageURL, location)
		}
	}
	return nil, errors.New("the page " + pageURL + " redirects more than 20 times")
}

// navigate makes one request of a navigation.
func (c *Client) navigate(ctx context.Context, u *url.Url) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.Href(true), nil)
	if err != nil {
		return nil, fmt.Errorf("the page %s: %w", u.Href(true), err)
	}
	request.Header = http.Header{
		"Accept":     {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		"User-Agent": {userAgent},
	}
	if isPotentiallyTrustworthy(u) {
		request.Header.Set("Sec-Fetch-Dest", "document")
		request.Header.Set("Sec-Fetch-Mode", "navigate")
		request.Header.Set("Sec-Fetch-Site", "none")
		request.Header.Set("Sec-Fetch-User", "?1")
	}
	answer, err := c.Transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("the page %s: %w", u.Href(true), err)
	}
	return answer, nil
}
