package vswitch

import (
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
	"github.com/uvtep/uvtep/encap/toobig"
	"github.com/uvtep/uvtep/fdb"
)

// Way is what would become of a frame, and what decided that.
type Way struct {
	Decision
	VNI encap.VNI // of the network that decided
	Rev int64     // etcd's revision of its tables
	// Frame is the inner frame as it was judged: without the tags that are
	// stripped, with the congestion mark that was brought in.
	Frame    ether.Frame
	Stripped bool // it had tags
	// Entry and Bound are the rows that decided, nil where none did.
	Entry *EntryRow
	Bound *BoundRow
	// Outer is the datagram that would leave, without its data and, when it
	// is replicated, its peer; Frames how many for each VTEP of VTEPs.
	Outer  encap.Datagram
	Frames int
	VTEPs  []*fdb.VTEP
	// Told says that the sender would be told what fits, unless it is just now
	// being told a lot.
	Told bool
}

// EntryRow is a row of the FDB.
type EntryRow struct {
	fdb.Key
	fdb.Entry
}

// BoundRow is a row of the ARP table.
type BoundRow struct {
	arpproxy.Key
	arpproxy.Binding
}

// ExplainFrame tells what would become of f if it were read from the TAP of a
// network now; ok is false when there is no such network. It asks the functions
// that decide about every frame, with the tables in force, sends and counts
// nothing, and may be called from any goroutine. f is not changed.
//
// A frame larger than the TAP's MTU whose checksum is unfinished is taken for a
// superframe, since nothing else of the kind comes from a TAP.
func (s *Switch) ExplainFrame(v encap.VNI, f ether.Frame) (w Way, ok bool) {
	n := s.network(v)
	if n == nil {
		return Way{}, false
	}
	t := n.tables.Load()
	rec := append(make([]byte, VnetLen, VnetLen+len(f)), f...)
	h := offload.VnetHeader(rec[:VnetLen])
	if f.Valid() && len(f)-ether.HeaderLen > t.MTU {
		offload.Unfinished(h, rec[VnetLen:], t.MTU, udpRoom(rec[VnetLen:], t.MTU))
	}
	w = Way{VNI: v, Rev: t.Rev}
	_, h, w.Frame, w.Stripped = untag(rec, t)
	w.Decision = Classify(w.Frame, &n.Self, t).Fit(packetLen(h, w.Frame), t)
	w.rows(w.Frame.Valid() && w.Verdict != DropSource, ether.Frame.Dst, t)
	switch w.Verdict {
	case Forward:
		w.VTEPs = []*fdb.VTEP{w.VTEP}
	case Replicate:
		w.VTEPs = slices.Collect(t.FDB.VTEPs(v).All())
	case DropTooBig:
		w.Told = toobig.Reply(make([]byte, 0, toobig.MaxLen), w.Frame, w.MTU) != nil
		return w, true
	default:
		return w, true
	}
	w.leave(s, n, h)
	return w, true
}

// leave does what is done with a frame that is to leave, but for leaving.
func (w *Way) leave(s *Switch, n *Network, h offload.VnetHeader) {
	w.Outer = n.Outer.Datagram(w.Frame)
	header := make([]byte, encap.HeaderLen)
	encap.PutHeader(header, n.VNI)
	lists, fate := offload.NewSplitter(outDatagrams).Split(header, h, w.Frame)
	w.Frames = len(lists)
	switch {
	case fate != offload.Ready:
		w.Verdict = DropOffload
	case w.Verdict == Replicate && s.floods.spent(w.Frames*len(w.VTEPs)):
		w.Verdict = DropFloodRate
	case w.Verdict == Forward:
		w.Outer.Peer = w.VTEP.To
	}
}

// ExplainDatagram tells what would become of the datagram d if src sent it to
// this host with the outer type of service tos. See ExplainFrame.
func (s *Switch) ExplainDatagram(d []byte, src netip.Addr, tos uint8) Way {
	n := s.taker(d)
	if n == nil {
		return Way{Decision: Decision{Verdict: strayed(d)}}
	}
	t := n.tables.Load()
	d = slices.Clone(d)
	w := Way{VNI: n.VNI, Rev: t.Rev}
	w.Verdict = Accept(d, src, tos, &n.Self, t)
	if encap.Header(d).Valid() {
		w.Frame = encap.Header(d).Payload()
	}
	judged := w.Verdict == Deliver || w.Verdict == DropSpoofed || w.Verdict == DropSourceIP || w.Verdict == DropECN
	w.rows(judged, ether.Frame.Src, t)
	if w.Verdict == DropSourceIP {
		w.bound(innerSource(w.Frame), t)
	}
	return w
}

// network returns the network of a VNI that is served, nil for none.
func (s *Switch) network(v encap.VNI) *Network {
	for _, n := range *s.networks.Load() {
		if n.VNI == v {
			return n
		}
	}
	return nil
}

// taker returns the network that takes a datagram, as inbound.port does: the
// only one takes all.
func (s *Switch) taker(d []byte) *Network {
	if nets := *s.networks.Load(); len(nets) == 1 {
		return nets[0]
	}
	h := encap.Header(d)
	if !h.Valid() {
		return nil
	}
	return s.network(h.VNI())
}

// rows looks up what decided: the FDB by an address of the frame, if it came to
// that, and the ARP table by the address that was asked for or claimed.
func (w *Way) rows(fdbDecided bool, addr func(ether.Frame) ether.Addr, t *Tables) {
	switch w.Verdict {
	case Answer, DropARPSilent, DropARPConflict:
		m, _ := arpproxy.Read(w.Frame)
		if w.bound(m.Target, t); w.Verdict == DropARPConflict {
			w.bound(m.Sender, t)
		}
		return
	}
	if !fdbDecided {
		return
	}
	k := fdb.Key{VNI: w.VNI, MAC: addr(w.Frame)}
	if e, ok := t.FDB.Lookup(k.VNI, k.MAC); ok {
		w.Entry = &EntryRow{k, e}
	}
}

func (w *Way) bound(ip netip.Addr, t *Tables) {
	w.Bound = nil
	k := arpproxy.Key{VNI: w.VNI, IP: ip}
	if b, ok := t.ARP.Lookup(k.VNI, k.IP); ok {
		w.Bound = &BoundRow{k, b}
	}
}

// innerSource is the IP address that a frame says it is from.
func innerSource(f ether.Frame) netip.Addr {
	if m, ok := arpproxy.Read(f); ok {
		return m.Sender
	}
	switch typ, b := f.Network(); {
	case typ == ether.TypeIPv4 && len(b) >= ether.IPv4HeaderLen:
		return ether.IPv4(b).Src()
	case typ == ether.TypeIPv6 && len(b) >= ether.IPv6HeaderLen:
		return ether.IPv6(b).Src()
	}
	return netip.Addr{}
}

// udpRoom is how much payload a UDP datagram in f has room for in mtu bytes.
func udpRoom(f ether.Frame, mtu int) int {
	if typ, _ := f.Network(); typ == ether.TypeIPv6 {
		return mtu - ether.IPv6HeaderLen - ether.UDPHeaderLen
	}
	return mtu - ether.IPv4HeaderLen - ether.UDPHeaderLen
}
