// Regressions compares two files of this module's benchmarks, and says which ratios between cors and what people use instead
// have become worse: times of different days or machines cannot be compared, but ratios within one run can.
//
//	go run ./regressions before.txt after.txt
//
// The exit status is 0 if none has, 1 if some have, and 2 if that cannot be told.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

func main() {
	limits := limits{}
	flag.Float64Var(&limits.alpha, "alpha", 0.01, "how probable a difference may be by chance, to be one")
	flag.Float64Var(&limits.tolerance, "tolerance", 0.1, "how much worse a ratio may become: 0.1 is 10%")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: regressions [flags] before.txt after.txt")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	changes, err := compareFiles(flag.Arg(0), flag.Arg(1), limits)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if report(os.Stdout, changes) {
		os.Exit(1)
	}
}

// The candidates that are this module, by the benchmarks' names.
var own = map[string]string{"Added": "cors", "Plain": "caddy-cors"}

// units are those of which there are ratios. What is added can be nothing, or less.
var units = []string{"ns/op", "added-ns/op"}

// A ratio is that of cors to a peer in one benchmark.
type ratio struct {
	benchmark, peer, unit string
}

func (r ratio) String() string { return fmt.Sprintf("%s %s: cors to %s", r.benchmark, r.unit, r.peer) }

// limits say what is worse.
type limits struct {
	alpha     float64
	tolerance float64
}

// A change is what became of a ratio.
type change struct {
	ratio
	before, after float64 // the medians
	p             float64 // how probable it is that chance made the difference
	worse         bool
}

// minSamples is the least number of runs with which chance can be told from a difference at 1%.
const minSamples = 5

// compareFiles returns what became of all ratios that both files have.
func compareFiles(before, after string, limits limits) ([]change, error) {
	var samples [2]map[ratio][]float64
	for i, name := range []string{before, after} {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		samples[i], err = ratios(file, name)
		file.Close()
		if err != nil {
			return nil, err
		}
	}
	return compare(samples[0], samples[1], limits)
}

func compare(before, after map[ratio][]float64, limits limits) ([]change, error) {
	thresholds := benchmath.DefaultThresholds
	thresholds.CompareAlpha = limits.alpha
	var changes []change
	for r, samples := range before {
		if after[r] == nil {
			continue
		}
		if n := min(len(samples), len(after[r])); n < minSamples {
			return nil, fmt.Errorf("%v: it was run %d times; run benchmarks with -count=6 or more", r, n)
		}
		was, is := benchmath.NewSample(samples, &thresholds), benchmath.NewSample(after[r], &thresholds)
		comparison := benchmath.AssumeNothing.Compare(was, is)
		c := change{ratio: r, p: comparison.P}
		c.before = benchmath.AssumeNothing.Summary(was, 0.95).Center
		c.after = benchmath.AssumeNothing.Summary(is, 0.95).Center
		c.worse = c.p < limits.alpha && c.after > c.before+limits.tolerance*max(c.before, 0)
		changes = append(changes, c)
	}
	if len(changes) == 0 {
		return nil, errors.New("the files have no ratio in common: benchmarks Added or Plain, with cors and a peer, run with -count=6 or more")
	}
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.benchmark, b.benchmark), cmp.Compare(a.unit, b.unit), cmp.Compare(a.peer, b.peer))
	})
	return changes, nil
}

// ratios returns the ratios of a file of benchmarks, one of each for each time that they were run.
func ratios(file io.Reader, name string) (map[ratio][]float64, error) {
	type series struct{ benchmark, candidate, unit string }
	values := make(map[series][]float64)
	reader := benchfmt.NewReader(file, name)
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, record
		case *benchfmt.Result:
			benchmark, candidate, ok := cutCandidate(string(record.Name.Full()))
			for _, value := range record.Values {
				if value.OrigUnit != "" { // seconds, which were nanoseconds
					value.Value, value.Unit = value.OrigValue, value.OrigUnit
				}
				if ok && slices.Contains(units, value.Unit) {
					s := series{benchmark, candidate, value.Unit}
					values[s] = append(values[s], value.Value)
				}
			}
		}
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	all := make(map[ratio][]float64)
	for s, peers := range values {
		kind, _, _ := strings.Cut(s.benchmark, "/")
		ours := values[series{s.benchmark, own[kind], s.unit}]
		if s.candidate == own[kind] || len(ours) == 0 {
			continue
		}
		if len(ours) != len(peers) {
			return nil, fmt.Errorf("%s: %s: %d values of %s, and %d of %s", name, s.benchmark, len(ours), own[kind], len(peers), s.candidate)
		}
		if slices.Min(peers) <= 0 { // to what adds nothing, there is no ratio
			continue
		}
		r := ratio{s.benchmark, s.candidate, s.unit}
		for i := range ours {
			all[r] = append(all[r], ours[i]/peers[i])
		}
	}
	return all, nil
}

// cutCandidate takes the candidate, and the number of threads, off the name of a benchmark.
func cutCandidate(name string) (benchmark, candidate string, ok bool) {
	benchmark, candidate, ok = strings.Cut(name, "/candidate=")
	if dash := strings.LastIndexByte(candidate, '-'); dash >= 0 && strings.Trim(candidate[dash+1:], "0123456789") == "" {
		candidate = candidate[:dash]
	}
	return benchmark, candidate, ok
}

// report writes which ratios became worse, and reports whether any did.
func report(w io.Writer, changes []change) bool {
	worse := make(map[string]bool)
	for _, c := range changes {
		if c.worse {
			worse[c.benchmark] = true
			fmt.Fprintf(w, "worse: %v was %.2f, and is %.2f (p=%.3f)\n", c.ratio, c.before, c.after, c.p)
		}
	}
	fmt.Fprintf(w, "%d ratios compared; worse beyond noise in %d benchmarks\n", len(changes), len(slices.Collect(maps.Keys(worse))))
	return len(worse) > 0
}
