package containerd

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/proto/id"

	clusterpb "github.com/muster/muster/proto/cluster/v1"
)

const (
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// defaultFiles is Docker's limit of open files.
	defaultFiles = 1048576
)

// arguments merges the image's entrypoint and command with the spec's as
// Docker does: an entrypoint of the spec drops the image's command too, and
// one that is a single empty word leaves none.
func arguments(spec *clusterpb.ContainerSpec, image *dockerspec.DockerOCIImageConfig) ([]string, error) {
	entrypoint, command := spec.GetCommand(), spec.GetArgs()
	if len(entrypoint) == 0 {
		entrypoint = image.Entrypoint
		if len(command) == 0 {
			command = image.Cmd
		}
	}
	if len(entrypoint) == 1 && entrypoint[0] == "" {
		entrypoint = nil
	}
	args := slices.Concat(entrypoint, command)
	if len(args) == 0 || args[0] == "" {
		return nil, fmt.Errorf("image %q has no command and the service gives none: %w",
			spec.GetImage(), errdefs.ErrInvalidArgument)
	}
	return args, nil
}

// environment merges the defaults, the image's and the spec's variables; later
// ones win. A spec entry without "=" takes the variable away.
func environment(spec *clusterpb.ContainerSpec, image []string, hostname string) []string {
	defaults := []string{defaultPath, "HOSTNAME=" + hostname}
	if spec.GetTty() {
		defaults = append(defaults, "TERM=xterm")
	}
	var env []string
	places := make(map[string]int) // an image may have tens of thousands
	for _, entry := range slices.Concat(defaults, image, spec.GetEnv()) {
		key, _, assigned := strings.Cut(entry, "=")
		at, known := places[key]
		switch {
		case key == "": // an image may say so, but no process can be given one
		case !assigned && known:
			env[at] = ""
			delete(places, key)
		case !assigned:
		case known:
			env[at] = entry
		default:
			places[key] = len(env)
			env = append(env, entry)
		}
	}
	return slices.DeleteFunc(env, func(entry string) bool { return entry == "" })
}

// workdir is where the process begins; runc makes the directory.
func workdir(spec *clusterpb.ContainerSpec, image string) (string, error) {
	dir := spec.GetDir()
	if dir == "" {
		dir = image
	}
	if dir == "" {
		return "/", nil
	}
	if !path.IsAbs(dir) {
		return "", fmt.Errorf("working directory %q: want an absolute path: %w", dir, errdefs.ErrInvalidArgument)
	}
	return path.Clean(dir), nil
}

// hostname is the spec's, or the short id of the task.
func hostname(t *clusterpb.Task) string {
	if h := t.GetSpec().GetHostname(); h != "" {
		return h
	}
	return id.Short(t.GetId())
}

// rlimits are the spec's limits over the default number of open files.
func rlimits(limits []*clusterpb.Ulimit, files uint64) []specs.POSIXRlimit {
	out := []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: files, Hard: files}}
	for _, l := range limits {
		one := specs.POSIXRlimit{
			Type: "RLIMIT_" + strings.ToUpper(l.GetName()),
			Soft: unlimited(l.GetSoft()),
			Hard: unlimited(l.GetHard()),
		}
		if at := slices.IndexFunc(out, func(o specs.POSIXRlimit) bool { return o.Type == one.Type }); at >= 0 {
			out[at] = one
			continue
		}
		out = append(out, one)
	}
	return out
}

// unlimited maps -1 to the kernel's infinity.
func unlimited(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64
	}
	return uint64(n)
}
