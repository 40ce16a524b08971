//go:build ignore

// Writes suffixes.txt: the rules of the Public Suffix List, as golang.org/x/net/publicsuffix has it, that stand below a
// domain which is not a public suffix itself. That package answers which suffix a domain has, but not which suffixes a
// domain has below it; its embedded tree, which is decoded here, does.
package main

import (
	"encoding/binary"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

func main() {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		log.Fatal(err)
	}
	t := readTree(filepath.Join(strings.TrimSpace(string(out)), "publicsuffix"))
	t.walk("", 0, t.topLevel)
	slices.Sort(t.rules)

	text := "# " + publicsuffix.List.String() + "\n" + strings.Join(t.rules, "\n") + "\n"
	if err := os.WriteFile("suffixes.txt", []byte(text), 0o644); err != nil {
		log.Fatal(err)
	}
}

// A tree is the encoded list; the comments of that package's table.go describe the bits.
type tree struct {
	text, nodes, children []byte
	topLevel              uint32
	rules                 []string
}

func readTree(dir string) *tree {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			log.Fatal(err)
		}
		return data
	}
	table := string(read("table.go"))
	constant := func(name string) uint32 {
		match := regexp.MustCompile(name + ` += (\d+)`).FindStringSubmatch(table)
		if match == nil {
			log.Fatalf("table.go has no %s", name)
		}
		n, _ := strconv.Atoi(match[1])
		return uint32(n)
	}
	for name, want := range map[string]uint32{
		"nodesBits": 40, "nodesBitsChildren": 10, "nodesBitsICANN": 1, "nodesBitsTextOffset": 16, "nodesBitsTextLength": 6,
		"childrenBitsWildcard": 1, "childrenBitsNodeType": 2, "childrenBitsHi": 14, "childrenBitsLo": 14, "nodeTypeNormal": 0,
	} {
		if got := constant(name); got != want {
			log.Fatalf("table.go has another layout: %s is %d", name, got)
		}
	}
	return &tree{
		text: read("data/text"), nodes: read("data/nodes"), children: read("data/children"), topLevel: constant("numTLD"),
	}
}

// walk visits the nodes from lo to hi, which are the labels below parent.
func (t *tree) walk(parent string, lo, hi uint32) {
	for i := lo; i < hi; i++ {
		node := uint64(0)
		for _, b := range t.nodes[5*i : 5*i+5] {
			node = node<<8 | uint64(b)
		}
		length, offset := node&(1<<6-1), node>>6&(1<<16-1)
		domain := string(t.text[offset : offset+length])
		if parent != "" {
			domain += "." + parent
		}
		child := binary.BigEndian.Uint32(t.children[4*(node>>23&(1<<10-1)):])
		lo, hi, kind, wildcard := child&(1<<14-1), child>>14&(1<<14-1), child>>28&3, child>>30&1
		if kind == 0 && !isSuffix(parent) {
			t.add(domain, "x."+domain)
		}
		if wildcard == 1 && !isSuffix(domain) {
			t.add("*."+domain, "x.any."+domain)
		}
		t.walk(domain, lo, hi)
	}
}

func isSuffix(domain string) bool {
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix == domain
}

// add notes a rule, after that package has agreed that it is one.
func (t *tree) add(rule, site string) {
	if got, err := publicsuffix.EffectiveTLDPlusOne(site); err != nil || got != site {
		log.Fatalf("%s: the domain of %s is %s, %v", rule, site, got, err)
	}
	t.rules = append(t.rules, rule)
}
