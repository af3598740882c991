package tap

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// shallow is memory of which only the first page may be written. Where not even
// the header of a frame can be, the kernel answers EFAULT, and the frame is lost.
// It stands for all errors of one frame, whose reasons are hard to make.
func shallow(t testing.TB) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, page+2*(HeaderLen+MaxFrame), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	if err := unix.Mprotect(b[page:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return b
}

// page is the size of a page, and fills the length of a frame whose record fills one.
var page, fills = os.Getpagesize(), os.Getpagesize() - HeaderLen

// roomy is a TAP with virtio headers for frames of more than a page.
func roomy(t testing.TB) (*Device, side) {
	t.Helper()
	inNamespace(t)
	d := openTAP(t, Config{Name: "t0", VnetHdr: true})
	kernel := up(t, "t0")
	setMTU(t, "t0", 2*page)
	return d, kernel
}

func setMTU(t testing.TB, name string, mtu int) {
	t.Helper()
	request(t, name, unix.SIOCSIFMTU, func(r *unix.Ifreq) { r.SetUint32(uint32(mtu)) })
}

func TestErrorOfOneFrameCostsNoOther(t *testing.T) {
	d, kernel := roomy(t)
	buf, frames := shallow(t), make([][]byte, 8)
	kernel.send(t, frame(0, fills))
	for range 3 {
		kernel.send(t, frame(1, 60))
	}
	if n, err := d.Queues[0].Read(buf, frames); n != 1 || err != nil || !bytes.Equal(frames[0][HeaderLen:], frame(0, fills)) {
		t.Errorf("got %d frames, %v; want the one before the errors, nil", n, err)
	}
	if got, then := d.Queues[0].Lost(), d.Queues[0].Lost(); got != 3 || then != 0 {
		t.Errorf("got %d frames lost, then %d; want 3 and none", got, then)
	}
	kernel.send(t, frame(2, 62))
	if n, err := d.Queues[0].Read(buf, frames); n != 1 || err != nil || !bytes.Equal(frames[0][HeaderLen:], frame(2, 62)) {
		t.Errorf("then: got %d frames, %v; want the one after the errors, nil", n, err)
	}
}

// With nothing before them Read goes on waiting, as if nothing had come.
func TestErrorsOfFramesDoNotEndRead(t *testing.T) {
	d, kernel := roomy(t)
	buf := shallow(t)
	for range 3 {
		kernel.send(t, frame(1, 60))
	}
	done := make(chan error, 1)
	go func() {
		n, err := d.Queues[0].Read(buf[page:], make([][]byte, 8))
		if n != 0 {
			t.Errorf("got %d frames, want none", n)
		}
		done <- err
	}()
	for waiting := 1; waiting > 0 && len(done) == 0; { // until the queue is empty
		var err error
		if waiting, err = unix.Poll([]unix.PollFd{{Fd: int32(d.Queues[0].fd), Events: unix.POLLIN}}, 0); err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	d.Wake()
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
	}
}

// An error that stays would keep a Read for ever. It gives what it has, and the
// next one says why there is no more.
func TestErrorThatStaysEndsReadAfterTheFramesBeforeIt(t *testing.T) {
	d, kernel := roomy(t)
	buf, frames := shallow(t), make([][]byte, 8)
	kernel.send(t, frame(0, fills))
	for range 2*maxPassed + 2 {
		kernel.send(t, frame(1, 60))
	}
	if n, err := d.Queues[0].Read(buf, frames); n != 1 || err != nil {
		t.Errorf("got %d frames, %v; want the one before the errors, nil", n, err)
	}
	if n, err := d.Queues[0].Read(buf[page:], frames); n != 0 || !errors.Is(err, unix.EFAULT) {
		t.Errorf("then: got %d frames, %v; want 0, %v", n, err, unix.EFAULT)
	}
	kernel.send(t, frame(2, 62))
	if n, err := d.Queues[0].Read(buf, frames); n != 1 || err != nil || !bytes.Equal(frames[0][HeaderLen:], frame(2, 62)) {
		t.Errorf("after them: got %d frames, %v; want the last one, nil", n, err)
	}
}
