package hostnet

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
)

// kubeProxyMark is the bit by which kube-proxy marks what it masquerades
// itself.
const kubeProxyMark = 0x4000

// family4or6 is the part of a Masquerade that concerns one family.
type family4or6 struct {
	family          nftables.TableFamily
	network, subnet netip.Prefix
}

// addTable adds the table with its one chain and all rules to the transaction.
func (f family4or6) addTable(c *nftables.Conn, t *nftables.Table) {
	c.AddTable(t)
	chain := c.AddChain(&nftables.Chain{
		Name:     "postrouting",
		Table:    t,
		Type:     nftables.ChainTypeNAT,
		Hooknum:  nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityNATSource,
	})
	for _, r := range f.rules() {
		c.AddRule(&nftables.Rule{
			Table:    t,
			Chain:    chain,
			Exprs:    r.exprs,
			UserData: userdata.AppendString(nil, userdata.TypeComment, r.why),
		})
	}
}

// masqRule is one rule and its reason, which is also its comment in the kernel.
type masqRule struct {
	why   string
	exprs []expr.Any
}

// rules are flannel's, in its order: the first that fits decides. Multicast is
// never masqueraded: its receivers are many, its answers none.
func (f family4or6) rules() []masqRule {
	multicast := netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 4)
	if f.family == nftables.TableFamilyIPv6 {
		multicast = netip.PrefixFrom(netip.AddrFrom16([16]byte{0xff}), 8)
	}
	return []masqRule{
		{"kube-proxy does it", rule(kubeMarked(), leave())},
		{"from here into the overlay", rule(from(f.subnet), to(f.network), leave())},
		{"from the overlay to here", rule(from(f.network), to(f.subnet), leave())},
		{"from outside to here", rule(notFrom(f.network), to(f.subnet), leave())},
		{"out of the overlay", rule(from(f.network), notTo(multicast), masquerade())},
		{"through here into the overlay", rule(notFrom(f.network), to(f.network), masquerade())},
	}
}

// rule joins matches and their outcome.
func rule(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func from(p netip.Prefix) []expr.Any    { return match(p, true, expr.CmpOpEq) }
func notFrom(p netip.Prefix) []expr.Any { return match(p, true, expr.CmpOpNeq) }
func to(p netip.Prefix) []expr.Any      { return match(p, false, expr.CmpOpEq) }
func notTo(p netip.Prefix) []expr.Any   { return match(p, false, expr.CmpOpNeq) }

// Where the addresses begin in an IP header (RFC 791 §3.1, RFC 8200 §3).
const (
	ipv4Source, ipv4Destination = 12, 16
	ipv6Source, ipv6Destination = 8, 24
)

// match compares the source or destination address with a prefix.
func match(p netip.Prefix, source bool, op expr.CmpOp) []expr.Any {
	at := uint32(ipv4Destination)
	switch {
	case p.Addr().Is4() && source:
		at = ipv4Source
	case p.Addr().Is6() && source:
		at = ipv6Source
	case p.Addr().Is6():
		at = ipv6Destination
	}
	n := uint32(p.Addr().BitLen() / 8)
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: n},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: ipNet(p).Mask, Xor: make([]byte, n)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// kubeMarked matches what bears kube-proxy's mark.
func kubeMarked() []expr.Any {
	bit := binaryutil.NativeEndian.PutUint32(kubeProxyMark)
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: bit, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: bit},
	}
}

// leave ends our chain without an address changed; others may change it still.
func leave() []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictReturn}}
}

// masquerade gives the traffic the address of the interface it leaves through,
// and a random port: with the kernel's usual choice two containers' flows to
// one destination may collide, and one is lost.
func masquerade() []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Masq{FullyRandom: true}}
}
