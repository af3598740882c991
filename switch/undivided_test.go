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

// book is a TAP that keeps what is written to it.
type book struct {
	sink
	records [][]byte
}

func (b *book) Writer() Writer { return b }
func (*book) Lost() int        { return 0 }

func (b *book) Write(records [][][]byte) (int, error) {
	for _, r := range records {
		b.records = append(b.records, bytes.Join(r, nil))
	}
	return len(records), nil
}

// udp is a datagram of host B to ours in one frame, its checksum unfinished.
func udp(payload []byte) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+ether.IPv4HeaderLen+ether.UDPHeaderLen, 2048)
	ether.PutHeader(f, macSelf, macB, ether.TypeIPv4)
	f = append(f, payload...)
	ip := ether.IPv4(f[ether.HeaderLen:])
	copy(ip, []byte{0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, ether.ProtoUDP, 0, 0, 10, 10, 2, 0, 10, 10, 1, 0})
	ip.SetTotalLen(len(ip))
	ip.Finish()
	u := ether.UDP(f[ether.HeaderLen+ether.IPv4HeaderLen:])
	copy(u, []byte{0x03, 0xe8, 0x07, 0xd0})
	u.SetLen(len(u))
	u.SetChecksum(ether.Fold(ether.PseudoSum4(ip, ether.ProtoUDP, len(u))))
	return f
}

// finished are the frames that a superframe of udp stands for.
func finished(payload []byte, segment int) (out []ether.Frame) {
	for i := 0; len(payload) > 0; i++ {
		f := udp(payload[:min(segment, len(payload))])
		payload = payload[min(segment, len(payload)):]
		ip := ether.IPv4(f[ether.HeaderLen:])
		ip.SetID(ip.ID() + uint16(i))
		ip.Finish()
		u := ether.UDP(ip.Payload())
		u.SetChecksum(^ether.Fold(ether.Sum(u, 0)))
		out = append(out, f)
	}
	return out
}

// A superframe of UDP from a kernel peer on the same machine is one datagram,
// whatever the socket says of its segments: it reaches the TAP as a superframe
// with segments of that size, or as the finished frames that it stands for.
func TestUndividedSuperframeOfAPeerKeepsItsSegments(t *testing.T) {
	const segment, frames = 60, 3
	payload := bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 30)[:segment*frames-10]
	for _, super := range []bool{true, false} {
		tap := &book{}
		totals, in := inboundTo(t, tap, super)
		whole := udp(payload)
		m := encap.Message{Peer: netip.AddrPortFrom(outerB, 50000), Data: datagram(vni, whole), Segment: segment}
		m.N = len(m.Data)
		in.ms[0] = m
		in.batch(1)
		var want [][]byte
		if super {
			h := make(offload.VnetHeader, VnetLen)
			h.SetFlags(offload.FlagNeedsCsum)
			h.SetHeaderLen(42)
			h.SetGSO(offload.GSOUDPL4, segment)
			h.SetCsum(34, 6)
			want = append(want, append(h, whole...))
		} else {
			for _, f := range finished(payload, segment) {
				want = append(want, append(make([]byte, VnetLen), f...))
			}
		}
		if diff := cmp.Diff(want, tap.records); diff != "" {
			t.Errorf("superframes %v: written (-want +got):\n%s", super, diff)
		}
		if s := totals.Stats(); s.Frames[Deliver] != s.Extra[Written] || s.Extra[Records] != uint64(len(want)) {
			t.Errorf("superframes %v: counted %d delivered, %d written in %d records", super, s.Frames[Deliver], s.Extra[Written], s.Extra[Records])
		}
	}
}

// The twin: a message that does hold several datagrams is taken apart, although
// each has a checksum that looks unfinished.
func TestUnfinishedDatagramsOfOneMessageAreTakenApart(t *testing.T) {
	tap := &book{}
	_, in := inboundTo(t, tap, false)
	one := datagram(vni, udp(make([]byte, 30)))
	in.ms[0] = encap.Message{Peer: netip.AddrPortFrom(outerB, 50000), Data: append(bytes.Clone(one), one...), N: 2 * len(one), Segment: len(one)}
	in.batch(1)
	if len(tap.records) != 2 || len(tap.records[0]) != VnetLen+len(one)-encap.HeaderLen || !bytes.Equal(tap.records[0], tap.records[1]) {
		t.Errorf("got %d records, % x; want two equal ones", len(tap.records), tap.records)
	}
}

// inboundTo is the receiving half of a switch with one TAP, not at work.
func inboundTo(t *testing.T, tap Port, super bool) (*Totals, *inbound) {
	t.Helper()
	totals := new(Totals)
	tables := testTables(Policy{})
	tables.MTU, tables.Superframes = 1450, super
	in, _ := inboundOf(t, networkOn(t, NetworkConfig{Ports: []Port{tap}, Count: totals}, tables))
	return totals, in
}
