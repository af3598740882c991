package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
)

// probed is what `uvtep probe -j` prints of a peer.
type probed struct {
	Peer                      struct{ Network, Node, Subnet, MAC, VTEP, Agent string }
	VXLAN, UDP, Overlay, Host *probedKind
	MTU                       *struct{ Route, Need, There, Back int }
	OK                        bool
	Diagnosis                 string
	Notes                     []string
}

// probedKind is what it prints of a kind of echo, null for one that was not tried.
type probedKind struct {
	Sent, Received int
	RTT            *struct {
		Min  float64 `json:"min_ms"`
		Avg  float64 `json:"avg_ms"`
		Max  float64 `json:"max_ms"`
		Mdev float64 `json:"mdev_ms"`
	}
}

func (p *probed) String() string {
	b, _ := json.Marshal(p)
	return string(b)
}

// probeEchoes is how many of each kind the tests' probes send.
const probeEchoes = 3

// probe probes a peer from a host and returns the exit status and the result.
func probe(ctx context.Context, t testing.TB, h *lab.Host, args ...string) (int, []*probed) {
	t.Helper()
	status, said := runOn(ctx, t, h, append([]string{"probe", "--admin-socket", h.AdminSocket, "-j", "-i", "0.02", "-W", "0.3", "-c", fmt.Sprint(probeEchoes)}, args...)...)
	var out []*probed
	if err := json.Unmarshal([]byte(said), &out); err != nil {
		t.Fatalf("uvtep probe %v on %s: status %d, %v\n%s", args, h.Name, status, err, said)
	}
	return status, out
}

// diagnosed probes one peer and checks the status and what the diagnosis has in it.
func diagnosed(ctx context.Context, t testing.TB, h *lab.Host, peer string, status int, words ...string) *probed {
	t.Helper()
	got, out := probe(ctx, t, h, peer)
	if got != status || len(out) != 1 || out[0].OK != (status == 0) {
		t.Fatalf("uvtep probe %s: got status %d and %v, want %d", peer, got, out, status)
	}
	for _, w := range words {
		if !strings.Contains(out[0].Diagnosis, w) {
			t.Errorf("uvtep probe %s: got %s, want %q in the diagnosis", peer, out[0], w)
		}
	}
	return out[0]
}

// got is how many of each kind came back, "-" where none was tried and "?" where
// the times cannot be.
func (p *probed) got() string {
	var out []string
	for _, k := range []*probedKind{p.VXLAN, p.UDP, p.Overlay, p.Host} {
		switch {
		case k == nil:
			out = append(out, "-")
		case (k.RTT != nil) != (k.Received > 0), k.RTT != nil && !(0 < k.RTT.Min && k.RTT.Min <= k.RTT.Avg && k.RTT.Avg <= k.RTT.Max && k.RTT.Mdev <= k.RTT.Max && k.RTT.Max < 1000):
			out = append(out, "?")
		default:
			out = append(out, fmt.Sprint(k.Received))
		}
	}
	return strings.Join(out, " ")
}

// settled waits until a host's agent has dealt with all echoes that came, and
// returns its counters, which balance.
func settled(ctx context.Context, t testing.TB, h *lab.Host) (s stats) {
	t.Helper()
	eventually(ctx, t, h.Name+" has dealt with all echoes", func() (bool, string) {
		s = readStats(ctx, t, h)
		c := s.Counts
		return s.Verdicts["Echoed"].Frames == c["EchoAnswered"]+c["EchoHeard"]+c["EchoRefused"]+c["EchoLost"] && s.Underlay.Datagrams == c["Sent"]+c["EchoSent"],
			fmt.Sprintf("%v %v %+v", s.Verdicts["Echoed"], c, s.Underlay)
	})
	return s
}

// Each way of naming a peer, each thing that can be wrong on the way, and what is
// said of it.
func TestProbeTellsWhatGetsThroughAndWhatDoesNot(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 5})
	h, peer, other, foreign, observer := l.Hosts[0], l.Hosts[1], l.Hosts[2], l.Hosts[3], l.Hosts[4]
	startAgents(ctx, t, l.Hosts[:3])
	kernel, err := foreign.AddKernelPeer(lab.KernelConfig{Subnet: lab.KernelSubnet(4)})
	must(t, err)
	key, value := kernel.Lease()
	must(t, l.Put(ctx, prefix+"/"+key, value))
	for _, a := range l.Hosts[:3] {
		link, err := a.Link(a.TAP)
		must(t, err, kernel.Add(lab.Remote{Subnet: lab.KernelSubnet(a.ID), VTEP: a.Addr, MAC: link.MAC}))
		eventually(ctx, t, a.Name+" knows all others", func() (bool, string) {
			return strings.Count(routesOf(t, a), "via") == 3, routesOf(t, a)
		})
	}
	must(t, observer.StartAgent(ctx, "--no-subnet"))
	eventually(ctx, t, "all know the host without a subnet", func() (bool, string) {
		status, out := probe(ctx, t, h, "--all")
		return status == 0 && len(out) == 4 && out[3].Peer.Agent == "answers", fmt.Sprint(out)
	})
	tap, err := peer.Link(peer.TAP)
	must(t, err)

	t.Run("all is well, by every name", func(t *testing.T) {
		for _, name := range []string{"10.10.2.0/24", "10.10.2.0", "10.10.2.77", "192.0.2.2", nodeOf(t, peer), tap.MAC.String()} {
			r := diagnosed(ctx, t, h, name, 0, "ok")
			if r.Peer.Subnet != "10.10.2.0/24" || r.Peer.VTEP != "192.0.2.2:4789" || r.Peer.Node != nodeOf(t, peer) || r.Peer.MAC != tap.MAC.String() {
				t.Errorf("%s: got %s", name, r)
			}
			if r.got() != "3 3 3 3" || r.MTU == nil || r.MTU.There != 1500 || r.MTU.Back != 1500 || r.MTU.Route != 1500 || len(r.Notes) > 0 {
				t.Errorf("%s: got %s", name, r)
			}
		}
		for _, a := range []*lab.Host{h, peer} {
			if s := settled(ctx, t, a); s.Counts["EchoRefused"]+s.Counts["EchoLost"] != 0 || s.Counts["EchoSent"] == 0 {
				t.Errorf("%s: got %v", a.Name, s.Counts)
			}
		}
		if s := readStats(ctx, t, h); s.Verdicts["Deliver"].Frames+s.Verdicts["Answer"].Frames != s.Counts["Written"] {
			t.Errorf("echoes count as frames for the TAP: %+v", s)
		}
	})
	t.Run("all peers", func(t *testing.T) {
		status, out := probe(ctx, t, h, "--all")
		if status != 0 || len(out) != 4 || out[0].got() != "3 3 3 3" || out[1].got() != "3 3 3 3" || out[2].got() != "- - 3 3" || out[3].got() != "3 3 - 3" {
			t.Errorf("got status %d, %v", status, out)
		}
	})
	t.Run("a host without a subnet asks and answers", func(t *testing.T) {
		if r := diagnosed(ctx, t, h, "192.0.2.5", 0); r.got() != "3 3 - 3" || r.Peer.Subnet != "" || r.MTU.There != 1500 {
			t.Errorf("got %s", r)
		}
		if r := diagnosed(ctx, t, observer, "10.10.2.0/24", 0); r.got() != "3 3 - 3" || r.MTU.Back != 1500 {
			t.Errorf("got %s", r)
		}
	})
	t.Run("names that are no peer's", func(t *testing.T) {
		for name, says := range map[string]string{
			"10.10.99.0/24": "no other host is known by 10.10.99.0/24", "10.10.1.0": "is this host itself", "10.10.1.77": "is in this host's own subnet", "192.0.2.1": "is this host itself", "rubbish": "is no peer",
		} {
			if status, said := runOn(ctx, t, h, "probe", "--admin-socket", h.AdminSocket, name); status != 1 || !strings.Contains(said, says) {
				t.Errorf("%s: got %d, %s", name, status, said)
			}
		}
	})
	t.Run("a host of the kernel's vxlan answers ICMP", func(t *testing.T) {
		r := diagnosed(ctx, t, h, "10.10.4.0/24", 0, "ok")
		if r.got() != "- - 3 3" || r.Peer.Agent != "foreign" || r.MTU == nil || r.MTU.There != 1500 {
			t.Errorf("got %s", r)
		}
		must(t, foreign.SetUp("flannel.1", false))
		if r := diagnosed(ctx, t, h, "10.10.4.0/24", 2, "the peer's host answers, but nothing passes the overlay", "4789"); r.got() != "- - 0 3" {
			t.Errorf("got %s", r)
		}
		if status, out := probe(ctx, t, h, "--all"); status != 2 || len(out) != 4 || !out[0].OK || !out[1].OK || out[2].OK || !out[3].OK {
			t.Errorf("all: got status %d, %v", status, out)
		}
	})
	t.Run("VXLAN is dropped on the way there", func(t *testing.T) {
		unblock, err := peer.Block(lab.Block{From: h.Addr})
		must(t, err)
		if r := diagnosed(ctx, t, h, "10.10.2.0/24", 2, "VXLAN is dropped on the way to the peer, but plain UDP passes", "4789"); r.got() != "0 3 0 3" || r.MTU != nil {
			t.Errorf("got %s", r)
		}
		must(t, unblock())
		diagnosed(ctx, t, h, "10.10.2.0/24", 0)
	})
	t.Run("VXLAN is dropped on the way back", func(t *testing.T) {
		unblock, err := h.Block(lab.Block{From: peer.Addr})
		must(t, err)
		if r := diagnosed(ctx, t, h, "10.10.2.0/24", 2, "its answers are dropped on the way back", "4789"); r.got() != "0 3 0 3" {
			t.Errorf("got %s", r)
		}
		must(t, unblock())
	})
	t.Run("large datagrams are lost in silence", func(t *testing.T) {
		must(t, peer.Narrow(1350))
		r := diagnosed(ctx, t, h, "10.10.2.0/24", 2, "large datagrams are lost", "the path MTU is 1350", "an MTU of 1300")
		if r.got() != "3 3 3 3" || r.MTU.There != 1350 || r.MTU.Back != 1350 || r.MTU.Route != 1500 {
			t.Errorf("got %s", r)
		}
		if status, out := probe(ctx, t, h, "-s", "1301", "10.10.2.0/24"); status != 2 || out[0].got() != "0 0 0 0" {
			t.Errorf("of the size that does not fit: got %d, %v", status, out)
		}
		must(t, peer.Narrow(1500))
		// A path that the kernel knows to be narrow is no fault: senders are told.
		must(t, h.AddNarrowRoute("eth0", netip.PrefixFrom(peer.Addr, 32), 1400))
		r = diagnosed(ctx, t, h, "10.10.2.0/24", 0)
		if r.MTU.There != 1400 || r.MTU.Route != 1400 || !strings.Contains(strings.Join(r.Notes, " "), "senders are told") {
			t.Errorf("got %s", r)
		}
	})
	t.Run("a host that goes to another address", func(t *testing.T) {
		must(t, peer.Readdress(ctx, netip.MustParseAddr("192.0.2.42")))
		must(t, h.Agent.WaitOutput(ctx, "adding subnet: 10.10.2.0/24 PublicIP: 192.0.2.42"))
		eventually(ctx, t, "all is well there", func() (bool, string) {
			status, out := probe(ctx, t, h, "10.10.2.0/24")
			return status == 0 && out[0].got() == "3 3 3 3" && out[0].Peer.VTEP == "192.0.2.42:4789", out[0].String()
		})
		diagnosed(ctx, t, peer, "192.0.2.1", 0)
	})
	t.Run("its agent is dead, and then all of it", func(t *testing.T) {
		must(t, other.Agent.Signal(syscall.SIGKILL))
		<-other.Agent.Done()
		if r := diagnosed(ctx, t, h, "10.10.3.0/24", 2, "the peer's agent does not answer, but its host does"); r.got() != "0 0 0 3" {
			t.Errorf("got %s", r)
		}
		must(t, other.Cut())
		if r := diagnosed(ctx, t, h, "10.10.3.0/24", 2, "nothing passes"); r.got() != "0 0 0 0" {
			t.Errorf("got %s", r)
		}
		must(t, other.Mend())
		// A new start has a new key, and is found as soon as etcd tells of it.
		must(t, other.StartAgent(ctx, "--subnet", "10.10.3.0/24"))
		eventually(ctx, t, "the new agent answers", func() (bool, string) {
			status, out := probe(ctx, t, h, "10.10.3.0/24")
			return status == 0, out[0].String()
		})
		diagnosed(ctx, t, other, "10.10.1.0/24", 0, "ok")
	})
	for _, a := range []*lab.Host{h, peer, other} {
		settled(ctx, t, a)
	}
}

func TestProbesGoOverIPv6WhereThatIsTheWay(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without4: []int{2}}, network4, "")
	startAgents(ctx, t, l.Hosts)
	for _, c := range []struct {
		from *lab.Host
		peer string
		to   netip.Addr
	}{{l.Hosts[0], "10.10.2.0/24", l.Hosts[1].Addr6}, {l.Hosts[1], l.Hosts[0].Addr6.String(), l.Hosts[0].Addr6}} {
		eventually(ctx, t, c.from.Name+" reaches the other", func() (bool, string) {
			_, said := runOn(ctx, t, c.from, "probe", "--admin-socket", c.from.AdminSocket, "-c", "1", c.peer)
			return strings.HasSuffix(said, "ok\n"), said
		})
		r := diagnosed(ctx, t, c.from, c.peer, 0, "ok")
		if r.got() != "3 3 3 3" || r.Peer.VTEP != netip.AddrPortFrom(c.to, 4789).String() || r.MTU.There != 1500 || r.MTU.Back != 1500 || len(r.Notes) > 0 {
			t.Errorf("got %s", r)
		}
	}
}

// Who does not know the secret of two hosts gets no answer, nor who knows a message
// that was answered already.
func TestForgedAndRepeatedProbesAreNotAnswered(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 3})
	h, peer, member := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	wire, err := peer.Wire("eth0")
	must(t, err)
	defer func() { _ = wire.Close() }()
	diagnosed(ctx, t, h, "10.10.2.0/24", 0)
	caught, err := wire.Find(ctx, func(f lab.Frame) bool {
		v, ok := parse(f, encap.Port)
		return ok && !f.Outgoing && v.inner.Type() == echo.EtherType
	})
	must(t, err)
	v, _ := parse(caught, encap.Port)
	genuine, err := echo.Parse(v.inner.Payload(), len(v.inner.Payload()))
	must(t, err)

	before := settled(ctx, t, peer)
	from := map[*lab.Host]*lab.Wire{}
	for _, a := range []*lab.Host{h, member} {
		from[a], err = a.Wire("eth0")
		must(t, err)
		defer func() { _ = from[a].Close() }()
	}
	mac := func(a *lab.Host) ether.Addr {
		link, err := a.Link(a.TAP)
		must(t, err)
		return ether.Addr(link.MAC)
	}
	node := func(a *lab.Host) echo.Node {
		n, err := echo.ParseNode(nodeOf(t, a))
		must(t, err)
		return n
	}
	forged := func(change func(*echo.Message)) []byte {
		m := genuine
		m.Seq += 1000
		change(&m)
		f := make(ether.Frame, ether.HeaderLen+m.Size)
		ether.PutHeader(f, mac(peer), mac(member), echo.EtherType)
		guess := echo.SecretOf(echo.Party{Node: m.From}, echo.Party{Node: m.To})
		m.Put(f.Payload(), &guess)
		return f
	}
	for _, c := range []struct {
		name string
		send func()
	}{
		{"a message that came before", func() { must(t, from[h].Send(caught.Data)) }},
		{"a member host's, sealed without the keys", func() {
			must(t, from[member].Send(inVXLAN(t, member, peer, forged(func(m *echo.Message) { m.From = node(member) }))))
		}},
		{"a member host's that says that it is another", func() {
			must(t, from[member].Send(inVXLAN(t, member, peer, forged(func(m *echo.Message) {}))))
		}},
		{"one for another host", func() {
			must(t, from[member].Send(inVXLAN(t, member, peer, forged(func(m *echo.Message) { m.From, m.To = node(member), node(h) }))))
		}},
		{"an answer that nobody waits for", func() {
			must(t, from[member].Send(inVXLAN(t, member, peer, forged(func(m *echo.Message) { m.From, m.Kind, m.Reply = node(member), echo.Answer, 0 }))))
		}},
	} {
		want := settled(ctx, t, peer).Counts["EchoRefused"] + 1
		c.send()
		eventually(ctx, t, c.name+" is refused", func() (bool, string) {
			n := readStats(ctx, t, peer).Counts["EchoRefused"]
			return n == want, fmt.Sprint(n)
		})
	}
	after := settled(ctx, t, peer)
	if after.Counts["EchoAnswered"] != before.Counts["EchoAnswered"] || after.Counts["EchoSent"] != before.Counts["EchoSent"] {
		t.Errorf("answered: %v after %v", after.Counts, before.Counts)
	}
	connected(ctx, t, l)
}

// inVXLAN is a frame as one host's VTEP would send it to another's.
func inVXLAN(t testing.TB, from, to *lab.Host, inner []byte) []byte {
	t.Helper()
	a, err := from.Link("eth0")
	must(t, err)
	b, err := to.Link("eth0")
	must(t, err)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr.AsSlice(), DstIP: to.Addr.AsSlice()}
	udp := &layers.UDP{SrcPort: 50000, DstPort: encap.Port}
	must(t, udp.SetNetworkLayerForChecksum(ip))
	header := make([]byte, encap.HeaderLen)
	encap.PutHeader(header, 1)
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: a.MAC, DstMAC: b.MAC, EthernetType: layers.EthernetTypeIPv4}, ip, udp,
		gopacket.Payload(append(header, inner...))))
	return buf.Bytes()
}
