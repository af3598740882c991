package fdb

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/uvtep/uvtep/encap"
)

// naive is a table as one would write it without a thought for speed.
type naive struct {
	entries map[Key]Entry
	added   []naiveVTEP
}

type naiveVTEP struct {
	vni encap.VNI
	v   VTEP
}

func (n *naive) clone() *naive { return &naive{maps.Clone(n.entries), slices.Clone(n.added)} }

func (n *naive) remove(x naiveVTEP) {
	if i := slices.Index(n.added, x); i >= 0 {
		n.added = slices.Delete(n.added, i, i+1)
	}
}

func (n *naive) accepts(vni encap.VNI, src netip.Addr) bool {
	return slices.ContainsFunc(n.added, func(x naiveVTEP) bool { return x.vni == vni && x.v.Owns(src) })
}

func (n *naive) together(vni encap.VNI, a, b netip.Addr) bool {
	return slices.ContainsFunc(n.added, func(x naiveVTEP) bool { return x.vni == vni && x.v.Owns(a) && x.v.Owns(b) })
}

func (n *naive) targets(vni encap.VNI) []string {
	var to []netip.AddrPort
	for _, x := range n.added {
		if x.vni == vni {
			to = append(to, x.v.To)
		}
	}
	slices.SortFunc(to, netip.AddrPort.Compare)
	return texts(slices.Compact(to))
}

func texts(to []netip.AddrPort) []string {
	var s []string
	for _, a := range to {
		s = append(s, a.String())
	}
	return s
}

// world is what the random tests choose from: few enough addresses that VTEPs
// share them, have each other's, and come and go often.
type world struct{ *rand.Rand }

func (w world) key() Key { return Key{encap.VNI(w.IntN(3)), mac(byte(w.IntN(60)))} }

// addrs are all addresses.
var addrs = func() (all []netip.Addr) {
	for i := range byte(12) {
		all = append(all, netip.AddrFrom4([4]byte{192, 0, 2, i}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: i}))
	}
	return all
}()

func (w world) addr() netip.Addr { return addrs[w.IntN(len(addrs))] }

func (w world) vtep() *VTEP {
	v := &VTEP{To: netip.AddrPortFrom(w.addr(), uint16(4789+w.IntN(2)))}
	if w.IntN(2) == 0 {
		v.Alt = w.addr()
	}
	return v
}

// step changes e and n in the same way.
func (w world) step(e *Editor, n *naive) {
	k, x := w.key(), naiveVTEP{encap.VNI(w.IntN(3)), *w.vtep()}
	switch w.IntN(6) {
	case 0, 1:
		v := Entry{VTEP: &x.v, Origin: Origin(w.IntN(3)), Rev: w.Int64()}
		e.Set(k, v)
		n.entries[k] = v
	case 2:
		e.Delete(k)
		delete(n.entries, k)
	case 3:
		e.AddVTEP(x.vni, &x.v)
		n.added = append(n.added, x)
	case 4: // most likely nobody's
		e.RemoveVTEP(x.vni, &x.v)
		n.remove(x)
	case 5:
		if len(n.added) > 0 {
			x = n.added[w.IntN(len(n.added))]
			e.RemoveVTEP(x.vni, &VTEP{x.v.To, x.v.Alt})
			n.remove(x)
		}
	}
}

// differences tells where t and n do not answer alike.
func differences(t *Table, n *naive) string {
	if got := maps.Collect(t.All()); !maps.Equal(got, n.entries) {
		return "stations (-got +want):\n" + cmp.Diff(got, n.entries, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}))
	}
	for vni := range encap.VNI(3) {
		var to []netip.AddrPort
		for v := range t.VTEPs(vni).All() {
			to = append(to, v.To)
		}
		if got, want := texts(to), n.targets(vni); !slices.Equal(got, want) {
			return fmt.Sprintf("VTEPs(%d) (-got +want):\n%s", vni, cmp.Diff(got, want))
		}
		for i, a := range addrs {
			if got, want := t.Accepts(vni, a), n.accepts(vni, a); got != want {
				return fmt.Sprintf("Accepts(%d, %v) = %v, want %v", vni, a, got, want)
			}
			for _, b := range addrs[:i] {
				if got, want := t.Together(vni, a, b), n.together(vni, a, b); got != want {
					return fmt.Sprintf("Together(%d, %v, %v) = %v, want %v", vni, a, b, got, want)
				}
			}
		}
	}
	if t.Len() != len(n.entries) {
		return fmt.Sprintf("Len() = %d, want %d", t.Len(), len(n.entries))
	}
	return ""
}

// TestRandomEditsAgreeWithANaiveTable also keeps the tables it passes and asks
// them again ten thousand edits later.
func TestRandomEditsAgreeWithANaiveTable(t *testing.T) {
	type snapshot struct {
		t *Table
		n *naive
	}
	w := world{rand.New(rand.NewPCG(7, 8))}
	n := &naive{entries: map[Key]Entry{}}
	tab := (*Table)(nil)
	var kept []snapshot
	for i := range 10_000 {
		e := tab.Edit()
		for range 1 + w.IntN(3) {
			w.step(e, n)
		}
		tab = e.Table()
		if i%200 == 0 {
			kept = append(kept, snapshot{tab, n.clone()})
			if d := differences(tab, n); d != "" {
				t.Fatalf("after %d edits: %s", i+1, d)
			}
		}
	}
	for i, s := range kept {
		if d := differences(s.t, s.n); d != "" {
			t.Fatalf("table %d changed after it was made: %s", i, d)
		}
	}
}

func TestAnEditSeesItself(t *testing.T) {
	e := new(Table).Edit()
	e.Set(Key{1, mac(1)}, Entry{Rev: 1})
	if v, ok := e.Lookup(Key{1, mac(1)}); !ok || v.Rev != 1 {
		t.Errorf("Lookup = %v, %v, want Rev 1, true", v, ok)
	}
	e.Delete(Key{1, mac(1)})
	if _, ok := e.Lookup(Key{1, mac(1)}); ok {
		t.Error("Lookup finds what was deleted")
	}
}

func TestTablesDoNotChangeWhenTheirEditorGoesOn(t *testing.T) {
	e := new(Table).Edit()
	n := &naive{entries: map[Key]Entry{}}
	var kept []*Table
	var want []*naive
	for i := range 24 { // 7 steps through 24 addresses, so that all places are inserted at
		x := naiveVTEP{1, *vtep(fmt.Sprintf("192.0.2.%d", i*7%24+1), "")}
		e.AddVTEP(x.vni, &x.v)
		n.added = append(n.added, x)
		if i%3 == 2 {
			e.RemoveVTEP(1, &n.added[0].v)
			n.remove(n.added[0])
		}
		e.Set(Key{1, mac(byte(i % 5))}, Entry{Rev: int64(i)})
		n.entries[Key{1, mac(byte(i % 5))}] = Entry{Rev: int64(i)}
		kept, want = append(kept, e.Table()), append(want, n.clone())
	}
	for i := range kept {
		if d := differences(kept[i], want[i]); d != "" {
			t.Errorf("table %d changed after it was made: %s", i, d)
		}
	}
}

func TestAVTEPIsCounted(t *testing.T) {
	lease, record := vtep("192.0.2.1", ""), vtep("192.0.2.1", "2001:db8::1")
	for _, c := range []struct {
		name        string
		add, remove []*VTEP
		want, want6 bool
		floods      int
	}{
		{"added once", []*VTEP{lease}, nil, true, false, 1},
		{"added twice, flooded to once", []*VTEP{lease, lease}, nil, true, false, 1},
		{"added twice, removed once", []*VTEP{lease, lease}, []*VTEP{lease}, true, false, 1},
		{"added twice, removed twice", []*VTEP{lease, lease}, []*VTEP{lease, lease}, false, false, 0},
		{"removed once too often", []*VTEP{lease}, []*VTEP{lease, lease}, false, false, 0},
		{"never added", nil, []*VTEP{lease}, false, false, 0},
		{"known from two records, one copy", []*VTEP{lease, record}, nil, true, true, 1},
		{"one record gone", []*VTEP{lease, record}, []*VTEP{record}, true, false, 1},
		{"the other record gone", []*VTEP{lease, record}, []*VTEP{lease}, true, true, 1},
		{"nothing to add or remove", []*VTEP{nil}, []*VTEP{nil}, false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := new(Table).Edit()
			for _, v := range c.add {
				e.AddVTEP(1, v)
			}
			for _, v := range c.remove {
				e.RemoveVTEP(1, v)
			}
			tab := e.Table()
			if got := tab.Accepts(1, addr("192.0.2.1")); got != c.want {
				t.Errorf("Accepts(192.0.2.1) = %v, want %v", got, c.want)
			}
			if got := tab.Accepts(1, addr("2001:db8::1")); got != c.want6 {
				t.Errorf("Accepts(2001:db8::1) = %v, want %v", got, c.want6)
			}
			if got := tab.VTEPs(1).Len(); got != c.floods {
				t.Errorf("flooded to %d VTEPs, want %d", got, c.floods)
			}
		})
	}
}

func TestWhatCannotBeAVTEP(t *testing.T) {
	for _, c := range []struct {
		name, to string
		want     bool
	}{
		{"a host", "192.0.2.1", true},
		{"an IPv6 host", "2001:db8::1", true},
		{"S1 the unspecified address", "0.0.0.0", false},
		{"S1 the unspecified IPv6 address", "::", false},
		{"S1 a group", "239.1.1.1", false},
		{"S1 an IPv6 group", "ff02::1", false},
		{"S1 everybody", "255.255.255.255", false},
		{"an IPv4 address in IPv6 form, which would be flooded to twice", "::ffff:192.0.2.1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := new(Table).Edit()
			if got := e.AddVTEP(1, vtep(c.to, "")); got != c.want {
				t.Errorf("AddVTEP(%s) = %v, want %v", c.to, got, c.want)
			}
			tab := e.Table()
			if got := tab.Accepts(1, addr(c.to)); got != c.want {
				t.Errorf("Accepts(%s) = %v, want %v", c.to, got, c.want)
			}
			if got := tab.VTEPs(1).Len() == 1; got != c.want {
				t.Errorf("flooded to %v, want %v", tab.VTEPs(1), c.want)
			}
		})
	}
	t.Run("a VTEP with an unusable other address has none", func(t *testing.T) {
		e := new(Table).Edit()
		e.AddVTEP(1, vtep("192.0.2.1", "::"))
		if e.Table().Accepts(1, addr("::")) {
			t.Error("Accepts(::) = true, want false")
		}
	})
}

// TestReadersNeedNoLock is for the race detector, and sees a table in which
// one revision's entry stands beside another's.
func TestReadersNeedNoLock(t *testing.T) {
	var current atomic.Pointer[Table]
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				tab := current.Load()
				want, _ := tab.Lookup(1, mac(0))
				for k, v := range tab.All() {
					if v.Rev != want.Rev {
						t.Errorf("%v is of revision %d, want %d", k, v.Rev, want.Rev)
					}
				}
				if got := tab.VTEPs(1).Len(); tab.Len() > 0 && got != int(want.Rev%9)+1 {
					t.Errorf("%d VTEPs at revision %d, want %d", got, want.Rev, want.Rev%9+1)
				}
			}
		})
	}
	e := new(Table).Edit()
	for rev := range int64(300) {
		for i := range 100 {
			e.Set(Key{1, mac(byte(i))}, Entry{Rev: rev})
		}
		v := &VTEP{To: netip.AddrPortFrom(addr("192.0.2.1"), uint16(rev%9))}
		if rev%9 == 0 {
			for p := range uint16(9) {
				e.RemoveVTEP(1, &VTEP{To: netip.AddrPortFrom(v.To.Addr(), p)})
			}
		}
		e.AddVTEP(1, v)
		current.Store(e.Table())
	}
	done.Store(true)
	readers.Wait()
}
