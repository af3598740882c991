package offload_test

import (
	"bytes"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// spec says what frame to build; gopacket builds it, so that no test makes its
// input with the code under test. The zero spec is a TCP segment over IPv4 with
// the ACK flag and no payload.
type spec struct {
	v6, udp  bool
	host     byte   // last byte of the source address and the source MAC
	port     uint16 // source port
	seq, ack uint32
	window   uint16
	flags    string // more TCP flags: letters of "FSRPUECN"; "a" takes ACK away
	urgent   uint16
	opts     []layers.TCPOption
	tos, ttl uint8
	id       uint16
	frag     uint16 // flags and offset as IPv4 has them
	ipOpts   bool
	label    uint32
	ext      bool // an IPv6 destination options header
	vlan     bool
	data     []byte
}

// frame returns the frame with all checksums complete.
func (s spec) frame(t testing.TB) ether.Frame {
	t.Helper()
	var l []gopacket.SerializableLayer
	eth := &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, s.host}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 1, 1},
		EthernetType: layers.EthernetTypeIPv4,
	}
	if s.v6 {
		eth.EthernetType = layers.EthernetTypeIPv6
	}
	l = append(l, eth)
	if s.vlan {
		l = append(l, &layers.Dot1Q{VLANIdentifier: 42, Type: eth.EthernetType})
		eth.EthernetType = layers.EthernetTypeDot1Q
	}
	ip, more := s.network()
	l = append(append(l, more...), s.transport(t, ip), gopacket.Payload(s.data))
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, l...); err != nil {
		t.Fatal(err)
	}
	f := trim(bytes.Clone(buf.Bytes())) // gopacket pads to what a wire wants
	if s.udp && f[len(f)-len(s.data)-2] == 0 && f[len(f)-len(s.data)-1] == 0 {
		copy(f[len(f)-len(s.data)-2:], []byte{0xff, 0xff}) // RFC 768, which gopacket forgets
	}
	return f
}

// trim cuts a frame off behind its IP length.
func trim(f ether.Frame) ether.Frame {
	t, b := f.Network()
	if t == ether.TypeIPv4 {
		return f[:len(f)-len(b)+ether.IPv4(b).TotalLen()]
	}
	return f[:len(f)-len(b)+ether.IPv6HeaderLen+ether.IPv6(b).PayloadLen()]
}

func (s spec) network() (gopacket.NetworkLayer, []gopacket.SerializableLayer) {
	proto := layers.IPProtocolTCP
	if s.udp {
		proto = layers.IPProtocolUDP
	}
	if s.ttl == 0 {
		s.ttl = 64
	}
	if s.v6 {
		ip := &layers.IPv6{
			Version: 6, TrafficClass: s.tos, FlowLabel: s.label, NextHeader: proto, HopLimit: s.ttl,
			SrcIP: net.IP{0xfd, 15: s.host}, DstIP: net.IP{0xfd, 1, 15: 9},
		}
		if !s.ext {
			return ip, []gopacket.SerializableLayer{ip}
		}
		ip.NextHeader = layers.IPProtocolIPv6Destination
		dst := gopacket.Payload{byte(proto), 0, 1, 4, 0, 0, 0, 0}
		return ip, []gopacket.SerializableLayer{ip, dst}
	}
	ip := &layers.IPv4{
		Version: 4, TOS: s.tos, Id: s.id, TTL: s.ttl, Protocol: proto,
		Flags: layers.IPv4Flag(s.frag >> 13), FragOffset: s.frag & 0x1fff,
		SrcIP: net.IP{10, 10, 3, s.host}, DstIP: net.IP{10, 10, 4, 9},
	}
	if s.ipOpts {
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	}
	return ip, []gopacket.SerializableLayer{ip}
}

func (s spec) transport(t testing.TB, ip gopacket.NetworkLayer) gopacket.SerializableLayer {
	if s.udp {
		u := &layers.UDP{SrcPort: layers.UDPPort(1000 + s.port), DstPort: 2000}
		if err := u.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		return u
	}
	flag := func(c byte) bool { return bytes.IndexByte([]byte(s.flags), c) >= 0 }
	h := &layers.TCP{
		SrcPort: layers.TCPPort(1000 + s.port), DstPort: 2000, Seq: s.seq, Ack: s.ack, Window: s.window, Urgent: s.urgent,
		FIN: flag('F'), SYN: flag('S'), RST: flag('R'), PSH: flag('P'), ACK: !flag('a'), URG: flag('U'),
		ECE: flag('E'), CWR: flag('C'), NS: flag('N'), Options: s.opts,
	}
	if err := h.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return h
}

// stream returns n bytes that differ from place to place, so that a payload
// moved by one byte is seen.
func stream(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		v := uint32(from+i) * 2654435761
		b[i] = byte(v >> 24)
	}
	return b
}

// header returns a virtio header whose bytes are all zero.
func header() offload.VnetHeader { return make(offload.VnetHeader, offload.VnetHeaderLen) }

// unfinish puts the pseudo header's sum into the checksum field, as a sender
// does that leaves the rest to its card. It returns f.
func unfinish(f ether.Frame) ether.Frame {
	t, b := f.Network()
	var sum uint32
	var proto uint8
	var body []byte
	if t == ether.TypeIPv4 {
		ip := ether.IPv4(b)
		proto, body = ip.Protocol(), ip.Payload()
		sum = slowSum(ip[12:20], uint32(proto)+uint32(len(body)))
	} else {
		proto, body, _, _ = ether.IPv6(b).Transport()
		sum = slowSum(b[8:40], uint32(proto)+uint32(len(body)))
	}
	if proto == ether.ProtoUDP {
		ether.UDP(body).SetChecksum(uint16(sum))
	} else {
		ether.TCP(body).SetChecksum(uint16(sum))
	}
	return f
}

// super builds a superframe with segments of size bytes, and its header.
func super(t testing.TB, s spec, size int) (offload.VnetHeader, ether.Frame) {
	t.Helper()
	h, f := header(), unfinish(s.frame(t))
	kind, offset := uint8(offload.GSOTCPv4), 16
	if s.v6 {
		kind = offload.GSOTCPv6
	}
	h.SetCsum(len(f)-len(s.data)-20-optionsLen(s.opts), offset)
	if s.udp {
		kind = offload.GSOUDPL4
		h.SetCsum(len(f)-len(s.data)-8, 6)
	}
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetGSO(kind, size)
	return h, f
}

func optionsLen(opts []layers.TCPOption) int {
	n := 0
	for _, o := range opts {
		n += max(1, int(o.OptionLength))
	}
	return (n + 3) / 4 * 4
}

// timestamps is the option that nearly all TCP carries.
func timestamps(v byte) []layers.TCPOption {
	return []layers.TCPOption{
		{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
		{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, v, 9, 9, 9, 9}},
	}
}
