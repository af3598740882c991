package etcdsync

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap/ether"

	"github.com/uvtep/uvtep/fdb"
)

// conflicts are those in the tables, as "kind what: host | host".
func (w *world) conflicts() []string {
	t := w.tables()
	if t.ConflictCount != len(t.Conflicts) {
		w.Errorf("conflicts: %d are counted, %d told", t.ConflictCount, len(t.Conflicts))
	}
	var out []string
	for _, c := range t.Conflicts {
		out = append(out, fmt.Sprintf("%s %s: %s", c.Kind, c.What, strings.Join(c.Hosts, " | ")))
	}
	return out
}

const (
	hostA = "node " + nodeA + " at 192.0.2.1 (this host)"
	hostB = "node " + nodeB + " at 192.0.2.2"
	hostC = "node " + nodeC + " at 192.0.2.3"
	withB = " with 10.10.2.0/24"
	withC = " with 10.10.3.0/24"
)

func TestWhatTwoHostsHaveAndOnlyOneCanIsNamed(t *testing.T) {
	atB, atC := "192.0.2.2", "192.0.2.3"
	ownLease := [2]string{"subnets/10.10.1.0-24", leaseOf(nodeA, "192.0.2.1", mac(1))}
	b := func(ip string, m ether.Addr) [2]string { return [2]string{leaseB, leaseOf(nodeB, ip, m)} }
	c := func(ip string, m ether.Addr) [2]string {
		return [2]string{"subnets/10.10.3.0-24", leaseOf(nodeC, ip, m)}
	}
	record := func(node, ip string) [2]string { return [2]string{hostKey(node), hostOf(ip)} }
	port := func(node, ip string, port int) [2]string {
		return [2]string{hostKey(node), fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":"2001:db8::%d","Port":%d,"VNIs":[1]}`, ip, port, port)}
	}
	v6 := func(node, ip string) [2]string {
		return [2]string{hostKey(node), fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":"2001:db8::9","VNIs":[1]}`, ip)}
	}
	tests := []struct {
		name string
		puts [][2]string
		want []string
	}{
		{"hosts that have nothing in common", [][2]string{ownLease, b(atB, mac(2)), c(atC, mac(3)), record(nodeA, "192.0.2.1"), record(nodeB, atB), record(nodeC, atC)}, nil},
		{"one address of two others", [][2]string{record(nodeB, atB), record(nodeC, atB), b(atB, mac(2)), c(atB, mac(3))},
			[]string{"address 192.0.2.2:4789: " + hostB + withB + " | node " + nodeC + " at 192.0.2.2" + withC}},
		{"one address behind NAT, on two ports", [][2]string{port(nodeB, atB, 4789), port(nodeC, atB, 4790)}, nil},
		{"one IPv6 address", [][2]string{v6(nodeB, atB), v6(nodeC, atC)}, []string{"address [2001:db8::9]:4789: " + hostB + " | " + hostC}},
		{"this host's address, in a record", [][2]string{record(nodeB, "192.0.2.1")},
			[]string{"address 192.0.2.1:4789: node " + nodeB + " at 192.0.2.1 | " + hostA}},
		{"this host's address, in a lease", [][2]string{record(nodeB, atB), b("192.0.2.1", mac(2)), ownLease},
			[]string{"address 192.0.2.1:4789: node " + nodeB + " at 192.0.2.1" + withB + " | " + hostA + " with 10.10.1.0/24"}},
		{"the address of a host that is gone", [][2]string{b(atC, mac(2)), c(atC, mac(3)), record(nodeC, atC)}, nil},
		{"this host's address, of one that is gone", [][2]string{b("192.0.2.1", mac(2)), record(nodeC, atC)}, nil},
		{"one MAC address of two others", [][2]string{b(atB, mac(2)), c(atC, mac(2))}, []string{"mac 02:00:00:00:00:02: " + hostB + withB + " | " + hostC + withC}},
		{"this host's MAC address", [][2]string{b(atB, mac(1))}, []string{"mac 02:00:00:00:00:01: " + hostB + withB + " | " + hostA}},
		{"flannel with a MAC address of another", [][2]string{{leaseB, leaseOf("", atB, mac(3))}, c(atC, mac(3))},
			[]string{"mac 02:00:00:00:00:03: flannel at 192.0.2.2" + withB + " | " + hostC + withC}},
		{"two leases of one flannel host", [][2]string{{leaseB, leaseOf("", atB, mac(3))}, {"subnets/10.10.3.0-24", leaseOf("", atB, mac(3))}}, nil},
		{"one node id of two others", [][2]string{b(atB, mac(2)), {"subnets/10.10.3.0-24", leaseOf(nodeB, atC, mac(2))}},
			[]string{"node " + nodeB + ": " + hostB + withB + " | node " + nodeB + " at 192.0.2.3" + withC}},
		{"this host's node id", [][2]string{ownLease, {leaseB, leaseOf(nodeA, atB, mac(1))}},
			[]string{"node " + nodeA + ": " + hostA + " with 10.10.1.0/24 | node " + nodeA + " at 192.0.2.2" + withB}},
		{"two leases of one host", [][2]string{b(atB, mac(2)), {"subnets/10.10.3.0-24", leaseOf(nodeB, atB, mac(2))}}, nil},
		{"a subnet under two keys", [][2]string{b(atB, mac(2)), {leaseB + "&fd00:10:0:2::-64", leaseOf(nodeC, atC, mac(3))}},
			[]string{"subnet 10.10.2.0/24: " + hostB + withB + " | " + hostC + withB}},
		{"a subnet within another", [][2]string{b(atB, mac(2)), {"subnets/10.10.2.128-25", leaseOf(nodeC, atC, mac(3))}, {"subnets/10.10.3.0-25", leaseOf(nodeC, atC, mac(3))}},
			[]string{"subnet 10.10.2.128/25 in 10.10.2.0/24: " + hostB + withB + " | " + hostC + " with 10.10.2.128/25"}},
		{"a subnet over this host's", [][2]string{ownLease, {"subnets/10.10.0.0-23", leaseOf(nodeB, atB, mac(2))}},
			[]string{"subnet 10.10.1.0/24 in 10.10.0.0/23: " + hostA + " with 10.10.1.0/24 | " + hostB + " with 10.10.0.0/23"}},
		{"one host's subnet within its other one", [][2]string{b(atB, mac(2)), {"subnets/10.10.2.128-25", leaseOf(nodeB, atB, mac(2))}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for _, kv := range tt.puts {
				w.put(kv[0], kv[1])
			}
			if diff := cmp.Diff(tt.want, w.conflicts()); diff != "" {
				t.Errorf("conflicts, want- got+:\n%s", diff)
			}
			errors := strings.Count(w.logs.String(), `"level":"error"`)
			if errors != len(tt.want) {
				t.Errorf("log: got %d errors, want %d:\n%s", errors, len(tt.want), w.logs.String())
			}
			relist(w.in, w.h)
			if again := w.conflicts(); !slices.Equal(again, tt.want) {
				t.Errorf("after a list: got %q, want %q", again, tt.want)
			}
			for _, kv := range tt.puts {
				w.del(kv[0])
			}
			if left := w.conflicts(); left != nil || w.in.board.census.parties.all.n != 1 {
				t.Errorf("left over: %q, %d parties", left, w.in.board.census.parties.all.n)
			}
		})
	}
}

func TestAConflictIsToldWhenItBeginsAndWhenItEnds(t *testing.T) {
	w := newWorld(t)
	w.put(hostKey(nodeB), hostOf("192.0.2.2"))
	relist(w.in, w.h)
	w.messages()
	const begins, ends = "two hosts have one public address and port", "no longer: two hosts have one public address and port"
	for round := range 2 {
		for step, do := range []func(){
			func() { w.put(hostKey(nodeC), hostOf("192.0.2.2")) },
			func() { w.put(hostKey(nodeC), `{"PublicIP":"192.0.2.2","VNIs":[1,7]}`) }, // the same in other words
			func() { relist(w.in, w.h) },
			func() { w.put(hostKey(nodeC), hostOf("192.0.2.3")) },
		} {
			do()
			w.tables()
			want := map[int][]string{0: {begins}, 3: {ends}}[step]
			if got := w.messages(); !slices.Equal(got, want) {
				t.Errorf("round %d, step %d: got %q, want %q", round, step, got, want)
			}
		}
	}
}

// A host that takes another address, and one that takes its old one, are no
// conflict when both are heard of before the next tables.
func TestWhatIsToldInStepsIsNoConflict(t *testing.T) {
	w := newWorld(t)
	w.put(hostKey(nodeB), hostOf("192.0.2.2"))
	w.tables()
	relist(w.in, w.h)
	w.messages()
	w.h.del(hostKey(nodeB))
	w.h.put(hostKey(nodeC), hostOf("192.0.2.2")) // listed before the end of B is known
	relist(w.in, w.h)
	if got := w.conflicts(); got != nil || w.logs.Len() > 0 {
		t.Errorf("got %q, %s", got, w.logs.String())
	}
}

// Conflicts of the last run may be over.
func TestTablesOfTheLastRunTellOfNoConflict(t *testing.T) {
	w := newWorld(t)
	w.in.board.stale = true
	w.put(hostKey(nodeB), hostOf("192.0.2.2"))
	w.put(hostKey(nodeC), hostOf("192.0.2.2"))
	if got := w.conflicts(); got != nil || w.logs.Len() > 0 {
		t.Errorf("got %q, %s", got, w.logs.String())
	}
	w.in.board.stale = false
	if got := w.conflicts(); len(got) != 1 || len(w.messages()) != 1 {
		t.Errorf("etcd has heard: got %q, %s", got, w.logs.String())
	}
}

func TestAKeyMadeAnewWhileNobodyHeardIsNoTwin(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(1))) // ours
	w.tables()
	w.h.del(leaseB)
	w.h.put(leaseB, "rubbish")
	relist(w.in, w.h)
	if got := w.conflicts(); got != nil {
		t.Errorf("got %q", got)
	}
}

func TestNoMoreConflictsAreToldThanCanBeRead(t *testing.T) {
	w := newWorld(t)
	for i := range 2 * maxConflicts {
		for _, node := range []int{1000 + i, 2000 + i} {
			w.put(hostKey(fmt.Sprintf("%032x", node)), hostOf(fmt.Sprintf("198.51.100.%d", i)))
		}
	}
	if got := w.tables(); len(got.Conflicts) != maxConflicts || got.ConflictCount != 2*maxConflicts {
		t.Errorf("got %d of %d", len(got.Conflicts), got.ConflictCount)
	}
	if got := len(w.messages()); got != alarmBurst {
		t.Errorf("got %d lines, want %d", got, alarmBurst)
	}
}

func TestOfManyHostsWithOneAddressAFewAreNamed(t *testing.T) {
	w := newWorld(t)
	for i := range 2 * maxNamed {
		w.put(hostKey(fmt.Sprintf("%032x", i)), hostOf("192.0.2.2"))
	}
	got := w.tables().Conflicts
	if len(got) != 1 || len(got[0].Hosts) != maxNamed+1 || got[0].Hosts[maxNamed] != "and others" {
		t.Errorf("got %+v", got)
	}
	if hosts := w.in.board.census.rivals(&point{addr: netip.MustParseAddrPort("192.0.2.2:4789")}); len(hosts) != maxNamed+1 {
		t.Errorf("looked at %d hosts, want no more than can be named", len(hosts))
	}
}

// The subnets that overlap are found whatever the order in which they come and
// go: compared with looking at every pair.
func TestOverlapsAreFoundInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() subnets {
		var s subnets
		bits := 16 + rng.IntN(6)
		s.v4 = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, byte(rng.IntN(8)) << 5, 0}), bits).Masked()
		if rng.IntN(2) == 0 {
			s.v6 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(rng.IntN(8))}), 61+rng.IntN(4)).Masked()
		}
		return s
	}
	c := newCensus()
	leased := make(map[string]*party)
	for step := range 5000 {
		name := fmt.Sprint(rng.IntN(12))
		if rng.IntN(3) == 0 {
			delete(leased, name)
			c.remove(name)
		} else {
			p := leaseParty(name, fmt.Sprint(rng.IntN(6)), random())
			leased[name] = p
			c.put(p)
		}
		if rng.IntN(3) == 0 {
			continue // several changes at once
		}
		c.settle()
		want := make(map[point]bool)
		for _, p := range leased {
			for _, q := range leased {
				for _, a := range p.subnets().prefixes() {
					for _, b := range q.subnets().prefixes() {
						if p.node != q.node && a.Overlaps(b) {
							want[pairOf(a, b)] = true
						}
					}
				}
			}
		}
		got := make(map[point]bool)
		for pt := range c.present {
			if pt.kind() == SameSubnet {
				got[pt] = true
			}
		}
		for pt := range want {
			if !got[pt] {
				t.Fatalf("step %d: %s is not found", step, pt.String())
			}
		}
		for pt := range got {
			if !want[pt] && !wide(pt, leased) {
				t.Fatalf("step %d: %s is found and is none", step, pt.String())
			}
		}
	}
}

// leaseParty is a lease that says nothing but what it leases.
func leaseParty(key, node string, s subnets) *party {
	return &party{node: node, vtep: &fdb.VTEP{To: netip.MustParseAddrPort("192.0.2.9:1")}, peer: &Peer{Key: key, Subnet: s.v4, Subnet6: s.v6}}
}

// wide reports whether a subnet within another is in a conflict because of two
// hosts that have the outer, or the inner one.
func wide(pt point, leased map[string]*party) bool {
	for _, half := range []netip.Prefix{pt.outer, pt.inner} {
		nodes := make(map[string]bool)
		for _, p := range leased {
			if p.leases(half) {
				nodes[p.node] = true
			}
		}
		if len(nodes) > 1 {
			return true
		}
	}
	return false
}

func TestTheCensusLooksAtNeighboursOnly(t *testing.T) {
	r := newRanges()
	for i := range 1 << 12 {
		s := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		r.change(s, leaseParty(s.String(), "", subnets{v4: s}), true)
	}
	got := slices.Collect(r.overlapping(prefix("10.3.2.0/23")))
	if want := []netip.Prefix{prefix("10.3.2.0/24"), prefix("10.3.3.0/24")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := slices.Collect(r.overlapping(prefix("10.3.2.128/25"))); !slices.Equal(got, []netip.Prefix{prefix("10.3.2.0/24")}) {
		t.Errorf("got %v, want the one it is within", got)
	}
}

// What a tree finds is what looking at every subnet finds, in the same order, and
// nothing is left when all are gone.
func TestOverlapsAreThoseOfEveryPair(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func() netip.Prefix {
		if rng.IntN(3) == 0 {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(rng.IntN(16)), 15: byte(rng.IntN(4))}), rng.IntN(129)).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(2)), byte(rng.IntN(8)), byte(rng.IntN(4))}), rng.IntN(33)).Masked()
	}
	r := newRanges()
	leased := make(map[netip.Prefix][]*party)
	for step := range 5000 {
		s := random()
		if ps := leased[s]; len(ps) > 0 && (step > 4000 || rng.IntN(2) == 0) {
			r.change(s, ps[0], false)
			if leased[s] = ps[1:]; len(ps) == 1 {
				delete(leased, s)
			}
		} else {
			p := leaseParty(fmt.Sprint(step), "", subnets{v4: s})
			leased[s] = append(ps, p)
			r.change(s, p, true)
		}
		of := random()
		var want []netip.Prefix
		for q := range leased {
			if q != of && q.Overlaps(of) {
				want = append(want, q)
			}
		}
		slices.SortFunc(want, netip.Prefix.Compare)
		if got := slices.Collect(r.overlapping(of)); !slices.Equal(got, want) {
			t.Fatalf("step %d: %s overlaps %v, want %v", step, of, got, want)
		}
		if got := slices.Collect(r.overlapping(of)); len(got) > 1 && len(firstOf(r.overlapping(of), len(got)-1)) != len(got)-1 {
			t.Fatalf("step %d: does not stop", step)
		}
	}
	for s, ps := range leased {
		for _, p := range ps {
			r.change(s, p, false)
		}
	}
	if r.v4 != (prefixTree{}) || r.v6 != (prefixTree{}) {
		t.Error("something is left of the trees")
	}
}

// firstOf collects no more than n.
func firstOf(seq iter.Seq[netip.Prefix], n int) (out []netip.Prefix) {
	for s := range seq {
		if out = append(out, s); len(out) == n {
			break
		}
	}
	return out
}
