package vswitch

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// A sender of UDP_SEGMENT hands multicast to the TAP as a superframe too; it was
// dropped for no stack was thought to make such.
func TestMulticastSuperframeIsReplicatedAsItsFrames(t *testing.T) {
	const segment, frames = 60, 3
	wire, totals := newFakeWire(), new(Totals)
	o := outboundOf(t, NetworkConfig{Count: totals}, wire, 0)
	payload := bytes.Repeat([]byte{9, 8, 7}, 60)[:segment*frames-10]
	group := func(f ether.Frame) ether.Frame {
		ether.PutHeader(f, ether.Addr{1, 0, 0x5e, 1, 1, 1}, macSelf, ether.TypeIPv4)
		return f
	}
	full := o.ds[:outDatagrams-frames-1] // one VTEP's copies fit beside them
	for i := range full {
		full[i] = encap.Datagram{Peer: netip.AddrPortFrom(outerB, 1), Data: [][]byte{{1}}}
	}
	o.ds = full
	rec := append(make([]byte, VnetLen), group(udp(payload))...)
	h := offload.VnetHeader(rec[:VnetLen])
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetGSO(offload.GSOUDPL4, segment)
	h.SetCsum(34, 6)
	o.frame(rec, testTables(Policy{Flood: true}))
	if cap(o.ds) != outDatagrams {
		t.Errorf("the batch has grown to %d datagrams", cap(o.ds))
	}
	o.flush()
	o.tally.publish(o.count)
	got := map[netip.Addr][][]byte{}
	for range len(full) {
		<-wire.out
	}
	for range 2 * frames {
		d := <-wire.out
		got[d.Peer.Addr()] = append(got[d.Peer.Addr()], d.Data[0])
	}
	var want [][]byte
	for _, f := range finished(payload, segment) {
		want = append(want, datagram(vni, group(f)))
	}
	if diff := cmp.Diff(map[netip.Addr][][]byte{outerB: want, outerC: want}, got); diff != "" {
		t.Errorf("copies by VTEP (-want +got):\n%s", diff)
	}
	if s := totals.Stats(); s.Frames[Replicate] != frames || s.Extra[Sent] != uint64(len(full)+2*frames) || s.Frames[DropOffload] != 0 {
		t.Errorf("counted %d replicated, %d sent, %d dropped; want %d, %d, 0", s.Frames[Replicate], s.Extra[Sent], s.Frames[DropOffload], frames, len(full)+2*frames)
	}
}

// What came from a tunnel never goes to one, whatever it is for: a frame of the
// wire has no way to the wire (RFC 8365 §8.3.1), and nobody on it is answered.
func TestNothingFromATunnelGoesToATunnel(t *testing.T) {
	b := start(t, Policy{Flood: true})
	defer b.stats(t)
	group := ether.Addr{1, 0, 0x5e, 1, 1, 1}
	in := []ether.Frame{
		frame(ether.Broadcast, macB),
		frame(group, macB),
		frame(macC, macB),
		frame(macNone, macB),
		arpRequest(ether.Broadcast, macB, ipB, ipC),
		arpRequest(ether.Broadcast, macB, ipB, ipNone),
		arpRequest(ether.Broadcast, macB, ipB, ipSelf),
		arpRequest(ether.Broadcast, macB, ipB, ipB),
	}
	for _, f := range in {
		b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(outerB, 4789), Data: datagram(vni, f)}}
		if got := <-b.out; !bytes.Equal(got, f) {
			t.Errorf("TAP got % x, want % x", got, f)
		}
	}
	b.in <- [][]byte{frame(macB, macLocal)} // and what follows is the only one
	if d := <-b.wire.out; !bytes.HasPrefix(d.Data[0][8:], macB[:]) || len(b.wire.out) != 0 {
		t.Errorf("% x went to a tunnel, and %d more", d.Data[0], len(b.wire.out))
	}
}
