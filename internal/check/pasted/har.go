package pasted

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

const (
	// maxEntries is how many entries are kept: what a session of many hours has. Those that can only be of a page's own
	// origin are not.
	maxEntries = 150_000

	// maxHeaders is how much of headers is kept as it is, all in all. After that, it is only what the verdict depends on: names
	// and some values.
	maxHeaders = 32 << 20

	// maxBodies is how much of the bodies of requests is kept, all in all.
	maxBodies = 16 << 20
)

// A Recorded is what a HAR says of a call's exchanges with servers: preflights, redirects and the request itself.
type Recorded struct {
	exchanges []recordedExchange

	// Failed says that the browser kept the response from the page, or had none.
	Failed bool

	// failureUnknown says that the browser does not write down that it kept a response from the page.
	failureUnknown bool

	// Error is the browser's word for a failure, such as "net::ERR_FAILED"; empty if it has none.
	Error string

	// Page has the Content-Security-Policy that came with the page; nil if none is known. That of its HTML is not.
	Page *fetch.Page

	// BodyCut says that the body of the request is not in the HAR, or too long to be kept, so that the call cannot be made
	// again.
	BodyCut bool

	// HeaderCut says the same of values of the request's header, of an archive that has too many.
	HeaderCut bool
}

// A recordedExchange is compact, because there may be a hundred thousand of them.
type recordedExchange struct {
	preflight bool
	method    string
	url       string
	status    int
	request   packed
	response  packed
}

// packed is a header as one text: a line for each field, its name before a colon. Many exchanges have the same.
type packed string

func (p packed) fields() header {
	h := make(header, 0, strings.Count(string(p), "\n"))
	for line := range strings.Lines(string(p)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		h = append(h, fetch.Field{Name: name, Value: value})
	}
	return h
}

// pack keeps the fields that are needed, after needed has cut them.
func (r *harReader) pack(fields []fetch.Field, needed func(*fetch.Field) bool) packed {
	r.packing = r.packing[:0]
	for _, f := range fields {
		if !fetchspec.IsToken(f.Name) || strings.Contains(f.Value, "\n") || !needed(&f) {
			continue
		}
		r.packing = append(r.packing, f.Name...)
		r.packing = append(r.packing, ':')
		r.packing = append(r.packing, f.Value...)
		r.packing = append(r.packing, '\n')
	}
	kept := packed(r.intern(r.packing))
	r.headers += len(kept)
	return kept
}

// packRequest keeps of the fields of a request what tells anything: about the page, about what called, or of the script.
func (r *harReader) packRequest(e *entry, fields []fetch.Field) {
	e.request = r.pack(fields, func(f *fetch.Field) bool {
		switch name := strings.ToLower(f.Name); name {
		case "origin", "referer", "accept", "upgrade", "sec-fetch-mode", "sec-fetch-dest", "pragma", "cache-control",
			"access-control-request-method", "access-control-request-headers":
			return true
		case "accept-language", "content-language", "content-type", "range": // which are safelisted by their values
			return !isBrowsers(*f)
		case "cookie":
		default:
			if fetchspec.IsForbiddenRequestHeader(name, f.Value) || isBrowsers(*f) {
				return false
			}
		}
		if r.headers > maxHeaders {
			f.Value, e.headerCut = "...", true
		}
		return true
	})
}

// packResponse keeps the fields of a response.
func (r *harReader) packResponse(e *entry, fields []fetch.Field) {
	e.response = r.pack(fields, func(f *fetch.Field) bool { return r.headers <= maxHeaders || isDecisive(f.Name) })
}

// isDecisive reports whether the verdict can depend on a field of a response.
func isDecisive(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "vary", "cache-control", "location", "content-type", "x-content-type-options", "cross-origin-resource-policy":
		return true
	}
	return strings.HasPrefix(name, "access-control-")
}

// Exchanges returns the exchanges that were answered, in their order.
func (r *Recorded) Exchanges() []fetch.Recorded {
	exchanges := make([]fetch.Recorded, len(r.exchanges))
	for i, e := range r.exchanges {
		exchanges[i] = fetch.Recorded{URL: e.url, Exchange: fetch.Exchange{
			Preflight:      e.preflight,
			Method:         e.method,
			RequestHeader:  httpHeader(e.request.fields()),
			Status:         e.status,
			ResponseHeader: httpHeader(e.response.fields()),
		}}
	}
	return exchanges
}

// Status returns the status of the last response; 0 if there is none.
func (r *Recorded) Status() int {
	if len(r.exchanges) == 0 || r.exchanges[len(r.exchanges)-1].preflight {
		return 0
	}
	return r.exchanges[len(r.exchanges)-1].status
}

// FailedOtherwise reports whether the browser has an error for the call that is not only that the page was left, or wanted it
// no longer.
func (r *Recorded) FailedOtherwise() bool {
	return r.Error != "" && r.Error != "net::ERR_ABORTED"
}

func httpHeader(fields []fetch.Field) http.Header {
	h := make(http.Header, len(fields))
	for _, f := range fields {
		h.Add(f.Name, f.Value)
	}
	return h
}

// A harEntry is one entry of a HAR, as far as it matters here (HAR 1.2, and what the browsers add to it). There is one, into
// which each is read in turn.
type harEntry struct {
	pageref, resourceType string

	method, url     string
	requestHeaders  []fetch.Field
	cookies         []fetch.Field
	bodySize        int
	postData        bool
	postText        string
	status          int
	responseHeaders []fetch.Field
	redirectURL     string
	failure         string
}

// A harReader makes calls of the entries of a HAR.
type harReader struct {
	creator string // the program that has made the archive

	in       *harDecoder
	entry    harEntry
	pages    map[string]string // the URLs of the pages
	policies map[document]*fetch.Page
	entries  []*entry
	bodies   int // the length of those that are kept
	headers  int // the same
	interned map[string]string
	packing  []byte // a header

	// origins has the one origin that all requests of a page tell; "" where they tell several. For a request that was not
	// sent, browsers do not write down its header.
	origins map[string]string
}

// A document is one that was loaded as a part of a page.
type document struct{ page, url string }

// An entry is what is kept of a harEntry.
type entry struct {
	recordedExchange
	page         string // the reference to it
	resourceType string
	asks         string // for which method a preflight asks
	cookies      string
	body         []byte
	bodyCut      bool
	headerCut    bool
	redirect     string // where the response redirects to
	failure      string
	used         bool // it is a part of a call
}

// readHAR reads a HAR to its end, entry by entry.
func readHAR(in *bufio.Reader) (*Paste, error) {
	r := &harReader{
		in:       newHARDecoder(in),
		pages:    make(map[string]string),
		policies: make(map[document]*fetch.Page),
		interned: make(map[string]string),
		origins:  make(map[string]string),
	}
	isHAR, err := r.read()
	if err != nil {
		if _, ok := errors.AsType[*jsontext.SyntacticError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &UnrecognizedError{fmt.Sprintf("the text begins as JSON does, and is not a whole JSON text (%v)", err)}
		}
		return nil, err
	}
	if !isHAR {
		return nil, &UnrecognizedError{`the text is JSON, but not a HAR, which has its entries in "log"`}
	}
	return &Paste{Source: HAR, Calls: r.calls(), OmitsFailed: r.creator == creatorWebKit}, nil
}

// read reads the object {"log": {"pages": [...], "entries": [...]}}, whatever else is in it.
func (r *harReader) read() (isHAR bool, err error) {
	err = r.in.object(func(name []byte) error {
		if string(name) != "log" {
			return r.in.SkipValue()
		}
		return r.in.object(func(name []byte) error {
			switch string(name) {
			case "creator":
				return r.in.object(r.readCreator)
			case "pages":
				return r.in.array(r.readPage)
			case "entries":
				isHAR = true
				return r.in.array(r.readEntry)
			}
			return r.in.SkipValue()
		})
	})
	return isHAR, err
}

// readCreator reads a member of what says which program has made the archive.
func (r *harReader) readCreator(name []byte) (err error) {
	if string(name) != "name" {
		return r.in.SkipValue()
	}
	r.creator, err = r.in.string()
	return err
}

// The creators of archives that say less than others.
const (
	creatorFirefox = "Firefox"              // nothing of calls that the browser has blocked, but their exchanges
	creatorWebKit  = "WebKit Web Inspector" // nothing of calls that have failed, and no preflights
)

func (r *harReader) readPage() error {
	var id, title string
	err := r.in.object(func(name []byte) (err error) {
		switch string(name) {
		case "id":
			id, err = r.repeated()
		case "title":
			title, err = r.in.string()
		default:
			err = r.in.SkipValue()
		}
		return err
	})
	if u := callableURL(title); u != "" {
		r.pages[id] = u
	}
	return err
}

func (r *harReader) readEntry() error {
	if kind := r.in.PeekKind(); kind != jsontext.KindBeginObject && kind != jsontext.KindInvalid {
		return &UnrecognizedError{"the text is JSON, but not a HAR: one of its entries is not an object"}
	}
	e := &r.entry
	*e = harEntry{requestHeaders: e.requestHeaders[:0], responseHeaders: e.responseHeaders[:0], cookies: e.cookies[:0]}
	err := r.in.object(func(name []byte) (err error) {
		switch string(name) {
		case "pageref":
			e.pageref, err = r.repeated()
		case "_resourceType":
			e.resourceType, err = r.repeated()
		case "request":
			err = r.in.object(r.readRequest)
		case "response":
			err = r.in.object(r.readResponse)
		default:
			err = r.in.SkipValue()
		}
		return err
	})
	if err != nil {
		return err
	}
	r.add(e)
	if len(r.entries) > maxEntries {
		return &UnrecognizedError{fmt.Sprintf("the archive has more than %d requests, and so many are not judged at once; export a shorter session", maxEntries)}
	}
	return nil
}

// readRequest reads a member of the request of an entry.
func (r *harReader) readRequest(name []byte) (err error) {
	e := &r.entry
	switch string(name) {
	case "method":
		e.method, err = r.repeated()
	case "url":
		e.url, err = r.in.string()
	case "headers":
		e.requestHeaders, err = r.fields(e.requestHeaders)
	case "cookies":
		e.cookies, err = r.fields(e.cookies)
	case "bodySize":
		e.bodySize, err = r.in.integer()
	case "postData":
		e.postData = r.in.PeekKind() == jsontext.KindBeginObject
		err = r.in.object(func(name []byte) (err error) {
			if string(name) != "text" {
				return r.in.SkipValue()
			}
			e.postText, err = r.in.string()
			return err
		})
	default:
		err = r.in.SkipValue()
	}
	return err
}

// readResponse reads a member of the response of an entry.
func (r *harReader) readResponse(name []byte) (err error) {
	e := &r.entry
	switch string(name) {
	case "status":
		e.status, err = r.in.integer()
	case "headers":
		e.responseHeaders, err = r.fields(e.responseHeaders)
	case "redirectURL":
		e.redirectURL, err = r.in.string()
	case "_error":
		e.failure, err = r.repeated()
	default:
		err = r.in.SkipValue()
	}
	return err
}

// fields reads an array of {"name": ..., "value": ...} to the end of a list.
func (r *harReader) fields(list []fetch.Field) ([]fetch.Field, error) {
	var f fetch.Field
	member := func(name []byte) (err error) {
		switch string(name) {
		case "name":
			f.Name, err = r.repeated()
		case "value":
			f.Value, err = r.in.string()
		default:
			err = r.in.SkipValue()
		}
		return err
	}
	err := r.in.array(func() error {
		f = fetch.Field{}
		if err := r.in.object(member); err != nil {
			return err
		}
		list = append(list, f)
		return nil
	})
	return list, err
}

// repeated reads a string that many entries have.
func (r *harReader) repeated() (string, error) {
	text, err := r.in.text()
	return r.intern(text), err
}

// intern returns a text as a string, and one for all that are equal. Header fields repeat.
func (r *harReader) intern(text []byte) string {
	if known, ok := r.interned[string(text)]; ok {
		return known
	}
	interned := string(text)
	if len(r.interned) < 1<<15 && len(text) <= 2048 {
		r.interned[interned] = interned
	}
	return interned
}

// add keeps what matters of an entry, if it can be a part of a call to another origin.
func (r *harReader) add(h *harEntry) {
	target := callableURL(h.url)
	if target == "" {
		return
	}
	if h.isNavigation() {
		r.addPolicies(h, target)
		return
	}
	e := &entry{page: h.pageref, resourceType: h.resourceType, failure: h.failure}
	e.method = h.method
	if !fetchspec.IsToken(e.method) {
		return
	}
	e.url = target
	e.status = h.status
	if e.status < 100 || e.status > 999 {
		e.status = 0 // no response
	}
	requested := header(h.requestHeaders)
	if e.method == http.MethodOptions {
		e.asks = requested.get("Access-Control-Request-Method")
		e.preflight = e.asks != ""
	}
	if location := h.redirectURL; location != "" && e.status >= 300 && e.status < 400 {
		e.redirect = resolvedURL(target, location)
	} else if location := header(h.responseHeaders).get("Location"); location != "" && e.status >= 300 && e.status < 400 {
		e.redirect = resolvedURL(target, location)
	}
	if told := requested.origin(); told != "" && told != origin.Null {
		if known, ok := r.origins[e.page]; ok && known != told {
			told = ""
		}
		r.origins[e.page] = told
	}
	if page := requested.origin(); page != "" && page == originOf(target) && e.redirect == "" && !e.preflight {
		return // same-origin
	}
	r.packRequest(e, h.requestHeaders)
	r.packResponse(e, h.responseHeaders)
	if len(h.cookies) > 0 && !requested.has("Cookie") {
		var pairs []string
		for _, c := range h.cookies {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
		e.cookies = strings.Join(pairs, "; ")
	}
	if text := h.postText; h.postData {
		switch {
		case len(text) >= longString || r.bodies+len(text) > maxBodies || text == "" && h.bodySize != 0:
			e.bodyCut = true
			e.body = []byte{}
		default:
			r.bodies += len(text)
			e.body = []byte(text)
		}
	} else if h.bodySize > 0 {
		e.bodyCut, e.body = true, []byte{}
	}
	r.entries = append(r.entries, e)
}

// addPolicies keeps the policies of a document, which may be that of the page.
func (r *harReader) addPolicies(h *harEntry, target string) {
	values := httpHeader(h.responseHeaders)["Content-Security-Policy"]
	size := len(strings.Join(values, ""))
	if h.status < 200 || h.status > 599 || size == 0 || r.headers+size > maxHeaders {
		return
	}
	r.headers += size
	page, err := fetch.ParsePage(target, http.Header{"Content-Security-Policy": values}, strings.NewReader(""))
	if err == nil {
		r.policies[document{h.pageref, page.URL}] = page
	}
}

// isNavigation reports whether the browser has loaded a document, which CORS is not about; or something that has to be of
// the page's own origin.
func (h *harEntry) isNavigation() bool {
	requested := header(h.requestHeaders)
	switch strings.ToLower(requested.get("Sec-Fetch-Dest")) {
	case "document", "iframe", "frame", "embed", "object", "worker", "sharedworker", "serviceworker", "report":
		return true
	}
	switch strings.ToLower(h.resourceType) {
	case "document", "csp-violation-report", "cspviolationreport":
		return true
	}
	return strings.EqualFold(requested.get("Sec-Fetch-Mode"), "navigate") ||
		!requested.has("Sec-Fetch-Mode") && !requested.has("Origin") && strings.HasPrefix(requested.get("Accept"), "text/html")
}

func resolvedURL(base, reference string) string {
	b, err := url.Parse(base)
	if err != nil {
		return ""
	}
	u, err := b.Parse(reference)
	if err != nil {
		return ""
	}
	return callableURL(u.String())
}

// origin returns the origin of the page that made a request, and the page's URL, if it is known.
func (r *harReader) origin(e *entry) (pageOrigin, page string) {
	page = r.pages[e.page]
	fields := e.request.fields()
	pageOrigin = fields.origin()
	if originOf(page) != pageOrigin {
		if referer := fields.page(); referer != "" {
			page = referer
		}
	}
	if pageOrigin == "" {
		pageOrigin = originOf(page)
	}
	if pageOrigin == "" {
		pageOrigin = r.origins[e.page]
	}
	if originOf(page) != pageOrigin {
		page = ""
	}
	return pageOrigin, page
}

// calls puts together what belongs to one call: the preflight, the request, and those that redirects have led to.
func (r *harReader) calls() []Call {
	requests := make(map[string][]int) // by URL, in their order
	preflights := make(map[string][]int)
	for i, e := range r.entries {
		if e.preflight {
			preflights[e.url] = append(preflights[e.url], i)
		} else {
			requests[e.url] = append(requests[e.url], i)
		}
	}
	calls := make([]Call, 0, len(r.entries)-len(preflights)) // which would take twice as much as it grows
	for i, first := range r.entries {
		if first.preflight || first.used {
			continue
		}
		pageOrigin, page := r.origin(first)
		hops := []int{i}
		first.used = true
		for last := first; last.redirect != "" && len(hops) <= 20; {
			next := r.next(requests[last.redirect], hops[len(hops)-1], last)
			if next < 0 {
				break
			}
			last = r.entries[next]
			last.used = true
			hops = append(hops, next)
		}
		if !slices.ContainsFunc(hops, func(hop int) bool { return originOf(r.entries[hop].url) != pageOrigin }) {
			continue // same-origin, redirects included
		}
		if pageOrigin == "" && !first.request.fields().has("Origin") && first.resourceType == "" {
			continue // of no page: a request of the browser itself, or of another program
		}
		c := Call{Source: HAR, Count: 1, PageURL: page, Recorded: &Recorded{failureUnknown: r.creator == creatorFirefox}}
		c.request(first.method, first.url, first.request.fields())
		c.Missing = nil
		c.PageURL = page
		if c.Origin = pageOrigin; c.Origin == "" {
			c.lack(NeedOrigin, "", flagOrigin)
		}
		r.describe(&c, first)
		c.Recorded.Page = r.policies[document{first.page, page}]
		for _, hop := range hops {
			e := r.entries[hop]
			if p := r.nearest(preflights[e.url], hop, e.method); p >= 0 {
				r.entries[p].used = true
				c.Recorded.take(r.entries[p])
				if hop == i {
					c.preflighted(r.entries[p])
				}
			}
			c.Recorded.take(e)
		}
		calls = append(calls, c)
	}
	return append(calls, r.lonePreflights()...)
}

// preflighted takes from a call's preflight what the entry of the call does not tell: the browser has not sent all of it.
func (c *Call) preflighted(preflight *entry) {
	for name := range strings.SplitSeq(preflight.request.fields().get("Access-Control-Request-Headers"), ",") {
		if name = strings.TrimSpace(name); fetchspec.IsToken(name) && !header(c.Header).has(name) {
			c.Header = append(c.Header, namedHeader(name))
		}
	}
	if c.needsPreflight() {
		return
	}
	switch c.Kind {
	case fetch.KindXHR:
		c.Kind = fetch.KindXHRUpload
	case fetch.KindFetch:
		if c.Method == http.MethodPost {
			c.Kind = fetch.KindStream
		}
	case "": // of Firefox or WebKit, which have no request streams
		if c.Method == http.MethodPost {
			c.Kind = fetch.KindXHRUpload
		}
		if c.Body == nil { // which it does not record of a request that was not sent, and without which there is no preflight
			c.Body, c.Recorded.BodyCut = []byte{}, true
		}
	}
}

// lonePreflights makes calls of the preflights whose requests are not there: browsers leave them out that were never sent.
func (r *harReader) lonePreflights() (calls []Call) {
	for _, e := range r.entries {
		if !e.preflight || e.used || originOf(e.url) == e.request.fields().origin() {
			continue
		}
		e.used = true
		c := Call{Source: HAR, Count: 1, Recorded: new(Recorded)}
		c.request(e.method, e.url, e.request.fields())
		c.Origin, c.PageURL = r.origin(e)
		c.Recorded.take(e)
		c.Recorded.Failed = true
		calls = append(calls, c)
	}
	return calls
}

// describe takes what a HAR says of a request besides its method, URL and header.
func (r *harReader) describe(c *Call, e *entry) {
	if e.cookies != "" {
		c.Cookie, c.Credentials = e.cookies, true
	}
	if kind, ok := resourceTypes[strings.ToLower(e.resourceType)]; ok && c.Kind == "" {
		c.Kind = kind
	}
	if !e.request.fields().has("Sec-Fetch-Mode") && !e.request.fields().has("Origin") {
		switch c.Kind {
		case fetch.KindImage, fetch.KindScript, fetch.KindStyle, fetch.KindMedia:
			c.NoCORS = true // with CORS, there is an Origin
		}
	}
	c.Body = e.body
	c.Recorded.BodyCut, c.Recorded.HeaderCut = e.bodyCut, e.headerCut
	c.settle()
}

// settle takes off what calls of its kind do not have.
func (c *Call) settle() {
	switch c.Kind {
	case "", fetch.KindFetch, fetch.KindXHR, fetch.KindXHRUpload, fetch.KindStream:
		if c.Method == "" || c.Method == http.MethodHead {
			c.Body = nil
		}
		if c.Kind == fetch.KindXHR || c.Kind == fetch.KindXHRUpload {
			c.NoCORS = false
		}
		return
	case fetch.KindBeacon:
		c.Header = slices.DeleteFunc(c.Header, func(f fetch.Field) bool { return !strings.EqualFold(f.Name, "Content-Type") })
		c.Method, c.NoCORS = "", false
		return
	case fetch.KindFont, fetch.KindEventSource, fetch.KindManifest, fetch.KindModule, fetch.KindWebSocket:
		c.NoCORS = false
	}
	if c.Kind == fetch.KindFont {
		c.Credentials, c.Cookie = false, ""
	}
	c.Method, c.Header, c.Body = "", nil, nil
}

// resourceTypes are Chromium's values of _resourceType.
var resourceTypes = map[string]fetch.Kind{
	"fetch":       fetch.KindFetch,
	"xhr":         fetch.KindXHR,
	"font":        fetch.KindFont,
	"image":       fetch.KindImage,
	"stylesheet":  fetch.KindStyle,
	"script":      fetch.KindScript,
	"media":       fetch.KindMedia,
	"texttrack":   fetch.KindMedia,
	"manifest":    fetch.KindManifest,
	"eventsource": fetch.KindEventSource,
	"websocket":   fetch.KindWebSocket,
	"ping":        fetch.KindBeacon,
}

// near is how far apart the entries of one call may stand.
const near = 1000

// next finds the entry that a redirect has led to: the first after it, of a method that it can have.
func (r *harReader) next(candidates []int, after int, redirected *entry) int {
	begin, _ := slices.BinarySearch(candidates, after+1)
	for _, i := range candidates[begin:] {
		if i > after+near {
			break
		}
		e := r.entries[i]
		if !e.used && e.page == redirected.page && (e.method == redirected.method || e.method == http.MethodGet) {
			return i
		}
	}
	return -1
}

// nearest finds the preflight of a request: the one that asks for its method and is nearest to it. Browsers write them
// before and after it.
func (r *harReader) nearest(candidates []int, to int, method string) int {
	best := -1
	begin, _ := slices.BinarySearch(candidates, to-near)
	for _, i := range candidates[begin:] {
		if i > to+near {
			break
		}
		e := r.entries[i]
		if e.used || e.asks != method {
			continue
		}
		if best < 0 || abs(i-to) < abs(best-to) {
			best = i
		}
	}
	return best
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// take adds an exchange, if it was answered.
func (r *Recorded) take(e *entry) {
	if e.failure != "" {
		r.Failed, r.Error = true, e.failure
	}
	if e.status == 0 {
		r.Failed = true
		return
	}
	r.exchanges = append(r.exchanges, e.recordedExchange)
}
