package ether_test

import (
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

func TestUDPValid(t *testing.T) {
	of := func(size int, length byte) ether.UDP {
		b := make(ether.UDP, size)
		if size > 5 {
			b[5] = length
		}
		return b
	}
	tests := []struct {
		name string
		in   ether.UDP
		want bool
	}{
		{"a bare header", of(8, 8), true},
		{"data behind it", of(12, 12), true},
		{"bytes behind the length, as IP surplus", of(12, 8), true},
		{"length beyond the bytes", of(11, 12), false},
		{"length below the header", of(12, 7), false},
		{"length zero, as in a jumbogram", of(12, 0), false},
		{"seven bytes", of(7, 7), false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.Valid(); got != tt.want {
				t.Errorf("Valid = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestTCPValid(t *testing.T) {
	of := func(size, header int) ether.TCP {
		b := make(ether.TCP, size)
		if size > 12 {
			b[12] = 0x0f // reserved bits must not matter
			b.SetHeaderLen(header)
		}
		return b
	}
	tests := []struct {
		name string
		in   ether.TCP
		want bool
	}{
		{"a bare header", of(20, 20), true},
		{"options and data", of(60, 32), true},
		{"the longest header", of(60, 60), true},
		{"options beyond the bytes", of(59, 60), false},
		{"a header of 4 words", of(60, 16), false},
		{"19 bytes", of(19, 20), false},
		{"nothing", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.Valid(); got != tt.want {
				t.Errorf("Valid = %v, want %v", got, tt.want)
			}
		})
	}
}
