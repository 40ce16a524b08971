package pasted

import (
	"errors"
	"strings"
	"testing"
)

// A text that is not read is told what it is, and what to paste instead.
func TestHints(t *testing.T) {
	for text, want := range map[string]string{
		"Invoke-WebRequest -UseBasicParsing -Uri \"https://api.example.com/x\" `\n-Method \"PUT\"":                        "PowerShell",
		"http POST https://api.example.com/x a=1":                                                                         "HTTPie",
		"$ http put api.example.com/x Origin:https://app.example.com":                                                     "HTTPie",
		"wget --header 'Origin: https://app.example.com' https://api.example.com/x":                                       "wget",
		"Request URL: https://api.example.com/x\nRequest Method: PUT\nReferrer Policy: strict-origin-when-cross-origin":   "Copy as cURL in the menu",
		"OPTIONS /x HTTP/1.1\nHost: api.example.com\nOrigin: https://app.example.com\nAccess-Control-Request-Method: PUT": "Copy as cURL in the menu",
		"> GET /x HTTP/2\n> Host: api.example.com\n< HTTP/2 200":                                                          "Copy as cURL in the menu",
		"axios.post('https://api.example.com/x', {a: 1}, {withCredentials: true})":                                        "only calls of fetch",
		"const r = new XMLHttpRequest(); r.open('PUT', 'https://api.example.com/x')":                                      "only calls of fetch",
		`{"level": "warn", "logger": "http.handlers.cors", "msg": "denied", "origin": "https://app.example.com"}`:         "caddy cors denials",
		"https://api.example.com/x": "which page calls it",
		"main.js:12 Uncaught (in promise) TypeError: Failed to fetch\n    at orders (main.js:12:9)":                "the reason and the URL",
		"AxiosError {message: 'Network Error', name: 'AxiosError', code: 'ERR_NETWORK'}":                           "the reason and the URL",
		"ClientException: XMLHttpRequest error.":                                                                   "the reason and the URL",
		"Failed to load resource: net::ERR_CONNECTION_REFUSED":                                                     "no answer at all",
		"Security Error: Content at https://app.example.com/ may not load data from https://api.example.com/x.js.": "worker",
	} {
		paste, err := Read(strings.NewReader(text))
		unrecognized, ok := errors.AsType[*UnrecognizedError](err)
		if !ok || !strings.Contains(unrecognized.Reason, want) {
			t.Errorf("%s: it is %+v, %v", text, paste, err)
		}
	}
}
