package arpproxy

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// decode has gopacket read a frame; it fails on anything it cannot read.
func decode(t *testing.T, f []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket cannot decode % x: %v", f, e.Error())
	}
	return p
}

// wantARP compares a frame with what gopacket should find in it.
func wantARP(t *testing.T, f []byte, eth layers.Ethernet, msg layers.ARP) {
	t.Helper()
	p := decode(t, f)
	eth.EthernetType = layers.EthernetTypeARP
	msg.AddrType, msg.Protocol = layers.LinkTypeEthernet, layers.EthernetTypeIPv4
	msg.HwAddressSize, msg.ProtAddressSize = 6, 4
	if d := cmp.Diff(p.Layer(layers.LayerTypeEthernet), &eth, cmpopts.IgnoreTypes(layers.BaseLayer{})); d != "" {
		t.Errorf("Ethernet header (-got +want):\n%s", d)
	}
	if d := cmp.Diff(p.Layer(layers.LayerTypeARP), &msg, cmpopts.IgnoreTypes(layers.BaseLayer{})); d != "" {
		t.Errorf("ARP message (-got +want):\n%s", d)
	}
	if got, want := len(f), 42; got != want {
		t.Errorf("the frame has %d bytes, want %d", got, want)
	}
}

func TestARPAnswersByRFC826(t *testing.T) {
	answer := layers.ARP{
		Operation:         layers.ARPReply,
		SourceHwAddress:   hostMAC[:],
		SourceProtAddress: addr(hostIP).AsSlice(),
		DstHwAddress:      asker[:],
		DstProtAddress:    addr(askerIP).AsSlice(),
	}
	probed := answer
	probed.DstProtAddress = addr(zeroIP).AsSlice()
	for _, c := range []struct {
		name string
		req  ether.Frame
		want layers.ARP
	}{
		{"40 a request is answered in the owner's name", request(hostIP), answer},
		{"40 also one that came unicast", request(hostIP, to(hostMAC)), answer},
		{"41 the target hardware address asked with is not repeated", request(hostIP, tha(printMAC)), answer},
		{"41 padding is not repeated", append(request(hostIP), make([]byte, 18)...), answer},
		{"43 the answer to a probe goes to 0.0.0.0", request(hostIP, from(zeroIP)), probed},
	} {
		t.Run(c.name, func(t *testing.T) {
			eth := layers.Ethernet{SrcMAC: hostMAC[:], DstMAC: asker[:]}
			dst := bytes.Repeat([]byte{0xff}, MaxLen) // dirty: every byte must be written
			wantARP(t, Reply(dst, c.req, hostMAC), eth, c.want)
			wantARP(t, Reply(dst[:0], c.req, hostMAC), eth, c.want)
			inPlace := append(make(ether.Frame, 0, MaxLen), c.req...)
			wantARP(t, Reply(inPlace, inPlace, hostMAC), eth, c.want)
		})
	}
}

func TestAnARPAnswerByteForByte(t *testing.T) {
	want := []byte{
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, // to the asker
		0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7, // from the owner
		0x08, 0x06, // ARP
		0x00, 0x01, 0x08, 0x00, 6, 4, // Ethernet, IPv4
		0x00, 0x02, // reply
		0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7, 10, 5, 10, 0, // the owner
		0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 10, 5, 3, 2, // the asker
	}
	if d := cmp.Diff(Reply(make([]byte, MaxLen), request(hostIP), hostMAC), want); d != "" {
		t.Errorf("answer (-got +want):\n%s", d)
	}
}

func TestAnARPAnnouncementByRFC5227(t *testing.T) {
	dst := bytes.Repeat([]byte{0xff}, MaxLen)
	wantARP(t, Announce(dst, addr(podIP), podMAC),
		layers.Ethernet{SrcMAC: podMAC[:], DstMAC: ether.Broadcast[:]},
		layers.ARP{
			Operation:         layers.ARPRequest,
			SourceHwAddress:   podMAC[:],
			SourceProtAddress: addr(podIP).AsSlice(),
			DstHwAddress:      make([]byte, 6),
			DstProtAddress:    addr(podIP).AsSlice(),
		})
}

func TestAnnouncementsAreNotAnswered(t *testing.T) {
	for _, ip := range []string{podIP, freeIP} {
		f := ether.Frame(Announce(make([]byte, MaxLen), addr(ip), podMAC))
		if got, _ := Decide(f, vni, testTable(), testOwn); got != Gratuitous {
			t.Errorf("Decide about the announcement of %s = %v, want Gratuitous", ip, got)
		}
	}
}

func TestAnsweringDoesNotAllocate(t *testing.T) {
	dst, req, ip := make([]byte, MaxLen), request(hostIP), addr(podIP)
	for name, f := range map[string]func(){
		"Reply":    func() { Reply(dst, req, hostMAC) },
		"Announce": func() { Announce(dst, ip, podMAC) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}
