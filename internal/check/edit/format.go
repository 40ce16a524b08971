package edit

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// quote writes a word so that Caddy's lexer reads it as it is, within a line and at its end, and `caddy fmt` leaves it alone.
func quote(word string) (string, error) {
	if strings.ContainsFunc(word, unicode.IsControl) || strings.Contains(word, "{$") {
		return "", fmt.Errorf("%q: %w", word, ErrUnwritable)
	}
	for _, text := range []string{word, `"` + strings.ReplaceAll(word, `"`, `\"`) + `"`, "`" + word + "`"} {
		if text == "{" || text == "}" {
			continue
		}
		lines := []byte("x " + text + " y\nz " + text + "\nx\n")
		tokens, err := caddyfile.Tokenize(lines, "")
		if err == nil && len(tokens) == 6 && tokens[1].Text == word && tokens[4].Text == word && tokens[5].Line == 3 &&
			bytes.Equal(caddyfile.Format(lines), lines) {
			return text, nil
		}
	}
	return "", fmt.Errorf("%q: %w", word, ErrUnwritable)
}

// render writes the line as it stands in a block, with tabs for the braces around it, and with its own block. Its newlines
// are "\n"; there is none at the end.
func (l Line) render(depth int) (string, error) {
	var words []string
	for _, word := range l.Words {
		text, err := quote(word)
		if err != nil {
			return "", err
		}
		words = append(words, text)
	}
	indent := tabs(depth)
	if len(l.Block) == 0 {
		return indent + strings.Join(words, " "), nil
	}
	var text strings.Builder
	text.WriteString(indent + strings.Join(append(words, "{"), " ") + "\n")
	for _, line := range l.Block {
		inner, err := line.render(depth + 1)
		if err != nil {
			return "", err
		}
		text.WriteString(inner + "\n")
	}
	text.WriteString(indent + "}")
	return text.String(), nil
}

// tabs are those that `caddy fmt` indents with: ten at most.
func tabs(depth int) string { return strings.Repeat("\t", min(depth, 10)) }

// reformat writes lines as `caddy fmt` does, in a block. Lines that begin within a token, such as those of a heredoc, stay
// as they are.
func reformat(text string, depth int) (string, error) {
	text = string(caddyfile.Format([]byte(strings.ReplaceAll(text, "\r\n", "\n"))))
	text = strings.TrimSuffix(text, "\n")
	var out strings.Builder
	at := 0
	for _, t := range append(scan([]byte(text)), scanned{start: len(text), end: len(text)}) {
		out.WriteString(indentLines(text[at:t.start], at == 0, depth))
		out.WriteString(text[t.start:t.end])
		at = t.end
	}
	return out.String(), nil
}

// indentLines indents the lines that begin in the text.
func indentLines(text string, first bool, depth int) string {
	indent := tabs(depth)
	var out strings.Builder
	if first {
		out.WriteString(indent)
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if i > 0 {
			out.WriteByte('\n')
			if line != "" || i == len(lines)-1 {
				out.WriteString(indent)
			}
		}
		out.WriteString(line)
	}
	return out.String()
}
