package etcdsync

import "slices"

// needsRestart names what differs between two configurations and cannot change
// while an agent runs.
func (n *Network) needsRestart(o *Network) []string {
	var out []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"Network", n.IPv4 == o.IPv4 && n.IPv6 == o.IPv6},
		{"SubnetLen", n.SubnetLen == o.SubnetLen && n.IPv6SubnetLen == o.IPv6SubnetLen},
		{"VNI", n.VNI == o.VNI},
		{"Port", n.Port == o.Port},
		{"MTU", n.MTU == o.MTU},
	} {
		if !f.same {
			out = append(out, f.name)
		}
	}
	return out
}

// takeLive takes from o what changes live, and reports whether that differs.
func (n *Network) takeLive(o *Network) bool {
	same := n.Flood == o.Flood && n.InnerVLAN == o.InnerVLAN && n.StrictReserved == o.StrictReserved &&
		n.UnknownVTEP == o.UnknownVTEP && slices.Equal(n.AlsoListen, o.AlsoListen)
	n.Flood, n.InnerVLAN, n.StrictReserved = o.Flood, o.InnerVLAN, o.StrictReserved
	n.UnknownVTEP, n.AlsoListen = o.UnknownVTEP, o.AlsoListen
	return !same
}
