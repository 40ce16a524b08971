package denials

import (
	"slices"
	"strings"
	"testing"
)

// A number means the denial that was last shown under it, however the list has moved since.
func TestNumbered(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, t.TempDir())
	}
	const address = "localhost:2019"
	denial := func(id string, reportOnly bool) Denial { return Denial{ID: id, ReportOnly: reportOnly} }
	report := Report{Denials: []Denial{denial("a", true), denial("b", false), denial("c", false)}}
	want := func(report Report, address string, number int, id, problem string) {
		t.Helper()
		d, err := report.Numbered(address, number)
		if d.ID != id || problem == "" && err != nil || problem != "" && (err == nil || !strings.Contains(err.Error(), problem)) {
			t.Errorf("number %d is %q, %v; want %q, %q", number, d.ID, err, id, problem)
		}
	}
	want(report, address, 1, "", "run that first")
	if err := remember(address, report.numbered()); err != nil {
		t.Fatal(err)
	}
	if err := remember("localhost:2020", nil); err != nil {
		t.Fatal(err)
	}
	want(report, address, 1, "b", "")
	want(report, address, 2, "c", "")
	want(report, address, 3, "a", "") // which is only reported
	want(report, address, 0, "", "1 to 3")
	want(report, address, 4, "", "1 to 3")
	want(report, "localhost:2020", 1, "", "run that first")

	moved := Report{Denials: slices.Clone(report.Denials)}
	slices.Reverse(moved.Denials)
	moved.Denials = append([]Denial{denial("d", false)}, moved.Denials...)
	want(moved, address, 1, "b", "")
	want(Report{Denials: moved.Denials[:1]}, address, 1, "", "not in the list any more")
}
