package vswitch

var verdictReasons = [numVerdicts]string{
	Forward:              "sent to the VTEP that the FDB names",
	Answer:               "a question, answered into the TAP from the ARP table",
	Replicate:            "sent to every VTEP of the network",
	DropShort:            "shorter than an Ethernet header",
	DropSource:           "its source address is multicast or zero",
	DropLinkControl:      "link-local control, which no bridge passes on",
	DropToSelf:           "to the TAP's own address",
	DropLocal:            "to a station behind this host, which the bridge should reach",
	DropUnknownUnicast:   "nobody in etcd has its destination address",
	DropBroadcast:        "broadcast, and the network does not flood",
	DropMulticast:        "multicast, and the network does not flood",
	DropARPSilent:        "a question that nobody is to answer",
	DropARPUnknown:       "a question for an address that nobody in etcd has, and the network does not flood",
	DropARPMalformed:     "malformed ARP or neighbour discovery",
	DropARPConflict:      "it claims an address that etcd binds to another station",
	DropGratuitous:       "an announcement, and the network does not flood",
	DropTooBig:           "larger than the path to the VTEP takes",
	DropFloodRate:        "more was flooded of late than --flood-rate allows",
	DropOffload:          "its virtio header does not fit it",
	Deliver:              "written to the TAP",
	Echoed:               "an echo message to this VTEP, handed to its agent",
	DropRuntDatagram:     "shorter than a VXLAN header",
	DropNoVNI:            "its I flag is clear, so it has no VNI",
	DropReserved:         "reserved bits are set, and the network is strict about them",
	DropForeignVNI:       "its VNI is none of this host's",
	DropUnknownVTEP:      "its sender is no VTEP of the network in etcd",
	DropRuntFrame:        "its inner frame is shorter than an Ethernet header",
	DropInnerSource:      "its inner source address is multicast or zero",
	DropInnerLinkControl: "its inner frame is link-local control, which no bridge passes on",
	DropSpoofed:          "etcd has its inner source address behind another VTEP",
	DropSourceIP:         "its inner source IP address is not the sender's, and --strict-source asks for that",
	DropOwnSource:        "its inner source address is our own: a loop or a spoof",
	DropTagged:           "its inner frame carries a VLAN tag, and the network carries none",
	DropECN:              "congestion was marked outside and cannot be told inside",
}

// Reason says in a few words what the verdict means, for people; "" for one that
// there is not.
func (v Verdict) Reason() string {
	if v < numVerdicts {
		return verdictReasons[v]
	}
	return ""
}

// Drop reports whether the verdict is a drop.
func (v Verdict) Drop() bool {
	switch v {
	case Forward, Answer, Replicate, Deliver, Echoed:
		return false
	}
	return true
}

// VerdictNamed returns the verdict with a name, as String gives it.
func VerdictNamed(name string) (v Verdict, ok bool) {
	for v, n := range verdictNames {
		if n == name {
			return Verdict(v), true
		}
	}
	return 0, false
}
