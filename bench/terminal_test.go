package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
)

// terminal is a command on a terminal of 100 by 40.
type terminal struct {
	*exec.Cmd
	keys *os.File
	gone chan struct{} // the other end is closed, and all was read

	mu  sync.Mutex
	out strings.Builder // guarded by mu
}

// onTerminal starts uvtep on a terminal, with more in its environment.
func onTerminal(ctx context.Context, t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { _ = keys.Close() })
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	must(t, err, unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0))
	must(t, unix.IoctlSetWinsize(int(keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}))
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer func() { _ = tty.Close() }()
	x := &terminal{Cmd: exec.CommandContext(ctx, program, args...), keys: keys, gone: make(chan struct{})}
	x.Env = append(os.Environ(), append([]string{"TERM=xterm-256color", "NO_COLOR="}, env...)...)
	x.Stdin, x.Stdout, x.Stderr = tty, tty, tty
	x.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, x.Start())
	go x.read()
	return x
}

// read reads until nobody has the terminal any more, which Linux calls EIO.
func (x *terminal) read() {
	defer close(x.gone)
	b := make([]byte, 4096)
	for {
		n, err := x.keys.Read(b)
		x.mu.Lock()
		x.out.Write(b[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) shown() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.out.String()
}

// end waits for the command and returns all that it wrote.
func (x *terminal) end(t *testing.T) string {
	t.Helper()
	if err := x.Wait(); err != nil {
		t.Errorf("%v: %v\n%q", x.Args[1:], err, x.shown())
	}
	<-x.gone
	return x.shown()
}

// colour is an attribute of characters (ECMA-48, SGR) that is a colour.
var colour = regexp.MustCompile("\x1b\\[[0-9;]*3[0-7][0-9;]*m")

func TestColoursAreForTerminalsAlone(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	status := []string{"status", "--admin-socket", h.AdminSocket}
	must(t, h.SetMTU(h.TAP, 1400)) // something to warn of
	eventually(ctx, t, "status warns", func() (bool, string) {
		out := uvtep(ctx, t, h, "status")
		return strings.Contains(out, "WARNING"), out
	})
	if out := uvtep(ctx, t, h, "status"); strings.Contains(out, "\x1b") {
		t.Errorf("no terminal: got %q", out)
	}
	if out := onTerminal(ctx, t, nil, status...).end(t); !colour.MatchString(out) {
		t.Errorf("a terminal: got no colour in %q", out)
	}
	if out := onTerminal(ctx, t, []string{"NO_COLOR=1"}, status...).end(t); strings.Contains(out, "\x1b") {
		t.Errorf("NO_COLOR: got %q", out)
	}
}

func TestPcapngIsNotForATerminal(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 1})
	x := onTerminal(ctx, t, nil, "capture", "-w", "-", "--admin-socket", l.Hosts[0].AdminSocket)
	_ = x.Wait()
	<-x.gone
	if out := x.shown(); x.ProcessState.ExitCode() != 2 || !strings.Contains(out, "uvtep capture -w - | wireshark") {
		t.Errorf("got %d, %q", x.ProcessState.ExitCode(), out)
	}
}

func TestTopOnATerminal(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	_, err := h.Containers[0].Ping(ctx, l.Hosts[1].Containers[0].Addr, lab.Pings{Count: 2})
	must(t, err)
	top := onTerminal(ctx, t, nil, "top", "--admin-socket", h.AdminSocket, "--interval", "100ms")
	for _, want := range []string{"VTEP (out, in)", "192.0.2.2", "Forward", "lane 0", "etcd revision", "q quit"} {
		eventually(ctx, t, "top shows "+want, func() (bool, string) { return strings.Contains(top.shown(), want), top.shown() })
	}
	_, err = top.keys.WriteString("q")
	must(t, err)
	out := top.end(t)
	if !strings.Contains(out, "\x1b[?1049h") || strings.LastIndex(out, "\x1b[?1049l") < strings.LastIndex(out, "\x1b[?1049h") {
		t.Errorf("the screen is not what it was: %q", out)
	}
}
