package bench

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poorEnv names the environment variable that makes the test binary another
// program: one that takes features of the kernel away from itself and then
// becomes uvtep.
const poorEnv = "UVTEP_TEST_POOR_KERNEL"

// poverty is what poorEnv holds, as JSON.
type poverty struct {
	Program string // to become
	Rules   []rule
	Warden  string // unix socket of the warden; empty: no rule needs one
}

// rule is one system call that is refused, wherever all of Args hold.
type rule struct {
	Call  uint32
	Args  []arg
	Errno unix.Errno // 0: the warden is asked, because more than arguments must be looked at
}

// arg says that the low half of an argument has a value.
type arg struct{ N, Is uint32 }

// becomePoor installs the rules as a filter of system calls (seccomp(2)) and
// executes the program, with the arguments of this one.
func becomePoor(spec string) error {
	var p poverty
	if err := json.Unmarshal([]byte(spec), &p); err != nil {
		return err
	}
	if err := os.Unsetenv(poorEnv); err != nil {
		return err
	}
	runtime.LockOSThread() // the filter is the thread's, and the one that executes passes it on
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if p.Warden == "" {
		if _, err := install(p.Rules, 0); err != nil {
			return err
		}
	} else if err := enlist(p); err != nil {
		return err
	}
	return syscall.Exec(p.Program, append([]string{p.Program}, os.Args[1:]...), os.Environ())
}

// enlist installs the rules and tells the warden the number of the descriptor
// on which it is asked. To pass the descriptor itself would take sendmsg, about
// which the warden may have to be asked.
func enlist(p poverty) error {
	c, err := net.Dial("unix", p.Warden)
	if err != nil {
		return err
	}
	defer c.Close()
	fd, err := install(p.Rules, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, fd); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1)) // the warden has it
	return err
}

// install sets the calling thread's filter. Its result is the warden's
// descriptor, if flags ask for one.
func install(rules []rule, flags uintptr) (int, error) {
	code := compile(rules)
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, os.NewSyscallError("seccomp", errno)
	}
	return int(fd), nil
}

// Offsets in struct seccomp_data: the call's number, and its first argument's
// low half, little-endian.
const (
	callAt = 0
	argsAt = 16
)

// compile makes a program of the rules, the first that fits wins:
//
//	load call; is it not the rule's? skip
//	load arg;  is it not the rule's? skip
//	return the rule's verdict
func compile(rules []rule) (code []unix.SockFilter) {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	verdict := func(v uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v}
	}
	for _, r := range rules {
		left := uint8(2*len(r.Args) + 1) // instructions of the rule behind the one in hand
		unless := func(is uint32) unix.SockFilter {
			skip := left
			left -= 2
			return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: is}
		}
		code = append(code, load(callAt), unless(r.Call))
		for _, a := range r.Args {
			code = append(code, load(argsAt+8*a.N), unless(a.Is))
		}
		v := uint32(unix.SECCOMP_RET_USER_NOTIF)
		if r.Errno != 0 {
			v = unix.SECCOMP_RET_ERRNO | uint32(r.Errno)
		}
		code = append(code, verdict(v))
	}
	return append(code, verdict(unix.SECCOMP_RET_ALLOW))
}
