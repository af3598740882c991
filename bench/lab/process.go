//go:build linux

package lab

import (
	"context"
	"errors"
	"syscall"
)

// Process is a program that runs in a node.
type Process struct {
	PID int
	Log string // file with what it writes to stdout and stderr, in order
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return nil }

// Err is the outcome of a process that has ended, nil for exit status 0. It is
// an *exec.ExitError otherwise. While the process runs it is nil.
func (p *Process) Err() error { return nil }

// ExitCode is the exit status, -1 while it runs or if a signal ended it.
func (p *Process) ExitCode() int { return -1 }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return errors.ErrUnsupported }

// Stop sends SIGTERM, waits for the end and returns the outcome as Err does.
func (p *Process) Stop(ctx context.Context) error { return errors.ErrUnsupported }

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() {}

// Output is what the process has written so far.
func (p *Process) Output() string { return "" }

// WaitOutput waits until the process has written text; it fails when the process
// ends without.
func (p *Process) WaitOutput(ctx context.Context, text string) error { return errors.ErrUnsupported }
