package bench

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// someone sends the frames that the tests make.
var someone = ether.Addr{2, 0, 0, 0, 0, 0x77}

// datagram4 is a frame with a VXLAN datagram over IPv4 to a port.
func datagram4(t *testing.T, from, to end4, port uint16, inner ether.Frame) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.ip.AsSlice(), DstIP: to.ip.AsSlice()}
	udp := &layers.UDP{SrcPort: 50000, DstPort: layers.UDPPort(port)}
	must(t, udp.SetNetworkLayerForChecksum(ip))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: from.mac[:], DstMAC: to.mac[:], EthernetType: layers.EthernetTypeIPv4}, ip, udp,
		gopacket.Payload(append([]byte{8, 0, 0, 0, 0, 0, 1, 0}, inner...))))
	return buf.Bytes()
}

// end4 is a host on the underlay.
type end4 struct {
	mac ether.Addr
	ip  netip.Addr
}

func endOf(t *testing.T, h *lab.Host) end4 {
	t.Helper()
	l, err := h.Link("eth0")
	must(t, err)
	return end4{ether.Addr(l.MAC), h.Addr}
}

// inner4 is a frame of IPv4 to dst.
func inner4(t *testing.T, dst ether.Addr, from, to netip.Addr) ether.Frame {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: someone[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: 253, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}, gopacket.Payload("source")))
	return buf.Bytes()
}

// With --strict-source a host cannot speak with the addresses of others, and
// what its own containers say still arrives.
func TestInnerSourcesOfOthersAreDropped(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2, AgentArgs: []string{"--strict-source"}})
	startAgents(ctx, t, l.Hosts)
	h, far := l.Hosts[0], l.Hosts[1]
	connectedAfter(ctx, t, l)
	tap, err := h.Link(h.TAP)
	must(t, err)
	inside, err := h.Wire(h.TAP)
	must(t, err)
	outside, err := far.Wire("eth0")
	must(t, err)
	before := readStats(ctx, t, h)
	good := netip.MustParseAddr("10.10.2.99")
	for _, from := range []netip.Addr{netip.MustParseAddr("10.10.1.9"), netip.MustParseAddr("10.10.77.9"), h.Addr, good, far.Addr} {
		must(t, outside.Send(datagram4(t, endOf(t, far), endOf(t, h), 4789, inner4(t, ether.Addr(tap.MAC), from, h.Subnet.Masked().Addr()))))
	}
	for _, want := range []netip.Addr{good, far.Addr} {
		f, err := inside.Find(ctx, func(f lab.Frame) bool { return ether.Frame(f.Data).Src() == someone })
		must(t, err)
		if got := ether.IPv4(ether.Frame(f.Data).Payload()).Src(); got != want {
			t.Errorf("the TAP got a frame from %s, want one from %s", got, want)
		}
	}
	if got := readStats(ctx, t, h).Verdicts["DropSourceIP"].Frames - before.Verdicts["DropSourceIP"].Frames; got != 3 {
		t.Errorf("%d frames were dropped for their source, want 3", got)
	}
}
