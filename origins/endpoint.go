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

	// retryAfter is how long an endpoint is not asked about an origin again after it failed to answer.
	retryAfter = 5 * time.Second

	// maxBody is how much of a body is read, so that the connection can be used again.
	maxBody = 4 << 10
)

type endpointSettings struct {
	url          string
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
	questions map[string]*question
}

// A question is an origin that the endpoint is being asked about.
type question struct {
	done    chan struct{} // closed when allowed is set
	allowed bool
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
		questions: make(map[string]*question),
	}
}

// Destruct stops the requests under way and closes the connections.
func (e *endpoint) Destruct() error {
	e.stop()
	e.client.CloseIdleConnections()
	return nil
}

// allows returns the answer for an origin: from memory while it is good, else from the endpoint.
func (e *endpoint) allows(ctx context.Context, logger *zap.Logger, text string) bool {
	if len(text) > maxOrigin {
		return false
	}
	e.mu.Lock()
	last, good := e.answers.get(text, e.now())
	if good {
		e.mu.Unlock()
		return last
	}
	q := e.questions[text]
	if q == nil {
		if _, ok := origin.Parse(text); !ok {
			e.mu.Unlock()
			return false
		}
		if len(e.questions) >= maxQuestions {
			e.mu.Unlock()
			e.failed(logger, text, fmt.Errorf("it is being asked about %d other origins", maxQuestions))
			return last
		}
		text = strings.Clone(text) // which may be a part of a request
		q = &question{done: make(chan struct{})}
		e.questions[text] = q
		go e.ask(logger, text, q)
	}
	e.mu.Unlock()

	select {
	case <-q.done:
		return q.allowed
	case <-ctx.Done():
		return last
	}
}

// ask asks the question and remembers the answer.
func (e *endpoint) ask(logger *zap.Logger, text string, q *question) {
	ctx, cancel := context.WithTimeout(e.running, e.settings.timeout)
	defer cancel()
	var allowed bool
	var err error
	select {
	case e.requests <- struct{}{}:
		defer func() { <-e.requests }()
		var body io.ReadCloser
		allowed, body, err = e.get(ctx, text)
		if body != nil {
			// Nobody waits for the body.
			defer body.Close()
			defer io.CopyN(io.Discard, body, maxBody)
		}
	case <-ctx.Done():
		err = ctx.Err()
	}

	e.mu.Lock()
	if err == nil {
		e.answers.put(text, allowed, e.now().Add(e.settings.ttl))
	} else {
		// The last answer stands.
		allowed, _ = e.answers.get(text, e.now())
		e.answers.put(text, allowed, e.now().Add(min(retryAfter, e.settings.ttl)))
	}
	q.allowed = allowed
	delete(e.questions, text)
	e.mu.Unlock()
	close(q.done)

	switch {
	case err == nil:
		e.fault.over(logger, "the endpoint answers again")
	case e.running.Err() != nil: // it was stopped
	case errors.Is(err, context.DeadlineExceeded):
		e.failed(logger, text, fmt.Errorf("no answer within %v", e.settings.timeout))
	default:
		e.failed(logger, text, err)
	}
}

func (e *endpoint) failed(logger *zap.Logger, text string, err error) {
	e.fault.is(logger, "the endpoint does not say whether an origin may call; its last answer stands, and denied is what it has not answered for",
		err, zap.String("origin", text))
}

// get makes one request. There may be a body with an error too.
func (e *endpoint) get(ctx context.Context, text string) (allowed bool, body io.ReadCloser, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, questionURL(e.settings.url, text), nil)
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
