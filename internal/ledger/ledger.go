package ledger

import (
	"net/netip"
	"sync"
)

// Ledger is the books of all goroutines that count one direction of one network.
// The zero Ledger is ready; a nil one opens no books and has no sums.
type Ledger struct {
	mu   sync.Mutex
	all  []*Book             // guarded by mu
	free []*Book             // of all, those whose goroutine has ended; guarded by mu
	told map[netip.Addr]bool // VTEPs that Sums tells apart; guarded by mu
}

// Sum is a count of frames and of their bytes.
type Sum struct{ Frames, Bytes uint64 }

func (s *Sum) add(p *page) {
	s.Frames += p.frames.Load()
	s.Bytes += p.bytes.Load()
}

// Open returns a Book for one goroutine: one that another has closed goes on as it is.
func (l *Ledger) Open() *Book {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b
	}
	b := new(Book)
	l.all = append(l.all, b)
	return b
}

// Close takes back a Book of Open. Its goroutine must not use it any more; what
// it counted stays.
func (l *Ledger) Close(b *Book) {
	if l == nil || b == nil {
		return
	}
	b.Settle()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, b)
}

// Sums returns what was counted: by VTEP, at most Room of them and always the same
// once they were told, and for all others together. Each count is exact, but not
// all of one instant.
func (l *Ledger) Sums() (by map[netip.Addr]Sum, others Sum) {
	by = make(map[netip.Addr]Sum)
	if l == nil {
		return by, others
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.all {
		others.add(&b.pages[0])
		for i := 1; i <= int(b.used.Load()); i++ {
			p := &b.pages[i]
			a := p.key.addr()
			if !l.tells(a) {
				others.add(p)
				continue
			}
			s := by[a]
			s.add(p)
			by[a] = s
		}
	}
	return by, others
}

// tells reports whether a VTEP is told apart from others: goroutines may have
// heard of others first. mu is held.
func (l *Ledger) tells(a netip.Addr) bool {
	if l.told == nil {
		l.told = make(map[netip.Addr]bool)
	}
	if !l.told[a] && len(l.told) < Room {
		l.told[a] = true
	}
	return l.told[a]
}
