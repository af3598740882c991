package vswitch

import "strconv"

// Verdict is a frame's fate. Every frame that is read from a TAP and every
// datagram that is received gets exactly one. A superframe counts as the frames
// that it stands for when it is forwarded, as one frame when it is dropped.
type Verdict uint8

// The verdicts on frames from the TAP, then those on datagrams from the
// underlay. Names that begin with Drop are drops.
const (
	// Forward: sent to the VTEP that the FDB names.
	Forward Verdict = iota
	// Answer: an ARP or ND question, answered into the TAP from the proxy table.
	Answer
	// Replicate: sent to every VTEP of the VNI.
	Replicate
	// DropShort: shorter than an Ethernet header.
	DropShort
	// DropSource: the source address is multicast or zero.
	DropSource
	// DropLinkControl: to 01:80:C2:00:00:00–0F, which no bridge passes on
	// (IEEE 802.1Q §8.6.3).
	DropLinkControl
	// DropToSelf: to the TAP's own address.
	DropToSelf
	// DropLocal: to a station behind this host, which the bridge should reach.
	DropLocal
	// DropUnknownUnicast: the FDB does not know the destination.
	DropUnknownUnicast
	// DropBroadcast: broadcast, and the network does not flood.
	DropBroadcast
	// DropMulticast: multicast, and the network does not flood.
	DropMulticast
	// DropARPSilent: a question nobody is to answer, such as a host's probe for
	// its own address.
	DropARPSilent
	// DropARPUnknown: a question for an address without a binding.
	DropARPUnknown
	// DropARPMalformed: not what its type says.
	DropARPMalformed
	// DropARPConflict: the sender claims an address bound to another station.
	DropARPConflict
	// DropGratuitous: an announcement, and the network does not flood.
	DropGratuitous
	// DropTooBig: larger than the path to the VTEP takes.
	DropTooBig
	// DropFloodRate: more was flooded of late than Config.FloodRate allows.
	DropFloodRate
	// DropOffload: the virtio header does not fit the frame.
	DropOffload

	// Deliver: the inner frame was written to the TAP.
	Deliver
	// Echoed: the frame held an echo message to this VTEP (encap/echo), which was
	// handed to Self.Echoes.
	Echoed
	// DropRuntDatagram: shorter than a VXLAN header.
	DropRuntDatagram
	// DropNoVNI: the I flag is clear (RFC 7348 §5).
	DropNoVNI
	// DropReserved: reserved bits are set and the network is strict about them.
	DropReserved
	// DropForeignVNI: the VNI is none that is served here now.
	DropForeignVNI
	// DropUnknownVTEP: the outer source is no VTEP of the VNI.
	DropUnknownVTEP
	// DropRuntFrame: the inner frame is shorter than an Ethernet header.
	DropRuntFrame
	// DropInnerSource: the inner source address is multicast or zero.
	DropInnerSource
	// DropInnerLinkControl: the inner destination is a link-local control address.
	DropInnerLinkControl
	// DropSpoofed: the inner source address is bound to another VTEP.
	DropSpoofed
	// DropSourceIP: the inner source IP address, or the one that ARP or ND
	// claims, is not the sending VTEP's, and Tables.Sources asks for that.
	DropSourceIP
	// DropOwnSource: the inner source address is our own: a loop or a spoof.
	DropOwnSource
	// DropTagged: the inner frame carries a VLAN tag (RFC 7348 §6.1).
	DropTagged
	// DropECN: congestion was marked outside and cannot be told inside (RFC
	// 6040 §4.2).
	DropECN

	numVerdicts
)

var verdictNames = [numVerdicts]string{
	Forward: "Forward", Answer: "Answer", Replicate: "Replicate", DropShort: "DropShort", DropSource: "DropSource",
	DropLinkControl: "DropLinkControl", DropToSelf: "DropToSelf", DropLocal: "DropLocal", DropUnknownUnicast: "DropUnknownUnicast",
	DropBroadcast: "DropBroadcast", DropMulticast: "DropMulticast", DropARPSilent: "DropARPSilent",
	DropARPUnknown: "DropARPUnknown", DropARPMalformed: "DropARPMalformed", DropARPConflict: "DropARPConflict",
	DropGratuitous: "DropGratuitous", DropTooBig: "DropTooBig", DropFloodRate: "DropFloodRate", DropOffload: "DropOffload",
	Deliver: "Deliver", Echoed: "Echoed", DropRuntDatagram: "DropRuntDatagram", DropNoVNI: "DropNoVNI", DropReserved: "DropReserved",
	DropForeignVNI: "DropForeignVNI", DropUnknownVTEP: "DropUnknownVTEP", DropRuntFrame: "DropRuntFrame",
	DropInnerSource: "DropInnerSource", DropInnerLinkControl: "DropInnerLinkControl", DropSpoofed: "DropSpoofed", DropSourceIP: "DropSourceIP",
	DropOwnSource: "DropOwnSource", DropTagged: "DropTagged", DropECN: "DropECN",
}

// String returns the name of the constant.
func (v Verdict) String() string {
	if v < numVerdicts {
		return verdictNames[v]
	}
	return "Verdict(" + strconv.Itoa(int(v)) + ")"
}

// Inbound reports whether the verdict is one on a datagram from the underlay.
func (v Verdict) Inbound() bool { return v >= Deliver }

// fromStation reports whether a frame from the TAP with this verdict shows that
// the station it names as its source is there.
func (v Verdict) fromStation() bool {
	return v != DropShort && v != DropSource && v != DropLinkControl
}

// Verdicts returns all verdicts, in the order of the constants.
func Verdicts() []Verdict {
	out := make([]Verdict, numVerdicts)
	for i := range out {
		out[i] = Verdict(i)
	}
	return out
}
