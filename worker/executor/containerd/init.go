package containerd

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// initPath is where a container has its init. /dev is never the image's, so
// that there is room on a read-only root and nothing of the image is hidden.
const initPath = "/dev/muster-init"

// addInit puts the init before the arguments of the container's process.
func (r recipe) addInit(s *specs.Spec) error {
	if r.init == "" {
		return fmt.Errorf("the service asks for an init, and this node has no muster-init beside its containerd or muster: %w", errdefs.ErrInvalidArgument)
	}
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: initPath, Type: "bind", Source: r.init, Options: []string{"bind", "rprivate", "ro", "nosuid", "nodev"},
	})
	s.Process.Args = slices.Concat([]string{initPath, "--"}, s.Process.Args)
	return nil
}
