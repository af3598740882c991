package vswitch

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/uvtep/uvtep/encap"
)

// slowWriter is a port that waits within Write, as a goroutine that is kept from its processor.
type slowWriter struct{ entered, leave chan struct{} }

func (w slowWriter) Read([]byte, [][]byte) (int, error) { return 0, nil }
func (w slowWriter) Writer() Writer                     { return w }
func (slowWriter) Lost() int                            { return 0 }
func (w slowWriter) Write(records [][][]byte) (int, error) {
	w.entered <- struct{}{}
	<-w.leave
	return len(records), nil
}

func TestSettleWaitsForTheBatchUnderWayAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := slowWriter{make(chan struct{}), make(chan struct{})}
		in, s := inboundOf(t, networkOn(t, NetworkConfig{Ports: []Port{w}, Count: new(Totals)}, testTables(Policy{})))
		if err := s.Settle(t.Context()); err != nil {
			t.Fatalf("with no batch under way: %v", err)
		}
		d := datagram(vni, frame(macSelf, macB))
		in.ms[0] = encap.Message{Data: bytes.Clone(d), N: len(d), Peer: netip.AddrPortFrom(outerB, 50000)}
		go func() {
			in.batch(1)
			in.batch(1)
		}()
		<-w.entered
		ended, end := context.WithCancel(t.Context())
		end()
		if err := s.Settle(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("within a batch: got %v, want that it waits until its context ends", err)
		}
		settled := make(chan error, 1)
		patience, over := context.WithTimeout(t.Context(), time.Second)
		defer over()
		go func() { settled <- s.Settle(patience) }()
		synctest.Wait()
		w.leave <- struct{}{}
		<-w.entered // the next batch, which is none of its business
		if err := <-settled; err != nil {
			t.Errorf("after the batch, within the next: %v", err)
		}
		w.leave <- struct{}{}
	})
}
