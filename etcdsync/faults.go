package etcdsync

import (
	"fmt"
	"strings"
)

// faults gathers what is wrong with something, so that whoever has to put it
// right hears everything at once.
type faults []string

func (f *faults) addf(format string, args ...any) {
	*f = append(*f, fmt.Sprintf(format, args...))
}

// err returns all faults as one error of the given kind, nil when there are
// none.
func (f faults) err(kind error) error {
	if len(f) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", kind, strings.Join(f, "; "))
}
