//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netns"
)

// strayThreads lists the threads of the test that are in another namespace than
// the process began in.
func strayThreads(t testing.TB) []string {
	t.Helper()
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var stray []string
	for _, task := range tasks {
		// A thread that has ended meanwhile is not stray.
		if at, err := os.Readlink(task); err == nil && at != home {
			stray = append(stray, task+" in "+at)
		}
	}
	return stray
}

func TestNoThreadStaysInANamespace(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	var wg sync.WaitGroup
	for i := range 200 {
		n := l.Hosts[i%2]
		wg.Go(func() {
			_ = n.Do(func() error {
				var inner sync.WaitGroup
				inner.Go(runtime.Gosched) // makes the runtime start threads meanwhile
				inner.Wait()
				return nil
			})
		})
		wg.Go(func() {
			defer func() { _ = recover() }()
			_ = n.Do(func() error { panic("in the namespace") })
		})
		wg.Go(func() { _ = n.Do(func() error { runtime.Goexit(); return nil }) })
	}
	wg.Wait()
	// The thread on which processes are started is home between two starts.
	if stray := strayThreads(t); len(stray) > 0 {
		t.Errorf("stray threads:\n%s", strings.Join(stray, "\n"))
	}
}

func TestThreadThatCannotGoHomeIsNotUsedAgain(t *testing.T) {
	needRoot(t)
	l := newLab(t, Config{Hosts: 1})
	tid := make(chan int, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := l.Hosts[0].enter(); err != nil {
			t.Error(err)
		}
		tid <- gettid()
		goHome(netns.None()) // cannot work
	}()
	<-done
	gone := filepath.Join("/proc/self/task", fmt.Sprint(<-tid))
	err := poll(patient(t), gone+" to go", pollTest, func() (bool, error) {
		_, err := os.Stat(gone)
		return errors.Is(err, os.ErrNotExist), nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDoRunsInTheNamespaceAndSocketsStayThere(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	h := l.Hosts[0]
	var pc net.PacketConn
	err := h.Do(func() (err error) {
		ifs, err := net.Interfaces()
		if err != nil {
			return err
		}
		if got, want := len(ifs), 2; got != want {
			t.Errorf("got %d interfaces inside, want lo and eth0", got)
		}
		pc, err = net.ListenPacket("udp", h.Addr.String()+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	conn, err := l.Hosts[1].Dial(patient(t), "udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	n, from, err := pc.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%s from %v", b[:n], from), "hello from "+conn.LocalAddr().String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDoReturnsErrorsAndPassesPanicsOn(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	wrong := errors.New("wrong")
	if err := l.Hosts[0].Do(func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("got %v, want %v", err, wrong)
	}
	func() {
		defer func() {
			if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "upside down\n") || !strings.Contains(got, "space_test.go") {
				t.Errorf("got panic %q, want the value and the stack", got)
			}
		}()
		_ = l.Hosts[0].Do(func() error { panic("upside down") })
		t.Error("the panic did not arrive")
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = l.Hosts[0].Do(func() error { runtime.Goexit(); return nil })
		t.Error("a Goexit, as t.Fatal makes it, ended the function alone")
	})
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Hosts[0].Do(func() error { t.Error("called in a closed lab"); return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
}

func TestDialRefusesNames(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	h := l.Hosts[0]
	var ln net.Listener
	err := h.Do(func() (err error) {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := h.Dial(patient(t), "tcp", "localhost:"+port); err == nil {
		conn.Close()
		t.Error("a name was dialled: its lookup may open the socket on another thread")
	}
}

func TestForwardLeadsIntoTheNamespace(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	h := l.Hosts[0]
	var ln *net.TCPListener
	err := h.Do(func() (err error) {
		ln, err = net.ListenTCP("tcp", &net.TCPAddr{IP: h.Addr.AsSlice()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at, err := h.Forward(ln.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
		if _, err := ends[0].Write([]byte("word")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if _, err := ends[1].Read(b); err != nil || string(b) != "word" {
			t.Errorf("got %q, error %v", b, err)
		}
	}
}
