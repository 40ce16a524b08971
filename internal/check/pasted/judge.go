package pasted

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// Judge does what a browser does for a call of a HAR, with the answers that were recorded: no request is made. Where they
// do not suffice, the verdict is [fetch.Unknown]. An error is about a call that cannot be made at all.
//
// An archive does not say whether a call had credentials, if its cookies were left out of it. If the browser kept a response
// from the page that it gets without credentials, and not with them, the call had them: Credentials is true from then on.
// In the same way, a request that was not sent, and which the page's Content-Security-Policy forbids, was not sent for that:
// Page is set from then on. Where the request was sent, the policy has let it pass, whatever document it was of.
func (c *Call) Judge(ctx context.Context) (*fetch.Result, error) {
	exchanges := c.Recorded.Exchanges()
	result, err := judge(ctx, c.Request, exchanges)
	if err == nil && result.Verdict == fetch.Unknown && c.Recorded.Page != nil {
		request := c.Request
		request.Page = c.Recorded.Page
		if with, err := judge(ctx, request, exchanges); err == nil && with.Cause != nil && with.Cause.Code == fetch.ContentSecurityPolicy {
			c.Page = request.Page
			return with, nil
		}
		return result, nil
	}
	if err != nil || result.Verdict != fetch.Allowed || !c.Recorded.Failed || c.Credentials {
		return result, err
	}
	request := c.Request
	request.Credentials = true
	if with, err := judge(ctx, request, exchanges); err == nil && with.Verdict == fetch.Blocked {
		c.Credentials = true
		return with, nil
	}
	return result, nil
}

// InParallel calls a function with each number below n, in as many threads as there are: the calls of a HAR are judged one
// without another, and there may be very many.
func InParallel(n int, do func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	running.Wait()
}

// JudgeWithCredentials returns what blocks a call of a HAR that is allowed without credentials, if it was made with them and the
// archive does not tell: browsers send cookies only if there are any. It is nil if nothing does, or if the archive tells.
func (c *Call) JudgeWithCredentials(ctx context.Context) *fetch.Cause {
	if !c.Recorded.failureUnknown || c.Credentials || c.NoCORS || c.Kind == fetch.KindFont {
		return nil
	}
	request := c.Request
	request.Credentials = true
	result, err := judge(ctx, request, c.Recorded.Exchanges())
	if err != nil || result.Verdict != fetch.Blocked {
		return nil
	}
	return result.Cause
}

func judge(ctx context.Context, request fetch.Request, exchanges []fetch.Recorded) (*fetch.Result, error) {
	client := fetch.Client{Transport: fetch.NewRecording(exchanges)}
	result, err := client.Fetch(ctx, request)
	if err != nil && (result == nil || !errors.Is(err, fetch.ErrNotRecorded)) {
		return nil, err
	}
	return result, nil
}
