// An edit as it is shown: a diff to copy, or to apply where the command may write.
import {Problem, ask, code, copyButton, h, say, visible} from "./dom.js"

// edit shows an edit that is applied by its name, if it has one. What follows is done after it was written.
export function edit({diff, places = [], name, follows}) {
  const apply = name && h("button", {type: "button", class: "primary apply", onclick: async () => {
    if (apply.disabled) return
    apply.disabled = true
    failed.hidden = true
    try {
      const {written} = await ask("/api/apply", {edit: name})
      say(`Written: ${written.join(", ")}`)
      await follows(h("p", {class: "written"}, "Written: ", written.map((file, i) => [i > 0 && ", ", code(file)]), ". To load it into the running Caddy, use ", code("caddy reload"), "."))
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      apply.disabled = false
      failed.hidden = false
      failed.textContent = visible(error.message)
    }
  }}, "Apply")
  const failed = h("p", {class: "alert", role: "alert", hidden: true})
  return [
    places.length > 0 && h("p", {class: "places"}, "In ", places.map((place, i) => [i > 0 && ", ", code(place)])),
    h("pre", {class: "diff", tabindex: 0, role: "region", "aria-label": "The edit, as a diff"}, diff.replace(/\n$/, "").split("\n").map(line =>
      h("span", {class: kindOf(line)}, line.split("\t").map((part, i) => [i > 0 && "\t", visible(part)]), "\n"))),
    h("div", {class: "actions"}, apply, copyButton("Copy", () => diff)),
    failed,
  ]
}

function kindOf(line) {
  if (/^(---|\+\+\+) |^@@/.test(line)) return "place"
  return {"+": "added", "-": "removed"}[line[0]] ?? null
}

// patch shows an edit of a JSON configuration, which is made over the admin API.
export function patch(operations) {
  const text = JSON.stringify(operations, null, 2)
  return [
    h("pre", {class: "diff", tabindex: 0, role: "region", "aria-label": "The edit, as a JSON Patch"}, text.split("\n").map(line => [visible(line), "\n"])),
    h("div", {class: "actions"}, copyButton("Copy the JSON Patch", () => text)),
  ]
}
