package pasted

import "regexp"

// A hint says why nothing can be checked with a text that people paste all the same.
type hint struct {
	words *regexp.Regexp // in the text
	says  string
}

// otherForms are texts about a call that are in a form which is not read.
var otherForms = []hint{
	{
		regexp.MustCompile(`(?i)\b(?:Invoke-WebRequest|Invoke-RestMethod)\b`),
		"this is a command for PowerShell: choose Copy as cURL (bash) or Copy as fetch in the same menu",
	},
	{
		regexp.MustCompile(`(?m)^[ \t]*(?:[$#>%][ \t]*)*(?:https?|xhs?)[ \t]+(?:--?[\w-]+(?:=\S+)?[ \t]+)*(?:(?i:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)[ \t]|:|https?://|[\w.-]+\.[a-z]+[/: ])`),
		"this is a command of HTTPie, which says nothing of a page: choose Copy as cURL in the browser's network panel",
	},
	{
		regexp.MustCompile(`(?m)^[ \t]*(?:[$#>%][ \t]*)*wget[ \t]`),
		"this is a command of wget, which says nothing of a page: choose Copy as cURL in the browser's network panel",
	},

	{
		regexp.MustCompile(`(?m)^[ \t]*(?:[<>] )?(?:(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \S+ HTTP/|HTTP/[0-9.]+ [1-5][0-9][0-9])|\bRequest (?:URL|Method)\b`),
		"these are lines of a request's headers, which are not read: choose Copy as cURL in the menu of the request",
	},
	{
		regexp.MustCompile(`\baxios(?:\.\w+)?\s*\(|\bnew XMLHttpRequest\b|\$\.(?:ajax|get|post|getJSON)\s*\(`),
		"of scripts, only calls of fetch are read",
	},
	{
		regexp.MustCompile(`"logger": ?"http\.handlers\.cors`),
		"this is a line of Caddy's log, which has what would allow the call as its fix; caddy cors denials has them all",
	},
	{
		regexp.MustCompile(`\A\s*[a-z]+://[^\s'"<>]+\s*\z`),
		"this is a URL alone, and it matters which page calls it: caddy cors check URL --origin ORIGIN",
	},
}

// otherMessages are those that name no call, in the order in which they are tried: what tells more comes first.
var otherMessages = []hint{
	// About something else than an answer of a server.
	{
		regexp.MustCompile(`Failed to construct 'Worker'|Security Error: Content at \S+ may not load data from`),
		"a worker's script has to be from the page's own origin, and no header of the server helps: serve it with the page",
	},
	{
		regexp.MustCompile(`Refused to set unsafe header`),
		"the script sets a header that only the browser sets: leave it out. That alone does not block the call",
	},
	{
		regexp.MustCompile(`Refused to get unsafe header`),
		"the script reads a header that the server does not expose, and the message does not name the call: check its URL with --reads",
	},
	{
		regexp.MustCompile(`A ServiceWorker passed an opaque Response|an "opaque" response was used|Response served by service worker is opaque`),
		`a service worker answers with what it loaded with mode: "no-cors": have it fetch with mode: "cors"`,
	},
	{
		regexp.MustCompile(`(?i)tainted by cross-origin data|Tainted canvases may not be exported|The operation is insecure`),
		"a picture on the canvas was loaded without CORS, and the message does not name it: check the picture's URL with --kind image, and give its element crossorigin",
	},
	{
		regexp.MustCompile(`Not allowed to load local resource|may not load or link to file:|URL scheme "[a-z-]+" is not supported|Cross origin requests are only supported for`),
		"the script calls a URL that is neither http:// nor https://, or the page was opened from a file: serve both over HTTP",
	},
	{
		regexp.MustCompile(`ERR_BLOCKED_BY_ORB|Cross-Origin Read Blocking|OpaqueResponseBlocking`),
		"an element without crossorigin was answered with HTML, XML or JSON, and the text does not name its URL: check that with --kind and --no-cors",
	},
	{
		regexp.MustCompile(`ERR_BLOCKED_BY_RESPONSE|NotSameOriginAfterDefaultedToSameOriginByCoep`),
		"the response's Cross-Origin-Resource-Policy or the page's Cross-Origin-Embedder-Policy has blocked it, and the text does not name its URL: check that with --no-cors and --page",
	},
	{
		regexp.MustCompile(`ERR_BLOCKED_BY_CLIENT`),
		"an extension of the browser, such as an ad blocker, has blocked the call: no server has seen it",
	},
	{
		regexp.MustCompile(`ERR_(?:CONNECTION_[A-Z_]+|NAME_[A-Z_]+|ADDRESS_[A-Z_]+|CERT_[A-Z_]+|SSL_[A-Z_]+|EMPTY_RESPONSE|TIMED_OUT|INTERNET_DISCONNECTED|HTTP2_[A-Z_]+|QUIC_[A-Z_]+)`),
		"there was no answer at all, which CORS has nothing to do with: open the URL in a tab of its own",
	},
	{
		regexp.MustCompile(`\b(?:431 Request Header Fields Too Large|413 (?:Request Entity|Payload|Content) Too Large)\b`),
		"the server refuses the size of the request, and the text does not name its URL",
	},
	{
		regexp.MustCompile(`Request had a target IP address space of|target IP address space`),
		"a public page calls a private network, and the text does not name the URL",
	},

	// No more than that a call has failed.
	{
		regexp.MustCompile(`strict-origin-when-cross-origin`),
		"a referrer policy is not an error: the network panel shows it for every request",
	},
	{
		regexp.MustCompile(`Not allowed to request resource`),
		"the message does not name the call: the one before or after it in the console does",
	},
	{
		regexp.MustCompile(`(?i)\bNetwork ?Error\b|ERR_NETWORK|0 Unknown Error|xhr poll error|websocket error|Failed to fetch|Load failed|Failed to load resource|ERR_FAILED|XMLHttpRequest (?:error|onError)|\(failed\)|\bCORS error\b|\bScript error\.`),
		"this says no more than that a call failed, because scripts must not know why: the browser's console has the reason and the URL, in a message above",
	},
	{
		regexp.MustCompile(`(?i)\bsendBeacon\b`),
		"the text does not name the URL: check that with --kind beacon",
	},
}

// hinted returns what is said of a text in which there is no call; nil if none of the hints is about it.
func hinted(text string, hints []hint) error {
	for _, h := range hints {
		if h.words.MatchString(text) {
			return &UnrecognizedError{Reason: h.says}
		}
	}
	return nil
}
