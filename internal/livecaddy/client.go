package livecaddy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Patience is how long tests wait for anything: longer than a busy machine takes for it.
const Patience = time.Minute

// Fields are header fields, one value a name. A name that ends with "+" stands for a further line of that field.
type Fields map[string]string

// A Response is a response whose body has been read.
type Response struct {
	*http.Response
	Text string // the body
}

// Send sends a request over HTTP/1.1, on a connection of its own, and reads the response. It follows no redirect. A Host
// field is the host that the request is for.
func Send(t testing.TB, method, url string, header Fields) Response {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	return SendBy(t, Client(transport), method, url, header)
}

// SendBy is [Send] by a client that may keep its connections.
func SendBy(t testing.TB, client *http.Client, method, url string, header Fields) Response {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Add(strings.TrimSuffix(name, "+"), value)
	}
	req.Host = req.Header.Get("Host") // if empty, it is the URL's
	res, err := client.Do(req)
	for try := 1; try < 3 && errors.Is(err, io.EOF); try++ {
		res, err = client.Do(req) // a server that a reload replaces may take a connection, and close it
	}
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Response{res, string(body)}
}

// HTTP1 returns a client of HTTP/1.1 that shows responses as they are, and closes its connections with the test.
func HTTP1(t testing.TB) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return Client(transport)
}

// Client returns a client that follows no redirect.
func Client(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		Timeout:       Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SendRaw sends a request to an address, whatever its fields hold, and reads the head of the response.
func SendRaw(t testing.TB, address, method, path string, header http.Header) Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	request := bufio.NewWriter(conn)
	fmt.Fprintf(request, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, path, address)
	for name, values := range header {
		for _, value := range values {
			fmt.Fprintf(request, "%s: %s\r\n", name, value)
		}
	}
	fmt.Fprint(request, "\r\n")
	if err := request.Flush(); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return Response{Response: res}
}

// CORS returns the fields of the CORS family, each line as "Name: value", in order.
func (r Response) CORS() []string {
	lines := []string{}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Timing-Allow-Origin" {
			for _, value := range values {
				lines = append(lines, name+": "+value)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// Vary returns the members of the Vary field, in order.
func (r Response) Vary() []string {
	names := []string{}
	for _, line := range r.Header["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return names
}

// Want checks the status, the CORS fields and Vary: all of them, and no more.
func (r Response) Want(t testing.TB, status int, cors, vary []string) {
	t.Helper()
	cors, vary = slices.Sorted(slices.Values(cors)), slices.Sorted(slices.Values(vary))
	if r.StatusCode != status {
		t.Errorf("status %d, want %d", r.StatusCode, status)
	}
	if got := r.CORS(); !slices.Equal(got, cors) && len(got)+len(cors) > 0 {
		t.Errorf("CORS fields\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(cors, "\n\t"))
	}
	if got := r.Vary(); !slices.Equal(got, vary) && len(got)+len(vary) > 0 {
		t.Errorf("Vary %v, want %v", got, vary)
	}
}

// Upstream starts a server to proxy to, and returns its address. It stops with the test, whatever is still connected.
func Upstream(t testing.TB, handler http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().String()
}

// UpstreamDown returns an address that nobody listens on.
func UpstreamDown(t testing.TB) (address string) {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", FreePort(t))
}

// Eventually waits until something is so. It gives up when the test has failed elsewhere.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !so(); time.Sleep(time.Millisecond) {
		if t.Failed() {
			t.FailNow()
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
