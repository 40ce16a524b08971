package origin

import (
	"fmt"
	"testing"
)

// A look-up among wildcard patterns costs by the labels that they have at most, not by how many they are.
func BenchmarkFamilies(b *testing.B) {
	for _, n := range []int{1, 1_000, 1_000_000} {
		var s Set
		for i := range n {
			p, err := ParsePattern(fmt.Sprintf("https://*.customer-%d.example.com", i))
			if err != nil {
				b.Fatal(err)
			}
			s.Add(p)
		}
		for name, text := range map[string]string{
			"hit":              "https://shop.customer-0.example.com",
			"miss":             "https://shop.visitor.example.org",
			"miss/many-labels": "https://a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.example.org",
		} {
			o, ok := Parse(text)
			if !ok {
				b.Fatal(text)
			}
			b.Run(fmt.Sprintf("%s/patterns-%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s.HasFamily(o)
				}
			})
		}
	}
}

// What a request's Origin costs where it is not among the exact ones.
func BenchmarkParse(b *testing.B) {
	for _, text := range []string{"https://evil.example", "https://shop.customer-17.example.com:8443", "http://localhost:3000", "https://192.0.2.1", "http://[2001:db8::1]"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := Parse(text); !ok {
					b.Fatal("no origin")
				}
			}
		})
	}
}
