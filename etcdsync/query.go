package etcdsync

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/stats"
)

// query is a request, or the stream of a watch: where it went and how it
// ended, as grpc tells it. etcd's client keeps both to itself.
type query struct {
	lines *lines

	mu   sync.Mutex
	line *line // it was sent on last; nil: no member was connected
	sent int64 // when, see lines.now
	err  error // it ended with, below etcd's client
}

type queryKey struct{}

// in returns a context for the calls that belong to the query.
func (q *query) in(ctx context.Context) context.Context { return context.WithValue(ctx, queryKey{}, q) }

// cutSilent closes the connection that the query was sent on if nothing has
// come over it since then, or for a time, and reports whether that was so. What
// else is on the connection goes on with another member.
func (q *query) cutSilent(lately time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.line == nil || q.line.heard.Load() > max(q.sent, q.lines.now()-int64(lately)) {
		return false
	}
	_ = q.line.raw.Close()
	return true
}

func (q *query) cause() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

// queries is what grpc tells about calls to. It notes it with the query that
// they belong to.
type queries struct{ lines *lines }

// TagRPC adds nothing.
func (queries) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC notes where a call was sent and how it ended.
func (s queries) HandleRPC(ctx context.Context, about stats.RPCStats) {
	q, ok := ctx.Value(queryKey{}).(*query)
	if !ok {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch about := about.(type) {
	case *stats.OutHeader:
		q.line, q.sent = s.lines.of(about.LocalAddr), s.lines.now()
	case *stats.End:
		q.err = about.Error
	}
}

// TagConn adds nothing.
func (queries) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn does nothing.
func (queries) HandleConn(context.Context, stats.ConnStats) {}
