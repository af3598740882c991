package etcdsync

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

// Whoever sets the routes hears of those that changed, and of no others.
func TestRoutesTellWhatChanged(t *testing.T) {
	w := crowd(t, 10, 0)
	before := w.tables().Routes
	w.put("subnets/10.10.0.0-30", leaseOf(fmt.Sprintf("%032x", 1000), "198.19.0.1", mac(200)))
	after := w.tables().Routes
	if gone, _ := after.Since(before); after.Len() != 10 || len(gone) != 0 {
		t.Errorf("a lease moved to another address: got %d routes, %v gone, want the 10 as before", after.Len(), gone)
	}
	w.del("subnets/10.10.0.0-30")
	w.put("subnets/10.10.9.0-24", leaseOf("", "198.19.0.2", mac(201)))
	last := w.tables().Routes
	gone, fresh := last.Since(before)
	if last.Len() != 10 || !slices.Equal(gone, []netip.Prefix{prefix("10.10.0.0/30")}) ||
		!slices.Equal(fresh, []Route{{prefix("10.10.9.0/24"), addr("10.10.9.0"), false}}) {
		t.Errorf("one lease went, one came: got %d routes, %v gone, %v new", last.Len(), gone, fresh)
	}
}
