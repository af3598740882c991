package hostnet

import (
	"errors"
	"iter"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddrProtocol is the address protocol (IFA_PROTO, Linux 5.18) that marks an
// address as ours: the same number that marks our routes.
const AddrProtocol = RouteProtocol

// ifaProto is IFA_PROTO of linux/if_addr.h, which x/sys does not name yet.
const ifaProto = 11

// kernelLinkLocal is IFAPROT_KERNEL_LL: a link-local address that the kernel
// gave an interface by itself.
const kernelLinkLocal = 3

// dumpTries is how often a listing is begun again when something changed while
// the kernel wrote it. On a machine whose tables never rest the last one has to
// do; who needs more looks again at the next event.
const dumpTries = 5

// addr is an address of an interface as the kernel lists it.
type addr struct {
	index  int
	prefix netip.Prefix // own address, length of its network
	scope  uint8        // RT_SCOPE_…
	flags  uint32       // IFA_F_…
	proto  uint8        // who made it; 0 when unknown
}

// addrs lists all addresses of the namespace, in the kernel's order.
func (h *Host) addrs() ([]addr, error) {
	msgs, err := dump(func() ([][]byte, error) {
		req := h.request(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
		return req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
	})
	if err != nil {
		return nil, err
	}
	as := make([]addr, 0, len(msgs))
	for _, m := range msgs {
		if a, ok := parseAddr(m); ok {
			as = append(as, a)
		}
	}
	return as, nil
}

// parseAddr reads one RTM_NEWADDR message without its netlink header.
func parseAddr(m []byte) (addr, bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return addr{}, false
	}
	msg := nl.DeserializeIfAddrmsg(m)
	a := addr{index: int(msg.Index), scope: msg.Scope, flags: uint32(msg.Flags)}
	var own, peer netip.Addr
	for kind, value := range attrs(m[unix.SizeofIfAddrmsg:]) {
		switch {
		case kind == unix.IFA_LOCAL:
			own, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_ADDRESS:
			peer, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_FLAGS && len(value) >= 4:
			a.flags = nl.NativeEndian().Uint32(value)
		case kind == ifaProto && len(value) >= 1:
			a.proto = value[0]
		}
	}
	if !own.IsValid() {
		own = peer // IPv6 names its own address so, unless there is a peer
	}
	a.prefix = netip.PrefixFrom(own, int(msg.Prefixlen))
	return a, a.prefix.IsValid()
}

// attrs are the netlink attributes in b, up to the first that does not fit.
func attrs(b []byte) iter.Seq2[uint16, []byte] {
	order := nl.NativeEndian()
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(order.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			kind := order.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min((n+unix.RTA_ALIGNTO-1)&^(unix.RTA_ALIGNTO-1), len(b)):]
		}
	}
}

// addAddr gives the interface an address marked as ours. One that is there
// already gets the mark (NLM_F_REPLACE).
func (h *Host) addAddr(index int, p netip.Prefix) error {
	req := h.request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	addAddrData(req, index, p)
	req.AddData(nl.NewRtAttr(ifaProto, []byte{AddrProtocol}))
	if p.Addr().Is6() {
		// etcd vouches that nobody else has it. Duplicate address detection
		// would only send frames and keep the address from being used.
		req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(unix.IFA_F_NODAD)))
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// deleteAddr takes an address from the interface; none there is no error.
func (h *Host) deleteAddr(index int, p netip.Prefix) error {
	req := h.request(unix.RTM_DELADDR, unix.NLM_F_ACK)
	addAddrData(req, index, p)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}

func addAddrData(req *nl.NetlinkRequest, index int, p netip.Prefix) {
	msg := nl.NewIfAddrmsg(family(p.Addr()))
	msg.Index = uint32(index)
	msg.Prefixlen = uint8(p.Bits())
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, p.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, p.Addr().AsSlice()))
}

// request returns a request that goes through the Host's own socket.
func (h *Host) request(kind, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: h.socket}
	return req
}

// dump repeats a listing that was interrupted by a change.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	var all []T
	var err error
	for range dumpTries {
		all, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return all, nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// ipNet is p in the words of the netlink library.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
