package snapmap

// Diff tells how after differs from before: it calls gone once for each key that
// after lacks, and set once for each that is new or has another value. Of maps
// that come from one another it looks only at the pages that they do not share,
// so that it costs what was changed, not what there is.
func Diff[K, V comparable](before, after *Map[K, V], gone func(K), set func(K, V)) {
	for s := range before.unlike(after) {
		if _, ok := after.Get(s.key); !ok {
			gone(s.key)
		}
	}
	for s := range after.unlike(before) {
		if was, ok := before.Get(s.key); !ok || was != s.val {
			set(s.key, s.val)
		}
	}
}

// unlike yields the entries of all buckets that are not o's too.
func (m *Map[K, V]) unlike(o *Map[K, V]) func(yield func(slot[K, V]) bool) {
	return func(yield func(slot[K, V]) bool) {
		if m == nil || m == o {
			return
		}
		if o == nil {
			o = new(Map[K, V])
		}
		for i, n := range m.pages.root {
			twin := new(node[K, V])
			if i < len(o.pages.root) {
				twin = o.pages.root[i]
			}
			if n != twin && !n.unlike(twin, yield) {
				return
			}
		}
	}
}

func (n *node[K, V]) unlike(o *node[K, V], yield func(slot[K, V]) bool) bool {
	for i, l := range n.leaves {
		if l == nil || l == o.leaves[i] {
			continue
		}
		twin := o.leaves[i]
		if twin == nil {
			twin = new(leaf[K, V])
		}
		if !l.unlike(twin, yield) {
			return false
		}
	}
	return true
}

func (l *leaf[K, V]) unlike(o *leaf[K, V], yield func(slot[K, V]) bool) bool {
	for i, b := range l.buckets {
		if len(b) == 0 || len(b) == len(o.buckets[i]) && &b[0] == &o.buckets[i][0] {
			continue
		}
		for _, s := range b {
			if !yield(s) {
				return false
			}
		}
	}
	return true
}
