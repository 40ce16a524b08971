// Package sites holds what is compared: ways to get CORS out of Caddy, as the directives of a site, for the same
// policies.
package sites

import (
	"fmt"
	"strings"
	"text/template"
)

// App is the origin that makes the requests.
const App = "https://app.example.com"

// A Policy is what a site allows.
type Policy struct {
	Name        string
	Origins     []string
	Exposed     []string // headers of responses
	Credentials bool
}

// The policies.
var (
	Everyone = Policy{Name: "everyone", Origins: []string{"*"}}
	One      = Policy{Name: "one", Origins: []string{App}}
	Ten      = Policy{Name: "ten", Origins: tenOrigins(), Exposed: []string{"X-Total"}, Credentials: true}
)

// Policies are all of them.
var Policies = []Policy{Everyone, One, Ten}

func tenOrigins() []string {
	origins := []string{App}
	for i := range 9 {
		origins = append(origins, fmt.Sprintf("https://app-%d.example.com", i))
	}
	return origins
}

// What all policies allow.
const (
	Methods = "GET, POST, PUT, PATCH, DELETE"
	Headers = "Content-Type, Authorization"
	MaxAge  = 600 // seconds, for which a preflight is good; the default of cors
)

// A Site is a candidate: the directives that stand before those for the response.
type Site struct{ Name, Directives string }

// None has no CORS.
var None = Site{Name: "none"}

// Sites are the candidates for the policy. To an actual request that is allowed, all of them send the same fields.
func (p Policy) Sites() []Site {
	s := []Site{
		{"header", header.with(p, p.Origins[0])},
		{"cors", cors.with(p, p.Origins[0])},
	}
	if p.Name != Everyone.Name {
		s = append(s,
			Site{"snippet", snippet.with(p, p.Origins...)},
			Site{"snippet-lean", leanSnippet.with(p, p.Origins...)})
	}
	return s
}

// A form is what directives look like, as a template.
type form struct{ *template.Template }

func newForm(text string) form {
	return form{template.Must(template.Must(fields.Clone()).Parse(text))}
}

// with returns the directives for a policy, once for each of the origins.
func (f form) with(p Policy, origins ...string) string {
	var b strings.Builder
	for _, origin := range origins {
		if err := f.Execute(&b, struct {
			Policy
			Origin, Methods, Headers string
			MaxAge                   int
		}{p, origin, Methods, Headers, MaxAge}); err != nil {
			panic(err)
		}
	}
	return b.String()
}

// fields are the header lines that several forms have.
var fields = template.Must(template.New("").Parse(`
{{define "actual"}}
	Access-Control-Allow-Origin {{.Origin}}
	{{if .Credentials}} Access-Control-Allow-Credentials true {{end}}
	{{range .Exposed}} Access-Control-Expose-Headers {{.}} {{end}}
	{{if ne .Origin "*"}} Vary Origin {{end}}
{{end}}
{{define "preflight"}}
	Access-Control-Allow-Origin {{.Origin}}
	{{if .Credentials}} Access-Control-Allow-Credentials true {{end}}
	Access-Control-Allow-Methods "{{.Methods}}"
	Access-Control-Allow-Headers "{{.Headers}}"
	Access-Control-Max-Age {{.MaxAge}}
	Vary "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
{{end}}
`))

var (
	cors = newForm(`
cors {{range .Origins}} {{.}} {{end}} {
	allow_methods {{.Methods}}
	allow_headers {{.Headers}}
	{{range .Exposed}} expose_headers {{.}} {{end}}
	{{if .Credentials}} allow_credentials {{end}}
}
`)

	header = newForm(`
header {
	{{template "actual" .}}
}
`)

	// snippet is what is pasted most: matchers on the method and the origin, a handle for preflights and one for the
	// rest. People import it once for each origin, with the origin in the names of the matchers. This is the form at its
	// best: many copies have a header directive for each line, or defer them, which costs more; or match preflights by
	// the method alone, which answers those of all origins with the headers of the first.
	snippet = newForm(preflightSnippet + `
handle @cors{{.Origin}} {
	header {
		{{template "actual" .}}
	}
}
`)

	// leanSnippet has no second handle, as the one in the documentation of Caddy's import.
	leanSnippet = newForm(preflightSnippet + `
header @cors{{.Origin}} {
	{{template "actual" .}}
}
`)
)

const preflightSnippet = `
@preflight{{.Origin}} {
	method OPTIONS
	header Origin {{.Origin}}
}
@cors{{.Origin}} header Origin {{.Origin}}
handle @preflight{{.Origin}} {
	header {
		{{template "preflight" .}}
	}
	respond "" 204
}
`
