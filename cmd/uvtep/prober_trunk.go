package main

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// trunkSender sends through the trunk's sockets, whichever these are. It is for one
// goroutine at a time.
type trunkSender struct {
	trunk *trunk
	of    <-chan struct{} // the trunk's letGo when sender was made
	vswitch.Sender
}

// Send waits while the sockets are bound anew.
func (s *trunkSender) Send(ds []encap.Datagram) int {
	s.trunk.gate.RLock()
	defer s.trunk.gate.RUnlock()
	s.trunk.mu.Lock()
	sockets, of := s.trunk.sockets, s.trunk.letGo
	s.trunk.mu.Unlock()
	if s.of != of {
		s.of, s.Sender = of, sockets.NewSender()
	}
	return s.Sender.Send(ds)
}

// pathMTU is what the kernel takes for the MTU of the path to a VTEP.
func (t *trunk) pathMTU(vtep netip.Addr) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sockets.PathMTU(vtep)
}

// boundTo are the addresses of the underlay that sockets are bound to.
func (t *trunk) boundTo() (out []netip.Addr) {
	u := t.where()
	for _, a := range []netip.Addr{u.Addr, u.Addr6} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}
