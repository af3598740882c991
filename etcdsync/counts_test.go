package etcdsync

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatBecomesOfKeysIsCounted(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	e.put("subnets/hello", "world")
	began := time.Now()
	w := e.follow(s, 1, -1)
	if got := w.routes("10.10.2.0/24"); got.Since.Before(began) {
		t.Errorf("the first list: tables bring changes since %v, before %v", got.Since, began)
	}
	put := time.Now()
	e.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	if got := w.routes("10.10.2.0/24", "10.10.3.0/24"); got.Since.Before(put) || time.Since(got.Since) < gather {
		t.Errorf("a change: since %v, want after %v and before it was waited for company", got.Since, put)
	}
	e.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(2)))
	e.put(leaseB, "rubbish")
	e.del("subnets/10.10.3.0-24")
	w.routes("10.10.2.0/24")
	want := Counts{Added: 2, Changed: 1, Removed: 1, Refused: 2, Lists: 1}
	if diff := cmp.Diff(s.Counts(), want); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
	// A watch that fails is begun anew, by a list that lacks what went meanwhile.
	e.stop()
	e.start()
	e.del(leaseB)
	w.routes()
	got := s.Counts()
	if got.WatchFailures == 0 || got.Lists < 2 || got.Removed != 2 {
		t.Errorf("after etcd was away: got %+v, want a failed watch, another list and 2 removed", got)
	}
}
