package pasted

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// A word is one argument of a command.
type word struct {
	text string

	// unknown says that a part of the text is known to the shell only: a variable, the output of another command.
	unknown bool
}

// posixWords returns the words of the first curl command at the beginning of a text in the language of bash, and where it
// ends. Nothing in it is run, and no variable has a value.
func posixWords(text string) (words []word, end int, err error) {
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	var statement *syntax.Stmt
	for s, parseErr := range parser.StmtsSeq(strings.NewReader(text)) {
		statement, err = s, parseErr
		break
	}
	if statement == nil {
		if err == nil {
			err = errors.New("it is empty")
		}
		return nil, 0, err
	}
	syntax.Walk(statement, func(node syntax.Node) bool {
		if quoted, ok := node.(*syntax.SglQuoted); ok && quoted.Dollar {
			quoted.Value = asCodePoints(quoted.Value)
		}
		return true
	})
	syntax.Walk(statement, func(node syntax.Node) bool {
		call, ok := node.(*syntax.CallExpr)
		if !ok || words != nil {
			return words == nil
		}
		for _, arg := range call.Args {
			words = append(words, posixWord(arg))
		}
		if len(words) > 0 && !isCurl(words[0].text) {
			words = nil
		}
		return words == nil
	})
	return words, int(statement.End().Offset()), nil
}

// codeUnits finds the escape sequences of an ANSI-C quotation that are not what they are to a shell: bytes beyond ASCII, and
// surrogate pairs. It finds the others, too, so that a backslash that is escaped escapes nothing.
var codeUnits = regexp.MustCompile(`(?:\\x[89a-fA-F][0-9a-fA-F])+|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.`)

// asCodePoints returns the inside of an ANSI-C quotation as its author meant it. Firefox and Safari write each UTF-16 code unit
// of a text as an escape sequence, the one of é as \xe9, which a shell takes for a byte. People write its two bytes.
func asCodePoints(text string) string {
	return codeUnits.ReplaceAllStringFunc(text, func(sequence string) string {
		switch {
		case len(sequence) == len(`\ud83d\ude00`) && sequence[1] == 'u':
			high, _ := hex(sequence[2:], 4)
			low, _ := hex(sequence[8:], 4)
			return fmt.Sprintf(`\U%08x`, utf16.DecodeRune(high, low))
		case len(sequence) >= len(`\xe9`) && sequence[1] == 'x':
			var units []byte
			for at := 2; at < len(sequence); at += len(`\xe9`) {
				unit, _ := hex(sequence[at:], 2)
				units = append(units, byte(unit))
			}
			if utf8.Valid(units) {
				return sequence
			}
			var b strings.Builder
			for _, unit := range units {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
			return b.String()
		}
		return sequence
	})
}

func posixWord(w *syntax.Word) word {
	var result word
	syntax.Walk(w, func(node syntax.Node) bool {
		switch node.(type) {
		case *syntax.ParamExp, *syntax.CmdSubst, *syntax.ArithmExp, *syntax.ProcSubst, *syntax.ExtGlob:
			result.unknown = true
		}
		return true
	})
	if result.unknown {
		result.text = knownParts(w)
		return result
	}
	text, err := expand.Literal(&expand.Config{Env: expand.FuncEnviron(func(string) string { return "" })}, w)
	if err != nil {
		return word{unknown: true}
	}
	result.text = text
	return result
}

// knownParts returns a word without the parts that only the shell knows.
func knownParts(w *syntax.Word) string {
	known := &syntax.Word{}
	var keep func(parts []syntax.WordPart) []syntax.WordPart
	keep = func(parts []syntax.WordPart) (kept []syntax.WordPart) {
		for _, part := range parts {
			switch part := part.(type) {
			case *syntax.Lit, *syntax.SglQuoted:
				kept = append(kept, part)
			case *syntax.DblQuoted:
				quoted := *part
				quoted.Parts = keep(part.Parts)
				kept = append(kept, &quoted)
			}
		}
		return kept
	}
	known.Parts = keep(w.Parts)
	text, err := expand.Literal(&expand.Config{Env: expand.FuncEnviron(func(string) string { return "" })}, known)
	if err != nil {
		return ""
	}
	return text
}

// isCurl reports whether a command's name is curl's.
func isCurl(name string) bool {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	return strings.EqualFold(name, "curl") || strings.EqualFold(name, "curl.exe")
}

// cmdWords does the same for the Windows command prompt, in two steps: cmd.exe takes off its carets and ends the command,
// and the C runtime of curl.exe makes arguments of what is left ("Parsing C++ command-line arguments"). Where the quotes have
// carets, a browser has written the command, and each backslash of the argument as two, which the C runtime takes for one before a
// quote only: they are one everywhere here.
func cmdWords(text string) (words []word, end int) {
	line, end := cmdLine(text)
	isBrowsers := strings.Contains(text[:end], `^"`)
	var current strings.Builder
	inWord, quoted, unknown := false, false, false
	finish := func() {
		if inWord {
			words = append(words, word{text: current.String(), unknown: unknown})
		}
		current.Reset()
		inWord, unknown = false, false
	}
	for i := 0; i < len(line); {
		switch c := line[i]; {
		case c == '\\':
			n := 0
			for i+n < len(line) && line[i+n] == '\\' {
				n++
			}
			inWord = true
			if i+n < len(line) && line[i+n] == '"' {
				current.WriteString(strings.Repeat(`\`, n/2))
				if n%2 == 1 {
					current.WriteByte('"')
					n++
				}
			} else if isBrowsers {
				current.WriteString(strings.Repeat(`\`, (n+1)/2))
			} else {
				current.WriteString(strings.Repeat(`\`, n))
			}
			i += n
		case c == '"':
			inWord = true
			if quoted && i+1 < len(line) && line[i+1] == '"' { // in quotes, two are one
				current.WriteByte('"')
				i += 2
				continue
			}
			quoted = !quoted
			i++
		case !quoted && (c == ' ' || c == '\t' || c == '\n'):
			finish()
			i++
		default:
			inWord = true
			current.WriteByte(c)
			i++
		}
	}
	finish()
	return words, end
}

// cmdLine returns a command as cmd.exe hands it to the program, and where it ends: at a line that no caret continues, or
// at an operator that stands outside of quotes.
func cmdLine(text string) (line string, end int) {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '^' && !quoted:
			i++
			if i < len(text) && text[i] == '\n' { // the line goes on; a second newline is the character that was escaped
				i++
				if i < len(text) && text[i] == '\n' {
					b.WriteByte('\n')
				} else {
					i--
				}
				continue
			}
			if i < len(text) {
				_, size := utf8.DecodeRuneInString(text[i:])
				b.WriteString(text[i : i+size])
				i += size - 1
			}
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case c == '\n' && !quoted:
			return b.String(), i
		case c == '\n' && quoted: // cmd.exe has no quotes over several lines, but people paste what was unwrapped
			return b.String(), i
		case !quoted && (c == '&' || c == '|' || c == '<' || c == '>'):
			return b.String(), i
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), len(text)
}
