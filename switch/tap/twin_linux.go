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
// and still attached. They are made before the queues and detached from the last
// to the first, so that each keeps its number: a frame is received on the queue
// (skb_record_rx_queue) whose twin it is written to. None: there is one queue
// only, or the kernel refuses, which is noted.
func (d *Device) twins(anchor, queues int, flags uint16) []int {
	if anchor < 0 {
		return nil
	}
	fds, err := []int{anchor}, error(nil)
	for len(fds) < queues && err == nil {
		var fd int
		if fd, err = setIff(d.Name, flags); err == nil {
			fds = append(fds, fd)
		}
	}
	for i := len(fds) - 1; i > 0 && err == nil; i-- {
		err = detach(fds[i])
	}
	if err != nil {
		return d.forgo(fds, err)
	}
	return fds
}

// forgo gives all twins up but the anchor, without which the device would lose its
// flags, and notes why.
func (d *Device) forgo(twins []int, why error) []int {
	d.Capabilities.Reason["steady_flows"] = why.Error()
	closeAll(twins[1:])
	return twins[:1]
}

// writeTo detaches the anchor, which has kept the device's flags until now, and
// hands the twins over to the queues. Without enough of them the queues are
// written to themselves.
func (d *Device) writeTo(twins []int) {
	if len(twins) > 0 && len(twins) == len(d.Queues) {
		err := detach(twins[0])
		if err == nil {
			for i, q := range d.Queues {
				q.out = twins[i]
			}
			return
		}
		twins = d.forgo(twins, err)
	}
	closeAll(twins)
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
