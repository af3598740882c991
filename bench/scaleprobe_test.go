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

// typeStamped is the EtherType of frames that say when they were sent: one for
// local experiments (IEEE 802).
const typeStamped = 0x88b5

// stamped are frames that an agent forwards from its TAP to another host, where
// nothing but a socket waits for them.
type stamped struct {
	wire *lab.Wire
	sink net.PacketConn
	to   ether.Addr
}

// newStamped sends from the asker's TAP to a station at another host, and listens
// there on VXLAN's port.
func newStamped(t testing.TB, a *asker, to ether.Addr, at *lab.Host) *stamped {
	t.Helper()
	s := &stamped{wire: a.Wire, to: to}
	must(t, at.Do(func() (err error) {
		s.sink, err = net.ListenPacket("udp4", ":4789")
		return err
	}))
	t.Cleanup(func() { _ = s.sink.Close() })
	return s
}

// delays sends a frame every so often for a while, and returns how long each was
// on its way, in the order they came, and how many did not come.
func (s *stamped) delays(every, while time.Duration) (took []time.Duration, lost int, err error) {
	sent := make(chan int, 1)
	failed := make(chan error, 1)
	go func() {
		n, err := s.send(every, while)
		failed <- err
		sent <- n
	}()
	buf := make([]byte, 2048)
	_ = s.sink.SetReadDeadline(time.Now().Add(while + time.Second))
	for {
		n, _, err := s.sink.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		if inner := ether.Frame(buf[8:n]); inner.Type() == typeStamped {
			took = append(took, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(inner.Payload()))))
		}
	}
	err = <-failed
	return took, <-sent - len(took), err
}

func (s *stamped) send(every, while time.Duration) (n int, err error) {
	f := make(ether.Frame, ether.HeaderLen+64)
	ether.PutHeader(f, s.to, askerMAC, typeStamped)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(while); time.Now().Before(end); n++ {
		<-tick.C
		binary.BigEndian.PutUint64(f.Payload(), uint64(time.Now().UnixNano()))
		if err := s.wire.Send(f); err != nil {
			return n, err
		}
	}
	return n, nil
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
