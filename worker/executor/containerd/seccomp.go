package containerd

import (
	"fmt"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// filter is moby's default profile for the capabilities in s, but without the
// x32 calls of x86-64, which the distributions' kernels do not know either: a
// program that makes one is killed. runc compiles the profile at each start of
// a container, and a third of that start's time of a core would go into x32.
func filter(s *specs.Spec) (*specs.LinuxSeccomp, error) {
	profile, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		return nil, fmt.Errorf("make seccomp profile: %w", err)
	}
	profile.Architectures = slices.DeleteFunc(profile.Architectures, func(a specs.Arch) bool { return a == specs.ArchX32 })
	return profile, nil
}
