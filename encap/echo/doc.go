// Package echo is what agents say to each other to find out whether datagrams
// get through: a request, and an answer that only who knows a secret of both
// hosts gets. docs/probe.md tells how it is used and what it guards against.
//
//	 0        8 9 10   12     14       16    20    24    32     40     56   72
//	+--------+-+-+-+-+------+--------+-----+-----+-----+------+------+----+-----+---------
//	| magic  |v|k|w|0| size | answer | VNI | held| seq | seen | from | to | tag | padding …
//	+--------+-+-+-+-+------+--------+-----+-----+-----+------+------+----+-----+---------
//
// All numbers are in network order. The padding brings a message to the size
// that is tried. The tag is over all before it, and so over the size, but not
// over the padding, whose content nobody looks at: what a message costs to check
// does not depend on how long it is.
//
// In VXLAN a message is the payload of an Ethernet frame of an EtherType that
// IEEE 802 sets aside for local experiments. Its magic tells it from other uses
// of that type, and who does not know it lets it fall.
//
// # Secrets
//
// Each agent makes a random key at its start, and etcd tells it to the others.
// The secret of a pair is made of the keys of both, and is another one for either
// direction, so that an answer is never taken for a request, and each start of
// either agent makes a new one. For as long as it lasts the numbers of the
// requests only grow, which is how a request that comes twice is found.
//
// # What it refuses
//
// It does no I/O, has no clock and keeps nothing but a Window.
package echo
