package arpproxy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
)

// Numbers are those of the conformance list; "§3" stands for the contract's
// table of defaults.
func TestARPRules(t *testing.T) {
	check(t, []spec{
		{"40 a broadcast request for a lease address is answered", request(hostIP), Answer, hostBinding},
		{"40 so is one for an endpoint's address", request(podIP), Answer, podBinding},
		{"40 and one for an operator's entry", request(printIP), Answer, printBinding},
		{"40 a request to a group of stations counts as broadcast",
			request(hostIP, to(ether.Addr{0x01, 0, 0x5e, 0, 0, 1})), Answer, hostBinding},
		{"41 the target hardware address of a request means nothing",
			request(hostIP, tha(ether.Broadcast)), Answer, hostBinding},
		{"41 padding behind the message is fine",
			append(request(hostIP), make([]byte, 18)...), Answer, hostBinding},
		{"42 a request for an unknown address is not answered", request(freeIP), Unknown, Binding{}},
		{"42 nor is one for an address of another VNI's lease", request("10.6.10.0"), Unknown, Binding{}},

		{"43 a probe for another host's address is answered", request(hostIP, from(zeroIP)), Answer, hostBinding},
		{"43 a probe for a free address is not answered", request(freeIP, from(zeroIP)), Unknown, Binding{}},
		{"43 a probe for the host's own address is never answered", request(ownIP, from(zeroIP)), Silent, Binding{}},
		{"43 a probe for the address bound to the asker is never answered",
			request(movedIP, from(zeroIP)), Silent, askerBinding},
		{"§3 nor is a request for it", request(movedIP), Silent, askerBinding},
		{"43 another station's probe for it is answered",
			request(movedIP, from(zeroIP), by(neighbour)), Answer, askerBinding},

		{"44 an announcement as request is not answered", request(askerIP), Gratuitous, Binding{}},
		{"44 nor is one as reply", request(askerIP, op(2)), Gratuitous, Binding{}},
		{"44 nor one of a bound address by its owner", request(movedIP, from(movedIP)), Gratuitous, Binding{}},
		{"44 nor one of the host's own address", request(ownIP, from(ownIP)), Gratuitous, Binding{}},
		{"47 an announcement to one station is a frame like any other",
			request(askerIP, op(2), to(neighbour)), Pass, Binding{}},

		{"45 an announcement of a foreign address is a conflict", request(hostIP, from(hostIP)), Conflict, hostBinding},
		{"45 also as reply", request(hostIP, from(hostIP), op(2)), Conflict, hostBinding},
		{"45 also to one station", request(hostIP, from(hostIP), op(2), to(neighbour)), Conflict, hostBinding},
		{"S3 a request by who claims a foreign address is one", request(podIP, from(hostIP)), Conflict, hostBinding},
		{"S3 a reply by who claims a foreign address is one",
			request(askerIP, from(hostIP), op(2), to(neighbour)), Conflict, hostBinding},
		{"50 the host is believed about its own address, whatever the table says",
			request(podIP, from(ownIP), by(neighbour)), Answer, podBinding},

		{"46 a unicast request for an endpoint is its owner's to answer", request(podIP, to(podMAC)), Pass, podBinding},
		{"46 so is one for an operator's entry", request(printIP, to(printMAC)), Pass, printBinding},
		{"§3 a unicast request for a lease address is answered", request(hostIP, to(hostMAC)), Answer, hostBinding},
		{"46 a unicast request for an unknown address is a frame like any other",
			request(freeIP, to(neighbour)), Pass, Binding{}},

		{"47 a reply to one station is forwarded", request(podIP, op(2), to(podMAC)), Pass, Binding{}},
		{"47 so is the reply to a probe", request(zeroIP, op(2), to(podMAC)), Pass, Binding{}},
		{"47 a reply to all passes as a broadcast", request(podIP, op(2)), Pass, Binding{}},

		{"48 target 0.0.0.0", request(zeroIP), Silent, Binding{}},
		{"48 target 0.0.0.0 from 0.0.0.0 is no announcement", request(zeroIP, from(zeroIP)), Silent, Binding{}},
		{"48 target 127.0.0.1", request("127.0.0.1"), Silent, Binding{}},
		{"48 target 224.0.0.1", request("224.0.0.1"), Silent, Binding{}},
		{"48 target 255.255.255.255", request("255.255.255.255"), Silent, Binding{}},
		{"48 an announcement of 127.0.0.1", request("127.0.0.1", from("127.0.0.1")), Silent, Binding{}},
		{"48 a sender other than the frame's source", request(hostIP, sha(neighbour)), Silent, Binding{}},
		{"48 an announcement for another station", request(askerIP, sha(neighbour)), Silent, Binding{}},
		{"48 a group of stations asks nothing", request(hostIP, by(ether.Addr{0x03})), Silent, Binding{}},
		{"48 nor does nobody", request(hostIP, by(ether.Addr{})), Silent, Binding{}},
		{"50 a request for the host's own address is not answered", request(ownIP), Silent, Binding{}},
	})
}

func TestOnlyWellFormedARPIsAnswered(t *testing.T) {
	const body = ether.HeaderLen
	check(t, []spec{
		{"41 operation 0", request(hostIP, op(0)), Pass, Binding{}},
		{"41 operation 3, of RARP", request(hostIP, op(3)), Pass, Binding{}},
		{"41 operation 8, of InARP", request(hostIP, op(8)), Pass, Binding{}},
		{"41 operation 255", request(hostIP, op(255)), Pass, Binding{}},
		{"41 operation 0x0101, a request in its lower byte", request(hostIP, op(0x0101)), Pass, Binding{}},
		{"41 cut to nothing", cut(request(hostIP), 0), Malformed, Binding{}},
		{"41 cut to 8 bytes", cut(request(hostIP), 8), Malformed, Binding{}},
		{"41 cut to 20 bytes", cut(request(hostIP), 20), Malformed, Binding{}},
		{"41 cut to 27 bytes", cut(request(hostIP), 27), Malformed, Binding{}},
		{"41 hardware space 0", changed(request(hostIP), body+1, 0), Malformed, Binding{}},
		{"41 hardware space 0x0101", changed(request(hostIP), body, 1), Malformed, Binding{}},
		{"41 protocol space 0x86dd", changed(changed(request(hostIP), body+2, 0x86), body+3, 0xdd), Malformed, Binding{}},
		{"41 hardware length 8", changed(request(hostIP), body+4, 8), Malformed, Binding{}},
		{"41 hardware length 0", changed(request(hostIP), body+4, 0), Malformed, Binding{}},
		{"41 protocol length 16", changed(request(hostIP), body+5, 16), Malformed, Binding{}},
	})
}

func TestOtherFramesPass(t *testing.T) {
	typed := func(hi, lo byte) ether.Frame { return changed(changed(request(hostIP), 12, hi), 13, lo) }
	check(t, []spec{
		{"an IPv4 frame", typed(0x08, 0x00), Pass, Binding{}},
		{"a frame of no bytes beyond its header", cut(typed(0x08, 0x00), 0), Pass, Binding{}},
		{"an 802.3 frame whose length looks like nothing known", typed(0x00, 0x1c), Pass, Binding{}},
		{"RARP has a type of its own", typed(0x80, 0x35), Pass, Binding{}},
		{"a tagged request belongs to another network than the table", typed(0x81, 0x00), Pass, Binding{}},
	})
}

func TestAnEmptyTableAnswersNobody(t *testing.T) {
	for name, tab := range map[string]*Table{"nil": nil, "zero": {}} {
		if got, b := Decide(request(hostIP), vni, tab, Own{}); got != Unknown || b != (Binding{}) {
			t.Errorf("%s table: Decide = %v, %v, want Unknown without a binding", name, got, b)
		}
	}
}

func TestBindingsOfAnotherVNIAreNotUsed(t *testing.T) {
	if got, _ := Decide(request(hostIP), vni+1, testTable(), testOwn); got != Unknown {
		t.Errorf("Decide in another VNI = %v, want Unknown", got)
	}
}

func TestAHostileBindingOfTheUnspecifiedAddressMakesNoProbeAConflict(t *testing.T) {
	e := testTable().Edit()
	e.Set(Key{vni, addr(zeroIP)}, podBinding)
	if got, b := Decide(request(hostIP, from(zeroIP)), vni, e.Table(), testOwn); got != Answer || b != hostBinding {
		t.Errorf("Decide = %v, %v, want Answer, %v", got, b, hostBinding)
	}
}

func TestAHostIsBelievedAboutItselfWhileTheTableIsLate(t *testing.T) {
	e := testTable().Edit()
	e.Set(Key{vni, addr(ownIP)}, hostBinding) // the subnet's owner before us
	if got, b := Decide(request(podIP, from(ownIP)), vni, e.Table(), testOwn); got != Answer || b != podBinding {
		t.Errorf("Decide = %v, %v, want Answer, %v", got, b, podBinding)
	}
	if got, _ := Decide(request(ownIP, from(zeroIP)), vni, e.Table(), testOwn); got != Silent {
		t.Errorf("Decide about a probe for it = %v, want Silent", got)
	}
}

func TestActionsHaveTheNamesOfTheirConstants(t *testing.T) {
	var got []string
	for a := range Gratuitous + 2 {
		got = append(got, a.String())
	}
	want := []string{"Pass", "Answer", "Silent", "Malformed", "Conflict", "Unknown", "Gratuitous", "Action(7)"}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("names (-got +want):\n%s", d)
	}
}

func TestDecideDoesNotAllocate(t *testing.T) {
	tab := testTable()
	frames := []ether.Frame{
		request(hostIP), request(podIP, to(podMAC)), request(freeIP), request(hostIP, from(hostIP)), request(ownIP),
		request(askerIP), request(hostIP, op(8)), cut(request(hostIP), 5),
	}
	for _, f := range frames {
		if n := testing.AllocsPerRun(1000, func() { Decide(f, vni, tab, testOwn) }); n != 0 {
			t.Errorf("Decide allocates %v times about % x, want 0", n, []byte(f))
		}
	}
}
