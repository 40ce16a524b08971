package pasted

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// A part is what a form of message is: where it stands among the others of the same call.
type part string

const (
	// A head begins a message and has its URL; what it says beyond that comes after it.
	head part = "head"

	// A reason says why, after a head. WebKit prints it as a message of its own, before the tail.
	reason part = "reason"

	// A tail has the URL, and what it is about was printed before it, if at all.
	tail part = "tail"

	// An echo begins a message that says again what another one has said, without a URL.
	echo part = "echo"

	// A line of the network log has a method and a URL, and nothing of CORS.
	line part = "line"
)

// A form is one wording of a browser. The groups of its pattern are named as what they have: url, from (the URL that was
// redirected), to, origin, page, kind, method, header, directive. White space in a pattern stands for any, because texts are
// wrapped on their way.
type form struct {
	part    part
	pattern string

	kind        fetch.Kind // that the wording implies
	said        fetch.Code // what it says
	preflight   bool       // whether it is about a preflight
	unnamed     Need       // what the wording is about and does not name
	credentials bool       // whether the call has the credentials mode "include"
	noCORS      bool       // whether it is made without CORS
}

// forms are the wordings of Chromium, Firefox and WebKit, today's and older ones, and of the first Edge. Quotes are straight
// here, and so are they in the text that is compared.
var forms = []form{
	// Chromium.
	{part: head, pattern: `Access to (?P<kind>[A-Za-z ]{1,30}) at '(?P<to>URL)' \(redirected from '(?P<url>URL)'\) from origin '(?P<origin>ORIGIN)' has been blocked by CORS policy:`},
	{part: head, pattern: `Access to (?P<kind>[A-Za-z ]{1,30}) at '(?P<url>URL)' from origin '(?P<origin>ORIGIN)' has been blocked by CORS policy`},
	{part: head, pattern: `Redirect from '(?P<url>URL)' to '(?P<to>URL)' has been blocked by CORS policy:`},
	{part: head, pattern: `Redirect at origin '(?P<site>ORIGIN)' has been blocked from loading by Cross-Origin Resource Sharing policy:`},
	{part: head, pattern: `(?P<kind>Font|Image|Script|Imported resource|Video|Audio|Stylesheet|Text track|Manifest) from origin '(?P<site>ORIGIN)' has been blocked (?:from loading )?by (?:Cross-Origin Resource Sharing|CORS) policy:`},
	{part: head, pattern: `Failed to load (?P<url>https?:BARE): (?:No 'Access|The 'Access|Response |Request |Method |Redirect |Credentials |The value |The request |A wildcard |Origin |Cross )`},
	{part: head, kind: fetch.KindFetch, pattern: `Fetch API cannot load (?P<url>BARE)\. `},
	{part: head, kind: fetch.KindXHR, pattern: `XMLHttpRequest cannot load (?P<url>BARE)\. `},
	{part: head, kind: fetch.KindEventSource, pattern: `EventSource cannot load (?P<url>BARE)\. `},
	{part: head, kind: fetch.KindFetch, pattern: `Uncaught \(in promise\) TypeError: Failed to execute 'fetch' on 'Window': Failed to parse URL from (?P<url>BARE)\.?$`, said: fetch.InvalidURL},
	{part: head, pattern: `Mixed Content: The page at '(?P<page>URL)' was loaded over (?:a secure connection|HTTPS), but (?:requested an insecure|attempted to connect to the insecure|displayed) (?P<kind>[A-Za-z -]{1,40}?) '(?P<url>URL)'`, said: fetch.MixedContent},
	{part: head, pattern: `(?P<does>Refused to (?:connect to|load)|Connecting to|Loading)(?P<kind>(?: the)? [a-z ]{1,30}|media from|manifest from)? '(?P<url>URL)' (?:because it )?violates the following Content Security Policy directive: "(?P<directive>[a-z-]+)`, said: fetch.ContentSecurityPolicy},
	{part: head, pattern: `(?:Refused to connect to|Connecting to) '(?P<url>URL)' (?:because it )?violates the following Content Security Policy directive: "(?P<directive>[a-z-]+)`, said: fetch.ContentSecurityPolicy},
	{part: head, pattern: `Refused to connect to '(?P<url>URL)' because it violates the document's Content Security Policy`, said: fetch.ContentSecurityPolicy, kind: fetch.KindFetch},
	{part: head, kind: fetch.KindWebSocket, pattern: `WebSocket connection to '(?P<url>URL)' failed`},
	{part: head, kind: fetch.KindFetch, pattern: `The FetchEvent for "(?P<url>URL)" resulted in a network error response: an "opaque" response was used`},
	{part: head, noCORS: true, pattern: `Cross-Origin Read Blocking \(CORB\) blocked cross-origin response (?P<url>https?:BARE)(?: with MIME type| |$)`},
	{part: head, noCORS: true, pattern: `Response was blocked by (?:CORB|ORB) \(Cross-Origin Read Blocking\)[^']{0,80}'(?P<url>URL)'`},

	// Firefox.
	{part: head, pattern: `Cross-Origin Request (?:Blocked|Warning): The Same Origin Policy (?:disallows|will disallow) reading the remote resource at ['"]?(?P<url>BARE)['"]?(?: soon)?\. ?(?:\(Reason:|This can be fixed)`},
	{part: head, pattern: `Cross-Origin Request (?:Blocked|Warning): The Same Origin Policy (?:disallows|will disallow) reading the remote resource at ['"]?(?P<url>[^\s'"]+)`},
	{part: head, pattern: `Blocked loading mixed active content "(?P<url>URL)"`, said: fetch.MixedContent},
	{part: head, kind: fetch.KindFont, pattern: `downloadable font: download failed [^<>]*?: ?bad URI or cross-site access not allowed source: (?P<url>[^\s'"]+)`},
	{part: head, pattern: `Content[- ]Security[- ]Policy: The page's settings (?:blocked|would block) the loading of a resource \((?P<directive>[a-z-]+)\) at (?P<url>[^\s'"]+) because it violates the following directive:`, said: fetch.ContentSecurityPolicy},
	{part: head, pattern: `Content Security Policy: The page's settings blocked the loading of a resource at (?P<url>[^\s'"]+) \("(?P<directive>[a-z-]+)`, said: fetch.ContentSecurityPolicy},
	{part: head, noCORS: true, said: fetch.ResourcePolicy, pattern: `The resource at "(?P<url>URL)" was blocked due to its Cross-Origin-Resource-Policy header`},
	{part: head, noCORS: true, pattern: `The resource at "(?P<url>URL)" was blocked by OpaqueResponseBlocking`},
	{part: head, kind: fetch.KindFetch, pattern: `Failed to load '(?P<url>URL)'\. A ServiceWorker passed an opaque Response`},
	{part: head, pattern: `Firefox can't establish a connection to the server at (?P<url>[^\s'"]+)`},
	{part: head, pattern: `Cross-Origin Request Blocked: [^:]{0,60}OpaqueResponseBlocking`},
	{part: head, noCORS: true, pattern: `A resource is blocked by OpaqueResponseBlocking, please check browser console for details\.? ?(?P<url>https?:[^\s'"]+)?`},

	// WebKit.
	{part: head, pattern: `Cross-origin redirection to (?P<to>BARE) denied by Cross-Origin Resource Sharing policy:`},
	{part: head, pattern: `Redirection to (?P<to>BARE) denied by Cross-Origin Resource Sharing policy:`},
	{part: head, pattern: `\[blocked\] The page at (?P<page>BARE) (?:requested insecure content from|was not allowed to display insecure content from) (?P<url>BARE)\. This content was blocked`, said: fetch.MixedContent},
	{part: head, pattern: `Refused to connect to (?P<url>BARE) because it does not appear in the (?P<directive>[a-z-]+) directive of the Content Security Policy`, said: fetch.ContentSecurityPolicy},
	{part: head, pattern: `Refused to load (?P<url>BARE) because it does not appear in the (?P<directive>[a-z-]+) directive of the Content Security Policy`, said: fetch.ContentSecurityPolicy},
	{part: head, noCORS: true, said: fetch.ResourcePolicy, pattern: `Cancelled load to (?P<url>BARE) because it violates the resource's Cross-Origin-Resource-Policy`},
	{part: tail, kind: fetch.KindFetch, pattern: `Fetch API cannot load (?P<url>BARE) due to access control checks`},
	{part: tail, kind: fetch.KindXHR, pattern: `XMLHttpRequest cannot load (?P<url>BARE) due to access control checks`},
	{part: tail, kind: fetch.KindEventSource, pattern: `EventSource cannot load (?P<url>BARE) due to access control checks`},
	{part: head, kind: fetch.KindBeacon, pattern: `Beacon API cannot load (?P<url>BARE)\. `},
	{part: tail, kind: fetch.KindBeacon, pattern: `Beacon API cannot load (?P<url>BARE) due to access control checks`},
	{part: tail, pattern: `Cannot load (?P<kind>image|script|stylesheet|font|media|video|audio|manifest) (?P<url>BARE) due to access control checks`},
	{part: tail, pattern: `(?:Fetch API|XMLHttpRequest) cannot load (?P<url>BARE)\.(?:\s|$)`},
	{part: echo, pattern: `Failed to load resource: (?:Origin |Preflight |Request |Method |Access-Control|Cannot |Credentials |Cross-origin |Redirection |Header |Load )`},

	// The first Edge, and Internet Explorer.
	{part: head, pattern: `SEC7120: (?:\[CORS\] )?The origin '(?P<origin>ORIGIN)' did not find '[^']+?' in the Access-Control-Allow-Origin response header for cross-origin\s+resource at '(?P<url>URL)'`, said: fetch.MissingAllowOrigin},
	{part: head, pattern: `SEC7118: XMLHttpRequest for (?P<url>[^\s'"]+) required Cross Origin Resource Sharing`, kind: fetch.KindXHR},

	// Angular, whose message has a URL, and no more.
	{part: head, kind: fetch.KindXHR, pattern: `Http failure response for (?P<url>BARE): 0 Unknown Error`},
	{part: head, kind: fetch.KindXHR, pattern: `HttpErrorResponse \{[^<>]{0,300}?status: 0,[^<>]{0,300}?url: "(?P<url>URL)"`},

	// The network log, which Chromium and Firefox have among the messages.
	{part: line, pattern: `(?P<method>GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (?P<url>https?:[^\s'"]+) (?:net::ERR_|[1-5][0-9][0-9] \(|CORS |NS_ERROR)`},
	{part: line, pattern: `(?P<xhr>XHR) ?(?P<method>GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) ?(?P<url>https?:[^\s'"]+)`},

	// Why, in Chromium's words.
	{part: reason, pattern: `Response to preflight request doesn't pass access control check`, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Response for preflight is invalid \(redirect\)`, said: fetch.PreflightRedirect, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Response for preflight (?:is|has)`, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Response to preflight is (?:invalid|not successful)`, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `It does not have HTTP ok status`, said: fetch.PreflightStatus, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `(?:has i|I)nvalid HTTP status code [0-9]{3}`, said: fetch.PreflightStatus, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Redirect is not allowed for a preflight request`, said: fetch.PreflightRedirect, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `which is disallowed for cross-origin requests that require preflight`, said: fetch.PreflightRedirect, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `The request was redirected to a URL \('(?P<to>URL)'\) which has a disallowed scheme`, said: fetch.RedirectScheme},
	{part: reason, pattern: `Redirect location '[^']*?' contains a username and password`, said: fetch.RedirectCredentials},
	{part: reason, pattern: `No 'Access-Control-Allow-Origin' header (?:is|was) present on the requested resource`, said: fetch.MissingAllowOrigin},
	{part: reason, pattern: `The 'Access-Control-Allow-Origin' header contains multiple values`, said: fetch.MultipleAllowOrigin},
	{part: reason, pattern: `The 'Access-Control-Allow-Origin' header contains the invalid value`, said: fetch.InvalidAllowOrigin},
	{part: reason, pattern: `The 'Access-Control-Allow-Origin' header has a value '[^']*?' that is not equal to the supplied origin`, said: fetch.AllowOriginMismatch},
	{part: reason, pattern: `must not be the wildcard '\*' when the request's credentials mode is 'include'`, said: fetch.WildcardWithCredentials, credentials: true},
	{part: reason, pattern: `A wildcard '\*' cannot be used in the 'Access-Control-Allow-Origin' header when the credentials flag is true`, said: fetch.WildcardWithCredentials, credentials: true},
	{part: reason, pattern: `'Access-Control-Allow-Credentials' header in the response is '' which must be 'true'`, said: fetch.MissingAllowCredentials, credentials: true},
	{part: reason, pattern: `'Access-Control-Allow-Credentials' header in the response is '[^']+?' which must be 'true'`, said: fetch.InvalidAllowCredentials, credentials: true},
	{part: reason, pattern: `Credentials flag is 'true', but the 'Access-Control-Allow-Credentials' header is ''`, said: fetch.MissingAllowCredentials, credentials: true},
	{part: reason, pattern: `Credentials flag is 'true', but the 'Access-Control-Allow-Credentials' header is '[^']+?'`, said: fetch.InvalidAllowCredentials, credentials: true},
	{part: reason, pattern: `Method (?P<method>TOKEN) is not allowed by Access-Control-Allow-Methods`, said: fetch.MethodNotAllowed, preflight: true},
	{part: reason, pattern: `Request header (?:field )?(?P<header>TOKEN) (?:is not allowed by|was not present in the) Access-Control-Allow-Headers`, said: fetch.HeaderNotAllowed, preflight: true},
	{part: reason, pattern: `Cannot parse Access-Control-Allow-Methods response header field`, said: fetch.InvalidAllowMethods, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Cannot parse Access-Control-Allow-Headers response header field`, said: fetch.InvalidAllowHeaders, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `'Access-Control-Allow-Private-Network' header (?:is|was) present in the preflight response`, preflight: false},
	{part: reason, pattern: `Origin '?(?P<origin>ORIGIN)'? is therefore not allowed access`},

	// Why, in Firefox's words.
	{part: reason, pattern: `CORS header 'Access-Control-Allow-Origin' missing`, said: fetch.MissingAllowOrigin},
	{part: reason, pattern: `CORS header 'Access-Control-Allow-Origin' does not match`, said: fetch.AllowOriginMismatch},
	{part: reason, pattern: `Multiple CORS header 'Access-Control-Allow-Origin' not allowed`, said: fetch.MultipleAllowOrigin},
	{part: reason, pattern: `CORS preflight (?:response|channel) did not succeed`, said: fetch.PreflightStatus, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Did not find method in CORS header 'Access-Control-Allow-Methods'`, said: fetch.MethodNotAllowed, preflight: true, unnamed: NeedMethod},
	{part: reason, pattern: `(?:header|missing token) '(?P<header>TOKEN)' (?:is not allowed according to header|in CORS header) 'Access-Control-Allow-Headers'`, said: fetch.HeaderNotAllowed, preflight: true},
	{part: reason, pattern: "When the `Access-Control-Allow-Headers` is `\\*`, the `(?P<header>Authorization)` header is not covered", preflight: true},
	{part: reason, pattern: `invalid token '[^']*?' in CORS header 'Access-Control-Allow-Methods'`, said: fetch.InvalidAllowMethods, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `invalid token '[^']*?' in CORS header 'Access-Control-Allow-Headers'`, said: fetch.InvalidAllowHeaders, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Credential is not supported if the CORS header 'Access-Control-Allow-Origin' is '\*'`, said: fetch.WildcardWithCredentials, credentials: true},
	{part: reason, pattern: `expected 'true' in CORS header 'Access-Control-Allow-Credentials'`, said: fetch.MissingAllowCredentials, credentials: true},

	// Why, in WebKit's words.
	{part: reason, pattern: `Origin (?P<origin>ORIGIN) is not allowed by Access-Control-Allow-Origin`, said: fetch.MissingAllowOrigin},
	{part: reason, pattern: `Access-Control-Allow-Origin cannot contain more than one origin`, said: fetch.MultipleAllowOrigin},
	{part: reason, pattern: `Preflight response is not successful`, said: fetch.PreflightStatus, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Header Access-Control-Allow-Methods has an invalid value`, said: fetch.InvalidAllowMethods, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Header Access-Control-Allow-Headers has an invalid value`, said: fetch.InvalidAllowHeaders, preflight: true, unnamed: NeedPreflight},
	{part: reason, pattern: `Cannot use wildcard in Access-Control-Allow-Origin when credentials flag is true`, said: fetch.WildcardWithCredentials, credentials: true},
	{part: reason, pattern: `Credentials flag is true, but Access-Control-Allow-Credentials is not "?true"?`, said: fetch.MissingAllowCredentials, credentials: true},
	{part: reason, kind: fetch.KindScript, pattern: `Cross-origin script load denied by Cross-Origin Resource Sharing policy`},
	{part: reason, pattern: `Load cannot follow more than 20 redirections`, said: fetch.TooManyRedirects},
}

// A compiledForm is a form that can be looked for.
type compiledForm struct {
	form
	re *regexp.Regexp
}

var compiledForms = sync.OnceValue(func() []compiledForm {
	// URL is in quotes, and ends with the quote that no letter of a URL comes after. BARE is what stands without quotes:
	// the pattern goes on after it with words that do not stand in URLs. Both may have been wrapped.
	classes := strings.NewReplacer(
		"URL", `(?:[^'"<>]|'[^\s'"<>),.:;])+?`,
		"BARE", `[^\s'"<>](?:[^ '"<>]|'[^\s'"<>),.:;])*?`,
		"ORIGIN", `[^\s'"<>]+?`,
		"TOKEN", `[!#$%&*+.^_|~0-9A-Za-z-]+`,
		" ?", `\s*`,
		" ", `\s+`,
	)
	compiled := make([]compiledForm, len(forms))
	for i, f := range forms {
		// The names of the groups and of the fields have these words in them, too: each stands alone where it is a class.
		pattern := regexp.MustCompile(`\b(?:URL|BARE|ORIGIN|TOKEN)\b| \??`).ReplaceAllStringFunc(f.pattern, func(word string) string {
			return classes.Replace(word)
		})
		compiled[i] = compiledForm{f, regexp.MustCompile(pattern)}
	}
	return compiled
})

// A found is a form where it stands in a text.
type found struct {
	form
	start, end int
	groups     map[string]string
}

// find returns the forms in a text in their order, without those that are a part of another one.
func find(text string) []found {
	var all []found
	for _, f := range compiledForms() {
		for _, at := range f.re.FindAllStringSubmatchIndex(text, -1) {
			one := found{form: f.form, start: at[0], end: at[1], groups: make(map[string]string)}
			for i, name := range f.re.SubexpNames() {
				if name != "" && at[2*i] >= 0 {
					one.groups[name] = text[at[2*i]:at[2*i+1]]
				}
			}
			all = append(all, one)
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	var kept []found
	end := -1
	for _, one := range all {
		if one.part != reason && one.start < end {
			continue
		}
		if one.part == reason && one.end <= end && one.start < end && kept[len(kept)-1].part != echo && kept[len(kept)-1].part != head {
			continue
		}
		kept = append(kept, one)
		end = max(end, one.end)
	}
	return kept
}

// A report is what messages say of one call, before it is known whether that is enough.
type report struct {
	call      Call
	found     bool // whether anything is
	method    string
	headers   []string // names
	preflight bool
	unnamed   Need
	xhr       bool
	site      string // the origin of the URL, where that is not told
	hint      string // a URL that lacks its scheme
	foreign   bool   // its URL is of a scheme that no page can call, such as that of a redirect to mailto:
}

func (r *report) take(one found) {
	r.found = true
	if one.kind != "" && r.call.Kind == "" {
		r.call.Kind = one.kind
	}
	if r.call.Said == "" {
		r.call.Said = one.said
	}
	r.preflight = r.preflight || one.preflight
	r.call.Credentials = r.call.Credentials || one.credentials
	r.call.NoCORS = r.call.NoCORS || one.noCORS
	if one.unnamed != "" && (r.unnamed == "" || one.unnamed == NeedMethod) {
		r.unnamed = one.unnamed
	}
	for name, value := range one.groups {
		switch name {
		case "url":
			r.takeURL(value)
		case "to":
			r.call.RedirectedTo = callableURL(unwrap(value))
		case "origin":
			if o := originOf(value); o != "" && r.call.Origin == "" {
				r.call.Origin = o
			}
		case "page":
			if u := callableURL(unwrap(value)); u != "" {
				r.call.PageURL = u
				r.call.Origin = originOf(u)
			}
		case "site":
			r.site = value
		case "method":
			r.method = value
		case "header":
			if !slices.ContainsFunc(r.headers, func(h string) bool { return strings.EqualFold(h, value) }) {
				r.headers = append(r.headers, value)
			}
		case "xhr":
			r.xhr = true
		}
	}
	if kind := kindOf(one.groups["kind"], one.groups["directive"]); kind != "" && r.call.Kind == "" {
		r.call.Kind = kind
	}
}

func (r *report) takeURL(text string) {
	text = unwrap(text)
	if r.call.URL = callableURL(text); r.call.URL == "" {
		r.hint = WithScheme(text)
		r.foreign = r.hint == ""
	}
}

// unwrap takes the white space out of a URL that was wrapped on its way.
func unwrap(text string) string {
	if strings.ContainsAny(text, " \t\n") {
		text = strings.Join(strings.Fields(text), "")
	}
	return strings.TrimRight(text, ".,;") // the end of a sentence
}

// WithScheme returns what was meant by a URL without http: or https:, such as localhost:8080/x: a person's own machine has no
// https, most likely. It is empty if no page can call what results.
func WithScheme(text string) string {
	text = strings.TrimPrefix(text, "//")
	if authority, _, _ := strings.Cut(text, "/"); strings.Contains(text, "://") || authority == "" || strings.Contains(authority, "@") { // mailto:
		return ""
	}
	secure := callableURL("https://" + text)
	if o, ok := origin.Parse(originOf(secure)); ok && o.Loopback() {
		return callableURL("http://" + text)
	}
	return secure
}

// kinds are Chromium's and WebKit's words for what is loaded.
var kinds = map[string]fetch.Kind{
	"fetch":                   fetch.KindFetch,
	"xmlhttprequest":          fetch.KindXHR,
	"xmlhttprequest endpoint": fetch.KindXHR,
	"eventsource endpoint":    fetch.KindEventSource,
	"websocket endpoint":      fetch.KindWebSocket,
	"font":                    fetch.KindFont,
	"image":                   fetch.KindImage,
	"favicon":                 fetch.KindImage,
	"script":                  fetch.KindScript,
	"stylesheet":              fetch.KindStyle,
	"css stylesheet":          fetch.KindStyle,
	"media":                   fetch.KindMedia,
	"video":                   fetch.KindMedia,
	"audio":                   fetch.KindMedia,
	"text track":              fetch.KindMedia,
	"manifest":                fetch.KindManifest,
}

// directives are those of a Content-Security-Policy that a call has to pass. connect-src is for several kinds.
var directives = map[string]fetch.Kind{
	"font-src":        fetch.KindFont,
	"img-src":         fetch.KindImage,
	"script-src":      fetch.KindScript,
	"script-src-elem": fetch.KindScript,
	"style-src":       fetch.KindStyle,
	"style-src-elem":  fetch.KindStyle,
	"media-src":       fetch.KindMedia,
	"manifest-src":    fetch.KindManifest,
}

func kindOf(word, directive string) fetch.Kind {
	word = strings.ToLower(strings.Join(strings.Fields(word), " "))
	word = strings.TrimSuffix(strings.TrimPrefix(word, "the "), " from")
	return cmp.Or(kinds[word], directives[directive])
}

// readConsole returns the calls that the messages of a console are about.
func readConsole(text string) []Call {
	text = plain(text)
	var reports []*report
	var open *report   // of the last head
	var pending report // reasons that a tail comes after
	methods := make(map[string]found)
	preflighted := make(map[string]bool)
	close := func() {
		if pending.found {
			// A WebKit reason whose message with the URL was not pasted. One that only repeats another is none.
			if !slices.ContainsFunc(reports, func(r *report) bool { return pending.repeats(r) }) {
				r := pending
				reports = append(reports, &r)
			}
			pending = report{}
		}
	}
	echoed := 0 // the end of the last echo
	for _, one := range find(text) {
		switch one.part {
		case head:
			close()
			open = new(report)
			open.take(one)
			reports = append(reports, open)
			if one.groups["url"] == "" && one.groups["to"] != "" { // WebKit's redirection: the tail has the URL
				reports = reports[:len(reports)-1]
				pending, open = *open, nil
			}
		case reason:
			switch {
			case one.start < echoed && len(reports) > 0: // what was said before
			case open != nil:
				open.take(one)
			default:
				pending.take(one)
			}
		case tail:
			open = nil
			r := pending
			pending = report{}
			r.take(one)
			reports = append(reports, &r)
		case echo:
			open, echoed = nil, one.end
		case line:
			if u := callableURL(one.groups["url"]); u != "" {
				if one.groups["method"] == "OPTIONS" {
					preflighted[u] = true
				} else if _, ok := methods[u]; !ok {
					methods[u] = one
				}
			}
			open = nil
		}
	}
	close()

	likely := scriptsOrigin(text)
	for _, r := range reports {
		likely = cmp.Or(likely, r.call.Origin)
	}
	if slices.ContainsFunc(reports, func(r *report) bool { return r.call.URL != "" }) {
		reports = slices.DeleteFunc(reports, func(r *report) bool { return r.foreign }) // Firefox has a message about each URL of one call
	}
	var calls []Call
	for _, r := range reports[:min(len(reports), maxCalls)] {
		if r.call.URL != "" {
			if one, ok := methods[r.call.URL]; ok && r.method == "" {
				r.method = one.groups["method"]
				r.xhr = one.groups["xhr"] != ""
				delete(methods, r.call.URL)
			}
		}
		calls = mergeReport(calls, r.finish(likely))
	}
	if len(calls) > 0 {
		return calls
	}
	// Lines of the network log alone: better than nothing.
	for _, one := range find(text) {
		if u := callableURL(one.groups["url"]); one.part == line && u != "" && one.groups["method"] != "OPTIONS" {
			r := report{found: true, method: one.groups["method"]}
			r.call.URL = u
			r.preflight = preflighted[u]
			if r.preflight {
				r.unnamed = NeedPreflight
			}
			calls = mergeReport(calls, r.finish(likely))
		}
	}
	return calls
}

// The forms of a message that is in no wording known here: one that was cut, or has lost its quotes; and one in another language,
// of which Firefox translates all but the names of headers.
var (
	fromOrigin  = regexp.MustCompile(`\bat\s+'?(https?://[^\s'"<>]+)'?\s+from\s+origin\s+'?([^\s'"<>]+)`)
	translated  = regexp.MustCompile(`(?:Cross-Origin|CORS|Access-Control-)[^<>]{0,300}?(https?://[^\s'"<>]+)([^<>]{0,400})|(https?://[^\s'"<>]+)([^<>]{0,200}(?:CORS|Access-Control-)[^<>]{0,200})`)
	quotedToken = regexp.MustCompile(`['"«「]\s*([!#$%&+.^_|~0-9A-Za-z-]+)\s*['"»」]`)
)

// readUnworded returns the call that a text is about which has a URL and words of CORS, and no message that is known.
func readUnworded(text string) []Call {
	const most = 16 << 10 // which is more than a message, and little to search
	text = plain(text[:min(len(text), most)])
	r := report{found: true}
	if at := fromOrigin.FindStringSubmatch(text); at != nil {
		r.takeURL(at[1])
		r.call.Origin = originOf(at[2])
		if r.call.URL == "" {
			return nil
		}
		if strings.Contains(text, "preflight") || !strings.Contains(text, "Access-Control-Allow-Origin") { // or it may be about one
			r.preflight, r.unnamed = true, NeedPreflight
		}
		return []Call{r.finish("")}
	}
	at := translated.FindStringSubmatch(text)
	if at == nil {
		return nil
	}
	r.takeURL(cmp.Or(at[1], at[3]))
	if r.call.URL == "" || strings.HasPrefix(r.call.URL, "https://developer.mozilla.org/") {
		return nil
	}
	says := cmp.Or(at[2], at[4])
	switch {
	case strings.Contains(says, "Access-Control-Allow-Headers"):
		r.preflight, r.unnamed = true, NeedPreflight
		for _, token := range quotedToken.FindAllStringSubmatch(says, -1) {
			if !strings.HasPrefix(token[1], "Access-Control-") && r.headers == nil {
				r.headers, r.unnamed = []string{token[1]}, ""
			}
		}
	case strings.Contains(says, "Access-Control-Allow-Methods"):
		r.preflight, r.unnamed = true, NeedMethod
	case strings.Contains(says, "Access-Control-Allow-Credentials"), quotedStar.MatchString(says):
		r.call.Credentials = true
	case !strings.Contains(says, "Access-Control-Allow-Origin"):
		r.preflight, r.unnamed = true, NeedPreflight // it may be about one
	}
	return []Call{r.finish("")}
}

// quotedStar finds the wildcard that Firefox names where credentials do not go with it.
var quotedStar = regexp.MustCompile(`['"«「]\s*\*\s*['"»」]`)

// repeats reports whether a reason without a URL is one that another report has.
func (r *report) repeats(other *report) bool {
	return r.call.URL == "" && r.call.Said == other.call.Said && (r.call.Origin == "" || r.call.Origin == other.call.Origin) &&
		r.method == "" && len(r.headers) == 0
}

// mergeReport adds a call, or takes from it what another message about the same call does not say. Firefox prints two, of
// which the second says nothing.
func mergeReport(calls []Call, c Call) []Call {
	for i := range calls {
		known := &calls[i]
		if c.URL == "" || known.URL != c.URL || known.Origin != c.Origin && c.Origin != "" || known.Kind != c.Kind && known.Kind != "" && c.Kind != "" {
			continue
		}
		if known.Kind == "" {
			known.Kind = c.Kind
		}
		if c.Said == "" && c.Method == "" && len(c.Header) == 0 && !c.Lacks(NeedPreflight) {
			return calls // it says nothing more
		}
		if known.Said == "" && known.Method == "" && len(known.Header) == 0 && !known.Lacks(NeedPreflight) {
			*known = c
			return calls
		}
	}
	return append(calls, c)
}

// finish makes a call of a report, and says what is missing of it.
func (r *report) finish(likelyOrigin string) Call {
	c := r.call
	c.Source = Console
	if r.method != http.MethodGet && fetchspec.IsToken(r.method) {
		c.Method = r.method
	}
	if c.Kind == "" && r.xhr {
		c.Kind = fetch.KindXHR
	}
	for _, name := range r.headers {
		c.Header = append(c.Header, namedHeader(name))
	}
	if c.URL == "" {
		c.lack(NeedURL, cmp.Or(r.hint, siteURL(r.site)), flagURL)
	}
	switch {
	case c.Said == fetch.ContentSecurityPolicy:
		// Which of its pages the policy is of, its origin does not tell.
		c.lack(NeedPage, "", flagPage)
	case c.Origin == "":
		c.lack(NeedOrigin, likelyOrigin, flagOrigin)
	}
	if r.preflight && !c.needsPreflight() {
		switch {
		case r.unnamed == NeedMethod && !c.needsPreflight():
			c.lack(NeedMethod, "", flagMethod)
		case r.method == "":
			c.lack(NeedPreflight, "", flagMethod, flagHeader)
		default:
			c.lack(NeedHeader, "", flagHeader)
		}
	}
	return c
}

// siteURL is the URL of which only the origin is known.
func siteURL(site string) string {
	if originOf(site) == "" {
		return ""
	}
	return callableURL(site)
}

// needsPreflight reports whether what is known of a call is enough for a browser to ask for a preflight.
func (c *Call) needsPreflight() bool {
	if c.Kind == fetch.KindXHRUpload || c.Kind == fetch.KindStream {
		return true
	}
	if c.Method != "" && !fetchspec.IsSafelistedMethod(c.Method) {
		return true
	}
	return slices.ContainsFunc(c.Header, func(f fetch.Field) bool { return !fetchspec.IsSafelistedRequestHeader(f.Name, f.Value) })
}

var (
	// Chat programs and trackers make links of URLs: <https://a|https://a>, [https://a](https://a).
	angleLink    = regexp.MustCompile(`<((?:https?|wss?)://[^<>|\s]+)(?:\|[^<>]*)?>`)
	markdownLink = regexp.MustCompile(`\[((?:https?|wss?)://[^\]\s]+)\]\((?:https?|wss?)://[^)\s]+\)`)

	// What a reply puts before each line, and a list.
	linePrefix = regexp.MustCompile(`(?m)^[ \t]*(?:(?:>|&gt;|\||│)[ \t]?)+`)

	// What stands for a character in the source of a web page.
	entities = strings.NewReplacer("&#39;", "'", "&#x27;", "'", "&apos;", "'", "&quot;", `"`, "&lt;", "<", "&gt;", ">", "&amp;", "&")
)

// plain takes off what a chat, a tracker or an editor has put on a text: typographic quotes, marks of quotation, links,
// invisible characters.
func plain(text string) string {
	if strings.Contains(text, "&#39;") || strings.Contains(text, "&#x27;") || strings.Contains(text, "&quot;") {
		text = entities.Replace(text)
	}
	text = strings.Map(func(r rune) rune {
		switch r {
		case '‘', '’', '‚', '‛', '′', '´', 'ʼ':
			return '\''
		case '“', '”', '„', '‟', '″', '«', '»':
			return '"'
		case '\u00a0', '\u202f', '\u2007', '\r', '\u2028', '\u2029', '\v', '\f', '\x00':
			return ' '
		case '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u00ad', '\u200e', '\u200f', '\u202a', '\u202c', '\u2066', '\u2069':
			return -1
		}
		return r
	}, text)
	text = linePrefix.ReplaceAllString(text, "")
	text = angleLink.ReplaceAllString(text, "$1")
	text = markdownLink.ReplaceAllString(text, "$1")
	return text
}

// scripts finds the lines of stack traces: a URL with a line and a column.
var scripts = regexp.MustCompile(`(https?://[^\s'"<>()/@]+)(?:/[^\s'"<>()]*)?:[0-9]+:[0-9]+`)

// scriptsOrigin returns the origin of all scripts in a stack trace, if it is one: the page's, most likely.
func scriptsOrigin(text string) string {
	likely := ""
	for _, m := range scripts.FindAllStringSubmatch(text, -1) {
		o := originOf(m[1])
		if o == "" || likely != "" && o != likely {
			return ""
		}
		likely = o
	}
	return likely
}
