package fetch

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Kind is what makes a call: an interface that a script uses, or an element, a style sheet or a manifest that loads
// something. It decides how the call begins: its mode, its method, its credentials mode, its header.
type Kind string

// The kinds, as `caddy cors check --kind` has them. The zero Kind is KindFetch.
const (
	KindFetch       Kind = "fetch"       // fetch() (Fetch Standard, section 5)
	KindXHR         Kind = "xhr"         // an XMLHttpRequest
	KindXHRUpload   Kind = "xhr-upload"  // one with listeners on its upload object: always a preflight
	KindStream      Kind = "stream"      // fetch() with a stream as its body: always a preflight, and HTTP/2 or later
	KindBeacon      Kind = "beacon"      // navigator.sendBeacon()
	KindEventSource Kind = "eventsource" // an EventSource
	KindFont        Kind = "font"        // a @font-face rule, or a FontFace
	KindScript      Kind = "script"      // <script src crossorigin>
	KindModule      Kind = "module"      // <script type="module" src>, or an import
	KindStyle       Kind = "style"       // <link rel="stylesheet" crossorigin>
	KindImage       Kind = "image"       // <img crossorigin>
	KindMedia       Kind = "media"       // <video crossorigin>, <audio crossorigin>
	KindManifest    Kind = "manifest"    // <link rel="manifest">
	KindWebSocket   Kind = "websocket"   // a WebSocket
)

// Kinds are all of them, in the order of their documentation.
var Kinds = []Kind{
	KindFetch, KindXHR, KindXHRUpload, KindStream, KindBeacon, KindEventSource, KindFont, KindScript, KindModule, KindStyle,
	KindImage, KindMedia, KindManifest, KindWebSocket,
}

// The modes of a request (Fetch Standard, section 2.2.5).
const (
	modeCORS      = "cors"
	modeNoCORS    = "no-cors"
	modeWebSocket = "websocket"
)

// The credentials modes that a call of these kinds can have (Fetch Standard, section 2.2.5).
const (
	credentialsSameOrigin = "same-origin"
	credentialsInclude    = "include"
)

// A kindInfo is what the standards say of a kind.
type kindInfo struct {
	resource    string // what Chrome's console calls it: "Access to font at"
	endpoint    string // what it calls it where it is insecure
	constructor string // the algorithm that makes the request of it
	destination string // Fetch Standard, section 2.2.5: "destination"
	accept      string // the Accept field that browsers send
	directive   string // the directive of a Content-Security-Policy that is asked first

	script    bool // a script makes the call itself, and has nothing left to do without it
	anyMethod bool // the script chooses the method and the header
	hasBody   bool // the script can give it a body
	plain     bool // it can be without CORS, too: with the mode "no-cors" or without crossorigin
	flexible  bool // the script, or the crossorigin attribute, chooses the credentials mode
}

var kindInfos = map[Kind]kindInfo{
	KindFetch:       {resource: "fetch", endpoint: "resource", constructor: "Request constructor", accept: "*/*", directive: "connect-src", script: true, anyMethod: true, hasBody: true, plain: true, flexible: true},
	KindXHR:         {resource: "XMLHttpRequest", endpoint: "XMLHttpRequest endpoint", constructor: "XMLHttpRequest open() and send()", accept: "*/*", directive: "connect-src", script: true, anyMethod: true, hasBody: true, flexible: true},
	KindXHRUpload:   {resource: "XMLHttpRequest", endpoint: "XMLHttpRequest endpoint", constructor: "XMLHttpRequest open() and send()", accept: "*/*", directive: "connect-src", script: true, anyMethod: true, hasBody: true, flexible: true},
	KindStream:      {resource: "fetch", endpoint: "resource", constructor: "Request constructor", accept: "*/*", directive: "connect-src", script: true, anyMethod: true, hasBody: true, flexible: true},
	KindBeacon:      {resource: "resource", endpoint: "Beacon endpoint", constructor: "sendBeacon()", accept: "*/*", directive: "connect-src", script: true, hasBody: true},
	KindEventSource: {resource: "resource", endpoint: "EventSource endpoint", constructor: "EventSource constructor", accept: "text/event-stream", directive: "connect-src", script: true, flexible: true},
	KindFont:        {resource: "font", endpoint: "font", constructor: "fetch a font", destination: "font", accept: "*/*", directive: "font-src"},
	KindScript:      {resource: "script", endpoint: "script", constructor: "create a potential-CORS request", destination: "script", accept: "*/*", directive: "script-src-elem", plain: true, flexible: true},
	KindModule:      {resource: "script", endpoint: "script", constructor: "fetch a single module script", destination: "script", accept: "*/*", directive: "script-src-elem", flexible: true},
	KindStyle:       {resource: "CSS stylesheet", endpoint: "stylesheet", constructor: "create a potential-CORS request", destination: "style", accept: "text/css,*/*;q=0.1", directive: "style-src-elem", plain: true, flexible: true},
	KindImage:       {resource: "image", endpoint: "image", constructor: "create a potential-CORS request", destination: "image", accept: "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", directive: "img-src", plain: true, flexible: true},
	KindMedia:       {resource: "video", endpoint: "video", constructor: "create a potential-CORS request", destination: "video", accept: "*/*", directive: "media-src", plain: true, flexible: true},
	KindManifest:    {resource: "manifest", endpoint: "manifest", constructor: "create a potential-CORS request", destination: "manifest", accept: "*/*", directive: "manifest-src", flexible: true},
	KindWebSocket:   {resource: "WebSocket", endpoint: "WebSocket endpoint", constructor: "WebSocket constructor", accept: "*/*", directive: "connect-src", script: true},
}

// Validate reports what a request asks for that its kind does not have.
func (r Request) Validate() error {
	r.Kind = cmp.Or(r.Kind, KindFetch)
	info, ok := kindInfos[r.Kind]
	switch {
	case !ok:
		return fmt.Errorf("%q is not a kind of call; the kinds are %s", r.Kind, kindList())
	case r.NoCORS && !info.plain:
		return fmt.Errorf("a call of the kind %q cannot be made without CORS", r.Kind)
	case r.Body != nil && !info.hasBody:
		return fmt.Errorf("a call of the kind %q has no body", r.Kind)
	case r.Method != "" && !info.anyMethod && r.Method != r.Kind.Method():
		return fmt.Errorf("a call of the kind %q is always a %s", r.Kind, r.Kind.Method())
	case !info.anyMethod && slices.ContainsFunc(r.Header, func(f Field) bool { return !r.Kind.setsHeader(f.Name) }):
		return fmt.Errorf("no script can set a header of a call of the kind %q", r.Kind)
	case r.Credentials && r.Kind == KindFont:
		return fmt.Errorf("a call of the kind %q has no credentials", r.Kind)
	}
	return nil
}

// kindList has all kinds, for a sentence.
func kindList() string {
	names := make([]string, len(Kinds))
	for i, k := range Kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// Scripted reports whether a script makes the call, and could be told the response, as opposed to an element or a style
// sheet.
func (k Kind) Scripted() bool { return kindInfos[cmp.Or(k, KindFetch)].script }

// setsHeader reports whether a call of a kind whose header is not the script's has a field all the same that it can set.
func (k Kind) setsHeader(name string) bool {
	return k == KindBeacon && strings.EqualFold(name, "Content-Type")
}

// Method is what a call has if the script does not choose one.
func (k Kind) Method() string {
	if k == KindBeacon || k == KindStream {
		return http.MethodPost
	}
	return http.MethodGet
}

// mode is the request's mode as it begins. A beacon may come to need another one.
func (r Request) mode() string {
	switch {
	case r.Kind == KindWebSocket:
		return modeWebSocket
	case r.NoCORS, r.Kind == KindBeacon:
		return modeNoCORS
	}
	return modeCORS
}

// credentials is the request's credentials mode. Elements without crossorigin include credentials (HTML Standard, "create
// a potential-CORS request").
func (r Request) credentials() string {
	switch {
	case r.Credentials, r.Kind == KindBeacon, r.Kind == KindWebSocket, r.NoCORS && r.Kind != KindFetch:
		return credentialsInclude
	}
	return credentialsSameOrigin
}
