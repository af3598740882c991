package vswitch

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/ledger"
)

// NetworkConfig is one VNI on this host.
type NetworkConfig struct {
	Self
	Ports []Port // one a lane
	// Wake makes all Reads that wait return.
	Wake func()
	// Count takes the counters of what belongs to the network.
	Count *Totals
	// Outer says how the outer headers of what is sent are made.
	Outer encap.Outer
	// MergeUDP says that the TAP takes superframes of UDP (Linux 6.2), where it
	// takes superframes at all: see Tables.Superframes.
	MergeUDP bool
	// Sightings, if not nil, are told which stations are behind the TAP.
	Sightings *Sightings
	// Sent and Heard, if not nil, count by VTEP what leaves (of senders that have
	// CountIn) and what is delivered. They outlive the network.
	Sent, Heard *ledger.Ledger
}

// Network is one VNI on this host, with what decides about its frames. It works
// while a switch serves it.
type Network struct {
	NetworkConfig
	tables atomic.Pointer[Tables]
	failed chan error // why the TAP takes nothing any more

	mu    sync.Mutex
	front Writer // guarded by mu: for frames that are not from the underlay
}

// NewNetwork makes a network. Its tables are empty, and nothing of it is
// forwarded, until SetTables is called.
func NewNetwork(c NetworkConfig) (*Network, error) {
	if len(c.Ports) == 0 {
		return nil, fmt.Errorf("VNI %s: no TAP queue", c.VNI)
	}
	if c.Sightings != nil && len(c.Sightings.rings) != len(c.Ports) {
		return nil, fmt.Errorf("VNI %s: sightings of %d lanes for %d", c.VNI, len(c.Sightings.rings), len(c.Ports))
	}
	n := &Network{NetworkConfig: c, failed: make(chan error, 1), front: c.Ports[0].Writer()}
	n.tables.Store(&Tables{})
	return n, nil
}

// SetTables puts tables in force from the next batch on.
func (n *Network) SetTables(t *Tables) { n.tables.Store(t) }

// Announce tells the stations behind the TAP, by a gratuitous ARP (RFC 5227
// §2.3) or an unsolicited neighbour advertisement (RFC 4861 §7.2.6), that ip has
// the address mac now.
func (n *Network) Announce(ip netip.Addr, mac ether.Addr) error {
	if !ip.IsValid() {
		return nil
	}
	return n.tell(arpproxy.Announce(make([]byte, arpproxy.MaxLen), ip, mac))
}

// Ask asks the station mac behind the TAP whether it still has ip: its answer,
// an ARP reply or a neighbour advertisement, is a sighting, and goes no further.
func (n *Network) Ask(ip netip.Addr, mac ether.Addr) error {
	if !ip.IsValid() {
		return nil
	}
	return n.tell(arpproxy.Ask(make([]byte, arpproxy.MaxLen), ip, mac, n.asker()))
}

// tell writes a frame of our own into the TAP.
func (n *Network) tell(f []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := n.front.Write([][][]byte{{noVnet, f}})
	return err
}

// fail says that the TAP is of no more use. It does not wait: the first one is
// heard.
func (n *Network) fail(err error) {
	select {
	case n.failed <- err:
	default:
	}
}
