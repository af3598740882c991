package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/internal/ledger"
	vswitch "github.com/uvtep/uvtep/switch"
)

func TestTrafficIsToldByVTEPTheMostFirst(t *testing.T) {
	var sent, heard ledger.Ledger
	out, in := sent.Open(), heard.Open()
	near, far := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::3")
	out.Add(near, 1, 100)
	in.Add(near, 2, 50)
	in.Add(far, 3, 4000)
	out.Settle()
	in.Settle()
	list, others := vtepViews(&sent, &heard)
	want := []vtepView{
		{far, trafficView{In: verdictView{3, 4000}}},
		{near, trafficView{verdictView{1, 100}, verdictView{2, 50}}},
	}
	if !slices.Equal(list, want) || others != (trafficView{}) {
		t.Errorf("got %v and others %v, want %v", list, others, want)
	}
}

func TestTrafficForWhichThereIsNoRoomIsThatOfOthers(t *testing.T) {
	var sent, heard ledger.Ledger
	for n, l := range map[int]*ledger.Ledger{1: &sent, 2: &heard} {
		b := l.Open()
		for i := range ledger.Room + 3 {
			b.Add(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), n, 100*n)
		}
		b.Settle()
	}
	list, others := vtepViews(&sent, &heard)
	if want := (trafficView{verdictView{3, 300}, verdictView{6, 600}}); len(list) != ledger.Room || others != want {
		t.Errorf("%d VTEPs and others %v, want %d and %v", len(list), others, ledger.Room, want)
	}
}

// someStats are counters of an agent with more VTEPs than are shown.
func someStats() statsView {
	v := statsView{TAP: "uvtep.1", Revision: 7, Verdicts: map[string]verdictView{}, Counts: map[string]uint64{"Sent": 9}}
	v.Verdicts["Forward"], v.Verdicts["DropSpoofed"] = verdictView{9, 900}, verdictView{2, 128}
	var lane vswitch.Stats
	lane.Frames[vswitch.Forward], lane.Bytes[vswitch.Forward], lane.Frames[vswitch.DropSpoofed] = 9, 900, 2
	v.Lanes = laneViews([]vswitch.Stats{lane}, make([]vswitch.Stats, 2))
	for i := range vtepsShown + 2 {
		v.VTEPs = append(v.VTEPs, vtepView{netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), trafficView{Out: verdictView{1, uint64(100 - i)}}})
	}
	v.OtherVTEPs.In.Frames = 5
	return v
}

func TestStatsLeaveOutWhatIsZero(t *testing.T) {
	var b strings.Builder
	if err := printStats(&b, someStats(), false); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"uvtep.1, revision 7",
		"from the TAP frames bytes",
		"Forward 9 900",
		"from the underlay frames bytes",
		"DropSpoofed 2 128",
		"besides count",
		"Sent 9",
		"lane frames out bytes out frames in bytes in dropped",
		"0 9 900 0 0 2",
		"1 0 0 0 0 0",
		"VTEP frames out bytes out frames in bytes in",
	}
	for i := range vtepsShown {
		want = append(want, fmt.Sprintf("192.0.2.%d 1 %d 0 0", i+1, 100-i))
	}
	want = append(want, "others 2 179 5 0")
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	b.Reset()
	if err := printStats(&b, someStats(), true); err != nil {
		t.Fatal(err)
	}
	for _, v := range append(fields(vswitch.Verdicts()), fields(vswitch.Extras())...) {
		if !strings.Contains(b.String(), v+" ") {
			t.Errorf("all: %s is missing", v)
		}
	}
	if !strings.Contains(b.String(), "192.0.2.12 ") {
		t.Errorf("all: a VTEP is missing:\n%s", b.String())
	}
}

func fields[T fmt.Stringer](list []T) (out []string) {
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}

func TestStatisticsOfStatsAreAllOfThem(t *testing.T) {
	f := newStats().Flags()
	if err := f.Parse([]string{"-s"}); err != nil {
		t.Fatal(err)
	}
	if got := f.Lookup("all").Value.String(); got != "true" {
		t.Errorf("with -s, --all is %s", got)
	}
}
