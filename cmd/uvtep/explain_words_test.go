package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/admin"
)

// answering is an admin socket of two networks, VNI 1 and 7, that writes down what
// it is asked to explain.
func answering(t *testing.T) (socket string, asked *[]explainFrame) {
	t.Helper()
	asked = new([]explainFrame)
	mac := func(vni byte) ether.Addr { return ether.Addr{0x0a, 0, 0, 0, 0, vni} }
	self := func(vni byte) selfView {
		return selfView{TAP: fmt.Sprintf("uvtep.%d", vni), MAC: mac(vni), Addrs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.1.0/32", vni))}, Subnet: netip.MustParsePrefix(fmt.Sprintf("10.%d.1.0/24", vni))}
	}
	table := func(r any) func(context.Context, url.Values) (any, error) {
		return func(context.Context, url.Values) (any, error) { return r, nil }
	}
	socket = filepath.Join(t.TempDir(), "sock")
	s, err := admin.Listen(admin.Config{Path: socket, Version: "test"}, admin.Requests{
		Views: admin.Views{
			linkPath: func() any { return []linkView{{Name: "uvtep.1", ID: 1}, {Name: "uvtep.7", ID: 7}} },
			selfPath: func() any { return []selfView{self(1), self(7)} },
		},
		Queries: admin.Queries{
			fdbPath:   table(rows[fdbRow]{Rows: []fdbRow{{MAC: "0a:00:00:00:00:22", Ifname: "uvtep.7", Dst: "192.0.2.2"}, {MAC: "0a:00:00:00:00:33", Ifname: "uvtep.1", Dst: "192.0.2.2"}}}),
			neighPath: table(rows[neighRow]{Rows: []neighRow{{Dst: "10.7.2.0", Dev: "uvtep.1", LLAddr: "0a:00:00:00:00:44"}, {Dst: "10.7.2.0", Dev: "uvtep.7", LLAddr: "0a:00:00:00:00:55"}}}),
			routePath: table(rows[routeRow]{Rows: []routeRow{{Dst: "10.7.2.0/24", Gateway: "10.7.2.0", Dev: "uvtep.7"}}}),
		},
		Questions: admin.Questions{explainPath: admin.Decoded(func(_ context.Context, q explainQuestion) (any, error) {
			*asked = append(*asked, q.Frames...)
			return explainAnswer{}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return socket, asked
}

// dissected is what is in an Ethernet frame, by gopacket.
func dissected(frame []byte) string {
	var out []string
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.Ethernet:
			out = append(out, fmt.Sprintf("%s > %s", l.SrcMAC, l.DstMAC))
		case *layers.Dot1Q:
			out = append(out, fmt.Sprintf("vlan %d", l.VLANIdentifier))
		case *layers.ARP:
			out = append(out, fmt.Sprintf("arp %v asks for %v", netip.AddrFrom4([4]byte(l.SourceProtAddress)), netip.AddrFrom4([4]byte(l.DstProtAddress))))
		case *layers.IPv4:
			out = append(out, fmt.Sprintf("ip %v > %v tos %#x", l.SrcIP, l.DstIP, l.TOS))
		case *layers.UDP:
			out = append(out, fmt.Sprintf("udp %d > %d", l.SrcPort, l.DstPort))
		}
	}
	return fmt.Sprintf("%s, %d bytes", strings.Join(out, ", "), len(frame))
}

// The flags say which frame the agent is asked about, and from where.
func TestExplainAsksAboutWhatTheFlagsSay(t *testing.T) {
	socket, asked := answering(t)
	const some = "0a00000000020a000000000188b5"
	from := netip.MustParseAddr("192.0.2.2")
	for _, c := range []struct {
		args  string
		frame explainFrame // but for the data
		inner string       // what is told of the frame, or all of the data in hexadecimal
	}{
		{"--from tap " + some, explainFrame{From: fromTAP}, some},
		{"--from tap 0x0a:00:00:00:00:020a000000000188b5", explainFrame{From: fromTAP}, some},
		{"--from tap --vni 7 " + some, explainFrame{From: fromTAP, VNI: 7}, some},
		{"--from wire --outer-src 192.0.2.2 --outer-tos 3 0800000000000100" + some, explainFrame{From: fromWire, Src: from, TOS: 3}, "0800000000000100" + some},
		{"--from wire --outer-src 192.0.2.2 --vni 7 " + some, explainFrame{From: fromWire, Src: from}, "0800000000000700" + some},
		{"--from tap --vni 7 --arp 10.7.2.0", explainFrame{From: fromTAP, VNI: 7}, "0a:00:00:00:00:07 > ff:ff:ff:ff:ff:ff, arp 10.7.1.0 asks for 10.7.2.0, 60 bytes"},
		{"--from tap --vni 7 --arp 10.7.2.0 --src 0a:00:00:00:00:99 --ip 10.7.1.9 --len 70", explainFrame{From: fromTAP, VNI: 7},
			"0a:00:00:00:00:99 > ff:ff:ff:ff:ff:ff, arp 10.7.1.9 asks for 10.7.2.0, 70 bytes"},
		{"--from tap --vni 7 --ip 10.7.2.9 --proto udp --sport 5 --dport 6 --tos 8 --vlan 12", explainFrame{From: fromTAP, VNI: 7},
			"0a:00:00:00:00:07 > 0a:00:00:00:00:55, vlan 12, ip 10.7.1.0 > 10.7.2.9 tos 0x8, udp 5 > 6, 60 bytes"},
		{"--from wire --outer-src 192.0.2.2 --vni 7 --ip 10.7.2.9,10.7.1.4", explainFrame{From: fromWire, Src: from},
			"vni 7: 0a:00:00:00:00:22 > 0a:00:00:00:00:07, ip 10.7.2.9 > 10.7.1.4 tos 0x0, 60 bytes"},
	} {
		t.Run(c.args, func(t *testing.T) {
			*asked = nil
			cmd := newRoot()
			cmd.SetArgs(append([]string{"explain", "--admin-socket", socket}, strings.Fields(c.args)...))
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			if len(*asked) != 1 {
				t.Fatalf("the agent is asked about %v", *asked)
			}
			got := (*asked)[0]
			data, err := hex.DecodeString(got.Data)
			if err != nil {
				t.Fatal(err)
			}
			got.Data = ""
			if got != c.frame {
				t.Errorf("got %+v, want %+v", got, c.frame)
			}
			inner := dissected(data)
			if got.From == fromWire {
				h := data[:encap.HeaderLen]
				inner = fmt.Sprintf("vni %d: %s", uint32(h[4])<<16|uint32(h[5])<<8|uint32(h[6]), dissected(data[encap.HeaderLen:]))
			}
			if inner != c.inner && hex.EncodeToString(data) != c.inner {
				t.Errorf("got %s\n(%x), want\n%s", inner, data, c.inner)
			}
		})
	}
}

func TestExplainKnowsThisHostsOwnSubnet(t *testing.T) {
	socket, asked := answering(t)
	cmd := newRoot()
	cmd.SetArgs([]string{"explain", "--admin-socket", socket, "--from", "tap", "--vni", "7", "--ip", "10.7.1.4"})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "10.7.1.4 is in this host's own subnet") || len(*asked) != 0 {
		t.Errorf("got %v, asked %v", err, *asked)
	}
}
