package etcdsync

import (
	"strings"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	nodeA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	nodeB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	nodeC = "cccccccccccccccccccccccccccccccc"
)

func mac(last byte) ether.Addr { return ether.Addr{0x02, 0, 0, 0, 0, last} }

func TestParseKey(t *testing.T) {
	tests := []struct {
		name string
		want key
	}{
		{"config", key{kind: config}},
		{"subnets/10.5.52.0-24", key{kind: lease, subnets: subnets{v4: prefix("10.5.52.0/24")}}},
		{"subnets/10.5.52.0-24&2001:cafe:42::-64", key{kind: lease, subnets: subnets{prefix("10.5.52.0/24"), prefix("2001:cafe:42::/64")}}},
		{"subnets/0.0.0.0-0&2001:cafe:42::-64", key{kind: lease, subnets: subnets{v6: prefix("2001:cafe:42::/64")}}},
		{"uvtep/hosts/" + nodeA + "/host", key{kind: host, node: nodeA}},
		{"uvtep/hosts/" + nodeA + "/endpoints/7/02:00:00:00:00:01", key{kind: endpoint, node: nodeA, vni: 7, mac: mac(1)}},
		{"uvtep/static/0/02:00:00:00:00:01", key{kind: static, mac: mac(1)}},
		// Not ours yet: a later uvtep may know these.
		{"uvtep/hosts/" + nodeA + "/health", key{}},
		{"uvtep/policies/1", key{}},
		{"config2", key{}},
		{"", key{}},
	}
	for _, tt := range tests {
		got, err := parseKey(tt.name)
		if err != nil || got != tt.want {
			t.Errorf("%q: got %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestParseKeyRefusesWhatNobodyWrites(t *testing.T) {
	for _, name := range []string{
		"subnets/",
		"subnets/hello",
		"subnets/10.5.52.0",
		"subnets/10.5.52.0-33",
		"subnets/10.5.52.0-024",
		"subnets/10.5.52.1-24",   // bits beyond the length
		"subnets/010.5.52.0-24",  // octal to some
		"subnets/10.5.52.0/24",   // the other notation
		"subnets/10.5.52.0-24&",  // half of a dual-stack key
		"subnets/0.0.0.0-0",      // everything
		"subnets/0.0.0.0-0&::-0", // everything, twice
		"subnets/10.5.52.0-24&2001:CAFE:42::-64",
		"subnets/10.5.52.0-24&2001:cafe:42:0:0:0:0:0-64",
		"subnets/10.5.52.0-24&10.6.0.0-24",
		"subnets/2001:cafe:42::-64",
		"subnets/10.5.52.0-24&fd00::-64&fd01::-64",
		"subnets/10.5.52.0-24&::ffff:10.6.0.0-120",
		"subnets/a/10.5.52.0-24",
		"uvtep/hosts/me/host",
		"uvtep/hosts/" + strings.ToUpper(nodeA) + "/host",
		"uvtep/hosts/" + nodeA + "/endpoints/",
		"uvtep/hosts/" + nodeA + "/endpoints/1/02-00-00-00-00-01",
		"uvtep/hosts/" + nodeA + "/endpoints/01/02:00:00:00:00:01",
		"uvtep/hosts/" + nodeA + "/endpoints/16777216/02:00:00:00:00:01",
		"uvtep/hosts/" + nodeA + "/endpoints/1/01:00:5e:00:00:01", // no station
		"uvtep/hosts/" + nodeA + "/endpoints/1/00:00:00:00:00:00",
		"uvtep/static/1/0A:00:00:00:00:01",
		"uvtep/static/1",
		"uvtep/static/-1/02:00:00:00:00:01",
	} {
		if got, err := parseKey(name); err == nil {
			t.Errorf("%q: got %+v, want an error", name, got)
		}
	}
}

func TestSubnetsAreNamedAsFlannelNamesThem(t *testing.T) {
	tests := []struct {
		subnets subnets
		want    string
	}{
		{subnets{v4: prefix("10.5.52.0/24")}, "10.5.52.0-24"},
		{subnets{prefix("10.5.52.0/24"), prefix("2001:cafe:42::/64")}, "10.5.52.0-24&2001:cafe:42::-64"},
		{subnets{v6: prefix("2001:cafe:42:7::/64")}, "0.0.0.0-0&2001:cafe:42:7::-64"},
	}
	for _, tt := range tests {
		if got := tt.subnets.name(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestOverlapIsOfAnyLengthAndEitherFamily(t *testing.T) {
	a := subnets{prefix("10.5.52.0/24"), prefix("fd00:0:0:5::/64")}
	tests := []struct {
		name string
		b    subnets
		want bool
	}{
		{"itself", a, true},
		{"a part", subnets{v4: prefix("10.5.52.128/25")}, true},
		{"a whole", subnets{v4: prefix("10.5.0.0/16")}, true},
		{"the neighbour", subnets{v4: prefix("10.5.53.0/24")}, false},
		{"IPv6 alone", subnets{prefix("10.5.53.0/24"), prefix("fd00::/56")}, true},
		{"nothing", subnets{}, false},
	}
	for _, tt := range tests {
		if got := a.overlap(tt.b); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
		if got := tt.b.overlap(a); got != tt.want {
			t.Errorf("%s, the other way: got %t, want %t", tt.name, got, tt.want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("subnets/10.5.52.0-24&2001:cafe:42::-64")
	f.Add("subnets/0.0.0.0-0&::-0")                  // the default routes
	f.Add("subnets/10.5.52.0-24&fe80::%eth0-64")     // a zone
	f.Add("subnets/10.5.52.0-24&::ffff:1.2.3.0-120") // IPv4 in IPv6
	f.Add("uvtep/hosts/" + nodeA + "/endpoints/1/02:00:00:00:00:01")
	f.Add("uvtep/static/1/ff:ff:ff:ff:ff:ff")
	f.Fuzz(func(t *testing.T, name string) {
		k, err := parseKey(name)
		if err != nil {
			return
		}
		var back string
		switch k.kind {
		case unknown:
			return
		case config:
			back = configKey
		case lease:
			back = subnetsDir + k.subnets.name()
			for _, p := range k.subnets.prefixes() {
				if p.Bits() == 0 || p != p.Masked() {
					t.Fatalf("%q leases %s", name, p)
				}
			}
		case host:
			back = hostKey(k.node)
		case endpoint:
			back = hostsDir + k.node + "/endpoints/" + k.vni.String() + "/" + k.mac.String()
		case static:
			back = staticDir + k.vni.String() + "/" + k.mac.String()
		}
		if back != name {
			t.Fatalf("two names for one key: %q and %q", name, back)
		}
	})
}
