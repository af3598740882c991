package hostnet

import (
	"context"
	"fmt"
	"syscall"
)

// WatchConfig names what to watch.
type WatchConfig struct {
	// TAP and Underlay are names of interfaces, which need not be there yet;
	// an empty one is not watched.
	TAP, Underlay string
	// Routes are the routes that should be there; nil when there are none.
	Routes *Routes
}

// Watch calls events for everything that others do to the TAP, our routes and
// the underlay, until ctx is done; cancelling is no error. What changed before
// Watch had subscribed is covered by its first event, Resync. Events are called
// one at a time and from this goroutine, and may call any method of the Host;
// what happens meanwhile is seen afterwards. What is done through this Host, by
// EnsureLink and Routes, is not told.
//
// Announcements only say where to look. What happened is found by comparing
// what is with what was, so that many changes in a short time are one event,
// and a change that was undone in the meantime is none.
func (h *Host) Watch(ctx context.Context, c WatchConfig, events func(Event)) error {
	s, err := h.subscribe()
	if err != nil {
		return fmt.Errorf("watch the network: %w", err)
	}
	defer s.close()
	stop := context.AfterFunc(ctx, s.close) // wakes the reader
	defer stop()
	w := watcher{
		host:     h,
		routes:   c.Routes,
		tap:      sight{name: c.TAP},
		underlay: sight{name: c.Underlay, routes: true},
	}
	if _, err := w.look(true); err != nil {
		return fmt.Errorf("watch the network: %w", err)
	}
	events(Event{Kind: Resync})
	for ctx.Err() == nil {
		es, err := w.next(s)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch the network: %w", err)
		}
		for _, e := range es {
			events(e)
		}
	}
	return nil
}

// watcher knows what it saw last and where it must look next.
type watcher struct {
	host     *Host
	routes   *Routes
	tap      sight
	underlay sight
	gateway  string // the interface of the best default route

	lost         bool // routes of ours were removed
	lookTAP      bool
	lookUnderlay bool
}

// next waits for announcements and returns what they came to.
func (w *watcher) next(s *subscription) ([]Event, error) {
	overrun, err := s.receive(w.note)
	if err != nil {
		return nil, err
	}
	es, err := w.look(overrun)
	if overrun {
		es = append([]Event{{Kind: Resync}}, es...)
	}
	return es, err
}

// note takes one announcement and remembers where to look.
func (w *watcher) note(m syscall.NetlinkMessage) {
	switch a := newAnnouncement(m); a.about {
	case aboutInterface:
		w.lookTAP = w.lookTAP || w.tap.concerned(a.index)
		w.lookUnderlay = w.lookUnderlay || w.underlay.concerned(a.index)
	case aboutRoute:
		w.lookUnderlay = w.lookUnderlay || a.dst.Bits() == 0
		w.lost = w.lost || a.port != w.host.port && (a.lost || w.routes.wants(a.dst))
	}
}

// look finds out what happened where note said, or everywhere.
func (w *watcher) look(everywhere bool) ([]Event, error) {
	var es []Event
	if everywhere || w.lookTAP {
		was, is, err := w.host.see(&w.tap)
		if err != nil {
			return nil, err
		}
		es = append(es, tapEvents(was, is)...)
	}
	if everywhere || w.lookUnderlay {
		was, is, err := w.host.see(&w.underlay)
		if err != nil {
			return nil, err
		}
		es = append(es, underlayEvents(was, is)...)
		e, err := w.lookForGateway()
		if err != nil {
			return nil, err
		}
		es = append(es, e...)
	}
	if w.lost {
		es = append(es, Event{Kind: RoutesLost, Device: w.tap.name})
	}
	w.lost, w.lookTAP, w.lookUnderlay = false, false, false
	return es, nil
}

// lookForGateway finds out whether the best default route leads elsewhere now.
func (w *watcher) lookForGateway() ([]Event, error) {
	if w.underlay.name == "" {
		return nil, nil
	}
	defaults, err := w.host.defaultRoutes(0)
	if err != nil {
		return nil, err
	}
	was := w.gateway
	w.gateway = ""
	if len(defaults) > 0 {
		if w.gateway, err = w.host.nameOf(defaults[0].index); err != nil {
			return nil, err
		}
	}
	return changes(w.underlay.name, []change{{UnderlayRoute, orNone(was), orNone(w.gateway)}}), nil
}
