package underlay

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/internal/ledger"
)

// counting is a sender that counts in a book of l.
func counting(u *Underlay, l *ledger.Ledger) *Sender {
	s := u.NewSender()
	s.CountIn(l.Open())
	return s
}

func TestWhatTheKernelTakesIsCountedByVTEP(t *testing.T) {
	u := open(t, Config{SourcePorts: 2})
	a := netip.AddrPortFrom(loopback, u.conf.Port)
	b := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), u.conf.Port)
	forbidden := netip.AddrPortFrom(netip.MustParseAddr("255.255.255.255"), 4789)
	var ds []encap.Datagram
	for i := range uint32(6) {
		ds = append(ds, numbered(a, i, 0, 108, false), numbered(b, i, 0, 58, true), numbered(forbidden, i, 0, 64, false))
	}
	ds = append(ds, numbered(a, 1, 0, 65510, false)) // larger than the route takes
	var l ledger.Ledger
	s := counting(u, &l)
	for range 2 {
		if sent := s.Send(ds); sent != 12 {
			t.Fatalf("sent %d, want 12", sent)
		}
	}
	got, others := l.Sums()
	wantA, wantB := ledger.Sum{Frames: 12, Bytes: 1200}, ledger.Sum{Frames: 12, Bytes: 600}
	if len(got) != 2 || got[a.Addr()] != wantA || got[b.Addr()] != wantB || others != (ledger.Sum{}) {
		t.Errorf("got %v and others %v, want %v and %v alone", got, others, wantA, wantB)
	}
	st := u.Stats()
	// Three datagrams of one VTEP leave from each of two ports: runs of three.
	if want := [ledger.Classes]uint64{2: 8}; st.Runs != want || st.Messages != 8 {
		t.Errorf("got runs %v of %d messages, want %v of 8", st.Runs, st.Messages, want)
	}
}

// A run that the kernel refuses is sent and counted one by one.
func TestWhatIsSentOneByOneIsCountedByVTEP(t *testing.T) {
	u := open(t, Config{SourcePorts: 1})
	fd := u.sources[0][0].fd // segmentation without checksums is refused: EINVAL
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(loopback, u.conf.Port)
	var l ledger.Ledger
	ds := []encap.Datagram{numbered(to, 1, 0, 108, false), numbered(to, 1, 1, 108, true), numbered(to, 1, 2, 58, false)}
	if sent := counting(u, &l).Send(ds); sent != 3 || u.Capabilities().UDPSegment {
		t.Fatalf("sent %d, segmentation in use: %v; want 3 one by one", sent, u.Capabilities().UDPSegment)
	}
	if got, _ := l.Sums(); got[loopback] != (ledger.Sum{Frames: 3, Bytes: 250}) || u.Stats().Runs != [ledger.Classes]uint64{3} {
		t.Errorf("got %v in runs %v, want 3 frames of 250 bytes, each alone", got, u.Stats().Runs)
	}
}

func TestCountingByVTEPDoesNotAllocate(t *testing.T) {
	u := open(t, Config{SourcePorts: 2})
	var l ledger.Ledger
	s := counting(u, &l)
	ds := []encap.Datagram{
		numbered(netip.AddrPortFrom(loopback, u.conf.Port), 1, 0, 64, false),
		numbered(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), u.conf.Port), 1, 0, 64, false),
	}
	if n := testing.AllocsPerRun(100, func() { s.Send(ds) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
