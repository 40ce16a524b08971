package origins

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(Ask))
}

// Ask asks an HTTP endpoint whether an origin may call: a `GET` of the URL with the query parameter `origin`. The status
// 200 allows it, 403 and 404 deny it. All else is a failure: another status, a redirect (none is followed), no answer in
// time. The body of the answer does not matter.
//
// Answers are remembered for some time, and requests are answered from memory while they are. Each origin is asked about
// by one request at a time, however many wait for it. While the endpoint fails, its last answer stands, and origins that
// it has not answered for are denied; it is asked about an origin again 5s after a failure, or `ttl` if that is shorter.
//
// Strangers choose what is asked about: a browser sends the origin of any page, and other clients what they like. So at
// most 32 requests are under way at a time, for at most 1024 origins; others get the last answer at once. The answers are
// bounded in number, and of those the ones that deny are forgotten first: a flood of strange origins does not drive out
// those that are allowed.
//
// Answers outlive a reload of the configuration, unless it changes this source.
type Ask struct {
	// The URL of the endpoint, `http://` or `https://`. It may hold placeholders that are known when the configuration
	// is loaded, and a query, which the origin is added to.
	URL string `json:"url,omitempty"`

	// How long a request may wait for an answer. Default: 2s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long an answer is good. Default: 60s.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How many answers are remembered. Default: 10000.
	Max int `json:"max,omitempty"`

	settings endpointSettings
	endpoint *endpoint // nil until provisioned
	logger   *zap.Logger
}

const (
	defaultTimeout = 2 * time.Second
	defaultTTL     = time.Minute
	defaultMax     = 10_000
)

// endpoints has the endpoints that are in use, by their settings. So what they answered outlives a reload, and sites with
// the same source share it.
var endpoints = caddy.NewUsagePool()

// CaddyModule returns the Caddy module information.
func (*Ask) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.cors.origins.ask",
		New: func() caddy.Module { return new(Ask) },
	}
}

// UnmarshalCaddyfile sets up the source from Caddyfile tokens. Syntax:
//
//	ask <url> {
//	    timeout <duration>
//	    ttl     <duration>
//	    max     <number>
//	}
func (a *Ask) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return unmarshal(d, "the URL to ask, such as http://localhost:9000/cors", &a.URL, checkURL, options{
		"timeout": durationOption(&a.Timeout, checkPositive),
		"ttl":     durationOption(&a.TTL, checkPositive),
		"max": func(value string) error {
			number, err := strconv.Atoi(value)
			if err != nil || number < 1 {
				return fmt.Errorf("%q is no number of answers; at least 1", value)
			}
			a.Max = number
			return nil
		},
	})
}

// Provision checks the settings. It does not ask: the endpoint may be a site of this very server.
func (a *Ask) Provision(ctx caddy.Context) error {
	address, err := resolve("url", a.URL)
	if err != nil {
		return err
	}
	if err := checkURL(address); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	for _, option := range []struct {
		name     string
		value    *caddy.Duration
		standard time.Duration
	}{{"timeout", &a.Timeout, defaultTimeout}, {"ttl", &a.TTL, defaultTTL}} {
		if *option.value == 0 {
			*option.value = caddy.Duration(option.standard)
		}
		if err := checkPositive(time.Duration(*option.value)); err != nil {
			return fmt.Errorf("%s: %w", option.name, err)
		}
	}
	if a.Max == 0 {
		a.Max = defaultMax
	}
	if a.Max < 0 {
		return fmt.Errorf("max: %d is no number of answers; at least 1", a.Max)
	}

	a.logger = ctx.Logger().With(zap.String("url", withoutSecrets(address)))
	a.settings = endpointSettings{address, time.Duration(a.Timeout), time.Duration(a.TTL), a.Max}
	shared, _, err := endpoints.LoadOrNew(a.settings, func() (caddy.Destructor, error) {
		return newEndpoint(a.settings), nil
	})
	if err != nil {
		return err
	}
	a.endpoint = shared.(*endpoint)
	return nil
}

// Cleanup stops what is under way, and forgets the answers, if nobody else uses them.
func (a *Ask) Cleanup() error {
	if a.endpoint == nil {
		return nil
	}
	_, err := endpoints.Delete(a.settings)
	return err
}

// AllowsOrigin reports whether the endpoint allows the origin. It waits for the answer if there is none in memory, until
// ctx is done at most.
func (a *Ask) AllowsOrigin(ctx context.Context, origin string) bool {
	return a.endpoint.allows(ctx, a.logger, origin)
}

func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it is no URL; write one such as http://localhost:9000/cors") // err may hold a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%q is no http or https URL; write one such as http://localhost:9000/cors", withoutSecrets(address))
	case strings.Contains(address, "#"):
		return errors.New("a fragment is never sent; remove the # and what is behind it")
	case u.Query().Has("origin"):
		return errors.New("its query has an origin already; remove it, the one to ask about is added")
	}
	return nil
}

func checkPositive(d time.Duration) error {
	if d <= 0 {
		return fmt.Errorf("%v is too short; more than 0", d)
	}
	return nil
}

// withoutSecrets returns a URL without its query, user name and password, for the log.
func withoutSecrets(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Ask)(nil)
	_ caddy.CleanerUpper    = (*Ask)(nil)
	_ caddyfile.Unmarshaler = (*Ask)(nil)
)
