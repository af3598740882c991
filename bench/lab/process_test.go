//go:build linux

package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pollTest is how often a test asks for a state.
const pollTest = 5 * time.Millisecond

func gettid() int { return unix.Gettid() }

// start runs a role of this test binary in a node.
func start(t *testing.T, n *Node, role string) *Process {
	t.Helper()
	p, err := n.Start(os.Args[0], role)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// running tells whether a process exists and is not a zombie.
func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestProcessRunsInItsNamespaceAndEndsAtSIGTERM(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p := start(t, l.Hosts[0].Node, "role-wait")
	if err := p.WaitOutput(patient(t), "waiting"); err != nil {
		t.Fatal(err)
	}
	var inside, outside unix.Stat_t
	at := filepath.Join("/proc", itoa(p.PID), "ns/net")
	if err := errors.Join(unix.Stat(at, &inside), unix.Stat(filepath.Join(spaceDir, l.Hosts[0].NS), &outside)); err != nil {
		t.Fatal(err)
	}
	if inside.Ino != outside.Ino {
		t.Errorf("the process is in namespace %d, want %d", inside.Ino, outside.Ino)
	}
	if p.Ended() || p.ExitCode() != -1 || p.Err() != nil {
		t.Errorf("running: ended %v, exit code %d, error %v", p.Ended(), p.ExitCode(), p.Err())
	}
	if err := p.Stop(patient(t)); err != nil {
		t.Errorf("stop: %v", err)
	}
	if got, want := p.Output(), "waiting\nterminated\n"; got != want {
		t.Errorf("got output %q, want %q", got, want)
	}
	if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal after the end: got %v, want ErrProcessDone", err)
	}
}

func TestProcessFailureIsTold(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p := start(t, l.Hosts[0].Node, "role-fail")
	err := p.Wait(patient(t))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || p.ExitCode() != 3 {
		t.Errorf("got error %v, exit code %d, want exit status 3", err, p.ExitCode())
	}
	err = p.WaitOutput(patient(t), "never said")
	if err == nil || !strings.Contains(err.Error(), "this went wrong") {
		t.Errorf("got %v, want an error with what it wrote last", err)
	}
	again := start(t, l.Hosts[0].Node, "role-fail")
	<-again.Done()
	if again.Log == p.Log {
		t.Errorf("both wrote to %s", p.Log)
	}
	if _, err := l.Hosts[0].Start("/no/such/program"); err == nil {
		t.Error("a missing program was started")
	}
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p := start(t, l.Hosts[0].Node, "role-stubborn")
	if err := p.WaitOutput(patient(t), "waiting"); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	if err := p.Stop(ctx); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
	p.Kill()
	if p.ExitCode() != -1 || running(p.PID) {
		t.Errorf("killed: exit code %d, running %v", p.ExitCode(), running(p.PID))
	}
}

func TestFrozenProcessEndsWithTheLab(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p := start(t, l.Hosts[0].Node, "role-wait")
	if err := p.WaitOutput(patient(t), "waiting"); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if running(p.PID) || p.ExitCode() != 0 {
		t.Errorf("running %v, exit code %d, want an end in good order", running(p.PID), p.ExitCode())
	}
	if _, err := l.Hosts[0].Start(os.Args[0], "role-wait"); !errors.Is(err, ErrClosed) {
		t.Errorf("start in a closed lab: got %v, want ErrClosed", err)
	}
}
