package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// posed is a frame or a datagram for an agent to explain.
type posed struct {
	From string     `json:"from"`
	Data string     `json:"data"`
	Src  netip.Addr `json:"outer_src,omitzero"`
	TOS  uint8      `json:"outer_tos"`
	raw  []byte
}

// way is what an agent says of it.
type way struct {
	Verdict string
	Rows    []struct{ Table, Key, Origin string }
	Outer   *struct {
		Src string
		Dst []string
		ECN string
	}
}

// explained asks the agent of a host.
func explained(ctx context.Context, t *testing.T, h *lab.Host, q []posed) []way {
	t.Helper()
	body, err := json.Marshal(map[string]any{"frames": q})
	must(t, err)
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", h.AdminSocket)
	}}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://uvtep/v1/explain", bytes.NewReader(body))
	must(t, err)
	resp, err := c.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	var a struct{ Ways []way }
	must(t, json.NewDecoder(resp.Body).Decode(&a))
	if len(a.Ways) != len(q) {
		t.Fatalf("%s: %d ways for %d frames", resp.Status, len(a.Ways), len(q))
	}
	return a.Ways
}

// stranger sends datagrams but is no VTEP; nowhere is one that nobody answers from.
var (
	stranger   = netip.MustParseAddr("192.0.2.99")
	nowhere    = netip.MustParseAddr("192.0.2.77")
	staticMAC  = ether.Addr{2, 0, 0, 0, 0, 0x88}
	unknownMAC = ether.Addr{2, 0, 0, 0, 0, 0x99}
)

// explainWorld is a host with an agent, a lease of another host that there is and a
// static entry of one that there is not.
type explainWorld struct {
	*testing.T
	ctx       context.Context
	l         *lab.Lab
	h, far    *lab.Host
	own       ether.Addr
	tap, wire *lab.Wire
	r         *rand.Rand
	seen      map[string]int
}

func newExplainWorld(t *testing.T) *explainWorld {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	w := &explainWorld{T: t, ctx: ctx, l: l, h: l.Hosts[0], far: l.Hosts[1], r: rand.New(rand.NewPCG(7, 8)), seen: map[string]int{}}
	startAgents(ctx, t, l.Hosts[:1], "--queues", "1", "--strict-source")
	must(t, w.h.Sysctl("net/ipv6/conf/"+w.h.TAP+"/disable_ipv6", "1")) // the kernel speaks of its own accord
	must(t, w.h.SetMTU(w.h.TAP, 1500))                                 // more than the tunnel takes
	must(t, l.Put(ctx, prefix+"/uvtep/static/1/"+staticMAC.String(), fmt.Sprintf(`{"IPs":["10.10.88.8"],"VTEP":%q}`, nowhere)))
	putLease(ctx, t, l, "10.10.77.0/24", w.far.Addr, farMAC)
	eventually(ctx, t, "the tables are in force", func() (bool, string) {
		return strings.Contains(routesOf(t, w.h), "10.10.77.0/24"), routesOf(t, w.h)
	})
	link, err := w.h.Link(w.h.TAP)
	must(t, err)
	w.own = ether.Addr(link.MAC)
	w.tap, err = w.h.Wire(w.h.TAP)
	must(t, err)
	w.wire, err = w.far.Wire("eth0")
	must(t, err)
	t.Cleanup(func() { _ = w.tap.Close(); _ = w.wire.Close() })
	return w
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// frame is one of any kind.
func (w *explainWorld) frame() ether.Frame {
	r := w.r
	dst := pick(r, w.own, farMAC, farMAC, staticMAC, unknownMAC, ether.Broadcast, ether.Addr{1, 0, 0x5e, 1, 1, 1}, ether.Addr{0x33, 0x33, 0, 0, 0, 1}, ether.Addr{1, 0x80, 0xc2, 0, 0, byte(r.IntN(20))})
	src := pick(r, w.own, farMAC, staticMAC, unknownMAC, unknownMAC, ether.Broadcast, ether.Addr{})
	ips := []netip.Addr{nearIP, farIP, leaseIP, freeIP, w.h.Subnet.Masked().Addr(), netip.MustParseAddr("10.10.88.8"), netip.IPv4Unspecified()}
	var f ether.Frame
	switch r.IntN(4) {
	case 0:
		f = local(dst, src, byte(r.IntN(256)))
	case 1:
		f = question(w.T, pick(r, ips...), pick(r, ips...))
		f.SetDst(dst)
		if r.IntN(4) > 0 {
			f.SetSrc(src)
			copy(f[22:28], src[:])
		}
		binary.BigEndian.PutUint16(f[20:], uint16(r.IntN(3)))
	default:
		f = ipFrame(dst, src, r.IntN(3) == 0, uint8(r.IntN(256)))
		if p := ether.IPv4(f.Payload()); f.Type() == ether.TypeIPv4 {
			p.SetSrc(pick(r, ips...))
			p.SetDst(pick(r, ips...))
			p.SetChecksum(0)
			p.Finish()
		}
		f = append(f, make([]byte, pick(r, 0, 0, 700, 1366, 1400))...)
	}
	switch r.IntN(12) {
	case 0:
		f = tag(f, pick[uint16](r, 0x8100, 0x88a8), uint16(r.IntN(4096)))
	case 1:
		f = f[:ether.HeaderLen+r.IntN(len(f)-ether.HeaderLen)]
	case 2:
		f[r.IntN(len(f))] ^= 1 << r.IntN(8)
	}
	return f
}

// datagram is one of any kind, from some host, as it arrives here.
func (w *explainWorld) datagram() posed {
	r := w.r
	f := w.frame()
	d := vx(8, pick[uint32](r, 1, 1, 1, 1, 1, 1, 2), f[:min(len(f), 1400)])
	switch r.IntN(16) {
	case 0:
		d[r.IntN(8)] ^= 1 << r.IntN(8)
	case 1:
		d = d[:r.IntN(8+ether.HeaderLen)]
	}
	a := posed{From: "wire", Data: hex.EncodeToString(d), Src: pick(r, w.far.Addr, w.far.Addr, w.far.Addr, nowhere, stranger), TOS: uint8(r.IntN(256))}
	ip := &layers.IPv4{Version: 4, TTL: 64, TOS: a.TOS, Protocol: layers.IPProtocolUDP, SrcIP: a.Src.AsSlice(), DstIP: w.h.Addr.AsSlice()}
	udp := &layers.UDP{SrcPort: 50000, DstPort: 4789}
	must(w, udp.SetNetworkLayerForChecksum(ip))
	buf, near, far := gopacket.NewSerializeBuffer(), endOf(w.T, w.h).mac, endOf(w.T, w.far).mac
	must(w, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: far[:], DstMAC: near[:], EthernetType: layers.EthernetTypeIPv4}, ip, udp, gopacket.Payload(d)))
	a.raw = buf.Bytes()
	return a
}

// becomes sends a frame and returns the verdict that was counted for it; more than
// one when the kernel said something at the same time.
func (w *explainWorld) becomes(a posed) (moved []string) {
	w.Helper()
	before := readStats(w.ctx, w, w.h).Verdicts
	if a.From == "tap" {
		must(w, w.tap.Send(a.raw))
	} else {
		must(w, w.wire.Send(a.raw))
	}
	for len(moved) == 0 {
		must(w, w.ctx.Err())
		for name, now := range readStats(w.ctx, w, w.h).Verdicts {
			for range now.Frames - before[name].Frames {
				if inboundVerdicts[name] == (a.From == "wire") {
					moved = append(moved, name)
				}
			}
		}
	}
	return moved
}

// compare explains frames and then sends them.
func (w *explainWorld) compare(frames int) {
	w.Helper()
	var q []posed
	for range frames {
		f := w.frame()
		q = append(q, posed{From: "tap", Data: hex.EncodeToString(f), raw: f}, w.datagram())
	}
	for i, want := range explained(w.ctx, w.T, w.h, q) {
		got := w.becomes(q[i])
		for len(got) > 1 {
			got = w.becomes(q[i])
		}
		if w.seen[want.Verdict]++; got[0] != want.Verdict {
			w.Errorf("from the %s: explained %s, became %s: %s", q[i].From, want.Verdict, got[0], q[i].Data)
		}
	}
}

// What is explained is what then happens to the same frame.
func TestExplainSaysWhatHappensToFrames(t *testing.T) {
	w := newExplainWorld(t)
	w.compare(200)
	must(t, w.l.Put(w.ctx, prefix+"/config", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","VNI":1,"Port":4789,"Flood":true,"StrictReserved":true,"InnerVLAN":"pass","UnknownVTEP":"accept"}}`))
	eventually(w.ctx, t, "the network floods", func() (bool, string) {
		out := uvtep(w.ctx, t, w.h, "link")
		return strings.Contains(out, "flood        on"), out
	})
	w.compare(200)
	for _, v := range []string{
		"Forward", "Answer", "Replicate", "DropSource", "DropLinkControl", "DropToSelf", "DropUnknownUnicast", "DropBroadcast", "DropMulticast",
		"DropARPSilent", "DropARPUnknown", "DropARPMalformed", "DropARPConflict", "DropTooBig", "Deliver", "DropRuntDatagram", "DropNoVNI",
		"DropReserved", "DropForeignVNI", "DropUnknownVTEP", "DropRuntFrame", "DropInnerSource", "DropInnerLinkControl", "DropSpoofed",
		"DropSourceIP", "DropOwnSource", "DropTagged", "DropECN",
	} {
		if w.seen[v] == 0 {
			t.Errorf("no frame became %s", v)
		}
	}

	out := func(args ...string) string { return uvtep(w.ctx, t, w.h, append([]string{"explain"}, args...)...) }
	for _, c := range []struct {
		args string
		want []string // the last one is all of the last line
	}{
		{"--from tap --arp 10.10.77.0", []string{w.own.String() + " > ff:ff:ff:ff:ff:ff, ARP who has 10.10.77.0, tell 10.10.1.0", "neigh        10.10.77.0 lladdr " + farMAC.String() + " (lease)", "etcd         " + prefix + "/subnets/10.10.77.0-24, revision ", "Answer"}},
		{"--from tap --arp 10.10.88.8", []string{"(static)", prefix + "/uvtep/static/1/" + staticMAC.String() + ", revision ", "Answer"}},
		{"--from tap --ip 10.10.77.9 --proto tcp --dport 80", []string{"10.10.1.0.40000 > 10.10.77.9.80, TCP [S]", "fdb          " + farMAC.String() + " dst 192.0.2.2:4789 (lease)", "> 192.0.2.2:4789", "ttl          64", "udp_csum     yes", "Forward"}},
		{"--from tap --ip 10.10.77.9 --len 1514", []string{"takes 1450 bytes of IP", "is told by ICMP", "DropTooBig"}},
		{"--from tap --dst 02:99:99:99:99:99", []string{"nobody in etcd has its destination", "DropUnknownUnicast"}},
		{"--from tap --ns fd00::7", []string{"ICMPv6 NeighborSolicitation, who has fd00::7", "Replicate"}},
		{"--from wire --outer-src 192.0.2.2 --ip 10.10.77.9,10.10.1.0", []string{"from         192.0.2.2, DSCP 0, ECN Not-ECT", farMAC.String() + " > " + w.own.String(), "Deliver"}},
		{"--from wire --outer-src 192.0.2.2 --vni 3 --ip 10.10.77.9,10.10.1.0", []string{"DropForeignVNI"}},
		{"--from wire --outer-src 192.0.2.77 --src " + farMAC.String(), []string{"fdb          " + farMAC.String() + " dst 192.0.2.2:4789", "DropSpoofed"}},
		{"--from wire --outer-src 192.0.2.2 0800", []string{"DropRuntDatagram"}},
	} {
		got := out(strings.Fields(c.args)...)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("explain %s: want %q in\n%s", c.args, want, got)
			}
		}
		if !strings.HasSuffix(got, "\n"+c.want[len(c.want)-1]+"\n") {
			t.Errorf("explain %s: the last line is not the verdict:\n%s", c.args, got)
		}
	}
	w.explainFile(out)
}

// explainFile has capture files explained: of the TAP, and of the underlay.
func (w *explainWorld) explainFile(out func(...string) string) {
	w.Helper()
	file := w.l.Dir + "/explained.pcap"
	d := datagram4(w.T, endOf(w.T, w.far), endOf(w.T, w.h), 4789, local(w.own, farMAC))
	for _, c := range []struct {
		from   string
		frames [][]byte
		want   []string
	}{
		{"tap", [][]byte{local(farMAC, w.own), question(w.T, nearIP, netip.MustParseAddr("10.10.88.8"))}, []string{"Forward", "Answer"}},
		{"wire", [][]byte{d, local(w.own, farMAC)}, []string{"Deliver"}},
	} {
		var b bytes.Buffer
		p := pcapgo.NewWriter(&b)
		must(w, p.WriteFileHeader(1<<16, layers.LinkTypeEthernet))
		for _, f := range c.frames {
			must(w, p.WritePacket(gopacket.CaptureInfo{CaptureLength: len(f), Length: len(f)}, f))
		}
		must(w, os.WriteFile(file, b.Bytes(), 0o600))
		var ways []way
		text := out("--from", c.from, "--pcap", file, "-j")
		must(w, json.Unmarshal([]byte(text[strings.Index(text, "["):]), &ways))
		var got []string
		for _, v := range ways {
			got = append(got, v.Verdict)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			w.Errorf("of the %s: got %v, want %v", c.from, got, c.want)
		}
	}
}
