//go:build full

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
)

// programOn runs a program on a host and returns what it printed.
func programOn(ctx context.Context, t *testing.T, h *lab.Host, line string, args ...any) string {
	t.Helper()
	words := strings.Fields(fmt.Sprintf(line, args...))
	p, err := h.Start(words[0], words[1:]...)
	must(t, err)
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("%v on %s: %v\n%s", words, h.Name, err, p.Output())
	}
	return p.Output()
}

// kernelTwin gives a host a vxlan device that holds what an agent holds, made by
// iproute2 from what the agent says.
func kernelTwin(ctx context.Context, t *testing.T, h, of *lab.Host) {
	t.Helper()
	programOn(ctx, t, h, "ip link add vx1 type vxlan id 1 local %s dev eth0 srcport 49152 65535 dstport 4789 nolearning proxy ttl 64 df set udpcsum", h.Addr)
	programOn(ctx, t, h, "ip link set vx1 mtu 1450 up")
	for line := range strings.Lines(uvtep(ctx, t, of, "fdb", "show", "dev", of.TAP)) {
		programOn(ctx, t, h, "bridge fdb append %s dev vx1", strings.TrimSpace(line))
	}
	for line := range strings.Lines(uvtep(ctx, t, of, "neigh", "show", "dev", of.TAP)) {
		programOn(ctx, t, h, "ip neigh add %s dev vx1", strings.Replace(strings.TrimSpace(line), "PERMANENT", "nud permanent", 1))
	}
	for line := range strings.Lines(uvtep(ctx, t, of, "route", "show", "dev", of.TAP)) {
		programOn(ctx, t, h, "ip route add %s dev vx1", strings.TrimSpace(line))
	}
}

// inOrder are the lines of a text, without what iproute2 leaves at their ends and
// with what its version in Debian 12 runs together taken apart.
func inOrder(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.TrimSpace(line), "probes", " probes")
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(out)
	return out
}

// objects are the objects of a JSON list, in order.
func objects(t *testing.T, text string) (out []string) {
	t.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, x := range list {
		for _, own := range []string{"revision", "origin", "since"} {
			delete(x, own)
		}
		b, err := json.Marshal(x)
		must(t, err)
		out = append(out, string(b))
	}
	slices.Sort(out)
	return out
}

var ages = regexp.MustCompile(`used \d+(/\d+)+|"(used|updated|confirmed)":\d+`)

func TestFullTablesAreThoseOfIproute2(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 3})
	h, twin := l.Hosts[0], l.Hosts[2] // which has no agent
	startAgents(ctx, t, l.Hosts[:2])
	must(t, l.Put(ctx, prefix+"/config", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","VNI":1,"Port":4789,"Flood":true}}`))
	must(t, l.Put(ctx, prefix+"/subnets/10.10.7.0-24", `{"PublicIP":"192.0.2.77","PublicIPv6":null,"BackendType":"vxlan",`+
		`"BackendData":{"VNI":1,"VtepMAC":"0a:00:00:00:00:07","Port":8472,"NodeID":"00000000000000000000000000000007"}}`))
	eventually(ctx, t, "both are there, flooded to as well", func() (bool, string) {
		out := uvtep(ctx, t, h, "fdb")
		return strings.Count(out, "\n") == 4 && strings.Contains(out, "port 8472"), out
	})
	kernelTwin(ctx, t, twin, h)
	for _, c := range []struct{ theirs, ours string }{
		{"bridge fdb show dev vx1", "fdb show dev uvtep.1"},
		{"bridge -s fdb show dev vx1", "-s fdb show dev uvtep.1"},
		{"bridge -j fdb show dev vx1", "-j fdb show dev uvtep.1"},
		{"bridge -s -j fdb show dev vx1", "-s -j fdb show dev uvtep.1"},
		{"ip neigh show dev vx1", "neigh show dev uvtep.1"},
		{"ip -s neigh show dev vx1", "-s neigh show dev uvtep.1"},
		{"ip -j neigh show dev vx1", "-j neigh show dev uvtep.1"},
		{"ip -s -j neigh show dev vx1", "-s -j neigh show dev uvtep.1"},
		{"ip route show dev vx1", "route show dev uvtep.1"},
		{"ip -j route show dev vx1", "-j route show dev uvtep.1"},
		{"ip route show via 10.10.7.0", "route show via 10.10.7.0"},
		{"ip route show proto 86", "route show proto 86"},
		{"ip route show match 10.10.7.4 dev vx1", "route show match 10.10.7.4 dev uvtep.1"},
		{"ip neigh show to 10.10.7.0/24", "neigh show to 10.10.7.0/24"},
	} {
		t.Run(c.ours, func(t *testing.T) {
			read := inOrder
			if strings.Contains(c.ours, "-j") {
				read = func(text string) []string { return objects(t, text) }
			}
			masked := func(text string) []string {
				return read(ages.ReplaceAllStringFunc(text, func(s string) string { return regexp.MustCompile(`\d+`).ReplaceAllString(s, "0") }))
			}
			want := masked(strings.ReplaceAll(programOn(ctx, t, twin, "%s", c.theirs), "vx1", h.TAP))
			if diff := cmp.Diff(want, masked(uvtep(ctx, t, h, strings.Fields(c.ours)...))); diff != "" || len(want) == 0 {
				t.Errorf("-%s +uvtep %s:\n%s", c.theirs, c.ours, diff)
			}
		})
	}
	linkIsThatOfIproute2(ctx, t, h, twin)
}

// linkIsThatOfIproute2 compares the attributes of the device. Nothing ages here,
// which a device of the kernel cannot be told at its creation.
func linkIsThatOfIproute2(ctx context.Context, t *testing.T, h, twin *lab.Host) {
	t.Helper()
	theirs := regexp.MustCompile(`vxlan id .* noudp6zerocsumrx`).FindString(programOn(ctx, t, twin, "ip -d link show dev vx1"))
	theirs = strings.NewReplacer("ageing 300", "ageing none", twin.Addr.String(), h.Addr.String()).Replace(theirs)
	ours, _, _ := strings.Cut(uvtep(ctx, t, h, "link", "-d"), "\n")
	if theirs != ours {
		t.Errorf("link:\n%s, ip has\n%s", ours, theirs)
	}
	// The kernel's own counters of the TAP, once no report of its own comes between.
	eventually(ctx, t, "link -s is ip's", func() (bool, string) {
		_, after, _ := strings.Cut(programOn(ctx, t, h, "ip -s link show dev %s", h.TAP), "    RX:")
		_, said, _ := strings.Cut(uvtep(ctx, t, h, "link", "-s"), "    RX:")
		want, got := strings.Split("    RX:"+after, "\n"), strings.Split("    RX:"+said, "\n")
		for i := range 4 {
			if strings.TrimRight(want[i], " ") != got[i] {
				return false, fmt.Sprintf("got %q, ip has %q", got[i], want[i])
			}
		}
		var theirs, ours []struct{ Stats64 map[string]map[string]uint64 }
		must(t, json.Unmarshal([]byte(uvtep(ctx, t, h, "link", "-s", "-j")), &ours), json.Unmarshal([]byte(programOn(ctx, t, h, "ip -s -j link show dev %s", h.TAP)), &theirs))
		diff := cmp.Diff(theirs, ours)
		return diff == "" && ours[0].Stats64["tx"]["packets"] > 0, diff
	})
	type link []struct {
		Linkinfo struct {
			Kind string         `json:"info_kind"`
			Data map[string]any `json:"info_data"`
		}
	}
	var got, want link
	must(t, json.Unmarshal([]byte(uvtep(ctx, t, h, "link", "-j")), &got), json.Unmarshal([]byte(programOn(ctx, t, twin, "ip -d -j link show dev vx1")), &want))
	want[0].Linkinfo.Data["ageing"], want[0].Linkinfo.Data["local"] = 0.0, h.Addr.String()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("link -j (-ip +uvtep):\n%s", diff)
	}
}
