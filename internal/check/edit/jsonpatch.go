package edit

import (
	"encoding/json"
	"fmt"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// A Patch is a JSON Patch (RFC 6902): an edit of a JSON configuration. Its paths are those of Caddy's admin API, without
// "/config".
type Patch []Operation

// An Operation is one of a [Patch].
type Operation struct {
	Op    string // "add", "replace", "remove" or "test"
	Path  string // see [Pointer]
	Value any    // of "add", "replace" and "test": anything that encoding/json can marshal
}

// MarshalJSON implements [json.Marshaler]. The value of "add" can be null; "remove" has none.
func (o Operation) MarshalJSON() ([]byte, error) {
	if o.Op == "remove" {
		return json.Marshal(struct {
			Op   string `json:"op"`
			Path string `json:"path"`
		}{o.Op, o.Path})
	}
	return json.Marshal(struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}{o.Op, o.Path, o.Value})
}

// Pointer is the JSON Pointer (RFC 6901) that leads through the names of objects and the indices of arrays. The index "-"
// is the end of an array.
func Pointer(segments ...any) string {
	var pointer strings.Builder
	escaper := strings.NewReplacer("~", "~0", "/", "~1")
	for _, segment := range segments {
		pointer.WriteString("/" + escaper.Replace(fmt.Sprint(segment)))
	}
	return pointer.String()
}

// Apply makes the operations on a JSON document, all of them or none, and returns the document that results.
func (p Patch) Apply(document []byte) ([]byte, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	decoded, err := jsonpatch.DecodePatch(text)
	if err != nil {
		return nil, err
	}
	return decoded.Apply(document)
}
