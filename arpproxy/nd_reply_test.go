package arpproxy

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// wantNA compares a frame with the advertisement that gopacket writes, byte by
// byte, and with what gopacket reads.
func wantNA(t *testing.T, f []byte, eth layers.Ethernet, dst string, msg layers.ICMPv6NeighborAdvertisement) {
	t.Helper()
	eth.EthernetType = layers.EthernetTypeIPv6
	ip := layers.IPv6{
		Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 255,
		SrcIP: msg.TargetAddress, DstIP: addr(dst).AsSlice(),
	}
	icmp := layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
	if err := icmp.SetNetworkLayerForChecksum(&ip); err != nil {
		t.Fatal(err)
	}
	want := serialize(&eth, &ip, &icmp, &msg)
	if d := cmp.Diff(f, []byte(want)); d != "" {
		t.Errorf("frame (-got +want):\n%s", d)
	}
	read, ok := decode(t, f).Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok {
		t.Fatal("gopacket finds no neighbour advertisement")
	}
	if got, want := read.Flags, msg.Flags; got != want {
		t.Errorf("flags are %#x, want %#x", got, want)
	}
	if d := cmp.Diff(read.Options, msg.Options); d != "" {
		t.Errorf("options (-got +want):\n%s", d)
	}
}

// advertised is the advertisement of ip with a target address option for mac.
func advertised(ip string, mac ether.Addr, flags uint8) layers.ICMPv6NeighborAdvertisement {
	return layers.ICMPv6NeighborAdvertisement{
		Flags:         flags,
		TargetAddress: addr(ip).AsSlice(),
		Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}},
	}
}

func TestNDAnswersByRFC4861(t *testing.T) {
	const r, s, o = 0x80, 0x40, 0x20
	one := layers.Ethernet{SrcMAC: hostMAC[:], DstMAC: asker[:]}
	all := layers.Ethernet{SrcMAC: hostMAC[:], DstMAC: allNodesMAC[:]}
	for _, c := range []struct {
		name string
		req  ether.Frame
		eth  layers.Ethernet
		dst  string
		msg  layers.ICMPv6NeighborAdvertisement
	}{
		{"53 the asker is answered with S and O", solicit(hostIP6), one, askerIP6, advertised(hostIP6, hostMAC, r|s|o)},
		{"53 also at a link-local address", solicit(hostIP6, from6(linkIP6)), one, linkIP6, advertised(hostIP6, hostMAC, r|s|o)},
		{"53 also when it asked unicast",
			solicit(hostIP6, unicast6(hostMAC, hostIP6)), one, askerIP6, advertised(hostIP6, hostMAC, r|s|o)},
		{"54 duplicate detection is answered to all nodes, without S",
			solicit(hostIP6, probing), all, nodesIP6, advertised(hostIP6, hostMAC, r|o)},
		{"56 options of the question are not repeated",
			solicit(hostIP6, more(14, 1, 1, 2, 3, 4, 5, 6)), one, askerIP6, advertised(hostIP6, hostMAC, r|s|o)},
		{"57 the frame's source is answered", solicit(hostIP6, bare), one, askerIP6, advertised(hostIP6, hostMAC, r|s|o)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := bytes.Repeat([]byte{0xff}, MaxLen) // dirty: every byte must be written
			wantNA(t, Reply(dst, c.req, hostMAC), c.eth, c.dst, c.msg)
			inPlace := append(make(ether.Frame, 0, MaxLen+8), c.req...)
			wantNA(t, Reply(inPlace, inPlace, hostMAC), c.eth, c.dst, c.msg)
		})
	}
}

func TestANDAnswerByteForByte(t *testing.T) {
	want := []byte{
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, // to the asker
		0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7, // from the owner
		0x86, 0xdd, // IPv6
		0x60, 0, 0, 0, 0, 32, 58, 255, // 32 bytes of ICMPv6, hop limit 255
		0xfd, 0, 0, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // from the target
		0xfd, 0, 0, 0x10, 0, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // to the asker
		136, 0, 0x9d, 0xdc, // advertisement, checksum
		0xe0, 0, 0, 0, // R, S, O
		0xfd, 0, 0, 0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // the target
		2, 1, 0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7, // its address
	}
	if d := cmp.Diff(Reply(make([]byte, MaxLen), solicit(hostIP6), hostMAC), want); d != "" {
		t.Errorf("answer (-got +want):\n%s", d)
	}
}

func TestAnNDAnnouncementByRFC4861(t *testing.T) {
	dst := bytes.Repeat([]byte{0xff}, MaxLen)
	wantNA(t, Announce(dst, addr(podIP6), podMAC),
		layers.Ethernet{SrcMAC: podMAC[:], DstMAC: allNodesMAC[:]}, nodesIP6, advertised(podIP6, podMAC, 0xa0))
}

func TestWhatIsBuiltIsValid(t *testing.T) {
	for name, f := range map[string]ether.Frame{
		"an answer":            Reply(make([]byte, MaxLen), solicit(hostIP6), hostMAC),
		"an answer to a probe": Reply(make([]byte, MaxLen), solicit(hostIP6, probing), hostMAC),
		"an announcement":      Announce(make([]byte, MaxLen), addr(podIP6), podMAC),
	} {
		v := NDView(f.Payload())
		if !v.Valid() {
			t.Errorf("%s is not valid: % x", name, []byte(f))
			continue
		}
		if mac, ok := v.TargetMAC(); !ok || mac != f.Src() {
			t.Errorf("%s gives %v, %v as target address, want %v, true", name, mac, ok, f.Src())
		}
		if mac, ok := v.SourceMAC(); ok {
			t.Errorf("%s has a source address option of %v, want none", name, mac)
		}
	}
}

func TestAnsweringNDDoesNotAllocate(t *testing.T) {
	dst, req, probe, ip := make([]byte, MaxLen), solicit(hostIP6), solicit(hostIP6, probing), addr(podIP6)
	for name, f := range map[string]func(){
		"Reply":            func() { Reply(dst, req, hostMAC) },
		"Reply to a probe": func() { Reply(dst, probe, hostMAC) },
		"Announce":         func() { Announce(dst, ip, podMAC) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}
