// Package ping asks another host for an ICMP echo (RFC 792, RFC 4443 §4.1), from
// a given address of this one. It needs no more rights than there are: the
// kernel's sockets for ping where net.ipv4.ping_group_range lets the user have
// them, else a raw socket, which takes CAP_NET_RAW.
package ping

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ErrSilent says that no answer came in time.
var ErrSilent = errors.New("no answer")

const (
	// Overhead4 and Overhead6 are what a question has besides its data, in bytes:
	// the headers of IP and ICMP.
	Overhead4 = 20 + 8
	Overhead6 = 40 + 8

	protoICMP, protoICMPv6 = 1, 58
	maxIPv4Header          = 60
)

// Question is an echo to be asked for.
type Question struct {
	// From is an address of this host, To whom to ask; both of one family.
	From, To netip.Addr
	// Size is how many bytes of data the echo carries.
	Size int
}

// Ask sends one question and waits until ctx ends for the answer, which took the
// time returned.
func Ask(ctx context.Context, q Question) (time.Duration, error) {
	s, err := open(q.From)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = s.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ask, err := s.question(q)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := s.WriteTo(ask, s.name(q.To)); err != nil {
		return 0, err
	}
	if err := s.await(q.To, ask); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// socket asks on behalf of one question.
type socket struct {
	*icmp.PacketConn
	six, raw bool
	id       int
	data     [16]byte // random, so that the answer is known
}

func open(from netip.Addr) (*socket, error) {
	s := &socket{six: from.Is6()}
	_, _ = rand.Read(s.data[:]) // never fails, see crypto/rand
	s.id = int(binary.BigEndian.Uint16(s.data[:]))
	udp, ip := "udp4", "ip4:1"
	if s.six {
		udp, ip = "udp6", "ip6:58"
	}
	var err, rawErr error
	if s.PacketConn, err = icmp.ListenPacket(udp, from.String()); err == nil {
		return s, nil
	}
	if s.PacketConn, rawErr = icmp.ListenPacket(ip, from.String()); rawErr == nil {
		s.raw = true
		return s, nil
	}
	if errors.Is(err, os.ErrPermission) && errors.Is(rawErr, os.ErrPermission) {
		return nil, fmt.Errorf("the agent may not send ICMP: give it CAP_NET_RAW, or its group a place in net.ipv4.ping_group_range")
	}
	return nil, fmt.Errorf("open an ICMP socket on %s: %w", from, rawErr)
}

func (s *socket) question(q Question) ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: s.id, Seq: 1, Data: make([]byte, max(q.Size, len(s.data)))}}
	if s.six {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	copy(m.Body.(*icmp.Echo).Data, s.data[:])
	return m.Marshal(nil) // the checksum of ICMPv6 is the kernel's
}

func (s *socket) name(to netip.Addr) net.Addr {
	if s.raw {
		return &net.IPAddr{IP: to.AsSlice()}
	}
	return &net.UDPAddr{IP: to.AsSlice()}
}

// await reads until the answer is there: a raw socket hears of everything.
func (s *socket) await(to netip.Addr, ask []byte) error {
	buf := make([]byte, len(ask)+1+maxIPv4Header) // which a raw socket reads too, and net strips
	for {
		n, from, err := s.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrSilent
		}
		if err != nil {
			return err
		}
		if addrOf(from) == to && s.answers(buf[:n], len(ask)) {
			return nil
		}
	}
}

// answers reports whether b is the answer to a question of so many bytes.
func (s *socket) answers(b []byte, size int) bool {
	proto, want := protoICMP, icmp.Type(ipv4.ICMPTypeEchoReply)
	if s.six {
		proto, want = protoICMPv6, ipv6.ICMPTypeEchoReply
	}
	m, err := icmp.ParseMessage(proto, b)
	if err != nil || m.Type != want || len(b) != size {
		return false
	}
	e, ok := m.Body.(*icmp.Echo)
	return ok && len(e.Data) >= len(s.data) && [16]byte(e.Data) == s.data
}

func addrOf(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	out, _ := netip.AddrFromSlice(ip)
	return out.Unmap()
}
