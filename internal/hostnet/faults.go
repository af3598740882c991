package hostnet

import (
	"errors"
	"fmt"
)

// maxFaults is how many errors of one kind of work are told: the first few say
// what is wrong, ten thousand say nothing.
const maxFaults = 5

// faults collects the errors of work that goes on after one.
type faults struct {
	first []error
	more  int
}

// add takes err and reports whether it was one.
func (f *faults) add(err error) bool {
	switch {
	case err == nil:
		return false
	case len(f.first) < maxFaults:
		f.first = append(f.first, err)
	default:
		f.more++
	}
	return true
}

// err is all that went wrong, or nil.
func (f *faults) err() error {
	if f.more > 0 {
		return errors.Join(append(f.first, fmt.Errorf("and %d more", f.more))...)
	}
	return errors.Join(f.first...)
}
