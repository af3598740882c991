package fdb_test

import (
	"fmt"
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// One remote host: its VTEP, and its own address behind it.
func Example() {
	mac, _ := ether.ParseAddr("f6:ad:73:33:de:0b")
	host := &fdb.VTEP{To: netip.MustParseAddrPort("10.140.0.3:4789")}

	e := new(fdb.Table).Edit()
	e.AddVTEP(1, host)
	e.Set(fdb.Key{VNI: 1, MAC: mac}, fdb.Entry{VTEP: host, Origin: fdb.Lease, Rev: 42})
	t := e.Table()

	entry, ok := t.Lookup(1, mac)
	fmt.Println(ok, entry.VTEP.To, entry.Origin)
	fmt.Println(t.Accepts(1, netip.MustParseAddr("10.140.0.3")), t.Accepts(1, netip.MustParseAddr("10.140.0.4")))
	// Output:
	// true 10.140.0.3:4789 lease
	// true false
}
