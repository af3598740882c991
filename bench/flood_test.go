package bench

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// strange is a frame that no kernel knows what to do with.
func strange(dst, src ether.Addr) ether.Frame {
	f := make(ether.Frame, 60)
	ether.PutHeader(f, dst, src, 0x88b5)
	return f
}

// question is someone's ARP request.
func question(t *testing.T, sender, target netip.Addr) ether.Frame {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{},
		&layers.Ethernet{SrcMAC: someone[:], DstMAC: ether.Broadcast[:], EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: someone[:], SourceProtAddress: sender.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice(),
		}))
	return buf.Bytes()
}

// tunnelled counts what a host sends into the tunnel of or to someone, until a
// frame to a MAC passes.
func tunnelled(ctx context.Context, t *testing.T, w *lab.Wire, last ether.Addr) (n int) {
	t.Helper()
	for {
		f, err := w.Next(ctx)
		must(t, err)
		v, ok := parse(f, 4789)
		if !ok || !f.Outgoing || v.inner.Src() != someone && v.inner.Dst() != someone {
			continue
		}
		if v.inner.Dst() == last {
			return n
		}
		n++
	}
}

// What a host floods is bounded, a copy for each frame that it lets out; and what
// comes from the tunnel does not go back into it, nor is it answered there.
func TestFloodingIsBoundedAndNeverReturns(t *testing.T) {
	const rate, frames = 5, 50
	l, ctx := newLab(t, lab.Config{Hosts: 2, AgentArgs: []string{"--flood-rate", fmt.Sprint(rate)}})
	startAgents(ctx, t, l.Hosts, "--flood")
	connectedAfter(ctx, t, l)
	h, far := l.Hosts[0], l.Hosts[1]
	tap, err := far.Link(far.TAP)
	must(t, err)
	own, err := h.Link(h.TAP)
	must(t, err)
	inside, err := h.Wire(h.TAP)
	must(t, err)
	underlay, err := h.Wire("eth0")
	must(t, err)
	before := readStats(ctx, t, h)
	for range frames {
		must(t, inside.Send(strange(ether.Broadcast, someone)))
	}
	var let, dropped uint64
	eventually(ctx, t, "all broadcasts are decided about", func() (bool, string) {
		now := readStats(ctx, t, h).Verdicts
		let = uint64(now["Replicate"].Frames - before.Verdicts["Replicate"].Frames)
		dropped = uint64(now["DropFloodRate"].Frames - before.Verdicts["DropFloodRate"].Frames)
		return let+dropped >= frames, fmt.Sprint(let, dropped)
	})
	must(t, inside.Send(strange(ether.Addr(tap.MAC), someone)))
	copies := tunnelled(ctx, t, underlay, ether.Addr(tap.MAC))
	// The kernels' own broadcasts count too, and a busy machine takes its time.
	if copies == 0 || copies > int(let) || dropped < frames/2 {
		t.Errorf("%d copies on the wire, %d frames let out and %d dropped of %d", copies, let, dropped, frames)
	}

	outside, err := far.Wire("eth0")
	must(t, err)
	asker, bound := netip.MustParseAddr("10.10.2.9"), far.Subnet.Masked().Addr()
	for _, f := range []ether.Frame{
		strange(ether.Broadcast, someone),
		strange(ether.Addr{1, 0, 0x5e, 1, 1, 1}, someone),
		strange(ether.Addr(tap.MAC), someone),
		strange(ether.Addr{2, 9, 9, 9, 9, 9}, someone),
		question(t, asker, bound),
		question(t, asker, netip.MustParseAddr("10.10.99.9")), // bound to nobody
		strange(ether.Addr(own.MAC), someone),                 // the last one
	} {
		must(t, outside.Send(datagram4(t, endOf(t, far), endOf(t, h), 4789, f)))
	}
	_, err = inside.Find(ctx, func(f lab.Frame) bool {
		e := ether.Frame(f.Data)
		return !f.Outgoing && e.Src() == someone && e.Dst() == ether.Addr(own.MAC)
	})
	must(t, err)
	must(t, inside.Send(strange(ether.Addr(tap.MAC), someone)))
	if n := tunnelled(ctx, t, underlay, ether.Addr(tap.MAC)); n != 0 {
		t.Errorf("%d frames from the tunnel went into it", n)
	}
}
