package vswitch

import (
	"sync/atomic"
	"time"
)

// meter bounds how many copies of flooded frames leave a second, over all lanes.
// A second's worth may leave at once. What it keeps is when it would be idle, if
// no more came: the further ahead, the less is left (the algorithm of ATM's cells,
// ITU-T I.371). The zero meter bounds nothing.
type meter struct {
	each  time.Duration // what one copy takes; 0: nothing
	begin time.Time
	idle  atomic.Int64 // nanoseconds after begin
}

func newMeter(rate int) *meter {
	m := &meter{begin: time.Now()}
	if rate > 0 {
		m.each = max(time.Second/time.Duration(rate), 1)
	}
	return m
}

// take says whether a frame of so many copies may leave now. Where anything is
// left at all it may, however many they are: a frame is for all VTEPs or for none.
func (m *meter) take(copies int) bool {
	if m.each == 0 || copies == 0 {
		return true
	}
	return m.takeAt(time.Since(m.begin), copies)
}

func (m *meter) takeAt(now time.Duration, copies int) bool {
	for {
		was := m.idle.Load()
		idle := max(time.Duration(was), now)
		if idle-now >= time.Second {
			return false
		}
		if m.idle.CompareAndSwap(was, int64(idle+time.Duration(copies)*m.each)) {
			return true
		}
	}
}

// spent says whether a frame of so many copies would not be let out now. It takes
// nothing.
func (m *meter) spent(copies int) bool {
	if m.each == 0 || copies == 0 {
		return false
	}
	now := time.Since(m.begin)
	return max(time.Duration(m.idle.Load()), now)-now >= time.Second
}
