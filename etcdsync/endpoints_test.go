package etcdsync

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
)

// gate is the address of a member that can fall silent: what is connected
// stays connected, and nothing comes of it any more.
type gate struct {
	*testing.T
	to       string
	listener net.Listener
	accepted atomic.Int64
	answered atomic.Int64 // connections that etcd's first words went through on
	gone     atomic.Int64 // silent connections that the client closed
	all      sync.WaitGroup

	mu     sync.Mutex
	silent bool
	lines  []*gateLine
}

type gateLine struct {
	client, member net.Conn
	silent         atomic.Bool
}

func newGate(g *guarded) *gate {
	g.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.Fatal(err)
	}
	e := &gate{T: g.T, to: g.etcd.Clients[0].Addr().String(), listener: l}
	e.all.Go(e.run)
	g.Cleanup(func() {
		l.Close()
		e.mu.Lock()
		for _, c := range e.lines {
			c.client.Close()
			c.member.Close()
		}
		e.mu.Unlock()
		e.all.Wait()
	})
	return e
}

func (e *gate) url() string { return "http://" + e.listener.Addr().String() }

func (e *gate) run() {
	for {
		client, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.accepted.Add(1)
		member, err := net.Dial("tcp", e.to)
		if err != nil {
			client.Close()
			continue
		}
		c := &gateLine{client: client, member: member}
		e.mu.Lock()
		c.silent.Store(e.silent)
		e.lines = append(e.lines, c)
		e.mu.Unlock()
		e.all.Go(func() { e.in(c) })
		e.all.Go(func() { e.out(c) })
	}
}

// in passes on what the client says, or swallows it.
func (e *gate) in(c *gateLine) {
	buf := make([]byte, 1<<16)
	for {
		n, err := c.client.Read(buf)
		if err != nil {
			if c.silent.Load() {
				e.gone.Add(1)
			}
			c.member.Close()
			return
		}
		if !c.silent.Load() {
			_, _ = c.member.Write(buf[:n])
		}
	}
}

func (e *gate) out(c *gateLine) {
	buf := make([]byte, 1<<16)
	for first := true; ; first = false {
		n, err := c.member.Read(buf)
		if c.silent.Load() {
			if err != nil {
				return
			}
			continue
		}
		if err != nil {
			c.client.Close()
			return
		}
		if first {
			e.answered.Add(1)
		}
		_, _ = c.client.Write(buf[:n])
	}
}

// setSilent makes the member silent, on all connections that there are and
// come, or lets new ones through again.
func (e *gate) setSilent(silent bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.silent = silent
	for _, c := range e.lines {
		if silent {
			c.silent.Store(true)
		}
	}
}

// vanish returns an address where connections are never made: its queue is
// full, so that the kernel drops what comes.
func vanish(t *testing.T) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in4, ok := name.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("got the address %v", name)
	}
	at := &net.TCPAddr{IP: in4.Addr[:], Port: in4.Port}
	for {
		c, err := net.DialTimeout("tcp", at.String(), 100*time.Millisecond)
		if err != nil {
			return "http://" + at.String()
		}
		t.Cleanup(func() { c.Close() })
	}
}

// A member that is down or silent when the agent starts is not waited for: the
// time that a request may take is an hour here.
func TestADeadOrSilentMemberDelaysNoStart(t *testing.T) {
	g := startAuth(t, func(*embed.Config) {}, "one role")
	silent := newGate(g)
	silent.setSilent(true)
	tests := []struct{ name, endpoint string }{
		{"refused", "http://127.0.0.1:1"},
		{"silent", silent.url()},
		{"nowhere", vanish(t)},
	}
	for i, tt := range tests {
		for j, endpoints := range [][]string{{tt.endpoint, g.endpoint}, {g.endpoint, tt.endpoint}} {
			s, _ := g.dial(Options{
				Endpoints: endpoints, DialTimeout: time.Hour,
				Username: "uvtep", PasswordFile: write(t, t.TempDir()+"/password", hostPassword),
			})
			r := g.acquire(s, claim(2*i+j+1))
			stop := g.run(r.Run)
			w := g.follow(s, 100, 0)
			w.until("with the host", func(t *Tables) bool { return t.FDB.Accepts(1, claim(2*i+j+1).PublicIP) })
			stop()
			w.stop()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if silent.accepted.Load() == 0 {
		t.Error("the silent member was not tried")
	}
}

// A member that falls silent costs the request that it has its time, and is
// not asked again; the next is asked at once.
func TestAMemberThatFallsSilentCostsOneRequestItsTime(t *testing.T) {
	g := startGuarded(t, "http", func(*embed.Config) {})
	g.client = g.as("", "", nil)
	a, b := newGate(g), newGate(g)
	s, log := g.dial(Options{Endpoints: []string{a.url(), b.url()}, DialTimeout: time.Second})
	w := g.follow(s, 1, 0)
	w.routes()
	g.eventually("both members to be connected", func() bool { return a.answered.Load() == 1 && b.answered.Load() == 1 })

	a.setSilent(true)
	for range 10 {
		if _, err := s.get(g.ctx, configKey); err != nil {
			t.Errorf("a request failed: %v", err)
		}
	}
	g.eventually("the silent connection to be closed", func() bool { return a.gone.Load() >= 1 })
	g.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.routes("10.10.2.0/24")

	a.setSilent(false)
	before := a.answered.Load()
	g.eventually("the member to be used again", func() bool { return a.answered.Load() > before })
	if n, _ := log.count("no answer"); n > 0 {
		t.Errorf("it was told of:\n%s", slices.Concat(log.lines))
	}
}

// A watch whose member falls silent is noticed by the signs of life that it
// lacks, once: the next watch is another member's.
func TestAWatchOfAMemberThatFallsSilentGoesOnWithAnother(t *testing.T) {
	g := startGuarded(t, "http", func(*embed.Config) {})
	g.client = g.as("", "", nil)
	a, b := newGate(g), newGate(g)
	b.setSilent(true)
	s, log := g.dial(Options{Endpoints: []string{a.url(), b.url()}, DialTimeout: time.Second})
	w := g.follow(s, 1, 0)
	w.routes()
	b.setSilent(false)
	g.eventually("the other member to be connected", func() bool { return b.answered.Load() == 1 })
	a.setSilent(true)
	g.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.routes("10.10.2.0/24")
	if n, _ := log.count("watch stalled"); n != 1 {
		t.Errorf("the watch stalled %d times, want once", n)
	}
	if a.gone.Load() == 0 {
		t.Error("the silent connection is still there")
	}
}

// A stop does not wait for a login that nobody answers.
func TestALoginEndsWithItsContext(t *testing.T) {
	g := startGuarded(t, "http", func(*embed.Config) {})
	silent := newGate(g)
	silent.setSilent(true)
	s, _ := g.dial(Options{
		Endpoints: []string{silent.url()}, DialTimeout: time.Hour,
		Username: "uvtep", PasswordFile: write(t, t.TempDir()+"/password", hostPassword),
	})
	ctx, cancel := context.WithCancel(g.ctx)
	done := make(chan error, 1)
	go func() { _, err := s.get(ctx, configKey); done <- err }()
	g.eventually("the login to be under way", func() bool { return silent.accepted.Load() > 0 })
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("got no error")
		}
	case <-g.ctx.Done():
		t.Fatal("it waits for the login")
	}
}
