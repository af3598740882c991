//go:build !amd64 && !arm64

package ether

const (
	hasVector = false
	vectorMin = 0
)

// sumVector is never called where there is no vector code.
func sumVector([]byte) uint64 { panic("ether: no vector code") }
