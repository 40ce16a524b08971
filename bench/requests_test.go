// Package bench measures caddy-cors beside what people use in its stead. It is a module of its own, because it needs
// peers that users do not.
package bench

import (
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/caddy-cors/caddy-cors/bench/sites"
)

const evil = "https://evil.example"

// A request has the header fields that browsers send.
type request struct {
	name, method string
	header       http.Header
}

// requests are what is asked of each candidate.
var requests = []request{
	{"actual-allowed", "GET", fetched(sites.App, nil)},
	{"actual-denied", "GET", fetched(evil, nil)},
	{"no-origin", "GET", fetched("", nil)},
	{"preflight-allowed", "OPTIONS", fetched(sites.App, preflight("authorization,content-type"))},
	{"preflight-denied", "OPTIONS", fetched(evil, preflight("authorization,content-type"))},
	{"preflight-malicious", "OPTIONS", fetched(sites.App, preflight(strings.Repeat(",", 8<<10)))},
}

// fetched is the header of a request that a script of a page on origin makes: of a page on this server, if it is empty.
func fetched(origin string, more http.Header) http.Header {
	header := http.Header{
		"Accept":          {"*/*"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Accept-Language": {"en-US,en;q=0.9"},
		"Referer":         {"https://api.example.com/"},
		"Sec-Fetch-Dest":  {"empty"},
		"Sec-Fetch-Mode":  {"cors"},
		"Sec-Fetch-Site":  {"same-origin"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	if origin != "" {
		header["Origin"] = []string{origin}
		header["Referer"] = []string{origin + "/"}
		header["Sec-Fetch-Site"] = []string{"cross-site"}
	}
	maps.Copy(header, more)
	return header
}

// preflight are the fields of the preflight for a PUT with these headers.
func preflight(headers string) http.Header {
	return http.Header{"Access-Control-Request-Method": {"PUT"}, "Access-Control-Request-Headers": {headers}}
}

// An exchange serves one request, again and again.
type exchange struct {
	serve    func()
	response func() (status int, header http.Header) // of the last one
}

var ordersURL = &url.URL{Path: "/orders"}

// overHTTP is an exchange with a handler of net/http. Each request and each response have a header of their own.
func overHTTP(handler http.Handler, request request) exchange {
	var w discard
	return exchange{
		serve: func() {
			w = discard{header: make(http.Header)}
			handler.ServeHTTP(&w, &http.Request{
				Method: request.method, URL: ordersURL, RequestURI: ordersURL.Path, Host: "api.example.com",
				Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:50000", Header: request.header,
			})
		},
		response: func() (int, http.Header) { return max(w.status, http.StatusOK), w.header },
	}
}

// discard is a response writer that keeps the head of the response.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// overFastHTTP is an exchange with a handler of fasthttp, which reuses all of a request and its response for the next
// one on the connection, as it does here.
func overFastHTTP(handler fasthttp.RequestHandler, request request) exchange {
	var from fasthttp.Request
	from.Header.SetMethod(request.method)
	from.SetRequestURI(ordersURL.Path)
	from.SetHost("api.example.com")
	for name, values := range request.header {
		from.Header.Set(name, values[0])
	}
	var ctx fasthttp.RequestCtx
	ctx.Init(&from, nil, nil)
	return exchange{
		serve: func() {
			ctx.Response.Reset()
			handler(&ctx)
		},
		response: func() (int, http.Header) {
			header := make(http.Header)
			for name, value := range ctx.Response.Header.All() {
				header.Add(string(name), string(value))
			}
			return ctx.Response.StatusCode(), header
		},
	}
}
