package snapmap

// fan is the number of buckets of a leaf and of leaves of a node. A leaf is
// 1.5 KiB: small enough to be copied for one entry, large enough that the
// pages above it stay in the processor's cache.
const (
	fanBits = 6
	fan     = 1 << fanBits
)

// pages is an array of buckets that can be changed at the cost of copying one
// page a level.
type pages[K comparable, V any] struct {
	root []*node[K, V]
}

// node is the upper page.
type node[K comparable, V any] struct {
	owner  *owner
	leaves [fan]*leaf[K, V]
}

// leaf is the lower page. Its buckets are never written, only replaced.
type leaf[K comparable, V any] struct {
	owner   *owner
	buckets [fan][]slot[K, V]
}

// owner stands for one edit. A page that carries it was made in that edit, no
// map knows it yet, and so it may be written. The field keeps distinct owners
// at distinct addresses.
type owner struct{ _ byte }

// at is bucket i, for reading.
func (p *pages[K, V]) at(i int) *[]slot[K, V] {
	return &p.root[i>>(2*fanBits)].leaves[i>>fanBits%fan].buckets[i%fan]
}

// write is bucket i, on pages that belong to o, as the root does already. The
// bucket behind the last one is made together with its pages.
func (p *pages[K, V]) write(o *owner, i int) *[]slot[K, V] {
	n := p.node(o, i>>(2*fanBits))
	return &n.leaf(o, i>>fanBits%fan).buckets[i%fan]
}

// node is node i as one that belongs to o.
func (p *pages[K, V]) node(o *owner, i int) *node[K, V] {
	if i == len(p.root) {
		p.root = append(p.root, &node[K, V]{owner: o})
	}
	if n := p.root[i]; n.owner != o {
		p.root[i] = &node[K, V]{owner: o, leaves: n.leaves}
	}
	return p.root[i]
}

// leaf is leaf i as one that belongs to o, as n does already.
func (n *node[K, V]) leaf(o *owner, i int) *leaf[K, V] {
	l := n.leaves[i]
	if l == nil {
		l = new(leaf[K, V])
	}
	if l.owner != o {
		l = &leaf[K, V]{owner: o, buckets: l.buckets}
		n.leaves[i] = l
	}
	return l
}

// drop forgets bucket i, the last one, and the pages that only it needed.
func (p *pages[K, V]) drop(o *owner, i int) {
	n := p.node(o, i>>(2*fanBits))
	n.leaf(o, i>>fanBits%fan).buckets[i%fan] = nil
	if i%fan == 0 {
		n.leaves[i>>fanBits%fan] = nil
	}
	if i%(fan*fan) == 0 {
		p.root[i>>(2*fanBits)] = nil
		p.root = p.root[:i>>(2*fanBits)]
	}
}
