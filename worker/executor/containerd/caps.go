package containerd

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/proto/spec"
)

// defaultCaps are the capabilities Docker gives a container.
func defaultCaps() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
		"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
		"CAP_AUDIT_WRITE",
	}
}

// mergeCaps returns Docker's default capabilities with add and drop applied.
// Names are taken in any case, with or without CAP_; ALL stands for all.
// Adding all and dropping some leaves the others; dropping all and adding some
// leaves those.
func mergeCaps(add, drop []string) ([]string, error) {
	add, err := normaliseCaps(add)
	if err != nil {
		return nil, err
	}
	drop, err = normaliseCaps(drop)
	if err != nil {
		return nil, err
	}
	var have []string
	switch {
	case slices.Contains(add, spec.AllCapabilities):
		have = spec.Capabilities()
	case slices.Contains(drop, spec.AllCapabilities):
		return dedupe(add), nil
	default:
		have = append(defaultCaps(), add...)
	}
	return dedupe(slices.DeleteFunc(have, func(c string) bool { return slices.Contains(drop, c) })), nil
}

func normaliseCaps(names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, name := range names {
		c, err := spec.Capability(name)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func dedupe(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// capabilities gives a process its capabilities. A process that is not root's
// only keeps them as a bound, which is what execve would leave it.
func capabilities(caps []string, uid uint32) *specs.LinuxCapabilities {
	if uid != 0 {
		return &specs.LinuxCapabilities{Bounding: caps}
	}
	return &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
}
