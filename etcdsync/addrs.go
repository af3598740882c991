package etcdsync

import (
	"iter"
	"net/netip"
	"slices"
)

// addrs are IP addresses as bytes, each behind its length: there is one such list
// for each station, and hardly ever more than one address in it.
type addrs string

func newAddrs(ips ...netip.Addr) addrs {
	var room [64]byte
	b := room[:0]
	for _, ip := range ips {
		b = append(b, byte(ip.BitLen()/8))
		b = append(b, ip.AsSlice()...)
	}
	return addrs(b)
}

// all yields the addresses in their order.
func (a addrs) all() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for rest := a; len(rest) > 0; rest = rest[1+rest[0]:] {
			if !yield(rest.first()) {
				return
			}
		}
	}
}

// first is the first of at least one.
func (a addrs) first() netip.Addr {
	if a[0] == 4 {
		return netip.AddrFrom4([4]byte([]byte(a[1:5])))
	}
	return netip.AddrFrom16([16]byte([]byte(a[1:17])))
}

func (a addrs) has(ip netip.Addr) bool {
	for q := range a.all() {
		if q == ip {
			return true
		}
	}
	return false
}

func (a addrs) list() []netip.Addr { return slices.Collect(a.all()) }
