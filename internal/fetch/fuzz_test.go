package fetch_test

import (
	"html"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetch/csp"
)

// A page has the policies of its header, and those that a <meta> in its head has, as they are written there; what is in its
// body has no say.
func FuzzPage(f *testing.F) {
	f.Add("connect-src 'self'", "img-src *; sandbox", "<p>")
	f.Add("", `default-src 'none' "x" <&amp;>`, `<meta http-equiv="Content-Security-Policy" content="connect-src 'none'">`)
	f.Add("sandbox", "upgrade-insecure-requests", "</body></html><head><meta http-equiv=content-security-policy content=\"img-src *\">")
	f.Add("sandbox", "x", "<template><svg><meta http-equiv=content-security-policy content=\"img-src *\">")
	f.Fuzz(func(t *testing.T, header, meta, body string) {
		fields := http.Header{"Content-Security-Policy": {header}}
		want := csp.FromHeader(fields)
		fromHeader := len(want)
		if strings.ContainsRune(meta, 0) || len(meta)+len(body) > 1<<20 {
			return // HTML has no such character; longer pages are not read to their end
		}
		if p := csp.FromMeta(meta); len(p.Directives) > 0 {
			want = append(want, p)
		}
		text := `<!doctype html><html><head><title>x</title><meta HTTP-EQUIV="content-security-POLICY" content="` + html.EscapeString(meta) + `"></head><body>` + body
		page, err := fetch.ParsePage("https://app.example.com/", fields, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		// The text of a directive is for people: HTML has one kind of line break.
		for _, policies := range [][]csp.Policy{want, page.Policies.Policies} {
			for _, p := range policies {
				for i := range p.Directives {
					p.Directives[i].Text = strings.Join(strings.Fields(p.Directives[i].Text), " ")
				}
			}
		}
		if got := page.Policies.Policies; len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("the page has %+v\nwant         %+v", got, want)
		}
		// Without its head, a page has no more than its header: and nothing that it says takes that away.
		page, err = fetch.ParsePage("https://app.example.com/", fields, strings.NewReader("<!doctype html><body>"+body+meta))
		if err != nil {
			t.Fatal(err)
		}
		if got := page.Policies.Policies; len(got) != fromHeader {
			t.Errorf("the body adds %+v", got)
		}
	})
}
