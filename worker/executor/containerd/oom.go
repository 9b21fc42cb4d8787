package containerd

import (
	"path/filepath"
	"strconv"
	"strings"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// killed is the exit status of a process that the kernel kills: 128 + SIGKILL.
	killed = 137
)

// oomKilled reports whether the kernel killed a process of the cgroup for want
// of memory. The counter lives as long as the cgroup, which goes with the
// task's release, so there is no event to miss.
func (h host) oomKilled(cgroup string) bool {
	path := filepath.Join(h.cgroups, "memory", cgroup, "memory.oom_control")
	if h.unified {
		path = filepath.Join(h.cgroups, cgroup, "memory.events")
	}
	return oomKills(readFile(path)) > 0
}

// oomKills reads the counter oom_kill of memory.events or memory.oom_control.
func oomKills(content string) uint64 {
	for line := range strings.Lines(content) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == "oom_kill" {
			n, _ := strconv.ParseUint(value, 10, 64)
			return n
		}
	}
	return 0
}
