package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// archive is a HAR of at least a size, made of what Chromium has exported, each call with a URL of its own.
func archive(t testing.TB, size int) []byte {
	t.Helper()
	text, err := os.ReadFile("../pasted/testdata/chromium.har")
	if err != nil {
		t.Fatal(err)
	}
	var exported struct {
		Log struct{ Entries []json.RawMessage }
	}
	if err := json.Unmarshal(text, &exported); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	b.WriteString(`{"log": {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": [`)
	for n := 0; b.Len() < size; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		entry := exported.Log.Entries[n%len(exported.Log.Entries)]
		b.WriteString(strings.ReplaceAll(string(entry), "api.example.com/", fmt.Sprintf("api.example.com/%d/", n)))
	}
	b.WriteString("]}}")
	return b.Bytes()
}

// How long the server takes for the table of an archive of 50 MB.
func BenchmarkArchive(b *testing.B) {
	text := archive(b, 50<<20)
	s := NewServer("127.0.0.1:1", Options{})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r := httptest.NewRequest("POST", "/api/read", bytes.NewReader(text))
		r.Header.Set("Content-Type", "application/octet-stream")
		w := httptest.NewRecorder()
		s.readPaste(w, r)
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
		b.ReportMetric(float64(w.Body.Len()), "B/answer")
	}
}
