package caddycors_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	caddycors "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

// The first policy whose origins match decides, and inherits nothing.
func TestPolicies(t *testing.T) {
	const partner, guest, insider = "https://partner.example.com", "https://a.guest.example.com", "https://insider.example.com"
	url := livecaddy.Site(t, `
		cors https://app.example.com https://*.example.com {
			allow_methods PUT
			allow_headers X-App
			expose_headers X-Total
			allow_credentials
			max_age 1h
			debug
			policy partner `+partner+` {
				allow_methods DELETE
				expose_headers X-Partner
				max_age off
			}
			policy https://*.guest.example.com
			policy insiders {
				allow_origins `+insider+`
				allow_origins_regexp https://in[0-9]+\.example\.com
				allow_headers *
				allow_private_network
				expose_timing
			}
		}
		respond hello`)
	varyAll := append([]string{"Access-Control-Request-Private-Network"}, varyPreflight...)
	for _, test := range []struct {
		name, origin string
		preflight    string // the method asked for
		headers      string
		want         []string
		policy       string
	}{
		{"the partner", partner, "", "", []string{"Access-Control-Expose-Headers: X-Partner"}, "partner"},
		{"a preflight of the partner sees only the partner's rights", partner, "DELETE", "", []string{"Access-Control-Allow-Methods: DELETE", "Access-Control-Expose-Headers: X-Partner", "Access-Control-Max-Age: 0"}, "partner"},
		{"the rights of others are none of the partner's", partner, "PUT", "", []string{"Access-Control-Allow-Methods: DELETE", "Access-Control-Expose-Headers: X-Partner"}, "partner"},
		{"a block without a name or options", guest, "", "", nil, "policy-2"},
		{"a preflight to it", guest, "GET", "x-app", nil, "policy-2"},
		{"an insider", insider, "", "", []string{"Timing-Allow-Origin: " + insider}, "insiders"},
		{"an insider by regexp", "https://in7.example.com", "GET", "x-any", []string{"Access-Control-Allow-Headers: x-any", "Access-Control-Max-Age: 600"}, "insiders"},
		{"the directive's own", app, "", "", []string{"Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Total"}, "default"},
		{"a preflight to the directive's own", app, "PUT", "x-app", []string{"Access-Control-Allow-Credentials: true", "Access-Control-Allow-Methods: PUT", "Access-Control-Allow-Headers: X-App", "Access-Control-Expose-Headers: X-Total", "Access-Control-Max-Age: 3600"}, "default"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header, method, status, vary := fields{"Origin": test.origin}, "GET", 200, varyOrigin
			if test.preflight != "" {
				method, status, vary = "OPTIONS", 204, varyAll
				header["Access-Control-Request-Method"] = test.preflight
				header["Access-Control-Request-Headers"] = test.headers
			}
			res := livecaddy.Send(t, method, url, header)
			res.Want(t, status, append([]string{"Access-Control-Allow-Origin: " + test.origin}, test.want...), vary)
			if got := res.Header.Get("X-Cors-Decision"); !strings.HasSuffix(got, `policy="`+test.policy+`"`) {
				t.Errorf("decided by %s, want %s", got, test.policy)
			}
		})
	}
	t.Run("nobody's origin", func(t *testing.T) {
		res := livecaddy.Send(t, "GET", url, fields{"Origin": "https://evil.com"})
		res.Want(t, 200, nil, varyOrigin)
		if got, want := res.Header.Get("X-Cors-Decision"), `denied; reason=origin-not-allowed; detail="https://evil.com"; policy="default"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// The directive's own policy may be absent; and it is not public where it is not the only one.
func TestPoliciesAlone(t *testing.T) {
	t.Run("blocks alone", func(t *testing.T) {
		url := livecaddy.Site(t, "cors {\npolicy "+app+"\nenforce\n}\nrespond hello")
		livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, allowApp, varyEnforced)
		livecaddy.Send(t, "GET", url, fields{"Origin": other}).Want(t, 403, nil, varyEnforced)
	})
	t.Run("one block for everyone is public", func(t *testing.T) {
		url := livecaddy.Site(t, "cors {\npolicy *\n}\nrespond hello")
		livecaddy.Send(t, "GET", url, nil).Want(t, 200, []string{"Access-Control-Allow-Origin: *"}, nil)
	})
	t.Run("everyone behind a block is not", func(t *testing.T) {
		url := livecaddy.Site(t, "cors * {\npolicy "+app+" {\nallow_credentials\n}\n}\nrespond hello")
		livecaddy.Send(t, "GET", url, nil).Want(t, 200, nil, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": other}).Want(t, 200, []string{"Access-Control-Allow-Origin: " + other}, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": "null"}).Want(t, 200, []string{"Access-Control-Allow-Origin: null"}, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": "x y"}).Want(t, 200, nil, varyOrigin)
		livecaddy.Send(t, "GET", url, fields{"Origin": app}).Want(t, 200, append([]string{"Access-Control-Allow-Credentials: true"}, allowApp...), varyOrigin)
	})
}

func TestPoliciesRefused(t *testing.T) {
	for name, test := range map[string]struct{ handler, want string }{
		"a block without origins":           {`{"policies": [{"name": "x"}]}`, `policy "x": no origin may call: name those that may ("allow_origins": ["https://app.example.com"])`},
		"a block without name and origins":  {`{"policies": [{"allow_origins": ["https://a.test"]}, {}]}`, `policy "policy-2": no origin may call`},
		"two of a name":                     {`{"policies": [{"name": "x", "allow_origins": ["https://a.test"]}, {"name": "x", "allow_origins": ["https://b.test"]}]}`, `another policy is named "x" too`},
		"a name that stands for a place":    {`{"policies": [{"name": "policy-2", "allow_origins": ["https://a.test"]}, {"allow_origins": ["https://b.test"]}]}`, `another policy is named "policy-2" too`},
		"the name of the directive's own":   {`{"policies": [{"name": "default", "allow_origins": ["https://a.test"]}]}`, `another policy is named "default" too`},
		"a name of other characters":        {`{"policies": [{"name": "a b", "allow_origins": ["https://a.test"]}]}`, `the name "a b" is not one of letters`},
		"everyone before others":            {`{"policies": [{"allow_origins": ["*"]}], "allow_origins": ["https://a.test"]}`, `those behind it are never reached`},
		"everyone before another block":     {`{"policies": [{"allow_origins": ["*"]}, {"allow_origins": ["https://a.test"]}]}`, `those behind it are never reached`},
		"a risk in a block":                 {`{"policies": [{"allow_origins": ["null"], "allow_credentials": true}]}`, `"insecure": ["null_origin_with_credentials"]`},
		"options of nobody's":               {`{"policies": [{"allow_origins": ["https://a.test"]}], "allow_methods": ["PUT"], "max_age": 0}`, "allow_methods: policies inherit nothing, and outside of them no origin may call: write the option into the blocks that need it\nmax_age: policies inherit nothing"},
		"an unset variable":                 {`{"policies": [{"allow_origins": ["{env.CORS_TEST_UNSET}"]}]}`, `policy "policy-1": allow_origins: "{env.CORS_TEST_UNSET}" is empty`},
		"a source that is not there":        {`{"allow_origins_from": [{"source": "nowhere"}]}`, `unknown module: http.cors.origins.nowhere`},
		"a source that is no source":        {`{"allow_origins_from": [{"source": "test_no_source"}]}`, `is no source of origins`},
		"a source that does not provision":  {`{"allow_origins_from": [{"source": "test_fleet"}]}`, `allow_origins_from: position 0: loading module 'test_fleet': provision http.cors.origins.test_fleet: which fleet?`},
		"everyone beside a source":          {`{"allow_origins": ["*"], "allow_origins_from": [{"source": "test_fleet", "fleet": "x"}]}`, `remove "*" to allow just those`},
		"a handler's option in a block":     {`{"policies": [{"allow_origins": ["https://a.test"], "enforce": true}]}`, `policy "policy-1": "enforce" is a field of the handler: move it out of "policies"`},
		"an unknown field in a block":       {`{"policies": [{"name": "p", "allow_origins": ["https://a.test"], "allow_method": ["PUT"]}]}`, `policy "p": unknown field "allow_method"; did you mean "allow_methods"?`},
		"two problems in a block":           {`{"policies": [{"name": "p", "allow_origins": ["foo"], "allow_methods": ["put"]}]}`, "did you mean \"PUT\"?"},
		"each of them with the policy":      {`{"policies": [{"name": "p", "allow_origins": ["foo"], "allow_methods": ["put"]}]}`, "\npolicy \"p\": allow_methods: "},
		"a risk that no source brings":      {`{"allow_origins_from": [{"source": "test_fleet", "fleet": "x"}], "insecure": ["http_origin_with_credentials"]}`, `nothing here needs http_origin_with_credentials`},
		"everyone with a name, before all":  {`{"policies": [{"name": "all", "allow_origins": ["*"]}], "allow_origins_from": [{"source": "test_fleet", "fleet": "x"}]}`, `the policy "all" is for everyone`},
		"two problems in different blocks":  {`{"policies": [{"allow_origins": ["foo"]}, {"allow_origins": ["https://A.test"]}]}`, `policy "policy-2": allow_origins: "https://A.test"`},
		"a name that is far too long, too.": {`{"policies": [{"name": "` + strings.Repeat("x", 65) + `", "allow_origins": ["https://a.test"]}]}`, `64 at most`},
	} {
		t.Run(name, func(t *testing.T) {
			err := load(t, test.handler)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got: %v\nwant it to say: %s", err, test.want)
			}
		})
	}
}

// load loads a handler from its JSON.
func load(t *testing.T, handler string) error {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	_, err := ctx.LoadModuleByID(string(new(caddycors.Handler).CaddyModule().ID), json.RawMessage(handler))
	return err
}

// fleet is a third party's source of origins.
type fleet struct {
	Fleet string `json:"fleet,omitempty"`
}

// noSource is a guest module in the wrong place.
type noSource struct{}

func init() {
	caddy.RegisterModule(new(fleet))
	caddy.RegisterModule(noSource{})
}

func (*fleet) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.cors.origins.test_fleet", New: func() caddy.Module { return new(fleet) }}
}

func (noSource) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.cors.origins.test_no_source", New: func() caddy.Module { return noSource{} }}
}

func (f *fleet) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&f.Fleet) {
		return d.ArgErr()
	}
	return nil
}

func (f *fleet) Provision(caddy.Context) error {
	if f.Fleet == "" {
		return errors.New("which fleet?")
	}
	return nil
}

func (f *fleet) AllowsOrigin(_ context.Context, origin string) bool {
	return strings.HasSuffix(origin, "."+f.Fleet+".example.com")
}

var _ caddycors.OriginSource = (*fleet)(nil)

func TestThirdPartySource(t *testing.T) {
	url := livecaddy.Site(t, `
		cors {
			allow_origins_from test_fleet blue
			allow_origins_from test_fleet green
			allow_credentials
			policy red {
				allow_origins_from test_fleet red
				allow_credentials
				insecure http_origin_with_credentials
			}
		}
		respond hello`)
	for origin, allowed := range map[string]bool{
		"https://a.blue.example.com":         true,
		"https://a.green.example.com":        true,
		"https://a.red.example.com":          true,
		"https://a.white.example.com":        false,
		"http://a.blue.example.com":          false, // with credentials, and the risk is not taken
		"http://a.red.example.com":           true,
		"https://A.blue.example.com":         false, // a source is asked only of what browsers write
		"null":                               false,
		"evil://x/.blue.example.com":         false,
		"https://evil.com#.blue.example.com": false,
	} {
		t.Run(origin, func(t *testing.T) {
			var want []string
			if allowed {
				want = []string{"Access-Control-Allow-Origin: " + origin, "Access-Control-Allow-Credentials: true"}
			}
			livecaddy.Send(t, "GET", url, fields{"Origin": origin}).Want(t, 200, want, varyOrigin)
		})
	}
}
