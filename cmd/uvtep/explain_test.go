package main

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/pcapng"
)

func TestExplainRefusesWhatCannotBeExplained(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want []string
	}{
		{"00", []string{`--from "": say tap or wire`}},
		{"--from tap", []string{"say one thing"}},
		{"--from tap --arp 10.0.0.1 00", []string{"say one thing"}},
		{"--from tap --pcap x 00", []string{"say one thing"}},
		{"--from moon --outer-src 1.1.1.1 --sport 4 --vni 16777216", []string{"--from", "--sport and --dport need", "24 bits"}},
		{"--from tap --arp 10.0.0.1 --dport 4", []string{"--sport and --dport need"}},
		{"--from tap --outer-src 1.1.1.1 00", []string{"--outer-src is for datagrams"}},
		{"--from wire 00", []string{"--outer-src is missing"}},
		{"--from wire --outer-src everybody 00", []string{`--outer-src "everybody"`}},
		{"--from tap 0g", []string{"not in hexadecimal"}},
		{"--from tap --arp ten --src twelve", []string{`--src "twelve"`, `--arp "ten"`}},
		{"--from tap 00 01", []string{"at most 1 arg"}},
	} {
		cmd := newRoot()
		cmd.SetArgs(append([]string{"explain", "--admin-socket", "/nowhere"}, strings.Fields(c.args)...))
		err := cmd.Execute()
		if _, usage := err.(usageError); !usage {
			t.Errorf("%s: got %v, want a usage error", c.args, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want %q in it", c.args, err, want)
			}
		}
	}
	cmd := newRoot()
	cmd.SetArgs([]string{"explain", "--from", "wire", "--pcap", empty})
	if err := cmd.Execute(); err == nil || strings.Contains(err.Error(), "--outer-src is missing") {
		t.Errorf("a file says who sent the datagrams: got %v", err)
	}
	cmd = newRoot()
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"explain", "--from", "tap", "--pcap", empty})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "neither pcap nor pcapng") {
		t.Errorf("an empty file: got %v", err)
	}
}

func TestWaysArePrintedAFactALine(t *testing.T) {
	v := wayView{
		Verdict: "Forward", Reason: "sent to the VTEP that the FDB names", From: fromTAP, TAP: "uvtep.1", VNI: 1, Revision: 12,
		Frame: "a > b", Bytes: 1514, Stripped: true, Frames: 3,
		Rows:  []rowView{{Table: "fdb", MAC: "02:00:00:00:00:02", VTEP: "192.0.2.2:4789", Origin: "endpoint", Key: "/k", Revision: 8}},
		Outer: &outerView{Src: "2001:db8::1", SrcPort: 50000, Dst: []string{"[2001:db8::2]:4789"}, TTL: 64, DSCP: 46, ECN: "CE", UDPCsum: true, FlowHash: 0xbeef},
	}
	w := wayView{Verdict: "DropTooBig", Reason: "larger", From: fromWire, TAP: "uvtep.1", Sender: &sentView{"192.0.2.2", 0, "Not-ECT"}, VNI: 1, Revision: 12, Frame: "c > d", Bytes: 2000, MTU: 1450, Told: true}
	const want = `frame 1
  from         uvtep.1
  frame        a > b
  length       1514 bytes
  tags         stripped
  tables       VNI 1, revision 12
  fdb          02:00:00:00:00:02 dst 192.0.2.2:4789 (endpoint)
  etcd         /k, revision 8
  superframe   of 3 frames
  outer        [2001:db8::1]:50000 > [2001:db8::2]:4789
  ttl          64
  dscp         46
  ecn          CE
  udp_csum     yes
  flow         0x0000beef chose port 50000
  reason       sent to the VTEP that the FDB names
Forward

frame 2
  from         192.0.2.2, DSCP 0, ECN Not-ECT
  frame        c > d
  length       2000 bytes
  tables       VNI 1, revision 12
  path         takes 1450 bytes of IP
  sender       is told by ICMP
  reason       larger
DropTooBig
`
	b := new(strings.Builder)
	if err := printWays(b, []wayView{v, w}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDatagramsAreFoundInWhatWasSeenOnTheUnderlay(t *testing.T) {
	u := []byte{0xc3, 0x50, 0x12, 0xb5, 0, 11, 0, 0, 'a', 'b', 'c'}
	v4 := append([]byte{0x45, 0x08, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 1}, u...)
	v6 := append([]byte{0x60, 0x80, 0, 0, 0, 11, 17, 64, 15: 0, 23: 2, 39: 1}, u...)
	copy(v6[8:], netip.MustParseAddr("2001:db8::2").AsSlice())
	inEthernet := func(typ ether.Type, b []byte) []byte {
		f := make(ether.Frame, ether.HeaderLen)
		ether.PutHeader(f, ether.Addr{2}, ether.Addr{4}, typ)
		return append(f, b...)
	}
	with := func(b []byte, at int, v byte) []byte { b = append([]byte(nil), b...); b[at] = v; return b }
	for _, c := range []struct {
		name string
		r    pcapng.Record
		src  string
		tos  uint8
	}{
		{"IPv4", pcapng.Record{Link: pcapng.Ethernet, Data: inEthernet(ether.TypeIPv4, v4)}, "192.0.2.2", 8},
		{"IPv6", pcapng.Record{Link: pcapng.Ethernet, Data: inEthernet(ether.TypeIPv6, v6)}, "2001:db8::2", 8},
		{"IPv4 alone", pcapng.Record{Link: pcapng.RawIP, Data: v4}, "192.0.2.2", 8},
		{"IPv6 alone", pcapng.Record{Link: pcapng.RawIP, Data: v6}, "2001:db8::2", 8},
		{"ARP", pcapng.Record{Link: pcapng.Ethernet, Data: inEthernet(ether.TypeARP, v4)}, "", 0},
		{"a fragment", pcapng.Record{Link: pcapng.RawIP, Data: with(v4, 6, 0x20)}, "", 0},
		{"TCP", pcapng.Record{Link: pcapng.RawIP, Data: with(v4, 9, 6)}, "", 0},
		{"cut", pcapng.Record{Link: pcapng.RawIP, Data: v4[:24]}, "", 0},
		{"nothing", pcapng.Record{Link: pcapng.RawIP}, "", 0},
		{"another link", pcapng.Record{Link: 113, Data: v4}, "", 0},
	} {
		d, ok := outerDatagram(c.r)
		if ok != (c.src != "") || ok && (d.src.String() != c.src || d.tos != c.tos || d.port != 4789 || string(d.payload) != "abc") {
			t.Errorf("%s: got %+v, %t; want one from %q", c.name, d, ok, c.src)
		}
	}
}
