package offload

import (
	"math/rand/v2"
	"testing"
)

// A map is the naive oracle: the table may forget a flow, but never tell an
// output that is not the flow's last.
func TestFlowTableNeverTellsAnOldOutput(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var table flowTable
	table.forget()
	last, hits := map[uint32]int{}, 0
	for i := range 200000 {
		if rnd.IntN(2000) == 0 {
			table.forget()
			clear(last)
		}
		hash := rnd.Uint32N(300) * 0x01000193
		s := table.slot(hash)
		if s.output >= 0 {
			hits++
			if want, ok := last[hash]; !ok || s.output != want {
				t.Fatalf("slot of %#x tells output %d, want %d, %v", hash, s.output, want, ok)
			}
		}
		s.output, last[hash] = i, i
	}
	if hits < 100000 {
		t.Errorf("%d of 200000 found, want more than half", hits)
	}
}

func TestFlowTableHoldsAFewFlowsWithoutLoss(t *testing.T) {
	var table flowTable
	table.forget()
	for i := range uint32(4) { // four flows that want the same place
		table.slot(7 + i*flowSlots).output = int(i)
	}
	for i := range uint32(4) {
		if got := table.slot(7 + i*flowSlots).output; got != int(i) {
			t.Errorf("output of flow %d = %d", i, got)
		}
	}
}

func TestFlowTableBeginsAnewWhenItsBatchesRunOut(t *testing.T) {
	var table flowTable
	table.forget()
	table.slot(1).output = 5 // in batch 1
	table.batch = ^uint32(0)
	table.forget()
	if got := table.slot(1).output; got != -1 {
		t.Errorf("output = %d after the count began anew, want -1", got)
	}
}
