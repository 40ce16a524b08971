package check

import (
	"context"
	"errors"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// What others than the command show of a check.

// Text is the report for a person, as the command prints it without colors.
func (r *Report) Text(c *Check) string { return r.text(c, false) }

// Write writes the edits to the files of the Caddyfile, all or none, and returns their names as they are written in it. A
// file for whose path mayWrite has an error is not written, and neither are the others.
func (r *Report) Write(mayWrite func(path string) error) ([]string, error) {
	var err error
	r.Written, err = r.edited.writeWhere(mayWrite)
	return r.Written, err
}

// Write writes the edit as [Report.Write] does.
func (r *AllowReport) Write(mayWrite func(path string) error) ([]string, error) {
	return r.edited.writeWhere(mayWrite)
}

// writeWhere writes what has been edited, if all of it may be written.
func (c *configuration) writeWhere(mayWrite func(path string) error) ([]string, error) {
	if c == nil {
		return nil, errors.New("there is nothing to write")
	}
	if c.text != nil {
		for _, file := range c.text.Files() {
			if file.Changed() {
				if err := mayWrite(file.Path); err != nil {
					return nil, err
				}
			}
		}
	}
	return c.write()
}

// Recorded is the report on a call of a HAR, by its recorded answers: no request is made.
func Recorded(ctx context.Context, call *pasted.Call) *Report {
	if _, err := call.Judge(ctx); err != nil { // which finds out whether the call had credentials
		return unknown("arguments", err.Error())
	}
	c := Of(call)
	c.network = fetch.NewRecording(call.Recorded.Exchanges())
	r := c.Run(ctx, Handler{})
	r.warnRecorded(ctx, call)
	return r
}

// nameHandlers says of each exchange which handler of the configuration has answered.
func (r *Report) nameHandlers(a *attempt, conf *configuration) {
	i := 0
	for _, step := range r.Steps {
		if step.Exchange == nil {
			continue
		}
		if i < len(a.exchanges) {
			step.Exchange.Handler, _ = at(conf.tree, a.exchanges[i].answered)["handler"].(string)
		}
		i++
	}
}

// Of is the check of a pasted call as it is.
func Of(call *pasted.Call) *Check { return &Check{request: call.Request, maxTime: defaultMaxTime} }
