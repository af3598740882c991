package fdb

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// vtep is a VTEP at port 4789 of to, with the other address alt unless empty.
func vtep(to, alt string) *VTEP {
	v := &VTEP{To: netip.AddrPortFrom(addr(to), 4789)}
	if alt != "" {
		v.Alt = addr(alt)
	}
	return v
}

func mac(last byte) ether.Addr { return ether.Addr{0x02, 0, 0, 0, 0, last} }

func TestEmptyTablesKnowAndAcceptNothing(t *testing.T) {
	e := (*Table)(nil).Edit()
	e.Set(Key{1, mac(1)}, Entry{})
	e.AddVTEP(1, vtep("192.0.2.1", "2001:db8::1"))
	e.Delete(Key{1, mac(1)})
	e.RemoveVTEP(1, vtep("192.0.2.1", "2001:db8::1"))
	for _, c := range []struct {
		name string
		t    *Table
	}{
		{"a nil table", nil},
		{"the zero table", new(Table)},
		{"a table of a nil table's edit", (*Table)(nil).Edit().Table()},
		{"a table of the zero table's edit", new(Table).Edit().Table()},
		{"a table that lost all it had", e.Table()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, ok := c.t.Lookup(1, mac(1)); ok {
				t.Error("Lookup finds a station")
			}
			for _, a := range []netip.Addr{{}, addr("192.0.2.1"), addr("2001:db8::1")} {
				if c.t.Accepts(1, a) {
					t.Errorf("Accepts(%v) = true, want false", a)
				}
			}
			if got := c.t.VTEPs(1); got.Len() != 0 {
				t.Errorf("VTEPs = %v, want none", got)
			}
			if got := c.t.Len(); got != 0 {
				t.Errorf("Len() = %d, want 0", got)
			}
			for k := range c.t.All() {
				t.Errorf("All yields %v", k)
			}
		})
	}
}

func TestLookupIsPerVNI(t *testing.T) {
	a, b := vtep("192.0.2.1", ""), vtep("192.0.2.2", "")
	e := new(Table).Edit()
	e.Set(Key{1, mac(1)}, Entry{VTEP: a, Origin: Lease, Rev: 5})
	e.Set(Key{2, mac(1)}, Entry{VTEP: b, Origin: Endpoint, Rev: 6})
	e.Set(Key{0xffffff, ether.Broadcast}, Entry{Rev: 7})
	tab := e.Table()
	for _, c := range []struct {
		name string
		key  Key
		want Entry
		ok   bool
	}{
		{"a station of VNI 1", Key{1, mac(1)}, Entry{VTEP: a, Origin: Lease, Rev: 5}, true},
		{"the same address in VNI 2", Key{2, mac(1)}, Entry{VTEP: b, Origin: Endpoint, Rev: 6}, true},
		{"the same address in VNI 3", Key{3, mac(1)}, Entry{}, false},
		{"another address in VNI 1", Key{1, mac(2)}, Entry{}, false},
		{"the last address of the last VNI", Key{0xffffff, ether.Broadcast}, Entry{Rev: 7}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := tab.Lookup(c.key.VNI, c.key.MAC); got != c.want || ok != c.ok {
				t.Errorf("Lookup(%v) = %v, %v, want %v, %v", c.key, got, ok, c.want, c.ok)
			}
		})
	}
}

func TestOnlyVTEPsOfTheVNIAreAccepted(t *testing.T) {
	e := new(Table).Edit()
	e.AddVTEP(1, vtep("192.0.2.1", "2001:db8::1"))
	e.AddVTEP(2, vtep("192.0.2.2", ""))
	tab := e.Table()
	for _, c := range []struct {
		name string
		vni  encap.VNI
		src  string
		want bool
	}{
		{"S1 the address of a VTEP", 1, "192.0.2.1", true},
		{"S1 its other address", 1, "2001:db8::1", true},
		{"S1 its address as a dual-stack socket writes it", 1, "::ffff:192.0.2.1", true},
		{"S1 a stranger", 1, "192.0.2.9", false},
		{"S1 a VTEP of another VNI", 1, "192.0.2.2", false},
		{"S1 a VTEP in a VNI without any", 3, "192.0.2.1", false},
		{"S1 the unspecified address", 1, "0.0.0.0", false},
		{"S1 the unspecified IPv6 address", 1, "::", false},
		{"S1 a multicast address", 1, "224.0.0.1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tab.Accepts(c.vni, addr(c.src)); got != c.want {
				t.Errorf("Accepts(%d, %s) = %v, want %v", c.vni, c.src, got, c.want)
			}
		})
	}
}

func TestWhatIsAnAddressOfAVTEP(t *testing.T) {
	both := vtep("192.0.2.1", "2001:db8::1")
	for _, c := range []struct {
		name string
		v    *VTEP
		src  netip.Addr
		want bool
	}{
		{"S2 the address datagrams go to", both, addr("192.0.2.1"), true},
		{"S2 the other address", both, addr("2001:db8::1"), true},
		{"S2 the address in IPv6 form", both, addr("::ffff:192.0.2.1"), true},
		{"S2 another host's", both, addr("192.0.2.2"), false},
		{"S2 no address of a VTEP without another one", vtep("192.0.2.1", ""), netip.Addr{}, false},
		{"S2 nothing is this host's when it comes from a tunnel", nil, addr("192.0.2.1"), false},
		{"S2 the zero VTEP owns nothing", new(VTEP), netip.Addr{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.v.Owns(c.src); got != c.want {
				t.Errorf("Owns(%v) = %v, want %v", c.src, got, c.want)
			}
		})
	}
}

func TestOriginsHaveNames(t *testing.T) {
	var got []string
	for o := range Endpoint + 2 {
		got = append(got, o.String())
	}
	if want := []string{"lease", "static", "endpoint", "origin(3)"}; !cmp.Equal(got, want) {
		t.Errorf("names are %v, want %v", got, want)
	}
}

func TestAKeyReadsAsVNIAndAddress(t *testing.T) {
	if got, want := (Key{42, mac(1)}).String(), "42/02:00:00:00:00:01"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestPackingLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var k Key
		k.VNI = encap.VNI(r.Uint32())
		for i := range k.MAC {
			k.MAC[i] = byte(r.Uint32())
		}
		if got := pack(k).key(); got != k {
			t.Fatalf("pack(%v).key() = %v", k, got)
		}
	}
}

func TestPerFrameFunctionsDoNotAllocate(t *testing.T) {
	e := new(Table).Edit()
	for i := range 200 {
		v := vtep("192.0.2.1", "2001:db8::1")
		e.Set(Key{1, mac(byte(i))}, Entry{VTEP: v})
		e.AddVTEP(1, v)
	}
	tab, four, six := e.Table(), addr("192.0.2.1"), addr("2001:db8::1")
	v, _ := tab.Lookup(1, mac(1))
	for name, f := range map[string]func(){
		"Lookup":  func() { tab.Lookup(1, mac(7)); tab.Lookup(2, mac(7)) },
		"Accepts": func() { tab.Accepts(1, four); tab.Accepts(1, six); tab.Accepts(2, four) },
		"VTEPs":   func() { tab.VTEPs(1); tab.VTEPs(2) },
		"Owns":    func() { v.VTEP.Owns(four); v.VTEP.Owns(six) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}

// TestHashesSpreadAddressesAsTheyAreGiven looks at the addresses that networks
// really have: counted up, or different in one byte only.
func TestHashesSpreadAddressesAsTheyAreGiven(t *testing.T) {
	const n = 1 << 14
	for _, c := range []struct {
		name string
		hash func(i int, seed uint64) uint64
	}{
		{"stations counted up", func(i int, seed uint64) uint64 {
			return hashStation(station{0x020000000000 + uint64(i), 1}, seed)
		}},
		{"stations that differ in their upper bytes", func(i int, seed uint64) uint64 {
			return hashStation(station{0x020000000001 + uint64(i)<<25, 1}, seed)
		}},
		{"one station in many VNIs", func(i int, seed uint64) uint64 {
			return hashStation(station{0x020000000001, encap.VNI(i)}, seed)
		}},
		{"IPv4 sources counted up", func(i int, seed uint64) uint64 {
			return hashSource(source{1, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})}, seed)
		}},
		{"IPv4 networks counted up", func(i int, seed uint64) uint64 {
			return hashSource(source{1, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})}, seed)
		}},
		{"IPv6 networks counted up", func(i int, seed uint64) uint64 {
			return hashSource(source{1, netip.AddrFrom16([16]byte{0xfd, 0, 4: byte(i >> 8), byte(i)})}, seed)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(2, 2))
			for range 50 {
				if worst := fullest(n, r.Uint64(), c.hash); worst > 32 {
					t.Errorf("%d of %d keys share one of %d buckets, want no more than 32", worst, n, n/4)
				}
			}
		})
	}
}

// fullest is the number of keys in the fullest of n/4 buckets.
func fullest(n int, seed uint64, hash func(int, uint64) uint64) int {
	counts := make([]int, n/4)
	for i := range n {
		counts[hash(i, seed)%uint64(len(counts))]++
	}
	return slices.Max(counts)
}

func TestAllStopsWhenAsked(t *testing.T) {
	e := new(Table).Edit()
	for i := range 50 {
		e.Set(Key{1, mac(byte(i))}, Entry{})
	}
	n := 0
	for range e.Table().All() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("the loop ran %d times, want 3", n)
	}
	if got := len(maps.Collect(e.Table().All())); got != 50 {
		t.Errorf("All yields %d stations, want 50", got)
	}
}
