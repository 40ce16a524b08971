package check

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// A configuration's JSON is a tree of maps and slices here. The place of a value in it is a JSON Pointer (RFC 6901).

// decode reads JSON, with its numbers as they are written, and without the "@id" by which the admin API finds an object.
func decode(text []byte) (map[string]any, error) {
	if bytes.Contains(text, []byte(`"@id"`)) {
		text = caddy.RemoveMetaFields(text)
	}
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return tree, decoder.Decode(&tree)
}

// clone returns a copy of a tree that has nothing in common with it.
func clone(tree map[string]any) map[string]any {
	copied, _ := copyOf(tree).(map[string]any)
	return copied
}

func copyOf(value any) any {
	switch v := value.(type) {
	case nil, string, bool, json.Number:
		return v
	case map[string]any:
		if v == nil {
			return nil
		}
		object := make(map[string]any, len(v))
		for name, field := range v {
			object[name] = copyOf(field)
		}
		return object
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = copyOf(element)
		}
		return list
	}
	// What an edit has put there as another type becomes what decode would make of it.
	text, err := json.Marshal(map[string]any{"value": value})
	if err != nil {
		panic(err) // it is to become JSON
	}
	tree, err := decode(text)
	if err != nil {
		panic(err)
	}
	return tree["value"]
}

// remarshal turns one form of a JSON value into another.
func remarshal(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// walk calls f for each object of a JSON value with its place, those of an object in the order of their names. The value's own
// place is given.
func walk(value any, place string, f func(place string, object map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		f(place, v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], place+"/"+pointerEscaper.Replace(name), f)
		}
	case []any:
		for i, element := range v {
			walk(element, place+"/"+strconv.Itoa(i), f)
		}
	}
}

// at returns the object at a place of a configuration, or nil.
func at(tree map[string]any, place string) map[string]any {
	var value any = tree
	for name := range strings.SplitSeq(strings.TrimPrefix(place, "/"), "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[pointerUnescaper.Replace(name)]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	object, _ := value.(map[string]any)
	return object
}

var (
	pointerEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// array returns the array of a name in an object, or nil.
func array(object map[string]any, name string) []any {
	list, _ := object[name].([]any)
	return list
}

// object returns the object of a name in an object, or nil.
func object(of map[string]any, name string) map[string]any {
	inner, _ := of[name].(map[string]any)
	return inner
}

// texts returns the strings of the array of a name in an object.
func texts(of map[string]any, name string) []string {
	var list []string
	for _, value := range array(of, name) {
		if text, ok := value.(string); ok {
			list = append(list, text)
		}
	}
	return list
}

// eachHandler calls f for each handler of the HTTP servers with its place, the outer ones after those in them. What f returns
// takes its place.
func eachHandler(tree map[string]any, f func(place string, handler map[string]any) map[string]any) {
	var descend func(value any, place string)
	descend = func(value any, place string) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				descend(inner, place+"/"+pointerEscaper.Replace(name))
			}
			for i, handler := range array(v, "handle") {
				if h, ok := handler.(map[string]any); ok && h["handler"] != nil {
					array(v, "handle")[i] = f(place+"/handle/"+strconv.Itoa(i), h)
				}
			}
		case []any:
			for i, inner := range v {
				descend(inner, place+"/"+strconv.Itoa(i))
			}
		}
	}
	descend(object(object(tree, "apps"), "http"), "/apps/http")
}
