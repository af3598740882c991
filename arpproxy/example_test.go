package arpproxy_test

import (
	"fmt"
	"net/netip"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// A request for the address of a remote host is answered from its lease.
func Example() {
	mac, _ := ether.ParseAddr("f6:ad:73:33:de:0b")
	e := new(arpproxy.Table).Edit()
	e.Set(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr("10.5.10.0")}, arpproxy.Binding{MAC: mac, Origin: fdb.Lease})
	t := e.Table()

	request := ether.Frame{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06, // everybody, from the asker
		0, 1, 8, 0, 6, 4, 0, 1, // ARP, who has
		0x02, 0, 0, 0, 0, 0x0a, 10, 5, 3, 2, 0, 0, 0, 0, 0, 0, 10, 5, 10, 0, // 10.5.10.0? Tell 10.5.3.2
	}
	action, binding := arpproxy.Decide(request, 1, t, arpproxy.Own{})
	answer := arpproxy.Reply(make([]byte, arpproxy.MaxLen), request, binding.MAC)
	v := arpproxy.View(ether.Frame(answer).Payload())
	fmt.Println(action, v.SenderIP(), "is at", v.SenderMAC())
	// Output: Answer 10.5.10.0 is at f6:ad:73:33:de:0b
}
