//go:build linux

package lab

import (
	"errors"
	"net/netip"
)

// Block says which arriving datagrams a node drops. The zero value is UDP 4789
// from everywhere.
type Block struct {
	TCP     bool       // TCP instead of UDP
	Port    uint16     // destination port; 0 means 4789
	From    netip.Addr // only from this sender
	Percent int        // drop that many of a hundred, at random; 0 means all
}

// Block adds a firewall rule with nftables to the node. The function it returns
// removes the rule again.
func (n *Node) Block(b Block) (unblock func() error, err error) { return nil, errors.ErrUnsupported }
