package origin

import (
	"regexp"
	"slices"
	"strings"
)

// What was meant by an expression that matches nothing, or more than is written, is found by rewriting it as people who
// made that mistake would mend it, and by looking whether it does what it should then. The text is rewritten, and not its
// syntax tree, so that what was right stays as it was written.

// A token is a part of an expression's text.
type token struct {
	kind tokenKind
	text string
}

type tokenKind uint8

const (
	literal   tokenKind = iota // one character, or what \Q quotes
	anything                   // "."
	class                      // "[a-z]", "\d"
	assertion                  // "^", "\b"
	opening                    // "(", "(?:"
	closing
	bar
	repeat // "*", "{2,3}", "+?"
)

var repetition = regexp.MustCompile(`\A(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??`)

// tokens cuts an expression that compiles into its tokens.
func tokens(text string) []token {
	var list []token
	for text != "" {
		kind, n := literal, 1
		switch c := text[0]; c {
		case '.':
			kind = anything
		case '^', '$':
			kind = assertion
		case ')':
			kind = closing
		case '|':
			kind = bar
		case '(':
			kind = opening
			if strings.HasPrefix(text, "(?") {
				if end := strings.IndexAny(text, ":>)"); end > 0 {
					n = end + 1
				}
			}
		case '[':
			kind, n = class, classLength(text)
		case '\\':
			kind, n = escape(text)
		default:
			if match := repetition.FindString(text); match != "" {
				kind, n = repeat, len(match)
			} else if c >= 0x80 {
				n = len(string([]rune(text)[:1]))
			}
		}
		n = min(n, len(text))
		list = append(list, token{kind, text[:n]})
		text = text[n:]
	}
	return list
}

// classLength returns the length of the class at the start of text.
func classLength(text string) int {
	i := 1
	if strings.HasPrefix(text[i:], "^") {
		i++
	}
	for first := true; i < len(text); first = false {
		switch {
		case text[i] == ']' && !first:
			return i + 1
		case text[i] == '\\':
			i++
		case strings.HasPrefix(text[i:], "[:"):
			if end := strings.Index(text[i:], ":]"); end > 0 {
				i += end + 1
			}
		}
		i++
	}
	return len(text)
}

// escape returns the kind and the length of the escape sequence at the start of text.
func escape(text string) (tokenKind, int) {
	if len(text) < 2 {
		return literal, len(text)
	}
	switch text[1] {
	case 'A', 'z', 'b', 'B':
		return assertion, 2
	case 'd', 'D', 's', 'S', 'w', 'W', 'C':
		return class, 2
	case 'p', 'P':
		if strings.HasPrefix(text[2:], "{") {
			return class, strings.IndexByte(text, '}') + 1
		}
		return class, 3
	case 'x':
		if strings.HasPrefix(text[2:], "{") {
			return literal, strings.IndexByte(text, '}') + 1
		}
		return literal, 4
	case 'Q':
		if end := strings.Index(text, `\E`); end >= 0 {
			return literal, end + 2
		}
		return literal, len(text)
	}
	return literal, 2
}

func join(list []token) string {
	var b strings.Builder
	for _, t := range list {
		b.WriteString(t.text)
	}
	return b.String()
}

// A rewriting is what was meant by a mistake that people make.
type rewriting struct {
	reason  string
	rewrite func(list []token) []token
}

// meant returns an expression that matches nothing but what x matches, and no more than is written; or "".
func (x *Expression) meant(http bool) string {
	attempts := [][]func([]token) []token{
		{escapeDots}, {dropEnd}, {beginLabels}, {escapeDots, dropEnd}, {escapeDots, beginLabels}, {dropEnd, beginLabels},
		{escapeDots, dropEnd, beginLabels},
	}
	for _, attempt := range attempts {
		list := tokens(x.text)
		for _, rewrite := range attempt {
			list = rewrite(slices.Clone(list))
		}
		text := join(list)
		if text == x.text {
			continue
		}
		candidate, err := compileExpression(text)
		if err != nil {
			continue
		}
		budget := candidate.maxVisits()
		example, ok := candidate.anyExample(&budget)
		o, valid := Parse(example)
		if ok && valid && x.Match(o) && len(candidate.excesses(http)) == 0 {
			return text
		}
	}
	return ""
}

// escapeDots has each "." that is not repeated stand for a dot.
func escapeDots(list []token) []token {
	for i := range list {
		if list[i].kind == anything && !isRepeat(list, i+1) {
			list[i] = token{literal, `\.`}
		}
	}
	return list
}

// dropEnd removes what is wild at the end: it was meant for a path, which origins have not.
func dropEnd(list []token) []token {
	end := len(list)
	for end > 0 {
		last := end - 1
		switch {
		case list[last].kind == assertion:
			end--
			continue
		case list[last].kind == repeat && last > 0 && isWildToken(list[last-1]):
			end -= 2
			continue
		case list[last].kind == repeat && last > 0 && (list[last-1].text == `\.` || list[last-1].text == `\/` || list[last-1].text == "/") && strings.HasPrefix(list[last].text, "?"):
			end -= 2
			continue
		}
		if from, ok := wildGroup(list, last); ok {
			end = from
			continue
		}
		break
	}
	return list[:end]
}

// wildGroup returns where a group begins that ends with the token at last, and is nothing but something wild.
func wildGroup(list []token, last int) (int, bool) {
	if list[last].kind == repeat {
		last--
	}
	if last >= 3 && list[last].kind == closing && list[last-1].kind == repeat && isWildToken(list[last-2]) && list[last-3].kind == opening {
		return last - 3, true
	}
	return 0, false
}

// beginLabels puts a dot between what is wild and the name after it. At the start of a host, that name alone is meant too.
func beginLabels(list []token) []token {
	for i := len(list) - 1; i >= 0; i-- {
		if !isWildToken(list[i]) || !isRepeat(list, i+1) {
			continue
		}
		from, to := i, i+2
		if from > 0 && list[from-1].kind == opening && to < len(list) && list[to].kind == closing {
			from, to = from-1, to+1
			if isRepeat(list, to) {
				to++
			}
		}
		if to < len(list) && (list[to].text == `\.` || list[to].text == "-") && isRepeat(list, to+1) {
			to += 2
		}
		if to == len(list) || list[to].kind != opening && !isNameToken(list[to]) || strings.HasSuffix(list[to].text, "-") {
			continue
		}
		subdomains := token{literal, `(?:.+\.)?`}
		switch {
		case from == 0:
			subdomains.text = "https://" + subdomains.text
		case isNameToken(list[from-1]) || list[from-1].kind == repeat || list[from-1].kind == closing:
			subdomains.text = join(list[from:to]) + `\.`
		}
		list = slices.Concat(list[:from], []token{subdomains}, list[to:])
	}
	return list
}

func isRepeat(list []token, i int) bool { return i < len(list) && list[i].kind == repeat }

func isWildToken(t token) bool { return t.kind == anything || t.kind == class }

// isNameToken reports whether the token is a character of a label.
func isNameToken(t token) bool {
	return t.kind == literal && (len(t.text) == 1 && isLabel[t.text[0]] || t.text == `\-` || t.text == `\_` || strings.HasPrefix(t.text, `\Q`))
}

// possible returns an expression that some origin matches, where text is one that none does, and what was wrong with that;
// or "".
func possible(text string) (reason, meant string) {
	rewritings := []rewriting{
		{"the slashes around it are another language's", dropDelimiters},
		{"origins are in lower case", lower},
		{"origins have no path", dropPath},
		{"origins have no default port", dropDefaultPort},
		{"origins have a scheme", addScheme},
	}
	attempt := func(list []token) bool {
		x, err := compileExpression(join(list))
		if err != nil {
			return false
		}
		budget := x.maxVisits()
		_, ok := x.anyExample(&budget)
		return ok && budget > 0
	}
	for _, r := range rewritings {
		if list := r.rewrite(tokens(text)); attempt(list) {
			return r.reason, join(list)
		}
	}
	list := tokens(text)
	var reasons []string
	for _, r := range rewritings {
		before := join(list)
		if list = r.rewrite(list); join(list) != before {
			reasons = append(reasons, r.reason)
		}
		if attempt(list) {
			return strings.Join(reasons, ", "), join(list)
		}
	}
	return "", ""
}

// dropDelimiters removes the slashes of a JavaScript or PHP literal, and its flags.
func dropDelimiters(list []token) []token {
	end := len(list)
	for end > 0 && list[end-1].kind == literal && strings.Contains("gimsu", list[end-1].text) {
		end--
	}
	if end > 1 && list[0].text == "/" && list[end-1].text == "/" {
		return list[1 : end-1]
	}
	return list
}

func lower(list []token) []token {
	list = slices.Clone(list)
	for i, t := range list {
		if t.kind == literal && len(t.text) == 1 || t.kind == class && strings.HasPrefix(t.text, "[") && !strings.Contains(t.text, `\`) {
			list[i].text = strings.ToLower(t.text)
		}
	}
	return list
}

// dropPath removes what begins with the first slash after the two of the scheme.
func dropPath(list []token) []token {
	slashes := 0
	for i, t := range list {
		if t.kind == literal && strings.Trim(t.text, `\`) == "/" {
			if slashes++; slashes == 3 {
				return list[:i]
			}
		}
	}
	return list
}

func dropDefaultPort(list []token) []token {
	text := join(list)
	for _, port := range []string{":443", ":80"} {
		text = strings.Replace(text, port, "", 1)
	}
	return tokens(text)
}

func addScheme(list []token) []token {
	at := 0
	for at < len(list) && list[at].kind == assertion {
		at++
	}
	if strings.Contains(join(list), "//") || strings.Contains(join(list), `\/`) {
		return list
	}
	return slices.Concat(list[:at:at], []token{{literal, "https://"}}, list[at:])
}
