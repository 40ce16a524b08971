package caddycors

import (
	"encoding/json"
	"strings"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddy-cors/caddy-cors/internal/check"
	"github.com/caddy-cors/caddy-cors/internal/check/ui"
	"github.com/caddy-cors/caddy-cors/internal/denials"
	"github.com/caddy-cors/caddy-cors/internal/policy"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "cors",
		Short: "Finds out why browsers block cross-origin requests",
		Long: `Finds out why browsers block cross-origin requests (CORS), and what to change.
The commands below work with the cors directive of the Caddyfile.`,
		CobraFunc: func(cmd *cobra.Command) {
			cmd.Args = cobra.NoArgs // which makes a command that does not exist an error
			cmd.SetUsageTemplate(strings.Replace(cmd.UsageTemplate(), ".LocalFlags.FlagUsages ", ".LocalFlags.FlagUsagesWrapped 80 ", 1))
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			handler := check.Handler{Problems: problems}
			first := ui.Command(handler)
			first.GroupID = "first"
			cmd.AddGroup(&cobra.Group{ID: first.GroupID, Title: "To start with:"}, &cobra.Group{ID: "others", Title: "In the terminal:"})
			cmd.AddCommand(first)
			for _, other := range []*cobra.Command{check.Command(handler), check.TestCommand(), denials.Command(), check.AllowCommand(handler)} {
				other.GroupID = "others"
				cmd.AddCommand(other)
			}
		},
	})
}

// problems returns what is wrong with a policy of a handler, as far as can be said without provisioning it.
func problems(handler json.RawMessage, policyName string) []policy.Problem {
	var h Handler
	if json.Unmarshal(handler, &h) != nil {
		return nil
	}
	repl := caddy.NewReplacer()
	unknown := func(text string) bool { return isLoadTime(repl, text) }
	for i, options := range h.all() {
		if h.policyName(i) == policyName {
			_, problems, _ := options.compile(policyName, policy.Caddyfile, options.AllowOrigins, make([]policy.Source, len(options.AllowOriginsFromRaw)), unknown)
			return problems
		}
	}
	return nil
}
