package vswitch

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePort is a TAP queue in memory. Each element sent to in is one batch.
type fakePort struct {
	in   chan [][]byte
	out  chan []byte // records written, without their headers
	stop chan struct{}
	fail error // of Read, when in is closed
	lost int   // frames
}

func newFakePort() *fakePort {
	return &fakePort{in: make(chan [][]byte), out: make(chan []byte, 1024), stop: make(chan struct{}), fail: errors.New("port failed")}
}

func (p *fakePort) Read(buf []byte, frames [][]byte) (int, error) {
	select {
	case batch, ok := <-p.in:
		if !ok {
			return 0, p.fail
		}
		for i, f := range batch {
			rec := buf[:VnetLen+len(f)]
			buf = buf[len(rec):]
			clear(rec[:VnetLen])
			copy(rec[VnetLen:], f)
			frames[i] = rec
		}
		return len(batch), nil
	case <-p.stop:
		return 0, os.ErrDeadlineExceeded
	}
}

func (p *fakePort) Writer() Writer { return p }

func (p *fakePort) Lost() int { n := p.lost; p.lost = 0; return n }

func (p *fakePort) Write(records [][][]byte) (int, error) {
	for _, r := range records {
		p.out <- bytes.Join(r, nil)[VnetLen:]
	}
	return len(records), nil
}

// fakeWire is the underlay in memory.
type fakeWire struct {
	in   chan []encap.Message
	out  chan encap.Datagram // Data copied into one slice
	take int                 // how many datagrams of a Send are taken; 0: all
	stop chan struct{}
}

func newFakeWire() *fakeWire {
	return &fakeWire{in: make(chan []encap.Message), out: make(chan encap.Datagram, 1024), stop: make(chan struct{})}
}

func (w *fakeWire) Recv(ms []encap.Message) (int, error) {
	select {
	case batch := <-w.in:
		for i, m := range batch {
			ms[i].N = copy(ms[i].Data, m.Data)
			ms[i].Peer, ms[i].TOS, ms[i].Segment = m.Peer, m.TOS, m.Segment
		}
		return len(batch), nil
	case <-w.stop:
		return 0, os.ErrDeadlineExceeded
	}
}

func (w *fakeWire) Send(ds []encap.Datagram) int {
	if w.take > 0 {
		ds = ds[:min(w.take, len(ds))]
	}
	for _, d := range ds {
		d.Data = [][]byte{bytes.Join(d.Data, nil)}
		w.out <- d
	}
	return len(ds)
}

// bench is a switch of one lane between a fakePort and a fakeWire, at work.
type bench struct {
	*fakePort
	wire   *fakeWire
	sw     *Switch
	net    *Network
	totals Totals
	done   chan error
	end    context.CancelFunc

	captures Captures
}

// networkOn is a network of one lane, with tables.
func networkOn(t testing.TB, c NetworkConfig, tables *Tables) *Network {
	t.Helper()
	if c.Self == (Self{}) {
		c.Self = self
	}
	n, err := NewNetwork(c)
	if err != nil {
		t.Fatal(err)
	}
	n.SetTables(tables)
	return n
}

// outboundOf is the sending half of a switch with one network, not at work.
func outboundOf(t testing.TB, c NetworkConfig, send Sender, floodRate int) *outbound {
	t.Helper()
	sw := New(Config{Lanes: 1, NewSender: func() Sender { return send }, FloodRate: floodRate}, new(Totals))
	c.Ports = []Port{sink{}}
	if c.Count == nil {
		c.Count = new(Totals)
	}
	return sw.newOutbound(networkOn(t, c, &Tables{}), 0)
}

// inboundOf is the receiving half of a switch with one network, not at work.
func inboundOf(t testing.TB, n *Network) (*inbound, *Switch) {
	t.Helper()
	sw := New(Config{Lanes: 1}, new(Totals))
	if err := sw.add(n); err != nil {
		t.Fatal(err)
	}
	return sw.newInbound(nil, 0), sw
}

func start(t *testing.T, p Policy) *bench {
	t.Helper()
	b := &bench{fakePort: newFakePort(), wire: newFakeWire(), done: make(chan error, 1)}
	sw := New(Config{Lanes: 1, NewSender: func() Sender { return b.wire }, Captures: &b.captures, Wake: func() { close(b.wire.stop) }}, &b.totals)
	b.net = networkOn(t, NetworkConfig{Ports: []Port{b.fakePort}, Wake: func() { close(b.fakePort.stop) }, Count: &b.totals}, testTables(p))
	b.sw = sw
	ctx, cancel := context.WithCancel(t.Context())
	b.end = cancel
	received := make(chan error)
	go func() { received <- sw.Run(ctx, [][]Receiver{{b.wire}}) }()
	go func() {
		err := sw.Serve(ctx, b.net)
		cancel()
		b.done <- errors.Join(err, <-received)
	}()
	return b
}

// stats stops the switch and returns what it counted.
func (b *bench) stats(t *testing.T) Stats {
	t.Helper()
	b.end()
	if err := <-b.done; err != nil {
		t.Fatalf("Run: %v", err)
	}
	return b.totals.Stats()
}

func TestFrameLeavesInVXLAN(t *testing.T) {
	b := start(t, Policy{})
	f := frame(macB, macSelf)
	b.in <- [][]byte{f}
	d := <-b.wire.out
	if want := datagram(vni, f); !bytes.Equal(d.Data[0], want) {
		t.Errorf("got % x, want % x", d.Data[0], want)
	}
	if want := netip.AddrPortFrom(outerB, encap.Port); d.Peer != want {
		t.Errorf("got VTEP %v, want %v", d.Peer, want)
	}
	if want := encap.FlowHash(f); d.Flow != want {
		t.Errorf("got flow %#x, want %#x", d.Flow, want)
	}
	s := b.stats(t)
	if s.Frames[Forward] != 1 || s.Bytes[Forward] != uint64(len(f)) || s.Extra[Sent] != 1 {
		t.Errorf("counted %d frames, %d bytes, %d sent; want 1, %d, 1", s.Frames[Forward], s.Bytes[Forward], s.Extra[Sent], len(f))
	}
}

func TestFramesThatTheKernelCouldNotHandOverAreCounted(t *testing.T) {
	b := start(t, Policy{})
	b.lost = 3
	b.in <- [][]byte{frame(macB, macSelf)}
	<-b.wire.out
	if s := b.stats(t); s.Extra[ReadLost] != 3 {
		t.Errorf("counted %d lost frames, want 3", s.Extra[ReadLost])
	}
}

func TestTagIsStrippedOnTheWayOut(t *testing.T) {
	b := start(t, Policy{})
	f := frame(macB, macSelf)
	b.in <- [][]byte{tagged(f)}
	if got, want := (<-b.wire.out).Data[0], datagram(vni, f); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	if s := b.stats(t); s.Extra[Stripped] != 1 {
		t.Errorf("counted %d stripped frames, want 1", s.Extra[Stripped])
	}
}

func TestTagIsCarriedWhereTheNetworkSaysSo(t *testing.T) {
	b := start(t, Policy{PassTags: true})
	f := tagged(frame(macB, macSelf))
	b.in <- [][]byte{f}
	if got, want := (<-b.wire.out).Data[0], datagram(vni, f); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	b.stats(t)
}

func TestARPIsAnsweredIntoTheTAP(t *testing.T) {
	b := start(t, Policy{})
	// More questions than one, so that the answers do not share memory.
	b.in <- [][]byte{
		arpRequest(ether.Broadcast, macSelf, ipSelf, ipB),
		arpRequest(ether.Broadcast, macLocal, ipSelf, ipC),
	}
	first, second := ether.Frame(<-b.out), ether.Frame(<-b.out)
	if first.Src() != macB || first.Dst() != macSelf || second.Src() != macC || second.Dst() != macLocal {
		t.Errorf("got answers %v→%v and %v→%v, want %v→%v and %v→%v",
			first.Src(), first.Dst(), second.Src(), second.Dst(), macB, macSelf, macC, macLocal)
	}
	if s := b.stats(t); s.Frames[Answer] != 2 || s.Extra[Written] != 2 || s.Extra[Sent] != 0 {
		t.Errorf("counted %d answers, %d written, %d sent; want 2, 2, 0", s.Frames[Answer], s.Extra[Written], s.Extra[Sent])
	}
}

func TestBroadcastIsReplicatedOncePerVTEP(t *testing.T) {
	b := start(t, Policy{Flood: true})
	f := frame(ether.Broadcast, macSelf)
	b.in <- [][]byte{f}
	got := map[netip.Addr]int{}
	for range 2 {
		d := <-b.wire.out
		got[d.Peer.Addr()]++
		if !bytes.Equal(d.Data[0], datagram(vni, f)) {
			t.Errorf("copy to %v differs", d.Peer)
		}
	}
	if got[outerB] != 1 || got[outerC] != 1 {
		t.Errorf("got copies %v, want one for each of %v and %v", got, outerB, outerC)
	}
	if s := b.stats(t); s.Frames[Replicate] != 1 || s.Extra[Sent] != 2 {
		t.Errorf("counted %d frames, %d datagrams; want 1, 2", s.Frames[Replicate], s.Extra[Sent])
	}
}

func TestMessageOfManyDatagramsIsTakenApart(t *testing.T) {
	b := start(t, Policy{})
	one, last := frame(macSelf, macB), frame(macSelf, macB)[:20]
	one[20], last[14] = 1, 2
	joined := append(append(datagram(vni, one), datagram(vni, one)...), datagram(vni, last)...)
	b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(outerB, 50000), Data: joined, Segment: encap.HeaderLen + len(one)}}
	for i, want := range []ether.Frame{one, one, last} {
		if got := <-b.out; !bytes.Equal(got, want) {
			t.Errorf("frame %d: got % x, want % x", i, got, want)
		}
	}
	if s := b.stats(t); s.Frames[Deliver] != 3 || s.Extra[Written] != 3 {
		t.Errorf("counted %d delivered, %d written; want 3, 3", s.Frames[Deliver], s.Extra[Written])
	}
}

func TestGoodFrameSurvivesBadNeighbours(t *testing.T) {
	b := start(t, Policy{})
	good := frame(macSelf, macB)
	from := netip.AddrPortFrom(outerB, 50000)
	b.wire.in <- []encap.Message{
		{Peer: from, Data: nil},
		{Peer: from, Data: []byte{8, 0, 0}},
		{Peer: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.66"), 1), Data: datagram(vni, good)},
		{Peer: from, Data: datagram(vni, good)},
		{Peer: from, Data: datagram(vni+1, good)},
	}
	if got := <-b.out; !bytes.Equal(got, good) {
		t.Errorf("got % x, want % x", got, good)
	}
	s := b.stats(t)
	want := map[Verdict]uint64{DropRuntDatagram: 2, DropUnknownVTEP: 1, Deliver: 1, DropForeignVNI: 1}
	for _, v := range Verdicts() {
		if s.Frames[v] != want[v] {
			t.Errorf("%v: counted %d, want %d", v, s.Frames[v], want[v])
		}
	}
}

func TestRefusedDatagramsAreCounted(t *testing.T) {
	b := start(t, Policy{})
	b.wire.take = 1
	b.in <- [][]byte{frame(macB, macSelf), frame(macB, macSelf), frame(macB, macSelf)}
	<-b.wire.out
	if s := b.stats(t); s.Frames[Forward] != 3 || s.Extra[Sent] != 1 || s.Extra[SendRefused] != 2 {
		t.Errorf("counted %d forwarded = %d sent + %d refused, want 3 = 1 + 2", s.Frames[Forward], s.Extra[Sent], s.Extra[SendRefused])
	}
}

func TestFailedPortEndsServe(t *testing.T) {
	b := start(t, Policy{})
	close(b.in)
	if err := <-b.done; !errors.Is(err, b.fail) {
		t.Errorf("got %v, want %v", err, b.fail)
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	n1 := networkOn(t, NetworkConfig{Ports: []Port{sink{}}, Count: new(Totals)}, testTables(Policy{Flood: true}))
	o := outboundOf(t, NetworkConfig{}, sink{}, 0)
	o.net = n1
	in, sw := inboundOf(t, n1)
	n2 := networkOn(t, NetworkConfig{Self: Self{VNI: vni + 1, MAC: macSelf}, Ports: []Port{sink{}}, Count: new(Totals)}, testTables(Policy{}))
	if err := sw.add(n2); err != nil {
		t.Fatal(err)
	}
	in.batch(0)
	n := 0
	for _, f := range []ether.Frame{frame(macB, macSelf), frame(ether.Broadcast, macSelf), arpRequest(ether.Broadcast, macSelf, ipSelf, ipB), tagged(frame(macC, macSelf))} {
		o.frames[n] = append(make([]byte, VnetLen), f...)
		n++
	}
	joined := append(datagram(vni, frame(macSelf, macB)), datagram(vni, frame(macSelf, macB))...)
	for i := range in.ms {
		in.ms[i] = encap.Message{Peer: netip.AddrPortFrom(outerB, 50000), Data: joined, N: len(joined), Segment: len(joined) / 2}
	}
	if got := testing.AllocsPerRun(100, func() {
		if err := o.batch(n); err != nil {
			t.Error(err)
		}
		in.batch(len(in.ms))
	}); got != 0 {
		t.Errorf("got %v allocations a batch, want 0", got)
	}
}

// sink takes everything.
type sink struct{}

func (sink) Read([]byte, [][]byte) (int, error)    { return 0, os.ErrDeadlineExceeded }
func (sink) Writer() Writer                        { return sink{} }
func (sink) Lost() int                             { return 0 }
func (sink) Write(records [][][]byte) (int, error) { return len(records), nil }
func (sink) Send(ds []encap.Datagram) int          { return len(ds) }

// Equal headers spare a datagram the checks, so a message is the place where
// one that differs, or whose mark cannot be told inside, could slip through.
func TestEachDatagramOfAMessageIsJudgedByItself(t *testing.T) {
	b := start(t, Policy{})
	ip := func(src ether.Addr, tos byte) []byte {
		f := make(ether.Frame, ether.HeaderLen+20)
		ether.PutHeader(f, macSelf, src, ether.TypeIPv4)
		copy(f.Payload(), []byte{0x45, tos, 0, 20, 0, 0, 0x40, 0, 64, 253, 0, 0, 10, 10, 2, 5, 10, 10, 1, 5})
		ether.IPv4(f.Payload()).Finish()
		return datagram(vni, f)
	}
	good := ip(macB, encap.ECNECT0)
	var joined []byte
	for _, d := range [][]byte{
		good, ip(macB, encap.ECNNotECT), good, ip(macC, encap.ECNECT0), good,
		ip(macSelf, encap.ECNECT0), with(ip(macB, encap.ECNECT0), 0, 0), good,
	} {
		joined = append(joined, d...)
	}
	b.wire.in <- []encap.Message{
		{Peer: netip.AddrPortFrom(outerB, 50000), TOS: encap.ECNCE, Data: joined, Segment: len(good)},
		{Peer: netip.AddrPortFrom(outerC, 50000), TOS: encap.ECNCE, Data: append(bytes.Clone(good), good...), Segment: len(good)},
	}
	for range 4 {
		<-b.out
	}
	s := b.stats(t)
	want := map[Verdict]uint64{Deliver: 4, DropECN: 1, DropSpoofed: 3, DropOwnSource: 1, DropNoVNI: 1}
	for _, v := range Verdicts() {
		if s.Frames[v] != want[v] {
			t.Errorf("%v: counted %d, want %d", v, s.Frames[v], want[v])
		}
	}
}
