//go:build linux

package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// A lab's name is "uvl", the owner's process id in base 36, and two random
// characters; its namespaces add "-f" (fabric), "-h1", "-h1c2", "-e1" or a station's name. The id
// tells a human who the owner is. What tells Sweep whether it lives is the lock
// (flock) that the owner holds on the fabric, which no death can leave behind.
const (
	namePrefix = "uvl"
	dirPrefix  = "uvtep-lab-"
	fabricName = "f"
)

// spacePattern and dirPattern find a lab's name in that of a namespace and of a
// folder; they are values that nobody changes.
var (
	spacePattern = regexp.MustCompile(`^(uvl[0-9a-z]{3,})-[0-9a-z]+$`)
	dirPattern   = regexp.MustCompile(`^uvtep-lab-(uvl[0-9a-z]{3,})$`)
)

// claim finds a name that nobody has and makes the fabric's namespace under it.
func (l *Lab) claim() error {
	unlock, err := lockSpaces()
	if err != nil {
		return err
	}
	defer unlock()
	for range 100 {
		l.Name = newName()
		l.fabric, err = l.newNode(fabricName, fabricSysctls())
		if !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	return unix.Flock(int(l.fabric.space), unix.LOCK_EX|unix.LOCK_NB)
}

func newName() string {
	return namePrefix + strconv.FormatInt(int64(os.Getpid()), 36) +
		strconv.FormatInt(36+rand.Int64N(35*36), 36)
}

// lockSpaces keeps other labs from being made or swept until unlock is called.
// iproute2 takes the same lock around `ip netns add`.
func lockSpaces() (unlock func(), err error) {
	if err := os.MkdirAll(spaceDir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(spaceDir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("lock %s: %w", spaceDir, err)
	}
	return func() { _ = dir.Close() }, nil
}

// Sweep removes what labs left behind whose owner has died, and returns their
// names. New does it too.
func Sweep() ([]string, error) {
	unlock, err := lockSpaces()
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	defer unlock()
	var swept []string
	err = errors.Join(
		eachDead(spaceDir, spacePattern, func(name, lab string) error {
			swept = append(swept, lab)
			return removeSpace(name)
		}),
		eachDead(os.TempDir(), dirPattern, func(name, lab string) error {
			swept = append(swept, lab)
			return os.RemoveAll(filepath.Join(os.TempDir(), name))
		}))
	slices.Sort(swept)
	return slices.Compact(swept), err
}

// eachDead calls fn for the entries of a folder that belong to a lab without
// owner. The verdict on a lab is found once, before fn takes its fabric away.
func eachDead(dir string, pattern *regexp.Regexp, fn func(name, lab string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	dead := map[string]bool{}
	for _, e := range entries {
		m := pattern.FindStringSubmatch(e.Name())
		if m == nil || !ours(e) {
			continue
		}
		if _, known := dead[m[1]]; !known {
			dead[m[1]] = !alive(m[1])
		}
		if dead[m[1]] {
			errs = append(errs, fn(e.Name(), m[1]))
		}
	}
	return errors.Join(errs...)
}

// ours tells whether the entry belongs to the user that runs the program: a
// folder for temporary files is open to all.
func ours(e fs.DirEntry) bool {
	info, err := e.Info()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// alive tells whether a process holds the lock on the lab's fabric.
func alive(lab string) bool {
	f, err := os.Open(filepath.Join(spaceDir, lab+"-"+fabricName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}
