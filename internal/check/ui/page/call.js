import {$, Problem, ask, code, copyButton, h, say, visible} from "./dom.js"
import {drawing} from "./drawing.js"
import {edit, patch} from "./edit.js"

let about

export function startCall(known) {
  about = known
  $("form").addEventListener("submit", event => {
    event.preventDefault()
    const text = $("paste").value
    if (text.trim() !== "" && text !== lastRead) read(new Blob([text]), text)
    else check(fromForm())
  })
  $("file").addEventListener("change", () => {
    if ($("file").files.length > 0) read($("file").files[0])
    $("file").value = ""
  })
  $("choose").addEventListener("click", () => $("file").click())
  for (const type of ["dragover", "drop"]) {
    document.addEventListener(type, event => {
      if (!event.dataTransfer?.types.includes("Files")) return
      event.preventDefault()
      if (type === "drop" && event.dataTransfer.files.length > 0) {
        location.hash = "#call"
        read(event.dataTransfer.files[0])
      }
    })
  }
}

// openCall shows a call in the form, and checks it.
export function openCall(call) {
  location.hash = "#call"
  toForm(call)
  check(call)
}

function fromForm() {
  const lines = text => text.split("\n").map(line => line.trim()).filter(line => line !== "")
  return {
    url: $("url").value.trim(),
    origin: $("origin").value.trim(),
    method: $("method").value.trim(),
    headers: lines($("headers").value),
    credentials: $("credentials").checked,
    reads: $("reads").value.split(/[\s,]+/).filter(name => name !== ""),
    kind: $("kind").value,
    no_cors: $("no-cors").checked,
    body: $("body").value,
    cookie: $("cookie").value.trim(),
  }
}

function toForm(call) {
  $("url").value = call.url ?? ""
  $("origin").value = call.origin ?? ""
  $("method").value = call.method ?? ""
  $("headers").value = (call.headers ?? []).join("\n")
  $("credentials").checked = call.credentials ?? false
  $("reads").value = (call.reads ?? []).join(", ")
  $("kind").value = call.kind || "fetch"
  $("no-cors").checked = call.no_cors ?? false
  $("body").value = call.body ?? ""
  $("cookie").value = call.cookie ?? ""
  $("more").open = Boolean(call.kind && call.kind !== "fetch" || call.no_cors || call.body || call.cookie)
}

function problem(text) {
  $("form-problem").hidden = text === ""
  $("form-problem").textContent = visible(text)
  if (text !== "") say(text)
}

let running = 0 // the number of the last thing asked: what an earlier one says comes too late

// busy asks something of the server, while the form waits.
async function busy(asks, take) {
  const number = ++running
  problem("")
  $("form").setAttribute("aria-busy", "true")
  $("check").disabled = true
  const done = () => {
    if (number !== running) return
    $("form").removeAttribute("aria-busy")
    $("check").disabled = false
  }
  try {
    const answer = await asks()
    done()
    if (number === running) await take(answer)
  } catch (error) {
    done()
    if (!(error instanceof Problem)) throw error
    if (number === running) await take(null, error)
  }
}

let lastRead = "" // the text that was read last: what is in the form then wins

// read has the server read what was pasted or dropped.
function read(blob, text = "") {
  return busy(() => ask("/api/read", blob), (paste, error) => {
    $("pasted").replaceChildren()
    if (error) return problem(error.message)
    lastRead = text
    if (paste.archive) return showArchive(paste)
    if (paste.unread?.length > 0) $("pasted").append(h("p", {class: "muted"}, "Unknown options, left out: ", paste.unread.map((flag, i) => [i > 0 && ", ", code(flag)])))
    if (paste.calls.length > 1) {
      $("pasted").append(h("p", null, `Found ${paste.calls.length} calls:`), h("ul", {class: "choices"}, paste.calls.map(found => h("li", null,
        h("button", {type: "button", class: "link code", onclick: () => take(found)}, visible(`${found.call.method || "GET"} ${found.call.url}`)),
        found.count > 1 && h("span", {class: "muted"}, ` ${found.count} times`)))))
    }
    return take(paste.calls[0])
  })
}

const needs = {
  url: ["url", "the URL that was called"],
  origin: ["origin", "the origin of the page"],
  page: ["origin", "the page"],
  preflight: ["headers", "the method or the header that needed a preflight"],
  method: ["method", "the method, which is not GET, HEAD or POST"],
  header: ["headers", "the value or the name of a header"],
  body: ["body", "the body, which is in a file"],
}

// take puts a call that was found into the form. What it lacks is asked for, and else it is checked.
function take(found) {
  toForm(found.call)
  if (!found.missing) return check(found.call)
  $("result").replaceChildren()
  for (const {need, likely} of found.missing) {
    const field = $(needs[need][0])
    if (likely && field.value === "") field.value = likely
  }
  problem(`The text does not say ${found.missing.map(({need}) => needs[need][1]).join(" or ")}. Fill that in, and check.`)
  const first = $(needs[found.missing[0].need][0])
  if (first.closest("details")) first.closest("details").open = true
  first.focus()
}

// check has the server check a call. One that could change something is confirmed first.
function check(call, confirmed = false) {
  return busy(() => ask("/api/check", {call, confirmed}), async (answer, error) => {
    if (!error) return show(answer)
    if (!error.answer.confirm) return problem(error.message)
    const decided = await confirm(error.message)
    if (decided === "yes") return check(call, true)
    if (decided === "preflight") return check({...call, preflight_only: true})
  })
}

function confirm(text) {
  const dialog = $("confirm")
  $("confirm-text").textContent = visible(text)
  dialog.returnValue = "no"
  dialog.showModal()
  return new Promise(resolve => dialog.addEventListener("close", () => resolve(dialog.returnValue), {once: true}))
}

const verdicts = {allowed: "Allowed", blocked: "Blocked", unknown: "Could not tell"}

function show(answer, by = about.config) {
  const {call, report} = answer
  const verdict = verdicts[report.verdict] ?? visible(report.verdict)
  const message = report.cause?.message ?? (call.preflight_only ? "The preflight allows the request, which was not made." : `The script gets the response, with status ${report.status}.`)
  $("result").replaceChildren(...[
    h("section", {class: "verdict " + report.verdict, "aria-labelledby": "verdict"},
      h("h2", {id: "verdict"}, verdict),
      h("p", {class: "cause"}, visible(message)),
    ),
    report.steps.length > 0 && h("section", {class: "card", "aria-labelledby": "drawing-title"},
      h("h3", {id: "drawing-title"}, "What happens"),
      drawing(call, report, by),
    ),
    changes(answer),
    notes(report),
    h("div", {class: "actions"}, copyButton("Copy as text, without secrets", () => answer.share)),
  ].filter(part => part))
  $("result").focus({preventScroll: true})
  $("result").scrollIntoView({block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"})
  say(`${verdict}. ${message}`)
}

// changes are what would have the call allowed: an edit or lines, and advice.
function changes(answer) {
  const {report} = answer
  if (report.fixes.length === 0 && !report.unseen) return null
  const lines = report.fixes.filter(fix => fix.line)
  return h("section", {class: "card", "aria-labelledby": "fixes-title"},
    h("h3", {id: "fixes-title"}, "What to change"),
    report.unseen && h("ul", {class: "fixes"}, report.unseen.map(unseen => h("li", null, code(`${unseen.file}:${unseen.line}`), ": ", code(unseen.text), " did not see the request: ", visible(unseen.why), "."))),
    h("ul", {class: "fixes"}, report.fixes.filter(fix => fix.advice).map(fix => h("li", null, visible(fix.advice)))),
    report.diff ? editOf(answer) : lines.length > 0 && linesToWrite(lines, report.patch),
    tried(report, lines.length > 0),
    report.loses && h("ul", {class: "fixes"}, report.loses.map(loss => h("li", {class: "loss"}, loss.origin
      ? ["This would stop working: a page on ", code(loss.origin), " calls ", code(`${loss.method} ${loss.url}`), ", which is allowed now."]
      : ["This would change: ", code(`${loss.method} ${loss.url}`), `, requested by something other than a page, would be answered with ${loss.status}.`]))),
  )
}

function editOf(answer) {
  const {call, report} = answer
  return edit({
    diff: report.diff,
    places: [...new Set(report.fixes.filter(fix => fix.file).map(fix => fix.at ? `${fix.file}:${fix.at}` : fix.file))],
    name: about.write && answer.edit,
    follows: async written => {
      $("result").prepend(written)
      await check(call)
      $("result").prepend(written) // again, above what the check has shown
    },
  })
}

function linesToWrite(fixes, operations) {
  const groups = []
  for (const fix of fixes) {
    const last = groups.at(-1)
    if (last?.block === fix.block && last.site === fix.site && last.action === fix.action) last.lines.push(fix)
    else groups.push({...fix, lines: [fix]})
  }
  return [
    h("ul", {class: "fixes"}, groups.map(({block, site, action, lines}) => h("li", null,
      block === "site" ? "In the block of the site " : ["In the ", code(block), " block of the site "], code(site), action === "remove" ? ", remove:" : ":",
      h("pre", {class: "diff", tabindex: 0}, lines.map(fix => h("span", {class: action === "remove" ? "removed" : "added"}, visible(fix.line), fix.replaces && h("span", {class: "muted"}, `   (replaces ${visible(fix.replaces)})`), "\n"))),
    ))),
    operations ? patch(operations) : h("div", {class: "actions"}, copyButton("Copy", () => fixes.map(fix => fix.line).join("\n"))),
  ]
}

// tried says what was seen when the edit was tried, and no more.
function tried(report, edited) {
  switch (report.tried) {
  case "allowed": return h("p", {class: "tried good"}, "Tried: with this edit, the call is allowed.")
  case "preflight": return h("p", {class: "tried good"}, "Tried: with this edit, the preflight is allowed. The request itself was not made, because it could change something.")
  case "blocked": return report.still_blocked && h("p", {class: "tried"}, "No edit was found that makes the call work. What still blocks it: ", visible(report.still_blocked.message))
  case "untried": return h("p", {class: "tried"}, "It is not known whether this is enough. ", visible(report.tried_reason ?? ""))
  }
  return edited && h("p", {class: "tried muted"}, "Not tried: the server's configuration is not known. With ", code("--config Caddyfile"), ", the edit is made there, and tried.")
}

function notes(report) {
  if (report.warnings.length === 0) return null
  return h("section", {class: "card", "aria-labelledby": "notes-title"},
    h("h3", {id: "notes-title"}, "Notes"),
    h("ul", {class: "notes"}, report.warnings.map(warning => h("li", null,
      warning.engines?.length > 0 && h("b", null, warning.engines.join(", ") + ": "),
      visible(warning.message),
    ))),
  )
}

// showArchive shows the calls of a HAR: those that are blocked first.
function showArchive(paste) {
  const order = {blocked: 0, unknown: 1, allowed: 2}
  const calls = paste.calls.map((call, number) => ({...call, number})).sort((a, b) => order[a.verdict] - order[b.verdict] || a.number - b.number)
  const blocked = calls.filter(call => call.verdict === "blocked").length
  const list = h("ol", {class: "calls", id: "archive"})
  const chunk = 200 // rows at once, so that a long list does not stop the page
  let shown = 0
  const more = h("button", {type: "button", onclick: () => add()}, "Show more")
  const add = () => {
    list.append(...calls.slice(shown, shown + chunk).map(row))
    shown += chunk
    more.hidden = shown >= calls.length
    more.textContent = `Show more (${calls.length - shown} left)`
  }
  const row = ({call, number, verdict, cause, status, count}) => h("li", null,
    h("span", {class: "sign " + verdict}, verdicts[verdict] ?? visible(verdict)),
    h("button", {type: "button", class: "link code", onclick: () => busy(() => ask(`/api/recorded/${paste.archive}/${number}`), (answer, error) => {
      if (error) return problem(error.message)
      toForm(answer.call)
      show(answer, "")
    })}, visible(`${call.method || "GET"} ${call.url}`)),
    h("span", {class: "muted"}, [status || "no answer", cause, count > 1 && `${count} times`].filter(Boolean).join(" · ")))
  add()
  const summary = calls.length === 0 ? "The pages in this archive make no calls to other origins." : `${calls.length} calls to other origins, ${blocked} blocked, judging by the answers that the browser recorded.`
  const gaps = (paste.gaps ?? []).map(gap => h("p", {class: "muted"}, gap))
  $("pasted").append(h("p", {class: "summary"}, summary), ...gaps, list, h("div", {class: "actions"}, more))
  $("result").replaceChildren()
  say(summary)
}
