//go:build linux

package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// chunk is what one call of read or write takes.
const chunk = 256 << 10

// ErrCorrupt says that what arrived is not what was sent.
var ErrCorrupt = errors.New("data corrupted on the way")

// TCP sends bytes from the node to another over TCP and closes the connections.
// It fails with ErrCorrupt if what arrived is not what was sent, by length and
// SHA-256. The direction is from n to the other.
func (n *Node) TCP(ctx context.Context, to *Node, f Flow) (Transfer, error) {
	f, err := f.withDefaults(to)
	if err != nil {
		return Transfer{}, err
	}
	t, err := n.tcp(ctx, to, f)
	if err != nil {
		return t, fmt.Errorf("TCP from %s to %s (%v): %w", n.Name, to.Name, f.At, err)
	}
	return t, nil
}

func (n *Node) tcp(ctx context.Context, to *Node, f Flow) (Transfer, error) {
	var ln net.Listener
	err := to.Do(func() (err error) {
		lc := net.ListenConfig{}
		lc.SetMultipathTCP(false) // plain TCP is what is measured
		ln, err = lc.Listen(ctx, "tcp", netip.AddrPortFrom(f.At, 0).String())
		return err
	})
	if err != nil {
		return Transfer{}, err
	}
	defer ln.Close()
	streams := make([]*stream, f.Streams)
	for i := range streams {
		if streams[i], err = n.connect(ctx, ln, f); err != nil {
			return Transfer{}, because(ctx, err)
		}
		defer streams[i].close()
		defer closeOnEnd(ctx, streams[i].out, streams[i].in)()
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, s := range streams {
		wg.Go(func() { s.sendErr = s.send(start) })
		wg.Go(func() { s.receiveErr = s.receive() })
	}
	wg.Wait()
	t := Transfer{Took: time.Since(start)}
	var errs []error
	for _, s := range streams {
		t.Bytes += s.received
		errs = append(errs, s.verdict())
	}
	return t, because(ctx, errors.Join(errs...))
}

// stream is one TCP connection, both ends of it.
type stream struct {
	flow    Flow
	share   int64 // of Bytes
	out, in net.Conn

	sent, received      int64
	sendErr, receiveErr error
	sentSum, gotSum     hash.Hash // nil without hashing
}

// connect dials the listener and accepts what arrives.
func (n *Node) connect(ctx context.Context, ln net.Listener, f Flow) (*stream, error) {
	s := &stream{flow: f, share: f.Bytes / int64(f.Streams)}
	if !f.NoHash {
		s.sentSum, s.gotSum = sha256.New(), sha256.New()
	}
	var err error
	if s.out, err = n.Dial(ctx, "tcp", ln.Addr().String()); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	if s.in, err = ln.Accept(); err != nil {
		_ = s.out.Close()
		return nil, err
	}
	return s, nil
}

// send writes random bytes until the share or the time is used up.
func (s *stream) send(start time.Time) error {
	defer s.out.(*net.TCPConn).CloseWrite()
	source := rand.NewChaCha8([32]byte{}) // any bytes, as long as they do not repeat
	buf := make([]byte, chunk)
	for first := true; ; first = false {
		b := buf[:s.left(start)]
		if len(b) == 0 {
			return nil
		}
		if first || s.sentSum != nil {
			_, _ = source.Read(b)
		}
		if s.sentSum != nil {
			s.sentSum.Write(b)
		}
		n, err := s.out.Write(b)
		s.sent += int64(n)
		if err != nil {
			return err
		}
	}
}

// left is how many bytes to write next, 0 when done.
func (s *stream) left(start time.Time) int64 {
	if s.flow.For > 0 {
		if time.Since(start) >= s.flow.For {
			return 0
		}
		return chunk
	}
	return min(s.share-s.sent, chunk)
}

// receive reads to the end.
func (s *stream) receive() error {
	buf := make([]byte, chunk)
	for {
		n, err := s.in.Read(buf)
		s.received += int64(n)
		if s.gotSum != nil {
			s.gotSum.Write(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) verdict() error {
	if err := errors.Join(s.sendErr, s.receiveErr); err != nil {
		return err
	}
	if s.sent != s.received {
		return fmt.Errorf("%w: sent %d bytes, received %d", ErrCorrupt, s.sent, s.received)
	}
	if s.gotSum != nil && !bytes.Equal(s.gotSum.Sum(nil), s.sentSum.Sum(nil)) {
		return fmt.Errorf("%w: SHA-256 differs over %d bytes", ErrCorrupt, s.sent)
	}
	return nil
}

func (s *stream) close() {
	_ = s.out.Close()
	_ = s.in.Close()
}
