//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long Close lets a process end by itself after SIGTERM. The
// contract gives an agent one second.
const grace = 5 * time.Second

// Process is a program that runs in a node.
type Process struct {
	PID int
	Log string // file with what it writes to stdout and stderr, in order

	what string // "uvtep in h1", for errors
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
	out  *output
}

// Start starts a program in the namespace. What it writes goes to a log file in
// the lab's folder. It lives until it ends, is stopped, or the lab closes; it is
// killed when the lab's process dies. Its process group is its own, so that
// Ctrl-C reaches the lab alone.
func (n *Node) Start(program string, args ...string) (*Process, error) {
	return n.start(nil, program, args...)
}

// StartAs is Start for a program of another user, with that user's own group.
func (n *Node) StartAs(user uint32, program string, args ...string) (*Process, error) {
	return n.start(&syscall.Credential{Uid: user, Gid: user}, program, args...)
}

func (n *Node) start(as *syscall.Credential, program string, args ...string) (*Process, error) {
	out, err := n.lab.newOutput(n.Name + "-" + filepath.Base(program))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
	p := &Process{
		Log: out.file.Name(), what: filepath.Base(program) + " in " + n.Name,
		cmd: cmd, done: make(chan struct{}), out: out,
	}
	if err := n.lab.launch(n, p); err != nil {
		_ = out.file.Close()
		return nil, fmt.Errorf("start %s: %w", p.what, err)
	}
	n.lab.cfg.Log.Debug().Str("process", p.what).Int("pid", p.PID).Strs("args", args).Msg("process started")
	return p, nil
}

// launch starts p on the lab's own thread, remembers it, and waits for its end in
// the background.
func (l *Lab) launch(n *Node, p *Process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if err := l.spawn.do(n, p.cmd.Start); err != nil {
		return err
	}
	p.PID = p.cmd.Process.Pid
	l.processes = append(l.processes, p)
	go func() {
		p.err = p.cmd.Wait()
		_ = p.out.file.Close()
		close(p.done)
	}()
	return nil
}

// Done is closed when the process has ended and all it wrote is in the log.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is the outcome of a process that has ended, nil for exit status 0, else an
// *exec.ExitError. While the process runs it is nil.
func (p *Process) Err() error {
	if !p.Ended() {
		return nil
	}
	return p.err
}

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ExitCode is the exit status, -1 while it runs or if a signal ended it.
func (p *Process) ExitCode() int {
	if !p.Ended() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends a signal; the error is os.ErrProcessDone after the end.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Stop sends SIGTERM, waits for the end and returns the outcome as Err does.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.what, err)
	}
	return p.Wait(ctx)
}

// Wait waits for the end and returns the outcome as Err does.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", p.what, context.Cause(ctx))
	}
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// Output is what the process has written so far.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Tail is the last n lines of Output.
func (p *Process) Tail(n int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(p.Output(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// WaitOutput waits until the process has written text; it fails when the process
// ends without.
func (p *Process) WaitOutput(ctx context.Context, text string) error {
	log, err := os.Open(p.Log)
	if err != nil {
		return err
	}
	defer log.Close()
	var seen []byte // what is new, after the last bytes of what is old
	for {
		more, ended := p.out.more(), p.Ended() // before the look, so that nothing is missed
		fresh, err := io.ReadAll(log)
		if err != nil {
			return err
		}
		seen = append(seen, fresh...)
		if bytes.Contains(seen, []byte(text)) {
			return nil
		}
		if ended {
			return fmt.Errorf("%s ended (%v) without writing %q:\n%s", p.what, p.err, text, p.Tail(20))
		}
		seen = seen[max(0, len(seen)-len(text)):]
		select {
		case <-more:
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to write %q: %w", p.what, text, context.Cause(ctx))
		}
	}
}

// endAll ends processes: SIGTERM to all, a while for all together, then SIGKILL.
func endAll(processes []*Process) {
	for _, p := range processes {
		_ = p.Signal(syscall.SIGTERM)
		_ = p.Signal(syscall.SIGCONT) // a frozen one sees its SIGTERM only then
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for _, p := range processes {
		select {
		case <-p.done:
		case <-timer.C:
			timer.Reset(0)
			p.Kill()
		}
	}
}

// output is a log file that tells when it grows.
type output struct {
	file *os.File

	mu    sync.Mutex
	grown chan struct{} // guarded by mu; closed and replaced at each write
}

// newOutput makes NAME.log in the lab's folder, or NAME-2.log and so on.
func (l *Lab) newOutput(name string) (*output, error) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	path := filepath.Join(l.Dir, name+".log")
	for i := 2; ; i++ {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
		if err == nil {
			return &output{file: f, grown: make(chan struct{})}, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		path = filepath.Join(l.Dir, fmt.Sprintf("%s-%d.log", name, i))
	}
}

// Write appends to the file and wakes those who wait for more.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.file.Write(b)
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.grown)
	o.grown = make(chan struct{})
	return n, err
}

// more is closed at the next write.
func (o *output) more() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.grown
}
