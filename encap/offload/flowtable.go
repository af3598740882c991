package offload

const (
	flowSlots = 256
	flowWays  = 4
)

// flowSlot remembers which output a flow had last. It knows the flow by its
// hash only; whoever uses the output compares the rest.
type flowSlot struct {
	hash   uint32
	batch  uint32 // the slot is free unless this is the table's
	output int    // -1: none yet
}

// flowTable finds the last output of a flow. It is small, since it serves one
// batch: a flow that finds no place takes that of another, which then merges
// no further but loses nothing. Two flows of one hash share a slot likewise.
type flowTable struct {
	slots [flowSlots]flowSlot
	batch uint32
}

// forget empties the table. Slots are never cleared: their batch has passed.
// After 2³² batches the count begins anew, and the slots with it.
func (t *flowTable) forget() {
	t.batch++
	if t.batch == 0 {
		t.slots = [flowSlots]flowSlot{}
		t.batch = 1
	}
}

// slot returns the slot of a flow, made free for it if it had none.
func (t *flowTable) slot(hash uint32) *flowSlot {
	var free *flowSlot
	for i := range uint32(flowWays) {
		s := &t.slots[(hash+i)%flowSlots]
		if s.batch != t.batch {
			free = s
			break
		}
		if s.hash == hash {
			return s
		}
	}
	if free == nil {
		free = &t.slots[hash%flowSlots]
	}
	*free = flowSlot{hash: hash, batch: t.batch, output: -1}
	return free
}
