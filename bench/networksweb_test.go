package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// What an agent of several networks tells by HTTP is of all of them.
func TestMetricsHealthAndPageOfSeveralNetworks(t *testing.T) {
	l, ctx, _ := newNetworks(t, "blue")
	both, h, peer := []string{"blue", "red"}, l.Hosts[0], l.Hosts[1]
	for _, h := range l.Hosts[:2] {
		p, err := h.Start(program, inNetworks(l, h, both, "--http-listen", httpAt)...)
		must(t, err)
		h.Agent = p
		joined(ctx, t, h, "blue")
	}
	answers(ctx, t, h, "/readyz", 503, "uvtep is not ready yet: the configuration of 1 of 2 networks is not known yet\n")
	answers(ctx, t, h, "/healthz", 200, "uvtep is running\n")
	initNetwork(ctx, t, l, "red")
	for _, h := range l.Hosts[:2] {
		joined(ctx, t, h, "red")
		answers(ctx, t, h, "/readyz", 200, "uvtep is ready\n")
	}
	for _, n := range both {
		meet(ctx, t, n, l.Hosts[:2]...)
	}

	var got series
	var body string
	eventually(ctx, t, "each network has its peer", func() (bool, string) {
		got, body = metricsOf(ctx, t, h)
		return got[`uvtep_peers{vni="11"}`] == 1 && got[`uvtep_peers{vni="12"}`] == 1, body
	})
	problems, err := promlint.New(bytes.NewReader([]byte(body))).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	for _, n := range both {
		vni := fmt.Sprintf(`vni="%d"`, vniOf[n])
		for _, least := range []string{
			`uvtep_frames_total{direction="out",verdict="Forward",` + vni + `}`, `uvtep_frames_total{direction="in",verdict="Deliver",` + vni + `}`,
			`uvtep_vtep_frames_total{direction="out",` + vni + `,vtep="` + peer.Addr.String() + `"}`,
			`uvtep_etcd_keys_total{result="added",` + vni + `}`, `uvtep_etcd_lists_total{` + vni + `}`, `uvtep_etcd_revision{` + vni + `}`,
			`uvtep_tables_revision{` + vni + `}`, `uvtep_routes{` + vni + `}`, `uvtep_liveness_lease_seconds{` + vni + `}`,
		} {
			if got[least] < 1 {
				t.Errorf("%s is %v, want 1 or more", least, got[least])
			}
		}
	}
	if got["uvtep_etcd_connected"] != 1 || got["uvtep_healthy"] != 1 || got["uvtep_ready"] != 1 || got[`uvtep_feature{feature="vnet_hdr"}`] != 1 {
		t.Errorf("not connected, not healthy, not ready or without a feature:\n%s", body)
	}

	_, page, _ := ask(ctx, t, h, http.MethodGet, "/")
	for _, n := range both {
		_, subnet := envOf(t, peer, n)
		for _, want := range []string{tapOf(n), subnet.String() + "/24", fmt.Sprintf("VNI %d,", vniOf[n])} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %q:\n%s", want, page)
			}
		}
	}
	if n := strings.Count(page, "<h2>1 peer</h2>"); n != 2 {
		t.Errorf("%d networks of the page have a peer, want 2:\n%s", n, page)
	}
	if n := strings.Count(page, "<td>Deliver</td>"); n != 2 {
		t.Errorf("%d networks of the page have delivered something, want 2:\n%s", n, page)
	}
}

// A probe finds its peer in whichever network it is, and goes through that one.
func TestProbeOfSeveralNetworks(t *testing.T) {
	l, ctx, _ := newNetworks(t, "blue", "red")
	both, h, peer, other := []string{"blue", "red"}, l.Hosts[0], l.Hosts[1], l.Hosts[2]
	startIn(ctx, t, l, h, both)
	startIn(ctx, t, l, peer, both)
	startIn(ctx, t, l, other, both[1:]) // in one of them alone
	for _, n := range both {
		meet(ctx, t, n, h, peer)
		_, subnet := envOf(t, peer, n)
		if p := diagnosed(ctx, t, h, subnet.String(), 0); p.got() != "3 3 3 3" || p.Peer.Network != n || p.Peer.Subnet != subnet.String()+"/24" {
			t.Errorf("%s: got %s", n, p)
		}
	}
	meet(ctx, t, "red", h, other)
	if p := diagnosed(ctx, t, h, other.Addr.String(), 0); p.Peer.Network != "red" {
		t.Errorf("a host of one network by its address: got %s", p)
	}
	// One of both by its address is in either: somebody has to say in which.
	if status, said := runOn(ctx, t, h, "probe", "--admin-socket", h.AdminSocket, peer.Addr.String()); status != 1 ||
		!strings.Contains(said, peer.Addr.String()+" is a peer in the networks blue, red: say in which with --network-name") {
		t.Errorf("a host of both networks by its address: status %d, %s", status, said)
	}
	for _, n := range both {
		if status, out := probe(ctx, t, h, peer.Addr.String(), "--network-name", n); status != 0 || len(out) != 1 || out[0].Peer.Network != n {
			t.Errorf("a host of both networks by its address in %s: status %d, %v", n, status, out)
		}
	}
	if status, all := probe(ctx, t, h, "--all", "--network-name", "blue"); status != 0 || len(all) != 1 || all[0].Peer.Network != "blue" {
		t.Errorf("all of one network: status %d, %v", status, all)
	}
	for _, args := range [][]string{{"--all"}, {peer.Addr.String()}} {
		args = append([]string{"probe", "--admin-socket", h.AdminSocket, "--network-name", "green"}, args...)
		if status, said := runOn(ctx, t, h, args...); status != 1 || !strings.Contains(said, "`uvtep status`") {
			t.Errorf("in a network that there is none: status %d, %s", status, said)
		}
	}
	if status, all := probe(ctx, t, h, "--all"); status != 0 || len(all) != 3 {
		t.Errorf("all: status %d, %v; want the peer of both networks twice and the other once", status, all)
	}
	// One network's TAP that is made anew is nothing to the other.
	must(t, peer.DeleteLink(tapOf("blue")), peer.Agent.WaitOutput(ctx, "TAP device is gone; making it anew"))
	_, subnet := envOf(t, peer, "red")
	diagnosed(ctx, t, h, subnet.String(), 0)
}
