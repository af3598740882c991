package hostnet

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

// bothFamilies is a lease of a dual-stack network.
var bothFamilies = SubnetEnv{
	Network:     netip.MustParsePrefix("10.42.0.0/16"),
	Subnet:      netip.MustParsePrefix("10.42.0.0/24"),
	IPv6Network: netip.MustParsePrefix("2001:cafe:42::/56"),
	IPv6Subnet:  netip.MustParsePrefix("2001:cafe:42::/64"),
	MTU:         1450,
	IPMasq:      true,
}

// lease is what a host of an IPv4 network holds.
func lease(subnet string, mtu int) SubnetEnv {
	return SubnetEnv{
		Network: netip.MustParsePrefix("10.10.0.0/16"),
		Subnet:  netip.MustParsePrefix(subnet),
		MTU:     mtu,
	}
}

func TestSubnetEnvIsFlannelsByteForByte(t *testing.T) {
	only6 := bothFamilies
	only6.Network, only6.Subnet = netip.Prefix{}, netip.Prefix{}
	open := lease("10.10.238.0/24", 1410)
	open.IPMasqUnset = true
	for _, c := range []struct {
		name string
		env  SubnetEnv
		want string
	}{
		{"both families, uvtep masquerades", bothFamilies, `FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.0.1/24
FLANNEL_IPV6_NETWORK=2001:cafe:42::/56
FLANNEL_IPV6_SUBNET=2001:cafe:42::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`},
		{"IPv4 alone", lease("10.10.238.0/24", 1410), `FLANNEL_NETWORK=10.10.0.0/16
FLANNEL_SUBNET=10.10.238.1/24
FLANNEL_MTU=1410
FLANNEL_IPMASQ=false
`},
		{"IPv6 alone", only6, `FLANNEL_IPV6_NETWORK=2001:cafe:42::/56
FLANNEL_IPV6_SUBNET=2001:cafe:42::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`},
		{"nothing said about masquerading", open, `FLANNEL_NETWORK=10.10.0.0/16
FLANNEL_SUBNET=10.10.238.1/24
FLANNEL_MTU=1410
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "run", "flannel", "subnet.env")
			if err := c.env.Write(path); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(got), c.want); d != "" {
				t.Errorf("content (-got +want):\n%s", d)
			}
			back, err := ReadSubnetEnv(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(back, c.env, prefixes); d != "" {
				t.Errorf("read back (-got +want):\n%s", d)
			}
		})
	}
}

func TestSubnetEnvCanBeReadByAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subnet.env")
	if err := lease("10.10.3.0/24", 1450).Write(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.FileMode(0o644); got != want {
		t.Errorf("mode %v, want %v", got, want)
	}
}

// A reader that opened the old file keeps reading the old one to its end, which
// is so only if the new one was put in its place as a whole.
func TestSubnetEnvIsReplacedAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "subnet.env")
	if err := lease("10.10.3.0/24", 1450).Write(path); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := lease("10.10.200.0/24", 1410).Write(path); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1024)
	n, _ := old.Read(b)
	if got := string(b[:n]); !strings.Contains(got, "FLANNEL_SUBNET=10.10.3.1/24\nFLANNEL_MTU=1450\n") {
		t.Errorf("the old file changed under its reader:\n%s", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files in the folder, want 1: nothing temporary stays", len(entries))
	}
}

func TestSubnetEnvReadsWhatAShellWould(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       SubnetEnv
	}{
		{"comments, blank lines, unknown names, quotes, no last newline",
			"# made by flanneld\n\nFLANNEL_EXTRA=1\nFLANNEL_NETWORK=\"10.10.0.0/16\"\r\n FLANNEL_SUBNET='10.10.238.1/24'\nFLANNEL_MTU=1410\nFLANNEL_IPMASQ=false",
			lease("10.10.238.0/24", 1410)},
		{"several networks: the first counts",
			"FLANNEL_NETWORK=10.10.0.0/16,10.11.0.0/16\nFLANNEL_SUBNET=10.10.238.1/24\nFLANNEL_MTU=1410\nFLANNEL_IPMASQ=false\n",
			lease("10.10.238.0/24", 1410)},
		{"a name twice: the last counts",
			"FLANNEL_NETWORK=10.10.0.0/16\nFLANNEL_SUBNET=10.10.1.1/24\nFLANNEL_SUBNET=10.10.238.1/24\nFLANNEL_MTU=1410\nFLANNEL_IPMASQ=false\n",
			lease("10.10.238.0/24", 1410)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseSubnetEnv(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, c.want, prefixes); d != "" {
				t.Errorf("-got +want:\n%s", d)
			}
		})
	}
}

func TestSubnetEnvTellsAllFaultsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subnet.env")
	text := "FLANNEL_SUBNET=10.10.238.1\nFLANNEL_IPV6_SUBNET=10.0.0.1/8\nFLANNEL_MTU=67\nFLANNEL_IPMASQ=yes\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadSubnetEnv(path)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{path, "FLANNEL_SUBNET=10.10.238.1:", "FLANNEL_IPV6_SUBNET=10.0.0.1/8: of the other family", "FLANNEL_MTU=67:", "FLANNEL_IPMASQ=yes:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestSubnetEnvThatIsMissingIsNotFound(t *testing.T) {
	_, err := ReadSubnetEnv(filepath.Join(t.TempDir(), "subnet.env"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func FuzzParseSubnetEnv(f *testing.F) {
	f.Add(string(bothFamilies.text()))                                    // what we write
	f.Add("FLANNEL_SUBNET=0.0.0.0/0\nFLANNEL_MTU=68\n")                   // the widest subnet, the least MTU
	f.Add("FLANNEL_SUBNET=255.255.255.255/32\nFLANNEL_MTU=65535\n")       // no first usable address
	f.Add("FLANNEL_IPV6_SUBNET=::ffff:1.2.3.4/128\nFLANNEL_MTU=1450\n")   // IPv4 in IPv6 clothes
	f.Add("FLANNEL_SUBNET=fe80::1%eth0/64\nFLANNEL_MTU=1450\n")           // a zone
	f.Add("FLANNEL_MTU='\nFLANNEL_SUBNET=\"\n=\n==\nFLANNEL_NETWORK=,,,") // halves of quotes, empty names
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseSubnetEnv(text)
		if err != nil {
			return
		}
		if e.MTU < minMTU || !e.Subnet.IsValid() && !e.IPv6Subnet.IsValid() {
			t.Fatalf("accepted %+v", e)
		}
		back, err := parseSubnetEnv(string(e.text()))
		if err != nil || back != e {
			t.Fatalf("wrote %+v, read %+v, %v", e, back, err)
		}
	})
}
