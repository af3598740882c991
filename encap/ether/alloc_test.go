package ether_test

import (
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

// Every function that runs once a frame or more is named here.
func TestNothingPerFrameAllocates(t *testing.T) {
	buf := make([]byte, 0, 64)
	tagged := frame(0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x08, 0x00, 1, 2)
	ip6 := chain(0, ext(ether.ProtoUDP, 0), make([]byte, 20))
	for name, run := range map[string]func(){
		"Addr.AppendTo":  func() { buf = addrA.AppendTo(buf[:0]) },
		"Addr kinds":     func() { _ = addrA.IsZero() || addrA.IsMulticast() || addrA.IsBroadcast() || addrA.IsLinkControl() },
		"Network":        func() { _, _ = tagged.Network() },
		"StripTags":      func() { _ = ether.StripTags(tagged) },
		"PutHeader":      func() { ether.PutHeader(buf[:ether.HeaderLen], addrA, addrB, ether.TypeIPv4) },
		"IPv4 addresses": func() { _, _ = ether.IPv4(vector4).Src(), ether.IPv4(vector4).Dst() },
		"IPv6 addresses": func() { ip6.SetSrc(ip6.Dst()) },
		"Transport":      func() { _, _, _, _ = ip6.Transport() },
		"Checksum":       func() { _ = ether.Checksum(vector4) },
		"Sum, long":      func() { var b [1398]byte; _ = ether.Sum(b[:], 0) },
		"PseudoSum4":     func() { _ = ether.PseudoSum4(vector4, ether.ProtoTCP, 20) },
		"PseudoSum6":     func() { _ = ether.PseudoSum6(ip6, ether.ProtoTCP, 20) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times a run, want 0", name, n)
		}
	}
}
