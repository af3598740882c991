package offload

import (
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

// Two flows whose hashes collide meet in one slot. Then only the comparison of
// the headers keeps them apart, down to the last bit.
func TestPrecedesRefusesAnotherFlowOfTheSameHash(t *testing.T) {
	datagram := func(v6 bool, id byte) ether.Frame {
		f := make(ether.Frame, plain4+ether.UDPHeaderLen+4)
		l4 := plain4
		if v6 {
			f, l4 = make(ether.Frame, plain6+ether.UDPHeaderLen+4), plain6
			ether.PutHeader(f, ether.Addr{2}, ether.Addr{4}, ether.TypeIPv6)
			b := ether.IPv6(f[netOffset:])
			b.SetVersion()
			b.SetPayloadLen(12)
			b.SetNextHeader(ether.ProtoUDP)
		} else {
			ether.PutHeader(f, ether.Addr{2}, ether.Addr{4}, ether.TypeIPv4)
			b := ether.IPv4(f[netOffset:])
			b[0] = 0x45
			b.SetTotalLen(32)
			b.SetID(uint16(id))
			b.SetProtocol(ether.ProtoUDP)
		}
		ether.UDP(f[l4:]).SetLen(12)
		ether.UDP(f[l4:]).SetChecksum(1)
		return f
	}
	examined := func(f ether.Frame, group int) *output {
		o := &output{Arrival: Arrival{Frame: f, Group: group, MTU: 1450}, frames: 1, ahead: -1}
		if o.examine() != inFlow || !o.fits {
			t.Fatalf("frame %x does not fit", []byte(f))
		}
		return o
	}
	for _, v6 := range []bool{false, true} {
		first := examined(datagram(v6, 0), 1)
		if !first.precedes(examined(datagram(v6, 1), 1)) {
			t.Errorf("v6 %v: the next datagram is refused", v6)
		}
		if first.precedes(examined(datagram(v6, 1), 2)) {
			t.Errorf("v6 %v: another group is taken", v6)
		}
		from, ports := addr4, plain4
		if v6 {
			from, ports = addr6, plain6
		}
		for bit := 8 * from; bit < 8*(ports+4); bit++ {
			f := datagram(v6, 1)
			f[bit/8] ^= 0x80 >> (bit % 8)
			if first.precedes(examined(f, 1)) {
				t.Errorf("v6 %v: bit %d of byte %d makes no difference", v6, bit%8, bit/8)
			}
		}
	}
	for name, change := range map[string]func(o *output){
		"IP version": func(o *output) { o.v6 = true },
		"protocol":   func(o *output) { o.udp = false },
		"headers":    func(o *output) { o.data += 4 },
	} {
		first, next := examined(datagram(false, 0), 1), examined(datagram(false, 1), 1)
		change(next)
		if first.precedes(next) {
			t.Errorf("another %s makes no difference", name)
		}
	}
}
