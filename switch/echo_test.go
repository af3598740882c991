package vswitch

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
)

// echoFrame is a frame with an echo message of 200 bytes.
func echoFrame(dst, src ether.Addr) ether.Frame {
	m := echo.Message{Kind: echo.Request, Way: echo.VXLAN, Size: 200, Reply: 200, VNI: uint32(vni), Seq: 1, From: echo.Node{2}, To: echo.Node{1}}
	f := make(ether.Frame, ether.HeaderLen+m.Size)
	ether.PutHeader(f, dst, src, echo.EtherType)
	m.Put(f.Payload(), new(echo.Secret))
	return f
}

// listening is a test's bench whose VTEP takes echoes.
func listening(t *testing.T) (*bench, *Echoes) {
	b := start(t, Policy{})
	e := NewEchoes(&b.totals)
	b.net.Echoes = e // nothing came yet that looks at it
	return b, e
}

func TestEchoesToThisVTEPAloneAreTaken(t *testing.T) {
	s := self
	s.Echoes = NewEchoes(new(Totals))
	other := echoFrame(macSelf, macB)
	other[ether.HeaderLen] ^= 1
	wrongType := echoFrame(macSelf, macB)
	wrongType[13]++
	for _, c := range []struct {
		name string
		d    []byte
		src  netip.Addr
		self *Self
		want Verdict
	}{
		{"an echo message", datagram(vni, echoFrame(macSelf, macB)), outerB, &s, Echoed},
		{"from a MAC that etcd does not know: a host without a subnet", datagram(vni, echoFrame(macSelf, macNone)), outerB, &s, Echoed},
		{"to a station behind this host", datagram(vni, echoFrame(macLocal, macB)), outerB, &s, Deliver},
		{"to everybody", datagram(vni, echoFrame(ether.Broadcast, macB)), outerB, &s, Deliver},
		{"another use of the EtherType", datagram(vni, other), outerB, &s, Deliver},
		{"too short for a message", datagram(vni, echoFrame(macSelf, macB)[:ether.HeaderLen+echo.Len-1]), outerB, &s, Deliver},
		{"another EtherType", datagram(vni, wrongType), outerB, &s, Deliver},
		{"where nobody takes them", datagram(vni, echoFrame(macSelf, macB)), outerB, &self, Deliver},
		{"from a stranger", datagram(vni, echoFrame(macSelf, macNone)), netip.MustParseAddr("192.0.2.66"), &s, DropUnknownVTEP},
		{"with another VTEP's MAC", datagram(vni, echoFrame(macSelf, macB)), outerC, &s, DropSpoofed},
		{"with our own", datagram(vni, echoFrame(macSelf, macSelf)), outerB, &s, DropOwnSource},
		{"in a tag", datagram(vni, tagged(echoFrame(macSelf, macB))), outerB, &s, DropTagged},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Accept(c.d, c.src, 0, c.self, testTables(Policy{})); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// An echo among frames of its own type and sender, whose headers are equal, is
// found, and what is around it delivered.
func TestEchoesAreHandedOverAndNotDelivered(t *testing.T) {
	b, e := listening(t)
	f, plain := echoFrame(macSelf, macB), make(ether.Frame, ether.HeaderLen+200)
	ether.PutHeader(plain, macSelf, macB, echo.EtherType)
	d := datagram(vni, plain)
	joined := bytes.Join([][]byte{d, datagram(vni, f), d, datagram(vni, f)}, nil)
	mapped := netip.AddrFrom16(outerB.As16())
	b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(mapped, 50000), Data: joined, Segment: len(d)}}
	want := Echo{From: outerB, Source: macB, Size: 200, Head: [echo.Len]byte(f.Payload())}
	for range 2 {
		got := <-e.C()
		if ago := time.Since(got.At); ago < 0 || ago > time.Minute {
			t.Errorf("came %v ago", ago)
		}
		if got.At = want.At; got != want {
			t.Error(cmp.Diff(want, got))
		}
		if got := <-b.out; !bytes.Equal(got, plain) {
			t.Errorf("got %x on the TAP, want %x", got, plain)
		}
	}
	e.Count(EchoAnswered, 2)
	s := b.stats(t)
	if s.Frames[Echoed] != 2 || s.Bytes[Echoed] != 2*uint64(len(f)) || s.Frames[Deliver] != 2 || s.Extra[Written] != 2 || s.Extra[EchoAnswered] != 2 || s.Extra[EchoLost] != 0 {
		t.Errorf("got %+v", s)
	}
}

func TestEchoesThatNobodyTakesAreCounted(t *testing.T) {
	b, e := listening(t)
	const more = 3
	d := datagram(vni, echoFrame(macSelf, macB))
	for range echoRoom + more {
		b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(outerB, 50000), Data: d}}
	}
	b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(outerB, 50000), Data: datagram(vni, frame(macSelf, macB))}}
	<-b.out // the data goes on
	s := b.stats(t)
	if s.Frames[Echoed] != echoRoom+more || s.Extra[EchoLost] != more || len(e.C()) != echoRoom || s.Frames[Deliver] != 1 {
		t.Errorf("got %d echoed, %d lost, %d waiting, %d delivered", s.Frames[Echoed], s.Extra[EchoLost], len(e.C()), s.Frames[Deliver])
	}
}

func TestTakingEchoesDoesNotAllocate(t *testing.T) {
	b := &bench{wire: newFakeWire()}
	s := self
	s.Echoes = NewEchoes(&b.totals)
	in, _ := inboundOf(t, networkOn(t, NetworkConfig{Self: s, Ports: []Port{sink{}}, Count: &b.totals}, testTables(Policy{})))
	for i := range in.ms {
		d := datagram(vni, echoFrame(macSelf, macB))
		if i%2 == 0 {
			d = datagram(vni, frame(macSelf, macB))
		}
		in.ms[i] = encap.Message{Peer: netip.AddrPortFrom(outerB, 50000), Data: d, N: len(d)}
	}
	if got := testing.AllocsPerRun(100, func() {
		in.batch(len(in.ms))
		for len(s.Echoes.C()) > 0 {
			<-s.Echoes.C()
		}
	}); got != 0 {
		t.Errorf("got %v allocations a batch, want 0", got)
	}
}
