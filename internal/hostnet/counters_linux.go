package hostnet

import "github.com/vishvananda/netlink"

// Counters returns what the kernel has counted on an interface since it was made
// (struct rtnl_link_stats64): received is what came out of it into the kernel.
func (h *Host) Counters(name string) (netlink.LinkStatistics64, error) {
	a, err := h.attrs(name)
	if err != nil || a.Statistics == nil {
		return netlink.LinkStatistics64{}, err
	}
	return netlink.LinkStatistics64(*a.Statistics), nil
}
