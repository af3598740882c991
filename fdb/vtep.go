package fdb

import "net/netip"

// A VTEP is a host at the other end of a tunnel. It is immutable and shared by
// pointer between all entries behind it.
type VTEP struct {
	// To is where datagrams for the host are sent.
	To netip.AddrPort
	// Alt is the host's other address when it has one of each family, else
	// invalid. Datagrams may come from it, none are sent to it.
	Alt netip.Addr
}

// Owns reports whether src is an address of v. No address belongs to a nil
// VTEP, which stands for this host: a datagram cannot come from there.
func (v *VTEP) Owns(src netip.Addr) bool {
	if v == nil || !src.IsValid() {
		return false
	}
	src = src.Unmap()
	return src == v.To.Addr().Unmap() || src == v.Alt.Unmap()
}

// usable reports whether datagrams can be exchanged with a.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a.Unmap() != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
