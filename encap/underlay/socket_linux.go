package underlay

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/internal/wait"
)

// Underlay is the set of sockets of one VTEP.
type Underlay struct {
	conf      Config
	receivers [][]*Receiver // by lane
	sources   [2][]source   // by family: 0 IPv4, 1 IPv6
	also      []*also       // further ports that are received on
	lock      int           // abstract unix socket: one agent a namespace and port
	stop      *wait.Stop
	count     counters

	// What is not to be used, or not any more.
	noSegment, noSendmmsg, noRecvmmsg atomic.Bool

	mu   sync.Mutex // guards caps.Reason
	caps Capabilities
}

// source is a socket from whose port datagrams leave.
type source struct {
	fd   int
	port uint16
}

// Open opens the sockets. On an error nothing stays open.
func Open(c Config) (_ *Underlay, err error) {
	c.setDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("open underlay: %w", err)
	}
	u := &Underlay{conf: c, lock: -1, caps: Capabilities{Reason: map[string]string{}}}
	defer func() {
		if err != nil {
			_ = u.Close()
		}
	}()
	if u.stop, err = wait.NewStop(); err != nil {
		return nil, fmt.Errorf("open underlay: %w", err)
	}
	if u.lock, err = lockPort(c.Port); err != nil {
		return nil, err
	}
	adopted, err := u.adopt(c.Files)
	if err != nil {
		return nil, fmt.Errorf("adopt underlay sockets: %w", err)
	}
	return u, u.openSockets(adopted)
}

// openSockets opens those that were not handed in.
func (u *Underlay) openSockets(adopted [2][]int) error {
	u.receivers = make([][]*Receiver, u.conf.Lanes)
	for family, a := range []netip.Addr{u.conf.Addr4, u.conf.Addr6} {
		if !a.IsValid() {
			continue
		}
		if err := u.openFamily(family, a, adopted[family]); err != nil {
			return err
		}
	}
	u.probe()
	return nil
}

// Move binds the VTEP to other addresses: the sockets there are are closed and
// new ones opened. No Send or Recv may be under way, and the receivers and
// senders of before are of no use any more. Counters stay, and so does what was
// given up. On an error there are no sockets; it may be tried again.
func (u *Underlay) Move(addr4, addr6 netip.Addr) error {
	c := u.conf
	c.Addr4, c.Addr6, c.Files = addr4, addr6, nil
	if err := c.validate(); err != nil {
		return fmt.Errorf("move underlay: %w", err)
	}
	u.conf = c
	if err := u.closeSockets(); err != nil {
		return fmt.Errorf("move underlay: %w", err)
	}
	if err := u.openSockets([2][]int{}); err != nil {
		return errors.Join(err, u.closeSockets())
	}
	return nil
}

func (u *Underlay) openFamily(family int, a netip.Addr, adopted []int) error {
	at := netip.AddrPortFrom(a, u.conf.Port)
	if len(adopted) == 0 {
		if err := portFree(at); err != nil {
			return err
		}
	}
	for lane := range u.conf.Lanes {
		fd, err := -1, error(nil)
		if lane < len(adopted) {
			fd = adopted[lane]
		} else if fd, err = listen(at); err != nil {
			return fmt.Errorf("open underlay: listen on %s: %w", at, err)
		}
		u.receivers[lane] = append(u.receivers[lane], newReceiver(u, fd))
	}
	return u.openSources(family, a)
}

// openSources opens the sockets to send from, on ports spread evenly over the
// range; one that is taken gives way to the next. The first port of the usual
// range is left out: tcpdump takes what comes from it for another protocol.
func (u *Underlay) openSources(family int, a netip.Addr) error {
	lo, n := int(u.conf.SourceMin), int(u.conf.SourceMax)-int(u.conf.SourceMin)+1
	step := n / u.conf.SourcePorts
	next := step / 2
	for tried := 0; len(u.sources[family]) < u.conf.SourcePorts && tried < n; tried++ {
		port := uint16(lo + next%n)
		s, err := openSource(netip.AddrPortFrom(a, port), u.conf)
		switch {
		case err == nil:
			u.sources[family] = append(u.sources[family], s)
			next = step/2 + len(u.sources[family])*step
		case errors.Is(err, unix.EADDRINUSE):
			next++
		default:
			return fmt.Errorf("open underlay: source port %d on %s: %w", port, a, err)
		}
	}
	if len(u.sources[family]) == 0 {
		return fmt.Errorf("open underlay: no free source port on %s in %d-%d; widen --source-port-range", a, u.conf.SourceMin, u.conf.SourceMax)
	}
	return nil
}

// lockPort takes the name that says an agent serves this port in this network
// namespace: a second SO_REUSEPORT bind by the same user would succeed, and
// the two would share the datagrams.
func lockPort(port uint16) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open underlay: lock: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@uvtep/%d", port)}); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return -1, fmt.Errorf("%w: another uvtep agent serves port %d in this network namespace; stop it first", ErrPortTaken, port)
		}
		return -1, fmt.Errorf("open underlay: lock: %w", err)
	}
	return fd, nil
}

// Served reports whether an agent serves a port in this network namespace.
func Served(port uint16) (bool, error) {
	fd, err := lockPort(port)
	if errors.Is(err, ErrPortTaken) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, unix.Close(fd)
}

// portFree binds once without SO_REUSEPORT, which fails when anything at all
// receives on the port: the shared bind that follows would not notice.
func portFree(at netip.AddrPort) error {
	fd, err := unix.Socket(domain(at.Addr()), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open underlay: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if at.Addr().Is6() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	err = unix.Bind(fd, sockaddr(at))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w: %s is held by another program or by a kernel vxlan device (a leftover flannel.1?); `ss -lnup` and `ip -d link show type vxlan` name it", ErrPortTaken, at)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("open underlay: %s is not an address of this host; choose another with --iface", at.Addr())
	case err != nil:
		return fmt.Errorf("open underlay: bind %s: %w", at, err)
	}
	return nil
}

// listen opens a receiving socket, non-blocking, in the shared port group.
func listen(at netip.AddrPort) (int, error) {
	fd, err := unix.Socket(domain(at.Addr()), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if at.Addr().Is6() {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	if err == nil {
		err = unix.Bind(fd, sockaddr(at))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func openSource(at netip.AddrPort, c Config) (source, error) {
	s := source{port: at.Port()}
	fd, err := unix.Socket(domain(at.Addr()), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return s, err
	}
	s.fd = fd
	if err = dropAll(fd); err == nil {
		err = outerHeader(fd, at.Addr().Is6(), c)
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(at))
	}
	if err != nil {
		_ = unix.Close(fd)
	}
	return s, err
}

// dropAll attaches a filter that keeps nothing: what is sent to a source port
// would fill its buffer for ever.
func dropAll(fd int) error {
	ret0 := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &ret0})
}

// outerHeader sets what every datagram of a source carries. DF is set and
// nothing is ever fragmented: RFC 7348 §4.3.
func outerHeader(fd int, six bool, c Config) error {
	if six {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		// A flow label for each source port (RFC 6438), also where
		// net.ipv6.auto_flowlabels leaves it to the socket; Linux before 3.17
		// has none. The checksum stays on: RFC 6936 §4.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_AUTOFLOWLABEL, 1)
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, c.TTL),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO))
	}
	err := errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, c.TTL),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO))
	if c.NoChecksum {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1))
	}
	return err
}

// adopt sorts sockets that were handed in: receivers by family are returned,
// sources are kept.
func (u *Underlay) adopt(files []*os.File) (receivers [2][]int, err error) {
	for i, f := range files {
		if err := u.adoptOne(f, &receivers); err != nil {
			for _, f := range files[i:] {
				_ = f.Close()
			}
			return receivers, err
		}
	}
	return receivers, nil
}

func (u *Underlay) adoptOne(f *os.File, receivers *[2][]int) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_ = f.Close()
	sa, err := unix.Getsockname(fd)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	family, port := 0, 0
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		port = sa.Port
	case *unix.SockaddrInet6:
		family, port = 1, sa.Port
	default:
		_ = unix.Close(fd)
		return fmt.Errorf("socket %q is not UDP over IP", f.Name())
	}
	if port == int(u.conf.Port) {
		receivers[family] = append(receivers[family], fd)
		return nil
	}
	u.sources[family] = append(u.sources[family], source{fd: fd, port: uint16(port)})
	return nil
}

// Files returns duplicates of all sockets but those of further ports, for handing them to a successor.
// The caller closes them.
func (u *Underlay) Files() ([]*os.File, error) {
	var out []*os.File
	dup := func(fd int) error {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err == nil {
			out = append(out, os.NewFile(uintptr(n), "uvtep udp"))
		}
		return err
	}
	var errs []error
	for _, lane := range u.receivers {
		for _, r := range lane {
			errs = append(errs, dup(r.fd))
		}
	}
	for _, family := range u.sources {
		for _, s := range family {
			errs = append(errs, dup(s.fd))
		}
	}
	return out, errors.Join(errs...)
}

// Receivers returns the receivers of a lane, one an address family and port.
func (u *Underlay) Receivers(lane int) []*Receiver {
	rs := slices.Clone(u.receivers[lane])
	for _, a := range u.also {
		rs = append(rs, a.receivers[lane]...)
	}
	return rs
}

// Lanes is how many lanes there are.
func (u *Underlay) Lanes() int { return u.conf.Lanes }

// SourcePorts returns the outer source ports in use for a family.
func (u *Underlay) SourcePorts(six bool) []uint16 {
	var out []uint16
	for _, s := range u.sources[index(six)] {
		out = append(out, s.port)
	}
	return out
}

// SourcePort returns the port that a datagram leaves from; ok is false when there
// is none of its family.
func (u *Underlay) SourcePort(d *encap.Datagram) (port uint16, ok bool) {
	family, source, ok := u.source(d)
	if !ok {
		return 0, false
	}
	return u.sources[family][source].port, true
}

// Capabilities returns what is in use now: a feature refused while running has
// gone from it.
func (u *Underlay) Capabilities() Capabilities {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.caps
	c.UDPSegment = !u.noSegment.Load()
	c.Mmsg = !u.noSendmmsg.Load() && !u.noRecvmmsg.Load()
	c.Reason = maps.Clone(c.Reason)
	return c
}

// giveUp gives up, once and for good, a feature that was refused while running.
func (u *Underlay) giveUp(feature string, off *atomic.Bool, why unix.Errno) {
	if off.Swap(true) {
		return
	}
	u.mu.Lock()
	u.caps.Reason[feature] = "refused while running: " + why.Error()
	u.mu.Unlock()
	if u.conf.Degraded != nil {
		u.conf.Degraded(feature, why)
	}
}

// Wake makes every Recv that waits, and every later one, return
// os.ErrDeadlineExceeded.
func (u *Underlay) Wake() {
	u.stop.Set()
}

// Rearm undoes Wake, for goroutines that start anew.
func (u *Underlay) Rearm() {
	u.stop.Clear()
}

// Close closes the sockets. No Send or Recv may be under way.
func (u *Underlay) Close() error {
	errs := []error{u.closeSockets()}
	if u.lock >= 0 {
		errs = append(errs, unix.Close(u.lock))
	}
	if u.stop != nil {
		errs = append(errs, u.stop.Close())
	}
	u.lock, u.stop = -1, nil
	return errors.Join(errs...)
}

func (u *Underlay) closeSockets() error {
	var errs []error
	for _, lane := range u.receivers {
		for _, r := range lane {
			r.closed.Store(true)
			errs = append(errs, unix.Close(r.fd))
		}
	}
	for _, family := range u.sources {
		for _, s := range family {
			errs = append(errs, unix.Close(s.fd))
		}
	}
	for _, a := range u.also {
		errs = append(errs, a.close())
	}
	u.receivers, u.sources, u.also = nil, [2][]source{}, nil
	return errors.Join(errs...)
}

func domain(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func index(six bool) int {
	if six {
		return 1
	}
	return 0
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}
