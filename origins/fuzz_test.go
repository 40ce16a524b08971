package origins

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// oracleComment matches what is behind the first "#" at the start of a line or after a blank, and the "#".
var oracleComment = regexp.MustCompile(`(?s)(^|[ \t])#.*`)

// oracleList reads a list line by line, and each line into a set of its own.
func oracleList(text string, wholeLines bool) (lines []origin.Set, ok bool) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || wholeLines && !strings.HasSuffix(text, "\n") {
		return nil, false
	}
	for _, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		if line = strings.Trim(oracleComment.ReplaceAllString(line, ""), " \t\r"); line == "" {
			continue
		}
		pattern, err := origin.ParsePattern(line)
		if err != nil || len(line) > maxOrigin || pattern.AnyHost() || pattern.PublicSuffix() != "" {
			return nil, false
		}
		var set origin.Set
		set.Add(pattern)
		lines = append(lines, set)
	}
	return lines, len(lines) > 0
}

func oracleAllows(lines []origin.Set, text string) bool {
	for _, line := range lines {
		if o, ok := origin.Parse(text); ok && (line.HasExact(text) || line.HasFamily(o)) {
			return true
		}
	}
	return false
}

// FuzzList holds the reading of lists against one that splits lines and does nothing else: it accepts the same texts, and
// they allow the same. A list that is cut off anywhere is refused, or is the first of the whole one's lines.
func FuzzList(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, asked string) {
		for _, wholeLines := range []bool{false, true} {
			checkList(t, text, asked, wholeLines)
		}
		whole, ok := oracleList(text, true)
		if !ok || len(text) > 2000 {
			return
		}
		for end := range text {
			cut, ok := oracleList(text[:end], true)
			if l := checkList(t, text[:end], asked, true); l == nil {
				continue
			}
			if !ok || text[end-1] != '\n' || len(cut) > len(whole) {
				t.Fatalf("%q, cut off after %d bytes, is accepted", text, end)
			}
			if oracleAllows(cut, asked) && !oracleAllows(whole, asked) {
				t.Fatalf("%q, cut off after %d bytes, allows %q", text, end, asked)
			}
		}
	})
}

func checkList(t *testing.T, text, asked string, wholeLines bool) *originList {
	l, err := parseList("list", strings.NewReader(text), wholeLines, new(origin.List))
	lines, ok := oracleList(text, wholeLines)
	if (err == nil) != ok {
		t.Fatalf("%q, whole lines %v: %v, the oracle says %v", text, wholeLines, err, ok)
	}
	if err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			if !strings.HasPrefix(problem, "list:") {
				t.Fatalf("%q: the error does not say where: %q", text, problem)
			}
		}
		return nil
	}
	if l.count != len(lines) {
		t.Fatalf("%q: %d origins, the oracle counts %d", text, l.count, len(lines))
	}
	lists := []*originList{l}
	for _, before := range []string{text, text[:len(text)/2], "https://a.test\nhttps://*.b.test\n"} { // whatever a list is made from
		if before, err := parseList("list", strings.NewReader(before), false, new(origin.List)); err == nil {
			revised, err := parseList("list", strings.NewReader(text), wholeLines, before.origins)
			if err != nil || revised.count != l.count {
				t.Fatalf("%q, after another list: %v, %v", text, revised, err)
			}
			lists = append(lists, revised)
		}
	}
	for _, asked := range append(nearby(text), asked) {
		for _, l := range lists {
			if got, want := l.allows(asked), oracleAllows(lines, asked); got != want {
				t.Fatalf("%q allows %q: %v, the oracle says %v", text, asked, got, want)
			}
		}
	}
	return l
}

// nearby returns origins that are like those of a list.
func nearby(list string) []string {
	var texts []string
	for _, word := range strings.Fields(list) {
		for _, sub := range []string{"", "x.", "x.y."} {
			for _, port := range []string{"", ":8443"} {
				texts = append(texts, strings.NewReplacer("*.", sub, ":*", port).Replace(word))
			}
		}
	}
	return texts[:min(len(texts), 100)]
}
