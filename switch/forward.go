package vswitch

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
	"github.com/uvtep/uvtep/fdb"
)

// forward gathers the datagrams of one record, and returns the verdict that its
// frames are counted with. A frame that is whole leaves with its VXLAN header in
// the place of the last eight of the ten bytes in front of it, as one slice; a
// superframe is cut.
func (o *outbound) forward(rec []byte, h offload.VnetHeader, f ether.Frame, to netip.AddrPort) Verdict {
	d := o.net.Outer.Datagram(f)
	d.Peer = to
	if h.Super() {
		return o.forwardSuper(h, f, d)
	}
	if !offload.Complete(h, f) {
		o.tally.count(DropOffload, 1, len(f))
		return DropOffload
	}
	o.tally.count(Forward, 1, len(f))
	rec = rec[VnetLen-encap.HeaderLen:]
	encap.PutHeader(rec, o.net.VNI)
	o.gather(d, rec)
	return Forward
}

// gather adds a datagram of one slice.
func (o *outbound) gather(d encap.Datagram, b []byte) {
	if len(o.ds) == cap(o.ds) {
		o.flush()
	}
	n := len(o.data)
	o.data = append(o.data, b)
	d.Data = o.data[n : n+1 : n+1]
	o.ds = append(o.ds, d)
}

func (o *outbound) forwardSuper(h offload.VnetHeader, f ether.Frame, d encap.Datagram) Verdict {
	segments := o.segments(h, f)
	if segments == nil {
		o.tally.count(DropOffload, 1, len(f))
		return DropOffload
	}
	o.tally.count(Forward, len(segments), len(f))
	o.tally.extra[SplitSuperframes]++
	o.gatherAll(d, segments)
	return Forward
}

// gatherAll adds the datagrams of a superframe, for which there is room.
func (o *outbound) gatherAll(d encap.Datagram, segments [][][]byte) {
	for _, d.Data = range segments {
		o.ds = append(o.ds, d)
	}
}

// segments cuts a superframe, and makes room for its datagrams. nil: it cannot
// be cut.
func (o *outbound) segments(h offload.VnetHeader, f ether.Frame) [][][]byte {
	segments, fate := o.split.Split(o.header, h, f)
	if fate == offload.Full || fate == offload.Ready && len(o.ds)+len(segments) > cap(o.ds) {
		o.flush()
		segments, fate = o.split.Split(o.header, h, f)
	}
	if fate != offload.Ready {
		return nil
	}
	return segments
}

// replicate sends a record to every VTEP of the network, one copy each. It is
// counted once, and that verdict returned.
func (o *outbound) replicate(rec []byte, h offload.VnetHeader, f ether.Frame, t *Tables) Verdict {
	vteps := t.FDB.VTEPs(o.net.VNI)
	d := o.net.Outer.Datagram(f)
	if h.Super() {
		return o.replicateSuper(h, f, d, vteps)
	}
	if !offload.Complete(h, f) {
		o.tally.count(DropOffload, 1, len(f))
		return DropOffload
	}
	if !o.floods.take(vteps.Len()) {
		o.tally.count(DropFloodRate, 1, len(f))
		return DropFloodRate
	}
	o.tally.count(Replicate, 1, len(f))
	rec = rec[VnetLen-encap.HeaderLen:]
	encap.PutHeader(rec, o.net.VNI)
	for v := range vteps.All() {
		d.Peer = v.To
		o.gather(d, rec)
	}
	return Replicate
}

// replicateSuper cuts a superframe, which a sender of UDP_SEGMENT makes of
// multicast too, anew for each VTEP: room for one may cost the cuts for another.
func (o *outbound) replicateSuper(h offload.VnetHeader, f ether.Frame, d encap.Datagram, vteps fdb.VTEPs) Verdict {
	segments := o.segments(h, f)
	if segments == nil {
		o.tally.count(DropOffload, 1, len(f))
		return DropOffload
	}
	if !o.floods.take(len(segments) * vteps.Len()) {
		o.tally.count(DropFloodRate, 1, len(f))
		return DropFloodRate
	}
	o.tally.count(Replicate, len(segments), len(f))
	o.tally.extra[SplitSuperframes]++
	for v := range vteps.All() {
		if segments == nil {
			segments = o.segments(h, f)
		}
		d.Peer = v.To
		o.gatherAll(d, segments)
		segments = nil
	}
	return Replicate
}

// flush sends what is gathered.
func (o *outbound) flush() {
	if len(o.ds) > 0 {
		sent := o.send.Send(o.ds)
		o.tally.extra[Sent] += uint32(sent)
		o.tally.extra[SendRefused] += uint32(len(o.ds) - sent)
	}
	o.ds, o.data = o.ds[:0], o.data[:0]
	o.split.Reset()
}
