package firewall

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// match judges a match of iptables, which rules made with iptables hold where
// nft has no words of its own.
func (d *Datagram) match(e *expr.Match) fit {
	switch info := e.Info.(type) {
	case *xt.Udp:
		return d.ports(UDP, info.SrcPorts, info.DstPorts, byte(info.InvFlags))
	case *xt.Tcp:
		return d.ports(TCP, info.SrcPorts, info.DstPorts, byte(info.InvFlags))
	case *xt.Comment:
		return fits
	case *xt.ConntrackMtinfo1:
		return state(info.MatchFlags, info.InvertFlags, uint16(info.StateMask))
	case *xt.ConntrackMtinfo2:
		return state(info.MatchFlags, info.InvertFlags, info.StateMask)
	case *xt.ConntrackMtinfo3:
		return state(info.MatchFlags, info.InvertFlags, info.StateMask)
	case *xt.Unknown:
		return d.unknownMatch(e.Name, *info)
	}
	return mayFit
}

// ports judges the matches udp and tcp. The source port is one of many.
func (d *Datagram) ports(proto byte, src, dst [2]uint16, invert byte) fit {
	const invertSrc, invertDst = 1, 2
	if d.Proto != proto {
		if d.Proto == 0 {
			return mayFit
		}
		return fitsNot
	}
	out := fits
	if dst != [2]uint16{0, 65535} {
		switch in := d.Port >= dst[0] && d.Port <= dst[1]; {
		case d.Port == 0:
			out = mayFit
		case in == (invert&invertDst != 0):
			return fitsNot
		}
	}
	if src != [2]uint16{0, 65535} || invert&invertSrc != 0 {
		out = mayFit
	}
	return out
}

// state judges the match conntrack where it is about the state alone.
func state(flags, inverted, states uint16) fit {
	const about = uint16(xt.ConntrackState | xt.ConntrackStateAlias)
	if flags&^about != 0 {
		return mayFit
	}
	return fit3((states&ctNew != 0) != (inverted&about != 0))
}

// unknownMatch judges matches that the library leaves as they are.
func (d *Datagram) unknownMatch(name string, b []byte) fit {
	switch {
	case name == "multiport" && len(b) >= 48 && d.Port != 0 && d.Proto != 0:
		return d.multiport(b)
	case name == "mark" && len(b) >= 9: // mark, mask, invert; a new flow has none
		return fit3((binary.NativeEndian.Uint32(b) == 0) != (b[8] != 0))
	}
	return mayFit
}

// multiport reads struct xt_multiport_v1: how, count, 15 ports, 15 flags of
// ranges, inverted or not.
func (d *Datagram) multiport(b []byte) fit {
	const source, destination = 0, 1
	n := min(int(b[1]), 15)
	var in bool
	for i := 0; i < n; i++ {
		lo := binary.NativeEndian.Uint16(b[2+2*i:])
		hi := lo
		if b[32+i] != 0 && i+1 < n {
			i++
			hi = binary.NativeEndian.Uint16(b[2+2*i:])
		}
		in = in || d.Port >= lo && d.Port <= hi
	}
	if b[0] == source || b[0] != destination && !in {
		return mayFit
	}
	return fit3(in != (b[47] != 0))
}
