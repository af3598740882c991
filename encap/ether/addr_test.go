package ether_test

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
)

func TestParseAddr(t *testing.T) {
	want := ether.Addr{0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7}
	tests := []struct {
		name, in string
		ok       bool
	}{
		{"lower case with colons", "1a:0f:87:98:5e:c7", true},
		{"upper case is read too", "1A:0F:87:98:5E:C7", true},
		{"hyphens are read too", "1a-0f-87-98-5e-c7", true},
		{"separators do not mix", "1a:0f-87:98:5e:c7", false},
		{"another separator is refused", "1a.0f.87.98.5e.c7", false},
		{"nothing is no address", "", false},
		{"five bytes are too few", "1a:0f:87:98:5e", false},
		{"an EUI-64 is too long", "1a:0f:87:98:5e:c7:00:00", false},
		{"a digit that is none", "1a:0f:87:98:5e:cg", false},
		{"a first digit that is none", "-a:0f:87:98:5e:c7", false},
		{"one digit a byte is refused", "1a:f:87:98:5e:c7:", false},
		{"a blank in front is refused", " 1a:0f:87:98:5e:c", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ether.ParseAddr(tt.in)
			if (err == nil) != tt.ok {
				t.Fatalf("ParseAddr(%q) error = %v, want ok = %v", tt.in, err, tt.ok)
			}
			if tt.ok && got != want {
				t.Errorf("ParseAddr(%q) = %v, want %v", tt.in, got, want)
			}
			if !tt.ok && got != (ether.Addr{}) {
				t.Errorf("ParseAddr(%q) = %v beside its error, want zero", tt.in, got)
			}
		})
	}
}

func TestAddrErrorQuotesTheInput(t *testing.T) {
	_, err := ether.ParseAddr("nonsense")
	want := `parse MAC address "nonsense": want six hexadecimal bytes, as in 1a:0f:87:98:5e:c7`
	if err == nil || err.Error() != want {
		t.Errorf("error = %v, want %s", err, want)
	}
}

func TestAddrKinds(t *testing.T) {
	type kinds struct{ Zero, Multicast, Broadcast, LinkControl bool }
	tests := []struct {
		name string
		addr ether.Addr
		want kinds
	}{
		{"a unicast address is none of these", ether.Addr{0x02, 1, 2, 3, 4, 5}, kinds{}},
		{"zero", ether.Addr{}, kinds{Zero: true}},
		{"broadcast is multicast too", ether.Broadcast, kinds{Multicast: true, Broadcast: true}},
		{"IPv4 multicast", ether.Addr{0x01, 0, 0x5e, 0, 0, 1}, kinds{Multicast: true}},
		{"IPv6 multicast", ether.Addr{0x33, 0x33, 0, 0, 0, 1}, kinds{Multicast: true}},
		{"spanning tree", ether.Addr{1, 0x80, 0xc2, 0, 0, 0}, kinds{Multicast: true, LinkControl: true}},
		{"the last link control address", ether.Addr{1, 0x80, 0xc2, 0, 0, 0x0f}, kinds{Multicast: true, LinkControl: true}},
		{"the one behind the last", ether.Addr{1, 0x80, 0xc2, 0, 0, 0x10}, kinds{Multicast: true}},
		{"one byte off link control", ether.Addr{1, 0x80, 0xc2, 0, 1, 0}, kinds{Multicast: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.addr
			got := kinds{a.IsZero(), a.IsMulticast(), a.IsBroadcast(), a.IsLinkControl()}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%v (-want +got):\n%s", a, diff)
			}
		})
	}
}

func TestAddrIsTextInJSONAlsoAsAKey(t *testing.T) {
	in := map[ether.Addr]ether.Addr{{2}: {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b), `{"02:00:00:00:00:00":"fe:dc:ba:98:76:54"}`; got != want {
		t.Errorf("JSON = %s, want %s", got, want)
	}
	out := map[ether.Addr]ether.Addr{}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

func TestUnmarshalTextLeavesTheAddressAloneOnError(t *testing.T) {
	want := ether.Addr{1, 2, 3, 4, 5, 6}
	got := want
	if err := got.UnmarshalText([]byte("01:02")); err == nil {
		t.Error("no error for two bytes")
	}
	if got != want {
		t.Errorf("address = %v, want it unchanged: %v", got, want)
	}
}

// The standard library reads more forms; where ours reads one, both must see
// the same address, and what ours prints the library must read.
func FuzzParseAddr(f *testing.F) {
	f.Add("1a:0f:87:98:5e:c7")
	f.Add("1A-0F-87-98-5E-C7")
	f.Add("1a:0f:87:98:5e")    // short
	f.Add("1a0f.8798.5ec7")    // a form that only the library reads
	f.Add("1a:0f-87:98:5e:c7") // mixed separators
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ether.ParseAddr(s)
		if err != nil {
			return
		}
		hw, err := net.ParseMAC(s)
		if err != nil || ether.Addr(hw) != a {
			t.Errorf("ParseAddr(%q) = %v, net.ParseMAC = %v, %v", s, a, hw, err)
		}
		if got := net.HardwareAddr(a[:]).String(); a.String() != got {
			t.Errorf("String = %q, want %q", a.String(), got)
		}
	})
}
