package etcdsync

import (
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/state"
)

const (
	defaultLeaseTTL    = 24 * time.Hour
	defaultLivenessTTL = 30 * time.Second
	minTTL             = time.Second // etcd's unit
)

// Claim is what a host asks of the network: a subnet, and to be known by it.
type Claim struct {
	// Network is the configuration the subnet is cut from.
	Network Network
	// Unconfirmed says that the Network is that of the last run, since etcd did not
	// tell in time: before anything is written it is compared with etcd's, and
	// ErrOutdated returned where they differ in what needs a restart.
	Unconfirmed bool
	// NodeID is the host's identity: 32 lower-case hexadecimal digits.
	NodeID string
	// PublicIP and PublicIPv6 are where other hosts send datagrams; one may
	// be missing.
	PublicIP, PublicIPv6 netip.Addr
	// Port is where, if not the network's port; 0 means that one.
	Port uint16
	// MAC is the address of the host's VTEP.
	MAC ether.Addr
	// Probe, if not nil, is told to others in the host record.
	Probe *Probe
	// NoSubnet asks for the host record alone: no subnet is leased.
	NoSubnet bool
	// Want is the IPv4 subnet to have, or to fail (the IPv6 one in a network
	// without IPv4).
	Want netip.Prefix
	// Previous and Previous6 are the subnets to try first, those the host had.
	// Bits beyond their length are ignored.
	Previous, Previous6 netip.Prefix
	// Grace is how long etcd is waited for by a host that has Previous subnets
	// (or is to have none): after it Acquire goes on with them, and Run sees to
	// it that they are leased. 0 means for as long as it takes.
	Grace time.Duration
	// LeaseTTL is how long the subnet outlives its host, 0 means 24 hours.
	LeaseTTL time.Duration
	// LivenessTTL is how long the host record does, 0 means 30 seconds.
	LivenessTTL time.Duration
	// Resubnet, when not nil, is called by Run after the host had to take
	// other subnets than it had, with the Registration holding the new ones.
	Resubnet func(*Registration)
}

// complete returns the claim with defaults filled in, or an ErrBadClaim that
// lists every fault.
func (c Claim) complete() (Claim, error) {
	n, err := c.Network.Complete()
	if err != nil {
		return c, err
	}
	c.Network = n
	c.PublicIP, c.PublicIPv6 = c.PublicIP.Unmap(), c.PublicIPv6.Unmap()
	c.Want, c.Previous, c.Previous6 = c.Want.Masked(), c.Previous.Masked(), c.Previous6.Masked()
	if c.Port == 0 {
		c.Port = n.Port
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = defaultLeaseTTL
	}
	if c.LivenessTTL == 0 {
		c.LivenessTTL = defaultLivenessTTL
	}
	return c, c.check()
}

func (c Claim) check() error {
	var f faults
	if !state.ValidNodeID(c.NodeID) {
		f.addf("node id %q is not %d lower-case hexadecimal digits", c.NodeID, state.NodeIDLen)
	}
	if err := checkMAC(c.MAC); err != nil {
		f.addf("%v", err)
	}
	if err := checkFamilies(c.PublicIP, c.PublicIPv6); err != nil {
		f.addf("%v", err)
	}
	for _, a := range []netip.Addr{c.PublicIP, c.PublicIPv6} {
		if !a.IsValid() {
			continue
		}
		if err := checkUnderlay(a); err != nil {
			f.addf("public address: %v", err)
		}
	}
	if c.Grace < 0 {
		f.addf("grace %s is negative", c.Grace)
	}
	if c.LeaseTTL < minTTL || c.LivenessTTL < minTTL {
		f.addf("the leases' times to live (%s and %s) must be a second at least", c.LeaseTTL, c.LivenessTTL)
	}
	c.checkWant(&f)
	return f.err(ErrBadClaim)
}

func (c Claim) checkWant(f *faults) {
	if !c.Want.IsValid() {
		return
	}
	if c.NoSubnet {
		f.addf("subnet %s is wanted and no subnet is: one of the two", c.Want)
	}
	length := c.Network.SubnetLen
	if !c.Network.IPv4.IsValid() {
		length = c.Network.IPv6SubnetLen
	}
	if !c.Network.contains(c.Want) || c.Want.Bits() != length {
		f.addf("subnet %s is not a /%d of the network", c.Want, length)
	}
}

// leaseValue returns what the host's subnet key is to hold.
func (c *Claim) leaseValue() leaseValue {
	return leaseValue{
		publicIP: c.PublicIP, publicIPv6: c.PublicIPv6, backend: backendType,
		vni: c.Network.VNI, mac: c.MAC, mac6: c.MAC, node: c.NodeID, port: c.Port,
	}
}

// hostValue returns what the host's record is to hold.
func (c *Claim) hostValue(s subnets) hostValue {
	return hostValue{
		publicIP: c.PublicIP, publicIPv6: c.PublicIPv6, port: c.Port,
		vnis: []encap.VNI{c.Network.VNI}, subnets: s, probe: c.Probe,
	}
}
