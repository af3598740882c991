package hostnet

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/internal/firewall"
)

// nft makes one transaction in the namespace.
func (s *space) nft(change func(*nftables.Conn)) {
	s.t.Helper()
	c, err := s.nftables()
	s.check(err)
	change(c)
	s.check(c.Flush())
}

// toPort is what nft makes of `udp dport PORT`, or of `udp dport @SET`.
func toPort(port uint16, set *nftables.Set) []expr.Any {
	out := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
	if set != nil {
		return append(out, &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID})
	}
	return append(out, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)})
}

func dropIt() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

func TestTheFirewallIsReadAsItWasWritten(t *testing.T) {
	s := newSpace(t)
	rs, err := s.Ruleset()
	s.check(err)
	if len(rs.Chains) != 0 {
		t.Errorf("an empty namespace: got %d chains", len(rs.Chains))
	}
	table := &nftables.Table{Name: "filter", Family: nftables.TableFamilyINet}
	drop := nftables.ChainPolicyDrop
	s.nft(func(c *nftables.Conn) {
		c.AddTable(table)
		in := c.AddChain(&nftables.Chain{Name: "in", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
		deep := c.AddChain(&nftables.Chain{Name: "deep", Table: table})
		set := &nftables.Set{Table: table, Anonymous: true, Constant: true, KeyType: nftables.TypeInetService}
		c.AddSet(set, []nftables.SetElement{{Key: []byte{0, 53}}, {Key: binary.BigEndian.AppendUint16(nil, 8472)}})
		c.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: append(toPort(0, set), &expr.Verdict{Kind: expr.VerdictAccept})})
		c.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: "deep"}}})
		c.AddRule(&nftables.Rule{Table: table, Chain: deep, Exprs: append(toPort(4789, nil), &expr.Counter{}, dropIt())})
		deeper := c.AddChain(&nftables.Chain{Name: "deeper", Table: table})
		byPort := &nftables.Set{Table: table, Name: "by_port", IsMap: true, KeyType: nftables.TypeInetService, DataType: nftables.TypeVerdict}
		c.AddSet(byPort, []nftables.SetElement{
			{Key: []byte{0, 54}, VerdictData: &expr.Verdict{Kind: expr.VerdictAccept}},
			{Key: []byte{0, 55}, VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: "deeper"}},
		})
		c.AddRule(&nftables.Rule{Table: table, Chain: deeper, Exprs: []expr.Any{dropIt()}})
		c.AddRule(&nftables.Rule{Table: table, Chain: in, Exprs: append(toPort(0, nil)[:3], &expr.Lookup{SourceRegister: 1, SetName: byPort.Name, SetID: byPort.ID, IsDestRegSet: true})})
		out := c.AddChain(&nftables.Chain{Name: "out", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
		c.AddRule(&nftables.Rule{Table: table, Chain: out, Exprs: append(toPort(4789, nil), &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})})
	})
	rs, err = s.Ruleset()
	s.check(err)
	for _, c := range []struct {
		hook uint32
		port uint16
		want string
	}{
		{firewall.Input, 4789, "chain deep (from in), hook input, rule"},
		{firewall.Input, 8472, ""}, // in the set
		{firewall.Input, 54, ""},   // by the map
		{firewall.Input, 55, "chain deeper (from in), hook input, rule"},
		{firewall.Input, 80, "chain in, hook input: policy drop"},
		{firewall.Output, 4789, "udp dport 4789 reject"},
		{firewall.Output, 80, ""},
	} {
		got := ""
		for _, x := range rs.Walk(c.hook, &firewall.Datagram{From: netip.MustParseAddr("192.0.2.7"), Proto: firewall.UDP, Port: c.port, In: "eth0"}) {
			got += x.String()
			if !x.Sure {
				t.Errorf("hook %d, port %d: not sure of %s", c.hook, c.port, x.String())
			}
		}
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("hook %d, port %d: got %q, want %q", c.hook, c.port, got, c.want)
		}
	}
}
