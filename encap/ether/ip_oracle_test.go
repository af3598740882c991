package ether_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// oracle4 writes what gopacket makes of the same fields.
func oracle4(t *testing.T, ip *layers.IPv4, transport gopacket.SerializableLayer, payload []byte) []byte {
	t.Helper()
	return serialize(t, ip, transport, gopacket.Payload(payload))
}

func serialize(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, l...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// Headers written through the views into dirty memory are the bytes that
// gopacket writes, checksums included.
func TestIPv4TCPEqualsGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		src, dst, payload := randomBytes(rnd, 4), randomBytes(rnd, 4), randomBytes(rnd, rnd.IntN(100))
		ip := &layers.IPv4{Version: 4, TOS: uint8(rnd.Uint32()), Id: uint16(rnd.Uint32()),
			Flags: layers.IPv4DontFragment, TTL: uint8(rnd.Uint32()), Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: dst}
		tcp := &layers.TCP{SrcPort: layers.TCPPort(rnd.Uint32()), DstPort: layers.TCPPort(rnd.Uint32()),
			Seq: rnd.Uint32(), Ack: rnd.Uint32(), ACK: true, PSH: true, Window: uint16(rnd.Uint32())}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		want := oracle4(t, ip, tcp, payload)

		got := bytes.Repeat([]byte{0xff}, len(want))
		b := ether.IPv4(got)
		copy(got, []byte{0x45})
		b.SetTOS(ip.TOS)
		b.SetTotalLen(len(got))
		b.SetID(ip.Id)
		b.SetFragment(ether.IPv4DontFragment)
		b.SetTTL(ip.TTL)
		b.SetProtocol(ether.ProtoTCP)
		b.SetSrc(netip.AddrFrom4([4]byte(src)))
		b.SetDst(netip.AddrFrom4([4]byte(dst)))
		b.Finish()
		s := ether.TCP(b.Payload())
		s.SetSrcPort(uint16(tcp.SrcPort))
		s.SetDstPort(uint16(tcp.DstPort))
		s.SetSeq(tcp.Seq)
		s.SetAck(tcp.Ack)
		s[12] = 0
		s.SetHeaderLen(ether.TCPHeaderLen)
		s.SetFlags(ether.TCPAck | ether.TCPPsh)
		s.SetWindow(tcp.Window)
		s.SetChecksum(0)
		copy(s[18:], []byte{0, 0})
		copy(s.Payload(), payload)
		s.SetChecksum(^ether.Fold(ether.Sum(s, ether.PseudoSum4(b, ether.ProtoTCP, len(s)))))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("segment (-want +got):\n%s", diff)
		}
	}
}

func TestIPv6UDPEqualsGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		src, dst, payload := randomBytes(rnd, 16), randomBytes(rnd, 16), randomBytes(rnd, rnd.IntN(100))
		src[0], dst[0] = 0x20, 0xfd // keep them apart from mapped IPv4 addresses
		ip := &layers.IPv6{Version: 6, TrafficClass: uint8(rnd.Uint32()), NextHeader: layers.IPProtocolUDP,
			HopLimit: uint8(rnd.Uint32()), SrcIP: src, DstIP: dst}
		udp := &layers.UDP{SrcPort: layers.UDPPort(rnd.Uint32()), DstPort: layers.UDPPort(rnd.Uint32())}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		want := serialize(t, ip, udp, gopacket.Payload(payload))

		got := bytes.Repeat([]byte{0xff}, len(want))
		b := ether.IPv6(got)
		b.SetVersion()
		b.SetTrafficClass(ip.TrafficClass)
		b.SetPayloadLen(len(got) - ether.IPv6HeaderLen)
		b.SetNextHeader(ether.ProtoUDP)
		b.SetHopLimit(ip.HopLimit)
		b.SetSrc(netip.AddrFrom16([16]byte(src)))
		b.SetDst(netip.AddrFrom16([16]byte(dst)))
		u := ether.UDP(b.Payload())
		u.SetSrcPort(uint16(udp.SrcPort))
		u.SetDstPort(uint16(udp.DstPort))
		u.SetLen(len(u))
		u.SetChecksum(0)
		copy(u.Payload(), payload)
		u.SetChecksum(^ether.Fold(ether.Sum(u, ether.PseudoSum6(b, ether.ProtoUDP, len(u)))))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("datagram (-want +got):\n%s", diff)
		}
	}
}

// Where a view says valid, gopacket decodes the same fields; nothing panics.
func FuzzIPv4(f *testing.F) {
	f.Add(vector4)                                        // options and padding
	f.Add(vector4[:19])                                   // cut off
	f.Add(append([]byte{0x4f, 0, 0, 60}, vector4[4:]...)) // header longer than the bytes
	f.Add(append([]byte{0x46, 0, 0, 24}, vector4[4:]...)) // no room for TCP
	f.Fuzz(func(t *testing.T, b []byte) {
		ip := ether.IPv4(b)
		if !ip.Valid() {
			return
		}
		if tcp := ether.TCP(ip.Payload()); tcp.Valid() {
			_, _, _ = tcp.Options(), tcp.Payload(), tcp.Checksum()
		}
		if udp := ether.UDP(ip.Payload()); udp.Valid() {
			_, _ = udp.Payload(), udp.Checksum()
		}
		var g layers.IPv4
		if err := g.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			return // gopacket reads options too, and refuses some
		}
		if g.TOS != ip.TOS() || int(g.Length) != ip.TotalLen() || g.Id != ip.ID() || g.TTL != ip.TTL() ||
			uint8(g.Protocol) != ip.Protocol() || g.Checksum != ip.Checksum() ||
			!g.SrcIP.Equal(net.IP(ip.Src().AsSlice())) || !g.DstIP.Equal(net.IP(ip.Dst().AsSlice())) ||
			!bytes.Equal(g.Payload, ip.Payload()) {
			t.Errorf("%x: gopacket sees %+v", b, g)
		}
	})
}

func FuzzIPv6(f *testing.F) {
	f.Add(vector6)                                             // padding
	f.Add(vector6[:39])                                        // cut off
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 3}, vector6[6:]...)) // no room for UDP
	f.Fuzz(func(t *testing.T, b []byte) {
		ip := ether.IPv6(b)
		if !ip.Valid() {
			return
		}
		if udp := ether.UDP(ip.Payload()); udp.Valid() {
			_, _ = udp.Payload(), udp.Checksum()
		}
		var g layers.IPv6
		if err := g.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			return // gopacket reads hop-by-hop options too, and refuses some
		}
		if g.TrafficClass != ip.TrafficClass() || g.FlowLabel != ip.FlowLabel() || int(g.Length) != ip.PayloadLen() ||
			uint8(g.NextHeader) != ip.NextHeader() || g.HopLimit != ip.HopLimit() ||
			!g.SrcIP.Equal(net.IP(ip.Src().AsSlice())) || !g.DstIP.Equal(net.IP(ip.Dst().AsSlice())) {
			t.Errorf("%x: gopacket sees %+v", b, g)
		}
	})
}
