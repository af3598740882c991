package underlay

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/internal/ledger"
)

const (
	// maxSegments is what every kernel with UDP_SEGMENT takes in one send
	// (UDP_MAX_SEGMENTS in net/udp.h; newer ones take 128).
	maxSegments = 64
	// maxRun is the longest UDP payload over IPv4, in bytes: one UDP_SEGMENT
	// send is one datagram to the stack until it is cut.
	maxRun = 65535 - 20 - 8
	// sendBatch is how many messages one sendmmsg takes here.
	sendBatch = 128
	// sendIovs is how many slices one sendmmsg takes here: four superframes
	// cut into segments of two slices each.
	sendIovs = 1024
	// sendControl holds three control messages of up to eight bytes:
	// UDP_SEGMENT, the TOS and the TTL.
	sendControl = 3 * (unix.SizeofCmsghdr + 8)
	// sendPatience is how long a full socket buffer is waited for, in
	// milliseconds, before its datagrams are dropped: a VTEP that does not
	// answer must not hold up the others.
	sendPatience = 2
)

// Sender sends datagrams. It is for one goroutine; its scratch is its own, the
// sockets are the Underlay's.
type Sender struct {
	u      *Underlay
	book   *ledger.Book // of what the kernel took, by VTEP
	groups groups

	hdrs  [sendBatch]mmsghdr
	metas [sendBatch]meta
	names [sendBatch]unix.RawSockaddrInet6
	ctrls [sendBatch][sendControl]byte
	iovs  [sendIovs]unix.Iovec
	nMsg  int
	nIov  int

	one   mmsghdr // for sending a refused run again, datagram by datagram
	alone bool    // the last call was sendmsg, for want of sendmmsg
	stats Stats   // of the Send under way
}

// meta is what a message's header does not say.
type meta struct {
	count int // datagrams
	size  int // bytes each, the last may be shorter
	bytes int
	mark  mark
	to    netip.Addr
}

// mark is what the outer headers of a run have in common besides the addresses.
type mark struct{ tos, ttl uint8 }

func markOf(d *encap.Datagram) mark { return mark{d.TOS, d.TTL} }

// NewSender returns a Sender.
func (u *Underlay) NewSender() *Sender { return &Sender{u: u} }

// CountIn has s count what the kernel takes, by VTEP, in frames and their bytes.
func (s *Sender) CountIn(b *ledger.Book) { s.book = b }

// Send sends the datagrams and returns how many the kernel took. A datagram
// that the kernel refuses costs only itself and is counted (Stats). The order
// of datagrams with the same Peer and Flow is kept. All memory is free on
// return.
func (s *Sender) Send(ds []encap.Datagram) int {
	if cap(s.groups.next) < len(ds) {
		s.groups.next = make([]int32, len(ds)) // once: batches have one largest size
	}
	s.groups.next = s.groups.next[:len(ds)]
	s.stats = Stats{}
	s.groups.reset()
	for i := range ds {
		d := &ds[i]
		family, source, ok := s.u.source(d)
		if !ok {
			s.stats.Refused++
			continue
		}
		if !s.groups.add(int32(i), d, family, source) {
			s.flushGroups(ds)
			s.groups.add(int32(i), d, family, source)
		}
	}
	s.flushGroups(ds)
	return s.publish()
}

// source picks the socket: one flow always the same one.
func (u *Underlay) source(d *encap.Datagram) (family uint8, source uint16, ok bool) {
	if !d.Peer.Addr().Is4() {
		family = 1
	}
	n := len(u.sources[family])
	if n == 0 {
		return 0, 0, false
	}
	return family, uint16(d.Flow % uint32(n)), true
}

func (s *Sender) publish() int {
	c, d := &s.u.count, &s.stats
	add(&c.datagrams, d.Datagrams)
	add(&c.messages, d.Messages)
	add(&c.calls, d.Calls)
	add(&c.tooBig, d.TooBig)
	add(&c.noRoom, d.NoRoom)
	add(&c.refused, d.Refused)
	for i, n := range d.Runs {
		add(&c.runs[i], n)
	}
	s.book.Settle()
	return int(d.Datagrams)
}

// add spares the others the cache line when there is nothing to add.
func add(c *atomic.Uint64, n uint64) {
	if n != 0 {
		c.Add(n)
	}
}

func (s *Sender) flushGroups(ds []encap.Datagram) {
	g := &s.groups
	for _, u := range g.used[:g.nUsed] {
		fd := s.u.sources[u.family][u.source].fd
		for n := u.first; n != none; n = g.list[n].sibling {
			s.runs(fd, ds, g.list[n].head)
		}
		s.flush(fd)
	}
	g.reset()
}

// runs cuts one group into runs, each a message.
func (s *Sender) runs(fd int, ds []encap.Datagram, i int32) {
	for i != none {
		d := &ds[i]
		size := length(d)
		if !s.begin(fd, d) {
			s.stats.Refused++
			i = s.groups.next[i]
			continue
		}
		m := &s.metas[s.nMsg]
		*m = meta{count: 1, size: size, bytes: size, mark: markOf(d), to: d.Peer.Addr()}
		for i = s.groups.next[i]; i != none; i = s.groups.next[i] {
			n := length(&ds[i])
			if !s.joins(m, &ds[i], n) {
				break
			}
			s.gather(&ds[i])
			m.count++
			m.bytes += n
			if n < size { // a shorter one ends the run
				i = s.groups.next[i]
				break
			}
		}
		s.finish(m)
	}
}

// joins says whether a datagram of n bytes can go on the run m.
func (s *Sender) joins(m *meta, d *encap.Datagram, n int) bool {
	return n <= m.size && n > 0 && markOf(d) == m.mark && m.count < maxSegments && m.bytes+n <= maxRun &&
		s.nIov+len(d.Data) <= sendIovs && !s.u.noSegment.Load()
}

// begin starts a message with d; what is gathered goes first when there is no
// room left. It refuses a datagram of more slices than fit at all.
func (s *Sender) begin(fd int, d *encap.Datagram) bool {
	if len(d.Data) > sendIovs {
		return false
	}
	if s.nMsg == sendBatch || s.nIov+len(d.Data) > sendIovs {
		s.flush(fd)
	}
	h := &s.hdrs[s.nMsg].hdr
	h.Iov = &s.iovs[s.nIov]
	h.Name = (*byte)(unsafe.Pointer(&s.names[s.nMsg]))
	h.Namelen = putSockaddr(&s.names[s.nMsg], d)
	h.Iovlen = 0
	s.gather(d)
	return true
}

func (s *Sender) gather(d *encap.Datagram) {
	for _, b := range d.Data {
		if len(b) == 0 {
			continue
		}
		s.iovs[s.nIov].Base = &b[0]
		s.iovs[s.nIov].SetLen(len(b))
		s.nIov++
		s.hdrs[s.nMsg].hdr.Iovlen++
	}
}

// finish writes the control messages of the message begun last.
func (s *Sender) finish(m *meta) {
	h, c := &s.hdrs[s.nMsg].hdr, &s.ctrls[s.nMsg]
	n := 0
	if m.count > 1 {
		n += putControl(c[n:], unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2, uint32(m.size))
	}
	n += m.mark.put(c[n:], s.names[s.nMsg].Family)
	h.Control, h.Controllen = nil, 0
	if n > 0 {
		h.Control = &c[0]
		h.SetControllen(n)
	}
	s.nMsg++
}

// flush sends the messages gathered. The kernel stops at the first that it
// refuses: that one is dealt with, and the rest goes on.
func (s *Sender) flush(fd int) {
	for at := 0; at < s.nMsg; {
		n, errno := s.sendmmsg(fd, at)
		if errno == 0 && n > 0 {
			for i := range s.metas[at : at+n] {
				m := &s.metas[at+i]
				s.took(m.to, m.count, m.bytes)
			}
			at += n
			continue
		}
		at += s.refused(fd, at, errno)
	}
	clear(s.iovs[:s.nIov]) // keep no memory of the caller's reachable
	s.nMsg, s.nIov = 0, 0
}

// took counts a message of so many datagrams that the kernel took.
func (s *Sender) took(to netip.Addr, count, bytes int) {
	s.stats.Datagrams += uint64(count)
	s.stats.Messages++
	s.stats.Runs[ledger.Class(count)]++
	s.book.Add(to, count, bytes-count*encap.HeaderLen)
}

// sendmmsg is sendmmsg(2) on a socket that does not block, so the scheduler is
// not told; without sendmmsg, one sendmsg.
func (s *Sender) sendmmsg(fd, at int) (int, unix.Errno) {
	s.stats.Calls++
	if s.alone = s.u.noSendmmsg.Load(); s.alone {
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.hdrs[at].hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return 1, errno
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.hdrs[at])), uintptr(s.nMsg-at), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// refused deals with the message that the kernel did not take, and returns how
// many messages are done with: 1, or 0 to try it again.
func (s *Sender) refused(fd, at int, errno unix.Errno) int {
	if !s.alone && s.u.lostSendmmsg(fd, errno) {
		return 0
	}
	m := &s.metas[at]
	switch errno {
	case unix.EINTR:
		return 0
	case unix.EAGAIN:
		if s.wait(fd) {
			return 0
		}
		s.stats.NoRoom += uint64(m.count)
	case unix.ENOBUFS, unix.ENOMEM:
		s.stats.NoRoom += uint64(m.count)
	case unix.EMSGSIZE:
		s.tooBig(fd, at)
	case unix.EIO, unix.EINVAL:
		if m.count == 1 {
			s.stats.Refused++
			break
		}
		s.unsegmented(fd, at, errno)
	default: // no route, unreachable, filtered: EHOSTUNREACH, ENETUNREACH, EPERM, EACCES …
		s.stats.Refused += uint64(m.count)
	}
	return 1
}

// tooBig: of a run every full datagram is too large, but a shorter last one
// may pass.
func (s *Sender) tooBig(fd, at int) {
	if m := &s.metas[at]; m.count == 1 {
		s.stats.TooBig++
		s.tell(&s.hdrs[at].hdr)
		return
	}
	s.each(fd, at)
}

// tell says that a message was too large for its VTEP.
func (s *Sender) tell(h *unix.Msghdr) {
	if s.u.conf.TooBig != nil {
		s.u.conf.TooBig(addrPort((*unix.RawSockaddrInet6)(unsafe.Pointer(h.Name))).Addr())
	}
}

// unsegmented sends a refused run datagram by datagram. When the kernel takes
// them so, it was the segmentation that it refused: EIO on a route that cannot
// offload checksums (net/ipv4/udp.c, udp_send_skb), EINVAL on a kernel without.
// Segmentation is given up for good then. EINVAL is also the answer to segments
// above the MTU, of which the single datagrams tell (EMSGSIZE).
func (s *Sender) unsegmented(fd, at int, errno unix.Errno) {
	before := s.stats.Datagrams
	s.each(fd, at)
	if s.stats.Datagrams-before == uint64(s.metas[at].count) {
		s.u.giveUp("udp_segment", &s.u.noSegment, errno)
	}
}

// each sends the datagrams of a run one by one.
func (s *Sender) each(fd, at int) {
	m, h := &s.metas[at], &s.hdrs[at].hdr
	iovs := unsafe.Slice(h.Iov, int(h.Iovlen))
	var ctrl [sendControl]byte
	n := m.mark.put(ctrl[:], s.names[at].Family)
	for left := m.bytes; left > 0; {
		size := min(m.size, left)
		left -= size
		k := span(iovs, size)
		s.one.hdr = unix.Msghdr{Name: h.Name, Namelen: h.Namelen, Iov: &iovs[0]}
		s.one.hdr.SetIovlen(k)
		if n > 0 {
			s.one.hdr.Control = &ctrl[0]
			s.one.hdr.SetControllen(n)
		}
		iovs = iovs[k:]
		if s.single(fd) {
			s.took(m.to, 1, size)
		}
	}
	s.one = mmsghdr{}
}

// single sends s.one, and says whether the kernel took it.
func (s *Sender) single(fd int) bool {
	for {
		s.stats.Calls++
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&s.one.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			if s.wait(fd) {
				continue
			}
			s.stats.NoRoom++
		case unix.ENOBUFS, unix.ENOMEM:
			s.stats.NoRoom++
		case unix.EMSGSIZE:
			s.stats.TooBig++
			s.tell(&s.one.hdr)
		default:
			s.stats.Refused++
		}
		return false
	}
}

// wait waits for room in the socket buffer, and says whether there is some.
func (s *Sender) wait(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(p, sendPatience)
	return err == nil && n == 1 || err == unix.EINTR
}

// span is how many slices hold the next size bytes. Datagrams never share one.
func span(iovs []unix.Iovec, size int) int {
	k := 0
	for ; size > 0; k++ {
		size -= int(iovs[k].Len)
	}
	return k
}

func length(d *encap.Datagram) int {
	n := 0
	for _, b := range d.Data {
		n += len(b)
	}
	return n
}

func putSockaddr(sa *unix.RawSockaddrInet6, d *encap.Datagram) uint32 {
	if a := d.Peer.Addr(); a.Is4() {
		s4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*s4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: ntohs(d.Peer.Port()), Addr: a.As4()}
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: ntohs(d.Peer.Port()), Addr: d.Peer.Addr().As16()}
	return unix.SizeofSockaddrInet6
}

// put writes the control messages of what is not the socket's own, and returns
// the space they take.
func (m mark) put(b []byte, family uint16) (n int) {
	level, tos, ttl := int32(unix.IPPROTO_IP), int32(unix.IP_TOS), int32(unix.IP_TTL)
	if family == unix.AF_INET6 {
		level, tos, ttl = unix.IPPROTO_IPV6, unix.IPV6_TCLASS, unix.IPV6_HOPLIMIT
	}
	if m.tos != 0 {
		n += putControl(b[n:], level, tos, 4, uint32(m.tos))
	}
	if m.ttl != 0 {
		n += putControl(b[n:], level, ttl, 4, uint32(m.ttl))
	}
	return n
}

// putControl writes one control message of a 2 or 4 byte integer and returns
// the space it takes.
func putControl(b []byte, level, typ int32, size int, v uint32) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.SizeofCmsghdr + size)
	if data := b[unix.SizeofCmsghdr:]; size == 2 {
		binary.NativeEndian.PutUint16(data, uint16(v))
	} else {
		binary.NativeEndian.PutUint32(data, v)
	}
	return unix.SizeofCmsghdr + 8
}
