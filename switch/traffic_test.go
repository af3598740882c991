package vswitch

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/ledger"
)

// counted is one outbound and one inbound goroutine's work for a network that
// counts by VTEP.
func counted(t *testing.T) (o *outbound, in *inbound, n *Network, totals *Totals) {
	t.Helper()
	totals = new(Totals)
	tables := testTables(Policy{})
	tables.MTU = 1450
	n = networkOn(t, NetworkConfig{Ports: []Port{sink{}}, Count: totals, Sent: new(ledger.Ledger), Heard: new(ledger.Ledger)}, tables)
	sw := New(Config{Lanes: 1, NewSender: func() Sender { return sink{} }}, totals)
	if err := sw.add(n); err != nil {
		t.Fatal(err)
	}
	return sw.newOutbound(n, 0), sw.newInbound(nil, 0), n, totals
}

// message is one of datagrams that all hold f, from an outer source.
func message(src netip.Addr, f ether.Frame, datagrams int) encap.Message {
	m := encap.Message{Peer: netip.AddrPortFrom(src, 50000), Segment: encap.HeaderLen + len(f)}
	for range datagrams {
		m.Data = append(m.Data, datagram(vni, f)...)
	}
	m.N = len(m.Data)
	return m
}

func TestWhatIsDeliveredIsCountedByVTEP(t *testing.T) {
	for _, superframes := range []bool{false, true} {
		_, in, n, totals := counted(t)
		tables := *n.tables.Load()
		tables.Superframes = superframes
		n.tables.Store(&tables)
		f := frame(macSelf, macB)
		stranger := netip.MustParseAddr("192.0.2.66")
		copy(in.ms, []encap.Message{
			message(outerB, f, 3), message(outerC, frame(macSelf, macC), 2), message(outerB, f, 1),
			message(stranger, f, 5), message(outerB, frame(macSelf, macC), 4), // an unknown one, a spoof
		})
		in.batch(5)
		got, others := n.Heard.Sums()
		b, c := ledger.Sum{Frames: 4, Bytes: 4 * 64}, ledger.Sum{Frames: 2, Bytes: 2 * 64}
		if got[outerB] != b || got[outerC] != c || len(got) != 2 || others != (ledger.Sum{}) {
			t.Errorf("superframes %v: got %v and others %v, want %v and %v alone", superframes, got, others, b, c)
		}
		if s := totals.Stats(); s.Frames[Deliver] != 6 || s.Bytes[Deliver] != 6*64 {
			t.Errorf("superframes %v: %d frames, %d bytes delivered; want what the VTEPs' sums are", superframes, s.Frames[Deliver], s.Bytes[Deliver])
		}
	}
}

// A superframe of a kernel peer on the same machine counts as its frames here
// as in the verdicts.
func TestDividedSuperframeIsCountedByVTEPAsItsFrames(t *testing.T) {
	_, in, n, totals := counted(t)
	in.ms[0] = message(outerB, longTCP(), 1)
	in.batch(1)
	got, _ := n.Heard.Sums()
	if s := totals.Stats(); s.Frames[Deliver] < 2 || got[outerB] != (ledger.Sum{Frames: s.Frames[Deliver], Bytes: s.Bytes[Deliver]}) {
		t.Errorf("got %v, want the %d frames and %d bytes delivered, several", got[outerB], s.Frames[Deliver], s.Bytes[Deliver])
	}
}

// longTCP is a TCP frame from B of more than the TAP's MTU, its checksum
// unfinished.
func longTCP() ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+40+5000)
	ether.PutHeader(f, macSelf, macB, ether.TypeIPv4)
	ip := ether.IPv4(f.Payload())
	copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, ether.ProtoTCP, 0, 0, 10, 10, 2, 5, 10, 10, 1, 5})
	ip.SetTotalLen(len(ip))
	ip.Finish()
	tcp := ether.TCP(ip.Payload())
	tcp.SetHeaderLen(20)
	tcp.SetFlags(ether.TCPAck)
	tcp.SetChecksum(ether.Fold(ether.PseudoSum4(ip, ether.ProtoTCP, len(tcp))))
	return f
}

func TestSizesOfBatchesAndRunsAreCounted(t *testing.T) {
	o, in, _, totals := counted(t)
	for i := range 5 {
		o.frames[i] = append(make([]byte, VnetLen), frame(macNone, macSelf)...)
	}
	in.ms[0], in.ms[1] = message(outerB, frame(macSelf, macB), 1), message(outerB, frame(macSelf, macB), 40)
	if err := errors.Join(o.batch(5), o.batch(1)); err != nil {
		t.Fatal(err)
	}
	in.batch(2)
	s := totals.Stats()
	read := ledger.Histogram{Classes: [ledger.Classes]uint64{0: 1, 3: 1}, Sum: 6}
	messages := ledger.Histogram{Classes: [ledger.Classes]uint64{1: 1}, Sum: 2}
	runs := ledger.Histogram{Classes: [ledger.Classes]uint64{0: 1, 6: 1}, Sum: 41}
	if s.Sizes[FramesRead] != read || s.Sizes[Messages] != messages || s.Runs != runs {
		t.Errorf("got read %v, messages %v, runs %v; want %v, %v, %v", s.Sizes[FramesRead], s.Sizes[Messages], s.Runs, read, messages, runs)
	}
}

func TestCountingByVTEPDoesNotAllocate(t *testing.T) {
	o, in, _, _ := counted(t)
	o.frames[0] = append(make([]byte, VnetLen), frame(macB, macSelf)...)
	f := frame(macSelf, macB)
	in.ms[0], in.ms[1], in.ms[2] = message(outerB, f, 3), message(outerC, frame(macSelf, macC), 2), message(outerB, f, 1)
	if got := testing.AllocsPerRun(100, func() {
		if err := o.batch(1); err != nil {
			t.Error(err)
		}
		in.batch(3)
	}); got != 0 {
		t.Errorf("got %v allocations a batch", got)
	}
}

func TestBeatIsOddWithinABatch(t *testing.T) {
	w := slowWriter{make(chan struct{}), make(chan struct{})}
	n := networkOn(t, NetworkConfig{Ports: []Port{w}, Count: new(Totals)}, testTables(Policy{}))
	s := New(Config{Lanes: 1, NewSender: func() Sender { return sink{} }}, new(Totals))
	o := s.newOutbound(n, 0)
	o.frames[0] = append(make([]byte, VnetLen), arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)...)
	done := make(chan error)
	go func() { done <- o.batch(1) }()
	<-w.entered
	if got := s.Beats(); len(got) != 1 || got[0] != 1 {
		t.Errorf("while the answer is written: got %v, want 1", got)
	}
	w.leave <- struct{}{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := s.Beats(); got[0] != 2 {
		t.Errorf("after the batch: got %v, want 2", got)
	}
}
