package arpproxy

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

func TestEmptyTablesBindNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		t    *Table
	}{
		{"a nil table", nil},
		{"the zero table", new(Table)},
		{"a table of a nil table's edit", (*Table)(nil).Edit().Table()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, ok := c.t.Lookup(vni, addr(hostIP)); ok || c.t.Len() != 0 {
				t.Errorf("Lookup finds something, or Len() = %d is not 0", c.t.Len())
			}
			for k := range c.t.All() {
				t.Errorf("All yields %v", k)
			}
			e := c.t.Edit()
			e.Delete(Key{vni, addr(hostIP)})
			e.Set(Key{vni, addr(hostIP)}, hostBinding)
			if b, ok := e.Table().Lookup(vni, addr(hostIP)); !ok || b != hostBinding {
				t.Errorf("after Set: Lookup = %v, %v, want %v, true", b, ok, hostBinding)
			}
		})
	}
}

func TestAnAddressIsBoundInWhateverFormItIsWritten(t *testing.T) {
	for _, c := range []struct{ name, set, lookup string }{
		{"IPv4 mapped into IPv6", "::ffff:10.5.10.7", "10.5.10.7"},
		{"an IPv6 address with a zone", "fe80::7%eth0", "fe80::7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := new(Table).Edit()
			e.Set(Key{vni, addr(c.set)}, podBinding)
			if b, ok := e.Lookup(Key{vni, addr(c.set)}); !ok || b != podBinding {
				t.Errorf("the edit has %v, %v, want %v, true", b, ok, podBinding)
			}
			if b, ok := e.Table().Lookup(vni, addr(c.lookup)); !ok || b != podBinding {
				t.Errorf("Lookup(%s) = %v, %v, want %v, true", c.lookup, b, ok, podBinding)
			}
			e.Delete(Key{vni, addr(c.set)})
			if got := e.Table().Len(); got != 0 {
				t.Errorf("after Delete: Len() = %d, want 0", got)
			}
		})
	}
}

func TestAKeyReadsAsVNIAndAddress(t *testing.T) {
	if got, want := (Key{42, addr(hostIP6)}).String(), "42/fd00:10:10::"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

// TestRandomEditsAgreeWithAPlainMap also keeps the tables it passes and asks
// them again ten thousand edits later.
func TestRandomEditsAgreeWithAPlainMap(t *testing.T) {
	type snapshot struct {
		t    *Table
		want map[Key]Binding
	}
	r := rand.New(rand.NewPCG(11, 12))
	want := map[Key]Binding{}
	tab := (*Table)(nil)
	var kept []snapshot
	for i := range 10_000 {
		e := tab.Edit()
		for range 1 + r.IntN(3) {
			k := randomKey(r)
			if r.IntN(3) == 0 {
				e.Delete(k)
				delete(want, k)
				continue
			}
			b := Binding{MAC: ether.Addr{2, byte(r.IntN(256))}, Origin: fdb.Origin(r.IntN(3)), Rev: r.Int64()}
			e.Set(k, b)
			want[k] = b
		}
		tab = e.Table()
		if i%250 == 0 {
			kept = append(kept, snapshot{tab, maps.Clone(want)})
		}
	}
	for i, s := range append(kept, snapshot{tab, want}) {
		if got := maps.Collect(s.t.All()); !maps.Equal(got, s.want) {
			t.Fatalf("table %d (-got +want):\n%s", i, cmp.Diff(got, s.want))
		}
		for k, b := range s.want {
			if got, ok := s.t.Lookup(k.VNI, k.IP); !ok || got != b {
				t.Fatalf("table %d: Lookup(%v) = %v, %v, want %v, true", i, k, got, ok, b)
			}
		}
		if got := s.t.Len(); got != len(s.want) {
			t.Fatalf("table %d: Len() = %d, want %d", i, got, len(s.want))
		}
		four := 0
		for k := range s.want {
			if k.IP.Is4() {
				four++
			}
		}
		if got := s.t.Len4(); got != four {
			t.Fatalf("table %d: Len4() = %d, want %d", i, got, four)
		}
	}
}

// randomKey is a key of few, so that edits meet.
func randomKey(r *rand.Rand) Key {
	k := Key{VNI: encap.VNI(r.IntN(3)), IP: netip.AddrFrom4([4]byte{10, 5, byte(r.IntN(4)), byte(r.IntN(128))})}
	if r.IntN(2) == 0 {
		b := k.IP.As16()
		b[0], b[10], b[11] = 0xfd, 0, 0
		k.IP = netip.AddrFrom16(b)
	}
	return k
}

func TestLookupDoesNotAllocate(t *testing.T) {
	tab, bound, free := testTable(), addr(hostIP), addr(freeIP)
	if n := testing.AllocsPerRun(1000, func() { tab.Lookup(vni, bound); tab.Lookup(vni, free) }); n != 0 {
		t.Errorf("Lookup allocates %v times, want 0", n)
	}
}
