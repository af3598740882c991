package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
	"github.com/uvtep/uvtep/fdb"
	books "github.com/uvtep/uvtep/internal/ledger"
	vswitch "github.com/uvtep/uvtep/switch"
)

var errDone = errors.New("the benchmark is over")

// feed is a TAP queue in memory that hands over the same batch until it has
// handed over enough frames, and takes whatever is written.
type feed struct {
	records [][]byte
	header  []byte // the virtio header that each record begins with anew
	left    int    // frames
}

func (f *feed) Read(_ []byte, frames [][]byte) (int, error) {
	if f.left <= 0 {
		return 0, errDone
	}
	n := min(len(f.records), f.left, len(frames))
	f.left -= n
	for i, r := range f.records[:n] {
		copy(r, f.header)
		frames[i] = r
	}
	return n, nil
}

func (f *feed) Writer() vswitch.Writer { return drain{} }
func (*feed) Lost() int                { return 0 }

// drain takes everything.
type drain struct{}

func (drain) Write(records [][][]byte) (int, error) { return len(records), nil }
func (drain) Send(ds []encap.Datagram) int          { return len(ds) }

// rain is a socket in memory that receives the same messages again and again.
type rain struct {
	messages []encap.Message
	pristine [][]byte // the data as it came, where delivery changes it
	left     int      // messages
}

func (r *rain) Recv(ms []encap.Message) (int, error) {
	if r.left <= 0 {
		return 0, errDone
	}
	n := min(len(r.messages), r.left, len(ms))
	r.left -= n
	for i := range n {
		if r.pristine != nil {
			copy(r.messages[i].Data, r.pristine[i])
		}
		ms[i] = r.messages[i]
	}
	return n, nil
}

// silence is a socket on which nothing is received until the switch stops.
type silence struct{ stop chan struct{} }

func (s silence) Recv([]encap.Message) (int, error) {
	<-s.stop
	return 0, errDone
}

// mute is a TAP queue from which nothing is read until the switch stops.
type mute struct{ stop chan struct{} }

func (m mute) Read([]byte, [][]byte) (int, error) {
	<-m.stop
	return 0, errDone
}
func (m mute) Writer() vswitch.Writer { return drain{} }
func (mute) Lost() int                { return 0 }

var (
	benchSelf = vswitch.Self{VNI: 1, MAC: ether.Addr{2, 0, 0, 0, 0, 1}}
	benchPeer = ether.Addr{2, 0, 0, 0, 0, 2}
	benchVTEP = &fdb.VTEP{To: netip.MustParseAddrPort("192.0.2.2:4789")}
	benchIP   = netip.MustParseAddr("10.10.2.0")
)

func benchTables() *vswitch.Tables {
	f := (*fdb.Table)(nil).Edit()
	f.AddVTEP(1, benchVTEP)
	f.Set(fdb.Key{VNI: 1, MAC: benchPeer}, fdb.Entry{VTEP: benchVTEP, Origin: fdb.Lease})
	a := (*arpproxy.Table)(nil).Edit()
	a.Set(arpproxy.Key{VNI: 1, IP: benchIP}, arpproxy.Binding{MAC: benchPeer, Origin: fdb.Lease})
	return &vswitch.Tables{FDB: f.Table(), ARP: a.Table(), MTU: 1450, Superframes: true}
}

// run lets a switch of one lane work until the port or the receiver is done.
func run(b *testing.B, p vswitch.Port, r vswitch.Receiver, stop chan struct{}) {
	totals := new(vswitch.Totals)
	ctx, end := context.WithCancel(b.Context())
	sw := vswitch.New(vswitch.Config{Lanes: 1, NewSender: func() vswitch.Sender { return drain{} }, Wake: end}, totals)
	n, err := vswitch.NewNetwork(vswitch.NetworkConfig{
		Self: benchSelf, Ports: []vswitch.Port{p}, Wake: func() { end(); close(stop) }, Count: totals, MergeUDP: true,
		Sent: new(books.Ledger), Heard: new(books.Ledger),
	})
	must(b, err)
	n.SetTables(benchTables())
	b.ReportAllocs()
	b.ResetTimer()
	received := make(chan error, 1)
	go func() { received <- sw.Run(ctx, [][]vswitch.Receiver{{r}}) }()
	if err := errors.Join(sw.Serve(ctx, n), <-received); !errors.Is(err, errDone) {
		b.Fatal(err)
	}
}

// udpFrame is an IPv4/UDP frame of size bytes with a right checksum.
func udpFrame(dst, src ether.Addr, port uint16, size int) ether.Frame {
	f := make(ether.Frame, size)
	ether.PutHeader(f, dst, src, ether.TypeIPv4)
	ip := ether.IPv4(f.Payload())
	copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, ether.ProtoUDP, 0, 0, 10, 10, 1, 5, 10, 10, 2, 5})
	ip.SetTotalLen(len(ip))
	ip.Finish()
	u := ether.UDP(ip.Payload())
	u.SetSrcPort(port)
	u.SetDstPort(9)
	u.SetLen(len(u))
	u.SetChecksum(^ether.Fold(ether.Sum(u, ether.PseudoSum4(ip, ether.ProtoUDP, len(u)))))
	return f
}

// tcpFrame is an IPv4/TCP frame that carries payload bytes.
func tcpFrame(dst, src ether.Addr, seq uint32, payload int) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+40+payload)
	ether.PutHeader(f, dst, src, ether.TypeIPv4)
	ip := ether.IPv4(f.Payload())
	copy(ip, []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, ether.ProtoTCP, 0, 0, 10, 10, 1, 5, 10, 10, 2, 5})
	ip.SetTotalLen(len(ip))
	ip.SetID(uint16(seq / uint32(payload)))
	ip.Finish()
	t := ether.TCP(ip.Payload())
	t.SetSrcPort(40000)
	t.SetDstPort(5201)
	t.SetHeaderLen(20)
	t.SetSeq(seq)
	t.SetFlags(ether.TCPAck)
	return f
}

func finishTCP(f ether.Frame) ether.Frame {
	ip := ether.IPv4(f.Payload())
	t := ether.TCP(ip.Payload())
	t.SetChecksum(0)
	t.SetChecksum(^ether.Fold(ether.Sum(t, ether.PseudoSum4(ip, ether.ProtoTCP, len(t)))))
	return f
}

func record(f ether.Frame) []byte { return append(make([]byte, vswitch.VnetLen), f...) }

// BenchmarkOut is one frame's way from the TAP to the socket, without both:
// ns and allocations a frame (a superframe of 45 frames is one).
func BenchmarkOut(b *testing.B) {
	batch := func(f ether.Frame, n int) (out [][]byte) {
		for range n {
			out = append(out, record(f))
		}
		return out
	}
	arp := make(ether.Frame, 42)
	ether.PutHeader(arp, ether.Broadcast, benchSelf.MAC, ether.TypeARP)
	copy(arp.Payload(), []byte{0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 10, 1, 0, 0, 0, 0, 0, 0, 0, 10, 10, 2, 0})
	super := tcpFrame(benchPeer, benchSelf.MAC, 0, 45*1398)
	super.SetSrc(benchSelf.MAC)
	h := make(offload.VnetHeader, vswitch.VnetLen)
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetGSO(offload.GSOTCPv4, 1398)
	h.SetHeaderLen(54)
	h.SetCsum(34, 16)
	for _, c := range []struct {
		name   string
		frames [][]byte
		header []byte
	}{
		{"udp64", batch(udpFrame(benchPeer, benchSelf.MAC, 7, 106), 64), make([]byte, vswitch.VnetLen)},
		{"udp1450", batch(udpFrame(benchPeer, benchSelf.MAC, 7, 1464), 64), make([]byte, vswitch.VnetLen)},
		{"unknown", batch(udpFrame(ether.Addr{2, 9}, benchSelf.MAC, 7, 106), 64), make([]byte, vswitch.VnetLen)},
		{"arp", batch(arp, 64), make([]byte, vswitch.VnetLen)},
		{"tcp64k", batch(super, 4), h},
	} {
		b.Run(c.name, func(b *testing.B) {
			stop := make(chan struct{})
			b.SetBytes(int64(len(c.frames[0]) - vswitch.VnetLen))
			run(b, &feed{records: c.frames, header: c.header, left: b.N}, silence{stop}, stop)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

// BenchmarkIn is one datagram's way from the socket to the TAP, without both.
func BenchmarkIn(b *testing.B) {
	from := netip.MustParseAddrPort("192.0.2.2:50000")
	wrap := func(fs ...ether.Frame) (m encap.Message) {
		for _, f := range fs {
			h := make([]byte, encap.HeaderLen)
			encap.PutHeader(h, 1)
			m.Data = append(append(m.Data, h...), f...)
		}
		m.N, m.Peer = len(m.Data), from
		if len(fs) > 1 {
			m.Segment = encap.HeaderLen + len(fs[0])
		}
		return m
	}
	var small, spoofed, stream []ether.Frame
	for i := range 64 {
		small = append(small, udpFrame(benchSelf.MAC, benchPeer, uint16(i%4), 106))
		spoofed = append(spoofed, udpFrame(benchSelf.MAC, benchSelf.MAC, uint16(i), 106))
		if i < 45 {
			stream = append(stream, finishTCP(tcpFrame(benchSelf.MAC, benchPeer, uint32(i*1398), 1398)))
		}
	}
	for _, c := range []struct {
		name string
		m    encap.Message
		n    int // datagrams
	}{
		{"udp64x64", wrap(small...), 64},
		{"spoofed", wrap(spoofed...), 64},
		{"tcp1398x45", wrap(stream...), 45},
	} {
		b.Run(c.name, func(b *testing.B) {
			stop := make(chan struct{})
			pristine := append([]byte{}, c.m.Data...)
			b.SetBytes(int64(c.m.N / c.n))
			r := &rain{messages: []encap.Message{c.m}, pristine: [][]byte{pristine}, left: (b.N + c.n - 1) / c.n}
			run(b, mute{stop}, r, stop)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
		})
	}
}

func BenchmarkFDBLookup(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := (*fdb.Table)(nil).Edit()
			mac := func(i int) (a ether.Addr) {
				binary.BigEndian.PutUint32(a[2:], uint32(i)*2654435761)
				a[0] = 2
				return a
			}
			for i := range n {
				e.Set(fdb.Key{VNI: 1, MAC: mac(i)}, fdb.Entry{VTEP: benchVTEP, Origin: fdb.Endpoint})
			}
			t := e.Table()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := t.Lookup(1, mac(i%n)); !ok {
					b.Fatal("an entry is missing")
				}
				i += 7919 // a prime, so that entries come in no order
			}
		})
	}
}
