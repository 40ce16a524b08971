package pasted_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/pasted"
)

// An archive of more requests than are judged at once is refused, however short each of them is.
func TestTooManyRequests(t *testing.T) {
	const limit = 150_000
	archive := func(count int) io.Reader {
		r, w := io.Pipe()
		go func() {
			_, err := io.WriteString(w, `{"log": {"entries": [`)
			for i := 0; i < count && err == nil; i++ {
				if i > 0 {
					_, _ = io.WriteString(w, ",")
				}
				_, err = fmt.Fprintf(w, `{"request": {"method": "GET", "url": "https://api.example.com/%d", "headers": [{"name": "Origin", "value": "https://app.example.com"}]}}`, i)
			}
			_, _ = io.WriteString(w, "]}}")
			w.CloseWithError(err)
		}()
		t.Cleanup(func() { r.Close() })
		return r
	}
	_, err := pasted.Read(archive(limit + 1))
	if _, ok := errors.AsType[*pasted.UnrecognizedError](err); !ok || !strings.Contains(err.Error(), "more than 150000 requests") {
		t.Errorf("is %v", err)
	}
}
