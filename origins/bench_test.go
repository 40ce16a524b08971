package origins

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

const million = 1_000_000

// fileOf writes a file of n different exact origins, one a line, and returns its path and the origins.
func fileOf(tb testing.TB, n int) (path string, origins []string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "origins")
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "https://customer-%d.shop.example.com\n", i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path, strings.Fields(text.String())
}

// loadFile loads the source of a file, as Caddy does.
func loadFile(tb testing.TB, path string) *File {
	tb.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: tb.Context()})
	defer cancel()
	f := &File{Path: path}
	if err := f.Provision(ctx); err != nil {
		tb.Fatal(err)
	}
	if err := f.Cleanup(); err != nil {
		tb.Fatal(err)
	}
	return f
}

// heap returns how many bytes of the heap are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// heapPerOrigin returns what each origin of a file takes of the heap, its text included.
func heapPerOrigin(tb testing.TB, path string, n int) float64 {
	before := heap()
	f := loadFile(tb, path)
	after := heap()
	last := fmt.Sprintf("https://customer-%d.shop.example.com", n-1)
	if !f.AllowsOrigin(tb.Context(), last) || f.AllowsOrigin(tb.Context(), last+".") {
		tb.Error("it does not allow just what the file has")
	}
	return float64(after-before) / float64(n)
}

func TestHeapPerOrigin(t *testing.T) {
	path, _ := fileOf(t, million)
	if got := heapPerOrigin(t, path, million); got > 60 {
		t.Errorf("%.1f bytes of heap for each exact origin; at most 60", got)
	}
}

// Where one line of a million changes, all that a reload of the list allocates, and so its peak, is less than 0.2 times the
// list: whether the source reads its file again, or the source of a new configuration does, while that of the old one is
// there, or many sources do.
func TestReloadHoldsOneList(t *testing.T) {
	path, texts := fileOf(t, million)
	before := heap()
	first := loadFile(t, path)
	list := heap() - before

	change := func(i int) (removed, added string) {
		removed, added = texts[i], fmt.Sprintf("https://customer-%d.shop.example.net", i)
		texts[i] = added
		if err := os.WriteFile(path, []byte(strings.Join(texts, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return removed, added
	}
	reload := func(what string, reload func() []*File) {
		t.Helper()
		removed, added := change(million / 2)
		defer func() { texts[million/2] = removed }()
		var start, end runtime.MemStats
		runtime.ReadMemStats(&start)
		loaded := reload()
		runtime.ReadMemStats(&end)
		if got := float64(end.TotalAlloc-start.TotalAlloc) / float64(list); got > 0.2 {
			t.Errorf("%s: it allocates %.2f times the %d bytes of the list; at most 0.2", what, got, list)
		}
		for _, f := range loaded {
			if !f.AllowsOrigin(t.Context(), added) || f.AllowsOrigin(t.Context(), removed) {
				t.Errorf("%s: it does not allow just what the file has", what)
			}
		}
	}
	reload("the same source", func() []*File {
		version, err := first.text.stat(t.Context())
		if err == nil {
			err = first.take(t.Context(), version)
		}
		if err != nil {
			t.Fatal(err)
		}
		return []*File{first}
	})
	reload("a source of a new configuration", func() []*File { return []*File{loadFile(t, path)} })
	reload("many sources", func() []*File { return []*File{loadFile(t, path), loadFile(t, path), loadFile(t, path)} })
	if !first.AllowsOrigin(t.Context(), texts[0]) {
		t.Error("it does not allow what the file has")
	}
}

func BenchmarkFileHeap(b *testing.B) {
	path, _ := fileOf(b, million)
	for b.Loop() {
		b.ReportMetric(heapPerOrigin(b, path, million), "heap-B/origin")
	}
}

// What a look-up costs in a list of a million origins, in one of one, and in a plain map of a million.
func BenchmarkFileAllows(b *testing.B) {
	plain := make(map[string]struct{})
	path, texts := fileOf(b, million)
	for _, text := range texts {
		plain[text] = struct{}{}
	}
	// The order of a map's memory is not that of the texts; nor is that of requests.
	hits := func(n int) []string {
		some := make([]string, 4096)
		for i := range some {
			some[i] = strings.Clone(texts[i*7919%n])
		}
		return some
	}
	misses := make([]string, 4096)
	for i := range misses {
		misses[i] = fmt.Sprintf("https://visitor-%d.shop.example.org", i)
	}
	lookUp := func(texts []string, has func(string) bool, want bool) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if has(texts[i%len(texts)]) != want {
					b.Fatal(texts[i%len(texts)])
				}
				i++
			}
		}
	}
	inMap := func(text string) bool { _, ok := plain[text]; return ok }
	b.Run("hit/map-of-1000000", lookUp(hits(million), inMap, true))
	b.Run("miss/map-of-1000000", lookUp(misses, inMap, false))
	one, _ := fileOf(b, 1)
	for _, file := range []struct {
		n    int
		path string
	}{{1, one}, {million, path}} {
		f := loadFile(b, file.path)
		allows := func(text string) bool { return f.AllowsOrigin(b.Context(), text) }
		b.Run(fmt.Sprintf("hit/file-of-%d", file.n), lookUp(hits(file.n), allows, true))
		b.Run(fmt.Sprintf("miss/file-of-%d", file.n), lookUp(misses, allows, false))
	}
}

// What it costs to read a file of a million origins again, of which one is another.
func BenchmarkFileReload(b *testing.B) {
	path, texts := fileOf(b, million)
	other := filepath.Join(b.TempDir(), "origins")
	texts[million/2] = "https://another.example.net"
	if err := os.WriteFile(other, []byte(strings.Join(texts, "\n")+"\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	f := loadFile(b, path)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f.text = textFile([]string{other, path}[i%2])
		version, err := f.text.stat(b.Context())
		if err == nil {
			err = f.take(b.Context(), version)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// What loading a file of a million origins costs, beside a net/url parse and an insertion into a plain map for each.
func BenchmarkFileLoad(b *testing.B) {
	path, texts := fileOf(b, million)
	b.Run("file", func(b *testing.B) {
		for b.Loop() {
			loadFile(b, path)
		}
	})
	b.Run("url-and-map", func(b *testing.B) {
		for b.Loop() {
			plain := make(map[string]struct{})
			for _, text := range texts {
				if _, err := url.Parse(text); err != nil {
					b.Fatal(err)
				}
				plain[text] = struct{}{}
			}
		}
	})
}
