package etcdsync

import "slices"

// contest decides which of the rows that claim a key has it. Nearly always
// there is one claim to a key, and then it costs one map entry.
type contest[K comparable] struct {
	holders map[K]*row
	rivals  map[K][]*row // all claims to a key, where there are several
	better  func(a, b *row) bool
}

func newContest[K comparable](better func(a, b *row) bool) *contest[K] {
	return &contest[K]{make(map[K]*row), make(map[K][]*row), better}
}

// holder returns the row that has k, nil when nobody claims it.
func (c *contest[K]) holder(k K) *row { return c.holders[k] }

// claims returns all rows that claim k. The slice is the contest's own.
func (c *contest[K]) claims(k K) []*row {
	if all := c.rivals[k]; all != nil {
		return all
	}
	if r := c.holders[k]; r != nil {
		return []*row{r}
	}
	return nil
}

// add enters a claim, which r must not have yet.
func (c *contest[K]) add(k K, r *row) {
	holder := c.holders[k]
	if holder == nil {
		c.holders[k] = r
		return
	}
	if c.rivals[k] == nil {
		c.rivals[k] = []*row{holder}
	}
	c.rivals[k] = append(c.rivals[k], r)
	if c.better(r, holder) {
		c.holders[k] = r
	}
}

// remove takes a claim back; one that does not exist is none to take back.
func (c *contest[K]) remove(k K, r *row) {
	all := c.rivals[k]
	if all == nil {
		if c.holders[k] == r {
			delete(c.holders, k)
		}
		return
	}
	all = slices.DeleteFunc(all, func(x *row) bool { return x == r })
	best := all[0]
	for _, x := range all[1:] {
		if c.better(x, best) {
			best = x
		}
	}
	c.holders[k], c.rivals[k] = best, all
	if len(all) == 1 {
		delete(c.rivals, k)
	}
}

// betterMAC is who has a MAC address: a lease before a static entry before an
// endpoint; of two endpoints the one that moved last, for a station can have
// moved and its old host not know yet (RFC 7432 §15); else who came first.
func betterMAC(a, b *row) bool {
	if a.origin != b.origin {
		return a.origin < b.origin
	}
	if a.kind == endpoint {
		if a.seq != b.seq {
			return a.seq > b.seq
		}
		if a.rev != b.rev {
			return a.rev > b.rev
		}
	}
	return elder(a, b)
}

// betterIP is who has an IP address: a lease before a static entry before an
// endpoint, else who came first. A later one that takes it over is a mistake
// or an attack.
func betterIP(a, b *row) bool {
	if a.origin != b.origin {
		return a.origin < b.origin
	}
	return elder(a, b)
}

// elder reports whether a's key was there before b's. Keys of one transaction
// are of one revision; their names tell them apart.
func elder(a, b *row) bool {
	if a.created != b.created {
		return a.created < b.created
	}
	return a.name < b.name
}
