package fdb

import (
	"iter"
	"slices"
)

// chunkLen is how many VTEPs there are at most in one piece of a list.
const chunkLen = 128

// VTEPs are the VTEPs that a flooded frame is replicated to, in the order of their
// destinations. A list never changes: the next one shares all of it but the piece
// that differs, so that a change costs two kilobytes at ten thousand VTEPs and not
// eighty. The zero value is an empty list.
type VTEPs struct {
	chunks [][]*VTEP // none is empty, and none of more than chunkLen
	n      int
}

// Len is the number of VTEPs.
func (l VTEPs) Len() int { return l.n }

// All yields them in order. It does not allocate.
func (l VTEPs) All() iter.Seq[*VTEP] {
	return func(yield func(*VTEP) bool) {
		for _, c := range l.chunks {
			for _, v := range c {
				if !yield(v) {
					return
				}
			}
		}
	}
}

// find returns where v is or belongs: in which piece, and at which place there.
func (l VTEPs) find(v *VTEP) (chunk, at int, ok bool) {
	chunk, ok = slices.BinarySearchFunc(l.chunks, v, func(c []*VTEP, v *VTEP) int { return byTarget(c[0], v) })
	if ok {
		return chunk, 0, true
	}
	chunk = max(chunk-1, 0)
	if len(l.chunks) > 0 {
		at, ok = slices.BinarySearchFunc(l.chunks[chunk], v, byTarget)
	}
	return chunk, at, ok
}

// with is the list with v in it, whose destination is not in it yet.
func (l VTEPs) with(v *VTEP) VTEPs {
	if l.n == 0 {
		return VTEPs{[][]*VTEP{{v}}, 1}
	}
	i, at, _ := l.find(v)
	c := slices.Insert(slices.Clone(l.chunks[i]), at, v)
	if len(c) <= chunkLen {
		return l.replace(i, i+1, +1, c)
	}
	return l.replace(i, i+1, +1, slices.Clone(c[:len(c)/2]), slices.Clone(c[len(c)/2:]))
}

// without is the list without the VTEP that has v's destination, if there is one.
func (l VTEPs) without(v *VTEP) VTEPs {
	i, at, ok := l.find(v)
	if !ok {
		return l
	}
	c := slices.Concat(l.chunks[i][:at], l.chunks[i][at+1:])
	switch {
	case len(c) == 0:
		return l.replace(i, i+1, -1)
	case i+1 < len(l.chunks) && len(c)+len(l.chunks[i+1]) <= chunkLen/2:
		return l.replace(i, i+2, -1, append(c, l.chunks[i+1]...))
	}
	return l.replace(i, i+1, -1, c)
}

// replace is the list with other pieces in the place of pieces i to j, and by how
// many VTEPs it is longer.
func (l VTEPs) replace(i, j, longer int, by ...[]*VTEP) VTEPs {
	return VTEPs{slices.Concat(l.chunks[:i], by, l.chunks[j:]), l.n + longer}
}

// byTarget orders VTEPs by destination.
func byTarget(a, b *VTEP) int { return a.To.Compare(b.To) }
