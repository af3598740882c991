package encap_test

import (
	"fmt"

	"github.com/uvtep/uvtep/encap"
)

// The header of a datagram for VNI 42, and its way back.
func ExamplePutHeader() {
	b := make([]byte, encap.HeaderLen)
	encap.PutHeader(b, 42)
	h := encap.Header(b)
	fmt.Printf("%x %v %v %v\n", b, h.HasVNI(), h.VNI(), h.ReservedClear())
	// Output: 0800000000002a00 true 42 true
}

// What is left of an underlay MTU of 1460 for the overlay.
func ExampleOverhead() {
	fmt.Println(1460 - encap.Overhead(false, 0))
	// Output: 1410
}
