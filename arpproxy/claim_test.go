package arpproxy

import (
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

func TestWhatASenderClaims(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame ether.Frame
		want  string // "" for nothing
	}{
		{"a request's sender", request(hostIP), askerIP},
		{"a reply's sender", request(hostIP, op(2)), askerIP},
		{"an announcement", request(askerIP), askerIP},
		{"also of an address that is bound to another station", request(hostIP, from(hostIP)), hostIP},
		{"a probe claims nothing", request(hostIP, from(zeroIP)), ""},
		{"a sender that is not the frame's source", request(hostIP, sha(neighbour)), ""},
		{"an address of many", request(hostIP, from("224.0.0.1")), ""},
		{"loopback", request(hostIP, from("127.0.0.1")), ""},
		{"an operation nobody knows", request(hostIP, op(3)), ""},
		{"a message that is cut", cut(request(hostIP), 27), ""},
		{"a solicitation's sender", solicit(hostIP6), askerIP6},
		{"a link-local one", solicit(hostIP6, from6(linkIP6)), linkIP6},
		{"an advertisement's target", advertise(movedIP6), movedIP6},
		{"a solicitation from nobody", solicit(hostIP6, probing), ""},
		{"one that was routed", solicit(hostIP6, hops(64)), ""},
		{"one with another station's address in its option", solicit(hostIP6, slla(neighbour)), ""},
		{"an advertisement with another's", advertise(movedIP6, tlla(neighbour)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Claim(c.frame)
			want := netip.Addr{}
			if c.want != "" {
				want = addr(c.want)
			}
			if got != want || ok != want.IsValid() {
				t.Errorf("got %v, %v, want %v", got, ok, want)
			}
		})
	}
}

// What Ask asks, a station answers to who asked: gopacket's own reading of the
// fields is compared, and the proxy's.
func TestAQuestionToOneStation(t *testing.T) {
	buf := make([]byte, MaxLen)
	for i := range buf {
		buf[i] = 0xff
	}
	f := ether.Frame(Ask(buf, addr(podIP), podMAC, asker))
	if want := request(podIP, to(podMAC), from(zeroIP))[:len(f)]; string(f) != string(want) {
		t.Errorf("ARP: got  % x\nwant % x", f, want)
	}
	f = ether.Frame(Ask(buf, addr(podIP6), podMAC, asker))
	if want := solicit(podIP6, unicast6(podMAC, podIP6), from6("fe80::ff:fe00:a")); string(f) != string(want) {
		t.Errorf("ND: got  % x\nwant % x", f, want)
	}
	if n := testing.AllocsPerRun(100, func() { Ask(buf, addr6Pod, podMAC, asker) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var addr6Pod = addr(podIP6)
