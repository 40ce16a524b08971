package fetch

import (
	"errors"
	"net/http"

	"github.com/nlnwa/whatwg-url/url"
)

// ErrNotRecorded is the error of a [Recording] that has no answer to a request.
var ErrNotRecorded = errors.New("no answer is recorded")

// A Recorded is an exchange that a browser has made, such as an entry of a HAR.
type Recorded struct {
	URL string // absolute; a fragment does not count
	Exchange
}

// A Recording has the answers of exchanges that were made before, in place of servers: nothing is asked of any. Each
// answer is given once, to the first request of the same method and URL; a preflight's, to one that asks for the same
// method. A request without an answer fails with [ErrNotRecorded], and so does the call, with the verdict Unknown; but
// where a preflight alone is missing, and the request after it was answered, the preflight has allowed it. The Recording
// is not safe for concurrent use.
type Recording struct {
	exchanges []Recorded
	given     []bool
}

// NewRecording takes the exchanges of a call, or of several, in the order in which they were made.
func NewRecording(exchanges []Recorded) *Recording {
	return &Recording{exchanges: exchanges, given: make([]bool, len(exchanges))}
}

// RoundTrip returns the answer to a request, whose body is empty.
func (r *Recording) RoundTrip(request *http.Request) (*http.Response, error) {
	target := request.URL.String()
	for i, e := range r.exchanges {
		if r.given[i] || e.Method != request.Method || !sameURL(e.URL, target) {
			continue
		}
		const field = "Access-Control-Request-Method"
		if e.Preflight != (request.Header.Get(field) != "") || e.Preflight && e.RequestHeader.Get(field) != request.Header.Get(field) {
			continue
		}
		r.given[i] = true
		return &http.Response{StatusCode: e.Status, Header: e.ResponseHeader, Body: http.NoBody, Request: request}, nil
	}
	return nil, ErrNotRecorded
}

// sameURL compares URLs as browsers write them, but for their fragments.
func sameURL(a, b string) bool {
	if a == b { // as most of an archive are
		return true
	}
	parsedA, errA := url.Parse(a)
	parsedB, errB := url.Parse(b)
	return errA == nil && errB == nil && parsedA.Href(true) == parsedB.Href(true)
}
