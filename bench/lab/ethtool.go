//go:build linux

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/ethtool.h, which x/sys/unix has in part only.
const (
	stringSetFeatures = 4  // ETH_SS_FEATURES
	stringLen         = 32 // ETH_GSTRING_LEN
	maxFeatures       = 256
)

// ethtool is a socket on which the SIOCETHTOOL calls for one device are made.
type ethtool struct {
	fd  int
	dev string
}

// OffloadsOff makes a device send and receive frames as a plain wire carries them,
// as `ethtool -K DEV tx off tso off gso off gro off` does: no superframes, no
// unfinished checksums. A veth has all of them on by default.
func (n *Node) OffloadsOff(dev string) error { return n.setOffloads(dev, Bare.hosts()) }

// setOffloads gives a device the offloads that wish wants, as `ethtool -K` does.
func (n *Node) setOffloads(dev string, wish wish) error {
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return ethtool{fd, dev}.set(wish)
	})
	if err != nil {
		return fmt.Errorf("offloads of %q in %s: %w", dev, n.Name, err)
	}
	return nil
}

// set switches features on and off, and checks that.
func (e ethtool) set(wish wish) error {
	names, err := e.features()
	if err != nil {
		return err
	}
	blocks := (len(names) + 31) / 32
	set := make([]uint32, 2+2*blocks) // cmd, size, then pairs: valid, requested
	set[0], set[1] = unix.ETHTOOL_SFEATURES, uint32(blocks)
	differing, err := e.differing(names, wish)
	if err != nil {
		return err
	}
	for _, i := range differing {
		set[2+2*(i/32)] |= 1 << (i % 32)
		if on, _ := wish(names[i]); on {
			set[3+2*(i/32)] |= 1 << (i % 32)
		}
	}
	if err := e.call(unsafe.Pointer(&set[0])); err != nil {
		return err
	}
	differing, err = e.differing(names, wish)
	if err != nil || len(differing) == 0 {
		return err
	}
	var left []string
	for _, i := range differing {
		left = append(left, names[i])
	}
	return errors.New("cannot be switched: " + strings.Join(left, ", "))
}

// differing lists the features that are not as wished, by number.
func (e ethtool) differing(names []string, wish wish) (list []int, err error) {
	active, err := e.active(len(names))
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if on, told := wish(name); told && on != active[i] {
			list = append(list, i)
		}
	}
	return list, nil
}

// features lists the names of the device's features, in the order of their bits.
func (e ethtool) features() ([]string, error) {
	size := struct {
		cmd, _ uint32
		mask   uint64
		data   uint32
	}{cmd: unix.ETHTOOL_GSSET_INFO, mask: 1 << stringSetFeatures}
	if err := e.call(unsafe.Pointer(&size)); err != nil {
		return nil, err
	}
	if size.data > maxFeatures {
		return nil, fmt.Errorf("%d features: want %d at most", size.data, maxFeatures)
	}
	var list struct {
		cmd, set, n uint32
		data        [maxFeatures * stringLen]byte
	}
	list.cmd, list.set, list.n = unix.ETHTOOL_GSTRINGS, stringSetFeatures, size.data
	if err := e.call(unsafe.Pointer(&list)); err != nil {
		return nil, err
	}
	names := make([]string, list.n)
	for i := range names {
		name, _, _ := bytes.Cut(list.data[i*stringLen:(i+1)*stringLen], []byte{0})
		names[i] = string(name)
	}
	return names, nil
}

// active tells which of n features are on.
func (e ethtool) active(n int) ([]bool, error) {
	blocks := (n + 31) / 32
	get := make([]uint32, 2+4*blocks) // cmd, size, then fours: available, requested, active, never changed
	get[0], get[1] = unix.ETHTOOL_GFEATURES, uint32(blocks)
	if err := e.call(unsafe.Pointer(&get[0])); err != nil {
		return nil, err
	}
	on := make([]bool, n)
	for i := range on {
		on[i] = get[2+4*(i/32)+2]&(1<<(i%32)) != 0
	}
	return on, nil
}

// call makes one SIOCETHTOOL with the structure at data, which begins with the
// command.
func (e ethtool) call(data unsafe.Pointer) error {
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte // struct ifreq is 40 bytes on 64-bit machines
	}{data: data}
	copy(req.name[:unix.IFNAMSIZ-1], e.dev)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(data)
	if errno != 0 {
		return errno
	}
	return nil
}

// isErrno tells whether err is or wraps the errno.
func isErrno(err error, want unix.Errno) bool { return errors.Is(err, want) }
