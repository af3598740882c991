package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/switch/tap"
)

// richLink is a link of a rich kernel.
func richLink() linkView {
	v := linkView{
		Name: "uvtep.1", Index: 4, MAC: "8a:2a:89:4d:b0:31", MTU: 1450, ID: 1, Local: "192.0.2.1", Underlay: "eth0",
		PortRange: portRange{49152, 65535}, Port: 4789, TTL: 64, UDPCsum: true, Proxy: true, DF: "set", SourcePorts: []uint16{49152, 50001},
		Queues: 2, Lanes: 2, Offload: offloadView{Wish: "auto", Active: true}, Features: map[string]featureView{},
		RecvBuffer: bufferView{4194304, 4194304, ""}, SendBuffer: bufferView{2097152, 2097152, ""},
		Rules: rulesView{InnerVLAN: "dropped on receipt, stripped on sending", Reserved: "ignored and counted", UnknownVTEP: "dropped", SourceIP: "any"},
	}
	for _, name := range featureNames {
		v.Features[name] = featureView{Active: true}
	}
	return v
}

func TestLinkIsPrintedForPeople(t *testing.T) {
	const want = `vxlan id 1 local 192.0.2.1 dev eth0 srcport 49152 65535 dstport 4789 nolearning ttl 64 udpcsum
  tap          uvtep.1
  index        4
  address      8a:2a:89:4d:b0:31
  mtu          1450
  queues       2, for 2 lanes
  source_ports 2
  offload      auto: on
  multi_queue  yes
  steady_flows yes
  vnet_hdr     yes
  tso          yes
  uso          yes
  udp_segment  yes
  udp_gro      yes
  mmsg         yes
  ppoll        yes
  priority     yes
  real_time    yes
  recv_buffer  4194304 bytes
  send_buffer  2097152 bytes
  flood        off
  inner_vlan   dropped on receipt, stripped on sending
  reserved     ignored and counted
  unknown_vtep dropped
  source_ip    any
`
	checkPrint(t, richLink(), false, want)
	all := strings.Replace(want, "source_ports 2\n", "source_ports 2: 49152 50001\n", 1)
	all = strings.Replace(all, "nolearning ttl 64 udpcsum", "nolearning proxy ttl 64 df set ageing none udpcsum noudp6zerocsumtx noudp6zerocsumrx", 1)
	checkPrint(t, richLink(), true, all+
		`  unknown_mac  dropped
  dscp         0
  ecn          RFC 6040, both ways
`)
}

func TestLinkTellsWhyAFeatureIsMissing(t *testing.T) {
	v := richLink()
	v.Local, v.Local6, v.UDPCsum, v.Queues = "", "2001:db8::1", false, 1
	v.Offload = offloadView{Wish: "auto", Reason: "it needs vnet_hdr"}
	v.Features["vnet_hdr"] = featureView{Reason: "it needs multi_queue"}
	v.Features["tso"] = featureView{Reason: "it needs vnet_hdr"}
	v.Features["uso"] = featureView{}
	v.RecvBuffer = bufferView{4194304, 212992, "operation not permitted"}
	v.AlsoListen = map[uint16]featureView{8473: {Reason: "it is taken"}, 8472: {Active: true}}
	checkPrint(t, v, false, `vxlan id 1 local 2001:db8::1 dev eth0 srcport 49152 65535 dstport 4789 nolearning ttl 64 noudpcsum
  tap          uvtep.1
  index        4
  address      8a:2a:89:4d:b0:31
  mtu          1450
  queues       1, for 2 lanes
  source_ports 2
  offload      auto, but off: it needs vnet_hdr
  multi_queue  yes
  steady_flows yes
  vnet_hdr     no: it needs multi_queue
  tso          no: it needs vnet_hdr
  uso          no
  udp_segment  yes
  udp_gro      yes
  mmsg         yes
  ppoll        yes
  priority     yes
  real_time    yes
  recv_buffer  212992 bytes: operation not permitted
  send_buffer  2097152 bytes
  flood        off
  inner_vlan   dropped on receipt, stripped on sending
  reserved     ignored and counted
  unknown_vtep dropped
  source_ip    any
  also_listen  8472
  also_listen  8473: not now: it is taken
`)
}

func TestLinkTellsWhatItsOuterHeadersInherit(t *testing.T) {
	v := richLink()
	for _, c := range []struct {
		tos  string
		ttl  any
		want string
	}{
		{"", 64.0, " nolearning proxy ttl 64 df set ageing none udpcsum noudp6zerocsumtx noudp6zerocsumrx|dscp         0"}, // as it comes out of JSON
		{"0x28", 1, " nolearning proxy tos 0x28 ttl 1 df set ageing none udpcsum noudp6zerocsumtx noudp6zerocsumrx|dscp         10"},
		{"inherit", "inherit", " nolearning proxy tos inherit ttl inherit df set ageing none udpcsum noudp6zerocsumtx noudp6zerocsumrx|dscp         the inner packet's (RFC 2983)"},
	} {
		v.TOS, v.TTL = c.tos, c.ttl
		var b strings.Builder
		if err := printLink(&b, v, true); err != nil {
			t.Fatal(err)
		}
		for _, want := range strings.Split(c.want, "|") {
			if !strings.Contains(b.String(), want+"\n") {
				t.Errorf("tos %q, ttl %v: want %q in\n%s", c.tos, c.ttl, want, b.String())
			}
		}
	}
}

func checkPrint(t *testing.T, v linkView, details bool, want string) {
	t.Helper()
	var b strings.Builder
	if err := printLink(&b, v, details); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestFeaturesSayWhyTheyAreNotInUse(t *testing.T) {
	rich := tap.Capabilities{MultiQueue: true, VnetHdr: true, TCP: true, UDP: true}
	for _, c := range []struct {
		name    string
		o       offloads
		tap     tap.Capabilities
		under   map[string]string
		feature string
		want    featureView
	}{
		{"all there", offloads{wish: "auto"}, rich, nil, "uso", featureView{Active: true}},
		{"switched off", offloads{wish: "off"}, rich, nil, "tso", featureView{Reason: "switched off; `uvtep link set offload auto` turns it on"}},
		{"begun as a plain TAP", offloads{wish: "off", plain: true}, tap.Capabilities{MultiQueue: true}, nil, "vnet_hdr", featureView{Reason: "the agent was started with --offload off"}},
		{"one queue only", offloads{wish: "auto"}, tap.Capabilities{}, nil, "vnet_hdr", featureView{Reason: "it needs multi_queue"}},
		{"no header, no superframes", offloads{wish: "auto"}, tap.Capabilities{MultiQueue: true}, nil, "tso", featureView{Reason: "it needs vnet_hdr"}},
		{"refused by the kernel", offloads{wish: "auto"}, tap.Capabilities{MultiQueue: true, VnetHdr: true, Reason: map[string]string{"uso": "too old"}}, nil, "uso", featureView{Reason: "too old"}},
		{"made anew just now", offloads{wish: "auto", renewal: make(chan struct{})}, tap.Capabilities{}, nil, "tso", featureView{Reason: "the TAP is being made anew"}},
		{"one call of two", offloads{wish: "auto"}, rich, map[string]string{"recvmmsg": "not implemented"}, "mmsg", featureView{Reason: "recvmmsg: not implemented"}},
		{"both calls", offloads{wish: "auto"}, rich, map[string]string{"recvmmsg": "no", "sendmmsg": "never"}, "mmsg", featureView{Reason: "sendmmsg: never; recvmmsg: no"}},
		{"no ppoll", offloads{wish: "auto"}, rich, map[string]string{"ppoll": "no"}, "ppoll", featureView{Reason: "no"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.o.features(c.tap, underlay.Capabilities{Reason: c.under}, feat(true, ""), feat(true, ""))
			if got[c.feature] != c.want || len(got) != len(featureNames) {
				t.Errorf("%s: got %+v of %d features, want %+v of %d", c.feature, got[c.feature], len(got), c.want, len(featureNames))
			}
		})
	}
}

func TestLinkSetRefusesOtherWordsBeforeItAsksTheAgent(t *testing.T) {
	for _, args := range []string{"link set offload on", "link set offload", "link set", "link set mtu 9000", "link nonsense"} {
		root := newRoot()
		root.SetArgs(strings.Fields(args + " --admin-socket=/nowhere"))
		root.SetOut(io.Discard)
		if err := root.Execute(); !errors.As(err, new(usageError)) {
			t.Errorf("uvtep %s: got %v, want a usage error", args, err)
		}
	}
}
