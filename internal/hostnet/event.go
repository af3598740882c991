package hostnet

import "fmt"

// EventKind is what happened behind our back.
type EventKind uint8

// The kinds of events. Each is a reason to look again, none a command: the
// receiver compares with what it wants and calls EnsureLink, Resync or
// FindUnderlay, all of which may be called for nothing.
const (
	// Resync: anything may have happened. It is the first event of each
	// Watch, and comes again when the kernel had to drop announcements.
	Resync EventKind = iota
	// TAPRemoved: the TAP is gone, and its addresses and routes with it.
	TAPRemoved
	// TAPAppeared: there is a TAP of that name again.
	TAPAppeared
	// TAPRenamed: the TAP has another name now.
	TAPRenamed
	// TAPMAC: the TAP's MAC changed.
	TAPMAC
	// TAPMTU: the TAP's MTU changed.
	TAPMTU
	// TAPDown: the TAP was brought down. The kernel removed its IPv4 routes
	// without announcing it.
	TAPDown
	// TAPUp: the TAP was brought up.
	TAPUp
	// TAPAddr: the TAP's addresses changed.
	TAPAddr
	// TAPBridge: the TAP was put into another bridge, or taken out of one.
	TAPBridge
	// RoutesLost: somebody removed or replaced routes of ours.
	RoutesLost
	// UnderlayAddr: the underlay's addresses changed.
	UnderlayAddr
	// UnderlayMTU: the underlay's MTU changed, or its default route's.
	UnderlayMTU
	// UnderlayDown: the underlay is down, without a carrier, or gone.
	UnderlayDown
	// UnderlayUp: the underlay is up again.
	UnderlayUp
	// UnderlayRoute: the best default route leads through another interface.
	UnderlayRoute
)

var eventNames = [...]string{
	Resync:        "anything may have changed",
	TAPRemoved:    "TAP removed",
	TAPAppeared:   "TAP appeared",
	TAPRenamed:    "TAP renamed",
	TAPMAC:        "TAP's MAC changed",
	TAPMTU:        "TAP's MTU changed",
	TAPDown:       "TAP brought down",
	TAPUp:         "TAP brought up",
	TAPAddr:       "TAP's addresses changed",
	TAPBridge:     "TAP moved between bridges",
	RoutesLost:    "routes removed",
	UnderlayAddr:  "underlay's addresses changed",
	UnderlayMTU:   "underlay's MTU changed",
	UnderlayDown:  "underlay down",
	UnderlayUp:    "underlay up",
	UnderlayRoute: "default route changed",
}

// String says what happened, for the log.
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// Event is one thing that happened to the TAP, our routes or the underlay.
type Event struct {
	Kind EventKind
	// Device is the name of the interface, as it was before the event; empty
	// for Resync.
	Device string
	// Was and Is are what changed, before and after, in words for the log;
	// both empty where there is nothing to compare.
	Was, Is string
}

// String is the event in words, for the log.
func (e Event) String() string {
	s := e.Kind.String()
	if e.Device != "" {
		s = e.Device + ": " + s
	}
	if e.Was != "" || e.Is != "" {
		s += fmt.Sprintf(": %s, was %s", e.Is, e.Was)
	}
	return s
}
