package nodes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupRoots lists the mounted hierarchies: one with cgroup v2 alone, one a
// controller with v1.
func cgroupRoots() ([]string, error) {
	const root = "/sys/fs/cgroup"
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", root, err)
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		return []string{root}, nil
	}
	return filepath.Glob(root + "/*")
}

// cgroupsBelow lists the directories of a cgroup and all below it, deepest first.
func cgroupsBelow(cgroup string) ([]string, error) {
	roots, err := cgroupRoots()
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, root := range roots {
		err := filepath.WalkDir(filepath.Join(root, cgroup), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list cgroups: %w", err)
		}
	}
	slices.Reverse(dirs)
	return dirs, nil
}

// removeCgroups removes a cgroup and all below it, which hold no process any more.
func removeCgroups(cgroup string) error {
	// A process that was just killed holds its cgroup for a moment.
	return poll("cgroup "+cgroup+" to be empty", 5*time.Second, func() error {
		dirs, err := cgroupsBelow(cgroup)
		if err != nil {
			return err
		}
		var errs []error
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
}
