package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/muster/muster/internal/text"
	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

// AllCapabilities stands for every capability there is.
const AllCapabilities = "ALL"

// Capabilities are the names of Linux's capabilities, by their numbers
// (include/uapi/linux/capability.h).
func Capabilities() []string {
	return strings.Fields(`
		CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
		CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW
		CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
		CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD
		CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG
		CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)
}

// Capability is the name under which specs have a capability that people write
// in any case, with or without CAP_. One that Linux does not have is an invalid
// argument.
func Capability(name string) (string, error) {
	full := strings.ToUpper(name)
	if full == AllCapabilities || full == "CAP_"+AllCapabilities {
		return AllCapabilities, nil
	}
	if !strings.HasPrefix(full, "CAP_") {
		full = "CAP_" + full
	}
	if !slices.Contains(Capabilities(), full) {
		return "", fmt.Errorf("capability %s: Linux has none of this name; use one such as NET_ADMIN, or ALL: %w", text.Quote(name), errdefs.ErrInvalidArgument)
	}
	return full, nil
}

// validateCapabilities refuses names that no node knows, which would have every
// task rejected.
func validateCapabilities(names ...string) error {
	for _, name := range names {
		full, err := Capability(name)
		if err != nil {
			return err
		}
		if full != name {
			return fmt.Errorf("capability %s: use the name %s: %w", text.Quote(name), full, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// validateUlimits refuses limits that the kernel does not have, or would not set
// (man 2 setrlimit).
func validateUlimits(limits []*clusterpb.Ulimit) error {
	const names = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack"
	for _, l := range limits {
		if !slices.Contains(strings.Fields(names), l.GetName()) {
			return fmt.Errorf("ulimit %s: use one of %s: %w", text.Quote(l.GetName()), names, errdefs.ErrInvalidArgument)
		}
		if soft, hard := uint64(l.GetSoft()), uint64(l.GetHard()); soft > hard { // -1 is unlimited
			return fmt.Errorf("ulimit %s: the soft limit %d must not be above the hard limit %d: %w", l.GetName(), l.GetSoft(), l.GetHard(), errdefs.ErrInvalidArgument)
		}
	}
	return nil
}
