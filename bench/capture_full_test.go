//go:build full

package bench

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// tshark runs tshark on a capture file of a host.
func tshark(t *testing.T, h *lab.Host, args ...string) string {
	t.Helper()
	p, err := h.Start("tshark", append([]string{"-n"}, args...)...)
	must(t, err)
	if err := p.Wait(t.Context()); err != nil {
		t.Fatalf("tshark %v: %v\n%s", args, err, p.Output())
	}
	return p.Output()
}

// What uvtep captures is read by tshark, comments too. The capture lasts longer
// than any other request to an agent may take.
func TestFullTsharkReadsCapturesAndShowsTheVerdicts(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	from, to := h.Containers[0], l.Hosts[1].Containers[0]
	inside, err := h.Wire(h.TAP)
	must(t, err)
	defer func() { _ = inside.Close() }()
	file := filepath.Join(l.Dir, "tshark.pcapng")
	p := startCapture(ctx, t, h, "-w", file, "--both")
	for range 22 { // most of a second each: nobody has this address
		_, _ = from.Ping(ctx, netip.MustParseAddr("10.10.2.99"), lab.Pings{Count: 1})
	}
	_, err = from.Ping(ctx, to.Addr, lab.Pings{Count: 2})
	must(t, err)
	must(t, inside.Send(strange(ether.Addr{2, 9, 9, 9, 9, 9}, someone)))
	eventually(ctx, t, "all is captured", func() (bool, string) { return commented(t, file, "DropUnknownUnicast"), p.Tail(3) })
	interrupt(ctx, t, p)

	comments := tshark(t, h, "-r", file, "-T", "fields", "-e", "frame.interface_name", "-e", "frame.comment")
	for _, want := range []string{"uvtep.1\tForward to 192.0.2.2:4789", "eth0\tForward to 192.0.2.2:4789", "uvtep.1\tDeliver from 192.0.2.2:", "uvtep.1\tDropUnknownUnicast: nobody in etcd has its destination address"} {
		if !strings.Contains(comments, want) {
			t.Errorf("tshark shows no %q among\n%s", want, comments)
		}
	}
	if out := tshark(t, h, "-r", file, "-Y", "vxlan.vni == 1 && icmp.type == 8"); !strings.Contains(out, from.Addr.String()) {
		t.Errorf("tshark finds no echo request in VXLAN:\n%s", out)
	}
	if out := tshark(t, h, "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-Y", "_ws.malformed || udp.checksum.bad || ip.checksum.status == Bad"); strings.Contains(out, "VXLAN") || strings.Contains(out, "Malformed") {
		t.Errorf("tshark finds faults:\n%s", out)
	}
}
