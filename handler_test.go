package caddycors_test

import (
	"net/http"
	"testing"

	_ "github.com/caddy-cors/caddy-cors"
	"github.com/caddy-cors/caddy-cors/internal/livecaddy"
)

func TestSmoke(t *testing.T) {
	url := livecaddy.Site(t, "cors https://app.example.com\nrespond hello")
	req, _ := http.NewRequest("GET", url, nil)
	req.Header.Set("Origin", "https://app.example.com")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example.com" {
		t.Errorf("got %q", got)
	}
}
