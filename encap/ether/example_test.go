package ether_test

import (
	"fmt"

	"github.com/uvtep/uvtep/encap/ether"
)

// A frame is read where it lies, one door at a time.
func Example() {
	f := ether.Frame{
		0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, // destination, source
		0x81, 0x00, 0x00, 0x2a, // VLAN 42
		0x08, 0x00, // IPv4
		0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 10, 3, 1, 10, 10, 4, 1,
		0x00, 0x35, 0x30, 0x39, 0, 8, 0, 0, // UDP from port 53
	}
	if !f.Valid() {
		return
	}
	t, b := f.Network()
	if ip := ether.IPv4(b); t == ether.TypeIPv4 && ip.Valid() {
		udp := ether.UDP(ip.Payload())
		fmt.Println(f.Src(), f.Tags(), ip.Src(), ip.Dst(), udp.Valid(), udp.SrcPort())
	}
	// Output: 02:00:00:00:00:01 1 10.10.3.1 10.10.4.1 true 53
}
