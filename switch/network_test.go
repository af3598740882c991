package vswitch

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// twins is a switch with two networks of the same stations and addresses behind
// different VTEPs.
type twins struct {
	sw    *Switch
	wire  *fakeWire
	stray Totals
	nets  [2]*twin
	end   context.CancelFunc
	done  chan error // of Run
}

type twin struct {
	*fakePort
	net   *Network
	count Totals
	end   context.CancelFunc
	done  chan error // of Serve
}

// vniOf and outerOf are what differs between the two.
func vniOf(i int) encap.VNI         { return vni + encap.VNI(i) }
func outerOf(i int) netip.Addr      { return []netip.Addr{outerB, outerC}[i] }
func from(i int) netip.AddrPort     { return netip.AddrPortFrom(outerOf(i), 50000) }
func (w *twins) totals(i int) Stats { return w.nets[i].count.Stats() }

func startTwins(t *testing.T) *twins {
	t.Helper()
	w := &twins{wire: newFakeWire(), done: make(chan error, 1)}
	w.sw = New(Config{Lanes: 1, NewSender: func() Sender { return w.wire }, Wake: func() { close(w.wire.stop) }}, &w.stray)
	ctx, cancel := context.WithCancel(t.Context())
	w.end = cancel
	go func() { w.done <- w.sw.Run(ctx, [][]Receiver{{w.wire}}) }()
	for i := range w.nets {
		w.serve(t, i)
	}
	return w
}

// serve has network i served and waits until it is.
func (w *twins) serve(t *testing.T, i int) {
	t.Helper()
	n := &twin{fakePort: newFakePort(), done: make(chan error, 1)}
	f := (*fdb.Table)(nil).Edit()
	v := &fdb.VTEP{To: netip.AddrPortFrom(outerOf(i), encap.Port)}
	f.AddVTEP(vniOf(i), v)
	f.Set(fdb.Key{VNI: vniOf(i), MAC: macB}, fdb.Entry{VTEP: v, Origin: fdb.Lease})
	a := (*arpproxy.Table)(nil).Edit()
	a.Set(arpproxy.Key{VNI: vniOf(i), IP: ipB}, arpproxy.Binding{MAC: ether.Addr{2, 0, 0, 0, 9, byte(i)}, Origin: fdb.Lease})
	n.net = networkOn(t, NetworkConfig{
		Self: Self{VNI: vniOf(i), MAC: macSelf}, Ports: []Port{n.fakePort}, Wake: func() { close(n.stop) }, Count: &n.count,
	}, &Tables{FDB: f.Table(), ARP: a.Table(), Policy: Policy{Flood: true}})
	w.nets[i] = n
	ctx, cancel := context.WithCancel(t.Context())
	n.end = cancel
	go func() { n.done <- w.sw.Serve(ctx, n.net) }()
	n.in <- nil // is read by who serves it
}

// stop ends all and checks that nothing was left over.
func (w *twins) stop(t *testing.T) {
	t.Helper()
	for i, n := range w.nets {
		n.end()
		if err := <-n.done; err != nil {
			t.Errorf("Serve of network %d: %v", i, err)
		}
		select {
		case f := <-n.out:
			t.Errorf("network %d got % x besides", i, f)
		default:
		}
	}
	w.end()
	if err := <-w.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	select {
	case d := <-w.wire.out:
		t.Errorf("% x to %v was sent besides", d.Data, d.Peer)
	default:
	}
}

func TestNetworksShareSocketsAndNothingElse(t *testing.T) {
	w := startTwins(t)
	// Outwards: the same frame to the same station, each to its own network's
	// VTEP under its own VNI; a flooded one to that network's VTEPs alone.
	f, flooded := frame(macB, macLocal), frame(ether.Broadcast, macLocal)
	for i, n := range w.nets {
		n.in <- [][]byte{bytes.Clone(f), bytes.Clone(flooded), arpRequest(ether.Broadcast, macLocal, ipSelf, ipB)}
		for _, want := range [][]byte{datagram(vniOf(i), f), datagram(vniOf(i), flooded)} {
			if d := <-w.wire.out; d.Peer.Addr() != outerOf(i) || !bytes.Equal(d.Data[0], want) {
				t.Errorf("network %d sent % x to %v, want % x to %v", i, d.Data[0], d.Peer, want, outerOf(i))
			}
		}
		if got, want := ether.Frame(<-n.out).Src(), (ether.Addr{2, 0, 0, 0, 9, byte(i)}); got != want {
			t.Errorf("network %d answered with %v, want %v", i, got, want)
		}
	}
	// Inwards: by the VNI, and from a VTEP of that VNI alone. What the kernel
	// joined may be of several.
	in := frame(macSelf, macB)
	joined := append(append(datagram(vniOf(1), in), datagram(vniOf(0), in)...), datagram(vniOf(1), in)...)
	w.wire.in <- []encap.Message{
		{Peer: from(0), Data: datagram(vniOf(0), in)},
		{Peer: from(1), Data: joined, Segment: encap.HeaderLen + len(in)}, // the middle one is not its own
		{Peer: from(0), Data: datagram(vniOf(1), in)},
		{Peer: from(0), Data: datagram(vniOf(2), in)},
		{Peer: from(0), Data: with(datagram(vniOf(2), in), 0, 0)},
		{Peer: from(0), Data: []byte{8, 0, 0}},
	}
	w.wire.in <- nil // taken when the first are done with
	for i, times := range []int{1, 2} {
		for range times {
			if got := <-w.nets[i].out; !bytes.Equal(got, in) {
				t.Errorf("network %d got % x, want % x", i, got, in)
			}
		}
	}
	w.stop(t)
	for i, want := range []map[Verdict]uint64{
		{Forward: 1, Replicate: 1, Answer: 1, Deliver: 1, DropUnknownVTEP: 1}, {Forward: 1, Replicate: 1, Answer: 1, Deliver: 2, DropUnknownVTEP: 1},
	} {
		for _, v := range Verdicts() {
			if got := w.totals(i).Frames[v]; got != want[v] {
				t.Errorf("network %d, %v: counted %d, want %d", i, v, got, want[v])
			}
		}
	}
	stray := w.stray.Stats()
	for _, v := range []Verdict{DropForeignVNI, DropNoVNI, DropRuntDatagram} {
		if stray.Frames[v] != 1 {
			t.Errorf("strays, %v: counted %d, want 1", v, stray.Frames[v])
		}
	}
}

func TestANetworkComesAndGoesWhileAnotherWorks(t *testing.T) {
	w := startTwins(t)
	in := frame(macSelf, macB)
	both := func() {
		t.Helper()
		w.wire.in <- []encap.Message{{Peer: from(0), Data: datagram(vniOf(0), in)}, {Peer: from(1), Data: datagram(vniOf(1), in)}}
		w.wire.in <- nil
	}
	both()
	<-w.nets[0].out
	<-w.nets[1].out
	// One TAP fails, as when it is removed: the other's frames go on, both ways.
	failed := w.nets[1]
	close(failed.in)
	if err := <-failed.done; !errors.Is(err, failed.fail) {
		t.Errorf("got %v, want %v", err, failed.fail)
	}
	both()
	<-w.nets[0].out
	w.nets[0].in <- [][]byte{frame(macB, macLocal)}
	<-w.wire.out
	// It comes back, on another TAP.
	w.serve(t, 1)
	both()
	<-w.nets[0].out
	<-w.nets[1].out
	if err := w.sw.Serve(t.Context(), w.nets[1].net); err == nil {
		t.Error("a VNI was served twice")
	}
	w.stop(t)
	if n := w.stray.Stats().Frames[DropForeignVNI] + w.totals(0).Frames[DropForeignVNI]; n != 1 {
		t.Errorf("%d datagrams for the network that was away were counted, want 1", n)
	}
	select {
	case f := <-failed.out:
		t.Errorf("the TAP that failed was given % x", f)
	default:
	}
}

// refusing is a port that is of no more use to writers, before its reader knows.
type refusing struct{ *fakePort }

func (p refusing) Writer() Writer                { return p }
func (p refusing) Write([][][]byte) (int, error) { return 0, errGone }

var errGone = errors.New("gone")

func TestATAPThatCannotBeWrittenEndsItsOwnNetwork(t *testing.T) {
	w := startTwins(t)
	port, count := refusing{newFakePort()}, new(Totals)
	f := (*fdb.Table)(nil).Edit()
	f.AddVTEP(vniOf(2), &fdb.VTEP{To: netip.AddrPortFrom(outerB, encap.Port)})
	n := networkOn(t, NetworkConfig{
		Self: Self{VNI: vniOf(2), MAC: macSelf}, Ports: []Port{port}, Wake: func() { close(port.stop) }, Count: count,
	}, &Tables{FDB: f.Table()})
	done := make(chan error)
	go func() { done <- w.sw.Serve(t.Context(), n) }()
	port.in <- nil
	in := frame(macSelf, macB)
	w.wire.in <- []encap.Message{{Peer: from(0), Data: datagram(vniOf(2), in)}, {Peer: from(0), Data: datagram(vniOf(0), in)}}
	if err := <-done; !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
	<-w.nets[0].out
	w.stop(t)
	if s := count.Stats(); s.Frames[Deliver] != 1 || s.Extra[WriteRefused] != 1 {
		t.Errorf("%d delivered, %d refused; want 1, 1", s.Frames[Deliver], s.Extra[WriteRefused])
	}
}
