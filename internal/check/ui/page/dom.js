// What strangers have sent is shown here. It becomes text nodes and nothing else: there is no markup in a string anywhere.

export const $ = id => document.getElementById(id)

// h makes an element: h("p", {class: "muted"}, "text", child). Names with "on" are listeners; what is null or false is left out.
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children)
}

const svgNamespace = "http://www.w3.org/2000/svg"

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(svgNamespace, name), attributes, children)
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value)
    else if (key.startsWith("--")) element.style.setProperty(key, value)
    else element.setAttribute(key, value === true ? "" : value)
  }
  element.append(...children.flat(Infinity).filter(child => child !== null && child !== undefined && child !== false))
  return element
}

// visible escapes what would be seen as nothing, or turn the text around it.
export function visible(text) {
  return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, c => "\\u{" + c.codePointAt(0).toString(16) + "}")
}

export const code = text => h("code", null, visible(text))

// say tells those who do not see the page.
export function say(text) {
  $("status").textContent = ""
  requestAnimationFrame(() => { $("status").textContent = text })
}

// A Problem is a sentence of the server's.
export class Problem extends Error {
  constructor(answer) {
    super(answer.error)
    this.answer = answer
  }
}

// ask asks the server: a POST with a body, which is a Blob as it is or something as JSON, else a GET. null is "no news".
export async function ask(path, body) {
  let response
  try {
    response = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: {"Content-Type": body instanceof Blob ? "application/octet-stream" : "application/json"},
      body: body instanceof Blob ? body : JSON.stringify(body),
    })
  } catch {
    throw new Problem({error: "caddy cors ui has stopped: start it again."})
  }
  if (response.status === 204) return null
  if (response.status === 401 || response.status === 403) throw new Problem({error: await response.text()})
  const answer = await response.json()
  if (!response.ok) throw new Problem(answer)
  return answer
}

// copyButton copies a text when it is clicked, and says so.
export function copyButton(label, text) {
  const button = h("button", {type: "button", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text())
    } catch { // not allowed, or not there
      const area = h("textarea", {class: "unseen", readonly: true})
      area.value = text()
      document.body.append(area)
      area.select()
      document.execCommand("copy")
      area.remove()
      button.focus()
    }
    button.textContent = "Copied"
    say("Copied")
    setTimeout(() => { button.textContent = label }, 1500)
  }}, label)
  return button
}
