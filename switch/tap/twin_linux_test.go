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
