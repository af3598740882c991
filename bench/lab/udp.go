//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	seqLen      = 8     // each datagram begins with its number
	maxDatagram = 65507 // payload of the largest UDP datagram over IPv4
	udpBatch    = 64    // datagrams a system call
	udpBuffer   = 16 << 20
	maxSeq      = 1 << 32
	// silence is how long nothing must have arrived after the last was sent before
	// the rest counts as lost.
	silence = 250 * time.Millisecond
)

// UDP sends numbered datagrams as fast as it can and counts what arrives. Loss is
// no error, it is Sent less Received.
func (n *Node) UDP(ctx context.Context, to *Node, f Flow) (Transfer, error) {
	f, err := f.withDefaults(to)
	if err != nil {
		return Transfer{}, err
	}
	t, err := n.udp(ctx, to, f)
	if err != nil {
		return t, fmt.Errorf("UDP from %s to %s (%v): %w", n.Name, to.Name, f.At, err)
	}
	return t, nil
}

func (n *Node) udp(ctx context.Context, to *Node, f Flow) (Transfer, error) {
	in, err := Target{to, f.At}.listen()
	if err != nil {
		return Transfer{}, err
	}
	defer in.Close()
	out, err := n.Dial(ctx, "udp", in.LocalAddr().String())
	if err != nil {
		return Transfer{}, err
	}
	defer out.Close()
	defer closeOnEnd(ctx, out, in)()

	start := time.Now()
	got := &tally{last: start, next: make([]uint64, 1)}
	var wg sync.WaitGroup
	wg.Go(func() { got.collect(in, f.Size) })
	sent, err := blast(out.(*net.UDPConn), f, start)
	got.over.Store(true)
	_ = in.SetReadDeadline(time.Now().Add(silence))
	wg.Wait()
	t := got.Transfer
	t.Sent, t.Took = sent, got.last.Sub(start)
	return t, because(ctx, errors.Join(err, got.err))
}

// bigBuffer lets bursts wait in the socket instead of being lost there.
func bigBuffer(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer)
	})
	return errors.Join(err, failed)
}

// messages makes a batch of buffers.
func messages(size int) []ipv4.Message {
	batch := make([]ipv4.Message, udpBatch)
	for i := range batch {
		batch[i].Buffers = [][]byte{make([]byte, size)}
	}
	return batch
}

// blast sends until the flow is used up and returns how many went.
func blast(c *net.UDPConn, f Flow, start time.Time) (sent int64, err error) {
	pc := ipv4.NewPacketConn(c) // sendmmsg works the same over IPv6
	batch := messages(f.Size)
	for {
		n := udpBatch
		if f.Bytes > 0 {
			n = int(min(udpBatch, (f.Bytes+int64(f.Size)-1)/int64(f.Size)-sent))
		}
		if n == 0 || f.For > 0 && time.Since(start) >= f.For {
			return sent, nil
		}
		for i := range n {
			binary.BigEndian.PutUint64(batch[i].Buffers[0], uint64(sent)+uint64(i))
		}
		went, err := pc.WriteBatch(batch[:n], 0)
		sent += int64(max(went, 0))
		// A receiver that is not there yet answers with ICMP errors.
		if err != nil && !isErrno(err, unix.ECONNREFUSED) && !isErrno(err, unix.ENOBUFS) {
			return sent, err
		}
	}
}

// tally is what a receiver has seen.
type tally struct {
	Transfer
	seen []uint64    // a bit a number
	next []uint64    // by flow: one above the highest number seen; the flows take turns
	last time.Time   // when something arrived
	over atomic.Bool // the sender is done
	err  error
}

// collect receives until the sender is done and nothing has come for a while.
func (t *tally) collect(c *net.UDPConn, size int) {
	pc := ipv4.NewPacketConn(c)
	batch := messages(size)
	for {
		n, err := pc.ReadBatch(batch, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			t.err = err
			return
		}
		t.last = time.Now()
		if t.over.Load() {
			_ = c.SetReadDeadline(t.last.Add(silence))
		}
		for _, m := range batch[:n] {
			t.count(m.Buffers[0][:m.N])
		}
	}
}

// count takes one datagram in.
func (t *tally) count(b []byte) {
	if len(b) < seqLen {
		return
	}
	seq := binary.BigEndian.Uint64(b)
	if seq > maxSeq {
		return // not ours
	}
	word, bit := seq/64, uint64(1)<<(seq%64)
	for uint64(len(t.seen)) <= word {
		t.seen = append(t.seen, 0)
	}
	if t.seen[word]&bit != 0 {
		t.Doubled++
		return
	}
	t.seen[word] |= bit
	t.Received++
	t.Bytes += int64(len(b))
	next := &t.next[seq%uint64(len(t.next))]
	if seq < *next {
		t.Reordered++
	}
	*next = max(*next, seq+1)
}
