package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

type header = map[string][]string

// preflightVary is the Vary of preflights of policies that are not public.
const preflightVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

func TestAnswerPreflight(t *testing.T) {
	lists := Options{AllowOrigins: []string{app}, AllowMethods: []string{"GET", "PUT"}, AllowHeaders: []string{"X-One", "content-type"}}
	anything := Options{AllowOrigins: []string{app}, AllowMethods: []string{"*"}, AllowHeaders: []string{"*"}}
	most := Options{AllowOrigins: []string{app}, AllowMethods: []string{"PUT", "*"}, AllowHeaders: []string{"Authorization", "*"}}
	pattern := Options{AllowOrigins: []string{app}, AllowHeaders: []string{"X-One", "X-Amz-Meta-*"}}
	credentials := func(o Options) Options { o.AllowCredentials = true; return o }

	sends := func(more header) header {
		h := header{"Access-Control-Allow-Origin": {app}, "Access-Control-Max-Age": {"600"}, "Vary": {preflightVary}}
		maps.Copy(h, more)
		return h
	}
	denied := func(more header) header {
		h := sends(more)
		delete(h, "Access-Control-Max-Age")
		return h
	}
	list := func(methods, headers string) header {
		h := header{}
		if methods != "" {
			h["Access-Control-Allow-Methods"] = []string{methods}
		}
		if headers != "" {
			h["Access-Control-Allow-Headers"] = []string{headers}
		}
		return h
	}
	withCredentials := func(h header) header {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
		return h
	}
	network := preflightOf(header{
		"Origin": {app}, "Access-Control-Request-Method": {"GET"}, "Access-Control-Request-Private-Network": {"true"},
	})

	for _, test := range []struct {
		name    string
		options Options
		request Request
		want    header
	}{
		{"the lists whole, as they are written", lists, preflight(app, "PUT", "x-one"), sends(list("GET, PUT", "X-One, content-type"))},
		{"a method that is not listed: the lists, and no max age", lists, preflight(app, "DELETE"), denied(list("GET, PUT", "X-One, content-type"))},
		{"a header that is not listed: likewise", lists, preflight(app, "PUT", "x-two"), denied(list("GET, PUT", "X-One, content-type"))},
		{"no lists", Options{AllowOrigins: []string{app}}, preflight(app, "POST"), sends(nil)},
		{"an origin that is not allowed", lists, preflight("https://evil.com", "PUT"), header{"Vary": {preflightVary}}},

		{"a star is never sent: what was asked for", anything, preflight(app, "DELETE", "x-a,x-b"), sends(list("DELETE", "x-a,x-b"))},
		{"a star, and nothing was asked for", anything, preflight(app, "GET"), sends(list("GET", ""))},
		{"a star, and the names are tidied", anything, preflight(app, "DELETE", "x-a, ,x-b", "x-c"), sends(list("DELETE", "x-a,x-b,x-c"))},
		{"a star and names: both", most, preflight(app, "DELETE", "x-a"), sends(list("PUT, DELETE", "Authorization, x-a"))},
		{"a star and names, which are asked for: once", most, preflight(app, "PUT", "authorization,x-a"), sends(list("PUT", "Authorization, x-a"))},
		{"a star does not cover Authorization", anything, preflight(app, "GET", "authorization,x-a"), denied(list("GET", ""))},
		{"a star, and a header before the one that is not allowed", anything, preflight(app, "GET", "accept-x,authorization"), denied(list("GET", "accept-x"))},
		{"a star does not cover the name *", anything, preflight(app, "GET", "*"), denied(list("GET", ""))},
		{"a star does not cover a forbidden method", anything, preflight(app, "CONNECT", "x-a"), denied(list("", "x-a"))},
		{"a star with credentials: the same", credentials(most), preflight(app, "DELETE", "x-a"), withCredentials(sends(list("PUT, DELETE", "Authorization, x-a")))},
		{"a star with credentials and Authorization", credentials(anything), preflight(app, "GET", "authorization"), withCredentials(denied(list("GET", "")))},
		{"a pattern is never sent: what was asked for of it", pattern, preflight(app, "GET", "x-amz-meta-a,x-one,x-amz-meta-b"), sends(list("", "X-One, x-amz-meta-a,x-amz-meta-b"))},
		{"a pattern, and nothing was asked for", pattern, preflight(app, "GET"), sends(list("", "X-One"))},
		{"4096 bytes of names", anything, preflight(app, "GET", strings.Repeat("x,", 4096)), sends(list("GET", strings.Repeat("x,", 4095)+"x"))},
		{"4097 bytes of names", anything, preflight(app, "GET", strings.Repeat("x,", 4097)), denied(list("GET", ""))},

		{
			"a private network", Options{AllowOrigins: []string{app}, AllowPrivateNetwork: true}, network,
			sends(header{"Access-Control-Allow-Private-Network": {"true"}, "Vary": {preflightVary + ", Access-Control-Request-Private-Network"}}),
		},
		{
			"a private network that was not asked for", Options{AllowOrigins: []string{app}, AllowPrivateNetwork: true}, preflight(app, "GET"),
			sends(header{"Vary": {preflightVary + ", Access-Control-Request-Private-Network"}}),
		},
		{"a private network that is not allowed", Options{AllowOrigins: []string{app}}, network, denied(nil)},
		{
			"everyone", Options{AllowOrigins: []string{"*"}, AllowMethods: []string{"PUT"}}, preflight(app, "PUT"),
			sends(header{
				"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Methods": {"PUT"},
				"Vary": {"Access-Control-Request-Method, Access-Control-Request-Headers"},
			}),
		},
		{
			"exposed headers", Options{AllowOrigins: []string{app}, ExposeHeaders: []string{"ETag", "X-Total"}}, preflight(app, "GET"),
			sends(header{"Access-Control-Expose-Headers": {"ETag, X-Total"}}),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			ps := only(t, test.options)
			answers := NewAnswers(ps, AnswerOptions{})
			d := ps.Decide(&test.request)
			answer := answers.To(&test.request, &d)
			got := header{}
			answers.Apply(&answer, got, nil)
			wantHeader(t, got, test.want)
		})
	}
}

func TestAnswerActual(t *testing.T) {
	one := Options{AllowOrigins: []string{app}}
	everyone := Options{AllowOrigins: []string{"*"}}
	full := Options{AllowOrigins: []string{app}, AllowCredentials: true, ExposeTiming: true, ExposeHeaders: []string{"ETag"}}
	all := Options{AllowOrigins: []string{app}, ExposeHeaders: []string{"*", "Authorization"}}
	allWithCredentials := Options{AllowOrigins: []string{app}, AllowCredentials: true, ExposeHeaders: []string{"*"}}
	const evil = "https://evil.com"

	for _, test := range []struct {
		name     string
		options  Options
		answers  AnswerOptions
		origin   string
		response header // as the next handlers have it
		want     header
	}{
		{"an allowed origin", one, AnswerOptions{}, app, header{}, header{"Access-Control-Allow-Origin": {app}, "Vary": {"Origin"}}},
		{"another origin", one, AnswerOptions{}, evil, header{}, header{"Vary": {"Origin"}}},
		{"no origin", one, AnswerOptions{}, "", header{}, header{"Vary": {"Origin"}}},
		{"everyone", everyone, AnswerOptions{}, evil, header{}, header{"Access-Control-Allow-Origin": {"*"}}},
		{"everyone, no origin", everyone, AnswerOptions{}, "", header{}, header{"Access-Control-Allow-Origin": {"*"}}},
		{
			"all options", full, AnswerOptions{}, app, header{},
			header{
				"Access-Control-Allow-Origin": {app}, "Access-Control-Allow-Credentials": {"true"},
				"Access-Control-Expose-Headers": {"ETag"}, "Timing-Allow-Origin": {app}, "Vary": {"Origin"},
			},
		},
		{"all options, another origin", full, AnswerOptions{}, evil, header{}, header{"Vary": {"Origin"}}},
		{
			"all headers exposed", all, AnswerOptions{}, app, header{"X-A": {"1"}},
			header{"Access-Control-Allow-Origin": {app}, "Access-Control-Expose-Headers": {"*, Authorization"}, "Vary": {"Origin"}, "X-A": {"1"}},
		},
		{
			"all headers exposed, with credentials: by their names", allWithCredentials, AnswerOptions{}, app,
			header{"X-A": {"1"}, "Date": {"today"}, "Set-Cookie": {"a=b"}, "Access-Control-Max-Age": {"1"}},
			header{
				"Access-Control-Allow-Origin": {app}, "Access-Control-Allow-Credentials": {"true"},
				"Access-Control-Expose-Headers": {"Date, Vary, X-A"}, "Vary": {"Origin"},
				"X-A": {"1"}, "Date": {"today"}, "Set-Cookie": {"a=b"},
			},
		},
		{
			"what the response has of its own is replaced, in any case", one, AnswerOptions{}, evil,
			header{"access-control-allow-origin": {"*"}, "Access-Control-Expose-Headers": {"X"}, "Timing-Allow-Origin": {"*"}, "Etag": {"1"}},
			header{"Vary": {"Origin"}, "Etag": {"1"}},
		},
		{
			"what the response has of its own is preserved", one, AnswerOptions{Preserve: true}, app,
			header{"access-control-allow-origin": {"*"}, "Access-Control-Expose-Headers": {"X"}},
			header{"access-control-allow-origin": {"*"}, "Access-Control-Expose-Headers": {"X"}, "Vary": {"Origin"}},
		},
		{
			"what has no allowed origin is not preserved", one, AnswerOptions{Preserve: true}, app,
			header{"Access-Control-Expose-Headers": {"X"}},
			header{"Access-Control-Allow-Origin": {app}, "Vary": {"Origin"}},
		},
		{
			"an empty one is not preserved", one, AnswerOptions{Preserve: true}, app,
			header{"Access-Control-Allow-Origin": {""}, "Access-Control-Expose-Headers": {"X"}},
			header{"Access-Control-Allow-Origin": {app}, "Vary": {"Origin"}},
		},
		{
			"everyone, and the backend's own star is preserved", everyone, AnswerOptions{Preserve: true}, app,
			header{"Access-Control-Allow-Origin": {"*"}},
			header{"Access-Control-Allow-Origin": {"*"}},
		},
		{
			"everyone, and the backend's own echo is preserved", everyone, AnswerOptions{Preserve: true}, app,
			header{"Access-Control-Allow-Origin": {app}},
			header{"Access-Control-Allow-Origin": {app}, "Vary": {"Origin"}},
		},
		{
			"everyone, where the backend could have named an origin", everyone, AnswerOptions{Preserve: true}, app,
			header{},
			header{"Access-Control-Allow-Origin": {"*"}, "Vary": {"Origin"}},
		},
		{
			"trailers are not announced", one, AnswerOptions{}, evil,
			header{"Trailer": {"X-Checksum, access-control-allow-origin", "Timing-Allow-Origin"}},
			header{"Trailer": {"X-Checksum"}, "Vary": {"Origin"}},
		},
		{
			"trailers are not announced where the rest is preserved", one, AnswerOptions{Preserve: true}, evil,
			header{"Trailer": {"Access-Control-Allow-Origin"}, "Access-Control-Allow-Origin": {"*"}},
			header{"Access-Control-Allow-Origin": {"*"}, "Vary": {"Origin"}},
		},
		{"silent", one, AnswerOptions{Silent: true}, app, header{"Access-Control-Allow-Origin": {"x"}}, header{"Access-Control-Allow-Origin": {"x"}}},
		{
			"debug, silent", one, AnswerOptions{Silent: true, Debug: true}, evil, header{},
			header{"X-Cors-Decision": {`denied; reason=origin-not-allowed; detail="https://evil.com"; policy="default"`}},
		},
		{
			"debug", one, AnswerOptions{Debug: true}, app, header{},
			header{"X-Cors-Decision": {`allowed; policy="default"`}, "Access-Control-Allow-Origin": {app}, "Vary": {"Origin"}},
		},
		{
			"Vary on what origins are made of", one, AnswerOptions{VaryOn: []string{"X-Tenant"}}, app, header{},
			header{"Access-Control-Allow-Origin": {app}, "Vary": {"Origin, X-Tenant"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.Name = DefaultName
			ps := only(t, test.options)
			answers := NewAnswers(ps, test.answers)
			request := header{}
			if test.origin != "" {
				request["Origin"] = []string{test.origin}
			}
			r := NewRequest("GET", "api.example.com", request)
			d := ps.Decide(&r)
			answer := answers.To(&r, &d)
			got := maps.Clone(test.response)
			answers.Apply(&answer, got, nil)
			wantHeader(t, got, test.want)

			if d.Policy.NeedsMore() || test.answers.Debug || test.answers.Silent {
				return
			}
			brief := maps.Clone(test.response)
			answers.ApplyOrigin(brief, []string{d.AllowOrigin, ""}, answers.DependOnSite(&r))
			wantHeader(t, brief, test.want)
		})
	}
}

func TestAnswerVary(t *testing.T) {
	ps := only(t, Options{AllowOrigins: []string{app}})
	answers := NewAnswers(ps, AnswerOptions{})
	r := actual(app)
	d := ps.Decide(&r)
	for _, test := range []struct {
		name          string
		present, want []string
	}{
		{"none", nil, []string{"Origin"}},
		{"another", []string{"Accept"}, []string{"Accept, Origin"}},
		{"several lines", []string{"Accept", "Accept-Encoding"}, []string{"Accept, Accept-Encoding, Origin"}},
		{"several lines, one of which is it", []string{"Origin", "Accept"}, []string{"Origin, Accept"}},
		{"several lines, one of which is everything", []string{"Accept", "*"}, []string{"*"}},
		{"Origin", []string{"Origin"}, []string{"Origin"}},
		{"origin among others", []string{"Accept, origin"}, []string{"Accept, origin"}},
		{"a name that only holds it", []string{"X-Origin"}, []string{"X-Origin, Origin"}},
		{"everything", []string{"*"}, []string{"*"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			present := slices.Clone(test.present)
			h := header{}
			if present != nil {
				h["Vary"] = present
			}
			answer := answers.To(&r, &d)
			answers.Apply(&answer, h, nil)
			if !slices.Equal(h["Vary"], test.want) {
				t.Errorf("Vary is %q, want %q", h["Vary"], test.want)
			}
			if !slices.Equal(present, test.present) {
				t.Errorf("the slice of another handler is now %q", present)
			}
		})
	}
}

// What enforce makes the answer depend on is named, and nothing else.
func TestAnswerVaryOfEnforce(t *testing.T) {
	for _, test := range []struct {
		name, origin string
		enforce      Enforcement
		method       string
		want         string
	}{
		{"nothing enforced", app, EnforceNothing, "POST", "Origin"},
		{"all", app, EnforceAll, "GET", "Origin, Sec-Fetch-Site, Sec-Fetch-Mode"},
		{"all, unsafe", app, EnforceAll, "POST", "Origin, Sec-Fetch-Site, Sec-Fetch-Mode"},
		{"unsafe, and the request is safe", app, EnforceUnsafe, "GET", "Origin"},
		{"unsafe", app, EnforceUnsafe, "POST", "Origin, Sec-Fetch-Site"},
		{"everyone, for whom nothing is refused", "*", EnforceAll, "POST", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ps := only(t, Options{AllowOrigins: []string{test.origin}}).Enforcing(test.enforce)
			answers := NewAnswers(ps, AnswerOptions{})
			r := NewRequest(test.method, "api.example.com", header{"Origin": {app}})
			d := ps.Decide(&r)
			answer := answers.To(&r, &d)
			whole, brief := header{}, header{}
			answers.Apply(&answer, whole, nil)
			answers.ApplyOrigin(brief, []string{d.AllowOrigin, ""}, answers.DependOnSite(&r))
			for _, h := range []header{whole, brief} {
				if got := strings.Join(h["Vary"], " + "); got != test.want {
					t.Errorf("Vary is %q, want %q", got, test.want)
				}
			}
		})
	}
}

// A value that another handler rewrites in place stays in its response.
func TestAnswersShareNoValues(t *testing.T) {
	ps := only(t, Options{AllowOrigins: []string{app}, AllowCredentials: true, ExposeHeaders: []string{"ETag"}})
	answers := NewAnswers(ps, AnswerOptions{})
	r := actual(app)
	d := ps.Decide(&r)
	answer := answers.To(&r, &d)
	first, second := header{}, header{}
	answers.Apply(&answer, first, make([]string, 0, MaxActualFields))
	for _, values := range first {
		values[0] = "rewritten"
		_ = append(values, "appended")
	}
	answers.Apply(&answer, second, make([]string, 0, MaxActualFields))
	for name, values := range second {
		if values[0] == "rewritten" {
			t.Errorf("%s is shared", name)
		}
	}
}

// What is handed to Apply is enough for all fields, so that no answer allocates more.
func TestAnswerAllocations(t *testing.T) {
	ps := only(t, Options{
		AllowOrigins: []string{app}, AllowCredentials: true, ExposeHeaders: []string{"ETag"}, ExposeTiming: true,
		AllowMethods: []string{"PUT"}, AllowHeaders: []string{"X-One"},
	})
	answers := NewAnswers(ps, AnswerOptions{})
	for name, test := range map[string]struct {
		request Request
		room    int
	}{
		"preflight": {preflight(app, "PUT", "x-one"), MaxPreflightFields},
		"actual":    {actual(app), MaxActualFields},
	} {
		h := make(header, 16)
		if n := testing.AllocsPerRun(100, func() {
			clear(h)
			d := ps.Decide(&test.request)
			answer := answers.To(&test.request, &d)
			answers.Apply(&answer, h, make([]string, 0, test.room))
		}); n > 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if len(h) != test.room {
			t.Errorf("%s: %d fields, and there is room for %d", name, len(h), test.room)
		}
	}
}

func wantHeader(t *testing.T, got, want header) {
	t.Helper()
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("got\n\t%.200q, want\n\t%.200q", got, want)
	}
}
