//go:build linux

package lab

import (
	"bufio"
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func itoa(i int) string { return strconv.Itoa(i) }

// openFiles counts the test's file descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestCloseLeavesNothing(t *testing.T) {
	needRoot(t)
	newLab(t, Config{Hosts: 1}).Close() // whatever the first lab opens for good
	before := openFiles(t)
	l := newMesh(t, Config{Hosts: 2}, 2)
	stubborn := start(t, l.Hosts[0].Node, "role-wait")
	wire, err := l.Hosts[0].Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.EtcdForward(); err != nil {
		t.Fatal(err)
	}
	if len(traces(t, l.Name)) != 8 { // fabric, two hosts, four containers, the folder
		t.Errorf("got traces %v before the end", traces(t, l.Name))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, l.Name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if running(stubborn.PID) {
		t.Error("a process still runs")
	}
	if _, err := wire.Next(patient(t)); err == nil {
		t.Error("a wire is still open")
	}
	if after := openFiles(t); after != before {
		t.Errorf("got %d open files after the end, %d before", after, before)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestCloseKillsWhatDoesNotEnd(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p := start(t, l.Hosts[0].Node, "role-stubborn")
	if err := p.WaitOutput(patient(t), "waiting"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if running(p.PID) {
		t.Error("it still runs")
	}
}

func TestCloseKeepsAFolderThatWasGiven(t *testing.T) {
	dir := t.TempDir()
	l := newLab(t, Config{Hosts: 1, Dir: dir})
	p := start(t, l.Hosts[0].Node, "role-fail")
	<-p.Done()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, l.Name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if got, want := filepath.Dir(p.Log), dir; got != want {
		t.Errorf("got the log in %s, want %s", got, want)
	}
	if b, err := os.ReadFile(p.Log); err != nil || string(b) != "this went wrong\n" {
		t.Errorf("log: got %q, error %v", b, err)
	}
}

func TestFailureInTheMiddleIsUndone(t *testing.T) {
	needRoot(t)
	before := spaces(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		cfg  Config
	}{
		{"a folder that cannot be made", Config{Dir: filepath.Join(file, "dir")}},
		{"an MTU that no bridge takes", Config{UnderlayMTU: 1 << 20}},
		{"an MTU too small for IPv6", Config{UnderlayMTU: 1000, IPv6: true}},
		{"too many hosts", Config{Hosts: 201}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if l, err := New(patient(t), c.cfg); err == nil {
				l.Close()
				t.Fatal("it was made")
			} else {
				t.Log(err)
			}
			if after := spaces(t); !slices.Equal(after, before) {
				t.Errorf("got %v, want %v", after, before)
			}
		})
	}
}

func TestCancelInTheMiddleIsUndone(t *testing.T) {
	needRoot(t)
	before := spaces(t)
	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stopped)
	l, err := New(ctx, Config{})
	if err == nil {
		l.Close()
	}
	if !errors.Is(err, stopped) {
		t.Errorf("got %v, want %v", err, stopped)
	}
	if after := spaces(t); !slices.Equal(after, before) {
		t.Errorf("got %v, want %v", after, before)
	}
}

func TestHostAndContainerThatFailAreTakenBack(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.AddHost(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("host: got %v, want %v", err, context.Canceled)
	}
	if _, err := l.AddHost(patient(t)); err != nil {
		t.Errorf("the same host again: %v", err)
	}
	h := l.Hosts[0]
	if _, err := h.AddKernelPeer(KernelConfig{Subnet: netip.MustParsePrefix("10.10.1.0/29")}); err != nil {
		t.Fatal(err)
	}
	before := len(spaces(t))
	for range 2 {
		err := h.AddContainers(patient(t), 6)
		if err == nil || !strings.Contains(err.Error(), "no address left in 10.10.1.0/29") {
			t.Errorf("got %v", err)
		}
		// Of 8 addresses the network, the bridge and the broadcast are taken.
		if got, want := len(h.Containers), 5; got != want || len(spaces(t)) != before+want {
			t.Errorf("got %d containers and %d namespaces more, want %d", got, len(spaces(t))-before, want)
		}
	}
}

// spaces lists the namespaces and folders of this process's labs.
func spaces(t testing.TB) []string {
	return traces(t, namePrefix+strconv.FormatInt(int64(os.Getpid()), 36))
}

func TestLeftoversOfAKilledOwnerAreSwept(t *testing.T) {
	needRoot(t)
	alive := newLab(t, Config{Hosts: 1})
	owner := exec.Command(os.Args[0], "role-owner")
	if _, err := owner.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	name, pid, err := ownNames(line)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if _, err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if got, want := len(traces(t, name)), 4; got != want { // fabric, two hosts, folder
		t.Errorf("with its owner alive: got %v after the sweep, want %d traces", traces(t, name), want)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	err = poll(patient(t), "the dead owner's process to go", pollTest, func() (bool, error) { return !running(pid), nil })
	if err != nil {
		t.Error(err)
	}
	if _, err := Sweep(); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if len(traces(t, alive.Name)) == 0 {
		t.Error("a lab with a living owner was swept too")
	}
}

func TestSweepTakesHalfMadeNamespacesAndNothingForeign(t *testing.T) {
	needRoot(t)
	unlock, err := lockSpaces() // another test's lab may sweep at any time
	if err != nil {
		t.Fatal(err)
	}
	// The name of a namespace whose maker died before the mount, a folder whose
	// lab is gone, and things that look almost like a lab's.
	gone := []string{filepath.Join(spaceDir, "uvlzzzz99-h1"), filepath.Join(spaceDir, "uvlzzzz99-s1"), filepath.Join(spaceDir, "uvlzzzz99-blue2"), filepath.Join(os.TempDir(), "uvtep-lab-uvlzzzz99")}
	foreign := []string{
		filepath.Join(spaceDir, "uvlzzzz99"), filepath.Join(spaceDir, "xuvlzzzz99-h1"),
		filepath.Join(spaceDir, "uvlzzzz99-h1_x"), filepath.Join(os.TempDir(), "uvlzzzz99"),
	}
	for _, path := range append(slices.Clone(gone), foreign...) {
		if strings.HasPrefix(path, spaceDir) {
			err = os.WriteFile(path, nil, 0o444)
		} else {
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
	}
	unlock()
	if _, err := Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, path := range gone {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	for _, path := range foreign {
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("foreign: %v", err)
		}
	}
}

func TestCancelEndsEveryWait(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	if _, err := l.Hosts[1].Block(Block{}); err != nil {
		t.Fatal(err)
	}
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	p := start(t, l.Hosts[0].Node, "role-wait")
	wire, err := b.Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	waits := map[string]func(context.Context) error{
		"Reach":      func(ctx context.Context) error { return a.Reach(ctx, b.Addr) },
		"Ping":       func(ctx context.Context) error { _, err := a.Ping(ctx, b.Addr, Pings{Timeout: time.Hour}); return err },
		"TCP":        func(ctx context.Context) error { _, err := a.TCP(ctx, b.Node, Flow{Bytes: 1}); return err },
		"UDP":        func(ctx context.Context) error { _, err := a.UDP(ctx, b.Node, Flow{For: time.Hour}); return err },
		"Dial":       func(ctx context.Context) error { _, err := a.Dial(ctx, "tcp", b.Addr.String()+":9"); return err },
		"WaitOutput": func(ctx context.Context) error { return p.WaitOutput(ctx, "never said") },
		"Wait":       p.Wait,
		"Next": func(ctx context.Context) error {
			_, err := wire.Find(ctx, func(Frame) bool { return false })
			return err
		},
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			errc := make(chan error)
			go func() { errc <- wait(ctx) }()
			cancel()
			if err := <-errc; !errors.Is(err, context.Canceled) && !errors.Is(err, unix.ECANCELED) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		})
	}
}

func TestCancelInMidFlowReturnsItsCause(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	flows := map[string]func(context.Context, *Node, Flow) (Transfer, error){"TCP": a.TCP, "UDP": a.UDP}
	for name, flow := range flows {
		t.Run(name, func(t *testing.T) {
			wire, err := b.Wire("eth0")
			if err != nil {
				t.Fatal(err)
			}
			defer wire.Close()
			enough := errors.New("enough")
			ctx, cancel := context.WithCancelCause(patient(t))
			errc := make(chan error)
			go func() {
				_, err := flow(ctx, b.Node, Flow{For: time.Hour})
				errc <- err
			}()
			if _, err := wire.Find(patient(t), func(f Frame) bool { return len(f.Data) > 1000 }); err != nil {
				t.Error(err)
			}
			cancel(enough)
			if err := <-errc; !errors.Is(err, enough) {
				t.Errorf("got %v, want %v", err, enough)
			}
		})
	}
}

// What Sweep would not find is not made.
func TestANodeWhoseNameSweepDoesNotKnowIsRefused(t *testing.T) {
	for _, name := range []string{"", "s_1", "S1", "a/b"} {
		if _, err := (&Lab{Name: "uvlzzzz99"}).newNode(name, nil); err == nil {
			t.Errorf("node %q: no error", name)
		}
	}
}
