package pasted

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// callStart finds calls of fetch, and not of a function whose name ends so.
var callStart = regexp.MustCompile(`(?:^|[^\w$.]|\b(?:window|self|globalThis)\.)fetch\s*\(\s*[\x60"'\w]`)

// maxDepth bounds the nesting of an expression: the parser of the language has no bound of its own.
const maxDepth = 64

// readScript returns the calls of fetch in a text. The error is about the first that cannot be read, if none can.
func readScript(text string) (calls []Call, err error) {
	failed := 0
	for pos := 0; pos < len(text) && failed < maxFailures && len(calls) < maxCalls; {
		at := callStart.FindStringIndex(text[pos:])
		if at == nil {
			break
		}
		start := pos + at[0] + strings.Index(text[pos+at[0]:pos+at[1]], "fetch")
		length := callLength(text[start:])
		if length == 0 {
			// Not the whole of a call: a line of a stack trace, or a text that was cut.
			pos = start + len("fetch")
			failed++
			err = cmpOr(err, &UnrecognizedError{"the call of fetch has no end: a part of it is missing"})
			continue
		}
		pos = start + length
		call, callErr := parseCall(text[start : start+length])
		if callErr != nil {
			err = cmpOr(err, callErr)
			continue
		}
		calls = append(calls, *call)
	}
	if len(calls) > 0 {
		err = nil
	}
	return calls, err
}

// callLength returns the length of a call expression, to the parenthesis that closes it; 0 if none does. A quote that
// begins a string ends it: what is in it closes nothing.
func callLength(text string) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '(', '[', '{':
			if depth++; depth > maxDepth {
				return 0
			}
		case ')', ']', '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"', '\'', '`':
			end := stringLength(text[i:], c)
			if end == 0 {
				return 0
			}
			i += end - 1
		case '/':
			switch {
			case strings.HasPrefix(text[i:], "//"):
				end := strings.IndexByte(text[i:], '\n')
				if end < 0 {
					return 0
				}
				i += end
			case strings.HasPrefix(text[i:], "/*"):
				end := strings.Index(text[i+2:], "*/")
				if end < 0 {
					return 0
				}
				i += end + 3
			}
		}
	}
	return 0
}

func stringLength(text string, quote byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		case '\n':
			if quote != '`' {
				return 0
			}
		}
	}
	return 0
}

// parseCall reads one call of fetch with the parser of the language. Only what is written out has a value: nothing is run.
func parseCall(text string) (call *Call, err error) {
	defer func() {
		// The parser is of another module, and the text anybody's.
		if problem := recover(); problem != nil {
			call, err = nil, &UnrecognizedError{"the call of fetch cannot be read"}
		}
	}()
	tree, parseErr := js.Parse(parse.NewInputString(text), js.Options{})
	if parseErr != nil {
		reason, _, _ := strings.Cut(parseErr.Error(), "\n")
		return nil, &UnrecognizedError{fmt.Sprintf("the call of fetch is not JavaScript: %s", reason)}
	}
	if len(tree.List) != 1 {
		return nil, &UnrecognizedError{"the call of fetch cannot be read"}
	}
	statement, ok := tree.List[0].(*js.ExprStmt)
	if !ok {
		return nil, &UnrecognizedError{"the call of fetch cannot be read"}
	}
	expression, ok := statement.Value.(*js.CallExpr)
	if !ok {
		return nil, &UnrecognizedError{"the call of fetch cannot be read"}
	}
	var args []any
	for _, arg := range expression.Args.List {
		args = append(args, valueOf(arg.Value))
	}
	return callOf(args)
}

// The values of expressions are string, bool, nil, json.Number, []any, object and undefined, and where only a run of the
// script would tell, unknown.
type (
	object   []property
	property struct {
		name  string
		value any
	}
	undefined struct{}

	// An unknown is a value of which only a part is written out.
	unknown struct{ known string }

	// A made is what the constructor of a class, or a function, is called with.
	made struct {
		name string
		args []any
	}
)

func (o object) get(name string) any {
	for _, p := range slices.Backward(o) {
		if p.name == name {
			return p.value
		}
	}
	return undefined{}
}

func valueOf(expression js.IExpr) any {
	switch e := expression.(type) {
	case *js.LiteralExpr:
		return literalValue(e)
	case *js.GroupExpr:
		return valueOf(e.X)
	case *js.Var:
		if string(e.Data) == "undefined" {
			return undefined{}
		}
	case *js.TemplateExpr:
		return templateValue(e)
	case *js.BinaryExpr:
		if e.Op == js.AddToken {
			return concatenated(valueOf(e.X), valueOf(e.Y))
		}
	case *js.UnaryExpr:
		if n, ok := valueOf(e.X).(json.Number); ok && e.Op == js.NegToken {
			return "-" + n
		}
	case *js.ArrayExpr:
		list := make([]any, 0, len(e.List))
		for _, element := range e.List {
			if element.Spread || element.Value == nil {
				return unknown{}
			}
			list = append(list, valueOf(element.Value))
		}
		return list
	case *js.ObjectExpr:
		return objectValue(e)
	case *js.CallExpr:
		return madeBy(e.X, e.Args.List)
	case *js.NewExpr:
		if e.Args != nil {
			return madeBy(e.X, e.Args.List)
		}
		return madeBy(e.X, nil)
	}
	return unknown{}
}

func literalValue(e *js.LiteralExpr) any {
	switch e.TokenType {
	case js.StringToken:
		return unquote(string(e.Data[1 : len(e.Data)-1]))
	case js.TrueToken:
		return true
	case js.FalseToken:
		return false
	case js.NullToken:
		return nil
	case js.DecimalToken, js.IntegerToken:
		return json.Number(e.Data)
	}
	return unknown{}
}

func templateValue(e *js.TemplateExpr) any {
	if e.Tag != nil {
		return unknown{}
	}
	var result any = ""
	for _, part := range e.List {
		value := bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimPrefix(part.Value, []byte("`")), []byte("}")), []byte("${"))
		result = concatenated(concatenated(result, unquote(string(value))), valueOf(part.Expr))
	}
	tail := bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimPrefix(e.Tail, []byte("`")), []byte("}")), []byte("`"))
	return concatenated(result, unquote(string(tail)))
}

func concatenated(a, b any) any {
	x, okX := textOf(a)
	y, okY := textOf(b)
	if okX && okY {
		return x + y
	}
	return unknown{known: x + y}
}

// textOf is the string that a value is converted to, and whether all of it is known.
func textOf(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		return string(v), true
	case bool:
		return strconv.FormatBool(v), true
	case nil:
		return "null", true
	case unknown:
		return v.known, false
	case made:
		switch v.name {
		case "URL", "String", "encodeURIComponent", "encodeURI":
			if len(v.args) == 1 {
				text, ok := textOf(v.args[0])
				if v.name == "encodeURIComponent" {
					text = strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
				}
				return text, ok
			}
			if len(v.args) == 2 && v.name == "URL" {
				return resolved(v.args[0], v.args[1])
			}
		}
	}
	return "", false
}

func resolved(reference, base any) (string, bool) {
	r, okR := textOf(reference)
	b, okB := textOf(base)
	u, err := url.Parse(b)
	if !okR || !okB || err != nil {
		return "", false
	}
	if u, err = u.Parse(r); err != nil {
		return "", false
	}
	return u.String(), true
}

func objectValue(e *js.ObjectExpr) any {
	o := object{}
	for _, p := range e.List {
		if p.Spread {
			if spread, ok := valueOf(p.Value).(object); ok {
				o = append(o, spread...)
			} else {
				o = append(o, property{"...", unknown{}})
			}
			continue
		}
		if p.Name == nil || p.Name.IsComputed() || p.Init != nil {
			o = append(o, property{"...", unknown{}})
			continue
		}
		name := string(p.Name.Literal.Data)
		if p.Name.Literal.TokenType == js.StringToken {
			name = unquote(name[1 : len(name)-1])
		}
		o = append(o, property{name, valueOf(p.Value)})
	}
	return o
}

func madeBy(callee js.IExpr, list []js.Arg) any {
	m := made{name: nameOf(callee)}
	for _, arg := range list {
		if arg.Rest {
			return unknown{}
		}
		m.args = append(m.args, valueOf(arg.Value))
	}
	switch {
	case m.name == "JSON.stringify" && len(m.args) > 0:
		if text, ok := stringified(m.args[0]); ok {
			return text
		}
		return unknown{}
	case strings.HasSuffix(m.name, ".toString") && len(m.args) == 0:
		return unknown{}
	}
	return m
}

// nameOf is what is called, as far as it is a name.
func nameOf(callee js.IExpr) string {
	switch e := callee.(type) {
	case *js.Var:
		return string(e.Data)
	case *js.DotExpr:
		return nameOf(e.X) + "." + e.Y.String()
	}
	return ""
}

// stringified is what JSON.stringify makes of a value.
func stringified(value any) (string, bool) {
	switch v := value.(type) {
	case string, bool, nil, json.Number:
		text, err := json.Marshal(v)
		return string(text), err == nil
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			text, ok := stringified(element)
			if !ok {
				return "", false
			}
			parts[i] = text
		}
		return "[" + strings.Join(parts, ",") + "]", true
	case object:
		var parts []string
		for _, p := range v {
			if _, ok := p.value.(undefined); ok {
				continue
			}
			text, ok := stringified(p.value)
			if !ok || p.name == "..." {
				return "", false
			}
			name, _ := json.Marshal(p.name) // of a string, which has no error
			parts = append(parts, string(name)+":"+text)
		}
		return "{" + strings.Join(parts, ",") + "}", true
	}
	return "", false
}

// unquote replaces the escape sequences of a string literal (ECMAScript, section 12.9.4).
func unquote(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			i++
			continue
		}
		i++
		switch c := text[i]; c {
		case 'n', 't', 'r', 'b', 'f', 'v', '0':
			b.WriteByte("\n\t\r\b\f\v\x00"[strings.IndexByte("ntrbfv0", c)])
			i++
		case '\n':
			i++
		case 'x':
			n, size := hex(text[i+1:], 2)
			b.WriteRune(n)
			i += 1 + size
		case 'u':
			n, size := codePoint(text[i+1:])
			i += 1 + size
			if utf16.IsSurrogate(n) && strings.HasPrefix(text[i:], `\u`) {
				if second, size := codePoint(text[i+2:]); utf16.DecodeRune(n, second) != utf8.RuneError {
					n = utf16.DecodeRune(n, second)
					i += 2 + size
				}
			}
			b.WriteRune(n)
		default:
			_, size := utf8.DecodeRuneInString(text[i:])
			b.WriteString(text[i : i+size])
			i += size
		}
	}
	return b.String()
}

func codePoint(text string) (rune, int) {
	if rest, ok := strings.CutPrefix(text, "{"); ok {
		if end := strings.IndexByte(rest, '}'); end > 0 && end <= 6 {
			n, _ := hex(rest, end)
			return n, end + 2
		}
	}
	return hex(text, 4)
}

func hex(text string, digits int) (rune, int) {
	digits = min(digits, len(text))
	n, err := strconv.ParseUint(text[:digits], 16, 32)
	if err != nil {
		return utf8.RuneError, 0
	}
	return rune(n), digits
}

// callOf makes a call of the arguments of fetch. The error is an [*UnrecognizedError].
func callOf(args []any) (*Call, error) {
	call := &Call{Source: Fetch}
	var resource any = undefined{}
	options := object{}
	if len(args) > 0 {
		resource = args[0]
	}
	if m, ok := resource.(made); ok && m.name == "Request" && len(m.args) > 0 {
		resource = m.args[0]
		if len(m.args) > 1 {
			args = append([]any{resource}, m.args[1:]...)
		}
	}
	allKnown := true
	if len(args) > 1 {
		var ok bool
		if options, ok = args[1].(object); !ok {
			_, absent := args[1].(undefined)
			allKnown = absent
		}
	}

	h, unknownNames, unknownHeader := headerOf(options.get("headers"))
	if len(h) > maxCallHeaders {
		return nil, &UnrecognizedError{fmt.Sprintf("the call of fetch sets %d headers, and no browser copies more than %d", len(h), maxCallHeaders)}
	}
	target, known := textOf(resource)
	method, methodKnown := textOf(options.get("method"))
	if _, absent := options.get("method").(undefined); absent {
		methodKnown = true
	}
	referrer, _ := textOf(options.get("referrer"))
	if u := callableURL(referrer); u != "" && !h.has("Referer") {
		h = append(h, fetch.Field{Name: "Referer", Value: u})
	}
	if u := callableURL(target); u == "" && known && referrer != "" { // a path of the page
		if absolute, ok := resolved(target, referrer); ok {
			target = absolute
		}
	}
	if !known {
		target = ""
	}
	call.request(fetchspec.NormalizeMethod(method), givenURL(target), h)
	call.PageURL = h.page()
	for _, name := range unknownNames {
		call.Header = slices.DeleteFunc(call.Header, func(f fetch.Field) bool { return strings.EqualFold(f.Name, name) })
		call.lack(NeedHeader, name+": ...", flagHeader)
	}
	if unknownHeader {
		call.lack(NeedHeader, "", flagHeader)
	}
	if !methodKnown || !allKnown {
		call.lack(NeedMethod, "", flagMethod)
	}
	if call.Method == http.MethodOptions && isAbsent(options.get("body")) && referrer != "" {
		// A preflight was copied, without the fields that no script can set: all that it asks for.
		call.Method = ""
		call.lack(NeedPreflight, "", flagMethod, flagHeader)
	}
	call.bodyOf(options.get("body"))
	if mode, ok := options.get("mode").(string); ok && !h.has("Sec-Fetch-Mode") { // beside which Firefox says "cors" of all calls
		call.NoCORS = mode == "no-cors"
	}
	if credentials, ok := options.get("credentials").(string); ok && credentials == "include" {
		call.Credentials = true
		call.CredentialsUnsure = call.Cookie == "" && h.has("Authorization") && referrer != ""
	}
	call.settle()
	return call, nil
}

// isAbsent reports whether a value is that of an option which is not given, or given as none.
func isAbsent(value any) bool {
	_, absent := value.(undefined)
	return absent || value == nil
}

// bodyOf takes the body that a script gives to fetch.
func (c *Call) bodyOf(value any) {
	contentType := ""
	switch v := value.(type) {
	case undefined, nil:
		return
	case string:
		c.Body = []byte(v)
	case made:
		switch {
		case v.name == "URLSearchParams":
			contentType = "application/x-www-form-urlencoded;charset=UTF-8"
			if text, ok := searchParams(v.args); ok {
				c.Body = []byte(text)
			}
		case v.name == "FormData":
			contentType = "multipart/form-data; boundary=" + formBoundary
			c.Body = []byte("--" + formBoundary + "--\r\n")
		}
	}
	if c.Body == nil {
		c.lack(NeedBody, "", flagData)
		c.Body = []byte{}
	}
	if c.Method == "" {
		c.Method = http.MethodPost // a GET has no body
	}
	if contentType != "" && !header(c.Header).has("Content-Type") {
		c.Header = append(c.Header, fetch.Field{Name: "Content-Type", Value: contentType})
	}
}

func searchParams(args []any) (string, bool) {
	if len(args) == 0 {
		return "", true
	}
	switch v := args[0].(type) {
	case string:
		return strings.TrimPrefix(v, "?"), true
	case object:
		var parts []string
		for _, p := range v {
			text, ok := textOf(p.value)
			if !ok {
				return "", false
			}
			parts = append(parts, url.QueryEscape(p.name)+"="+url.QueryEscape(text))
		}
		return strings.Join(parts, "&"), true
	}
	return "", false
}

// headerOf reads an init of Headers: an object, an array of pairs, or new Headers of one.
func headerOf(value any) (h header, unknownNames []string, incomplete bool) {
	add := func(name string, value any) {
		text, ok := textOf(value)
		if !ok {
			unknownNames = append(unknownNames, name)
			text = cmp.Or(text, "x")
		}
		h = append(h, fetch.Field{Name: name, Value: text})
	}
	switch v := value.(type) {
	case undefined, nil:
	case object:
		for _, p := range v {
			switch _, absent := p.value.(undefined); {
			case p.name == "...":
				incomplete = true
			case !absent:
				add(p.name, p.value)
			}
		}
	case []any:
		for _, element := range v {
			pair, ok := element.([]any)
			if ok && len(pair) == 2 {
				if name, ok := pair[0].(string); ok {
					add(name, pair[1])
					continue
				}
			}
			incomplete = true
		}
	case made:
		if v.name != "Headers" || len(v.args) > 1 {
			return nil, nil, true
		}
		if len(v.args) == 1 {
			return headerOf(v.args[0])
		}
	default:
		incomplete = true
	}
	return h, unknownNames, incomplete
}
