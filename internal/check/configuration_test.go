package check_test

import (
	"testing"

	"github.com/caddy-cors/caddy-cors/internal/check/checktest"
)

// An "@id" is for the admin API, and no field of a handler.
func TestConfigurationWithIDs(t *testing.T) {
	config := checktest.File(t, "caddy.json", `{"apps": {"http": {"servers": {"s": {
		"listen": [":80"],
		"routes": [{"@id": "api", "handle": [
			{"@id": "cors-api", "handler": "cors", "allow_origins": ["https://app.example.com", "http://app.example.com"]},
			{"handler": "static_response", "body": "hello"}
		]}]
	}}}}}`)
	if r := checktest.Run(t, "http://api.example.com/", "--origin=http://app.example.com", "--config", config); r.Verdict != "allowed" {
		t.Errorf("it is %s: %+v", r.Verdict, r.Cause)
	}
}
