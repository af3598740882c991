package etcdsync

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// world is an intake with a history to feed it, and what it logs.
type world struct {
	testing.TB
	h    *history
	in   *intake
	logs strings.Builder
}

func newWorld(t testing.TB) *world {
	w := &world{TB: t, h: &history{keys: make(map[string]*mvccpb.KeyValue)}}
	w.in = newIntake(testConfig(), zerolog.New(&w.logs))
	return w
}

func (w *world) put(name, value string) { w.in.put(name, w.h.put(name, value)) }
func (w *world) del(name string)        { w.h.del(name); w.in.drop(name, w.h.rev) }
func (w *world) tables() *Tables        { return w.in.board.tables(w.h.rev, w.in.network) }

// messages returns the messages logged since the last call.
func (w *world) messages() []string {
	var out []string
	for line := range strings.Lines(w.logs.String()) {
		_, message, _ := strings.Cut(line, `"message":"`)
		out = append(out, strings.TrimSuffix(message, "\"}\n"))
	}
	w.logs.Reset()
	return out
}

// leaseText is the value of a host's lease.
func leaseOf(node, ip string, m ether.Addr) string {
	id := ""
	if node != "" {
		id = fmt.Sprintf(`,"NodeID":%q`, node)
	}
	return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":%q%s}}`, ip, m, id)
}

func hostOf(ip string) string { return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"VNIs":[1]}`, ip) }

const leaseB = "subnets/10.10.2.0-24"

// wantEntry fails unless a MAC address is behind a VTEP ("" for nowhere).
func (w *world) wantEntry(t *Tables, vni encap.VNI, m ether.Addr, to string) {
	w.Helper()
	e, ok := t.FDB.Lookup(vni, m)
	got := ""
	if ok && e.VTEP == nil {
		got = "here"
	} else if ok {
		got = e.VTEP.To.String()
	}
	if got != to {
		w.Errorf("FDB %s/%s: got %q, want %q", vni, m, got, to)
	}
}

// wantBinding fails unless an IP address is bound to a MAC address (the zero
// one for none).
func (w *world) wantBinding(t *Tables, vni encap.VNI, ip string, m ether.Addr) {
	w.Helper()
	if b, _ := t.ARP.Lookup(vni, addr(ip)); b.MAC != m {
		w.Errorf("ARP %s/%s: got %s, want %s", vni, ip, b.MAC, m)
	}
}

// wantNothing fails if anything is left in the tables.
func (w *world) wantNothing(t *Tables) {
	w.Helper()
	if diff := cmp.Diff(viewOf(t), view{}, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("left over, got- want+:\n%s", diff)
	}
}
