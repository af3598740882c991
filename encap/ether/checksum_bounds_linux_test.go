//go:build amd64 || arm64

package ether

import (
	"os"
	"syscall"
	"testing"
)

// island returns pages of memory with one before and one after them that
// nobody may read: a step outside of the slice ends the test with a fault.
func island(t *testing.T, pages int) []byte {
	t.Helper()
	size := os.Getpagesize()
	m, err := syscall.Mmap(-1, 0, (pages+2)*size, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(os.NewSyscallError("mmap", err))
	}
	t.Cleanup(func() { _ = syscall.Munmap(m) })
	land := m[size : (pages+1)*size]
	if err := syscall.Mprotect(land, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		t.Fatal(os.NewSyscallError("mprotect", err))
	}
	return land
}

func TestVectorSumReadsNothingOutsideOfItsBytes(t *testing.T) {
	needVector(t)
	land := island(t, 1)
	for i := range land {
		land[i] = byte(i * 7)
	}
	for n := range len(land) + 1 {
		for _, b := range [][]byte{land[:n], land[len(land)-n:]} {
			if got, want := vectorSum(b, 1), portableSum(b, 1); got != want {
				t.Fatalf("sum of %d bytes = %#x, want %#x", n, got, want)
			}
		}
	}
}
