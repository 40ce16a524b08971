package fetch

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// constructXHR is open(), setRequestHeader() and send() of an XMLHttpRequest (XMLHttpRequest Standard, section 3.5).
func (f *fetch) constructXHR(r Request) error {
	f.unsafeRequest = true
	f.usePreflight = f.kind == KindXHRUpload
	if err := f.setMethod(r, "SyntaxError", "SecurityError"); err != nil {
		return err
	}
	if err := f.fillHeaders(r.Header, "SyntaxError"); err != nil {
		return err
	}
	f.header = combine(f.header) // setRequestHeader
	if r.Body != nil && f.method != http.MethodGet && f.method != http.MethodHead {
		f.body = append([]byte{}, r.Body...)
		f.setTypeOfString()
	}
	f.acceptAnything()
	return nil
}

// setTypeOfString is the part of send() about the Content-Type of a string: its charset is UTF-8, whatever the script says.
func (f *fetch) setTypeOfString() {
	i := slices.IndexFunc(f.header, func(field Field) bool { return strings.EqualFold(field.Name, "Content-Type") })
	if i < 0 {
		f.header = append(f.header, Field{"Content-Type", typeOfString})
		return
	}
	mimeType, ok := fetchspec.ParseMIMEType(f.header[i].Value)
	if !ok {
		return
	}
	for j, parameter := range mimeType.Parameters {
		if parameter.Name == "charset" && !strings.EqualFold(parameter.Value, "UTF-8") {
			mimeType.Parameters[j].Value = "UTF-8"
			f.header[i].Value = mimeType.String()
		}
	}
}
