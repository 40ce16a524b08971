//go:build linux

package e2e_test

import (
	"encoding/json"
	"os"
	"testing"
)

// How long it takes in Chromium from dropping an archive of 50 MB to its table: the reading of the file, the server's part
// and the drawing. The archive is made of what Chromium has exported, each call with a URL of its own.
func BenchmarkUIArchive(b *testing.B) {
	text, err := os.ReadFile("../internal/check/pasted/testdata/chromium.har")
	if err != nil {
		b.Fatal(err)
	}
	command := startUI(b, folder(b, nil))
	d := drive(b, engines[0], command.network(), command.link)
	d.wait(uiReady)
	encoded, err := json.Marshal(string(text))
	if err != nil {
		b.Fatal(err)
	}
	d.must("window.exported = JSON.parse("+string(encoded)+").log.entries.map(entry => JSON.stringify(entry)), true", nil)
	d.must(`(() => {
		const parts = []
		let size = 0
		for (let n = 0; size < 50 << 20; n++) {
			const entry = exported[n % exported.length].replaceAll("api.example.com/", "api.example.com/" + n + "/")
			parts.push(n > 0 ? "," : '{"log": {"version": "1.2", "pages": [], "entries": [', entry)
			size += entry.length
		}
		parts.push("]}}")
		window.archive = new File(parts, "large.har")
		return true
	})()`, nil)
	for b.Loop() {
		d.must(`(() => {
			window.shown = false
			document.getElementById("pasted").replaceChildren()
			new MutationObserver((_, observer) => {
				if (!document.querySelector("#archive li")) return
				observer.disconnect()
				requestAnimationFrame(() => requestAnimationFrame(() => { shown = true }))
			}).observe(document.getElementById("pasted"), {childList: true})
			const drop = new Event("drop", {bubbles: true, cancelable: true})
			drop.dataTransfer = {types: ["Files"], files: [archive]}
			document.body.dispatchEvent(drop)
			return true
		})()`, nil)
		d.wait("shown")
	}
}
