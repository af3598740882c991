package tap

import (
	"bytes"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace moves the test's thread into a network namespace of its own. The
// thread is never given back, so it ends with the test and the namespace with it.
func inNamespace(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("UVTEP_LAB") == "require" {
			t.Fatal("needs root: UVTEP_LAB=require says that there is")
		}
		t.Skip("needs root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("new network namespace: %v", err)
	}
}

func openTAP(t testing.TB, c Config) *Device {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// side is the kernel's side of the device: a raw socket on the interface.
type side struct{ fd, index int }

// up brings the interface up without the kernel's own IPv6 chatter and returns
// its other side.
func up(t testing.TB, name string) side {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	setFlags(t, name, unix.IFF_UP)
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0x0300) // ETH_P_ALL in network order
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: i.Index}); err != nil {
		t.Fatal(err)
	}
	return side{fd, i.Index}
}

func setFlags(t testing.TB, name string, flags uint16) {
	t.Helper()
	request(t, name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) { r.SetUint16(flags) })
}

// request asks the kernel for a change of an interface.
func request(t testing.TB, name string, what uint, set func(*unix.Ifreq)) {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(s) }()
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	set(r)
	if err := unix.IoctlIfreq(s, what, r); err != nil {
		t.Fatal(err)
	}
}

func (s side) send(t testing.TB, f []byte) {
	t.Helper()
	if err := unix.Sendto(s.fd, f, 0, &unix.SockaddrLinklayer{Ifindex: s.index}); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next frame that came in from the TAP, not one that went out.
func (s side) receive(t testing.TB) []byte {
	t.Helper()
	b := make([]byte, 70000)
	for {
		n, from, err := unix.Recvfrom(s.fd, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
			return b[:n]
		}
	}
}

// frame is a broadcast frame of an experimental type with a number in it.
func frame(n byte, size int) []byte {
	f := make([]byte, size)
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5, n})
	return f
}

// read reads one batch and returns its frames without their headers, which
// must be zero.
func read1(t testing.TB, q *Queue) [][]byte {
	t.Helper()
	frames := make([][]byte, 8)
	dirty := bytes.Repeat([]byte{0xff}, 4*(HeaderLen+MaxFrame)) // as a batch before left it
	n, err := q.Read(dirty, frames)
	if err != nil {
		t.Fatal(err)
	}
	for i, rec := range frames[:n] {
		if !bytes.Equal(rec[:HeaderLen], make([]byte, HeaderLen)) {
			t.Errorf("record %d: got header % x, want zeros", i, rec[:HeaderLen])
		}
		frames[i] = rec[HeaderLen:]
	}
	return frames[:n]
}

func TestFramesPassBothWays(t *testing.T) {
	for _, vnet := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "with virtio_net_hdr"}[vnet], func(t *testing.T) {
			inNamespace(t)
			d := openTAP(t, Config{Name: "t0", VnetHdr: vnet})
			if !d.Created || d.Capabilities.VnetHdr != vnet || !d.Capabilities.MultiQueue {
				t.Errorf("got Created %v, %+v; want true, VnetHdr %v, MultiQueue", d.Created, d.Capabilities, vnet)
			}
			kernel, q := up(t, "t0"), d.Queues[0]
			for n := range byte(3) {
				kernel.send(t, frame(n, 60+int(n)))
			}
			got := read1(t, q)
			if len(got) != 3 {
				t.Fatalf("got %d frames in a batch, want 3", len(got))
			}
			for n, f := range got {
				if want := frame(byte(n), 60+n); !bytes.Equal(f, want) {
					t.Errorf("frame %d: got % x, want % x", n, f, want)
				}
			}
			header := make([]byte, HeaderLen)
			records := [][][]byte{
				{append(bytes.Clone(header), frame(7, 60)...)},        // one slice
				{header, frame(8, 100)[:20], nil, frame(8, 100)[20:]}, // a gather list
				{append(bytes.Clone(header), frame(9, 64)[:10]...)},   // too short: refused
				{append(bytes.Clone(header), frame(10, 60)[:14]...), frame(10, 60)[14:]},
			}
			w := q.Writer()
			if sent, err := w.Write(records); err != nil || sent != 2 {
				t.Errorf("got %d written, %v; want 2, nil: the third is refused", sent, err)
			}
			if sent, err := w.Write(records[3:]); err != nil || sent != 1 {
				t.Errorf("got %d written behind the refused one, %v; want 1, nil", sent, err)
			}
			for _, want := range [][]byte{frame(7, 60), frame(8, 100), frame(10, 60)} {
				if got := kernel.receive(t); !bytes.Equal(got, want) {
					t.Errorf("got % x, want % x", got, want)
				}
			}
		})
	}
}

func TestBatchKeepsToItsBudget(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0"})
	kernel := up(t, "t0")
	for n := range byte(5) {
		kernel.send(t, frame(n, 60))
	}
	frames := make([][]byte, 8)
	read := func(buf int, frames [][]byte) int {
		n, err := d.Queues[0].Read(make([]byte, buf), frames)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := read(HeaderLen+MaxFrame, frames); n != 1 {
		t.Errorf("a buffer for one record: got %d frames, want 1", n)
	}
	if n := read(4*(HeaderLen+MaxFrame), frames[:3]); n != 3 {
		t.Errorf("room for three frames: got %d, want 3", n)
	}
	if n := read(4*(HeaderLen+MaxFrame), frames); n != 1 {
		t.Errorf("the last: got %d frames, want 1", n)
	}
}

func TestDeviceOutlivesItsQueues(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0", Queues: 2})
	if len(d.Queues) != 2 {
		t.Fatalf("got %d queues, want 2", len(d.Queues))
	}
	before, err := net.InterfaceByName("t0")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again := openTAP(t, Config{Name: "t0", Queues: 2})
	after, err := net.InterfaceByName("t0")
	if err != nil {
		t.Fatal(err)
	}
	if again.Created || after.Index != before.Index {
		t.Errorf("got Created %v and index %d, want false and %d", again.Created, after.Index, before.Index)
	}
}

func TestRemovedDeviceIsGone(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0", Queues: 2, VnetHdr: true})
	up(t, "t0")
	done := make(chan error)
	go func() {
		_, err := d.Queues[0].Read(make([]byte, HeaderLen+MaxFrame), make([][]byte, 1))
		done <- err
	}()
	remove(t, "t0")
	if err := <-done; !errors.Is(err, ErrGone) {
		t.Errorf("Read: got %v, want %v", err, ErrGone)
	}
	rec := [][][]byte{{append(make([]byte, HeaderLen), frame(1, 60)...)}}
	if n, err := d.Queues[1].Writer().Write(rec); n != 0 || !errors.Is(err, ErrGone) {
		t.Errorf("Write: got %d, %v; want 0, %v", n, err, ErrGone)
	}
	for _, on := range []bool{true, false} {
		if err := d.SetOffload(on); !errors.Is(err, ErrGone) {
			t.Errorf("SetOffload(%v): got %v, want %v", on, err, ErrGone)
		}
	}
}

// remove removes an interface, by rtnetlink's RTM_DELLINK.
func remove(t testing.TB, name string) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(s) }()
	m := make([]byte, 32) // nlmsghdr and ifinfomsg, little-endian
	m[0], m[4], m[6] = 32, unix.RTM_DELLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK
	m[20], m[21] = byte(i.Index), byte(i.Index>>8)
	if err := unix.Sendto(s, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := unix.Recvfrom(s, make([]byte, 4096), 0); err != nil {
		t.Fatal(err)
	}
}

func TestDownDeviceTakesNothingAndIsNotGone(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0"})
	rec := [][][]byte{{append(make([]byte, HeaderLen), frame(1, 60)...)}}
	if n, err := d.Queues[0].Writer().Write(rec); n != 0 || err != nil {
		t.Errorf("got %d written, %v; want 0, nil", n, err)
	}
}

func TestWakeEndsRead(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0"})
	done := make(chan error)
	go func() {
		_, err := d.Queues[0].Read(make([]byte, HeaderLen+MaxFrame), make([][]byte, 1))
		done <- err
	}()
	d.Wake()
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Queues[0].Read(make([]byte, HeaderLen+MaxFrame), make([][]byte, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, os.ErrClosed)
	}
}

func TestQueuesPassToASuccessor(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0", Queues: 2, VnetHdr: true})
	kernel := up(t, "t0")
	var files []*os.File
	for _, q := range d.Queues {
		f, err := q.File()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	next := openTAP(t, Config{Files: files})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if next.Name != "t0" || len(next.Queues) != 2 || !next.Capabilities.VnetHdr {
		t.Errorf("got %q with %d queues and %+v, want t0, 2, VnetHdr", next.Name, len(next.Queues), next.Capabilities)
	}
	rec := [][][]byte{{append(make([]byte, HeaderLen), frame(3, 60)...)}}
	if n, err := next.Queues[1].Writer().Write(rec); n != 1 || err != nil {
		t.Errorf("got %d, %v; want 1, nil", n, err)
	}
	if got := kernel.receive(t); !bytes.Equal(got, frame(3, 60)) {
		t.Errorf("got % x", got)
	}
}

func TestNamesThatCannotBeAreRefused(t *testing.T) {
	inNamespace(t)
	for _, c := range []struct{ name, device, says string }{
		{"an empty name", "", "1 to 15 bytes"},
		{"a name of 16 bytes", "abcdefghijklmnop", "1 to 15 bytes"},
		{"an interface that is no TAP", "lo", "--tap"},
	} {
		if _, err := Open(Config{Name: c.device}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want an error that says %q", c.name, err, c.says)
		}
	}
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0"})
	kernel := up(t, "t0")
	buf, frames := make([]byte, 4*(HeaderLen+MaxFrame)), make([][]byte, 8)
	w, f := d.Queues[0].Writer(), frame(1, 60)
	rec := [][][]byte{{append(make([]byte, HeaderLen), f...)}}
	to := &unix.SockaddrLinklayer{Ifindex: kernel.index}
	if n := testing.AllocsPerRun(50, func() {
		_ = unix.Sendto(kernel.fd, f, 0, to)
		if _, err := d.Queues[0].Read(buf, frames); err != nil {
			t.Error(err)
		}
		if _, err := w.Write(rec); err != nil {
			t.Error(err)
		}
	}); n > 1 { // Sendto itself makes one of its address
		t.Errorf("got %v allocations a batch, want none but the test's own", n)
	}
}

func TestProbeMatchesWhatOpenGets(t *testing.T) {
	inNamespace(t)
	p, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	d := openTAP(t, Config{Name: "t0", VnetHdr: true})
	if p.MultiQueue != d.Capabilities.MultiQueue || p.VnetHdr != d.Capabilities.VnetHdr {
		t.Errorf("Probe says %+v, Open got %+v", p, d.Capabilities)
	}
}
