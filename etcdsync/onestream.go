package etcdsync

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// oneStream marks the context of a watch that ends with its stream. etcd's
// client would open another one by itself and go on at the next revision, and
// nobody would hear of it. But who answers there may be an etcd that was
// restored from a backup and has come further since: the same cluster, no
// revision that went back, and everything in between is another history.
type oneStream struct{}

// inOneStream returns a context for a watch that is to have one stream.
func inOneStream(ctx context.Context) context.Context {
	return context.WithValue(ctx, oneStream{}, new(atomic.Bool))
}

// refuseSecond is a grpc interceptor: it opens a stream, unless that is the
// second attempt for a watch that is to have one. The code is none that etcd's
// client tries again after.
func refuseSecond(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if tried, ok := ctx.Value(oneStream{}).(*atomic.Bool); ok && tried.Swap(true) {
		return nil, status.Error(codes.Aborted, "the connection with the member that served it broke")
	}
	return open(ctx, d, c, method, opts...)
}
