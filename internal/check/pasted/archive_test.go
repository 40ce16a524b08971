package pasted_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// archive is a HAR of some entries, as it is written.
func archive(t *testing.T, count int, entry func(w io.Writer, i int)) io.Reader {
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriter(w)
		fmt.Fprint(out, `{"log": {"entries": [`)
		for i := range count {
			if i > 0 {
				fmt.Fprint(out, ",")
			}
			entry(out, i)
		}
		fmt.Fprint(out, "]}}")
		w.CloseWithError(out.Flush())
	}()
	t.Cleanup(func() { r.Close() })
	return r
}

// An archive of more requests than are judged at once is refused, however short each of them is.
func TestTooManyRequests(t *testing.T) {
	const limit = 150_000
	_, err := pasted.Read(archive(t, limit+1, func(w io.Writer, i int) {
		fmt.Fprintf(w, `{"request": {"method": "GET", "url": "https://api.example.com/%d", "headers": [{"name": "Origin", "value": "https://app.example.com"}]}}`, i)
	}))
	if _, ok := errors.AsType[*pasted.UnrecognizedError](err); !ok || !strings.Contains(err.Error(), "more than 150000 requests") {
		t.Errorf("is %v", err)
	}
}

// However much is in the headers of an archive, and different in each, what is kept of it is bounded; and the verdicts are
// those that they would be with all of it.
func TestManyHeaders(t *testing.T) {
	const count = 8000
	long := strings.Repeat("x", 200)
	paste, err := pasted.Read(archive(t, count, func(w io.Writer, i int) {
		fmt.Fprintf(w, `{"request": {"method": "GET", "url": "https://api.example.com/%d", "headers": [{"name": "Origin", "value": "https://app.example.com"}, {"name": "Cookie", "value": "c=%d"}`, i, i)
		for h := range 25 {
			fmt.Fprintf(w, `, {"name": "X-%d", "value": "%d%s"}`, h, i, long)
		}
		fmt.Fprint(w, `]}, "response": {"status": 200, "headers": [{"name": "Access-Control-Allow-Origin", "value": "https://app.example.com"}`)
		if i%2 == 0 {
			fmt.Fprint(w, `, {"name": "Access-Control-Allow-Credentials", "value": "true"}`)
		}
		for h := range 25 {
			fmt.Fprintf(w, `, {"name": "X-%d", "value": "%d%s"}`, h, i, long)
		}
		fmt.Fprint(w, `]}}`)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(paste.Calls) != count {
		t.Fatalf("%d calls are read, want %d", len(paste.Calls), count)
	}
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	if live := stats.HeapAlloc >> 20; live > 64 { // 80 MB have been read
		t.Errorf("%d MiB are kept", live)
	}
	for _, i := range []int{0, 1, count - 2, count - 1} {
		call := &paste.Calls[i]
		if want := i > count/2; call.Recorded.HeaderCut != want {
			t.Errorf("call %d has its header cut: %t, want %t", i, call.Recorded.HeaderCut, want)
		}
		result, err := call.Judge(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := fetch.Allowed
		if i%2 == 1 {
			want = fetch.Blocked
		}
		if result.Verdict != want {
			t.Errorf("call %d is %s, want %s", i, result.Verdict, want)
		}
	}
	runtime.KeepAlive(paste)
}
