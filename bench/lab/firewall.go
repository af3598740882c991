//go:build linux

package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Block says which arriving datagrams a node drops. The zero value is UDP 4789
// from everywhere.
type Block struct {
	TCP      bool       // TCP instead of UDP
	Port     uint16     // destination port; 0 means 4789
	FromPort uint16     // source port, and Port does not count; 0 means any
	From     netip.Addr // only from this sender
	Percent  int        // drop that many of a hundred, at random; 0 means all
}

// Block adds a firewall rule with nftables to the node, on its input. The function
// it returns removes the rule again. Blocks add up.
func (n *Node) Block(b Block) (unblock func() error, err error) {
	table := &nftables.Table{Name: fmt.Sprintf("lab%d", n.blocks.Add(1)), Family: nftables.TableFamilyINet}
	err = n.nft(func(c *nftables.Conn) {
		c.AddTable(table)
		chain := c.AddChain(&nftables.Chain{
			Name: "input", Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
		})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: b.rule()})
	})
	if err != nil {
		return nil, fmt.Errorf("block in %s: %w", n.Name, err)
	}
	return func() error {
		if err := n.nft(func(c *nftables.Conn) { c.DelTable(table) }); err != nil {
			return fmt.Errorf("unblock in %s: %w", n.Name, err)
		}
		return nil
	}, nil
}

// nft makes one transaction in the node.
func (n *Node) nft(change func(*nftables.Conn)) error {
	return n.Do(func() error {
		c, err := nftables.New(nftables.AsLasting()) // opens its socket here and now
		if err != nil {
			return err
		}
		defer func() { _ = c.CloseLasting() }()
		change(c)
		return c.Flush()
	})
}

// rule is what `nft add rule` makes of: meta l4proto udp udp dport 4789 (or sport) ip saddr
// ADDR numgen random mod 100 < PERCENT counter drop.
func (b Block) rule() []expr.Any {
	proto, port, at := byte(unix.IPPROTO_UDP), b.Port, uint32(2)
	if b.TCP {
		proto = unix.IPPROTO_TCP
	}
	if port == 0 {
		port = 4789
	}
	if b.FromPort != 0 {
		port, at = b.FromPort, 0
	}
	rule := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal(proto),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, port)...),
	}
	if b.From.IsValid() {
		rule = append(rule, saddr(b.From.Unmap())...)
	}
	if b.Percent > 0 {
		rule = append(rule,
			&expr.Numgen{Register: 1, Modulus: 100, Type: unix.NFT_NG_RANDOM},
			// A random number is host-endian; nft itself swaps it to compare.
			&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
			&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: binaryutil.BigEndian.PutUint32(uint32(b.Percent))})
	}
	return append(rule, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
}

// saddr matches the source address, in the one IP version that has it.
func saddr(a netip.Addr) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV4), uint32(12)
	if a.Is6() {
		family, offset = unix.NFPROTO_IPV6, 8
	}
	b := a.AsSlice()
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		equal(family),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(b))},
		equal(b...),
	}
}

func equal(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
