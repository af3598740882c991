package etcdsync

import (
	"fmt"
	"testing"
)

// A lease that only moves to another address leaves all routes as they are:
// whoever sets them has nothing to do.
func TestRoutesStayTheSameSliceWhileNoneChanges(t *testing.T) {
	w := crowd(t, 10, 0)
	before := w.tables().Routes
	w.put("subnets/10.10.0.0-30", leaseOf(fmt.Sprintf("%032x", 1000), "198.19.0.1", mac(200)))
	if after := w.tables().Routes; len(after) != 10 || &after[0] != &before[0] {
		t.Errorf("got %d routes in another slice, want the 10 as before", len(after))
	}
	w.del("subnets/10.10.0.0-30")
	if after := w.tables().Routes; len(after) != 9 {
		t.Errorf("a lease is gone: got %d routes, want 9", len(after))
	}
}
