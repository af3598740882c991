package hostnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// masqTable is the name of the nftables tables that hold our rules, followed by
// the TAP's name: uvtep-uvtep.1.
const masqTable = "uvtep-"

// Masquerade says whose traffic gets the host's address where it leaves the
// overlay.
type Masquerade struct {
	// TAP is the overlay's, so that several overlays on one host each have
	// rules of their own.
	TAP string
	// Network and IPv6Network are the whole overlay, Subnet and IPv6Subnet
	// this host's part of it. A zero prefix means that the family is not in
	// use.
	Network, IPv6Network netip.Prefix
	Subnet, IPv6Subnet   netip.Prefix
}

// EnsureMasquerade makes the rules of m the ones in force: all at once, so that
// no frame ever meets half of them. It may be called at any time; what it
// replaces is only ours.
//
// The rules are flannel's. Traffic inside the overlay keeps its addresses, and
// so does what comes to this host's subnet from outside. What leaves the
// overlay gets the host's address, and so does what enters a remote part of it
// from outside through this host, so that its answer comes back this way.
// What kube-proxy has marked is left to kube-proxy.
func (h *Host) EnsureMasquerade(m Masquerade) error {
	if err := m.validate(); err != nil {
		return fmt.Errorf("masquerade: %w", err)
	}
	return h.replaceTables(m)
}

// RemoveMasquerade removes the rules of that TAP's overlay; it is no error when
// there are none.
func (h *Host) RemoveMasquerade(tap string) error {
	return h.replaceTables(Masquerade{TAP: tap})
}

func (m Masquerade) validate() error {
	var errs []error
	for _, p := range []struct{ network, subnet netip.Prefix }{{m.Network, m.Subnet}, {m.IPv6Network, m.IPv6Subnet}} {
		if p.network.IsValid() != p.subnet.IsValid() || p.network.IsValid() && !inside(p.network, p.subnet) {
			errs = append(errs, fmt.Errorf("subnet %s is no part of network %s", p.subnet, p.network))
		}
	}
	return errors.Join(errs...)
}

// inside reports whether subnet is network or a part of it.
func inside(network, subnet netip.Prefix) bool {
	return network.Bits() <= subnet.Bits() && network.Contains(subnet.Addr())
}

// replaceTables puts the tables of m in the place of what is there, in one
// transaction; a family that m does not use loses its table.
func (h *Host) replaceTables(m Masquerade) error {
	c, err := h.nftables()
	if err != nil {
		return err
	}
	for _, f := range []family4or6{
		{nftables.TableFamilyIPv4, m.Network, m.Subnet},
		{nftables.TableFamilyIPv6, m.IPv6Network, m.IPv6Subnet},
	} {
		t := &nftables.Table{Name: masqTable + m.TAP, Family: f.family}
		was, err := exists(c, t)
		if err != nil {
			return fmt.Errorf("list nftables: %w", err)
		}
		if was {
			c.DelTable(t)
		}
		if f.network.IsValid() {
			f.addTable(c, t)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set nftables %s%s: %w", masqTable, m.TAP, err)
	}
	return nil
}

// nftables returns a connection to the firewall of the Host's namespace. It
// holds nothing open between transactions.
func (h *Host) nftables() (*nftables.Conn, error) {
	var opts []nftables.ConnOption
	if h.ns.IsOpen() {
		opts = append(opts, nftables.WithNetNSFd(int(h.ns)))
	}
	c, err := nftables.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return c, nil
}

// exists reports whether the table is there. A kernel without nftables for the
// family has none.
func exists(c *nftables.Conn, t *nftables.Table) (bool, error) {
	ts, err := c.ListTablesOfFamily(t.Family)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	for _, is := range ts {
		if is.Name == t.Name {
			return true, nil
		}
	}
	return false, err
}
