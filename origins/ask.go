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
// 200 allows the origin; 403 and 404 deny it. Anything else is a failure: another status, a redirect (redirects are not
// followed), no answer in time. The body of the answer does not matter.
//
// The URL may contain request placeholders, for many tenants with many origins each:
// `https://tenants.internal/origins?host={http.request.host}`. A placeholder can be a query value or part of the path, and
// is escaped accordingly; a request never chooses which server is asked. The host is in lower case. If a placeholder has
// no value, the endpoint is not asked, and the origin is denied.
//
// Answers are remembered for some time, during which requests are answered from memory. An answer belongs to the origin
// and the URL. One that expired less than a `ttl` ago is still used while the endpoint is asked again, so no request has
// to wait. The same question is asked only once at a time, however many requests wait for the answer. While the endpoint
// fails, its last answer stands, and origins that it has not answered for are denied; it is asked the same question again
// 5s after a failure, or after `ttl` if that is shorter.
//
// Strangers choose what is asked about: a browser sends the origin of any page, and other clients send what they like. So
// at most 32 requests are in flight at a time, for at most 1024 pending questions; beyond that, the last answer is used
// immediately. The number of answers is limited, over all URLs and origins, and those that deny are forgotten first: a
// flood of unknown origins does not evict those that are allowed.
//
// Answers survive a reload of the configuration, unless it changes this source.
type Ask struct {
	// The URL of the endpoint, `http://` or `https://`. It may have a query, to which the origin is added, and
	// placeholders. Those that are known when the configuration is loaded, such as `{env.TENANTS_URL}`, are resolved once;
	// others for each request.
	URL string `json:"url,omitempty"`

	// How long a request may wait for an answer. Default: 2s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How long an answer is valid. For as long again, it is still used while the endpoint is asked again. Default: 60s.
	TTL caddy.Duration `json:"ttl,omitempty"`

	// How many answers are remembered, over all URLs and origins. Default: 10000.
	Max int `json:"max,omitempty"`

	address  address
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
				return fmt.Errorf("%q is not a number of answers; write 1 or more", value)
			}
			a.Max = number
			return nil
		},
	})
}

// Provision checks the settings. It does not contact the endpoint, which may be a site of this very server.
func (a *Ask) Provision(ctx caddy.Context) error {
	if a.URL == "" {
		return errors.New("url: it is missing")
	}
	var err error
	if a.address, err = parseAddress(a.URL); err != nil {
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
		return fmt.Errorf("max: %d is not a number of answers; write 1 or more", a.Max)
	}

	a.logger = ctx.Logger().With(zap.String("url", withoutSecrets(a.address.text)))
	a.settings = endpointSettings{a.address.text, time.Duration(a.Timeout), time.Duration(a.TTL), a.Max}
	shared, _, err := endpoints.LoadOrNew(a.settings, func() (caddy.Destructor, error) {
		return newEndpoint(a.settings), nil
	})
	if err != nil {
		return err
	}
	a.endpoint = shared.(*endpoint)
	return nil
}

// Cleanup forgets the answers, unless something else uses them. Requests that are waiting for an answer still get it.
func (a *Ask) Cleanup() error {
	if a.endpoint == nil {
		return nil
	}
	_, err := endpoints.Delete(a.settings)
	return err
}

// AllowsOrigin reports whether the endpoint allows the origin. If the answer is not in memory, it waits for it, at most
// until ctx is done. Placeholders are those of the request that ctx belongs to.
func (a *Ask) AllowsOrigin(ctx context.Context, origin string) bool {
	about := subject{origin: origin}
	if a.address.perRequest() {
		var err error
		if about.url, err = a.address.resolve(requestValue(ctx)); err != nil {
			a.logger.Debug("the endpoint is not asked", zap.Error(err), zap.String("origin", origin))
			return false
		}
	}
	return a.endpoint.allows(ctx, a.logger, about)
}

// RequestPlaceholders returns the request placeholders that answers depend on.
func (a *Ask) RequestPlaceholders() []string { return a.address.placeholders() }

// requestValue returns what the placeholders of a request stand for.
func requestValue(ctx context.Context) func(placeholder string) string {
	replacer, ok := ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	return func(placeholder string) string {
		if !ok {
			return ""
		}
		value, _ := replacer.GetString(placeholder)
		if strings.HasPrefix(placeholder, "http.request.host") {
			// Names of hosts are case-insensitive, and a tenant has one list, however a client spells its host.
			value = strings.ToLower(value)
		}
		return value
	}
}

func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return errors.New("it is not a URL; write one such as http://localhost:9000/cors") // err may hold a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%q is not an http or https URL; write one such as http://localhost:9000/cors", withoutSecrets(address))
	case strings.Contains(address, "#"):
		return errors.New("a fragment is never sent; remove the # and what follows it")
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
