package main

import (
	"slices"
	"strings"
	"testing"
)

var standard = limits{alpha: 0.01, tolerance: 0.1}

// In the second file, of a slower machine, an allowed request adds 1.3 times what it added beside the header lines. A denied
// one varies as it did, and beside what adds nothing there is no ratio.
func TestWorse(t *testing.T) {
	changes, err := compareFiles("testdata/before.txt", "testdata/after.txt", standard)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if !report(&text, changes) {
		t.Error("nothing is worse")
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	const want = "worse: Added/policy=one/request=actual-allowed added-ns/op: cors to header was 1.02, and is 1.33 (p=0.002)"
	if len(lines) != 2 || lines[0] != want || lines[1] != "5 ratios compared; worse beyond noise in 1 benchmarks" {
		t.Errorf("got:\n%s\nwant:\n%s", text.String(), want)
	}
}

// What is the same, or better, is not worse.
func TestNotWorse(t *testing.T) {
	for _, files := range [][2]string{{"testdata/before.txt", "testdata/before.txt"}, {"testdata/after.txt", "testdata/before.txt"}} {
		changes, err := compareFiles(files[0], files[1], standard)
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(changes, func(c change) bool { return c.worse }); i >= 0 {
			t.Errorf("%q: %v", files, changes[i])
		}
	}
}

// A change of a few percent is within the tolerance, and one that chance may have made is not one.
func TestLimits(t *testing.T) {
	r := ratio{"Added/request=actual-allowed", "header", "added-ns/op"}
	for name, test := range map[string]struct {
		before, after []float64
		worse         bool
	}{
		"a few percent":        {[]float64{1, 1, 1, 1, 1, 1}, []float64{1.05, 1.06, 1.05, 1.04, 1.05, 1.05}, false},
		"much":                 {[]float64{1, 1, 1, 1, 1, 1}, []float64{1.2, 1.3, 1.2, 1.2, 1.2, 1.2}, true},
		"much, but by chance":  {[]float64{1, 1.5, 1, 1.5, 1, 1.5}, []float64{1.5, 1, 1.5, 1.4, 1.5, 1.6}, false},
		"from less to nothing": {[]float64{-0.2, -0.2, -0.2, -0.2, -0.2, -0.2}, []float64{0, 0, 0, 0, 0, 0}, true},
	} {
		changes, err := compare(map[ratio][]float64{r: test.before}, map[ratio][]float64{r: test.after}, standard)
		if err != nil || len(changes) != 1 || changes[0].worse != test.worse {
			t.Errorf("%s: %+v, %v", name, changes, err)
		}
	}
}

// What cannot be compared is an error, and not good.
func TestNotComparable(t *testing.T) {
	const line = "BenchmarkAdded/policy=one/request=actual-allowed/candidate="
	for name, text := range map[string]string{
		"nothing":            "",
		"one candidate":      line + "cors-2 1 8000 ns/op\n",
		"not as many of one": line + "cors-2 1 8000 ns/op\n" + line + "header-2 1 8000 ns/op\n" + line + "header-2 1 8000 ns/op\n",
		"too few":            line + "cors-2 1 8000 ns/op\n" + line + "header-2 1 8000 ns/op\n",
	} {
		samples, err := ratios(strings.NewReader(text), name)
		if err == nil {
			_, err = compare(samples, samples, standard)
		}
		if err == nil {
			t.Errorf("%s: it is compared", name)
		}
	}
}
