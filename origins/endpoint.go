package origins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

const (
	maxRequests  = 32   // that are under way at a time
	maxQuestions = 1024 // that are under way or wait for one of the others to end

	// retryAfter is how long an endpoint is not asked the same again after it failed to answer.
	retryAfter = 5 * time.Second

	// maxBody is how much of a body is read, so that the connection can be used again.
	maxBody = 4 << 10
)

type endpointSettings struct {
	url          string // the text of its address
	timeout, ttl time.Duration
	max          int // answers
}

// An endpoint answers whether origins may call, and remembers it.
type endpoint struct {
	settings endpointSettings
	client   http.Client
	requests chan struct{} // has an element for each request under way
	running  context.Context
	stop     context.CancelFunc
	now      func() time.Time
	fault    *fault

	mu        sync.Mutex
	answers   answers
	questions map[subject]*question
}

// A question is what the endpoint is being asked.
type question struct {
	done    chan struct{} // closed when allowed is set
	allowed bool
	waiting int // requests that wait for the answer
	cancel  context.CancelFunc
}

func newEndpoint(settings endpointSettings) *endpoint {
	running, stop := context.WithCancel(context.Background())
	return &endpoint{
		settings: settings,
		client: http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				ForceAttemptHTTP2:      true,
				MaxIdleConnsPerHost:    maxRequests,
				MaxResponseHeaderBytes: 64 << 10,
				IdleConnTimeout:        90 * time.Second,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		requests:  make(chan struct{}, maxRequests),
		running:   running,
		stop:      stop,
		now:       time.Now,
		fault:     newFault(),
		answers:   newAnswers(settings.max),
		questions: make(map[subject]*question),
	}
}

// Destruct cancels what nobody waits for, and closes the connections. A request may still be waiting for an answer when
// its configuration is replaced: it gets the answer, and then that connection is closed, too.
func (e *endpoint) Destruct() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop()
	for _, q := range e.questions {
		q.cancelUnlessAwaitedLocked()
	}
	e.client.CloseIdleConnections()
	return nil
}

// cancelUnlessAwaitedLocked needs the lock of the endpoint.
func (q *question) cancelUnlessAwaitedLocked() {
	if q.waiting == 0 {
		q.cancel()
	}
}

// allows returns the answer about a subject: from memory while it is good, and once more while the endpoint is asked again;
// else from the endpoint.
func (e *endpoint) allows(ctx context.Context, logger *zap.Logger, s subject) bool {
	if len(s.origin) > maxOrigin {
		return false
	}
	e.mu.Lock()
	last, now := e.answers.get(s), e.now()
	allowed := e.answers.allows(last)
	if last != nil && now.Before(last.until) {
		e.mu.Unlock()
		return allowed
	}
	q := e.questions[s]
	if q == nil {
		if _, ok := origin.Parse(s.origin); !ok {
			e.mu.Unlock()
			return false
		}
		if len(e.questions) >= maxQuestions {
			e.mu.Unlock()
			e.failed(logger, s, fmt.Errorf("it is being asked about %d other origins", maxQuestions))
			return allowed
		}
		q = e.beginLocked(logger, s)
	}
	if last != nil && last.given && now.Before(last.until.Add(e.settings.ttl)) {
		e.mu.Unlock()
		return allowed
	}
	q.waiting++
	e.mu.Unlock()

	select {
	case <-q.done:
		return q.allowed
	case <-ctx.Done():
		e.mu.Lock()
		defer e.mu.Unlock()
		q.waiting--
		if e.running.Err() != nil {
			q.cancelUnlessAwaitedLocked()
		}
		return allowed
	}
}

// beginLocked begins to ask.
func (e *endpoint) beginLocked(logger *zap.Logger, s subject) *question {
	s.origin = strings.Clone(s.origin) // which may be a part of a request
	ctx, cancel := context.WithTimeout(context.Background(), e.settings.timeout)
	q := &question{done: make(chan struct{}), cancel: cancel}
	e.questions[s] = q
	go e.ask(ctx, logger, s, q)
	return q
}

// ask asks the question and remembers the answer.
func (e *endpoint) ask(ctx context.Context, logger *zap.Logger, s subject, q *question) {
	defer func() {
		if e.running.Err() != nil {
			e.client.CloseIdleConnections()
		}
	}()
	defer q.cancel()
	var allowed bool
	var err error
	select {
	case e.requests <- struct{}{}:
		defer func() { <-e.requests }()
		var body io.ReadCloser
		allowed, body, err = e.get(ctx, s)
		if body != nil {
			// Nobody waits for the body.
			defer context.AfterFunc(e.running, q.cancel)()
			defer body.Close()
			defer io.CopyN(io.Discard, body, maxBody)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}

	e.mu.Lock()
	if err == nil {
		e.answers.put(s, allowed, true, e.now().Add(e.settings.ttl))
	} else {
		// The last answer stands.
		last := e.answers.get(s)
		allowed = e.answers.allows(last)
		e.answers.put(s, allowed, last != nil && last.given, e.now().Add(min(retryAfter, e.settings.ttl)))
	}
	q.allowed = allowed
	delete(e.questions, s)
	e.mu.Unlock()
	close(q.done)

	switch {
	case err == nil:
		e.fault.over(logger, "the endpoint answers again")
	case errors.Is(err, context.Canceled): // it was stopped, and nobody waited
	case errors.Is(err, context.DeadlineExceeded):
		e.failed(logger, s, fmt.Errorf("no answer within %v", e.settings.timeout))
	default:
		e.failed(logger, s, err)
	}
}

func (e *endpoint) failed(logger *zap.Logger, s subject, err error) {
	e.fault.is(logger, "the endpoint does not say whether an origin may call; its last answers stay in use, and other origins are denied",
		err, zap.String("origin", s.origin))
}

// get makes one request. There may be a body with an error too.
func (e *endpoint) get(ctx context.Context, s subject) (allowed bool, body io.ReadCloser, err error) {
	address := s.url
	if address == "" {
		address = e.settings.url
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, questionURL(address, s.origin), nil)
	if err != nil {
		return false, nil, errors.New("the URL is not valid")
	}
	response, err := e.client.Do(request)
	if err != nil {
		// What is around the cause has the whole URL in it, with a password or a token maybe.
		var around *url.Error
		if errors.As(err, &around) {
			err = around.Err
		}
		return false, nil, err
	}
	switch status := response.StatusCode; {
	case status == http.StatusOK:
		return true, response.Body, nil
	case status == http.StatusForbidden || status == http.StatusNotFound:
		return false, response.Body, nil
	case status >= 300 && status < 400:
		return false, response.Body, fmt.Errorf("it answered %d, and redirects are not followed; write the URL that answers", status)
	default:
		return false, response.Body, fmt.Errorf("it answered %d; 200 allows an origin, 403 and 404 deny it", status)
	}
}

// questionURL adds the origin to the URL of an endpoint, which may have a query.
func questionURL(address, text string) string {
	switch {
	case !strings.Contains(address, "?"):
		address += "?"
	case !strings.HasSuffix(address, "?") && !strings.HasSuffix(address, "&"):
		address += "&"
	}
	return address + "origin=" + url.QueryEscape(text)
}
