package underlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// freePort returns a UDP port of loopback that nothing receives on.
func freePort(t testing.TB) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback.AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func open(t testing.TB, c Config) *Underlay {
	t.Helper()
	if !c.Addr4.IsValid() && !c.Addr6.IsValid() {
		c.Addr4 = loopback
	}
	if c.Port == 0 {
		c.Port = freePort(t)
	}
	u, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return u
}

// receive takes datagrams from r until n are there.
func receive(t testing.TB, r *Receiver, n int) (datagrams [][]byte, from []netip.AddrPort, tos []uint8) {
	t.Helper()
	ms := make([]encap.Message, 16)
	for i := range ms {
		ms[i].Data = make([]byte, 65535)
	}
	for len(datagrams) < n {
		got, err := r.Recv(ms)
		if err != nil {
			t.Fatalf("%v after %d of %d datagrams", err, len(datagrams), n)
		}
		for _, m := range ms[:got] {
			size := m.Segment
			if size == 0 {
				size = max(m.N, 1)
			}
			for b := m.Data[:m.N]; ; {
				k := min(size, len(b))
				datagrams = append(datagrams, bytes.Clone(b[:k]))
				from, tos = append(from, m.Peer), append(tos, m.TOS)
				if b = b[k:]; len(b) == 0 {
					break
				}
			}
		}
	}
	return datagrams, from, tos
}

// numbered is a datagram of size bytes that tells its flow and number, in one
// slice or cut in two.
func numbered(to netip.AddrPort, flow, number uint32, size int, cut bool) encap.Datagram {
	b := make([]byte, size)
	binary.BigEndian.PutUint32(b, flow)
	binary.BigEndian.PutUint32(b[4:], number)
	d := encap.Datagram{Peer: to, Flow: flow, Data: [][]byte{b}}
	if cut {
		d.Data = [][]byte{b[:8], b[8:]}
	}
	return d
}

func TestEveryDatagramArrivesOnceInOrderOfItsFlow(t *testing.T) {
	for _, mode := range []string{"segmented", "one by one", "without sendmmsg and recvmmsg"} {
		t.Run(mode, func(t *testing.T) {
			u := open(t, Config{SourcePorts: 8, RecvBuffer: 8 << 20})
			if !u.Capabilities().UDPSegment {
				t.Fatal("this kernel has no UDP_SEGMENT, so the test proves nothing")
			}
			u.noSegment.Store(mode != "segmented")
			u.noSendmmsg.Store(mode == "without sendmmsg and recvmmsg")
			u.noRecvmmsg.Store(mode == "without sendmmsg and recvmmsg")
			to := netip.AddrPortFrom(loopback, u.conf.Port)
			s, r := u.NewSender(), u.Receivers(0)[0]
			rng := rand.New(rand.NewPCG(1, 2))
			next, seen := map[uint32]uint32{}, map[uint32]uint32{}
			for range 50 {
				var ds []encap.Datagram
				for range 1 + rng.IntN(200) {
					flow := rng.Uint32N(20) * 0x01010101
					size := []int{64, 64, 64, 100, 1450, 1450, 8 + rng.IntN(1400)}[rng.IntN(7)]
					ds = append(ds, numbered(to, flow, next[flow], size, rng.IntN(2) == 0))
					next[flow]++
				}
				if sent := s.Send(ds); sent != len(ds) {
					t.Fatalf("sent %d of %d: %+v", sent, len(ds), u.Stats())
				}
				got, _, _ := receive(t, r, len(ds))
				if len(got) != len(ds) {
					t.Fatalf("got %d datagrams, want %d", len(got), len(ds))
				}
				for _, b := range got {
					flow, number := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
					if number != seen[flow] {
						t.Fatalf("flow %#x: got datagram %d, want %d", flow, number, seen[flow])
					}
					seen[flow]++
				}
			}
		})
	}
}

func TestEqualSizesLeaveAsOneMessage(t *testing.T) {
	for _, c := range []struct {
		name     string
		sizes    []int
		messages uint64
	}{
		{"equal sizes are one run", []int{100, 100, 100}, 1},
		{"a shorter one ends a run", []int{100, 100, 50}, 1},
		{"and what follows it begins another", []int{100, 100, 50, 100}, 2},
		{"a longer one begins another", []int{100, 200}, 2},
		{"a run ends before UDP's longest datagram", repeat(1450, 46), 2},
		{"a run ends at 64 datagrams", repeat(64, 65), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := open(t, Config{RecvBuffer: 1 << 20})
			to := netip.AddrPortFrom(loopback, u.conf.Port)
			var ds []encap.Datagram
			for i, size := range c.sizes {
				ds = append(ds, numbered(to, 7, uint32(i), size, true))
			}
			if sent := u.NewSender().Send(ds); sent != len(ds) {
				t.Fatalf("sent %d of %d", sent, len(ds))
			}
			if got := u.Stats().Messages; got != c.messages {
				t.Errorf("got %d messages, want %d", got, c.messages)
			}
			got, _, _ := receive(t, u.Receivers(0)[0], len(ds))
			for i, b := range got {
				if len(b) != c.sizes[i] || binary.BigEndian.Uint32(b[4:]) != uint32(i) {
					t.Errorf("datagram %d: got number %d of %d bytes, want %d bytes", i, binary.BigEndian.Uint32(b[4:]), len(b), c.sizes[i])
				}
			}
		})
	}
}

func repeat(size, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = size
	}
	return out
}

func TestOneFlowHasOneSourcePortAndManyFlowsSpread(t *testing.T) {
	u := open(t, Config{SourcePorts: 8, SourceMin: 50000, SourceMax: 60000})
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	var ds []encap.Datagram
	for i := range uint32(128) {
		ds = append(ds, numbered(to, i%64*0x9e3779b1, i, 64, false))
	}
	u.NewSender().Send(ds)
	got, from, _ := receive(t, u.Receivers(0)[0], len(ds))
	ports, used := map[uint32]uint16{}, map[uint16]bool{}
	for i, b := range got {
		flow, port := binary.BigEndian.Uint32(b), from[i].Port()
		if port < 50000 || port > 60000 {
			t.Errorf("source port %d is out of range", port)
		}
		if was, ok := ports[flow]; ok && was != port {
			t.Errorf("flow %#x left from port %d and from port %d", flow, was, port)
		}
		ports[flow], used[port] = port, true
	}
	if len(used) != 8 {
		t.Errorf("64 flows used %d source ports, want 8", len(used))
	}
}

func TestTrafficClassTravelsAndSplitsRunsWithoutReordering(t *testing.T) {
	for _, a := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		t.Run(a.String(), func(t *testing.T) {
			c := Config{Addr4: a}
			if a.Is6() {
				c = Config{Addr6: a}
			}
			u := open(t, c)
			to := netip.AddrPortFrom(a, u.conf.Port)
			want := []uint8{0, 0, 2, 2, 3, 0, 0xb9}
			var ds []encap.Datagram
			for i, tos := range want {
				d := numbered(to, 7, uint32(i), 64, false)
				d.TOS = tos
				ds = append(ds, d)
			}
			if sent := u.NewSender().Send(ds); sent != len(ds) {
				t.Fatalf("sent %d of %d: %+v", sent, len(ds), u.Stats())
			}
			got, _, tos := receive(t, u.Receivers(0)[0], len(ds))
			for i := range got {
				if n := binary.BigEndian.Uint32(got[i][4:]); n != uint32(i) || tos[i] != want[i] {
					t.Errorf("datagram %d: got number %d with TOS %#x, want TOS %#x", i, n, tos[i], want[i])
				}
			}
		})
	}
}

func TestRefusedDestinationCostsOnlyItsOwn(t *testing.T) {
	u := open(t, Config{SourcePorts: 1})
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	forbidden := netip.AddrPortFrom(netip.MustParseAddr("255.255.255.255"), 4789) // EACCES without SO_BROADCAST
	ds := []encap.Datagram{
		numbered(to, 1, 0, 64, false),
		numbered(forbidden, 1, 0, 64, false), numbered(forbidden, 1, 1, 64, false),
		numbered(to, 1, 1, 64, false),
	}
	if sent := u.NewSender().Send(ds); sent != 2 {
		t.Errorf("sent %d, want 2", sent)
	}
	if s := u.Stats(); s.Refused != 2 || s.Datagrams != 2 {
		t.Errorf("counted %+v, want 2 refused and 2 sent", s)
	}
	receive(t, u.Receivers(0)[0], 2)
	if !u.Capabilities().UDPSegment {
		t.Error("UDP_SEGMENT was given up although it was not what was refused")
	}
}

func TestFamilyWithoutAddressIsRefused(t *testing.T) {
	u := open(t, Config{})
	d := numbered(netip.AddrPortFrom(netip.IPv6Loopback(), 4789), 1, 0, 64, false)
	if sent := u.NewSender().Send([]encap.Datagram{d}); sent != 0 || u.Stats().Refused != 1 {
		t.Errorf("sent %d, counted %+v; want 0 and 1 refused", sent, u.Stats())
	}
}

func TestTooBigIsCountedAndSegmentationKept(t *testing.T) {
	u := open(t, Config{})
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	ds := []encap.Datagram{numbered(to, 1, 0, 65510, false), numbered(to, 1, 1, 64, false)}
	if sent := u.NewSender().Send(ds); sent != 1 {
		t.Errorf("sent %d, want 1", sent)
	}
	if s := u.Stats(); s.TooBig != 1 || s.Refused != 0 {
		t.Errorf("counted %+v, want 1 too big", s)
	}
}

func TestZeroChecksumGoesWithoutSegmentation(t *testing.T) {
	u := open(t, Config{NoChecksum: true})
	c := u.Capabilities()
	if c.UDPSegment || c.Reason["udp_segment"] == "" {
		t.Errorf("got UDPSegment %v, reason %q; want false and a reason", c.UDPSegment, c.Reason["udp_segment"])
	}
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	ds := []encap.Datagram{numbered(to, 1, 0, 64, false), numbered(to, 1, 1, 64, false)}
	if sent := u.NewSender().Send(ds); sent != 2 || u.Stats().Messages != 2 {
		t.Errorf("sent %d in %d messages, want 2 in 2", sent, u.Stats().Messages)
	}
	receive(t, u.Receivers(0)[0], 2)
}

func TestLanesShareThePort(t *testing.T) {
	u := open(t, Config{Lanes: 3, SourcePorts: 64, RecvBuffer: 1 << 20})
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	var ds []encap.Datagram
	for i := range uint32(64) {
		ds = append(ds, numbered(to, i, 0, 64, false))
	}
	u.NewSender().Send(ds)
	total := 0
	for lane := range u.Lanes() {
		r := u.Receivers(lane)[0]
		ms := []encap.Message{{Data: make([]byte, 65535)}}
		for {
			if _, err := r.Recv(ms); err != nil {
				t.Fatal(err)
			}
			total++
			// Loopback delivers before Send returns, so an empty socket has had all.
			if empty(r) {
				break
			}
		}
	}
	if total != len(ds) {
		t.Errorf("lanes received %d datagrams, want %d", total, len(ds))
	}
}

// empty looks whether nothing waits on the socket.
func empty(r *Receiver) bool {
	_, _, err := unix.Recvfrom(r.fd, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return errors.Is(err, unix.EAGAIN)
}

func TestTakenPortIsNamed(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4zero})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	port := uint16(c.LocalAddr().(*net.UDPAddr).Port)
	_, err = Open(Config{Addr4: loopback, Port: port})
	if !errors.Is(err, ErrPortTaken) {
		t.Fatalf("got %v, want %v", err, ErrPortTaken)
	}
	// Nothing may be left of the failed attempt.
	_ = c.Close()
	open(t, Config{Port: port})
}

func TestSecondAgentIsRefused(t *testing.T) {
	u := open(t, Config{})
	_, err := Open(Config{Addr4: netip.MustParseAddr("127.0.0.2"), Port: u.conf.Port})
	if !errors.Is(err, ErrPortTaken) {
		t.Errorf("got %v, want %v", err, ErrPortTaken)
	}
	for port, want := range map[uint16]bool{u.conf.Port: true, u.conf.Port + 1: false} {
		if got, err := Served(port); got != want || err != nil {
			t.Errorf("port %d of %d served: got %v, %v", port, u.conf.Port, got, err)
		}
	}
}

func TestAddressOfAnotherHostIsNamed(t *testing.T) {
	_, err := Open(Config{Addr4: netip.MustParseAddr("192.0.2.77"), Port: freePort(t)})
	if err == nil || errors.Is(err, ErrPortTaken) || !bytes.Contains([]byte(err.Error()), []byte("192.0.2.77")) {
		t.Errorf("got %v, want an error that names the address", err)
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	_, err := Open(Config{SourcePorts: 300, SourceMin: 50000, SourceMax: 50001})
	for _, want := range []string{"no address", "port 0", "no room for 300", "more than 256"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
}

func TestWakeEndsRecvAndRearmUndoesIt(t *testing.T) {
	u := open(t, Config{})
	r := u.Receivers(0)[0]
	ms := []encap.Message{{Data: make([]byte, 65535)}}
	done := make(chan error)
	go func() {
		_, err := r.Recv(ms)
		done <- err
	}()
	u.Wake()
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	u.Rearm()
	u.NewSender().Send([]encap.Datagram{numbered(netip.AddrPortFrom(loopback, u.conf.Port), 1, 2, 64, false)})
	receive(t, r, 1)
}

func TestClosedReceiverSaysSo(t *testing.T) {
	u := open(t, Config{})
	r := u.Receivers(0)[0]
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recv([]encap.Message{{Data: make([]byte, 10)}}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want %v", err, os.ErrClosed)
	}
}

func TestSocketsPassToASuccessor(t *testing.T) {
	u := open(t, Config{Lanes: 2, SourcePorts: 3})
	files, err := u.Files()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Fatalf("got %d files, want 2 receivers and 3 sources", len(files))
	}
	port, ports := u.conf.Port, fmt.Sprint(u.SourcePorts(false))
	to := netip.AddrPortFrom(loopback, port)
	u.NewSender().Send([]encap.Datagram{numbered(to, 1, 42, 64, false)}) // waits in the socket
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	next := open(t, Config{Port: port, Lanes: 2, SourcePorts: 3, Files: files})
	if got := fmt.Sprint(next.SourcePorts(false)); got != ports {
		t.Errorf("got source ports %s, want %s", got, ports)
	}
	var got [][]byte
	for lane := range 2 {
		if !empty(next.Receivers(lane)[0]) {
			got, _, _ = receive(t, next.Receivers(lane)[0], 1)
		}
	}
	if len(got) != 1 || binary.BigEndian.Uint32(got[0][4:]) != 42 {
		t.Errorf("the datagram that waited did not come: %v", got)
	}
}

func TestSendAndRecvDoNotAllocate(t *testing.T) {
	u := open(t, Config{SourcePorts: 4})
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	var ds []encap.Datagram
	for i := range uint32(32) {
		ds = append(ds, numbered(to, i%8, i, 64, true))
	}
	ms := make([]encap.Message, 64)
	for i := range ms {
		ms[i].Data = make([]byte, 65535)
	}
	s, r := u.NewSender(), u.Receivers(0)[0]
	if n := testing.AllocsPerRun(50, func() {
		s.Send(ds)
		if _, err := r.Recv(ms); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations a batch, want 0", n)
	}
}

func TestMoveBindsToTheNewAddressAndKeepsCounting(t *testing.T) {
	u := open(t, Config{Lanes: 2, SourcePorts: 3})
	old, to := u.Receivers(0)[0], netip.MustParseAddr("127.0.0.2")
	send := func(d encap.Datagram) int { return u.NewSender().Send([]encap.Datagram{d}) }
	send(numbered(netip.AddrPortFrom(loopback, u.conf.Port), 1, 1, 64, false))
	if err := u.Move(to, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Recv([]encap.Message{{Data: make([]byte, 10)}}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a receiver of before the move: got %v, want %v", err, os.ErrClosed)
	}
	if send(numbered(netip.AddrPortFrom(to, u.conf.Port), 1, 2, 64, false)) != 1 {
		t.Fatal("nothing was sent after the move")
	}
	got := 0
	for lane := range u.Lanes() { // the flow is in one of them
		if r := u.Receivers(lane)[0]; !empty(r) {
			got++
			if _, from, _ := receive(t, r, 1); from[0].Addr() != to {
				t.Errorf("sent from %s, want %s", from[0], to)
			}
		}
	}
	if n := u.Stats().Datagrams; n != 2 || got != 1 {
		t.Errorf("%d datagrams counted, %d received after the move; want 2 and 1", n, got)
	}
	if n := len(u.SourcePorts(false)); n != 3 {
		t.Errorf("%d source ports after the move, want 3", n)
	}
	// The old address is free for others.
	if err := portFree(netip.AddrPortFrom(loopback, u.conf.Port)); err != nil {
		t.Errorf("the old address: %v", err)
	}
}

func TestAFailedMoveMayBeTriedAgain(t *testing.T) {
	u := open(t, Config{})
	if err := u.Move(netip.MustParseAddr("192.0.2.77"), netip.Addr{}); err == nil {
		t.Fatal("moved to an address that is not there")
	}
	if err := u.Move(loopback, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	u.NewSender().Send([]encap.Datagram{numbered(netip.AddrPortFrom(loopback, u.conf.Port), 1, 2, 64, false)})
	receive(t, u.Receivers(0)[0], 1)
}

func TestWhoIsTooFarForADatagramIsTold(t *testing.T) {
	var told []netip.Addr
	u := open(t, Config{TooBig: func(a netip.Addr) { told = append(told, a) }})
	s, to := u.NewSender(), netip.AddrPortFrom(loopback, u.conf.Port)
	huge := make([]byte, 65507) // loopback's MTU is 65536: the headers do not fit
	for _, ds := range [][]encap.Datagram{
		{{Peer: to, Data: [][]byte{make([]byte, 66000)}}},
		{{Peer: to, Data: [][]byte{make([]byte, 66000)}}, {Peer: to, Data: [][]byte{huge[:100]}}},
	} {
		s.Send(ds)
	}
	if !slices.Equal(told, []netip.Addr{loopback, loopback}) || u.Stats().TooBig != 2 {
		t.Errorf("told of %v, counted %d; want it twice", told, u.Stats().TooBig)
	}
	if mtu, err := u.PathMTU(loopback); err != nil || mtu < 65535 {
		t.Errorf("path MTU of loopback: got %d, %v", mtu, err)
	}
	if _, err := u.PathMTU(netip.MustParseAddr("240.0.0.1")); err == nil {
		t.Error("a path to nowhere has an MTU")
	}
}
