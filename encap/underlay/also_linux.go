package underlay

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// maxAlso bounds the further ports: each is a socket, a goroutine and its buffers
// a lane and family.
const maxAlso = 16

// also is a further port that datagrams are taken from.
type also struct {
	port      uint16
	lock      int
	receivers [][]*Receiver // by lane
}

// Listen makes these the ports that datagrams are taken from besides Config.Port.
// Those that were before stay as they are, sockets and all. It returns why some
// cannot be listened on, which costs nothing but themselves. No Recv may be under
// way; Receivers are others afterwards. Move ends them all.
func (u *Underlay) Listen(ports []uint16) map[uint16]error {
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	ports = slices.DeleteFunc(ports, func(p uint16) bool { return p == u.conf.Port })
	var kept []*also
	for _, a := range u.also {
		if slices.Contains(ports, a.port) {
			kept = append(kept, a)
			continue
		}
		_ = a.close()
	}
	u.also = kept
	failed := make(map[uint16]error)
	for _, port := range ports {
		if slices.ContainsFunc(u.also, func(a *also) bool { return a.port == port }) {
			continue
		}
		if err := u.listenAlso(port); err != nil {
			failed[port] = err
		}
	}
	return failed
}

// AlsoListens returns the further ports in use.
func (u *Underlay) AlsoListens() (ports []uint16) {
	for _, a := range u.also {
		ports = append(ports, a.port)
	}
	return ports
}

// Listenable says, without changing a thing, why a further port could not be
// listened on.
func (u *Underlay) Listenable(port uint16) error {
	if len(u.also) == maxAlso {
		return fmt.Errorf("no more than %d further ports are listened on", maxAlso)
	}
	lock, err := lockPort(port)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(lock) }()
	for _, a := range u.addrs() {
		if err := portFree(netip.AddrPortFrom(a, port)); err != nil {
			return err
		}
	}
	return nil
}

// addrs are the VTEP's own addresses.
func (u *Underlay) addrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{u.conf.Addr4, u.conf.Addr6}, func(a netip.Addr) bool { return !a.IsValid() })
}

func (u *Underlay) listenAlso(port uint16) (err error) {
	if err := u.Listenable(port); err != nil {
		return err
	}
	a := &also{port: port, receivers: make([][]*Receiver, u.conf.Lanes)}
	if a.lock, err = lockPort(port); err != nil {
		return err
	}
	for lane := range u.conf.Lanes {
		for _, addr := range u.addrs() {
			fd, err := listen(netip.AddrPortFrom(addr, port))
			if err != nil {
				return errors.Join(fmt.Errorf("listen on %s: %w", netip.AddrPortFrom(addr, port), err), a.close())
			}
			_ = u.probeReceiver(fd)
			a.receivers[lane] = append(a.receivers[lane], newReceiver(u, fd))
		}
	}
	u.also = append(u.also, a)
	return nil
}

func (a *also) close() error {
	errs := []error{unix.Close(a.lock)}
	for _, lane := range a.receivers {
		for _, r := range lane {
			r.closed.Store(true)
			errs = append(errs, unix.Close(r.fd))
		}
	}
	return errors.Join(errs...)
}
