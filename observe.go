package caddycors

import (
	"github.com/dunglas/httpsfv"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

const (
	debugHeader = "X-Cors-Decision"

	// maxDetail bounds what of a request is shown to others, in bytes.
	maxDetail = 128

	defaultPolicyName = "default"
)

// debugValue explains a decision as a Structured Field (RFC 9651): an Item, whose token is the outcome.
func debugValue(d *policy.Decision) string {
	item := httpsfv.NewItem(httpsfv.Token(d.Outcome))
	if d.Reason != "" {
		item.Params.Add("reason", httpsfv.Token(d.Reason))
	}
	if d.Detail != "" {
		item.Params.Add("detail", printable(d.Detail))
	}
	item.Params.Add("policy", defaultPolicyName)
	value, err := httpsfv.Marshal(item)
	if err != nil {
		return "" // no outcome, reason or printable detail is such that this happens
	}
	return value
}

// printable returns the start of s with a "?" for each byte that a Structured Field's String cannot hold.
func printable(s string) string {
	b := []byte(s[:min(len(s), maxDetail)])
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
