package hostnet

// Counters are what the kernel has counted on an interface since it was made
// (struct rtnl_link_stats64). Received is what came out of it into the kernel.
type Counters struct {
	RxBytes, RxPackets, RxErrors, RxDropped, RxOver, RxMissed, Multicast uint64
	TxBytes, TxPackets, TxErrors, TxDropped, TxCarrier, Collisions       uint64
}

// Counters reads those of an interface.
func (h *Host) Counters(name string) (Counters, error) {
	a, err := h.attrs(name)
	if err != nil || a.Statistics == nil {
		return Counters{}, err
	}
	s := a.Statistics
	return Counters{
		s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped, s.RxOverErrors, s.RxMissedErrors, s.Multicast,
		s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped, s.TxCarrierErrors, s.Collisions,
	}, nil
}
