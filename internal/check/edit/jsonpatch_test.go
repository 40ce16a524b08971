package edit_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/edit"
)

func TestPatch(t *testing.T) {
	const config = `{"apps":{"http":{"servers":{"srv/0":{"routes":[
		{"handle":[{"handler":"cors","allow_origins":["https://app.example.com"],"report_only":true}]}]}}}}}`
	handler := []any{"apps", "http", "servers", "srv/0", "routes", 0, "handle", 0}
	at := func(more ...any) string { return edit.Pointer(append(handler[:len(handler):len(handler)], more...)...) }
	if got, want := at("allow_origins", "-"), "/apps/http/servers/srv~10/routes/0/handle/0/allow_origins/-"; got != want {
		t.Fatalf("the pointer is %s, want %s", got, want)
	}
	patch := edit.Patch{
		{Op: "test", Path: at("handler"), Value: "cors"},
		{Op: "add", Path: at("allow_origins", "-"), Value: "https://admin.example.com"},
		{Op: "add", Path: at("allow_credentials"), Value: true},
		{Op: "replace", Path: at("allow_origins", 0), Value: "https://www.example.com"},
		{Op: "remove", Path: at("report_only")},
	}
	text, err := json.Marshal(patch)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"op":"remove","path":"/apps/http/servers/srv~10/routes/0/handle/0/report_only"}]`; !bytes.HasSuffix(text, []byte(want)) {
		t.Errorf("the patch is %s, want %s at its end", text, want)
	}
	got, err := patch.Apply([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"apps":{"http":{"servers":{"srv/0":{"routes":[{"handle":[{"allow_credentials":true,` +
		`"allow_origins":["https://www.example.com","https://admin.example.com"],"handler":"cors"}]}]}}}}}`
	var tree any
	if err := json.Unmarshal(got, &tree); err != nil {
		t.Fatal(err)
	}
	if sorted, err := json.Marshal(tree); err != nil || string(sorted) != want {
		t.Errorf("got  %s (%v)\nwant %s", sorted, err, want)
	}
	for name, patch := range map[string]edit.Patch{
		"a path that is not there": {{Op: "remove", Path: at("debug")}},
		"a test that fails":        {{Op: "test", Path: at("handler"), Value: "headers"}},
		"an unknown operation":     {{Op: "insert", Path: at("debug"), Value: true}},
	} {
		if got, err := patch.Apply([]byte(config)); err == nil {
			t.Errorf("%s: got %s", name, got)
		}
	}
}
