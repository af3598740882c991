package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
)

func TestStationsArePrintedOneALine(t *testing.T) {
	var b strings.Builder
	err := printStations(&b, []etcdsync.StationRecord{
		{VNI: 1, MAC: ether.Addr{2, 0, 0, 0, 0, 7}, Static: true, IPs: []netip.Addr{netip.MustParseAddr("10.10.3.7"), netip.MustParseAddr("fd00::7")}, VTEP: netip.MustParseAddr("192.0.2.2"), Created: 5},
		{VNI: 1, MAC: ether.Addr{2, 0, 0, 0, 0, 8}, NodeID: "0123456789abcdef0123456789abcdef", Seq: 3, Since: time.Now().Add(-time.Minute), Created: 6},
		{VNI: 1, MAC: ether.Addr{2, 0, 0, 0, 0, 9}, Fault: "bad \x1b[31m"},
	})
	want := []string{
		"VNI  MAC                IPS                                  ORIGIN    VTEP       HOST          AGE   MOVES  CREATED",
		"1    02:00:00:00:00:07  10.10.3.7,fd00::7                    static    192.0.2.2  -             -     0      5",
		"1    02:00:00:00:00:08  -                                    endpoint  -          0123456789ab  1m0s  3      6",
		`1    02:00:00:00:00:09  ignored: "bad \x1b[31m"`,
	}
	for i, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if got, want := strings.Fields(line), strings.Fields(want[i]); err != nil || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("line %d: got %q, want %q (%v)", i, line, want, err)
		}
	}
}

func TestFaultsOfAStaticEntryAreToldAtOnce(t *testing.T) {
	f := staticFlags{vni: 1 << 24, ips: []string{"x"}, vtep: "y"}
	f.o.Endpoints = []string{"http://127.0.0.1:2379"}
	err := f.validate("z", true)
	for _, want := range []string{"MAC", "--vni", "--ip", "--vtep"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to tell of %s", err, want)
		}
	}
}
