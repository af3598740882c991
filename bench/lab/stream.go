//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// streamSize is the payload of a stream's datagrams, in bytes.
const streamSize = 64

// Stream is numbered datagrams both ways between two nodes, one at every beat,
// until it is stopped: whatever happens meanwhile shows in what is missing.
type Stream struct {
	name   string
	ways   [2]*way
	stop   chan struct{} // closed by Stop
	once   sync.Once
	sends  sync.WaitGroup
	reads  sync.WaitGroup
	result [2]Streamed
	err    error
}

// Streamed is what came of one direction.
type Streamed struct {
	Transfer
	Refused   int64         // datagrams that the sender's kernel did not take; they count as sent
	Hole      time.Duration // longest time in which nothing arrived
	FirstLost time.Duration // when the first datagram was sent that never arrived; negative: all arrived
}

// Lost is how many datagrams did not arrive.
func (s Streamed) Lost() int64 { return s.Sent - s.Received }

// String tells it for people.
func (s Streamed) String() string {
	return fmt.Sprintf("sent %d, lost %d (first after %v), refused %d, doubled %d, reordered %d, longest hole %v",
		s.Sent, s.Lost(), s.FirstLost.Round(time.Millisecond), s.Refused, s.Doubled, s.Reordered, s.Hole.Round(time.Millisecond))
}

// way is one direction of a stream.
type way struct {
	from, to *net.UDPConn
	at       netip.AddrPort
	start    time.Time
	when     []time.Duration // since start, by number
	refused  int64
	arrived  atomic.Int64
	news     chan struct{} // something has arrived; holds one
	tally
	hole time.Duration
}

// Stream begins to send from n to another node and back, a datagram each way
// at every beat. A beat that the sender is late for is left out. It ends with
// Stop, which must be called.
func (n *Node) Stream(to *Node, every time.Duration) (*Stream, error) {
	s := &Stream{name: n.Name + " and " + to.Name, stop: make(chan struct{})}
	near, err := n.listen(n.Addr, 1)
	if err != nil {
		return nil, err
	}
	far, err := to.listen(to.Addr, 1)
	if err != nil {
		closeAll(near)
		return nil, err
	}
	s.ways = [2]*way{newWay(near[0], far[0]), newWay(far[0], near[0])}
	for _, w := range s.ways {
		s.reads.Go(w.collect)
		s.sends.Go(func() { w.send(every, s.stop) })
	}
	return s, nil
}

func newWay(from, to *net.UDPConn) *way {
	at := to.LocalAddr().(*net.UDPAddr).AddrPort()
	w := &way{from: from, to: to, at: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), start: time.Now(), news: make(chan struct{}, 1)}
	w.next, w.last = make([]uint64, 1), w.start
	return w
}

// send sends until it is told to stop.
func (w *way) send(every time.Duration, stop <-chan struct{}) {
	beat := time.NewTicker(every)
	defer beat.Stop()
	buf := make([]byte, streamSize)
	for {
		select {
		case <-stop:
			return
		case <-beat.C:
		}
		binary.BigEndian.PutUint64(buf, uint64(len(w.when)))
		w.when = append(w.when, time.Since(w.start))
		if _, err := w.from.WriteToUDPAddrPort(buf, w.at); err != nil {
			w.refused++
		}
	}
}

// collect receives until it is told to stop.
func (w *way) collect() {
	buf := make([]byte, streamSize+1)
	for {
		n, _, err := w.to.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				w.err = err
			}
			return
		}
		now := time.Now()
		w.hole, w.last = max(w.hole, now.Sub(w.last)), now
		w.count(buf[:n])
		w.arrived.Store(w.Received)
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}

// Stop ends the sending, waits for what is under way, and tells of both
// directions: from the node that Stream was called on, and back. What was sent
// and did not arrive is no error. Further calls return what the first did.
func (s *Stream) Stop(ctx context.Context) ([2]Streamed, error) {
	s.once.Do(func() { s.end(ctx) })
	return s.result, s.err
}

func (s *Stream) end(ctx context.Context) {
	close(s.stop)
	s.sends.Wait()
	stopped := time.Now()
	for _, w := range s.ways {
		w.await(ctx)
	}
	for _, w := range s.ways {
		_ = w.to.SetReadDeadline(time.Unix(1, 0))
	}
	s.reads.Wait()
	var errs []error
	for i, w := range s.ways {
		s.result[i] = w.result(stopped)
		errs = append(errs, w.err, w.to.Close())
	}
	if err := because(ctx, errors.Join(errs...)); err != nil {
		s.err = fmt.Errorf("stream between %s: %w", s.name, err)
	}
}

// await waits until all that was sent has arrived, or nothing did for a while.
func (w *way) await(ctx context.Context) {
	for w.arrived.Load() < int64(len(w.when)) {
		select {
		case <-w.news:
		case <-time.After(lull):
			return
		case <-ctx.Done():
			return
		}
	}
}

func (w *way) result(stopped time.Time) Streamed {
	r := Streamed{Transfer: w.Transfer, Refused: w.refused, Hole: max(w.hole, stopped.Sub(w.last)), FirstLost: -1}
	r.Sent, r.Took = int64(len(w.when)), w.last.Sub(w.start)
	for number, when := range w.when {
		if word := number / 64; word >= len(w.seen) || w.seen[word]&(1<<(number%64)) == 0 {
			r.FirstLost = when
			break
		}
	}
	return r
}
