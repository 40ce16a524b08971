package fetchspec

import (
	"net/http"
	"slices"
	"strings"
)

// A MIMEType is a "MIME type" (MIME Sniffing Standard, section 4.1): an essence in lower case, and parameters.
type MIMEType struct {
	Essence    string
	Parameters []Parameter // each name once
}

// A Parameter is one of a MIME type. The name is in lower case.
type Parameter struct{ Name, Value string }

// ParseMIMEType is "parse a MIME type" (MIME Sniffing Standard, section 4.4). No parameter makes it fail: one that is
// not well-formed is passed over.
func ParseMIMEType(value string) (mimeType MIMEType, ok bool) {
	value, rest, _ := strings.Cut(NormalizeValue(value), ";")
	kind, subtype, ok := strings.Cut(value, "/")
	subtype = strings.TrimRight(subtype, HTTPWhitespace)
	if !ok || !IsToken(kind) || !IsToken(subtype) {
		return MIMEType{}, false
	}
	mimeType.Essence = strings.ToLower(kind + "/" + subtype)
	for rest != "" {
		rest = strings.TrimLeft(rest, HTTPWhitespace)
		end := strings.IndexAny(rest, ";=")
		if end < 0 {
			break
		}
		name, delimiter := strings.ToLower(rest[:end]), rest[end]
		rest = rest[end+1:]
		if delimiter == ';' {
			continue
		}
		var text string
		if quoted := strings.HasPrefix(rest, `"`); quoted {
			text, rest = quotedString(rest)
			_, rest, _ = strings.Cut(rest, ";")
		} else {
			text, rest, _ = strings.Cut(rest, ";")
			if text = strings.TrimRight(text, HTTPWhitespace); text == "" {
				continue
			}
		}
		known := slices.ContainsFunc(mimeType.Parameters, func(p Parameter) bool { return p.Name == name })
		if IsToken(name) && !known && strings.IndexFunc(text, notQuotable) < 0 {
			mimeType.Parameters = append(mimeType.Parameters, Parameter{name, text})
		}
	}
	return mimeType, true
}

// quotedString is "collect an HTTP quoted string" (section 2.2), with its value extracted.
func quotedString(s string) (value, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i+1 < len(s) {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}

// notQuotable reports whether r is not an "HTTP quoted-string token code point" (section 2.2).
func notQuotable(r rune) bool { return r != '\t' && (r < ' ' || r == 0x7f) }

// String is "serialize a MIME type" (MIME Sniffing Standard, section 4.5).
func (m MIMEType) String() string {
	var b strings.Builder
	b.WriteString(m.Essence)
	for _, p := range m.Parameters {
		b.WriteString(";" + p.Name + "=")
		if IsToken(p.Value) {
			b.WriteString(p.Value)
			continue
		}
		b.WriteString(`"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(p.Value) + `"`)
	}
	return b.String()
}

// ExtractMIMEType is "extract a MIME type" (section 2.2.2) of a header: the last of its Content-Type that is one. Its
// charset is left out.
func ExtractMIMEType(header http.Header) (essence string, ok bool) {
	for _, value := range header.Values("Content-Type") {
		for _, element := range DecodeAndSplit(value) {
			if mimeType, parsed := ParseMIMEType(element); parsed && mimeType.Essence != "*/*" {
				essence, ok = mimeType.Essence, true
			}
		}
	}
	return essence, ok
}

// IsJavaScriptMIMEType is "JavaScript MIME type" (MIME Sniffing Standard, section 4.6), of an essence.
func IsJavaScriptMIMEType(essence string) bool {
	switch essence {
	case "application/ecmascript", "application/javascript", "application/x-ecmascript", "application/x-javascript",
		"text/ecmascript", "text/javascript", "text/javascript1.0", "text/javascript1.1", "text/javascript1.2",
		"text/javascript1.3", "text/javascript1.4", "text/javascript1.5", "text/jscript", "text/livescript",
		"text/x-ecmascript", "text/x-javascript":
		return true
	}
	return false
}
