package fdb

import "net/netip"

// A VTEP is a host at the other end of a tunnel. It is immutable and shared by
// pointer between all entries behind it.
type VTEP struct {
	// To is where datagrams for the host are sent. An IPv4 address is in its
	// own form, not mapped into IPv6.
	To netip.AddrPort
	// Alt is the host's other address when it has one of each family, else
	// invalid. Datagrams may come from it, none are sent to it.
	Alt netip.Addr
}

// Owns reports whether src is an address of v. No address belongs to a nil
// VTEP, which stands for this host: no datagram comes from there.
func (v *VTEP) Owns(src netip.Addr) bool {
	if v == nil || !src.IsValid() {
		return false
	}
	src = src.Unmap()
	return src == v.To.Addr() || src == v.Alt
}

// usable reports whether datagrams can come from and go to a. Loopback is not
// refused: whether it may be a VTEP is the policy of who builds the table.
func usable(a netip.Addr) bool {
	limited := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a.IsValid() && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && a != limited
}
