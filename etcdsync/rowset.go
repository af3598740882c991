package etcdsync

import (
	"hash/maphash"
	"iter"
)

// rowSet are rows by name.
type rowSet struct {
	seed maphash.Seed
	rows index[row]
}

func newRowSet() rowSet { return rowSet{seed: maphash.MakeSeed()} }

func (s *rowSet) len() int { return s.rows.n }

// all yields every row once, in no particular order. The set may not be changed
// meanwhile.
func (s *rowSet) all() iter.Seq[*row] { return s.rows.all() }

// get returns the row with a name, nil when there is none.
func (s *rowSet) get(name string) *row {
	for r := range s.rows.at(s.hash(name)) {
		if r.isNamed(name) {
			return r
		}
	}
	return nil
}

// put puts a row in the place of the one with its name, which it returns, nil when
// there was none.
func (s *rowSet) put(name string, r *row) (old *row) {
	if old = s.get(name); old != nil {
		s.rows.replace(s.hash(name), old, r)
		return old
	}
	s.rows.add(s.hash(name), r)
	return nil
}

// remove takes the row with a name out and returns it.
func (s *rowSet) remove(name string) *row {
	r := s.get(name)
	if r != nil {
		s.rows.remove(s.hash(name), r)
	}
	return r
}

func (s *rowSet) hash(name string) uint64 { return maphash.String(s.seed, name) }
