package offload

import "github.com/uvtep/uvtep/encap/ether"

// Finish returns the frames and superframes made of all that was added, in the
// order in which their first frames came. Each is a gather list that begins
// with its virtio header, followed by the first frame whole, and then the
// payloads merged into it. The headers of superframes have been changed in
// place, in the caller's buffers; every other frame is as it was added. The
// lists stand until Reset; nothing may be added before.
func (m *Merger) Finish() [][][]byte {
	for i := len(m.lists); i < len(m.outs); i++ {
		o := &m.outs[i]
		n := len(m.parts)
		m.parts = append(m.parts, m.vnet(o), o.Frame)
		for at := o.ahead; at >= 0; at = m.pieces[at].next {
			m.parts = append(m.parts, m.pieces[at].data)
		}
		m.lists = append(m.lists, m.parts[n:len(m.parts):len(m.parts)])
	}
	return m.lists
}

// Run returns the group of output i and the gather lists from there on that
// are of the same group, for one write. It requires Finish and i < Len.
func (m *Merger) Run(i int) (group int, lists [][][]byte) {
	group = m.outs[i].Group
	end := i + 1
	for end < len(m.outs) && m.outs[end].Group == group {
		end++
	}
	return group, m.lists[i:end:end]
}

// Len returns how many outputs there are so far.
func (m *Merger) Len() int { return len(m.outs) }

// Frames returns how many frames output i is made of, for counters.
func (m *Merger) Frames(i int) int { return m.outs[i].frames }

// vnet returns the virtio header of o; that of a superframe describes the
// headers, which it changes to stand for all segments.
func (m *Merger) vnet(o *output) VnetHeader {
	h := m.nextVnet()
	if o.frames > 1 {
		o.seal(h)
		return h
	}
	if Unfinished(h, o.Frame, o.MTU, o.Segment) {
		return h
	}
	m.vnets = m.vnets[:len(m.vnets)-VnetHeaderLen]
	return m.plain
}

// nextVnet returns a clear header out of the scratch.
func (m *Merger) nextVnet() VnetHeader {
	n := len(m.vnets)
	m.vnets = m.vnets[:n+VnetHeaderLen]
	h := VnetHeader(m.vnets[n:])
	h.Clear()
	return h
}

// seal makes the headers of o's first frame those of the superframe: lengths
// of the whole, the last frame's PSH, IPv4's checksum complete and the one
// behind it unfinished.
func (o *output) seal(h VnetHeader) {
	f, length := o.Frame, o.data-o.l4+o.payload
	o.end = o.data + o.payload
	if o.v6 {
		ether.IPv6(f[o.net:]).SetPayloadLen(length)
	} else {
		ip := ether.IPv4(f[o.net:])
		ip.SetTotalLen(o.end - o.net)
		ip.Finish()
	}
	sum := ether.Fold(o.pseudoSum(f))
	if o.udp {
		ether.UDP(f[o.l4:]).SetLen(length)
		ether.UDP(f[o.l4:]).SetChecksum(sum)
	} else {
		o.sealTCP(ether.TCP(f[o.l4:]), sum)
	}
	o.describeSuper(h)
}

func (o *output) sealTCP(b ether.TCP, sum uint16) {
	b.SetChecksum(sum)
	if o.push {
		b.SetFlags(b.Flags() | ether.TCPPsh)
	}
}

func (o *output) describeSuper(h VnetHeader) {
	h.SetFlags(FlagNeedsCsum)
	h.SetHeaderLen(o.data)
	h.SetCsum(o.l4, o.csumOffset())
	h.SetGSO(o.kind(o.Frame), o.size)
}
