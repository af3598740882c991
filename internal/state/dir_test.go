package state

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

func TestTheNodeIDIsMadeOnce(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "var", "uvtep"))
	first, err := d.NodeID()
	if err != nil {
		t.Fatal(err)
	}
	if !ValidNodeID(first) {
		t.Errorf("got %q, want 32 hexadecimal digits", first)
	}
	again, err := d.NodeID()
	if err != nil || again != first {
		t.Errorf("second call: got %q, %v, want %q", again, err, first)
	}
	other, err := Dir(t.TempDir()).NodeID()
	if err != nil || other == first {
		t.Errorf("another host: got %q, %v, want a different id", other, err)
	}
}

func TestAgentsThatStartAtOnceAgreeOnOneNodeID(t *testing.T) {
	d := Dir(t.TempDir())
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() { ids[i], _ = d.NodeID() })
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || !ValidNodeID(id) {
			t.Fatalf("got %q, want one valid id", ids)
		}
	}
}

func TestADamagedNodeIDIsAnErrorNotANewIdentity(t *testing.T) {
	for _, text := range []string{"", "\n", "short", "ABCDEFabcdef00000000000000000000", "0123456789abcdef0123456789abcdef0"} {
		d := Dir(t.TempDir())
		if err := os.WriteFile(d.path("node-id"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if id, err := d.NodeID(); err == nil {
			t.Errorf("file %q: got id %q, want an error", text, id)
		}
		if got := readText(t, d.path("node-id")); got != text {
			t.Errorf("file %q was changed to %q", text, got)
		}
	}
}

func TestTheMACIsTheFirstBytesOfTheHashMadeLocalAndUnicast(t *testing.T) {
	// printf '0123456789abcdef0123456789abcdef\0\0\0\1' | sha256sum
	got := DeriveMAC("0123456789abcdef0123456789abcdef", 1)
	if want := "22:e4:c1:9b:32:08"; got.String() != want {
		t.Errorf("VNI 1: got %s, want %s", got, want)
	}
	other := DeriveMAC("0123456789abcdef0123456789abcdef", 2)
	if other == got {
		t.Errorf("VNI 2: got %s, the address of VNI 1", other)
	}
	for v := range encap.VNI(256) {
		if a := DeriveMAC("0123456789abcdef0123456789abcdef", v); a[0]&3 != 2 {
			t.Fatalf("VNI %s: got %s, want a local unicast address", v, a)
		}
	}
}

// node is a host's id.
const node = "0123456789abcdef0123456789abcdef"

func TestTheMACStaysWhatTheFileSays(t *testing.T) {
	d := Dir(t.TempDir())
	made, err := d.MAC(node, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := readText(t, d.path("mac.1")); got != made.String()+"\n" {
		t.Errorf("file: got %q, want %q", got, made)
	}
	tests := []struct {
		name, file string
		want       ether.Addr
	}{
		{"an address written by hand is kept", "02:00:00:00:00:07\n", ether.Addr{2, 0, 0, 0, 0, 7}},
		{"rubbish is replaced by the derived one", "rubbish", made},
		{"an empty file is replaced", "", made},
		{"a multicast address is replaced", "01:00:5e:00:00:01", made},
		{"the zero address is replaced", "00:00:00:00:00:00", made},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(d.path("mac.1"), []byte(tt.file), 0o644); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, err := d.MAC(node, 1)
				if err != nil || got != tt.want {
					t.Errorf("got %s, %v, want %s", got, err, tt.want)
				}
			}
		})
	}
}

func TestSubnetsAreKept(t *testing.T) {
	v4, v6 := netip.MustParsePrefix("10.10.238.0/24"), netip.MustParsePrefix("fd00:10:238::/64")
	tests := []struct {
		name   string
		v4, v6 netip.Prefix
	}{
		{"none", netip.Prefix{}, netip.Prefix{}},
		{"IPv4", v4, netip.Prefix{}},
		{"IPv6", netip.Prefix{}, v6},
		{"both", v4, v6},
	}
	d := Dir(filepath.Join(t.TempDir(), "new"))
	if g4, g6, err := d.Subnet(); g4.IsValid() || g6.IsValid() || err != nil {
		t.Errorf("nothing kept yet: got %v %v %v", g4, g6, err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := d.SetSubnet(tt.v4, tt.v6); err != nil {
				t.Fatal(err)
			}
			g4, g6, err := d.Subnet()
			if g4 != tt.v4 || g6 != tt.v6 || err != nil {
				t.Errorf("got %v %v %v, want %v %v", g4, g6, err, tt.v4, tt.v6)
			}
		})
	}
}

func TestTheTAPIsKept(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "new"))
	if name, index, err := d.TAP(); name != "" || index != 0 || err != nil {
		t.Errorf("nothing kept yet: got %q %d %v", name, index, err)
	}
	if err := d.SetTAP("uvtep.1", 7); err != nil {
		t.Fatal(err)
	}
	if name, index, err := d.TAP(); name != "uvtep.1" || index != 7 || err != nil {
		t.Errorf("got %q %d %v", name, index, err)
	}
	for _, damaged := range []string{"", "uvtep.1", "uvtep.1 x", "uvtep.1 0", "uvtep.1 -3"} {
		if err := os.WriteFile(d.path("tap"), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if name, index, err := d.TAP(); name != "" || index != 0 || err != nil {
			t.Errorf("%q: got %q %d %v", damaged, name, index, err)
		}
	}
	if _, _, err := Dir(d.path("tap")).TAP(); err == nil {
		t.Error("a folder that is none: got no error")
	}
}

func TestAHostIsKnownOnceItHasAnIdentity(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "new"))
	if d.Known() {
		t.Error("known before there is a node id")
	}
	if _, err := d.NodeID(); err != nil || !d.Known() {
		t.Errorf("%v; known afterwards: %v", err, d.Known())
	}
}

func TestTablesAreKeptForEachVNI(t *testing.T) {
	d := Dir(filepath.Join(t.TempDir(), "new"))
	if got, err := d.Tables(1); got != nil || err != nil {
		t.Errorf("nothing kept yet: got %v, %v", got, err)
	}
	want := "any bytes \x00\n\n"
	if err := d.SetTables(1, strings.NewReader(want)); err != nil {
		t.Fatal(err)
	}
	f, err := d.Tables(1)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := d.Tables(2); got != nil || err != nil {
		t.Errorf("another VNI: got %v, %v", got, err)
	}
	// Tables of an older uvtep could be read by everybody.
	if err := os.Chmod(d.path("tables.1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := d.SetTables(1, strings.NewReader("other")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); string(got) != want || err != nil {
		t.Errorf("opened before they were replaced: got %q, %v, want %q", got, err, want)
	}
	if i, err := os.Stat(d.path("tables.1")); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v; they hold what not everybody may read", i.Mode(), err)
	}
}

func TestADamagedSubnetFileCountsAsNone(t *testing.T) {
	d := Dir(t.TempDir())
	for _, text := range []string{"rubbish", "10.10.238.1/24", "10.10.238.0/24\nrubbish", "10.10.238.0/33"} {
		if err := os.WriteFile(d.path("subnet"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if v4, v6, err := d.Subnet(); v4.IsValid() || v6.IsValid() || err != nil {
			t.Errorf("file %q: got %v %v %v, want none", text, v4, v6, err)
		}
	}
}

func TestTheNetworkConfigurationIsKeptWithItsPrefix(t *testing.T) {
	d := Dir(t.TempDir())
	if got, err := d.Network("/a"); got != nil || err != nil {
		t.Errorf("nothing kept yet: got %v, %v", got, err)
	}
	want := `{"Network":"10.10.0.0/16"}`
	if err := d.SetNetwork("/a", []byte(want)); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Network("/a"); string(got) != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := d.Network("/b"); got != nil || err != nil {
		t.Errorf("another prefix: got %q, %v, want none", got, err)
	}
}

func TestTidyRemovesWhatKilledWritesLeft(t *testing.T) {
	d := Dir(t.TempDir())
	old, young, other := d.path(".tables.1.123"), d.path(".tables.1.456"), d.path("tables.1")
	for _, name := range []string{old, young, other} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-time.Hour)
	for _, name := range []string{old, other} {
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Tidy(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{old: false, young: true, other: true} {
		if _, err := os.Stat(name); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
}

func TestAnUnreadableFolderIsAnErrorThatNamesIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := Dir(filepath.Join(file, "below"))
	if _, err := d.NodeID(); err == nil {
		t.Error("node id: got no error")
	}
	if _, err := d.MAC(node, 1); err == nil {
		t.Error("MAC: got no error")
	}
	if err := d.SetSubnet(netip.Prefix{}, netip.Prefix{}); err == nil {
		t.Error("subnet: got no error")
	}
}

func TestNetworksWithNamesKeepTheirOwn(t *testing.T) {
	d := Dir(t.TempDir())
	if names, err := d.Networks(); err != nil || len(names) != 0 {
		t.Errorf("at first: got %v, %v", names, err)
	}
	for i, name := range []string{"blue", "red"} {
		n := d.Of(name)
		if err := errors.Join(n.SetNetwork("/p/"+name, []byte(name)), n.SetTables(encap.VNI(7+i), strings.NewReader(""))); err != nil {
			t.Fatal(err)
		}
		if _, err := n.MAC(node, 300); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.SetSubnet(netip.MustParsePrefix("10.10.1.0/24"), netip.Prefix{}); err != nil {
		t.Fatal(err)
	}
	names, err := d.Networks()
	if err != nil || !slices.Equal(names, []string{"blue", "red"}) {
		t.Errorf("got %v, %v; want blue and red", names, err)
	}
	prefix, text, err := d.Of("red").LastNetwork()
	if err != nil || prefix != "/p/red" || string(text) != "red" {
		t.Errorf("got %q of %q, %v", text, prefix, err)
	}
	if v4, _, _ := d.Of("red").Subnet(); v4.IsValid() {
		t.Errorf("red has the subnet %s of the network without a name", v4)
	}
	for dir, want := range map[Dir][]encap.VNI{d: nil, d.Of("blue"): {7, 300}, d.Of("red"): {8, 300}, d.Of("none"): nil} {
		if got, err := dir.VNIs(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v; want %v", dir, got, err, want)
		}
	}
}
