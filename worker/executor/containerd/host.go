package containerd

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/containerd/v2/pkg/cap"
	"golang.org/x/sys/unix"
)

// host is what the machine allows.
type host struct {
	cores int
	// cgroups is where they are mounted.
	cgroups string
	// unified: cgroups are version 2.
	unified bool
	// swap: the use of swap can be limited.
	swap bool
	// seccomp: the kernel filters system calls.
	seccomp bool
	// files is how many open files a process may be allowed.
	files uint64
	// oomFloor is the least oom_score_adj that a process may be given here.
	oomFloor int
}

// oomFloor is -1000, and what this process has where it may not go lower: it
// lacks CAP_SYS_RESOURCE inside of some containers.
func oomFloor() int {
	const capSysResource = 24 // linux/capability.h
	for line := range strings.Lines(readFile("/proc/self/status")) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			effective, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			if err == nil && effective&(1<<capSysResource) != 0 {
				return -1000
			}
		}
	}
	own, err := strconv.Atoi(strings.TrimSpace(readFile("/proc/self/oom_score_adj")))
	if err != nil {
		return 0
	}
	return own
}

// inspectHost looks at the machine.
func inspectHost() host {
	h := host{cores: runtime.NumCPU(), cgroups: cgroupRoot, unified: cgroups.Mode() == cgroups.Unified, oomFloor: oomFloor()}
	if h.unified {
		// The root has no limits of its own; any child tells.
		h.swap = exists("/sys/fs/cgroup/init.scope/memory.swap.max") || exists("/sys/fs/cgroup/system.slice/memory.swap.max")
	} else {
		h.swap = exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	}
	h.seccomp = exists("/proc/sys/kernel/seccomp/actions_avail")
	h.files = openFiles()
	return h
}

// openFiles is Docker's limit of open files, or what this machine allows: a
// process without CAP_SYS_RESOURCE cannot raise the limit it has.
func openFiles() uint64 {
	var own unix.Rlimit
	held, err := cap.Current()
	if err != nil || slices.Contains(held, "CAP_SYS_RESOURCE") || unix.Getrlimit(unix.RLIMIT_NOFILE, &own) != nil {
		return defaultFiles
	}
	return min(defaultFiles, own.Max)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
