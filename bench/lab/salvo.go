//go:build linux

package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lull is how long nothing must have arrived until the rest counts as lost. A
// volley of which nothing is lost does not wait for it.
const lull = time.Second

// salvo is one direction of a volley.
type salvo struct {
	Volley
	from, to []*net.UDPConn // by flow
	text     []byte         // what datagrams are cut from
	sent     int64
	arrived  atomic.Int64
	news     chan struct{} // something has arrived; holds one
	tallies  []tally       // by flow
}

// turns is after how many numbers the payloads begin anew.
const turns = 251

func newSalvo(v Volley, from, to []*net.UDPConn) *salvo {
	s := &salvo{Volley: v, from: from, to: to, text: make([]byte, v.Size+turns), news: make(chan struct{}, 1), tallies: make([]tally, v.Flows)}
	for i := range s.tallies {
		s.tallies[i].next = make([]uint64, 1)
	}
	_, _ = rand.NewChaCha8([32]byte{}).Read(s.text)
	return s
}

// put writes the datagram of a number.
func (s *salvo) put(b []byte, number uint64) {
	copy(b, s.text[number%turns:])
	binary.BigEndian.PutUint64(b, number)
}

// fire sends all and waits for it.
func (s *salvo) fire(ctx context.Context) (Transfer, error) {
	var wg sync.WaitGroup
	errs := make([]error, s.Flows+1)
	start := time.Now()
	for i := range s.to {
		wg.Go(func() { errs[i] = s.collect(i) })
	}
	errs[s.Flows] = s.send(ctx)
	s.Sent()
	s.await(ctx)
	for _, c := range s.to {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
	wg.Wait()
	t := Transfer{Sent: s.sent, Took: time.Since(start)}
	for i := range s.tallies {
		got := &s.tallies[i].Transfer
		t.Bytes += got.Bytes
		t.Received += got.Received
		t.Doubled += got.Doubled
		t.Reordered += got.Reordered
	}
	return t, errors.Join(errs...)
}

// send goes round by round and flow by flow. Without Flood it ends with the first
// round that does not arrive whole.
func (s *salvo) send(ctx context.Context) error {
	buf := make([]byte, s.Burst*s.Size)
	for round := range s.Rounds {
		for flow := range s.Flows {
			for i := range s.Burst {
				s.put(buf[i*s.Size:][:s.Size], uint64(round*s.Burst+i))
			}
			if err := s.burst(flow, buf); err != nil {
				return err
			}
		}
		if !s.Flood && !s.await(ctx) {
			return nil
		}
	}
	return nil
}

// burst sends what is in buf on a flow.
func (s *salvo) burst(flow int, buf []byte) error {
	to := s.to[flow].LocalAddr().(*net.UDPAddr).AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if s.Segment {
		_, _, err := s.from[flow].WriteMsgUDPAddrPort(buf, segmentControl(s.Size), to)
		s.sent += int64(s.Burst)
		return err
	}
	for ; len(buf) > 0; buf = buf[s.Size:] {
		if _, err := s.from[flow].WriteToUDPAddrPort(buf[:s.Size], to); err != nil {
			return err
		}
		s.sent++
	}
	return nil
}

// segmentControl is the control message UDP_SEGMENT.
func segmentControl(size int) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size))
	return b
}

// await waits until all that was sent has arrived, and reports whether it has.
func (s *salvo) await(ctx context.Context) bool {
	for s.arrived.Load() < s.sent {
		select {
		case <-s.news:
		case <-time.After(lull):
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// collect receives on one flow until it is told to stop.
func (s *salvo) collect(flow int) error {
	buf, want := make([]byte, s.Size+1), make([]byte, s.Size)
	for {
		n, _, err := s.to[flow].ReadFromUDPAddrPort(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		number := uint64(0)
		if n >= seqLen {
			number = binary.BigEndian.Uint64(buf)
		}
		if s.put(want, number); !bytes.Equal(buf[:n], want) {
			return fmt.Errorf("%w: %d bytes with the number %d", ErrCorrupt, n, number)
		}
		s.tallies[flow].count(buf[:n])
		s.arrived.Add(1)
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
}
