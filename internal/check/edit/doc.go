// Package edit changes the text that a person wrote: a Caddyfile with all that it imports, a list of origins, a JSON
// configuration. It knows where things stand in the text, changes that and nothing else, and says so as a diff.
//
// # Places and uses
//
// What stands in a Caddyfile and what Caddy makes of it are two trees:
//
//   - A [Place] is a line of text with the block that it opens. It has a file and a line.
//   - A [Use] is what the line becomes: after environment variables, after the import of files and snippets, with the
//     arguments of those. It has words, and a site.
//
// They are the same for most lines. A line of a snippet has one place, and a use for each time that the snippet is
// imported; a line of a snippet that nobody imports has none. So what Caddy reports as a file and a line is a place, and
// what a request meets is a use:
//
//	# Caddyfile                          the place       its uses
//	(cors) {
//		cors {args[:]} {                 Caddyfile:2     cors https://app.example.com   of api.example.com
//			allow_methods GET PUT                        cors https://admin.example.com of admin.example.com
//			{block}
//		}
//	}
//	api.example.com {
//		import cors https://app.example.com
//		reverse_proxy localhost:8080
//	}
//	admin.example.com {
//		import cors https://admin.example.com
//		reverse_proxy localhost:8081
//	}
//
// # Edits
//
// An [Edit] says what to change, in terms of uses. [Caddyfile.Apply] makes several at once and returns another Caddyfile;
// the first stays as it is, so that one can be dropped and another one tried. Edits of what Apply has returned go on from
// there. To allow another origin and a method on the first site, and nothing on the second:
//
//	c, err := edit.Load("Caddyfile")
//	use := c.At("Caddyfile", 2, "cors").Uses()[0]      // by file and line, as Caddy's tokens have them
//	edited, err := c.Apply(
//		edit.AddValues{To: use, Values: []string{"https://new.example.com"}},
//		edit.AddOption{To: use, Line: edit.Line{Words: []string{"allow_credentials"}}},
//	)
//	json, warnings, err := edited.Adapt()              // what Caddy says to it; nothing is written yet
//	fmt.Print(edited.Diff())
//	err = edited.Write()
//
// An edit is made at the narrowest place that there is. Here, both are made in the import line of the first site: the new
// origin is one more argument there, because the snippet takes all of them, and the option goes into a block of that line,
// because the snippet has a {block} for it. Without those, the line of the snippet would change, for both sites.
// [Caddyfile.Affected] says which.
//
// What is added has the form that `caddy fmt` gives it, with the line ending of the file. All other bytes stay.
//
// # Files
//
// [Caddyfile.Diff], [Caddyfile.Adapt] and [Caddyfile.Write] are about all files that are changed. Nothing but Write touches
// a file.
package edit
