//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Volley is many UDP flows between two nodes, both ways at once. A flow has the
// same two ports there and back, and its datagrams are numbered.
type Volley struct {
	At      [2]netip.Addr // addresses of the two nodes
	Flows   int           // 0 means 64
	Rounds  int           // 0 means 50
	Burst   int           // datagrams that a flow sends in one round; 0 means 4
	Size    int           // bytes of payload, at least 8; 0 means 1200
	Segment bool          // hand a burst to the kernel as one superframe (UDP_SEGMENT)
	Flood   bool          // do not wait for a round to arrive before the next
	Sent    func()        // called for each direction when all is sent; nil: nothing is
}

// Volleyed is what came of one direction.
type Volleyed struct {
	Transfer       // of all flows together
	Overrun  int64 // datagrams that the receiving sockets had no room for
}

func (v Volley) withDefaults() Volley {
	or := func(n *int, otherwise int) {
		if *n == 0 {
			*n = otherwise
		}
	}
	or(&v.Flows, 64)
	or(&v.Rounds, 50)
	or(&v.Burst, 4)
	or(&v.Size, 1200)
	if v.Sent == nil {
		v.Sent = func() {}
	}
	return v
}

// Volley sends from n to another node and back, and tells of both directions in
// this order. What is sent and does not arrive is no error; what arrives and is
// not what was sent is ErrCorrupt.
func (n *Node) Volley(ctx context.Context, to *Node, v Volley) (out [2]Volleyed, err error) {
	v = v.withDefaults()
	var ends [2][]*net.UDPConn
	defer func() { closeAll(ends[0]); closeAll(ends[1]) }()
	for i, node := range []*Node{n, to} {
		if ends[i], err = node.listen(v.At[i], v.Flows); err != nil {
			return out, err
		}
		defer context.AfterFunc(ctx, func() { closeAll(ends[i]) })()
	}
	var wg sync.WaitGroup
	var errs [2]error
	for i := range out {
		s := newSalvo(v, ends[i], ends[1-i])
		wg.Go(func() { out[i].Transfer, errs[i] = s.fire(ctx) })
	}
	wg.Wait()
	for i := range out {
		var failed error
		out[i].Overrun, failed = overruns(ends[1-i])
		errs[i] = errors.Join(errs[i], failed)
	}
	if err := because(ctx, errors.Join(errs[:]...)); err != nil {
		return out, fmt.Errorf("volley between %s and %s (%v): %w", n.Name, to.Name, v.At, err)
	}
	return out, nil
}

// listen opens sockets on ports that the kernel chooses.
func (n *Node) listen(at netip.Addr, many int) (conns []*net.UDPConn, err error) {
	err = n.Do(func() error {
		for range many {
			c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
			if err != nil {
				return err
			}
			conns = append(conns, c)
			if err := bigBuffer(c); err != nil {
				return err
			}
		}
		return nil
	})
	return conns, err
}

func closeAll(conns []*net.UDPConn) {
	for _, c := range conns {
		_ = c.Close()
	}
}

// overruns sums up what the sockets had no room for, from their SO_MEMINFO.
func overruns(conns []*net.UDPConn) (sum int64, err error) {
	for _, c := range conns {
		raw, err := c.SyscallConn()
		if err != nil {
			return sum, err
		}
		var info [9]uint32 // SK_MEMINFO_VARS of linux/sock_diag.h; SK_MEMINFO_DROPS is the last
		var errno unix.Errno
		err = raw.Control(func(fd uintptr) {
			size := uint32(unsafe.Sizeof(info))
			_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
				uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		})
		if err == nil && errno != 0 {
			err = errno
		}
		if err != nil {
			return sum, err
		}
		sum += int64(info[8])
	}
	return sum, nil
}
