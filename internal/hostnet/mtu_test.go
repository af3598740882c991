package hostnet

import "testing"

func TestMTUIsTheSmallerUnderlayLessTheTunnel(t *testing.T) {
	for _, c := range []struct {
		name              string
		underlay, backend int
		underlay6         bool
		want              int
	}{
		{"Ethernet", 1500, 0, false, 1450},
		{"the predecessor's cloud", 1460, 0, false, 1410},
		{"IPv6 costs 70", 1500, 0, true, 1430},
		{"jumbo frames are used", 9000, 0, false, 8950},
		{"the network's MTU is the smaller", 9000, 1500, false, 1450},
		{"the underlay's MTU is the smaller", 1460, 1500, false, 1410},
		{"the least that IPv4 can do with", 118, 0, false, 68},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := MTU(c.underlay, c.backend, c.underlay6)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

func TestMTUTooSmallForIPv4IsRefused(t *testing.T) {
	for _, underlay := range []int{0, 50, 117} {
		if got, err := MTU(underlay, 0, false); err == nil {
			t.Errorf("underlay %d: got %d and no error", underlay, got)
		}
	}
}
