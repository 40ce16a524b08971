// Makes calls as it is told, in a page or in a frame that a page sends messages to, and tells what a page sees of each.

// One call of fetch().
async function makeFetch({url, init}) {
  const response = await fetch(url, {...init, signal: AbortSignal.timeout(20_000)})
  await response.text()
  return {status: response.status, url: response.url, headers: [...response.headers.keys()]}
}

function makeXHR({url, init, credentials, kind}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.timeout = 5_000
    request.open(init.method, url)
    for (const [name, value] of init.headers) request.setRequestHeader(name, value)
    request.withCredentials = credentials
    if (kind == 'xhr-upload') request.upload.addEventListener('progress', () => {})
    request.onerror = () => reject(new TypeError('error'))
    request.ontimeout = () => reject(new DOMException('timeout', 'TimeoutError'))
    request.onload = () => resolve({
      status: request.status,
      url: request.responseURL,
      headers: request.getAllResponseHeaders().split('\r\n').filter(line => line).map(line => line.split(':')[0].toLowerCase()),
    })
    request.send(init.body)
  })
}

function makeStream(call) {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode(call.init.body))
      controller.close()
    },
  })
  return makeFetch({url: call.url, init: {...call.init, body, duplex: 'half'}})
}

async function makeBeacon({url, init}) {
  const [, type] = init.headers[0] ?? []
  navigator.sendBeacon(url, type === undefined ? init.body : new Blob([init.body], {type}))
  await new Promise(resolve => setTimeout(resolve, 50)) // so that what the server is asked is in the order of the calls
  return {loaded: true}
}

// What fires an event if it is loaded, and another one if not.
function watch(target, good, bad) {
  return new Promise((resolve, reject) => {
    for (const name of good) target.addEventListener(name, () => resolve({loaded: true}))
    for (const name of bad) target.addEventListener(name, () => reject(new TypeError(name)))
    setTimeout(() => reject(new TypeError('nothing comes of it')), 5_000)
  })
}

async function makeElement(name, attributes, {url, noCORS, credentials, kind}) {
  const element = document.createElement(name)
  if (!noCORS) element.crossOrigin = credentials ? 'use-credentials' : 'anonymous'
  const ended = watch(element, ['load', 'loadedmetadata'], ['error'])
  for (const [key, value] of Object.entries(attributes)) element[key] = value
  element.src = url
  document.body.append(element)
  try {
    return await ended
  } finally {
    if (kind != 'module' && kind != 'script') element.remove()
  }
}

// A style sheet that is loaded may be of no use: Chromium says nothing then.
async function makeStyle(call) {
  const probe = document.createElement('p')
  probe.className = 'styled'
  document.body.append(probe)
  const link = document.createElement('link')
  link.rel = 'stylesheet'
  if (!call.noCORS) link.crossOrigin = call.credentials ? 'use-credentials' : 'anonymous'
  const ended = watch(link, ['load'], ['error'])
  link.href = call.url
  document.body.append(link)
  try {
    await ended
    if (getComputedStyle(probe).color != 'rgb(1, 2, 3)') throw new TypeError('it does not apply')
    return {loaded: true}
  } finally {
    link.remove()
    probe.remove()
  }
}

async function makeSource(source) {
  try {
    return await watch(source, ['open'], ['error'])
  } finally {
    source.close()
  }
}

const makers = {
  fetch: makeFetch,
  xhr: makeXHR,
  'xhr-upload': makeXHR,
  stream: makeStream,
  beacon: makeBeacon,
  eventsource: ({url, credentials}) => makeSource(new EventSource(url, {withCredentials: credentials})),
  websocket: ({url}) => makeSource(new WebSocket(url)),
  font: async ({url}) => {
    await new FontFace('Font', `url(${JSON.stringify(url)})`).load()
    return {loaded: true}
  },
  media: call => makeElement('audio', {preload: 'metadata'}, call),
  script: call => makeElement('script', {}, call),
  module: call => makeElement('script', {type: 'module'}, call),
  style: makeStyle,
  image: call => makeElement('img', {}, call),
}

async function make(call) {
  const outcomes = []
  for (let i = 0; i < call.times; i++) {
    try {
      outcomes.push(await makers[call.kind](call))
    } catch (error) {
      outcomes.push({error: error.name == 'TimeoutError' ? error.name : 'TypeError', message: String(error)})
    }
  }
  return outcomes
}

if (parent != window) onmessage = async ({data, ports}) => ports[0].postMessage(await make(data))
