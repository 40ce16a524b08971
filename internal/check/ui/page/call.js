import {$, Problem, ask, code, copyButton, h, say, visible} from "./dom.js"
import {drawing} from "./drawing.js"

let about
let current // what is shown: the call, its report

export function startCall(known) {
  about = known
  $("form").addEventListener("submit", event => {
    event.preventDefault()
    check(fromForm())
  })
}

// open shows a call in the form, and checks it.
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
  }
}

function toForm(call) {
  $("url").value = call.url ?? ""
  $("origin").value = call.origin ?? ""
  $("method").value = call.method || "GET"
  $("headers").value = (call.headers ?? []).join("\n")
  $("credentials").checked = call.credentials ?? false
  $("reads").value = (call.reads ?? []).join(", ")
}

function problem(text) {
  $("form-problem").hidden = text === ""
  $("form-problem").textContent = visible(text)
  if (text !== "") say(text)
}

let running = 0 // the number of the last check: what an earlier one says comes too late

// check has the server check a call. One that could change something is confirmed first.
async function check(call, confirmed) {
  const number = ++running
  problem("")
  $("form").setAttribute("aria-busy", "true")
  $("check").disabled = true
  try {
    const answer = await ask("/api/check", {call, confirmed: confirmed ?? false})
    if (number === running) show(answer)
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (number !== running) return
    if (error.answer.confirm) {
      if (await confirm(error.message)) return check(call, true)
      return
    }
    problem(error.message)
  } finally {
    if (number === running) {
      $("form").removeAttribute("aria-busy")
      $("check").disabled = false
    }
  }
}

function confirm(text) {
  const dialog = $("confirm")
  $("confirm-text").textContent = visible(text)
  dialog.returnValue = "no"
  dialog.showModal()
  return new Promise(resolve => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), {once: true}))
}

const verdicts = {allowed: "Allowed", blocked: "Blocked", unknown: "Could not tell"}

function show(answer) {
  current = answer
  const {call, report} = answer
  const message = report.cause
    ? report.cause.message
    : `The script gets the response, whose status is ${report.status}.`
  $("result").replaceChildren(...[
    h("section", {class: "verdict " + report.verdict, "aria-labelledby": "verdict"},
      h("h2", {id: "verdict"}, verdicts[report.verdict] ?? visible(report.verdict)),
      h("p", {class: "cause"}, visible(message)),
    ),
    report.steps.length > 0 && h("section", {class: "card", "aria-labelledby": "drawing-title"},
      h("h3", {id: "drawing-title"}, "What happens"),
      drawing(call, report, about),
    ),
    fixes(report),
    notes(report),
  ].filter(part => part))
  $("result").focus({preventScroll: true})
  $("result").scrollIntoView({block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth"})
  say(`${verdicts[report.verdict] ?? report.verdict}. ${message}`)
}

// fixes are the lines to write, and the advice.
function fixes(report) {
  if (report.fixes.length === 0) return null
  const items = []
  for (const fix of report.fixes) {
    const last = items.at(-1)
    if (fix.line && last?.block === fix.block && last.site === fix.site) last.fixes.push(fix)
    else items.push({block: fix.block, site: fix.site, fixes: [fix]})
  }
  const shown = items.map(({block, site, fixes}) => fixes[0].advice ? h("li", null, visible(fixes[0].advice)) : h("li", null,
    block === "site" ? "In the block of the site " : ["In the ", code(block), " block of the site "], code(site), ", add:",
    h("pre", {class: "line", tabindex: 0}, fixes.map(fix => [visible(fix.line), fix.replaces && h("span", {class: "muted"}, "   (in the place of ", visible(fix.replaces), ")"), "\n"])),
  ))
  const lines = report.fixes.filter(fix => fix.line).map(fix => fix.line).join("\n")
  return h("section", {class: "card", "aria-labelledby": "fixes-title"},
    h("h3", {id: "fixes-title"}, "What to change"),
    h("ul", {class: "fixes"}, shown),
    lines !== "" && h("div", {class: "actions"}, copyButton("Copy", () => lines)),
  )
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
