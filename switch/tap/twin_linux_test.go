package tap

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// datagram is a frame with UDP over IPv4 between two ports, of one address to
// another.
func datagram(from, to byte, src, dst uint16) []byte {
	f := make([]byte, 60)
	copy(f, []byte{2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, from, 10, 0, 0, to})
	binary.BigEndian.PutUint16(f[34:], src)
	binary.BigEndian.PutUint16(f[36:], dst)
	f[39] = 26
	return f
}

// queueOf sends a frame and says which queue it arrives on.
func queueOf(t testing.TB, d *Device, kernel side, f []byte) int {
	t.Helper()
	kernel.send(t, f)
	var fds []unix.PollFd
	for _, q := range d.Queues {
		fds = append(fds, unix.PollFd{Fd: int32(q.fd), Events: unix.POLLIN})
	}
	if _, err := unix.Poll(fds, -1); err != nil {
		t.Fatal(err)
	}
	for i, p := range fds {
		if p.Revents&unix.POLLIN != 0 {
			read1(t, d.Queues[i])
			return i
		}
	}
	t.Fatalf("no queue has the frame: %+v", fds)
	return -1
}

// A flow whose answers came in on another lane was moved to that lane's queue,
// and overtook itself.
func TestFlowKeepsItsQueueWhicheverQueueItsAnswersAreWrittenTo(t *testing.T) {
	for _, vnet := range []bool{false, true} {
		inNamespace(t)
		d := openTAP(t, Config{Name: "t0", Queues: 4, VnetHdr: vnet})
		kernel := up(t, "t0")
		used := map[int]bool{}
		for port := range uint16(64) {
			there, answer := datagram(1, 2, 1000+port, 2000), datagram(2, 1, 2000, 1000+port)
			was := queueOf(t, d, kernel, there)
			used[was] = true
			rec := [][][]byte{{append(make([]byte, HeaderLen), answer...)}}
			if n, err := d.Queues[(was+1)%4].Writer().Write(rec); n != 1 || err != nil {
				t.Fatalf("write: got %d, %v; want 1, nil", n, err)
			}
			if is := queueOf(t, d, kernel, there); is != was {
				t.Errorf("virtio headers %v: flow %d moves from queue %d to %d", vnet, port, was, is)
			}
		}
		if len(used) != 4 {
			t.Errorf("virtio headers %v: 64 flows use %d of 4 queues", vnet, len(used))
		}
	}
}

// A device takes 256 queues, detached ones too (MAX_TAP_QUEUES in
// drivers/net/tun.c). Queues are worth more than twins.
func TestDeviceWithoutRoomForTwinsHasAllItsQueues(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0", Queues: 200, VnetHdr: true})
	if len(d.Queues) != 200 || !d.Capabilities.VnetHdr || d.Capabilities.Reason["steady_flows"] == "" {
		t.Errorf("got %d queues, %+v; want 200, with headers, and why they have no twins", len(d.Queues), d.Capabilities)
	}
	for i, q := range d.Queues {
		if q.out != q.fd {
			t.Errorf("queue %d is written to elsewhere", i)
		}
	}
}

// Frames of a lane stay on the receive queue of its number, by which the kernel
// spreads them further.
func TestTwinsHaveTheNumbersOfTheirQueues(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0", Queues: 4})
	kernel := up(t, "t0")
	// The filter keeps as many bytes of a frame as its queue's number and one
	// (SKF_AD_QUEUE in include/uapi/linux/filter.h; skb_record_rx_queue).
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0xfffff000 + 24}, {Code: unix.BPF_RET | unix.BPF_A}}
	if err := unix.SetsockoptSockFprog(kernel.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 2, Filter: &program[0]}); err != nil {
		t.Fatal(err)
	}
	for i, q := range d.Queues {
		if n, err := q.Writer().Write([][][]byte{{append(make([]byte, HeaderLen), frame(1, 60)...)}}); n != 1 || err != nil {
			t.Fatalf("write: got %d, %v; want 1, nil", n, err)
		}
		if n, err := unix.Read(kernel.fd, make([]byte, 60)); n != i+1 || err != nil {
			t.Errorf("lane %d: the kernel has the frame on queue %d, %v", i, n-1, err)
		}
	}
}
