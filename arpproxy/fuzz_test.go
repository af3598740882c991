package arpproxy

import (
	"slices"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// FuzzDecide gives any bytes to Decide, and what it wants answered to Reply.
func FuzzDecide(f *testing.F) {
	for _, seed := range []ether.Frame{
		request(hostIP),                    // answered: the door to Reply
		request(hostIP, from(zeroIP)),      // a probe: the answer has an empty target
		request(hostIP, from(hostIP)),      // looks up the sender first
		request(podIP, op(2)),              // a reply is no question
		cut(request(hostIP), 27),           // one byte short of the last field read
		solicit(hostIP6),                   // as long as its options say
		solicit(hostIP6, probing),          // no options at all
		solicit(hostIP6, more(14, 0)),      // an option that does not advance
		solicit(hostIP6, more(14, 255)),    // an option beyond the end
		solicit(hostIP6, short(4)),         // no target to read
		cut(solicit(hostIP6), 40),          // no ICMPv6 to read
		advertise(hostIP6),                 // claims what it advertises
		advertise(askerIP6, more(2, 2, 0)), // a target address too long
	} {
		f.Add([]byte(seed))
	}
	tab := testTable()
	f.Fuzz(func(t *testing.T, b []byte) {
		frame := ether.Frame(b)
		if !frame.Valid() {
			return
		}
		before := slices.Clone(b)
		action, binding := Decide(frame, vni, tab, testOwn)
		if !slices.Equal(b, before) {
			t.Errorf("Decide made % x of % x", b, before)
		}
		if action == Answer {
			sane(t, frame, Reply(make([]byte, MaxLen), frame, binding.MAC), binding.MAC, tab)
		}
	})
}

// sane checks what holds for every answer.
func sane(t *testing.T, req, answer ether.Frame, owner ether.Addr, tab *Table) {
	t.Helper()
	decode(t, answer)
	if got := answer.Src(); got != owner {
		t.Errorf("the answer is from %v, want %v", got, owner)
	}
	if got := answer.Dst(); got != req.Src() && got != allNodesMAC {
		t.Errorf("the answer goes to %v, want the asker %v", got, req.Src())
	}
	if got, _ := Decide(answer, vni, tab, testOwn); got == Answer {
		t.Errorf("the answer % x would be answered", []byte(answer))
	}
}

// FuzzNDOptions puts any options behind a solicitation whose checksum is
// right, which a fuzzer hardly finds, and reads them in a second way.
func FuzzNDOptions(f *testing.F) {
	f.Add([]byte{})                                                           // none
	f.Add([]byte{1, 1, 2, 0, 0, 0, 0, 0x0a})                                  // the asker's address
	f.Add([]byte{1, 1, 2, 0, 0, 0, 0, 0x0b})                                  // another's
	f.Add([]byte{14, 1, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 0x0b})         // another's, behind a nonce
	f.Add([]byte{1, 2, 2, 0, 0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0})          // an address of 14 bytes
	f.Add([]byte{5, 1, 0, 0, 0, 0, 0x05, 0xdc, 5, 0, 0, 0, 0, 0, 0x05, 0xdc}) // ends in an empty one
	f.Add([]byte{14, 3, 0, 0, 0, 0, 0, 0})                                    // longer than what is left
	tab := testTable()
	f.Fuzz(func(t *testing.T, options []byte) {
		if len(options) > 1400 {
			return // no frame of the overlay is as long
		}
		got, _ := Decide(solicit(hostIP6, bare, more(options...)), vni, tab, testOwn)
		if want := naiveOptions(options); got != want {
			t.Errorf("options % x: %v, want %v", options, got, want)
		}
	})
}

// naiveOptions is what Decide should say about a solicitation for a lease
// address with these options: it takes them apart before it looks at any.
func naiveOptions(o []byte) Action {
	var taken [][]byte
	for len(o) > 0 {
		n := 0
		if len(o) >= 2 {
			n = int(o[1]) * 8
		}
		if n == 0 || n > len(o) {
			return Malformed
		}
		taken, o = append(taken, o[:n]), o[n:]
	}
	action := Answer
	for i := len(taken); i > 0; i-- {
		o := taken[i-1]
		switch kind := layers.ICMPv6Opt(o[0]); kind {
		case layers.ICMPv6OptSourceAddress, layers.ICMPv6OptTargetAddress:
			if len(o) != 8 {
				return Malformed
			}
			if kind == layers.ICMPv6OptSourceAddress { // the first one counts
				action = Answer
				if ether.Addr(o[2:]) != asker {
					action = Silent
				}
			}
		}
	}
	return action
}
