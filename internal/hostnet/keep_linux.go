package hostnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// gone are the changes of a folder after which a file in it may be missing. The
// folder itself cannot be removed before its files.
const gone = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVE_SELF

// Keep writes e to path and writes it again whenever the file, or its folder,
// is removed: /run is wiped at odd moments while a machine boots, and docker
// and CNI wait for the file. A file that somebody else put in its place is left
// alone. Keep returns nil when ctx is done, and leaves the file; it returns an
// error when the file cannot be written. written, if not nil, is called after
// each time.
func (e SubnetEnv) Keep(ctx context.Context, path string, written func()) error {
	for ctx.Err() == nil {
		if err := e.Write(path); err != nil {
			return err
		}
		if written != nil {
			written()
		}
		if err := waitGone(ctx, path); err != nil {
			return fmt.Errorf("watch subnet file: %w", err)
		}
	}
	return nil
}

// waitGone returns when there is nothing at path, or ctx is done.
func waitGone(ctx context.Context, path string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("inotify_init1", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	defer f.Close()
	_, err = unix.InotifyAddWatch(fd, filepath.Dir(path), gone|unix.IN_ONLYDIR)
	if errors.Is(err, unix.ENOENT) {
		return nil // gone with its folder already
	}
	if err != nil {
		return os.NewSyscallError("inotify_add_watch", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() }) // wakes the reader
	defer stop()
	b := make([]byte, unix.SizeofInotifyEvent+unix.NAME_MAX+1)
	for ctx.Err() == nil {
		// Events only say when to look: they may be of another file.
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if _, err := f.Read(b); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}
