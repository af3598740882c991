package etcdsync

import (
	"sync"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
)

// Origin is the key in etcd that a row of the tables comes from.
type Origin struct {
	// Key is below the prefix, Rev the revision of its value.
	Key string
	Rev int64
	// By is who said so.
	By fdb.Origin
}

// Origins tells where the rows of the tables come from, for people: the tables
// themselves have no room for it. The zero Origins knows nothing before it is
// given to Follow.
type Origins struct {
	mu    sync.Mutex
	board *board // guarded by mu, and so is all that it has of rows
}

// Station returns what the entry of a station comes from. What this host says of
// itself is an origin too.
func (o *Origins) Station(k fdb.Key) (Origin, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.board == nil {
		return Origin{}, false
	}
	return originOf(o.board.macs.holder(k))
}

// Binding returns what the binding of an IP address comes from.
func (o *Origins) Binding(k arpproxy.Key) (Origin, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.board == nil {
		return Origin{}, false
	}
	return originOf(o.board.ips.holder(k))
}

func originOf(r *row) (Origin, bool) {
	if r == nil {
		return Origin{}, false
	}
	return Origin{Key: r.name(), Rev: r.rev, By: r.origin()}, true
}

// follow has o tell of a board from now on.
func (o *Origins) follow(b *board) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.board = b
}
