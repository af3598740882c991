//go:build linux

package lab

import "testing"

// largest reads what a wire has seen until that many bytes have come in, and
// returns the longest frame.
func largest(t *testing.T, w *Wire, bytes int) (longest Frame) {
	t.Helper()
	for seen := 0; seen < bytes; {
		f, err := w.Find(patient(t), func(f Frame) bool { return !f.Outgoing })
		if err != nil {
			t.Fatal(err)
		}
		seen += len(f.Data)
		if len(f.Data) > len(longest.Data) {
			longest = f
		}
	}
	return longest
}

func TestConditionsDecideWhatCrossesTheWire(t *testing.T) {
	const bytes = 4 << 20
	for _, c := range []struct {
		underlay                  Condition
		whole, unfinished, joined bool
	}{
		{Bare, false, false, false},
		{PlainWire, false, true, false},
		{WireGRO, false, true, true},
		{VethGSO, true, true, true},
	} {
		t.Run(string(c.underlay), func(t *testing.T) {
			l := newLab(t, Config{Hosts: 2, Underlay: c.underlay})
			a, b := l.Hosts[0], l.Hosts[1]
			between, err := l.fabric.Wire(a.Name)
			if err != nil {
				t.Fatal(err)
			}
			defer between.Close()
			behind, err := b.Wire(hostDev)
			if err != nil {
				t.Fatal(err)
			}
			defer behind.Close()
			if _, err := a.TCP(patient(t), b.Node, Flow{Bytes: bytes}); err != nil {
				t.Fatal(err)
			}
			const full = 1500 + layers14
			f := largest(t, between, bytes)
			if got := len(f.Data) > full; got != c.whole || f.Unfinished != c.unfinished {
				t.Errorf("between the hosts: got %d bytes, unfinished %v", len(f.Data), f.Unfinished)
			}
			if f := largest(t, behind, bytes); len(f.Data) > full != c.joined {
				t.Errorf("behind the receiver's device: got %d bytes", len(f.Data))
			}
		})
	}
	if _, err := New(patient(t), Config{Underlay: "wire-grow"}); err == nil {
		t.Error("an unknown condition was taken")
	}
}
