//go:build linux

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// A driver evaluates expressions in the page that a browser shows.
type driver struct {
	t       testing.TB
	ctx     context.Context
	browser *browser
	eval    func(expression string) (json.RawMessage, error) // of a value that JSON has

	// command is a command of Chromium's developer tools to the page; nil for the other engines.
	command func(method string, parameters, result any) error

	tools *devTools // that the command is one of
	page  string    // the target that the page is

	marionette *marionette // Firefox's; nil for the other engines
}

// drive opens a page in a new browser, which ends with the test.
func drive(t testing.TB, e engine, n network, url string) *driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	e.inspected = true
	d := &driver{t: t, ctx: ctx}
	d.browser = e.open(t, n, url)
	t.Cleanup(func() { d.browser.end(t) })
	map[string]func(){"Chromium": d.connectChromium, "Firefox": d.connectFirefox, "WebKitGTK": d.connectWebKit}[e.name]()
	return d
}

// must evaluates an expression into a value.
func (d *driver) must(expression string, value any) {
	d.t.Helper()
	text, err := d.eval(expression)
	if err != nil {
		d.t.Fatalf("%s: %v", expression, err)
	}
	if value != nil {
		if err := json.Unmarshal(text, value); err != nil {
			d.t.Fatalf("%s is %s: %v", expression, text, err)
		}
	}
}

// text evaluates an expression that is a string.
func (d *driver) text(expression string) string {
	d.t.Helper()
	var text string
	d.must("String("+expression+")", &text)
	return text
}

// wait asks until an expression is true. Browsers have no event for that.
func (d *driver) wait(expression string) {
	d.t.Helper()
	for {
		text, err := d.eval("Boolean(" + expression + ")")
		if string(text) == "true" {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-d.browser.ended:
			d.t.Fatal("the browser has ended")
		case <-d.ctx.Done():
			shown, _ := d.eval("document.body.innerText")
			d.t.Fatalf("it does not come that %s (%v); the page shows: %s", expression, err, shown)
		}
	}
}

// awaitLine returns the group of a pattern in what the browser prints.
func (d *driver) awaitLine(words, pattern string) string {
	d.t.Helper()
	text, err := d.browser.await(d.ctx, words)
	if err != nil {
		d.t.Fatal(err)
	}
	return regexp.MustCompile(pattern).FindStringSubmatch(text)[1]
}

func (d *driver) dial(url, origin string) *websocket.Conn {
	d.t.Helper()
	socket, err := websocket.Dial(url, "", origin)
	if err != nil {
		d.t.Fatal(err)
	}
	socket.MaxPayloadBytes = 64 << 20
	d.t.Cleanup(func() { socket.Close() })
	deadline, _ := d.ctx.Deadline()
	_ = socket.SetDeadline(deadline)
	return socket
}

// A reply is what WebKit's inspector answers to a command, or an event, which has no ID.
type reply struct {
	ID     int
	Method string
	Params struct {
		TargetInfo struct{ TargetID string } // of Target.targetCreated
		Message    string                    // of Target.dispatchMessageFromTarget
	}
	Result json.RawMessage
	Error  json.RawMessage
}

// An evaluated is what Runtime.evaluate returns, in both engines that have it.
type evaluated struct {
	Result struct {
		Value       json.RawMessage
		Description string
	}
	WasThrown        bool            // WebKit's
	ExceptionDetails json.RawMessage // Chromium's
}

func (e evaluated) value() (json.RawMessage, error) {
	if e.WasThrown || e.ExceptionDetails != nil {
		return nil, fmt.Errorf("%s %s", e.Result.Description, e.ExceptionDetails)
	}
	return e.Result.Value, nil
}

// devTools are Chromium's developer tools, by their protocol.
type devTools struct {
	address string // where they listen
	socket  *websocket.Conn
	id      int // of the last command

	// event is told what comes between the replies; nil if nobody wants to know.
	event func(method string, parameters json.RawMessage)
}

// command is a command in a session with a target; in the session "", one to the browser.
func (t *devTools) command(session, method string, parameters, result any) error {
	t.id++
	message := map[string]any{"id": t.id, "method": method, "params": parameters}
	if session != "" {
		message["sessionId"] = session
	}
	if err := websocket.JSON.Send(t.socket, message); err != nil {
		return err
	}
	for {
		var r struct {
			ID            int
			Method        string
			Params        json.RawMessage
			Result, Error json.RawMessage
		}
		if err := websocket.JSON.Receive(t.socket, &r); err != nil {
			return err
		}
		switch {
		case r.Method != "":
			if t.event != nil {
				t.event(r.Method, r.Params)
			}
		case r.ID != t.id:
		case r.Error != nil:
			return fmt.Errorf("%s: %s", method, r.Error)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(r.Result, result)
		}
	}
}

// attach begins a session with a target.
func (t *devTools) attach(target string) (session string, err error) {
	var attached struct{ SessionID string }
	err = t.command("", "Target.attachToTarget", map[string]any{"targetId": target, "flatten": true}, &attached)
	return attached.SessionID, err
}

// eval evaluates an expression, and waits for it if it is a promise.
func (t *devTools) eval(session, expression string) (json.RawMessage, error) {
	var e evaluated
	parameters := map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}
	if err := t.command(session, "Runtime.evaluate", parameters, &e); err != nil {
		return nil, err
	}
	return e.value()
}

func (d *driver) connectChromium() {
	d.t.Helper()
	url := d.awaitLine("DevTools listening on ", `DevTools listening on (ws://\S+)`)
	d.tools = &devTools{socket: d.dial(url, "http://localhost"), address: strings.Split(url, "/")[2]}
	var targets struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	must := func(err error) {
		d.t.Helper()
		if err != nil {
			d.t.Fatal(err)
		}
	}
	for d.page == "" {
		must(d.tools.command("", "Target.getTargets", struct{}{}, &targets))
		for _, info := range targets.TargetInfos {
			if info.Type == "page" {
				d.page = info.TargetID
			}
		}
	}
	session, err := d.tools.attach(d.page)
	must(err)
	d.command = func(method string, parameters, result any) error {
		return d.tools.command(session, method, parameters, result)
	}
	d.eval = func(expression string) (json.RawMessage, error) { return d.tools.eval(session, expression) }
}

// A marionette is a connection to Firefox's remote control.
type marionette struct {
	conn net.Conn
	from *bufio.Reader
}

// connectMarionette begins a session.
func connectMarionette(t testing.TB, ctx context.Context, b *browser) *marionette {
	t.Helper()
	text, err := b.await(ctx, "Listening on port ")
	if err != nil {
		t.Fatal(err)
	}
	port := regexp.MustCompile(`Listening on port (\d+)`).FindStringSubmatch(text)[1]
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	m := &marionette{conn: conn, from: bufio.NewReader(conn)}
	if _, err := m.receive(); err != nil { // its greeting
		t.Fatal(err)
	}
	if _, err := m.command("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"unhandledPromptBehavior": "ignore"}}}); err != nil {
		t.Fatal(err)
	}
	return m
}

// receive reads a packet, which is JSON after its length.
func (m *marionette) receive() (json.RawMessage, error) {
	length, err := m.from.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		return nil, err
	}
	packet := make([]byte, n)
	_, err = io.ReadFull(m.from, packet)
	return packet, err
}

// command sends a command, and returns the value that it is answered with.
func (m *marionette) command(name string, parameters any) (json.RawMessage, error) {
	text, err := json.Marshal([]any{0, 1, name, parameters})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(m.conn, "%d:%s", len(text), text)
	packet, err := m.receive()
	if err != nil {
		return nil, err
	}
	var failure json.RawMessage
	var result struct{ Value json.RawMessage }
	if err := json.Unmarshal(packet, &[]any{nil, nil, &failure, &result}); err != nil {
		return nil, err
	}
	if len(failure) > 0 { // and not null
		return nil, fmt.Errorf("%s: %s", name, failure)
	}
	return result.Value, nil
}

// chrome runs the body of a function as a part of Firefox itself, and not of the page. The last of its arguments is a
// function that it calls with its result.
func (m *marionette) chrome(script string, arguments ...any) (value json.RawMessage, err error) {
	in := func(context string) error {
		_, err := m.command("Marionette:SetContext", map[string]any{"value": context})
		return err
	}
	if err := in("chrome"); err != nil {
		return nil, err
	}
	value, err = m.command("WebDriver:ExecuteAsyncScript", map[string]any{"script": script, "args": append([]any{}, arguments...)})
	return value, errors.Join(err, in("content"))
}

func (d *driver) connectFirefox() {
	d.t.Helper()
	d.marionette = connectMarionette(d.t, d.ctx, d.browser)
	d.eval = func(expression string) (json.RawMessage, error) {
		return d.marionette.command("WebDriver:ExecuteScript", map[string]any{"script": "return " + expression, "args": []any{}})
	}
}

// connectWebKit speaks the inspector's protocol, of which the page is a target, and another one after a navigation.
func (d *driver) connectWebKit() {
	d.t.Helper()
	var path []byte
	for path == nil { // until it listens, and has a page
		response, err := http.Get("http://" + d.browser.inspector + "/")
		if err == nil {
			html, _ := io.ReadAll(response.Body)
			response.Body.Close()
			path = regexp.MustCompile(`/socket/\d+/\d+/WebPage`).Find(html)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-d.browser.ended:
			d.t.Fatal("the browser has ended")
		case <-d.ctx.Done():
			d.t.Fatalf("there is no page to inspect: %v", err)
		}
	}
	socket := d.dial("ws://"+d.browser.inspector+string(path), "http://"+d.browser.inspector)
	// What the target says comes without its wrapping; what others say is about which target there is.
	target := make(chan string, 16)
	replies := make(chan reply, 16)
	go func() {
		defer close(replies)
		for {
			var r reply
			if websocket.JSON.Receive(socket, &r) != nil {
				return
			}
			switch r.Method {
			case "Target.targetCreated":
				target <- r.Params.TargetInfo.TargetID
			case "Target.dispatchMessageFromTarget":
				var said reply
				if json.Unmarshal([]byte(r.Params.Message), &said) == nil && said.ID > 0 {
					replies <- said
				}
			}
		}
	}()
	current, id := "", 0
	d.eval = func(expression string) (json.RawMessage, error) {
		for current == "" || len(target) > 0 {
			current = <-target
		}
		id++
		inner, err := json.Marshal(map[string]any{
			"id": id, "method": "Runtime.evaluate", "params": map[string]any{"expression": expression, "returnByValue": true},
		})
		if err != nil {
			return nil, err
		}
		if err := websocket.JSON.Send(socket, map[string]any{"id": 1, "method": "Target.sendMessageToTarget", "params": map[string]any{
			"targetId": current, "message": string(inner),
		}}); err != nil {
			return nil, err
		}
		gone := time.After(5 * time.Second)
		for {
			select {
			case r, ok := <-replies:
				switch {
				case !ok:
					return nil, io.ErrUnexpectedEOF
				case r.ID == id && r.Error != nil:
					return nil, fmt.Errorf("%s", r.Error)
				case r.ID == id:
					var e evaluated
					if err := json.Unmarshal(r.Result, &e); err != nil {
						return nil, err
					}
					return e.value()
				}
			case <-gone: // with the page that was asked
				return nil, fmt.Errorf("there is no answer")
			}
		}
	}
}
