package etcdsync_test

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/uvtep/uvtep/etcdsync"
)

func ExampleNewNetwork() {
	n := etcdsync.NewNetwork(netip.MustParsePrefix("10.10.0.0/16"), netip.Prefix{})
	n.Flood = true
	b, err := json.Marshal(n)
	fmt.Println(string(b), err)
	// Output: {"Network":"10.10.0.0/16","SubnetLen":24,"SubnetMin":"10.10.1.0","SubnetMax":"10.10.255.0","EnableIPv4":true,"EnableIPv6":false,"Backend":{"Type":"vxlan","VNI":1,"Port":4789,"Flood":true}} <nil>
}

func ExampleParseNetwork() {
	_, _, err := etcdsync.ParseNetwork([]byte(`{"Network":"10.10.0.0/16","SubnetLen":17,"Backend":{"Type":"vxlan","Port":99999}}`))
	fmt.Println(err)
	// Output: bad network configuration: Backend.Port 99999 is not a port; SubnetLen 17 does not fit: 10.10.0.0/16 must hold at least four subnets
}
