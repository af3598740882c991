//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// ErrNoAnswer says that an echo request was not answered in time.
var ErrNoAnswer = errors.New("no answer")

// reachTimeout is how long Reach waits for one answer before it asks again.
const reachTimeout = 200 * time.Millisecond

// Pings says how to ping. The zero value is three echoes of 56 bytes that may
// take a second each, one after the other.
type Pings struct {
	Count   int           // 0 means 3
	Size    int           // bytes of payload; 0 means 56
	Timeout time.Duration // of each; 0 means 1 s
}

func (p Pings) withDefaults() Pings {
	if p.Count == 0 {
		p.Count = 3
	}
	if p.Size == 0 {
		p.Size = 56
	}
	if p.Timeout == 0 {
		p.Timeout = time.Second
	}
	return p
}

// Echoes is what came of it.
type Echoes struct {
	Sent, Received int
	Min, Avg, Max  time.Duration
}

// count takes one more answer in.
func (e *Echoes) count(rtt time.Duration) {
	if e.Received == 0 || rtt < e.Min {
		e.Min = rtt
	}
	e.Max = max(e.Max, rtt)
	e.Avg = (e.Avg*time.Duration(e.Received) + rtt) / time.Duration(e.Received+1)
	e.Received++
}

// Ping sends ICMP echo requests from the node, each when the one before is
// answered or given up. The payload of the answers is compared. The error says why
// not all were answered; it is ErrNoAnswer where nothing came at all.
func (n *Node) Ping(ctx context.Context, to netip.Addr, p Pings) (Echoes, error) {
	p = p.withDefaults()
	pg, err := n.newPinger(to, p.Size)
	if err != nil {
		return Echoes{}, err
	}
	defer pg.conn.Close()
	var (
		sum  Echoes
		last error
	)
	for sum.Sent < p.Count && ctx.Err() == nil {
		sum.Sent++
		rtt, err := pg.echo(ctx, p.Timeout)
		if err != nil {
			last = err
			continue
		}
		sum.count(rtt)
	}
	if err := ctx.Err(); err != nil {
		last = context.Cause(ctx)
	}
	if last != nil {
		last = fmt.Errorf("ping %v from %s: %d of %d answered: %w", to, n.Name, sum.Received, p.Count, last)
	}
	return sum, last
}

// Reach pings until the first answer comes or ctx ends.
func (n *Node) Reach(ctx context.Context, to netip.Addr) error {
	pg, err := n.newPinger(to, Pings{}.withDefaults().Size)
	if err != nil {
		return err
	}
	defer pg.conn.Close()
	var last error
	err = poll(ctx, "an answer", reachTimeout/10, func() (bool, error) {
		_, err := pg.echo(ctx, reachTimeout)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("reach %v from %s: %w", to, n.Name, errors.Join(err, last))
	}
	return nil
}

// pinger is one raw ICMP socket with its echo requests' identity.
type pinger struct {
	conn     net.PacketConn
	to       netip.Addr
	proto    int // of ICMP or ICMPv6
	request  icmp.Type
	reply    icmp.Type
	id, seq  int
	data     []byte
	received []byte
}

func (n *Node) newPinger(to netip.Addr, size int) (*pinger, error) {
	pg := &pinger{
		to: to.Unmap(), proto: unix.IPPROTO_ICMP, request: ipv4.ICMPTypeEcho, reply: ipv4.ICMPTypeEchoReply,
		id: int(rand.Uint32N(1 << 16)), data: make([]byte, size), received: make([]byte, 1<<16),
	}
	network, own := "ip4:icmp", "0.0.0.0"
	if pg.to.Is6() {
		network, own = "ip6:ipv6-icmp", "::"
		pg.proto, pg.request, pg.reply = unix.IPPROTO_ICMPV6, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	for i := range pg.data {
		pg.data[i] = byte(rand.Uint32())
	}
	err := n.Do(func() (err error) {
		pg.conn, err = net.ListenPacket(network, own)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ping from %s: %w", n.Name, err)
	}
	return pg, nil
}

// echo sends one request and waits for its answer.
func (p *pinger) echo(ctx context.Context, timeout time.Duration) (time.Duration, error) {
	p.seq++
	request := icmp.Message{Type: p.request, Body: &icmp.Echo{ID: p.id, Seq: p.seq & 0xffff, Data: p.data}}
	b, err := request.Marshal(nil) // the kernel fills in ICMPv6's checksum
	if err != nil {
		return 0, err
	}
	start := time.Now()
	_ = p.conn.SetDeadline(start.Add(timeout))
	defer context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := p.conn.WriteTo(b, &net.IPAddr{IP: p.to.AsSlice(), Zone: p.to.Zone()}); err != nil {
		return 0, err
	}
	for {
		n, _, err := p.conn.ReadFrom(p.received)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, ErrNoAnswer
		}
		if err != nil {
			return 0, err
		}
		if done, err := p.judge(p.received[:n]); done {
			return time.Since(start), err
		}
	}
}

// judge tells whether an ICMP message settles the request in flight, and how. A
// raw socket receives all ICMP messages of the namespace.
func (p *pinger) judge(b []byte) (done bool, err error) {
	m, err := icmp.ParseMessage(p.proto, b)
	if err != nil {
		return false, nil
	}
	switch body := m.Body.(type) {
	case *icmp.Echo:
		if m.Type != p.reply || body.ID != p.id || body.Seq != p.seq&0xffff {
			return false, nil
		}
		if !bytes.Equal(body.Data, p.data) {
			return true, errors.New("the answer's payload differs")
		}
		return true, nil
	case *icmp.DstUnreach:
		return p.quoted(body.Data), fmt.Errorf("%v, code %d", m.Type, m.Code)
	case *icmp.TimeExceeded:
		return p.quoted(body.Data), fmt.Errorf("%v", m.Type)
	case *icmp.PacketTooBig:
		return p.quoted(body.Data), fmt.Errorf("%v, MTU %d", m.Type, body.MTU)
	}
	return false, nil
}

// quoted tells whether an ICMP error quotes the request in flight.
func (p *pinger) quoted(b []byte) bool {
	header := ipv6.HeaderLen
	if p.proto == unix.IPPROTO_ICMP && len(b) > 0 {
		header = int(b[0]&0xf) * 4
	}
	if len(b) < header+8 {
		return false
	}
	m, err := icmp.ParseMessage(p.proto, b[header:])
	if err != nil {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && echo.ID == p.id && echo.Seq == p.seq&0xffff
}
