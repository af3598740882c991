package arpproxy

import (
	"slices"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// Numbers are those of the conformance list; a number below 52 is that of the
// rule of ARP that holds for ND as well (contract §3, "the same rules").
func TestNDRules(t *testing.T) {
	check(t, []spec{
		{"53 a solicitation for a lease address is answered", solicit(hostIP6), Answer, hostBinding},
		{"53 so is one for an endpoint's address", solicit(podIP6), Answer, podBinding},
		{"53 and one for an operator's entry", solicit(printIP6), Answer, printBinding},
		{"53 from a link-local address", solicit(hostIP6, from6(linkIP6)), Answer, hostBinding},
		{"53 padding behind the datagram is fine", append(solicit(hostIP6), 0, 0, 0), Answer, hostBinding},

		{"54 duplicate detection for another's address is answered", solicit(hostIP6, probing), Answer, hostBinding},
		{"54 also for an endpoint's", solicit(podIP6, probing), Answer, podBinding},
		{"54 for a free address it is not", solicit(freeIP6, probing), Unknown, Binding{}},
		{"54 for the host's own address never", solicit(ownIP6, probing), Silent, Binding{}},
		{"54 nor for the address bound to the asker", solicit(movedIP6, probing), Silent, askerBinding},
		{"54 another station's for it is", solicit(movedIP6, probing, func(m *nd) { m.eth.SrcMAC = neighbour[:] }),
			Answer, askerBinding},

		{"55 a unicast solicitation for an endpoint is its owner's to answer",
			solicit(podIP6, unicast6(podMAC, podIP6)), Pass, podBinding},
		{"55 so is one for an operator's entry", solicit(printIP6, unicast6(printMAC, printIP6)), Pass, printBinding},
		{"§3 a unicast solicitation for a lease address is answered",
			solicit(hostIP6, unicast6(hostMAC, hostIP6)), Answer, hostBinding},
		{"55 one for an unknown address is a frame like any other",
			solicit(freeIP6, unicast6(neighbour, freeIP6)), Pass, Binding{}},
		{"55 a group address in a frame to one station counts as unicast (RFC 6085)",
			solicit(podIP6, to6(podMAC)), Pass, podBinding},

		{"56 a nonce (RFC 7527) is ignored", solicit(hostIP6, probing, more(14, 1, 1, 2, 3, 4, 5, 6)), Answer, hostBinding},
		{"56 so is an option nobody knows", solicit(hostIP6, more(253, 2), more(make([]byte, 14)...)), Answer, hostBinding},
		{"57 without a source address option the frame's source is the asker", solicit(hostIP6, bare), Answer, hostBinding},
		{"57 the source address option of another station is refused", solicit(hostIP6, slla(neighbour)), Silent, Binding{}},
		{"57 also when it comes last", solicit(hostIP6, bare, more(14, 1, 0, 0, 0, 0, 0, 0), more(1, 1), more(neighbour[:]...)),
			Silent, Binding{}},
		{"59 a solicitation for an unknown address is not answered", solicit(freeIP6), Unknown, Binding{}},

		{"50 one for the host's own address is not answered", solicit(ownIP6), Silent, Binding{}},
		{"43 one for the address bound to the asker is not answered", solicit(movedIP6), Silent, askerBinding},
		{"S3 one by who claims a foreign address is a conflict", solicit(podIP6, from6(hostIP6)), Conflict, hostBinding},
		{"48 target ::", solicit(zeroIP6), Silent, Binding{}},
		{"48 target ::1", solicit("::1"), Silent, Binding{}},
		{"48 from a group", solicit(hostIP6, from6(nodesIP6)), Silent, Binding{}},
		{"48 from ::1", solicit(hostIP6, from6("::1")), Silent, Binding{}},
		{"48 by a group of stations", solicit(hostIP6, by6(ether.Addr{0x33})), Silent, Binding{}},
	})
}

func TestAdvertisementsAreNeverAnswered(t *testing.T) {
	check(t, []spec{
		{"58 an announcement to all nodes", advertise(askerIP6), Gratuitous, Binding{}},
		{"58 one of a bound address by its owner", advertise(movedIP6), Gratuitous, Binding{}},
		{"58 one without a target address option", advertise(askerIP6, bare), Gratuitous, Binding{}},
		{"58 one of the host's own address", advertise(ownIP6), Gratuitous, Binding{}},
		{"45 one of a foreign address is a conflict", advertise(hostIP6), Conflict, hostBinding},
		{"45 also without a target address option", advertise(hostIP6, bare), Conflict, hostBinding},
		{"48 one for another station", advertise(askerIP6, tlla(neighbour)), Silent, Binding{}},
		{"48 one of ::", advertise(zeroIP6), Silent, Binding{}},
		{"47 an answer to one station is forwarded",
			advertise(askerIP6, flags6(flagSolicited|flagOverride), unicast6(podMAC, podIP6)), Pass, Binding{}},
		{"S3 an answer that claims a foreign address is a conflict",
			advertise(hostIP6, flags6(flagSolicited), unicast6(podMAC, podIP6)), Conflict, hostBinding},

		{"58 hop limit 254", advertise(askerIP6, hops(254)), Malformed, Binding{}},
		{"58 code 1", advertise(askerIP6, code(1)), Malformed, Binding{}},
		{"58 shorter than 24 bytes", advertise(askerIP6, short(20)), Malformed, Binding{}},
		{"58 a group as target", advertise(nodesIP6, from6(askerIP6)), Malformed, Binding{}},
		{"58 solicited, yet to all nodes", advertise(askerIP6, flags6(flagSolicited)), Malformed, Binding{}},
		{"58 a target address of 14 bytes", advertise(askerIP6, bare, more(2, 2), more(make([]byte, 14)...)), Malformed, Binding{}},
		{"58 an option of length 0", advertise(askerIP6, more(2, 0, 0, 0, 0, 0, 0, 0)), Malformed, Binding{}},
	})
}

// TestOnlyValidSolicitationsAreAnswered has a case for each check of RFC 4861
// §7.1.1. All other checks pass in each, the checksum is right unless said.
func TestOnlyValidSolicitationsAreAnswered(t *testing.T) {
	const datagram = ether.HeaderLen
	group := more(1, 0, 0, 0, 0, 0, 0, 0)
	check(t, []spec{
		{"52 hop limit 64", solicit(hostIP6, hops(64)), Malformed, Binding{}},
		{"52 hop limit 254", solicit(hostIP6, hops(254)), Malformed, Binding{}},
		{"52 a checksum that is wrong by one bit", flip(solicit(hostIP6), datagram+43), Malformed, Binding{}},
		{"52 a target that the checksum does not cover", flip(solicit(podIP6), datagram+63), Malformed, Binding{}},
		{"52 a source that the checksum does not cover", flip(solicit(hostIP6), datagram+23), Malformed, Binding{}},
		{"52 code 1", solicit(hostIP6, code(1)), Malformed, Binding{}},
		{"52 23 bytes long", solicit(hostIP6, short(23)), Malformed, Binding{}},
		{"52 8 bytes long", solicit(hostIP6, short(8)), Malformed, Binding{}},
		{"52 a group as target", solicit("ff02::1:ff00:7"), Malformed, Binding{}},
		{"52 an option of length 0", solicit(hostIP6, bare, group), Malformed, Binding{}},
		{"52 an option of length 0 behind a good one", solicit(hostIP6, group), Malformed, Binding{}},
		{"52 an option longer than the rest", solicit(hostIP6, more(14, 2, 0, 0, 0, 0, 0, 0)), Malformed, Binding{}},
		{"52 the first byte of an option", solicit(hostIP6, more(14)), Malformed, Binding{}},
		{"52 half an option", solicit(hostIP6, more(14, 1, 0, 0)), Malformed, Binding{}},
		{"52 a source address of 14 bytes", solicit(hostIP6, bare, more(1, 2), more(make([]byte, 14)...)), Malformed, Binding{}},
		{"52 from :: with a source address option", solicit(hostIP6, from6(zeroIP6)), Malformed, Binding{}},
		{"52 from :: to all nodes", solicit(hostIP6, probing, into6(nodesIP6)), Malformed, Binding{}},
		{"52 from :: to the target", solicit(hostIP6, probing, into6(hostIP6)), Malformed, Binding{}},
		{"52 from :: to the group next to the solicited-node groups",
			solicit(hostIP6, probing, into6("ff02::1:fe00:0")), Malformed, Binding{}},
		{"52 24 bytes are enough", solicit(hostIP6, short(24)), Answer, hostBinding},
	})
}

// What is hidden behind extension headers hosts believe all the same.
func TestDiscoveryBehindExtensionHeadersIsDropped(t *testing.T) {
	check(t, []spec{
		{"56 a solicitation behind options", hidden(solicit(hostIP6), 60), Malformed, Binding{}},
		{"an advertisement of a foreign address", hidden(advertise(hostIP6), 60), Malformed, Binding{}},
		{"one to one station", hidden(advertise(hostIP6, unicast6(podMAC, podIP6)), 0), Malformed, Binding{}},
		{"one behind two headers", hidden(hidden(advertise(hostIP6), 60), 0), Malformed, Binding{}},
		{"one behind more headers than anybody has", buried(advertise(hostIP6), 9), Malformed, Binding{}},
		{"a first fragment", hidden(advertise(hostIP6), 44), Malformed, Binding{}},
	})
	for _, f := range []ether.Frame{advertise(hostIP6), hidden(advertise(hostIP6), 60)} {
		if got, ok := Advertised(ether.IPv6(f.Payload())); got != addr(hostIP6) || !ok {
			t.Errorf("Advertised = %v, %v, want %v", got, ok, hostIP6)
		}
	}
	if got, ok := Advertised(ether.IPv6(buried(advertise(hostIP6), 9).Payload())); ok {
		t.Errorf("Advertised = %v behind nine headers, want not to know", got)
	}
}

// buried puts many extension headers into a frame.
func buried(f ether.Frame, n int) ether.Frame {
	for range n {
		f = hidden(f, 60)
	}
	return f
}

// hidden puts an extension header of eight bytes into a frame: options that are
// padding, or a fragment's without an offset.
func hidden(f ether.Frame, kind byte) ether.Frame {
	const datagram = ether.HeaderLen
	ext := []byte{f[datagram+6], 0, 1, 4, 0, 0, 0, 0}
	if kind == 44 {
		ext = []byte{f[datagram+6], 0, 0, 1, 0, 0, 0, 7} // more fragments follow
	}
	f = slices.Insert(slices.Clone(f), datagram+ether.IPv6HeaderLen, ext...)
	f[datagram+5] += byte(len(ext))
	f[datagram+6] = kind
	return f
}

func flip(f ether.Frame, i int) ether.Frame { f[i] ^= 1; return f }

func TestOtherIPv6FramesPass(t *testing.T) {
	const datagram = ether.HeaderLen
	kind := func(n uint8) ether.Frame { return message6(n, hostIP6, to6(allNodesMAC), into6(nodesIP6)) }
	check(t, []spec{
		{"58 a router solicitation", kind(layers.ICMPv6TypeRouterSolicitation), Pass, Binding{}},
		{"58 a router advertisement", kind(layers.ICMPv6TypeRouterAdvertisement), Pass, Binding{}},
		{"58 a listener report", kind(143), Pass, Binding{}},
		{"an echo request", kind(layers.ICMPv6TypeEchoRequest), Pass, Binding{}},
		{"a redirect", kind(layers.ICMPv6TypeRedirect), Pass, Binding{}},
		{"a solicitation that says that it is options", changed(solicit(hostIP6), datagram+6, 60), Pass, Binding{}},
		{"an echo request behind options", hidden(kind(layers.ICMPv6TypeEchoRequest), 60), Pass, Binding{}},
		{"a segment of TCP", changed(solicit(hostIP6), datagram+6, 6), Pass, Binding{}},
		{"a datagram cut off in its header", cut(solicit(hostIP6), 39), Pass, Binding{}},
		{"a datagram cut off in its payload", cut(solicit(hostIP6), 60), Pass, Binding{}},
		{"a datagram of another version", changed(solicit(hostIP6), datagram, 0x40), Pass, Binding{}},
		{"ICMPv6 without a byte", solicit(hostIP6, func(m *nd) { m.body, m.options = nil, nil })[:datagram+40], Pass, Binding{}},
	})
	t.Run("ICMPv6 of no length", func(t *testing.T) {
		f := cut(solicit(hostIP6), 40)
		f[datagram+4], f[datagram+5] = 0, 0
		if got, _ := Decide(f, vni, testTable(), testOwn); got != Pass {
			t.Errorf("Decide = %v, want Pass", got)
		}
	})
}

func TestAnIPv4BindingAnswersNoSolicitation(t *testing.T) {
	if got, _ := Decide(solicit("::ffff:"+hostIP), vni, testTable(), testOwn); got != Unknown {
		t.Errorf("Decide = %v, want Unknown", got)
	}
}

func TestDecideAboutNDDoesNotAllocate(t *testing.T) {
	tab := testTable()
	for _, f := range []ether.Frame{
		solicit(hostIP6), solicit(hostIP6, probing), solicit(freeIP6), solicit(hostIP6, hops(1)), advertise(askerIP6),
		solicit(podIP6, unicast6(podMAC, podIP6)),
	} {
		if n := testing.AllocsPerRun(1000, func() { Decide(f, vni, tab, testOwn) }); n != 0 {
			t.Errorf("Decide allocates %v times about % x, want 0", n, []byte(f))
		}
	}
}
