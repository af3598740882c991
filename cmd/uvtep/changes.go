package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/uvtep/uvtep/internal/admin"
)

// changePath is where one waits for what an agent forwards by to change.
const changePath = "/v1/change"

// changeView is what it serves.
type changeView struct {
	// Change counts how often that was put in force anew.
	Change uint64 `json:"change"`
	// Revision is etcd's of the tables in force, 0 for none; of several networks
	// the oldest.
	Revision int64 `json:"revision"`
}

// turns tell those who wait that what an agent forwards by has changed.
type turns struct {
	mu    sync.Mutex
	count uint64        // guarded by mu
	more  chan struct{} // closed by the next change; nil: nobody waits; guarded by mu
}

// note notes a change.
func (t *turns) note() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if t.more != nil {
		close(t.more)
		t.more = nil
	}
}

// last returns how many changes there were, and what is closed by the next.
func (t *turns) last() (count uint64, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.more == nil {
		t.more = make(chan struct{})
	}
	return t.count, t.more
}

// changed notes that other tables are in force. mu is held.
func (p *plane) changed() {
	p.journal.add(p.tables.Rev, time.Now())
	p.turns.note()
}

// awaitChange answers when there was another change than that of the parameter
// after, at the latest after admin.Patience. Without the parameter it does not
// wait.
func (a *agent) awaitChange(ctx context.Context, v url.Values) (any, error) {
	after, wait, err := afterOf(v)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, admin.Patience)
	defer cancel()
	for {
		count, more := a.turns.last()
		if !wait || count != after || ctx.Err() != nil {
			return changeView{count, a.revision()}, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}

func afterOf(v url.Values) (after uint64, wait bool, err error) {
	text := v.Get("after")
	if text == "" {
		return 0, false, nil
	}
	if after, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, admin.BadRequest{Err: fmt.Errorf("after %q: want the number of a change", text)}
	}
	return after, true, nil
}

// revision is that of the tables in force, of several networks the oldest.
func (a *agent) revision() (rev int64) {
	for i, p := range a.working() {
		p.mu.Lock()
		var at int64
		if p.tables != nil {
			at = p.tables.Rev
		}
		p.mu.Unlock()
		if i == 0 || at < rev {
			rev = at
		}
	}
	return rev
}
