package etcdsync

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// pieces is the reading side of a connection on which a piece of so many bytes
// comes now and then, each byte of it being read or waiting.
type pieces struct {
	net.Conn
	began time.Time
	every time.Duration
	size  int
	read  int // bytes
}

func (p *pieces) Read(b []byte) (int, error) {
	there := func() int { return int(time.Since(p.began)/p.every) * p.size }
	if p.read == there() {
		time.Sleep(p.every - time.Since(p.began)%p.every)
	}
	n := min(len(b), there()-p.read)
	p.read += n
	return n, nil
}

// readFor reads for a while, and returns how often, and how many bytes came.
func readFor(c io.Reader, size int, while time.Duration) (reads, bytes int) {
	b := make([]byte, size)
	for end := time.Now().Add(while); time.Now().Before(end); reads++ {
		n, _ := c.Read(b)
		bytes += n
	}
	return reads, bytes
}

func TestManySmallPiecesAreReadTogether(t *testing.T) {
	for _, c := range []struct {
		every          time.Duration // between two pieces
		size           int           // of a piece
		buffer         int           // of the reader
		minRead, atMax int           // reads in ten seconds
	}{
		{5 * time.Millisecond, 300, 32 << 10, 500, 555},              // changes
		{time.Millisecond, 300, 32 << 10, 500, 555},                  // many of them
		{time.Millisecond, 300, 512, 500, 10 * 1000 * 300 / 512 * 2}, // into a small buffer
		{100 * time.Millisecond, 300, 32 << 10, 99, 101},             // few
		{time.Millisecond, largePiece, 32 << 10, 5_000, 10_000},      // a list
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &pieces{began: time.Now(), every: c.every, size: c.size}
			reads, bytes := readFor(inBatches(p), c.buffer, 10*time.Second)
			if reads < c.minRead || reads > c.atMax {
				t.Errorf("%d bytes every %v into %d: %d reads, want %d to %d", c.size, c.every, c.buffer, reads, c.minRead, c.atMax)
			}
			due := int(10*time.Second/c.every) * c.size
			if late := due - bytes; late > c.size*int(batchEvery/c.every+1) {
				t.Errorf("%d bytes every %v into %d: %d bytes behind", c.size, c.every, c.buffer, late)
			}
		})
	}
}

func TestARequestAndItsAnswerAreNotHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inBatches(&pieces{began: time.Now(), every: time.Millisecond, size: 100})
		b, began := make([]byte, 4096), time.Now()
		for range batchBurst {
			_, _ = c.Read(b)
		}
		if took := time.Since(began); took != batchBurst*time.Millisecond {
			t.Errorf("%d pieces, one a millisecond, took %v", batchBurst, took)
		}
	})
}

// Whoever finds a connection broken reads from it beside its reader: under the race
// detector this shows whether they may.
func TestTwoMayReadABatchedConnection(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := inBatches(near)
	done := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := io.ReadFull(c, make([]byte, 3))
			done <- err
		}()
	}
	for range 6 {
		if _, err := far.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
