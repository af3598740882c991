package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/etcdsync/embedded"
)

const someNode = "0123456789abcdef0123456789abcdef"

// allKinds has a subnet of each kind of holder.
func allKinds() []etcdsync.SubnetRecord {
	uvtep := etcdsync.SubnetRecord{
		Key: "10.10.1.0-24&fd00:10:0:1::-64", Subnet: netip.MustParsePrefix("10.10.1.0/24"), Subnet6: netip.MustParsePrefix("fd00:10:0:1::/64"),
		PublicIP: netip.MustParseAddr("192.0.2.1"), NodeID: someNode, BackendType: "vxlan", VNI: 1, Port: 4789, MAC: ether.Addr{2, 0, 0, 0, 0, 1},
		Lease: 0x694d854330fc5110, TTL: 24*time.Hour - 20*time.Second, Granted: 24 * time.Hour, Life: etcdsync.Alive, Created: 7, Revision: 9,
	}
	gone := uvtep
	gone.Key, gone.Subnet, gone.Subnet6, gone.Life = "10.10.2.0-24", netip.MustParsePrefix("10.10.2.0/24"), netip.Prefix{}, etcdsync.Gone
	flannel := gone
	flannel.Key, flannel.Subnet, flannel.NodeID, flannel.Port = "10.10.3.0-24", netip.MustParsePrefix("10.10.3.0/24"), "", 0
	flannel.Life, flannel.TTL = etcdsync.LifeUnknown, 5*time.Hour
	overdue := flannel
	overdue.Key, overdue.Subnet, overdue.BackendType, overdue.VNI, overdue.MAC = "10.10.4.0-24", netip.MustParsePrefix("10.10.4.0/24"), "udp", 0, ether.Addr{}
	overdue.Life, overdue.TTL = etcdsync.Overdue, time.Minute
	reserved := flannel
	reserved.Key, reserved.Subnet, reserved.Reservation = "10.10.5.0-24", netip.MustParsePrefix("10.10.5.0/24"), true
	reserved.Lease, reserved.TTL, reserved.Granted = 0, 0, 0
	silent := gone
	silent.Key, silent.Subnet, silent.Unanswered = "10.10.6.0-24", netip.MustParsePrefix("10.10.6.0/24"), "etcd is away"
	silent.Life, silent.TTL, silent.Granted = etcdsync.LifeUnknown, 0, 0
	faulty := etcdsync.SubnetRecord{Key: "hello\x1b[2J", Reservation: true, Fault: "not a subnet"}
	return []etcdsync.SubnetRecord{uvtep, gone, flannel, overdue, reserved, silent, faulty}
}

func TestSubnetsArePrintedForPeople(t *testing.T) {
	const want = `SUBNET                         PUBLIC IP  HOLDER        ALIVE    BACKEND  VNI  VTEP MAC           AGE       LEFT       CREATED
10.10.1.0/24,fd00:10:0:1::/64  192.0.2.1  0123456789ab  yes      vxlan    1    02:00:00:00:00:01  20s       23h59m40s  7
10.10.2.0/24                   192.0.2.1  0123456789ab  no       vxlan    1    02:00:00:00:00:01  20s       23h59m40s  7
10.10.3.0/24                   192.0.2.1  flannel       -        vxlan    1    02:00:00:00:00:01  19h0m0s   5h0m0s     7
10.10.4.0/24                   192.0.2.1  flannel       overdue  udp      -    -                  23h59m0s  1m0s       7
10.10.5.0/24                   192.0.2.1  reservation   -        vxlan    1    02:00:00:00:00:01  -         never      7
10.10.6.0/24                   192.0.2.1  0123456789ab  ?        vxlan    1    02:00:00:00:00:01  ?         ?          7
"hello\x1b[2J"                 ignored: not a subnet
`
	var b strings.Builder
	if err := printSubnets(&b, allKinds()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestConflictsAreToldBelowTheTableOnceEach(t *testing.T) {
	list := allKinds()[:2]
	c := etcdsync.Conflict{Kind: etcdsync.SameMAC, What: "02:00:00:00:00:01", Hosts: []string{"this", "that\n"}, Advice: "look."}
	list[0].Conflicts, list[1].Conflicts = []etcdsync.Conflict{c}, []etcdsync.Conflict{c}
	var b strings.Builder
	if err := printSubnets(&b, list); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), "WARNING: ")
	if want := `"two hosts have one MAC address: 02:00:00:00:00:01: this; that\n. What to do: look."` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	view, err := json.Marshal(newSubnetView(&list[1]))
	if want := `"conflicts":[{"kind":"mac","what":"02:00:00:00:00:01","hosts":["this","that\n"],"advice":"look."}]`; err != nil || !strings.Contains(string(view), want) {
		t.Errorf("got %s, %v; want %s", view, err, want)
	}
}

func TestSubnetsAreOneJSONObjectEach(t *testing.T) {
	kinds := allKinds()
	const common = `"public_ip":"192.0.2.1",`
	for i, want := range map[int]string{
		0: `{"key":"10.10.1.0-24\u0026fd00:10:0:1::-64","subnet":"10.10.1.0/24","subnet6":"fd00:10:0:1::/64",` + common + `"holder":"` + someNode + `","node_id":"` + someNode +
			`","alive":"yes","backend_type":"vxlan","vni":1,"port":4789,"vtep_mac":"02:00:00:00:00:01","lease":"694d854330fc5110",` +
			`"granted_seconds":86400,"age_seconds":20,"expires_in_seconds":86380,"reservation":false,"created_revision":7,"revision":9}`,
		4: `{"key":"10.10.5.0-24","subnet":"10.10.5.0/24",` + common + `"holder":"reservation","alive":"unknown","backend_type":"vxlan","vni":1,"port":0,` +
			`"vtep_mac":"02:00:00:00:00:01","reservation":true,"created_revision":7,"revision":9}`,
		5: `{"key":"10.10.6.0-24","subnet":"10.10.6.0/24",` + common + `"holder":"` + someNode + `","node_id":"` + someNode +
			`","alive":"unknown","backend_type":"vxlan","vni":1,"port":4789,"vtep_mac":"02:00:00:00:00:01","lease":"694d854330fc5110",` +
			`"reservation":false,"created_revision":7,"revision":9,"unanswered":"etcd is away"}`,
	} {
		got, err := json.Marshal(newSubnetView(&kinds[i]))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kinds[i].Key, diff)
		}
	}
	if got, err := json.Marshal(subnetViews(nil)); err != nil || string(got) != "[]" {
		t.Errorf("no subnets: got %s, %v", got, err)
	}
}

// say runs a command and returns what it prints.
func say(args ...string) (string, error) {
	root, b := newRoot(), new(strings.Builder)
	root.SetArgs(args)
	root.SetOut(b)
	err := root.ExecuteContext(context.Background())
	return b.String(), err
}

func TestReleaseSaysFromWhomAndWhyNot(t *testing.T) {
	server, err := embedded.Start(t.Context(), embedded.Config{Listen: "http://127.0.0.1:0", Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s, err := etcdsync.Dial(etcdsync.Options{Endpoints: []string{server.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Acquire(t.Context(), etcdsync.Claim{
		Network: etcdsync.NewNetwork(netip.MustParsePrefix("10.10.0.0/16"), netip.Prefix{}), NodeID: someNode,
		PublicIP: netip.MustParseAddr("192.0.2.1"), MAC: ether.Addr{2, 0, 0, 0, 0, 1}, Want: netip.MustParsePrefix("10.10.3.0/24"),
	}); err != nil {
		t.Fatal(err)
	}
	at := "--etcd-endpoints=" + server.Endpoint()
	for _, c := range []struct {
		args []string
		out  string
		says string // of the error; empty: there is none
	}{
		{[]string{"10.10.4.0/24"}, "", "nobody has 10.10.4.0/24; the nearest is 10.10.3.0/24 of node " + someNode},
		{[]string{"10.10.3.0/24"}, "", "--force releases it all the same"},
		{[]string{"10.10.3.0-24", "--force"}, "released 10.10.3.0/24 from node " + someNode + " at 192.0.2.1\n", ""},
		{[]string{"10.10.3.0-24", "--force"}, "", "nobody has 10.10.3.0/24"},
	} {
		out, err := say(append([]string{"subnets", "release", at}, c.args...)...)
		if out != c.out || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || errors.As(err, new(usageError)) {
			t.Errorf("%s: got %q, %v; want %q, %q", c.args, out, err, c.out, c.says)
		}
	}
	if out, err := say("subnets", "-j", at); out != "[]\n" || err != nil {
		t.Errorf("left: %s, %v", out, err)
	}
}

func TestReleaseRefusesBadUsageBeforeItAsksEtcd(t *testing.T) {
	for _, args := range []string{"release", "release 10.10.3.0", "release 10.10.3.7/24", "release hello", "release 10.10.3.0/24 10.10.4.0/24", "drop 10.10.3.0/24"} {
		_, err := say(append([]string{"subnets"}, strings.Fields(args)...)...)
		if !errors.As(err, new(usageError)) {
			t.Errorf("uvtep subnets %s: got %v, want a usage error", args, err)
		}
	}
}
