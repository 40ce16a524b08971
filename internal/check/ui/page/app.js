import {$, ask, code} from "./dom.js"
import {startCall} from "./call.js"
import {showDenials, startDenials} from "./denials.js"

const views = ["call", "denials"]

function route() {
  const view = views.includes(location.hash.slice(1)) ? location.hash.slice(1) : views[0]
  for (const name of views) {
    $("view-" + name).hidden = name !== view
    const link = document.querySelector(`nav a[href="#${name}"]`)
    if (name === view) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
  document.title = (view === "denials" ? "Denials" : "A call") + " – caddy cors"
  showDenials(view === "denials")
}

document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault()
  $("main").focus()
})

const about = await ask("/api/about")
$("about").append(...about.config ? ["Checked against ", code(about.config)] : ["Checked against live servers"])
startCall(about)
startDenials(about)
addEventListener("hashchange", route)
route()
document.documentElement.dataset.ready = ""
