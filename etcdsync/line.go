package etcdsync

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// lastWords is how long a broken connection is read from, for the reason.
const lastWords = 100 * time.Millisecond

// line is a connection to a member of etcd, which knows when it was heard from
// last. A member that is frozen keeps its connections, and grpc goes on
// choosing them until a ping is missed, which takes 13 seconds.
type line struct {
	net.Conn
	raw   net.Conn     // below TLS, whose Close waits for a peer that does not read
	heard atomic.Int64 // nanoseconds since lines.began; 0: never
	lines *lines
}

// Read notes that something came, or why nothing ever did.
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	switch {
	case n > 0:
		l.heard.Store(l.lines.now())
		l.lines.refused.Store(nil)
	case err != nil && l.heard.Load() == 0 && !errors.Is(err, net.ErrClosed):
		l.lines.refused.Store(&refusal{err, time.Now()})
	}
	return n, err
}

// Write looks for the member's reason when the connection turns out to be
// broken before a word of the member's.
func (l *line) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	if err != nil && l.heard.Load() == 0 {
		_ = l.raw.SetReadDeadline(time.Now().Add(lastWords))
		_, _ = l.Read(make([]byte, 1))
	}
	return n, err
}

// Close ends the connection.
func (l *line) Close() error {
	l.lines.mu.Lock()
	delete(l.lines.open, l.LocalAddr().String())
	l.lines.mu.Unlock()
	return l.Conn.Close()
}

// refusal is an error in the place of a member's first word.
type refusal struct {
	err error
	at  time.Time
}

// lines are the connections of a Store.
type lines struct {
	began time.Time
	// refused is how a connection last ended without a word from the member:
	// with TLS 1.3 it is there that a certificate is refused, when our side may
	// be writing already and find the connection broken.
	refused atomic.Pointer[refusal]

	mu   sync.Mutex
	open map[string]*line // by local address; guarded by mu
}

func newLines() *lines { return &lines{began: time.Now(), open: make(map[string]*line)} }

func (s *lines) now() int64 { return int64(time.Since(s.began)) }

func (s *lines) add(conn, raw net.Conn) *line {
	l := &line{Conn: conn, raw: raw, lines: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[l.LocalAddr().String()] = l
	return l
}

// of returns the connection with a local address, nil when it is closed.
func (s *lines) of(local net.Addr) *line {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[local.String()]
}

// noting are transport credentials that note the connections they make.
type noting struct {
	credentials.TransportCredentials
	lines *lines
}

// ClientHandshake does the handshake of a new connection.
func (n *noting) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := n.TransportCredentials.ClientHandshake(ctx, authority, inBatches(raw))
	if err != nil {
		return nil, nil, err
	}
	return n.lines.add(conn, raw), info, nil
}

// Clone returns a copy, which notes its connections in the same place.
func (n *noting) Clone() credentials.TransportCredentials {
	return &noting{n.TransportCredentials.Clone(), n.lines}
}
