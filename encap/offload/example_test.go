package offload_test

import (
	"fmt"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// Three datagrams of one flow and one of another leave as two gather lists.
func Example() {
	m := offload.NewMerger(offload.MergeConfig{Frames: 64, UDP: true})
	for _, f := range []ether.Frame{datagram(1, 0), datagram(1, 1), datagram(2, 0), datagram(1, 2)} {
		m.Add(offload.Arrival{Frame: f, MTU: 1450})
	}
	for i, list := range m.Finish() {
		h := offload.VnetHeader(list[0])
		fmt.Println(m.Frames(i), "frames in", len(list), "pieces, superframe:", h.Super(), "segments of", h.GSOSize())
	}
	m.Reset()
	// Output:
	// 3 frames in 4 pieces, superframe: true segments of 4
	// 1 frames in 2 pieces, superframe: false segments of 0
}

// datagram builds a UDP frame with four bytes of payload.
func datagram(port byte, id uint16) ether.Frame {
	f := ether.Frame{
		0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x08, 0x00,
		0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 10, 3, 1, 10, 10, 4, 1,
		0, port, 0, 53, 0, 12, 0, 0, 'd', 'a', 't', 'a',
	}
	ip := ether.IPv4(f[ether.HeaderLen:])
	ip.SetID(id)
	ip.Finish()
	udp := ether.UDP(ip.Payload())
	udp.SetChecksum(^ether.Fold(ether.Sum(udp, ether.PseudoSum4(ip, ether.ProtoUDP, len(udp)))))
	return f
}
