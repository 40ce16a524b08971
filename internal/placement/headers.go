package placement

import (
	"cmp"
	"net/textproto"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
)

// A LastWord is a deferred header operation on a field that cors answers for: it is done after cors has set the field.
type LastWord struct {
	At        string // where it stands
	Operation string // as a Caddyfile has it, such as ?Access-Control-Allow-Origin
}

// fieldsOfCORS are those that a cors sets, in lower case.
var fieldsOfCORS = []string{
	"access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods",
	"access-control-allow-headers", "access-control-expose-headers", "access-control-max-age",
	"access-control-allow-private-network", "timing-allow-origin",
}

// deferredOperations returns the operations of a header handler that have the last word.
func deferredOperations(h headers.Handler) []string {
	r := h.Response
	if r == nil || r.HeaderOps == nil || !r.Deferred && r.Require == nil {
		return nil
	}
	sign := ">"
	if r.Require != nil {
		sign = "?"
	}
	var operations []string
	add := func(sign, field string) {
		if isOfCORS(field) {
			operations = append(operations, sign+textproto.CanonicalMIMEHeaderKey(field))
		}
	}
	for field := range r.Set {
		add(sign, field)
	}
	for field := range r.Add {
		add("+", field)
	}
	for field := range r.Replace {
		add(sign, field)
	}
	for _, field := range r.Delete {
		add("-", field)
	}
	slices.SortFunc(operations, func(a, b string) int { return cmp.Or(cmp.Compare(a[1:], b[1:]), cmp.Compare(a, b)) })
	return operations
}

// isOfCORS reports whether the field, which may be a wildcard of the header directive, is one that cors sets, or Vary, by
// which caches tell its answers apart.
func isOfCORS(field string) bool {
	field = strings.ToLower(field)
	part := strings.Trim(field, "*")
	return slices.ContainsFunc(append(fieldsOfCORS, "vary"), func(name string) bool {
		begins, ends := strings.HasPrefix(field, "*"), strings.HasSuffix(field, "*")
		switch {
		case begins && ends:
			return strings.Contains(name, part)
		case begins:
			return strings.HasSuffix(name, part)
		case ends:
			return strings.HasPrefix(name, part)
		}
		return field == name
	})
}
