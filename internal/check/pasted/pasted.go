// Package pasted reads what a browser gives to a person who is stuck: messages of its console, a request of its network
// panel as a curl command or as a call of fetch, or an export of that panel (HAR). It recognizes each by its form, and
// returns the calls in it, with what it does not say of them. It never runs anything, opens no file that a text names, and
// asks no server.
package pasted

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A Source is the form in which a call was given.
type Source string

// The forms.
const (
	Console Source = "console" // a message of a browser's console
	Curl    Source = "curl"    // Copy as cURL
	Fetch   Source = "fetch"   // Copy as fetch, for a browser or for Node.js
	HAR     Source = "har"     // an HTTP Archive, version 1.2
)

// A Call is one that a page made, as far as what was pasted tells.
type Call struct {
	Source Source

	// The request. Its URL and its Origin are valid, or empty and Missing. Its Header is the script's alone, without what
	// browsers add by themselves.
	fetch.Request

	// PageURL is the URL of the page, if it is known; its origin is the Origin then.
	PageURL string

	// RedirectedTo is the URL that a console message is about, where the call of URL was redirected there.
	RedirectedTo string

	// Said is the cause that a console message tells; empty if it tells none, or in another form.
	Said fetch.Code

	// Missing is what has to be known before the call can be checked, and is not.
	Missing []Missing

	// Insecure and Resolve are curl's options -k and --resolve.
	Insecure bool
	Resolve  []string

	// CredentialsUnsure says that Credentials was read off a text that has credentials: "include" for another reason, too:
	// browsers copy a call so that has an Authorization field, whatever its script asked for.
	CredentialsUnsure bool

	// NotRead has the files that a command names, in its order. They are part of the body or of the options, and were not
	// opened.
	NotRead []string

	// Count is how often the same was pasted.
	Count int

	// Recorded has what a HAR says of the servers' answers; nil in the other forms.
	Recorded *Recorded
}

// A Missing is something that a text does not say of a call.
type Missing struct {
	// Need is what it is.
	Need Need

	// Flags have it, each by itself: "-X", "-H", "--origin", "--page", "--data"; "<url>" is the command's argument.
	Flags []string

	// Likely is a value for the first flag that the text suggests and does not say, such as the origin of the scripts in a
	// stack trace; empty if there is none.
	Likely string
}

// A Need is a kind of what can be missing.
type Need string

// What can be missing.
const (
	NeedURL       Need = "url"       // which URL was called
	NeedOrigin    Need = "origin"    // which page called it
	NeedPage      Need = "page"      // the URL of the page, whose own header fields block the call
	NeedPreflight Need = "preflight" // the method or the header that made the preflight necessary
	NeedMethod    Need = "method"    // the method, which is not GET, HEAD or POST
	NeedHeader    Need = "header"    // the value of a header, or the header that made the preflight necessary
	NeedBody      Need = "body"      // the body, which is in a file or a variable
)

// The flags of the check.
const (
	flagURL    = "<url>"
	flagOrigin = "--origin"
	flagPage   = "--page"
	flagMethod = "-X"
	flagHeader = "-H"
	flagData   = "--data"
)

// Lacks reports whether something is missing of the call.
func (c *Call) Lacks(need Need) bool {
	return slices.ContainsFunc(c.Missing, func(m Missing) bool { return m.Need == need })
}

func (c *Call) lack(need Need, likely string, flags ...string) {
	if !c.Lacks(need) {
		c.Missing = append(c.Missing, Missing{need, flags, likely})
	}
}

// A Paste is what was read.
type Paste struct {
	Source Source // of the first call
	Calls  []Call // at least one, but in a HAR whose pages call no other origin

	// OmitsFailed says that the HAR is of a program that leaves the calls that have failed out of it: WebKit's inspector.
	OmitsFailed bool

	// Unread says, by name, what a text had besides the calls and could not be read: the flags of a command that are not
	// known, say.
	Unread []string
}

const (
	// maxText is the longest text that is read, but for a HAR, which has no limit.
	maxText = 2 << 20

	// maxCalls is how many calls of a text are taken, and maxFailures how many are tried that have no end. maxWords is how
	// many words a command may have, and maxCallHeaders how many headers a call of fetch may set. So the time and the memory
	// that a text takes are bounded, whatever is in it.
	maxCalls       = 1000
	maxFailures    = 50
	maxWords       = 2000
	maxCallHeaders = 1000
)

// An UnrecognizedError says that a text is in none of the forms.
type UnrecognizedError struct {
	// Reason says what is wrong with a text that has one of the forms in part; empty for one that has none.
	Reason string
}

func (e *UnrecognizedError) Error() string {
	const forms = "what can be pasted is a message of the browser's console, with its URL; a request of its network panel, by " +
		"Copy as cURL or Copy as fetch; or all of them, by Copy all as HAR or an exported .har file"
	if e.Reason != "" {
		return e.Reason + "; " + forms
	}
	return "nothing in this text is a call that a browser made: " + forms
}

// Read reads one text to its end. The error is an [*UnrecognizedError], or that of the reader.
func Read(r io.Reader) (*Paste, error) {
	in, isJSON, err := begin(r)
	if err != nil {
		return nil, err
	}
	if isJSON {
		start, peekErr := in.Peek(in.Size())
		start = bytes.Clone(start)
		paste, err := readHAR(in)
		if _, ok := errors.AsType[*UnrecognizedError](err); ok && peekErr == io.EOF { // and it is whole
			return readLogged(string(start), err)
		}
		return paste, err
	}
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxText {
		return nil, &UnrecognizedError{fmt.Sprintf("the text is longer than %d MiB, which only a HAR can be", maxText>>20)}
	}
	return readText(string(text))
}

// ReadHAR reads a HAR to its end, entry by entry: it may be longer than what fits in memory. The error is an
// [*UnrecognizedError] with a reason, or that of the reader.
func ReadHAR(r io.Reader) (*Paste, error) {
	in, isJSON, err := begin(r)
	if err != nil {
		return nil, err
	}
	if !isJSON {
		return nil, &UnrecognizedError{"the text does not begin as a JSON object does"}
	}
	return readHAR(in)
}

// begin reports whether a text begins as a JSON object does.
func begin(r io.Reader) (in *bufio.Reader, isJSON bool, err error) {
	in = bufio.NewReaderSize(r, 64<<10)
	if err := skipBOM(in); err != nil {
		return nil, false, err
	}
	isJSON, err = beginsObject(in)
	return in, isJSON, err
}

func skipBOM(in *bufio.Reader) error {
	begin, err := in.Peek(3)
	if err != nil && err != io.EOF {
		return err
	}
	if bytes.Equal(begin, []byte("\xef\xbb\xbf")) {
		_, err = in.Discard(3)
		return err
	}
	return nil
}

// beginsObject takes the white space off the beginning, and reports whether a JSON object follows.
func beginsObject(in *bufio.Reader) (bool, error) {
	for {
		c, err := in.ReadByte()
		switch {
		case err == io.EOF:
			return false, nil
		case err != nil:
			return false, err
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		}
		return c == '{', in.UnreadByte()
	}
}

// readLogged reads a JSON text that is not a HAR. Test drivers and services that collect errors wrap a console's messages in
// it. The error is the one that is given, if nothing of it is a call.
func readLogged(text string, err error) (*Paste, error) {
	if hint := hinted(text, otherForms); hint != nil {
		return nil, hint
	}
	said := text // as other languages write objects
	var value any
	if json.Unmarshal([]byte(text), &value) == nil {
		said = strings.Join(stringsOf(value, nil), "\n")
	}
	paste := &Paste{Source: Console}
	for _, c := range readConsole(said) {
		paste.add(c)
	}
	if len(paste.Calls) == 0 {
		return nil, err
	}
	return paste, nil
}

// stringsOf appends the strings of a JSON value, but the names of members.
func stringsOf(value any, all []string) []string {
	switch v := value.(type) {
	case string:
		return append(all, v)
	case []any:
		for _, element := range v {
			all = stringsOf(element, all)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = stringsOf(v[name], all)
		}
	}
	return all
}

// readText reads a text that is not JSON. A text may have several forms in it: somebody types a call into the console and
// copies the answer with it.
func readText(text string) (*Paste, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if allQuoted(text) {
		text = linePrefix.ReplaceAllString(text, "")
	}
	paste := new(Paste)
	commands, unread, curlErr := readCurl(text)
	paste.Unread = unread
	scripts, fetchErr := readScript(text)
	messages := readConsole(text)
	calls := append(commands, scripts...)
	for _, m := range messages {
		if !complete(calls, m) {
			calls = append(calls, m)
		}
	}
	if len(calls) == 0 {
		if err := cmpOr(curlErr, hinted(text, otherForms)); err != nil {
			return nil, err
		}
		calls = readUnworded(text)
	}
	if len(calls) == 0 {
		if err := cmpOr(hinted(text, otherMessages), fetchErr); err != nil {
			return nil, err
		}
		return nil, new(UnrecognizedError)
	}
	paste.Source = calls[0].Source
	for _, c := range calls {
		paste.add(c)
	}
	return paste, nil
}

// allQuoted reports whether all lines of a text are marked as a quotation.
func allQuoted(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, ">") {
			return false
		}
	}
	return true
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// add adds a call, or counts it if it is there already.
func (p *Paste) add(c Call) {
	for i := range p.Calls {
		if p.Calls[i].same(&c) {
			p.Calls[i].Count++
			return
		}
	}
	c.Count = 1
	p.Calls = append(p.Calls, c)
}

// same reports whether a call is the same as another one.
func (c *Call) same(d *Call) bool {
	return c.Source == d.Source && c.URL == d.URL && c.Origin == d.Origin && c.Kind == d.Kind && c.Method == d.Method &&
		c.NoCORS == d.NoCORS && c.Credentials == d.Credentials && c.Cookie == d.Cookie && c.PageURL == d.PageURL &&
		c.RedirectedTo == d.RedirectedTo && (c.Said == d.Said || c.Said == "" || d.Said == "") &&
		(c.Body == nil) == (d.Body == nil) && bytes.Equal(c.Body, d.Body) &&
		slices.Equal(c.Header, d.Header) && c.Recorded == nil && d.Recorded == nil &&
		slices.EqualFunc(c.Missing, d.Missing, func(a, b Missing) bool { return a.Need == b.Need })
}

// complete takes from a console message what one of the calls lacks, if it is about the same URL.
func complete(calls []Call, message Call) bool {
	found := false
	for i := range calls {
		c := &calls[i]
		if c.URL == "" || c.URL != message.URL || c.Origin != "" && message.Origin != "" && c.Origin != message.Origin {
			continue
		}
		found = true
		if c.Origin == "" && message.Origin != "" {
			c.Origin = message.Origin
			c.Missing = slices.DeleteFunc(c.Missing, func(m Missing) bool { return m.Need == NeedOrigin })
		}
		if c.PageURL == "" {
			c.PageURL = message.PageURL
		}
		c.Credentials = c.Credentials || message.Credentials
		c.Said, c.RedirectedTo = message.Said, message.RedirectedTo
	}
	return found
}

// callableURL returns a URL as browsers have it, without its fragment. It is empty if no page can call that: its scheme is
// another one than http and https, and ws and wss of a WebSocket.
func callableURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	switch u.Scheme() {
	case "http", "https", "ws", "wss":
		return u.Href(true)
	}
	return ""
}

// originOf returns the origin of a URL or an origin, in the form in which browsers send it; empty if it has none.
func originOf(text string) string {
	if _, ok := origin.Parse(text); ok || text == origin.Null {
		return text
	}
	if strings.HasPrefix(text, "file:") {
		return origin.Null // pages opened from a file
	}
	// What stands before the path of most URLs is an origin as it is, which is found faster than a URL is read.
	if scheme := strings.Index(text, "://"); scheme > 0 {
		if end := strings.IndexAny(text[scheme+3:], "/?#"); end > 0 {
			if before := text[:scheme+3+end]; strings.HasPrefix(before, "http") {
				if _, ok := origin.Parse(before); ok {
					return before
				}
			}
		}
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme() == "" || u.Host() == "" {
		return ""
	}
	serialized := u.Scheme() + "://" + u.Host()
	if _, ok := origin.Parse(serialized); ok {
		return serialized
	}
	return ""
}
