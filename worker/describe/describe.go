// Package describe finds out what a node is: what it tells managers when it
// connects.
package describe

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// Given is what the node cannot find out about itself.
type Given struct {
	// Hostname overrides the machine's when it is not empty.
	Hostname string
	// Version of muster, and of the containerd it uses.
	Version, ContainerdVersion string
	// Labels given to the daemon.
	Labels map[string]string
	// ControlAddr and GossipAddr are HOST:PORT, DataAddr an IP address.
	ControlAddr, DataAddr, GossipAddr string
	// Addresses are further IP addresses of the node.
	Addresses []string
}

// Node describes this machine.
func Node(g Given) (*clusterpb.NodeDescription, error) {
	hostname := g.Hostname
	if hostname == "" {
		h, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("read hostname: %w", err)
		}
		hostname = h
	}
	memory, err := memory()
	if err != nil {
		return nil, err
	}
	kernel, err := kernel()
	if err != nil {
		return nil, err
	}
	return &clusterpb.NodeDescription{
		Hostname: hostname,
		Platform: &clusterpb.Platform{Os: runtime.GOOS, Architecture: runtime.GOARCH},
		Resources: &clusterpb.Resources{
			// NumCPU is what this process may use: a daemon confined to some
			// cores offers only these.
			NanoCpus: int64(runtime.NumCPU()) * 1e9, MemoryBytes: memory,
		},
		Version: g.Version, ContainerdVersion: g.ContainerdVersion, Labels: g.Labels,
		ControlAddr: g.ControlAddr, DataAddr: g.DataAddr, GossipAddr: g.GossipAddr,
		Kernel: kernel, Addresses: g.Addresses,
	}, nil
}

// memory returns the machine's memory in bytes.
func memory() (int64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, fmt.Errorf("read memory size: %w", err)
	}
	return int64(info.Totalram) * int64(info.Unit), nil
}

// kernel returns the release of the running kernel, such as 6.1.0-13-amd64.
func kernel() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("read kernel release: %w", err)
	}
	release, _, _ := strings.Cut(string(name.Release[:]), "\x00")
	return release, nil
}
