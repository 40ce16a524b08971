package pasted

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caddy-cors/caddy-cors/internal/fetch"
)

// Args returns the arguments of "caddy cors check" that stand for the call, as far as it is known.
func (c *Call) Args() []string {
	var args []string
	if c.URL != "" {
		args = append(args, c.URL)
	}
	switch {
	case c.Page != nil:
		args = append(args, flagPage, c.Page.URL)
	case c.Origin != "":
		args = append(args, flagOrigin, c.Origin)
	}
	if c.Kind != "" && c.Kind != fetch.KindFetch {
		args = append(args, "--kind", string(c.Kind))
	}
	if c.NoCORS {
		args = append(args, "--no-cors")
	}
	if c.Method != "" {
		args = append(args, flagMethod, c.Method)
	}
	for _, f := range c.Header {
		args = append(args, flagHeader, f.Name+": "+f.Value)
	}
	if c.Body != nil && !c.Lacks(NeedBody) {
		body := string(c.Body)
		if strings.HasPrefix(body, "@") { // which would name a file, and have it sent
			body = Missing{Need: NeedBody}.value()
		}
		args = append(args, flagData, body)
	}
	switch {
	case c.Cookie != "":
		args = append(args, "--cookie", c.Cookie)
	case c.Credentials:
		args = append(args, "--credentials")
	}
	for _, r := range c.Resolve {
		args = append(args, "--resolve", r)
	}
	if c.Insecure {
		args = append(args, "--insecure")
	}
	return args
}

// Command returns the command to run, with the first flag of each thing that is missing and what to put there in capitals.
// The secrets of the call are cut to "..." unless they are to be shown.
func (c *Call) Command(showSecrets bool) string {
	words := []string{"caddy", "cors", "check"}
	shown := *c
	if !showSecrets {
		shown.Header = slices.Clone(c.Header)
		for i, f := range shown.Header {
			if strings.EqualFold(f.Name, "Authorization") {
				shown.Header[i].Value = "..."
			}
		}
		if shown.Cookie != "" {
			shown.Cookie = "..."
		}
	}
	args := shown.Args()
	if c.URL == "" {
		url := "URL"
		for _, m := range c.Missing {
			if m.Need == NeedURL && m.Likely != "" {
				url = m.Likely
			}
		}
		words = append(words, url)
	}
	for _, arg := range args {
		words = append(words, Quote(arg))
	}
	for _, m := range c.Missing {
		if m.Need == NeedURL {
			continue
		}
		words = append(words, m.Flags[0], Quote(m.value()))
	}
	return strings.Join(words, " ")
}

// value is what stands in the command for what is missing.
func (m Missing) value() string {
	if m.Likely != "" {
		return m.Likely
	}
	switch m.Need {
	case NeedOrigin:
		return "ORIGIN"
	case NeedPage:
		return "PAGE"
	case NeedHeader:
		return "NAME: VALUE"
	case NeedBody:
		return "BODY"
	}
	return "METHOD"
}

// Quote writes an argument as a shell reads it.
func Quote(arg string) string {
	quoted, err := syntax.Quote(arg, syntax.LangBash)
	if err != nil { // of a zero byte, which no argument can have
		return "''"
	}
	return quoted
}
