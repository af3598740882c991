package etcdsync

import (
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestU128CountsAsAddressesDo(t *testing.T) {
	tests := []struct {
		name      string
		got, want netip.Addr
	}{
		{"IPv4 and back", addrValue(addr("10.1.2.3")).addr(32), addr("10.1.2.3")},
		{"IPv6 and back", addrValue(addr("fd00::1:2")).addr(128), addr("fd00::1:2")},
		{"a carry into the upper half", addrValue(addr("fd00::ffff:ffff:ffff:ffff")).add(u128{lo: 1}).addr(128), addr("fd00:0:0:1::")},
		{"a borrow from it", addrValue(addr("fd00:0:0:1::")).sub(u128{lo: 1}).addr(128), addr("fd00::ffff:ffff:ffff:ffff")},
		{"a small shift", addrValue(addr("::1:0:0:0")).shl(8).addr(128), addr("::100:0:0:0")},
		{"a shift across the halves", addrValue(addr("::1")).shl(72).addr(128), addr("0:0:0:100::")},
		{"a shift by exactly one half", addrValue(addr("::5")).shl(64).addr(128), addr("0:0:0:5::")},
		{"back across the halves", addrValue(addr("0:0:0:100::")).shr(72).addr(128), addr("::1")},
		{"a small shift back takes bits from above", addrValue(addr("0:0:0:1::")).shr(4).addr(128), addr("::1000:0:0:0")},
		{"no shift", addrValue(addr("fd00::7")).shl(0).shr(0).addr(128), addr("fd00::7")},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

// naivePool lists every subnet, with another arithmetic.
func naivePool(first, last netip.Addr, length int) []netip.Prefix {
	step := new(big.Int).Lsh(big.NewInt(1), uint(first.BitLen()-length))
	at := new(big.Int).SetBytes(first.AsSlice())
	var out []netip.Prefix
	for {
		a, _ := netip.AddrFromSlice(at.FillBytes(make([]byte, first.BitLen()/8)))
		out = append(out, netip.PrefixFrom(a, length))
		if a == last {
			return out
		}
		at.Add(at, step)
	}
}

func TestPickTakesAFreeSubnetIfThereIsOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pools := []struct {
		first, last netip.Addr
		length      int
	}{
		{addr("10.10.1.0"), addr("10.10.15.0"), 24},
		{addr("10.10.0.4"), addr("10.10.0.12"), 30},
		{addr("255.255.255.0"), addr("255.255.255.240"), 28},
		{addr("2001:db8:0:f8::"), addr("2001:db8:0:107::"), 64},
	}
	for range 2000 {
		c := pools[rng.IntN(len(pools))]
		p, all := newPool(c.first, c.last, c.length), naivePool(c.first, c.last, c.length)
		if p.count != uint64(len(all)) {
			t.Fatalf("%s to %s: got %d subnets, want %d", c.first, c.last, p.count, len(all))
		}
		taken := randomTaken(rng, c.first, c.length)
		var free []netip.Prefix
		for _, q := range all {
			if !slices.ContainsFunc(taken, q.Overlaps) {
				free = append(free, q)
			}
		}
		for i := range free {
			got, ok := p.pick(taken, func(n uint64) uint64 {
				if n != uint64(len(free)) {
					t.Fatalf("taken %s: got %d free subnets, want %d", taken, n, len(free))
				}
				return uint64(i)
			})
			if !ok || got != free[i] {
				t.Fatalf("taken %s, choice %d: got %s, want %s", taken, i, got, free[i])
			}
		}
		if len(free) == 0 {
			if got, ok := p.pick(taken, func(uint64) uint64 { return 0 }); ok {
				t.Fatalf("taken %s: got %s, want none", taken, got)
			}
		}
	}
}

// randomTaken returns leases around an address: of the pool's length, longer,
// shorter, outside, and of the other family.
func randomTaken(rng *rand.Rand, around netip.Addr, length int) []netip.Prefix {
	var out []netip.Prefix
	for range rng.IntN(20) {
		bits := min(max(length+rng.IntN(9)-4, 1), around.BitLen())
		shift := u128{lo: rng.Uint64N(20)}.shl(around.BitLen() - length)
		a := addrValue(around).add(shift).sub(u128{lo: 2}.shl(around.BitLen() - length))
		out = append(out, netip.PrefixFrom(a.addr(around.BitLen()), bits).Masked())
	}
	return append(out, prefix("192.0.2.0/24"), prefix("2001:db8:ffff::/64"), netip.Prefix{})
}

func TestPickIsUniform(t *testing.T) {
	p := newPool(addr("10.10.1.0"), addr("10.10.8.0"), 24)
	taken := []netip.Prefix{prefix("10.10.2.0/24"), prefix("10.10.4.0/23")}
	rng := rand.New(rand.NewPCG(3, 4))
	counts := make(map[netip.Prefix]int)
	const draws = 5000
	for range draws {
		q, _ := p.pick(taken, rng.Uint64N)
		counts[q]++
	}
	if len(counts) != 5 {
		t.Fatalf("got %v, want all five free subnets", counts)
	}
	for q, n := range counts {
		if n < draws/5*9/10 || n > draws/5*11/10 {
			t.Errorf("%s: got %d of %d, want about a fifth", q, n, draws)
		}
	}
}

func TestAnEnormousPoolIsNoTrouble(t *testing.T) {
	n, err := NewNetwork(netip.Prefix{}, prefix("::/0")).Complete()
	if err != nil {
		t.Fatal(err)
	}
	n.IPv6SubnetLen, n.IPv6SubnetMin, n.IPv6SubnetMax = 126, netip.Addr{}, netip.Addr{}
	if n, err = n.Complete(); err != nil {
		t.Fatal(err)
	}
	_, p := n.pools()
	taken := []netip.Prefix{p.at(0), p.at(1), p.at(3)}
	if got, ok := p.pick(taken, func(uint64) uint64 { return 0 }); !ok || got != p.at(2) {
		t.Errorf("got %s, want %s", got, p.at(2))
	}
	if got, _ := p.pick(taken, func(n uint64) uint64 { return n - 1 }); got != p.at(p.count-1) {
		t.Errorf("got %s, want the last, %s", got, p.at(p.count-1))
	}
}
