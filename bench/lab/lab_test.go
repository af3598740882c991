//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// TestMain lets the test binary play the programs that run in a lab: see
// roles_test.go.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			os.Exit(role(os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}

// needRoot fails or skips without root.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("UVTEP_LAB") == "require" {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	t.Skip("this test makes network namespaces: run it as root")
}

// patient is the context of a whole test; its end is a failure, never a figure.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newLab makes a lab that goes with the test.
func newLab(t testing.TB, cfg Config) *Lab {
	t.Helper()
	needRoot(t)
	cfg.Log = zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)
	l, err := New(patient(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

// newMesh makes a lab whose overlay is the kernel's, with containers.
func newMesh(t testing.TB, cfg Config, containers int) *Lab {
	t.Helper()
	l := newLab(t, cfg)
	if _, err := l.KernelMesh(KernelConfig{}); err != nil {
		t.Fatal(err)
	}
	if err := l.AddContainers(patient(t), containers); err != nil {
		t.Fatal(err)
	}
	return l
}

// traces lists what a lab of that name has on the machine: names of namespaces,
// folders, and devices in the namespace of the test.
func traces(t testing.TB, name string) []string {
	t.Helper()
	var found []string
	for _, dir := range []string{spaceDir, os.TempDir(), "/sys/class/net"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), name) {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	return found
}

// failed lists the pairs of a report that failed, "h1c1→h2c1".
func failed(r Report) []string {
	var names []string
	for _, p := range r.Failed() {
		names = append(names, p.From.Name+"→"+p.To.Name)
	}
	slices.Sort(names)
	return names
}

func TestContainersOnThreeHostsReachEachOther(t *testing.T) {
	for _, cfg := range []Config{{}, {Underlay: VethGSO}, {Underlay: WireGRO}, {UnderlayMTU: 1460}, {IPv6: true}} {
		t.Run(fmt.Sprintf("underlay %q, MTU %d, IPv6 %v", cfg.Underlay, cfg.UnderlayMTU, cfg.IPv6), func(t *testing.T) {
			l := newMesh(t, cfg, 2)
			r := l.Check(patient(t), Probe{Bytes: 1 << 20})
			if got, want := len(r), 24; got != want { // 6 containers, each to the 4 of other hosts
				t.Errorf("got %d pairs, want %d", got, want)
			}
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			for _, p := range r {
				if p.TCP.Bytes != 1<<20 {
					t.Errorf("%s→%s: got %d bytes, want %d", p.From.Name, p.To.Name, p.TCP.Bytes, 1<<20)
				}
			}
		})
	}
}

func TestContainersHaveWhatDockerWouldGiveThem(t *testing.T) {
	l := newMesh(t, Config{Hosts: 1, UnderlayMTU: 1460}, 2)
	h := l.Hosts[0]
	bridge, err := h.Link(containerBridge)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := bridge.Addrs, []netip.Prefix{netip.MustParsePrefix("10.10.1.1/24")}; !slices.Equal(got, want) {
		t.Errorf("bridge: got addresses %v, want %v", got, want)
	}
	for i, c := range h.Containers {
		eth0, err := c.Link("eth0")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := eth0.MTU, 1410; got != want { // 1460 less VXLAN's 50
			t.Errorf("%s: got MTU %d, want %d", c.Name, got, want)
		}
		want := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, 1, byte(2 + i)}), 24)
		if got := eth0.Addrs; !slices.Equal(got, []netip.Prefix{want}) {
			t.Errorf("%s: got addresses %v, want %v", c.Name, got, want)
		}
		routes, err := c.Routes("eth0")
		if err != nil {
			t.Fatal(err)
		}
		gateway := slices.IndexFunc(routes, func(r Route) bool { return r.Dst == default4 && r.Via == h.Subnet.Addr() })
		if gateway < 0 {
			t.Errorf("%s: no default route to the bridge in %v", c.Name, routes)
		}
	}
}

func TestTwoLabsAtOnceDoNotMeet(t *testing.T) {
	a, b := newMesh(t, Config{Hosts: 2}, 1), newMesh(t, Config{Hosts: 2}, 1)
	if a.Name == b.Name {
		t.Fatalf("both labs are called %s", a.Name)
	}
	unblock, err := a.Hosts[0].Block(Block{})
	if err != nil {
		t.Fatal(err)
	}
	probe := Probe{Bytes: 1 << 16, Patience: time.Second}
	reports := make(chan Report)
	go func() { reports <- a.Check(patient(t), probe) }()
	if err := b.Check(patient(t), probe).Err(); err != nil {
		t.Errorf("the lab beside a broken one: %v", err)
	}
	if got, want := len((<-reports).Failed()), 2; got != want {
		t.Errorf("the broken lab: got %d failed pairs, want %d", got, want)
	}
	if err := unblock(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Check(patient(t), probe).Err(); err != nil {
		t.Errorf("the lab whose neighbour was closed: %v", err)
	}
}

func TestFirewallFailsExactlyTheRightPairs(t *testing.T) {
	l := newMesh(t, Config{}, 1)
	h := l.Hosts
	cases := []struct {
		name  string
		on    *Host
		block Block
		want  []string
	}{
		{"all of host 2", h[1], Block{}, []string{"h1c1→h2c1", "h2c1→h1c1", "h2c1→h3c1", "h3c1→h2c1"}},
		{"at host 2 from host 1", h[1], Block{From: h[0].Addr}, []string{"h1c1→h2c1", "h2c1→h1c1"}},
		{"another port", h[1], Block{Port: 4790}, nil},
		{"TCP", h[1], Block{TCP: true}, nil},
		{"nobody's address", h[1], Block{From: netip.MustParseAddr("192.0.2.77")}, nil},
		{"nothing any more", nil, Block{}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.on != nil {
				unblock, err := c.on.Block(c.block)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := unblock(); err != nil {
						t.Error(err)
					}
				}()
			}
			got := failed(l.Check(patient(t), Probe{Bytes: 1 << 16, Patience: time.Second}))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("failed pairs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFirewallDropsAPercentage(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	if _, err := l.Hosts[1].Block(Block{Percent: 30}); err != nil {
		t.Fatal(err)
	}
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	got, err := a.UDP(patient(t), b.Node, Flow{Bytes: 2000 * 100, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	// 2000 throws of 0.3: 1400 arrive, give or take 20; 200 is ten deviations.
	if got.Sent != 2000 || got.Received < 1200 || got.Received > 1600 {
		t.Errorf("got %d of %d datagrams through 30 %% loss, want about 1400 of 2000", got.Received, got.Sent)
	}
}

func TestCutHostIsSilentUntilMended(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	if err := l.Hosts[1].Cut(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(patient(t), b.Addr, Pings{Count: 1, Timeout: 300 * time.Millisecond}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("cut off: got error %v, want ErrNoAnswer", err)
	}
	eth0, err := l.Hosts[1].Link("eth0")
	if err != nil || !eth0.Up {
		t.Errorf("the cut host notices: eth0 %+v, error %v", eth0, err)
	}
	if err := l.Hosts[1].Mend(); err != nil {
		t.Fatal(err)
	}
	if err := a.Reach(patient(t), b.Addr); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func TestLinkUpPutsBackWhatLinkDownCost(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2, IPv6: true}, 1)
	h := l.Hosts[1]
	before, err := h.Routes("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkDown(); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkUp(patient(t)); err != nil {
		t.Fatal(err)
	}
	after, err := h.Routes("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range before {
		if r.Via.IsValid() && !slices.Contains(after, r) {
			t.Errorf("route %v is not back, got %v", r, after)
		}
	}
	if err := l.Hosts[0].Reach(patient(t), h.Addr); err != nil {
		t.Error(err)
	}
	if err := l.Hosts[0].Reach(patient(t), h.Addr6); err != nil {
		t.Error(err)
	}
}

func TestReaddressedHostAnswersAtItsNewAddressOnly(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	h, old, fresh := l.Hosts[1], l.Hosts[1].Addr, netip.MustParseAddr("192.0.2.99")
	if err := h.Readdress(patient(t), fresh); err != nil {
		t.Fatal(err)
	}
	if err := l.Hosts[0].Reach(patient(t), fresh); err != nil {
		t.Error(err)
	}
	if _, err := l.Hosts[0].Ping(patient(t), old, Pings{Count: 1, Timeout: 300 * time.Millisecond}); err == nil {
		t.Error("the old address still answers")
	}
}

func TestHostAddedLaterJoins(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	h, err := l.AddHost(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if h.ID != 2 || h.Addr != netip.MustParseAddr("192.0.2.2") || len(l.Hosts) != 2 {
		t.Errorf("got host %d with %v, %d hosts", h.ID, h.Addr, len(l.Hosts))
	}
	if err := l.Hosts[0].Reach(patient(t), h.Addr); err != nil {
		t.Error(err)
	}
}

func TestNoLinkIsATellingError(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	if _, err := l.Hosts[0].Link("nosuch0"); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v, want ErrNoLink", err)
	}
}

func TestSolicitableMeansTheKernelHasJoined(t *testing.T) {
	l := newLab(t, Config{Hosts: 1, IPv6: true})
	h := l.Hosts[0]
	if err := h.waitSolicitable(patient(t), "eth0", h.Addr6); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.waitSolicitable(ctx, "eth0", netip.MustParseAddr("2001:db8::abcd:ef77")); !errors.Is(err, context.Canceled) {
		t.Errorf("an address that it does not have: got %v, want %v", err, context.Canceled)
	}
}
