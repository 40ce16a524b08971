// The drawing of a call: a lane for the page and for each host that answers, and a row for each thing that happens. The rows
// are a list, which reads in words without the lines.
import {code, h, visible} from "./dom.js"

// The response header that a cause is about, by the cause's code. The report says what is wrong; this is where to point.
const pointsAt = {
  "missing-allow-origin": "Access-Control-Allow-Origin",
  "multiple-allow-origin": "Access-Control-Allow-Origin",
  "invalid-allow-origin": "Access-Control-Allow-Origin",
  "allow-origin-mismatch": "Access-Control-Allow-Origin",
  "wildcard-with-credentials": "Access-Control-Allow-Origin",
  "missing-allow-credentials": "Access-Control-Allow-Credentials",
  "invalid-allow-credentials": "Access-Control-Allow-Credentials",
  "invalid-allow-methods": "Access-Control-Allow-Methods",
  "method-not-allowed": "Access-Control-Allow-Methods",
  "invalid-allow-headers": "Access-Control-Allow-Headers",
  "header-not-allowed": "Access-Control-Allow-Headers",
  "header-not-exposed": "Access-Control-Expose-Headers",
  "preflight-redirect": "Location",
  "redirect-invalid": "Location",
  "redirect-scheme": "Location",
  "redirect-credentials": "Location",
}

const asks = name => name === "Origin" || name.startsWith("Access-Control-Request-")
const answers = name => name.startsWith("Access-Control-") || ["Location", "Timing-Allow-Origin", "Vary"].includes(name)

// What has a server behind it, and asks that.
const proxies = ["reverse_proxy", "forward_auth", "php_fastcgi"]

// drawing draws a call. configured is the name of the configuration that has answered, if one has.
export function drawing(call, report, configured) {
  const lanes = lanesOf(report, call, configured)
  const at = url => Math.max(1, lanes.findIndex(lane => lane.host === hostOf(url)))
  const rows = []
  const blocked = report.verdict === "blocked"
  let last // the last answer's row
  for (const step of report.steps) {
    if (step.outcome === "failed") continue // which is the cause, and is said where it belongs
    const to = at(step.url)
    if (!step.exchange) {
      rows.push(note(step.text))
      continue
    }
    const {exchange} = step
    rows.push(arrow({
      from: 0, to, kind: exchange.preflight ? "preflight" : "request",
      label: [h("b", null, exchange.method), " ", visible(pathOf(step.url))],
      tag: exchange.preflight ? "preflight" : null,
      headers: exchange.request_headers, decides: asks,
    }))
    const behind = proxies.includes(exchange.handler) ? lanes.findIndex(lane => lane.behind) : -1
    if (behind > 0) {
      rows.push(arrow({from: to, to: behind, kind: "passed", label: [code(exchange.handler)]}))
      rows.push(arrow({from: behind, to, kind: "passed answer", label: [String(exchange.status)]}))
    }
    last = {
      by: behind < 0 && exchange.handler,
      from: to, to: 0, kind: "answer",
      label: [h("b", null, String(exchange.status))],
      headers: exchange.response_headers, decides: answers,
      status: exchange.status,
    }
    rows.push(last)
  }
  if (blocked) fail(rows, last, report.cause, call, lanes, at)
  rows.push(end(report))
  return h("div", {class: "drawing", "--lanes": lanes.length},
    h("ol", {class: "lanes", "aria-label": "Lanes"}, lanes.map(lane => h("li", null, h("b", null, lane.title), h("span", {class: "host"}, visible(lane.name))))),
    h("ol", {class: "rows", "aria-label": "The call, step by step"}, rows.map(row => row instanceof Node ? row : arrow(row))),
  )
}

// fail marks the step that fails, and adds what is left of the call.
function fail(rows, last, cause, call, lanes, at) {
  const why = h("p", {class: "why"}, h("b", null, cause.at === "request" ? "Blocked before anything is sent" : "Blocked here"), ": ", visible(cause.message))
  if (cause.at === "request" || !last) {
    rows.push(h("li", {class: "row own failing"}, why))
    rows.push(arrow({from: 0, to: at(cause.url), kind: "left", label: [h("b", null, call.method || "GET"), " ", visible(pathOf(cause.url))], tag: "not sent"}))
    return
  }
  rows.push(h("li", {class: "row own failing"}, why))
  Object.assign(last, {failing: true, wrong: pointsAt[cause.code], wrongStatus: cause.code === "preflight-status"})
  if (cause.at === "preflight") {
    const to = at(cause.url)
    rows.push(arrow({from: 0, to, kind: "left", label: [h("b", null, call.method || "GET"), " ", visible(pathOf(cause.url))], tag: "not sent"}))
  }
  if (cause.at === "redirect" && last.headers.Location) {
    rows.push(arrow({from: 0, to: at(last.headers.Location[0]), kind: "left", label: [visible(last.headers.Location[0])], tag: "not followed"}))
  }
}

// end is what the script sees.
function end(report) {
  if (report.verdict === "allowed") {
    return h("li", {class: "row own done"}, h("p", null, h("b", null, "The script gets the response"), ": ", String(report.status), report.readable_headers.length > 0 && [
      ". It can read ", report.readable_headers.map((name, i) => [i > 0 && ", ", code(name)]),
    ]))
  }
  if (report.verdict === "blocked") {
    return h("li", {class: "row own left"}, h("p", null, report.cause.code === "header-not-exposed" ? "The script gets null for the header." : "The script gets a TypeError, and nothing else."))
  }
  return h("li", {class: "row own left"}, h("p", null, visible(report.cause.message)))
}

const note = text => h("li", {class: "row own note"}, h("p", null, visible(text)))

// arrow is a row from one lane to another.
function arrow({from, to, kind, label, tag, by, headers, decides, failing, wrong, wrongStatus}) {
  const shown = Object.entries(headers ?? {}).filter(([name]) => decides(name)).sort(([a], [b]) => a < b ? -1 : 1)
  const others = Object.entries(headers ?? {}).filter(([name]) => !decides(name)).sort(([a], [b]) => a < b ? -1 : 1)
  const absent = wrong && !shown.some(([name]) => name === wrong)
  const fields = list => list.flatMap(([name, values]) => values.map(value => h("li", {class: name === wrong && "wrong"}, h("b", null, name), ": ", h("bdi", null, visible(value)))))
  const left = Math.min(from, to)
  return h("li", {class: ["row", "arrow", kind, from < to ? "right" : "back", failing && "failing"].filter(Boolean).join(" "), "--left": left, "--span": Math.abs(to - from)},
    h("div", {class: "text"},
      h("p", {class: "label"}, h("span", {class: "unseen"}, from < to ? "Request: " : "Answer: "), wrongStatus ? h("span", {class: "wrong"}, label) : label, tag && h("span", {class: "tag"}, tag), by && h("span", {class: "tag"}, "by ", visible(by))),
      h("div", {class: "shaft", "aria-hidden": "true"}),
      (shown.length > 0 || absent) && h("ul", {class: "headers"}, fields(shown), absent && h("li", {class: "wrong absent"}, "no ", h("b", null, wrong))),
      others.length > 0 && h("details", {class: "others"}, h("summary", null, others.length === 1 ? "1 other header" : `${others.length} other headers`), h("ul", {class: "headers"}, fields(others))),
    ),
  )
}

function lanesOf(report, call, configured) {
  const lanes = [{title: "Page", name: call.origin}]
  for (const url of [call.url, ...report.steps.map(step => step.url), ...report.steps.flatMap(step => step.exchange?.response_headers?.Location ?? [])]) {
    const host = hostOf(url)
    if (host === "" || lanes.some(lane => lane.host === host)) continue
    lanes.push({title: lanes.some(lane => lane.host) ? "Another host" : configured ? "Caddy" : "Server", name: host, host})
    if (lanes.length === 2 && report.steps.some(step => proxies.includes(step.exchange?.handler))) lanes.push({title: "Behind it", name: "reverse_proxy", behind: true})
  }
  if (lanes.length === 1) lanes.push({title: "Server", name: "", host: ""})
  return lanes
}

function hostOf(url) {
  try {
    return new URL(url).host
  } catch {
    return ""
  }
}

function pathOf(url) {
  try {
    const {pathname, search} = new URL(url)
    return pathname + search
  } catch {
    return url
  }
}
