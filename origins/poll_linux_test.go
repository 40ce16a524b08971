package origins

import (
	"errors"
	"testing"
)

// Some file systems tell a wrong size; what that leaves of a list is no list.
func TestFileOfAWrongSize(t *testing.T) {
	text := textFile("/proc/version")
	version, err := text.stat(t.Context())
	if err != nil || version.size != 0 {
		t.Fatalf("the size of %s is %d, %v: it shows nothing here", text, version.size, err)
	}
	if err := text.read(t.Context(), version, discard); !errors.Is(err, errChanged) {
		t.Errorf("read: %v", err)
	}
}
