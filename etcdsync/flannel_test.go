package etcdsync

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What goes wrong with flannel's etcd networks, fourteen defects, and the tests
// that say it does not here:
//
//	F1  a lost race for a subnet ends the daemon              TestALostRaceTriesAgainWithAnotherSubnet
//	F2  a reservation becomes a lease of 24 h at a restart    TestAReservationStaysOne
//	F3  each renewal writes blindly, on a new etcd lease      TestRenewalWritesNothingAndNeedsNoNewLease
//	F4  one request a lease, on each list and each event      TestFollowingAsksNothingAboutSingleLeases
//	F5  a list after a lost watch is compared by subnet only  TestAHostWithANewAddressOrMACLeavesNothingStale, "listed"
//	F6  a changed MAC or address leaves the old FDB entry     TestAHostWithANewAddressOrMACLeavesNothingStale, "heard of"
//	    routes of an earlier run are never removed            bench: TestStrangersRoutesOfOursArePurgedAtStart
//	F7  a device made anew has no entries, and 50 bytes less  bench: TestTAPDeletedUnderTheAgentComesBackWithAll
//	F8  an IPv6 underlay costs 50 bytes instead of 70         internal/hostnet: TestMTUIsTheSmallerUnderlayLessTheTunnel
//	                                                          cmd/uvtep: TestAnIPv6UnderlayCosts70BytesOfMTU
//	F9  a CA without a client certificate is ignored          TestACAAloneIsEnoughForTLS
//	F10 a lease that cannot be asked about counts as gone     TestALeaseThatCannotBeAskedAboutIsThere
//	F11 one stray key removes every peer                      TestAStrayKeyDisturbsNobody
//	F12 the host removes itself at the second list            TestTheOwnLeaseIsNoPeerHoweverOftenItIsListed
//	F13 one failed read, and the lease is never renewed again TestAFailedReadDoesNotEndTheRenewal
//	F14 a configuration without Backend means another one     TestAConfigurationWithoutBackendIsVXLANAndSaysSo

// flannel F1: it looks for an error that etcd never returns for a lost race,
// so that the tries it means to make are never made.
func TestALostRaceTriesAgainWithAnotherSubnet(t *testing.T) {
	e := startEtcd(t)
	const rounds, hosts = 6, 4
	var stores [hosts]*Store
	for i := range stores {
		stores[i], _ = e.store()
		if _, err := stores[i].get(e.ctx, configKey); err != nil { // connected
			t.Fatal(err)
		}
	}
	for range rounds {
		got := make(chan netip.Prefix, hosts)
		var all sync.WaitGroup
		for i, s := range stores {
			c := claim(i + 1)
			c.Previous = prefix("10.10.5.0/24") // all want the same
			all.Go(func() {
				r, err := s.Acquire(e.ctx, c)
				if err != nil {
					t.Errorf("host %d: %v", i, err)
					return
				}
				got <- r.Subnet()
			})
		}
		all.Wait()
		close(got)
		seen := make(map[netip.Prefix]bool)
		for p := range got {
			seen[p] = true
		}
		if len(seen) != hosts || !seen[prefix("10.10.5.0/24")] {
			t.Errorf("got %v, want %d subnets, the one that all wanted among them", seen, hosts)
		}
		e.del("", clientv3.WithPrefix())
	}
}

// flannel F3: it asks for a new etcd lease and puts its key without looking,
// over whatever stands there; the old lease lies about for a day.
func TestRenewalWritesNothingAndNeedsNoNewLease(t *testing.T) {
	e := startEtcd(t)
	c := claim(1)
	c.LeaseTTL, c.LivenessTTL = time.Second, time.Second // etcd makes it two
	r := e.register(c)
	rev := e.put("marker", "")
	first := r.Expires()
	e.eventually("two renewals", func() bool { return r.Expires().After(first.Add(time.Second)) })
	leases, err := e.client.Leases(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(leases.Leases) != 2 || leases.Revision != rev {
		t.Errorf("got %d etcd leases at revision %d, want 2 at %d", len(leases.Leases), leases.Revision, rev)
	}
}

// asked counts what a guarded etcd is asked, by method, and refuses what fail
// says.
type asked struct {
	mu    sync.Mutex
	count map[string]int
	fail  func(method string) error // nil: nothing
}

func (a *asked) into(c *embed.Config) {
	c.GRPCAdditionalServerOptions = append(c.GRPCAdditionalServerOptions, grpc.ChainUnaryInterceptor(
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			_, method, _ := strings.Cut(strings.TrimPrefix(info.FullMethod, "/"), "/")
			a.mu.Lock()
			if a.count == nil {
				a.count = make(map[string]int)
			}
			a.count[method]++
			fail := a.fail
			a.mu.Unlock()
			if fail != nil {
				if err := fail(method); err != nil {
					return nil, err
				}
			}
			return handle(ctx, req)
		}))
}

func (a *asked) times(method string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.count[method]
}

func (a *asked) setFail(fail func(string) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fail = fail
}

// flannel F4: it asks etcd how long each lease has left, a request a host on
// each list and one for each event.
func TestFollowingAsksNothingAboutSingleLeases(t *testing.T) {
	var a asked
	g := startGuarded(t, "http", a.into)
	g.client = g.as("", "", nil)
	const hosts = 30
	put := func(i, address int) {
		g.put(fmt.Sprintf("subnets/10.10.%d.0-24", i), leaseOf("", fmt.Sprintf("198.51.100.%d", address), mac(byte(i))), clientv3.WithLease(g.grant()))
	}
	for i := range hosts {
		put(i+2, i+2)
	}
	s, _ := g.dial(Options{})
	w := g.follow(s, 1, 0)
	w.until("with all hosts", func(t *Tables) bool { return t.Routes.Len() == hosts })
	for i := range hosts {
		put(i+2, i+102)
	}
	w.until("with all changes", func(t *Tables) bool { return t.FDB.Accepts(1, addr("198.51.100.131")) })
	if lists, leases := a.times("Range"), a.times("LeaseTimeToLive"); lists != 1 || leases != 0 {
		t.Errorf("got %d lists and %d questions about leases, want 1 and 0", lists, leases)
	}
}

// flannel F10: a lease that it cannot ask about is left out of the list, and
// what is not in the list is removed.
func TestALeaseThatCannotBeAskedAboutIsThere(t *testing.T) {
	var a asked
	g := startGuarded(t, "http", a.into)
	g.client = g.as("", "", nil)
	g.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)), clientv3.WithLease(g.grant()))
	a.setFail(func(method string) error {
		if method == "LeaseTimeToLive" {
			return status.Error(codes.Internal, "no idea")
		}
		return nil
	})
	s, _ := g.dial(Options{})
	g.follow(s, 1, 0).routes("10.10.2.0/24")
	list, err := s.Subnets(g.ctx)
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Unanswered, "no idea") || list[0].Life != Gone {
		t.Errorf("subnets: got %+v, %v, want one, and why nothing is known of its lease", list, err)
	}
}

// flannel F12: the host's own lease is among those of the first list, and
// missing from the next: it is removed as a peer that left.
func TestTheOwnLeaseIsNoPeerHoweverOftenItIsListed(t *testing.T) {
	e := startEtcd(t)
	r := e.register(claim(1))
	w := e.follow(r.Registration.store, 1, 0)
	for i := range 2 { // lists, each with a change to tell that it was read
		e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(byte(2+i))))
		w.until("with the change", func(t *Tables) bool { return has(t, 1, mac(byte(2+i))) })
		e.stop()
		e.start()
	}
	for _, tables := range w.published() {
		if tables.Routes.Len() > 1 || has(tables, 1, r.claim.MAC) {
			t.Errorf("tables at revision %d have the host itself: %+v", tables.Rev, viewOf(tables))
		}
	}
	if n, _ := r.log.count("removing subnet: " + r.Subnet().String()); n != 0 {
		t.Errorf("got %d removals, want none:\n%s", n, strings.Join(r.log.lines, ""))
	}
}

// flannel F13: when the first read about its own lease fails it stops looking
// after it, and loses it within a day.
func TestAFailedReadDoesNotEndTheRenewal(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.Unknown} {
		t.Run(code.String(), func(t *testing.T) {
			var a asked
			g := startGuarded(t, "http", a.into)
			g.client = g.as("", "", nil)
			s, _ := g.dial(Options{DialTimeout: time.Second})
			r := g.acquire(s, claim(1))
			var failures atomic.Int32
			a.setFail(func(method string) error {
				if method == "Txn" && failures.Add(1) <= 2 {
					return status.Error(code, "not now")
				}
				return nil
			})
			g.run(r.Run)
			g.eventually("reads to fail", func() bool { return failures.Load() > 2 })
			key := subnetsDir + subnets{v4: r.Subnet()}.name()
			rev := g.put("marker", "")
			g.del(key)
			g.await(key, rev, func(_ string, lease clientv3.LeaseID) bool { return lease != 0 })
		})
	}
}

// flannel F14: its documentation says vxlan, its code takes udp.
func TestAConfigurationWithoutBackendIsVXLANAndSaysSo(t *testing.T) {
	for _, file := range []string{`{"Network":"10.10.0.0/16"}`, `{"Network":"10.10.0.0/16","Backend":{}}`} {
		n, warnings, err := ParseNetwork([]byte(file))
		if err != nil || n.VNI != 1 || n.Port != 4789 {
			t.Errorf("%s: got %+v, %v, want VNI 1 and port 4789", file, n, err)
		}
		if len(warnings) == 0 || !strings.Contains(warnings[0], "Backend.Type is missing") {
			t.Errorf("%s: got warnings %q, want one about the type", file, warnings)
		}
	}
}
