package hostnet

import (
	"context"
	"errors"
)

// EventKind is what happened behind our back.
type EventKind uint8

// The kinds of events. Each is a reason to look again, none a command: the
// receiver compares with what it wants and calls EnsureLink, Resync or
// FindUnderlay, all of which may be called for nothing.
const (
	// Resync: anything may have happened. It is the first event of each
	// Watch, and comes again when the kernel had to drop notifications.
	Resync EventKind = iota
	// TAPRemoved: the TAP is gone, and its routes with it.
	TAPRemoved
	// TAPAppeared: there is a TAP of that name again.
	TAPAppeared
	// TAPRenamed: the TAP has another name; Is holds it.
	TAPRenamed
	// TAPMAC: the TAP's MAC changed.
	TAPMAC
	// TAPMTU: the TAP's MTU changed.
	TAPMTU
	// TAPDown: the TAP was brought down; the kernel dropped its routes
	// without a word.
	TAPDown
	// TAPUp: the TAP was brought up.
	TAPUp
	// TAPAddr: the TAP's addresses changed.
	TAPAddr
	// TAPBridge: the TAP was moved to another bridge, or out of one.
	TAPBridge
	// RoutesLost: somebody removed routes of ours.
	RoutesLost
	// UnderlayAddr: the underlay's addresses changed.
	UnderlayAddr
	// UnderlayMTU: the underlay's MTU changed, or its default route's.
	UnderlayMTU
	// UnderlayDown: the underlay is down or gone.
	UnderlayDown
	// UnderlayUp: the underlay is up again.
	UnderlayUp
)

// Event is one thing that happened to the TAP, our routes or the underlay.
type Event struct {
	Kind EventKind
	// Device is the interface's name, as it was before the event.
	Device string
	// Was and Is are the old and the new value in words, for the log.
	Was, Is string
}

// WatchConfig names what to watch.
type WatchConfig struct {
	// TAP and Underlay are names of interfaces; an empty one is not watched.
	TAP, Underlay string
}

// Watch calls events for everything that happens to the TAP, our routes or the
// underlay until ctx is done; cancelling is no error. What changed before Watch
// had subscribed is covered by its first event, Resync. Events are called one
// at a time and from this goroutine; what happens meanwhile is not lost.
func (h *Host) Watch(ctx context.Context, c WatchConfig, events func(Event)) error {
	return errors.ErrUnsupported
}
