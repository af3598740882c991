package main

import (
	"context"
	"sync"
	"time"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
)

// announceRate bounds the gratuitous ARP frames into the TAP, a second.
const announceRate = 1000

// announcer holds the bindings that the stations behind the TAP are to be told
// of. Of several for one address the last is told.
type announcer struct {
	mu      sync.Mutex
	pending map[arpproxy.Key]ether.Addr // guarded by mu
	more    chan struct{}
}

func newAnnouncer() *announcer {
	return &announcer{pending: map[arpproxy.Key]ether.Addr{}, more: make(chan struct{}, 1)}
}

func (n *announcer) add(changes []etcdsync.Change) {
	if len(changes) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		n.pending[c.Key] = c.MAC
	}
	select {
	case n.more <- struct{}{}:
	default:
	}
}

func (n *announcer) take() (k arpproxy.Key, mac ether.Addr, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, mac = range n.pending {
		delete(n.pending, k)
		return k, mac, true
	}
	return k, mac, false
}

// announce tells of changed bindings until ctx ends.
func (p *plane) announce(ctx context.Context) error {
	tick := time.NewTicker(time.Second / announceRate)
	defer tick.Stop()
	for {
		k, mac, ok := p.callers.take()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-p.callers.more:
				continue
			}
		}
		p.mu.Lock()
		err := p.net.Announce(k.IP, mac)
		p.mu.Unlock()
		if err != nil {
			p.log.Debug().Err(err).Stringer("binding", k).Msg("announcement not written")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
