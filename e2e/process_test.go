//go:build linux

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process runs with all its children in a process group of its own, and with a new home.
type process struct {
	command *exec.Cmd
	output  output
	ended   chan struct{} // is closed when it has ended
	err     error         // from then on
}

// An output is what a process and its children have printed so far.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // is closed with the next change; nil if nobody waits for it
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return o.text.Write(text)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// snapshot returns the text and a channel that is closed when there is more.
func (o *output) snapshot() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.text.String(), o.changed
}

// start runs a program, which sees nothing of this process's environment but the path.
func start(t testing.TB, command *exec.Cmd, home string, environment ...string) *process {
	t.Helper()
	p := &process{command: command, ended: make(chan struct{})}
	command.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"LANG=C.UTF-8",
		"HOME=" + home,
		"TMPDIR=" + home,
		"DBUS_SESSION_BUS_ADDRESS=disabled:", // or a bus would be started, and stay
	}, environment...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,
		Pdeathsig: syscall.SIGKILL, // if this process ends without ending it
	}
	// Children inherit the output, so that it has ended only when all of them have, also those that left the group.
	command.Stdout, command.Stderr = &p.output, &p.output
	command.WaitDelay = 20 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.err = command.Wait()
	}()
	t.Cleanup(func() {
		if t.Failed() {
			<-p.ended
			t.Logf("%s printed:\n%s", command.Path, &p.output)
		}
	})
	return p
}

// stop sends a signal to the whole group and waits for its end.
func (p *process) stop(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-p.command.Process.Pid, signal); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
	<-p.ended
	if p.err == exec.ErrWaitDelay {
		t.Errorf("%s has left processes behind", p.command.Path)
	}
}

// await returns what the process has printed as soon as it has a whole line with the words.
func (p *process) await(ctx context.Context, words string) (string, error) {
	for {
		text, changed := p.output.snapshot()
		if _, after, found := strings.Cut(text, words); found && strings.Contains(after, "\n") {
			return text, nil
		}
		select {
		case <-changed:
		case <-p.ended:
			return "", fmt.Errorf("%s has ended, and has not printed %q", p.command.Path, words)
		case <-ctx.Done():
			return "", fmt.Errorf("%s has not printed %q: %w", p.command.Path, words, ctx.Err())
		}
	}
}
