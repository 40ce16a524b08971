package denials_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

const (
	app   = "https://app.example.com"
	other = "https://other.example.com"
)

type fields = livecaddy.Fields

func TestAdminAPI(t *testing.T) {
	o := livecaddy.Observe(t, "cors "+app+"\nrespond hello")
	list := "http://" + o.Admin + "/cors/denials"
	for i, origin := range []string{"https://once.example.com", "https://thrice.example.com", "https://twice.example.com"} {
		for range []int{1, 3, 2}[i] {
			livecaddy.Send(t, "GET", o.URL, fields{"Origin": origin})
		}
	}
	var origins []any
	denials, _ := o.Denials()
	for _, d := range denials {
		origins = append(origins, d["origin"])
	}
	if want := "[https://thrice.example.com https://twice.example.com https://once.example.com]"; fmt.Sprint(origins) != want {
		t.Errorf("the order is %v, want %s", origins, want)
	}

	for _, test := range []struct {
		name, method string
		header       fields
		status       int
		words        string
	}{
		{"HEAD", "HEAD", nil, 200, ""},
		{"another method", "POST", nil, 405, "GET shows the list, DELETE clears it"},
		{"a page of another origin", "GET", fields{"Origin": "https://evil.com"}, 403, "not allowed to access from origin"},
		{"a page of another origin that deletes", "DELETE", fields{"Origin": "https://evil.com"}, 403, "not allowed to access from origin"},
		{"an opaque origin", "GET", fields{"Origin": "null"}, 400, "null"},
		{"a page that asks no-cors", "DELETE", fields{"Sec-Fetch-Mode": "no-cors"}, 400, "same-origin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			res := livecaddy.Send(t, test.method, list, test.header)
			if res.StatusCode != test.status || !strings.Contains(res.Text, test.words) {
				t.Errorf("%s: %s", res.Status, res.Text)
			}
			if allow := res.Header.Get("Allow"); (test.status == 405) != (allow == "GET, HEAD, DELETE") {
				t.Errorf("Allow: %q", allow)
			}
		})
	}

	o.Reload("cors " + other + "\nrespond hello again")
	if after, _ := o.Denials(); fmt.Sprint(after) != fmt.Sprint(denials) {
		t.Errorf("after a reload the list is\n\t%v, before it was\n\t%v", after, denials)
	}
	if res := livecaddy.Send(t, "DELETE", o.DenialsURL(), nil); res.StatusCode != 204 || res.Text != "" {
		t.Errorf("DELETE: %s: %s", res.Status, res.Text)
	}
	if after, others := o.Denials(); len(after) != 0 || others != 0 {
		t.Errorf("DELETE leaves %v and %d others", after, others)
	}
	before := len(o.Logged())
	livecaddy.Send(t, "GET", o.URL, fields{"Origin": "https://once.example.com"})
	if n := len(o.Logged()) - before; n != 1 {
		t.Errorf("after DELETE, what is denied again has %d log lines", n)
	}
}

// Requests, readers, deleters and reloads at once, for the race detector.
func TestAdminAPIConcurrently(t *testing.T) {
	const directives = "cors " + app + "\nrespond hello"
	o := livecaddy.Observe(t, directives, "metrics")
	client := livecaddy.HTTP1(t)
	do := func(method, url, origin string) (ok bool) {
		req, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Error(err)
			return false
		}
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := client.Do(req)
		if err != nil {
			return false // a reload can reset a connection
		}
		res.Body.Close()
		return res.StatusCode < 300
	}
	list := "http://" + o.Admin + "/cors/denials"
	var wg sync.WaitGroup
	var served atomic.Int64
	many := func(n int, request func(i int) bool) {
		wg.Go(func() {
			for i := range n {
				if request(i) {
					served.Add(1)
				}
			}
		})
	}
	for worker := range 4 {
		many(200, func(i int) bool { return do("GET", o.URL, fmt.Sprintf("https://%d.example.com", worker*50+i)) })
		many(20, func(int) bool { return do("GET", list, "") })
	}
	many(10, func(int) bool { return do("DELETE", list, "") })
	for range 3 {
		o.ReloadInPlace(directives, "metrics")
	}
	wg.Wait()
	if n := served.Load(); n < 445 {
		t.Errorf("%d of 890 requests were served", n)
	}
}
