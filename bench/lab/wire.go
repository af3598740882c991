//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wireFrame is the largest frame a Wire takes whole: a superframe of 64 KiB and
// its headers fit. wireBuffer is what may wait in the kernel meanwhile.
const (
	wireFrame  = 1<<16 + 256
	wireBuffer = 32 << 20
)

// Wire is a raw socket (AF_PACKET) on one device of a node: it sees every frame
// that passes, from the moment it is opened, and can send any; it does not see
// those that it has sent itself. Next and Find must not run twice at once.
type Wire struct {
	file *os.File
	raw  syscall.RawConn
	lab  *Lab
	buf  []byte
	oob  []byte
}

// Frame is one frame as captured.
type Frame struct {
	Time       time.Time // when it passed, by the kernel's clock
	Outgoing   bool      // sent by the node itself
	Unfinished bool      // the transport checksum is left to an offload
	Data       []byte    // from the destination MAC on, 802.1Q tag included; the caller's to keep
}

// Wire opens a raw socket on a device. Close it.
func (n *Node) Wire(dev string) (*Wire, error) {
	l, err := n.find(dev)
	if err != nil {
		return nil, err
	}
	var fd int
	err = n.Do(func() error {
		fd, err = openRaw(l.Attrs().Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("raw socket on %q in %s: %w", dev, n.Name, err)
	}
	w := &Wire{
		file: os.NewFile(uintptr(fd), dev+" in "+n.Name), lab: n.lab,
		buf: make([]byte, wireFrame), oob: make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.TpacketAuxdata{})))+TimeSpace),
	}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	if !n.lab.track(w.file) {
		return nil, ErrClosed
	}
	return w, nil
}

// openRaw opens a socket for all frames of one device.
func openRaw(index int) (fd int, err error) {
	// Protocol 0: nothing arrives before bind has named the device.
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wireBuffer),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		Timed(fd),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: index}),
	)
	if err != nil {
		_ = unix.Close(fd)
	}
	return fd, err
}

// bigEndian turns v into the number whose bytes in memory are v's in network order.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// Next waits for the next frame.
func (w *Wire) Next(ctx context.Context) (Frame, error) {
	_ = w.file.SetReadDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })()
	if err := ctx.Err(); err != nil {
		return Frame{}, context.Cause(ctx) // AfterFunc runs in its own time
	}
	var (
		n, oobn int
		from    unix.Sockaddr
		failed  error
	)
	err := w.raw.Read(func(fd uintptr) bool {
		n, oobn, _, from, failed = unix.Recvmsg(int(fd), w.buf, w.oob, 0)
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = failed
	}
	if err != nil {
		return Frame{}, fmt.Errorf("wait for a frame on %s: %w", w.file.Name(), err)
	}
	return w.frame(n, oobn, from), nil
}

// frame makes a Frame of what recvmsg has left in the buffers.
func (w *Wire) frame(n, oobn int, from unix.Sockaddr) Frame {
	f := Frame{Time: TimeOf(w.oob[:oobn]), Data: slices.Clone(w.buf[:n])}
	if sll, ok := from.(*unix.SockaddrLinklayer); ok {
		f.Outgoing = sll.Pkttype == unix.PACKET_OUTGOING
	}
	messages, err := unix.ParseSocketControlMessage(w.oob[:oobn])
	if err != nil {
		return f
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA {
			continue
		}
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		f.Unfinished = aux.Status&unix.TP_STATUS_CSUMNOTREADY != 0
		if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			f.Data = retag(f.Data, aux)
		}
	}
	return f
}

// TimeSpace is how many bytes of a message's control data its time takes.
var TimeSpace = unix.CmsgSpace(int(unsafe.Sizeof(unix.Timespec{})))

// Timed has the kernel tell when each packet of a socket came (socket(7)).
func Timed(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) }

// TimeOf is when a packet came, by the control data of its message; the zero Time if
// that does not say.
func TimeOf(oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS {
			t := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Unix(t.Unix())
		}
	}
	return time.Time{}
}

// retag puts back the outermost 802.1Q tag, which the kernel takes out of a frame
// before a raw socket sees it.
func retag(data []byte, aux *unix.TpacketAuxdata) []byte {
	tpid := uint16(unix.ETH_P_8021Q)
	if aux.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = aux.Vlan_tpid
	}
	tag := binary.BigEndian.AppendUint16(nil, tpid)
	tag = binary.BigEndian.AppendUint16(tag, aux.Vlan_tci)
	return slices.Insert(data, 12, tag...)
}

// Find waits for the first frame that match accepts.
func (w *Wire) Find(ctx context.Context, match func(Frame) bool) (Frame, error) {
	for {
		f, err := w.Next(ctx)
		if err != nil || match(f) {
			return f, err
		}
	}
}

// Send sends one frame, which must begin with an Ethernet header.
func (w *Wire) Send(frame []byte) error {
	if _, err := w.file.Write(frame); err != nil {
		return fmt.Errorf("send on %s: %w", w.file.Name(), err)
	}
	return nil
}

// Close closes the socket and ends a waiting Next.
func (w *Wire) Close() error {
	w.lab.forget(w.file)
	return w.file.Close()
}
