package snapmap

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

func TestMixDependsOnEveryBit(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		a, b := r.Uint64(), r.Uint64()
		for bit := range 64 {
			if Mix(a, b) == Mix(a^1<<bit, b) {
				t.Errorf("Mix(%#x, %#x) ignores bit %d of the first word", a, b, bit)
			}
			if Mix(a, b) == Mix(a, b^1<<bit) {
				t.Errorf("Mix(%#x, %#x) ignores bit %d of the second word", a, b, bit)
			}
		}
	}
}

func TestHashAddrDependsOnAddressAndSeed(t *testing.T) {
	const seed = 0x1234567890abcdef
	seen := map[uint64]string{}
	for _, s := range []string{
		"0.0.0.0", "10.5.10.0", "10.5.10.1", "10.5.11.0", "255.255.255.255",
		"::", "::1", "::10.5.10.0", "fd00::", "fd00:0:0:1::", "fd00::1", "ffff::",
	} {
		h := HashAddr(netip.MustParseAddr(s), seed)
		if other, ok := seen[h]; ok {
			t.Errorf("HashAddr(%s) = HashAddr(%s)", s, other)
		}
		seen[h] = s
		if h == HashAddr(netip.MustParseAddr(s), seed+1) {
			t.Errorf("HashAddr(%s) ignores the seed", s)
		}
	}
}

func TestMapsOfOneKindDoNotShareASeed(t *testing.T) {
	seeds := map[uint64]bool{}
	for range 16 {
		e := New[int, int](func(int, uint64) uint64 { return 0 }).Edit()
		e.Set(1, 1)
		seeds[e.Map().seed] = true
	}
	if got := len(seeds); got != 16 {
		t.Errorf("16 maps have %d seeds, want 16", got)
	}
}
