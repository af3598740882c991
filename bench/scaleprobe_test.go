package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// asker is a station behind an agent's TAP that asks by ARP for others: an
// answer shows that the data path has a binding.
type asker struct {
	*lab.Wire
	answers chan found
}

type found struct {
	ip   netip.Addr
	when time.Time
}

var (
	askerMAC = ether.Addr{2, 0xaa, 0, 0, 0, 1}
	askerIP  = netip.MustParseAddr("10.255.255.9")
)

// newAsker waits for the TAP and listens there until the test ends.
func newAsker(ctx context.Context, t testing.TB, h *lab.Host) *asker {
	t.Helper()
	for {
		tap, err := h.Link(h.TAP)
		if err == nil && tap.Up {
			break
		}
		if ctx.Err() != nil || err != nil && !errors.Is(err, lab.ErrNoLink) {
			t.Fatal(errors.Join(ctx.Err(), err))
		}
		time.Sleep(2 * time.Millisecond)
	}
	w, err := h.Wire(h.TAP)
	must(t, err)
	a := &asker{w, make(chan found, 1024)}
	done := make(chan struct{})
	go func() { defer close(done); a.listen(ctx) }()
	t.Cleanup(func() { _ = w.Close(); <-done })
	return a
}

// listen passes on the answers until the wire is closed.
func (a *asker) listen(ctx context.Context) {
	for {
		f, err := a.Next(ctx)
		if err != nil {
			return
		}
		e := ether.Frame(f.Data)
		if f.Outgoing || e.Type() != ether.TypeARP || len(e.Payload()) < 28 || e.Payload()[7] != 2 {
			continue
		}
		a.answers <- found{netip.AddrFrom4([4]byte(e.Payload()[14:18])), f.Time}
	}
}

// wait asks for an address, every so often, until it is answered for, and returns
// when that was.
func (a *asker) wait(ctx context.Context, ip netip.Addr, every time.Duration) (time.Time, error) {
	question := askFor(ip)
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		if err := a.Send(question); err != nil {
			return time.Time{}, err
		}
		for waiting := true; waiting; {
			select {
			case got := <-a.answers:
				if got.ip == ip {
					return got.when, nil
				}
			case <-again.C:
				waiting = false
			case <-ctx.Done():
				return time.Time{}, fmt.Errorf("nobody answers for %s: %w", ip, ctx.Err())
			}
		}
	}
}

// askFor is an ARP request (RFC 826).
func askFor(ip netip.Addr) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+28)
	ether.PutHeader(f, ether.Addr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, askerMAC, ether.TypeARP)
	p := append(f.Payload()[:0], 0, 1, 8, 0, 6, 4, 0, 1)
	p = append(p, askerMAC[:]...)
	p = append(p, askerIP.AsSlice()...)
	p = append(p, make([]byte, 6)...)
	_ = append(p, ip.AsSlice()...)
	return f
}

// typeStamped is the EtherType of numbered frames: one for local experiments
// (IEEE 802).
const typeStamped = 0x88b5

// stamped are frames that an agent forwards from its TAP to another host, where
// nothing but a socket waits for them. The kernel tells when each passed the TAP
// and when it came there, so that what sends and reads them, which waits for a
// processor like everything else, is no part of what is measured.
type stamped struct {
	wire *lab.Wire
	seen *lab.Wire // of the frames that the other sends
	sink *net.UDPConn
	to   ether.Addr
}

// newStamped sends from the asker's TAP to a station at another host, and listens
// there on VXLAN's port.
func newStamped(t testing.TB, a *asker, from *lab.Host, to ether.Addr, at *lab.Host) *stamped {
	t.Helper()
	seen, err := from.Wire(from.TAP)
	must(t, err)
	t.Cleanup(func() { _ = seen.Close() })
	s := &stamped{wire: a.Wire, seen: seen, to: to}
	must(t, at.Do(func() (err error) {
		s.sink, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 4789})
		return err
	}))
	t.Cleanup(func() { _ = s.sink.Close() })
	raw, err := s.sink.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = lab.Timed(int(fd)) }))
	must(t, err)
	return s
}

// passage is a frame's way from the TAP to the other host.
type passage struct {
	left, came time.Time
}

func (p passage) took() time.Duration { return p.came.Sub(p.left) }

// passages sends a frame every so often for a while, and returns those that came, in
// their order, and how many did not.
func (s *stamped) passages(ctx context.Context, every, while time.Duration) (ps []passage, lost int, err error) {
	n := int(while / every)
	left, came := make([]time.Time, n), make([]time.Time, n)
	ctx, cancel := context.WithTimeoutCause(ctx, 2*while, errors.New("not all frames passed the TAP"))
	defer cancel()
	_ = s.sink.SetReadDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { _ = s.sink.SetReadDeadline(time.Unix(1, 0)) })()
	failed := make(chan error, 2)
	part := func(do func() error) {
		err := do()
		if err != nil {
			cancel()
		}
		failed <- err
	}
	go part(func() error { return s.send(every, n) })
	go part(func() error { return s.note(ctx, left) })
	if err := errors.Join(s.read(came), <-failed, <-failed); err != nil {
		return nil, 0, err
	}
	for i := range n {
		if came[i].IsZero() {
			lost++
			continue
		}
		ps = append(ps, passage{left[i], came[i]})
	}
	return ps, lost, nil
}

// send sends numbered frames.
func (s *stamped) send(every time.Duration, n int) error {
	f := make(ether.Frame, ether.HeaderLen+64)
	ether.PutHeader(f, s.to, askerMAC, typeStamped)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		binary.BigEndian.PutUint64(f.Payload(), uint64(i))
		if err := s.wire.Send(f); err != nil {
			return err
		}
	}
	return nil
}

var errNoTime = errors.New("the kernel does not tell when a frame passed")

// note writes down when each frame passed the TAP.
func (s *stamped) note(ctx context.Context, left []time.Time) error {
	for noted := 0; noted < len(left); {
		f, err := s.seen.Next(ctx)
		if err != nil {
			return err
		}
		if e := ether.Frame(f.Data); f.Outgoing && e.Type() == typeStamped {
			if f.Time.IsZero() {
				return errNoTime
			}
			left[binary.BigEndian.Uint64(e.Payload())] = f.Time
			noted++
		}
	}
	return nil
}

// read writes down when each frame came, until all have or its time is up.
func (s *stamped) read(came []time.Time) error {
	buf, oob := make([]byte, 2048), make([]byte, lab.TimeSpace)
	for got := 0; got < len(came); {
		n, oobn, _, _, err := s.sink.ReadMsgUDP(buf, oob)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if inner := ether.Frame(buf[8:n]); inner.Type() == typeStamped {
			at := lab.TimeOf(oob[:oobn])
			if at.IsZero() {
				return errNoTime
			}
			came[binary.BigEndian.Uint64(inner.Payload())] = at
			got++
		}
	}
	return nil
}

// stops counts how often frames waited for longer than a limit: those that waited
// together, one after another, once.
func stops(took []time.Duration, limit time.Duration) (n int) {
	for i, d := range took {
		if d > limit && (i == 0 || took[i-1] <= limit) {
			n++
		}
	}
	return n
}

// share is the value that a share of sorted ones does not exceed.
func share(sorted []time.Duration, of float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(of*float64(len(sorted)-1))]
}
