package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/uvtep/uvtep/internal/admin"
)

// views are what the admin socket tells.
func (a *agent) views() admin.Views {
	return admin.Views{
		statusPath: func() any { return a.status() },
		statsPath:  func() any { return one(a, a.stats()) },
		linkPath:   func() any { return a.links() },
		selfPath:   func() any { return one(a, list(a, (*plane).self)) },
		heldPath:   func() any { return one(a, list(a, (*plane).held)) },
		peersPath:  func() any { return slices.Concat(list(a, (*plane).peers)...) },
	}
}

// queries are what it tells of more closely.
func (a *agent) queries() admin.Queries {
	return admin.Queries{
		fdbPath:    gather(a, (*plane).fdbView),
		neighPath:  gather(a, (*plane).neighView),
		routePath:  gather(a, (*plane).routeView),
		changePath: a.awaitChange,
	}
}

// questions are what it is asked with a body.
func (a *agent) questions() admin.Questions {
	return admin.Questions{
		explainPath:  admin.Decoded(a.explain),
		findPeerPath: admin.Decoded(a.findPeer),
		roundPath:    admin.Decoded(func(ctx context.Context, r roundRequest) (any, error) { return of(ctx, a, &r.Peer, r, (*plane).round) }),
		roundMTUPath: admin.Decoded(func(ctx context.Context, r mtuRequest) (any, error) { return of(ctx, a, &r.Peer, r, (*plane).pathMTU) }),
	}
}

// changes are what it takes orders for.
func (a *agent) changes() admin.Changes {
	return admin.Changes{offloadPath: admin.Decoded(a.setOffload)}
}

// streams are what can be listened to.
func (a *agent) streams() admin.Streams { return admin.Streams{capturePath: a.capture} }

// links tells how the data path of each network stands.
func (a *agent) links() any { return one(a, list(a, (*plane).view)) }

// list asks all planes that work.
func list[T any](a *agent, ask func(*plane) T) []T {
	all := []T{}
	for _, p := range a.working() {
		all = append(all, ask(p))
	}
	return all
}

// one is what an agent of one network tells, which needs no list.
func one[T any](a *agent, all []T) any {
	if len(a.members) == 1 && len(all) == 1 {
		return all[0]
	}
	return all
}

// each is what one tells, as a list.
type each[T any] []T

// UnmarshalJSON reads a list, or what is to be the only one.
func (e *each[T]) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' {
		*e = make([]T, 1)
		return json.Unmarshal(b, &(*e)[0])
	}
	return json.Unmarshal(b, (*[]T)(e))
}

// MarshalJSON writes the only one by itself.
func (e each[T]) MarshalJSON() ([]byte, error) {
	if len(e) == 1 {
		return json.Marshal(e[0])
	}
	return json.Marshal([]T(e))
}

// haveTAP refuses the name of a device that is no TAP of the planes; "" is none.
func haveTAP(planes []*plane, dev string) error {
	names := []string{}
	for _, p := range planes {
		names = append(names, p.name)
	}
	if dev == "" || len(names) == 0 || slices.Contains(names, dev) {
		return nil
	}
	return admin.BadRequest{Err: fmt.Errorf("no device %q: the agent has %s", dev, strings.Join(names, ", "))}
}

// gather makes one table of those of all networks. It is as old as the oldest.
func gather[T any](a *agent, table func(*plane, url.Values) (rows[T], error)) func(context.Context, url.Values) (any, error) {
	return func(_ context.Context, v url.Values) (any, error) {
		all, planes := rows[T]{Rows: []T{}}, a.working()
		if err := haveTAP(planes, v.Get("dev")); err != nil {
			return nil, err
		}
		for i, p := range planes {
			t, err := table(p, v)
			if err != nil {
				return nil, err
			}
			if i == 0 || t.Revision < all.Revision {
				all.Revision = t.Revision
			}
			all.Rows = append(all.Rows, t.Rows...)
		}
		return all, nil
	}
}
