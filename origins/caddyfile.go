package origins

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// options has for each option of a source the function that takes its value.
type options map[string]func(value string) error

// unmarshal reads the tokens of a source: its name; one argument, which expects describes and check, if there is one,
// checks; a block of options with one value each. The error names all problems, each with its place.
func unmarshal(d *caddyfile.Dispenser, expects string, argument *string, check func(string) error, options options) error {
	d.Next()
	source := d.Val()
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, d.Errf(format, args...)) }

	switch args := d.RemainingArgs(); {
	case len(args) == 0 || args[0] == "":
		problem("%s: write after it %s", source, expects)
	case len(args) > 1:
		problem("%s: one argument is expected, %s; remove %q", source, expects, strings.Join(args[1:], " "))
	default:
		*argument = args[0]
		// What a placeholder stands for is known when the configuration is loaded, and checked then.
		if check != nil && !strings.Contains(args[0], "{") {
			if err := check(args[0]); err != nil {
				problem("%s: %w", source, err)
			}
		}
	}

	lines := make(map[string]int)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		set, known := options[option]
		line, again := lines[option]
		lines[option] = d.Line()
		args := d.RemainingArgs()
		switch {
		case !known:
			problem("%s: unknown option %q; its options: %s", source, option, strings.Join(slices.Sorted(maps.Keys(options)), ", "))
		case again:
			problem("%s: %s: it is on line %d too; remove one of them", source, option, line)
		case len(args) != 1:
			problem("%s: %s: one value is expected", source, option)
		default:
			if err := set(args[0]); err != nil {
				problem("%s: %s: %w", source, option, err)
			}
		}
		// No option has a block. Whatever stands in one is passed over, so that the rest is still checked.
		reported := false
		for nesting := d.Nesting(); d.NextBlock(nesting); {
			if !reported {
				problem("%s: %s: it has no block; remove the braces and what is between them", source, option)
				reported = true
			}
		}
	}
	return errors.Join(problems...)
}

// durationOption takes a duration that passes check.
func durationOption(duration *caddy.Duration, check func(time.Duration) error) func(string) error {
	return func(value string) error {
		parsed, err := caddy.ParseDuration(value)
		if err != nil {
			if _, err := strconv.Atoi(value); err == nil {
				return fmt.Errorf("%q has no unit; did you mean %q?", value, value+"s")
			}
			return fmt.Errorf("%q is not a duration, such as 500ms, 5s or 1m", value)
		}
		*duration = caddy.Duration(parsed)
		return check(parsed)
	}
}
