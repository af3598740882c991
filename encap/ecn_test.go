package encap_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

const (
	notECT = encap.ECNNotECT
	ect0   = encap.ECNECT0
	ect1   = encap.ECNECT1
	ce     = encap.ECNCE
	drop   = 0xff
)

// figure4 is RFC 6040 §4.2, figure 4, by inner codepoint and then by outer, in
// the order of the RFC.
var figure4 = map[uint8]map[uint8]uint8{
	notECT: {notECT: notECT, ect0: notECT, ect1: notECT, ce: drop},
	ect0:   {notECT: ect0, ect0: ect0, ect1: ect1, ce: ce},
	ect1:   {notECT: ect1, ect0: ect1, ect1: ect1, ce: ce},
	ce:     {notECT: ce, ect0: ce, ect1: ce, ce: ce},
}

const innerDSCP, outerDSCP = 0xb8, 0x48

// All 16 combinations for both inner versions, with and without IP options and
// a tag, DSCP bits set on both sides. Nothing but the ECN bits and the header
// checksum may change.
func TestInnerECNFollowsFigure4(t *testing.T) {
	for inner, row := range figure4 {
		for outer, want := range row {
			for _, fl := range []flow{{}, {options: true}, {v6: true}} {
				fl.tos, fl.data = innerDSCP|inner, "payload"
				t.Run(fmt.Sprintf("inner %d outer %d v6 %v options %v", inner, outer, fl.v6, fl.options), func(t *testing.T) {
					checkInnerECN(t, fl, fl.frame(t), outer, want)
				})
				t.Run(fmt.Sprintf("tagged inner %d outer %d v6 %v options %v", inner, outer, fl.v6, fl.options), func(t *testing.T) {
					checkInnerECN(t, fl, tag(fl.frame(t)), outer, want)
				})
			}
		}
	}
}

func checkInnerECN(t *testing.T, fl flow, f ether.Frame, outer, want uint8) {
	t.Helper()
	tagged := f.Tagged()
	ok := encap.InnerECN(f, outerDSCP|outer)
	if ok != (want != drop) {
		t.Fatalf("InnerECN = %v, want %v", ok, want != drop)
	}
	if ok {
		fl.tos = innerDSCP | want
	}
	good := fl.frame(t) // gopacket computes the checksum anew
	if tagged {
		good = tag(good)
	}
	if !bytes.Equal(f, good) {
		t.Errorf("frame = %x, want %x", []byte(f), []byte(good))
	}
}

func TestInnerECNNeverRepairsAHeaderChecksum(t *testing.T) {
	f := flow{tos: ect0}.frame(t)
	ip := ether.IPv4(f.Payload())
	ip.SetChecksum(ip.Checksum() ^ 0x0100)
	if !encap.InnerECN(f, ce) {
		t.Fatal("dropped")
	}
	if ip.TOS() != ce {
		t.Errorf("TOS = %d, want %d", ip.TOS(), ce)
	}
	if ip.HeaderValid() {
		t.Error("the wrong checksum has become right")
	}
}

func TestInnerECNLeavesAloneWhatIsNoIP(t *testing.T) {
	v4, v6 := flow{}.frame(t), flow{v6: true}.frame(t)
	swapped := bytes.Clone(v4)
	swapped[14] = 0x65 // version 6 under the type of IPv4
	tests := []struct {
		name string
		in   ether.Frame
	}{
		{"ARP", append(append(ether.Frame{}, v4[:12]...), 0x08, 0x06, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"10 bytes of IPv4", v4[:24]},
		{"19 bytes of IPv4", v4[:33]},
		{"39 bytes of IPv6", v6[:53]},
		{"a version that is not the type's", swapped},
		{"no whole Ethernet header", v4[:13]},
		{"a cut-off tag", tag(v4)[:16]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := bytes.Clone(tt.in)
			if !encap.InnerECN(got, ce) {
				t.Error("dropped, want it left alone")
			}
			if !bytes.Equal(got, tt.in) {
				t.Errorf("frame = %x, want %x", got, []byte(tt.in))
			}
			if ecn := encap.OuterECN(tt.in); ecn != notECT {
				t.Errorf("OuterECN = %d, want %d", ecn, notECT)
			}
		})
	}
}

func TestInnerECNNeedsNoMoreThanAWholeIPHeader(t *testing.T) {
	for _, tt := range []struct {
		fl  flow
		len int
	}{{flow{tos: ect0}, 34}, {flow{v6: true, tos: ect0}, 54}} {
		f := tt.fl.frame(t)[:tt.len]
		if !encap.InnerECN(f, ce) || encap.OuterECN(f) != ce {
			t.Errorf("v6 %v: codepoint = %d, want %d", tt.fl.v6, encap.OuterECN(f), ce)
		}
	}
}

func TestOuterECNIsTheInnerCodepointWithoutDSCP(t *testing.T) {
	for _, ecn := range []uint8{notECT, ect0, ect1, ce} {
		for _, fl := range []flow{{}, {v6: true}} {
			fl.tos = innerDSCP | ecn
			f := fl.frame(t)
			if got := encap.OuterECN(f); got != ecn {
				t.Errorf("OuterECN of v6 %v with %d = %d", fl.v6, ecn, got)
			}
			if got := encap.OuterECN(tag(f)); got != ecn {
				t.Errorf("OuterECN of tagged v6 %v with %d = %d", fl.v6, ecn, got)
			}
			if !bytes.Equal(f, fl.frame(t)) {
				t.Error("the inner header changed")
			}
		}
	}
}

func FuzzInnerECN(f *testing.F) {
	f.Add([]byte(flow{tos: ect0}.frame(f)), uint8(ce))               // CE to be set
	f.Add([]byte(flow{v6: true, tos: ect0}.frame(f)), uint8(ect1))   // ECT(1) to be set
	f.Add([]byte(flow{}.frame(f)), uint8(ce))                        // the one drop
	f.Add([]byte(flow{options: true, tos: 1}.frame(f)), uint8(0xff)) // whole TOS byte given
	f.Add([]byte(flow{}.frame(f))[:30], uint8(ce))                   // IP header cut off
	f.Fuzz(func(t *testing.T, before []byte, outer uint8) {
		b := ether.Frame(bytes.Clone(before))
		ok := encap.InnerECN(b, outer)
		if !ok && (outer&3 != ce || encap.OuterECN(before) != notECT) {
			t.Error("dropped without congestion seen")
		}
		changed := 0
		for i := range b {
			if b[i] != before[i] {
				changed++
			}
		}
		if changed > 3 || !ok && changed != 0 { // one byte of ECN, two of checksum
			t.Errorf("%d bytes changed: %x to %x", changed, before, b)
		}
	})
}
