package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-cors/caddy-cors/internal/fetchspec"
	"github.com/caddy-cors/caddy-cors/internal/origin"
)

// DefaultName is the name of the policy that is the directive's own.
const DefaultName = "default"

// Options are what a person writes. Their names in [Problem] are those of the directive's options.
type Options struct {
	Name                string
	AllowOrigins        []string // origins, patterns, "*", "null" and values with request-time placeholders
	AllowOriginsRegexp  []string
	Sources             []Source
	AllowMethods        []string
	AllowHeaders        []string
	ExposeHeaders       []string
	ExposeTiming        bool
	AllowCredentials    bool
	AllowPrivateNetwork bool
	MaxAge              time.Duration
	Insecure            []string // the risks that are taken knowingly

	// Form is what they are written in: the problems say what to write there.
	Form Form

	// Unknown, if not nil, tells origins that stand for others which become known when the configuration is loaded.
	// They are passed over, and what they could still mend is no problem.
	Unknown func(origin string) bool
}

// A Problem is a value that is refused, and the way out.
type Problem struct {
	Policy  string // the policy's name; empty for what concerns the directive as a whole
	Option  string // the option's name; empty for the directive itself
	Index   int    // of the value in a list option
	Risk    Risk   // that the value brings with it, which is refused unless it is taken knowingly; else empty
	Form    Form   // what the options are written in
	Message string // a sentence without a full stop: what is wrong, and the text to write instead
}

func (p Problem) Error() string {
	text := p.Message
	if p.Option != "" {
		text = p.Option + ": " + text
	}
	if p.Risk != "" {
		text += "; or, to take the risk, add: " + written(p.Form, "insecure", string(p.Risk))
	}
	return text
}

// A Form is what options are written in.
type Form uint8

const (
	Caddyfile Form = iota
	JSON
	Either // nobody can tell
)

// written returns an option of a list with its value, as it is written in the form.
func written(in Form, option, value string) string {
	line := option + " " + value
	quoted, _ := json.Marshal(value)
	field := fmt.Sprintf("%q: [%s]", option, quoted)
	switch in {
	case JSON:
		return field
	case Either:
		return line + " (in JSON, " + field + ")"
	}
	return line
}

// A Risk is one that Insecure can name: what a policy with credentials is refused for otherwise.
type Risk string

// The risks.
const (
	AnyOrigin    Risk = "any_origin_with_credentials"
	NullOrigin   Risk = "null_origin_with_credentials"
	HTTPOrigin   Risk = "http_origin_with_credentials"
	PublicSuffix Risk = "public_suffix_with_credentials"
)

var risks = []Risk{AnyOrigin, NullOrigin, HTTPOrigin, PublicSuffix}

// MaxAgeLimit is the longest time that a browser is told to keep a preflight's answer. Browsers cap it at less or the
// same: Chromium at two hours, Firefox at 24.
const MaxAgeLimit = 24 * time.Hour

// Compile compiles the options into a policy. It reports all problems at once; with any, there is no policy, but nil. The
// warnings are about policies that work, but seldom as meant.
func Compile(o Options) (*Policy, []Problem, []string) {
	c := compiler{options: o, policy: &Policy{
		name:           o.Name,
		sources:        o.Sources,
		credentials:    o.AllowCredentials,
		insecureHTTP:   slices.Contains(o.Insecure, string(HTTPOrigin)),
		privateNetwork: o.AllowPrivateNetwork,
		exposeTiming:   o.ExposeTiming,
	}}
	c.origins()
	c.regexps()
	c.insecure()
	c.methods()
	c.allowHeaders()
	c.exposeHeaders()
	c.maxAge()
	if len(c.problems) > 0 {
		return nil, c.problems, c.warnings
	}
	return c.policy, nil, c.warnings
}

type compiler struct {
	options  Options
	policy   *Policy
	problems []Problem
	warnings []string

	incomplete bool   // some origins are not known yet
	needed     []Risk // the risks that the options bring with them
}

func (c *compiler) problem(option string, index int, format string, args ...any) {
	c.problems = append(c.problems, Problem{
		Policy: c.options.Name, Option: option, Index: index, Form: c.options.Form, Message: fmt.Sprintf(format, args...),
	})
}

func (c *compiler) origins() {
	o := c.options
	if len(o.AllowOrigins)+len(o.AllowOriginsRegexp)+len(o.Sources) == 0 {
		switch {
		case o.Form == JSON:
			c.problem("", 0, `no origin may call: name those that may ("allow_origins": ["https://app.example.com"]), or allow everyone ("allow_origins": ["*"])`)
		case o.Name == DefaultName:
			c.problem("", 0, `no origin may call: name those that may ("cors https://app.example.com"), or allow everyone ("cors *")`)
		default:
			c.problem("", 0, `the policy %q is for no origin: name those that it is for, with their scheme ("policy partner https://partner.example.com")`, o.Name)
		}
	}
	if o.AllowCredentials && len(o.Sources)+len(o.AllowOriginsRegexp) > 0 {
		c.needed = append(c.needed, HTTPOrigin) // without it, these allow no http origins
	}
	c.policy.secureOnly = len(o.AllowOriginsRegexp)+len(o.Sources) == 0
	for i, text := range o.AllowOrigins {
		if !strings.HasPrefix(text, "https://") {
			c.policy.secureOnly = false
		}
		switch {
		case HasPlaceholder(text) && strings.Contains(text, `\`):
			c.problem("allow_origins", i, `%q has a backslash, which no origin has, and which hides the brace after it: remove it`, text)
		case o.Unknown != nil && o.Unknown(text):
			c.incomplete = true
		case text == "*":
			c.policy.everyone = true
			if c.moreThanEveryone() {
				c.problem("allow_origins", i, `"*" allows everyone, so the other origins beside it mean nothing: remove "*" to allow just those, or remove the others`)
			}
			c.risk("allow_origins", i, AnyOrigin, `"*" with allow_credentials lets every website act in the name of your signed-in users: list the origins that may`)
		case text == origin.Null:
			c.policy.null = true
			if !o.AllowCredentials {
				c.warnings = append(c.warnings, `the origin "null" is anyone's: any website can send it from a sandboxed frame; "cors *" says the same more plainly`)
			}
			c.risk("allow_origins", i, NullOrigin, `"null" with allow_credentials lets every website act in the name of your signed-in users, from a sandboxed frame: give the page an origin of its own, and list that`)
		case HasPlaceholder(text):
			c.template(i, text)
		default:
			c.pattern(i, text)
		}
	}
}

// moreThanEveryone reports whether anything stands beside "*".
func (c *compiler) moreThanEveryone() bool {
	return len(c.options.AllowOriginsRegexp)+len(c.options.Sources) > 0 ||
		slices.ContainsFunc(c.options.AllowOrigins, func(text string) bool { return text != "*" })
}

func (c *compiler) pattern(i int, text string) {
	p, err := origin.ParsePattern(text)
	if refused, ok := errors.AsType[*origin.PatternError](err); ok && refused.Expression != "" {
		c.problem("allow_origins", i, `%q: a "*" stands for whole labels, before the host; for a part of one, write a regular expression: %s`,
			text, written(c.options.Form, "allow_origins_regexp", refused.Expression))
		return
	}
	if err != nil {
		c.problem("allow_origins", i, "%v", err)
		return
	}
	c.policy.origins.Add(p)
	c.patternRisks(i, text, p)
}

func (c *compiler) patternRisks(i int, text string, p origin.Pattern) {
	if p.AnyHost() {
		c.risk("allow_origins", i, AnyOrigin, "%q with allow_credentials lets every website act in the name of your signed-in users: list the origins that may", text)
	}
	if p.Scheme() == "http" && !p.Loopback() {
		c.risk("allow_origins", i, HTTPOrigin, "%q with allow_credentials lets anybody on the network path (a public Wi-Fi, say) act as your signed-in users: have that page served over https, and list its https:// origin", text)
	}
	if suffix := p.PublicSuffix(); suffix != "" {
		c.risk("allow_origins", i, PublicSuffix, "%q with allow_credentials: anybody can have a name under %q and act in the name of your signed-in users from there: name the domain below it that is yours", text, suffix)
	}
}

// template takes an origin with placeholders that are resolved per request. Its value is compared with an origin that was
// parsed, so that what the text fixes stays fixed: a placeholder cannot reach beyond the labels it stands in.
func (c *compiler) template(i int, text string) {
	c.policy.templates = append(c.policy.templates, text)

	const open = "x" // stands for a placeholder: a letter may be in a scheme and in a host
	masked := placeholder.ReplaceAllString(text, open)
	if strings.Trim(masked, open) == "" {
		c.risk("allow_origins", i, AnyOrigin, "%q with allow_credentials can come to any origin at all: fix the end of its host, as in https://{http.vars.tenant}.example.com", text)
		return
	}
	scheme, rest, _ := strings.Cut(text, "://")
	host, port, hasPort := strings.Cut(placeholder.ReplaceAllStringFunc(rest, func(string) string { return "{}" }), ":")
	candidate := placeholder.ReplaceAllString(scheme, open) + "://" + strings.ReplaceAll(host, "{}", open)
	if hasPort {
		candidate += ":" + strings.ReplaceAll(port, "{}", "1")
	}
	if _, ok := origin.Parse(candidate); !ok {
		c.problem("allow_origins", i, `%q can come to no origin, whatever its placeholders are: write it as browsers send one, such as "https://{http.request.host}"`, text)
		return
	}
	fixed := host // the end of the host that is the same for every request
	if end := strings.LastIndex(host, "{}"); end >= 0 {
		_, fixed, _ = strings.Cut(host[end:], ".")
		if fixed == "" {
			c.risk("allow_origins", i, AnyOrigin, "%q with allow_credentials can come to a host of any name: fix the end of the host, as in https://{http.vars.tenant}.example.com", text)
			return
		}
		fixed = "*." + fixed
	}
	if HasPlaceholder(scheme) {
		scheme = "http"
	}
	p, err := origin.ParsePattern(scheme + "://" + fixed)
	if err != nil {
		c.problem("allow_origins", i, "%v", err)
		return
	}
	c.patternRisks(i, text, p)
}

// placeholder matches a placeholder of Caddy's form.
var placeholder = regexp.MustCompile(`\{[^}]*\}`)

// Placeholders returns the placeholders of Caddy's form that text has, with their braces.
func Placeholders(text string) []string { return placeholder.FindAllString(text, -1) }

// HasPlaceholder reports whether text has a placeholder of Caddy's form.
func HasPlaceholder(text string) bool { return placeholder.MatchString(text) }

// risk notes that the options bring a risk with them, and refuses it unless it is taken knowingly.
func (c *compiler) risk(option string, index int, risk Risk, format string, args ...any) {
	if !c.options.AllowCredentials {
		return
	}
	c.needed = append(c.needed, risk)
	if !slices.Contains(c.options.Insecure, string(risk)) {
		c.problem(option, index, format, args...)
		c.problems[len(c.problems)-1].Risk = risk
	}
}

// named matches a placeholder that no regular expression means otherwise, as it does {2,3} and \p{Greek}.
var named = regexp.MustCompile(`\{[a-z_]+\.[^}]*\}`)

func (c *compiler) regexps() {
	for i, text := range c.options.AllowOriginsRegexp {
		if name := named.FindString(text); name != "" {
			c.problem("allow_origins_regexp", i, "%q has the placeholder %s, which expressions do not resolve: list what it stands for in allow_origins", text, name)
			continue
		}
		x, err := origin.ParseExpression(text)
		if err != nil {
			c.problem("allow_origins_regexp", i, "%v", err)
			continue
		}
		c.policy.regexps = append(c.policy.regexps, x)
		// With credentials, an expression allows no http origins, unless that risk is taken.
		for _, excess := range x.Excesses(!c.options.AllowCredentials || c.policy.insecureHTTP) {
			c.excess(i, text, excess)
		}
	}
}

// excess refuses an expression that matches more than is written in it, where there are credentials, and else warns of it.
func (c *compiler) excess(i int, text string, e origin.Excess) {
	meant := "write out the domains whose pages may call"
	switch {
	case e.Suggestion != "":
		meant = fmt.Sprintf("did you mean %q?", e.Suggestion)
	case e.Kind == origin.AnotherTenant:
		meant = "list the origins that are yours, or serve their pages from a domain of your own"
	case e.Kind == origin.AnotherPort:
		meant = "write out the port, or [0-9] for each digit that may differ"
	}
	if !c.options.AllowCredentials || e.Kind == origin.AnotherPort {
		c.warnings = append(c.warnings, fmt.Sprintf("allow_origins_regexp: %q also matches %q, which is not written in it: %s", text, e.Origin, meant))
		return
	}
	if e.Kind == origin.AnotherTenant {
		c.risk("allow_origins_regexp", i, PublicSuffix, "%q with allow_credentials also allows %q: anybody can have a name under %q and act in the name of your signed-in users from there; %s",
			text, e.Origin, e.Suffix, meant)
		return
	}
	risk := AnyOrigin
	if e.Suffix != "" && !slices.Contains(c.options.Insecure, string(AnyOrigin)) && slices.Contains(c.options.Insecure, string(PublicSuffix)) {
		risk = PublicSuffix // which says the same of the suffix that is written
	}
	c.risk("allow_origins_regexp", i, risk, "%q with allow_credentials also allows %q, and whoever has that site could act in the name of your signed-in users; %s",
		text, e.Origin, meant)
}

func (c *compiler) insecure() {
	for i, text := range c.options.Insecure {
		switch risk := Risk(text); {
		case !slices.Contains(risks, risk):
			c.problem("insecure", i, "%q is not a known risk; those are: %s", risk, joined(risks))
		case !slices.Contains(c.needed, risk) && !c.incomplete:
			c.problem("insecure", i, "nothing here needs %s: remove it", risk)
		}
	}
}

func joined(risks []Risk) string {
	var texts []string
	for _, risk := range risks {
		texts = append(texts, string(risk))
	}
	return strings.Join(texts, ", ")
}

func (c *compiler) methods() {
	for i, method := range c.options.AllowMethods {
		upper := strings.ToUpper(method)
		switch {
		case method == "*":
			continue
		case !fetchspec.IsToken(method):
			c.problem("allow_methods", i, "%q is not a method name", method)
		case fetchspec.IsForbiddenMethod(method):
			c.problem("allow_methods", i, "no script can use the method %s: remove it", upper)
		case strings.Contains(method, "*"):
			c.problem("allow_methods", i, `%q: browsers know no patterns here; list each method, or write "*" alone for all`, method)
		case method != upper && knownMethods[upper]:
			c.problem("allow_methods", i, "method names are case-sensitive; did you mean %q?", upper)
		}
		c.policy.methods = append(c.policy.methods, method)
	}
	c.policy.allowMethods = newList(c.options.AllowMethods)
}

func (c *compiler) allowHeaders() {
	var names []string
	for i, name := range c.options.AllowHeaders {
		prefix, isPattern := strings.CutSuffix(name, "*")
		switch {
		case name == "*":
			continue
		case c.badFieldName("allow_headers", i, name):
		case strings.Contains(prefix, "*"):
			c.problem("allow_headers", i, `%q: a "*" stands for the rest of a name, so it can only be at its end, as in X-Amz-Meta-*`, name)
		case isPattern && len(prefix) < minPrefix:
			c.problem("allow_headers", i, `%q: at least %d characters of the names have to be written before the "*"; for all headers but Authorization, write "*" alone`, name, minPrefix)
		case !isPattern && strings.EqualFold(name, "Cookie"):
			c.problem("allow_headers", i, "no script can set Cookie: browsers send cookies by themselves where the policy has allow_credentials; remove the name and use that")
		case isCORSResponseHeader(prefix):
			c.problem("allow_headers", i, "%s is a header of responses; list here what scripts may send, such as Authorization or Content-Type", name)
		case fetchspec.IsForbiddenRequestHeaderName(prefix):
			c.problem("allow_headers", i, "no script can set %s, the browser alone does: remove it", name)
		}
		if isPattern {
			c.policy.prefixes = append(c.policy.prefixes, strings.ToLower(prefix))
		} else {
			names = append(names, name)
		}
	}
	c.policy.allowHeaders = newList(c.options.AllowHeaders)
	c.policy.headers = newNameSet(names)
}

// minPrefix is the shortest start of header names that a pattern may have.
const minPrefix = 3

func (c *compiler) exposeHeaders() {
	for i, name := range c.options.ExposeHeaders {
		switch {
		case name == "*":
		case c.badFieldName("expose_headers", i, name):
		case strings.Contains(name, "*"):
			c.problem("expose_headers", i, `%q: browsers know no patterns here; list each name, or write "*" alone for all`, name)
		case fetchspec.IsForbiddenResponseHeaderName(name):
			c.problem("expose_headers", i, "browsers show %s to no script: remove it", name)
		}
	}
	c.policy.exposeHeaders = newList(c.options.ExposeHeaders)
	c.policy.exposed = strings.Join(c.options.ExposeHeaders, ", ")
}

func (c *compiler) badFieldName(option string, index int, name string) bool {
	switch {
	case !fetchspec.IsToken(name):
		c.problem(option, index, "%q is not a header field name", name)
	case len(name) > maxFieldName:
		c.problem(option, index, "the header field name %.20q... is longer than %d bytes", name, maxFieldName)
	default:
		return false
	}
	return true
}

// bareNumber is a duration below which it was written, in JSON, as a number of seconds: as one of nanoseconds it would be
// less than anybody means.
const bareNumber = time.Millisecond

func (c *compiler) maxAge() {
	age := c.options.MaxAge
	switch {
	case age < 0 && c.options.Form == JSON:
		c.problem("max_age", 0, `%v is negative; to have browsers ask before every call, write: "max_age": 0`, age)
	case age < 0:
		c.problem("max_age", 0, "%v is negative; to have browsers ask before every call, write: max_age off", age)
	case c.options.Form == JSON && 0 < age && age < bareNumber:
		seconds := min(int64(age), int64(MaxAgeLimit/time.Second))
		c.problem("max_age", 0, `a number is taken for nanoseconds, and %d of them are less than a second; did you mean "%ds"?`, int64(age), seconds)
	case age > MaxAgeLimit:
		c.problem("max_age", 0, `%v is longer than any browser remembers; did you mean "24h"?`, age)
	case age%time.Second != 0:
		c.problem("max_age", 0, "%v is not a number of whole seconds; did you mean %v?", age, max(age.Round(time.Second), time.Second))
	}
	c.policy.maxAge = strconv.FormatInt(int64(age/time.Second), 10)
}

// newList returns the list of what was written, of which those that stand for many names are not to be sent.
func newList(written []string) list {
	names := slices.DeleteFunc(slices.Clone(written), func(name string) bool { return strings.HasSuffix(name, "*") })
	return list{any: slices.Contains(written, "*"), names: strings.Join(names, ", ")}
}
