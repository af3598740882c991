package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	limit "golang.org/x/time/rate"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// twin is one of two probers that know each other, with what it sent.
type twin struct {
	*prober
	addr netip.Addr
	sent [][]byte // frames
	deaf bool     // the kernel takes nothing
}

func (w *twin) Send(ds []encap.Datagram) int {
	if w.deaf {
		return 0
	}
	for _, d := range ds {
		w.sent = append(w.sent, d.Data[0][encap.HeaderLen:])
	}
	return len(ds)
}

// twins returns two probers; nothing that one sends gets to the other by itself.
func twins() (a, b *twin) {
	make1 := func(n byte) *twin {
		w := &twin{addr: netip.AddrFrom4([4]byte{192, 0, 2, n})}
		w.prober = &prober{
			vni: 1, self: echo.Party{Node: echo.Node{n}, Key: echo.Key{n}}, mac: ether.Addr{2, n}, send: w,
			echoes: vswitch.NewEchoes(new(vswitch.Totals)), answers: limit.NewLimiter(0, echoAnswers), checks: limit.NewLimiter(limit.Inf, 0),
			met: map[echo.Node]*acquaintance{}, asked: map[question]chan<- heard{},
		}
		return w
	}
	a, b = make1(1), make1(2)
	a.hear(&etcdsync.Tables{Hosts: hosts(b)})
	b.hear(&etcdsync.Tables{Hosts: hosts(a)})
	return a, b
}

// hosts are the host records of some.
func hosts(ws ...*twin) *snapmap.Map[string, *etcdsync.Peer] {
	e := (*snapmap.Map[string, *etcdsync.Peer])(nil).Edit()
	for _, w := range ws {
		e.Set(w.self.Node.String(), w.record())
	}
	return e.Map()
}

func (w *twin) record() *etcdsync.Peer {
	return &etcdsync.Peer{
		NodeID: w.self.Node.String(), VTEP: &fdb.VTEP{To: netip.AddrPortFrom(w.addr, 4789)},
		Probe: &etcdsync.Probe{Key: w.self.Key, MAC: w.mac},
	}
}

// from is a frame as the switch would hand it over.
func (w *twin) from(frame []byte) vswitch.Echo {
	f := ether.Frame(frame)
	return vswitch.Echo{At: time.Now(), From: w.addr, Source: f.Src(), Size: len(f.Payload()), Head: [echo.Len]byte(f.Payload())}
}

// asks has a send a request to b, which waits for its answer in the background.
func (w *twin) asks(t *testing.T, to *twin, size, reply int) (frame []byte, done func() (answered, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	type outcome struct {
		answered
		error
	}
	end := make(chan outcome, 1)
	n := len(w.sent)
	go func() {
		a, err := w.ask(ctx, to.record(), request{echo.VXLAN, size, reply})
		end <- outcome{a, err}
	}()
	synctest.Wait()
	return w.sent[n], func() (answered, error) {
		cancel()
		o := <-end
		return o.answered, o.error
	}
}

func TestAnAnswerComesBackToWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twins()
		f, done := a.asks(t, b, 1000, 300)
		if got := ether.Frame(f); got.Dst() != b.mac || got.Src() != a.mac || got.Type() != echo.EtherType || len(got.Payload()) != 1000 {
			t.Errorf("the request: got %x", f[:ether.HeaderLen])
		}
		time.Sleep(2 * time.Millisecond) // on its way
		request := a.from(f)
		time.Sleep(40 * time.Millisecond) // the peer's agent has other things to do
		if x := b.takeFrame(request); x != vswitch.EchoAnswered {
			t.Fatalf("the request: got %v", x)
		}
		answer := b.sent[0]
		if got := ether.Frame(answer); got.Dst() != a.mac || got.Src() != b.mac || len(got.Payload()) != 300 {
			t.Errorf("the answer: got %x, %d bytes", answer[:ether.HeaderLen], len(got.Payload()))
		}
		time.Sleep(3 * time.Millisecond) // on its way
		heard := b.from(answer)
		time.Sleep(50 * time.Millisecond) // as has this one
		if x := a.takeFrame(heard); x != vswitch.EchoHeard {
			t.Errorf("the answer: got %v", x)
		}
		if x := a.takeFrame(b.from(answer)); x != vswitch.EchoRefused {
			t.Errorf("the answer once more: got %v", x)
		}
		got, err := done()
		if err != nil || got.rtt != 5*time.Millisecond || got.seq != 1 || got.seen != 1 {
			t.Errorf("got %+v, %v", got, err)
		}
		if len(a.asked) != 0 {
			t.Errorf("%d questions are left", len(a.asked))
		}
	})
}

func TestSilenceAndARefusedSendAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twins()
		_, done := a.asks(t, b, 200, 200)
		if _, err := done(); !errors.Is(err, errSilent) || len(a.asked) != 0 {
			t.Errorf("got %v, %d questions left", err, len(a.asked))
		}
		a.deaf = true
		if _, err := a.ask(t.Context(), b.record(), request{echo.VXLAN, 200, 200}); !errors.Is(err, errNotTaken) || len(a.asked) != 0 {
			t.Errorf("got %v", err)
		}
	})
}

// Everything that is not a genuine, new request of a host at its own address.
func TestOnlyGenuineRequestsAreAnswered(t *testing.T) {
	forge := func(w *twin, to echo.Node, s echo.Secret, change func(*echo.Message)) vswitch.Echo {
		m := echo.Message{Kind: echo.Request, Way: echo.VXLAN, Size: 200, Reply: 200, VNI: 1, Seq: 7, From: w.self.Node, To: to}
		change(&m)
		f := make(ether.Frame, ether.HeaderLen+m.Size)
		ether.PutHeader(f, ether.Addr{}, w.mac, echo.EtherType)
		m.Put(f.Payload(), &s)
		return w.from(f)
	}
	plain := func(*echo.Message) {}
	for _, c := range []struct {
		name string
		make func(a, b *twin) vswitch.Echo
		want vswitch.Extra
	}{
		{"a genuine one", func(a, b *twin) vswitch.Echo {
			return forge(a, b.self.Node, echo.SecretOf(a.self, b.self), plain)
		}, vswitch.EchoAnswered},
		{"of who knows no key", func(a, b *twin) vswitch.Echo { return forge(a, b.self.Node, echo.Secret{}, plain) }, vswitch.EchoRefused},
		{"of who knows the answerer's key alone", func(a, b *twin) vswitch.Echo {
			return forge(a, b.self.Node, echo.SecretOf(echo.Party{Node: a.self.Node}, b.self), plain)
		}, vswitch.EchoRefused},
		{"one of the answerer's own, sent back", func(a, b *twin) vswitch.Echo {
			return forge(a, b.self.Node, echo.SecretOf(b.self, a.self), plain)
		}, vswitch.EchoRefused},
		{"from a host that etcd does not know", func(a, b *twin) vswitch.Echo {
			return forge(a, b.self.Node, echo.SecretOf(a.self, b.self), func(m *echo.Message) { m.From = echo.Node{9} })
		}, vswitch.EchoRefused},
		{"to another host", func(a, b *twin) vswitch.Echo {
			return forge(a, echo.Node{9}, echo.SecretOf(a.self, b.self), plain)
		}, vswitch.EchoRefused},
		{"in another network", func(a, b *twin) vswitch.Echo {
			return forge(a, b.self.Node, echo.SecretOf(a.self, b.self), func(m *echo.Message) { m.VNI = 2 })
		}, vswitch.EchoRefused},
		{"that says that it came in UDP", func(a, b *twin) vswitch.Echo {
			return forge(a, b.self.Node, echo.SecretOf(a.self, b.self), func(m *echo.Message) { m.Way = echo.Plain })
		}, vswitch.EchoRefused},
		{"from another VTEP's address", func(a, b *twin) vswitch.Echo {
			e := forge(a, b.self.Node, echo.SecretOf(a.self, b.self), plain)
			e.From = netip.MustParseAddr("192.0.2.9")
			return e
		}, vswitch.EchoRefused},
		{"from another inner address", func(a, b *twin) vswitch.Echo {
			e := forge(a, b.self.Node, echo.SecretOf(a.self, b.self), plain)
			e.Source[5]++
			return e
		}, vswitch.EchoRefused},
		{"cut on its way", func(a, b *twin) vswitch.Echo {
			e := forge(a, b.self.Node, echo.SecretOf(a.self, b.self), plain)
			e.Size--
			return e
		}, vswitch.EchoRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := twins()
			if got := b.takeFrame(c.make(a, b)); got != c.want || (len(b.sent) > 0) != (c.want == vswitch.EchoAnswered) {
				t.Errorf("got %v and %d answers, want %v", got, len(b.sent), c.want)
			}
		})
	}
}

func TestARequestIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twins()
		f, done := a.asks(t, b, 200, 200)
		defer func() { _, _ = done() }()
		if x := b.takeFrame(a.from(f)); x != vswitch.EchoAnswered {
			t.Fatalf("got %v", x)
		}
		for range 3 {
			if x := b.takeFrame(a.from(f)); x != vswitch.EchoRefused || len(b.sent) != 1 {
				t.Errorf("again: got %v, %d answers", x, len(b.sent))
			}
		}
		// The asker starts anew: its numbers begin again, the old message is of no use.
		a.self.Key[5]++
		a.met = map[echo.Node]*acquaintance{}
		b.hear(&etcdsync.Tables{Hosts: hosts(a)})
		if x := b.takeFrame(a.from(f)); x != vswitch.EchoRefused {
			t.Errorf("after a new start: got %v", x)
		}
		g, done2 := a.asks(t, b, 200, 200)
		defer func() { _, _ = done2() }()
		if x := b.takeFrame(a.from(g)); x != vswitch.EchoAnswered {
			t.Errorf("the first of the new start: got %v", x)
		}
	})
}

// An answerer that starts anew has forgotten the numbers, so the asker's go on.
func TestNumbersGoOnWhenTheAnswererStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twins()
		_, done := a.asks(t, b, 200, 200)
		before, _ := done()
		b.self.Key[5]++
		_, done = a.asks(t, b, 200, 200)
		if after, _ := done(); after.seq <= before.seq {
			t.Errorf("got %d after %d", after.seq, before.seq)
		}
	})
}

func TestMoreThanTheRateIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twins()
		answers := 0
		for i := range echoAnswers + 50 {
			m := echo.Message{Kind: echo.Request, Way: echo.VXLAN, Size: echo.Len, Reply: echo.Len, VNI: 1, Seq: uint64(i) + 1, From: a.self.Node, To: b.self.Node}
			f := make(ether.Frame, ether.HeaderLen+m.Size)
			ether.PutHeader(f, b.mac, a.mac, echo.EtherType)
			s := echo.SecretOf(a.self, b.self)
			m.Put(f.Payload(), &s)
			if b.takeFrame(a.from(f)) == vswitch.EchoAnswered {
				answers++
			}
		}
		if answers != echoAnswers || len(b.sent) != answers {
			t.Errorf("got %d answers, %d sent; want %d", answers, len(b.sent), echoAnswers)
		}
		// Nor are seals checked without end.
		b.checks = limit.NewLimiter(0, 1)
		b.answers = limit.NewLimiter(limit.Inf, 0)
		for i := range 3 {
			f, done := a.asks(t, b, 200, 200)
			_, _ = done()
			a.seqTo(b, 1000+uint64(i))
			want := vswitch.EchoRefused
			if i == 0 {
				_ = b.takeFrame(a.from(f)) // uses the one check up; its number is an old one
			}
			g, done := a.asks(t, b, 200, 200)
			_, _ = done()
			if got := b.takeFrame(a.from(g)); got != want {
				t.Errorf("%d: got %v", i, got)
			}
		}
	})
}

// seqTo makes the next number of a request to another larger.
func (w *twin) seqTo(to *twin, n uint64) { w.acquainted(to.self.Node, to.record()).seq = n }

func TestWhichRequestsArrivedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twins()
		f1, done := a.asks(t, b, 200, 200)
		_, _ = done()
		_, done = a.asks(t, b, 200, 200) // lost on the way there
		lost, _ := done()
		b.takeFrame(a.from(f1))
		h := a.record()
		m := echo.Message{Kind: echo.Request, Way: echo.Plain, Size: 200, Reply: 200, VNI: 1, Seq: 10, From: a.self.Node, To: b.self.Node}
		head := make([]byte, m.Size)
		s := echo.SecretOf(a.self, b.self)
		m.Put(head, &s)
		r, ok := b.answer(&m, h, head)
		if !ok || r.m.Seen != 1 || r.m.Seen >= lost.seq {
			t.Errorf("got %+v, %v; want that only the first arrived", r.m, ok)
		}
	})
}

func TestTheLargestSizeIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 200 {
			limit := leastEchoSize + rand.IntN(3000)
			most := leastEchoSize + rand.IntN(3000)
			if i < 4 {
				limit = max(leastEchoSize, most+i-2) // nearly all, and all
			}
			s := &search{wait: mostTry}
			var tries atomic.Int32
			got, err := s.largest(t.Context(), most, func(_ context.Context, n int) (time.Duration, bool) {
				tries.Add(1)
				return 1, n <= limit
			})
			if err != nil || got != min(limit, most) {
				t.Fatalf("limit %d of %d: got %d, %v", limit, most, got, err)
			}
			if n := tries.Load(); limit >= most && n > 1 {
				t.Errorf("limit %d of %d: %d tries, want one", limit, most, n)
			}
		}
	})
}

func TestASearchThatIsCutShortSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &search{wait: mostTry}
		got, err := s.largest(ctx, 1000, func(_ context.Context, n int) (time.Duration, bool) {
			if n < 1000 {
				cancel() // the first after that of all
			}
			return 1, n < 700
		})
		if err == nil || got >= 699 {
			t.Errorf("got %d, %v; want an error", got, err)
		}
	})
}

// A path may take more one way than the other; the peer's kernel alone tells of the
// narrower one.
func TestThePathMTUIsFoundBothWays(t *testing.T) {
	for _, c := range []struct {
		name            string
		there, back     int // that pass, of inner IP
		ping            bool
		wantTo, wantFro int
	}{
		{"wide", 9000, 9000, false, 1550, 1550},
		{"narrow on the way there", 1400, 9000, false, 1450, 1450},
		{"narrow on the way back", 9000, 1300, false, 1550, 1350},
		{"narrow both ways", 1400, 1300, false, 1450, 1350},
		{"nothing passes back", 9000, 0, false, 0, 0},
		{"a kernel", 1400, 1300, true, 1350, 1350},
		{"a kernel behind a wide path", 9000, 9000, true, 1500, 1500},
		{"a kernel that is silent", 0, 0, true, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &search{wait: mostTry, most: 1500, tap: 1450}
			s.ping = func(_ context.Context, n int) (time.Duration, bool) { return ms, n <= c.there && n <= c.back }
			if !c.ping {
				s.echo = func(_ context.Context, size, reply int) (time.Duration, bool) {
					return ms, size <= c.there && reply <= c.back
				}
			}
			var v mtuView
			v.find(t.Context(), s, 50)
			if v.There != c.wantTo || v.Back != c.wantFro || (v.Error == "") != (c.wantTo > 0) {
				t.Errorf("%s: got %+v, want %d there and %d back", c.name, v, c.wantTo, c.wantFro)
			}
		})
	}
}

func TestASizePassesWhenOneOfAFewEchoesDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for answer := range tryCopies + 1 {
			s := &search{wait: mostTry}
			n := make(chan int, 1)
			n <- 0
			got := s.passes(t.Context(), 100, func(ctx context.Context, _ int) (time.Duration, bool) {
				i := <-n
				n <- i + 1
				if i == answer {
					return 40 * time.Millisecond, true
				}
				<-ctx.Done()
				return 0, false
			})
			if got != (answer < tryCopies) {
				t.Errorf("answered is the %d.: got %v", answer, got)
			}
			if want := 160 * time.Millisecond; got && s.wait != want {
				t.Errorf("the next wait: got %v, want %v", s.wait, want)
			}
		}
	})
}

// peerTables know B, a uvtep host with a station; C, of an older version; D, whose
// agent is gone; E, which runs flannel; F, without a subnet; a static VTEP; and a
// host with an IPv6 subnet alone. C has another address since its lease was written.
func peerTables() *etcdsync.Tables {
	t := &etcdsync.Tables{Network: etcdsync.NewNetwork(netip.MustParsePrefix("10.10.0.0/16"), netip.Prefix{})}
	t.Network.VNI = 1
	peers, hosts := (*snapmap.Map[string, *etcdsync.Peer])(nil).Edit(), (*snapmap.Map[string, *etcdsync.Peer])(nil).Edit()
	f, arp := (*fdb.Table)(nil).Edit(), (*arpproxy.Table)(nil).Edit()
	vtep := func(n byte) *fdb.VTEP {
		return &fdb.VTEP{To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 4789)}
	}
	node := func(n byte) string { return echo.Node{n}.String() }
	lease := func(n byte, id string) {
		key := fmt.Sprintf("subnets/10.10.%d.0-24", n)
		p := &etcdsync.Peer{Key: key, Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, n, 0}), 24), VTEP: vtep(n), MAC: ether.Addr{2, n}, NodeID: id}
		peers.Set(key, p)
		f.AddVTEP(1, p.VTEP)
		f.Set(fdb.Key{VNI: 1, MAC: p.MAC}, fdb.Entry{VTEP: p.VTEP})
	}
	host := func(n byte, probe *etcdsync.Probe) {
		hosts.Set(node(n), &etcdsync.Peer{NodeID: node(n), VTEP: vtep(n), Probe: probe})
		f.AddVTEP(1, vtep(n))
	}
	lease(2, node(2))
	host(2, &etcdsync.Probe{MAC: ether.Addr{2, 2}})
	lease(3, node(3))
	hosts.Set(node(3), &etcdsync.Peer{NodeID: node(3), VTEP: vtep(33)})
	f.AddVTEP(1, vtep(33))
	six := &etcdsync.Peer{Key: "subnets/fd00:8::-64", Subnet6: netip.MustParsePrefix("fd00:8::/64"), VTEP: vtep(8), MAC6: ether.Addr{2, 8}}
	peers.Set(six.Key, six)
	f.AddVTEP(1, six.VTEP)
	lease(4, node(4))
	lease(5, "")
	host(6, &etcdsync.Probe{MAC: ether.Addr{2, 6}})
	f.AddVTEP(1, vtep(7))
	station := ether.Addr{2, 2, 2}
	f.Set(fdb.Key{VNI: 1, MAC: station}, fdb.Entry{VTEP: vtep(2), Origin: fdb.Endpoint})
	arp.Set(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr("172.16.0.9")}, arpproxy.Binding{MAC: station})
	t.Peers, t.Hosts, t.FDB, t.ARP = peers.Map(), hosts.Map(), f.Table(), arp.Table()
	return t
}

func TestAPeerIsFoundByWhateverNamesIt(t *testing.T) {
	tables := peerTables()
	for name, want := range map[string]string{
		"10.10.2.0/24": "10.10.2.0/24 answers", "10.10.2.9/24": "10.10.2.0/24 answers", "10.10.2.0": "10.10.2.0/24 answers", "10.10.2.200": "10.10.2.0/24 answers",
		"192.0.2.2": "10.10.2.0/24 answers", "::ffff:192.0.2.2": "10.10.2.0/24 answers", "02:02:00:00:00:00": "10.10.2.0/24 answers", echo.Node{2}.String(): "10.10.2.0/24 answers",
		" 02-02-00-00-00-00 ": "10.10.2.0/24 answers", "02:02:02:00:00:00": "10.10.2.0/24 answers", "172.16.0.9": "10.10.2.0/24 answers",
		"::ffff:10.10.2.200": "10.10.2.0/24 answers", "192.0.2.33": "10.10.3.0/24 old",
		"fd00:8::/64": "fd00:8::/64 foreign", "fd00:8::7/64": "fd00:8::/64 foreign", "fd00:8::9": "fd00:8::/64 foreign", "fd00:9::9": "",
		"10.10.3.1": "10.10.3.0/24 old", "10.10.4.1": "10.10.4.0/24 gone", echo.Node{4}.String(): "10.10.4.0/24 gone", "10.10.5.1": "10.10.5.0/24 foreign",
		"192.0.2.6": "192.0.2.6:4789 answers", "02:06:00:00:00:00": "192.0.2.6:4789 answers", echo.Node{6}.String(): "192.0.2.6:4789 answers", "192.0.2.7": "192.0.2.7:4789 foreign",
		"10.10.2.0/25": "", "10.10.9.1": "", "192.0.2.9": "", "02:09:00:00:00:00": "", echo.Node{9}.String(): "", "": "", "host.example": "", "10.10.2": "",
	} {
		v, err := find(tables, name)
		got := ""
		if err == nil {
			got = v.name() + " " + v.Agent
		}
		if got != want {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestEveryPeerIsListedOnceAndFoundAgain(t *testing.T) {
	tables := peerTables()
	var names []string
	for _, x := range targets(tables) {
		v := x.view()
		names = append(names, v.name())
		if v.name() == "fd00:8::/64" && v.MAC != "02:08:00:00:00:00" {
			t.Errorf("%s: got MAC address %s", v.name(), v.MAC)
		}
		if y, ok := lookup(tables, &v); !ok || y.view() != v {
			t.Errorf("%s: found again as %+v, %v", v.name(), y, ok)
		}
	}
	if got, want := fmt.Sprint(names), "[10.10.2.0/24 10.10.3.0/24 10.10.4.0/24 10.10.5.0/24 fd00:8::/64 192.0.2.6:4789 192.0.2.7:4789]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, ok := lookup(tables, &peerView{Node: echo.Node{9}.String(), Lease: "subnets/10.10.9.0-24", VTEP: "192.0.2.9:4789"}); ok {
		t.Error("one that left is found")
	}
}
