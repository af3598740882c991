package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
)

// flagsOf parses a command line of `uvtep run`.
func flagsOf(t *testing.T, args ...string) (*runFlags, error) {
	t.Helper()
	r, f := new(runFlags), pflag.NewFlagSet("run", pflag.ContinueOnError)
	r.register(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return r, r.validate()
}

func TestEachNetworkHasFlagsOfItsOwn(t *testing.T) {
	r, err := flagsOf(t, "--network-name", "a,b", "--network-name", "c", "--bridge", "a=br0,b=br1", "--bridge", "c=br2",
		"--subnet", "b=10.12.3.0/24", "--mac", "a=02:00:00:00:00:01", "--tap", "c=tap9")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]own{
		"a": {bridge: "br0", hwaddr: ether.Addr{2, 0, 0, 0, 0, 1}},
		"b": {bridge: "br1", want: netip.MustParsePrefix("10.12.3.0/24")},
		"c": {bridge: "br2", tap: "tap9"},
	}
	for name, w := range want {
		if got := r.owns[name]; got != w {
			t.Errorf("%s: got %+v, want %+v", name, got, w)
		}
	}
	a := newAgent(r)
	if len(a.members) != 3 || a.members[1].name != "b" || a.members[1].want != want["b"].want || a.members[1].envPath != "/run/flannel/b.env" || a.members[1].state != "/var/lib/uvtep/networks/b" {
		t.Errorf("the second network is %+v", a.members[1].own)
	}
	// One network, with a name or without, may have plain values.
	for _, args := range [][]string{{"--tap", "tap1"}, {"--network-name", "a", "--tap", "tap1"}, {"--network-name", "a", "--tap", "a=tap1"}} {
		r, err := flagsOf(t, args...)
		if err != nil || newAgent(r).members[0].tap != "tap1" {
			t.Errorf("%v: %v, %v", args, r.owns, err)
		}
	}
}

func TestNetworksOfTheEnvironment(t *testing.T) {
	r, f := new(runFlags), pflag.NewFlagSet("run", pflag.ContinueOnError)
	r.register(f)
	env := map[string]string{"UVTEP_NETWORK_NAME": "a,b", "UVTEP_BRIDGE": "a=br0,b=br1"}
	if err := fromEnvironment(f, func(name string) (string, bool) { v, ok := env[name]; return v, ok }); err != nil {
		t.Fatal(err)
	}
	if err := r.validate(); err != nil || len(r.owns) != 2 || r.owns["a"].bridge != "br0" || r.owns["b"].bridge != "br1" {
		t.Errorf("got %+v, %v", r.owns, err)
	}
	e := etcdFlags{name: "a,b"}
	e.o.Endpoints = []string{"http://e:2379"}
	if err := e.validate(); err == nil || !strings.Contains(err.Error(), "say which") {
		t.Errorf("a command about one network: got %v", err)
	}
}

func TestFlagsThatSeveralNetworksCannotShareAreRefused(t *testing.T) {
	_, err := flagsOf(t, "--network-name", "a,b,b,c/d,subnets", "--network", "10.10.0.0/16", "--subnet", "10.10.1.0/24", "--tap", "t0", "--mac", "02:00:00:00:00:01",
		"--bridge", "a=br0,b=br0,z=br1")
	for _, want := range []string{
		"--network-name b is given twice", `network name "c/d"`, `network name "subnets"`, "--network 10.10.0.0/16 is for one network", "uvtep network init --network-name NAME",
		"say --subnet NAME=10.10.1.0/24", "say --tap NAME=t0", "say --mac NAME=02:00:00:00:00:01", "--bridge z=br1: no network of this name", "br0 is given twice",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := flagsOf(t, "--bridge", "a=br0"); err == nil || !strings.Contains(err.Error(), "give --network-name a too") {
		t.Errorf("a name without networks: got %v", err)
	}
}

func TestNetworksThatAHostCannotTellApartClash(t *testing.T) {
	a, b := &member{agent: &agent{runFlags: new(runFlags)}, name: "a"}, &member{agent: &agent{runFlags: new(runFlags)}, name: "b"}
	network := func(v4, v6 string, vni encap.VNI, port uint16) *etcdsync.Network {
		n := &etcdsync.Network{IPv4: netip.MustParsePrefix(v4), VNI: vni, Port: port}
		if v6 != "" {
			n.IPv6 = netip.MustParsePrefix(v6)
		}
		return n
	}
	one := network("10.10.0.0/16", "fd00::/56", 1, 4789)
	for _, c := range []struct {
		name string
		n    *etcdsync.Network
		want string // "": none
	}{
		{"another range and VNI", network("10.11.0.0/16", "fd01::/56", 2, 4789), ""},
		{"one VNI", network("10.11.0.0/16", "fd01::/56", 1, 4789), "both have VNI 1"},
		{"a range within", network("10.10.128.0/17", "", 2, 4789), "overlap (10.10.0.0/16, 10.10.128.0/17)"},
		{"a range around, IPv6", network("10.11.0.0/16", "fd00::/48", 2, 4789), "overlap (fd00::/56, fd00::/48)"},
		{"another port", network("10.11.0.0/16", "", 2, 8472), "UDP ports 4789 and 8472"},
	} {
		err := clash(a, b, one, c.n)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "/coreos.com/network/b/config")) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// An agent of one network tells what it always told; of several it tells a list.
func TestOneIsToldAloneAndSeveralAsAList(t *testing.T) {
	type thing struct{ N int }
	for _, c := range []struct{ in, out string }{
		{`{"N":1}`, `{"N":1}`}, {`[{"N":1},{"N":2}]`, `[{"N":1},{"N":2}]`}, {`[]`, `[]`}, {` {"N":3} `, `{"N":3}`},
	} {
		var all each[thing]
		if err := json.Unmarshal([]byte(c.in), &all); err != nil {
			t.Errorf("%s: %v", c.in, err)
		}
		if got, err := json.Marshal(all); err != nil || string(got) != c.out {
			t.Errorf("%s: got %s, %v; want %s", c.in, got, err, c.out)
		}
	}
}
