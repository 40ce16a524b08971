//go:build linux

package e2e_test

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A process runs with all its children in a process group of its own, and with a new home.
type process struct {
	command *exec.Cmd
	output  bytes.Buffer  // to be read when it has ended
	ended   chan struct{} // is closed then
	err     error         // from then on
}

// start runs a program, which sees nothing of this process's environment but the path.
func start(t *testing.T, command *exec.Cmd, home string, environment ...string) *process {
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
func (p *process) stop(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-p.command.Process.Pid, signal); err != nil && err != syscall.ESRCH {
		t.Error(err)
	}
	<-p.ended
	if p.err == exec.ErrWaitDelay {
		t.Errorf("%s has left processes behind", p.command.Path)
	}
}
