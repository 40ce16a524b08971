package bench

import (
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A candidate serves a request in its own way.
type candidate struct {
	name, baseline string // the baseline is a candidate too, without one itself
	exchange
}

// turn is how many requests a candidate serves in a round.
const turn = 200

// compare measures what each candidate takes for a request (ns/op, B/op, allocs/op) and how much of that it adds to its
// baseline (added-ns/op, added-B/op, added-allocs/op).
//
// What is added is a tenth of the whole, and the whole varies by as much from one second to the next, with the clock of
// the processor and whatever else the machine does. So time is processor time, the candidates take short turns in an
// order that changes, and what one of them adds is the median over all rounds of its difference to the baseline in the
// same round.
//
// A garbage collection would fall into some candidate's turn, whoever's garbage it is. So there is none during a
// round, and one after it. But collections are no gift: each byte that is allocated brings the next one nearer. That is
// how they are charged here: the time of a collection, divided by the bytes that are allocated from one collection to
// the next at Go's default pace (GOGC=100), for each byte that the candidate allocates. This price (gc-ns/B) is part of
// ns/op and added-ns/op. It hardly depends on the program: a heap of twice the size takes twice as long to mark, half as
// often. Turns that are long enough to collect their own garbage as they go come to much the same figures, but take
// minutes to do so.
func compare(b *testing.B, candidates []candidate) {
	var comparisons [][]cost // one for each -count
	for i, c := range candidates {
		count := 0
		b.Run("candidate="+c.name, func(b *testing.B) {
			if b.N == 1 { // the first of several calls for each count
				count++
			}
			if count > len(comparisons) {
				comparisons = append(comparisons, measure(candidates))
			}
			of := comparisons[count-1][i]
			b.ReportAllocs()
			b.ReportMetric(of.time, "ns/op")
			b.ReportMetric(of.bytes, "B/op")
			b.ReportMetric(of.allocs, "allocs/op")
			b.ReportMetric(of.perByte, "gc-ns/B")
			if c.baseline != "" {
				b.ReportMetric(of.addedTime, "added-ns/op")
				b.ReportMetric(of.addedBytes, "added-B/op")
				b.ReportMetric(of.addedAllocs, "added-allocs/op")
			}
		})
	}
}

// A cost is what a candidate takes for a request, and what it adds to its baseline's.
type cost struct {
	memory
	time, perByte                      float64 // the time includes collections, at their price for each byte
	addedTime, addedBytes, addedAllocs float64
}

func measure(candidates []candidate) []cost {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // idle processors burn time in search of work
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	costs := make([]cost, len(candidates))
	times := make([][]float64, len(candidates)) // of a request, by candidate and round
	for i, c := range candidates {
		costs[i].memory = measureMemory(c.serve)
		times[i] = make([]float64, rounds)
	}
	collections := make([]float64, rounds)
	shuffled := rand.New(rand.NewPCG(0, 0))
	for round := range rounds {
		for _, i := range shuffled.Perm(len(candidates)) {
			serve := candidates[i].serve
			start := processorTime()
			for range turn {
				serve()
			}
			times[i][round] = (processorTime() - start) / turn
		}
		start := processorTime()
		runtime.GC()
		collections[round] = processorTime() - start
	}
	perByte := median(collections) / bytesBetweenCollections()

	for i, of := range candidates {
		c := &costs[i]
		c.perByte = perByte
		c.time = median(times[i]) + perByte*c.bytes
		if of.baseline == "" {
			continue
		}
		base := slices.IndexFunc(candidates, func(other candidate) bool { return other.name == of.baseline })
		added := make([]float64, rounds)
		for round := range added {
			added[round] = times[i][round] - times[base][round]
		}
		c.addedBytes, c.addedAllocs = c.bytes-costs[base].bytes, c.allocs-costs[base].allocs
		c.addedTime = median(added) + perByte*c.addedBytes
	}
	return costs
}

// processorTime returns the nanoseconds that this process has been running, on all processors together.
func processorTime() float64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return float64(t.Nano())
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// memory is what a request allocates.
type memory struct{ bytes, allocs float64 }

// measureMemory takes the least of several measurements: more than that is somebody else's, a log's for example.
func measureMemory(serve func()) memory {
	least := memory{math.Inf(1), math.Inf(1)}
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range turn {
			serve()
		}
		runtime.ReadMemStats(&after)
		least.bytes = min(least.bytes, math.Round(float64(after.TotalAlloc-before.TotalAlloc)/turn))
		least.allocs = min(least.allocs, math.Round(float64(after.Mallocs-before.Mallocs)/turn))
	}
	return least
}

// bytesBetweenCollections returns how much is allocated until the heap is collected, at Go's default pace.
func bytesBetweenCollections() float64 {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.NextGC - stats.HeapAlloc)
}
