package encap_test

import (
	"bytes"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// serialize writes layers as gopacket does, so that no test builds its input
// with the code under test.
func serialize(t testing.TB, l ...gopacket.SerializableLayer) ether.Frame {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, l...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

// eth builds an Ethernet header between two fixed stations.
func eth(typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{
		SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: typ,
	}
}

// flow says which inner frame to build; the zero value is IPv4 and UDP.
type flow struct {
	v6       bool
	proto    layers.IPProtocol
	src, dst uint16
	tos      uint8
	id       uint16
	fragment uint16 // flags and offset, as IPv4 has them
	options  bool
	host     byte // last byte of the source address
	data     string
}

func (fl flow) transport() []byte {
	return append([]byte{byte(fl.src >> 8), byte(fl.src), byte(fl.dst >> 8), byte(fl.dst)}, fl.data...)
}

func (fl flow) frame(t testing.TB) ether.Frame {
	t.Helper()
	if fl.proto == 0 {
		fl.proto = layers.IPProtocolUDP
	}
	body := gopacket.Payload(fl.transport())
	if fl.v6 {
		return serialize(t, eth(layers.EthernetTypeIPv6), &layers.IPv6{
			Version: 6, TrafficClass: fl.tos, NextHeader: fl.proto, HopLimit: 255,
			SrcIP: net.IP{0xfd, 15: fl.host}, DstIP: net.IP{0xfd, 1, 15: 9},
		}, body)
	}
	ip := &layers.IPv4{
		Version: 4, TOS: fl.tos, Id: fl.id, TTL: 64, Protocol: fl.proto,
		Flags: layers.IPv4Flag(fl.fragment >> 13), FragOffset: fl.fragment & 0x1fff,
		SrcIP: net.IP{10, 10, 3, fl.host}, DstIP: net.IP{10, 10, 4, 9},
	}
	if fl.options {
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	}
	return serialize(t, eth(layers.EthernetTypeIPv4), ip, body)
}

// tag puts an 802.1Q tag into f.
func tag(f ether.Frame) ether.Frame {
	return append(append(append(ether.Frame{}, f[:12]...), 0x81, 0x00, 0x00, 0x07), f[12:]...)
}
