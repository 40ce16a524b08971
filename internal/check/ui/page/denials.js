import {$, Problem, ask, code, h, svg, visible} from "./dom.js"
import {openCall} from "./call.js"
import {edit, patch} from "./edit.js"

const period = 2000

let have = "" // the version of the list that is shown
let list = []
const rows = new Map() // by the denials' IDs: the row, and what it shows
let shown = false

let about
const chosen = new Set() // the IDs of the denials that are to be allowed

export function startDenials(known) {
  about = known
  $("allow").addEventListener("click", () => allow())
  $("choose-none").addEventListener("click", () => {
    chosen.clear()
    for (const box of document.querySelectorAll(".denial input")) box.checked = false
    showChosen()
    $("denials-title").focus()
  })
  $("filter").addEventListener("input", render)
  document.addEventListener("visibilitychange", () => look())
  setInterval(look, period)
}

export function showDenials(yes) {
  shown = yes
  look()
}

let looking = false

async function look() {
  if (looking || document.hidden || !shown && have !== "") return
  looking = true
  try {
    const answer = await ask("/api/denials?have=" + encodeURIComponent(have))
    if (answer) {
      have = answer.version
      take(answer)
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    problem(error.message)
  } finally {
    looking = false
  }
}

function problem(text) {
  $("denials-problem").hidden = text === ""
  $("denials-problem").textContent = visible(text)
}

function take(answer) {
  problem(answer.error ?? "")
  list = answer.denials
  const asked = !answer.since.startsWith("0001-")
  $("denials-count").hidden = list.length === 0
  $("denials-count").textContent = String(list.length)
  $("denials-count").setAttribute("aria-label", `, ${list.length}`)
  $("denials-tools").hidden = list.length === 0
  $("denials-none").hidden = !asked || list.length > 0
  $("denials-since").textContent = `Plots show the last hour, counted since ${time(answer.since)}.`
  $("denials-others").hidden = answer.others === 0
  $("denials-others").textContent = `And ${answer.others} others, which did not fit in the list.`
  render()
}

const time = text => new Date(text).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"})

function render() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(word => word !== "")
  const matching = list.filter(d => {
    const text = [d.origin, d.host, d.path, d.method, d.detail, d.reason, d.policy].join(" ").toLowerCase()
    return words.every(word => text.includes(word))
  })
  const ids = new Set(list.map(d => d.id))
  for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id)
  for (const id of chosen) if (!ids.has(id)) chosen.delete(id)
  showChosen()
  place($("denials-real"), matching.filter(d => !d.report_only))
  const reported = matching.filter(d => d.report_only)
  place($("denials-reported"), reported)
  $("report-only").hidden = reported.length === 0
}

// place shows denials in a list, and leaves the rows alone that are as they were.
function place(parent, denials) {
  const wanted = denials.map(rowOf)
  let at = parent.firstElementChild
  for (const row of wanted) {
    if (row === at) at = at.nextElementSibling
    else parent.insertBefore(row, at)
  }
  while (at) {
    const next = at.nextElementSibling
    at.remove()
    at = next
  }
}

function rowOf(d) {
  const text = JSON.stringify(d)
  const known = rows.get(d.id)
  if (known?.text === text) return known.row
  const row = known?.row ?? h("li", {class: "denial"})
  rows.set(d.id, {row, text})
  const focused = row.contains(document.activeElement) && document.activeElement.localName
  row.replaceChildren(
    h("h3", null, choice(d), h("button", {type: "button", class: "link", onclick: () => openCall(d.call)}, h("bdi", null, visible(d.origin || '""')))),
    h("p", {class: "what"}, what(d)),
    h("p", {class: "where"}, h("b", null, visible(d.method)), " ", h("bdi", null, visible(d.host + d.path)), d.policy !== "default" && h("span", {class: "tag"}, "policy ", visible(d.policy))),
    h("p", {class: "often"}, h("b", null, d.count.toLocaleString()), d.count === 1 ? " time" : " times", h("span", {class: "muted"}, ", last at ", h("time", {datetime: d.last_seen}, time(d.last_seen)))),
    plot(d.minutes),
    h("pre", {class: "fix"}, d.fix.split("\n").map(visible).join("\n")),
  )
  if (focused) row.querySelector(focused)?.focus()
  return row
}

// choice is the box by which a denial is chosen. Without a configuration there is nothing to edit.
function choice(d) {
  if (!about.config) return null
  const box = h("input", {type: "checkbox", "aria-label": `Select: ${visible(d.origin)}, ${visible(d.method)} ${visible(d.host + d.path)}`, onchange: () => {
    if (box.checked) chosen.add(d.id)
    else chosen.delete(d.id)
    showChosen()
  }})
  box.checked = chosen.has(d.id)
  return box
}

function showChosen() {
  $("chosen").hidden = chosen.size === 0
  $("chosen-count").textContent = chosen.size === 1 ? "1 denial selected." : `${chosen.size} denials selected.`
}

// allow shows the one edit that allows the denials that are chosen.
async function allow(ids = [...chosen], written = null) {
  const button = $("allow")
  if (button.disabled) return
  button.disabled = true
  $("allowed").setAttribute("aria-busy", "true")
  try {
    showAllowed(await ask("/api/allow", {denials: ids}), ids, written)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    $("allowed").replaceChildren(...[written, h("p", {class: "alert", role: "alert"}, visible(error.message))].filter(part => part))
  } finally {
    button.disabled = false
    $("allowed").removeAttribute("aria-busy")
  }
  $("allowed").focus({preventScroll: true})
  $("allowed").scrollIntoView({block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"})
}

function showAllowed({report, says, edit: name}, ids, written) {
  const title = report.diff || report.patch ? "One edit for everything selected" : "What you selected"
  $("allowed").replaceChildren(...[
    written,
    h("section", {class: "card", "aria-labelledby": "allowed-title"},
      h("h3", {id: "allowed-title"}, title),
      h("ol", {class: "fixes allowances"}, says.map(([sentence, ...more]) => h("li", null, visible(sentence), more.map(line => h("p", {class: "muted"}, visible(line)))))),
      report.diff ? edit({diff: report.diff, name: about.write && name, follows: written => allow(ids, written)}) : report.patch && patch(report.patch),
    ),
  ].filter(part => part))
  say(`${title}. ${says.map(([sentence]) => sentence).join(" ")}`)
}

// what says what was denied, as "caddy cors denials" does.
function what(d) {
  switch (d.reason) {
  case "method-not-allowed": return ["the method ", code(d.detail)]
  case "header-not-allowed": return ["the header ", code(d.detail)]
  case "private-network-not-allowed": return "a private network"
  }
  return "the origin"
}

// plot has a bar for each minute of the last hour.
function plot(minutes) {
  const most = Math.max(1, ...minutes)
  const total = minutes.reduce((sum, n) => sum + n, 0)
  const bars = minutes.map((n, i) => n > 0 ? `M${i + .5} 20V${(20 - 18 * n / most).toFixed(1)}` : "").join("")
  const label = minutes.length === 0 ? "none counted in the last hour" : `${total} in the last hour, ${minutes.at(-1)} in the last minute, ${most} in the busiest minute`
  return svg("svg", {class: "plot", viewBox: "0 0 60 20", preserveAspectRatio: "none", role: "img", "aria-label": label},
    svg("title", null, label), svg("path", {class: "base", d: "M0 20H60"}), svg("path", {class: "bars", d: bars || "M0 0"}))
}
