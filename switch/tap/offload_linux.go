package tap

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// The offloads of TUNSETOFFLOAD (include/uapi/linux/if_tun.h).
const (
	checksums = unix.TUN_F_CSUM
	tcp       = unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	udp       = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
)

// SetOffload turns on all offloads that the kernel grants, or turns all off;
// it may be called at any time. While they are off every frame that is read is
// one of the wire, whole and finished. What is granted is in Capabilities. The
// error is ErrGone when the device was removed.
func (d *Device) SetOffload(on bool) error {
	c := &d.Capabilities
	c.TCP, c.UDP = false, false
	if !on || !c.VnetHdr {
		// A device that outlived another program may have them on still.
		err := d.ioctl(0)
		if refused(err) {
			return nil // who grants no offloads has none to turn off
		}
		return err
	}
	if d.ioctl(checksums|tcp|udp) == nil {
		c.TCP, c.UDP = true, true
		return nil
	}
	switch err := d.ioctl(checksums | tcp); {
	case err == nil:
		c.TCP, c.Reason["uso"] = true, "the kernel does not offer it (Linux 6.2 does)"
	case errors.Is(err, ErrGone):
		return err
	default:
		c.Reason["tso"], c.Reason["uso"] = err.Error(), err.Error()
	}
	return nil
}

// refused says whether err is how kernels without TUNSETOFFLOAD, and filters of
// system calls, answer it.
func refused(err error) bool {
	for _, no := range []error{unix.EINVAL, unix.ENOTTY, unix.ENOSYS, unix.EPERM} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// ioctl sets the offloads. They belong to the device, so one queue is enough.
func (d *Device) ioctl(flags uint) error {
	err := unix.IoctlSetInt(d.Queues[0].fd, unix.TUNSETOFFLOAD, int(flags))
	if errors.Is(err, unix.EBADFD) {
		return ErrGone
	}
	return os.NewSyscallError("TUNSETOFFLOAD", err)
}
