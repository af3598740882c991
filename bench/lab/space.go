//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// spaceDir is where iproute2 looks for named network namespaces.
const spaceDir = "/run/netns"

// isolated calls fn on a thread of its own and then puts the thread back into
// the namespace that it came from. A thread that cannot be put back is never
// unlocked, so that it ends with its goroutine and serves nobody else. A panic or
// Goexit in fn goes on in the caller.
func isolated(fn func() error) (err error) {
	var (
		returned bool
		trouble  any
		stack    []byte
		done     = make(chan struct{})
	)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, e := netns.Get()
		if e != nil {
			runtime.UnlockOSThread()
			err, returned = fmt.Errorf("open own network namespace: %w", e), true
			return
		}
		defer goHome(home)
		defer func() {
			if returned {
				return
			}
			if trouble = recover(); trouble != nil {
				stack = debug.Stack()
			}
		}()
		err = fn()
		returned = true
	}()
	<-done
	switch {
	case trouble != nil:
		panic(fmt.Sprintf("%v\n\n%s", trouble, stack))
	case !returned:
		runtime.Goexit() // t.FailNow in fn
	}
	return err
}

// goHome puts the thread back into home and unlocks it only if that worked.
func goHome(home netns.NsHandle) {
	defer home.Close()
	if netns.Set(home) == nil {
		runtime.UnlockOSThread()
	}
}

// makeSpace makes a named namespace and puts the calling thread into it.
func makeSpace(name string) (netns.NsHandle, error) {
	h, err := netns.NewNamed(name)
	switch {
	case errors.Is(err, os.ErrExist):
		return h, fmt.Errorf("make network namespace %q: %w", name, err)
	case err != nil:
		_ = removeSpace(name) // the file may be there without the mount
		return h, fmt.Errorf("make network namespace %q: %w", name, err)
	}
	return h, nil
}

// removeSpace takes the name of a namespace away; the kernel removes the namespace
// itself when nothing is open or runs in it. Removing what is not there is no
// error.
func removeSpace(name string) error {
	path := filepath.Join(spaceDir, name)
	// EINVAL: a name whose maker died between making the file and mounting on it.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL && err != unix.ENOENT {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// spawner is a thread on which all processes of a lab are started. The kernel
// sends a child its parent-death signal when the thread that forked it ends, not
// the process, so the thread must live as long as the lab.
type spawner struct {
	jobs chan func()
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the lab
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// do calls start on the thread, inside the node's namespace.
func (s *spawner) do(n *Node, start func() error) error {
	errc := make(chan error)
	s.jobs <- func() { errc <- inside(n, start) }
	return <-errc
}

// inside calls fn with the calling thread, which must be locked, in the node's
// namespace, and puts it back.
func inside(n *Node, fn func() error) error {
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer home.Close()
	if err := n.enter(); err != nil {
		return err
	}
	err = fn()
	return errors.Join(err, netns.Set(home))
}

func (s *spawner) close() { close(s.jobs) }
