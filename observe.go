package caddycors

import (
	"net/http"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/policy"
)

const (
	debugHeader = "X-Cors-Decision"

	// maxDetail bounds what of a request is shown to others, in bytes.
	maxDetail = 128
)

// observe shows the decision to those who run the server.
func (h *Handler) observe(*http.Request, bool, *policy.Decision) {}

// debugValue explains a decision as a Structured Field (RFC 9651): an Item whose token is the outcome.
func debugValue(d *policy.Decision) string {
	value := string(d.Outcome)
	if d.Reason != "" {
		value += "; reason=" + string(d.Reason)
	}
	if d.Detail != "" {
		value += "; detail=" + quote(d.Detail)
	}
	return value + "; policy=" + quote(d.Policy.Name())
}

// quote makes a String (RFC 9651, section 3.3.3) of the start of s, with a "?" for each byte that it cannot hold.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s[:min(len(s), maxDetail)]) {
		switch {
		case c < ' ' || c > '~':
			c = '?'
		case c == '"' || c == '\\':
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}
