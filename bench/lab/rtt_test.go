//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestRTTOfEveryDatagramIsMeasuredOrLost(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	got, err := a.RTT(patient(t), b.Node, Flow{Bytes: 500 * 64, Size: 64})
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != 500 || got.Lost != 0 || got.Percentile(50) <= 0 || got.Percentile(50) > got.Percentile(99) {
		t.Errorf("got %d measured, %d lost, median %v, p99 %v", got.Len(), got.Lost, got.Percentile(50), got.Percentile(99))
	}
	// For a time, between the hosts' own addresses on the overlay.
	at := l.Hosts[1].Subnet.Masked().Addr()
	got, err = l.Hosts[0].RTT(patient(t), l.Hosts[1].Node, Flow{For: 50 * time.Millisecond, At: at})
	if err != nil || got.Len() == 0 {
		t.Errorf("for a time: got %d measured, error %v", got.Len(), err)
	}
	unblock, err := l.Hosts[1].Block(Block{})
	if err != nil {
		t.Fatal(err)
	}
	defer unblock()
	got, err = a.RTT(patient(t), b.Node, Flow{Bytes: 2 * 64, Size: 64})
	if err != nil || got.Len() != 0 || got.Lost != 2 || got.Percentile(50) != 0 {
		t.Errorf("blocked: got %d measured, %d lost, error %v; want two lost", got.Len(), got.Lost, err)
	}
}

func TestRTTEndsWithItsContext(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := l.Hosts[0].RTT(ctx, l.Hosts[0].Node, Flow{For: time.Hour})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the end of the context", err)
	}
}

func TestRTTIsNotOfAnAnswerGivenUpBefore(t *testing.T) {
	h := newLab(t, Config{Hosts: 1}).Hosts[0]
	near, far, err := h.pair(patient(t), h.Node, h.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer far.Close()
	late := binary.BigEndian.AppendUint64(nil, 1)
	if _, err := far.Write(late); err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	echoed := make(chan error, 1)
	go func() { echoed <- echo(int(far.Fd()), &over) }()
	p := pong{fd: int(near.Fd()), out: binary.BigEndian.AppendUint64(nil, 2), in: make([]byte, 8)}
	back, err := p.exchange(2)
	if got := binary.BigEndian.Uint64(p.in); err != nil || !back || got != 2 {
		t.Errorf("got %v, error %v, number %d back; want 2", back, err, got)
	}
	over.Store(true)
	if err := <-echoed; err != nil {
		t.Error(err)
	}
}

func TestPercentileIsOneOfTheTimesMeasured(t *testing.T) {
	var r RTTs
	for i := range 100 {
		r.sorted = append(r.sorted, time.Duration(i+1))
	}
	for p, want := range map[float64]time.Duration{0: 1, 50: 50, 99: 99, 99.9: 100, 100: 100} {
		if got := r.Percentile(p); got != want {
			t.Errorf("percentile %v: got %d, want %d", p, got, want)
		}
	}
}
