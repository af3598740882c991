package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// Parts of rules, as nft compiles them.

func all(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func eq(b ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b} }

func udp() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, eq(UDP)}
}

func loadPort() expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}
}

func be(port uint16) []byte { return binary.BigEndian.AppendUint16(nil, port) }

func dport(port uint16) []expr.Any { return append(udp(), loadPort(), eq(be(port)...)) }

func notPort(port uint16) []expr.Any {
	return append(udp(), loadPort(), &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: be(port)})
}

// saddr loads as many bytes as matter, as nft does for prefixes of whole bytes.
func saddr(b ...byte) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: uint32(len(b))}, eq(b...)}
}

func daddr(b ...byte) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: uint32(len(b))}, eq(b...)}
}

func cmpPort(op expr.CmpOp, port uint16) []expr.Any {
	return []expr.Any{&expr.Cmp{Op: op, Register: 1, Data: be(port)}}
}

func portRange(op expr.CmpOp, from, to uint16) []expr.Any {
	return []expr.Any{&expr.Range{Op: op, Register: 1, FromData: be(from), ToData: be(to)}}
}

func in(name string) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, eq(ifname(name)...)}
}

// states matches a mask of conntrack states.
func states(mask uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(mask), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
	}
}

func lookup(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: set}}
}

func vmap(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: 1, SetName: set, IsDestRegSet: true}}
}

func sport() []expr.Any {
	return append(udp(), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Len: 2}, eq(be(53)...))
}

func verdict(k expr.VerdictKind) []expr.Any {
	return []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: k}}
}

func jump(to string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: to}}
}

func gotoChain(to string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: to}}
}

var (
	drop   = verdict(expr.VerdictDrop)
	accept = verdict(expr.VerdictAccept)
)

// iptables is a match of iptables.
func iptables(name string, info xt.InfoAny) []expr.Any {
	return []expr.Any{&expr.Match{Name: name, Info: info}}
}

func ranged(m *xt.Unknown, first int) *xt.Unknown {
	(*m)[32+first] = 1
	return m
}

func conntrack(about, inverted, states uint16) []expr.Any {
	return iptables("conntrack", &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{
		ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: about, InvertFlags: inverted}, StateMask: states,
	}})
}

// mark matches mark 0, or all others.
func mark(invert byte) *xt.Unknown {
	b := make(xt.Unknown, 12)
	b[8] = invert
	return &b
}

func multiport(how, invert byte, ports ...uint16) *xt.Unknown {
	b := make(xt.Unknown, 48)
	b[0], b[1], b[47] = how, byte(len(ports)), invert
	for i, p := range ports {
		binary.NativeEndian.PutUint16(b[2+2*i:], p)
	}
	return &b
}

// input is a ruleset with one base chain, and others that it may jump to.
func input(policyDrop bool, rules [][]expr.Any, more ...Chain) *Ruleset {
	base := Chain{Family: nftables.TableFamilyINet, Table: "filter", Name: "input", Base: true, Hook: Input, Drop: policyDrop}
	for i, r := range rules {
		base.Rules = append(base.Rules, Rule{Handle: uint64(i + 1), Exprs: r})
	}
	rs := &Ruleset{Chains: []Chain{base}, Sets: map[SetName][]nftables.SetElement{}}
	for _, c := range more {
		c.Family, c.Table = base.Family, base.Table
		rs.Chains = append(rs.Chains, c)
	}
	return rs
}

// withOther adds a chain that is another table's.
func withOther(rs *Ruleset, c Chain) *Ruleset {
	rs.Chains = append(rs.Chains, c)
	return rs
}

func (rs *Ruleset) with(set string, elements ...nftables.SetElement) *Ruleset {
	rs.Sets[SetName{nftables.TableFamilyINet, "filter", set}] = elements
	return rs
}

// outcome is what Walk says, in short.
func outcome(cs []Culprit) string {
	var out []string
	for _, c := range cs {
		s := "policy"
		if c.Rule != nil {
			s = c.Rule.words()
		}
		if !c.Sure {
			s = "perhaps " + s
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

func TestADatagramMeetsItsFate(t *testing.T) {
	key := func(b []byte, end bool) nftables.SetElement { return nftables.SetElement{Key: b, IntervalEnd: end} }
	port := func(p uint16, k expr.VerdictKind) nftables.SetElement {
		return nftables.SetElement{Key: be(p), VerdictData: &expr.Verdict{Kind: k}}
	}
	for _, c := range []struct {
		name string
		rs   *Ruleset
		want string
	}{
		{"no rule at all", input(false, nil), ""},
		{"a rule that drops it", input(false, [][]expr.Any{all(dport(4789), drop)}), "udp dport 4789 drop"},
		{"a rule about another port", input(false, [][]expr.Any{all(dport(8472), drop)}), ""},
		{"a rule about all other ports", input(false, [][]expr.Any{all(notPort(8472), drop)}), "udp dport != 8472 drop"},
		{"a policy to drop", input(true, [][]expr.Any{all(states(6), accept), all(in("lo"), accept), all(dport(22), accept)}), "policy"},
		{"let in before the policy", input(true, [][]expr.Any{all(dport(4789), accept)}), ""},
		{"let in when it is new", input(true, [][]expr.Any{all(states(8), accept)}), ""},
		{"let in before the rule", input(false, [][]expr.Any{all(saddr(192, 0, 2), accept), all(dport(4789), drop)}), ""},
		{"from this sender", input(false, [][]expr.Any{all(saddr(192, 0, 2, 7), drop)}), "ip saddr 192.0.2.7 drop"},
		{"from its network", input(false, [][]expr.Any{all(saddr(192, 0, 2), drop)}), "ip saddr 192.0.2.0/24 drop"},
		{"by whom somebody else took the address", input(true, [][]expr.Any{all([]expr.Any{&expr.Ct{Key: expr.CtKeySTATUS, Register: 1}, eq(native(32)...)}, accept)}), "policy"},
		{"from another sender", input(false, [][]expr.Any{all(saddr(192, 0, 2, 8), drop)}), ""},
		{"from a source port", input(false, [][]expr.Any{all(sport(), drop)}), "perhaps udp sport 53 drop"},
		{"perhaps let in, then dropped", input(true, [][]expr.Any{all(sport(), accept)}), "perhaps policy"},
		{"too many a second", input(false, [][]expr.Any{all(dport(4789), []expr.Any{&expr.Limit{Over: true}}, drop)}), "perhaps udp dport 4789 limit drop"},
		{"rejected", input(false, [][]expr.Any{all(dport(4789), []expr.Any{&expr.Reject{}})}), "udp dport 4789 reject"},
		{"on another interface", input(false, [][]expr.Any{all(in("eth1"), drop)}), ""},
		{"in a chain that is called", input(false, [][]expr.Any{all(udp(), jump("deep"))}, Chain{Name: "deep", Rules: []Rule{{9, all(dport(4789), drop)}}}), "udp dport 4789 drop"},
		{"back from a chain", input(true, [][]expr.Any{all(jump("deep")), all(dport(4789), accept)}, Chain{Name: "deep", Rules: []Rule{{9, verdict(expr.VerdictReturn)}, {10, drop}}}), ""},
		{"a chain that calls itself", input(true, [][]expr.Any{all(jump("input"))}), "policy"},
		{"in a set", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("ports"), drop)}).with("ports", key(be(53), false), key(be(4789), false)), "udp dport @ports drop"},
		{"not in a set", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("ports"), drop)}).with("ports", key(be(53), false)), ""},
		{"in a range of a set", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("ports"), drop)}).with("ports", key(be(4800), true), key(be(4700), false), key(be(0), true)), "udp dport @ports drop"},
		{"beyond a range of a set", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("ports"), drop)}).with("ports", key(be(4700), false), key(be(4789), true)), ""},
		{"by a map of verdicts", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, vmap("m"))}).with("m", port(22, expr.VerdictAccept), port(4789, expr.VerdictDrop)), "udp dport @m"},
		{"by a map that is not read", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, vmap("m"))}), ""},
		{"a set that is not read", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("s"), drop)}), "perhaps udp dport @s drop"},
		{"what marks the datagram", input(false, [][]expr.Any{all([]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, eq(native(0x8000)...)}, drop)}), ""},
		{"no way back", input(false, [][]expr.Any{all([]expr.Any{&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true}, eq(native(0)...)}, drop)}), ""},
		{"an expression that is not understood", input(false, [][]expr.Any{all([]expr.Any{&expr.Socket{Register: 1}, eq(1)}, drop)}), "perhaps drop"},
		{"iptables: this port", input(false, [][]expr.Any{all(iptables("udp", &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{4789, 4789}}), drop)}), "udp dport 4789 drop"},
		{"iptables: all but this port", input(false, [][]expr.Any{all(iptables("udp", &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{4789, 4789}, InvFlags: 2}), drop)}), ""},
		{"iptables: TCP", input(false, [][]expr.Any{all(iptables("tcp", &xt.Tcp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{0, 65535}}), drop)}), ""},
		{"iptables: established", input(true, [][]expr.Any{all(iptables("conntrack", &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: 0x2001}, StateMask: 6}}), accept)}), "policy"},
		{"iptables: new", input(true, [][]expr.Any{all(iptables("conntrack", &xt.ConntrackMtinfo3{ConntrackMtinfo2: xt.ConntrackMtinfo2{ConntrackMtinfoBase: xt.ConntrackMtinfoBase{MatchFlags: 1}, StateMask: 8}}), accept)}), ""},
		{"iptables: several ports", input(true, [][]expr.Any{all(iptables("multiport", multiport(1, 0, 53, 4789)), accept)}), ""},
		{"iptables: several other ports", input(true, [][]expr.Any{all(iptables("multiport", multiport(1, 1, 53, 4789)), accept)}), "policy"},
		{"iptables: something else", input(false, [][]expr.Any{all(iptables("owner", &xt.Unknown{}), drop)}), "perhaps -m owner drop"},
		{"iptables: rejected", input(false, [][]expr.Any{all(iptables("comment", new(xt.Comment)), []expr.Any{&expr.Target{Name: "REJECT"}})}), "-m comment REJECT"},
		{"perhaps back from a chain that drops it", input(false, [][]expr.Any{all(jump("deep"))}, Chain{Name: "deep", Rules: []Rule{{8, all(sport(), verdict(expr.VerdictReturn))}, {9, drop}}}), "perhaps drop"},
		{"perhaps back from a chain that lets it in", input(true, [][]expr.Any{all(jump("deep"))}, Chain{Name: "deep", Rules: []Rule{{8, all(sport(), verdict(expr.VerdictReturn))}, {9, accept}}}), "perhaps policy"},
		{"perhaps gone to another chain for good", input(true, [][]expr.Any{all(sport(), gotoChain("deep")), accept}, Chain{Name: "deep"}), "perhaps policy"},
		{"gone to another chain for good", input(true, [][]expr.Any{all(gotoChain("deep")), accept}, Chain{Name: "deep"}), "policy"},
		{"in a chain that a called one calls", input(false, [][]expr.Any{all(jump("deep"))}, Chain{Name: "deep", Rules: []Rule{{8, all(jump("deeper"))}}}, Chain{Name: "deeper", Rules: []Rule{{9, drop}}}), "drop"},
		{"below its port", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, cmpPort(expr.CmpOpLt, 4789), drop)}), ""},
		{"up to its port", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, cmpPort(expr.CmpOpLte, 4789), drop)}), "udp dport <= 4789 drop"},
		{"beyond its port", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, cmpPort(expr.CmpOpGt, 4789), drop)}), ""},
		{"from its port on", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, cmpPort(expr.CmpOpGte, 4789), drop)}), "udp dport >= 4789 drop"},
		{"in a range", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, portRange(expr.CmpOpEq, 4000, 4789), drop)}), "udp dport 4000-4789 drop"},
		{"below a range", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, portRange(expr.CmpOpEq, 4790, 5000), drop)}), ""},
		{"not beyond a range", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, portRange(expr.CmpOpNeq, 4789, 5000), drop)}), ""},
		{"beyond a range", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, portRange(expr.CmpOpNeq, 4000, 4788), drop)}), "udp dport != 4000-4788 drop"},
		{"in none of a set", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort(), &expr.Lookup{SourceRegister: 1, SetName: "ports", Invert: true}}, drop)}).with("ports", key(be(53), false)), "udp dport @ports drop"},
		{"in a set that others are dropped for", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort(), &expr.Lookup{SourceRegister: 1, SetName: "ports", Invert: true}}, drop)}).with("ports", key(be(4789), false)), ""},
		{"where a range begins as another ends", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("ports"), drop)}).with("ports", key(be(4700), false), key(be(4789), true), key(be(4789), false), key(be(4800), true)), "udp dport @ports drop"},
		{"in a set of pairs", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, lookup("s"), drop)}).with("s", nftables.SetElement{Key: be(4000), KeyEnd: be(5000)}), "perhaps udp dport @s drop"},
		{"by a map that is not known to be about it", input(false, [][]expr.Any{all(udp(), []expr.Any{loadPort()}, vmap("m"))}).with("m", nftables.SetElement{Key: be(1), KeyEnd: be(9), VerdictData: &expr.Verdict{Kind: expr.VerdictAccept}}, port(22, expr.VerdictDrop)), "perhaps udp dport @m"},
		{"masked and turned", input(false, [][]expr.Any{all([]expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: 1}, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Mask: native(0xff), Xor: native(1)}, eq(native(1)...)}, drop)}), "meta mark 0x" + fmt.Sprintf("%x", native(1)) + " drop"},
		{"by both numberings of registers", input(false, [][]expr.Any{all([]expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Register: 8, Data: []byte{UDP}}, &expr.Meta{Key: expr.MetaKeyMARK, Register: 12}, &expr.Cmp{Register: 2, Data: native(7)}}, drop)}), ""},
		{"a chain of that name in another table", withOther(input(false, [][]expr.Any{all(jump("deep"))}), Chain{Family: nftables.TableFamilyINet, Table: "nat", Name: "deep", Rules: []Rule{{9, drop}}}), ""},
		{"given to a program", input(true, [][]expr.Any{all(dport(4789), []expr.Any{&expr.Queue{}})}), ""},
		{"what marks the connection", input(false, [][]expr.Any{all([]expr.Any{&expr.Ct{Key: expr.CtKeyMARK, Register: 1}, eq(native(7)...)}, drop)}), ""},
		{"to this host", input(false, [][]expr.Any{all(daddr(192, 0, 2, 1), drop)}), "ip daddr 192.0.2.1 drop"},
		{"to another host", input(false, [][]expr.Any{all(daddr(192, 0, 2, 7), drop)}), ""},
		{"out of an interface", input(false, [][]expr.Any{all([]expr.Any{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1}, eq(ifname("eth0")...)}, drop)}), ""},
		{"iptables: a port and those beyond", input(true, [][]expr.Any{all(iptables("udp", &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{4000, 4788}}), accept)}), "policy"},
		{"iptables: ports up to this one", input(false, [][]expr.Any{all(iptables("udp", &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{4000, 4789}}), drop)}), "udp dport 4000-4789 drop"},
		{"iptables: no source port at all", input(false, [][]expr.Any{all(iptables("udp", &xt.Udp{SrcPorts: [2]uint16{0, 65535}, DstPorts: [2]uint16{4789, 4789}, InvFlags: 1}), drop)}), "perhaps udp dport 4789 drop"},
		{"iptables: a range among several ports", input(true, [][]expr.Any{all(iptables("multiport", ranged(multiport(1, 0, 22, 4000, 5000), 1)), accept)}), ""},
		{"iptables: several source ports", input(true, [][]expr.Any{all(iptables("multiport", multiport(0, 0, 53, 4789)), accept)}), "perhaps policy"},
		{"iptables: about more than the state", input(true, [][]expr.Any{all(conntrack(0x2005, 0, 8), accept)}), "perhaps policy"},
		{"iptables: not new", input(true, [][]expr.Any{all(conntrack(1, 1, 8), accept)}), "policy"},
		{"iptables: not marked", input(true, [][]expr.Any{all(iptables("mark", mark(0)), accept)}), ""},
		{"iptables: all that is marked", input(true, [][]expr.Any{all(iptables("mark", mark(1)), accept)}), "policy"},
	} {
		d := &Datagram{From: netip.MustParseAddr("192.0.2.7"), To: netip.MustParseAddr("192.0.2.1"), Proto: UDP, Port: 4789, In: "eth0"}
		if diff := cmp.Diff(c.want, outcome(c.rs.Walk(Input, d))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestChainsOfTheOtherFamilyAreNotPassed(t *testing.T) {
	rs := input(true, nil)
	v4, v6 := &Datagram{From: netip.MustParseAddr("192.0.2.7")}, &Datagram{From: netip.MustParseAddr("2001:db8::7")}
	for family, want := range map[nftables.TableFamily][2]int{
		nftables.TableFamilyINet: {1, 1}, nftables.TableFamilyIPv4: {1, 0}, nftables.TableFamilyIPv6: {0, 1}, nftables.TableFamilyNetdev: {0, 0},
	} {
		rs.Chains[0].Family = family
		if got := [2]int{len(rs.Walk(Input, v4)), len(rs.Walk(Input, v6))}; got != want {
			t.Errorf("%s: got %v culprits over IPv4 and IPv6, want %v", familyNames[family], got, want)
		}
	}
}

func TestOverIPv6TheFieldsAreOthers(t *testing.T) {
	from, to := netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		name string
		rule []expr.Any
		want string
	}{
		{"to this host", all([]expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16}, eq(to.AsSlice()...)}, drop), "ip6 daddr 2001:db8::1 drop"},
		{"from its network", all([]expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 4}, eq(from.AsSlice()[:4]...)}, drop), "ip6 saddr 2001:db8::/32 drop"},
		{"of this EtherType", all([]expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}, eq(0x86, 0xdd)}, drop), "meta protocol 0x86dd drop"},
		{"of IPv4", all([]expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, eq(nfprotoIPv4)}, drop), ""},
	} {
		d := &Datagram{From: from, To: to, Proto: UDP, Port: 4789, In: "eth0"}
		if diff := cmp.Diff(c.want, outcome(input(false, [][]expr.Any{c.rule}).Walk(Input, d))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestAChainAtTheDeviceIsThatOfItsDevice(t *testing.T) {
	rs := input(true, nil)
	rs.Chains[0].Family, rs.Chains[0].Hook = nftables.TableFamilyNetdev, 0
	for device, want := range map[string]int{"": 1, "eth0": 1, "eth1": 0} {
		rs.Chains[0].Device = device
		if got := len(rs.Walk(Ingress, &Datagram{In: "eth0"})); got != want {
			t.Errorf("a chain of device %q: got %d culprits, want %d", device, got, want)
		}
	}
}

func TestACulpritSaysWhereItIsAndWhatLetsIn(t *testing.T) {
	rs := input(false, [][]expr.Any{all(udp(), jump("deep"))}, Chain{Name: "deep", Rules: []Rule{{9, all(dport(4789), drop)}}})
	c := rs.Walk(Input, &Datagram{Proto: UDP, Port: 4789})[0]
	if got, want := c.String(), "nftables inet filter, chain deep (from input), hook input, rule 9: udp dport 4789 drop"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := c.LetIn("udp dport 4789", "-p udp --dport 4789"), "nft insert rule inet filter input udp dport 4789 accept"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	rs = input(true, nil)
	rs.Chains[0].Family, rs.Chains[0].Name = nftables.TableFamilyIPv4, "INPUT"
	c = rs.Walk(Input, &Datagram{Proto: UDP, Port: 4789})[0]
	if got, want := c.String(), "nftables ip filter, chain INPUT, hook input: policy drop"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := c.LetIn("udp dport 4789", "-p udp --dport 4789"), "iptables -I INPUT -p udp --dport 4789 -j ACCEPT"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	rs.Chains[0].Family = nftables.TableFamilyIPv6
	c = rs.Walk(Input, &Datagram{Proto: UDP, Port: 4789, IPv6: true})[0]
	if got, want := c.LetIn("udp dport 4789", "-p udp --dport 4789"), "ip6tables -I INPUT -p udp --dport 4789 -j ACCEPT"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	rs.Chains[0].Table = "mine"
	c = rs.Walk(Input, &Datagram{Proto: UDP, Port: 4789, IPv6: true})[0]
	if got, want := c.LetIn("udp dport 4789", "-p udp --dport 4789"), "nft insert rule ip6 mine INPUT udp dport 4789 accept"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
