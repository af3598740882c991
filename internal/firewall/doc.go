// Package firewall thinks a datagram through a ruleset of nftables: which rule or
// policy drops it, or may drop it. It is for telling people why nothing arrives.
//
//	rs.Walk(firewall.Input, &firewall.Datagram{Proto: firewall.UDP, Port: 4789, In: "eth0", …})
//
// Each base chain of a hook is gone through as the kernel does it: rules in
// order, jumps into other chains, sets and verdict maps, the policy at the end. Of a
// rule each expression is carried out on what is known of the datagram; what is
// not known (a source port, a rate, a match of iptables without a meaning here)
// makes the rule one that may be about it. So the answer is never a wrong
// certainty: a Culprit is Sure, or it is not.
//
// It reads nothing from the kernel (see hostnet) and changes nothing. Its datagram is
// the first of a flow, since every flow has a first one; it bears no mark, and
// the way back to its sender is taken to be the right one.
package firewall
