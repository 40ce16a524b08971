package check

import (
	"cmp"
	"net/url"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

// sitesFor are the sites of a Caddyfile that a URL can come to, the nearest to its host first. It is the server, found before,
// that has settled the port, where something stands between.
func sitesFor(c *edit.Caddyfile, u *url.URL, passes via) []*edit.Use {
	type match struct {
		site *edit.Use
		rank int
	}
	var matches []match
	httpPort, httpsPort := "80", "443"
	if global := c.Global(); global != nil {
		for _, line := range global.Block {
			if args := line.Args(); len(args) == 1 {
				switch line.Name() {
				case "http_port":
					httpPort = args[0]
				case "https_port":
					httpsPort = args[0]
				}
			}
		}
	}
	port := u.Port()
	if port == "" {
		port = httpPort
		if u.Scheme == "https" {
			port = httpsPort
		}
	}
	for _, site := range c.Sites() {
		best := 0
		for _, word := range site.Words {
			a, err := httpcaddyfile.ParseAddress(word.Text)
			if err != nil {
				continue
			}
			rank := rankOfHost(a.Host, u.Hostname())
			listens := a.Port
			if listens == "" {
				listens = httpsPort
				if a.Scheme == "http" {
					listens = httpPort
				}
			}
			if rank > 0 && (passes != "" || listens == port) {
				best = max(best, rank)
			}
		}
		if best > 0 {
			matches = append(matches, match{site, best})
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int { return cmp.Compare(b.rank, a.rank) })
	var sites []*edit.Use
	for _, m := range matches {
		if m.rank == matches[0].rank { // which Caddy prefers to the others
			sites = append(sites, m.site)
		}
	}
	return sites
}

// rankOfHost says how near a site's host is to one: 0 if it is not for it.
func rankOfHost(pattern, host string) int {
	switch {
	case pattern == "":
		return 1
	case !matchesHost(pattern, host):
		return 0
	case pattern == host:
		return 3
	}
	return 2
}
