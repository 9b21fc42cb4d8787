package needs

import (
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutIPv6 names, to a process of its own, the test that it runs without IPv6.
const withoutIPv6 = "MUSTER_TEST_WITHOUT_IPV6"

// WithoutIPv6 runs the test in a process that the kernel gives no socket of
// IPv6, as on a host that was booted with ipv6.disable=1. In that process it
// returns true; in the first one, whose test is over then, false.
func WithoutIPv6(t *testing.T) bool {
	t.Helper()
	if os.Getenv(withoutIPv6) == t.Name() {
		refuseIPv6(t)
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), withoutIPv6+"="+t.Name())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("without IPv6: %v\n%s", err, out)
	}
	return false
}

// refuseIPv6 has socket(AF_INET6, …) fail in all threads from now on.
func refuseIPv6(t *testing.T) {
	t.Helper()
	const number, firstArgument = 0, 16 // offsets in struct seccomp_data
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unlessSkip := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	filter := []unix.SockFilter{
		load(number), unlessSkip(unix.SYS_SOCKET, 3),
		load(firstArgument), unlessSkip(unix.AF_INET6, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		t.Skipf("this kernel filters no system calls: %v", errno)
	}
	if _, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM, 0); err != unix.EAFNOSUPPORT {
		t.Fatalf("a socket of IPv6: %v", err)
	}
}
