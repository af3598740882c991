package etcdsync

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/uvtep/uvtep/fdb"
)

// census finds what two hosts have and only one can: it has all that leases and
// host records say, also those that the tables refuse. A change marks the
// points that it may have made or ended a conflict at; they are looked at when
// tables are made, so that what is told in several steps is not taken for a
// conflict in between. It belongs to one goroutine.
type census struct {
	parties owners[string] // by name
	addrs   owners[netip.AddrPort]
	macs    owners[fdb.Key]
	nodes   owners[string] // leases by node id
	ranges  ranges
	doubts  map[point]struct{}
	present map[point]Conflict
	list    []Conflict // of present, given out
}

// point is a thing that only one host can have: one of the four is set. A
// subnet within another is of both.
type point struct {
	addr         netip.AddrPort
	mac          fdb.Key
	node         string
	outer, inner netip.Prefix
}

func (pt *point) kind() ConflictKind {
	switch {
	case pt.addr.IsValid():
		return SameAddress
	case pt.node != "":
		return SameNode
	case pt.outer.IsValid():
		return SameSubnet
	}
	return SameMAC
}

// String is the point as people write it.
func (pt *point) String() string {
	switch pt.kind() {
	case SameAddress:
		return pt.addr.String()
	case SameNode:
		return pt.node
	case SameMAC:
		return pt.mac.MAC.String()
	}
	if pt.outer == pt.inner {
		return pt.outer.String()
	}
	return pt.inner.String() + " in " + pt.outer.String()
}

func newCensus() *census {
	return &census{
		parties: ownersOfNames(func(p *party, name string) bool { return p.name() == name }), addrs: ownersOfAddrs(), macs: ownersOfMACs(),
		nodes: ownersOfNames((*party).isOf), ranges: newRanges(), doubts: make(map[point]struct{}), present: make(map[point]Conflict),
	}
}

// take takes in what a lease or a host's record says about its host.
func (c *census) take(r *row) {
	if r.kind == lease || r.kind == host {
		c.put(r.party())
	}
}

// party returns what a key says, nil when there is none of that name.
func (c *census) party(name string) *party {
	for p := range c.parties.all.at(c.parties.hash(name)) {
		if p.name() == name {
			return p
		}
	}
	return nil
}

// put takes in what a key says, in the place of what it said before.
func (c *census) put(p *party) {
	name := p.name()
	old := c.party(name)
	if old != nil && old.says(p) {
		old.peer = p.peer // the older one's is to be forgotten
		return
	}
	if old != nil {
		c.parties.change(name, old, false)
		c.change(old, false)
	}
	c.parties.change(name, p, true)
	c.change(p, true)
}

// remove forgets a key.
func (c *census) remove(name string) {
	if p := c.party(name); p != nil {
		c.parties.change(name, p, false)
		c.change(p, false)
	}
}

// change enters a party or takes it out, and marks where that matters.
func (c *census) change(p *party, in bool) {
	for _, a := range p.at() {
		if p.node != "" { // of flannel's leases nothing tells whether their hosts live
			c.addrs.change(a, p, in)
			c.doubt(point{addr: a}, c.addrs.count(a))
		}
	}
	for _, k := range p.macs() {
		c.macs.change(k, p, in)
		c.doubt(point{mac: k}, c.macs.count(k))
	}
	if p.lease() && p.node != "" {
		c.nodes.change(p.node, p, in)
		c.doubt(point{node: p.node}, c.nodes.count(p.node))
	}
	for _, s := range p.subnets().prefixes() {
		c.ranges.change(s, p, in)
		c.doubt(point{outer: s, inner: s}, c.ranges.holders.count(s))
		for q := range c.ranges.overlapping(s) {
			c.doubts[pairOf(s, q)] = struct{}{}
		}
	}
	if !p.lease() { // the addresses of its leases count, or do no longer
		for _, l := range c.nodes.of(p.node) {
			for _, a := range l.at() {
				c.doubt(point{addr: a}, c.addrs.count(a))
			}
		}
	}
}

// pairOf is the point of two subnets of which one is within the other.
func pairOf(a, b netip.Prefix) point {
	if a.Bits() > b.Bits() {
		a, b = b, a
	}
	return point{outer: a, inner: b}
}

// doubt marks a point that so many have, unless it is and was nobody's but
// one's.
func (c *census) doubt(pt point, n int) {
	if _, was := c.present[pt]; was || n > 1 {
		c.doubts[pt] = struct{}{}
	}
}

// settle looks at all that is in doubt, and returns the conflicts that began
// and that ended.
func (c *census) settle() (begun, ended []Conflict) {
	for pt := range c.doubts {
		was, before := c.present[pt]
		hosts := c.rivals(&pt)
		if len(hosts) < 2 {
			if before {
				delete(c.present, pt)
				ended = append(ended, was)
			}
			continue
		}
		is := Conflict{pt.kind(), pt.String(), c.words(hosts), pt.kind().advice()}
		c.present[pt] = is
		if !before {
			begun = append(begun, is)
		}
	}
	if len(c.doubts) > 0 {
		c.list = slices.SortedFunc(maps.Values(c.present), Conflict.compare)
		c.list = c.list[:min(len(c.list), maxConflicts)]
	}
	if len(c.doubts) > 0 {
		c.doubts = make(map[point]struct{}) // cleared, it would cost what the first load filled it with, every time
	}
	slices.SortFunc(begun, Conflict.compare)
	slices.SortFunc(ended, Conflict.compare)
	return begun, ended
}

func (c Conflict) compare(o Conflict) int {
	return cmp.Or(strings.Compare(string(c.Kind), string(o.Kind)), strings.Compare(c.What, o.What))
}

// maxNamed is how many hosts of a conflict are named.
const maxNamed = 4

// of returns the conflicts that a key's host is in.
func (c *census) of(p *party) []Conflict {
	points := []point{{node: p.node}}
	for _, a := range p.at() {
		points = append(points, point{addr: a})
	}
	for _, k := range p.macs() {
		points = append(points, point{mac: k})
	}
	for _, s := range p.subnets().prefixes() {
		points = append(points, pairOf(s, s))
		for q := range c.ranges.overlapping(s) {
			points = append(points, pairOf(s, q))
		}
	}
	var out []Conflict
	for _, pt := range points {
		if x, ok := c.present[pt]; ok && (pt.kind() != SameAddress || p.node != "" && c.alive(p)) {
			out = append(out, x)
		}
	}
	return out
}

// rivals returns one key of each host that has a point, the oldest first, and
// no more than one above maxNamed.
func (c *census) rivals(pt *point) []*party {
	same, keys := (*party).sameHost, []*party(nil)
	switch pt.kind() {
	case SameAddress:
		keys = slices.DeleteFunc(c.addrs.of(pt.addr), func(p *party) bool { return !c.alive(p) })
	case SameMAC:
		keys = c.macs.of(pt.mac)
	case SameNode:
		same, keys = (*party).meets, c.nodes.of(pt.node)
	case SameSubnet:
		keys = c.ranges.holders.of(pt.outer)
		if pt.inner != pt.outer {
			keys = c.across(pt)
		}
	}
	slices.SortFunc(keys, (*party).compare)
	var out []*party
	for _, p := range keys {
		if len(out) <= maxNamed && !slices.ContainsFunc(out, func(q *party) bool { return same(p, q) }) {
			out = append(out, p)
		}
	}
	return out
}

// across returns the keys of a subnet and of one within it, none when one of
// the two is nobody's.
func (c *census) across(pt *point) []*party {
	outer, inner := c.ranges.holders.of(pt.outer), c.ranges.holders.of(pt.inner)
	if len(outer) == 0 || len(inner) == 0 {
		return nil
	}
	return slices.Concat(outer, inner)
}

// alive reports whether a key's host has a record, which a lease outlives. This
// host knows that it is.
func (c *census) alive(p *party) bool {
	return !p.lease() || c.party(hostKey(p.node)) != nil
}

// words name hosts for people.
func (c *census) words(hosts []*party) []string {
	var out []string
	for _, p := range hosts[:min(len(hosts), maxNamed)] {
		out = append(out, c.name(p))
	}
	if len(hosts) > maxNamed {
		out = append(out, "and others")
	}
	return out
}

// name names a key's host: by its subnet, too, if that is known.
func (c *census) name(p *party) string {
	text := holderName(p.node, p.at()[0].Addr(), netip.Addr{})
	if me := c.party(""); me != nil && p.node == me.node && p.meets(me) {
		text += " (this host)"
	}
	held := p.subnets()
	if leases := c.nodes.of(p.node); held.isZero() && len(leases) > 0 {
		held = slices.MinFunc(leases, (*party).compare).subnets()
	}
	if !held.isZero() {
		text += " with " + held.String()
	}
	return text
}
