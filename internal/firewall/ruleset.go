package firewall

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Ruleset is the firewall of a namespace as nftables has it; rules that were
// made with iptables are in it, too, unless that was the legacy one.
type Ruleset struct {
	Chains []Chain
	Sets   map[SetName][]nftables.SetElement
	Legacy []string // tables of the legacy iptables, which cannot be read here
}

// SetName names a set.
type SetName struct {
	Family nftables.TableFamily
	Table  string
	Set    string
}

// Chain is a chain and its rules.
type Chain struct {
	Family nftables.TableFamily
	Table  string
	Name   string
	Rules  []Rule

	Base     bool // it hangs on a hook; the fields below count
	Hook     uint32
	Priority int32
	Drop     bool   // its policy is to drop
	Device   string // of a netdev chain
}

// Rule is a rule of a chain.
type Rule struct {
	Handle uint64
	Exprs  []expr.Any
}

// The hooks, as the kernel numbers them (uapi/linux/netfilter.h).
const (
	Prerouting = iota
	Input
	Forward
	Output
	Postrouting
	Ingress
)

// hookNames are the hooks' names in nft's words.
var hookNames = map[uint32]string{
	Prerouting: "prerouting", Input: "input", Forward: "forward", Output: "output",
	Postrouting: "postrouting", Ingress: "ingress",
}

// familyNames are the families' names in nft's words.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyNetdev: "netdev",
}

// hookName is the chain's hook in nft's words.
func (c *Chain) hookName() string {
	if c.Family == nftables.TableFamilyNetdev {
		return hookNames[Ingress]
	}
	return hookNames[c.Hook]
}

// takes reports whether what passes a hook in a family passes this base chain.
func (c *Chain) takes(hook uint32, d *Datagram) bool {
	if !c.Base {
		return false
	}
	switch c.Family {
	case nftables.TableFamilyNetdev:
		return hook == Ingress && (c.Device == "" || c.Device == d.In)
	case nftables.TableFamilyINet:
		return c.Hook == hook
	case nftables.TableFamilyIPv4:
		return c.Hook == hook && !d.six()
	case nftables.TableFamilyIPv6:
		return c.Hook == hook && d.six()
	}
	return false
}
