package etcdsync

import (
	"context"
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
)

// FollowConfig says what Follow needs to know of the host.
type FollowConfig struct {
	// Network is the configuration the agent runs with.
	Network Network
	// NodeID is the host's identity; what carries it is not a peer.
	NodeID string
	// Own are the host's underlay addresses, public ones included. They tell
	// which address of a peer to send to, and that none of them is a peer's.
	Own []netip.Addr
	// MAC is the host's VTEP address; no peer can have it.
	MAC ether.Addr
	// MassDeleteHold is how long a fresh list that lacks more than half of
	// the rows is doubted, 0 means 60 seconds, negative not at all.
	MassDeleteHold time.Duration
	// Publish receives the tables, first when the first list is complete and
	// then after each change. Calls come one after another; while one lasts,
	// changes gather.
	Publish func(*Tables)
}

// Follow keeps tables that say what etcd says: it lists everything under the
// prefix, watches from the next revision, and lists again whenever there is a
// doubt. Tables are never emptied by an error. It ends with ctx and returns
// nil then; nothing else ends it.
func (s *Store) Follow(ctx context.Context, c FollowConfig) error { return errTodo }
