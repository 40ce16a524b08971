// Caddy with the cors directive in it, for trying it out from a checkout.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-cors/caddy-cors"
)

func main() {
	caddycmd.Main()
}
