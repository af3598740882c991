package spell

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Tell describes an Ethernet frame in a line, as tcpdump would.
func Tell(f []byte) string {
	return tell(gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true}), f)
}

// TellIP describes an IP packet in a line.
func TellIP(b []byte) string {
	first := layers.LayerTypeIPv4
	if len(b) > 0 && b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	return tell(gopacket.NewPacket(b, first, gopacket.DecodeOptions{Lazy: true, NoCopy: true}), b)
}

func tell(p gopacket.Packet, b []byte) string {
	var out []string
	for _, l := range p.Layers() {
		if s := layer(l, p); s != "" {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return fmt.Sprintf("%d bytes that are no frame", len(b))
	}
	return strings.Join(out, ", ")
}

// layer describes one layer, "" for one that says nothing by itself.
func layer(l gopacket.Layer, p gopacket.Packet) string {
	switch l := l.(type) {
	case *layers.Ethernet:
		return fmt.Sprintf("%s > %s%s", l.SrcMAC, l.DstMAC, unknownType(l.EthernetType, len(l.Payload)))
	case *layers.Dot1Q:
		return fmt.Sprintf("vlan %d%s", l.VLANIdentifier, unknownType(l.Type, len(l.Payload)))
	case *layers.ARP:
		return arp(l)
	case *layers.IPv4:
		return ip(transport(p, l), l.SrcIP, l.DstIP, l.Protocol, len(l.Payload))
	case *layers.IPv6:
		return ip(transport(p, l), l.SrcIP, l.DstIP, l.NextHeader, len(l.Payload))
	case *layers.TCP:
		return fmt.Sprintf("TCP %s, %d bytes", flags(l), len(l.Payload))
	case *layers.UDP:
		return fmt.Sprintf("UDP, %d bytes", len(l.Payload))
	case *layers.ICMPv4:
		return fmt.Sprintf("ICMP %s id %d seq %d", l.TypeCode, l.Id, l.Seq)
	case *layers.ICMPv6:
		return fmt.Sprintf("ICMPv6 %s", l.TypeCode)
	case *layers.ICMPv6NeighborSolicitation:
		return fmt.Sprintf("who has %s", l.TargetAddress)
	case *layers.ICMPv6NeighborAdvertisement:
		return fmt.Sprintf("it is %s", l.TargetAddress)
	case *layers.ICMPv6Echo:
		return fmt.Sprintf("id %d seq %d", l.Identifier, l.SeqNumber)
	}
	return ""
}

// unknownType names a type that no other layer describes.
func unknownType(t layers.EthernetType, length int) string {
	switch t {
	case layers.EthernetTypeARP, layers.EthernetTypeIPv4, layers.EthernetTypeIPv6, layers.EthernetTypeDot1Q, layers.EthernetTypeQinQ:
		return ""
	case layers.EthernetTypeLLC:
		return fmt.Sprintf(" LLC, %d bytes", length)
	}
	return fmt.Sprintf(" type 0x%04x, %d bytes", uint16(t), length)
}

func arp(l *layers.ARP) string {
	from, to := net.IP(l.SourceProtAddress), net.IP(l.DstProtAddress)
	switch {
	case from.Equal(to):
		return fmt.Sprintf("ARP %s announces %s", net.HardwareAddr(l.SourceHwAddress), from)
	case l.Operation == layers.ARPRequest:
		return fmt.Sprintf("ARP who has %s, tell %s", to, from)
	case l.Operation == layers.ARPReply:
		return fmt.Sprintf("ARP %s is at %s", from, net.HardwareAddr(l.SourceHwAddress))
	}
	return fmt.Sprintf("ARP operation %d", l.Operation)
}

// transport is what an IP packet carries, nil if that has no ports. In a tunnel there
// are several.
func transport(p gopacket.Packet, ip gopacket.Layer) gopacket.Layer {
	all := p.Layers()
	for _, l := range all[slices.Index(all, ip)+1:] {
		switch l.(type) {
		case *layers.TCP, *layers.UDP:
			return l
		case *layers.IPv4, *layers.IPv6, *layers.ICMPv4, *layers.ICMPv6:
			return nil
		}
	}
	return nil
}

// ip is addresses and ports. A protocol that no other layer describes is named.
func ip(carries gopacket.Layer, src, dst net.IP, proto layers.IPProtocol, length int) string {
	switch t := carries.(type) {
	case *layers.TCP:
		return fmt.Sprintf("%s > %s", port(src, uint16(t.SrcPort)), port(dst, uint16(t.DstPort)))
	case *layers.UDP:
		return fmt.Sprintf("%s > %s", port(src, uint16(t.SrcPort)), port(dst, uint16(t.DstPort)))
	}
	switch proto {
	case layers.IPProtocolICMPv4, layers.IPProtocolICMPv6:
		return fmt.Sprintf("%s > %s", src, dst)
	}
	return fmt.Sprintf("%s > %s protocol %d, %d bytes", src, dst, uint8(proto), length)
}

// port is address and port as tcpdump joins them.
func port(ip net.IP, p uint16) string { return fmt.Sprintf("%s.%d", ip, p) }

// flags are those of a segment, in tcpdump's letters.
func flags(t *layers.TCP) string {
	var b strings.Builder
	for _, f := range []struct {
		set    bool
		letter byte
	}{{t.SYN, 'S'}, {t.FIN, 'F'}, {t.RST, 'R'}, {t.PSH, 'P'}, {t.URG, 'U'}, {t.ACK, '.'}, {t.ECE, 'E'}, {t.CWR, 'W'}} {
		if f.set {
			b.WriteByte(f.letter)
		}
	}
	return "[" + b.String() + "]"
}
