package ether

import "golang.org/x/sys/cpu"

// hasVector is a variable, so that a test can judge the portable code too.
var hasVector = cpu.X86.HasAVX2

// vectorMin is the length in bytes from which sumVector is faster than the loop
// in Sum. On Zen 4 they are equal from 65 to 76 bytes, and below that the call
// and the last additions across the lanes cost more than they save.
const vectorMin = 72
