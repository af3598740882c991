package etcdsync

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var cmpNetip = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, netip.AddrPort{})

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func TestParseNetworkFillsInFlannelsDefaults(t *testing.T) {
	tests := []struct {
		name, file string
		want       func(*Network)
	}{
		{
			"a network and nothing else",
			`{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","Port":4789}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.10.0.0/16"), 24
				n.SubnetMin, n.SubnetMax = addr("10.10.1.0"), addr("10.10.255.0")
			},
		},
		{
			"a small network is cut in four",
			`{"Network":"10.10.0.0/23","Backend":{"Type":"vxlan","Port":4789}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.10.0.0/23"), 25
				n.SubnetMin, n.SubnetMax = addr("10.10.0.128"), addr("10.10.1.128")
			},
		},
		{
			"the smallest network",
			`{"Network":"10.10.0.0/28","Backend":{"Type":"vxlan","Port":4789}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.10.0.0/28"), 30
				n.SubnetMin, n.SubnetMax = addr("10.10.0.4"), addr("10.10.0.12")
			},
		},
		{
			"bounds and length as given, in any case of letters",
			`{"network":"10.5.0.0/16","subnetlen":26,"SubnetMin":"10.5.10.64","SUBNETMAX":"10.5.99.192","backend":{"type":"VXLAN","port":8472,"vni":7,"MTU":1500}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.5.0.0/16"), 26
				n.SubnetMin, n.SubnetMax = addr("10.5.10.64"), addr("10.5.99.192")
				n.VNI, n.Port, n.MTU = 7, 8472, 1500
			},
		},
		{
			"null and 0.0.0.0 are as good as nothing",
			`{"Network":"10.10.0.0/16","SubnetLen":null,"SubnetMin":"0.0.0.0","SubnetMax":null,"Backend":{"Type":"vxlan","Port":4789,"VNI":null}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.10.0.0/16"), 24
				n.SubnetMin, n.SubnetMax = addr("10.10.1.0"), addr("10.10.255.0")
			},
		},
		{
			"dual stack",
			`{"Network":"10.10.0.0/16","EnableIPv6":true,"IPv6Network":"2001:cafe:42::/56","Backend":{"Type":"vxlan","Port":4789}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.10.0.0/16"), 24
				n.SubnetMin, n.SubnetMax = addr("10.10.1.0"), addr("10.10.255.0")
				n.IPv6, n.IPv6SubnetLen = prefix("2001:cafe:42::/56"), 64
				n.IPv6SubnetMin, n.IPv6SubnetMax = addr("2001:cafe:42:1::"), addr("2001:cafe:42:ff::")
			},
		},
		{
			"a family that is off does not count, whatever it says",
			`{"Network":"rubbish","EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"vxlan","Port":4789}}`,
			func(n *Network) {
				n.IPv6, n.IPv6SubnetLen = prefix("fd00::/48"), 64
				n.IPv6SubnetMin, n.IPv6SubnetMax = addr("fd00:0:0:1::"), addr("fd00:0:0:ffff::")
			},
		},
		{
			"our own additions",
			`{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","Port":4789,"Flood":true,"InnerVLAN":"pass","StrictReserved":true,"AlsoListen":[8472],"UnknownVTEP":"accept","Unheard":{"of":1}}}`,
			func(n *Network) {
				n.IPv4, n.SubnetLen = prefix("10.10.0.0/16"), 24
				n.SubnetMin, n.SubnetMax = addr("10.10.1.0"), addr("10.10.255.0")
				n.Flood, n.InnerVLAN, n.StrictReserved, n.AlsoListen, n.UnknownVTEP = true, "pass", true, []uint16{8472}, "accept"
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := ParseNetwork([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			want := NewNetwork(netip.Prefix{}, netip.Prefix{})
			tt.want(&want)
			if diff := cmp.Diff(got, want, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("got- want+:\n%s", diff)
			}
		})
	}
}

func TestParseNetworkReportsEveryFault(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string
	}{
		{"not JSON", `Network: 10.10.0.0/16`, []string{"not a JSON object"}},
		{"a list", `[]`, []string{"not a JSON object"}},
		{"nothing", `{}`, []string{"Network is missing"}},
		{"no family at all", `{"EnableIPv4":false}`, []string{"EnableIPv4 and EnableIPv6 are both false"}},
		{"a name for a network", `{"Network":"lan"}`, []string{`Network "lan" is not a range`}},
		{"IPv6 in the place of IPv4", `{"Network":"fd00::/48"}`, []string{"is not an IPv4 range"}},
		{"IPv4 in the place of IPv6", `{"Network":"10.10.0.0/16","EnableIPv6":true,"IPv6Network":"10.11.0.0/16"}`, []string{"is not an IPv6 range"}},
		{"too small a network", `{"Network":"10.10.0.0/29"}`, []string{"too small"}},
		{"subnets as large as the network", `{"Network":"10.10.0.0/16","SubnetLen":17}`, []string{"at least four subnets"}},
		{"subnets too small", `{"Network":"10.10.0.0/16","SubnetLen":31}`, []string{"SubnetLen 31 is not between 1 and 30"}},
		{"a negative length", `{"Network":"10.10.0.0/16","SubnetLen":-1}`, []string{"SubnetLen -1"}},
		{"first subnet elsewhere", `{"Network":"10.10.0.0/16","SubnetMin":"10.11.0.0"}`, []string{"SubnetMin 10.11.0.0 is not in 10.10.0.0/16"}},
		{"first subnet off its boundary", `{"Network":"10.10.0.0/16","SubnetMin":"10.10.1.128"}`, []string{"SubnetMin 10.10.1.128 is not on a boundary"}},
		{"last before first", `{"Network":"10.10.0.0/16","SubnetMin":"10.10.9.0","SubnetMax":"10.10.8.0"}`, []string{"lies before"}},
		{"last subnet of the other family", `{"Network":"10.10.0.0/16","SubnetMax":"fd00::"}`, []string{"SubnetMax fd00:: is not in"}},
		{"another backend", `{"Network":"10.10.0.0/16","Backend":{"Type":"host-gw"}}`, []string{`Backend.Type "host-gw"`}},
		{"a VNI too large", `{"Network":"10.10.0.0/16","Backend":{"VNI":16777216}}`, []string{"VNI 16777216 does not fit"}},
		{"a negative VNI", `{"Network":"10.10.0.0/16","Backend":{"VNI":-1}}`, []string{"VNI -1 does not fit"}},
		{"a port too large", `{"Network":"10.10.0.0/16","Backend":{"Port":65536}}`, []string{"Port 65536"}},
		{"a tiny MTU", `{"Network":"10.10.0.0/16","Backend":{"MTU":100}}`, []string{"MTU 100"}},
		{"direct routing", `{"Network":"10.10.0.0/16","Backend":{"DirectRouting":true}}`, []string{"DirectRouting is not supported"}},
		{"unknown words", `{"Network":"10.10.0.0/16","Backend":{"InnerVLAN":"carry","UnknownVTEP":"maybe"}}`, []string{`InnerVLAN "carry"`, `UnknownVTEP "maybe"`}},
		{"port 0 to listen on", `{"Network":"10.10.0.0/16","Backend":{"AlsoListen":[0]}}`, []string{"AlsoListen: 0"}},
		{"a backend that is no object", `{"Network":"10.10.0.0/16","Backend":"vxlan"}`, []string{"Backend is not a JSON object"}},
		{
			"several at once, of wrong types too",
			`{"Network":7,"SubnetLen":"24","EnableIPv6":"yes","Backend":{"Type":"udp","VNI":"1","Flood":1,"AlsoListen":8472,"MTU":1.5}}`,
			[]string{"Network: 7 is not a string", `SubnetLen: "24" is not a whole number`, "EnableIPv6", `Type "udp"`, "VNI", "Flood: 1 is not true or false", "AlsoListen: 8472 is not a list of ports", "MTU: 1.5"},
		},
		{"far too long", `{"Network":"` + strings.Repeat("1", maxConfigLen) + `"}`, []string{"bytes long"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ParseNetwork([]byte(tt.file))
			if !errors.Is(err, ErrBadNetwork) {
				t.Fatalf("got %v, want an ErrBadNetwork", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestParseNetworkWarnsOfWhatIsNotAsInFlannel(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string
	}{
		{"all is said", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","Port":4789}}`, nil},
		{"no backend", `{"Network":"10.10.0.0/16"}`, []string{"Backend.Type is missing", "Backend.Port is missing"}},
		{"no port", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan"}}`, []string{"flannel on Linux would take 8472"}},
		{"bits beyond the length", `{"Network":"10.10.3.4/16","Backend":{"Type":"vxlan","Port":1}}`, []string{"taken as 10.10.0.0/16"}},
		{"learning and group policy", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","Port":1,"GBP":true,"Learning":true}}`, []string{"GBP is ignored", "Learning is ignored"}},
		{"IPv6 alone", `{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00::/48","Backend":{"Type":"vxlan","Port":1}}`, []string{"uvtep hosts only"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got, err := ParseNetwork([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %d warnings", got, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got %q, want %q in it", got[i], want)
				}
			}
		})
	}
}

func TestNetworkIsWrittenInFlannelsForm(t *testing.T) {
	dual := NewNetwork(prefix("10.10.0.0/16"), prefix("fd00:10::/48"))
	dual.Port, dual.VNI, dual.MTU = 8472, 7, 1500
	dual.Flood, dual.InnerVLAN, dual.StrictReserved, dual.AlsoListen, dual.UnknownVTEP = true, InnerVLANPass, true, []uint16{4789}, UnknownVTEPAccept
	tests := []struct {
		name    string
		network Network
		want    string
	}{
		{
			"IPv4", NewNetwork(prefix("10.10.0.0/16"), netip.Prefix{}),
			`{"Network":"10.10.0.0/16","SubnetLen":24,"SubnetMin":"10.10.1.0","SubnetMax":"10.10.255.0","EnableIPv4":true,"EnableIPv6":false,"Backend":{"Type":"vxlan","VNI":1,"Port":4789}}`,
		},
		{
			"IPv6", NewNetwork(netip.Prefix{}, prefix("fd00:10::/48")),
			`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"fd00:10::/48","IPv6SubnetLen":64,"IPv6SubnetMin":"fd00:10:0:1::","IPv6SubnetMax":"fd00:10:0:ffff::","Backend":{"Type":"vxlan","VNI":1,"Port":4789}}`,
		},
		{
			"all there is", dual,
			`{"Network":"10.10.0.0/16","SubnetLen":24,"SubnetMin":"10.10.1.0","SubnetMax":"10.10.255.0","EnableIPv4":true,"EnableIPv6":true,"IPv6Network":"fd00:10::/48","IPv6SubnetLen":64,"IPv6SubnetMin":"fd00:10:0:1::","IPv6SubnetMax":"fd00:10:0:ffff::","Backend":{"Type":"vxlan","VNI":7,"Port":8472,"MTU":1500,"Flood":true,"InnerVLAN":"pass","StrictReserved":true,"AlsoListen":[4789],"UnknownVTEP":"accept"}}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.Marshal(tt.network)
			if err != nil || string(got) != tt.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
			}
			back, _, err := ParseNetwork(got)
			if err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(back)
			if err != nil || string(again) != tt.want {
				t.Errorf("after reading it: got %s, %v", again, err)
			}
		})
	}
}

func TestABadNetworkIsNotWritten(t *testing.T) {
	for _, n := range []Network{{}, NewNetwork(prefix("10.10.0.0/30"), netip.Prefix{})} {
		if b, err := json.Marshal(n); !errors.Is(err, ErrBadNetwork) {
			t.Errorf("got %s, %v, want an ErrBadNetwork", b, err)
		}
	}
}

func TestOnlyWhatTheSwitchDecidesChangesLive(t *testing.T) {
	running := NewNetwork(prefix("10.10.0.0/16"), netip.Prefix{})
	written := NewNetwork(prefix("10.11.0.0/16"), netip.Prefix{})
	written.VNI, written.Port, written.MTU, written.SubnetLen = 2, 8472, 1500, 26
	written.Flood, written.AlsoListen = true, []uint16{8472}
	if got, want := written.needsRestart(&running), []string{"Network", "SubnetLen", "VNI", "Port", "MTU"}; !cmp.Equal(got, want) {
		t.Errorf("needs a restart: got %q, want %q", got, want)
	}
	now := running
	if !now.takeLive(&written) {
		t.Error("change of Flood: got unchanged")
	}
	want := running
	want.Flood, want.AlsoListen = true, []uint16{8472}
	if diff := cmp.Diff(now, want, cmpNetip); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
	if now.takeLive(&written) {
		t.Error("the same again: got changed")
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add([]byte(`{"Network":"10.5.0.0/16","SubnetLen":24,"SubnetMin":"10.5.10.0","SubnetMax":"10.5.99.0","EnableIPv4":true,"Backend":{"Type":"vxlan","VNI":1,"Port":8472,"GBP":false,"Learning":false,"DirectRouting":false,"MTU":1500}}`))
	f.Add([]byte(`{"EnableIPv4":false,"EnableIPv6":true,"IPv6Network":"::/0","IPv6SubnetLen":126}`)) // more subnets than 64 bits count
	f.Add([]byte(`{"Network":"0.0.0.0/0","SubnetLen":2}`))                                           // the size of the range does not fit in 32 bits
	f.Add([]byte(`{"Network":"255.255.255.240/28"}`))                                                // the end of the range overflows
	f.Add([]byte(`{"Network":"10.0.0.0/8","network":"10.1.0.0/16"}`))                                // one field twice
	f.Fuzz(func(t *testing.T, b []byte) {
		n, _, err := ParseNetwork(b)
		if err != nil {
			return
		}
		text, err := json.Marshal(n)
		if err != nil {
			t.Fatalf("what was read is refused: %v", err)
		}
		again, _, err := ParseNetwork(text)
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if diff := cmp.Diff(n, again, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("read, written, read again:\n%s", diff)
		}
		v4, v6 := n.pools()
		for _, p := range []pool{v4, v6} {
			if p.count > 0 && (!n.contains(p.at(0)) || !n.contains(p.at(p.count-1))) {
				t.Fatalf("subnets %s to %s are not in %s %s", p.at(0), p.at(p.count-1), n.IPv4, n.IPv6)
			}
		}
	})
}
