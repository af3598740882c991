package etcdsync

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// While etcd has much to tell in small pieces, as of changes that come one by one,
// waking up costs more than what is read: through grpc and etcd's client each
// piece passes six goroutines. So a connection that delivers more than one piece
// every batchEvery is let gather for that long between two reads, as a network
// card's interrupts are. batchBurst pieces in a row are not held up: a request and
// its answer, and a start as a whole, are few.
const (
	batchEvery = 20 * time.Millisecond
	batchBurst = 50
	// largePiece is from how many bytes on a read is none of a small piece:
	// lists come as fast as they can.
	largePiece = 16 << 10
)

// batched is a connection that is read in batches. It must be below TLS, where a
// read returns one record however many there are. One goroutine reads from it, and at
// the end the one that finds it broken (line.Write).
type batched struct {
	net.Conn
	pieces *rate.Limiter
	began  time.Time
	next   atomic.Int64 // when the next read may begin, in nanoseconds since then
}

func inBatches(c net.Conn) *batched {
	return &batched{Conn: c, pieces: rate.NewLimiter(rate.Every(batchEvery), batchBurst), began: time.Now()}
}

// Read reads what there is, and waits before that, a batchEvery at most, if small
// pieces were many lately. One that fills b is followed at once: there is more.
func (c *batched) Read(b []byte) (int, error) {
	time.Sleep(time.Duration(c.next.Load()) - time.Since(c.began))
	n, err := c.Conn.Read(b)
	if n < min(len(b), largePiece) {
		now := time.Now()
		c.next.Store(int64(now.Sub(c.began) + c.pieces.ReserveN(now, 1).DelayFrom(now)))
	}
	return n, err
}
