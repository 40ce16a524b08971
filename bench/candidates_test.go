package bench

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/caddy-cors/caddy-cors/bench/sites"
)

// A response has a status, and the fields that bear on CORS.
type response struct {
	status int
	fields map[string]string
}

func (r response) equal(other response) bool {
	return r.status == other.status && maps.Equal(r.fields, other.fields)
}

// String names the fields, and shows those that Vary lists.
func (r response) String() string {
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(r.fields)) {
		if name == "Vary" {
			name += ": " + r.fields["Vary"]
		}
		fields = append(fields, strings.TrimPrefix(name, corsPrefix))
	}
	return fmt.Sprintf("%d\t%s", r.status, strings.Join(fields, ", "))
}

const corsPrefix = "Access-Control-"

func answer(e exchange) response {
	e.serve()
	status, header := e.response()
	fields := make(map[string]string)
	for name := range header {
		if name == "Vary" || strings.HasPrefix(name, corsPrefix) {
			fields[name] = strings.Join(header[name], ", ")
		}
	}
	return response{status, fields}
}

// allowed are the responses of cors to requests of an origin that is allowed, by policy: to actual ones, and to
// preflights.
var allowed = map[string]struct{ actual, preflight map[string]string }{
	"everyone": {
		actual: map[string]string{"Access-Control-Allow-Origin": "*"},
		preflight: map[string]string{
			"Access-Control-Allow-Origin":  "*",
			"Access-Control-Allow-Methods": sites.Methods,
			"Access-Control-Allow-Headers": sites.Headers,
			"Access-Control-Max-Age":       "600",
			"Vary":                         "Access-Control-Request-Method, Access-Control-Request-Headers",
		},
	},
	"one": {
		actual: map[string]string{"Access-Control-Allow-Origin": sites.App, "Vary": "Origin"},
		preflight: map[string]string{
			"Access-Control-Allow-Origin":  sites.App,
			"Access-Control-Allow-Methods": sites.Methods,
			"Access-Control-Allow-Headers": sites.Headers,
			"Access-Control-Max-Age":       "600",
			"Vary":                         preflightVary,
		},
	},
	"ten": {
		actual: map[string]string{
			"Access-Control-Allow-Origin":      sites.App,
			"Access-Control-Allow-Credentials": "true",
			"Access-Control-Expose-Headers":    "X-Total",
			"Vary":                             "Origin",
		},
		preflight: map[string]string{
			"Access-Control-Allow-Origin":      sites.App,
			"Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Methods":     sites.Methods,
			"Access-Control-Allow-Headers":     sites.Headers,
			"Access-Control-Expose-Headers":    "X-Total",
			"Access-Control-Max-Age":           "600",
			"Vary":                             preflightVary,
		},
	},
}

const preflightVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

// right is the response of cors to a request.
func right(policy, request string) response {
	everyone := policy == sites.Everyone.Name
	switch {
	case request == "actual-allowed", everyone && (request == "actual-denied" || request == "no-origin"):
		return response{http.StatusOK, allowed[policy].actual}
	case request == "actual-denied", request == "no-origin":
		return response{http.StatusOK, map[string]string{"Vary": "Origin"}}
	case request == "preflight-denied" && !everyone:
		return response{http.StatusForbidden, map[string]string{"Vary": preflightVary}}
	}
	fields := maps.Clone(allowed[policy].preflight)
	if request == "preflight-malicious" {
		delete(fields, "Access-Control-Max-Age") // nobody sends so many commas
	}
	return response{http.StatusNoContent, fields}
}

const inCaddy = "Caddy with "

// Each candidate does what it is measured for. With -v, tables show what each of them sends.
func TestCandidates(t *testing.T) {
	for _, policy := range sites.Policies {
		t.Run(policy.Name, func(t *testing.T) {
			sends := make(map[string]func(request) response)
			for _, site := range policy.Sites() {
				open := netHTTP(provision(t, site))
				sends[inCaddy+site.Name] = func(r request) response { return answer(open(r)) }
			}
			if policy.Name != sites.Everyone.Name {
				for _, peer := range peers(t, policy) {
					if peer.baseline != "" {
						sends[peer.name] = func(r request) response { return answer(peer.open(r)) }
					}
				}
			}
			for _, request := range requests {
				want := right(policy.Name, request.name)
				var table strings.Builder
				w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
				for _, name := range slices.Sorted(maps.Keys(sends)) {
					got := sends[name](request)
					fmt.Fprintf(w, "%s\t%s\n", name, got)
					switch {
					case name == inCaddy+"cors", name == "caddy-cors",
						strings.HasPrefix(name, inCaddy) && request.name == "actual-allowed":
						if !got.equal(want) {
							t.Errorf("%s, %s: got %d %q, want %d %q", name, request.name, got.status, got.fields, want.status, want.fields)
						}
					case name != inCaddy+"header" && request.name == "preflight-allowed", request.name == "actual-allowed":
						if got.fields["Access-Control-Allow-Origin"] != sites.App {
							t.Errorf("%s, %s: got %d %q", name, request.name, got.status, got.fields)
						}
					}
				}
				_ = w.Flush()
				t.Logf("%s\n%s", request.name, &table)
			}
		})
	}
}
