package hostnet

import (
	"fmt"

	"github.com/uvtep/uvtep/encap"
)

// MinMTU6 is the least MTU an interface with IPv6 may have (RFC 8200 §5); the
// kernel takes IPv6 away from one with less.
const MinMTU6 = 1280

// minMTU is the least MTU an interface with IPv4 may have (RFC 791 §3.2).
const minMTU = 68

// MTU returns the MTU of the TAP, in bytes, given that of the underlay and the
// network's Backend.MTU (the underlay's too; 0 when the network sets none): the
// smaller of both less the tunnel's overhead, 50 bytes over IPv4 and 70 over
// IPv6.
func MTU(underlay, backend int, underlay6 bool) (int, error) {
	outer := underlay
	if backend > 0 {
		outer = min(underlay, backend)
	}
	mtu := outer - encap.Overhead(underlay6, 0)
	if mtu < minMTU {
		return 0, fmt.Errorf("underlay MTU %d leaves %d bytes inside the tunnel, too few for IPv4 (%d)", outer, mtu, minMTU)
	}
	return mtu, nil
}
