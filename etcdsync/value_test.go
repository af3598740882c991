package etcdsync

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// Values as flannel v0.2x writes them; from its documentation and its tests.
const (
	flannelLease     = `{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"}}`
	flannelDualLease = `{"PublicIP":"192.168.64.3","PublicIPv6":"fd00::3","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44"},"BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:46"}}`
	flannelUDPLease  = `{"PublicIP":"192.168.64.3","PublicIPv6":null,"BackendType":"udp","BackendData":null}`
)

var cmpValues = cmp.AllowUnexported(leaseValue{}, hostValue{}, endpointValue{}, staticValue{}, subnets{}, key{})

func TestLeasesAreReadAsFlannelWritesThem(t *testing.T) {
	tests := []struct {
		name, text string
		want       leaseValue
	}{
		{"IPv4", flannelLease, leaseValue{
			publicIP: addr("192.168.64.3"), backend: "vxlan", vni: 1, mac: ether.Addr{0xc6, 0xd2, 0x32, 0x6f, 0x8f, 0x44},
		}},
		{"dual stack, with a MAC address for each device", flannelDualLease, leaseValue{
			publicIP: addr("192.168.64.3"), publicIPv6: addr("fd00::3"), backend: "vxlan", vni: 1,
			mac: ether.Addr{0xc6, 0xd2, 0x32, 0x6f, 0x8f, 0x44}, mac6: ether.Addr{0xc6, 0xd2, 0x32, 0x6f, 0x8f, 0x46},
		}},
		{"an old one, without a VNI and with an upper-case MAC", `{"PublicIP":"192.168.64.3","BackendType":"vxlan","BackendData":{"VtepMAC":"C6:D2:32:6F:8F:44"}}`, leaseValue{
			publicIP: addr("192.168.64.3"), backend: "vxlan", mac: ether.Addr{0xc6, 0xd2, 0x32, 0x6f, 0x8f, 0x44},
		}},
		{"another backend, whose data are no matter of ours", flannelUDPLease, leaseValue{publicIP: addr("192.168.64.3"), backend: "udp"}},
		{"no backend", `{"PublicIP":"192.168.64.3"}`, leaseValue{publicIP: addr("192.168.64.3")}},
		{"IPv6 alone", `{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::3","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"}}`, leaseValue{
			publicIPv6: addr("fd00::3"), backend: "vxlan", vni: 1, mac6: mac(1),
		}},
		{"our own additions, and what a later uvtep may add", `{"PublicIP":"192.168.64.3","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01","NodeID":"` + nodeA + `","Port":8472,"Caps":["gro"]},"Zone":"a"}`, leaseValue{
			publicIP: addr("192.168.64.3"), backend: "vxlan", vni: 1, mac: mac(1), node: nodeA, port: 8472,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLease([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, tt.want, cmpNetip, cmpValues); diff != "" {
				t.Errorf("got- want+:\n%s", diff)
			}
		})
	}
}

func TestLeasesAreWrittenByteForByteInFlannelsForm(t *testing.T) {
	v4, v6 := prefix("10.5.52.0/24"), prefix("2001:cafe:42::/64")
	macs := ether.Addr{0xc6, 0xd2, 0x32, 0x6f, 0x8f, 0x44}
	tests := []struct {
		name    string
		value   leaseValue
		subnets subnets
		want    string
	}{
		{
			"flannel's own example", leaseValue{publicIP: addr("192.168.64.3"), backend: "vxlan", vni: 1, mac: macs},
			subnets{v4: v4}, flannelLease,
		},
		{
			"flannel's dual stack", leaseValue{publicIP: addr("192.168.64.3"), publicIPv6: addr("fd00::3"), backend: "vxlan", vni: 1, mac: macs, mac6: ether.Addr{0xc6, 0xd2, 0x32, 0x6f, 0x8f, 0x46}},
			subnets{v4, v6}, flannelDualLease,
		},
		{
			"ours: two more keys inside BackendData", leaseValue{publicIP: addr("192.0.2.2"), backend: "vxlan", vni: 1, mac: macs, mac6: macs, node: nodeA, port: 4789},
			subnets{v4: v4},
			`{"PublicIP":"192.0.2.2","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44","NodeID":"` + nodeA + `","Port":4789}}`,
		},
		{
			"ours, dual stack: one MAC address for both", leaseValue{publicIP: addr("192.0.2.2"), publicIPv6: addr("fd00::2"), backend: "vxlan", vni: 1, mac: macs, mac6: macs, node: nodeA, port: 4789},
			subnets{v4, v6},
			`{"PublicIP":"192.0.2.2","PublicIPv6":"fd00::2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44","NodeID":"` + nodeA + `","Port":4789},"BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44","NodeID":"` + nodeA + `","Port":4789}}`,
		},
		{
			"ours, IPv6 alone", leaseValue{publicIPv6: addr("fd00::2"), backend: "vxlan", vni: 1, mac: macs, mac6: macs, node: nodeA, port: 4789},
			subnets{v6: v6},
			`{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::2","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"c6:d2:32:6f:8f:44","NodeID":"` + nodeA + `","Port":4789}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.value.marshal(tt.subnets)
			if err != nil || string(got) != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
		})
	}
}

func TestLeasesThatCannotBeUsedAreRefused(t *testing.T) {
	lease := func(data string) string {
		return `{"PublicIP":"192.0.2.2","BackendType":"vxlan","BackendData":` + data + `}`
	}
	tests := []struct{ name, text string }{
		{"nothing", ``},
		{"no JSON", `hello`},
		{"a list", `[]`},
		{"an empty object", `{}`},
		{"the predecessor's number for an address", `{"PublicIP":3232251907}`},
		{"no address", `{"PublicIP":"","BackendType":"vxlan"}`},
		{"a name", `{"PublicIP":"host-b"}`},
		{"IPv6 as PublicIP", `{"PublicIP":"fd00::1"}`},
		{"IPv4 as PublicIPv6", `{"PublicIP":"192.0.2.2","PublicIPv6":"192.0.2.2"}`},
		{"loopback", `{"PublicIP":"127.0.0.1"}`},
		{"multicast", `{"PublicIP":"224.0.0.1"}`},
		{"broadcast", `{"PublicIP":"255.255.255.255"}`},
		{"a link-local address, which means nothing elsewhere", `{"PublicIP":"192.0.2.2","PublicIPv6":"fe80::1"}`},
		{"a zone", `{"PublicIP":"192.0.2.2","PublicIPv6":"fd00::1%eth0"}`},
		{"no backend data", `{"PublicIP":"192.0.2.2","BackendType":"vxlan"}`},
		{"null for backend data", lease(`null`)},
		{"no MAC address", lease(`{"VNI":1}`)},
		{"a MAC address of a group", lease(`{"VNI":1,"VtepMAC":"01:00:5e:00:00:01"}`)},
		{"the zero MAC address", lease(`{"VNI":1,"VtepMAC":"00:00:00:00:00:00"}`)},
		{"half a MAC address", lease(`{"VNI":1,"VtepMAC":"02:00:00"}`)},
		{"a VNI of 25 bits", lease(`{"VNI":16777216,"VtepMAC":"02:00:00:00:00:01"}`)},
		{"a negative VNI", lease(`{"VNI":-1,"VtepMAC":"02:00:00:00:00:01"}`)},
		{"a port of 17 bits", lease(`{"VNI":1,"VtepMAC":"02:00:00:00:00:01","Port":65536}`)},
		{"two VNIs", `{"PublicIP":"192.0.2.2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"},"BackendV6Data":{"VNI":2,"VtepMAC":"02:00:00:00:00:01"}}`},
		{"far too long", `{"PublicIP":"192.0.2.2","X":"` + strings.Repeat("x", maxValueLen) + `"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := parseLease([]byte(tt.text)); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}

func TestHostRecords(t *testing.T) {
	v := hostValue{publicIP: addr("192.0.2.2"), port: 4789, vnis: []encap.VNI{1}, subnets: subnets{v4: prefix("10.10.238.0/24")}}
	want := `{"PublicIP":"192.0.2.2","PublicIPv6":null,"Port":4789,"VNIs":[1],"Subnets":["10.10.238.0/24"],"Schema":1}`
	b, err := v.marshal()
	if err != nil || string(b) != want {
		t.Errorf("got  %s, %v\nwant %s", b, err, want)
	}
	got, err := parseHost(b)
	if err != nil {
		t.Fatal(err)
	}
	v.subnets = subnets{} // not read: the leases count
	if diff := cmp.Diff(got, v, cmpNetip, cmpValues); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
	b, err = hostValue{publicIPv6: addr("fd00::2"), port: 1, vnis: []encap.VNI{1, 7}}.marshal()
	want = `{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::2","Port":1,"VNIs":[1,7],"Subnets":[],"Schema":1}`
	if err != nil || string(b) != want {
		t.Errorf("without a subnet: got  %s, %v\nwant %s", b, err, want)
	}
}

func TestAHostRecordTellsHowToProbeTheHost(t *testing.T) {
	key := make([]byte, 32)
	key[31] = 7
	want := &Probe{Key: [32]byte(key), Port: 40123, MAC: mac(2)}
	b, err := hostValue{publicIP: addr("192.0.2.2"), vnis: []encap.VNI{1}, probe: want}.marshal()
	const text = `"Probe":{"Key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAc=","Port":40123,"MAC":"02:00:00:00:00:02"}`
	if err != nil || !strings.Contains(string(b), text) {
		t.Errorf("got %s, %v; want %s in it", b, err, text)
	}
	if got, err := parseHost(b); err != nil || cmp.Diff(want, got.probe) != "" {
		t.Errorf("got %+v, %v", got.probe, err)
	}
	// What cannot be read costs the probes alone.
	for _, bad := range []string{
		`null`, `7`, `{}`, `{"Key":"AAAA","Port":1,"MAC":"02:00:00:00:00:02"}`, `{"Key":"!","Port":1,"MAC":"02:00:00:00:00:02"}`,
		strings.Replace(text[len(`"Probe":`):], "02:00:00:00:00:02", "ff:ff:ff:ff:ff:ff", 1), strings.Replace(text[len(`"Probe":`):], "40123", "70000", 1),
	} {
		got, err := parseHost([]byte(`{"PublicIP":"192.0.2.2","VNIs":[1],"Probe":` + bad + `}`))
		if err != nil || got.probe != nil || !got.publicIP.IsValid() {
			t.Errorf("%s: got %+v, %v", bad, got, err)
		}
	}
}

func TestHostRecordsOfAnyUvtepNearAreRead(t *testing.T) {
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"the contract's own", `{"PublicIP":"192.0.2.2","PublicIPv6":null,"Port":4789,"VNIs":[1],"Subnets":[]}`, true},
		{"with a field of tomorrow", `{"PublicIP":"192.0.2.2","VNIs":[1],"Schema":2,"Zone":"a","Subnets":{"new":"form"}}`, true},
		{"of the day after", `{"PublicIP":"192.0.2.2","VNIs":[1],"Schema":3}`, false},
		{"no port: the network's", `{"PublicIP":"192.0.2.2","VNIs":[1]}`, true},
		{"no address", `{"PublicIP":"0.0.0.0","VNIs":[1]}`, false},
		{"a VNI of 25 bits", `{"PublicIP":"192.0.2.2","VNIs":[16777216]}`, false},
		{"no list", `{"PublicIP":"192.0.2.2","VNIs":1}`, false},
		{"every VNI there is", `{"PublicIP":"192.0.2.2","VNIs":[` + strings.Repeat("1,", maxVNIs) + `1]}`, false},
		{"no JSON", `192.0.2.2`, false},
	}
	for _, tt := range tests {
		if got, err := parseHost([]byte(tt.text)); (err == nil) != tt.ok {
			t.Errorf("%s: got %+v, %v", tt.name, got, err)
		}
	}
}

func TestEndpointsAndStaticEntriesAreRead(t *testing.T) {
	ips := []netip.Addr{addr("10.10.3.7"), addr("fd00::7")}
	e, err := parseEndpoint([]byte(`{"IPs":["10.10.3.7","fd00::7","10.10.3.7","::ffff:10.10.3.7"],"Seq":3}`))
	if diff := cmp.Diff(e, endpointValue{ips: ips, seq: 3}, cmpNetip, cmpValues); err != nil || diff != "" {
		t.Errorf("endpoint: %v, got- want+:\n%s", err, diff)
	}
	s, err := parseStatic([]byte(`{"IPs":["10.10.3.7","fd00::7"],"VTEP":"192.0.2.2"}`))
	if diff := cmp.Diff(s, staticValue{ips, addr("192.0.2.2")}, cmpNetip, cmpValues); err != nil || diff != "" {
		t.Errorf("static entry: %v, got- want+:\n%s", err, diff)
	}
	e, err = parseEndpoint([]byte(`{}`))
	if diff := cmp.Diff(e, endpointValue{}, cmpNetip, cmpValues, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("a station without addresses: %v, got- want+:\n%s", err, diff)
	}
}

func TestStationsThatCannotBeAreRefused(t *testing.T) {
	for _, ips := range []string{`["0.0.0.0"]`, `["224.0.0.1"]`, `["127.0.0.1"]`, `["::"]`, `["fe80::1%eth0"]`, `["host"]`, `[7]`, `"10.10.3.7"`, `["10.10.3.7/24"]`} {
		if got, err := parseEndpoint([]byte(`{"IPs":` + ips + `}`)); err == nil {
			t.Errorf("endpoint with %s: got %+v, want an error", ips, got)
		}
		if got, err := parseStatic([]byte(`{"VTEP":"192.0.2.2","IPs":` + ips + `}`)); err == nil {
			t.Errorf("static entry with %s: got %+v, want an error", ips, got)
		}
	}
	for _, text := range []string{`{}`, `{"VTEP":null}`, `{"VTEP":"127.0.0.1"}`, `{"VTEP":"192.0.2.2:4789"}`, `{"VTEP":"192.0.2.2","Schema":3}`} {
		if got, err := parseStatic([]byte(text)); err == nil {
			t.Errorf("static entry %s: got %+v, want an error", text, got)
		}
	}
	for _, text := range []string{`{"Seq":-1}`, `{"Seq":"1"}`, `{"Schema":9}`, `[`} {
		if got, err := parseEndpoint([]byte(text)); err == nil {
			t.Errorf("endpoint %s: got %+v, want an error", text, got)
		}
	}
}

func FuzzParseLease(f *testing.F) {
	f.Add([]byte(flannelLease))
	f.Add([]byte(flannelDualLease))
	f.Add([]byte(flannelUDPLease))
	f.Add([]byte(`{"PublicIP":"::ffff:192.0.2.2","BackendType":"vxlan","BackendData":{"VtepMAC":"02-00-00-00-00-01"}}`)) // other notations of good values
	f.Add([]byte(`{"PublicIP":3232251907,"Subnet":{"IP":168099840,"PrefixLen":24},"HardwareAddr":"AgAAAAAB"}`))          // the predecessor's
	f.Add([]byte(`{"PublicIP":"192.0.2.2","publicip":"224.0.0.1"}`))                                                     // one field twice
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseLease(b)
		if err != nil {
			return
		}
		if !v.publicIP.IsValid() && !v.publicIPv6.IsValid() {
			t.Fatalf("a lease without an address: %s", b)
		}
		for _, a := range []netip.Addr{v.publicIP, v.publicIPv6} {
			if a.IsValid() && checkUnderlay(a) != nil {
				t.Fatalf("datagrams would go to %s", a)
			}
		}
		if v.backend != backendType {
			return
		}
		s := subnets{}
		if !v.mac.IsZero() {
			s.v4 = prefix("10.5.52.0/24")
		}
		if !v.mac6.IsZero() {
			s.v6 = prefix("fd00::/64")
		}
		text, err := v.marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseLease(text); err != nil || again != v {
			t.Fatalf("read %+v, written %s, read again %+v, %v", v, text, again, err)
		}
	})
}

func FuzzParseHost(f *testing.F) {
	f.Add([]byte(`{"PublicIP":"192.0.2.2","PublicIPv6":null,"Port":4789,"VNIs":[1],"Subnets":["10.10.238.0/24"],"Schema":1}`))
	f.Add([]byte(`{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::2","VNIs":null}`)) // IPv6 alone, and a null for a list
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parseHost(b)
		if err != nil {
			return
		}
		text, err := v.marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseHost(text)
		if diff := cmp.Diff(again, v, cmpNetip, cmpValues, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v, got- want+:\n%s", err, diff)
		}
	})
}

func FuzzParseStation(f *testing.F) {
	f.Add([]byte(`{"IPs":["10.10.3.7","fd00::7"],"Seq":0}`))
	f.Add([]byte(`{"IPs":["10.10.3.7"],"VTEP":"192.0.2.2"}`))
	f.Add([]byte(`{"IPs":["::ffff:10.10.3.7","10.10.3.7"],"VTEP":"::ffff:192.0.2.2"}`)) // one address in two notations
	f.Fuzz(func(t *testing.T, b []byte) {
		e, _ := parseEndpoint(b)
		s, err := parseStatic(b)
		if err == nil && checkUnderlay(s.vtep) != nil {
			t.Fatalf("datagrams would go to %s", s.vtep)
		}
		for _, ips := range [][]netip.Addr{e.ips, s.ips} {
			seen := make(map[netip.Addr]bool)
			for _, ip := range ips {
				if !ip.IsValid() || ip.Is4In6() || ip.Zone() != "" || ip.IsMulticast() || seen[ip] {
					t.Fatalf("addresses %s", ips)
				}
				seen[ip] = true
			}
		}
	})
}
