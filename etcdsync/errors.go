package etcdsync

import "errors"

// The errors that callers branch on. Everything else that Acquire, Follow and
// WaitNetwork meet (etcd away, a lost race, a cancelled watch) they deal with
// themselves, by trying again.
var (
	// ErrBadNetwork: the network configuration does not parse or does not
	// fit; the error lists every fault. A matter for the operator.
	ErrBadNetwork = errors.New("bad network configuration")
	// ErrNoNetwork: etcd holds no network configuration.
	ErrNoNetwork = errors.New("no network configuration in etcd")
	// ErrNoSubnetFree: all subnets of the network are leased.
	ErrNoSubnetFree = errors.New("no free subnet left")
	// ErrSubnetTaken: the subnet that was asked for belongs to somebody else.
	ErrSubnetTaken = errors.New("subnet is taken")
	// ErrOutdated: the network is another than the one the claim is for.
	ErrOutdated = errors.New("the network is another now")
	// ErrHeld: the subnet that was to be released has a holder that may be up,
	// or is a reservation.
	ErrHeld = errors.New("not released")
	// ErrBadClaim: a claim lacks something, or asks for a subnet that the
	// network does not have.
	ErrBadClaim = errors.New("bad claim")
	// ErrBadOptions: the options cannot work; the error lists every fault.
	ErrBadOptions = errors.New("bad etcd options")
)
