package pasted

import (
	"strings"
	"testing"
)

// The command for a call reads no file, whatever its body begins with.
func TestCommandReadsNoFile(t *testing.T) {
	for _, text := range []string{
		`curl https://api.example.com/ -H 'Origin: https://app.example.com' --data-raw '@/etc/passwd'`,
		`fetch("https://api.example.com/", {method: "POST", referrer: "https://app.example.com/", body: "@/etc/passwd"})`,
	} {
		paste, err := Read(strings.NewReader(text))
		if err != nil || len(paste.Calls) != 1 {
			t.Fatal(text, err)
		}
		call := &paste.Calls[0]
		if command := call.Command(false); string(call.Body) != "@/etc/passwd" || strings.Contains(command, "/etc/passwd") || !strings.HasSuffix(command, "--data BODY") {
			t.Errorf("%s: the body is %q, and the command\n%s", text, call.Body, command)
		}
	}
}
