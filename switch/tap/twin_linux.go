package tap

import (
	"os"

	"golang.org/x/sys/unix"
)

// Frames are not written to the queues that are read. The kernel hands a flow to
// the queue that a frame of it was last written to (tun_flow_update in
// drivers/net/tun.c): a flow whose answers arrive on another lane would change
// its lane while frames of it wait on the old one, and overtake itself. It looks
// at no flow on a detached queue, and takes what is written there all the same.
// So each queue has a detached twin for writing, and a flow stays with the queue
// that its hash says.

// twins makes the twins of a device's queues, of which the anchor is the first
// and still attached. They are made before the queues, so that the number that
// each had while it was attached stays below that of the queues. None: there is
// one queue only, or the kernel refuses.
func (d *Device) twins(anchor, queues int, flags uint16) []int {
	if anchor < 0 {
		return nil
	}
	fds := []int{anchor}
	for len(fds) < queues {
		fd, err := setIff(d.Name, flags)
		if err == nil {
			fds = append(fds, fd)
			err = detach(fd)
		}
		if err != nil {
			closeAll(fds[1:])
			return fds[:1]
		}
	}
	return fds
}

// writeTo detaches the anchor, which has kept the device's flags until now, and
// hands the twins over to the queues. Without enough of them the queues are
// written to themselves.
func (d *Device) writeTo(twins []int) {
	if len(twins) == 0 {
		return
	}
	if len(twins) < len(d.Queues) || detach(twins[0]) != nil {
		closeAll(twins)
		return
	}
	for i, q := range d.Queues {
		q.out = twins[i]
	}
}

// detach takes a queue out of use: nothing is handed to it any more.
func detach(fd int) error {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_DETACH_QUEUE)
	return os.NewSyscallError("TUNSETQUEUE", unix.IoctlIfreq(fd, unix.TUNSETQUEUE, ifr))
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
