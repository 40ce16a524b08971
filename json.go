package caddycors

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/policy"
	"github.com/caddy-cors/caddy-cors/internal/spelling"
)

// UnmarshalJSON decodes the handler. Unknown fields become problems, which Provision reports together with all others.
func (h *Handler) UnmarshalJSON(data []byte) error {
	type fields Handler // which has no UnmarshalJSON
	h.raw = bytes.Clone(data)
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if strict.Decode((*fields)(h)) == nil { // most have none, and need not be decoded twice
		return nil
	}
	*h = Handler{raw: h.raw}
	if err := json.Unmarshal(data, (*fields)(h)); err != nil {
		return err
	}
	for _, name := range unknownFields(data, handlerFields) {
		h.unknown = append(h.unknown, unknownField("unknown field %q; %s", name, spelling.Among(name, handlerFields, "fields")))
	}
	return nil
}

// UnmarshalJSON decodes the policy. Unknown fields become problems, as in [Handler.UnmarshalJSON].
func (p *Policy) UnmarshalJSON(data []byte) error {
	type fields Policy
	if err := json.Unmarshal(data, (*fields)(p)); err != nil {
		return err
	}
	for _, name := range unknownFields(data, policyFields) {
		if slices.Contains(handlerFields, name) {
			p.unknown = append(p.unknown, unknownField(`%q is a field of the handler: move it out of "policies"`, name))
		} else {
			p.unknown = append(p.unknown, unknownField("unknown field %q; %s", name, spelling.Among(name, policyFields, "fields")))
		}
	}
	return nil
}

func unknownField(format string, args ...any) policy.Problem {
	return policy.Problem{Form: policy.JSON, Message: fmt.Sprintf(format, args...)}
}

// unknownFields returns the names of the object's fields that are not known. Case is of no matter to encoding/json.
func unknownFields(data []byte, known []string) []string {
	var object map[string]json.RawMessage
	if json.Unmarshal(data, &object) != nil {
		return nil // it is null
	}
	names := slices.Sorted(maps.Keys(object))
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(known, func(field string) bool { return strings.EqualFold(field, name) })
	})
}

var (
	handlerFields = fieldNames(reflect.TypeFor[Handler]())
	policyFields  = fieldNames(reflect.TypeFor[Policy]())
)

// fieldNames returns the names in JSON of the exported fields of a struct, those of what it embeds included.
func fieldNames(structure reflect.Type) []string {
	var names []string
	for _, field := range reflect.VisibleFields(structure) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}
