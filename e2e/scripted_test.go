//go:build linux

package e2e_test

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// A script is a call, and what the servers answer to it.
type script struct {
	// Of one that is written by hand.
	name    string
	verdict string         // that the package has to come to
	differs []fetch.Engine // that have to differ from the package; nil if it is not known

	page        string    // its origin
	framed      bool      // in a sandboxed frame of the page, whose origin is opaque
	document    *document // or in a document of the page's origin that has policies
	kind        fetch.Kind
	noCORS      bool
	url         string // of the call; its path is added
	suffix      string // and a query or a fragment
	method      string
	header      []fetch.Field
	body        string
	credentials bool
	times       int // that the call is made, one after the other

	// hops are the answers, by the number at the end of the path. From the last on, all are the same.
	hops []hop
}

// A document is a page with policies: in its header, and in a <meta>.
type document struct {
	header []fetch.Field
	meta   string
}

// html is the document, whose script is the page's own.
func (d *document) html() string {
	meta := ""
	if d.meta != "" {
		meta = `<meta http-equiv="Content-Security-Policy" content="` + d.meta + `">`
	}
	return "<!doctype html><meta charset=utf-8>" + meta + "<script src=/make.js></script><body>"
}

func (d *document) String() string {
	text := fmt.Sprintf("%q", d.header)
	if d.meta != "" {
		text += fmt.Sprintf(", meta %q", d.meta)
	}
	return text
}

// parse is the document as the package reads it.
func (d *document) parse(origin string) *fetch.Page {
	header := make(http.Header)
	for _, field := range d.header {
		header.Add(field.Name, field.Value)
	}
	p, err := fetch.ParsePage(origin+"/document", header, strings.NewReader(d.html()))
	if err != nil {
		panic(err)
	}
	return p
}

// withDefaults fills in what is not written.
func (s script) withDefaults() script {
	s.page = cmp.Or(s.page, securePage)
	s.kind = cmp.Or(s.kind, fetch.KindFetch)
	s.method = cmp.Or(s.method, s.kind.Method())
	s.times = cmp.Or(s.times, 1)
	return s
}

// A hop is what the servers answer to one URL.
type hop struct{ preflight, actual answer }

// noField is the value of a field that is not sent: of a Content-Type that would be guessed from the body.
const noField = "{none}"

// An answer is a response. In its values, {origin} is the request's Origin, and {path} the path that all URLs of the
// script begin with.
type answer struct {
	status int
	fields []fetch.Field
	early  []fetch.Field // of a 103 that goes before it
	body   string        // that of the kind if it is empty
	raw    bool          // values have white space around them, which Go's server would remove
}

// String describes it in a few lines, so that a person can follow it.
func (s script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s calls %s %s, kind %s", s.origin(), s.method, s.url+s.suffix, s.kind)
	if s.noCORS {
		b.WriteString(", without CORS")
	}
	if s.document != nil {
		fmt.Fprintf(&b, ", from a document with %v", s.document)
	}
	if s.framed {
		fmt.Fprintf(&b, ", framed by %s", s.page)
	}
	if s.credentials {
		b.WriteString(", with credentials")
	}
	if s.body != "" {
		fmt.Fprintf(&b, ", body %q", s.body)
	}
	if s.times > 1 {
		fmt.Fprintf(&b, ", %d times", s.times)
	}
	fmt.Fprintf(&b, ", header %q", s.header)
	for i, h := range s.hops {
		fmt.Fprintf(&b, "\n  %d preflight %v\n  %d answer %v", i, h.preflight, i, h.actual)
	}
	return b.String()
}

func (a answer) String() string {
	var b strings.Builder
	fmt.Fprint(&b, a.status)
	for _, field := range a.fields {
		fmt.Fprintf(&b, " | %s: %s", strings.ReplaceAll(field.Name, "Access-Control-", ""), field.Value)
	}
	return b.String()
}

// origin is that of the script that calls, as it is serialized.
func (s *script) origin() string {
	switch {
	case s.framed:
		return "null"
	case s.document != nil:
		return s.document.parse(s.page).Origin()
	}
	return s.page
}

// firstURL is the URL of the call.
func (s *script) firstURL(path string) string {
	if s.kind == fetch.KindWebSocket {
		return "ws" + strings.TrimPrefix(s.url, "http") + path + "/0" + s.suffix
	}
	return s.url + path + "/0" + s.suffix
}

// request is the call as the package makes it.
func (s *script) request(path string) fetch.Request {
	r := fetch.Request{
		Kind:        s.kind,
		NoCORS:      s.noCORS,
		URL:         s.firstURL(path),
		Origin:      s.origin(),
		SecurePage:  strings.HasPrefix(s.page, "https:"),
		Method:      s.method,
		Header:      s.header,
		Credentials: s.credentials,
	}
	if s.body != "" {
		r.Body = []byte(s.body)
	}
	if s.document != nil {
		r.Page = s.document.parse(s.page)
	}
	return r
}

// A pageCall is the call as a page makes it.
type pageCall struct {
	URL    string         `json:"url"`
	Init   map[string]any `json:"init"`
	Times  int            `json:"times"`
	Framed bool           `json:"framed"`

	Kind        fetch.Kind `json:"kind"`
	NoCORS      bool       `json:"noCORS"`
	Credentials bool       `json:"credentials"`
	Document    string     `json:"document,omitempty"` // the path of the document that the call is made in
}

func (s *script) pageCall(path string) pageCall {
	headers := [][2]string{}
	for _, field := range s.header {
		headers = append(headers, [2]string{field.Name, field.Value})
	}
	init := map[string]any{"method": s.method, "headers": headers}
	if s.body != "" {
		init["body"] = s.body
	}
	if s.credentials {
		init["credentials"] = "include"
	}
	if s.noCORS {
		init["mode"] = "no-cors"
	}
	return pageCall{URL: s.firstURL(path), Init: init, Times: s.times, Framed: s.framed, Kind: s.kind, NoCORS: s.noCORS, Credentials: s.credentials}
}

// A scriptedServer answers as scripts say, over http and https, under one name over HTTP/2, and keeps a record of what it was asked.
type scriptedServer struct {
	t       *testing.T
	network network
	scripts []script
	pages   http.Handler // all paths that are of no script

	mu       sync.Mutex
	requests map[string][]string // by the path that all URLs of a script begin with
}

// newScriptedServer starts the server under all origins.
func newScriptedServer(t *testing.T, scripts []script, pages http.Handler, origins ...string) *scriptedServer {
	t.Helper()
	s := &scriptedServer{t: t, scripts: scripts, pages: pages, requests: make(map[string][]string)}
	plain := httptest.NewUnstartedServer(s)
	plain.Start()
	t.Cleanup(plain.Close)

	var names []string
	for _, origin := range origins {
		if host, ok := strings.CutPrefix(origin, "https://"); ok {
			names = append(names, host)
		}
	}
	certificate, roots := selfSigned(t, names)
	secure := httptest.NewUnstartedServer(s)
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of browsers that hang up in a handshake
	secure.StartTLS()
	t.Cleanup(secure.Close)
	http2 := httptest.NewUnstartedServer(s)
	http2.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	http2.EnableHTTP2 = true
	http2.Config.ErrorLog = secure.Config.ErrorLog
	http2.StartTLS()
	t.Cleanup(http2.Close)

	s.network = network{addresses: make(map[string]string), tls: &tls.Config{RootCAs: roots}}
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case origin == secureHTTP2:
			s.network.addresses[u.Host+":443"] = http2.Listener.Addr().String()
		case u.Scheme == "https":
			s.network.addresses[u.Host+":443"] = secure.Listener.Addr().String()
		case u.Port() != "":
			s.network.addresses[u.Host] = plain.Listener.Addr().String()
		default:
			s.network.addresses[u.Host+":80"] = plain.Listener.Addr().String()
		}
	}
	return s
}

// selfSigned makes a certificate of the names, and the pool that has it.
func selfSigned(t *testing.T, names []string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// pathOf begins all URLs of a script, when one client runs it.
func pathOf(client string, number int) string { return fmt.Sprintf("/script/%s/%d", client, number) }

func (s *scriptedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/") // "", "script", client, number, hop
	if len(parts) != 5 || parts[1] != "script" {
		s.pages.ServeHTTP(w, r)
		return
	}
	number, err := strconv.Atoi(parts[3])
	if err != nil || number >= len(s.scripts) {
		s.t.Errorf("no script at %s", r.URL)
		return
	}
	index, err := strconv.Atoi(parts[4])
	if err != nil {
		s.t.Errorf("no hop at %s", r.URL)
		return
	}
	path := pathOf(parts[2], number)
	s.mu.Lock()
	s.requests[path] = append(s.requests[path], record(r, index))
	s.mu.Unlock()

	hops := s.scripts[number].hops
	hop := hops[min(index, len(hops)-1)]
	answer := hop.actual
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		answer = hop.preflight
	}
	fields := []fetch.Field{{Name: "Cache-Control", Value: "no-store"}}
	for _, field := range answer.fields {
		field.Value = strings.NewReplacer("{path}", path, "{origin}", r.Header.Get("Origin")).Replace(field.Value)
		fields = append(fields, field)
	}
	if answer.status == http.StatusSwitchingProtocols {
		s.upgrade(w, r)
		return
	}
	if answer.raw && r.ProtoMajor == 1 {
		s.answerRaw(w, answer.status, fields)
		return
	}
	header := w.Header()
	if answer.early != nil {
		for _, field := range answer.early {
			header[field.Name] = append(header[field.Name], field.Value)
		}
		w.WriteHeader(http.StatusEarlyHints)
		clear(header)
	}
	header["Date"] = nil
	for _, field := range fields {
		if field.Value == noField { // Go's server would make one up
			header[field.Name] = nil
			continue
		}
		header.Add(field.Name, fetchspec.NormalizeValue(field.Value))
	}
	w.WriteHeader(answer.status)
	if hasBody := answer.status >= 200 && !slices.Contains([]int{204, 205, 304}, answer.status); hasBody && r.Method != http.MethodHead {
		body := "hello"
		switch b, ok := bodies[s.scripts[number].kind]; {
		case answer.body != "":
			body = answer.body
		case ok && (header.Get("Location") == "" || answer.status < 300):
			body = b
		}
		io.WriteString(w, body)
	}
}

// square is a font whose glyphs are triangles. All of it is written for these tests.
//
//go:embed square.ttf
var square string

// silence is a tenth of a second of sound, in WAV.
var silence = "RIFF\x44\x03\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x20\x03\x00\x00" + strings.Repeat("\x80", 800)

// bodies are what the kinds can use: a picture of one pixel, in GIF. All others take anything.
var bodies = map[fetch.Kind]string{
	fetch.KindFont:        square,
	fetch.KindMedia:       silence,
	"":                    "hello",
	fetch.KindScript:      "var a",
	fetch.KindModule:      "var a",
	fetch.KindStyle:       ".styled { color: rgb(1, 2, 3) }",
	fetch.KindImage:       "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;",
	fetch.KindEventSource: "data: hello\n\n",
}

// upgrade opens a WebSocket (RFC 6455, section 4.2.2), and closes it.
func (s *scriptedServer) upgrade(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n\x88\x00", base64.StdEncoding.EncodeToString(accept[:]))
	buffered.Flush() // the browser finds out if it fails
	_, _ = io.Copy(io.Discard, conn)
}

// answerRaw writes the bytes of a response, and nothing else.
func (s *scriptedServer) answerRaw(w http.ResponseWriter, status int, fields []fetch.Field) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(buffered, "HTTP/1.1 %d \r\nConnection: close\r\nContent-Length: 0\r\n", status)
	for _, field := range fields {
		fmt.Fprintf(buffered, "%s:%s\r\n", field.Name, field.Value)
	}
	fmt.Fprint(buffered, "\r\n")
	buffered.Flush() // the browser finds out if it fails
}

// recorded are the fields of requests that CORS is about, or that it may change.
var recorded = []string{
	"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Sec-Fetch-Site", "Authorization", "X-One", "X-Two", "X-Http-Method-Override",
}

// record writes down a request.
func record(r *http.Request, hop int) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s://%s %d", r.Method, scheme, r.Host, hop)
	for _, name := range recorded {
		// Engines have their own minds about it, which are not about CORS.
		if name == "Sec-Fetch-Site" && (r.Header.Get("Upgrade") != "" || r.Method == "OPTIONS" || hop > 0) {
			continue
		}
		for _, value := range r.Header.Values(name) {
			fmt.Fprintf(&b, " %s=%q", name, value)
		}
	}
	return b.String()
}

// recordOf returns what the server was asked by one client for one script.
func (s *scriptedServer) recordOf(path string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests[path])
}
