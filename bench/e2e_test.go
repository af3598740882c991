package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	vswitch "github.com/uvtep/uvtep/switch"
)

// program is the uvtep binary under test, built once by TestMain.
var program string

func TestMain(m *testing.M) {
	if spec := os.Getenv(poorEnv); spec != "" {
		panic(becomePoor(spec)) // returns only when it fails
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "uvtep-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		if err := os.Chmod(dir, 0o755); err != nil { // the program is also run as somebody else
			panic(err)
		}
		program = filepath.Join(dir, "uvtep")
		build := exec.Command("go", "build", "-o", program, module+"/cmd/uvtep")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build uvtep: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience bounds what a test waits for. It only ends tests that fail.
const patience = 90 * time.Second

// needRoot fails or skips a test that makes namespaces.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("UVTEP_LAB") == "require" {
		t.Fatal("needs root: UVTEP_LAB=require says that there is")
	}
	t.Skip("needs root")
}

// newLab makes a lab that ends with the test, and shows the logs of its
// processes when the test failed.
func newLab(t testing.TB, c lab.Config) (*lab.Lab, context.Context) {
	t.Helper()
	needRoot(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	if c.Bin == "" {
		c.Bin = program
	}
	l, err := lab.New(ctx, c)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, h := range l.Hosts {
				if h.Agent != nil {
					t.Logf("%s:\n%s", h.Name, h.Agent.Tail(40))
				}
			}
		}
		cancel()
		if err := l.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
	})
	return l, ctx
}

// newNetwork is a lab with an agent and a container on every host.
func newNetwork(t testing.TB, c lab.Config) (*lab.Lab, context.Context) {
	t.Helper()
	l, ctx := newLab(t, c)
	startAgents(ctx, t, l.Hosts)
	for _, h := range l.Hosts {
		eventually(ctx, t, h.Name+" knows all others", func() (bool, string) {
			return strings.Count(routesOf(t, h), "via") == len(l.Hosts)-1, routesOf(t, h)
		})
	}
	must(t, l.AddContainers(ctx, 1))
	return l, ctx
}

// startAgents starts an agent on each host, in order, with the subnet
// 10.10.<number of the host>.0/24: tests that speak for other hosts use others.
func startAgents(ctx context.Context, t testing.TB, hosts []*lab.Host, extra ...string) {
	t.Helper()
	for _, h := range hosts {
		must(t, h.StartAgent(ctx, slices.Concat(extra, []string{"--subnet", fmt.Sprintf("10.10.%d.0/24", h.ID)})...))
	}
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok says so; state is what is reported when it never does.
func eventually(ctx context.Context, t testing.TB, what string, ok func() (bool, string)) {
	t.Helper()
	for {
		good, state := ok()
		if good {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s; it is: %s", what, state)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// connected pings from every container to every other host's.
func connected(ctx context.Context, t testing.TB, l *lab.Lab) {
	t.Helper()
	must(t, l.Check(ctx, lab.Probe{Bytes: 1 << 20}).Err())
}

// stats is what an agent says of its counters.
type stats struct {
	Revision int64
	Stale    string `json:"stale_since"`
	Verdicts map[string]verdictCount
	Counts   map[string]uint64
	Underlay underlay.Stats

	ConflictCount int `json:"conflict_count"`
	Conflicts     []etcdsync.Conflict
}

type verdictCount struct{ Frames, Bytes uint64 }

// inboundVerdicts are the names of the verdicts on datagrams.
var inboundVerdicts = func() map[string]bool {
	out := map[string]bool{}
	for _, v := range vswitch.Verdicts() {
		out[v.String()] = v.Inbound()
	}
	return out
}()

func readStats(ctx context.Context, t testing.TB, h *lab.Host) (s stats) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", h.AdminSocket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://uvtep/v1/stats", nil)
	must(t, err)
	resp, err := c.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	must(t, err, json.Unmarshal(b, &s))
	return s
}

// prefix is where the network lies in etcd.
const prefix = "/coreos.com/network"

// putLease registers a host by hand, as a flannel host writes it.
func putLease(ctx context.Context, t testing.TB, l *lab.Lab, subnet string, ip netip.Addr, mac ether.Addr) (key string) {
	t.Helper()
	key = prefix + "/subnets/" + strings.ReplaceAll(subnet, "/", "-")
	must(t, l.Put(ctx, key, fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":%q}}`, ip, mac)))
	return key
}

// routesOf is a host's routes through its TAP, as "10.10.2.0/24 via 10.10.2.0".
func routesOf(t testing.TB, h *lab.Host) string {
	t.Helper()
	rs, err := h.Routes(h.TAP)
	must(t, err)
	var out []string
	for _, r := range rs {
		if r.Via.IsValid() {
			out = append(out, fmt.Sprintf("%s via %s onlink=%v", r.Dst, r.Via, r.Onlink))
		}
	}
	return strings.Join(out, ", ")
}

// knock makes the host send one UDP datagram to ip, so that a frame for it
// enters the TAP.
func knock(t testing.TB, h *lab.Node, ip string) {
	t.Helper()
	must(t, h.Do(func() error {
		c, err := net.Dial("udp4", net.JoinHostPort(ip, "9"))
		if err != nil {
			return err
		}
		_, err = c.Write([]byte("knock"))
		return errors.Join(err, c.Close())
	}))
}

// vxlan is a VXLAN datagram as seen on an underlay device.
type vxlan struct {
	outer        ether.IPv4
	udp          ether.UDP
	inner        ether.Frame
	reservedZero bool
	vni          uint32
}

// parse takes a captured frame apart, if it is VXLAN to a port.
func parse(f lab.Frame, port uint16) (v vxlan, ok bool) {
	e := ether.Frame(f.Data)
	if !e.Valid() || e.Type() != ether.TypeIPv4 || !ether.IPv4(e.Payload()).Valid() {
		return v, false
	}
	v.outer = ether.IPv4(e.Payload())
	if v.outer.Protocol() != 17 || v.outer.Fragmented() {
		return v, false
	}
	v.udp = ether.UDP(v.outer.Payload())
	if !v.udp.Valid() || v.udp.DstPort() != port || len(v.udp.Payload()) < 8 {
		return v, false
	}
	b := v.udp.Payload()
	v.reservedZero = b[0] == 8 && b[1]|b[2]|b[3]|b[7] == 0
	v.vni = binary.BigEndian.Uint32(b[4:]) >> 8
	v.inner = ether.Frame(b[8:])
	return v, true
}
