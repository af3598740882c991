package main

import (
	"fmt"
	"strconv"

	"github.com/uvtep/uvtep/encap"
)

// inherit says of an outer header's field that it is the inner one's.
const inherit = "inherit"

// ownTTL is the outer TTL of what has none inside.
const ownTTL = 64

// parseOuter reads --tos and --ttl into r.outer and r.outerTTL. It reports all
// faults.
func (r *runFlags) parseOuter(fault func(format string, a ...any)) {
	r.outer, r.outerTTL = encap.Outer{InheritDSCP: r.tos == inherit, InheritTTL: r.ttl == inherit}, ownTTL
	if !r.outer.InheritDSCP {
		tos, err := strconv.ParseUint(r.tos, 0, 8)
		if err != nil || tos&encap.ECNMask != 0 {
			fault("--tos %q: want inherit, or 0 to 252 in steps of 4: the two lowest bits are ECN's, which follow RFC 6040", r.tos)
		}
		r.outer.DSCP = uint8(tos)
	}
	if !r.outer.InheritTTL {
		ttl, err := strconv.ParseUint(r.ttl, 10, 8)
		if err != nil || ttl == 0 {
			fault("--ttl %q: want inherit, or 1 to 255", r.ttl)
		}
		r.outerTTL = int(ttl)
	}
}

// tosWord is the type of service as iproute2 shows it, "" for 0.
func (r *runFlags) tosWord() string {
	switch {
	case r.outer.InheritDSCP:
		return inherit
	case r.outer.DSCP == 0:
		return ""
	}
	return fmt.Sprintf("%#x", r.outer.DSCP)
}

// ttlWord is the TTL as iproute2 shows it: a number, or a word.
func (r *runFlags) ttlWord() any {
	if r.outer.InheritTTL {
		return inherit
	}
	return r.outerTTL
}

// dscpWord tells of the DSCP of a link.
func dscpWord(tos string) string {
	switch n, err := strconv.ParseUint(tos, 0, 8); {
	case tos == inherit:
		return "the inner packet's (RFC 2983)"
	case err == nil:
		return strconv.FormatUint(n>>2, 10)
	}
	return "0"
}
