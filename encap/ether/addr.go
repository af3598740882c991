package ether

import "fmt"

// AddrLen is the size of an Ethernet address, in bytes.
const AddrLen = 6

// Addr is an Ethernet (MAC) address. It is a comparable value, fit for a map
// key. The zero Addr is no station's address; a frame from it is never
// forwarded.
type Addr [AddrLen]byte

// Broadcast is the address of every station.
var Broadcast = Addr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// hexDigits are the digits an address is written with: lower case, as
// iproute2 and flannel write theirs.
const hexDigits = "0123456789abcdef"

// ParseAddr reads six two-digit hexadecimal bytes with colons or hyphens
// between them, in either case.
func ParseAddr(s string) (Addr, error) {
	var a Addr
	if len(s) != 17 || s[2] != ':' && s[2] != '-' {
		return Addr{}, addrError(s)
	}
	for i := range a {
		hi, lo := hexValue(s[3*i]), hexValue(s[3*i+1])
		if hi > 15 || lo > 15 || i < 5 && s[3*i+2] != s[2] {
			return Addr{}, addrError(s)
		}
		a[i] = hi<<4 | lo
	}
	return a, nil
}

func addrError(s string) error {
	return fmt.Errorf("parse MAC address %q: want six hexadecimal bytes, as in 1a:0f:87:98:5e:c7", s)
}

// hexValue returns the value of one hexadecimal digit, or 0xff.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// AppendTo appends the text of a, as String gives it, to b.
func (a Addr) AppendTo(b []byte) []byte {
	for i, v := range a {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[v>>4], hexDigits[v&15])
	}
	return b
}

// String returns a in lower case with colons: "1a:0f:87:98:5e:c7".
func (a Addr) String() string {
	return string(a.AppendTo(make([]byte, 0, 17)))
}

// MarshalText returns the same text as String.
func (a Addr) MarshalText() ([]byte, error) {
	return a.AppendTo(make([]byte, 0, 17)), nil
}

// UnmarshalText reads what ParseAddr reads; on error a is unchanged.
func (a *Addr) UnmarshalText(text []byte) error {
	v, err := ParseAddr(string(text))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// IsZero reports whether a is 00:00:00:00:00:00.
func (a Addr) IsZero() bool { return a == Addr{} }

// IsMulticast reports whether a names a group of stations; the broadcast
// address is one of these.
func (a Addr) IsMulticast() bool { return a[0]&1 != 0 }

// IsBroadcast reports whether a is ff:ff:ff:ff:ff:ff.
func (a Addr) IsBroadcast() bool { return a == Broadcast }

// IsLinkControl reports whether a lies in 01:80:c2:00:00:00 to
// 01:80:c2:00:00:0f, the addresses of link-local control protocols (spanning
// tree, pause, LLDP), which no bridge forwards (IEEE 802.1Q §8.6.3).
func (a Addr) IsLinkControl() bool {
	a[5] &= 0xf0
	return a == Addr{0x01, 0x80, 0xc2}
}
