package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/muster/muster/internal/text"
	"github.com/muster/muster/worker/images"
)

// volumePaths are the directories that an image declares as volumes, outer before
// inner ones.
func volumePaths(declared map[string]struct{}) []string {
	var paths []string
	for p := range declared {
		if p = path.Clean("/" + p); p != "/" {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// volumes gives the task a directory of its own for each volume that its image
// declares, as Docker's anonymous volumes: filled with what the image has
// there, outside of the layered root file system, removed with the task.
func (x *Executor) volumes(ctx context.Context, taskID string, img *images.Image) ([]specs.Mount, error) {
	paths := volumePaths(img.Config.Volumes)
	if len(paths) == 0 {
		return nil, nil
	}
	dir := filepath.Join(x.taskDir(taskID), "volumes")
	// Without a container nothing has been written: an earlier attempt that
	// broke off may have copied half.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("remove half-made volumes: %w", err)
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make directory of volumes: %w", err)
	}
	layers, err := x.snapshots().Mounts(ctx, taskID)
	if err != nil {
		return nil, fmt.Errorf("find root file system: %w", err)
	}
	var mounts []specs.Mount
	var failed error // without the words that the mount would put before it
	err = mount.WithReadonlyTempMount(ctx, layers, func(root string) error {
		mounts, failed = fillVolumes(dir, root, paths)
		return nil
	})
	return mounts, errors.Join(failed, err)
}

// fillVolumes makes a directory in dir for each of the paths of the image.
func fillVolumes(dir, root string, paths []string) (mounts []specs.Mount, err error) {
	for i, p := range paths {
		volume := filepath.Join(dir, strconv.Itoa(i))
		if err := fillVolume(volume, root, p); err != nil {
			return nil, fmt.Errorf("volume %s of the image: %w", text.Quote(p), err)
		}
		mounts = append(mounts, specs.Mount{
			Destination: p, Type: "bind", Source: volume, Options: []string{"rbind", "rprivate", "rw"},
		})
	}
	return mounts, nil
}

// taken reports whether a container has at a path what is not the image's, and
// which runc does not mount over: /dev itself, everything below /proc and /sys,
// and files.
func taken(at string) bool {
	return at == "/dev" || slices.ContainsFunc([]string{"/proc", "/sys", initPath, hostnameFile, hostsFile, resolvFile}, func(p string) bool {
		return at == p || strings.HasPrefix(at, p+"/")
	})
}

// fillVolume makes the directory volume like the one there is at a path of the image: owner,
// mode and content.
func fillVolume(volume, root, at string) error {
	source, err := continuity.RootPath(root, at)
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) { // which is of this machine, and may be long
		return fmt.Errorf("find it in the image: %w: %w", failed.Err, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return fmt.Errorf("find it in the image: %w", err)
	}
	if inside := strings.TrimPrefix(source, root); taken(inside) {
		return fmt.Errorf("at %s a container has what is no image's: %w", inside, errdefs.ErrInvalidArgument)
	}
	stat, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Mkdir(volume, 0o755)
	case err != nil:
		return err
	case !stat.IsDir():
		return fmt.Errorf("it is a file, not a directory: %w", errdefs.ErrInvalidArgument)
	}
	// Not every file system keeps every attribute.
	return continuity.CopyDir(volume, source, continuity.WithAllowXAttrErrors())
}
