package main

import (
	"context"

	"github.com/uvtep/uvtep/internal/admin"
)

// views are what the admin socket tells.
func (a *agent) views() admin.Views {
	return admin.Views{
		statusPath: func() any { return a.plane().status() },
		statsPath:  func() any { return a.plane().stats() },
		linkPath:   func() any { return a.plane().view() },
		fdbPath:    func() any { return a.plane().fdbView() },
		neighPath:  func() any { return a.plane().neighView() },
		routePath:  func() any { return a.plane().routeView() },
		selfPath:   func() any { return a.plane().self() },
		heldPath:   func() any { return a.plane().held() },
	}
}

// changes are what it takes orders for.
func (a *agent) changes() admin.Changes {
	return admin.Changes{offloadPath: admin.Decoded(func(ctx context.Context, c offloadChange) (any, error) { return a.plane().setOffload(ctx, c) })}
}

func (a *agent) plane() *plane { return a.working()[0] }
