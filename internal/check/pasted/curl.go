package pasted

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
)

// commandStart finds curl at the beginning of a line, after what prompts, quotations and lists put there.
var commandStart = regexp.MustCompile("(?m)(?:^[ \\t]*(?:[-*>$#%`|]+[ \\t]*|[A-Za-z]:\\\\[^>\\n]*>[ \\t]*|[\\w.@:~/-]+[$#%][ \\t]+)*|[;&][ \\t]*|`)(?P<name>(?:[\\w./\\\\-]*[/\\\\])?curl(?:\\.exe)?)(?:[ \\t]|\\\\\\n|\\^\\n)")

// ofCmd tells a command for the Windows command prompt from one for a shell: by quotes with a caret, or lines that a caret
// continues.
var ofCmd = regexp.MustCompile(`\A\S+\s+(?:\^\n\s*)*(?:-\S+\s+)*\^"|(?m:[ \t]\^[ \t]*$)`)

// readCurl returns the calls of the curl commands in a text. The error is about the first that cannot be read, if none can.
func readCurl(text string) (calls []Call, unread []string, err error) {
	failed := 0
	for pos := 0; pos < len(text) && failed < maxFailures && len(calls) < maxCalls; {
		at := commandStart.FindStringSubmatchIndex(text[pos:])
		if at == nil {
			break
		}
		rest := text[pos+at[2]:]
		var words []word
		var end int
		var wordsErr error
		if isForCmd(rest) {
			words, end = cmdWords(rest)
		} else if strings.Count(rest, "$(") > maxWords { // one in another, maybe
			wordsErr = errors.New("it has too many commands in it")
		} else {
			if begin := pos + at[2]; begin > 0 && text[begin-1] == '`' { // in running text
				rest, _, _ = strings.Cut(rest, "`")
			}
			words, end, wordsErr = posixWords(strings.TrimRight(rest, "`\n \t"))
		}
		pos += at[2] + max(end, at[3]-at[2])
		if wordsErr != nil || len(words) == 0 {
			failed++
			err = cmpOr(err, &UnrecognizedError{fmt.Sprintf("the curl command cannot be read: %v", wordsErr)})
			continue
		}
		if len(words) > maxWords {
			failed++
			err = cmpOr(err, &UnrecognizedError{fmt.Sprintf("the curl command has %d words, and no browser copies more than %d", len(words), maxWords)})
			continue
		}
		made, unknown := readOptions(words[1:])
		calls = append(calls, made...)
		for _, flag := range unknown {
			if !slices.Contains(unread, flag) {
				unread = append(unread, flag)
			}
		}
	}
	if len(calls) > 0 {
		err = nil
	}
	return calls, unread, err
}

// isForCmd looks at the first command of a text, which ends with a line that nothing continues.
func isForCmd(text string) bool {
	end := 0
	for line := range strings.Lines(text) {
		end += len(line)
		line = strings.TrimRight(line, "\r\n\t ")
		if !strings.HasSuffix(line, "^") && !strings.HasSuffix(line, `\`) {
			break
		}
	}
	first := text[:end]
	return ofCmd.MatchString(first) && !strings.Contains(first, "\\\n")
}

// A command is one transfer of a curl command.
type command struct {
	url      word
	hasURL   bool
	method   string
	header   header
	removed  []string // names of fields that curl shall not send
	unknown  []string // names of fields whose value only the shell knows
	cookie   []string
	data     []byte
	hasData  bool
	dataFile string
	dataVar  bool
	json     bool
	query    []string // of --url-query
	get      bool     // the data are a query
	globOff  bool     // brackets and braces of the URL mean themselves
	headOnly bool
	form     []formField
	upload   string
	user     string
	bearer   string
	notRead  []string

	insecure bool
	resolve  []string
}

// options are curl's that have an argument, and those without that matter here: each long name and its letter. The options
// without an argument that do not matter have the value "".
var (
	withArgument    = make(map[string]string) // letter or long name to long name
	withoutArgument = make(map[string]string)
)

func init() {
	for entry := range strings.FieldsSeq(`
		abstract-unix-socket alt-svc aws-sigv4 cacert capath cert:E cert-type ciphers config:K connect-timeout connect-to continue-at:C
		cookie:b cookie-jar:c create-file-mode crlfile curves data:d data-ascii data-binary data-raw data-urlencode delegation
		dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-ca-embed dump-header:D ech egd-file engine
		etag-compare etag-save expect100-timeout form:F form-string ftp-account ftp-alternative-to-user ftp-method ftp-port:P
		ftp-ssl-ccc-mode happy-eyeballs-timeout-ms haproxy-clientip header:H help:h hostpubmd5 hostpubsha256 hsts interface
		ip-tos ipfs-gateway json keepalive-cnt keepalive-time key key-type krb libcurl limit-rate local-port login-options
		mail-auth mail-from mail-rcpt max-filesize max-redirs max-time:m netrc-file noproxy oauth2-bearer output:o output-dir
		parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir proxy:x proxy-cacert proxy-capath proxy-cert
		proxy-cert-type proxy-ciphers proxy-crlfile proxy-header proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey
		proxy-service-name proxy-tls13-ciphers proxy-tlsauthtype proxy-tlspassword proxy-tlsuser proxy-user:U proxy1.0 pubkey
		quote:Q random-file range:r rate referer:e request:X request-target resolve retry retry-delay retry-max-time sasl-authzid
		service-name sigalgs socks4 socks4a socks5 socks5-gssapi-service socks5-hostname speed-limit:Y speed-time:y stderr
		telnet-option:t tftp-blksize time-cond:z tls-max tls13-ciphers tlsauthtype tlspassword tlsuser trace trace-ascii
		trace-config unix-socket upload-file:T upload-flags url url-query user:u user-agent:A variable vlan-priority
		write-out:w`) {
		name, letter, _ := strings.Cut(entry, ":")
		withArgument[name] = name
		if letter != "" {
			withArgument[letter] = name
		}
	}
	for entry := range strings.FieldsSeq(`
		anyauth append:a basic ca-native cert-status compressed compressed-ssh create-dirs crlf digest disable:q disable-eprt
		disable-epsv disallow-username-in-url doh-cert-status doh-insecure fail:f fail-early fail-with-body false-start
		form-escape ftp-create-dirs ftp-pasv ftp-pret ftp-skip-pasv-ip ftp-ssl-ccc ftp-ssl-control get:G globoff:g
		haproxy-protocol head:I http0.9 http1.0:0 http1.1 http2 http2-prior-knowledge http3 http3-only ignore-content-length
		include:i insecure:k ipv4:4 ipv6:6 junk-session-cookies:j keepalive list-only:l location:L location-trusted
		mail-rcpt-allowfails manual:M metalink mptcp negotiate netrc:n netrc-optional next:: no-alpn no-buffer:N no-clobber
		no-keepalive no-npn no-progress-meter no-sessionid ntlm ntlm-wb parallel:Z parallel-immediate path-as-is post301 post302
		post303 progress-bar:# proxy-anyauth proxy-basic proxy-ca-native proxy-digest proxy-http2 proxy-insecure
		proxy-negotiate proxy-ntlm proxy-ssl-allow-beast proxy-ssl-auto-client-cert proxy-tlsv1 proxytunnel:p raw
		remote-header-name:J remote-name:O remote-name-all remote-time:R remove-on-error retry-all-errors retry-connrefused
		sasl-ir show-error:S show-headers silent:s skip-existing socks5-basic socks5-gssapi socks5-gssapi-nec ssl ssl-allow-beast
		ssl-auto-client-cert ssl-no-revoke ssl-reqd ssl-revoke-best-effort sslv2:2 sslv3:3 styled-output suppress-connect-headers
		tcp-fastopen tcp-nodelay tftp-no-options tls-earlydata tlsv1:1 tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 tr-encoding
		trace-ids trace-time use-ascii:B verbose:v version:V xattr`) {
		name, letter, _ := strings.Cut(entry, ":")
		withoutArgument[name] = name
		if letter != "" {
			withoutArgument[letter] = name
		}
	}
}

// readOptions reads the arguments of one command, which may have several transfers.
func readOptions(args []word) (calls []Call, unknown []string) {
	current := new(command)
	var urls []word
	finish := func() {
		for _, u := range urls {
			c := *current
			c.url, c.hasURL = u, true
			calls = append(calls, c.call())
		}
		if len(urls) == 0 && (current.method != "" || current.header != nil || current.hasData) {
			calls = append(calls, current.call())
		}
		current, urls = new(command), nil
	}
	onlyURLs := false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if onlyURLs || len(arg.text) < 2 || arg.text[0] != '-' {
			if arg.text != "" || arg.unknown && len(urls) == 0 {
				urls = append(urls, arg)
			}
			continue
		}
		next := func() word { // the argument of an option
			if i+1 < len(args) {
				i++
				return args[i]
			}
			return word{}
		}
		if name, long := strings.CutPrefix(arg.text, "--"); long {
			if name == "" {
				onlyURLs = true
				continue
			}
			name, value, attached := strings.Cut(name, "=") // which curl does not know, but people write
			switch {
			case withArgument[name] != "":
				w := word{text: value, unknown: arg.unknown}
				if !attached {
					w = next()
				}
				if name == "url" {
					urls = append(urls, w)
				} else {
					current.option(name, w)
				}
			case name == "next":
				finish()
			case withoutArgument[name] != "" || withoutArgument[strings.TrimPrefix(name, "no-")] != "":
				current.flag(name)
			default:
				unknown = append(unknown, "--"+name)
			}
			continue
		}
		for letters := arg.text[1:]; letters != ""; {
			letter := letters[:1]
			letters = letters[1:]
			if name := withArgument[letter]; name != "" {
				w := word{text: letters, unknown: arg.unknown}
				if letters == "" {
					w = next()
				}
				current.option(name, w)
				break
			}
			name := withoutArgument[letter]
			switch name {
			case "":
				unknown = append(unknown, "-"+letter)
			case "next":
				finish()
			default:
				current.flag(name)
			}
		}
	}
	finish()
	return calls, unknown
}

func (c *command) flag(name string) {
	switch name {
	case "get":
		c.get = true
	case "head":
		c.headOnly = true
	case "globoff":
		c.globOff = true
	case "insecure":
		c.insecure = true
	}
}

func (c *command) option(name string, value word) {
	text := value.text
	switch name {
	case "request":
		c.method = text
	case "header":
		c.addHeader(value)
	case "cookie":
		if strings.Contains(text, "=") || value.unknown {
			c.cookie = append(c.cookie, text)
		} else if text != "" {
			c.notRead = append(c.notRead, text)
		}
	case "user-agent":
		c.header = append(c.header, fetch.Field{Name: "User-Agent", Value: text})
	case "referer":
		c.header = append(c.header, fetch.Field{Name: "Referer", Value: strings.TrimSuffix(text, ";auto")})
	case "range":
		c.header = append(c.header, fetch.Field{Name: "Range", Value: "bytes=" + text})
	case "user":
		c.user = text
	case "oauth2-bearer":
		c.bearer = text
	case "config", "variable":
		if name == "config" {
			c.notRead = append(c.notRead, text)
		}
	case "data", "data-ascii", "data-binary", "json":
		c.json = c.json || name == "json"
		if file, ok := strings.CutPrefix(text, "@"); ok {
			c.addFile(file)
			return
		}
		if name == "json" && c.hasData { // which curl joins as they are
			c.data = append(c.data, text...)
			return
		}
		c.addData(value)
	case "data-raw":
		c.addData(value)
	case "data-urlencode":
		c.addEncoded(value)
	case "form", "form-string":
		c.addForm(name, text)
	case "upload-file":
		c.upload = text
		c.notRead = append(c.notRead, text)
	case "url-query":
		c.query = append(c.query, c.encoded(text))
	case "resolve":
		c.resolve = append(c.resolve, text)
	case "aws-sigv4":
		c.header = append(c.header, fetch.Field{Name: "Authorization", Value: "AWS4-HMAC-SHA256 ..."})
	}
}

func (c *command) addHeader(value word) {
	text := value.text
	if file, ok := strings.CutPrefix(text, "@"); ok {
		c.notRead = append(c.notRead, file)
		return
	}
	colon := strings.IndexByte(text, ':')
	if colon == 0 { // a pseudo-header field of HTTP/2, which old browsers copied
		return
	}
	if colon < 0 {
		if name, ok := strings.CutSuffix(strings.TrimSpace(text), ";"); ok && httpguts.ValidHeaderFieldName(name) {
			c.header = append(c.header, fetch.Field{Name: name}) // with an empty value
		}
		return
	}
	name, content := strings.TrimSpace(text[:colon]), strings.TrimSpace(text[colon+1:])
	switch {
	case !httpguts.ValidHeaderFieldName(name):
	case value.unknown:
		c.unknown = append(c.unknown, name)
		c.header = append(c.header, fetch.Field{Name: name, Value: cmp.Or(content, "x")})
	case content == "":
		c.removed = append(c.removed, name)
	default:
		c.header = append(c.header, fetch.Field{Name: name, Value: content})
	}
}

func (c *command) addData(value word) {
	if c.hasData {
		c.data = append(c.data, '&')
	}
	c.data = append(c.data, value.text...)
	c.hasData = true
	c.dataVar = c.dataVar || value.unknown
}

func (c *command) addFile(file string) {
	c.hasData = true
	c.dataFile = cmp.Or(c.dataFile, file)
	c.notRead = append(c.notRead, file)
}

// encoded is what --data-urlencode and --url-query make of their arguments.
func (c *command) encoded(text string) string {
	at := strings.IndexAny(text, "=@")
	switch {
	case strings.HasPrefix(text, "+"): // --url-query as it is
		return text[1:]
	case at < 0:
		return url.QueryEscape(text)
	case text[at] == '@':
		c.notRead = append(c.notRead, text[at+1:])
		c.dataFile = cmp.Or(c.dataFile, text[at+1:])
		return ""
	case at == 0:
		return url.QueryEscape(text[1:])
	}
	return text[:at+1] + url.QueryEscape(text[at+1:])
}

func (c *command) addEncoded(value word) {
	c.addData(word{text: c.encoded(value.text), unknown: value.unknown})
}

// formBoundary is what a browser or curl makes up anew each time.
const formBoundary = "----formboundary7MA4YWxkTrZu0gW"

// A formField is one of a form. One with a file has the file's name, and not what is in it.
type formField struct{ name, value, file string }

func (c *command) addForm(option, text string) {
	name, value, _ := strings.Cut(text, "=")
	field := formField{name: name, value: value}
	if file, ok := strings.CutPrefix(value, "@"); ok && option == "form" {
		file, _, _ = strings.Cut(file, ";")
		c.notRead = append(c.notRead, file)
		field.value, field.file = "", file
	} else if file, ok := strings.CutPrefix(value, "<"); ok && option == "form" {
		c.notRead = append(c.notRead, file)
		field.value = ""
	}
	c.form = append(c.form, field)
}

func formBody(fields []formField) []byte {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	_ = form.SetBoundary(formBoundary) // which is valid, and a buffer has no errors
	for _, f := range fields {
		if f.file != "" {
			_, _ = form.CreateFormFile(f.name, f.file)
		} else {
			_ = form.WriteField(f.name, f.value)
		}
	}
	_ = form.Close()
	return b.Bytes()
}

// call makes a page's call of what was asked of curl.
func (c *command) call() Call {
	var call Call
	call.Source = Curl
	call.NotRead = c.notRead
	call.Insecure, call.Resolve = c.insecure, c.resolve
	method := c.method
	body := c.data
	hasBody := c.hasData
	if c.form != nil {
		body, hasBody = formBody(c.form), true
		if !c.header.has("Content-Type") {
			c.header = append(c.header, fetch.Field{Name: "Content-Type", Value: "multipart/form-data; boundary=" + formBoundary})
		}
	}
	target := c.url.text
	if !c.globOff {
		target = unescapedGlob.Replace(target)
	}
	if c.get && hasBody {
		c.query = append(c.query, string(body))
		hasBody = false
	}
	if len(c.query) > 0 && target != "" {
		target = addQuery(target, strings.Join(c.query, "&"))
	}
	switch {
	case method != "":
	case c.headOnly:
		method = http.MethodHead
	case c.upload != "":
		method = http.MethodPut
	case hasBody:
		method = http.MethodPost
	}
	if hasBody && c.json {
		c.setDefault("Content-Type", "application/json")
		c.setDefault("Accept", "application/json")
	} else if hasBody {
		c.setDefault("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.user != "" {
		c.setDefault("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.user)))
	}
	if c.bearer != "" {
		c.setDefault("Authorization", "Bearer "+c.bearer)
	}
	if len(c.cookie) > 0 {
		c.header = append(c.header, fetch.Field{Name: "Cookie", Value: strings.Join(c.cookie, "; ")})
	}
	if c.url.unknown || !c.hasURL {
		target = ""
	}
	call.request(method, givenURL(target), c.header)
	call.PageURL = c.header.page()
	if hasBody {
		call.Body = body
		if call.Body == nil {
			call.Body = []byte{}
		}
	}
	call.settle()
	for _, name := range c.unknown {
		if i := slices.IndexFunc(call.Header, func(f fetch.Field) bool { return strings.EqualFold(f.Name, name) }); i >= 0 {
			call.Header = slices.Delete(call.Header, i, i+1)
			call.lack(NeedHeader, name+": ...", flagHeader)
		}
	}
	if file := cmp.Or(c.dataFile, c.upload); file != "" && !c.get {
		call.lack(NeedBody, "@"+file, flagData)
	} else if c.dataVar {
		call.lack(NeedBody, "", flagData)
	}
	return call
}

// unescapedGlob takes the backslashes off the characters that curl takes for patterns: browsers write those of a URL so.
var unescapedGlob = strings.NewReplacer(`\[`, "[", `\]`, "]", `\{`, "{", `\}`, "}")

func (c *command) setDefault(name, value string) {
	if !c.header.has(name) && !slices.ContainsFunc(c.removed, func(n string) bool { return strings.EqualFold(n, name) }) {
		c.header = append(c.header, fetch.Field{Name: name, Value: value})
	}
}

func addQuery(target, query string) string {
	target, fragment, _ := strings.Cut(target, "#")
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	target += separator + query
	if fragment != "" {
		target += "#" + fragment
	}
	return target
}

// givenURL is the URL of a command or a script; empty if it has none that a page can call.
func givenURL(text string) string {
	if u := callableURL(text); u != "" || text == "" || strings.Contains(text, "://") {
		return u
	}
	return callableURL("http://" + text) // as curl does
}

// request takes what a request has, as it was sent: the script's part of it and what tells about the page. The URL is
// callable, or empty if it is not known.
func (c *Call) request(method, url string, h header) {
	if c.URL = url; url == "" {
		c.lack(NeedURL, "", flagURL)
	}
	c.Origin = h.origin()
	if c.Origin == "" {
		c.lack(NeedOrigin, "", flagOrigin)
	}
	if asked := h.get("Access-Control-Request-Method"); method == http.MethodOptions && fetchspec.IsToken(asked) {
		// The preflight itself was copied: the call is the one that it asks for.
		c.Method = asked
		for _, name := range strings.Split(h.get("Access-Control-Request-Headers"), ",") {
			if name = strings.TrimSpace(name); fetchspec.IsToken(name) {
				c.Header = append(c.Header, namedHeader(name))
			}
		}
		return
	}
	if fetchspec.IsToken(method) && method != http.MethodGet {
		c.Method = method
	}
	c.Header = h.script()
	if cookie := h.get("Cookie"); cookie != "" {
		c.Cookie = cookie
		c.Credentials = true
	}
	if c.NoCORS = strings.EqualFold(h.get("Sec-Fetch-Mode"), "no-cors"); c.NoCORS { // a script cannot have set any others
		c.Header = slices.DeleteFunc(c.Header, func(f fetch.Field) bool { return !fetchspec.IsNoCORSSafelistedRequestHeader(f.Name, f.Value) })
	}
	accept := strings.ToLower(h.get("Accept"))
	switch destination := strings.ToLower(h.get("Sec-Fetch-Dest")); {
	case strings.EqualFold(h.get("Upgrade"), "websocket"):
		c.Kind = fetch.KindWebSocket
		c.URL = webSocketURL(c.URL)
	case strings.HasPrefix(c.URL, "ws"):
		c.Kind = fetch.KindWebSocket
	case strings.Contains(accept, "text/event-stream"):
		c.Kind = fetch.KindEventSource
	case destination != "":
		c.Kind = destinations[destination]
	case strings.HasPrefix(accept, "image/") && strings.Contains(accept, ",*/*;q=0."): // which no script asks for
		c.Kind = fetch.KindImage
	case strings.HasPrefix(accept, "text/css,*/*;q=0."):
		c.Kind = fetch.KindStyle
	}
}

// webSocketURL is the URL that the script has of what a network log shows as http.
func webSocketURL(text string) string {
	if rest, ok := strings.CutPrefix(text, "http"); ok {
		return "ws" + rest
	}
	return text
}

// namedHeader is a field of which only the name is known, with a value that needs a preflight.
func namedHeader(name string) fetch.Field {
	if strings.EqualFold(name, "Content-Type") {
		return fetch.Field{Name: name, Value: "application/json"} // other than JSON, there is hardly one
	}
	return fetch.Field{Name: name, Value: "x"}
}

// destinations are the values of Sec-Fetch-Dest, but those of navigations and of what a script fetches.
var destinations = map[string]fetch.Kind{
	"audio":    fetch.KindMedia,
	"font":     fetch.KindFont,
	"image":    fetch.KindImage,
	"manifest": fetch.KindManifest,
	"script":   fetch.KindScript,
	"style":    fetch.KindStyle,
	"track":    fetch.KindMedia,
	"video":    fetch.KindMedia,
}
