package hostnet

import (
	"errors"
	"strings"
	"testing"
)

func TestFaultsTellTheFirstFewAndCountTheRest(t *testing.T) {
	var f faults
	if err := f.err(); err != nil {
		t.Errorf("nothing went wrong: got %v", err)
	}
	if f.add(nil) {
		t.Error("nil is no fault")
	}
	first := errors.New("first")
	f.add(first)
	for range 10_000 {
		if !f.add(errors.New("another")) {
			t.Fatal("an error is a fault")
		}
	}
	err := f.err()
	if !errors.Is(err, first) || !strings.HasSuffix(err.Error(), "and 9996 more") || len(err.Error()) > 100 {
		t.Errorf("got %q", err)
	}
}
