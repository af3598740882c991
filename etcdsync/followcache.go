package etcdsync

import (
	"io"
	"time"
)

// A cache is written keepAfter after a change, and longer after it the more
// rows there are: what it costs must not depend on how often things change.
const (
	keepAfter  = time.Second
	keepPerRow = 500 * time.Microsecond
)

// recall begins with the tables of an earlier run, or of this one. A cache that
// cannot be used is as good as none.
func (f *follower) recall(text io.ReadSeekCloser, resumed bool) {
	if text == nil {
		return
	}
	defer text.Close()
	c, err := parseCache(text)
	if err != nil {
		f.log.Warn().Err(err).Msg("tables of the last run cannot be used; waiting for etcd")
		return
	}
	if c.Prefix != f.store.prefix || c.Node != f.in.board.me.node {
		f.log.Warn().Str("prefix", c.Prefix).Str("node", c.Node).
			Msg("tables of the last run are of another network or another host; waiting for etcd")
		return
	}
	f.origins.mu.Lock()
	err = c.keys(func(k *cachedKey) { f.in.put(k.Key, k.kv()) })
	f.origins.mu.Unlock()
	if err != nil {
		f.log.Warn().Err(err).Msg("tables of the last run were read in part only")
	}
	f.at, f.heard = header{c.Cluster, c.Rev}, c.Heard
	f.loaded, f.stale = true, !resumed
	if f.stale {
		f.log.Info().Int("keys", c.Keys).Int64("rev", c.Rev).Time("stale_since", c.Heard).
			Msg("forwarding from the tables of the last run until etcd answers")
	}
	f.flush()
}

// cacheKeeper keeps caches, in a goroutine of its own: writing one takes as long as
// the disk does. Of several that wait the last one is kept.
type cacheKeeper struct {
	save func(io.WriterTo)
	next chan *snapshot
}

func newCacheKeeper(save func(io.WriterTo)) *cacheKeeper {
	return &cacheKeeper{save: save, next: make(chan *snapshot, 1)}
}

// put hands over what a cache is made of. It never waits.
func (k *cacheKeeper) put(s *snapshot) {
	select {
	case <-k.next:
	default:
	}
	k.next <- s
}

// run keeps what put hands over, until next is closed.
func (k *cacheKeeper) run() {
	for s := range k.next {
		k.save(s)
	}
}

// remember sees to it that what changed is in the cache some time later.
func (f *follower) remember() {
	if f.keeper != nil && !f.keep.running {
		f.keep.start(keepAfter + keepPerRow*time.Duration(f.in.board.rows.len()))
	}
}

// cache hands the tables as they are to the keeper, unless they are those of
// the last run still.
func (f *follower) cache() {
	f.keep.stop()
	if f.keeper == nil || f.stale || !f.loaded {
		return
	}
	f.keeper.put(newSnapshot(cacheHead{
		Prefix: f.store.prefix, Node: f.in.board.me.node, Cluster: f.at.cluster, Rev: f.at.rev, Heard: f.heard,
	}, &f.in.board.rows))
}
