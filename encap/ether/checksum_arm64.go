package ether

import "golang.org/x/sys/cpu"

// hasVector is a variable, so that a test can judge the portable code too.
var hasVector = cpu.ARM64.HasASIMD

// vectorMin is the length in bytes from which sumVector is used: well above the
// one measured on amd64, since none has been measured here.
const vectorMin = 128
